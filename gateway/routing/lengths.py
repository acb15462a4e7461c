"""When does a term end, and when to remind? The arithmetic of days.

Pure: every instant is given. Days are those of Amsterdam, whatever the time zone of the process;
the day on which a message became available does not count, and the last day is whole. Days are
counted as the Algemene termijnenwet does, articles 1 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from gateway.calendar import AMSTERDAM, Calendar

SHARES: Final = (50, 80)
"""After which part of a term, in percent, is reminded."""

LONGEST: Final = 1000
"""No term is longer, in its own unit: more is a slip of the pen."""

DAYS_AT_HAND = 1024
"""So many days that were reckoned are kept: the terms of one time start and end on few days."""

_DAY = timedelta(days=1)
_OFFICE_OPENS = time(9)
_SHIFTS = "VERSCHUIFT"


class Unit(StrEnum):
    """In what a term is counted."""

    WERKDAG = "WERKDAG"
    KALENDERDAG = "KALENDERDAG"
    MAAND = "MAAND"


@dataclass(frozen=True, slots=True)
class Length:
    """How long a term is.

    Attributes:
        aantal: How many units, 1 to 1000.
        verschuift: A last day that is no working day becomes the next working day (article 1
            of the Algemene termijnenwet). Never with WERKDAG: there it always is one.

    Raises:
        ValueError: there is no such length.
    """

    aantal: int
    eenheid: Unit
    verschuift: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.aantal <= LONGEST:
            raise ValueError(f"a term is 1 to {LONGEST} long")
        if self.verschuift and self.eenheid is Unit.WERKDAG:
            raise ValueError("a term of working days never ends on another day")

    def __str__(self) -> str:
        text = f"{self.aantal} {self.eenheid}"
        return f"{text} {_SHIFTS}" if self.verschuift else text

    @classmethod
    @lru_cache(maxsize=DAYS_AT_HAND)
    def read(cls, text: str) -> Length:
        """The length that was written as ``str`` writes it, like ``10 WERKDAG``.

        Raises:
            ValueError: it is written otherwise.
        """
        aantal, _, rest = text.partition(" ")
        eenheid, shifts, mark = rest.partition(" ")
        if not (aantal.isascii() and aantal.isdigit() and len(aantal) <= len(str(LONGEST))):
            raise ValueError("a term starts with a number")
        if shifts and mark != _SHIFTS:
            raise ValueError(f"after the unit of a term comes nothing, or {_SHIFTS}")
        if eenheid not in Unit.__members__:
            raise ValueError(f"the unit of a term is {', '.join(Unit)}")
        return cls(int(aantal), Unit(eenheid), bool(shifts))


def local_day(instant: datetime) -> date:
    """The day in Amsterdam at an instant.

    Raises:
        ValueError: the instant is not aware, so it is no instant.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant has a time zone")
    return instant.astimezone(AMSTERDAM).date()


def tot_en_met(length: Length, available: datetime, calendar: Calendar) -> date:
    """The last day of a term, inclusive.

    Args:
        available: When the message became available to its recipient; aware.
    """
    return _last_day(length, local_day(available), calendar)


@lru_cache(maxsize=DAYS_AT_HAND)
def _last_day(length: Length, start: date, calendar: Calendar) -> date:
    match length.eenheid:
        case Unit.WERKDAG:
            return calendar.add_working_days(start, length.aantal)
        case Unit.KALENDERDAG:
            last = start + timedelta(days=length.aantal)
        case Unit.MAAND:
            last = _months_after(start, length.aantal)
    return _first_working_day(last, calendar) if length.verschuift else last


@lru_cache(maxsize=DAYS_AT_HAND)
def ends_at(day: date) -> datetime:
    """When a day ends in Amsterdam, 24:00: the first instant after it, in UTC."""
    return _at(day + _DAY, time())


def reminders(length: Length, available: datetime, calendar: Calendar) -> tuple[datetime, datetime]:
    """When to remind: at 09:00 in Amsterdam after 50 and after 80 percent of a term, in UTC.

    The part is rounded up to whole working days from the day on which the message became
    available. No reminder comes after the end: where the next working day would, it is the last
    working day of the term, or its last day if it has none. In a short term the two may be the
    same.
    """
    return _reminders(length, local_day(available), calendar)


@lru_cache(maxsize=DAYS_AT_HAND)
def _reminders(length: Length, start: date, calendar: Calendar) -> tuple[datetime, datetime]:
    if length.eenheid is Unit.WERKDAG:
        parts = (_share(length.aantal, percent) for percent in SHARES)
        first, second = (calendar.add_working_days(start, part) for part in parts)
    else:
        last = _last_day(length, start, calendar)
        whole = (last - start).days
        days = (start + timedelta(days=_share(whole, percent)) for percent in SHARES)
        first, second = (_within(day, start, last, calendar) for day in days)
    return _at(first, _OFFICE_OPENS), _at(second, _OFFICE_OPENS)


def _share(whole: int, percent: int) -> int:
    """That part, rounded up."""
    return -(-whole * percent // 100)


def _within(day: date, start: date, last: date, calendar: Calendar) -> date:
    """The first working day from a day on; inside the term at any rate."""
    chosen = _first_working_day(day, calendar)
    if chosen <= last:
        return chosen
    before = calendar.add_working_days(last + _DAY, -1)
    return before if before > start else last


def _first_working_day(day: date, calendar: Calendar) -> date:
    return day if calendar.is_working_day(day) else calendar.add_working_days(day, 1)


def _months_after(day: date, months: int) -> date:
    """The same day number so many months later, or the last day of that month."""
    month = day.year * 12 + day.month - 1 + months
    return min(_first_of(month) + (day.day - 1) * _DAY, _first_of(month + 1) - _DAY)


def _first_of(month: int) -> date:
    """The first day of a month that is counted from January of the year 0."""
    return date(month // 12, month % 12 + 1, 1)


def _at(day: date, clock: time) -> datetime:
    """A time of day that the clock of Amsterdam never skips or repeats, as an instant."""
    return datetime.combine(day, clock, AMSTERDAM).astimezone(UTC)
