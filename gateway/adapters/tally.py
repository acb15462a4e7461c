"""What a process has taken in since it started: counted in memory, in the thread that writes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

from gateway.message import Door, Receipt, Submission
from gateway.record import Outcome

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Limits of how long a commit takes; longer ones are counted together."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Limits of how many messages share a commit."""


class Tally:
    """Counts of batches and of what was accepted; only the thread that writes adds to it.

    Attributes:
        accepted: By door, and whether the sender had a receipt already.
        sizes: How many batches of at most ``SIZES`` messages, and larger.
        seconds: How many took at most ``SECONDS``, and longer.
        messages: In all batches together, refused ones too.
        spent: Seconds in all batches together.
    """

    def __init__(self) -> None:
        self.accepted: Counter[tuple[Door, bool]] = Counter()
        self.sizes = [0] * (len(SIZES) + 1)
        self.seconds = [0] * (len(SECONDS) + 1)
        self.messages = 0
        self.spent = 0.0

    def batch(
        self, submissions: Sequence[Submission], outcomes: Sequence[Outcome], seconds: float
    ) -> None:
        """Count one batch that was recorded."""
        self.sizes[bisect_left(SIZES, len(outcomes))] += 1
        self.seconds[bisect_left(SECONDS, seconds)] += 1
        self.messages += len(outcomes)
        self.spent += seconds
        for submission, outcome in zip(submissions, outcomes, strict=True):
            if isinstance(outcome, Receipt):
                door = submission.message.verified.received.door
                self.accepted[door, outcome.repeated] += 1
