"""The one route that every message takes, past the routing of the framework.

Finding a route, solving its parameters and five layers of the framework cost more than all
that this route does before the line. The framework knows the route too: for the OpenAPI
document, and for what the shortcut leaves to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.adapters.rest_in.problem import answer_to
from gateway.errors import Fault, Refusal

Endpoint = Callable[[Request], Awaitable[Response]]


class Shortcut:
    """ASGI layer: one method of one path goes to its endpoint, all else to the framework.

    Refusals and Faults are answered as the framework has them answered; whatever else the
    endpoint raises is for the layer outside.
    """

    def __init__(self, app: ASGIApp, *, method: str, path: str, endpoint: Endpoint) -> None:
        self.app = app
        self._method = method
        self._path = path
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer this route, or pass on."""
        if (
            scope["type"] != "http"
            or scope["path"] != self._path
            or scope["method"] != self._method
        ):
            await self.app(scope, receive, send)
            return
        try:
            response = await self._endpoint(Request(scope, receive))
        except (Refusal, Fault) as error:
            response = answer_to(error)
        await response(scope, receive, send)
