"""A flood at the door *queue*: refusals are counted as at the door of HTTP, others are served."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple

import httpx
import pytest

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.running import Reach, as_process
from fixtures.world import SE, SHV, SHV_FASE_1, STRANGER, Entry, World, the_usual
from gateway.adapters.jades import sign_body
from gateway.adapters.rabbitmq.events import BEVESTIGING, CLOUDEVENTS
from gateway.adapters.rabbitmq.topology import GESTRAND, INZENDING, answer_queue
from gateway.adapters.rabbitmq.wire import keep_bodies_out_of_logs
from gateway.adapters.refusals import MOST_ENTRIES_PER_MINUTE
from gateway.errors import Code
from gateway.message import Json, Oin, as_bytes
from gateway.replies import FOUTBERICHT, ONTVANGSTBEVESTIGING
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.queue_party import QueueParty, queue_party
from tests.fault.conftest import Counts
from tests.fault.flooding import quantile, resident, rows
from tests.servers.party import at_broker, depth, eventually, submit, take_many
from tests.servers.rabbitmq import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

GARBAGE = 2_000
WARM = 100
AT_ONCE = 64
"""Submissions of the flood that wait for the broker's confirm."""

GROWTH_MIB = 40
"""What the process may grow during a flood."""

SETTLES_WITHIN = 120.0
ASKED = kind("schuldregeling", "Saldoverzoek")

PARTIES = the_usual(
    shv=Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", kanaal="queue"),
    shv_fase1=Entry(SHV_FASE_1, "Wijkteam Voorbeeld", "shv-fase-2", kanaal="queue"),
)


class Submission(NamedTuple):
    """What is published, but for who publishes it."""

    body: bytes
    properties: dict[str, Any]


@dataclass
class Served:
    """What the honest party heard of each message, with how long each took in seconds."""

    kinds: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """A gateway in a process of its own, with one party that floods and one that does not."""

    world: World
    process: Popen[bytes]
    broker: Broker
    flooder: QueueParty
    honest: QueueParty

    @property
    def log_bytes(self) -> int:
        """How much the process said until now."""
        return (self.world.folder / "gateway.log").stat().st_size

    async def flood(self, submissions: Iterable[Submission], **who: str) -> None:
        """Publish all of these as fast as the broker takes them."""
        waiting = iter(submissions)

        async def one_line() -> None:
            for body, properties in waiting:
                await submit(self.flooder.channel, body, **properties, **who)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(one_line())

    @asynccontextmanager
    async def meanwhile(self) -> AsyncIterator[Served]:
        """The honest party sends one message after the other, each when the last is answered."""
        served, over = Served(), asyncio.Event()

        async def send() -> None:
            while not over.is_set():
                began = time.monotonic()
                own = await self.honest.send(a_question(SHV_FASE_1))
                message, _ = await self.honest.answer()
                assert message.correlation_id == own
                served.seconds.append(time.monotonic() - began)
                served.kinds[str(message.type)] += 1

        task = asyncio.create_task(send())
        try:
            yield served
        finally:
            over.set()
            await task

    async def until_lies(self, queue: str, count: int) -> None:
        """Wait until exactly so many lie ready there."""
        async with at_broker(self.broker.url) as admin:

            async def so() -> bool:
                return await depth(admin, queue) == count

            await eventually(so, f"{count} in {queue}", within=SETTLES_WITHIN)

    def dead_letters(self) -> int:
        """How many wait for the operator."""
        ((count,),) = rows(self.world, "SELECT count(*) FROM dead_letter")
        return int(count)


@asynccontextmanager
async def a_scene(
    folder: Path, new_world: NewWorld, catalogue: Catalogue, broker: Broker
) -> AsyncIterator[Scene]:
    """Everything started, and the honest party was served once."""
    keep_bodies_out_of_logs()
    world = new_world(folder, PARTIES, broker=broker.url)
    with as_process(world) as process:
        async with httpx.AsyncClient(timeout=30) as client:
            reach = Reach(world, catalogue, client)
            async with (
                queue_party(broker, reach.case_system(SHV)) as flooder,
                queue_party(broker, reach.case_system(SHV_FASE_1)) as honest,
            ):
                await honest.send(a_question(SHV_FASE_1))
                await honest.answer()
                yield Scene(world, process, broker, flooder, honest)


def a_question(sender: Oin, recipient: Oin = SE) -> Json:
    """A message under a fresh referentienummer."""
    return document(
        ASKED,
        reference=fresh(),
        conversation=fresh(),
        sender=sender,
        recipient=recipient,
        at=now(),
    )


def refusable(by: QueueParty) -> list[Submission]:
    """One of each sort that the line refuses: before and after somebody is verified."""

    def signed(body: bytes, sent: bytes | None = None) -> Submission:
        signature = sign_body(body, by.http.key, by.http.identity.cert, "PS256")
        return Submission(sent or body, {"headers": {"payload-signature": signature}})

    good = as_bytes(a_question(SHV))
    return [
        Submission(good, {}),
        Submission(b"{}", {}),
        Submission(b"geen json \xff\x00" * 40, {}),
        Submission(b"[" * 500, {"headers": {"payload-signature": "a..b"}}),
        Submission(good, {"headers": {"payload-signature": 7}}),
        signed(good, good + b" "),
        signed(b'{"saldoverzoek":'),
        signed(as_bytes(a_question(SHV, STRANGER))),
        signed(as_bytes(a_question(SHV_FASE_1))),
    ]


UNREADABLE_EVENTS = [
    Submission(b"{}", {"content_type": CLOUDEVENTS}),
    Submission(as_bytes({"afleverIds": []}), {"type": BEVESTIGING}),
]
"""Answered like the others, and refused before the line."""


def in_the_flood(sorts: list[Submission], chosen: list[Submission]) -> int:
    """How many of these are among what is sent when all sorts are sent in turn."""
    sent = [*islice(cycle(sorts), WARM), *islice(cycle(sorts), GARBAGE)]
    return sum(each in chosen for each in sent)


async def test_a_flood_of_refusable_submissions_takes_no_room_and_hinders_nobody(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, broker: Broker, counts: Counts
) -> None:
    async with a_scene(tmp_path / "gateway", new_world, catalogue, broker) as scene:
        sorts = refusable(scene.flooder) + UNREADABLE_EVENTS
        answers = answer_queue(SHV)
        await scene.flood(islice(cycle(sorts), WARM), user_id=SHV)
        await scene.until_lies(answers, WARM)
        before, logged = resident(scene.process.pid), scene.log_bytes
        began = time.monotonic()
        async with scene.meanwhile() as served:
            await scene.flood(islice(cycle(sorts), GARBAGE), user_id=SHV)
            await scene.until_lies(answers, WARM + GARBAGE)
        seconds = time.monotonic() - began
        grown = resident(scene.process.pid) - before
        logged = scene.log_bytes - logged
        told = await take_many(scene.flooder.channel, answers, WARM + GARBAGE)
        await scene.until_lies(INZENDING, 0)
        dead = scene.dead_letters()

    query = "SELECT code, count(*), sum(count) FROM refusal WHERE door = 'queue' GROUP BY code"
    found = {code: (kept, counted) for code, kept, counted in rows(scene.world, query)}
    kept = sum(each for each, _ in found.values())
    counted = sum(each for _, each in found.values())
    assert {message.type for message in told} == {str(FOUTBERICHT)}
    assert counted == WARM + GARBAGE, "a refusal is not counted"
    assert found[Code.VERZOEK_ONGELDIG][1] == in_the_flood(sorts, UNREADABLE_EVENTS)
    minutes = int(seconds // 60) + 2
    assert kept <= minutes * (MOST_ENTRIES_PER_MINUTE + len(found))
    assert set(served.kinds) == {str(ONTVANGSTBEVESTIGING)}
    assert dead == 0
    assert grown < GROWTH_MIB
    counts(
        "flood of one party by queue",
        submissions=GARBAGE,
        counted=counted,
        rows=kept,
        codes=len(found),
        per_s=round(GARBAGE / seconds),
        grown_mib=round(grown, 1),
        log_bytes=logged,
        others_served=served.kinds.total(),
        others_longest_ms=quantile(served.seconds, 1),
    )


async def test_what_names_no_sender_is_kept_once_each_for_the_operator_and_hinders_nobody(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, broker: Broker, counts: Counts
) -> None:
    half = GARBAGE // 2
    bodies = [b"{}", *(b'{"nummer": %d}' % number for number in range(half))]
    nameless = [Submission(body, {}) for body in bodies + [b"{}"] * (GARBAGE - len(bodies))]
    async with a_scene(tmp_path / "gateway", new_world, catalogue, broker) as scene:
        before, logged = resident(scene.process.pid), scene.log_bytes
        began = time.monotonic()
        async with scene.meanwhile() as served:
            await scene.flood(nameless)
            await eventually(
                lambda: scene.dead_letters() >= 1 + half,
                "what differs is kept",
                within=SETTLES_WITHIN,
            )
        await scene.until_lies(INZENDING, 0)
        await scene.until_lies(GESTRAND, 0)
        seconds = time.monotonic() - began
        grown = resident(scene.process.pid) - before
        logged = scene.log_bytes - logged
        dead = scene.dead_letters()
        async with at_broker(broker.url) as admin:
            answered = await depth(admin, answer_queue(SHV))

    # nobody is known who could be counted or told, so each that differs is a dead letter
    assert dead == 1 + half
    assert answered == 0
    assert rows(scene.world, "SELECT count(*) FROM refusal") == [(0,)]
    assert set(served.kinds) == {str(ONTVANGSTBEVESTIGING)}
    assert grown < GROWTH_MIB
    counts(
        "flood without a sender by queue",
        submissions=GARBAGE,
        different=1 + half,
        dead_letters=dead,
        per_s=round(GARBAGE / seconds),
        grown_mib=round(grown, 1),
        log_bytes=logged,
        others_served=served.kinds.total(),
        others_longest_ms=quantile(served.seconds, 1),
    )
