"""The checks that the rows of rules.toml name: pure, one value at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from string import ascii_uppercase, digits
from types import MappingProxyType
from typing import Any

Parent = Mapping[str, Any]
Check = Callable[[Any, Parent, date], Sequence[str]]
"""(value at the place, object it is in, today) to the places that are wrong: pointers
relative to that object; empty for the place itself."""
NOWHERE: Sequence[str] = ()
HERE: Sequence[str] = ("",)

Arguments = Mapping[str, Any]
"""What a row gives its check in ``met``."""

CENT = 1
"""Rounding that a percentage of one claim may have, in cents."""
EACH = "*"
"""The step of a path to every item of a list."""

_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)
_AS_DIGITS = bytes.maketrans(
    (digits + ascii_uppercase).encode(),
    bytes.fromhex("".join([*(f"{digit}f" for digit in digits), *map(str, range(10, 36))])),
)
"""Of a character the byte whose two hexadecimal digits are those it counts for in an IBAN, the
second of a digit being ``f``: so one conversion to hexadecimal writes them all."""


def _elfproef(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return NOWHERE if passes_elfproef(value) else HERE

    return check


def passes_elfproef(bsn: str) -> bool:
    """Whether nine digits can be a burgerservicenummer: the eleven-test, and not all zero."""
    weighed = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, bsn, strict=True))
    return weighed % 11 == 0 and bsn != "000000000"


def _mod_97(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return NOWHERE if has_check_digits(value) else HERE

    return check


def has_check_digits(iban: str) -> bool:
    """Whether the check digits of an IBAN in capitals are right (ISO 7064 mod 97-10)."""
    # ISO 13616: country and check digits go to the back, and a letter counts for two digits
    moved = (iban[4:] + iban[:4]).encode("ascii").translate(_AS_DIGITS)
    return int(moved.hex().replace("f", "")) % 97 == 1


def _not_negative(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return HERE if value < 0 else NOWHERE

    return check


def _not_after_today(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return HERE if date.fromisoformat(value) > today else NOWHERE

    return check


def _existing_day(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        # a year, a year and month, or a day: filled up to a day they exist or they do not
        try:
            born = date.fromisoformat((value + "-01-01")[:10])
        except ValueError:
            return HERE
        return HERE if born > today else NOWHERE

    return check


def _not_for_senders(_: Arguments) -> Check:
    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return HERE

    return check


def _member_with_code(arguments: Arguments) -> Check:
    code, member = arguments["code"], arguments["lid"]
    absent = (f"/{member}",)

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return absent if value == code and member not in parent else NOWHERE

    return check


def _member_with_any_code(arguments: Arguments) -> Check:
    path, code, member = _steps(arguments["pad"]), arguments["code"], arguments["lid"]
    absent = (f"/{member}",)

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return absent if member not in parent and code in values(parent, path) else NOWHERE

    return check


def _zero_with_code(arguments: Arguments) -> Check:
    code, paths = arguments["code"], arguments["paden"]

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        if value != code:
            return NOWHERE
        return [at for path in paths for at, found in placed(parent, path) if Decimal(found) != 0]

    return check


def _iban_with_percentage(arguments: Arguments) -> Check:
    percentage, absent = _steps(arguments["percentage"]), (f"/{arguments['lid']}",)
    paths = [_steps(path) for path in arguments["paden"]]

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        above_zero = any(Decimal(found) > 0 for found in values(parent, percentage))
        if above_zero and not any(values(parent, path) for path in paths):
            return absent
        return NOWHERE

    return check


def _sum(arguments: Arguments) -> Check:
    plus, minus = arguments["plus"], arguments.get("min", ())
    added, subtracted = _members(plus), _members(minus)
    added_below, subtracted_below = _ways(plus), _ways(minus)

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        total = 0
        for member in added:
            total += parent.get(member, 0)
        for member in subtracted:
            total -= parent.get(member, 0)
        for way in added_below:
            total += sum(values(parent, way))
        for way in subtracted_below:
            total -= sum(values(parent, way))
        return HERE if value != total else NOWHERE

    return check


def _count(arguments: Arguments) -> Check:
    path = _steps(arguments["pad"])

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        return HERE if value != len(values(parent, path)) else NOWHERE

    return check


def _percentage_of(arguments: Arguments) -> Check:
    percentage, amount = arguments["percentage"], arguments["bedrag"]

    def check(value: Any, parent: Parent, today: date) -> Sequence[str]:
        if percentage in parent and amount in parent:
            expected = Decimal(parent[percentage]) * parent[amount] / 100
            if abs(expected - value) > CENT:
                return HERE
        return NOWHERE

    return check


def _members(paths: Sequence[str]) -> list[str]:
    """Those paths that are a member of the object itself: most paths of most rules."""
    return [path for path in paths if "/" not in path]


def _ways(paths: Sequence[str]) -> list[tuple[str, ...]]:
    """Those that go further, in steps."""
    return [_steps(path) for path in paths if "/" in path]


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split("/"))


def values(start: Any, steps: Sequence[str]) -> list[Any]:
    """What lies at the end of these steps below an object; absent is nothing."""
    found = [start]
    for step in steps:
        if step == EACH:
            found = [item for items in found for item in items]
        else:
            found = [node[step] for node in found if step in node]
    return found


def placed(start: Any, path: str) -> list[tuple[str, Any]]:
    """What lies at a path below an object, with the pointer to each; absent is nothing."""
    found = [("", start)]
    for step in path.split("/"):
        if step == EACH:
            found = [(f"{at}/{i}", item) for at, items in found for i, item in enumerate(items)]
        else:
            found = [(f"{at}/{step}", node[step]) for at, node in found if step in node]
    return found


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
