"""Evidence: the package of one message for its parties, and the day closes for everybody."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gateway.adapters.evidence_package import package
from gateway.adapters.rest_in.berichten import OIN, UUID
from gateway.adapters.rest_in.collecting import collect_any
from gateway.adapters.rest_in.identity import party_of
from gateway.adapters.rest_in.services import Services
from gateway.delivery import State
from gateway.dossier import Dossier
from gateway.errors import Code, Refusal
from gateway.exhibits import DAY_CLOSES
from gateway.message import Oin, as_bytes

PDF = "application/pdf"


def routes(services: Services) -> APIRouter:
    """The routes of this room."""
    router = APIRouter(prefix="/v1", tags=["bewijs"])

    @router.get("/berichten/{referentienummer}/bewijs", summary="Alles wat een bericht bewijst")
    async def bewijs(
        request: Request,
        referentienummer: Annotated[str, Path(pattern=UUID)],
        afzender: Annotated[str | None, Query(pattern=OIN)] = None,
    ) -> Response:
        party = party_of(request, services)
        sender = None if afzender is None else Oin(afzender)
        look = partial(services.ledger.dossier, party, referentienummer.lower(), sender)
        found = await services.writer.read(look)
        if found is not None and _is_first_sight(found, party):
            await collect_any(services, party, found.view.delivery_id)
            found = await services.writer.read(look)
        if found is None:
            raise Refusal(Code.NIET_GEVONDEN)
        made = package(found, party, services.keys.published())
        if PDF in request.headers.get("accept", ""):
            from gateway.adapters.evidence_pdf import as_pdf  # noqa: PLC0415 - few ask for it

            return Response(await asyncio.to_thread(as_pdf, made), media_type=PDF)
        return Response(as_bytes(made), media_type="application/json")

    @router.get("/bewijs/dagafsluitingen", summary="De ondertekende koppen van elke dag")
    async def dagafsluitingen(
        sinds: Annotated[str, Query(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")] = "",
    ) -> Response:
        closes = await services.writer.read(services.ledger.day_closes, sinds)
        return Response(as_bytes({DAY_CLOSES: closes}), media_type="application/json")

    return router


def _is_first_sight(found: Dossier, party: Oin) -> bool:
    """The package would give a recipient the content for the first time."""
    view = found.view
    taken = view.collected_at is not None or view.state is State.BEVESTIGD
    return found.original is not None and party != view.afzender and not taken
