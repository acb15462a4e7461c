"""Many requests over bare sockets, and what they cost the gateway's process."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fixtures.parties import CaseSystem
from fixtures.world import World
from gateway.adapters.jades import sign_digest
from gateway.message import Json, as_bytes

MIB = 1024 * 1024
PART_BYTES = 256 * 1024
"""How much of a request lies in this process, waiting to be sent."""


def resident(pid: int, *, peak: bool = False) -> float:
    """Memory of a process in MiB: now, or the most that it ever had."""
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def quantile(seconds: Iterable[float], share: float) -> float:
    """The smallest of these that no more than the rest of the share exceed, in ms."""
    ordered = sorted(seconds)
    return round(ordered[max(0, ceil(share * len(ordered)) - 1)] * 1000, 1)


def a_post(body: bytes, headers: Mapping[str, str], path: str = "/v1/berichten") -> bytes:
    """One whole request."""
    head = [f"POST {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def an_xml_post(body: bytes) -> bytes:
    """One message in XML, signed or not."""
    return a_post(body, {"Content-Type": "application/xml"})


def a_json_post(by: CaseSystem, token: Mapping[str, str], document: Json) -> bytes:
    """One message in JSON with its detached signature."""
    body = as_bytes(document)
    digest, signature = sign_digest(body, by.key, by.identity.cert)
    signed = {"Digest": digest, "Payload-Signature": signature}
    return a_post(body, {"Content-Type": "application/json", **signed, **token})


@dataclass
class Answers:
    """What came back, with how long each took in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    bodies: Counter[bytes] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@dataclass
class Connection:
    """One connection that is opened again when the gateway ends it."""

    url: str
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request whole and read its answer whole."""
        if self._open is None:
            self._open = await connect(self.url)
        reader, writer = self._open
        with contextlib.suppress(ConnectionError):  # answered and closed before it heard all
            for start in range(0, len(request), PART_BYTES):
                writer.write(request[start : start + PART_BYTES])
                await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            await self.close()
        return int(lines[0].split()[1]), body

    async def close(self) -> None:
        """Leave."""
        if self._open is not None:
            self._open[1].close()
            with contextlib.suppress(OSError):
                await self._open[1].wait_closed()
            self._open = None


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection to the gateway."""
    address = urlsplit(url)
    return await asyncio.open_connection(address.hostname, address.port)


async def flood(
    url: str,
    requests: Iterable[bytes],
    *,
    connections: int = 16,
    keep: bool = False,
    again: bool = False,
) -> Answers:
    """Send all of these as fast as they are answered, over so many connections.

    Args:
        keep: Count the bodies of the answers too.
        again: Send once more what the gateway hung up on without an answer.
    """
    answers, waiting = Answers(), iter(requests)

    async def one_line() -> None:
        connection = Connection(url)
        for request in waiting:
            began = time.monotonic()
            while True:
                try:
                    status, body = await connection.ask(request)
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    if not again:
                        raise
                    await connection.close()
            answers.seconds.append(time.monotonic() - began)
            answers.statuses[status] += 1
            if keep:
                answers.bodies[body] += 1
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_line())
    return answers


@asynccontextmanager
async def meanwhile(url: str, requests: Iterator[bytes], pause: float) -> AsyncIterator[Answers]:
    """An honest sender beside what happens inside: one request at a time, with a pause."""
    answers, over = Answers(), asyncio.Event()

    async def send() -> None:
        connection = Connection(url)
        while not over.is_set():
            began = time.monotonic()
            status, body = await connection.ask(next(requests))
            answers.seconds.append(time.monotonic() - began)
            answers.statuses[status] += 1
            answers.bodies[body] += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause)
        await connection.close()

    task = asyncio.create_task(send())
    try:
        yield answers
    finally:
        over.set()
        await task


def rows(world: World, query: str) -> list[tuple[Any, ...]]:
    """What the ledger file answers, read beside the gateway."""
    file = world.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
