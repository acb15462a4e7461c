"""Messages that flow from one municipality to another by queue, while the broker has trouble.

What must always hold in the end is in one place: ``Flow.settle``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from itertools import count

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import AbstractChannel as RawChannel

from fixtures.documents import document, kind
from fixtures.parties import CaseSystem, fresh, now
from fixtures.running import Reach, in_process
from fixtures.world import MUNICIPALITY, SE, SHV, Entry, World, two_way
from gateway import json
from gateway.adapters.rabbitmq.events import BEVESTIGING, CLOUDEVENTS
from gateway.adapters.rabbitmq.lanes import OwnCancellationOnly
from gateway.adapters.rabbitmq.topology import GESTRAND, party_queue
from gateway.app import Gateway
from gateway.audit import Flaw
from gateway.dead_letter import DeadLetterFilter
from gateway.message import Json, Kind, as_bytes
from tests.fault.conftest import Counts
from tests.servers.party import at_broker, depth, eventually, submit

FIRST = kind("schuldregeling", "Saldoverzoek")
FURTHER = kind("schuldregeling", "StatusberichtShv")
SENDERS = 4
PER_SECOND = 10.0
"""Messages of one sender, at most."""
SELDOM = 2
"""So often a sender may hear no answer: never, but for what else the machine does."""
SETTLES_WITHIN = 60.0
ANSWERS_WITHIN = 10.0
"""Seconds for anything that is asked of the broker."""
LOOKS_EVERY = 3.0
LOST: tuple[type[BaseException], ...] = (*CONNECTION_EXCEPTIONS, TimeoutError, OSError)

PARTIES = two_way(
    se=Entry(SE, "Gemeente Voorbeelddorp", MUNICIPALITY),
    shv=Entry(
        SHV,
        "Gemeente Voorbeeldstad",
        MUNICIPALITY,
        kanaal="queue",
        more={"herhalen": "{ eerste_wachttijd = 0.2, langste_wachttijd = 0.5 }"},
    ),
)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AbstractChannel]:
    connection = aio_pika.Connection(make_url(url, heartbeat=10))
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            await connection.connect()
            channel = await connection.channel(on_return_raises=True)
        yield channel
    finally:
        # also when there was nobody: else the library closes it whenever it is collected;
        # it would wait forever for a goodbye that the broker does not answer
        with suppress(*LOST):
            async with asyncio.timeout(ANSWERS_WITHIN / 2):
                await connection.close()


@dataclass
class Subscriber:
    """The system of who reads: takes, confirms by event, acknowledges, and always comes back.

    Attributes:
        references: Referentienummer by delivery id.
        order: Volgnummers as they first came, by conversation.
        copies: How many came, repeats included.
        confirms: How many of these the broker took a confirmation of.
    """

    urls: Sequence[str]
    references: dict[str, str] = field(default_factory=dict)
    order: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    copies: int = 0
    confirms: int = 0

    async def run(self) -> None:
        """Read until cancelled."""
        for attempt in count():
            # else the library could end this task, and nobody would read any more
            with suppress(*LOST), OwnCancellationOnly():
                async with _connected(self.urls[attempt % len(self.urls)]) as channel:
                    await self._read(channel)
            await asyncio.sleep(0.1)

    async def _read(self, channel: AbstractChannel) -> None:
        ended = asyncio.Event()
        raw = await channel.get_underlay_channel()
        raw.on_consumer_cancel_callbacks.add(lambda _: ended.set())
        channel.close_callbacks.add(lambda *_: ended.set())
        queue = await channel.get_queue(party_queue(SHV), ensure=False)
        in_hand: set[str | None] = set()

        async def on_message(message: AbstractIncomingMessage) -> None:
            in_hand.add(message.message_id)
            try:
                await self._take(channel, message)
            except LOST:
                ended.set()
            in_hand.discard(message.message_id)

        async with asyncio.timeout(ANSWERS_WITHIN):
            await channel.set_qos(prefetch_count=50)
            await queue.consume(on_message)
        while not ended.is_set():
            came = self.copies
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOKS_EVERY)
            idle = came == self.copies and not in_hand
            if idle and not ended.is_set() and await self._forgotten(raw):
                return

    async def _forgotten(self, raw: RawChannel) -> bool:
        """Whether the broker hands nothing to us who are idle, though it did not say so."""
        async with asyncio.timeout(ANSWERS_WITHIN):
            answer = await raw.queue_declare(party_queue(SHV), passive=True)
        return answer.consumer_count == 0 or bool(answer.message_count)

    async def _take(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        event = json.parse(message.body)
        told = event["data"]["aflevering"]
        own = told["afleverId"]
        assert own == event["id"] == message.message_id
        self.copies += 1
        if not self.keep(told):
            await message.reject(requeue=False)
            return
        said = {
            "specversion": "1.0",
            "id": fresh(),
            "source": f"urn:nld:oin:{SHV}:systeem:zaaksysteem",
            "type": BEVESTIGING,
            "data": {"afleverIds": [own]},
        }
        async with asyncio.timeout(10):
            await submit(channel, as_bytes(said), user_id=SHV, content_type=CLOUDEVENTS)
            self.confirms += 1
            await message.ack()

    def keep(self, told: Json) -> bool:
        """Note what came; False when it is to be rejected."""
        own = told["afleverId"]
        if own not in self.references:
            self.order[told["conversatieReferentienummer"]].append(told["volgnummer"])
        assert self.references.setdefault(own, told["referentienummer"]) == told["referentienummer"]
        return True


@dataclass
class Flow:
    """A gateway with a municipality that sends and one that reads.

    Attributes:
        accepted: Referentienummers that were answered with 202.
        unheard: How often a sender heard no answer.
    """

    gateway: Gateway
    reach: Reach
    sender: CaseSystem
    shv: Subscriber
    reading: asyncio.Task[None] | None = None
    accepted: set[str] = field(default_factory=set)
    unheard: int = 0

    def read(self) -> None:
        """Have the municipality read from now on."""
        self.reading = asyncio.create_task(self.shv.run())

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Messages are sent for as long as this lasts, three in each conversation."""
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send(enough))
            try:
                yield
            finally:
                enough.set()

    async def _send(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            conversation = fresh()
            for which in (FIRST, FURTHER, FURTHER):
                await self.tell(which, conversation)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1 / PER_SECOND):
                        await enough.wait()

    async def tell(self, which: Kind = FIRST, conversation: str | None = None) -> str:
        """One message; the gateway must accept it, whatever is the matter with the broker."""
        own = fresh()
        made = document(
            which,
            reference=own,
            conversation=conversation or fresh(),
            sender=SE,
            recipient=SHV,
            at=now(),
        )
        try:
            answer = await self.sender.send(made)
        except httpx.TransportError:  # a busy machine: a sender that heard nothing sends again
            self.unheard += 1
            assert (await self.sender.send(made)).is_success
        else:
            assert answer.status_code == 202, answer.text
        self.accepted.add(own)
        return own

    async def attempts(self, own: str) -> int:
        """How often the gateway tried to deliver this one, as its sender sees it."""
        view = await self.sender.get(f"/v1/berichten/{own}")
        return int(view.json()["pogingen"])

    async def until_received(self, more: int, what: str, within: float = 30.0) -> None:
        """So many more have come than until now."""
        before = len(self.shv.references)
        await eventually(lambda: len(self.shv.references) >= before + more, what, within=within)

    async def until_accepted(self, more: int, within: float = 30.0) -> None:
        """So many more were accepted than until now."""
        before = len(self.accepted)
        await eventually(
            lambda: len(self.accepted) >= before + more, "accepting goes on", within=within
        )

    def states(self) -> dict[str, int]:
        """Deliveries per state, as the ledger has them."""
        parties = self.gateway.services.ledger.overview()["parties"]
        return dict(parties.get(SHV, {}))

    def flaws(self) -> list[Flaw]:
        """Where the ledger says something else than was signed."""
        with closing(self.reach.world.ledger()) as ledger:
            return ledger.audit()

    async def settle(self, counts: Counts, name: str, **more: float | str) -> None:
        """Wait until everything is confirmed, and see what must always hold."""
        expected = {"bevestigd": len(self.accepted)}
        try:
            await eventually(
                lambda: self.states() == expected, "all is confirmed", within=SETTLES_WITHIN
            )
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.states()}, not {expected}") from None
        dead = self.gateway.services.ledger.dead_letters(DeadLetterFilter(resolved=True))
        assert self.unheard <= SELDOM, "the door does not answer"
        received = set(self.shv.references.values())
        assert received == self.accepted, "lost or invented"
        assert len(self.shv.references) == len(self.accepted), "a message under two ids"
        for volgnummers in self.shv.order.values():
            assert volgnummers == sorted(volgnummers), "out of order"
            assert volgnummers == list(range(1, len(volgnummers) + 1)), "a gap"
        assert dead == []
        assert await asyncio.to_thread(self.flaws) == []
        counts(
            name,
            accepted=len(self.accepted),
            unheard=self.unheard,
            delivered=len(self.shv.references),
            repeats=self.shv.copies - len(self.shv.references),
            dead_letters=len(dead),
            **more,
        )


@asynccontextmanager
async def flowing(
    world: World, party_urls: Sequence[str], *, reads: bool = True
) -> AsyncIterator[Flow]:
    """The gateway of a world in this event loop, and its municipality at the broker."""
    async with in_process(world) as (gateway, reach):
        flow = Flow(gateway, reach, reach.case_system(SE), Subscriber(party_urls))
        if reads:
            flow.read()
        try:
            yield flow
        finally:
            if flow.reading is not None:
                flow.reading.cancel()
                await asyncio.gather(flow.reading, return_exceptions=True)


async def seconds_until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> float:
    """How long it took from now, rounded to a tenth."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    await eventually(condition, what, within=30)
    return round(clock() - begun, 1)


async def nothing_dead_at(url: str) -> None:
    """No dead letter lies at the broker that the keeper does not have."""
    async with at_broker(url) as channel:

        async def empty() -> bool:
            return await depth(channel, GESTRAND) == 0

        await eventually(empty, "no dead letter waits")
