"""The way back: a recorded message becomes what its recipient reads, signed by the gateway.

Every delivery is an ``Aflevering``: who sent it, the hash of what was sent, who signed
that, what the gateway did with it, and the message itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from lxml import etree

from gateway.cloudevent import cloudevent
from gateway.message import Delivery, Dialect, Json, Oin, Parcel, as_bytes
from gateway.replies import AFLEVERING, instant
from gateway.schemas import Catalogue

XML = "application/xml"
JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"


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
    stuurgegevens = next(iter(document.values()))["stuurgegevens"]
    body: Json = {
        "afleverId": delivery.id,
        "volgnummer": delivery.volgnummer,
        "afzender": delivery.afzender,
        "ontvanger": delivery.ontvanger,
        "referentienummer": delivery.referentienummer,
        "conversatieReferentienummer": delivery.conversatie,
        "module": delivery.kind.module,
        "soort": delivery.kind.name,
        "versie": stuurgegevens["versie"],
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
    body["bericht"] = document
    return {"aflevering": body}


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
    document = aflevering(delivery, dialect=dialect)
    if on_queue is not None:
        return _event(delivery, document, on_queue, sealer, gateway)
    if dialect is Dialect.XML:
        body = sealer.xml(catalogue.to_xml(AFLEVERING, document))
        return Parcel(delivery=delivery, body=body, media=XML)
    body = as_bytes(document)
    digest, signature = sealer.http_json(body)
    return Parcel(delivery=delivery, body=body, media=JSON, signature=signature, digest=digest)


def _event(
    delivery: Delivery, document: Json, on_queue: OnQueue, sealer: Sealer, gateway: Oin
) -> Parcel:
    body = b""
    if not on_queue.by_reference:
        body = cloudevent(delivery, document, gateway)
    if on_queue.by_reference or len(body) > LARGEST_EVENT_BYTES:
        dataref = f"{on_queue.url}/v1/postbus/{delivery.id}"
        body = cloudevent(delivery, None, gateway, dataref)
    signature = sealer.queue_json(body, on_queue.algorithm)
    return Parcel(delivery=delivery, body=body, media=CLOUDEVENT, signature=signature)
