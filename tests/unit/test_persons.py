"""The numbers in a message are found where the XSDs mark them, and cheaply."""

from __future__ import annotations

import time
import timeit

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.world import SE, SHV
from gateway.message import Json, Kind, as_bytes
from gateway.schemas import Catalogue
from gateway.schemas.persons import MARK, paths_of, persons_in, persons_of
from gateway.schemas.plan import places

NOTICE = kind("schuldregeling", "KennisgevingPubliek")
ABOUT_NOBODY = kind("schuldregeling", "SaldoverzoekAntwoord")


def made(which: Kind) -> Json:
    return document(
        which, reference=fresh(), conversation=fresh(), sender=SHV, recipient=SE, at=now()
    )


def numbers(value: object) -> set[str]:
    """Every text of a document under a name that is marked in some XSD."""
    if isinstance(value, dict):
        here = {each for name, each in value.items() if name == "bsn" and isinstance(each, str)}
        return here.union(*(numbers(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(numbers(each) for each in value))
    return set()


def test_client_and_partner_are_found(catalogue: Catalogue) -> None:
    assert persons_in(catalogue)[NOTICE](made(NOTICE)) == {"999990007", "999990019"}


def test_who_is_not_named_is_not_found(catalogue: Catalogue) -> None:
    without = made(NOTICE)
    del without["kennisgevingPubliek"]["partner"]

    assert persons_in(catalogue)[NOTICE](without) == {"999990019"}
    assert persons_in(catalogue)[ABOUT_NOBODY](made(ABOUT_NOBODY)) == frozenset()


def test_every_number_in_every_example_is_found(catalogue: Catalogue) -> None:
    known = persons_in(catalogue)
    found = {}
    for which, codec in catalogue.kinds.items():
        if codec.headed and which.module != "gateway":
            example = made(which)
            found[which] = known[which](example)
            assert found[which] == numbers(example), which
    assert sum(map(bool, found.values())) >= 5


def test_every_place_that_is_marked_is_looked_at(catalogue: Catalogue) -> None:
    for codec in catalogue.kinds.values():
        marked = {place.json for place in places(codec.root) if MARK in place.element.marks}
        assert {"/" + "/".join(path) for path in paths_of(codec.root)} == marked


def test_numbers_are_found_in_what_was_kept(catalogue: Catalogue) -> None:
    find = persons_of(catalogue)

    assert find(NOTICE, as_bytes(made(NOTICE))) == {"999990007", "999990019"}
    assert find(Kind("onbekend", 9, "Oud"), b"{}") == frozenset()


def test_it_costs_microseconds(catalogue: Catalogue) -> None:
    find, one = persons_in(catalogue)[NOTICE], made(NOTICE)

    times = timeit.repeat(lambda: find(one), timer=time.process_time, number=1_000, repeat=7)

    assert min(times) / 1_000 < 50e-6  # measured well under 5; a loaded machine is slower
