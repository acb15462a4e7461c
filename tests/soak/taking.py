"""The parties that take: a queue's subscriber, a push endpoint, a postbus."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from fixtures.parties import Creditor, fresh
from fixtures.world import GATEWAY, SHV
from gateway import json
from gateway.adapters.rabbitmq.events import BEVESTIGING, CLOUDEVENTS
from gateway.message import Json, as_bytes
from tests.fault.broker_load import Subscriber
from tests.fault.load import Doors
from tests.servers.endpoint import Peer, says, sends_and_closes
from tests.servers.party import submit
from tests.soak.book import Book
from tests.soak.letters import POSTBUS, PUSH, QUEUE
from tests.soak.sending import Token


@dataclass
class Reader(Subscriber):
    """The SHV with a queue: confirms by event, acknowledges, always comes back.

    Attributes:
        rejecting: Share of what comes that it rejects, each message once.
    """

    book: Book = field(default_factory=Book)
    draw: random.Random = field(default_factory=random.Random)
    rejecting: float = 0.0

    async def _take(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        told = json.parse(message.body)["data"]["aflevering"]
        reference = told["referentienummer"]
        may_be_rejected = told["afzender"] != GATEWAY and reference not in self.book.rejected
        if may_be_rejected and self.draw.random() < self.rejecting:
            self.book.rejected.add(reference)
            await message.reject(requeue=False)
            return
        self.book.came(QUEUE, told)
        said = {
            "specversion": "1.0",
            "id": fresh(),
            "source": f"urn:nld:oin:{SHV}:systeem:zaaksysteem",
            "type": BEVESTIGING,
            "data": {"afleverIds": [told["afleverId"]]},
        }
        async with asyncio.timeout(10):
            await submit(channel, as_bytes(said), user_id=SHV, content_type=CLOUDEVENTS)
            await message.ack()


class Mood(StrEnum):
    """How the push endpoint behaves."""

    WELL = "goed"
    GONE = "weg"
    SLOW = "traag"
    ERROR = "500"
    BUSY = "429"
    CUT = "afgebroken"


@dataclass
class Endpoint:
    """The creditor's endpoint; what it takes is believed only after its signature is checked.

    Attributes:
        slow_seconds: How long it takes in its slow mood.
    """

    book: Book
    creditor: Creditor | None = None
    peer: Peer | None = None
    mood: Mood = Mood.WELL
    slow_seconds: float = 2.0

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer the request that was just heard."""
        assert self.peer is not None
        assert self.creditor is not None
        _, headers, body = self.peer.heard.pop()
        mood = self.mood
        if mood in {Mood.GONE, Mood.ERROR, Mood.BUSY}:
            await _UNWELL[mood](writer)
            return
        told = self.creditor.believe_xml(body)["aflevering"]
        if told["afleverId"] != headers["Aflever-Id"]:
            self.book.wrong("the header names another delivery than the body")
        self.book.came(PUSH, told)
        if mood is Mood.SLOW:
            await asyncio.sleep(self.slow_seconds)
        await _UNWELL.get(mood, says(200))(writer)


_UNWELL = {
    Mood.GONE: sends_and_closes(b""),
    Mood.ERROR: says(500),
    Mood.BUSY: says(429, Retry_After="2"),
    Mood.CUT: sends_and_closes(b"HTTP/1.1 200 X\r\nContent-Le"),
}


@dataclass
class Postbus:
    """A case system that looks now and then, takes what lies ready and confirms it."""

    token: Token
    doors: Doors
    client: httpx.AsyncClient
    book: Book

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            items: Sequence[Json] = ()
            try:
                items = await self._collect()
                for item in items:
                    self.book.came(POSTBUS, item["aflevering"])
                if items:
                    ids = [item["afleverId"] for item in items]
                    await self._ask("POST", "/v1/postbus/bevestigingen", json={"afleverIds": ids})
            except httpx.HTTPStatusError as error:
                self.token.forget()
                self.book.failed[f"postbus {error.response.status_code}"] += 1
            except httpx.HTTPError as error:
                self.book.failed[f"postbus {type(error).__name__}"] += 1
            await asyncio.sleep(0.2 if items else 0.5)

    async def _collect(self) -> list[Json]:
        query = {"aantal": "200", "inhoud": "ja"}
        return list((await self._ask("GET", "/v1/postbus", params=query)).json()["afleveringen"])

    async def _ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        headers = await self.token.header()
        answer = await self.doors.ask(self.client, method, path, headers=headers, **what)
        return answer.raise_for_status()
