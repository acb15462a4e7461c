"""The messages of a soak, signed in a process of their own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.pki import Identity, Pki
from fixtures.world import OVERIGE_SHV, SE, SHV
from gateway.adapters import xmldsig
from gateway.adapters.jades import sign_digest
from gateway.message import Oin, as_bytes
from gateway.schemas import Catalogue

QUESTION = kind("schuldregeling", "Saldoverzoek")
NOTICE = kind("schuldregeling", "KennisgevingPubliek")
FURTHER = kind("schuldregeling", "StatusberichtShv")

QUEUE, POSTBUS, PUSH = "queue", "postbus", "push"
CHANNELS = (QUEUE, POSTBUS, PUSH)
RECIPIENTS = {QUEUE: SHV, POSTBUS: OVERIGE_SHV, PUSH: SE}
"""Who is reached how. SE writes XML to both others, and SHV writes JSON to it."""

LONGEST = 6
"""Messages in one conversation, at most."""

AT_ONCE = 10
"""Conversations that are signed in one go."""

AHEAD = 60
"""Conversations that lie signed."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One signed message.

    Attributes:
        headers: What goes with the body; a token is added where it must.
    """

    reference: str
    channel: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def needs_token(self) -> bool:
        return self.channel == PUSH


class Desk:
    """Writes and signs; made before the processes that use it."""

    def __init__(self, pki: Pki, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._parties: dict[Oin, Identity] = {each: pki.party(each) for each in (SE, SHV)}

    def letter(
        self,
        channel: str,
        conversation: str,
        reference: str,
        *,
        first: bool = True,
        signed: bool = True,
    ) -> Letter:
        """One message.

        Args:
            first: It begins the conversation.
            signed: False for one without a signature.
        """
        sender = SHV if channel == PUSH else SE
        begins = NOTICE if channel == PUSH else QUESTION
        which = begins if first else FURTHER
        made = document(
            which,
            reference=reference,
            conversation=conversation,
            sender=sender,
            recipient=RECIPIENTS[channel],
            at=now(),
        )
        identity = self._parties[sender]
        assert isinstance(identity.key, rsa.RSAPrivateKey)
        if channel == PUSH:
            body = as_bytes(made)
            digest, signature = sign_digest(body, identity.key, identity.cert)
            headers = {"Content-Type": "application/json", "Digest": digest}
            if signed:
                headers["Payload-Signature"] = signature
            return Letter(reference, channel, body, headers)
        tree = self._catalogue.to_xml(which, made)
        body = etree.tostring(tree)
        if signed:
            body = xmldsig.sign_xml(tree, identity.key, identity.cert)
        return Letter(reference, channel, body, {"Content-Type": "application/xml"})

    def conversations(self, seed: int) -> list[list[Letter]]:
        """Some conversations, each to one recipient."""
        draw = random.Random(seed)
        made = []
        for _ in range(AT_ONCE):
            channel, talk = draw.choice(CHANNELS), fresh()
            count = draw.randint(1, LONGEST)
            made.append(
                [self.letter(channel, talk, fresh(), first=place == 0) for place in range(count)]
            )
        return made


_DESKS: list[Desk] = []


def _sign(seed: int) -> list[list[Letter]]:
    return _DESKS[0].conversations(seed)


class Writers:
    """Signs ahead; started before any thread or server, for it forks."""

    def __init__(self, desk: Desk, seed: int) -> None:
        _DESKS[:] = [desk]
        self.desk = desk
        self._draw = random.Random(seed)
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("fork"))
        self._pool.submit(_sign, 0).result()
        self._ready: asyncio.Queue[list[Letter]] = asyncio.Queue(AHEAD)

    async def run(self) -> None:
        """Keep some ready until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            for talk in await loop.run_in_executor(self._pool, _sign, self._draw.getrandbits(32)):
                await self._ready.put(talk)

    async def next(self) -> list[Letter]:
        return await self._ready.get()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
