"""Bad input over real HTTP: what each gets, that it leaves no trace, and that no answer
repeats a word of it.

The rows are beside ``bad_messages``; what needs more than one request is below them here.
"""

from __future__ import annotations

import asyncio
import copy
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from lxml import etree

from fixtures.documents import example
from fixtures.parties import fresh, now
from fixtures.pki import Variant
from fixtures.world import INCASSO, MUNICIPALITY, OVERIGE_SHV, SE, SHV, Entry, the_usual
from gateway.adapters.rest_in.problem import LINGER_BYTES
from gateway.message import Json
from gateway.replies import instant
from tests.conftest import CANARIES, NewWorld
from tests.e2e.bad_content import SAID, UNKNOWN
from tests.e2e.bad_json import JSON_FORM, JSON_SIGNATURE
from tests.e2e.bad_messages import NAMESPACE, SALDO, Row, sign
from tests.e2e.bad_requests import REQUEST
from tests.e2e.bad_signers import CERTIFICATE, IDENTITY
from tests.e2e.bad_xml import XML_FORM, XML_SIGNATURE
from tests.e2e.here import NOTICE, Here, Sent, a_notice, reference_of, started, texts_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEBIBYTE = 1024 * 1024
LIMIT = 10 * MEBIBYTE
CPU_SECONDS = 4
"""What refusing one bomb may take of a slow core; unguarded it is far more."""
CHUNKED = "Transfer-Encoding: chunked"
IN_SOCKETS = 16 * MEBIBYTE
"""What the kernel may hold of a body that nobody reads."""

NEVER_SAID = frozenset(
    {*CANARIES, *texts_of(example(NOTICE)), *texts_of(example(SALDO)), "onderling"}
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def parties() -> list[Entry]:
    """The usual ones; the SHV also registered what it may not sign with.

    One that may send and receive all that the SHV and the creditor may is not connected to
    their module.
    """
    shv = Entry(
        SHV,
        "Gemeente Voorbeeldstad",
        "shv-fase-2",
        variants=(
            Variant.GOOD,
            Variant.EXPIRED,
            Variant.NOT_YET_VALID,
            Variant.NOT_FOR_SIGNING,
        ),
    )
    unconnected = Entry(OVERIGE_SHV, "Gemeente Voorbeelddam", MUNICIPALITY, modules=("vish",))
    return the_usual(shv=shv, overige_shv=unconnected)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """One gateway for all rows: what is refused leaves it as it was."""
    async with started(new_world(tmp_path_factory.mktemp("bad-input"), parties())) as here:
        yield here


def problem_of(answer: httpx.Response) -> Json:
    """The problem document of an answer, whole and without a word of the message."""
    problem: Json = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["type"].endswith(f":{problem['code']}")
    assert problem["title"]
    assert problem["detail"]
    said = answer.text + repr(list(answer.headers.values()))
    assert [word for word in NEVER_SAID if word in said] == []
    assert UUID.search(said) is None
    return problem


@pytest.mark.parametrize(
    "row",
    [
        *(pytest.param(row, id=f"request: {row.name}") for row in REQUEST),
        *(pytest.param(row, id=f"XML form: {row.name}") for row in XML_FORM),
        *(pytest.param(row, id=f"XML signature: {row.name}") for row in XML_SIGNATURE),
        *(pytest.param(row, id=f"JSON form: {row.name}") for row in JSON_FORM),
        *(pytest.param(row, id=f"JSON signature: {row.name}") for row in JSON_SIGNATURE),
        *(pytest.param(row, id=f"certificate: {row.name}") for row in CERTIFICATE),
        *(pytest.param(row, id=f"identity: {row.name}") for row in IDENTITY),
        *(pytest.param(row, id=f"contract: {row.name}") for row in UNKNOWN),
        *(pytest.param(row, id=f"content: {row.name}") for row in SAID),
    ],
)
async def test_bad_input_is_refused_with_its_code_and_leaves_no_trace(row: Row, here: Here) -> None:
    kept, noted = here.kept(), await here.refusals()

    answer = await here.post(row.make(here))

    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (row.status, row.code)
    if row.rule is not None:
        assert problem["errors"][0]["rule"] == row.rule
    assert here.kept() == kept
    added = (await here.refusals())[len(noted) :]
    assert [(each.code, each.party, each.times) for each in added] == [(row.code, row.party, 1)]


# Too large


@pytest.mark.parametrize(
    "length", [f"Content-Length: {21 * MEBIBYTE}", CHUNKED], ids=["declared", "chunked"]
)
async def test_a_body_of_21_mebibytes_is_refused_while_it_comes_in(length: str, here: Here) -> None:
    kept = here.kept()

    with grown() as memory:
        answer, _ = await poured(here, 21 * MEBIBYTE, length)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "TE_GROOT"' in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert memory() < 4 * LIMIT
    assert here.kept() == kept


async def test_the_sender_of_too_large_a_body_hears_why(here: Here) -> None:
    answer = await here.post(here.as_xml(b" " * 21 * MEBIBYTE))

    assert problem_of(answer)["code"] == "TE_GROOT"


async def test_a_body_without_an_end_is_kept_up_to_the_limit_and_soon_cut_off(here: Here) -> None:
    with grown() as memory:
        answer, written = await poured(here, 200 * MEBIBYTE, CHUNKED)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert written <= LIMIT + LINGER_BYTES + IN_SOCKETS
    assert memory() < 4 * LIMIT


async def test_a_body_as_large_as_the_limit_is_read(here: Here) -> None:
    body = b"<a>" + b" " * (LIMIT - 7) + b"</a>"

    answer = await here.post(here.as_xml(body))

    assert len(body) == LIMIT
    assert problem_of(answer)["code"] == "XML_ONGELDIG"


async def poured(here: Here, size: int, length: str) -> tuple[bytes, int]:
    """Send so many bytes until the gateway hangs up; gives its answer and what was sent."""
    settings = here.world.settings
    reader, writer = await asyncio.open_connection(settings.host, settings.port)
    head = ("POST /v1/berichten HTTP/1.1", "Host: gateway", "Content-Type: application/xml", length)
    writer.write("\r\n".join((*head, "", "")).encode())
    answer = asyncio.create_task(everything_from(reader))
    part = b" " * (256 * 1024)
    written = 0
    with suppress(ConnectionError):
        while written < size and not answer.done():
            writer.write(b"%x\r\n%b\r\n" % (len(part), part) if length == CHUNKED else part)
            await writer.drain()
            written += len(part)
    writer.close()
    return await answer, written


async def everything_from(reader: asyncio.StreamReader) -> bytes:
    """What is said until the connection ends, however it ends."""
    said = b""
    with suppress(ConnectionError):
        while part := await reader.read(64 * 1024):
            said += part
    return said


@contextmanager
def grown() -> Iterator[Callable[[], int]]:
    """How many bytes of memory this process needed at most, more than it had before."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        yield lambda: 0
        return
    reset.write_text("5", encoding="ascii")  # the high-water mark starts again from here

    def peak() -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        return int(found[1]) * 1024 if found else 0

    before = peak()
    yield lambda: peak() - before


# Bombs


def many_declarations(_: Here) -> bytes:
    """130 kB of declarations of long names, each to be repeated by canonicalisation."""
    names = "".join(f' xmlns:n{i}="urn:{"x" * 4000}{i}"' for i in range(32))
    used = "".join(f"<n{i % 32}:a/>" for i in range(2_000))
    return f'<a xmlns="{NAMESPACE.decode()}"{names}>{used}</a>'.encode()


def many_namespaces(_: Here) -> bytes:
    """Ever another namespace, one in the other."""
    return b"".join(b'<a xmlns="urn:zonderling:%d">' % i for i in range(20_000))


def many_attributes(_: Here) -> bytes:
    """One element, and attributes that must all be compared with each other."""
    return b"<a " + b" ".join(b'a%d="x"' % i for i in range(200_000)) + b"/>"


def many_members(here: Here) -> bytes:
    """As many names as fit, in one object."""
    return b"{" + b",".join(b'"a%d":{}' % i for i in range(150_000)) + b"}"


def at_every_limit(here: Here) -> bytes:
    """All that the parser lets pass, signed by a party: 14 long names, used 40,000 times."""
    long = b"urn:nld:schuldhulp-gateway:" + b"x" * 65
    names = b"".join(b' xmlns:n%d="%b%d:v1"' % (i, long, i) for i in range(14))
    used = b"".join(b"<n%d:a/>" % (i % 14) for i in range(40_000))
    told = etree.tostring(here.tree(a_notice()))
    bomb = told.replace(b"<Klant>", b"<Klant>" + used, 1).replace(b">", names + b">", 1)
    signed: bytes = etree.tostring(sign(here, etree.fromstring(bomb)), encoding="UTF-8")
    return signed


@pytest.mark.parametrize(
    ("bomb", "code"),
    [
        pytest.param(many_declarations, "XML_ONGELDIG", id="namespaces that are long"),
        pytest.param(many_namespaces, "XML_ONGELDIG", id="namespaces that are many"),
        pytest.param(many_attributes, "XML_ONGELDIG", id="attributes"),
        pytest.param(at_every_limit, "SCHEMA_ONGELDIG", id="signed, at every limit"),
    ],
)
async def test_an_xml_bomb_costs_seconds_at_most_and_little_memory(
    bomb: Callable[[Here], bytes], code: str, here: Here
) -> None:
    body = bomb(here)

    with grown() as memory:
        began = time.process_time()
        answer = await here.post(here.as_xml(body))
        spent = time.process_time() - began

    assert problem_of(answer)["code"] == code
    assert spent < CPU_SECONDS, spent
    assert memory() < 100 * MEBIBYTE


async def test_a_json_bomb_costs_seconds_at_most_and_little_memory(here: Here) -> None:
    sent = here.as_json(many_members(here))
    await here.json.authorization()

    with grown() as memory:
        began = time.process_time()
        answer = await here.post(sent)
        spent = time.process_time() - began

    assert problem_of(answer)["code"] == "JSON_ONGELDIG"
    assert spent < CPU_SECONDS, spent
    assert memory() < 200 * MEBIBYTE


# All findings at once


WRONG: Json = {
    "klant": {"geboortedatum": "gisteren", "geslacht": "X"},
    "adreskeuze": {"binnenlands": {"postcode": "12 34AB", "huisnummer": 0}},
    "aanmelddatum": None,
}


async def test_schema_violations_in_xml_come_all_at_once_with_line_and_path(here: Here) -> None:
    tree = here.tree(a_notice())
    notice = etree.tostring(tree, pretty_print=True)
    wrong = (
        notice.replace(b">1985-03-07<", b">gisteren<")
        .replace(b">1234AB<", b">12 34AB<", 1)
        .replace(b"<Email>", b"<Zonderling/><Email>", 1)
    )
    line = {
        name: wrong[: wrong.index(name)].count(b"\n") + 1
        for name in (b"<Zonderling/>", b"gisteren", b"12 34AB")
    }

    signed = etree.tostring(sign(here, etree.fromstring(wrong)), encoding="UTF-8")
    answer = await here.post(here.as_xml(signed))

    problem = problem_of(answer)
    assert problem["code"] == "SCHEMA_ONGELDIG"
    assert problem["errors"] == [
        {
            "rule": "patroon",
            "path": "/KennisgevingPubliek/Klant/Geboortedatum",
            "line": line[b"gisteren"],
        },
        {
            "rule": "lengte",
            "path": "/KennisgevingPubliek/Adreskeuze/Binnenlands/Postcode",
            "line": line[b"12 34AB"],
        },
        {
            "rule": "onbekend-element",
            "path": "/KennisgevingPubliek/Contactpersoon/*[3]",
            "line": line[b"<Zonderling/>"],
        },
    ]


async def test_schema_violations_in_json_come_all_at_once_with_a_pointer(here: Here) -> None:
    answer = await here.post(here.written(a_notice(WRONG)))

    problem = problem_of(answer)
    assert problem["code"] == "SCHEMA_ONGELDIG"
    assert all("line" not in each for each in problem["errors"])
    assert {each["path"] for each in problem["errors"]} == {
        "/kennisgevingPubliek/klant/geboortedatum",
        "/kennisgevingPubliek/klant/geslacht",
        "/kennisgevingPubliek/adreskeuze/binnenlands/postcode",
        "/kennisgevingPubliek/adreskeuze/binnenlands/huisnummer",
        "/kennisgevingPubliek/aanmelddatum",
    }


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_of_many_violations_the_first_hundred_are_told(form: str, here: Here) -> None:
    wrong = {"vorderingen": [{"factuurnummerSeVolgensShv": "x" * 500}] * 150}
    made = a_notice(wrong)

    answer = await here.post(here.signed(made) if form == "xml" else here.written(made))

    problem = problem_of(answer)
    assert problem["code"] == "SCHEMA_ONGELDIG"
    assert len(problem["errors"]) == 100


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_broken_rules_come_all_at_once(form: str, here: Here) -> None:
    good = a_notice(which=SALDO, sender=SHV)
    claims = good["saldoverzoekAntwoord"]["vorderingen"]
    claims[0]["openstaand"]["betaaldInCenten"] = -5000
    claims[0]["openstaand"]["betaalgegevens"]["iban"] = "NL60VRBD0300065264"
    claims[1]["openstaand"]["saldoInCenten"] = -1

    answer = await here.post(here.signed(good, SALDO) if form == "xml" else here.written(good))

    problem = problem_of(answer)
    assert problem["code"] == "REGEL_GESCHONDEN"
    assert sorted(each["rule"] for each in problem["errors"]) == [
        "BEDRAG_NEGATIEF",
        "BEDRAG_NEGATIEF",
        "IBAN_CONTROLEGETAL",
    ]


# The same number again


async def test_the_same_number_with_other_content_is_a_conflict(here: Here) -> None:
    made = a_notice()
    other = a_notice({"klant": {"voornamen": "Wilhelmina"}}, reference=reference_of(made))
    other["kennisgevingPubliek"]["stuurgegevens"] |= {
        "conversatieReferentienummer": made["kennisgevingPubliek"]["stuurgegevens"][
            "conversatieReferentienummer"
        ]
    }
    first = await here.post(here.signed(made))
    kept, noted = here.kept(), await here.refusals()

    answer = await here.post(here.signed(other))

    assert first.status_code == 202
    assert answer.status_code == 409
    assert problem_of(answer)["code"] == "BERICHT_CONFLICT"
    assert here.kept() == kept
    assert [row.code for row in (await here.refusals())[len(noted) :]] == ["BERICHT_CONFLICT"]


async def test_a_conflict_is_noted_with_its_sender_and_number(here: Here) -> None:
    made = a_notice()
    other = a_notice({"klant": {"voornamen": "Wilhelmina"}}, reference=reference_of(made))
    await here.post(here.signed(made))
    noted = await here.refusals()

    await here.post(here.written(other))

    (row,) = (await here.refusals())[len(noted) :]
    assert (row.party, row.referentienummer) == (SHV, reference_of(made))


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_the_same_number_in_upper_case_is_the_same_message(form: str, here: Here) -> None:
    made = a_notice()
    shouted = copy.deepcopy(made)
    head = shouted["kennisgevingPubliek"]["stuurgegevens"]
    head["referentienummer"] = head["referentienummer"].upper()
    send = here.signed if form == "xml" else here.written
    first = await here.post(send(made))

    again = await here.post(send(shouted))

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.content == first.content
    assert again.headers["location"] == f"/v1/berichten/{reference_of(made)}"


@pytest.mark.parametrize(
    "doors", [("xml", "json"), ("json", "xml"), ("xml", "xml"), ("json", "json")], ids="-".join
)
async def test_a_repeat_gets_the_first_receipt_by_whichever_door(
    doors: tuple[str, str], here: Here
) -> None:
    made = a_notice()
    later = copy.deepcopy(made)
    later["kennisgevingPubliek"]["stuurgegevens"]["tijdstip"] = instant(now())
    sent = {"xml": here.signed, "json": here.written}
    first = await here.post(in_json(sent[doors[0]](made)))
    kept = here.kept()

    again = await here.post(in_json(sent[doors[1]](later)))

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.content == first.content
    assert here.kept() == kept


def in_json(sent: Sent) -> Sent:
    """The same request, to be answered in JSON."""
    return replace(sent, headers=[*sent.headers, ("Accept", "application/json")])


async def test_a_refused_message_has_not_used_its_number(here: Here) -> None:
    good = a_notice()
    bad = copy.deepcopy(good)
    bad["kennisgevingPubliek"]["klant"]["bsn"] = "999990018"
    refused = await here.post(here.written(bad))

    answer = await here.post(here.written(good))

    assert (refused.status_code, answer.status_code) == (400, 202)


# What belongs to another


async def test_what_belongs_to_another_looks_as_if_it_does_not_exist(here: Here) -> None:
    made = a_notice()
    await here.post(here.signed(made))
    creditor, stranger = here.party(SE), here.party(INCASSO)
    (mine,) = [
        each for each in await creditor.collect() if reference_of(made) in (each.get("xml") or "")
    ]
    delivery = mine["afleverId"]

    answers = [
        (await stranger.get(f"/v1/berichten/{reference_of(made)}"), f"/v1/berichten/{fresh()}"),
        (await stranger.get(f"/v1/postbus/{delivery}"), f"/v1/postbus/{fresh()}"),
    ]
    confirmed = await stranger.post(f"/v1/postbus/{delivery}/bevestiging")
    unknown = await stranger.post(f"/v1/postbus/{fresh()}/bevestiging")
    in_bulk = await stranger.confirm(delivery, absent := fresh())

    for answer, elsewhere in answers:
        nothing = await stranger.get(elsewhere)
        assert problem_of(answer)["code"] == "NIET_GEVONDEN"
        assert (answer.status_code, answer.content) == (nothing.status_code, nothing.content)
    assert (confirmed.status_code, confirmed.content) == (404, unknown.content)
    assert in_bulk == {delivery: "onbekend", absent: "onbekend"}
    assert (await creditor.get(f"/v1/berichten/{reference_of(made)}")).json()["status"] == (
        "aangeboden"
    )


async def test_nothing_of_a_refused_message_is_on_the_disk(
    tmp_path: Path, new_world: NewWorld
) -> None:
    async with started(new_world(tmp_path, parties())) as here:
        for row in SAID:  # those that got furthest
            await here.post(row.make(here))
        noted = await here.refusals()

    kept = everything_in(tmp_path)
    assert len(noted) == len(SAID)
    assert [word for word in CANARIES if word.encode() in kept] == []


def everything_in(folder: Path) -> bytes:
    """The bytes of every file: the ledger, its journal, whatever else was left there."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
