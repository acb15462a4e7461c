"""Circuit breaker: which parties are left in peace for a while?

Per party: closed (everything goes) > open after so many failures in a row (nothing
goes) > half-open when the pause is over (one trial goes) > closed or open again.
In memory and per process: it spares the peer and our slots, and proves nothing. What
is due stays due in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.delivery import Answer, Attempted
from gateway.message import Oin

FAILING = frozenset({Answer.UNAVAILABLE, Answer.MISCONFIGURED})
"""Answers that say something of the endpoint and not of the message."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a circuit opens and for how long.

    Attributes:
        failures: Failures in a row that open the circuit, 1 or more.
        first_pause: How long it stays open the first time; doubles per failed trial.
        longest_pause: No pause is longer, whatever the peer's Retry-After says.
    """

    failures: int = 5
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(minutes=10)

    def pause(self, openings: int, asked: timedelta) -> timedelta:
        """How long to stay open for the ``openings``-th time in a row (1 or more)."""
        own = self.first_pause.total_seconds() * 2.0 ** min(openings - 1, 60)
        seconds = max(own, asked.total_seconds())
        return timedelta(seconds=min(seconds, self.longest_pause.total_seconds()))


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one failing party.

    Attributes:
        failures: Failures in a row while closed.
        openings: How often it opened in a row; 0 while closed.
        pause: How long it stays open this time.
        open_until: From when a trial may go; None while closed.
        trying: A trial is under way.
    """

    failures: int = 0
    openings: int = 0
    pause: timedelta = timedelta(0)
    open_until: datetime | None = None
    trying: bool = False

    def failed(self, policy: BreakerPolicy, asked: timedelta, now: datetime) -> Circuit:
        """After one more failure.

        An open circuit hears the stragglers of before it opened: they change nothing.
        """
        if self.open_until is not None and not self.trying:
            return self
        failures = self.failures + 1
        if failures < policy.failures:
            return Circuit(failures=failures)
        openings = self.openings + 1
        pause = policy.pause(openings, asked)
        return Circuit(failures, openings, pause, open_until=now + pause)

    def tried(self, now: datetime) -> Circuit:
        """With a trial under way; if that is never heard of, another may go later."""
        return replace(self, open_until=now + self.pause, trying=True)


class Breaker:
    """The circuits of all parties; time comes in as an argument."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._circuits: dict[Oin, Circuit] = {}

    def closed_for(self, now: datetime) -> frozenset[Oin]:
        """Parties to pass over: open, or with a trial under way."""
        return frozenset(
            party
            for party, circuit in self._circuits.items()
            if circuit.open_until is not None and now < circuit.open_until
        )

    def on_trial(self, now: datetime) -> frozenset[Oin]:
        """Half-open parties: one delivery may go, then ``taken`` says that it went."""
        return frozenset(
            party
            for party, circuit in self._circuits.items()
            if circuit.open_until is not None and now >= circuit.open_until
        )

    def taken(self, party: Oin, now: datetime) -> None:
        """A delivery to this party is under way; for a half-open one it is the trial."""
        if party in self.on_trial(now):
            self._circuits[party] = self._circuits[party].tried(now)

    def heard(self, party: Oin, attempted: Attempted, now: datetime) -> None:
        """What came of an attempt: failures add up, and any other answer closes."""
        if attempted.answer not in FAILING:
            self._circuits.pop(party, None)
            return
        asked = attempted.retry_after or timedelta(0)
        circuit = self._circuits.get(party, Circuit())
        self._circuits[party] = circuit.failed(self._policy, asked, now)
