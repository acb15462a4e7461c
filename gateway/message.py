"""What travels along the line: one frozen type per station.

    Received > Verified > Validated > Canonical > Submission > Admitted | Delivery > Parcel

A station takes the type of the station before it, so skipping one is a type error.
All instants are aware and in UTC; all identifiers are lower case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NewType

import orjson
from lxml import etree

from gateway.errors import Finding

Oin = NewType("Oin", str)
"""Organisation number: 20 digits, leading zeros kept (OIN-stelsel 2.2.2)."""

Json = dict[str, Any]
"""One canonical JSON object, as the codec of the contract makes and reads it."""


def as_bytes(document: Json) -> bytes:
    """The one way to write canonical JSON for storage and delivery: UTF-8, no spaces."""
    return orjson.dumps(document)


def canonical_form(document: Json) -> bytes:
    """The RFC 8785 form of a document of the contract.

    The contract has no floating-point numbers, no integers beyond 2**53 and ASCII
    member names. Within that the sorted form of the library is the RFC 8785 form, far
    faster than an implementation for all JSON (a test compares).
    """
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def with_member(document: bytes, name: str, value: bytes) -> bytes:
    """A JSON object that has members, with one more whose value is written already.

    What is large is written once and copied from there: to read it and write it again costs
    more than all else that makes a delivery, but its signature.
    """
    return b'%b,"%b":%b}' % (document[:-1], name.encode(), value)


class Door(StrEnum):
    """Through which door a message came in."""

    REST_XML = "rest-xml"
    REST_JSON = "rest-json"
    QUEUE = "queue"
    GATEWAY = "gateway"  # the gateway itself speaks


class Dialect(StrEnum):
    """In which form a party reads and writes the contract."""

    XML = "xml"
    JSON = "json"


class Channel(StrEnum):
    """How a party gets what is addressed to it."""

    QUEUE = "queue"
    POSTBUS = "postbus"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class Kind:
    """One message kind of the contract, for example schuldregeling v2 Kennisgeving."""

    module: str
    major: int
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}.v{self.major}"


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived, as it arrived.

    Attributes:
        body: The exact bytes; for XML the signature is inside.
        signature: The one detached JWS that came with JSON, else None.
        digest: The ``Digest`` header (RFC 3230) that came with it, else None.
        transport: Whom the transport vouches for (token, broker user), if anybody.
        at: When the last byte arrived.
    """

    door: Door
    dialect: Dialect
    body: bytes
    at: datetime
    signature: str | None = None
    digest: str | None = None
    transport: Oin | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose registered certificate verified the message.

    Attributes:
        fingerprint: SHA-256 over the DER certificate, 64 lower-case hex digits.
        algorithm: As the signature names it: an XMLDSig URI or a JOSE name.
    """

    oin: Oin
    fingerprint: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The signed content and nothing else: the bytes of the door are not read again.

    Attributes:
        document: The tree that the signature covers, or the JSON object.
    """

    received: Received
    signer: Signer
    document: etree._Element | Json


@dataclass(frozen=True, slots=True)
class Validated:
    """A document that satisfies the published schema of its kind.

    Attributes:
        tree: The document as XML, also where it came in as JSON.
    """

    verified: Verified
    kind: Kind
    tree: etree._Element


@dataclass(frozen=True, slots=True)
class Header:
    """The Stuurgegevens of a message, read once."""

    referentienummer: str
    conversatie: str
    afzender: Oin
    ontvanger: Oin
    tijdstip: datetime
    versie: str
    cross: str | None = None
    namens: Oin | None = None
    vervangt: str | None = None


@dataclass(frozen=True, slots=True)
class Canonical:
    """What the message says, in canonical form.

    Attributes:
        document: ``{"kennisgeving": {"stuurgegevens": …, …}}``, in the version in which it
            was sent; ``kind`` likewise.
        warnings: Findings of severity ``waarschuw``; they travel with the delivery.
        newer: The same message in the newest version of its module; None where it was sent
            in that.
    """

    verified: Verified
    kind: Kind
    header: Header
    document: Json
    warnings: tuple[Finding, ...] = ()
    newer: Canonical | None = None

    @property
    def current(self) -> Canonical:
        """The message in the newest version of its module: what the rules are about."""
        return self.newer or self


@dataclass(frozen=True, slots=True)
class Submission:
    """A canonical message on its way into the ledger, with all that was drawn for it.

    Attributes:
        digest: Keyed hash over the business content (see ``record.business_digest``).
        canonical: The canonical document as UTF-8 JSON.
        receipt_id: Fresh UUID for the receipt.
        delivery_id: Fresh UUID for the delivery to the recipient.
        persons: The burgerservicenummers in it, for the blind index; never kept as they are.
    """

    message: Canonical
    digest: str
    canonical: bytes
    receipt_id: str
    delivery_id: str
    persons: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Talk:
    """What the ledger knows of the conversation of a submission, read under its lock.

    Attributes:
        stand: Where it stands, as the rules wrote it; None in a new conversation.
        kern: Opens the sealed part; None where there is none.
        waits: The recipient's postbus must wait for something elsewhere.
        taken: Of a message that a recall names: whether its recipient may have seen it;
            None where its sender sent no such message in this conversation.
    """

    stand: str | None = None
    kern: Callable[[], bytes | None] = field(default=lambda: None)
    waits: bool = False
    taken: bool | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """What a message, or the clock, made of a conversation; the ledger keeps it.

    Attributes:
        stand: As the rules write it.
        kern: The sealed part, in the clear; None leaves it as it is.
        next_term: When something falls due in it by itself.
        ended: It is over.
    """

    stand: str
    kern: bytes | None = None
    next_term: datetime | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """A submission that may be recorded: to whom it goes and what its sender gets.

    Attributes:
        receipt: The Ontvangstbevestiging as canonical JSON, UTF-8.
        awaits_confirmation: False where the party chose ``bevestiging = geen``.
        overtakes: True where the kind does not wait for its predecessors.
        blocks: While it is dead, its successors wait (policy of the recipient).
        course: What it makes of its conversation; None where it changes nothing.
        term: How long its recipient has once it is available, as the rules write it.
        tot_en_met: The last day of that, where it is available at once.
        notice_at: When its sender is told that nobody collected it.
        withdraws: Number of the sender's message that it takes back before anybody saw it;
            then this message itself is not delivered either.
        says: What the gateway itself says because of it, recorded with it.
    """

    submission: Submission
    ontvanger: Oin
    channel: Channel
    awaits_confirmation: bool
    receipt: bytes
    overtakes: bool = False
    blocks: bool = True
    course: Course | None = None
    term: str | None = None
    tot_en_met: date | None = None
    notice_at: datetime | None = None
    withdraws: str | None = None
    says: tuple[Admitted, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender of an accepted message gets, the first time and every time.

    Attributes:
        document: The Ontvangstbevestiging as canonical JSON, UTF-8.
        repeated: True when the message was recorded before.
        lent: Deliveries that came with it, where who recorded it takes them at once.
        all_lent: Nothing else came with it for which somebody must look.
    """

    referentienummer: str
    document: bytes
    repeated: bool
    lent: tuple[Delivery, ...] = ()
    all_lent: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recorded message on its way to one recipient, as the ledger lends it out.

    Attributes:
        volgnummer: 1, 2, … within the conversation and recipient.
        attempt: Number of this attempt, 1 or more; counted when the work is taken.
        fence: Token of this lease; a conclusion under an older one is ignored.
        queued_at: When the first attempt became possible (for giving up by age).
        canonical: The canonical document as UTF-8 JSON.
        original_sha256: SHA-256 of the bytes as sent, 64 lower-case hex digits.
        original_dialect: The form in which the sender wrote it.
        warnings: ``[{"regel": …, "pad": …}]`` as recorded at acceptance.
        overtakes: It went ahead of what its recipient did not have yet.
        term: How long its recipient has, as the rules write it; None without a term.
        tot_en_met: The last day of that, once it is known.
        collected: Its recipient took its content before; it is not withdrawn any more.
    """

    id: str
    ontvanger: Oin
    channel: Channel
    volgnummer: int
    awaits_confirmation: bool
    attempt: int
    fence: int
    queued_at: datetime
    kind: Kind
    referentienummer: str
    conversatie: str
    afzender: Oin
    received_at: datetime
    canonical: bytes
    original_sha256: str
    original_dialect: Dialect
    signer_fingerprint: str
    warnings: tuple[Json, ...] = ()
    overtakes: bool = False
    term: str | None = None
    tot_en_met: date | None = None
    collected: bool = False


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery as it leaves: composed in the recipient's dialect and signed.

    Attributes:
        media: Media type of ``body``.
        signature: Detached JWS over ``body`` for JSON; None for XML (inside).
        digest: ``Digest`` header value that a JAdES signature covers, else None.
    """

    delivery: Delivery
    body: bytes
    media: str
    signature: str | None = None
    digest: str | None = None
