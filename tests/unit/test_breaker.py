"""When a party is left in peace, and how it comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.breaker import Breaker, BreakerPolicy
from gateway.delivery import Answer, Attempted
from gateway.message import Oin

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PARTY = Oin("00000099000000001000")
OTHER = Oin("00000099000000002000")
DOWN = Attempted(Answer.UNAVAILABLE)
SECOND = timedelta(seconds=1)
POLICY = BreakerPolicy(
    failures=3, first_pause=timedelta(seconds=30), longest_pause=timedelta(minutes=10)
)


def seconds(number: float) -> datetime:
    return NOON + timedelta(seconds=number)


def opened() -> Breaker:
    """A breaker that opened for PARTY at noon, for 30 seconds."""
    breaker = Breaker(POLICY)
    for _ in range(POLICY.failures):
        breaker.heard(PARTY, DOWN, NOON)
    return breaker


def test_a_party_that_never_failed_is_not_passed_over() -> None:
    breaker = Breaker()

    breaker.taken(PARTY, NOON)

    assert breaker.closed_for(NOON) == frozenset()
    assert breaker.on_trial(NOON) == frozenset()


@pytest.mark.parametrize("answer", [Answer.UNAVAILABLE, Answer.MISCONFIGURED])
def test_only_so_many_failures_in_a_row_open_the_circuit(answer: Answer) -> None:
    breaker = Breaker(POLICY)

    breaker.heard(PARTY, Attempted(answer), NOON)
    breaker.heard(PARTY, Attempted(answer), NOON)
    before = breaker.closed_for(NOON)
    breaker.heard(PARTY, Attempted(answer), NOON)

    assert before == frozenset()
    assert breaker.closed_for(NOON) == {PARTY}


@pytest.mark.parametrize("answer", [Answer.CONFIRMED, Answer.REJECTED])
def test_an_answer_to_the_message_starts_the_count_again(answer: Answer) -> None:
    breaker = Breaker(POLICY)

    for heard in (DOWN, DOWN, Attempted(answer), DOWN, DOWN):
        breaker.heard(PARTY, heard, NOON)

    assert breaker.closed_for(NOON) == frozenset()


def test_an_open_circuit_of_one_party_leaves_the_others_alone() -> None:
    breaker = opened()

    breaker.heard(OTHER, DOWN, NOON)

    assert breaker.closed_for(NOON) == {PARTY}


def test_after_the_pause_exactly_one_trial_goes() -> None:
    breaker = opened()

    during = breaker.on_trial(seconds(29))
    half_open = breaker.on_trial(seconds(30))
    breaker.taken(PARTY, seconds(30))

    assert during == frozenset()
    assert half_open == {PARTY}
    assert breaker.on_trial(seconds(31)) == frozenset()
    assert breaker.closed_for(seconds(31)) == {PARTY}


def test_a_trial_that_succeeds_closes_the_circuit() -> None:
    breaker = opened()

    breaker.taken(PARTY, seconds(30))
    breaker.heard(PARTY, Attempted(Answer.CONFIRMED), seconds(31))

    assert breaker.closed_for(seconds(31)) == frozenset()
    assert breaker.on_trial(seconds(31)) == frozenset()


def test_each_trial_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(), seconds(30), []

    for _ in range(7):
        breaker.taken(PARTY, now)
        breaker.heard(PARTY, DOWN, now)
        pause = next(n for n in range(1, 1000) if PARTY in breaker.on_trial(now + n * SECOND))
        pauses.append(pause)
        now += pause * SECOND

    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_a_trial_that_is_never_heard_of_makes_room_for_another() -> None:
    breaker = opened()

    breaker.taken(PARTY, seconds(30))

    assert breaker.on_trial(seconds(59)) == frozenset()
    assert breaker.on_trial(seconds(60)) == {PARTY}


def test_stragglers_from_before_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = opened()

    for late in range(10):
        breaker.heard(PARTY, DOWN, seconds(late))

    assert breaker.on_trial(seconds(30)) == {PARTY}


def test_a_straggler_that_succeeds_closes_the_circuit() -> None:
    breaker = opened()

    breaker.heard(PARTY, Attempted(Answer.CONFIRMED), seconds(1))

    assert breaker.closed_for(seconds(1)) == frozenset()


@pytest.mark.parametrize(("asked", "pause"), [(1, 30), (90, 90), (86_400, 600)])
def test_the_pause_honours_a_retry_after_within_bounds(asked: int, pause: int) -> None:
    breaker = Breaker(POLICY)
    busy = Attempted(Answer.UNAVAILABLE, 503, retry_after=timedelta(seconds=asked))

    for _ in range(POLICY.failures):
        breaker.heard(PARTY, busy, NOON)

    assert breaker.on_trial(seconds(pause - 1)) == frozenset()
    assert breaker.on_trial(seconds(pause)) == {PARTY}


def test_the_longest_row_of_failed_trials_does_not_overflow() -> None:
    assert POLICY.pause(10_000, timedelta(0)) == POLICY.longest_pause
