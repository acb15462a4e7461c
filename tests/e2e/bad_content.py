"""What the contract does not know, and what may not be said, or not to whom."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta

from fixtures.parties import now
from fixtures.world import OVERIGE_SHV, SE, SHV, STRANGER
from gateway.message import Json
from gateway.replies import instant
from tests.e2e.bad_json import unknown_member
from tests.e2e.bad_messages import (
    NAMESPACE,
    TRIAL,
    Row,
    in_both_forms,
    json_document,
    signed_text,
)
from tests.e2e.here import NOTICE, Here, Sent, a_notice

# What the contract does not know


def another_root(made: Json) -> Json:
    return {"zonderlingetje": next(iter(made.values()))}


def another_head(name: str, value: str) -> Callable[[Json], Json]:
    def change(made: Json) -> Json:
        made["kennisgevingPubliek"]["stuurgegevens"][name] = value
        return made

    return change


UNKNOWN = [
    Row(
        "XML: unknown root",
        signed_text(b"KennisgevingPubliek", b"Zonderlingetje"),
        400,
        "SCHEMA_ONGELDIG",
        "soort-onbekend",
        SHV,
    ),
    Row(
        "XML: unknown module",
        signed_text(NAMESPACE, b"urn:nld:schuldhulp-gateway:zonderling:v2"),
        400,
        "SCHEMA_ONGELDIG",
        "module-onbekend",
        SHV,
    ),
    Row(
        "XML: unknown version",
        signed_text(NAMESPACE, b"urn:nld:schuldhulp-gateway:schuldregeling:v9"),
        400,
        "SCHEMA_ONGELDIG",
        "versie-onbekend",
        SHV,
    ),
    Row(
        "XML: another module than the namespace says",
        signed_text(b"<Module>schuldregeling<", b"<Module>vish<"),
        400,
        "SCHEMA_ONGELDIG",
        "module-wijkt-af",
        SHV,
    ),
    Row(
        "XML: another version than the namespace says",
        signed_text(b"<Versie>2.0<", b"<Versie>1.0<"),
        400,
        "SCHEMA_ONGELDIG",
        "versie-wijkt-af",
        SHV,
    ),
    Row(
        "JSON: unknown root",
        json_document(another_root),
        400,
        "SCHEMA_ONGELDIG",
        "soort-onbekend",
        SHV,
    ),
    Row(
        "JSON: unknown module",
        json_document(another_head("module", "zonderling")),
        400,
        "SCHEMA_ONGELDIG",
        "module-onbekend",
        SHV,
    ),
    Row(
        "JSON: unknown version",
        json_document(another_head("versie", "9.0")),
        400,
        "SCHEMA_ONGELDIG",
        "versie-onbekend",
        SHV,
    ),
    Row(
        "JSON: unknown member",
        json_document(unknown_member),
        400,
        "SCHEMA_ONGELDIG",
        "onbekend-lid",
        SHV,
    ),
    Row(
        "XML: unknown element",
        signed_text(b"<Klant>", b"<Klant><Zonderling>Kanarie</Zonderling>"),
        400,
        "SCHEMA_ONGELDIG",
        "onbekend-element",
        SHV,
    ),
]


# What may not be said, or not to whom, in both forms


def late(days: float) -> Callable[[], Json]:
    """A message with a tijdstip so many days from now."""
    return lambda: a_notice(head={"tijdstip": instant(now() + timedelta(days=days))})


def attached(mime: str, content: bytes, sha256: str | None = None) -> Callable[[], Json]:
    """A message with one attachment."""
    attachment = {
        "soort": "ONDERBOUWING",
        "mime": mime,
        "bestandsnaam": "zonderling.pdf",
        "sha256": sha256 or hashlib.sha256(content).hexdigest(),
        "inhoud": base64.b64encode(content).decode(),
    }
    return lambda: a_notice(head={"bijlagen": [attachment]})


SECOND = 1 / 86_400
PDF = b"%PDF-1.7 zonderling"

CONTENT = [
    ("tijdstip of 31 days ago", late(-31), 400, "TIJDSTIP_BUITEN_VENSTER", "tijdstip"),
    ("tijdstip two minutes ahead", late(120 * SECOND), 400, "TIJDSTIP_BUITEN_VENSTER", "tijdstip"),
    (
        "unknown recipient",
        lambda: a_notice(recipient=STRANGER),
        400,
        "ONTVANGER_ONBEKEND",
        "ontvanger",
    ),
    (
        "recipient without this module",
        lambda: a_notice(recipient=OVERIGE_SHV),
        400,
        "NIET_AANGESLOTEN",
        "ontvanger",
    ),
    (
        "attachment of another type",
        attached("image/png", PDF),
        400,
        "BIJLAGE_ONGELDIG",
        "BIJLAGE_MIME",
    ),
    (
        "attachment with another hash",
        attached("application/pdf", PDF, "0" * 64),
        400,
        "BIJLAGE_ONGELDIG",
        "BIJLAGE_SHA256",
    ),
    (
        "a BSN that cannot be one",
        lambda: a_notice({"klant": {"bsn": "999990018"}}),
        400,
        "REGEL_GESCHONDEN",
        "BSN_ELFPROEF",
    ),
]

SAID = [
    Row(f"{form}: {name}", make, status, code, rule, SHV)
    for name, document, status, code, rule in CONTENT
    for form, make in zip(("XML", "JSON"), in_both_forms(document), strict=True)
]


def from_outside_the_module(here: Here) -> Sent:
    author = here.reach.creditor(OVERIGE_SHV)
    return here.as_xml(author.signed(NOTICE, a_notice(sender=OVERIGE_SHV, recipient=SE)))


SAID.append(
    Row(
        "XML: sender without this module",
        from_outside_the_module,
        400,
        "NIET_AANGESLOTEN",
        "afzender",
        OVERIGE_SHV,
    )
)


def a_gateway_kind() -> Json:
    return a_notice(which=TRIAL, sender=SHV, recipient=SE)


SAID += [
    Row(f"{form}: a kind of the gateway", make, 403, "GEEN_RECHT", "RECHT_ALLEEN_GATEWAY", SHV)
    for form, make in zip(("XML", "JSON"), in_both_forms(a_gateway_kind, TRIAL), strict=True)
]
