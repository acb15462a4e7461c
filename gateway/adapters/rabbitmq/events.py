"""What may a party say on ``gateway.inzending`` besides messages? Two small events.

Both are CloudEvents in structured JSON, or their ``data`` alone with the AMQP property
``type``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pamqp.commands import Basic

from gateway.errors import Code, Finding, Refusal
from gateway.json import parse
from gateway.message import Json

BEVESTIGING = "nl.schuldhulpverlening.gateway.bevestiging.v1"
FOUTBERICHT = "nl.schuldhulpverlening.gateway.foutbericht.v1"
CLOUDEVENTS = "application/cloudevents+json"

LARGEST_EVENT_BYTES = 256 * 1024
MOST_IDS = 1_000

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Taken:
    """The party has taken these deliveries."""

    delivery_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Objected:
    """Why the party rejects this delivery: the code of a Foutbericht."""

    delivery_id: str
    code: str


def read_event(body: bytes, properties: Basic.Properties) -> Taken | Objected | None:
    """The event in this body; None when it is a message for the line.

    Raises:
        Refusal: an event that cannot be read.
    """
    media = (properties.content_type or "").partition(";")[0].strip().lower()
    if media != CLOUDEVENTS and properties.message_type not in {BEVESTIGING, FOUTBERICHT}:
        return None
    if len(body) > LARGEST_EVENT_BYTES:
        raise Refusal(Code.TE_GROOT)
    content = parse(body)
    if media != CLOUDEVENTS:
        return _event(properties.message_type, content, "")
    return _event(content.get("type"), content.get("data"), "/data")


def _event(kind: object, data: object, path: str) -> Taken | Objected:
    if kind not in {BEVESTIGING, FOUTBERICHT}:
        raise _wrong("soort", "/type")
    if not isinstance(data, dict):
        raise _wrong("geen-object", path or "/")
    return _taken(data, path) if kind == BEVESTIGING else _objected(data, path)


def _taken(data: Json, path: str) -> Taken:
    ids = data.get("afleverIds")
    if not isinstance(ids, list) or not 0 < len(ids) <= MOST_IDS:
        raise _wrong("aantal", f"{path}/afleverIds")
    if not all(isinstance(given, str) and UUID.fullmatch(given) for given in ids):
        raise _wrong("patroon", f"{path}/afleverIds")
    return Taken(tuple(dict.fromkeys(ids)))


def _objected(data: Json, path: str) -> Objected:
    delivery_id, code = data.get("afleverId"), data.get("code")
    if not isinstance(delivery_id, str) or not UUID.fullmatch(delivery_id):
        raise _wrong("patroon", f"{path}/afleverId")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise _wrong("patroon", f"{path}/code")
    return Objected(delivery_id, code)


def _wrong(rule: str, path: str) -> Refusal:
    return Refusal(Code.VERZOEK_ONGELDIG, Finding(rule, path))
