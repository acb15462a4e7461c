"""Station deliver: what does the answer mean, when to try again, when to give up?

Pure: the instant and the jitter come in as arguments. ``TRANSITIONS`` is every legal
move of a delivery; ``docs/levering.md`` is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class State(StrEnum):
    """Where a delivery stands."""

    WACHT = "wacht"
    AANGEBODEN = "aangeboden"
    BEVESTIGD = "bevestigd"
    GESTRAND = "gestrand"
    VERWORPEN = "verworpen"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.WACHT: frozenset(
        {State.WACHT, State.AANGEBODEN, State.BEVESTIGD, State.GESTRAND}
    ),
    # aangeboden -> wacht: a lost or rebuilt queue is refilled
    State.AANGEBODEN: frozenset({State.BEVESTIGD, State.GESTRAND, State.WACHT}),
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
    """Why a delivery is a dead letter (the broker's categories and ours)."""

    OPGEGEVEN = "opgegeven"  # push gave up by age
    GEWEIGERD = "geweigerd"  # the subscriber or endpoint said no
    AFLEVERLIMIET = "afleverlimiet"  # the subscriber crashed on it too often
    ONBESTELBAAR = "onbestelbaar"  # no queue, no channel
    ONLEESBAAR = "onleesbaar"  # garbage on the dead-letter queue
    VERLOPEN = "verlopen"  # the broker dropped it by length or time


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
class RetryPolicy:
    """When to try again and when to give up; per party.

    Attributes:
        first_wait: Upper bound of the wait after the first failure.
        longest_wait: No wait is longer, except where the peer's Retry-After is.
        give_up_after: Age since ``queued_at`` at which a failing delivery strands.
    """

    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=3)

    def wait_before(self, failures: int, jitter: float) -> timedelta:
        """Full-jitter exponential wait after ``failures`` failed tries.

        Args:
            failures: Failed tries so far, 1 or more.
            jitter: Random share in [0, 1), drawn by the caller.

        Returns:
            A wait in [0, min(longest_wait, first_wait * 2**(failures - 1))).
        """
        doublings = min(failures - 1, 40)
        ceiling = min(self.longest_wait, self.first_wait * 2**doublings)
        return ceiling * jitter


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What an attempt changes in the ledger.

    Attributes:
        fence: Token of the lease under which the attempt was made.
        retry_at: Set exactly when ``state`` is wacht.
        reason: Set exactly when ``state`` is gestrand.
        sent_sha256: SHA-256 over the bytes that left, 64 hex digits, if any left.
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
