"""A party that lives at the broker: its own user, its own queues, and belief only after a check."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fixtures.parties import CaseSystem, fresh
from gateway import json
from gateway.adapters.certificates import PublicKey
from gateway.adapters.jades import holds, sign_body
from gateway.adapters.rabbitmq.events import BEVESTIGING, CLOUDEVENTS, FOUTBERICHT
from gateway.adapters.rabbitmq.topology import answer_queue, party_queue, permissions
from gateway.message import Json, Oin, as_bytes
from tests.servers import rabbitmq
from tests.servers.party import at_broker, submit, take
from tests.servers.rabbitmq import Broker

COMES_WITHIN = 15.0
"""Seconds that a busy machine may take to bring the next message."""


@dataclass(frozen=True)
class QueueParty:
    """A case system that sends, reads and confirms by queue.

    Attributes:
        http: The same party at the HTTP door, for its token and the gateway's keys.
        channel: Opened as the broker user of the party, with that user's rights.
        url: AMQP address of that user, for one more connection.
    """

    http: CaseSystem
    channel: AbstractChannel
    url: str

    @property
    def oin(self) -> Oin:
        return self.http.identity.oin

    @property
    def queue(self) -> str:
        return party_queue(self.oin)

    async def send(self, document: Json) -> str:
        """Publish a signed message; returns what the answer will carry back."""
        body = as_bytes(document)
        signature = sign_body(body, self.http.key, self.http.identity.cert, "PS256")
        return await self.publish(body, headers={"payload-signature": signature})

    async def publish(self, body: bytes, **properties: Any) -> str:
        """Publish exactly this on ``gateway.inzending``."""
        own = fresh()
        given = {"content_type": "application/json", "message_id": own, **properties}
        await submit(self.channel, body, user_id=self.oin, **given)
        return own

    async def confirm(self, *delivery_ids: str) -> None:
        """Say by event that these were taken."""
        await self._say(BEVESTIGING, {"afleverIds": list(delivery_ids)})

    async def object_to(self, delivery_id: str, code: str) -> None:
        """Say by event why this delivery is rejected."""
        await self._say(FOUTBERICHT, {"afleverId": delivery_id, "code": code})

    async def _say(self, kind: str, data: Json) -> None:
        event = {
            "specversion": "1.0",
            "id": fresh(),
            "source": f"urn:nld:oin:{self.oin}:systeem:zaaksysteem",
            "type": kind,
            "data": data,
        }
        await self.publish(as_bytes(event), content_type=CLOUDEVENTS)

    async def answer(self) -> tuple[AbstractIncomingMessage, Json]:
        """The next answer to a submission, acknowledged and believed."""
        message = await take(self.channel, answer_queue(self.oin))
        return message, await self.believe(message)

    async def take(self) -> Json:
        """The next delivery's event, acknowledged and believed."""
        return await self.believe(await take(self.channel, self.queue))

    async def believe(self, message: AbstractIncomingMessage) -> Json:
        """The content, after the gateway's published key has proved its signature."""
        protected, nothing, signature = str(message.headers["payload-signature"]).split(".")
        header = json.parse(_decoded(protected))
        assert nothing == ""
        assert (header["b64"], header["crit"]) == (False, ["b64"])
        key = await self._published(header["kid"], header["alg"])
        signed = protected.encode() + b"." + message.body
        assert holds(key, header["alg"], _decoded(signature), signed), "not the gateway's"
        return json.parse(message.body)

    async def _published(self, kid: str, algorithm: str) -> PublicKey:
        answer = await self.http.client.get(f"{self.http.url}/v1/sleutels")
        known = {key["kid"]: key for key in answer.json()["keys"]}[kid]
        assert (known["alg"], known["use"]) == (algorithm, "sig")
        if known["kty"] == "EC":
            x, y = _number(known["x"]), _number(known["y"])
            return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        return rsa.RSAPublicNumbers(_number(known["e"]), _number(known["n"])).public_key()


@asynccontextmanager
async def queue_party(broker: Broker, http: CaseSystem) -> AsyncIterator[QueueParty]:
    """That party, logged in with a broker user of exactly the rights that it should have."""
    rights = rabbitmq.Permissions(*permissions(http.identity.oin))
    url = broker.user(http.identity.oin, rights)
    async with at_broker(url) as channel:
        yield QueueParty(http, channel, url)


@asynccontextmanager
async def subscribed(
    channel: AbstractChannel,
    queue: str,
    on_message: Callable[[AbstractIncomingMessage], Awaitable[object]],
) -> AsyncIterator[None]:
    """One message at a time, for as long as the context lasts."""
    await channel.set_qos(prefetch_count=1)
    source = await channel.get_queue(queue, ensure=False)
    tag = await source.consume(on_message)
    try:
        yield
    finally:
        await source.cancel(tag)


@asynccontextmanager
async def holding(channel: AbstractChannel, queue: str) -> AsyncIterator[AbstractIncomingMessage]:
    """The next message, in hand and not answered."""
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with subscribed(channel, queue, arrived.put):
        yield await asyncio.wait_for(arrived.get(), COMES_WITHIN)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text))
