"""Who takes part, the gateway's keys, and tokens."""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from gateway.adapters.rest_in.body import read
from gateway.adapters.rest_in.identity import party_of
from gateway.adapters.rest_in.problem import CHALLENGE
from gateway.adapters.rest_in.services import Services
from gateway.adapters.tokens import TokenRefused
from gateway.errors import Refusal
from gateway.message import Json
from gateway.routing.directory import Party

LARGEST_TOKEN_REQUEST = 16 * 1024


def routes(services: Services) -> APIRouter:
    """The routes of this room."""
    router = APIRouter(prefix="/v1", tags=["deelnemers"])

    @router.get("/deelnemers", summary="Wie is aangesloten, en op welke modules?")
    async def deelnemers(
        request: Request,
        kvk: Annotated[str | None, Query(pattern=r"^[0-9]{8}$")] = None,
        naam: Annotated[str | None, Query(min_length=2, max_length=100)] = None,
        module: Annotated[str | None, Query(pattern=r"^[a-z]{3,40}$")] = None,
    ) -> Response:
        party_of(request, services)
        found = [
            _entry(party)
            for party in services.line.directory().parties.values()
            if (kvk is None or party.kvk == kvk)
            and (module is None or module in party.modules)
            and (naam is None or _named(party, naam))
        ]
        return JSONResponse({"deelnemers": found, "aantal": len(found)})

    @router.get("/sleutels", summary="De openbare sleutels van de gateway (JWKS)")
    async def sleutels() -> Response:
        return JSONResponse(services.keys.published())

    @router.post("/token", summary="Een token halen (OAuth 2, private_key_jwt)")
    async def token(request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith(
            "application/x-www-form-urlencoded"
        ):
            return _oauth_error("invalid_request", "application/x-www-form-urlencoded expected")
        try:
            body = await read(request, services.settings, services.bodies, LARGEST_TOKEN_REQUEST)
            pairs = parse_qsl(body.decode("ascii"), max_num_fields=16)
            form = dict(pairs)
            if len(form) != len(pairs):
                return _oauth_error("invalid_request", "a parameter appears twice")
            granted = await services.writer.run(
                lambda: services.tokens.exchange(
                    form, services.line.clock(), services.ledger.assertion_seen
                )
            )
        except TokenRefused as refused:
            return _oauth_error(refused.error, refused.description)
        except (ValueError, Refusal):
            return _oauth_error("invalid_request", "the form cannot be read")
        return JSONResponse(granted, headers={"Pragma": "no-cache"})

    return router


def _oauth_error(error: str, description: str) -> Response:
    """RFC 6749 §5.2; 401 where the client itself was not believed."""
    unbelieved = error == "invalid_client"
    return Response(
        json.dumps({"error": error, "error_description": description}),
        status_code=401 if unbelieved else 400,
        media_type="application/json",
        headers={"WWW-Authenticate": CHALLENGE} if unbelieved else {},
    )


def _named(party: Party, part: str) -> bool:
    names = (party.naam, *party.handelsnamen)
    return any(part.casefold() in name.casefold() for name in names)


def _entry(party: Party) -> Json:
    entry: Json = {
        "oin": party.oin,
        "naam": party.naam,
        "kvk": party.kvk,
        "vestigingen": list(party.vestigingen),
        "handelsnamen": list(party.handelsnamen),
        "rollen": sorted(party.rollen),
        "modules": sorted(party.modules),
    }
    return {name: value for name, value in entry.items() if value not in (None, [])}
