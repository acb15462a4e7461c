"""The twelve canonical conversations travel, whole and in order, on both configurations."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from fixtures.gesprekken import ACCEPTED, PARTIES, Gesprek, Gezegd, load_all
from fixtures.parties import Creditor, Endpoint, Peer, serving
from fixtures.running import Reach, as_process
from fixtures.telling import Heard, Inbox, People, Postbus, Said, Telling, receipt_in
from fixtures.world import OVERIGE_SHV, SE, SHV, SHV_FASE_1, Entry, World, free_port, the_usual
from gateway.message import Json
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.queue_party import QueueParty, queue_party
from tests.servers.party import depth, eventually
from tests.servers.postgres import TEMPLATE, Postgres
from tests.servers.rabbitmq import Broker, RabbitMQ

conversations = load_all()

ABOUT_THE_CONVERSATION = {"TE_LAAT", "AKKOORD_VERVALLEN", "IBAN_NIET_EERDER_GEZIEN"}
"""Warnings that depend on what was said before."""

CREDITORS = {"se", "incasso", "publieke-se"}
"""Roles that write and read XML; the others write and read JSON."""


THREAD = "conversatieReferentienummer"


@dataclass
class Pushed:
    """Sent to the party's own endpoint, which takes the first time."""

    peer: Creditor
    endpoint: Endpoint
    waits: bool = False
    _read: int = 0

    async def drain(self) -> list[Json]:
        new, self._read = self.endpoint.taken[self._read :], len(self.endpoint.taken)
        assert self.endpoint.seen == self._read, "something was sent again"
        return [self.peer.believe_xml(body)["aflevering"] for body in new]


@dataclass
class Queue:
    """Read from the party's queue; each is confirmed before the next is awaited."""

    party: QueueParty
    waits: bool = False

    async def drain(self) -> list[Json]:
        found = []
        while await depth(self.party.channel, self.party.queue):
            found.append(await self._next())
        return found

    async def _next(self) -> Json:
        event = await self.party.take()
        await self.party.confirm(event["id"])
        told: Json = event["data"]["aflevering"]
        assert told["afleverId"] == event["id"]
        return told


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
    yield Town(new_world(folder, clock_ahead=str(folder / "vooruit")), catalogue)


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
        ahead = str(folder / "vooruit")
        world = new_world(folder, entries, ledger=ledger, broker=broker.url, clock_ahead=ahead)
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
async def test_a_conversation_goes_as_written_and_the_gateway_keeps_its_terms(
    town: Town, gesprek: Gesprek
) -> None:
    roles = [role for role in PARTIES if role != "gateway"]
    async with town.people(roles) as people:
        with closing(town.world.ledger()) as ledger:
            telling = Telling(gesprek, people, town.world.ahead, ledger)
            story = Story(telling)
            async for happened in telling.tell():
                match happened:
                    case Said():
                        await story.answered(happened)
                    case Heard():
                        story.heard.append(happened)

        story.everybody_got_what_was_sent()
        story.the_gateway_said_what_it_should()
        await story.eventually_confirmed()


@dataclass
class Story:
    """A conversation that is being told, held against how it was written.

    Attributes:
        sent: What must arrive, in order, by the role of its recipient.
    """

    telling: Telling
    heard: list[Heard] = field(default_factory=list)
    sent: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    receipts: dict[str, Json] = field(default_factory=dict)

    async def answered(self, said: Said) -> None:
        """A step got the answer, the warnings and the state that it should."""
        stap, answer, people = said.stap, said.answer, self.telling.people
        assert outcome(answer) == stap.verwacht, f"{stap.als}: {answer.text}"
        if stap.accepted:
            receipt = receipt_in(answer, people.peers[stap.van])
            if stap.herhaalt is None:
                assert answer.status_code == httpx.codes.ACCEPTED
                self.sent[stap.naar].append(said.document)
            else:
                assert answer.status_code == httpx.codes.OK
                assert receipt == self.receipts[stap.herhaalt]
            number = stuurgegevens(said.document)["referentienummer"]
            assert receipt["bericht"]["referentienummer"] == number
            warned = [each["regel"] for each in receipt.get("waarschuwingen", ())]
            assert [each for each in warned if each in ABOUT_THE_CONVERSATION] == [
                *stap.waarschuwing
            ]
            self.receipts[stap.als] = receipt
        if stap.staat is not None:
            thread = self.telling.threads[stap.gesprek]
            told = (await people.peers[stap.van].get(f"/v1/gesprekken/{thread}")).json()
            assert told["staat"]["code"] == stap.staat, stap.als

    def everybody_got_what_was_sent(self) -> None:
        """Whole, once, in order, to whom it was meant."""
        for role in self.telling.roles:
            came = [each.aflevering for each in self.heard if each.role == role and not each.own]
            for thread, messages in by_thread(self.sent[role]).items():
                mine = [told for told in came if told[THREAD] == thread]
                in_turn = [told["volgnummer"] for told in mine if not told.get("voorrang")]
                assert in_turn == sorted(in_turn), "only what says so overtakes"
                mine.sort(key=lambda told: int(told["volgnummer"]))
                assert [told["volgnummer"] for told in mine] == list(range(1, 1 + len(messages)))
                assert [told["bericht"] for told in mine] == messages
            assert len(came) == len(self.sent[role])
            assert {told["ontvanger"] for told in came} <= {PARTIES[role]}

    def the_gateway_said_what_it_should(self) -> None:
        """Everything on the day that was written, and nothing else."""
        told = [each for each in self.heard if each.own]
        came = sorted(
            (each.when, each.role, each.aflevering["soort"], self._about(each)) for each in told
        )
        said = [each for each in self.telling.gesprek.gezegd if self._is_said(each)]
        due = sorted((self._comes(each), each.aan, each.soort, each.over) for each in said)
        assert came == due
        for heard in told:
            body = next(iter(heard.aflevering["bericht"].values()))
            assert body["stuurgegevens"]["ontvanger"]["oin"] == PARTIES[heard.role]
            assert any(
                each.inhoud.items() <= body.items()
                for each in said
                if (self._comes(each), each.aan) == (heard.when, heard.role)
            ), body

    def _is_said(self, gezegd: Gezegd) -> bool:
        """What was pushed or published is not left lying."""
        naar = self.telling.gesprek.stap(gezegd.over).naar
        waits = self.telling.people.inboxes[naar].waits
        return waits or gezegd.inhoud.get("code") != "NIET_OPGEHAALD"

    def _comes(self, gezegd: Gezegd) -> timedelta:
        """When its recipient finds it: on the day itself, or once it is back."""
        moments = self.telling.gesprek.moments
        there = [each for each in moments if not self.telling.is_away(gezegd.aan, each)]
        return min(each for each in there if each >= gezegd.wanneer)

    def _about(self, heard: Heard) -> str | None:
        body = next(iter(heard.aflevering["bericht"].values()))
        return self.telling.step_of(body["stuurgegevens"]["crossReferentienummer"])

    async def eventually_confirmed(self) -> None:
        """The sender of each message sees that it was confirmed."""
        peers = self.telling.people.peers
        for stap in self.telling.gesprek.stappen:
            if not stap.accepted:
                continue
            path = f"/v1/berichten/{self.telling.numbers[stap.als]}"

            async def confirmed(peer: Peer = peers[stap.van], path: str = path) -> bool:
                return bool((await peer.get(path)).json()["status"] == "bevestigd")

            await eventually(confirmed, f"{stap.als} is confirmed")


def outcome(answer: httpx.Response) -> str:
    """What the gateway said, in the words of the conversations."""
    return ACCEPTED if answer.is_success else str(answer.json()["code"])


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
