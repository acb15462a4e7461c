"""What is kept of a message, as those may see it who sent it, got it or must judge it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.delivery import Reason, State
from gateway.evidence import Proof
from gateway.message import Channel, Dialect, Door, Json, Kind, Oin


@dataclass(frozen=True, slots=True)
class MessageView:
    """What a party may see of a message it sent or got: no content."""

    afzender: Oin
    ontvanger: Oin
    referentienummer: str
    conversatie: str
    kind: Kind
    received_at: datetime
    receipt: bytes
    delivery_id: str
    channel: Channel
    state: State
    attempts: int
    offered_at: datetime | None
    collected_at: datetime | None
    confirmed_at: datetime | None
    reason: Reason | None
    door: Door


@dataclass(frozen=True, slots=True)
class Original:
    """A message exactly as it was sent, with what its verification found.

    Attributes:
        signature: The detached JWS that came with JSON, else None (XML carries its own).
        digest: The ``Digest`` header that came with JSON over HTTP, else None.
        received_at: The instant at which the certificate was judged.
        collected: Its recipient took its content before.
    """

    body: bytes
    dialect: Dialect
    sha256: str
    signature: str | None
    digest: str | None
    afzender: Oin
    kind: Kind
    versie: str
    signer_fingerprint: str
    signer_algorithm: str
    received_at: datetime
    collected: bool = False


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was signed about a delivery.

    Attributes:
        text: What entered the tree, canonical JSON.
    """

    soort: str
    text: bytes
    proof: Proof


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything that is kept of a message, with what proves it.

    Attributes:
        original: None where who asks may not have it (yet), or it was erased.
        canonical: Likewise, whole.
        certificate: PEM of the signer, as the directory held it when it was received.
        directory_version: Which version that was.
        warnings: What the rules remarked when it was accepted.
        deliveries: Where it went, as the contract writes it; no content.
        happenings: In the order in which they were signed.
    """

    view: MessageView
    original: Original | None
    canonical: bytes | None
    versie: str
    original_sha256: str | None
    signer_fingerprint: str
    signer_algorithm: str
    certificate: str | None
    directory_version: int | None
    warnings: tuple[Json, ...]
    recorded_at: datetime
    erased_at: datetime | None
    deliveries: tuple[Json, ...]
    happenings: tuple[Happening, ...]
