"""A party that sends each message until it is answered, as the contract asks of a sender.

It is a municipality that writes to other municipalities: a helper that may begin a conversation
with each. What follows in a conversation is sent when its first message was answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx

from fixtures.documents import document, kind
from fixtures.parties import Creditor, fresh, now
from fixtures.world import OVERIGE_SHV, SE, SHV
from tests.servers.party import eventually

FIRST = kind("schuldregeling", "Saldoverzoek")
FURTHER = kind("schuldregeling", "StatusberichtShv")
SENDERS = 8
MESSAGES = 450
"""So many are signed once in a run; every town has its own ledger, so all may use them."""

ALONE_EVERY = 10
"""So many messages, and one of them is in a conversation of its own; the rest are in threes."""


@dataclass(frozen=True)
class Signed:
    """The messages of SE.

    Attributes:
        bodies: Signed documents by referentienummer.
        first: The first of its conversation, for each that follows one.
        alone: Those for the SHV that nothing follows in their conversation.
    """

    bodies: Mapping[str, bytes]
    first: Mapping[str, str]
    alone: frozenset[str]

    def some(self, count: int, *, only_first: bool = False) -> Signed:
        """So many of these; every first one comes before what follows it."""
        chosen = (own for own in self.bodies if not (only_first and own in self.first))
        bodies = {own: self.bodies[own] for own in islice(chosen, count)}
        return Signed(bodies, self.first, self.alone)


def signed_messages(author: Creditor) -> Signed:
    bodies, first, alone = {}, {}, set()
    conversation, recipient, begun_by = fresh(), SHV, ""
    for number in range(MESSAGES):
        own, place = fresh(), number % ALONE_EVERY
        begins = place == 0 or place % 3 == 1
        if place % 3 == 1:
            recipient = OVERIGE_SHV if recipient == SHV else SHV
        if place == 0:
            alone.add(own)
        if begins:
            conversation, begun_by = fresh(), own
        else:
            first[own] = begun_by
        which = FIRST if begins else FURTHER
        made = document(
            which,
            reference=own,
            conversation=conversation,
            sender=SE,
            recipient=SHV if place == 0 else recipient,
            at=now(),
        )
        bodies[own] = author.signed(which, made)
    return Signed(bodies, first, frozenset(alone))


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
    """The messages of a party, and what it heard of each.

    Attributes:
        pause: Seconds between two messages of one sender.
        again: Begin again with the first when the last is answered.
        asked: How many answers said yes, those to repeats too.
        receipts: The answers that said yes.
        repeated: Referentienummers of which that answer said that it was known already.
        failed: How often a request got another answer or none, by what it got.
    """

    signed: Signed
    doors: Doors
    pause: float = 0.0
    again: bool = False
    asked: int = 0
    receipts: dict[str, bytes] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    _answered: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def bodies(self) -> Mapping[str, bytes]:
        """Signed documents by referentienummer."""
        return self.signed.bodies

    def _may_go(self) -> list[str]:
        """What begins a conversation, or follows in one that is begun."""
        first = self.signed.first
        return [own for own in self.bodies if own not in first or first[own] in self.receipts]

    def _follow(self, begun_by: str) -> list[str]:
        """What follows in the conversation that this one began."""
        first = self.signed.first
        return [own for own in self.bodies if first.get(own) == begun_by]

    async def send(self) -> None:
        """Send each until it is answered, over many connections."""
        waiting = [own for own in self._may_go() if own not in self.receipts]
        async with a_client() as client, asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_on(client, waiting))

    async def _send_on(self, client: httpx.AsyncClient, waiting: list[str]) -> None:
        while waiting or self.again:
            if not waiting:
                waiting.extend(self._may_go())
            own = waiting.pop(0)
            is_new = own not in self.receipts
            heard = await self._try(client, own)
            if heard is not None:
                self.failed[heard] += 1
                waiting.append(own)
            elif is_new:
                waiting[:0] = self._follow(own)
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
