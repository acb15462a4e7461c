"""The way back: a recorded message becomes what its recipient reads, signed by the gateway.

Every delivery is an ``Aflevering``: who sent it, the hash of what was sent, who signed
that, what the gateway did with it, and the message itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from lxml import etree

from gateway.cloudevent import cloudevent
from gateway.message import Delivery, Dialect, Json, Oin, Parcel, as_bytes, with_member
from gateway.replies import AFLEVERING, instant
from gateway.schemas import Catalogue
from gateway.schemas.unsaid import bounded
from gateway.schemas.versions import Older, Unsayable

XML = "application/xml"
JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"

VERSIE = re.compile(
    rb'\{"[A-Za-z]+":\{"stuurgegevens":\{(?:"[A-Za-z]+":"[^"\\]*",)*"versie":"([^"\\]*)"'
)
"""How a canonical document begins, in the order of the contract: before the version stand
identifiers and codes only.
"""

NEWEST: Mapping[str, int] = MappingProxyType({})
"""What a party reads that names no versions."""


LARGEST_EVENT_BYTES = 4 * 1024 * 1024
"""Above this a queue carries a reference: RabbitMQ 4 takes messages up to 16 MiB, and
the broker should not hold large content."""


@dataclass(frozen=True, slots=True)
class OnQueue:
    """How a queue carries a delivery.

    Attributes:
        url: Where parties reach the gateway, for references.
        by_reference: The party chose ``inhoud = "verwijzing"``.
        algorithm: ES256 or PS256, as the party chose.
    """

    url: str
    by_reference: bool = False
    algorithm: str = "ES256"


class Sealer(Protocol):
    """Signs what leaves, with the gateway's own keys."""

    def xml(self, tree: etree._Element) -> bytes:
        """The document with an enveloped XMLDSig, UTF-8."""
        ...

    def http_json(self, body: bytes) -> tuple[str, str]:
        """``Digest`` header and detached JAdES (PS256) over it."""
        ...

    def queue_json(self, body: bytes, algorithm: str) -> str:
        """Detached JWS (ES256 or PS256) over exactly ``body``."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A delivery whose message is in the version that its recipient reads.

    Attributes:
        delivery: Of the kind as which the message leaves.
        done: What was done to it, in the codes of the contract (``Bewerking``).
    """

    delivery: Delivery
    done: tuple[str, ...] = ()


def in_version(delivery: Delivery, versions: Mapping[str, int], catalogue: Catalogue) -> Spoken:
    """Bring the message to the version that its recipient reads.

    What that version cannot say is left out where the sender allowed it. Else the message
    stays as it was sent: ``admit`` refuses those, so the recipient chose an older version
    since, and to leave something out unasked would be worse.

    Args:
        versions: Major version that the recipient reads, by module; without one, the newest.
    """
    kind, known = delivery.kind, catalogue.versions
    reads = versions.get(kind.module) or known.newest.get(kind.module, kind.major)
    if reads == kind.major:
        return Spoken(delivery)
    document = json.loads(delivery.canonical)  # noqa: TID251 - our own bytes from the ledger
    if reads < kind.major:
        return _lowered(delivery, known.downcast(document, kind, reads))
    newer, document = known.upcast(document, kind)
    if newer == kind:
        return Spoken(delivery)
    return Spoken(replace(delivery, kind=newer, canonical=as_bytes(document)), ("OMHOOG",))


def _lowered(delivery: Delivery, older: Older | Unsayable) -> Spoken:
    if isinstance(older, Unsayable):
        return Spoken(delivery)
    done: tuple[str, ...] = ("OMLAAG",)
    if older.lost:
        (body,) = older.document.values()
        if not body["stuurgegevens"].get("verliesToegestaan", False):
            return Spoken(delivery)
        lost = [{"pad": at, "grond": "VERSIE"} for at in bounded(older.lost)]
        body["stuurgegevens"] |= {"weggelaten": lost}
        done = ("OMLAAG", "WEGGELATEN")
    return Spoken(replace(delivery, kind=older.kind, canonical=as_bytes(older.document)), done)


def aflevering(delivery: Delivery, *, dialect: Dialect, done: tuple[str, ...] = ()) -> Json:
    """The delivery as canonical JSON, whatever form it leaves in.

    Args:
        done: What was done to bring the message to the version of its recipient.
    """
    document = json.loads(delivery.canonical)  # noqa: TID251 - our own bytes from the ledger
    return {"aflevering": {**_about(delivery, dialect, done), "bericht": document}}


def aflevering_bytes(delivery: Delivery, *, dialect: Dialect, done: tuple[str, ...] = ()) -> bytes:
    """``aflevering`` as canonical JSON; the message goes in as the ledger holds it."""
    about = as_bytes(_about(delivery, dialect, done))
    return b'{"aflevering":%b}' % with_member(about, "bericht", delivery.canonical)


def _about(delivery: Delivery, dialect: Dialect, done: tuple[str, ...]) -> Json:
    """What the gateway says of the message that it delivers."""
    body: Json = {
        "afleverId": delivery.id,
        "volgnummer": delivery.volgnummer,
        "afzender": delivery.afzender,
        "ontvanger": delivery.ontvanger,
        "referentienummer": delivery.referentienummer,
        "conversatieReferentienummer": delivery.conversatie,
        "module": delivery.kind.module,
        "soort": delivery.kind.name,
        "versie": _versie(delivery.canonical),
        "ontvangenOp": instant(delivery.received_at),
        "origineelSha256": delivery.original_sha256,
        "origineelVorm": delivery.original_dialect.name,
        "ondertekenaarVingerafdruk": delivery.signer_fingerprint,
    }
    if dialect is not delivery.original_dialect:
        done = ("VERTAALD", *done)
    if done:
        body["bewerkingen"] = list(done)
    if delivery.overtakes:
        body["voorrang"] = True
    if delivery.warnings:
        body["waarschuwingen"] = list(delivery.warnings)
    if delivery.tot_en_met is not None:
        body["termijnTotEnMet"] = delivery.tot_en_met.isoformat()
    return body


def _versie(canonical: bytes) -> str:
    """The version in which a message stands here; of a large one only the start is read for it."""
    start = VERSIE.match(canonical)
    if start is not None:
        return start[1].decode()
    body = next(iter(json.loads(canonical).values()))  # noqa: TID251 - our own bytes
    return str(body["stuurgegevens"]["versie"])


def compose(
    delivery: Delivery,
    *,
    dialect: Dialect,
    catalogue: Catalogue,
    sealer: Sealer,
    gateway: Oin,
    on_queue: OnQueue | None = None,
    versions: Mapping[str, int] = NEWEST,
) -> Parcel:
    """Bring to the recipient's version, wrap, translate and sign one delivery.

    Args:
        on_queue: How a queue carries it; None for what is fetched or pushed over HTTP.
        versions: Major version that the recipient reads, by module; without one, the newest.

    Returns:
        The parcel; its delivery is of the kind as which the message leaves.
    """
    spoken = in_version(delivery, versions, catalogue)
    delivery, done = spoken.delivery, spoken.done
    if on_queue is not None:
        return _event(spoken, dialect, on_queue, sealer, gateway)
    if dialect is Dialect.XML:
        document = aflevering(delivery, dialect=dialect, done=done)
        body = sealer.xml(catalogue.to_xml(AFLEVERING, document))
        return Parcel(delivery=delivery, body=body, media=XML)
    body = aflevering_bytes(delivery, dialect=dialect, done=done)
    digest, signature = sealer.http_json(body)
    return Parcel(delivery=delivery, body=body, media=JSON, signature=signature, digest=digest)


def _event(
    spoken: Spoken, dialect: Dialect, on_queue: OnQueue, sealer: Sealer, gateway: Oin
) -> Parcel:
    delivery, body = spoken.delivery, b""
    if not on_queue.by_reference:
        data = aflevering_bytes(delivery, dialect=dialect, done=spoken.done)
        body = cloudevent(delivery, data, gateway)
    if on_queue.by_reference or len(body) > LARGEST_EVENT_BYTES:
        dataref = f"{on_queue.url}/v1/postbus/{delivery.id}"
        body = cloudevent(delivery, None, gateway, dataref)
    signature = sealer.queue_json(body, on_queue.algorithm)
    return Parcel(delivery=delivery, body=body, media=CLOUDEVENT, signature=signature)
