"""What the gateway itself says, on its way like any other message.

Pure: identifiers and instants come in as arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.message import (
    Admitted,
    Canonical,
    Dialect,
    Door,
    Header,
    Json,
    Kind,
    Oin,
    Received,
    Signer,
    Submission,
    Verified,
    as_bytes,
    canonical_form,
)
from gateway.replies import Header as OwnHeader
from gateway.replies import receipt
from gateway.routing.directory import Directory

ALGORITHM = "gateway"
"""How its own messages are signed: with every delivery, like all that it delivers."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks for the gateway, and how its messages get their numbers.

    Attributes:
        fingerprint: Of the certificate with which its deliveries are signed.
        draw: A fresh lower-case UUID at every call.
    """

    gateway: Oin
    fingerprint: str
    draw: Callable[[], str]

    def header(self, *, to: Oin, conversatie: str, cross: str | None, at: datetime) -> OwnHeader:
        """Whose message it is, for whom and about which."""
        return {
            "own": self.draw(),
            "cross": cross,
            "conversatie": conversatie,
            "sender": self.gateway,
            "to": to,
            "at": at,
        }

    def say(
        self, kind: Kind, document: Json, directory: Directory, at: datetime
    ) -> Admitted | None:
        """A message of the gateway, ready to be recorded; None where its recipient has left."""
        told = next(iter(document.values()))["stuurgegevens"]
        recipient = directory.parties.get(told["ontvanger"]["oin"])
        if recipient is None:
            return None
        submission = self._submission(kind, document, told, at)
        return Admitted(
            submission=submission,
            ontvanger=recipient.oin,
            channel=recipient.channel,
            awaits_confirmation=recipient.awaits_confirmation,
            blocks=False,
            overtakes=True,
            receipt=canonical_form(
                receipt(submission, channel=recipient.channel, gateway=self.gateway, at=at)
            ),
        )

    def _submission(self, kind: Kind, document: Json, told: Json, at: datetime) -> Submission:
        body = as_bytes(document)
        received = Received(Door.GATEWAY, Dialect.JSON, body, at, transport=self.gateway)
        signer = Signer(self.gateway, self.fingerprint, ALGORITHM)
        header = Header(
            referentienummer=told["referentienummer"],
            conversatie=told["conversatieReferentienummer"],
            afzender=self.gateway,
            ontvanger=told["ontvanger"]["oin"],
            tijdstip=at,
            versie=told["versie"],
            cross=told.get("crossReferentienummer"),
            namens=told["namens"]["oin"] if "namens" in told else None,
        )
        verified = Verified(received, signer, document)
        return Submission(
            message=Canonical(verified, kind, header, document),
            digest=hashlib.sha256(body).hexdigest(),
            canonical=body,
            receipt_id=self.draw(),
            delivery_id=self.draw(),
        )
