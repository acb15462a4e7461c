"""What the server underneath knows of a request and keeps to itself: an ASGI extension.

Its body may be here already, so that reading it needs no time limit; and an answer that is
whole may leave in one piece, where ASGI has it said in two.
"""

from __future__ import annotations

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

EXTENSION = "gateway.exchange"


def offer(cycle: RequestResponseCycle) -> None:
    """Let the application make use of this, for one request."""
    cycle.scope["extensions"] = {EXTENSION: cycle}  # type: ignore[dict-item]


def body_is_here(scope: Scope) -> bool:
    """Nothing of the body is still under way: reading it does not wait."""
    cycle = _cycle(scope)
    return cycle is not None and not cycle.more_body


def answered(scope: Scope, status: int, lines: bytes, body: bytes) -> bool:
    """Give a whole answer, unless that takes more than writing.

    Args:
        lines: The headers as they go over the line; Content-Length is among them, Connection
            is not.
    """
    cycle = _cycle(scope)
    if (
        cycle is None
        or not cycle.keep_alive
        or cycle.disconnected
        or cycle.flow.write_paused
        or cycle.default_headers
        or scope["method"] == "HEAD"
    ):
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join((STATUS_LINE[status], lines, b"\r\n", body)))
    cycle.message_event.set()
    cycle.on_response()
    return True


def _cycle(scope: Scope) -> RequestResponseCycle | None:
    found: RequestResponseCycle | None = scope.get("extensions", {}).get(EXTENSION)
    return found
