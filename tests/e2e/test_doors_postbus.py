"""The HTTP door: how a party fetches its deliveries, and confirms them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fixtures.parties import Peer, fresh
from fixtures.world import (
    INCASSO,
    OVERIGE_SHV,
    PUBLIEKE_SE,
    SE,
    SHV,
)
from gateway.app import Gateway
from gateway.message import Dialect, Door, Json, Oin, Received, Submission, as_bytes
from gateway.pipeline import admission, examine
from tests.conftest import CANARIES
from tests.e2e.doors import Elsewhere
from tests.e2e.here import NOTICE, Here, a_notice, reference_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def collected(peer: Peer, made: Json) -> Json:
    """The delivery of this message, as its recipient's postbus lists it."""
    answer = await peer.get("/v1/postbus", aantal="1000")
    (found,) = [
        each
        for each in answer.json()["afleveringen"]
        if each["referentienummer"] == reference_of(made)
    ]
    return dict(found)


async def test_a_long_poll_wakes_at_a_commit(here: Here) -> None:
    waiting = here.party(PUBLIEKE_SE)
    await waiting.authorization()
    poll = asyncio.create_task(waiting.get("/v1/postbus", wacht="30"))
    made = a_notice(recipient=PUBLIEKE_SE)

    began = time.perf_counter()
    await here.post(here.signed(made))
    answer = await poll
    spent = time.perf_counter() - began

    (found,) = answer.json()["afleveringen"]
    assert found["referentienummer"] == reference_of(made)
    assert spent < 10
    await waiting.confirm(found["afleverId"])


async def test_a_long_poll_waits_its_time_however_busy_others_are(here: Here) -> None:
    waiting = here.party(OVERIGE_SHV)
    await waiting.authorization()
    began = time.perf_counter()
    poll = asyncio.create_task(waiting.get("/v1/postbus", wacht="1"))

    for _ in range(5):
        await here.post(here.signed(a_notice()))
    answer = await poll

    assert answer.json() == {"afleveringen": [], "aantal": 0}
    assert time.perf_counter() - began >= 1


@pytest.mark.parametrize(
    "query", ["wacht=61", "aantal=0", "aantal=1001", "na=-1", "inhoud=misschien"]
)
async def test_a_question_to_the_postbus_out_of_bounds_is_refused(query: str, here: Here) -> None:
    name, value = query.split("=")

    answer = await here.json.get("/v1/postbus", **{name: value})

    assert (answer.status_code, answer.json()["code"]) == (400, "VERZOEK_ONGELDIG")
    assert answer.json()["errors"][0]["path"] == f"/query/{name}"
    assert f'"{value}"' not in answer.text


async def test_a_delivery_is_fetched_in_either_form_under_the_signature_of_the_gateway(
    here: Here,
) -> None:
    made = a_notice()
    await here.post(here.written(made))
    creditor = here.reach.creditor(SE)
    listed = await collected(creditor, made)
    path = f"/v1/postbus/{listed['afleverId']}"
    token = await creditor.authorization()

    by_default = await creditor.get(path)
    as_json = await here.reach.client.get(
        here.reach.url + path, headers={**token, "Accept": "application/json"}
    )
    as_html = await here.reach.client.get(
        here.reach.url + path, headers={**token, "Accept": "text/html"}
    )

    assert by_default.headers["content-type"] == "application/xml"
    in_xml = creditor.believe_xml(by_default.content)["aflevering"]
    assert as_json.headers["content-type"] == "application/json"
    creditor.believe_json(as_json)
    in_json = as_json.json()["aflevering"]
    assert in_xml["bericht"] == in_json["bericht"] == made
    assert in_json["afleverId"] == as_json.headers["aflever-id"] == listed["afleverId"]
    assert in_xml["bewerkingen"] == ["VERTAALD"]
    assert "bewerkingen" not in in_json
    assert as_html.status_code == 406


async def test_a_delivery_is_confirmed_once_and_its_sender_sees_it(here: Here) -> None:
    made = a_notice()
    await here.post(here.signed(made))
    creditor = here.party(SE)
    delivery = (await collected(creditor, made))["afleverId"]
    path = f"/v1/postbus/{delivery}/bevestiging"
    before = (await here.json.get(f"/v1/berichten/{reference_of(made)}")).json()

    first = await creditor.post(path)
    again = await creditor.post(
        path.upper().replace("/V1/POSTBUS", "/v1/postbus").replace("/BEVESTIGING", "/bevestiging")
    )

    after = (await here.json.get(f"/v1/berichten/{reference_of(made)}")).json()
    assert first.json() == {"afleverId": delivery, "uitkomst": "bevestigd"}
    assert again.json() == {"afleverId": delivery, "uitkomst": "al-bevestigd"}
    assert (before["status"], after["status"]) == ("aangeboden", "bevestigd")
    assert after["bevestigdOp"] > after["ontvangenOp"]
    assert "ontvangstbevestiging" in after
    assert "afleverId" not in after


async def test_sender_and_recipient_see_the_message_each_in_its_own_way(here: Here) -> None:
    made = a_notice()
    accepted = await here.post(here.written(made))
    path = f"/v1/berichten/{reference_of(made)}"

    mine = (await here.json.get(path)).json()
    theirs = (await here.party(SE).get(path, afzender=SHV)).json()
    named_wrongly = await here.party(SE).get(path, afzender=INCASSO)

    assert accepted.headers["location"] == path
    assert mine["ontvangstbevestiging"] == accepted.json()["ontvangstbevestiging"]
    assert "ontvangstbevestiging" not in theirs
    assert theirs["afleverId"]
    assert named_wrongly.status_code == 404
    assert [canary for canary in CANARIES if canary in json.dumps([mine, theirs])] == []


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_the_recipient_gets_the_original_to_the_byte_with_what_was_checked(
    form: str, here: Here
) -> None:
    made = a_notice()
    sent = here.signed(made) if form == "xml" else here.written(made)
    await here.post(sent)
    creditor = here.party(SE)
    path = f"/v1/postbus/{(await collected(creditor, made))['afleverId']}/origineel"

    told = (await creditor.get(path)).json()

    headers = dict(sent.headers)
    original = told["origineel"]
    assert base64.b64decode(original["inhoud"]) == sent.body
    assert original["sha256"] == hashlib.sha256(sent.body).hexdigest()
    assert original["media"] == headers["Content-Type"]
    assert original.get("payloadSignature") == headers.get("Payload-Signature")
    assert original.get("digest") == headers.get("Digest")
    assert told["verificatie"]["vingerafdruk"] == here.json.identity.registered.fingerprint
    assert told["verificatie"]["afzender"] == SHV
    for stranger in (here.json, here.party(INCASSO)):
        assert (await stranger.get(path)).status_code == 404


async def test_an_attachment_is_fetched_by_its_hash_by_its_recipient_only(here: Here) -> None:
    content = b"%PDF-1.7 Kanarie"
    sha256 = hashlib.sha256(content).hexdigest()
    attachment = {
        "soort": "TOESTEMMING",
        "mime": "application/pdf",
        "sha256": sha256,
        "inhoud": base64.b64encode(content).decode(),
    }
    made = a_notice(head={"bijlagen": [attachment]})
    await here.post(here.written(made))
    creditor = here.party(SE)
    path = f"/v1/postbus/{(await collected(creditor, made))['afleverId']}/bijlagen"

    answer = await creditor.get(f"{path}/{sha256}")

    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await creditor.get(f"{path}/{'0' * 64}")).status_code == 404
    assert (await here.json.get(f"{path}/{sha256}")).status_code == 404


@pytest.mark.parametrize("form", ["application/json", "application/xml"])
async def test_the_receipt_comes_in_the_form_that_the_sender_accepts(form: str, here: Here) -> None:
    sent = here.signed(a_notice())

    answer = await here.post(replace(sent, headers=[*sent.headers, ("Accept", form)]))

    assert answer.status_code == 202
    assert answer.headers["content-type"] == form
    assert (b"<Ontvangstbevestiging" in answer.content) == (form == "application/xml")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "JSON_ONGELDIG"),
        (b"[]", "JSON_ONGELDIG"),
        (b"{}", "VERZOEK_ONGELDIG"),
        (b'{"afleverIds":[]}', "VERZOEK_ONGELDIG"),
        (b'{"afleverIds":[1]}', "VERZOEK_ONGELDIG"),
        (b'{"afleverIds":["' + b"x" * 37 + b'"]}', "VERZOEK_ONGELDIG"),
        (b'{"afleverIds":["a"],"meer":1}', "VERZOEK_ONGELDIG"),
        (as_bytes({"afleverIds": ["a"] * 5_001}), "VERZOEK_ONGELDIG"),
        (as_bytes({"afleverIds": ["x" * 600_000]}), "TE_GROOT"),
    ],
    ids=["empty", "list", "nothing", "none", "number", "long", "more", "too many", "too large"],
)
async def test_a_list_of_confirmations_that_is_none_is_refused(
    body: bytes, code: str, here: Here
) -> None:
    headers = {"Content-Type": "application/json", **await here.json.authorization()}

    answer = await here.reach.client.post(
        f"{here.reach.url}/v1/postbus/bevestigingen", content=body, headers=headers
    )

    assert answer.json()["code"] == code


async def test_confirmations_in_another_form_than_json_are_refused(here: Here) -> None:
    answer = await here.reach.client.post(
        f"{here.reach.url}/v1/postbus/bevestigingen",
        content=b"<a/>",
        headers={"Content-Type": "application/xml", **await here.json.authorization()},
    )

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("vorm", "count"),
    [
        pytest.param("json", 5_000, id="in JSON, 5,000"),
        pytest.param("xml", 500, id="in XML, signed one by one, 500"),
    ],
)
async def test_messages_are_fetched_and_confirmed_by_thousands_a_minute(
    vorm: str, count: int, elsewhere: Elsewhere
) -> None:
    async with elsewhere() as here:
        recipient, form = (PUBLIEKE_SE, Dialect.JSON) if vorm == "json" else (SE, Dialect.XML)
        expected = fill(here.gateway, here, recipient, count)
        party = here.party(recipient)
        await party.authorization()

        began = time.perf_counter()
        fetched = [entry async for entry in everything_of(party)]
        confirmed = await party.confirm(*(entry["afleverId"] for entry in fetched))
        spent = time.perf_counter() - began

        assert spent < 60 * count / 5_000
        assert [entry["referentienummer"] for entry in fetched] == expected
        assert set(confirmed.values()) == {"bevestigd"}
        assert len(confirmed) == count
        assert all(("xml" if form is Dialect.XML else "aflevering") in entry for entry in fetched)
        assert (await party.get("/v1/postbus")).json()["aantal"] == 0


async def everything_of(party: Peer) -> AsyncIterator[Json]:
    """Page through the postbus, believing each page."""
    after = 0
    while True:
        answer = await party.get("/v1/postbus", inhoud="ja", aantal="1000", na=str(after))
        party.believe_json(answer)
        page = answer.json()
        for entry in page["afleveringen"]:
            yield entry
        if not page["aantal"]:
            return
        after = page["volgende"]


def fill(gateway: Gateway, here: Here, recipient: Oin, count: int) -> list[str]:
    """Record so many notices, each of a conversation of its own, past the door to be quick."""
    line = gateway.services.line
    at = datetime.now(UTC)
    body = here.xml.signed(NOTICE, a_notice(recipient=recipient))
    first = examine(Received(Door.REST_XML, Dialect.XML, body, at), line)
    submissions = [renumbered(first, fresh()) for _ in range(count)]
    for start in range(0, count, 500):
        batch = submissions[start : start + 500]
        gateway.services.ledger.record(batch, admission(line), at)
    return [each.message.header.referentienummer for each in submissions]


def renumbered(first: Submission, conversation: str) -> Submission:
    """The same message under another number, in another conversation."""
    reference = fresh()
    (body,) = first.message.document.values()
    head = {
        **body["stuurgegevens"],
        "referentienummer": reference,
        "conversatieReferentienummer": conversation,
    }
    document = {"kennisgevingPubliek": {**body, "stuurgegevens": head}}
    header = replace(first.message.header, referentienummer=reference, conversatie=conversation)
    return replace(
        first,
        message=replace(first.message, header=header, document=document),
        canonical=as_bytes(document),
        digest=fresh(),
        receipt_id=fresh(),
        delivery_id=fresh(),
    )
