"""What the gateway itself says: receipts, refusals, reminders, notices and statements.

Pure: identifiers and instants come in as arguments. Each maker returns a canonical document
without anything of a person in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Literal, NamedTuple, TypedDict, Unpack

from gateway.delivery import AMSTERDAM
from gateway.errors import EXPLANATIONS, Code, Finding, Refusal
from gateway.message import Channel, Json, Kind, Oin, Submission

VERSIE = "1.0"
"""Version of the gateway's own message kinds."""

LONGEST_TEXT = 500
"""Characters of a description (``Tekst500``)."""

ONTVANGSTBEVESTIGING = Kind("gateway", 1, "Ontvangstbevestiging")
FOUTBERICHT = Kind("gateway", 1, "Foutbericht")
AFLEVERING = Kind("gateway", 1, "Aflevering")
HERINNERING = Kind("gateway", 1, "Herinnering")
TERMIJN_VERSTREKEN = Kind("gateway", 1, "TermijnVerstreken")
NIET_AFGELEVERD = Kind("gateway", 1, "NietAfgeleverd")
VERVALLEN = Kind("gateway", 1, "Vervallen")
VERKLARING_GEEN_REACTIE = Kind("gateway", 1, "VerklaringGeenReactie")

Moment = Literal["HELFT", "VIER_VIJFDE"]
"""Which part of the term has passed when somebody is reminded."""

Lapse = Literal["NIET_OPGEHAALD", "NIET_AFLEVERBAAR", "VERWORPEN", "GESPREK_BEEINDIGD"]
"""Why a message was removed that nobody collected."""


class About(NamedTuple):
    """The message that something is said about; never what it says."""

    referentienummer: str
    soort: str
    module: str
    versie: str


def instant(moment: datetime) -> str:
    """The one way in which the gateway writes an instant: UTC, milliseconds, ``Z``."""
    written = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return written.removesuffix("+00:00") + "Z"


class Header(TypedDict):
    """What every message of the gateway is told: whose it is, for whom and about which.

    Attributes:
        own: Its own referentienummer, fresh.
        cross: Of the message that it is about.
    """

    own: str
    cross: str | None
    conversatie: str
    sender: Oin
    to: Oin
    at: datetime


def stuurgegevens(
    *, module: str = "gateway", versie: str = VERSIE, **header: Unpack[Header]
) -> Json:
    """The Stuurgegevens of a message that the gateway itself makes."""
    named = {
        "referentienummer": header["own"],
        "crossReferentienummer": header["cross"],
        "conversatieReferentienummer": header["conversatie"],
        "module": module,
        "versie": versie,
        "afzender": {"oin": header["sender"]},
        "ontvanger": {"oin": header["to"]},
        "tijdstip": instant(header["at"]),
    }
    return {name: value for name, value in named.items() if value is not None}


def as_warnings(findings: tuple[Finding, ...]) -> list[Json]:
    """Findings as the contract writes them in receipts and deliveries."""
    return [{"regel": finding.rule, "pad": finding.path} for finding in findings]


def receipt(
    submission: Submission,
    *,
    channel: Channel,
    gateway: Oin,
    at: datetime,
    lost: tuple[Finding, ...] = (),
    term: str | None = None,
    tot_en_met: date | None = None,
) -> Json:
    """The Ontvangstbevestiging of an accepted message.

    Args:
        lost: What its recipient will not get, since it reads an older version.
        term: How long its recipient has, once it is available.
        tot_en_met: The last day of that, where it is available at once.
    """
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
    if lost:
        body["weggelaten"] = [{"pad": each.path, "grond": "VERSIE"} for each in lost]
    if term is not None:
        body["termijn"] = term
    if tot_en_met is not None:
        body["termijnTotEnMet"] = tot_en_met.isoformat()
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
        "omschrijvingNl": _with_advice(explained.nl, [each.nl for each in refusal.findings]),
        "omschrijvingEn": _with_advice(explained.en, [each.en for each in refusal.findings]),
    }
    if about is not None:
        body["betreftReferentienummer"] = about
    if refusal.findings:
        body["fouten"] = [
            {"regel": finding.rule, "pad": finding.path or "/"} for finding in refusal.findings
        ]
    return {"foutbericht": body}


def herinnering(
    *,
    bericht: About,
    beschikbaar_op: datetime,
    moment: Moment,
    termijn_tot_en_met: date,
    **header: Unpack[Header],
) -> Json:
    """Reminds whoever is to answer of a question that is open.

    Args:
        bericht: The question.
        termijn_tot_en_met: Last day of the term, as it was stamped; a Dutch day.
    """
    return {
        "herinnering": {
            "stuurgegevens": stuurgegevens(**header),
            "bericht": bericht._asdict(),
            "beschikbaarOp": instant(beschikbaar_op),
            "moment": moment,
            "termijnTotEnMet": termijn_tot_en_met.isoformat(),
        }
    }


def termijn_verstreken(
    *,
    bericht: About,
    aan_de_beurt: Oin,
    termijn_tot_en_met: date,
    **header: Unpack[Header],
) -> Json:
    """Says that a term is over; the question stays open. Made once for each side.

    Args:
        aan_de_beurt: Who should have answered.
    """
    return {
        "termijnVerstreken": {
            "stuurgegevens": stuurgegevens(**header),
            "bericht": bericht._asdict(),
            "aanDeBeurt": aan_de_beurt,
            "termijnTotEnMet": termijn_tot_en_met.isoformat(),
        }
    }


def niet_afgeleverd(
    *,
    bericht: About,
    ontvanger: Oin,
    code: str,
    vastgesteld_op: datetime,
    **header: Unpack[Header],
) -> Json:
    """Tells the sender that an accepted message did not arrive yet; it is kept.

    Args:
        ontvanger: For whom it was.
        code: Why, as one word in capitals; never a text of the recipient.
    """
    return {
        "nietAfgeleverd": {
            "stuurgegevens": stuurgegevens(**header),
            "bericht": bericht._asdict(),
            "ontvanger": ontvanger,
            "code": code,
            "vastgesteldOp": instant(vastgesteld_op),
        }
    }


def vervallen(
    *,
    bericht: About,
    ontvanger: Oin,
    reden: Lapse,
    vervallen_op: datetime,
    **header: Unpack[Header],
) -> Json:
    """Tells the sender that a message was removed without having been collected."""
    return {
        "vervallen": {
            "stuurgegevens": stuurgegevens(**header),
            "bericht": bericht._asdict(),
            "ontvanger": ontvanger,
            "reden": reden,
            "vervallenOp": instant(vervallen_op),
        }
    }


def intrekking_bevestiging(
    *,
    module: str,
    versie: str,
    ingetrokken: str,
    uitgevoerd_op: datetime,
    **header: Unpack[Header],
) -> Json:
    """Confirms that a recalled message was removed before anybody saw it.

    Args:
        module: That of the Intrekking, whose number is ``cross``; likewise ``versie``.
        ingetrokken: Referentienummer of the message that is gone.
    """
    return {
        "intrekkingBevestiging": {
            "stuurgegevens": stuurgegevens(**header, module=module, versie=versie),
            "ingetrokkenReferentienummer": ingetrokken,
            "resultaat": "NOOIT_OPGEHAALD",
            "uitgevoerdOp": instant(uitgevoerd_op),
        }
    }


def verklaring_geen_reactie(
    *,
    bericht: About,
    vrager: Oin,
    gevraagde: Oin,
    aangenomen_op: datetime,
    beschikbaar_geweest: bool,
    termijn_tot_en_met: date,
    vastgesteld_op: datetime,
    beschikbaar_op: datetime | None = None,
    opgehaald_op: datetime | None = None,
    bevestigd_op: datetime | None = None,
    herinneringen: Sequence[datetime] = (),
    **header: Unpack[Header],
) -> Json:
    """States what the gateway knows of a question without an answer, for a file at court.

    GEEN_REACTIE where the question was there for its recipient during the whole term, else
    NIET_BEREIKBAAR with the code that says so.

    Args:
        beschikbaar_geweest: It was there from ``beschikbaar_op`` to the end of the term.
        vastgesteld_op: Up to here no reaction came through this gateway.

    Raises:
        ValueError: the term still runs at ``vastgesteld_op``: nothing can be stated yet.
    """
    if vastgesteld_op.astimezone(AMSTERDAM).date() <= termijn_tot_en_met:
        raise ValueError("the term still runs")
    silent = beschikbaar_geweest and beschikbaar_op is not None
    moments = {
        "aangenomenOp": aangenomen_op,
        "beschikbaarOp": beschikbaar_op,
        "opgehaaldOp": opgehaald_op,
        "bevestigdOp": bevestigd_op,
    }
    body: Json = {
        "stuurgegevens": stuurgegevens(**header),
        "soort": "GEEN_REACTIE" if silent else "NIET_BEREIKBAAR",
        "bericht": bericht._asdict(),
        "vrager": vrager,
        "gevraagde": gevraagde,
        **{name: instant(moment) for name, moment in moments.items() if moment is not None},
    }
    if herinneringen:
        body["herinneringen"] = [instant(moment) for moment in herinneringen]
    body["termijnTotEnMet"] = termijn_tot_en_met.isoformat()
    body["vastgesteldOp"] = instant(vastgesteld_op)
    if not silent:
        body["code"] = Code.NIET_BESCHIKBAAR_GEWEEST.value
    return {"verklaringGeenReactie": body}


def _with_advice(text: str, advice: list[str]) -> str:
    """A description with what the findings say to do, as far as there is room."""
    for each in advice:
        if each and each not in text and len(text) + 1 + len(each) <= LONGEST_TEXT:
            text = f"{text} {each}"
    return text
