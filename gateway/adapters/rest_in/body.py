"""Reading a request: its media type, what it accepts, and its body counted while it streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

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


def dialect_of(request: Request) -> Dialect:
    """The form in which the body says it is written.

    Raises:
        Refusal: MEDIATYPE_ONBEKEND for anything but plain UTF-8 XML or JSON.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal(Code.MEDIATYPE_ONBEKEND, Finding("content-encoding", ""))
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    dialect = MEDIA.get(media.strip().lower())
    if dialect is None:
        raise Refusal(Code.MEDIATYPE_ONBEKEND, Finding("content-type", ""))
    for parameter in parameters.split(";"):
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
    header = ",".join(request.headers.getlist("accept")) or "*/*"
    quality: dict[Dialect, tuple[float, int]] = {}
    for part in header.split(","):
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
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit() and len(declared) <= MOST_DIGITS):
        raise Refusal(Code.VERZOEK_ONGELDIG, Finding("content-length", ""))
    if int(declared) > limit:
        raise Refusal(Code.TE_GROOT)
    # one that grows: parts of many bodies between each other leave holes in memory
    body = bytearray()
    size, whole = 0, False
    try:
        async with asyncio.timeout(settings.body_timeout.total_seconds()):
            async for chunk in request.stream():
                if size + len(chunk) > limit:
                    raise Refusal(Code.TE_GROOT)
                bodies.take(len(chunk))
                size += len(chunk)
                body += chunk
        whole = True
    except TimeoutError as error:
        raise Refusal(Code.TE_TRAAG) from error
    except ClientDisconnect as error:
        raise Refusal(Code.VERZOEK_ONGELDIG, Finding("afgebroken", "")) from error
    finally:
        if whole:
            _when_answered(lambda: bodies.give_back(size))
        else:
            bodies.give_back(size)
    return bytes(body)


def _when_answered(done: Callable[[], None]) -> None:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a body is read in the task of its request")
    task.add_done_callback(lambda _: done())
