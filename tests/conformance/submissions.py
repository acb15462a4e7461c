"""Builders of submissions for the ledger: what matters to a test is named, the rest is not."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from gateway.errors import Code, Finding, Refusal
from gateway.message import (
    Admitted,
    Canonical,
    Channel,
    Dialect,
    Door,
    Header,
    Json,
    Kind,
    Oin,
    Received,
    Signer,
    Submission,
    Talk,
    Verified,
)
from gateway.record import Admit

NOON = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
CREDITOR = Oin("00000099000000001000")
MUNICIPALITY = Oin("00000099000000002000")
STRANGER = Oin("00000099000000003000")
KENNISGEVING = Kind("schuldregeling", 2, "Kennisgeving")


def a_uuid(*of: object) -> str:
    """The same UUID for the same words, so that tests are repeatable."""
    return str(UUID(hashlib.md5(repr(of).encode(), usedforsecurity=False).hexdigest()))


def a_submission(number: int = 1, **changes: Any) -> Submission:
    """The message of that number from the creditor to the municipality.

    Args:
        number: Decides referentienummer, receipt id and delivery id.
        changes: Fields of the header, and ``body``, ``canonical``, ``digest``,
            ``receipt_id``, ``delivery_id``, ``door``, ``dialect``, ``kind``, ``at``,
            ``signature``, ``stuurgegevens``, ``warnings``.
    """
    given = dict(changes)
    about = (number, given.get("afzender", CREDITOR))
    body: bytes = given.pop("body", f"<kennisgeving>{number}</kennisgeving>".encode())
    received = Received(
        door=given.pop("door", Door.REST_XML),
        dialect=given.pop("dialect", Dialect.XML),
        body=body,
        at=given.pop("at", NOON),
        signature=given.pop("signature", None),
        digest=given.pop("digest_header", None),
    )
    stuurgegevens: Json = given.pop("stuurgegevens", {})
    warnings: tuple[Finding, ...] = given.pop("warnings", ())
    kind: Kind = given.pop("kind", KENNISGEVING)
    drawn = {
        "digest": given.pop("digest", hashlib.sha256(body).hexdigest()),
        "canonical": given.pop("canonical", b'{"kennisgeving":{"nummer":%d}}' % number),
        "receipt_id": given.pop("receipt_id", a_uuid("receipt", *about)),
        "delivery_id": given.pop("delivery_id", a_uuid("delivery", *about)),
    }
    header = Header(
        referentienummer=a_uuid("message", number),
        conversatie=a_uuid("conversation", 1),
        afzender=CREDITOR,
        ontvanger=MUNICIPALITY,
        tijdstip=NOON,
        versie="2.0",
    )
    header = replace(header, **given)
    signer = Signer(header.afzender, "f" * 64, "PS256")
    verified = Verified(received, signer, {})
    document: Json = {"kennisgeving": {"stuurgegevens": stuurgegevens}}
    message = Canonical(verified, kind, header, document, warnings)
    return Submission(message=message, **drawn)


def many(count: int, first: int = 1, **changes: Any) -> list[Submission]:
    """So many submissions in a row, in one conversation unless told otherwise."""
    return [a_submission(number, **changes) for number in range(first, first + count)]


def strangers_to_each_other(count: int, first: int = 1, **changes: Any) -> list[Submission]:
    """So many submissions, each in a conversation of its own."""
    return [
        a_submission(number, conversatie=a_uuid("conversation", number), **changes)
        for number in range(first, first + count)
    ]


def admitting(channel: Channel = Channel.PUSH, **changes: Any) -> Admit:
    """An admit station that lets everything through to this channel."""

    def admit(submission: Submission, talk: Talk) -> Admitted:
        admitted = Admitted(
            submission=submission,
            ontvanger=submission.message.header.ontvanger,
            channel=channel,
            awaits_confirmation=True,
            receipt=b'{"ontvangstbevestiging":{"id":"%s"}}' % submission.receipt_id.encode(),
        )
        return replace(admitted, **changes)

    return admit


def refusing(*numbers: int, code: Code = Code.GEEN_RECHT) -> Admit:
    """An admit station that refuses the messages of these numbers."""
    refused = {a_uuid("message", number) for number in numbers}

    def admit(submission: Submission, talk: Talk) -> Admitted:
        if submission.message.header.referentienummer in refused:
            raise Refusal(code)
        return admitting()(submission, talk)

    return admit
