"""What every response carries, whatever made it: version, security headers, and silence.

The outermost layer, so that also a crash is answered with a problem document.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.adapters.rest_in.exchange import answered
from gateway.adapters.rest_in.problem import crashed
from gateway.adapters.rest_in.services import API_VERSION

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"api-version", API_VERSION.encode()),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    ),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""API Design Rules /core/transport/security-headers and /core/version-header."""
_LINES = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
_CONTROLS = bytes([*range(9), *range(10, 32), 127])
"""What may stand in no header; a line has two of them at its end."""
_NOT_PLAIN = frozenset({b"connection", b"transfer-encoding"})


class EveryResponse:
    """ASGI layer around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding the headers; a crash becomes a problem document."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False
        head: Message | None = None

        async def with_headers(message: Message) -> None:
            nonlocal started, head
            if message["type"] == "http.response.start":
                head = message  # held until it is known what comes with it
                return
            if head is not None:
                began, head, started = head, None, True
                if _at_once(scope, began, message):
                    return
                began["headers"] = [*began["headers"], *HEADERS]
                await send(began)
            await send(message)

        try:
            await self.app(scope, receive, with_headers)
        except Exception as error:  # noqa: BLE001 - the edge of the process
            if not started:
                await crashed(error)(scope, receive, with_headers)


def _at_once(scope: Scope, head: Message, rest: Message) -> bool:
    """Whether the answer was whole, fit to be sent, and is sent."""
    headers, body = head["headers"], rest.get("body", b"")
    named = dict(headers)
    if (
        rest.get("more_body", False)
        or named.get(b"content-length") != b"%d" % len(body)
        or not _NOT_PLAIN.isdisjoint(named)
    ):
        return False
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if len(lines.translate(None, _CONTROLS)) != len(lines) - 2 * len(headers):
        return False
    return answered(scope, head["status"], lines + _LINES, body)
