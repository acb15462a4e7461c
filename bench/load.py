"""Load from another process: bare sockets, keep-alive, one message at a time on each.

    python -m bench.load CORPUS FIRST COUNT CONNECTIONS RATE URL…

posts documents FIRST … FIRST + COUNT of a corpus file (4-byte length, bytes, …), spread over
the addresses, and prints one JSON line. RATE 0 posts as fast as the answers come. Another RATE
posts so many a second, come what may; a latency is then counted from the instant at which the
message should have left.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

HEAD = (
    b"POST /v1/berichten HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/xml\r\n"
    b"Accept: application/json\r\nContent-Length: %d\r\n\r\n"
)


def documents(path: Path, first: int, count: int) -> Iterator[bytes]:
    """So many documents of a corpus file, read when they are needed."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, number = 0, 0
        while number < first + count and at < len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if number >= first:
                yield data[at + 4 : at + 4 + length]
            at += 4 + length
            number += 1


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[str] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result("cut off")

    def post(self, body: bytes) -> asyncio.Future[str]:
        """Send one document; the future holds the status."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(HEAD % len(body) + body)  # type: ignore[attr-defined]
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        _, named, length = head.partition(b"content-length:")
        if named:
            whole = len(self._buffer) >= end + 4 + int(length.split(b"\r\n")[0])
        else:
            whole = self._buffer.endswith(b"0\r\n\r\n")  # in chunks, and this is the last
        if whole:
            self._buffer = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(head[9:12].decode())


class Load:
    """Posts documents and keeps the figures."""

    def __init__(self, urls: list[str]) -> None:
        parts = [urlsplit(url) for url in urls]
        self._places = [(each.hostname or "", each.port or 80) for each in parts]
        self._opened = 0
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}

    async def open(self) -> Connection:
        host, port = self._places[self._opened % len(self._places)]
        self._opened += 1
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, host, port)
        return connection

    async def post(self, connection: Connection, body: bytes, since: float) -> None:
        status = await connection.post(body)
        self.latencies.append((time.monotonic() - since) * 1000)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == "cut off":
            raise ConnectionError("the contestant closed a connection")

    async def as_fast_as_it_goes(self, waiting: Iterator[bytes], connections: int) -> None:
        opened = [await self.open() for _ in range(connections)]

        async def keep_posting(connection: Connection) -> None:
            for body in waiting:
                await self.post(connection, body, time.monotonic())

        await asyncio.gather(*(keep_posting(connection) for connection in opened))

    async def paced(self, waiting: Iterator[bytes], connections: int, rate: float) -> None:
        idle = deque([await self.open() for _ in range(connections)])
        tasks: set[asyncio.Task[None]] = set()

        async def post_one(body: bytes, due: float) -> None:
            connection = idle.popleft() if idle else await self.open()
            await self.post(connection, body, due)
            idle.append(connection)

        began = time.monotonic()
        for number, body in enumerate(waiting):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(post_one(body, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


async def main(corpus: str, first: int, count: int, connections: int, rate: float) -> None:
    """Post everything once and print the figures."""
    load = Load(sys.argv[6:])
    waiting = documents(Path(corpus), first, count)
    began = time.monotonic()
    if rate:
        await load.paced(waiting, connections, rate)
    else:
        await load.as_fast_as_it_goes(waiting, connections)
    ended = time.monotonic()
    latencies = sorted(load.latencies)
    figures = {
        "began": began,
        "ended": ended,
        "messages": len(latencies),
        "statuses": load.statuses,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
        "max_ms": latencies[-1],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    uvloop.run(
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    )
