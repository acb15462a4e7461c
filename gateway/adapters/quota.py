"""Quota per party: a bucket that fills evenly and is emptied by messages."""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.errors import Code, Refusal
from gateway.message import Oin
from gateway.routing.directory import Directory


class Quota:
    """Counts what each party hands in through this process.

    Args:
        directory: Gives each party's ``per_minute``; a stranger has none.
        seconds: A monotonic clock in seconds.
    """

    def __init__(self, directory: Callable[[], Directory], seconds: Callable[[], float]) -> None:
        self._directory = directory
        self._seconds = seconds
        self._buckets: dict[Oin, tuple[float, float]] = {}

    def __call__(self, oin: Oin) -> None:
        """Take one message's worth.

        Raises:
            Refusal: QUOTUM_BEREIKT, with the seconds until there is room again.
        """
        party = self._directory().parties.get(oin)
        if party is None:
            raise Refusal(Code.QUOTUM_BEREIKT, retry_after=60)
        per_second = party.per_minute / 60
        now = self._seconds()
        left, at = self._buckets.get(oin, (float(party.per_minute), now))
        left = min(float(party.per_minute), left + (now - at) * per_second)
        if left < 1:
            self._buckets[oin] = (left, now)
            raise Refusal(
                Code.QUOTUM_BEREIKT, retry_after=max(1, math.ceil((1 - left) / per_second))
            )
        self._buckets[oin] = (left - 1, now)
