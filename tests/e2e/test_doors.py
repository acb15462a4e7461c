"""The HTTP door: who may come in, what every answer carries, and what it does under pressure."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import httpx
import pytest

from fixtures.documents import kind
from fixtures.parties import fresh, serving
from fixtures.world import (
    BEWINDVOERDER,
    SE,
    SHV_FASE_1,
    World,
)
from gateway.adapters.rest_in.factory import parties_app
from gateway.errors import LedgerUnavailable
from gateway.message import Json, Receipt, Submission, as_bytes
from tests.conftest import CANARIES
from tests.e2e.doors import XML, Elsewhere, carries_what_it_must, openapi
from tests.e2e.here import Here, Sent, a_notice
from tests.servers.party import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVENTORY = kind("schuldinventarisatie", "Saldoverzoek")
GUARDIANSHIP = kind("bewindvoering", "BewindMelding")


# Who may come in

PATHS = {"{referentienummer}": fresh(), "{aflever_id}": fresh(), "{sha256}": "0" * 64}
OPEN = {
    ("get", "/v1/sleutels"): 200,
    ("get", "/v1/bewijs/dagafsluitingen"): 200,
    ("get", "/health/live"): 200,
    ("get", "/health/ready"): 200,
    ("post", "/v1/token"): 400,  # what it asks for comes in the body
}


def routes_of(document: Json) -> list[tuple[str, str]]:
    """Every route of an OpenAPI document, with ids that do not exist."""
    found = []
    for path, operations in document["paths"].items():
        for method in operations:
            address = path
            for name, value in PATHS.items():
                address = address.replace(name, value)
            found.append((method, address))
    return found


@pytest.mark.parametrize("token", [None, "Bearer niets", "Basic bmlldHM="])
async def test_every_route_but_the_open_ones_needs_a_token(token: str | None, here: Here) -> None:
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = token
    document = (await here.reach.client.get(f"{here.reach.url}/v1/openapi.json")).json()

    answers = {
        (method, path): await here.reach.client.request(
            method, here.reach.url + path, headers=headers, content=b"{}"
        )
        for method, path in routes_of(document)
    }

    assert len(answers) >= 11
    statuses = {route: answer.status_code for route, answer in answers.items()}
    assert statuses == {route: OPEN.get(route, 401) for route in answers}
    for route in answers.keys() - OPEN.keys():
        assert answers[route].json()["code"] == "TOKEN_ONGELDIG"
        assert answers[route].headers["www-authenticate"].startswith("Bearer ")


async def test_a_signed_xml_message_needs_only_its_signature(here: Here) -> None:
    answer = await here.post(here.signed(a_notice()))

    assert answer.status_code == 202


async def test_a_party_may_choose_that_its_xml_needs_a_token_too(here: Here) -> None:
    strict = here.reach.creditor(BEWINDVOERDER)
    body = strict.signed(GUARDIANSHIP, a_notice(which=GUARDIANSHIP, sender=BEWINDVOERDER))

    without = await here.post(here.as_xml(body))
    with_token = await here.post(here.as_xml(body, strict))

    assert (without.status_code, without.json()["code"]) == (401, "TOKEN_ONGELDIG")
    assert with_token.status_code == 202


# What every answer carries


async def every_kind_of_answer(here: Here) -> dict[str, httpx.Response]:
    """At least one answer of each status, by all ways to make one."""
    client, url = here.reach.client, here.reach.url
    good = await here.json.authorization()
    asked_for = {
        "200": client.get(f"{url}/v1/postbus", headers=good),
        "open": client.get(f"{url}/v1/openapi.json"),
        "live": client.get(f"{url}/health/live"),
        "console": client.get(f"{url}/console"),
        "202": here.post(here.signed(a_notice())),
        "400": here.post(here.as_xml(b"<")),
        "400 by the framework": client.get(f"{url}/v1/postbus?aantal=veel", headers=good),
        "401": client.get(f"{url}/v1/postbus"),
        "403": here.post(here.as_json(as_bytes(a_notice(sender=SE)))),
        "404": client.get(f"{url}/v1/postbus/{fresh()}", headers=good),
        "404 by the framework": client.get(f"{url}/wp-login.php"),
        "404 for a slash": client.get(f"{url}/v1/postbus/", headers=good),
        "405": client.put(f"{url}/v1/postbus", headers=good),
        "405 without a body": client.request("HEAD", f"{url}/v1/berichten"),
        "406": here.post(Sent(b"<a/>", [XML, ("Accept", "text/html")])),
        "413": here.post(here.as_xml(b" " * (10 * 1024 * 1024 + 1))),
        "415": here.post(Sent(b"<a/>", [("Content-Type", "text/plain")])),
        "token": client.post(f"{url}/v1/token", data={}),
    }
    return {name: await answer for name, answer in asked_for.items()}


async def test_every_answer_carries_the_version_and_the_security_headers(here: Here) -> None:
    answers = await every_kind_of_answer(here)

    assert {name: answer.status_code for name, answer in answers.items() if name[0].isdigit()} == {
        name: int(name[:3]) for name in answers if name[0].isdigit()
    }
    assert [name for name, answer in answers.items() if not carries_what_it_must(answer)] == []
    assert answers["200"].headers["api-version"] == "1.0.0"


async def test_every_error_is_a_coded_problem_in_both_languages(here: Here) -> None:
    answers = await every_kind_of_answer(here)

    for name, answer in answers.items():
        if answer.status_code >= 400 and name != "token" and answer.content:
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json", name
            assert problem["status"] == answer.status_code, name
            assert {"type", "code", "title", "detail", "detailEn"} <= problem.keys(), name
    assert answers["405"].headers["allow"] == "GET"
    assert answers["405"].json()["code"] == "METHODE_ONBEKEND"


async def test_a_path_with_a_slash_too_many_is_another_path(here: Here) -> None:
    paths = [path for _, path in routes_of(await openapi(here))]
    good = await here.json.authorization()

    answers = [
        await here.reach.client.get(f"{here.reach.url}{path}/", headers=good) for path in paths
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert all("location" not in answer.headers for answer in answers)


class Broken:
    """A ledger with a bug, or one that does not answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __call__(self, submission: Submission) -> Receipt:
        raise self.error

    def ping(self) -> NoReturn:
        raise self.error

    def directory(self) -> NoReturn:
        raise self.error


@asynccontextmanager
async def breaking(here: Here, error: Exception) -> AsyncIterator[Here]:
    """The same gateway at another address, where recording fails."""
    services = here.gateway.services
    broken: Any = Broken(error)
    line = replace(services.line, record=broken)
    app = parties_app(replace(services, line=line, ledger=broken))
    async with serving(app) as url:
        yield replace(here, url=url)


async def test_a_bug_is_answered_without_a_word_of_it(
    here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    async with breaking(here, ValueError("Kanarie 999990019")) as broken:
        answer = await broken.post(broken.signed(a_notice()))

    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNE_FOUT")
    assert answer.headers["content-type"] == "application/problem+json"
    assert carries_what_it_must(answer)
    assert [canary for canary in CANARIES if canary in answer.text] == []
    assert "request.crashed" in [record.getMessage() for record in caplog.records]


async def test_a_ledger_that_does_not_answer_is_a_503_that_says_when(here: Here) -> None:
    async with breaking(here, LedgerUnavailable("weg")) as broken:
        answer = await broken.post(broken.signed(a_notice()))
        ready = await broken.get("/health/ready")
        live = await broken.get("/health/live")

    assert (answer.status_code, answer.json()["code"]) == (503, "TIJDELIJK_NIET_BESCHIKBAAR")
    assert int(answer.headers["retry-after"]) > 0
    assert carries_what_it_must(answer)
    assert (ready.status_code, live.status_code) == (503, 200)


# Under pressure


async def test_a_body_that_does_not_come_in_time_is_given_up(elsewhere: Elsewhere) -> None:
    async with elsewhere(body_timeout="1") as here:
        settings = here.world.settings
        reader, writer = await asyncio.open_connection(settings.host, settings.port)
        writer.write(
            b"POST /v1/berichten HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/xml\r\n"
            b"Content-Length: 100\r\n\r\n<Kennisgeving"
        )

        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "TE_TRAAG"' in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert b"\r\napi-version: 1.0.0\r\n" in answer.lower()


async def test_a_party_above_its_quota_is_told_when_to_come_back(here: Here) -> None:
    eager = here.reach.creditor(SHV_FASE_1)
    made = [a_notice(which=INVENTORY, sender=SHV_FASE_1) for _ in range(3)]
    bodies = [eager.signed(INVENTORY, one) for one in made]

    answers = [await eager.send_bytes(body) for body in bodies]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].json()["code"] == "QUOTUM_BEREIKT"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert (await here.post(here.signed(a_notice()))).status_code == 202


async def test_more_than_may_wait_for_the_ledger_is_told_to_come_back(
    elsewhere: Elsewhere,
) -> None:
    async with elsewhere(waiting="2") as here:
        writer = here.gateway.services.writer
        made = [a_notice() for _ in range(8)]
        signed = [here.signed(one) for one in made]

        with locked(here.world):
            posts = [asyncio.create_task(here.post(one)) for one in signed]
            await eventually(
                lambda: writer.waiting == 2 and any(post.done() for post in posts),
                "two wait and another was sent away",
                within=15,
            )
        answers = await asyncio.gather(*posts)

        refused = [answer for answer in answers if answer.status_code != 202]
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {
            (503, "OVERBELAST")
        }
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
        assert here.kept().messages == len(answers) - len(refused) > 0
        again = [await here.post(here.signed(one)) for one in made]
        assert {answer.status_code for answer in again} == {200, 202}
        assert here.kept().messages == len(made)


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Nobody can write to the ledger meanwhile."""
    file = world.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
