"""Whatever the day and the length: no term is lost, shortened or moved by a clock or a zone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.calendar import AMSTERDAM, Calendar, easter, holidays
from gateway.routing.terms import Length, Unit, ends_at, local_day, reminders, tot_en_met

DAY = timedelta(days=1)
FIRST, LAST = date(2014, 1, 1), date(2060, 12, 31)

days = st.dates(FIRST, LAST)
counts = st.integers(1, 120)
lengths = st.one_of(
    st.builds(Length, counts, st.just(Unit.WERKDAG)),
    st.builds(Length, counts, st.sampled_from([Unit.KALENDERDAG, Unit.MAAND]), st.booleans()),
)
seconds = st.integers(int(ends_at(FIRST).timestamp()), int(ends_at(LAST).timestamp()))
instants = seconds.map(lambda second: datetime.fromtimestamp(second, UTC))
calendars = st.builds(
    Calendar, st.frozensets(days, max_size=3) | st.just(frozenset({date(2026, 5, 15)}))
)
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2027, 3, 28, 1, tzinfo=UTC),
    datetime(2027, 10, 31, 1, tzinfo=UTC),
]
"""When the clock of Amsterdam changes."""


@contextmanager
def process_in(zone: str) -> Iterator[None]:
    """The process, as if it had been started in that time zone."""
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@given(lengths, instants, calendars)
def test_a_term_ends_after_the_day_on_which_it_starts(
    length: Length, available: datetime, calendar: Calendar
) -> None:
    last = tot_en_met(length, available, calendar)

    assert last >= local_day(available) + DAY
    assert ends_at(last) - available > DAY - timedelta(hours=1)
    if length.eenheid is Unit.WERKDAG or length.verschuift:
        assert calendar.is_working_day(last)


@given(lengths, instants, instants, calendars)
def test_who_starts_later_never_ends_earlier(
    length: Length, one: datetime, other: datetime, calendar: Calendar
) -> None:
    earlier, later = sorted((one, other))

    assert tot_en_met(length, earlier, calendar) <= tot_en_met(length, later, calendar)


@given(lengths, instants, calendars)
def test_a_longer_term_never_ends_earlier(
    length: Length, available: datetime, calendar: Calendar
) -> None:
    longer = Length(length.aantal + 1, length.eenheid, length.verschuift)

    assert tot_en_met(length, available, calendar) <= tot_en_met(longer, available, calendar)


@given(lengths, days, st.integers(0, 24 * 3600 - 1))
@example(Length(10, Unit.WERKDAG), date(2026, 3, 29), 2 * 3600)
@example(Length(10, Unit.WERKDAG), date(2026, 10, 25), 3 * 3600)
@example(Length(10, Unit.WERKDAG), date(2027, 3, 28), 24 * 3600 - 60)
def test_the_hour_of_the_day_makes_no_difference(length: Length, day: date, second: int) -> None:
    calendar, start = Calendar(), ends_at(day - DAY)
    instant = min(start + timedelta(seconds=second), ends_at(day) - timedelta(microseconds=1))

    assert tot_en_met(length, instant, calendar) == tot_en_met(length, start, calendar)
    assert reminders(length, instant, calendar) == reminders(length, start, calendar)


@given(st.builds(Length, counts, st.just(Unit.WERKDAG)), instants, calendars)
def test_a_term_of_working_days_has_exactly_so_many(
    length: Length, available: datetime, calendar: Calendar
) -> None:
    start = local_day(available)
    last = tot_en_met(length, available, calendar)

    counted = sum(
        calendar.is_working_day(start + n * DAY) for n in range(1, (last - start).days + 1)
    )

    assert counted == length.aantal == calendar.working_days_between(start, last)


@given(lengths, instants, calendars)
def test_reminders_come_after_the_start_in_order_and_before_the_end(
    length: Length, available: datetime, calendar: Calendar
) -> None:
    first, second = reminders(length, available, calendar)
    last = tot_en_met(length, available, calendar)

    assert available < first <= second < ends_at(last)
    for reminder in (first, second):
        local = reminder.astimezone(AMSTERDAM)
        assert (local.hour, local.minute, local.second, local.microsecond) == (9, 0, 0, 0)
        assert reminder.tzinfo is UTC
        start = local_day(available)
        if calendar.working_days_between(start, last):
            assert calendar.is_working_day(local.date())


@given(lengths, st.one_of(instants, st.sampled_from(CHANGES)), st.timedeltas(-3 * DAY, 3 * DAY))
def test_the_time_zone_of_the_process_makes_no_difference(
    length: Length, around: datetime, shift: timedelta
) -> None:
    available = around + shift
    answers = []

    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles", "Europe/Amsterdam"):
        with process_in(zone):
            last = tot_en_met(length, available, Calendar())
            answers.append((last, ends_at(last), reminders(length, available, Calendar())))

    assert len(set(answers)) == 1


@given(days)
def test_days_follow_each_other_without_gap_or_overlap(day: date) -> None:
    start, end = ends_at(day - DAY), ends_at(day)

    assert local_day(start) == local_day(end - timedelta(microseconds=1)) == day
    assert end - start in {timedelta(hours=hours) for hours in (23, 24, 25)}


@given(days, days, days, calendars)
def test_working_days_between_add_up(one: date, two: date, three: date, calendar: Calendar) -> None:
    whole = calendar.working_days_between(one, three)

    assert whole == calendar.working_days_between(one, two) + calendar.working_days_between(
        two, three
    )
    assert whole == -calendar.working_days_between(three, one)


@given(days, st.integers(-200, 200), calendars)
def test_adding_working_days_is_what_counting_them_finds(
    day: date, count: int, calendar: Calendar
) -> None:
    there = calendar.add_working_days(day, count)

    assert count == 0 or calendar.is_working_day(there)
    if count >= 0 or calendar.is_working_day(day):
        assert calendar.working_days_between(day, there) == count


@given(st.integers(1583, 9999))
def test_easter_is_a_sunday_from_22_march_to_25_april(year: int) -> None:
    sunday = easter(year)

    assert sunday.weekday() == 6
    assert date(year, 3, 22) <= sunday <= date(year, 4, 25)
    assert 9 <= len(holidays(year)) <= 11


@given(lengths)
def test_a_length_reads_as_it_is_written(length: Length) -> None:
    assert Length.read(str(length)) == length
