"""Whatever the answer, age, policy and jitter: a conclusion is a legal move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.calendar import AMSTERDAM, holidays
from gateway.delivery import (
    LONGEST_ASKED,
    TRANSITIONS,
    Answer,
    Attempted,
    Conclusion,
    RetryPolicy,
    State,
    WorkingDays,
    after,
    working_time,
)
from tests.unit.test_delivery import a_delivery

ZERO = timedelta(0)

instants = st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
waits = st.timedeltas(min_value=ZERO, max_value=timedelta(days=365))
policies = st.builds(
    RetryPolicy,
    first_wait=waits,
    longest_wait=waits,
    give_up_after=st.one_of(waits, st.builds(WorkingDays, st.integers(0, 400))),
)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
asked = st.none() | st.timedeltas(min_value=-timedelta(days=9), max_value=timedelta(days=9999))


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[Conclusion, RetryPolicy, timedelta | None]:
    queued_at, ended_at = draw(instants), draw(instants)
    policy, retry_after = draw(policies), draw(asked)
    conclusion = after(
        a_delivery(attempt=draw(st.integers(1, 100_000)), queued_at=queued_at),
        Attempted(draw(st.sampled_from(Answer)), retry_after=retry_after),
        policy=policy,
        started_at=ended_at,
        ended_at=ended_at,
        jitter=draw(jitters),
    )
    return conclusion, policy, retry_after


@given(outcomes())
def test_every_outcome_is_a_legal_move_from_waiting(
    outcome: tuple[Conclusion, RetryPolicy, timedelta | None],
) -> None:
    conclusion, _, _ = outcome

    assert conclusion.state in TRANSITIONS[State.WACHT]
    assert (conclusion.retry_at is not None) == (conclusion.state is State.WACHT)
    assert (conclusion.reason is not None) == (conclusion.state is State.GESTRAND)


@given(outcomes())
def test_no_wait_is_shorter_than_asked_or_longer_than_both_bounds(
    outcome: tuple[Conclusion, RetryPolicy, timedelta | None],
) -> None:
    conclusion, policy, retry_after = outcome
    if conclusion.retry_at is None:
        return

    wait = conclusion.retry_at - conclusion.ended_at

    bounded = min(max(retry_after or ZERO, ZERO), LONGEST_ASKED)
    assert bounded <= wait <= max(bounded, policy.longest_wait)


@given(policies, st.integers(1, 100_000), jitters)
def test_the_own_wait_lies_between_zero_and_the_doubled_first(
    policy: RetryPolicy, failures: int, jitter: float
) -> None:
    wait = policy.wait_before(failures, jitter)

    assert ZERO <= wait <= policy.longest_wait
    if failures <= 20:
        assert wait <= policy.first_wait * 2 ** (failures - 1)


@given(instants, waits, waits)
def test_working_time_adds_up_and_never_exceeds_the_clock(
    since: datetime, first: timedelta, second: timedelta
) -> None:
    middle, until = since + first, since + first + second

    whole = working_time(since, until)

    assert whole == working_time(since, middle) + working_time(middle, until)
    assert ZERO <= whole <= until - since


@given(instants)
def test_a_week_has_five_working_days_less_its_holidays(since: datetime) -> None:
    until = since + timedelta(days=7)
    days = [since.astimezone(AMSTERDAM).date() + timedelta(days=n) for n in range(9)]
    free = sum(day in holidays(day.year) and day.weekday() < 5 for day in days)

    worked = working_time(since, until)

    # on the clock: in the two weeks of a year in which it changes, the hour lies in a Sunday
    hour = timedelta(hours=1)
    assert timedelta(days=5 - free) - hour <= worked <= timedelta(days=5) + hour
    assert free > 0 or worked >= timedelta(days=5) - hour
