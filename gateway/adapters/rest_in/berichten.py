"""POST /v1/berichten: the sender's request. GET: what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from lxml import etree
from starlette.responses import Response

from gateway.adapters.jades import one_signature
from gateway.adapters.rest_in.body import accepted, dialect_of, read
from gateway.adapters.rest_in.identity import party_of, transport_of
from gateway.adapters.rest_in.services import Services
from gateway.adapters.rest_in.shortcut import Endpoint
from gateway.dossier import MessageView
from gateway.errors import Code, Refusal
from gateway.message import Dialect, Door, Json, Oin, Receipt, Received
from gateway.pipeline import accept
from gateway.replies import ONTVANGSTBEVESTIGING, instant
from gateway.schemas import Catalogue

PATH = "/v1/berichten"
UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
OIN = r"^[0-9]{20}$"
DOORS = {Dialect.XML: Door.REST_XML, Dialect.JSON: Door.REST_JSON}


def sending(services: Services) -> Endpoint:
    """POST on ``PATH``."""

    async def inzenden(request: Request) -> Response:
        door = Door.REST_JSON
        try:
            dialect = dialect_of(request)
            door = DOORS[dialect]
            answer_in = accepted(request, dialect)
            received = await _receive(request, services, dialect, door)
            receipt = await accept(received, services.line)
        except Refusal as refusal:
            services.refusals.note(refusal, door)
            raise
        return _acknowledge(receipt, answer_in, services.line.catalogue)

    return inzenden


def routes(services: Services) -> APIRouter:
    """The routes of this room."""
    router = APIRouter(prefix=PATH, tags=["berichten"])
    summary = "Een ondertekend bericht inzenden"
    router.post("", status_code=202, summary=summary)(sending(services))

    @router.get("/{referentienummer}", summary="Waar is mijn bericht?")
    async def volgen(
        request: Request,
        referentienummer: Annotated[str, Path(pattern=UUID)],
        afzender: Annotated[str | None, Query(pattern=OIN)] = None,
    ) -> Response:
        party = party_of(request, services)
        view = await services.writer.read(
            services.ledger.message,
            party,
            referentienummer.lower(),
            None if afzender is None else Oin(afzender),
        )
        if view is None:
            raise Refusal(Code.NIET_GEVONDEN)
        return Response(json.dumps(_seen_by(party, view)), media_type="application/json")

    return router


async def _receive(request: Request, services: Services, dialect: Dialect, door: Door) -> Received:
    """Station receive: what arrived, through this door."""
    transport = transport_of(request, services)
    if dialect is Dialect.JSON and transport is None:
        raise Refusal(Code.TOKEN_ONGELDIG)
    body = await read(request, services.settings, services.bodies)
    received = Received(
        door=door, dialect=dialect, body=body, at=services.line.clock(), transport=transport
    )
    if dialect is Dialect.XML:
        return received
    return replace(
        received,
        signature=one_signature(request.headers.getlist("payload-signature")),
        digest=one_signature(request.headers.getlist("digest")),
    )


class Acknowledgement(Response):
    """A response of which everything is at hand already."""

    def __init__(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = list(headers)


def _acknowledge(receipt: Receipt, dialect: Dialect, catalogue: Catalogue) -> Response:
    body, media = receipt.document, b"application/json"
    if dialect is Dialect.XML:
        document = json.loads(receipt.document)
        tree = catalogue.to_xml(ONTVANGSTBEVESTIGING, document)
        body = etree.tostring(tree, xml_declaration=True, encoding="UTF-8")
        media = b"application/xml"
    return Acknowledgement(
        200 if receipt.repeated else 202,
        body,
        (
            (b"location", b"/v1/berichten/" + receipt.referentienummer.encode("ascii")),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media),
        ),
    )


def _seen_by(party: Oin, view: MessageView) -> Json:
    """What this party may know of the message: metadata only."""
    times = {
        "ontvangenOp": view.received_at,
        "aangebodenOp": view.offered_at,
        "bevestigdOp": view.confirmed_at,
    }
    document: Json = {
        "referentienummer": view.referentienummer,
        "conversatieReferentienummer": view.conversatie,
        "afzender": view.afzender,
        "ontvanger": view.ontvanger,
        "module": view.kind.module,
        "soort": view.kind.name,
        "status": view.state,
        "pogingen": view.attempts,
        "kanaal": view.channel,
        **{name: instant(time) for name, time in times.items() if time is not None},
    }
    if view.reason is not None:
        document["reden"] = view.reason
    if party == view.afzender:
        document["ontvangstbevestiging"] = json.loads(view.receipt)["ontvangstbevestiging"]
    else:
        document["afleverId"] = view.delivery_id
    return document
