"""The shortcut past the framework answers exactly as the framework would."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.adapters.rest_in import problem
from gateway.adapters.rest_in.headers import EveryResponse
from gateway.adapters.rest_in.shortcut import Shortcut
from gateway.errors import Code, Fault, Finding, LedgerUnavailable, Overloaded, Refusal

PATH = "/v1/iets"


def both_ways(outcome: Exception | None) -> tuple[ASGIApp, ASGIApp, list[str]]:
    """The same endpoint by the shortcut and by the framework, and who was asked for what."""
    asked: list[str] = []

    async def endpoint(request: Request) -> Response:
        asked.append(f"{request.method} {request.url.path}")
        body = await request.body()
        if outcome is not None:
            raise outcome
        return Response(body, status_code=202, media_type="application/json")

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problem.install(app)
    app.post(PATH)(endpoint)
    short = Shortcut(app, method="POST", path=PATH, endpoint=endpoint)
    return EveryResponse(short), EveryResponse(app), asked


async def told(app: ASGIApp, method: str, path: str) -> tuple[int, list[tuple[str, str]], bytes]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.request(method, path, content=b'{"a": 1}')
    return answer.status_code, sorted(answer.headers.multi_items()), answer.content


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        Refusal(Code.VERZOEK_ONGELDIG, Finding("regel", "/pad")),
        Refusal(Code.TOKEN_ONGELDIG),
        Refusal(Code.TE_GROOT),
        Refusal(Code.QUOTUM_BEREIKT, retry_after=7),
        LedgerUnavailable("nee"),
        Overloaded("vol"),
        Fault("stuk"),
        RuntimeError("een fout van ons"),
    ],
    ids=repr,
)
async def test_every_outcome_is_answered_as_by_the_framework(outcome: Exception | None) -> None:
    short, framework, _ = both_ways(outcome)

    assert await told(short, "POST", PATH) == await told(framework, "POST", PATH)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("POST", f"{PATH}/", 404), ("POST", "/v1/anders", 404)],
)
async def test_what_is_not_its_route_goes_to_the_framework(
    method: str, path: str, status: int
) -> None:
    short, framework, asked = both_ways(None)

    answer = await told(short, method, path)

    assert answer[0] == status
    assert answer == await told(framework, method, path)
    assert asked == []
