"""The servers of the bench: a private PostgreSQL (fsync on) and RabbitMQ, and its queues."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiormq
import psycopg
from aiormq.abc import AbstractChannel

from bench.accounting import servers_below
from fixtures.world import SHV
from gateway.adapters.rabbitmq.topology import Limits, party_arguments, party_queue
from tests.servers.postgres import Postgres, _binaries
from tests.servers.rabbitmq import RabbitMQ

T = TypeVar("T")

logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # its farewells are no news here

GATEWAY_QUEUE = party_queue(SHV)
PLAIN_QUEUE = "bench.berichten"
TABLE = """
CREATE TABLE bericht (
    id uuid PRIMARY KEY,
    afzender text NOT NULL,
    ontvanger text NOT NULL,
    soort text NOT NULL,
    ontvangen_op timestamptz NOT NULL,
    origineel bytea COMPRESSION lz4 NOT NULL,
    canoniek bytea COMPRESSION lz4 NOT NULL
)
"""
"""What the contestants keep that are not the gateway; bodies compressed as the gateway's."""


@dataclass
class Servers:
    """Both servers, and the processes that they are."""

    postgres: Postgres
    rabbitmq: RabbitMQ
    folder: Path
    _vhosts: list[str] = field(default_factory=list)

    @property
    def postgres_pids(self) -> list[int]:
        return servers_below(os.getpid(), "postgres")

    @property
    def rabbitmq_pids(self) -> list[int]:
        return servers_below(os.getpid(), "beam.smp")

    def database(self, *, with_table: bool) -> str:
        """The address of a fresh database."""
        url = self.postgres.url(self.postgres.create())
        if with_table:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(TABLE)
        return url

    def broker(self) -> str:
        """The address of a fresh virtual host; the one before it is given up."""
        while self._vhosts:
            self.rabbitmq.retire_vhost(self._vhosts.pop())
        name = f"bench-{uuid.uuid4().hex[:12]}"
        self.rabbitmq.add_vhost(name)
        self._vhosts.append(name)
        return self.rabbitmq.url(name)

    def forget(self, database: str) -> None:
        """Delete a database, so that the next contestant finds the disk as this one did."""
        self.postgres.drop(database.rpartition("/")[2])


def version_of_postgres(servers: Servers) -> str:
    """As it says itself."""
    with psycopg.connect(servers.postgres.url("postgres")) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else ""


def version_of_rabbitmq(servers: Servers) -> str:
    """As it says itself when one connects."""

    async def ask() -> str:
        connection = await aiormq.connect(servers.rabbitmq.url("/"))
        version = connection.server_properties.get("version", b"")
        await connection.close()
        return version.decode() if isinstance(version, bytes) else str(version)

    return asyncio.run(ask())


@contextmanager
def servers() -> Iterator[Servers]:
    """Both, in a folder of their own; ended with the block."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # the unprivileged owner of a server may enter
        for server in ("postgres", "rabbitmq"):
            (folder / server).mkdir()
        postgres = Postgres(_binaries(), folder / "postgres", durable=True)
        postgres.initialise()
        postgres.start()
        stack.callback(postgres.stop)
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
            connection.execute("SELECT pg_reload_conf()")
        rabbitmq = RabbitMQ(folder / "rabbitmq")
        stack.callback(rabbitmq.close)
        rabbitmq.start()
        yield Servers(postgres, rabbitmq, folder)


class Queue:
    """One queue at the broker: how much arrived in it, from a thread of its own.

    ``emptying`` makes it a recipient that keeps up, by throwing away what is there.
    """

    def __init__(self, broker: str, name: str) -> None:
        self._address, self._name = f"{broker}?heartbeat=0", name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._taken = 0
        self._emptier: Future[None] | None = None
        self._connection, self._channel = self._do(self._open())

    async def _open(self) -> tuple[aiormq.Connection, AbstractChannel]:
        connection = aiormq.Connection(self._address, loop=self._loop)
        await connection.connect()
        return connection, await connection.channel(publisher_confirms=False)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def declare(self) -> None:
        """Make it, with the arguments of a party's queue."""
        arguments = party_arguments(Limits(), dead="")
        self._do(self._channel.queue_declare(self._name, durable=True, arguments=arguments))

    def arrived(self) -> int:
        """How many messages ever came, as far as this object watched."""
        return self._do(self._arrived())

    async def _arrived(self) -> int:
        answer = await self._channel.queue_declare(self._name, passive=True)
        return self._taken + (answer.message_count or 0)

    def start_emptying(self) -> None:
        """From now on throw away once a second what is there."""
        self._emptier = asyncio.run_coroutine_threadsafe(self._empty(), self._loop)

    async def _empty(self) -> None:
        while True:
            answer = await self._channel.queue_purge(self._name)
            self._taken += answer.message_count or 0
            await asyncio.sleep(1)

    def close(self) -> None:
        if self._emptier is not None:
            self._emptier.cancel()
        self._do(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
