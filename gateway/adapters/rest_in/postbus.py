"""The postbus: what lies ready for a party, fetched and confirmed one by one or in bulk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gateway.adapters.rest_in.berichten import UUID
from gateway.adapters.rest_in.body import accepted, read
from gateway.adapters.rest_in.identity import party_of
from gateway.adapters.rest_in.services import Services
from gateway.compose import JSON, aflevering, compose
from gateway.errors import Code, Finding, Refusal
from gateway.json import parse
from gateway.message import Delivery, Dialect, Json, Oin, Parcel, as_bytes
from gateway.record import Confirmed
from gateway.replies import instant

LARGEST_PAGE = 1_000
LARGEST_CONFIRMATION = 5_000
LONGEST_WAIT_SECONDS = 60


def routes(services: Services) -> APIRouter:
    """The routes of this room."""
    router = APIRouter(prefix="/v1/postbus", tags=["postbus"])

    @router.get("", summary="Wat ligt er klaar?")
    async def lijst(
        request: Request,
        wacht: Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS)] = 0,
        aantal: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
        na: Annotated[int, Query(ge=0)] = 0,
        inhoud: Annotated[Literal["ja", "nee"], Query()] = "nee",
    ) -> Response:
        party = party_of(request, services)
        items = await _ready(services, party, wacht=wacht, aantal=aantal, na=na)
        dialect = services.line.directory().parties[party].dialect
        entries = []
        for _, delivery in items:
            entry = _summary(delivery)
            if inhoud == "ja":
                entry |= _content(services, delivery, dialect)
            entries.append(entry)
        body: Json = {"afleveringen": entries, "aantal": len(entries)}
        if items:
            body["volgende"] = items[-1][0]
        return _signed(services, as_bytes(body))

    @router.post("/bevestigingen", summary="Veel afleveringen bevestigen")
    async def bevestigingen(request: Request) -> Response:
        party = party_of(request, services)
        ids = _ids(parse(await read(request, services.settings)))
        outcomes = await services.writer.run(
            services.ledger.confirm, party, ids, services.line.clock()
        )
        services.news.ring()
        rows = [{"afleverId": one, "uitkomst": outcomes[one]} for one in dict.fromkeys(ids)]
        return Response(as_bytes({"uitkomsten": rows}), media_type=JSON)

    @router.get("/{aflever_id}", summary="Eén aflevering ophalen")
    async def ophalen(request: Request, aflever_id: Annotated[str, Path(pattern=UUID)]) -> Response:
        party = party_of(request, services)
        delivery = await _own(services, party, aflever_id)
        dialect = accepted(request, services.line.directory().parties[party].dialect)
        return _parcel(_composed(services, delivery, dialect))

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
    services: Services, party: Oin, *, wacht: int, aantal: int, na: int
) -> list[tuple[int, Delivery]]:
    """What lies ready; waits for the first when asked to.

    Other processes' commits do not ring here, so it also looks once a second.
    """
    left = float(wacht)
    while True:
        items: list[tuple[int, Delivery]] = await services.writer.read(
            lambda: services.ledger.postbus(party, limit=aantal, after=na)
        )
        if items or left <= 0:
            return items
        await services.news.wait(min(1.0, left))
        left -= 1.0


async def _own(services: Services, party: Oin, aflever_id: str) -> Delivery:
    delivery: Delivery | None = await services.writer.read(
        services.ledger.postbus_item, party, aflever_id.lower()
    )
    if delivery is None:
        raise Refusal(Code.NIET_GEVONDEN)
    return delivery


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


def _content(services: Services, delivery: Delivery, dialect: Dialect) -> Json:
    if dialect is Dialect.XML:
        return {"xml": _composed(services, delivery, dialect).body.decode()}
    return aflevering(delivery, dialect=dialect)


def _composed(services: Services, delivery: Delivery, dialect: Dialect) -> Parcel:
    return compose(
        delivery,
        dialect=dialect,
        catalogue=services.line.catalogue,
        sealer=services.line.sealer,
        gateway=services.line.gateway,
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
