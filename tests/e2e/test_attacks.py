"""What somebody who means harm, or a machine that breaks off, cannot make of a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from fixtures.parties import ASSERTION
from fixtures.world import SE, SHV, Entry, the_usual
from gateway.adapters.jades import base64url
from gateway.message import as_bytes
from tests.conftest import NewWorld
from tests.e2e.here import Here, Sent, a_notice, reference_of, started
from tests.servers.party import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 24


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """One gateway for all tests here; each uses messages of its own."""
    async with started(new_world(tmp_path_factory.mktemp("attacks"))) as here:
        yield here


async def test_one_message_sent_many_times_at_once_by_both_doors_is_kept_once(here: Here) -> None:
    made, before = a_notice(), here.kept()
    sent = [here.signed(made), here.written(made)] * (AT_ONCE // 2)
    answers = await asyncio.gather(*(here.post(each) for each in sent))
    assert sorted({answer.status_code for answer in answers}) == [200, 202]
    assert sum(answer.status_code == 202 for answer in answers) == 1
    assert len({answer.content for answer in answers[1::2]}) == 1
    assert here.kept().messages == before.messages + 1
    assert here.kept().deliveries == before.deliveries + 1


async def test_of_many_contents_under_one_number_at_once_exactly_one_is_kept(here: Here) -> None:
    first, before = a_notice(), here.kept()
    number = reference_of(first)
    others = [a_notice(reference=number) for _ in range(AT_ONCE)]
    answers = await asyncio.gather(*(here.post(here.written(each)) for each in others))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [202] + [409] * (AT_ONCE - 1)
    assert here.kept().messages == before.messages + 1


async def test_a_sender_that_hangs_up_before_the_answer_finds_its_message_kept_once(
    here: Here,
) -> None:
    made, before = a_notice(), here.kept()
    sent = here.signed(made)
    address = urlsplit(here.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = "POST /v1/berichten HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/xml\r\n"
    writer.write(f"{head}Content-Length: {len(sent.body)}\r\n\r\n".encode() + sent.body)
    await writer.drain()
    writer.close()
    await eventually(lambda: here.kept().messages == before.messages + 1, "it is kept")
    assert (await here.post(sent)).status_code == 200
    assert here.kept().messages == before.messages + 1


NESTED = base64url(b'{"alg":"PS256","b64":' + b"[" * 8_000)


async def test_a_jose_header_nested_beyond_reason_is_refused_wherever_it_stands(here: Here) -> None:
    token = await here.get("/v1/postbus", ("Authorization", f"Bearer {NESTED}.e30.eA"))
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": f"{NESTED}.e30.eA",
    }
    assertion = await here.reach.client.post(f"{here.url}/v1/token", data=form)
    made = here.written(a_notice())
    headers = [pair for pair in made.headers if pair[0] != "Payload-Signature"]
    headers.append(("Payload-Signature", f"{NESTED}..eA"))
    signature = await here.post(Sent(made.body, headers, made.token_of))
    assert [token.status_code, assertion.status_code, signature.status_code] == [401, 401, 400]


async def test_what_waits_for_a_party_that_left_is_hidden_and_is_there_when_it_returns(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> None:
    async with started(new_world(tmp_path_factory.mktemp("left"))) as here:
        made = a_notice()
        assert (await here.post(here.written(made))).is_success
        recipient = here.party(SE)
        before = await recipient.get("/v1/postbus")
        await follow(here, [one for one in the_usual() if one.oin != SE])
        meanwhile = await recipient.get("/v1/postbus")
        await follow(here, the_usual())
        answer = await recipient.get("/v1/postbus")
        assert before.json()["aantal"] == 1
        assert meanwhile.status_code == 401
        waiting = answer.json()["afleveringen"]
        assert [one["referentienummer"] for one in waiting] == [reference_of(made)]


async def follow(here: Here, entries: Sequence[Entry]) -> None:
    """Make these parties the directory, and return when the running gateway knows."""
    version = here.world.apply(entries)
    watch = here.gateway.services.line.directory
    await eventually(lambda: watch().version == version, "the gateway follows the directory")


async def test_a_body_in_the_name_of_another_party_is_refused_though_both_are_registered(
    here: Here,
) -> None:
    thief = here.party(SE)
    body = as_bytes(a_notice(sender=SHV, recipient=SE))
    own_token = await here.post(here.as_json(body, by=thief, token_of=thief))
    stolen_form = await here.post(here.as_json(body, by=here.json, token_of=thief))
    assert {own_token.json()["code"], stolen_form.json()["code"]} == {"AFZENDER_WIJKT_AF"}
