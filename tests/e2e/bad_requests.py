"""Good messages in a request that must be refused."""

from __future__ import annotations

import gzip
from dataclasses import replace

from tests.e2e.bad_messages import (
    Make,
    Row,
)
from tests.e2e.here import NOTICE, Here, Sent, a_notice


def headed(*headers: tuple[str, str]) -> Make:
    """A good signed XML message under these headers."""
    return lambda here: Sent(here.xml.signed(NOTICE, a_notice()), headers)


def media(value: str) -> Make:
    return headed(("Content-Type", value))


def gzipped(here: Here) -> Sent:
    body = gzip.compress(here.xml.signed(NOTICE, a_notice()))
    return Sent(body, [("Content-Type", "application/xml"), ("Content-Encoding", "gzip")])


XML = ("Content-Type", "application/xml")

REQUEST = [
    Row("text/xml", media("text/xml"), 415, "MEDIATYPE_ONBEKEND", "content-type"),
    Row("no media type", headed(), 415, "MEDIATYPE_ONBEKEND", "content-type"),
    Row("SOAP", media("application/soap+xml"), 415, "MEDIATYPE_ONBEKEND", "content-type"),
    Row(
        "a form",
        media("application/x-www-form-urlencoded"),
        415,
        "MEDIATYPE_ONBEKEND",
        "content-type",
    ),
    Row(
        "another charset",
        media("application/xml; charset=iso-8859-1"),
        415,
        "MEDIATYPE_ONBEKEND",
        "charset",
    ),
    Row("gzip", gzipped, 415, "MEDIATYPE_ONBEKEND", "content-encoding"),
    Row("Accept: text/html", headed(XML, ("Accept", "text/html")), 406, "ACCEPT_ONMOGELIJK"),
    Row(
        "Accept: everything but what we have",
        headed(XML, ("Accept", "application/*;q=0, text/plain")),
        406,
        "ACCEPT_ONMOGELIJK",
    ),
    Row(
        "JSON without a token",
        lambda here: replace(here.written(a_notice()), token_of=None),
        401,
        "TOKEN_ONGELDIG",
    ),
    Row(
        "a token that is none",
        headed(XML, ("Authorization", "Bearer zonderling")),
        401,
        "TOKEN_ONGELDIG",
        "handtekening",
    ),
    Row(
        "two authorizations",
        headed(XML, ("Authorization", "Bearer a"), ("Authorization", "Bearer b")),
        401,
        "TOKEN_ONGELDIG",
        "aantal",
    ),
    Row(
        "basic authentication",
        headed(XML, ("Authorization", "Basic em9uZGVybGluZzp4")),
        401,
        "TOKEN_ONGELDIG",
        "vorm",
    ),
]
