"""The HTTP door: who may come in, what every answer carries, and what it does under pressure."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import httpx
import jsonschema
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi.openapi.models import OpenAPI

from fixtures.documents import MESSAGES, example
from fixtures.parties import ASSERTION, Peer, fresh, now, serving
from fixtures.pki import Variant
from fixtures.world import (
    BEWINDVOERDER,
    GATEWAY,
    INCASSO,
    OVERIGE_SHV,
    SE,
    SHV,
    SHV_FASE_1,
    Entry,
    World,
    free_port,
    the_usual,
)
from gateway.adapters.rest_in.factory import parties_app
from gateway.adapters.rest_in.headers import HEADERS
from gateway.adapters.tokens import client_assertion
from gateway.app import Gateway
from gateway.errors import LedgerUnavailable
from gateway.message import Dialect, Door, Json, Kind, Oin, Receipt, Received, Submission, as_bytes
from gateway.pipeline import admission, examine
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import NOTICE, Here, Sent, a_notice, reference_of, started
from tests.servers.party import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

XML = ("Content-Type", "application/xml")
KVK = "99001000"
WHO = "/v1/deelnemers"


def parties() -> list[Entry]:
    """The usual ones, with something to look for, a small quota, and one that wants a token."""
    return the_usual(
        shv=Entry(
            SHV,
            "Gemeente Voorbeeldstad",
            "shv-fase-2",
            more={
                "kvk": f'"{KVK}"',
                "handelsnamen": '["Kredietbank Merelmeer"]',
                "vestigingen": '["000099001000"]',
            },
        ),
        incasso=Entry(
            INCASSO, "Incasso Voorbeeld", "incassobureau", more={"berichten_per_minuut": "2"}
        ),
        bewindvoerder=Entry(
            BEWINDVOERDER, "Bewind Voorbeeld", "bewindvoerder", more={"xml_met_token": "true"}
        ),
        overige_shv=Entry(OVERIGE_SHV, "Hulp Voorbeeld", "overige-shv", modules=("vish",)),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """The gateway of most tests here; each uses messages and conversations of its own."""
    async with started(new_world(tmp_path_factory.mktemp("doors"), parties())) as here:
        yield here


Elsewhere = Any
"""Starts another gateway, with other settings, for the time of one test."""


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld) -> Elsewhere:
    @asynccontextmanager
    async def start(**settings: str) -> AsyncIterator[Here]:
        world = new_world(tmp_path_factory.mktemp("door"), parties(), **settings)
        async with started(world) as here:
            yield here

    return start


# Who may come in

PATHS = {"{referentienummer}": fresh(), "{aflever_id}": fresh(), "{sha256}": "0" * 64}
OPEN = {
    ("get", "/v1/sleutels"): 200,
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
    body = strict.signed(NOTICE, a_notice(sender=BEWINDVOERDER))

    without = await here.post(here.as_xml(body))
    with_token = await here.post(here.as_xml(body, strict))

    assert (without.status_code, without.json()["code"]) == (401, "TOKEN_ONGELDIG")
    assert with_token.status_code == 202


# Tokens


def a_form(here: Here, **changes: str | None) -> dict[str, str]:
    """What a party posts for a token; a change to None takes a field out."""
    form: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": an_assertion(here.json, here.reach.url),
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


def an_assertion(
    peer: Peer, url: str, *, at: datetime | None = None, claimed: Oin | None = None
) -> str:
    identity = peer.identity
    return client_assertion(
        claimed or identity.oin, peer.key, identity.cert, f"{url}/v1/token", at or now(), fresh()
    )


async def asked(here: Here, form: dict[str, str]) -> httpx.Response:
    return await here.reach.client.post(f"{here.reach.url}/v1/token", data=form)


async def test_a_signed_assertion_gets_a_token_for_an_hour(here: Here) -> None:
    answer = await asked(here, a_form(here))

    granted = answer.json()
    assert answer.status_code == 200
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    ask = await here.reach.client.get(
        f"{here.reach.url}/v1/postbus",
        headers={"Authorization": f"Bearer {granted['access_token']}"},
    )
    assert ask.status_code == 200


async def test_an_assertion_is_good_for_one_token(here: Here) -> None:
    form = a_form(here)
    first = await asked(here, form)

    again = await asked(here, form)

    assert first.status_code == 200
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion": None}, 400, "invalid_request"),
        ({"client_assertion_type": "urn:iets-anders"}, 400, "invalid_request"),
        ({"client_secret": "geheim"}, 400, "invalid_request"),
        ({"scope": "alles"}, 400, "invalid_scope"),
        ({"client_assertion": "geen.jwt.hier"}, 401, "invalid_client"),
        ({"client_id": INCASSO}, 401, "invalid_client"),
        ({"client_assertion": "x" * 20_000}, 400, "invalid_request"),
    ],
    ids=str,
)
async def test_a_token_request_that_is_wrong_gets_the_error_of_rfc_6749(
    changes: dict[str, str | None], status: int, error: str, here: Here
) -> None:
    answer = await asked(here, a_form(here, **changes))

    told = answer.json()
    assert (answer.status_code, told["error"]) == (status, error)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(told) == {"error", "error_description"}
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_an_assertion_that_is_not_right_gets_no_token(here: Here) -> None:
    url = here.reach.url
    late = now() - timedelta(hours=1)
    assertions = {
        "of the past": an_assertion(here.json, url, at=late),
        "of the future": an_assertion(here.json, url, at=now() + timedelta(hours=1)),
        "for another": an_assertion(here.json, url, claimed=INCASSO),
        "for elsewhere": an_assertion(here.json, "https://elders.example"),
        "by a stranger": an_assertion(here.party(SHV, Variant.UNKNOWN), url),
    }

    answers = {
        name: await asked(here, a_form(here, client_assertion=one))
        for name, one in assertions.items()
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        assertions, 401
    )
    assert {answer.json()["error"] for answer in answers.values()} == {"invalid_client"}


async def test_a_token_request_must_be_a_form_with_each_field_once(here: Here) -> None:
    url = f"{here.reach.url}/v1/token"
    form = "application/x-www-form-urlencoded"
    bodies = [
        ("application/json", b"{}"),
        (form, b"grant_type=client_credentials&grant_type=client_credentials"),
        (form, b"a=" + b"x" * 20_000),
        (form, b"\xff\xfe"),
    ]

    answers = [
        await here.reach.client.post(url, content=body, headers={"Content-Type": media})
        for media, body in bodies
    ]

    assert [answer.status_code for answer in answers] == [400] * len(bodies)
    assert {answer.json()["error"] for answer in answers} == {"invalid_request"}


# Client certificates from the proxy


def client_cert(peer: Peer) -> str:
    """RFC 9440: the certificate as the proxy passes it on."""
    der = peer.identity.cert.public_bytes(Encoding.DER)
    return f":{base64.b64encode(der).decode()}:"


async def test_a_client_certificate_from_outside_is_ignored(here: Here) -> None:
    alone = await here.get(WHO, ("Client-Cert", client_cert(here.json)))
    with_token = await here.get(
        WHO,
        ("Client-Cert", client_cert(here.party(SE))),
        *(await here.json.authorization()).items(),
    )

    assert alone.status_code == 401
    assert with_token.status_code == 200


async def test_a_client_certificate_from_the_proxy_is_believed(elsewhere: Elsewhere) -> None:
    async with elsewhere(proxies="127.0.0.1", admin_port=str(free_port())) as here:
        mine = ("Client-Cert", client_cert(here.json))
        written = here.written(a_notice())

        assert (await here.get(WHO, mine)).status_code == 200
        assert (await here.post(Sent(written.body, [*written.headers, mine]))).status_code == 202
        for bad in (
            [("Client-Cert", client_cert(here.party(SHV, Variant.UNKNOWN)))],
            [("Client-Cert", "geen certificaat")],
            [("Client-Cert", ":####:")],
            [mine, mine],
        ):
            assert (await here.get(WHO, *bad)).status_code == 401
        other = tuple((await here.party(SE).authorization()).items())
        assert (await here.get(WHO, mine, *other)).status_code == 403


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


def carries_what_it_must(answer: httpx.Response) -> bool:
    """Version and security headers, each exactly once."""
    return [answer.headers.get_list(name.decode()) for name, _ in HEADERS] == [
        [value.decode()] for _, value in HEADERS
    ]


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
    eager = here.reach.creditor(INCASSO)
    bodies = [eager.signed(NOTICE, a_notice(sender=INCASSO)) for _ in range(3)]

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

        with locked(here.world):
            posts = [asyncio.create_task(here.post(here.signed(one))) for one in made]
            await eventually(
                lambda: writer.waiting == 2 and any(post.done() for post in posts),
                "two wait and another was sent away",
                within=4,
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


# The OpenAPI document


async def openapi(here: Here) -> Json:
    document: Json = (await here.reach.client.get(f"{here.reach.url}/v1/openapi.json")).json()
    return document


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from references_in(each)


async def test_the_openapi_document_is_whole_and_for_everybody(here: Here) -> None:
    answer = await here.reach.client.get(f"{here.reach.url}/v1/openapi.json")

    document = answer.json()
    assert answer.headers["access-control-allow-origin"] == "*"
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == answer.headers["api-version"]
    OpenAPI.model_validate(document)
    schemas = document["components"]["schemas"]
    named = set(references_in(document))
    assert {name.removeprefix("#/components/schemas/") for name in named} <= schemas.keys()
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all("security" in one and "400" in one["responses"] for one in operations)


async def test_every_schema_of_the_openapi_document_accepts_its_example(here: Here) -> None:
    document = await openapi(here)
    schemas = document["components"]["schemas"]

    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)

    kinds = [kind for kind in here.reach.catalogue.kinds if example_of(kind)]
    assert len(kinds) > 60
    for kind in kinds:
        whole = {**document, "$ref": f"#/components/schemas/{kind}"}
        jsonschema.Draft202012Validator(whole).validate(example(kind))


def example_of(kind: Kind) -> bool:
    folder = MESSAGES / f"{kind.module}-v{kind.major}"
    return (folder / f"{kind.name}.json").exists()


# The postbus


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
    waiting = here.party(SHV_FASE_1)
    await waiting.authorization()
    poll = asyncio.create_task(waiting.get("/v1/postbus", wacht="30"))
    made = a_notice(recipient=SHV_FASE_1)

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
        recipient, form = (SHV, Dialect.JSON) if vorm == "json" else (SE, Dialect.XML)
        sender = SE if vorm == "json" else SHV
        expected = fill(here.gateway, here, sender, recipient, count)
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


def fill(gateway: Gateway, here: Here, sender: Oin, recipient: Oin, count: int) -> list[str]:
    """Record so many messages in conversations of ten, past the door to be quick."""
    line = gateway.services.line
    author = here.reach.creditor(sender)
    made = a_notice(sender=sender, recipient=recipient)
    at = datetime.now(UTC)
    received = Received(Door.REST_XML, Dialect.XML, author.signed(NOTICE, made), at)
    first = examine(received, line)
    conversations = [fresh() for _ in range(count // 10)]
    submissions = [renumbered(first, conversations[number // 10]) for number in range(count)]
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


# Who takes part


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [entry.oin for entry in parties()]),
        ({"kvk": KVK}, [SHV]),
        ({"naam": "voorbeeldSTAD"}, [SHV]),
        ({"naam": "merelmeer"}, [SHV]),
        ({"naam": "incasso"}, [INCASSO]),
        ({"module": "crisis"}, [each.oin for each in parties() if each.oin != OVERIGE_SHV]),
        ({"module": "vish", "naam": "Hulp"}, [OVERIGE_SHV]),
        ({"module": "bestaatniet"}, []),
    ],
    ids=str,
)
async def test_participants_are_found_by_number_name_and_module(
    query: dict[str, str], found: list[Oin], here: Here
) -> None:
    answer = await here.json.get("/v1/deelnemers", **query)

    told = answer.json()
    assert sorted(entry["oin"] for entry in told["deelnemers"]) == sorted(found)
    assert told["aantal"] == len(found)


async def test_a_participant_is_told_without_its_certificates_and_address(here: Here) -> None:
    (entry,) = (await here.json.get("/v1/deelnemers", kvk=KVK)).json()["deelnemers"]

    assert entry == {
        "oin": SHV,
        "naam": "Gemeente Voorbeeldstad",
        "kvk": KVK,
        "vestigingen": ["000099001000"],
        "handelsnamen": ["Kredietbank Merelmeer"],
        "rollen": ["shv-fase-2"],
        "modules": sorted(here.gateway.services.line.directory().parties[SHV].modules),
    }


@pytest.mark.parametrize("query", [{"kvk": "1"}, {"naam": "x"}, {"module": "Crisis!"}], ids=str)
async def test_a_question_about_participants_that_is_none_is_refused(
    query: dict[str, str], here: Here
) -> None:
    answer = await here.json.get("/v1/deelnemers", **query)

    assert (answer.status_code, answer.json()["code"]) == (400, "VERZOEK_ONGELDIG")


async def test_the_keys_of_the_gateway_are_published_for_everybody(here: Here) -> None:
    answer = await here.reach.client.get(f"{here.reach.url}/v1/sleutels")

    keys = answer.json()["keys"]
    assert {key["alg"] for key in keys} == {"ES256", "PS256"}
    assert all(not {"d", "p", "q"} & key.keys() for key in keys)


async def test_the_status_page_counts_and_tells_no_content(here: Here) -> None:
    await here.post(here.signed(a_notice()))
    url = here.reach.url

    page = await here.reach.client.get(f"{url}/console")
    figures = await here.reach.client.get(f"{url}/console/stand.json")

    assert page.headers["content-type"].startswith("text/html")
    assert "Energie Voorbeeld B.V." in page.text
    assert figures.json()["accepted_today"] > 0
    personal = [canary for canary in CANARIES if canary in page.text + figures.text]
    assert set(personal) <= {"Merel"}  # a trade name here
    assert GATEWAY not in page.text
