"""A running gateway as the end-to-end tests see it: what goes in, and what the ledger kept."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import httpx
from lxml import etree

from fixtures.documents import document, kind
from fixtures.parties import CaseSystem, Creditor, Peer, fresh, now
from fixtures.pki import Variant
from fixtures.running import Reach, in_process
from fixtures.world import SE, SHV, World
from gateway.adapters.jades import sign_digest
from gateway.app import Gateway
from gateway.message import Json, Kind, Oin, as_bytes

NOTICE = kind("schuldregeling", "KennisgevingPubliek")
"""The kind that most tests send: it holds a name, an address and two BSNs."""


class Kept(NamedTuple):
    """How many rows the ledger has of what was accepted."""

    messages: int
    deliveries: int
    conversations: int


class RefusalRow(NamedTuple):
    """Everything that the ledger keeps of a refusal, but its id and time."""

    door: str
    code: str
    party: str | None
    referentienummer: str | None
    times: int


@dataclass(frozen=True)
class Sent:
    """One request to ``POST /v1/berichten``.

    Attributes:
        token_of: Who authenticates, if anybody.
    """

    body: bytes
    headers: Sequence[tuple[str, str]]
    token_of: Peer | None = None


@dataclass(frozen=True)
class Here:
    """A started gateway with an SHV that can write both forms.

    Attributes:
        url: Where messages are sent to.
    """

    gateway: Gateway
    reach: Reach
    url: str
    xml: Creditor
    json: CaseSystem

    @classmethod
    def at(cls, gateway: Gateway, reach: Reach) -> Here:
        """Around a gateway that runs."""
        return cls(gateway, reach, reach.url, reach.creditor(SHV), reach.case_system(SHV))

    @property
    def world(self) -> World:
        return self.reach.world

    async def post(self, sent: Sent) -> httpx.Response:
        """Send exactly this."""
        headers = list(sent.headers)
        if sent.token_of is not None:
            headers += (await sent.token_of.authorization()).items()
        url = f"{self.url}/v1/berichten"
        return await self.reach.client.post(url, content=sent.body, headers=headers)

    async def get(self, path: str, *headers: tuple[str, str]) -> httpx.Response:
        """Ask under exactly these headers."""
        return await self.reach.client.get(self.url + path, headers=list(headers))

    async def refusals(self) -> list[RefusalRow]:
        """Every refusal that was noted until now, oldest first."""
        services = self.gateway.services
        await services.refusals.flush()
        await services.writer.run(lambda: None)  # what another flush had under way is in
        query = "SELECT door, code, party, referentienummer, count FROM refusal ORDER BY id"
        rows = _rows(self.world, query)
        return [RefusalRow(*row) for row in rows]

    def kept(self) -> Kept:
        """How much was accepted until now."""
        tables = ("message", "delivery", "conversation")
        return Kept(*(_rows(self.world, f"SELECT count(*) FROM {t}")[0][0] for t in tables))

    def tree(self, made: Json, which: Kind = NOTICE) -> etree._Element:
        """A document as XML, not signed."""
        return self.reach.catalogue.to_xml(which, made)

    def as_xml(self, body: bytes, token_of: Peer | None = None) -> Sent:
        """These bytes as XML."""
        return Sent(body, [("Content-Type", "application/xml")], token_of)

    def as_json(self, body: bytes, *, by: Peer | None = None, token_of: Peer | None = None) -> Sent:
        """These bytes as JSON, signed by the SHV unless by another."""
        signer = by or self.json
        digest, signature = sign_digest(body, signer.key, signer.identity.cert)
        headers = [
            ("Content-Type", "application/json"),
            ("Digest", digest),
            ("Payload-Signature", signature),
        ]
        return Sent(body, headers, token_of or self.json)

    def signed(self, made: Json, which: Kind = NOTICE) -> Sent:
        """A document in XML, signed by the SHV."""
        return self.as_xml(self.xml.signed(which, made))

    def written(self, made: Json) -> Sent:
        """A document in JSON, signed by the SHV."""
        return self.as_json(as_bytes(made))

    def party(self, oin: Oin, variant: Variant = Variant.GOOD) -> CaseSystem:
        """Another party, or the same with another certificate."""
        return self.reach.case_system(oin, variant)


@asynccontextmanager
async def started(world: World) -> AsyncIterator[Here]:
    """The gateway of a world, in this event loop.

    The client leaves an idle connection before the gateway does: who sends on one that is
    just being closed gets no answer.
    """
    limits = httpx.Limits(keepalive_expiry=1)
    async with (
        in_process(world) as (gateway, reach),
        httpx.AsyncClient(timeout=30, limits=limits) as client,
    ):
        yield Here.at(gateway, replace(reach, client=client))


def a_notice(
    change: Json | None = None,
    *,
    which: Kind = NOTICE,
    reference: str | None = None,
    conversation: str | None = None,
    sender: Oin = SHV,
    recipient: Oin = SE,
    head: Json | None = None,
) -> Json:
    """An example message under a fresh referentienummer, from the SHV to the creditor.

    Args:
        change: Members to put over those of the example.
        head: Members to put over those of its Stuurgegevens.
    """
    made = document(
        which,
        reference=reference or fresh(),
        conversation=conversation or fresh(),
        sender=sender,
        recipient=recipient,
        at=now(),
        change=change,
    )
    next(iter(made.values()))["stuurgegevens"] |= head or {}
    return made


def reference_of(made: Json) -> str:
    """The referentienummer of a document."""
    return str(next(iter(made.values()))["stuurgegevens"]["referentienummer"])


def texts_of(value: Any, shortest: int = 5) -> Iterator[str]:
    """Every text in a document that is long enough to be recognised."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each, shortest)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each, shortest)
    elif isinstance(value, str) and len(value) >= shortest:
        yield value


def _rows(world: World, query: str) -> list[tuple[Any, ...]]:
    file = world.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
