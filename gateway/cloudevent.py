"""The envelope of the channel *queue*: a CloudEvent in structured JSON.

NL GOV profile for CloudEvents 1.1. Its attributes are read by brokers and logs, so they
hold identifiers only; who it is about stands in ``data``.
"""

from __future__ import annotations

from gateway.message import Delivery, Json, Kind, Oin, as_bytes, with_member
from gateway.replies import instant

SPECVERSION = "1.0"


def event_type(kind: Kind) -> str:
    """``type`` of a delivery: reverse domain, no organisation, one version."""
    return f"nl.schuldhulpverlening.{kind.module}.{kind.name.lower()}.v{kind.major}"


def event_source(gateway: Oin) -> str:
    """``source``: the URN of the gateway as a system of its organisation."""
    return f"urn:nld:oin:{gateway}:systeem:gateway"


def cloudevent(
    delivery: Delivery, data: bytes | None, gateway: Oin, dataref: str | None = None
) -> bytes:
    """One delivery as the bytes that are signed and published.

    ``id`` is the delivery id, the same at every retry: consumers may take an equal
    source and id for a repeat. ``time`` is when the message was recorded.

    ``data`` is the delivery as canonical JSON, ``{"aflevering": {…}}``, and goes in as it is;
    without it, ``dataref`` says where the recipient fetches it (a claim check).
    """
    event: Json = {
        "specversion": SPECVERSION,
        "id": delivery.id,
        "source": event_source(gateway),
        "type": event_type(delivery.kind),
        "subject": delivery.referentienummer,
        "time": instant(delivery.received_at),
        "datacontenttype": "application/json",
    }
    if data is None:
        return as_bytes({**event, "dataref": dataref})
    return with_member(as_bytes(event), "data", data)
