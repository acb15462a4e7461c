"""The floor (b): only the indispensable work, as fast as honest Python does it.

One program with a bare socket: parse, verify, XSD, map, one ES256 signature, one insert per
batch that is committed before anything is published, one confirmed publish per message, 202.
No admission, no conversation, no retries, no sealing, no evidence. A document that is not in
order ends its connection, since the bench sends none.

``python -m bench.floor`` reads BENCH_PORT, BENCH_DATABASE, BENCH_BROKER, BENCH_QUEUE,
BENCH_CERTIFICATE, BENCH_KEY and BENCH_XSD.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import json
import os
import queue
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import aiormq
import psycopg
import uvloop
from aiormq.abc import AbstractChannel
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree
from pamqp.commands import Basic

from bench.mapping import mapped

LARGEST_BATCH = 64
SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
JWS_HEADER = base64.urlsafe_b64encode(b'{"alg":"ES256","b64":false,"crit":["b64"]}').rstrip(b"=")
INSERT = (
    "INSERT INTO bericht SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[],"
    " array_fill(now(), ARRAY[%b::int]), %b::bytea[], %b::bytea[])"
)


def setting(name: str) -> str:
    return os.environ[f"BENCH_{name}"]


@dataclass(slots=True)
class Taken:
    """One message that passed, and who waits for its 202."""

    id: uuid.UUID
    sender: str
    recipient: str
    kind: str
    original: bytes
    canonical: bytes
    signature: str
    transport: asyncio.Transport


class Work:
    """The pure part: bytes in, mapped and signed message out."""

    def __init__(self) -> None:
        certificate = x509.load_pem_x509_certificate(Path(setting("CERTIFICATE")).read_bytes())
        sender = certificate.public_key()
        key = serialization.load_pem_private_key(Path(setting("KEY")).read_bytes(), None)
        if not isinstance(sender, rsa.RSAPublicKey) or not isinstance(
            key, ec.EllipticCurvePrivateKey
        ):
            raise SystemExit("the bench signs with RSA, and this program with P-256")
        self._sender, self._key = sender, key
        self._schema = etree.XMLSchema(etree.parse(setting("XSD")))
        self._padding, self._sha256 = padding.PKCS1v15(), hashes.SHA256()
        self._ecdsa = ec.ECDSA(self._sha256)

    def take(self, body: bytes, transport: asyncio.Transport) -> Taken:
        root = etree.fromstring(body, PARSER)
        self._verify(root)
        self._schema.assertValid(root)
        document = mapped(root)
        header = next(iter(document.values()))["stuurgegevens"]
        canonical = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Taken(
            uuid.UUID(header["referentienummer"]),
            header["afzender"]["oin"],
            header["ontvanger"]["oin"],
            next(iter(document)),
            body,
            canonical,
            self._signed(canonical),
            transport,
        )

    def _verify(self, root: etree._Element) -> None:
        """The last child signs all the rest; it is gone afterwards."""
        signature = root[-1]
        if signature.tag != SIGNATURE:
            raise ValueError("no signature")
        signed_info, value = signature[0], signature[1]
        reference = signed_info[2]
        root.remove(signature)
        content = etree.tostring(root, method="c14n", exclusive=True)
        digest = base64.b64decode(reference[2].text)
        if reference.get("URI") != "" or hashlib.sha256(content).digest() != digest:
            raise ValueError("changed")
        self._sender.verify(
            base64.b64decode(value.text),
            etree.tostring(signed_info, method="c14n", exclusive=True),
            self._padding,
            self._sha256,
        )

    def _signed(self, body: bytes) -> str:
        der = self._key.sign(JWS_HEADER + b"." + body, self._ecdsa)
        r, s = utils.decode_dss_signature(der)
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return (JWS_HEADER + b".." + base64.urlsafe_b64encode(raw).rstrip(b"=")).decode()


class Door(asyncio.Protocol):
    """HTTP/1.1 as far as the load speaks it: a POST with a length, one at a time."""

    def __init__(self, work: Work, waiting: queue.SimpleQueue[Taken]) -> None:
        self._work, self._waiting = work, waiting
        self._buffer = b""
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._wanted:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            if at < 0:
                self._transport.write(  # type: ignore[attr-defined]
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
                )
                self._buffer = b""
                return
            self._wanted = int(head[at + 15 :].split(b"\r\n", 1)[0])
            self._buffer = self._buffer[end + 4 :]
        if len(self._buffer) >= self._wanted:
            body, self._buffer = self._buffer[: self._wanted], self._buffer[self._wanted :]
            self._wanted = 0
            try:
                self._waiting.put(self._work.take(body, self._transport))  # type: ignore[arg-type]
            except Exception:
                self._transport.close()
                raise


class Keeper(threading.Thread):
    """One insert and one commit for what waits together."""

    def __init__(
        self,
        waiting: queue.SimpleQueue[Taken],
        loop: asyncio.AbstractEventLoop,
        channel: AbstractChannel,
    ) -> None:
        super().__init__(daemon=True, name="keeper")
        self._waiting, self._loop, self._channel = waiting, loop, channel
        self._tasks: set[asyncio.Task[None]] = set()
        self._key = setting("QUEUE")

    def run(self) -> None:
        with psycopg.connect(setting("DATABASE"), autocommit=True) as connection:
            cursor = connection.cursor()
            while True:
                batch = [self._waiting.get()]
                while len(batch) < LARGEST_BATCH and not self._waiting.empty():
                    batch.append(self._waiting.get())
                columns = (
                    [one.id for one in batch],
                    [one.sender for one in batch],
                    [one.recipient for one in batch],
                    [one.kind for one in batch],
                    len(batch),
                    [one.original for one in batch],
                    [one.canonical for one in batch],
                )
                cursor.execute(INSERT, columns, prepare=True)
                self._loop.call_soon_threadsafe(self._publish, batch)

    def _publish(self, batch: list[Taken]) -> None:
        for one in batch:
            task = self._loop.create_task(self._publish_one(one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _publish_one(self, one: Taken) -> None:
        await self._channel.basic_publish(
            one.canonical,
            routing_key=self._key,
            properties=Basic.Properties(
                content_type="application/json",
                delivery_mode=2,
                message_id=str(one.id),
                headers={"payload-signature": one.signature},
            ),
            mandatory=True,
        )
        one.transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")


async def serve() -> None:
    """Until the process is ended."""
    loop = asyncio.get_running_loop()
    connection = await aiormq.connect(setting("BROKER"))
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    waiting: queue.SimpleQueue[Taken] = queue.SimpleQueue()
    work = Work()
    Keeper(waiting, loop, channel).start()
    server = await loop.create_server(
        lambda: Door(work, waiting), "127.0.0.1", int(setting("PORT")), backlog=256
    )
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
