"""What ``GET /v1/gesprekken`` answers, as the OpenAPI document says it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.message import Json

TEXT: Json = {"type": "string"}
OIN: Json = {"type": "string", "pattern": "^[0-9]{20}$"}
NUMBER: Json = {"type": "string", "format": "uuid"}
MOMENT: Json = {"type": "string", "format": "date-time"}
DAY: Json = {"type": "string", "format": "date"}
YES: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}


def _many(of: Json) -> Json:
    return {"type": "array", "items": of}


def _told(always: Json, sometimes: Json | None = None) -> Json:
    return {
        "type": "object",
        "required": list(always),
        "properties": {**always, **(sometimes or {})},
    }


def _one_of(*words: str) -> Json:
    return {"type": "string", "enum": list(words)}


UNTIL: Json = {"totEnMet": DAY, "verstreken": YES}

EXPECTED = _told(
    {
        "van": OIN,
        "kant": _one_of("shv", "se"),
        "wat": _one_of("ANTWOORD", "VOORSTEL", "BEZWAAR"),
        "op": _told({"referentienummer": NUMBER, "soort": TEXT}),
        "met": _many(TEXT),
    },
    UNTIL,
)
QUESTION = _told(
    {
        "referentienummer": NUMBER,
        "soort": TEXT,
        "vrager": OIN,
        "status": _one_of("open", "beantwoord", "vervangen", "ingetrokken", "nietAfgeleverd"),
    },
    {"door": NUMBER},
)
TERM = _told(
    {
        "soort": _one_of("ANTWOORD", "VOORSTEL", "BEZWAAR"),
        "referentienummer": NUMBER,
        "berichtsoort": TEXT,
        "aanZet": OIN,
        "lengte": TEXT,
    },
    {"beschikbaarOp": MOMENT, "herinnerdOp": _many(MOMENT), **UNTIL},
)
LINKED = _told(
    {"conversatieReferentienummer": NUMBER, "soort": TEXT, "aangesloten": YES},
    {"kvkNummer": TEXT, "oin": OIN, "naam": TEXT, "modules": _many(TEXT)},
)
MESSAGE = _told(
    {
        "referentienummer": NUMBER,
        "module": TEXT,
        "soort": TEXT,
        "versie": TEXT,
        "afzender": OIN,
        "ontvanger": OIN,
        "status": _one_of("wacht", "aangeboden", "bevestigd", "gestrand", "verworpen"),
        "ontvangenOp": MOMENT,
    },
    {
        "crossReferentienummer": NUMBER,
        "namens": OIN,
        "beschikbaarOp": MOMENT,
        "opgehaaldOp": MOMENT,
        "bevestigdOp": MOMENT,
        "teLaat": YES,
        "nietAfgeleverd": YES,
        "ingetrokken": YES,
    },
)
STANDING: Json = {
    "conversatieReferentienummer": NUMBER,
    "shv": OIN,
    "se": OIN,
    "staat": _told({"code": TEXT, "tekst": TEXT}),
    "gewijzigdOp": MOMENT,
    "verwacht": _many(EXPECTED),
}
REASON: Json = {"reden": _one_of("VOLTOOID", "VOORTIJDIG", "WSNP", "OVERLEDEN", "OVERGENOMEN")}

LISTED = _told(STANDING, REASON)
WHOLE = _told(
    {
        **STANDING,
        "merken": _many(TEXT),
        "vragen": _many(QUESTION),
        "termijnen": _many(TERM),
        "aantalBerichten": COUNT,
        "berichten": _many(MESSAGE),
    },
    {**REASON, "vervolggesprekken": _many(LINKED)},
)

GESPREKKEN: Mapping[str, Json] = MappingProxyType(
    {
        "Gesprek": WHOLE,
        "Gesprekken": _told({"gesprekken": _many(LISTED), "aantal": COUNT}, {"volgende": COUNT}),
    }
)
"""The components, by name."""

SHOWN: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("/v1/gesprekken", "get"): "Gesprekken",
        ("/v1/gesprekken/{conversatie}", "get"): "Gesprek",
    }
)
"""Which of them an operation answers."""
