"""The postbus: what lies ready for a party, fetched and confirmed one by one or in bulk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gateway.adapters.rest_in.berichten import UUID
from gateway.adapters.rest_in.body import accepted, dialect_of, read
from gateway.adapters.rest_in.collecting import collected, must_be_collected, own_delivery
from gateway.adapters.rest_in.identity import party_of
from gateway.adapters.rest_in.services import Services
from gateway.compose import JSON, aflevering, compose, in_version
from gateway.errors import Code, Finding, Refusal
from gateway.json import parse
from gateway.message import Delivery, Dialect, Json, Oin, Parcel, as_bytes
from gateway.record import Confirmed
from gateway.replies import instant
from gateway.routing.directory import Party

LARGEST_PAGE = 1_000
LARGEST_PAGE_BYTES = 16 * 1024 * 1024
"""A page ends after so much content; ``volgende`` says where the next begins."""
LARGEST_CURSOR = 2**63 - 1
"""A number of the ledger; more it cannot look for."""
LARGEST_CONFIRMATION = 5_000
LARGEST_CONFIRMATION_BYTES = 512 * 1024
LONGEST_WAIT_SECONDS = 60
LOOK_EVERY_SECONDS = 1.0
"""Other processes' commits do not ring here."""
REST_SECONDS = 0.05
"""Between two looks of one long poll, however often the bell rings."""


def routes(services: Services) -> APIRouter:
    """The routes of this room."""
    router = APIRouter(prefix="/v1/postbus", tags=["postbus"])

    @router.get("", summary="Wat ligt er klaar?")
    async def lijst(
        request: Request,
        wacht: Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS)] = 0,
        aantal: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
        na: Annotated[int, Query(ge=0, le=LARGEST_CURSOR)] = 0,
        inhoud: Annotated[Literal["ja", "nee"], Query()] = "nee",
    ) -> Response:
        party = party_of(request, services)
        budget = LARGEST_PAGE_BYTES if inhoud == "ja" else None
        look = partial(services.ledger.postbus, party, limit=aantal, after=na, budget=budget)
        reader = _reader(services, party) if inhoud == "ja" else None
        items = await _ready(services, look, wacht=wacht)
        while reader is not None and items:
            theirs = await collected(services, party, (each for _, each in items))
            if kept := [item for item in items if item[1].id in theirs]:
                items = kept
                break
            # All of it was withdrawn meanwhile. An empty page would say that there is no more.
            items = await services.writer.read(look)
        # Signing a full page of XML takes seconds, which nobody else should wait for.
        return await asyncio.to_thread(_page, services, items, reader)

    @router.post("/bevestigingen", summary="Veel afleveringen bevestigen")
    async def bevestigingen(request: Request) -> Response:
        party = party_of(request, services)
        if dialect_of(request) is not Dialect.JSON:
            raise Refusal(Code.MEDIATYPE_ONBEKEND, Finding("content-type", ""))
        ids = _ids(
            parse(
                await read(request, services.settings, services.bodies, LARGEST_CONFIRMATION_BYTES)
            )
        )
        outcomes = await services.writer.run(
            services.ledger.confirm, party, ids, services.line.clock()
        )
        services.news.ring()
        rows = [{"afleverId": one, "uitkomst": outcomes[one]} for one in dict.fromkeys(ids)]
        return Response(as_bytes({"uitkomsten": rows}), media_type=JSON)

    @router.get("/{aflever_id}", summary="Eén aflevering ophalen")
    async def ophalen(request: Request, aflever_id: Annotated[str, Path(pattern=UUID)]) -> Response:
        party = party_of(request, services)
        reader = _reader(services, party)
        dialect = accepted(request, reader.dialect)
        delivery = await own_delivery(services, party, aflever_id)
        parcel = _composed(services, delivery, replace(reader, dialect=dialect))
        await must_be_collected(services, party, delivery)
        return _parcel(parcel)

    @router.post("/{aflever_id}/bevestiging", summary="Eén aflevering bevestigen")
    async def bevestigen(
        request: Request, aflever_id: Annotated[str, Path(pattern=UUID)]
    ) -> Response:
        party = party_of(request, services)
        one = aflever_id.lower()
        outcomes = await services.writer.run(
            services.ledger.confirm, party, [one], services.line.clock()
        )
        services.news.ring()
        if outcomes[one] in {Confirmed.UNKNOWN, Confirmed.NOT_OFFERED}:
            raise Refusal(Code.NIET_GEVONDEN)
        answer = {"afleverId": one, "uitkomst": outcomes[one]}
        return Response(as_bytes(answer), media_type=JSON)

    return router


async def _ready(
    services: Services, look: Callable[[], list[tuple[int, Delivery]]], *, wacht: int
) -> list[tuple[int, Delivery]]:
    """What lies ready; waits for the first when asked to."""
    clock = asyncio.get_running_loop().time
    until = clock() + wacht
    while True:
        rings, looked = services.news.rings, clock()
        items = await services.writer.read(look)
        left = until - clock()
        if items or left <= 0 or services.news.closed:
            return items
        await services.news.wait(min(LOOK_EVERY_SECONDS, left), since=rings)
        await asyncio.sleep(looked + REST_SECONDS - clock())


def _page(services: Services, items: list[tuple[int, Delivery]], reader: Party | None) -> Response:
    """A signed page of the postbus; with content where a party reads it."""
    entries = []
    for _, delivery in items:
        entry = _summary(delivery)
        if reader is not None:
            entry |= _content(services, delivery, reader)
        entries.append(entry)
    body: Json = {"afleveringen": entries, "aantal": len(entries)}
    if items:
        body["volgende"] = items[-1][0]
    return _signed(services, as_bytes(body))


def _reader(services: Services, party: Oin) -> Party:
    """This party, which says in which form and versions it reads.

    Raises:
        Refusal: TOKEN_ONGELDIG when it left the directory while it waited.
    """
    entry = services.line.directory().parties.get(party)
    if entry is None:
        raise Refusal(Code.TOKEN_ONGELDIG, Finding("deelnemer", ""))
    return entry


def _summary(delivery: Delivery) -> Json:
    return {
        "afleverId": delivery.id,
        "volgnummer": delivery.volgnummer,
        "afzender": delivery.afzender,
        "referentienummer": delivery.referentienummer,
        "conversatieReferentienummer": delivery.conversatie,
        "module": delivery.kind.module,
        "soort": delivery.kind.name,
        "ontvangenOp": instant(delivery.received_at),
    }


def _content(services: Services, delivery: Delivery, reader: Party) -> Json:
    if reader.dialect is Dialect.XML:
        return {"xml": _composed(services, delivery, reader).body.decode()}
    spoken = in_version(delivery, reader.versions, services.line.catalogue)
    return aflevering(spoken.delivery, dialect=reader.dialect, done=spoken.done)


def _composed(services: Services, delivery: Delivery, reader: Party) -> Parcel:
    return compose(
        delivery,
        dialect=reader.dialect,
        catalogue=services.line.catalogue,
        sealer=services.line.sealer,
        gateway=services.line.gateway,
        versions=reader.versions,
    )


def _parcel(parcel: Parcel) -> Response:
    headers = {"Aflever-Id": parcel.delivery.id}
    if parcel.signature is not None and parcel.digest is not None:
        headers |= {"Payload-Signature": parcel.signature, "Digest": parcel.digest}
    return Response(parcel.body, media_type=parcel.media, headers=headers)


def _signed(services: Services, body: bytes) -> Response:
    digest, signature = services.line.sealer.http_json(body)
    return Response(
        body, media_type=JSON, headers={"Payload-Signature": signature, "Digest": digest}
    )


def _ids(document: dict[str, Any]) -> list[str]:
    ids = document.get("afleverIds")
    well_formed = (
        isinstance(ids, list)
        and set(document) == {"afleverIds"}
        and 0 < len(ids) <= LARGEST_CONFIRMATION
        and all(isinstance(one, str) and 0 < len(one) <= 36 for one in ids)  # noqa: PLR2004 - a UUID
    )
    if not well_formed:
        raise Refusal(Code.VERZOEK_ONGELDIG, Finding("afleverIds", "/afleverIds"))
    return [one.lower() for one in ids or ()]
