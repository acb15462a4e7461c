"""Killing the gateway under load: what was answered is kept and delivered, nothing is invented."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from fixtures.documents import document, kind
from fixtures.parties import CaseSystem, Creditor, fresh, now
from fixtures.running import Reach, as_process
from fixtures.world import MUNICIPALITY, SE, SHV, Entry, World, two_way
from gateway import xml
from gateway.message import Json
from gateway.schemas import Catalogue
from tests.conftest import Counts, NewWorld
from tests.e2e.queue_party import queue_party, subscribed
from tests.servers.party import eventually
from tests.servers.rabbitmq import Broker

FIRST = kind("schuldregeling", "Saldoverzoek")
FURTHER = kind("schuldregeling", "StatusberichtShv")
CONVERSATIONS = 100
MESSAGES = 3 * CONVERSATIONS
SENDERS = 16
BEFORE_THE_KILL = 100
"""So many are answered, and the rest is on its way or still to come, when it is killed."""

LEASES_RUN_OUT = 60.0
"""Seconds in which a delivery that was under way at the kill is certainly tried again."""


@dataclass(frozen=True)
class Town:
    """A gateway that is not started, and where its SHV reads."""

    world: World
    catalogue: Catalogue
    broker: Broker | None = None

    @asynccontextmanager
    async def reach(self) -> AsyncIterator[Reach]:
        async with httpx.AsyncClient(timeout=30) as client:
            yield Reach(self.world, self.catalogue, client)


@dataclass
class Load:
    """The messages of one municipality to another, and what it heard of each.

    Attributes:
        bodies: Signed documents by referentienummer.
        conversations: These numbers by conversation; each is begun before it goes on.
        receipts: Ontvangstbevestiging of every answered one.
    """

    bodies: dict[str, bytes]
    conversations: list[list[str]]
    receipts: dict[str, Json] = field(default_factory=dict)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def signed(cls, creditor: Creditor) -> Load:
        """Messages of SE to SHV, three in each conversation."""
        bodies, conversations = {}, []
        for _ in range(CONVERSATIONS):
            talk = fresh()
            conversations.append([fresh() for _ in range(3)])
            for own, which in zip(conversations[-1], (FIRST, FURTHER, FURTHER), strict=True):
                made = document(
                    which, reference=own, conversation=talk, sender=SE, recipient=SHV, at=now()
                )
                bodies[own] = creditor.signed(which, made)
        return cls(bodies, conversations)

    async def send(self, creditor: Creditor) -> None:
        """Send what has no answer yet, over many connections, until the gateway is gone."""
        waiting = list(self.conversations)
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_on(creditor, waiting))

    async def _send_on(self, creditor: Creditor, waiting: list[list[str]]) -> None:
        while waiting:
            for own in waiting.pop(0):
                if own in self.receipts:
                    continue
                try:
                    answer = await creditor.send_bytes(self.bodies[own])
                except httpx.HTTPError:
                    return
                assert answer.is_success, answer.text
                self.receipts[own] = receipt_of(creditor, answer)
                if len(self.receipts) >= BEFORE_THE_KILL:
                    self.enough.set()


def receipt_of(creditor: Creditor, answer: httpx.Response) -> Json:
    """The Ontvangstbevestiging, of this message or of its first copy."""
    receipt: Json = creditor.catalogue.to_json(xml.parse(answer.content))["ontvangstbevestiging"]
    return receipt


@pytest.fixture(
    params=[
        pytest.param("sqlite", id="sqlite"),
        pytest.param(
            "broker", id="postgres-rabbitmq", marks=[pytest.mark.database, pytest.mark.broker]
        ),
    ]
)
def town(
    request: pytest.FixtureRequest, new_world: NewWorld, catalogue: Catalogue, tmp_path: Path
) -> Town:
    """An SHV with a postbus on SQLite, or with a queue on PostgreSQL and RabbitMQ."""
    by_queue = request.param == "broker"
    channel = "queue" if by_queue else "postbus"
    entries = two_way(shv=Entry(SHV, "Gemeente Voorbeeldstad", MUNICIPALITY, kanaal=channel))
    if not by_queue:
        return Town(new_world(tmp_path / "gateway", entries), catalogue)
    broker: Broker = request.getfixturevalue("broker")
    ledger = str(request.getfixturevalue("postgres_url"))
    world = new_world(tmp_path / "gateway", entries, ledger=ledger, broker=broker.url)
    return Town(world, catalogue, broker)


@pytest.mark.timeout(180)
async def test_a_kill_under_load_loses_nothing_and_invents_nothing(
    town: Town, counts: Counts
) -> None:
    async with town.reach() as reach:
        load = Load.signed(reach.creditor(SE))
        with as_process(town.world) as process:
            sending = asyncio.create_task(load.send(reach.creditor(SE)))
            await asyncio.wait_for(load.enough.wait(), 60)
            process.kill()
            await sending
        answered = dict(load.receipts)
        assert BEFORE_THE_KILL <= len(answered) < MESSAGES, "it was not killed under load"

    async with town.reach() as reach:
        with as_process(town.world):
            creditor = reach.creditor(SE)
            assert await known(creditor, answered) == answered

            await load.send(creditor)

            assert load.receipts.keys() == load.bodies.keys()
            assert await known(creditor, load.bodies) == load.receipts
            got = await collected(town, reach.case_system(SHV))
            assert sorted(got.references.values()) == sorted(load.bodies)
            assert set(map(tuple, got.order.values())) == {(1, 2, 3)}
            await until_confirmed(town.world)
    with closing(town.world.ledger()) as ledger:
        assert ledger.audit() == []
    counts(
        "kill -9 under load" + (", by queue" if town.broker else ", by postbus"),
        answered_before=len(answered),
        accepted=len(load.receipts),
        delivered=len(got.references),
        lost=len(load.receipts.keys() - set(got.references.values())),
    )


async def test_a_stop_answers_who_waits_at_the_postbus_and_takes_seconds(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path
) -> None:
    town = Town(new_world(tmp_path / "gateway"), catalogue)
    async with town.reach() as reach:
        with as_process(town.world) as process:
            shv = reach.case_system(SHV)
            assert await shv.collect() == []
            waiting = asyncio.create_task(shv.get("/v1/postbus", wacht="25"))
            await until_it_waits(reach, waiting)

            process.terminate()

            await asyncio.wait_for(asyncio.to_thread(process.wait), 20)
            assert process.returncode == 0
            assert (await waiting).status_code == httpx.codes.OK


async def until_it_waits(reach: Reach, request: asyncio.Task[httpx.Response]) -> None:
    """Two answers to others after a request left: it was read, and has no answer yet."""
    for _ in range(2):
        await reach.client.get(f"{reach.url}/health/ready")
    assert not request.done()


async def known(creditor: Creditor, numbers: Iterable[str]) -> dict[str, Json]:
    """The receipt that the gateway has of each of these messages."""
    views = {own: await creditor.get(f"/v1/berichten/{own}") for own in numbers}
    return {own: view.json()["ontvangstbevestiging"] for own, view in views.items()}


async def collected(town: Town, shv: CaseSystem) -> Deliveries:
    """Everything that reaches the SHV until it has all messages, confirmed one after the other."""
    got = Deliveries()
    if town.broker is None:
        while len(got.references) < MESSAGES:
            items = await shv.collect(wait=10)
            assert items, f"only {len(got.references)} lie ready"
            for item in items:
                got.take(item["aflevering"])
            await shv.confirm(*(item["afleverId"] for item in items))
        return got
    async with queue_party(town.broker, shv) as party:

        async def take(message: AbstractIncomingMessage) -> None:
            event = await party.believe(message)
            got.take(event["data"]["aflevering"])
            await party.confirm(event["id"])
            await message.ack()

        async with subscribed(party.channel, party.queue, take):
            await eventually(
                lambda: len(got.references) >= MESSAGES,
                "all messages have come",
                within=LEASES_RUN_OUT,
            )
    return got


@dataclass
class Deliveries:
    """What reached a party, each counted once.

    Attributes:
        references: Referentienummer by delivery id.
        order: Volgnummers as they first came, by conversation.
    """

    references: dict[str, str] = field(default_factory=dict)
    order: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def take(self, told: Json) -> None:
        """One Aflevering; a repeat changes nothing, and says the same."""
        own = told["afleverId"]
        if own not in self.references:
            self.order[told["conversatieReferentienummer"]].append(told["volgnummer"])
        assert self.references.setdefault(own, told["referentienummer"]) == told["referentienummer"]


async def until_confirmed(world: World) -> None:
    """Wait until the ledger has every message once and confirmed, and nothing else."""
    ledger = world.ledger()
    try:
        await eventually(
            lambda: ledger.overview()["parties"] == {SHV: {"bevestigd": MESSAGES}},
            "the ledger has every message once, confirmed",
        )
    finally:
        ledger.close()
