"""The way back: a recorded message becomes what its recipient reads, signed by the gateway.

Every delivery is an ``Aflevering``: who sent it, the hash of what was sent, who signed
that, what the gateway did with it, and the message itself.
"""

from __future__ import annotations

import json
from typing import Protocol

from lxml import etree

from gateway.cloudevent import cloudevent
from gateway.message import Channel, Delivery, Dialect, Json, Oin, Parcel, as_bytes
from gateway.replies import AFLEVERING, instant
from gateway.schemas import Catalogue

XML = "application/xml"
JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"


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
    queue_algorithm: str = "ES256",
) -> Parcel:
    """Wrap, translate and sign one delivery for its channel."""
    document = aflevering(delivery, dialect=dialect)
    if dialect is Dialect.XML:
        body = sealer.xml(catalogue.to_xml(AFLEVERING, document))
        return Parcel(delivery=delivery, body=body, media=XML)
    if delivery.channel is Channel.QUEUE:
        body = cloudevent(delivery, document, gateway)
        return Parcel(
            delivery=delivery,
            body=body,
            media=CLOUDEVENT,
            signature=sealer.queue_json(body, queue_algorithm),
        )
    body = as_bytes(document)
    digest, signature = sealer.http_json(body)
    return Parcel(delivery=delivery, body=body, media=JSON, signature=signature, digest=digest)
