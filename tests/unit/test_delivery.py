"""What an answer means for a delivery: states, waits, giving up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from docs.levering import ANSWERS, PAGE, STATES, page
from gateway.delivery import (
    LONGEST_ASKED,
    MOVES,
    TRANSITIONS,
    Answer,
    Attempted,
    Conclusion,
    Reason,
    RetryPolicy,
    State,
    WorkingDays,
    after,
    mermaid,
    working_time,
)
from gateway.message import Channel, Delivery, Dialect, Kind, Oin

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PARTY = Oin("00000099000000001000")


def a_delivery(**changes: Any) -> Delivery:
    """A push delivery on its first attempt."""
    delivery = Delivery(
        id="0b5c3a4e-0000-4000-8000-000000000001",
        ontvanger=PARTY,
        channel=Channel.PUSH,
        volgnummer=1,
        awaits_confirmation=True,
        attempt=1,
        fence=7,
        queued_at=MONDAY,
        kind=Kind("schuldregeling", 2, "Kennisgeving"),
        referentienummer="0b5c3a4e-0000-4000-8000-0000000000aa",
        conversatie="0b5c3a4e-0000-4000-8000-0000000000bb",
        afzender=Oin("00000099000000002000"),
        received_at=MONDAY,
        canonical=b"{}",
        original_sha256="0" * 64,
        original_dialect=Dialect.XML,
        signer_fingerprint="1" * 64,
    )
    return replace(delivery, **changes)


def concluded(
    answer: Answer,
    *,
    delivery: Delivery | None = None,
    ended_at: datetime = MONDAY,
    retry_after: timedelta | None = None,
    policy: RetryPolicy | None = None,
    jitter: float = 0.5,
) -> Conclusion:
    return after(
        delivery or a_delivery(),
        Attempted(answer, retry_after=retry_after),
        policy=policy or RetryPolicy(),
        started_at=ended_at,
        ended_at=ended_at,
        jitter=jitter,
    )


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (Answer.CONFIRMED, State.BEVESTIGD, None),
        (Answer.OFFERED, State.AANGEBODEN, None),
        (Answer.REJECTED, State.GESTRAND, Reason.GEWEIGERD),
        (Answer.UNAVAILABLE, State.WACHT, None),
        (Answer.MISCONFIGURED, State.WACHT, None),
        (Answer.UNROUTABLE, State.WACHT, None),
    ],
)
def test_each_answer_moves_a_young_delivery(
    answer: Answer, state: State, reason: Reason | None
) -> None:
    conclusion = concluded(answer)

    assert (conclusion.state, conclusion.reason) == (state, reason)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer.UNAVAILABLE, Reason.OPGEGEVEN),
        (Answer.MISCONFIGURED, Reason.OPGEGEVEN),
        (Answer.UNROUTABLE, Reason.ONBESTELBAAR),
    ],
)
def test_a_delivery_that_is_too_old_strands_instead_of_waiting(
    answer: Answer, reason: Reason
) -> None:
    conclusion = concluded(answer, ended_at=MONDAY + timedelta(days=3))

    assert (conclusion.state, conclusion.reason) == (State.GESTRAND, reason)
    assert conclusion.retry_at is None


def test_an_old_delivery_that_succeeds_does_not_strand() -> None:
    conclusion = concluded(Answer.CONFIRMED, ended_at=MONDAY + timedelta(days=300))

    assert conclusion.state is State.BEVESTIGD


def test_a_conclusion_names_the_lease_and_attempt_that_it_concludes() -> None:
    attempted = Attempted(Answer.CONFIRMED, status=202)

    conclusion = after(
        a_delivery(attempt=3, fence=9),
        attempted,
        started_at=MONDAY,
        ended_at=MONDAY + HOUR,
        jitter=0.0,
        sent_sha256="c" * 64,
    )

    assert conclusion == Conclusion(
        delivery_id=a_delivery().id,
        fence=9,
        attempt=3,
        state=State.BEVESTIGD,
        attempted=attempted,
        started_at=MONDAY,
        ended_at=MONDAY + HOUR,
        sent_sha256="c" * 64,
    )


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 2.5), (2, 5), (3, 10), (10, 1280), (11, 1800), (10_000, 1800)]
)
def test_the_wait_doubles_up_to_the_longest(attempt: int, seconds: float) -> None:
    conclusion = concluded(Answer.UNAVAILABLE, delivery=a_delivery(attempt=attempt))

    assert conclusion.retry_at == MONDAY + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(minutes=10), timedelta(minutes=10)),
        (timedelta(seconds=1), timedelta(seconds=2.5)),  # the policy's own wait is longer
        (timedelta(seconds=-5), timedelta(seconds=2.5)),
        (timedelta(days=30), LONGEST_ASKED),
    ],
)
def test_a_retry_after_is_honoured_within_bounds(asked: timedelta, waited: timedelta) -> None:
    conclusion = concluded(Answer.UNAVAILABLE, retry_after=asked)

    assert conclusion.retry_at == MONDAY + waited


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("2026-03-02T09:00+01:00", "2026-03-05T09:00+01:00", 72),  # Monday to Thursday
        ("2026-03-06T09:00+01:00", "2026-03-11T09:00+01:00", 72),  # Friday to Wednesday
        ("2026-03-07T12:00+01:00", "2026-03-09T00:00+01:00", 0),  # a weekend
        ("2026-03-06T23:00+01:00", "2026-03-09T01:00+01:00", 2),  # around a weekend
        ("2026-03-06T22:30+00:00", "2026-03-06T23:30+00:00", 0.5),  # Saturday starts here
        ("2026-03-27T12:00+01:00", "2026-03-30T12:00+02:00", 24),  # the clock went forward
        ("2026-10-23T12:00+02:00", "2026-10-26T12:00+01:00", 24),  # the clock went back
        ("2026-04-02T12:00+02:00", "2026-04-07T12:00+02:00", 24),  # around Easter
        ("2026-05-05T08:00+02:00", "2026-05-05T20:00+02:00", 0),  # 5 May
        ("2026-12-24T23:00+01:00", "2026-12-28T01:00+01:00", 2),  # around Christmas
        ("2026-03-05T09:00+01:00", "2026-03-02T09:00+01:00", -72),
    ],
)
def test_working_time_stands_still_in_dutch_weekends_and_on_holidays(
    since: str, until: str, hours: float
) -> None:
    span = working_time(datetime.fromisoformat(since), datetime.fromisoformat(until))

    assert span == timedelta(hours=hours)


def test_a_message_of_friday_is_given_up_on_wednesday() -> None:
    friday = datetime(2026, 3, 6, 9, 0, tzinfo=UTC)
    policy = RetryPolicy(give_up_after=WorkingDays(3))

    assert not policy.gives_up(friday, friday + timedelta(days=5) - HOUR)
    assert policy.gives_up(friday, friday + timedelta(days=5))


def test_a_message_of_the_thursday_before_easter_is_given_up_on_wednesday() -> None:
    thursday = datetime(2026, 4, 2, 7, 0, tzinfo=UTC)
    policy = RetryPolicy(give_up_after=WorkingDays(2))

    assert not policy.gives_up(thursday, thursday + timedelta(days=6) - HOUR)
    assert policy.gives_up(thursday, thursday + timedelta(days=6))


def test_a_plain_span_also_runs_in_the_weekend() -> None:
    saturday = datetime(2026, 3, 7, 9, 0, tzinfo=UTC)
    policy = RetryPolicy(give_up_after=HOUR)

    assert not policy.gives_up(saturday, saturday + HOUR / 2)
    assert policy.gives_up(saturday, saturday + HOUR)


def test_every_answer_has_a_move_and_every_state_its_transitions() -> None:
    assert set(MOVES) == set(Answer) == set(ANSWERS)
    assert set(TRANSITIONS) == set(State) == set(STATES)


def test_the_diagram_draws_every_move_and_nothing_else() -> None:
    drawn = {tuple(line.split(" --> ")) for line in mermaid().replace("    ", "").splitlines()[1:]}

    moves = {(str(old), str(new)) for old, news in TRANSITIONS.items() for new in news}
    assert moves == {pair for pair in drawn if "[*]" not in pair}
    assert ("[*]", "wacht") in drawn
    assert {pair[0] for pair in drawn if pair[1] == "[*]"} == {"bevestigd", "verworpen"}


def test_the_committed_page_says_what_the_tables_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m docs.levering"
