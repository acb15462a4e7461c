"""A running gateway that pushes to one endpoint that fails and to one that does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fixtures.documents import kind
from fixtures.parties import fresh
from fixtures.world import PUBLIEKE_SE, SE, SHV, Entry, the_usual
from gateway.message import Json, Oin
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, Here, a_notice, started
from tests.e2e.operator import operator, operator_json
from tests.servers.cutting_proxy import CuttingProxy
from tests.servers.endpoint import Act, Peer, a_peer, says
from tests.servers.party import eventually

FURTHER = kind("schuldregeling", "StatusberichtShv")
QUICKLY = "{ eerste_wachttijd = 0.05, langste_wachttijd = 0.1 }"
PATIENCE_SECONDS = 5.0
"""How long the gateway waits for an answer of the endpoint that fails: enough for a good one, also
of a busy machine."""

YES = says(200)


class Attempt(NamedTuple):
    """One attempt as the ledger kept it."""

    answer: str
    status: str
    note: str


TAKEN = Attempt("bevestigd", "200", "")


@dataclass
class Faulty:
    """Acts out faults for one message, and takes every other.

    Attributes:
        target: Its referentienummer; empty for every message.
        times: When each request for it came, on a monotonic clock in seconds.
    """

    faults: list[Act] = field(default_factory=list)
    target: str = ""
    peer: Peer | None = None
    times: list[float] = field(default_factory=list)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer the request that was just heard."""
        assert self.peer is not None
        act = YES
        if self.target.encode() in self.peer.heard[-1][2]:
            self.times.append(time.monotonic())
            act = self.faults.pop(0) if self.faults else YES
        await act(writer)


@dataclass(frozen=True)
class Scene:
    """The gateway, the endpoint that fails (of SE) and one that is well (of PUBLIEKE_SE).

    Attributes:
        begun: Conversations in which something was said.
        way: Lies before the endpoint that fails, where it was asked for.
    """

    here: Here
    faulty: Faulty
    endpoint: Peer
    well: Peer
    begun: set[str] = field(default_factory=set)
    way: CuttingProxy | None = None

    async def tell(
        self,
        recipient: Oin = SE,
        *,
        talk: str | None = None,
        reference: str | None = None,
        head: Json | None = None,
    ) -> str:
        """Have one message accepted; gives its referentienummer.

        A conversation begins with a notice and goes on with status messages.

        Args:
            head: Members to put over those of its Stuurgegevens.
        """
        reference, talk = reference or fresh(), talk or fresh()
        which = FURTHER if talk in self.begun else NOTICE
        self.begun.add(talk)
        made = a_notice(
            which=which, recipient=recipient, conversation=talk, reference=reference, head=head
        )
        answer = await self.here.post(self.here.signed(made, which))
        assert answer.status_code == 202, answer.text
        return reference

    async def stands(self, reference: str) -> str:
        """The status that the sender sees."""
        answer = await self.here.json.get(f"/v1/berichten/{reference}")
        return str(answer.json()["status"])

    async def until(self, status: str, *references: str) -> None:
        """Wait until all of these stand so."""
        for reference in references:

            async def so(reference: str = reference) -> bool:
                return await self.stands(reference) == status

            await eventually(so, f"the message is {status}")

    def attempts(self, reference: str) -> list[Attempt]:
        """Every attempt that the ledger has of a message, oldest first."""
        steps = self.here.gateway.services.ledger.way(SHV, reference)
        details = [
            dict(pair.split("=", 1) for pair in str(step["detail"]).split())
            for step in steps
            if step["stap"] == "poging"
        ]
        assert [told["nummer"] for told in details] == [str(n + 1) for n in range(len(details))]
        return [
            Attempt(told["antwoord"], told.get("status", ""), told.get("bijzonder", ""))
            for told in details
        ]

    def heard(self, peer: Peer) -> list[tuple[str, str]]:
        """Delivery id and referentienummer of each request, each signed by the gateway."""
        creditor = self.here.reach.creditor(SE)
        told = []
        for _, headers, body in peer.heard:
            aflevering = creditor.believe_xml(body)["aflevering"]
            assert aflevering["afleverId"] == headers["Aflever-Id"]
            told.append((headers["Aflever-Id"], aflevering["referentienummer"]))
        return told

    def dead(self) -> list[tuple[str, str]]:
        """Referentienummer and reason of every open dead letter."""
        listed = operator_json(self.here.world, "gestrand", "lijst")
        return [(one["referentienummer"], one["reden"]) for one in listed]

    def replay_all(self) -> None:
        """What an operator does when the endpoint is mended."""
        arguments = ("herhaal", "--alles", "--ontvanger", SE, "--waarom", "hersteld")
        assert operator(self.here.world, "gestrand", *arguments).code == 0
        self.here.gateway.services.news.ring()


def a_pushed(oin: Oin, naam: str, rol: str, address: str, **more: str) -> Entry:
    """A party that gets XML pushed to this address on loopback, with quick retries."""
    keys = {
        "adres": f'"{address}"',
        "interne_netten": '["127.0.0.0/8", "::1/128"]',
        "herhalen": QUICKLY,
        **more,
    }
    return Entry(oin, naam, rol, kanaal="push", vorm="xml", more=keys)


def an_address(port: int) -> str:
    """Where an endpoint on this port takes messages."""
    return f"http://127.0.0.1:{port}/in"


def two_endpoints(se: str, publieke_se: str, patience: float) -> list[Entry]:
    """The usual parties, of which these two have an endpoint."""
    waiting = {"wachttijd_seconden": str(patience)}
    return the_usual(
        se=a_pushed(SE, "Energie Voorbeeld B.V.", "schuldeiser", se, **waiting),
        publieke_se=a_pushed(PUBLIEKE_SE, "Rijk Voorbeeld", "schuldeiser", publieke_se),
    )


@asynccontextmanager
async def a_scene(
    folder: Path,
    new_world: NewWorld,
    faults: Sequence[Act] = (),
    *,
    target: str = "",
    cut: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> AsyncIterator[Scene]:
    """Everything started; the first endpoint acts out these faults, one per request.

    In the end the evidence of all that happened must verify.

    Args:
        cut: Put a proxy before the first endpoint, that can cut the way to it.
        patience: Seconds that the gateway waits for an answer of the first.
    """
    faulty = Faulty(list(faults), target)
    with ExitStack() as stack:
        async with a_peer(faulty) as endpoint, a_peer(YES) as well:
            faulty.peer = endpoint
            way = stack.enter_context(CuttingProxy(endpoint.port)) if cut else None
            se, other = (way.port if way else endpoint.port), well.port
            parties = two_endpoints(an_address(se), an_address(other), patience)
            world = new_world(folder / "gateway", parties)
            async with started(world) as here:
                await here.json.authorization()
                yield Scene(here, faulty, endpoint, well, way=way)
                with closing(world.ledger()) as ledger:
                    assert ledger.audit() == []


__all__ = [
    "NOTICE",
    "TAKEN",
    "YES",
    "Attempt",
    "Faulty",
    "Scene",
    "a_pushed",
    "a_scene",
    "an_address",
]
