"""Working days in the Netherlands: article 3 of the Algemene termijnenwet, and a dated list."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from gateway.calendar import Calendar, easter, holidays

DUTCH = Calendar()
DAY = timedelta(days=1)

EASTERS = """
2020-04-12 2021-04-04 2022-04-17 2023-04-09 2024-03-31 2025-04-20 2026-04-05 2027-03-28
2028-04-16 2029-04-01 2030-04-21 2031-04-13 2032-03-28 2033-04-17 2034-04-09 2035-03-25
2036-04-13 2037-04-05 2038-04-25 2039-04-10 2040-04-01
"""

RARE = """
1818-03-22 1943-04-25 1954-04-18 1981-04-19 2000-04-23 2049-04-18 2076-04-19 2100-03-28
2200-04-06 2285-03-22 3165-04-18
"""
"""The earliest and the latest that can be, both exceptions of the moon, and turns of a century."""


@pytest.mark.parametrize("day", (EASTERS + RARE).split())
def test_easter_falls_where_the_church_calendar_has_it(day: str) -> None:
    known = date.fromisoformat(day)

    assert easter(known.year) == known


@pytest.mark.parametrize(
    ("year", "days"),
    [
        (
            2026,
            "01-01 04-03 04-05 04-06 04-27 05-05 05-14 05-24 05-25 12-25 12-26",
        ),
        (  # Easter and the change of the clock are the same day
            2027,
            "01-01 03-26 03-28 03-29 04-27 05-05 05-06 05-16 05-17 12-25 12-26",
        ),
    ],
)
def test_a_year_has_the_holidays_of_article_3(year: int, days: str) -> None:
    expected = {date.fromisoformat(f"{year}-{day}") for day in days.split()}

    assert holidays(year) == expected


@pytest.mark.parametrize("year", range(2014, 2061))
def test_5_may_and_good_friday_are_free_every_year(year: int) -> None:
    good_friday = easter(year) - 2 * DAY

    assert date(year, 5, 5) in holidays(year)
    assert not DUTCH.is_working_day(date(year, 5, 5))
    assert good_friday.weekday() == 4
    assert not DUTCH.is_working_day(good_friday)


@pytest.mark.parametrize("day", ["2025-05-05", "2026-05-05", "2027-05-05", "2030-05-06"])
def test_5_may_is_free_in_a_lustrum_and_outside_it_and_the_6th_is_not(day: str) -> None:
    given = date.fromisoformat(day)

    # 6 May 2030 is a Monday: a 5 May on a Sunday is not made up for
    assert DUTCH.is_working_day(given) == (given.day == 6)


@pytest.mark.parametrize(
    ("year", "day"), [(2014, 26), (2024, 27), (2025, 26), (2026, 27), (2031, 26), (2036, 26)]
)
def test_koningsdag_is_27_april_or_the_saturday_before_a_sunday(year: int, day: int) -> None:
    april = {each.day for each in holidays(year) if each.month == 4} - {
        (easter(year) + shift * DAY).day for shift in (-2, 0, 1)
    }

    assert april == {day}
    assert (date(year, 4, 27).weekday() == 6) == (day == 26)


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-12-24", True),
        ("2026-12-31", True),
        ("2027-01-01", False),
        ("2027-01-04", True),
        ("2026-05-14", False),  # Hemelvaartsdag
        ("2026-05-15", True),  # the Friday after it is no holiday of the law
        ("2026-05-16", False),  # a Saturday
        ("2026-05-17", False),
        ("2026-05-25", False),  # tweede pinksterdag
    ],
)
def test_a_working_day_is_no_weekend_and_no_holiday(day: str, works: bool) -> None:  # noqa: FBT001
    assert DUTCH.is_working_day(date.fromisoformat(day)) is works


def test_a_day_of_the_dated_list_is_free_in_its_year_only() -> None:
    calendar = Calendar(frozenset({date(2026, 5, 15), date(2026, 5, 16)}))

    assert not calendar.is_working_day(date(2026, 5, 15))
    assert calendar.is_working_day(date(2027, 5, 14))
    assert calendar.add_working_days(date(2026, 5, 13), 1) == date(2026, 5, 18)
    assert calendar.working_days_between(date(2026, 5, 13), date(2026, 5, 18)) == 1


@pytest.mark.parametrize(
    ("start", "count", "end"),
    [
        ("2026-03-02", 1, "2026-03-03"),
        ("2026-03-06", 1, "2026-03-09"),
        ("2026-03-07", 1, "2026-03-09"),
        ("2026-03-07", 0, "2026-03-07"),
        ("2026-04-02", 1, "2026-04-07"),
        ("2026-12-30", 2, "2027-01-04"),
        ("2027-01-04", -2, "2026-12-30"),
        ("2026-04-07", -1, "2026-04-02"),
        ("2026-04-05", -1, "2026-04-02"),
    ],
)
def test_working_days_are_counted_from_the_day_after_or_before(
    start: str, count: int, end: str
) -> None:
    assert DUTCH.add_working_days(date.fromisoformat(start), count) == date.fromisoformat(end)


@pytest.mark.parametrize(
    ("a", "b", "days"),
    [
        ("2026-03-02", "2026-03-02", 0),
        ("2026-03-02", "2026-03-09", 5),
        ("2026-03-09", "2026-03-02", -5),
        ("2026-04-02", "2026-04-06", 0),
        ("2026-12-31", "2027-12-31", 254),
    ],
)
def test_the_later_day_counts_and_the_earlier_does_not(a: str, b: str, days: int) -> None:
    assert DUTCH.working_days_between(date.fromisoformat(a), date.fromisoformat(b)) == days
