"""A party's HTTP endpoint on a bare socket: it hears whole requests, and acts as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Act = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Answers one request."""


@dataclass
class Peer:
    """The endpoint while it runs.

    Attributes:
        heard: Request line, headers and body of every whole request, in order.
        server_names: What each TLS client asked for.
    """

    act: Act
    port: int = 0
    connections: int = 0
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                self.heard.append(await request(reader))
                await self.act(writer)
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    async def leave(self) -> None:
        """Let go of every connection."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """One whole request: its line, its headers and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["Content-Length"]))
    return head[0], headers, body


@contextlib.asynccontextmanager
async def a_peer(
    act: Act, tls: ssl.SSLContext | None = None, *, port: int = 0
) -> AsyncIterator[Peer]:
    """That endpoint on loopback, on a free port unless one is given."""
    peer = Peer(act)
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: peer.server_names.append(name)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", port, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await peer.leave()
        await server.wait_closed()


def says(status: int, body: bytes = b"", **headers: str) -> Act:
    """One whole answer; an underscore in a name is a hyphen."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return sends("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def sends(answer: bytes) -> Act:
    """Exactly these bytes."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return act


def sends_and_closes(answer: bytes) -> Act:
    """These bytes, and the connection ends."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return act


def sends_and_hangs(answer: bytes) -> Act:
    """These bytes, and nothing more."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await asyncio.Event().wait()

    return act


async def never_stops(writer: asyncio.StreamWriter) -> None:
    """A 200 whose body has no end."""
    writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        await writer.drain()


def drips(answer: bytes, every: float) -> Act:
    """One byte every so many seconds; a reader with patience gets it all."""

    async def act(writer: asyncio.StreamWriter) -> None:
        for one in answer:
            writer.write(bytes([one]))
            await writer.drain()
            await asyncio.sleep(every)

    return act


def in_turn(*acts: Act, then: Act) -> Act:
    """One act for each request as long as there are any, and ``then`` for every later one."""
    left = list(acts)

    async def act(writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if left else then)(writer)

    return act


def certificate_for(name: str, file: Path) -> None:
    """Write a key and its self-made certificate for this name into a PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(pem))
