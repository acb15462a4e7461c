"""The parties that send: each message until it is answered, as a tired integrator's system does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from fixtures.parties import ASSERTION, CaseSystem, fresh, now
from gateway.adapters.tokens import client_assertion
from tests.fault.load import Doors
from tests.soak.book import Book
from tests.soak.letters import CHANNELS, QUEUE, Letter, Writers

PATIENCE_SECONDS = 8.0
REPEATED_SHARE = 0.02
KEPT_LETTERS = 400
CONVERSATIONS_AT_ONCE = 48
RETRIED = {401, 408, 425, 429}


def keeping_client() -> httpx.AsyncClient:
    """A client that keeps its connections, and so meets those that just ended."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    patience = httpx.Timeout(PATIENCE_SECONDS, connect=2, pool=30)
    return httpx.AsyncClient(timeout=patience, limits=limits, trust_env=False)


@dataclass
class Token:
    """A party's token, fetched anew when it is not believed any more."""

    party: CaseSystem
    doors: Doors
    _text: str = ""

    async def header(self) -> dict[str, str]:
        if not self._text:
            self._text = await self._fetch()
        return {"Authorization": f"Bearer {self._text}"}

    def forget(self) -> None:
        self._text = ""

    async def _fetch(self) -> str:
        party = self.party
        identity, audience = party.identity, f"{party.url}/v1/token"
        assertion = client_assertion(
            identity.oin, party.key, identity.cert, audience, now(), fresh()
        )
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": assertion,
        }
        answer = await self.doors.ask(party.client, "POST", "/v1/token", data=form)
        return str(answer.raise_for_status().json()["access_token"])


@dataclass
class Pace:
    """So many messages a second, or as many as are answered.

    Attributes:
        rate: Messages a second; None is as fast as the answers come.
        times: Factor for the time of a burst.
    """

    rate: float | None = None
    times: float = 1.0
    _next: float = 0.0

    async def turn(self) -> None:
        """Wait until the next may go; what a fault kept back for long is not made up for."""
        if self.rate is None:
            return
        clock = time.monotonic()
        self._next = max(self._next + 1 / (self.rate * self.times), clock - 1.0)
        if self._next > clock:
            await asyncio.sleep(self._next - clock)


@dataclass
class Senders:
    """Many conversations at once.

    Attributes:
        kept: Some letters that were accepted, to send again.
        enough: Begin no further conversation.
    """

    writers: Writers
    doors: Doors
    client: httpx.AsyncClient
    token: Token
    book: Book
    pace: Pace
    draw: random.Random
    kept: list[Letter] = field(default_factory=list)
    enough: bool = False

    async def run(self) -> None:
        """Send until ``enough``; every conversation that was begun is finished."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CONVERSATIONS_AT_ONCE):
                group.create_task(self._talk())

    async def _talk(self) -> None:
        while not self.enough:
            for letter in await self.writers.next():
                await self.pace.turn()
                if not await self.deliver(letter):
                    break
                if self.draw.random() < REPEATED_SHARE:
                    await self.repeat(letter)
                self._keep(letter)

    async def deliver(self, letter: Letter) -> bool:
        """Send until it is answered; False when it was refused, which must not be."""
        while True:
            answer = await self._post(letter)
            if answer is None:
                await asyncio.sleep(self.draw.uniform(0.1, 0.5))
                continue
            if not answer.is_success:
                self.book.wrong(f"a good message was refused: {answer.status_code} {answer.text}")
            return answer.is_success

    async def repeat(self, letter: Letter) -> bool:
        """Send once more; whether an answer came, which is compared."""
        answer = await self._post(letter)
        return answer is not None and answer.is_success

    async def _post(self, letter: Letter) -> httpx.Response | None:
        """One request; None where the sender must try again."""
        begun = time.monotonic()
        try:
            headers = dict(letter.headers)
            if letter.needs_token:
                headers |= await self.token.header()
            answer = await self.doors.ask(
                self.client, "POST", "/v1/berichten", content=letter.body, headers=headers
            )
        except httpx.HTTPStatusError as error:
            self.book.failed[f"token {error.response.status_code}"] += 1
            return None
        except httpx.HTTPError as error:
            self.book.failed[type(error).__name__] += 1
            return None
        if answer.is_success:
            self.book.yes(letter.reference, answer.content, time.monotonic() - begun)
            return answer
        if answer.is_server_error or answer.status_code in RETRIED:
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self.token.forget()
            self.book.failed[str(answer.status_code)] += 1
            return None
        return answer

    def _keep(self, letter: Letter) -> None:
        if len(self.kept) < KEPT_LETTERS:
            self.kept.append(letter)
        elif self.draw.random() < 0.01:
            self.kept[self.draw.randrange(KEPT_LETTERS)] = letter

    async def garbage(self, count: int) -> None:
        """What must be refused: no XML, no signature, altered, and an id that was used."""
        kinds: list[tuple[str, Callable[[], Letter]]] = [
            ("rommel", self._rubbish),
            ("zonder handtekening", self._unsigned),
            ("veranderd", self._altered),
            ("conflict", self._conflicting),
        ]
        for _ in range(count):
            name, make = self.draw.choice(kinds)
            answer = await self._post(make())
            if answer is None:
                self.book.refused[f"{name}: geen antwoord"] += 1
            elif answer.is_success:
                self.book.wrong(f"{name}: accepted")
            else:
                self.book.refused[f"{name}: {answer.status_code}"] += 1

    def _rubbish(self) -> Letter:
        return Letter(
            fresh(), QUEUE, self.draw.randbytes(3000), {"Content-Type": "application/xml"}
        )

    def _unsigned(self) -> Letter:
        channel = self.draw.choice(CHANNELS)
        return self.writers.desk.letter(channel, fresh(), fresh(), signed=False)

    def _altered(self) -> Letter:
        made = self.writers.desk.letter(self.draw.choice(CHANNELS), fresh(), fresh())
        other = made.body.replace(made.reference.encode(), fresh().encode(), 1)
        return Letter(made.reference, made.channel, other, made.headers)

    def _conflicting(self) -> Letter:
        used = self.draw.choice(self.kept) if self.kept else self._unsigned()
        # the same referentienummer in another conversation is another message
        return self.writers.desk.letter(used.channel, fresh(), used.reference)
