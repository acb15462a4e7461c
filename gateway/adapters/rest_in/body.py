"""Reading a request: its media type, what it accepts, and its body counted while it streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import Message, Receive

from gateway.adapters.rest_in.exchange import body_is_here
from gateway.errors import Code, Finding, Overloaded, Refusal
from gateway.message import Dialect
from gateway.settings import Settings

LARGEST_TOTAL_BYTES = 512 * 1024 * 1024
MOST_DIGITS = 12

MEDIA = {"application/xml": Dialect.XML, "application/json": Dialect.JSON}
RANGES = {
    "application/xml": frozenset({Dialect.XML}),
    "application/json": frozenset({Dialect.JSON}),
    "application/problem+json": frozenset[Dialect](),
    "application/*": frozenset(Dialect),
    "*/*": frozenset(Dialect),
}


def firsts(request: Request) -> Mapping[bytes, bytes]:
    """What the first header of each name says, by name in lower case."""
    return dict(request.scope["headers"][::-1])


def every(request: Request, name: bytes) -> list[str]:
    """What all headers of this name say, in lower case."""
    return [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]


def dialect_of(request: Request) -> Dialect:
    """The form in which the body says it is written.

    Raises:
        Refusal: MEDIATYPE_ONBEKEND for anything but plain UTF-8 XML or JSON.
    """
    headers = firsts(request)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.decode("latin-1").strip().lower() != "identity":
        raise Refusal(Code.MEDIATYPE_ONBEKEND, Finding("content-encoding", ""))
    media, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    dialect = MEDIA.get(media.strip().lower())
    if dialect is None:
        raise Refusal(Code.MEDIATYPE_ONBEKEND, Finding("content-type", ""))
    for parameter in parameters.split(";") if parameters else ():
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in {"utf-8", "utf8"}:
            raise Refusal(Code.MEDIATYPE_ONBEKEND, Finding("charset", ""))
    return dialect


def accepted(request: Request, preferred: Dialect) -> Dialect:
    """The form in which to answer: what ``Accept`` ranks highest, else ``preferred``.

    Raises:
        Refusal: ACCEPT_ONMOGELIJK when neither XML nor JSON is acceptable.
    """
    asked = ",".join(every(request, b"accept")) or "*/*"
    alone = RANGES.get(asked)  # what most send: one range, without parameters
    if alone:
        return preferred if preferred in alone else MEDIA[asked]
    quality: dict[Dialect, tuple[float, int]] = {}
    for part in asked.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            rank = (float(weight), -media.count("*"))
        except ValueError:
            continue
        for dialect in RANGES.get(media, frozenset()):
            current = quality.get(dialect)
            if current is None or rank[1] > current[1]:
                quality[dialect] = rank
    candidates = {dialect: rank for dialect, rank in quality.items() if rank[0] > 0}
    if not candidates:
        raise Refusal(Code.ACCEPT_ONMOGELIJK)
    return max(candidates, key=lambda dialect: (candidates[dialect], dialect is preferred))


class Bodies:
    """How many bytes of bodies are under way at once in this process.

    Without a bound, many slow senders together would take all memory, each within its
    own limit.
    """

    def __init__(self, limit: int = LARGEST_TOTAL_BYTES) -> None:
        self._limit = limit
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so many more bytes; raises Overloaded when that is too much."""
        if self._held + size > self._limit:
            raise Overloaded("too many large messages are under way")
        self._held += size

    def give_back(self, size: int) -> None:
        """Hold so many bytes less."""
        self._held -= size


async def read(
    request: Request, settings: Settings, bodies: Bodies, largest: int | None = None
) -> bytes:
    """The whole body, refused as soon as it is too large or too slow.

    It counts as under way until the task of this request ends: what waits to be examined
    or recorded takes memory too.

    Raises:
        Overloaded: too much is under way already; nothing was recorded.
        Refusal: TE_GROOT above the limit, TE_TRAAG when it does not arrive in time,
            VERZOEK_ONGELDIG when the sender hangs up.
    """
    limit = min(largest or settings.largest_body, settings.largest_body)
    declared = firsts(request).get(b"content-length", b"0")
    if not (declared.isdigit() and len(declared) <= MOST_DIGITS):
        raise Refusal(Code.VERZOEK_ONGELDIG, Finding("content-length", ""))
    if int(declared) > limit:
        raise Refusal(Code.TE_GROOT)
    if body_is_here(request.scope):
        body = await _whole(request.receive, limit, bodies)
    else:
        try:
            async with asyncio.timeout(settings.body_timeout.total_seconds()):
                body = await _whole(request.receive, limit, bodies)
        except TimeoutError as error:
            raise Refusal(Code.TE_TRAAG) from error
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a body is read in the task of its request")
    size = len(body)
    task.add_done_callback(lambda _: bodies.give_back(size))
    return body


async def _whole(receive: Receive, limit: int, bodies: Bodies) -> bytes:
    """What comes until the end; nothing of it is held if that does not come."""
    # one that grows: parts of many bodies between each other leave holes in memory
    body = bytearray()
    held = 0
    try:
        while True:
            message = await receive()
            part = _part(message, limit - held)
            bodies.take(len(part))
            held += len(part)
            ends = not message.get("more_body", False)
            if ends and not body:
                return part  # it came in one piece
            body += part
            if ends:
                return bytes(body)
    except BaseException:
        bodies.give_back(held)
        raise


def _part(message: Message, most: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise Refusal(Code.VERZOEK_ONGELDIG, Finding("afgebroken", ""))
    part: bytes = message.get("body", b"")
    if len(part) > most:
        raise Refusal(Code.TE_GROOT)
    return part
