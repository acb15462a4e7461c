"""The twelve canonical conversations travel, whole and in order, on both configurations."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from fixtures.gesprekken import ACCEPTED, PARTIES, Gesprek, Stap, documents, load_all
from fixtures.parties import CaseSystem, Creditor, Endpoint, Peer, fresh, now, serving
from fixtures.running import Reach, as_process
from fixtures.world import OVERIGE_SHV, SE, SHV, SHV_FASE_1, Entry, World, free_port, the_usual
from gateway import xml
from gateway.message import Json
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.queue_party import QueueParty, queue_party
from tests.servers.party import depth, eventually
from tests.servers.postgres import TEMPLATE, Postgres
from tests.servers.rabbitmq import Broker, RabbitMQ

conversations = load_all()

CREDITORS = {"se", "incasso", "publieke-se"}
"""Roles that write and read XML; the others write and read JSON."""


THREAD = "conversatieReferentienummer"


class Inbox(Protocol):
    """Where one party gets what is addressed to it."""

    async def take(self, count: int) -> list[Json]:
        """The next deliveries, believed and confirmed, in the order in which they came."""
        ...

    async def is_empty(self) -> bool:
        """Nothing more lies there."""
        ...


@dataclass
class Postbus:
    """Collected over HTTP, in the form of its owner."""

    peer: Peer

    async def take(self, count: int) -> list[Json]:
        items = await self.peer.collect(wait=20)
        assert len(items) == count
        outcomes = await self.peer.confirm(*(item["afleverId"] for item in items))
        assert set(outcomes.values()) == {"bevestigd"}
        return [self._read(item) for item in items]

    def _read(self, item: Json) -> Json:
        read = self.peer.believe_xml(item["xml"].encode()) if "xml" in item else item
        told: Json = read["aflevering"]
        return told

    async def is_empty(self) -> bool:
        return await self.peer.collect() == []


@dataclass
class Pushed:
    """Sent to the party's own endpoint, which takes the first time."""

    peer: Creditor
    endpoint: Endpoint

    async def take(self, count: int) -> list[Json]:
        await self.endpoint.until(lambda: len(self.endpoint.taken) >= count)
        return [self.peer.believe_xml(body)["aflevering"] for body in self.endpoint.taken]

    async def is_empty(self) -> bool:
        return self.endpoint.seen == len(self.endpoint.taken)


@dataclass
class Queue:
    """Read from the party's queue; each is confirmed before the next is awaited."""

    party: QueueParty

    async def take(self, count: int) -> list[Json]:
        return [await self._next() for _ in range(count)]

    async def _next(self) -> Json:
        event = await self.party.take()
        await self.party.confirm(event["id"])
        told: Json = event["data"]["aflevering"]
        assert told["afleverId"] == event["id"]
        return told

    async def is_empty(self) -> bool:
        return await depth(self.party.channel, self.party.queue) == 0


@dataclass
class People:
    """Everybody who takes part, at their doors and their inboxes."""

    peers: Mapping[str, Peer]
    inboxes: Mapping[str, Inbox]

    async def send(self, stap: Stap, document: Json) -> httpx.Response:
        """Through the door of the sender: signed XML, or JSON with a detached signature."""
        match self.peers[stap.van]:
            case Creditor() as creditor:
                return await creditor.send(stap.kind, document)
            case CaseSystem() as case_system:
                return await case_system.send(document)
            case _:
                raise AssertionError(f"{stap.van} has no door")


@dataclass(frozen=True)
class Town:
    """A gateway as a process of its own, and how its parties are reached.

    Attributes:
        port: Where the creditor's endpoint must listen, if it gets its messages pushed.
        broker: Where the debt helpers have their queues, if they have.
    """

    world: World
    catalogue: Catalogue
    port: int | None = None
    broker: Broker | None = None

    @asynccontextmanager
    async def people(self, roles: Iterable[str]) -> AsyncIterator[People]:
        """Who plays these roles, at work: endpoints listen, subscribers are logged in."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
            reach = Reach(self.world, self.catalogue, client)
            peers: dict[str, Peer] = {}
            inboxes: dict[str, Inbox] = {}
            for role in roles:
                oin = PARTIES[role]
                if role in CREDITORS:
                    creditor = reach.creditor(oin)
                    peers[role], inboxes[role] = creditor, Postbus(creditor)
                    if oin == SE and self.port is not None:
                        endpoint = Endpoint()
                        await stack.enter_async_context(serving(endpoint, self.port))
                        inboxes[role] = Pushed(creditor, endpoint)
                else:
                    system = reach.case_system(oin)
                    peers[role], inboxes[role] = system, Postbus(system)
                    if self.broker is not None:
                        party = await stack.enter_async_context(queue_party(self.broker, system))
                        inboxes[role] = Queue(party)
            yield People(peers, inboxes)


@contextmanager
def by_postbus(new_world: NewWorld, folder: Path, catalogue: Catalogue) -> Iterator[Town]:
    """The embedded default: SQLite, no broker, everybody collects."""
    yield Town(new_world(folder), catalogue)


@contextmanager
def by_broker(
    new_world: NewWorld,
    folder: Path,
    catalogue: Catalogue,
    postgres: Postgres,
    rabbitmq: RabbitMQ,
) -> Iterator[Town]:
    """PostgreSQL and RabbitMQ: debt helpers by queue, a creditor by push, others collect."""
    vhost, database = f"gesprekken-{uuid.uuid4().hex[:8]}", postgres.create(template=TEMPLATE)
    rabbitmq.add_vhost(vhost)
    broker, port = Broker(rabbitmq, vhost), free_port()
    entries = the_usual(
        shv=Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", kanaal="queue"),
        shv_fase1=Entry(SHV_FASE_1, "Wijkteam Voorbeeld", "shv-fase-1", kanaal="queue"),
        overige_shv=Entry(OVERIGE_SHV, "Hulp Voorbeeld", "overige-shv", kanaal="queue"),
        se=Entry(
            SE,
            "Energie Voorbeeld B.V.",
            "schuldeiser",
            kanaal="push",
            vorm="xml",
            more={
                "adres": f'"http://127.0.0.1:{port}/berichten"',
                "interne_netten": '["127.0.0.0/8"]',
            },
        ),
    )
    try:
        ledger = postgres.url(database)
        world = new_world(folder, entries, ledger=ledger, broker=broker.url)
        yield Town(world, catalogue, port, broker)
    finally:
        rabbitmq.retire_vhost(vhost)
        postgres.drop(database)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("postbus", id="sqlite"),
        pytest.param(
            "broker", id="postgres-rabbitmq", marks=[pytest.mark.database, pytest.mark.broker]
        ),
    ],
)
def town(
    request: pytest.FixtureRequest,
    new_world: NewWorld,
    catalogue: Catalogue,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Town]:
    """One running gateway for all conversations of a configuration."""
    folder = tmp_path_factory.mktemp("gesprekken") / "gateway"
    if request.param == "postbus":
        made = by_postbus(new_world, folder, catalogue)
    else:
        postgres: Postgres = request.getfixturevalue("postgres_server")
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq_server")
        made = by_broker(new_world, folder, catalogue, postgres, rabbitmq)
    with made as town, as_process(town.world):
        yield town


@pytest.mark.parametrize(
    "gesprek", conversations, ids=[f"{gesprek.nummer:02}" for gesprek in conversations]
)
async def test_a_conversation_arrives_whole_in_order_believed_and_confirmed(
    town: Town, gesprek: Gesprek
) -> None:
    roles = {role for stap in gesprek.stappen for role in (stap.van, stap.naar)}
    async with town.people(roles) as people:
        sent = await hand_in(people, gesprek)

        arrived = {role: await people.inboxes[role].take(len(sent[role])) for role in sent}

        for role, expected in sent.items():
            for thread, messages in by_thread(expected).items():
                came = [told for told in arrived[role] if told[THREAD] == thread]
                in_turn = [told["volgnummer"] for told in came if not told.get("voorrang")]
                assert in_turn == sorted(in_turn), "only what says so overtakes"
                came.sort(key=lambda told: int(told["volgnummer"]))
                assert [told["volgnummer"] for told in came] == list(range(1, 1 + len(messages)))
                assert [told["bericht"] for told in came] == messages
            assert len(arrived[role]) == len(expected)
            assert {told["ontvanger"] for told in arrived[role]} == {PARTIES[role]}
            await eventually_confirmed(people, expected)
            assert await people.inboxes[role].is_empty()


async def hand_in(people: People, gesprek: Gesprek) -> dict[str, list[Json]]:
    """Send every step and see the answer that it should get.

    Returns:
        What must arrive, in order, by the role of its recipient.
    """
    sent: dict[str, list[Json]] = defaultdict(list)
    receipts: dict[str, Json] = {}
    start = now() - gesprek.stappen[-1].wanneer
    for stap, document in documents(gesprek, start=start, fresh=fresh):
        answer = await people.send(stap, document)
        assert outcome(answer) == stap.verwacht, f"{stap.als}: {answer.text}"
        if not stap.accepted:
            continue
        receipt = ontvangstbevestiging(people.peers[stap.van], answer)
        if stap.herhaalt is None:
            assert answer.status_code == httpx.codes.ACCEPTED
            sent[stap.naar].append(document)
        else:
            assert answer.status_code == httpx.codes.OK
            assert receipt == receipts[stap.herhaalt]
        assert receipt["bericht"]["referentienummer"] == stuurgegevens(document)["referentienummer"]
        receipts[stap.als] = receipt
    return dict(sent)


def outcome(answer: httpx.Response) -> str:
    """What the gateway said, in the words of the conversations."""
    return ACCEPTED if answer.is_success else str(answer.json()["code"])


def ontvangstbevestiging(sender: Peer, answer: httpx.Response) -> Json:
    """The receipt, in the form of its reader."""
    in_xml = answer.headers["content-type"].startswith("application/xml")
    told = sender.catalogue.to_json(xml.parse(answer.content)) if in_xml else answer.json()
    receipt: Json = told["ontvangstbevestiging"]
    return receipt


def stuurgegevens(document: Json) -> Json:
    """The header of a message."""
    header: Json = next(iter(document.values()))["stuurgegevens"]
    return header


def by_thread(messages: Iterable[Json]) -> dict[str, list[Json]]:
    """Messages by conversation: only within one there is an order."""
    threads: dict[str, list[Json]] = defaultdict(list)
    for message in messages:
        threads[stuurgegevens(message)[THREAD]].append(message)
    return dict(threads)


async def eventually_confirmed(people: People, messages: Iterable[Json]) -> None:
    """The sender of each sees that it was confirmed."""
    roles = {oin: role for role, oin in PARTIES.items()}
    for header in map(stuurgegevens, messages):
        peer = people.peers[roles[header["afzender"]["oin"]]]

        async def confirmed(number: str = header["referentienummer"], peer: Peer = peer) -> bool:
            view = (await peer.get(f"/v1/berichten/{number}")).json()
            return bool(view["status"] == "bevestigd")

        await eventually(confirmed, f"{header['referentienummer']} is confirmed")
