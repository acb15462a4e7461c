"""Counts and ages for a monitor, in the text format of Prometheus; never content.

On the admin listener only: a label may hold the OIN of a party. No number of a message or a
conversation is ever a label, and there are never more than a few hundred series.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from gateway.adapters.exposition import MEDIA_TYPE, Metric, histogram, text, value
from gateway.adapters.rest_in.services import Services
from gateway.adapters.tally import SECONDS, SIZES
from gateway.delivery import State
from gateway.errors import Fault
from gateway.record import Load

READ_EVERY_SECONDS: Final = 5.0
"""The ledger is read at most so often, however many monitors ask."""

MOST_PARTIES: Final = 20
"""So many parties are named: those for whom something waits longest."""

SETTLED_AFTER: Final = timedelta(seconds=40)
"""What was recorded so long ago is committed, or never will be: no statement takes longer."""

REMINDER, EXPIRED = "Herinnering", "TermijnVerstreken"


@dataclass(frozen=True)
class Reading:
    """What the ledger said."""

    at: datetime
    load: Load
    moments: Mapping[str, int]


class Gauges:
    """Reads the ledger for whoever asks, seldom; and adds up what the gateway said since."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._reading: Reading | None = None
        self._read_at = float("-inf")
        self._counted_until = services.line.clock()
        self.said = Counter({REMINDER: 0, EXPIRED: 0})

    async def newest(self) -> Reading | None:
        """What the ledger said at most ``READ_EVERY_SECONDS`` ago; None where it is silent."""
        async with self._lock:
            if time.monotonic() - self._read_at >= READ_EVERY_SECONDS:
                self._reading = await self._read()
                self._read_at = time.monotonic()
            return self._reading

    async def _read(self) -> Reading | None:
        services, since = self._services, self._counted_until
        now = services.line.clock()
        until = max(since, now - SETTLED_AFTER)
        try:
            load = await services.writer.read(services.ledger.load, since, until)
            moments = await services.writer.read(services.ledger.moments, now)
        except Fault:
            return None
        self._counted_until = until
        self.said.update(load.said)
        return Reading(now, load, moments)


def routes(services: Services) -> APIRouter:
    """The routes of this room; mounted on the admin listener only."""
    router = APIRouter(include_in_schema=False)
    gauges = Gauges(services)
    started = time.time()

    @router.get("/metrics")
    async def metrics() -> Response:
        reading = await gauges.newest()
        page = [
            value(
                "process_start_time_seconds",
                "Start of this process, in seconds since 1970.",
                started,
            ),
            *_of_process(services),
            value("gateway_ledger_up", "Whether the ledger answers.", reading is not None),
            *(() if reading is None else _of_ledger(reading)),
            *_said(gauges.said),
        ]
        return Response(text(page), media_type=MEDIA_TYPE)

    return router


def _of_process(services: Services) -> Iterator[Metric]:
    """What this process counted itself."""
    tally, refused = services.writer.tally, services.refusals.totals
    yield Metric(
        "gateway_accepted_total",
        "Messages accepted by this process; repeated: the sender got its first receipt again.",
        "counter",
        [
            ("", {"door": door.value, "repeated": str(repeated).lower()}, count)
            for (door, repeated), count in sorted(tally.accepted.copy().items())
        ],
    )
    yield Metric(
        "gateway_refused_total",
        "Messages refused by this process.",
        "counter",
        [
            ("", {"door": door.value, "code": code.value}, count)
            for (door, code), count in sorted(refused.items())
        ],
    )
    yield value(
        "gateway_writer_waiting",
        "Messages that wait for the next commit of this process.",
        services.writer.waiting,
    )
    yield histogram(
        "gateway_batch_messages", "Messages per commit.", SIZES, tally.sizes, tally.messages
    )
    yield histogram(
        "gateway_commit_seconds",
        "How long the ledger took for a commit of messages.",
        SECONDS,
        tally.seconds,
        tally.spent,
    )


def _of_ledger(reading: Reading) -> Iterator[Metric]:
    """What is the same for every process on this ledger."""
    load, now = reading.load, reading.at
    numbers: Counter[tuple[str, str]] = Counter()
    oldest: dict[str, datetime] = {}
    waits: dict[str, datetime] = {}
    for party, channel, state, count, since in load.standing:
        numbers[state.value, channel.value] += count
        oldest[state.value] = min(since, oldest.get(state.value, since))
        if state is State.WACHT:
            waits[party] = min(since, waits.get(party, since))
    yield Metric(
        "gateway_deliveries_unfinished",
        "Deliveries that may still need somebody.",
        "gauge",
        [
            ("", {"state": state, "channel": channel}, count)
            for (state, channel), count in sorted(numbers.items())
        ],
    )
    yield Metric(
        "gateway_oldest_delivery_seconds",
        "Age of the oldest unfinished delivery.",
        "gauge",
        [("", {"state": state}, _age(since, now)) for state, since in sorted(oldest.items())],
    )
    longest = sorted(waits.items(), key=lambda each: (each[1], each[0]))[:MOST_PARTIES]
    yield Metric(
        "gateway_recipient_waiting_seconds",
        f"Age of the oldest delivery that waits, of the {MOST_PARTIES} parties that wait longest.",
        "gauge",
        [("", {"ontvanger": party}, _age(since, now)) for party, since in longest],
    )
    yield value(
        "gateway_dead_letters_open", "Dead letters that wait for an operator.", load.dead_letters
    )
    yield Metric(
        "gateway_conversations_awaiting",
        "Conversations in which something will happen by itself; due: it should have happened.",
        "gauge",
        [("", {"soon": soon}, count) for soon, count in sorted(reading.moments.items())],
    )
    for name, told, at in (
        ("checkpoint", "Since this process last signed evidence.", load.checkpoint_at),
        ("day_close", "Since a day was last closed.", load.closed_at),
    ):
        age = None if at is None else _age(at, now)
        yield value(f"gateway_evidence_{name}_age_seconds", told, age)


def _said(said: Mapping[str, int]) -> Iterator[Metric]:
    for name, told, soort in (
        ("gateway_reminders_total", "Reminders", REMINDER),
        ("gateway_terms_expired_total", "Notices of a term that is over", EXPIRED),
    ):
        yield value(
            name,
            f"{told} by any process on this ledger since this one started; "
            "up to a minute behind, so take the largest and not the sum.",
            said.get(soort, 0),
            kind="counter",
        )


def _age(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
