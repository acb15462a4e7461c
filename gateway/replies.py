"""What the gateway itself says: receipts, and why something was refused.

Pure: identifiers and instants come in as arguments.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.errors import EXPLANATIONS, Finding, Refusal
from gateway.message import Channel, Json, Kind, Oin, Submission

VERSIE = "1.0"
"""Version of the gateway's own message kinds."""

ONTVANGSTBEVESTIGING = Kind("gateway", 1, "Ontvangstbevestiging")
FOUTBERICHT = Kind("gateway", 1, "Foutbericht")
AFLEVERING = Kind("gateway", 1, "Aflevering")


def instant(moment: datetime) -> str:
    """The one way in which the gateway writes an instant: UTC, milliseconds, ``Z``."""
    written = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return written.removesuffix("+00:00") + "Z"


def stuurgegevens(
    *, own: str, cross: str | None, conversatie: str, sender: Oin, to: Oin, at: datetime
) -> Json:
    """The Stuurgegevens of a message that the gateway itself makes."""
    named = {
        "referentienummer": own,
        "crossReferentienummer": cross,
        "conversatieReferentienummer": conversatie,
        "module": "gateway",
        "versie": VERSIE,
        "afzender": {"oin": sender},
        "ontvanger": {"oin": to},
        "tijdstip": instant(at),
    }
    return {name: value for name, value in named.items() if value is not None}


def as_warnings(findings: tuple[Finding, ...]) -> list[Json]:
    """Findings as the contract writes them in receipts and deliveries."""
    return [{"regel": finding.rule, "pad": finding.path} for finding in findings]


def receipt(submission: Submission, *, channel: Channel, gateway: Oin, at: datetime) -> Json:
    """The Ontvangstbevestiging of an accepted message."""
    message, header = submission.message, submission.message.header
    body: Json = {
        "stuurgegevens": stuurgegevens(
            own=submission.receipt_id,
            cross=header.referentienummer,
            conversatie=header.conversatie,
            sender=gateway,
            to=header.afzender,
            at=at,
        ),
        "bericht": {
            "referentienummer": header.referentienummer,
            "module": message.kind.module,
            "soort": message.kind.name,
            "versie": header.versie,
        },
        "ontvangenOp": instant(message.verified.received.at),
        "ontvanger": header.ontvanger,
        "kanaal": channel.name,
        "status": "AANGENOMEN",
    }
    if message.warnings:
        body["waarschuwingen"] = as_warnings(message.warnings)
    return {"ontvangstbevestiging": body}


def foutbericht(
    refusal: Refusal, *, own: str, about: str | None, sender: Oin, to: Oin, at: datetime
) -> Json:
    """The Foutbericht for the answer queue: why a submission was refused."""
    explained = EXPLANATIONS[refusal.code]
    body: Json = {
        "stuurgegevens": stuurgegevens(
            own=own, cross=about, conversatie=about or own, sender=sender, to=to, at=at
        ),
        "code": refusal.code.value,
        "omschrijvingNl": explained.nl,
        "omschrijvingEn": explained.en,
    }
    if about is not None:
        body["betreftReferentienummer"] = about
    if refusal.findings:
        body["fouten"] = [
            {"regel": finding.rule, "pad": finding.path or "/"} for finding in refusal.findings
        ]
    return {"foutbericht": body}
