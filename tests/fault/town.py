"""A town under load: gateway processes, a municipality that sends, two that take.

The one sends each message until it is answered, as the contract asks of a sender. Of the others,
one reads its queue (where there is a broker) and one its postbus; both confirm what they take.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aio_pika.abc import AbstractIncomingMessage

from fixtures.parties import ASSERTION, CaseSystem, Creditor, fresh, now
from fixtures.world import MUNICIPALITY, OVERIGE_SHV, SE, SHV, Entry, World, two_way
from gateway import json
from gateway.adapters.tokens import client_assertion
from gateway.message import Json, Oin
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.queue_party import QueueParty, queue_party, subscribed
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.load import MESSAGES, Doors, Load, Signed, a_client, signed_messages
from tests.servers.rabbitmq import Broker

ALL_SENT_WITHIN = 180.0
LEASES_RUN_OUT = 120.0
"""Seconds in which a delivery that was under way at a kill is certainly tried again."""


def the_parties(*, by_queue: bool) -> list[Entry]:
    """SE, which sends, SHV by queue or postbus, and OVERIGE_SHV by postbus."""
    channel = "queue" if by_queue else "postbus"
    return two_way(shv=Entry(SHV, "Gemeente Voorbeeldstad", MUNICIPALITY, kanaal=channel))


_SIGNED: dict[Path, Signed] = {}


def a_town(
    new_world: NewWorld,
    catalogue: Catalogue,
    folder: Path,
    *,
    ledger: str | None = None,
    broker: Broker | None = None,
    broker_url: str = "",
) -> Town:
    """A prepared world without processes; a ledger of its own file unless one is given.

    Args:
        broker_url: How the gateway reaches that broker, where that differs from our own way.
    """
    given = {} if ledger is None else {"ledger": ledger}
    entries = the_parties(by_queue=broker is not None)
    url = broker_url or (broker.url if broker else "")
    world = new_world(folder, entries, broker=url, **given)
    identity = world.pki.party(SE)
    if identity.cert_path not in _SIGNED:
        author = Creditor(
            identity, world.settings.url, catalogue, httpx.AsyncClient(), world.gateway_certificate
        )
        _SIGNED[identity.cert_path] = signed_messages(author)
    return Town(world, catalogue, _SIGNED[identity.cert_path], broker)


@dataclass
class Taken:
    """What reached the two.

    Attributes:
        references: Referentienummer by delivery id.
        order: Volgnummers as they first came, by conversation.
        repeats: How often something came again.
        failed: How often a request of theirs failed, by what it got.
        rejected: Referentienummers that who has the queue rejects.
    """

    references: dict[str, str] = field(default_factory=dict)
    order: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    repeats: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    rejected: Collection[str] = ()

    def take(self, told: Json) -> None:
        """One Aflevering; a repeat says the same as the first."""
        own = told["afleverId"]
        if own in self.references:
            self.repeats += 1
        else:
            self.order[told["conversatieReferentienummer"]].append(told["volgnummer"])
        assert self.references.setdefault(own, told["referentienummer"]) == told["referentienummer"]


@dataclass(frozen=True)
class Town:
    """A world whose gateway processes a test starts, and the people in it.

    Attributes:
        broker: None where both have a postbus.
    """

    world: World
    catalogue: Catalogue
    signed: Signed
    broker: Broker | None = None

    def load(
        self,
        *processes: GatewayProcess,
        count: int = MESSAGES,
        pause: float = 0.0,
        only_first: bool = False,
    ) -> Load:
        """Who sends, and has sent nothing yet, before the doors of these.

        Args:
            only_first: One message in each conversation.
        """
        chosen = self.signed.some(count, only_first=only_first)
        return Load(chosen, Doors([each.url for each in processes]), pause)

    @asynccontextmanager
    async def taking(self, doors: Doors, *, rejected: Collection[str] = ()) -> AsyncIterator[Taken]:
        """The two take and confirm all that comes, for as long as this lasts."""
        taken = Taken(rejected=rejected)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(a_client())
            boxes = [OVERIGE_SHV]
            if self.broker is None:
                boxes.append(SHV)
            else:
                reader = self._case_system(SHV, client)
                await stack.enter_async_context(self.reading(reader, taken))
            shvs = [_Postbus(self._case_system(each, client), doors) for each in boxes]
            tasks = [asyncio.create_task(shv.empty(taken)) for shv in shvs]
            try:
                yield taken
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            for how in ended:
                if isinstance(how, Exception):
                    raise how

    @asynccontextmanager
    async def reading(self, shv: CaseSystem, taken: Taken) -> AsyncIterator[None]:
        """Who has the queue reads it, over one connection."""
        assert self.broker is not None
        async with queue_party(self.broker, shv) as party, _reading(party, taken):
            yield

    def _case_system(self, oin: Oin, client: httpx.AsyncClient) -> CaseSystem:
        world = self.world
        url, certificate = world.settings.url, world.gateway_certificate
        return CaseSystem(world.pki.party(oin), url, self.catalogue, client, certificate)


@dataclass(frozen=True)
class Scene:
    """A town in which messages are being sent."""

    town: Town
    process: GatewayProcess
    load: Load
    taken: Taken
    sending: asyncio.Task[None]

    async def all_sent(self) -> None:
        """Wait until every message is answered."""
        await asyncio.wait_for(self.sending, ALL_SENT_WITHIN)


@asynccontextmanager
async def under_load(
    town: Town, *, count: int = MESSAGES, only_first: bool = False
) -> AsyncIterator[Scene]:
    """One process in all roles, who sends, and who take; see ``Town.load``."""
    process = GatewayProcess(town.world)
    with running(process):
        await process.until_ready()
        load = town.load(process, count=count, only_first=only_first)
        async with town.taking(load.doors) as taken:
            sending = asyncio.create_task(load.send())
            try:
                yield Scene(town, process, load, taken, sending)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


@dataclass
class _Postbus:
    """A case system whose gateway has several doors; its assertion names the one address."""

    shv: CaseSystem
    doors: Doors
    _token: str = ""

    async def empty(self, taken: Taken) -> None:
        """Take and confirm what lies ready, time and again."""
        while True:
            items: list[Json] = []
            try:
                items = await self._collect()
                for item in items:
                    taken.take(item["aflevering"])
                if items:
                    await self._confirm([item["afleverId"] for item in items])
            except httpx.HTTPStatusError as error:
                taken.failed[str(error.response.status_code)] += 1
            except httpx.HTTPError as error:
                taken.failed[type(error).__name__] += 1
            if not items:
                await asyncio.sleep(0.1)  # as a case system that looks now and then

    async def _collect(self) -> list[Json]:
        query = {"aantal": "1000", "inhoud": "ja"}
        return list((await self._ask("GET", "/v1/postbus", params=query)).json()["afleveringen"])

    async def _confirm(self, ids: list[str]) -> None:
        await self._ask("POST", "/v1/postbus/bevestigingen", json={"afleverIds": ids})

    async def _ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        self._token = self._token or await self._authenticate()
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = await self.doors.ask(self.shv.client, method, path, headers=headers, **what)
        return answer.raise_for_status()

    async def _authenticate(self) -> str:
        shv = self.shv
        audience = f"{shv.url}/v1/token"
        assertion = client_assertion(
            shv.identity.oin, shv.key, shv.identity.cert, audience, now(), fresh()
        )
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": assertion,
        }
        answer = await self.doors.ask(shv.client, "POST", "/v1/token", data=form)
        return str(answer.raise_for_status().json()["access_token"])


@asynccontextmanager
async def _reading(party: QueueParty, taken: Taken) -> AsyncIterator[None]:
    async def take(message: AbstractIncomingMessage) -> None:
        event = json.parse(message.body)
        told = event["data"]["aflevering"]
        if told["referentienummer"] in taken.rejected:
            await message.reject(requeue=False)
            return
        taken.take(told)
        await party.confirm(event["id"])
        await message.ack()

    async with subscribed(party.channel, party.queue, take):
        yield
