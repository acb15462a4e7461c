"""The evidence package: one JSON document that proves, without us, what became of a message."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from gateway.adapters.rest_in.origineel import sent_as
from gateway.dossier import Dossier, Happening
from gateway.evidence import as_json
from gateway.exhibits import PACKAGE, RECEIPT
from gateway.message import Json, Kind, Oin
from gateway.replies import instant
from gateway.schemas.catalogue import XSD_FOLDER

VERSION = 1
SHOWN_TO_PARTIES = frozenset({"poging", "bevestigd", "gestrand"})
"""What an operator did names a person of the gateway: parties see that it happened, not who."""


def package(dossier: Dossier, party: Oin | None, keys: Json) -> Json:
    """A dossier as it is handed to a party, or to the operator; always in this order.

    Args:
        keys: The published keys (JWKS).
    """
    view = dossier.view
    return {
        PACKAGE: {
            "versie": VERSION,
            "bericht": {
                "referentienummer": view.referentienummer,
                "conversatieReferentienummer": view.conversatie,
                "afzender": view.afzender,
                "ontvanger": view.ontvanger,
                "module": view.kind.module,
                "soort": view.kind.name,
                "versie": dossier.versie,
                "deur": view.door,
                "ontvangenOp": instant(view.received_at),
                "vastgelegdOp": instant(dossier.recorded_at),
                **({"gewistOp": instant(dossier.erased_at)} if dossier.erased_at else {}),
            },
            "origineel": _original(dossier),
            "verificatie": _verification(dossier),
            "schema": _schema(view.kind, dossier),
            **({"document": json.loads(dossier.canonical)} if dossier.canonical else {}),
            RECEIPT: json.loads(view.receipt)[RECEIPT],
            "afleveringen": list(dossier.deliveries),
            "gebeurtenissen": [_happened(each, party) for each in dossier.happenings],
            "sleutels": keys,
        }
    }


def _original(dossier: Dossier) -> Json:
    if dossier.original is not None:
        return sent_as(dossier.original)
    kept = {} if dossier.original_sha256 is None else {"sha256": dossier.original_sha256}
    return {**kept, "weggelaten": "gewist" if dossier.erased_at else "niet-aangeboden"}


def _verification(dossier: Dossier) -> Json:
    """What the station verify found when the message came in."""
    registered = {
        "deelnemersversie": dossier.directory_version,
        "certificaat": dossier.certificate,
    }
    return {
        "ondertekenaar": dossier.view.afzender,
        "vingerafdruk": dossier.signer_fingerprint,
        "algoritme": dossier.signer_algorithm,
        "nagegaanOp": instant(dossier.view.received_at),
        **{name: value for name, value in registered.items() if value is not None},
        "handtekening": "geldig",
    }


def _schema(kind: Kind, dossier: Dossier) -> Json:
    return {
        "xsd": _xsd_name(kind),
        "sha256": _xsd_sha256(_xsd_name(kind)),
        "oordeel": "geldig",
        "waarschuwingen": list(dossier.warnings),
    }


def _xsd_name(kind: Kind) -> str:
    return f"{kind.module}-v{kind.major}.xsd"


@lru_cache
def _xsd_sha256(name: str) -> str:
    return hashlib.sha256((XSD_FOLDER / name).read_bytes()).hexdigest()


def _happened(happening: Happening, party: Oin | None) -> Json:
    if party is not None and happening.soort not in SHOWN_TO_PARTIES:
        return {"soort": happening.soort, "op": json.loads(happening.text)["op"]}
    return {
        "soort": happening.soort,
        "vastlegging": happening.text.decode(),
        "bewijs": as_json(happening.proof),
    }
