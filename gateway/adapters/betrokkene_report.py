"""What somebody is told about their own data: one document, by controller, without content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby

from gateway.adapters.ledger.about_person import Held, Refused, Requested
from gateway.adapters.ledger.asked import Asked, Insight
from gateway.adapters.upkeep import roles_in
from gateway.message import Json, Oin
from gateway.replies import instant
from gateway.routing.directory import Directory
from gateway.routing.retention import Retention

NO_VISH = "Deze gateway bewaart nog geen raadplegingen van VISH."
NOT_SHOWN = (
    "Wat nooit is aangenomen: daarvan bewaart de gateway geen persoonsgegevens.",
    "Wat de broker teruggaf en niemand kan lezen: dat is niet aan een persoon te koppelen.",
    "Of iemand bij een partij het bericht las: bekend is wanneer haar systeem het overnam.",
    "Wat partijen in hun eigen systemen bewaren: vraag dat aan elke partij zelf.",
    "Reservekopieën: daarin staat wat er op dat moment was, tot de kopie verloopt.",
)
"""What an inzage cannot show; part of it, so that nobody takes it for everything."""


def report(
    asked: Asked, found: Insight, directory: Directory, retention: Retention, operator: Oin
) -> Json:
    """The whole answer to an inzage.

    Args:
        operator: The gateway itself, who answers for the transport.
    """
    by_sender = sorted(found.messages, key=lambda each: each.afzender)
    return {
        "verzoek": _asked(asked),
        "verantwoordelijken": [
            {
                **_party(sender, directory),
                "berichten": [_message(each, directory, retention) for each in messages],
            }
            for sender, messages in groupby(by_sender, lambda each: each.afzender)
        ],
        "vervoer": {
            "oin": operator,
            "weigeringen": [_refusal(each) for each in found.refusals],
            "verzoeken": [_requested(each) for each in found.before],
        },
        "vish": {"raadplegingen": None, "uitleg": NO_VISH},
        "nietGetoond": list(NOT_SHOWN),
    }


def identity_of(each: Held) -> Json:
    """Which message, and nothing of what it says."""
    return {
        "afzender": each.afzender,
        "ontvanger": each.ontvanger,
        "referentienummer": each.referentienummer,
        "conversatieReferentienummer": each.conversatie,
        "module": each.kind.module,
        "soort": each.kind.name,
    }


def _asked(asked: Asked) -> Json:
    return {
        "kenmerk": asked.kenmerk,
        "op": instant(asked.at),
        "verzoeker": asked.requester,
        "door": asked.by,
        "verantwoordelijke": asked.controller or "alle",
        "reden": asked.why,
    }


def _party(oin: Oin, directory: Directory) -> Json:
    known = directory.parties.get(oin)
    return {"oin": oin, **({"naam": known.naam} if known else {})}


def _message(each: Held, directory: Directory, retention: Retention) -> Json:
    return {
        **identity_of(each),
        "ontvangerNaam": _party(each.ontvanger, directory).get("naam"),
        "namens": each.namens,
        "versie": each.versie,
        "grondslag": each.grondslag,
        "deur": each.deur,
        "ontvangenOp": instant(each.received_at),
        "vastgelegdOp": instant(each.recorded_at),
        "stand": each.state,
        "opgehaaldOp": _moment(each.collected_at),
        "gesprekLoopt": each.runs,
        "betreftOokAnderen": each.others,
        "beperktSinds": _moment(each.only_stored),
        "bewaard": _kept(each, directory, retention),
        "afleveringen": list(each.deliveries),
    }


def _kept(each: Held, directory: Directory, retention: Retention) -> Json:
    """What there still is, and until when at the latest."""
    roles: Mapping[Oin, Iterable[str]] = roles_in(directory)
    terms = retention.terms(each.kind, frozenset(roles.get(each.ontvanger, ())))
    kept_from = each.recorded_at
    if each.on_request and each.erased_at is not None:
        kept_from = each.erased_at
    metadata = None if each.only_stored else instant(kept_from + terms.metadata)
    if each.erased_at is not None:
        how = "verzoek" if each.on_request else "bewaartermijn"
        gone = {"gewistOp": instant(each.erased_at), "gewistOm": how}
        return {"inhoud": False, "bijlagen": 0, **gone, "gegevensTot": metadata}
    until = (
        each.recorded_at + terms.undelivered + terms.content
        if each.finished is None
        else each.finished + terms.content
    )
    return {
        "inhoud": True,
        "bijlagen": each.attachments,
        "inhoudTot": None if each.only_stored else instant(until),
        "gegevensTot": metadata,
    }


def _refusal(each: Refused) -> Json:
    return {
        "op": instant(each.at),
        "afzender": each.party,
        "referentienummer": each.referentienummer,
        "code": each.code,
        "aantal": each.count,
    }


def _requested(each: Requested) -> Json:
    return {
        "kenmerk": each.kenmerk,
        "op": instant(each.at),
        "verzoek": each.what,
        "verzoeker": each.requester,
        "door": each.by,
        "verantwoordelijke": each.controller or "alle",
        "reden": each.why,
        "aantallen": each.counts,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else instant(at)
