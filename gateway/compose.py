"""The way back: a recorded message becomes what its recipient reads, signed by the gateway.

Every delivery is an ``Aflevering``: who sent it, the hash of what was sent, who signed
that, what the gateway did with it, and the message itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

from lxml import etree

from gateway.cloudevent import cloudevent
from gateway.message import Delivery, Dialect, Json, Oin, Parcel, as_bytes, with_member
from gateway.replies import AFLEVERING, instant
from gateway.schemas import Catalogue

XML = "application/xml"
JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"

STUURGEGEVENS = re.compile(r'\{"[A-Za-z]+":\{"stuurgegevens":(?=\{)')
"""How a canonical document begins, in the order of the contract."""

DECODER = json.JSONDecoder()

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


def aflevering(delivery: Delivery, *, dialect: Dialect) -> Json:
    """The delivery as canonical JSON, whatever form it leaves in."""
    document = json.loads(delivery.canonical)  # noqa: TID251 - our own bytes from the ledger
    return {"aflevering": {**_about(delivery, dialect), "bericht": document}}


def aflevering_bytes(delivery: Delivery, *, dialect: Dialect) -> bytes:
    """``aflevering`` as canonical JSON; the message goes in as the ledger holds it."""
    about = as_bytes(_about(delivery, dialect))
    return b'{"aflevering":%b}' % with_member(about, "bericht", delivery.canonical)


def _about(delivery: Delivery, dialect: Dialect) -> Json:
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
        "versie": _versie(delivery.canonical.decode()),
        "ontvangenOp": instant(delivery.received_at),
        "origineelSha256": delivery.original_sha256,
        "origineelVorm": delivery.original_dialect.name,
        "ondertekenaarVingerafdruk": delivery.signer_fingerprint,
    }
    if dialect is not delivery.original_dialect:
        body["bewerkingen"] = ["VERTAALD"]
    if delivery.overtakes:
        body["voorrang"] = True
    if delivery.warnings:
        body["waarschuwingen"] = list(delivery.warnings)
    return body


def _versie(canonical: str) -> str:
    """The version in which a message was sent; only its Stuurgegevens are read for it."""
    start = STUURGEGEVENS.match(canonical)
    if start is None:
        stuurgegevens = next(iter(json.loads(canonical).values()))["stuurgegevens"]  # noqa: TID251
    else:
        stuurgegevens, _ = DECODER.raw_decode(canonical, start.end())
    return str(stuurgegevens["versie"])


def compose(
    delivery: Delivery,
    *,
    dialect: Dialect,
    catalogue: Catalogue,
    sealer: Sealer,
    gateway: Oin,
    on_queue: OnQueue | None = None,
) -> Parcel:
    """Wrap, translate and sign one delivery.

    Args:
        on_queue: How a queue carries it; None for what is fetched or pushed over HTTP.
    """
    if on_queue is not None:
        return _event(delivery, dialect, on_queue, sealer, gateway)
    if dialect is Dialect.XML:
        document = aflevering(delivery, dialect=dialect)
        body = sealer.xml(catalogue.to_xml(AFLEVERING, document))
        return Parcel(delivery=delivery, body=body, media=XML)
    body = aflevering_bytes(delivery, dialect=dialect)
    digest, signature = sealer.http_json(body)
    return Parcel(delivery=delivery, body=body, media=JSON, signature=signature, digest=digest)


def _event(
    delivery: Delivery, dialect: Dialect, on_queue: OnQueue, sealer: Sealer, gateway: Oin
) -> Parcel:
    body = b""
    if not on_queue.by_reference:
        body = cloudevent(delivery, aflevering_bytes(delivery, dialect=dialect), gateway)
    if on_queue.by_reference or len(body) > LARGEST_EVENT_BYTES:
        dataref = f"{on_queue.url}/v1/postbus/{delivery.id}"
        body = cloudevent(delivery, None, gateway, dataref)
    signature = sealer.queue_json(body, on_queue.algorithm)
    return Parcel(delivery=delivery, body=body, media=CLOUDEVENT, signature=signature)
