"""Station deliver: what does the answer mean, when to try again, when to give up?

Pure: the instant and the jitter come in as arguments. ``TRANSITIONS`` is every legal
move of a delivery; ``docs/levering.md`` is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from gateway.calendar import AMSTERDAM as AMSTERDAM  # noqa: PLC0414 - a name of this module too
from gateway.calendar import Calendar
from gateway.message import Delivery

LONGEST_ASKED = timedelta(hours=24)
"""A peer's Retry-After is honoured up to here: no peer parks a message for weeks."""

_CALENDAR = Calendar()


class State(StrEnum):
    """Where a delivery stands."""

    WACHT = "wacht"
    AANGEBODEN = "aangeboden"
    BEVESTIGD = "bevestigd"
    GESTRAND = "gestrand"
    VERWORPEN = "verworpen"


TRANSITIONS: dict[State, frozenset[State]] = {
    # wacht, aangeboden -> verworpen: its sender recalled it before anybody could see it
    State.WACHT: frozenset(
        {State.WACHT, State.AANGEBODEN, State.BEVESTIGD, State.GESTRAND, State.VERWORPEN}
    ),
    # aangeboden -> wacht: a lost or rebuilt queue is refilled
    State.AANGEBODEN: frozenset({State.BEVESTIGD, State.GESTRAND, State.WACHT, State.VERWORPEN}),
    State.BEVESTIGD: frozenset(),
    State.GESTRAND: frozenset({State.WACHT, State.AANGEBODEN, State.VERWORPEN}),
    State.VERWORPEN: frozenset(),
}
"""Every legal move. An operator's replay is gestrand -> wacht (or aangeboden, postbus)."""


class Answer(StrEnum):
    """What one attempt came to. Each channel maps its protocol to these by a table."""

    CONFIRMED = "bevestigd"  # the recipient took responsibility
    OFFERED = "aangeboden"  # it lies where the recipient will find it
    REJECTED = "geweigerd"  # the recipient will never take it as it is
    UNAVAILABLE = "onbereikbaar"  # nobody answered, or asked us to come back
    MISCONFIGURED = "verkeerd-ingesteld"  # 401, 403, 404, 3xx: a person must look
    UNROUTABLE = "onbestelbaar"  # there is no way to this recipient now


class Reason(StrEnum):
    """Why a delivery ended unconfirmed (the broker's categories and ours)."""

    OPGEGEVEN = "opgegeven"  # push gave up by age
    GEWEIGERD = "geweigerd"  # the subscriber or endpoint said no
    AFLEVERLIMIET = "afleverlimiet"  # the subscriber crashed on it too often
    ONBESTELBAAR = "onbestelbaar"  # no queue, no channel
    ONLEESBAAR = "onleesbaar"  # garbage on the dead-letter queue
    VERLOPEN = "verlopen"  # the broker dropped it by length or time
    INGETROKKEN = "ingetrokken"  # recalled unseen; never a dead letter


@dataclass(frozen=True, slots=True)
class Attempted:
    """What a channel says of one attempt.

    Attributes:
        status: Protocol status (HTTP status), if there was one.
        note: Short technical word (``timeout``, ``tls``); never text of the peer.
        retry_after: What the peer asked for, if anything.
    """

    answer: Answer
    status: int | None = None
    note: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """A span that stands still on Saturdays, Sundays and holidays in the Netherlands.

    The dated list of the terms has no say here: this is our patience, and nobody's term.
    """

    days: int


def working_time(since: datetime, until: datetime) -> timedelta:
    """Time between two instants without the days in between that are no working days.

    Wall-clock arithmetic is exact here: the clock only changes on Sundays, and the
    hours of a Sunday do not count.

    Args:
        since: Aware instant.
        until: Aware instant; earlier than ``since`` gives a negative span.
    """
    start, end = since.astimezone(AMSTERDAM), until.astimezone(AMSTERDAM)
    days = _CALENDAR.working_days_between(start.date(), end.date())
    return timedelta(days=days) + _left(start) - _left(end)


def _left(local: datetime) -> timedelta:
    """How much of a day on the clock of Amsterdam is still to be worked."""
    if not _CALENDAR.is_working_day(local.date()):
        return timedelta(0)
    return timedelta(days=1) - timedelta(
        hours=local.hour,
        minutes=local.minute,
        seconds=local.second,
        microseconds=local.microsecond,
    )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again and when to give up; per party.

    Attributes:
        first_wait: Upper bound of the wait after the first failure.
        longest_wait: No wait is longer, except where the peer's Retry-After is.
        give_up_after: Age since ``queued_at`` at which a failing delivery strands: in
            working days, or as plain time.
    """

    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=1)
    give_up_after: WorkingDays | timedelta = WorkingDays(3)

    def wait_before(self, failures: int, jitter: float) -> timedelta:
        """Full-jitter exponential wait after ``failures`` failed tries.

        Args:
            failures: Failed tries so far, 1 or more.
            jitter: Random share in [0, 1), drawn by the caller.

        Returns:
            A wait in [0, min(longest_wait, first_wait * 2**(failures - 1))], rounded
            to microseconds.
        """
        # in floats, and bounded: doubling a timedelta for days on end overflows
        doubled = self.first_wait.total_seconds() * 2.0 ** min(failures - 1, 60)
        ceiling = min(self.longest_wait.total_seconds(), doubled)
        return timedelta(seconds=ceiling * jitter)

    def gives_up(self, queued_at: datetime, now: datetime) -> bool:
        """Whether a delivery of this age is not tried again."""
        if isinstance(self.give_up_after, WorkingDays):
            return working_time(queued_at, now) >= timedelta(days=self.give_up_after.days)
        return now - queued_at >= self.give_up_after


DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What an attempt changes in the ledger.

    Attributes:
        fence: Token of the lease under which the attempt was made.
        retry_at: Set exactly when ``state`` is wacht.
        reason: Set exactly when ``state`` is gestrand.
        sent_sha256: SHA-256 over the bytes that left, 64 hex digits, if any left.
        tot_en_met: The last day of the recipient's term, as it was told in what left.
    """

    delivery_id: str
    fence: int
    attempt: int
    state: State
    attempted: Attempted
    started_at: datetime
    ended_at: datetime
    retry_at: datetime | None = None
    reason: Reason | None = None
    sent_sha256: str | None = None
    tot_en_met: date | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What an answer does to a delivery that was being tried.

    Attributes:
        state: Where it goes.
        stranded: Why, if it ends here: at once for gestrand, by age for wacht.
    """

    state: State
    stranded: Reason | None = None


MOVES: dict[Answer, Move] = {
    Answer.CONFIRMED: Move(State.BEVESTIGD),
    Answer.OFFERED: Move(State.AANGEBODEN),
    Answer.REJECTED: Move(State.GESTRAND, Reason.GEWEIGERD),
    Answer.UNAVAILABLE: Move(State.WACHT, Reason.OPGEGEVEN),
    # kept like an outage, so that mending the endpoint delivers what waits
    Answer.MISCONFIGURED: Move(State.WACHT, Reason.OPGEGEVEN),
    Answer.UNROUTABLE: Move(State.WACHT, Reason.ONBESTELBAAR),
}
"""Every answer. Waiting ends as gestrand when the policy gives up."""


def after(
    delivery: Delivery,
    attempted: Attempted,
    *,
    policy: RetryPolicy = DEFAULT_POLICY,
    started_at: datetime,
    ended_at: datetime,
    jitter: float,
    sent_sha256: str | None = None,
    tot_en_met: date | None = None,
) -> Conclusion:
    """What one attempt changes: the answer's move, and the time of the next attempt.

    The next attempt is never before the peer's Retry-After (``LONGEST_ASKED`` at most)
    nor before the policy's own wait. A delivery that is due after its giving-up age is
    still tried once more then.

    Args:
        delivery: As the ledger lent it; its attempt counts as failed unless it succeeded.
        attempted: What the channel said.
        policy: The recipient's.
        started_at: Aware instant.
        ended_at: Aware instant; age and waits count from here.
        jitter: Random share in [0, 1), drawn by the caller.
        sent_sha256: SHA-256 over the bytes that left, if any left.
        tot_en_met: The last day of the recipient's term, as it was told in what left.
    """
    move = MOVES[attempted.answer]
    state, retry_at = move.state, None
    if state is State.WACHT:
        if policy.gives_up(delivery.queued_at, ended_at):
            state = State.GESTRAND
        else:
            asked = min(attempted.retry_after or timedelta(0), LONGEST_ASKED)
            retry_at = ended_at + max(asked, policy.wait_before(delivery.attempt, jitter))
    return Conclusion(
        delivery_id=delivery.id,
        fence=delivery.fence,
        attempt=delivery.attempt,
        state=state,
        attempted=attempted,
        started_at=started_at,
        ended_at=ended_at,
        retry_at=retry_at,
        reason=move.stranded if state is State.GESTRAND else None,
        sent_sha256=sent_sha256,
        tot_en_met=tot_en_met,
    )


def mermaid() -> str:
    """The state diagram of ``TRANSITIONS``, for ``docs/levering.md``.

    Every state without a way out is an end; wacht is where a delivery begins.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {State.WACHT}"]
    for state in State:
        targets = sorted(TRANSITIONS[state])
        lines += [f"    {state} --> {target}" for target in targets]
        if not targets:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)
