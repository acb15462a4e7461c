"""Channel push against a real server on this machine that acts out one answer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import httpx
import pytest

from gateway.adapters import push_out
from gateway.adapters.egress import Egress, NameUnresolved
from gateway.adapters.push_out import (
    FAILURES,
    LARGEST_ANSWER_BYTES,
    OUR_MISTAKES,
    STATUSES,
    Note,
    PushOut,
    failed,
    retry_after,
)
from gateway.delivery import Answer, Attempted
from gateway.message import Channel, Oin, Parcel
from gateway.routing.directory import Party
from tests.servers.endpoint import (
    Act,
    Peer,
    a_peer,
    certificate_for,
    never_stops,
    says,
    sends,
    sends_and_closes,
    sends_and_hangs,
)
from tests.unit.test_delivery import a_delivery

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CANARY = "Wilhelmina Kanarie"
PARCEL = Parcel(
    delivery=a_delivery(canonical=f'{{"naam":"{CANARY}"}}'.encode()),
    body=f'{{"aflevering":{{"naam":"{CANARY}"}}}}'.encode(),
    media="application/json",
    signature="eyJ..c2ln",
    digest="SHA-256=abc=",
)


async def at_home(host: str, port: int) -> Sequence[str]:
    """A resolver for which every name is this machine."""
    return ["127.0.0.1"]


def a_party(peer: Peer, *, scheme: str = "http", host: str = "partij.example") -> Party:
    return Party(
        oin=Oin("00000099000000001000"),
        naam="Partij",
        rollen=frozenset({"schuldeiser"}),
        modules=frozenset({"schuldregeling"}),
        certificates=(),
        channel=Channel.PUSH,
        endpoint=f"{scheme}://{host}:{peer.port}/in?plek=1",
        private_ranges=("127.0.0.0/8",),
        timeout=timedelta(seconds=5),
    )


@contextlib.asynccontextmanager
async def a_push(tls: ssl.SSLContext | None = None) -> AsyncIterator[PushOut]:
    push = PushOut(Egress(tls or ssl.create_default_context(), at_home), now=lambda: NOW)
    try:
        yield push
    finally:
        await push.aclose()


async def attempt(act: Act, *, seconds: float = 5) -> Attempted:
    async with a_peer(act) as peer, a_push() as push:
        party = replace(a_party(peer), timeout=timedelta(seconds=seconds))
        return await push.deliver(PARCEL, party)


YES, NO_MORE, LATER, MEND = (
    Answer.CONFIRMED,
    Answer.REJECTED,
    Answer.UNAVAILABLE,
    Answer.MISCONFIGURED,
)


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ((200, 201, 202, 204, 208), YES),
        ((203, 205, 206, 207, 226, 299), LATER),
        ((300, 301, 302, 303, 304, 307, 308), MEND),
        ((401, 403, 404, 405, 407), MEND),
        ((400, 409, 410, 413, 415, 422), NO_MORE),
        ((408, 425, 429), LATER),
        ((402, 406, 418, 421, 423, 426, 451, 499), LATER),
        ((500, 501, 502, 503, 504, 507, 511, 599), LATER),
    ],
)
async def test_each_status_has_one_meaning(statuses: tuple[int, ...], answer: Answer) -> None:
    for status in statuses:
        assert await attempt(says(status)) == Attempted(answer, status)


def test_the_table_holds_no_confirmation_outside_2xx() -> None:
    yes = {status for status, answer in STATUSES.items() if answer is Answer.CONFIRMED}

    assert yes == {200, 201, 202, 204, 208}


SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
FAULT11 = f'<s:Envelope xmlns:s="{SOAP11}"><s:Body><s:Fault/></s:Body></s:Envelope>'
FAULT12 = (
    f'<?xml version="1.0"?><e:Envelope xmlns:e="{SOAP12}"><e:Header/><e:Body><e:Fault/>'
    "</e:Body></e:Envelope>"
)


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/xml", FAULT11.encode()),
        ("application/soap+xml; charset=utf-8", FAULT12.encode()),
        ("text/plain", b"\xef\xbb\xbf\n " + FAULT11.encode()),
        (
            "application/soap+xml",
            ('<?xml version="1.0" encoding="utf-16"?>' + FAULT11).encode("utf-16"),
        ),
        ("application/xml", b'<f:Foutbericht xmlns:f="urn:x"><f:Code>X</f:Code></f:Foutbericht>'),
        ("application/xml", b'<Fo02Bericht xmlns="http://www.egem.nl/StUF/StUF0301"/>'),
        ("application/xml", b'<problem xmlns="urn:ietf:rfc:7807"/>'),
        ("application/problem+json", b'{"title":"nee"}'),
        ("Application/Problem+JSON; charset=utf-8", b""),
        ("application/json", b'{"foutbericht":{"code":"X"}}'),
    ],
)
async def test_a_2xx_that_says_no_inside_is_a_rejection(media: str, body: bytes) -> None:
    attempted = await attempt(says(200, body, Content_Type=media))

    assert attempted == Attempted(Answer.REJECTED, 200, Note.FAULT)


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("", b""),
        ("text/plain", b"OK"),
        ("application/json", b'{"status":"ontvangen"}'),
        ("application/json", b'["foutbericht"]'),
        ("application/xml", b"<!-- dank --><Ontvangstbevestiging/>"),
        ("text/xml", FAULT11.replace("s:Fault", "s:Antwoord").encode()),
        ("application/json", b'"' + b"x" * (LARGEST_ANSWER_BYTES - 2) + b'"'),
    ],
)
async def test_a_2xx_that_does_not_say_no_is_a_yes(media: str, body: bytes) -> None:
    attempted = await attempt(says(200, body, Content_Type=media))

    assert attempted == Attempted(Answer.CONFIRMED, 200)


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/html; charset=utf-8", b"OK"),
        ("", b"\n<!DOCTYPE html><title>Inloggen</title>"),
        (
            "application/xhtml+xml",
            b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>',
        ),
    ],
)
async def test_a_page_for_people_is_not_a_confirmation(media: str, body: bytes) -> None:
    attempted = await attempt(says(200, body, Content_Type=media))

    assert attempted == Attempted(Answer.MISCONFIGURED, 200, Note.HTML)


@pytest.mark.parametrize(
    "body",
    [
        b"<Ontvangst",
        b'{"status":',
        FAULT11.encode()[:-9],
        b'{"a":' * 10_000,
        b"<a>" * 20_000,
        b'{"a":"\xff"}',
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&z;</a>',
    ],
)
async def test_a_2xx_whose_document_cannot_be_read_is_tried_again(body: bytes) -> None:
    attempted = await attempt(says(200, body))

    assert attempted == Attempted(Answer.UNAVAILABLE, 200, Note.UNREADABLE)


@pytest.mark.parametrize(
    ("act", "note", "status"),
    [
        (says(200, b" " * (LARGEST_ANSWER_BYTES + 1)), Note.OVERSIZED, 200),
        (never_stops, Note.OVERSIZED, 200),
        (says(200, b"\x1f\x8b", Content_Encoding="gzip"), Note.ENCODED, 200),
        (sends_and_closes(b""), Note.CUT, None),
        (sends_and_closes(b"HTTP/1.1 200 X\r\n"), Note.CUT, None),
        (sends_and_closes(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n<a/>"), Note.CUT, None),
        (
            sends_and_closes(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<a/>"),
            Note.CUT,
            None,
        ),
        (sends_and_closes(b"220 mail.example ESMTP\r\n"), Note.CUT, None),
    ],
)
async def test_half_an_answer_or_too_much_of_it_is_tried_again(
    act: Act, note: Note, status: int | None
) -> None:
    assert await attempt(act) == Attempted(Answer.UNAVAILABLE, status, note)


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 X\r\n", b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n<a/>"]
)
async def test_a_peer_that_never_finishes_is_left_after_the_partys_time(begin: bytes) -> None:
    attempted = await attempt(sends_and_hangs(begin), seconds=0.1)

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.TIMEOUT)


@pytest.mark.parametrize("status", [425, 429, 503, 302])
@pytest.mark.parametrize("value", ["120", "Mon, 02 Mar 2026 12:02:00 GMT"])
async def test_a_peer_that_asks_to_come_back_is_heard(status: int, value: str) -> None:
    attempted = await attempt(says(status, Retry_After=value))

    assert attempted.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("0", timedelta(0)),
        (" 7 ", timedelta(seconds=7)),
        ("Mon, 02 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("Mon, 02 Mar 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Monday, 02-Mar-26 12:00:30 GMT", timedelta(seconds=30)),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 40, None),
        ("", None),
        ("Mon, 02 Mar 99999999999999999999 12:00:30 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_or_nothing(
    value: str | None, wait: timedelta | None
) -> None:
    assert retry_after(value, NOW) == wait


async def test_a_redirect_is_not_followed() -> None:
    async with a_peer(says(200)) as elsewhere, a_push() as push:
        target = f"http://partij.example:{elsewhere.port}/"
        async with a_peer(says(307, Location=target)) as peer:
            attempted = await push.deliver(PARCEL, a_party(peer))

    assert attempted == Attempted(Answer.MISCONFIGURED, 307)
    assert elsewhere.connections == 0


async def test_the_peer_gets_the_body_with_identifiers_and_signatures() -> None:
    async with a_peer(says(202)) as peer, a_push() as push:
        await push.deliver(PARCEL, a_party(peer))

    ((line, headers, body),) = peer.heard
    assert line == "POST /in?plek=1 HTTP/1.1"
    assert body == PARCEL.body
    assert headers == {
        "Host": f"partij.example:{peer.port}",
        "Accept": "application/json, application/xml",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "schuldhulp-gateway",
        "Content-Type": "application/json",
        "Aflever-Id": PARCEL.delivery.id,
        "Idempotency-Key": f'"{PARCEL.delivery.id}"',
        "API-Version": push_out.API_VERSION,
        "Content-Digest": f"sha-256=:{b64encode(sha256(PARCEL.body).digest()).decode()}:",
        "Digest": "SHA-256=abc=",
        "Payload-Signature": "eyJ..c2ln",
        "Content-Length": str(len(PARCEL.body)),
    }


async def test_signed_xml_goes_without_the_headers_of_a_detached_signature() -> None:
    parcel = replace(PARCEL, media="application/xml", signature=None, digest=None)

    async with a_peer(says(202)) as peer, a_push() as push:
        await push.deliver(parcel, a_party(peer))

    ((_, headers, _),) = peer.heard
    assert headers["Content-Type"] == "application/xml"
    assert "Payload-Signature" not in headers
    assert "Digest" not in headers


async def test_a_repeat_carries_the_same_id_and_no_cookie() -> None:
    act = says(503, Set_Cookie="sessie=1; Path=/")

    async with a_peer(act) as peer, a_push() as push:
        await push.deliver(PARCEL, a_party(peer))
        await push.deliver(PARCEL, a_party(peer))

    first, second = (headers for _, headers, _ in peer.heard)
    assert first == second
    assert "Cookie" not in second


async def test_an_answer_never_counts_for_another_delivery_than_its_own() -> None:
    """Two answers at once, or one more later: no later delivery may take them for its own."""
    twice = b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n" * 2
    acts = [sends(twice), says(422)]

    async def act(writer: asyncio.StreamWriter) -> None:
        await acts.pop(0)(writer)

    async with a_peer(act) as peer, a_push() as push:
        first = await push.deliver(PARCEL, a_party(peer))
        second = await push.deliver(PARCEL, a_party(peer))

    assert (first, second) == (Attempted(YES, 200), Attempted(NO_MORE, 422))
    assert (len(peer.heard), peer.connections) == (2, 2)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")

    assert (await attempt(says(200))).answer is Answer.CONFIRMED


async def test_an_endpoint_where_nobody_listens_is_tried_again() -> None:
    async with a_peer(says(200)) as peer:
        party = a_party(peer)

    async with a_push() as push:
        attempted = await push.deliver(PARCEL, party)

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.CONNECT)


async def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise NameUnresolved(host)

    push = PushOut(Egress(ssl.create_default_context(), nowhere), now=lambda: NOW)

    attempted = await push.deliver(PARCEL, a_party(Peer(says(200), port=1)))

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.DNS)
    await push.aclose()


async def test_a_name_server_that_never_answers_costs_no_more_than_the_partys_time() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    push = PushOut(Egress(ssl.create_default_context(), silent), now=lambda: NOW)
    party = replace(a_party(Peer(says(200), port=1)), timeout=timedelta(seconds=0.05))

    attempted = await push.deliver(PARCEL, party)

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.TIMEOUT)
    await push.aclose()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"private_ranges": ()}, Note.FORBIDDEN),
        ({"private_ranges": ("10.0.0.0/8",)}, Note.FORBIDDEN),
        ({"endpoint": None}, Note.ADDRESS),
        ({"endpoint": "https://0177.0.0.1/"}, Note.ADDRESS),
        ({"endpoint": "geen adres"}, Note.FORBIDDEN),
    ],
)
async def test_an_endpoint_that_may_not_be_reached_is_for_a_person_to_mend(
    changes: dict[str, object], note: Note
) -> None:
    async with a_peer(says(200)) as peer, a_push() as push:
        party: Party = replace(a_party(peer), **changes)  # type: ignore[arg-type]
        attempted = await push.deliver(PARCEL, party)

    assert attempted == Attempted(Answer.MISCONFIGURED, note=note)
    assert peer.connections == 0


@dataclass(frozen=True)
class Tls:
    """A certificate for one name, and who trusts it."""

    server: ssl.SSLContext
    trusting: ssl.SSLContext


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Tls]:
    """Makes contexts around one self-made certificate for partij.example."""
    file = tmp_path_factory.mktemp("tls") / "partij.pem"
    certificate_for("partij.example", file)

    def contexts() -> Tls:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file)
        return Tls(server, ssl.create_default_context(cafile=str(file)))

    return contexts


async def test_tls_is_made_with_the_name_though_the_address_is_pinned(
    tls: Callable[[], Tls],
) -> None:
    contexts = tls()

    async with a_peer(says(200), contexts.server) as peer, a_push(contexts.trusting) as push:
        attempted = await push.deliver(PARCEL, a_party(peer, scheme="https"))

    assert attempted == Attempted(Answer.CONFIRMED, 200)
    assert peer.server_names == ["partij.example"]
    assert peer.heard[0][1]["Host"] == f"partij.example:{peer.port}"


async def test_a_certificate_that_nobody_vouches_for_is_not_delivered_to(
    tls: Callable[[], Tls],
) -> None:
    async with a_peer(says(200), tls().server) as peer, a_push() as push:
        attempted = await push.deliver(PARCEL, a_party(peer, scheme="https"))

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.TLS)
    assert peer.heard == []


async def test_a_peer_that_is_slow_behind_tls_is_slow_and_not_a_matter_of_tls(
    tls: Callable[[], Tls],
) -> None:
    contexts = tls()

    async with (
        a_peer(sends_and_hangs(b""), contexts.server) as peer,
        a_push(contexts.trusting) as push,
    ):
        party = replace(a_party(peer, scheme="https"), timeout=timedelta(seconds=0.2))
        attempted = await push.deliver(PARCEL, party)

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.TIMEOUT)


async def test_a_connection_made_for_one_name_never_serves_another(
    tls: Callable[[], Tls],
) -> None:
    contexts = tls()

    async with a_peer(says(200), contexts.server) as peer, a_push(contexts.trusting) as push:
        first = await push.deliver(PARCEL, a_party(peer, scheme="https"))
        other = a_party(peer, scheme="https", host="ander.example")
        second = await push.deliver(PARCEL, other)

    assert first.answer is Answer.CONFIRMED
    assert second == Attempted(Answer.UNAVAILABLE, note=Note.TLS)
    assert len(peer.heard) == 1


async def test_a_server_without_tls_on_an_https_endpoint_is_tried_again() -> None:
    """It waits for a request, we for a handshake: the connection is closed at the end."""
    hung_up = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(waits, "127.0.0.1", 0)
    peer = Peer(says(200), port=server.sockets[0].getsockname()[1])
    party = replace(a_party(peer, scheme="https"), timeout=timedelta(seconds=0.1))

    async with server, a_push() as push:
        attempted = await push.deliver(PARCEL, party)
        await hung_up.wait()

    assert attempted == Attempted(Answer.UNAVAILABLE, note=Note.TIMEOUT)


def httpx_exceptions() -> set[type[Exception]]:
    public = (getattr(httpx, name) for name in httpx.__all__)
    return {kind for kind in public if isinstance(kind, type) and issubclass(kind, Exception)}


def test_every_exception_of_httpx_has_a_meaning() -> None:
    """A release with a new one fails here, and somebody decides what it means."""
    known = httpx_exceptions()
    leaves = {kind for kind in known if not any(kind in other.__bases__ for other in known)}

    mistakes = {kind for kind in leaves if kind in OUR_MISTAKES or kind.__base__ in OUR_MISTAKES}

    assert leaves - mistakes - set(FAILURES) == set()
    assert len(known) == 28, "httpx has other exceptions than when this table was made"


@pytest.mark.parametrize(
    ("error", "answer", "note"),
    [
        (TimeoutError(), LATER, Note.TIMEOUT),
        (httpx.PoolTimeout(""), LATER, Note.TIMEOUT),
        (httpx.ConnectTimeout(""), LATER, Note.TIMEOUT),
        (httpx.WriteError(""), LATER, Note.CUT),
        (httpx.LocalProtocolError(""), MEND, Note.REQUEST),
        (httpx.UnsupportedProtocol(""), MEND, Note.ADDRESS),
        (httpx.ProxyError(""), LATER, Note.CONNECT),
        (ssl.SSLError(), LATER, Note.TLS),
        (ssl.SSLCertVerificationError(), LATER, Note.TLS),
        (ConnectionResetError(), LATER, Note.OTHER),
        (type("NewError", (httpx.TransportError,), {})(""), LATER, Note.OTHER),
    ],
)
def test_what_goes_wrong_on_the_way_has_one_word(
    error: Exception, answer: Answer, note: Note
) -> None:
    assert failed(error) == Attempted(answer, note=note)
