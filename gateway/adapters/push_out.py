"""Channel push: POST a delivery to the party's own endpoint, and read the answer.

What an answer means is data: ``STATUSES`` for the status, ``NO`` for a body that says no
inside a 2xx, ``FAILURES`` for what goes wrong on the way. No text of the peer is kept.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from lxml import etree

from gateway.adapters.egress import Egress, EgressForbidden, NameUnresolved
from gateway.delivery import Answer, Attempted
from gateway.message import Oin, Parcel
from gateway.routing.directory import Party

API_VERSION = "1.0.0"
"""Version of the HTTP interface by which the gateway delivers."""

LARGEST_ANSWER_BYTES = 64 * 1024
"""No more of an answer is read: a receipt is small."""

CONNECT_TIMEOUT_SECONDS = 5.0
"""Per address, so that a dead first address leaves time for the next."""


class Note(StrEnum):
    """Why an attempt came to what it did, in one technical word of ours."""

    TIMEOUT = "timeout"  # no whole answer within the party's time
    CONNECT = "connect"  # nobody listens
    TLS = "tls"
    DNS = "dns"
    CUT = "cut"  # the connection ended before the answer did
    OVERSIZED = "oversized"
    UNREADABLE = "unreadable"  # a 2xx whose XML or JSON cannot be read
    ENCODED = "encoded"  # compressed, though we asked for identity
    FAULT = "fault"  # a 2xx whose body says no
    HTML = "html"  # a page for people: a login or a proxy, not the endpoint
    ADDRESS = "address"  # no endpoint, or no URL
    FORBIDDEN = "forbidden-address"
    REQUEST = "request"  # our own request cannot be sent as HTTP
    OTHER = "other"


STATUSES: dict[int, Answer] = {
    **dict.fromkeys(range(300, 400), Answer.MISCONFIGURED),  # no redirect is followed
    **dict.fromkeys(range(500, 600), Answer.UNAVAILABLE),
    200: Answer.CONFIRMED,
    201: Answer.CONFIRMED,
    202: Answer.CONFIRMED,
    204: Answer.CONFIRMED,
    208: Answer.CONFIRMED,  # has it already
    400: Answer.REJECTED,
    401: Answer.MISCONFIGURED,
    403: Answer.MISCONFIGURED,
    404: Answer.MISCONFIGURED,
    405: Answer.MISCONFIGURED,
    407: Answer.MISCONFIGURED,
    408: Answer.UNAVAILABLE,
    # "this id with other content", as in our own interface. Read as "has it already" it
    # could hide a loss; as a dead letter a person sees it. Who has it answers 200 or 208.
    409: Answer.REJECTED,
    410: Answer.REJECTED,
    413: Answer.REJECTED,
    415: Answer.REJECTED,
    422: Answer.REJECTED,
    425: Answer.UNAVAILABLE,
    429: Answer.UNAVAILABLE,
}
"""What a status means; one that is not here is UNAVAILABLE, other 2xx included."""

NO = frozenset(
    {
        "Fault",
        "Foutbericht",
        "foutbericht",
        "Fo01Bericht",
        "Fo02Bericht",
        "Fo03Bericht",
        "problem",
    }
)
"""What says no inside a 2xx: the XML root, the child of a SOAP body, or a JSON member."""

FAILURES: dict[type[Exception], tuple[Answer, Note]] = {
    TimeoutError: (Answer.UNAVAILABLE, Note.TIMEOUT),
    NameUnresolved: (Answer.UNAVAILABLE, Note.DNS),
    EgressForbidden: (Answer.MISCONFIGURED, Note.FORBIDDEN),
    ssl.SSLError: (Answer.UNAVAILABLE, Note.TLS),  # behind a ConnectError
    httpx.ConnectTimeout: (Answer.UNAVAILABLE, Note.TIMEOUT),
    httpx.ReadTimeout: (Answer.UNAVAILABLE, Note.TIMEOUT),
    httpx.WriteTimeout: (Answer.UNAVAILABLE, Note.TIMEOUT),
    httpx.PoolTimeout: (Answer.UNAVAILABLE, Note.TIMEOUT),
    httpx.ConnectError: (Answer.UNAVAILABLE, Note.CONNECT),
    httpx.ReadError: (Answer.UNAVAILABLE, Note.CUT),
    httpx.WriteError: (Answer.UNAVAILABLE, Note.CUT),
    httpx.CloseError: (Answer.UNAVAILABLE, Note.CUT),
    httpx.RemoteProtocolError: (Answer.UNAVAILABLE, Note.CUT),
    httpx.ProxyError: (Answer.UNAVAILABLE, Note.CONNECT),
    httpx.DecodingError: (Answer.UNAVAILABLE, Note.UNREADABLE),
    httpx.LocalProtocolError: (Answer.MISCONFIGURED, Note.REQUEST),
    httpx.UnsupportedProtocol: (Answer.MISCONFIGURED, Note.ADDRESS),
    httpx.InvalidURL: (Answer.MISCONFIGURED, Note.ADDRESS),
    httpx.TooManyRedirects: (Answer.MISCONFIGURED, Note.OTHER),
    # whatever else the way brings
    httpx.TransportError: (Answer.UNAVAILABLE, Note.OTHER),
    OSError: (Answer.UNAVAILABLE, Note.OTHER),
}
"""What goes wrong on the way; the most specific class counts."""

OUR_MISTAKES: frozenset[type[Exception]] = frozenset(
    {httpx.HTTPStatusError, httpx.CookieConflict, httpx.StreamError}
)
"""What httpx only raises when it is used wrongly: a bug, so it rises."""


class PushOut:
    """Delivers by HTTP POST, each delivery over a connection of its own.

    HTTP/1.1 ties an answer to its request by order alone: on a connection that served
    before, a second or late answer to the previous delivery would be taken for the
    answer to this one, and a message that nobody has would count as confirmed.
    """

    def __init__(
        self, egress: Egress, *, now: Callable[[], datetime], api_version: str = API_VERSION
    ) -> None:
        self._egress = egress
        self._now = now
        self._api_version = api_version
        self._clients: dict[tuple[Oin, str, tuple[str, ...]], httpx.AsyncClient] = {}

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """POST one parcel within the party's time; never raises for what the peer does."""
        if party.endpoint is None:
            return Attempted(Answer.MISCONFIGURED, note=Note.ADDRESS)
        try:
            async with asyncio.timeout(party.timeout.total_seconds()):
                return await self._post(parcel, party, party.endpoint)
        except tuple(FAILURES) as error:
            return failed(error)

    async def _post(self, parcel: Parcel, party: Party, endpoint: str) -> Attempted:
        client = self._client(party, endpoint)
        headers = headers_of(parcel, self._api_version)
        async with client.stream(
            "POST", endpoint, content=parcel.body, headers=headers
        ) as response:
            return await self._heard(response)

    def _client(self, party: Party, endpoint: str) -> httpx.AsyncClient:
        key = (party.oin, endpoint, party.private_ranges)
        if key not in self._clients:
            self._clients[key] = httpx.AsyncClient(
                transport=self._egress.transport(party.private_ranges),
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_SECONDS),
                follow_redirects=False,
                trust_env=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none
            )
        return self._clients[key]

    async def _heard(self, response: httpx.Response) -> Attempted:
        status = response.status_code
        answer = STATUSES.get(status, Answer.UNAVAILABLE)
        if answer is Answer.CONFIRMED:
            return await _read_yes(response)
        asked = retry_after(response.headers.get("Retry-After"), self._now())
        return Attempted(answer, status, retry_after=asked)

    async def aclose(self) -> None:
        """Close every connection that is under way."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


def headers_of(parcel: Parcel, api_version: str) -> dict[str, str]:
    """The headers of one delivery: identifiers and signatures, nothing personal."""
    delivery_id = parcel.delivery.id
    sha256 = base64.b64encode(hashlib.sha256(parcel.body).digest()).decode("ascii")
    headers = {
        "Content-Type": parcel.media,
        "Aflever-Id": delivery_id,
        "Idempotency-Key": f'"{delivery_id}"',  # a structured-field string: quoted
        "API-Version": api_version,
        "Content-Digest": f"sha-256=:{sha256}:",  # RFC 9530
        "Accept": "application/json, application/xml",
        "Accept-Encoding": "identity",  # an answer cannot be a decompression bomb
        "Connection": "close",
        "User-Agent": "schuldhulp-gateway",
    }
    if parcel.digest is not None:
        headers["Digest"] = parcel.digest
    if parcel.signature is not None:
        headers["Payload-Signature"] = parcel.signature
    return headers


def failed(error: Exception) -> Attempted:
    """What an exception on the way means, by the most specific class in ``FAILURES``."""
    kinds = list(type(error).__mro__)
    # only here: waiting inside TLS handles SSLErrors too, and a timeout carries them along
    if isinstance(error, httpx.ConnectError) and _behind(error, ssl.SSLError):
        kinds = [ssl.SSLError]
    answer, note = next(FAILURES[kind] for kind in kinds if kind in FAILURES)
    return Attempted(answer, note=note)


def _behind(error: BaseException | None, kind: type[Exception]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read a ``Retry-After`` header: seconds or an HTTP date (RFC 9110 §10.2.3).

    Returns:
        How long from ``now``, zero for a date that has passed; None for no header or
        one that cannot be read.
    """
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
        return timedelta(seconds=int(value))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:  # "-0000": UTC by another name
        date = date.replace(tzinfo=UTC)
    return max(date - now, timedelta(0))


async def _read_yes(response: httpx.Response) -> Attempted:
    """Read a 2xx to its end: only a whole answer that does not say no is a yes."""
    status = response.status_code
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return Attempted(Answer.UNAVAILABLE, status, Note.ENCODED)
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > LARGEST_ANSWER_BYTES:
            return Attempted(Answer.UNAVAILABLE, status, Note.OVERSIZED)
    media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    answer, note = what_it_says(media, bytes(body))
    return Attempted(answer, status, note)


def what_it_says(media: str, body: bytes) -> tuple[Answer, str]:
    """What the body of a 2xx says, whatever its media type claims.

    CONFIRMED for everything that is not plainly something else, an empty body too.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if media in {"application/problem+json", "application/problem+xml"}:
        return Answer.REJECTED, Note.FAULT
    if media == "text/html" or text[:14].lower().startswith((b"<!doctype html", b"<html")):
        # somebody else answered: taking this for a yes would lose the message
        return Answer.MISCONFIGURED, Note.HTML
    try:
        names = _names(text)
    except (ValueError, RecursionError, etree.XMLSyntaxError):
        return Answer.UNAVAILABLE, Note.UNREADABLE
    if "html" in names:
        return Answer.MISCONFIGURED, Note.HTML
    return (Answer.CONFIRMED, "") if NO.isdisjoint(names) else (Answer.REJECTED, Note.FAULT)


def _names(text: bytes) -> set[str]:
    """Names on top of a document: members of JSON, elements of XML or of a SOAP body."""
    if text.startswith(b"{"):
        return set(json.loads(text))
    if not text.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):  # UTF-16 is XML too
        return set()
    # not gateway.xml: that refuses what a peer's receipt may well contain
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    root = etree.fromstring(text, parser)
    top = [root]
    if etree.QName(root).localname == "Envelope":
        top = [child for part in root.iterchildren("{*}Body") for child in part.iterchildren("*")]
    return {etree.QName(element).localname for element in top}
