"""A statement can be checked by anybody, and shows when it was overtaken.

That the pages are PDF/A is checked here by what the standard asks of a file as a whole:
metadata, output intent, embedded fonts, no encryption, the attachment. That each object in it
is right takes a validator such as veraPDF, which is not part of this suite.
"""

from __future__ import annotations

import copy
import re
import subprocess
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from fixtures.documents import example
from gateway.adapters.exhibit_files import attached, judged, read, seal_judge
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.published_keys import verifier
from gateway.adapters.signatures import Seal
from gateway.adapters.verklaring_pdf import ATTACHMENT, as_pdf, verklaring
from gateway.audit import Flaw, Sort
from gateway.exhibits import Judged
from gateway.message import Json, Oin, as_bytes
from gateway.replies import AFLEVERING, VERKLARING_GEEN_REACTIE
from gateway.schemas import Catalogue
from gateway.verklaring import (
    Accepted,
    Overtaken,
    held_against,
    statement_of,
    written,
    written_day,
)
from tests.required import required

DOCUMENT = example(VERKLARING_GEEN_REACTIE)
STATED = statement_of(DOCUMENT)
HOUR = timedelta(hours=1)
LATE = Accepted(
    referentienummer="a8891296-e8d2-4c5e-8c1b-0c25149f33cf",
    conversatie=STATED.conversatie,
    afzender=STATED.gevraagde,
    ontvanger=STATED.vrager,
    soort="SaldoverzoekAntwoord",
    op=STATED.until + HOUR,
    cross=STATED.question,
)

catalogue = Catalogue.load()


def not_reachable() -> Json:
    document = copy.deepcopy(DOCUMENT)
    told = document["verklaringGeenReactie"]
    for name in ("beschikbaarOp", "opgehaaldOp", "bevestigdOp", "herinneringen"):
        del told[name]
    told |= {"soort": "NIET_BEREIKBAAR", "code": "NIET_BESCHIKBAAR_GEWEEST"}
    return document


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> GatewayKeys:
    return GatewayKeys.create(tmp_path_factory.mktemp("sleutels"), Oin("00000099000000009000"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> GatewayKeys:
    return GatewayKeys.create(tmp_path_factory.mktemp("vreemd"), Oin("00000099000000009000"))


@pytest.fixture(scope="module")
def issued(keys: GatewayKeys) -> tuple[bytes, bytes]:
    return verklaring(DOCUMENT, keys, catalogue)


def check(content: bytes, keys: GatewayKeys) -> Judged:
    published = keys.published()
    exhibit = read("verklaring", content, catalogue)
    return judged(exhibit, verifier(published), seal_judge(published), catalogue)


def sorts(found: Judged) -> list[Sort]:
    return [flaw.sort for flaw in found.flaws]


# who signed it, and what it says


@pytest.mark.parametrize("form", [0, 1], ids=["xml", "pdf"])
def test_a_statement_is_checked_with_nothing_but_the_published_keys(
    issued: tuple[bytes, bytes], keys: GatewayKeys, form: int
) -> None:
    found = check(issued[form], keys)

    assert (found.flaws, found.remarks) == ([], [])
    assert found.statements == [STATED]
    assert "GEEN_REACTIE op Saldoverzoek e6120ff0" in found.proven[0]
    assert "tot en met woensdag 15 april 2026" in found.proven[0]
    assert "tot donderdag 16 april 2026 om 11.12 uur" in found.proven[0]


def test_keys_that_were_renewed_still_check_what_the_older_ones_signed(
    issued: tuple[bytes, bytes], tmp_path: Path
) -> None:
    GatewayKeys.create(tmp_path, Oin("00000099000000009000"))
    older = verklaring(DOCUMENT, GatewayKeys.load(tmp_path), catalogue)

    assert check(older[0], GatewayKeys.renew(tmp_path)).flaws == []


def test_a_statement_that_another_signed_is_not_believed(
    issued: tuple[bytes, bytes], stranger: GatewayKeys
) -> None:
    for content in issued:
        found = check(content, stranger)

        assert sorts(found) == [Sort.KEY]
        assert (found.proven, found.statements) == ([], [])


@pytest.mark.parametrize("form", [0, 1], ids=["xml", "pdf"])
def test_a_changed_statement_is_not_believed(
    issued: tuple[bytes, bytes], keys: GatewayKeys, form: int
) -> None:
    found = check(issued[form].replace(b">GEEN_REACTIE<", b">NIET_BEREIKBAAR<"), keys)

    assert sorts(found) == [Sort.SIGNATURE]
    assert (found.proven, found.statements) == ([], [])


def test_a_statement_without_a_signature_says_where_to_get_one_with(keys: GatewayKeys) -> None:
    bare = etree.tostring(catalogue.to_xml(VERKLARING_GEEN_REACTIE, DOCUMENT))

    for content in (bare, as_bytes(DOCUMENT)):
        [flaw] = check(content, keys).flaws
        assert flaw.sort is Sort.UNSIGNED
        assert "haal de verklaring op" in str(flaw)


def test_a_statement_as_it_was_delivered_counts_too(keys: GatewayKeys) -> None:
    document = example(AFLEVERING)
    told = document["aflevering"]
    told |= {"module": "gateway", "soort": "VerklaringGeenReactie", "versie": "1.0"}
    told["bericht"] = DOCUMENT

    found = check(Seal(keys).xml(catalogue.to_xml(AFLEVERING, document)), keys)

    assert (found.flaws, found.statements) == ([], [STATED])


def test_changed_pages_around_a_good_statement_are_noticed(
    issued: tuple[bytes, bytes], keys: GatewayKeys
) -> None:
    pages = issued[1]
    other = as_pdf(not_reachable(), issued[0])

    for content in (
        other,
        pages.replace(b">Verklaring: geen", b">Verklaring: wel"),
    ):
        found = check(content, keys)
        assert content != pages
        assert found.flaws == []
        assert "niet nagegaan" in found.remarks[0]


def test_an_attachment_that_another_program_compressed_is_found(
    issued: tuple[bytes, bytes], keys: GatewayKeys
) -> None:
    signed, pages = issued
    smaller = zlib.compress(signed)
    at = pages.index(b"/EmbeddedFile\n")
    begin = pages.index(b"stream\n", at) + len(b"stream\n")
    head = pages[at:begin].replace(b"/EmbeddedFile\n", b"/EmbeddedFile\n/Filter /FlateDecode\n")

    again = pages[:at] + head + smaller + pages[begin + len(signed) :]

    assert attached(again) == signed
    assert check(again, keys).flaws == []


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.7\n%%EOF\n",
        b"%PDF-1.7\n<</Type /EmbeddedFile>>\nstream\n",
        b"%PDF-1.7\n1 0 obj <</Type /EmbeddedFile>>\nstream\n<a>\nendstream",
        b"%PDF-1.7\n1 0 obj <</Type /EmbeddedFile /Filter /FlateDecode>>\nstream\nx\nendstream",
        b"%PDF-1.7\n1 0 obj <</Type /EmbeddedFile /Filter /FlateDecode>>\nstream\n"
        + zlib.compress(b"<" * 2_000_000)
        + b"\nendstream",
    ],
    ids=["none", "no-end", "no-xml", "garbage", "bomb"],
)
def test_a_pdf_that_is_no_statement_is_unreadable(content: bytes, keys: GatewayKeys) -> None:
    assert sorts(check(content, keys)) == [Sort.UNREADABLE]


# overtaken


def against(answer: Accepted) -> list[Overtaken | Flaw]:
    return list(held_against([STATED], [answer]))


def test_an_answer_that_came_later_overtakes_a_statement() -> None:
    [found] = against(LATE)

    assert isinstance(found, Overtaken)
    assert found.certain
    assert found.as_json()["antwoord"] == LATE.referentienummer
    assert "op donderdag 16 april 2026 om 12.12 uur is alsnog een SaldoverzoekAntwoord" in str(
        found
    )


def test_an_answer_that_was_there_already_belies_a_statement() -> None:
    [found] = against(replace(LATE, op=STATED.until))

    assert isinstance(found, Flaw)
    assert found.sort is Sort.BELIED


def test_a_receipt_of_an_answer_without_the_answer_itself_says_that_it_is_not_certain() -> None:
    [found] = against(replace(LATE, cross=None))

    assert isinstance(found, Overtaken)
    assert not found.certain
    assert "--origineel" in str(found)


@pytest.mark.parametrize(
    "other",
    [
        {"conversatie": "another"},
        {"ontvanger": "another"},
        {"cross": "another"},
        {"cross": ""},
        {"soort": "Navraag"},
        {"cross": None, "afzender": "another"},
        {"cross": None, "soort": "Navraag"},
        {"cross": None, "soort": "BetaalvoorstelAntwoord"},
        {"cross": None, "op": STATED.until - HOUR},
    ],
    ids=str,
)
def test_what_is_no_answer_to_the_question_overtakes_nothing(other: dict[str, Any]) -> None:
    assert against(replace(LATE, **other)) == []


@pytest.mark.parametrize("soort", ["SaldoverzoekAntwoordVoorafAkkoord", "GeenMedewerking"])
def test_every_kind_that_answers_a_question_overtakes(soort: str) -> None:
    assert len(against(replace(LATE, cross=None, soort=soort))) == 1


def test_a_delivered_answer_beside_the_statement_overtakes_it(keys: GatewayKeys) -> None:
    document = example(AFLEVERING)
    told = document["aflevering"]
    told |= {
        "conversatieReferentienummer": STATED.conversatie,
        "afzender": STATED.gevraagde,
        "ontvanger": STATED.vrager,
        "ontvangenOp": "2026-04-20T10:00:00.000Z",
    }
    [answer] = told["bericht"].values()
    answer["stuurgegevens"]["crossReferentienummer"] = STATED.question

    found = check(Seal(keys).xml(catalogue.to_xml(AFLEVERING, document)), keys)

    assert found.flaws == []
    [overtaken] = held_against([STATED], found.accepted)
    assert isinstance(overtaken, Overtaken)
    assert overtaken.certain


# dates as people write them

SUNDAY = "zondag 25 oktober 2026 om 02.30 uur"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "vrijdag 1 januari 2027 om 00.30 uur"),
        (datetime(2026, 7, 1, 7, 5, tzinfo=UTC), "woensdag 1 juli 2026 om 09.05 uur"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), f"{SUNDAY} (zomertijd)"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), f"{SUNDAY} (wintertijd)"),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "zondag 29 maart 2026 om 03.30 uur"),
    ],
)  # fmt: skip
def test_an_instant_is_written_in_dutch_time(moment: datetime, text: str) -> None:
    assert written(moment) == text


def test_a_day_is_written_out() -> None:
    assert written_day(date(2028, 2, 29)) == "dinsdag 29 februari 2028"


# pages


@pytest.mark.parametrize("document", [DOCUMENT, not_reachable()], ids=["silent", "unreachable"])
def test_the_pages_are_fit_to_be_kept(document: Json, keys: GatewayKeys) -> None:
    signed, pages = verklaring(document, keys, catalogue)

    for must in (
        b"<pdfaid:part>3</pdfaid:part><pdfaid:conformance>U</pdfaid:conformance>",
        b"/GTS_PDFA1",
        b"/DestOutputProfile",
        b"/AFRelationship /Source",
        b"/Lang (nl-NL)",
        b"/ID [<",
        f"({ATTACHMENT})".encode(),
    ):
        assert must in pages, must
    for may_not in (b"/Encrypt", b"/JavaScript", b"/Type1", b"/Launch"):
        assert may_not not in pages, may_not
    fonts = pages.count(b"/Type /FontDescriptor")
    assert fonts == len(re.findall(rb"/FontFile2 \d", pages)) == 2
    assert attached(pages) == signed


def test_the_same_statement_gives_the_same_bytes(
    issued: tuple[bytes, bytes], keys: GatewayKeys
) -> None:
    assert verklaring(DOCUMENT, keys, catalogue) == issued


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (DOCUMENT, ("Verklaring: geen reactie", "dinsdag 31 maart 2026 om 16.11 uur")),
        (not_reachable(), ("Verklaring: niet bereikbaar", "nooit, tot het moment")),
    ],
    ids=["silent", "unreachable"],
)
def test_the_page_says_it_in_plain_dutch_on_one_sheet(
    document: Json, said: tuple[str, ...], keys: GatewayKeys, tmp_path: Path
) -> None:
    required("pdftotext")
    file = tmp_path / "verklaring.pdf"
    file.write_bytes(verklaring(document, keys, catalogue)[1])

    text = subprocess.run(
        ["pdftotext", "-layout", file, "-"], capture_output=True, text=True, check=True
    ).stdout

    always = ("Stilte is geen instemming", "artikel 287a", "blad 1 van 1", STATED.question)
    for words in (*said, *always, "gateway bewijs controleer verklaring.pdf"):
        assert words in text
