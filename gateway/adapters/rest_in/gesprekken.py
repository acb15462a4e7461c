"""Where do the conversations of a party stand, and what did nobody react to?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from gateway.adapters.rest_in.berichten import OIN, UUID
from gateway.adapters.rest_in.identity import party_of
from gateway.adapters.rest_in.services import Services
from gateway.compose import JSON
from gateway.errors import Code, Finding, Refusal
from gateway.message import Json, Oin, as_bytes
from gateway.record import GesprekFilter
from gateway.routing.access import Access, access_of
from gateway.routing.silence import Request as Wanted
from gateway.routing.silence import stated
from gateway.routing.standing import (
    Gesprek,
    View,
    is_turn,
    summary,
    view_of,
    whole,
)

log = logging.getLogger(__name__)

LARGEST_PAGE = 200
LARGEST_CURSOR = 2**63 - 1
PDF, XML = "application/pdf", "application/xml"
"""The forms of a statement; the first that ``Accept`` names counts, XML where it names none."""

MORE_THAN_ONE = Finding(
    "MEER_DAN_EEN_GESPREK",
    "/query/partij",
    nl="Dit gesprek voert u met meer dan één partij; noem er een: ?partij=<oin>.",
    en="You have this conversation with more than one party; name one: ?partij=<oin>.",
)
WITHOUT_ZONE = Finding(
    "tijdzone",
    "/query/sinds",
    nl="Noem de tijdzone, zoals in 2026-03-17T09:00:00Z.",
    en="Name the time zone, as in 2026-03-17T09:00:00Z.",
)


def routes(services: Services) -> APIRouter:
    """The routes of this room."""

    def known(request: Request) -> None:
        """Who asks is known before what is asked is looked at."""
        party_of(request, services)

    router = APIRouter(prefix="/v1/gesprekken", tags=["gesprekken"], dependencies=[Depends(known)])

    @router.get("", summary="Waar staan mijn gesprekken, en wie is aan zet?")
    async def lijst(
        request: Request,
        *,
        staat: Annotated[str | None, Query(pattern=r"^[A-Z_]{3,40}$")] = None,
        aan_zet: Annotated[Literal["ik"] | None, Query()] = None,
        partij: Annotated[str | None, Query(pattern=OIN)] = None,
        sinds: Annotated[datetime | None, Query()] = None,
        aantal: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
        na: Annotated[int | None, Query(ge=0, le=LARGEST_CURSOR)] = None,
    ) -> Response:
        access, now = _access(request, services)
        if sinds is not None and sinds.tzinfo is None:
            raise Refusal(Code.VERZOEK_ONGELDIG, WITHOUT_ZONE)
        which = GesprekFilter(
            staat=staat,
            partij=None if partij is None else Oin(partij),
            open_only=aan_zet is not None,
            since=sinds,
            after=na,
        )
        fits = _fits(services, access, turn=aan_zet is not None)
        found, following = await services.writer.read(
            services.ledger.gesprekken, access.parties, which, fits, aantal
        )
        table = services.line.courses.table
        shown = [view for each in found if (view := view_of(each, access)) is not None]
        body: Json = {
            "gesprekken": [summary(view, table, now) for view in shown],
            "aantal": len(shown),
        }
        if following is not None:
            body["volgende"] = following
        return Response(as_bytes(body), media_type=JSON)

    @router.get("/{conversatie}", summary="Waar staat dit gesprek?")
    async def gesprek(
        request: Request,
        conversatie: Annotated[str, Path(pattern=UUID)],
        partij: Annotated[str | None, Query(pattern=OIN)] = None,
    ) -> Response:
        access, now = _access(request, services)
        found = await services.writer.read(
            services.ledger.gesprek, access.parties, conversatie.lower()
        )
        view = _one(found, access, partij)
        line = services.line
        body = whole(view, line.courses.table, now, line.directory())
        return Response(as_bytes(body), media_type=JSON)

    @router.get("/{conversatie}/verklaring", summary="Verklaren dat op een vraag niets kwam")
    async def geen_reactie(
        request: Request,
        conversatie: Annotated[str, Path(pattern=UUID)],
        vraag: Annotated[str, Query(pattern=UUID)],
        soort: Annotated[Literal["GEEN_REACTIE", "NIET_BEREIKBAAR"] | None, Query()] = None,
    ) -> Response:
        form = _form(request)
        access, now = _access(request, services)
        wanted = Wanted(
            party=party_of(request, services),
            access=access,
            gateway=services.line.gateway,
            own=services.line.draw(),
            soort=soort,
        )
        document = await services.writer.run(
            services.ledger.state,
            access.parties,
            conversatie.lower(),
            vraag.lower(),
            partial(stated, request=wanted, at=now, book=services.line.courses.book),
            now,
        )
        if document is None:
            raise Refusal(Code.NIET_GEVONDEN)
        log.info("statement.made", extra={"code": document["verklaringGeenReactie"]["soort"]})
        return Response(await asyncio.to_thread(_made, services, document, form), media_type=form)

    return router


def _access(request: Request, services: Services) -> tuple[Access, datetime]:
    """Whose conversations the authenticated party may see at this moment."""
    party, now = party_of(request, services), services.line.clock()
    return access_of(party, now, services.line.directory()), now


def _fits(services: Services, access: Access, *, turn: bool) -> Callable[[Gesprek], bool]:
    table = services.line.courses.table

    def fits(gesprek: Gesprek) -> bool:
        view = view_of(gesprek, access)
        return view is not None and (not turn or is_turn(view, table))

    return fits


def _one(found: list[Gesprek], access: Access, partij: str | None) -> View:
    """The one conversation that is meant.

    Raises:
        Refusal: NIET_GEVONDEN, also for what is there and not for this party; VERZOEK_ONGELDIG
            where there is more than one.
    """
    named = [each for each in found if partij is None or partij in each.pair]
    views = [view for each in named if (view := view_of(each, access)) is not None]
    if not views:
        raise Refusal(Code.NIET_GEVONDEN)
    if len(views) > 1:
        raise Refusal(Code.VERZOEK_ONGELDIG, MORE_THAN_ONE)
    return views[0]


def _form(request: Request) -> str:
    """In which form a statement is wanted.

    Raises:
        Refusal: ACCEPT_ONMOGELIJK for any other.
    """
    accepts = ",".join(request.headers.getlist("accept")) or "*/*"
    for part in accepts.split(","):
        media = part.partition(";")[0].strip().lower()
        if media in (PDF, XML):
            return media
        if media in ("*/*", "application/*"):
            return XML
    raise Refusal(Code.ACCEPT_ONMOGELIJK)


def _made(services: Services, document: Json, form: str) -> bytes:
    from gateway.adapters.verklaring_pdf import verklaring  # noqa: PLC0415 - few ask for it

    signed, pages = verklaring(document, services.keys, services.line.catalogue)
    return pages if form == PDF else signed
