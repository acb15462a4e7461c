"""The file of the directory: rights, mergers and agreements, and what contradicts itself."""

from __future__ import annotations

import json
from datetime import date

import pytest

from gateway.adapters.register import DirectoryInvalid, difference, directory_of, text_of
from gateway.message import Oin
from gateway.routing.directory import EMPTY, BsnRight, Directory, Succession, successor

A, B, C, D = (Oin(f"0000009900000000{number}000") for number in range(1, 5))
DAY = date(2026, 11, 22)


def a_party(oin: Oin, more: str = "") -> str:
    return (
        f'[[partij]]\noin = "{oin}"\nnaam = "Voorbeeld"\nrollen = ["schuldeiser"]\n'
        f'modules = ["schuldregeling"]\n{more}\n'
    )


def a_merger(van: Oin, naar: Oin, op: str = "2026-01-01") -> str:
    return f'[[opvolging]]\nvan = "{van}"\nnaar = "{naar}"\nop = {op}\n'


def a_right(oin: Oin, more: str = "") -> str:
    return (
        f'[[bsn_recht]]\nontvanger = "{oin}"\nmodule = "schuldregeling"\ngrond = "WGS"\n'
        f"van = 2026-01-01\n{more}\n"
    )


def text(*tables: str) -> str:
    return text_of("\n".join(tables), read_file=lambda _: "", production=False)


def read(*tables: str) -> Directory:
    return directory_of(1, text(*tables))


def problems(*tables: str) -> str:
    with pytest.raises(DirectoryInvalid) as invalid:
        text(*tables)
    return str(invalid.value)


# Keys


def test_a_party_says_its_agreement_and_whether_its_status_may_be_told() -> None:
    told = read(
        a_party(A, 'convenant = "RIJK"\nstatusverzoek_toegestaan = true'), a_party(B)
    ).parties

    assert (told[A].convenant, told[A].statusverzoek_toegestaan) == ("RIJK", True)
    assert (told[B].convenant, told[B].statusverzoek_toegestaan) == (None, False)


def test_a_bsn_right_is_read_whole() -> None:
    more = f'namens = "{B}"\ntot_en_met = 2026-12-31\npartner = true'

    told = read(a_party(A), a_right(A, more))

    assert told.bsn_rights == (
        BsnRight(A, B, "schuldregeling", "WGS", date(2026, 1, 1), date(2026, 12, 31), partner=True),
    )
    assert told.bsn_rights_of(A, B, "schuldregeling", date(2026, 12, 31))
    assert not told.bsn_rights_of(A, None, "schuldregeling", date(2026, 12, 31))


def test_a_directory_from_before_these_tables_is_still_read() -> None:
    old = json.loads(text(a_party(A)))
    for table in ("bsn_recht", "opvolging"):
        del old[table]
    for key in ("convenant", "statusverzoek_toegestaan"):
        del old["partij"][0][key]

    told = directory_of(1, json.dumps(old))

    assert set(told.parties) == {A}
    assert (told.bsn_rights, told.successions) == ((), ())
    assert difference(json.dumps(old), text(a_party(A)))


def test_changed_rights_are_part_of_the_difference() -> None:
    before = text(a_party(A), a_party(B))
    after = text(a_party(A), a_party(B), a_right(A), a_merger(B, A))

    rows = difference(before, after)

    assert [what for _, what, _ in rows] == ["bsn-rechten", "opvolgingen"]


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ([a_right(B)], "bsn_recht nr 1: ontvanger is no partij"),
        ([a_right(A, "tot_en_met = 2025-12-31")], "tot_en_met lies before van"),
        ([a_right(A).replace("WGS", "wet op")], "bsn_recht nr 1: grond"),
        ([a_right(A).replace("grond", "reden")], "bsn_recht nr 1: grond: Field required"),
        ([a_merger(B, C)], "opvolging nr 1: naar is no partij"),
    ],
)
def test_a_right_or_a_merger_that_cannot_be_is_refused(tables: list[str], problem: str) -> None:
    assert problem in problems(a_party(A), *tables)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (a_party(A).replace(f'"{A}"', f'["{A}"]'), "oin"),
        (a_right(A).replace(f'"{A}"', f'["{A}"]'), "ontvanger"),
        (
            a_right(A)
            .replace("bsn_recht", "machtiging")
            .replace(f'ontvanger = "{A}"', f'houder = ["{A}"]'),
            "houder",
        ),
        (a_merger(A, B).replace(f'"{A}"', f'["{A}"]'), "van"),
        (a_merger(A, B).replace(f'"{B}"', f'{{een = "{B}"}}'), "naar"),
    ],
)
def test_a_number_that_is_no_text_is_refused_by_name(table: str, name: str) -> None:
    said = problems(a_party(A), a_party(B), table)

    assert f": {name}: " in said
    assert f"{name} is no partij" not in said


def test_for_whom_an_agency_acts_need_not_be_a_party() -> None:
    mandate = (
        f'[[machtiging]]\nhouder = "{A}"\nnamens = "{D}"\nmodule = "schuldregeling"\n'
        "van = 2026-01-01\n"
    )

    assert read(a_party(A), mandate).mandated(A, D, "schuldregeling", DAY)
    assert "machtiging nr 1: houder is no partij" in problems(a_party(B), mandate)


# Mergers


def test_nobody_merged_in_an_empty_directory() -> None:
    assert successor(A, DAY, EMPTY) == A
    assert EMPTY.acts_for(A, DAY) == {A}


@pytest.mark.parametrize(("day", "merged"), [(21, False), (22, True), (23, True)])
def test_a_merger_holds_from_its_day_on(day: int, *, merged: bool) -> None:
    told = read(a_party(A), a_party(B), a_merger(A, B, "2026-11-22"))

    on_day = date(2026, 11, day)

    assert successor(A, on_day, told) == (B if merged else A)
    assert told.acts_for(B, on_day) == ({A, B} if merged else {B})
    assert told.acts_for(A, on_day) == {A}


def test_a_chain_of_mergers_is_followed_link_by_link_as_their_days_come() -> None:
    told = read(
        *(a_party(oin) for oin in (A, B, C, D)),
        a_merger(A, B, "2026-01-01"),
        a_merger(B, C, "2026-06-01"),
        a_merger(D, C, "2026-03-01"),
    )

    assert successor(A, date(2026, 5, 31), told) == B
    assert successor(A, date(2026, 6, 1), told) == C
    assert told.acts_for(C, date(2026, 5, 31)) == {C, D}
    assert told.acts_for(C, date(2026, 6, 1)) == {A, B, C, D}
    assert told.acts_for(B, date(2026, 5, 31)) == {A, B}


def test_who_merged_may_have_left_the_file() -> None:
    told = read(a_party(C), a_merger(A, B), a_merger(B, C))

    assert successor(A, DAY, told) == C


@pytest.mark.parametrize(
    "mergers",
    [
        [a_merger(A, A)],
        [a_merger(A, B), a_merger(B, A)],
        [a_merger(A, B), a_merger(B, C), a_merger(C, A)],
    ],
    ids=["itself", "two", "three"],
)
def test_a_circle_of_mergers_is_refused(mergers: list[str]) -> None:
    said = problems(a_party(A), a_party(B), a_party(C), *mergers)

    assert "would follow up itself" in said


def test_a_party_merges_into_one_other_only() -> None:
    said = problems(a_party(A), a_party(B), a_party(C), a_merger(A, B), a_merger(A, C))

    assert f"{A} is followed up 2 times" in said


def test_even_a_circle_that_was_kept_ends() -> None:
    circle = Directory(1, {}, successions=(Succession(A, B, DAY), Succession(B, A, DAY)))

    assert successor(A, DAY, circle) in {A, B}
    assert circle.acts_for(A, DAY) == {A, B}
