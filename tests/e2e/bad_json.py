"""JSON that must be refused: its form and its detached signature."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from fixtures.parties import altered
from gateway.message import Json, as_bytes
from tests.e2e.bad_messages import (
    DEEP,
    Row,
    json_bytes,
    json_headers,
    jws,
    with_pkcs1,
    with_pss,
    with_public_key_as_secret,
)
from tests.e2e.here import Here, Sent, a_notice


def members(body: bytes) -> bytes:
    """Two members of the same name."""
    return altered(body, b'"bsn":"999990019"', b'"bsn":"999990007","bsn":"999990019"')


def unknown_member(made: Json) -> Json:
    made["kennisgevingPubliek"]["klant"]["zonderling"] = "Kanarie"
    return made


JSON_FORM = [
    Row("cut short", json_bytes(lambda b: b[:-3]), 400, "JSON_ONGELDIG", "vorm"),
    Row("empty", json_bytes(lambda b: b""), 400, "JSON_ONGELDIG", "vorm"),
    Row("a list", json_bytes(lambda b: b"[" + b + b"]"), 400, "JSON_ONGELDIG", "geen-object"),
    Row("UTF-16", json_bytes(lambda b: b.decode().encode("utf-16")), 400, "JSON_ONGELDIG", None),
    Row(
        "byte order mark",
        json_bytes(lambda b: b"\xef\xbb\xbf" + b),
        400,
        "JSON_ONGELDIG",
        "codering",
    ),
    Row("duplicate member", json_bytes(members), 400, "JSON_ONGELDIG", "dubbele-naam"),
    Row(
        "depth 100,000",
        json_bytes(lambda b: b'{"zonderling":' * DEEP + b"1" + b"}" * DEEP),
        400,
        "JSON_ONGELDIG",
        "vorm",
    ),
    Row(
        "depth 33",
        json_bytes(lambda b: b'{"zonderling":' * 33 + b"1" + b"}" * 33),
        400,
        "JSON_ONGELDIG",
        "diepte",
    ),
    Row(
        "a fraction",
        json_bytes(lambda b: altered(b, b'"huisnummer":12', b'"huisnummer":12.5')),
        400,
        "JSON_ONGELDIG",
        "getal",
    ),
    Row(
        "not a number",
        json_bytes(lambda b: altered(b, b'"huisnummer":12', b'"huisnummer":NaN')),
        400,
        "JSON_ONGELDIG",
        "getal",
    ),
    Row(
        "half a character",
        json_bytes(lambda b: altered(b, b"Karin", b"Kar\\ud800n")),
        400,
        "JSON_ONGELDIG",
        "teken",
    ),
]


def twice(name: str) -> Callable[[dict[str, str]], list[tuple[str, str]]]:
    return lambda headers: [*headers.items(), (name, headers[name])]


def without(name: str) -> Callable[[dict[str, str]], list[tuple[str, str]]]:
    return lambda headers: [each for each in headers.items() if each[0] != name]


def instead(name: str, value: str) -> Callable[[dict[str, str]], list[tuple[str, str]]]:
    return lambda headers: [*without(name)(headers), (name, value)]


OTHER_DIGEST = "SHA-256=" + base64.b64encode(hashlib.sha256(b"zonderling").digest()).decode()


def another_body(here: Here) -> Sent:
    """The headers of one message with the body of another."""
    good = here.written(a_notice())
    return Sent(as_bytes(a_notice()), good.headers, good.token_of)


JSON_SIGNATURE = [
    Row(
        "missing",
        json_headers(without("Payload-Signature")),
        400,
        "HANDTEKENING_ONTBREEKT",
        "ontbreekt",
    ),
    Row(
        "two signature headers",
        json_headers(twice("Payload-Signature")),
        400,
        "HANDTEKENING_ONTBREEKT",
        "aantal",
    ),
    Row(
        "two digest headers", json_headers(twice("Digest")), 400, "HANDTEKENING_ONTBREEKT", "aantal"
    ),
    Row("no digest", json_headers(without("Digest")), 400, "HANDTEKENING_ONGELDIG", "digest"),
    Row(
        "digest of other content",
        json_headers(instead("Digest", OTHER_DIGEST)),
        400,
        "HANDTEKENING_ONGELDIG",
        "digest",
    ),
    Row("body of another message", another_body, 400, "HANDTEKENING_ONGELDIG", "digest"),
    Row(
        "not a signature",
        json_headers(instead("Payload-Signature", "zonderling")),
        400,
        "HANDTEKENING_ONGELDIG",
        "vorm",
    ),
    Row("alg none", jws(key=with_pss, alg="none"), 400, "ALGORITME_VERBODEN", "alg"),
    Row(
        "alg none, nothing signed",
        jws(key=lambda *_: b"", alg="none"),
        400,
        "HANDTEKENING_ONGELDIG",
        "vorm",
    ),
    Row("alg RS256", jws(key=with_pkcs1, alg="RS256"), 400, "ALGORITME_VERBODEN", "alg"),
    Row(
        "alg HS256",
        jws(key=with_public_key_as_secret, alg="HS256"),
        400,
        "ALGORITME_VERBODEN",
        "alg",
    ),
    Row(
        "signature of another making",
        jws(key=with_pkcs1),
        400,
        "HANDTEKENING_ONGELDIG",
        "waarde",
    ),
    Row(
        "payload not detached",
        jws(key=with_pss, b64=True),
        400,
        "HANDTEKENING_ONGELDIG",
        "b64",
    ),
]
