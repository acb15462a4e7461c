"""Dead letters: what could not be delivered, and lies for an operator to decide about.

Source: EIP *Dead Letter Channel*.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.delivery import Reason
from gateway.message import Channel, Kind, Oin


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, for the operator: metadata only.

    Attributes:
        id: Number of the dead letter.
        delivery_id: None for garbage that belongs to no delivery.
        note: Closed technical word or a Foutbericht code, never free text.
        resolved: ``herhaald``, ``verworpen``, ``vrijgegeven`` or None while open. A released
            one can still be replayed or discarded. ``ingetrokken`` where its sender took the
            message back, or the gateway a reminder: that is never offered again.
        ended: Its conversation ended since: it can be discarded, but not replayed.
    """

    id: int
    delivery_id: str | None
    reason: Reason
    note: str
    stranded_at: datetime
    ontvanger: Oin | None
    afzender: Oin | None
    kind: Kind | None
    referentienummer: str | None
    conversatie: str | None
    channel: Channel | None
    attempts: int
    resolved: str | None
    resolved_by: str | None
    resolved_why: str | None
    resolved_at: datetime | None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; every field narrows.

    Attributes:
        resolved: Also those with which nothing can be done any more.
    """

    ids: tuple[int, ...] = ()
    ontvanger: Oin | None = None
    afzender: Oin | None = None
    module: str | None = None
    soort: str | None = None
    reason: Reason | None = None
    since: datetime | None = None
    until: datetime | None = None
    resolved: bool = False
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class Stranding:
    """A delivery that the broker or a subscriber gave back (or garbage, without one).

    Attributes:
        note: Closed technical word of the broker, or the code of a Foutbericht by which the
            recipient says why; the latter counts for more, whichever comes first.
        garbage: The raw bytes, kept where the ledger knows no such delivery.
        ontvanger: Who says so; where given, somebody else's delivery is left alone.
    """

    delivery_id: str | None
    reason: Reason
    note: str
    at: datetime
    garbage: bytes | None = None
    ontvanger: Oin | None = None

    @property
    def explained(self) -> bool:
        """The recipient itself says why."""
        return self.ontvanger is not None and self.note.isupper()
