"""Load from another process: bare sockets, keep-alive, one message after another on each.

``python -m bench.load URL CORPUS CONNECTIONS`` posts every document of a corpus file (4-byte
length, bytes, …) and prints one JSON line: seconds, messages, latencies in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


def read_corpus(path: Path) -> list[bytes]:
    """All documents of a corpus file."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def write_corpus(path: Path, documents: list[bytes]) -> None:
    """The other way round."""
    path.write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in documents))


async def main(url: str, corpus: str, connections: int) -> None:
    """Post everything once."""
    documents = read_corpus(Path(corpus))
    parts = urlsplit(url)
    waiting = iter(documents)
    latencies: list[float] = []
    statuses: dict[str, int] = {}

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for body in waiting:
            started = time.perf_counter()
            writer.write(
                b"POST /v1/berichten HTTP/1.1\r\nHost: gateway\r\n"
                b"Content-Type: application/xml\r\nAccept: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            writer.write(body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append((time.perf_counter() - started) * 1000)
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    spent = time.perf_counter() - began
    latencies.sort()
    print(
        json.dumps(
            {
                "seconds": spent,
                "messages": len(documents),
                "statuses": statuses,
                "p50_ms": latencies[len(latencies) // 2],
                "p99_ms": latencies[int(len(latencies) * 0.99)],
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
