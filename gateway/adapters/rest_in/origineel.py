"""Proof for the recipient: the original as it was sent, and attachments by themselves."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from gateway.adapters.rest_in.berichten import UUID
from gateway.adapters.rest_in.collecting import collect_one, must_be_collected, own_delivery
from gateway.adapters.rest_in.identity import party_of
from gateway.adapters.rest_in.services import Services
from gateway.dossier import Original
from gateway.errors import Code, Refusal
from gateway.message import Delivery, Dialect, Json, as_bytes
from gateway.replies import instant

SHA256 = r"^[0-9a-f]{64}$"
MEDIA = {Dialect.XML: "application/xml", Dialect.JSON: "application/json"}


def routes(services: Services) -> APIRouter:
    """The routes of this room."""
    router = APIRouter(prefix="/v1/postbus/{aflever_id}", tags=["postbus"])

    @router.get("/origineel", summary="Het bericht zoals het werd verzonden, met wat is nagegaan")
    async def origineel(
        request: Request, aflever_id: Annotated[str, Path(pattern=UUID)]
    ) -> Response:
        party = party_of(request, services)
        found: Original | None = await services.writer.read(
            services.ledger.original, party, aflever_id.lower()
        )
        if found is None:
            raise Refusal(Code.NIET_GEVONDEN)
        if not found.collected:
            await collect_one(services, party, aflever_id.lower())
        return Response(as_bytes(report(found)), media_type="application/json")

    @router.get("/bijlagen/{sha256}", summary="Eén bijlage")
    async def bijlage(
        request: Request,
        aflever_id: Annotated[str, Path(pattern=UUID)],
        sha256: Annotated[str, Path(pattern=SHA256)],
    ) -> Response:
        party = party_of(request, services)
        delivery = await own_delivery(services, party, aflever_id)
        media, content = attachment(delivery, sha256)
        await must_be_collected(services, party, delivery)
        headers = {"Content-Disposition": "attachment"}
        return Response(content, media_type=media, headers=headers)

    return router


def sent_as(original: Original) -> Json:
    """The exact bytes, and the signature that came with them."""
    sent: Json = {
        "media": MEDIA[original.dialect],
        "inhoud": base64.b64encode(original.body).decode(),
        "sha256": original.sha256,
    }
    if original.signature is not None:
        sent["payloadSignature"] = original.signature
    if original.digest is not None:
        sent["digest"] = original.digest
    return sent


def report(original: Original) -> Json:
    """The exact bytes, and what the station verify found about them."""
    return {
        "origineel": sent_as(original),
        "verificatie": {
            "afzender": original.afzender,
            "vingerafdruk": original.signer_fingerprint,
            "algoritme": original.signer_algorithm,
            "nagegaanOp": instant(original.received_at),
            "soort": original.kind.name,
            "module": original.kind.module,
            "versie": original.versie,
            "handtekening": "geldig",
            "schema": "geldig",
        },
    }


def attachment(delivery: Delivery, sha256: str) -> tuple[str, bytes]:
    """Media type and content of an attachment of this delivery.

    Raises:
        Refusal: NIET_GEVONDEN when it has no such attachment inside.
    """
    document = json.loads(delivery.canonical)
    attachments: list[dict[str, Any]] = next(iter(document.values()))["stuurgegevens"].get(
        "bijlagen", []
    )
    for one in attachments:
        if one["sha256"] == sha256 and "inhoud" in one:
            return str(one["mime"]), base64.b64decode(one["inhoud"])
    raise Refusal(Code.NIET_GEVONDEN)
