"""The checks that the rows of rules.toml name: pure, one value at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from stdnum.iso7064 import mod_97_10
from stdnum.nl import bsn

Parent = Mapping[str, Any]
Check = Callable[[Any, Parent, date], Iterator[str]]
"""(value at the place, object it is in, today) to the places that are wrong: pointers
relative to that object; empty for the place itself."""

Arguments = Mapping[str, Any]
"""What a row gives its check in ``met``."""

CENT = 1
"""Rounding that a percentage of one claim may have, in cents."""


def _elfproef(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if not bsn.is_valid(value):
            yield ""

    return check


def _mod_97(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        # ISO 13616: country and check digits go to the back, then ISO 7064 mod 97-10
        if not mod_97_10.is_valid(value[4:] + value[:4]):
            yield ""

    return check


def _not_negative(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if value < 0:
            yield ""

    return check


def _not_after_today(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if date.fromisoformat(value) > today:
            yield ""

    return check


def _existing_day(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        # a year, a year and month, or a day: filled up to a day they exist or they do not
        try:
            born = date.fromisoformat((value + "-01-01")[:10])
        except ValueError:
            yield ""
            return
        if born > today:
            yield ""

    return check


def _not_for_senders(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        yield ""

    return check


def _member_with_code(arguments: Arguments) -> Check:
    code, member = arguments["code"], arguments["lid"]

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if value == code and member not in parent:
            yield f"/{member}"

    return check


def _member_with_any_code(arguments: Arguments) -> Check:
    path, code, member = arguments["pad"], arguments["code"], arguments["lid"]

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if member not in parent and any(found == code for _, found in values(parent, path)):
            yield f"/{member}"

    return check


def _zero_with_code(arguments: Arguments) -> Check:
    code, paths = arguments["code"], arguments["paden"]

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if value == code:
            for path in paths:
                yield from (at for at, found in values(parent, path) if Decimal(found) != 0)

    return check


def _iban_with_percentage(arguments: Arguments) -> Check:
    percentage, paths, member = arguments["percentage"], arguments["paden"], arguments["lid"]

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        above_zero = any(Decimal(found) > 0 for _, found in values(parent, percentage))
        if above_zero and not any(True for path in paths for _ in values(parent, path)):
            yield f"/{member}"

    return check


def _sum(arguments: Arguments) -> Check:
    plus, minus = arguments["plus"], arguments.get("min", ())

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        added = sum(found for path in plus for _, found in values(parent, path))
        taken = sum(found for path in minus for _, found in values(parent, path))
        if value != added - taken:
            yield ""

    return check


def _count(arguments: Arguments) -> Check:
    path = arguments["pad"]

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if value != sum(1 for _ in values(parent, path)):
            yield ""

    return check


def _percentage_of(arguments: Arguments) -> Check:
    percentage, amount = arguments["percentage"], arguments["bedrag"]

    def check(value: Any, parent: Parent, today: date) -> Iterator[str]:
        if percentage in parent and amount in parent:
            expected = Decimal(parent[percentage]) * parent[amount] / 100
            if abs(expected - value) > CENT:
                yield ""

    return check


def values(start: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What lies at a path below an object, with the pointer to each; absent is nothing."""
    found = [("", start)]
    for step in path.split("/"):
        if step == "*":
            found = [(f"{at}/{i}", item) for at, items in found for i, item in enumerate(items)]
        else:
            found = [(f"{at}/{step}", node[step]) for at, node in found if step in node]
    yield from found


CHECKS: Mapping[str, Callable[[Arguments], Check]] = MappingProxyType(
    {
        "elfproef": _elfproef,
        "mod-97": _mod_97,
        "niet-negatief": _not_negative,
        "niet-na-vandaag": _not_after_today,
        "bestaande-dag": _existing_day,
        "niet-van-afzender": _not_for_senders,
        "lid-bij-code": _member_with_code,
        "lid-bij-een-code": _member_with_any_code,
        "nul-bij-code": _zero_with_code,
        "iban-bij-percentage": _iban_with_percentage,
        "som": _sum,
        "aantal": _count,
        "percentage-van": _percentage_of,
    }
)
