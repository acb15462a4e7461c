"""Which days are working days in the Netherlands?

The rule is article 3 of the Algemene termijnenwet, and beside it a dated list: the days that are
put on a level with the holidays for one year only. Good Friday and 5 May are free every year here,
whatever employers do.

The rule holds from 2014, when Koningsdag came; earlier years are reckoned by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
"""Whose days these are."""

HOLDS_FROM = 2014
"""The first year for which the rule is the law."""

_DAY = timedelta(days=1)
_WORKING_WEEK = 5
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working days: no Saturday, no Sunday, no holiday, and not in the dated list.

    Attributes:
        extra: Days that are free beside the holidays.
    """

    extra: frozenset[date] = frozenset()

    def is_working_day(self, day: date) -> bool:
        """Whether people work that day."""
        return (
            day.weekday() < _WORKING_WEEK
            and day not in holidays(day.year)
            and day not in self.extra
        )

    def add_working_days(self, day: date, count: int) -> date:
        """The ``count``-th working day after a day; before it where ``count`` is below 0.

        The day itself does not count. 0 gives the day as it is, working day or not.
        """
        step = _DAY if count > 0 else -_DAY
        left = abs(count)
        while left:
            day += step
            left -= self.is_working_day(day)
        return day

    def working_days_between(self, a: date, b: date) -> int:
        """How many working days lie after ``a``, up to and with ``b``.

        Below 0 where ``b`` is the earlier: the two swapped, with a minus.
        """
        if b < a:
            return -self.working_days_between(b, a)
        free = {day for year in range(a.year, b.year + 1) for day in holidays(year)} | self.extra
        lost = sum(a < day <= b and day.weekday() < _WORKING_WEEK for day in free)
        return _weekdays(b) - _weekdays(a) - lost


@lru_cache(maxsize=512)
def holidays(year: int) -> frozenset[date]:
    """The holidays of a year by article 3, those that fall in a weekend too."""
    sunday = easter(year)
    kings = date(year, 4, 27)
    return frozenset(
        {
            date(year, 1, 1),
            sunday - 2 * _DAY,  # Goede Vrijdag
            sunday,
            sunday + _DAY,  # tweede paasdag
            kings - _DAY if kings.weekday() == _WEEK - 1 else kings,  # Koningsdag is no Sunday
            date(year, 5, 5),
            sunday + 39 * _DAY,  # Hemelvaartsdag
            sunday + 49 * _DAY,
            sunday + 50 * _DAY,  # tweede pinksterdag
            date(year, 12, 25),
            date(year, 12, 26),
        }
    )


def easter(year: int) -> date:
    """Easter Sunday: the first Sunday after the full moon on or after 21 March.

    The moon is that of the Gregorian church calendar, which repeats after nineteen years and is
    set right by century.
    """
    golden, century = year % 19, year // 100
    moon = (19 * golden + century - century // 4 - (8 * century + 13) // 25 + 15) % 30
    if moon == 29 or (moon == 28 and golden > 10):  # noqa: PLR2004 - the moon never falls later
        moon -= 1
    full = date(year, 3, 21) + moon * _DAY
    return full + (_WEEK - 1 - full.weekday() or _WEEK) * _DAY


def _weekdays(day: date) -> int:
    """How many days from Monday to Friday there were from the year 1 up to and with a day."""
    weeks, weekday = divmod(day.toordinal() - 1, _WEEK)
    return weeks * _WORKING_WEEK + min(weekday + 1, _WORKING_WEEK)
