"""A town under load: gateway processes, a creditor that sends, two SHVs that take.

The creditor sends each message until it is answered, as the contract asks of a sender. One SHV
reads its queue (where there is a broker) and the other its postbus; both confirm what they take.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aio_pika.abc import AbstractIncomingMessage

from fixtures.documents import document, kind
from fixtures.parties import ASSERTION, CaseSystem, Creditor, fresh, now
from fixtures.running import ROOT
from fixtures.world import OVERIGE_SHV, SE, SHV, Entry, World, free_port, process_environment
from gateway import json
from gateway.adapters.tokens import client_assertion
from gateway.message import Json, Oin
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.queue_party import QueueParty, queue_party, subscribed
from tests.servers.party import eventually
from tests.servers.process import dies_with_us
from tests.servers.rabbitmq import Broker

OPGAVE = kind("schuldregeling", "SaldoverzoekAntwoord")
SENDERS = 8
STARTS_WITHIN = 150.0
ALL_SENT_WITHIN = 180.0
ALL_ROLES = "ontvangen,bezorgen,klok,houder"
LEASES_RUN_OUT = 120.0
"""Seconds in which a delivery that was under way at a kill is certainly tried again."""


def the_parties(*, by_queue: bool) -> list[Entry]:
    """A creditor and two SHVs."""
    return [
        Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", vorm="xml"),
        Entry(
            SHV, "Gemeente Voorbeeldstad", "shv-fase-2", kanaal="queue" if by_queue else "postbus"
        ),
        Entry(OVERIGE_SHV, "Hulp Voorbeeld", "overige-shv"),
    ]


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
        creditor = Creditor(
            identity, world.settings.url, catalogue, httpx.AsyncClient(), world.gateway_certificate
        )
        _SIGNED[identity.cert_path] = _signed_messages(creditor)
    return Town(world, catalogue, _SIGNED[identity.cert_path], broker)


class GatewayProcess:
    """One process of the gateway, in one or more roles, with doors of its own.

    Args:
        root: The tree whose code it runs.
        host: Address to listen on.
        prefix: What runs it, such as ``ip netns exec …``.
        more: Further settings by variable.
    """

    def __init__(
        self,
        world: World,
        roles: str = ALL_ROLES,
        *,
        root: Path = ROOT,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.roles = roles
        self._world, self._root, self._prefix = world, root, prefix
        self._log = world.folder / f"{roles.replace(',', '-')}-{fresh()[:4]}.log"
        port, admin = free_port(), free_port()
        self.url = f"http://{host}:{port}"
        self.admin = f"http://{host}:{admin}"
        self._environment = {
            **process_environment(world),
            "GATEWAY_HOST": host,
            "GATEWAY_PORT": str(port),
            "GATEWAY_ADMIN_HOST": host,
            "GATEWAY_ADMIN_PORT": str(admin),
            "GATEWAY_ROLES": roles,
            **(more or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; ``until_ready`` waits for it."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, *dies_with_us(), sys.executable, "-m", "gateway", "dienst"],
                cwd=self._root,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def until_ready(self) -> None:
        """Return when it can accept or, without a door, do its work."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:

            async def ready() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, f"it ended at its start:\n{self.said()}"
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"{self.admin}/health/ready")
                    return answer.status_code == httpx.codes.OK
                return False

            await eventually(ready, f"{self.roles} is ready", within=STARTS_WITHIN)

    async def restart(self) -> None:
        """Start it again, and wait until it is ready."""
        self.start()
        await self.until_ready()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    async def terminate(self) -> None:
        """Ask it to stop and wait until it has; AssertionError when it did not end well."""
        assert self.process is not None
        self.process.terminate()
        code = await asyncio.to_thread(self.process.wait, 30)
        assert code == 0, f"it ended with {code}:\n{self.said()}"

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def said(self) -> str:
        """The last lines of its log."""
        return self._log.read_text(errors="replace")[-3000:]


@contextmanager
def running(*processes: GatewayProcess) -> Iterator[None]:
    """Start these, and end what runs of them."""
    try:
        for each in processes:
            each.start()
        yield
    finally:
        for each in processes:
            each.close()


MESSAGES = 450
"""So many are signed once in a run; every town has its own ledger, so all may use them."""

ALONE_EVERY = 10
"""So many messages, and one of them is in a conversation of its own; the rest are in threes."""


@dataclass(frozen=True)
class Signed:
    """A creditor's messages.

    Attributes:
        bodies: Signed documents by referentienummer.
        alone: Those for the SHV that nothing follows in their conversation.
    """

    bodies: Mapping[str, bytes]
    alone: frozenset[str]


_SIGNED: dict[Path, Signed] = {}


def _signed_messages(creditor: Creditor) -> Signed:
    bodies, alone = {}, set()
    conversation, recipient = fresh(), SHV
    for number in range(MESSAGES):
        own, place = fresh(), number % ALONE_EVERY
        if place % 3 == 1:
            recipient = OVERIGE_SHV if recipient == SHV else SHV
        if place == 0:
            alone.add(own)
        if place == 0 or place % 3 == 1:
            conversation = fresh()
        made = document(
            OPGAVE,
            reference=own,
            conversation=conversation,
            sender=SE,
            recipient=SHV if place == 0 else recipient,
            at=now(),
        )
        bodies[own] = creditor.signed(OPGAVE, made)
    return Signed(bodies, frozenset(alone))


@dataclass
class Doors:
    """Where the gateway is reached, as behind a balancer: in turn, and only where one opens.

    Attributes:
        urls: The doors; may change at any time.
        passed_on: How often nobody opened, and the next door was tried.
    """

    urls: list[str]
    passed_on: int = 0
    _turn: int = 0

    async def ask(
        self, client: httpx.AsyncClient, method: str, path: str, **what: Any
    ) -> httpx.Response:
        """One request, never sent a second time: the next door only when nothing was sent.

        Raises:
            httpx.HTTPError: no answer came, or every door is closed.
        """
        for _ in range(2 * len(self.urls)):
            self._turn += 1
            door = self.urls[self._turn % len(self.urls)]
            try:
                return await client.request(method, door + path, **what)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self.passed_on += 1
        raise httpx.ConnectError("every door is closed")


def a_client() -> httpx.AsyncClient:
    """A client with one connection per request.

    What is sent on an idle one that is just being closed gets no answer, and nobody may send
    it twice.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=httpx.Timeout(30, connect=2), limits=limits, trust_env=False)


@dataclass
class Load:
    """A creditor's messages, and what it heard of each.

    Attributes:
        bodies: Signed documents by referentienummer.
        pause: Seconds between two messages of one sender.
        again: Begin again with the first when the last is answered.
        asked: How many answers said yes, those to repeats too.
        receipts: The answers that said yes.
        repeated: Referentienummers of which that answer said that it was known already.
        failed: How often a request got another answer or none, by what it got.
    """

    bodies: Mapping[str, bytes]
    doors: Doors
    pause: float = 0.0
    again: bool = False
    asked: int = 0
    receipts: dict[str, bytes] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    _answered: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self) -> None:
        """Send each until it is answered, over many connections."""
        waiting = [own for own in self.bodies if own not in self.receipts]
        async with a_client() as client, asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_on(client, waiting))

    async def _send_on(self, client: httpx.AsyncClient, waiting: list[str]) -> None:
        while waiting or self.again:
            if not waiting:
                waiting.extend(self.bodies)
            own = waiting.pop(0)
            heard = await self._try(client, own)
            if heard is not None:
                self.failed[heard] += 1
                waiting.append(own)
            # a sender that repeats leaves some time in between
            await asyncio.sleep(self.pause if heard is None else 0.1)

    async def _try(self, client: httpx.AsyncClient, own: str) -> str | None:
        """Send one; None when it was taken, else what was heard."""
        try:
            answer = await self.doors.ask(
                client,
                "POST",
                "/v1/berichten",
                content=self.bodies[own],
                headers={"Content-Type": "application/xml"},
            )
        except httpx.HTTPError as error:
            return type(error).__name__
        if not answer.is_success:
            assert answer.is_server_error, answer.text
            return str(answer.status_code)
        if answer.status_code == httpx.codes.OK:
            self.repeated.add(own)
        async with self._answered:
            self.receipts[own] = answer.content
            self.asked += 1
            self._answered.notify_all()
        return None

    async def until_refused(self) -> None:
        """Wait until the gateway says once more that its ledger does not answer."""
        before = self.failed["503"]
        await eventually(lambda: self.failed["503"] > before, "the sender hears 503", within=30)

    async def until(self, count: int, *, within: float = 120.0) -> None:
        """Wait until so many are answered."""
        async with asyncio.timeout(within), self._answered:
            await self._answered.wait_for(lambda: len(self.receipts) >= count)

    async def until_further(self, count: int, *, within: float = 120.0) -> None:
        """Wait until so many more answers said yes."""
        enough = self.asked + count
        async with asyncio.timeout(within), self._answered:
            await self._answered.wait_for(lambda: self.asked >= enough)


@dataclass
class Taken:
    """What reached the SHVs.

    Attributes:
        references: Referentienummer by delivery id.
        order: Volgnummers as they first came, by conversation.
        repeats: How often something came again.
        failed: How often a request of theirs failed, by what it got.
        rejected: Referentienummers that the SHV with the queue rejects.
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
        broker: None where both SHVs have a postbus.
    """

    world: World
    catalogue: Catalogue
    signed: Signed
    broker: Broker | None = None

    def load(self, *processes: GatewayProcess, count: int = MESSAGES, pause: float = 0.0) -> Load:
        """The creditor, who has sent nothing yet, before the doors of these."""
        chosen = dict(list(self.signed.bodies.items())[:count])
        return Load(chosen, Doors([each.url for each in processes]), pause)

    @asynccontextmanager
    async def taking(self, doors: Doors, *, rejected: Collection[str] = ()) -> AsyncIterator[Taken]:
        """The two SHVs take and confirm all that comes, for as long as this lasts."""
        taken = Taken(rejected=rejected)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(a_client())
            boxes = [OVERIGE_SHV]
            if self.broker is None:
                boxes.append(SHV)
            else:
                reader = self._case_system(SHV, client)
                party = await stack.enter_async_context(queue_party(self.broker, reader))
                await stack.enter_async_context(_reading(party, taken))
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

    def _case_system(self, oin: Oin, client: httpx.AsyncClient) -> CaseSystem:
        world = self.world
        url, certificate = world.settings.url, world.gateway_certificate
        return CaseSystem(world.pki.party(oin), url, self.catalogue, client, certificate)


@dataclass(frozen=True)
class Scene:
    """A town in which the creditor is sending."""

    town: Town
    process: GatewayProcess
    load: Load
    taken: Taken
    sending: asyncio.Task[None]

    async def all_sent(self) -> None:
        """Wait until every message is answered."""
        await asyncio.wait_for(self.sending, ALL_SENT_WITHIN)


@asynccontextmanager
async def under_load(town: Town, *, count: int = MESSAGES) -> AsyncIterator[Scene]:
    """One process in all roles, a creditor that sends, and SHVs that take."""
    process = GatewayProcess(town.world)
    with running(process):
        await process.until_ready()
        load = town.load(process, count=count)
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
