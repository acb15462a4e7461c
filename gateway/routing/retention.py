"""How long is what kept? Terms per kind, module and role of the recipient, as data.

Pure: the file is read once, and every instant is given.

Source: design decision 14; the terms are in ``bewaartermijnen.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.errors import Fault
from gateway.message import Kind
from gateway.routing.admit import OLDEST

TERMS = Path(__file__).with_name("bewaartermijnen.toml")

_DAYS = ("inhoud", "bijlagen", "onbezorgd", "gegevens")
_SELECTORS = ("soort", "module", "rol")
_REST = ("weigeringen", "onleesbaar", "kernen")


class Due(StrEnum):
    """What it is time for, with one message."""

    KEEP = "bewaren"
    ATTACHMENTS = "bijlagen"
    CONTENT = "inhoud"
    GIVE_UP = "onbezorgd"


@dataclass(frozen=True, slots=True)
class Terms:
    """How long each part of a message is kept.

    Attributes:
        content: After it was confirmed or given up.
        attachments: Likewise; not longer than the content.
        undelivered: After it was recorded.
        metadata: After it was recorded, and after the last that was signed about it.
    """

    content: timedelta
    attachments: timedelta
    undelivered: timedelta
    metadata: timedelta

    def due(self, *, recorded: datetime, finished: datetime | None, now: datetime) -> Due:
        """What it is time for with a message whose content is still there.

        Args:
            finished: When it was confirmed, or given up; None where neither happened.
        """
        if finished is None:
            return Due.GIVE_UP if now - recorded >= self.undelivered else Due.KEEP
        if now - finished >= self.content:
            return Due.CONTENT
        return Due.ATTACHMENTS if now - finished >= self.attachments else Due.KEEP


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the data: for which messages these terms are; None means any."""

    soort: str | None
    module: str | None
    rol: str | None
    terms: Terms

    def fits(self, kind: Kind, roles: Collection[str]) -> bool:
        """Whether it is for messages of this kind to a party with these roles."""
        return (
            self.soort in (None, kind.name)
            and self.module in (None, kind.module)
            and (self.rol is None or self.rol in roles)
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """All terms.

    Attributes:
        rows: The most specific first; the last one fits everything.
        refusals: How long it is kept that something was refused.
        garbage: How long is kept what nobody can read.
        kerns: How long the sealed part of a conversation is kept after its end.
    """

    rows: tuple[Row, ...]
    refusals: timedelta
    garbage: timedelta
    kerns: timedelta

    def terms(self, kind: Kind, roles: Collection[str]) -> Terms:
        """The terms for a message of this kind to a party with these roles."""
        return next(row.terms for row in self.rows if row.fits(kind, roles))

    @property
    def soonest(self) -> timedelta:
        """After so long, at the earliest, something of a message goes."""
        return min(min(row.terms.attachments, row.terms.undelivered) for row in self.rows)

    @property
    def forgetting(self) -> timedelta:
        """After so long, at the earliest, a message is forgotten."""
        return min(row.terms.metadata for row in self.rows)


def read(text: str | None = None) -> Retention:
    """Read the terms; those of this gateway unless others are given.

    Raises:
        Fault: they contradict themselves, or would forget a message that can still be repeated.
    """
    data = tomllib.loads(TERMS.read_text(encoding="utf-8") if text is None else text)
    rows = [_row(each) for each in data.get("termijn", ())]
    # sorting keeps the order of what is equally specific
    rows.sort(key=lambda row: (row.soort is None, row.module is None, row.rol is None))
    if not rows or not _fits_all(rows[-1]):
        raise Fault("bewaartermijnen: one row must be for everything else")
    rest = data.get("overig", {})
    unknown = data.keys() - {"termijn", "overig"} | rest.keys() - set(_REST)
    if unknown:
        raise Fault(f"bewaartermijnen: unknown are {', '.join(sorted(unknown))}")
    refusals, garbage, kerns = (_days(rest, name) for name in _REST)
    return Retention(tuple(rows), refusals, garbage, kerns)


def _row(given: Mapping[str, Any]) -> Row:
    unknown = given.keys() - {*_SELECTORS, *_DAYS}
    if unknown:
        raise Fault(f"bewaartermijnen: unknown are {', '.join(sorted(unknown))}")
    terms = Terms(*(_days(given, name) for name in _DAYS))
    if terms.attachments > terms.content:
        raise Fault("bewaartermijnen: bijlagen are kept no longer than inhoud")
    if terms.metadata < terms.undelivered + terms.content:
        raise Fault("bewaartermijnen: gegevens outlive onbezorgd and inhoud together")
    if terms.metadata <= OLDEST:
        raise Fault(f"bewaartermijnen: gegevens are kept longer than {OLDEST.days} days")
    return Row(given.get("soort"), given.get("module"), given.get("rol"), terms)


def _days(given: Mapping[str, Any], name: str) -> timedelta:
    days = given.get(name)
    if type(days) is not int or days < 1:
        raise Fault(f"bewaartermijnen: {name} must be a number of days, 1 or more")
    return timedelta(days=days)


def _fits_all(row: Row) -> bool:
    return row.soort is row.module is row.rol is None
