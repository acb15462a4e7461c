"""By when an answer is due: days of Amsterdam, working days, months, and lengths that are data."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gateway.calendar import AMSTERDAM, Calendar
from gateway.errors import Fault
from gateway.routing.terms import (
    TERMIJNEN,
    Length,
    Unit,
    ends_at,
    local_day,
    read,
    reminders,
    tot_en_met,
)
from gateway.schemas import Catalogue

DUTCH = Calendar()
SHORTEST = timedelta(microseconds=1)


def at(text: str) -> datetime:
    """An instant from what a clock in Amsterdam says, unless an offset is given."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=AMSTERDAM).astimezone(UTC)


def last_day(length: str, available: str, calendar: Calendar = DUTCH) -> str:
    return tot_en_met(Length.read(length), at(available), calendar).isoformat()


def clock(instant: datetime) -> str:
    assert instant.tzinfo is UTC
    return instant.astimezone(AMSTERDAM).strftime("%Y-%m-%d %H:%M")


# lengths


@pytest.mark.parametrize(
    "text", ["1 WERKDAG", "10 WERKDAG", "90 KALENDERDAG", "4 MAAND", "1000 MAAND VERSCHUIFT"]
)
def test_a_length_reads_as_it_is_written(text: str) -> None:
    assert str(Length.read(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "WERKDAG",
        "10 WEEK",
        "10 werkdag",
        "10  WERKDAG",
        " 10 WERKDAG",
        "10 WERKDAG ",
        "10 MAAND ANDERS",
        "10 WERKDAG VERSCHUIFT",
        "10 MAAND VERSCHUIFT VERSCHUIFT",
        "0 WERKDAG",
        "-1 WERKDAG",
        "1.5 MAAND",
        "1001 WERKDAG",
        "99999999999999999999 WERKDAG",
        "\u0661 WERKDAG",
    ],
)
def test_a_length_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="term"):
        Length.read(text)


# the last day


def test_the_day_of_availability_does_not_count() -> None:
    assert last_day("1 WERKDAG", "2026-03-02T09:00") == "2026-03-03"
    assert last_day("1 KALENDERDAG", "2026-03-02T09:00") == "2026-03-03"
    assert last_day("10 WERKDAG", "2026-03-02T09:00") == "2026-03-16"
    assert last_day("15 WERKDAG", "2026-03-02T09:00") == "2026-03-23"


@pytest.mark.parametrize(
    ("available", "last"),
    [
        ("2026-03-02T23:59", "2026-03-16"),
        ("2026-03-03T00:01", "2026-03-17"),
        ("2026-03-02T22:59:59+00:00", "2026-03-16"),  # UTC is a day behind at midnight
        ("2026-03-02T23:00+00:00", "2026-03-17"),
        ("2026-07-01T21:59:59+00:00", "2026-07-15"),  # and two hours in summer
        ("2026-07-01T22:00+00:00", "2026-07-16"),
        ("2026-03-03T07:30+09:00", "2026-03-16"),
    ],
)
def test_the_day_is_that_of_amsterdam(available: str, last: str) -> None:
    assert last_day("10 WERKDAG", available) == last


@pytest.mark.parametrize(
    ("length", "available", "last"),
    [
        ("10 WERKDAG", "2026-03-28T12:00", "2026-04-14"),  # clock forward, and Easter
        ("10 WERKDAG", "2026-10-24T12:00", "2026-11-06"),  # clock back
        ("1 WERKDAG", "2027-03-25T12:00", "2027-03-30"),  # Goede Vrijdag to tweede paasdag
        ("10 WERKDAG", "2027-03-19T12:00", "2027-04-06"),
        ("10 WERKDAG", "2027-10-30T12:00", "2027-11-12"),
        ("10 WERKDAG", "2026-04-24T12:00", "2026-05-12"),  # Koningsdag and 5 May
        ("10 WERKDAG", "2025-04-25T12:00", "2025-05-12"),  # Koningsdag on a Saturday, 5 May
        ("1 WERKDAG", "2027-05-04T12:00", "2027-05-07"),  # 5 May, then Hemelvaartsdag
        ("1 WERKDAG", "2026-12-24T12:00", "2026-12-28"),
        ("10 WERKDAG", "2026-12-22T12:00", "2027-01-07"),
        ("1 WERKDAG", "2026-12-31T23:59", "2027-01-04"),
        ("5 WERKDAG", "2028-02-25T12:00", "2028-03-03"),  # a leap year
        ("5 WERKDAG", "2027-02-26T12:00", "2027-03-05"),
    ],
)
def test_working_days_step_over_weekends_and_holidays(
    length: str, available: str, last: str
) -> None:
    assert last_day(length, available) == last


@pytest.mark.parametrize(
    ("length", "available", "last"),
    [
        ("1 MAAND", "2026-01-31T12:00", "2026-02-28"),
        ("1 MAAND", "2028-01-31T12:00", "2028-02-29"),
        ("1 MAAND", "2026-02-28T12:00", "2026-03-28"),
        ("1 MAAND", "2028-02-29T12:00", "2028-03-29"),
        ("12 MAAND", "2028-02-29T12:00", "2029-02-28"),
        ("4 MAAND", "2026-10-31T12:00", "2027-02-28"),
        ("2 MAAND", "2026-10-31T12:00", "2026-12-31"),
        ("8 MAAND", "2026-05-15T12:00", "2027-01-15"),
        ("1 MAAND", "2026-12-31T23:59", "2027-01-31"),
        ("90 KALENDERDAG", "2026-12-31T12:00", "2027-03-31"),
        ("1 KALENDERDAG", "2028-02-28T12:00", "2028-02-29"),
        ("1 KALENDERDAG", "2026-03-28T23:59", "2026-03-29"),
    ],
)
def test_months_keep_the_day_number_or_end_with_the_month(
    length: str, available: str, last: str
) -> None:
    assert last_day(length, available) == last


@pytest.mark.parametrize(
    ("length", "available", "stays", "moves"),
    [
        ("1 MAAND", "2027-02-28T12:00", "2027-03-28", "2027-03-30"),  # Easter
        ("1 KALENDERDAG", "2026-03-06T12:00", "2026-03-07", "2026-03-09"),
        ("4 MAAND", "2026-01-05T12:00", "2026-05-05", "2026-05-06"),
        ("4 MAAND", "2026-01-06T12:00", "2026-05-06", "2026-05-06"),
    ],
)
def test_only_a_term_that_says_so_moves_to_the_next_working_day(
    length: str, available: str, stays: str, moves: str
) -> None:
    assert last_day(length, available) == stays
    assert last_day(f"{length} VERSCHUIFT", available) == moves


def test_the_dated_list_counts_for_terms() -> None:
    friday = Calendar(frozenset({date(2026, 5, 15)}))

    assert last_day("1 WERKDAG", "2026-05-13T12:00") == "2026-05-15"
    assert last_day("1 WERKDAG", "2026-05-13T12:00", friday) == "2026-05-18"
    assert last_day("2 KALENDERDAG VERSCHUIFT", "2026-05-13T12:00", friday) == "2026-05-18"


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_day(datetime(2026, 3, 2, 12))  # noqa: DTZ001 - the point of the test


# the end of the last day


@pytest.mark.parametrize(
    ("day", "end", "hours"),
    [
        ("2026-03-02", "2026-03-02T23:00+00:00", 24),
        ("2026-07-01", "2026-07-01T22:00+00:00", 24),
        ("2026-03-28", "2026-03-28T23:00+00:00", 24),
        ("2026-03-29", "2026-03-29T22:00+00:00", 23),
        ("2026-10-24", "2026-10-24T22:00+00:00", 24),
        ("2026-10-25", "2026-10-25T23:00+00:00", 25),
        ("2027-03-28", "2027-03-28T22:00+00:00", 23),
        ("2027-10-31", "2027-10-31T23:00+00:00", 25),
        ("2026-12-31", "2026-12-31T23:00+00:00", 24),
        ("2028-02-29", "2028-02-29T23:00+00:00", 24),
    ],
)
def test_a_day_ends_at_midnight_in_amsterdam(day: str, end: str, hours: int) -> None:
    given = date.fromisoformat(day)

    ends = ends_at(given)

    assert (ends, ends.tzinfo) == (at(end), UTC)
    assert local_day(ends - SHORTEST) == given
    assert local_day(ends) == given + timedelta(days=1)
    assert ends - ends_at(given - timedelta(days=1)) == timedelta(hours=hours)


# reminders


@pytest.mark.parametrize(
    ("length", "available", "half", "most"),
    [
        ("10 WERKDAG", "2026-03-02T15:00", "2026-03-09 09:00", "2026-03-12 09:00"),
        ("15 WERKDAG", "2026-03-02T15:00", "2026-03-12 09:00", "2026-03-18 09:00"),  # 7.5 is 8
        ("1 WERKDAG", "2026-03-06T23:59", "2026-03-09 09:00", "2026-03-09 09:00"),
        ("10 WERKDAG", "2026-03-25T12:00", "2026-04-01 09:00", "2026-04-08 09:00"),  # summer time
        ("4 MAAND", "2026-03-02T12:00", "2026-05-04 09:00", "2026-06-08 09:00"),
        ("1 MAAND", "2026-04-15T12:00", "2026-04-30 09:00", "2026-05-11 09:00"),
        ("1 KALENDERDAG", "2026-03-02T12:00", "2026-03-03 09:00", "2026-03-03 09:00"),
        # no working day is left, so the last one of the term
        ("5 KALENDERDAG", "2026-03-03T12:00", "2026-03-06 09:00", "2026-03-06 09:00"),
        # the term has no working day at all, so its last day
        ("2 KALENDERDAG", "2026-03-06T12:00", "2026-03-08 09:00", "2026-03-08 09:00"),
        # where it moves, so does what is part of it
        ("2 KALENDERDAG VERSCHUIFT", "2026-03-06T12:00", "2026-03-09 09:00", "2026-03-09 09:00"),
    ],
)
def test_reminders_come_on_working_mornings_at_half_and_at_four_fifths(
    length: str, available: str, half: str, most: str
) -> None:
    first, second = reminders(Length.read(length), at(available), DUTCH)

    assert (clock(first), clock(second)) == (half, most)


# the data


def test_the_lengths_of_this_gateway_are_those_of_the_field() -> None:
    book = read()

    def length(soort: str, convenant: str | None = None, module: str = "schuldregeling") -> str:
        return str(book.length(soort=soort, module=module, convenant=convenant))

    assert {length(kind) for kind in ("Saldoverzoek", "Betaalvoorstel", "Heroverweging")} == {
        "10 WERKDAG"
    }
    assert {
        length(kind, "RIJK") for kind in ("Saldoverzoek", "Betaalvoorstel", "Heroverweging")
    } == {"15 WERKDAG"}
    assert length("Navraag", "RIJK") == "10 WERKDAG"
    assert length("Saldoverzoek", "ZN") == "10 WERKDAG"
    assert length("Saldoverzoek", module="schuldinventarisatie") == "10 WERKDAG"
    assert length("Kennisgeving", "RIJK") == length("Kennisgeving") == "None"
    assert [book.pauze_maanden(each) for each in (None, "ZN", "RIJK")] == [4, 6, 8]
    assert (str(book.uncollected), str(book.geldigheid_saldo)) == ("5 WERKDAG", "90 KALENDERDAG")
    assert book.convenanten == {"COLLECTIEF", "RIJK", "ZN"}
    assert book.calendar == DUTCH
    assert book.voorstel(None) is book.voorstel("ZN") is None
    proposal = book.voorstel("RIJK")
    assert proposal is not None
    assert (str(proposal.length), str(proposal.hoogstens)) == ("4 MAAND", "8 MAAND")


def test_a_convenant_that_the_data_does_not_name_is_as_none(
    written: Callable[[str], Path],
) -> None:
    book = read(written(BOOK))

    assert book.length(soort="Navraag", module="crisis", convenant="X") == Length(10, Unit.WERKDAG)
    assert book.pauze_maanden("X") == 4


def test_every_kind_of_the_contract_has_a_term_or_says_that_it_has_none() -> None:
    book, kinds = read(), Catalogue.load().kinds
    newest = {kind.module: 0 for kind in kinds}
    for kind in kinds:
        newest[kind.module] = max(newest[kind.module], kind.major)
    names = {
        kind.name
        for kind in kinds
        if kind.module != "gateway" and kind.major == newest[kind.module]
    }

    timed = {row.soort for row in book.rows.values()}

    assert timed | book.zonder == names
    assert not timed & book.zonder


def test_every_row_says_who_says_so() -> None:
    book = read()

    sources = [row.bron for row in book.rows.values()]
    sources += [pauze.bron for pauze in book.pauzes.values()]
    examples = [row.bron for row in book.rows.values() if row.convenant is not None]

    assert all(sources)
    assert all("voorbeeldwaarde" in bron for bron in examples)
    assert all("voorbeeldwaarde" in each.bron for each in book.voorstellen.values())


BOOK = """
vrije_dagen = [2026-05-15]
geen_termijn = ["Kennisgeving"]
[[termijn]]
soorten = ["Navraag"]
lengte = "10 WERKDAG"
bron = "toets"
[[termijn]]
module = "vish"
lengte = "9 WERKDAG"
bron = "toets"
[[pauze]]
maanden = 4
bron = "toets"
[niet_opgehaald]
lengte = "5 WERKDAG"
bron = "toets"
[geldigheid_saldo]
lengte = "90 KALENDERDAG"
bron = "toets"
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file of terms."""

    def write(text: str) -> Path:
        path = tmp_path / "termijnen.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def row(lengte: str, more: str) -> str:
    return f'[[termijn]]\nlengte = "{lengte}"\nbron = "toets"\n{more}\n'


def test_the_most_specific_row_wins(written: Callable[[str], Path]) -> None:
    book = read(
        written(
            BOOK
            + row("1 WERKDAG", 'convenant = "C"\nmodule = "vish"\nsoorten = ["Navraag"]')
            + row("2 WERKDAG", 'convenant = "C"\nsoorten = ["Navraag"]')
            + row("3 MAAND", 'module = "crisis"\nsoorten = ["Navraag"]\nverschuift = true')
        )
    )

    def length(soort: str, module: str, convenant: str | None) -> str:
        return str(book.length(soort=soort, module=module, convenant=convenant))

    assert length("Navraag", "vish", "C") == "1 WERKDAG"
    assert length("Navraag", "crisis", "C") == "2 WERKDAG"
    assert length("Navraag", "crisis", None) == "3 MAAND VERSCHUIFT"
    assert length("Navraag", "vish", None) == "10 WERKDAG"
    assert length("Anders", "vish", "C") == "9 WERKDAG"
    assert length("Anders", "crisis", "C") == "None"
    assert length("Kennisgeving", "vish", None) == "None"
    assert not book.calendar.is_working_day(date(2026, 5, 15))


PAUZE = '[[pauze]]\nbron = "toets"\n'
VOORSTEL = '[[voorstel]]\nbron = "toets"\nconvenant = "C"\n'
SHORT = 'lengte = "4 MAAND"\nhoogstens = "8 MAAND"\n'


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (row("10 WEEK", 'soorten = ["A"]'), "termijn 3: lengte: the unit"),
        (row("0 WERKDAG", 'soorten = ["A"]'), "termijn 3: lengte: a term is 1"),
        (row("1 WERKDAG", 'soort = "A"'), "termijn 3: unknown are soort"),
        (row("1 WERKDAG", ""), "termijn 3: soorten must say"),
        (row("1 WERKDAG", 'convenant = "C"\nmodule = "vish"'), "termijn 3: soorten must say"),
        (row("1 WERKDAG", "soorten = []"), "termijn 3: soorten must name"),
        (row("1 WERKDAG", 'soorten = "A"'), "termijn 3: soorten must be a list"),
        (row("1 WERKDAG", "soorten = [1]"), "termijn 3: soorten must be a list"),
        (row("1 WERKDAG", 'soorten = ["Navraag"]'), "termijn 3: soorten: Navraag has"),
        (row("1 WERKDAG", 'module = "vish"'), "termijn 3: soorten: vish has"),
        (row("1 WERKDAG", 'soorten = ["Kennisgeving"]'), "termijn 3: .* geen_termijn too"),
        (row("1 WERKDAG", 'soorten = ["A"]\nmodule = ""'), "termijn 3: module must be"),
        (row("1 WERKDAG", 'soorten = ["A"]\nconvenant = 1'), "termijn 3: convenant must be"),
        (row("1 MAAND", 'soorten = ["A"]\nverschuift = 1'), "termijn 3: verschuift must"),
        (row("1 WERKDAG", 'soorten = ["A"]\nverschuift = true'), "termijn 3: lengte: .*working"),
        ('[[termijn]]\nlengte = "1 MAAND"\nsoorten = ["A"]', "termijn 3: bron must be"),
        ('[[termijn]]\nbron = "toets"\nsoorten = ["A"]', "termijn 3: lengte must be"),
        (PAUZE + "maanden = 4", "pauze 2: convenant: none has"),
        (PAUZE + 'convenant = "C"\nmaanden = 0', "pauze 2: maanden must"),
        (PAUZE + 'convenant = "C"\nmaanden = true', "pauze 2: maanden must"),
        (PAUZE + 'convenant = "C"', "pauze 2: maanden must"),
        (PAUZE + 'convenant = "C"\nmaanden = 4\ndagen = 4', "pauze 2: unknown are dagen"),
        (VOORSTEL + SHORT + VOORSTEL + SHORT, "voorstel 2: convenant: C has"),
        (VOORSTEL + 'lengte = "4 MAAND"', "voorstel 1: hoogstens must be"),
        (VOORSTEL + 'lengte = "4 MAAND"\nhoogstens = "3 MAAND"', "voorstel 1: hoogstens must"),
        (VOORSTEL + 'lengte = "4 MAAND"\nhoogstens = "9 WERKDAG"', "voorstel 1: hoogstens must"),
        ("[termijnen]\n", "the file: unknown are termijnen"),
        ("[voorstel]\n", r"voorstel must be rows, each under \[\[voorstel\]\]"),
        ("[[termijn]\n", "termijnen.toml cannot be read"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_key(
    more: str, says: str, written: Callable[[str], Path]
) -> None:
    with pytest.raises(Fault, match=f"termijnen: {says}"):
        read(written(BOOK + more))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[2026-05-15]", '["2026-05-15"]', "vrije_dagen"),
        ("[2026-05-15]", "[2026-05-15T00:00:00]", "vrije_dagen"),
        ("vrije_dagen = [2026-05-15]", "", "vrije_dagen"),
        ('geen_termijn = ["Kennisgeving"]', "", "geen_termijn"),
        ("maanden = 4", 'maanden = 4\nconvenant = "C"', "pauze: one row must be without"),
        ('[niet_opgehaald]\nlengte = "5 WERKDAG"\nbron = "toets"', "", "niet_opgehaald must"),
        ('lengte = "5 WERKDAG"', 'lengte = "5"', "niet_opgehaald: lengte"),
        ('lengte = "90 KALENDERDAG"', "dagen = 90", "geldigheid_saldo: unknown are dagen"),
        ('lengte = "90 KALENDERDAG"\nbron = "toets"', 'lengte = "1 MAAND"', "saldo: bron"),
    ],
)
def test_what_is_missing_or_wrong_elsewhere_is_named(
    old: str, new: str, says: str, written: Callable[[str], Path]
) -> None:
    assert old in BOOK

    with pytest.raises(Fault, match=says):
        read(written(BOOK.replace(old, new)))


def test_a_file_that_is_not_there_or_not_text_is_a_fault(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.toml"
    garbage.write_bytes(b"\xff\xfe")

    for path in (tmp_path / "none.toml", garbage):
        with pytest.raises(Fault, match=re.escape(path.name)):
            read(path)


def test_the_data_travels_with_the_package() -> None:
    assert TERMIJNEN.parent.name == "routing"
    assert TERMIJNEN.is_file()
