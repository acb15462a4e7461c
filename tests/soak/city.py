"""Everything that a soak needs, private: servers, gateway processes with split roles, parties."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from fixtures.parties import CaseSystem, Creditor
from fixtures.pki import make
from fixtures.running import ROOT, AnyPeer
from fixtures.world import (
    MUNICIPALITY,
    OVERIGE_SHV,
    SE,
    SHV,
    Entry,
    World,
    lay_out,
    process_environment,
)
from gateway.adapters.rabbitmq.topology import permissions
from gateway.message import Oin
from gateway.schemas import Catalogue
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.load import Doors
from tests.fault.pushing import a_pushed
from tests.servers.cutting_proxy import CuttingProxy
from tests.servers.endpoint import a_peer
from tests.servers.postgres import Postgres, a_postgres
from tests.servers.rabbitmq import Broker, Permissions, RabbitMQ, require_rabbitmq
from tests.soak.book import Book
from tests.soak.letters import Desk, Writers
from tests.soak.sending import Pace, Senders, Token, keeping_client
from tests.soak.taking import Endpoint, Postbus, Reader

DOOR_ROLES = "ontvangen,bezorgen"
KEEPER_ROLES = "houder,klok"
MOST_CONNECTIONS = 200
RETRIES = {"herhalen": "{ eerste_wachttijd = 0.5, langste_wachttijd = 5 }"}


@dataclass
class City:
    """What a fault may touch, and what is counted.

    Attributes:
        doors: The processes that parties reach; the second goes through the proxies.
        keeper: The process in the roles houder and klok.
        cuts: Proxies between the second process and PostgreSQL and RabbitMQ.
        reader_cut: Proxy between the subscriber and RabbitMQ.
    """

    world: World
    postgres: Postgres
    rabbit: RabbitMQ
    doors: tuple[GatewayProcess, GatewayProcess]
    keeper: GatewayProcess
    cuts: Sequence[CuttingProxy]
    reader_cut: CuttingProxy
    senders: Senders
    reader: Reader
    endpoint: Endpoint
    pace: Pace
    book: Book
    draw: random.Random
    push_address: str
    changes: int = 0

    @property
    def processes(self) -> dict[str, GatewayProcess]:
        one, two = self.doors
        return {"deur-1": one, "deur-2": two, "houder": self.keeper}

    async def command(self, *arguments: str, within: float = 600.0) -> tuple[int, str]:
        """An operator's command in a process of its own: its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *arguments,
            cwd=ROOT,
            env=process_environment(self.world),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), within)
        except BaseException:
            process.kill()
            raise
        return process.returncode or 0, said.decode(errors="replace")

    def parties(self) -> list[Entry]:
        return the_parties(self.push_address, self.changes)


def the_parties(push_address: str, changes: int = 0) -> list[Entry]:
    """The directory; every change is another version of it that means the same to the load."""
    patience = {"wachttijd_seconden": str(5 + changes % 2)}
    return [
        a_pushed(SE, "Gemeente Voorbeelddorp", MUNICIPALITY, push_address, **RETRIES, **patience),
        Entry(SHV, "Gemeente Voorbeeldstad", MUNICIPALITY, kanaal="queue", more=RETRIES),
        Entry(OVERIGE_SHV, f"Gemeente Voorbeelddam {changes}", MUNICIPALITY),
    ]


@contextmanager
def _a_rabbit() -> Iterator[RabbitMQ]:
    require_rabbitmq()
    folder = Path(tempfile.mkdtemp(prefix="gateway-rabbitmq-"))
    server = RabbitMQ(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Servers:
    """The private servers, and what breaks the connections with them.

    Attributes:
        cuts: Before PostgreSQL and before RabbitMQ.
    """

    postgres: Postgres
    broker: Broker
    cuts: tuple[CuttingProxy, CuttingProxy]
    reader_cut: CuttingProxy

    def through_the_cuts(self, world: World) -> dict[str, str]:
        """Settings of a process that reaches both servers through the proxies."""
        to_postgres, to_rabbit = self.cuts
        postgres, rabbit = f":{self.postgres.port}/", f":{self.broker.server.port}/"
        return {
            "GATEWAY_LEDGER": world.settings.ledger.replace(postgres, f":{to_postgres.port}/"),
            "GATEWAY_BROKER": self.broker.url.replace(rabbit, f":{to_rabbit.port}/"),
        }

    def for_the_reader(self) -> str:
        """AMQP address of the SHV's own user, through its own proxy."""
        url = self.broker.user(SHV, Permissions(*permissions(SHV)))
        return url.replace(f":{self.broker.server.port}/", f":{self.reader_cut.port}/")


@contextmanager
def _servers() -> Iterator[_Servers]:
    with ExitStack() as stack:
        postgres = stack.enter_context(a_postgres(durable=True, most_connections=MOST_CONNECTIONS))
        rabbit = stack.enter_context(_a_rabbit())
        vhost = f"soak-{uuid.uuid4().hex[:8]}"
        rabbit.add_vhost(vhost)
        one, two, three = (
            stack.enter_context(CuttingProxy(port))
            for port in (postgres.port, rabbit.port, rabbit.port)
        )
        yield _Servers(postgres, Broker(rabbit, vhost), (one, two), three)


@asynccontextmanager
async def _gateway(
    world: World, servers: _Servers
) -> AsyncIterator[tuple[GatewayProcess, GatewayProcess, GatewayProcess]]:
    """Two processes with doors and couriers, and one that keeps."""
    one = GatewayProcess(world, DOOR_ROLES)
    two = GatewayProcess(world, DOOR_ROLES, more=servers.through_the_cuts(world))
    keeper = GatewayProcess(world, KEEPER_ROLES)
    with running(one, two, keeper):
        for each in (one, two, keeper):
            await each.until_ready()
        yield one, two, keeper


@asynccontextmanager
async def a_city(folder: Path, seed: int) -> AsyncIterator[City]:
    """Start everything; the load does not run yet."""
    catalogue, pki, book = Catalogue.load(), make(folder / "pki"), Book()
    writers = Writers(Desk(pki, catalogue), seed)
    async with AsyncExitStack() as stack:
        stack.callback(writers.close)
        servers = stack.enter_context(_servers())
        endpoint = Endpoint(book)
        endpoint.peer = await stack.enter_async_context(a_peer(endpoint))
        address = f"http://127.0.0.1:{endpoint.peer.port}/in"
        world = lay_out(
            folder / "wereld",
            the_parties(address),
            pki=pki,
            ledger=servers.postgres.url(servers.postgres.create()),
            broker=servers.broker.url,
        )
        one, two, keeper = await stack.enter_async_context(_gateway(world, servers))
        client = await stack.enter_async_context(keeping_client())
        doors, pace = Doors([one.url, two.url]), Pace()
        endpoint.creditor = _party(Creditor, SE, world, catalogue, client)
        tokens = [
            Token(_party(CaseSystem, oin, world, catalogue, client), doors)
            for oin in (SHV, OVERIGE_SHV)
        ]
        reader = Reader([servers.for_the_reader()], book=book, draw=random.Random(seed + 1))
        draw = random.Random(seed + 2)
        senders = Senders(writers, doors, client, tokens[0], book, pace, draw)
        postbus = Postbus(tokens[1], doors, client, book)
        await stack.enter_async_context(_at_work(book, writers.run(), reader.run(), postbus.run()))
        yield City(
            world=world,
            postgres=servers.postgres,
            rabbit=servers.broker.server,
            doors=(one, two),
            keeper=keeper,
            cuts=servers.cuts,
            reader_cut=servers.reader_cut,
            senders=senders,
            reader=reader,
            endpoint=endpoint,
            pace=pace,
            book=book,
            draw=random.Random(seed),
            push_address=address,
        )


@asynccontextmanager
async def _at_work(book: Book, *parties: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """These go on for as long as this lasts; one that ends by itself is told."""
    tasks = [asyncio.create_task(each) for each in parties]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for how in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(how, Exception):
                book.wrong(f"a party ended: {type(how).__name__}: {how}")


def _party(
    sort: type[AnyPeer], oin: Oin, world: World, catalogue: Catalogue, client: httpx.AsyncClient
) -> AnyPeer:
    certificate = world.gateway_certificate
    return sort(world.pki.party(oin), world.settings.url, catalogue, client, certificate)
