"""A request of whom the messages are about, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.adapters.blind_index import Mark
from gateway.adapters.ledger.about_person import Held, Refused, Requested
from gateway.message import Oin


class What(StrEnum):
    """What is asked."""

    SHOW = "inzage"
    ERASE = "wissing"
    TRY_TO_ERASE = "wissing-proef"
    RESTRICT = "beperking"
    LIFT = "opheffing"


class Ground(StrEnum):
    """Why somebody may ask that data are only stored (GDPR art. 18 lid 1)."""

    JUISTHEID_BETWIST = "juistheid-betwist"
    ONRECHTMATIG = "onrechtmatig"
    RECHTSVORDERING = "rechtsvordering"
    BEZWAAR = "bezwaar"


class Stays(StrEnum):
    """Why the content of a message was not erased."""

    ONLY_STORED = "beperkt"
    UNDELIVERED = "nog-niet-bezorgd"
    RUNS = "gesprek-loopt"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        kenmerk: UUID by which it is known.
        by: Who does it here.
        controller: Whose messages; None for those of all.
        marks: How the person may have been kept, the newest last; at least one.
    """

    kenmerk: str
    what: What
    requester: str
    by: str
    controller: Oin | None
    why: str
    at: datetime
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Insight:
    """What there is about somebody.

    Attributes:
        before: What was asked until now, this request included.
    """

    messages: tuple[Held, ...]
    refusals: tuple[Refused, ...]
    before: tuple[Requested, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure came to, or would.

    Attributes:
        before: Messages whose content had gone already.
        unmarked: How many conversations the person cannot be found by any more.
    """

    erased: tuple[Held, ...]
    stays: tuple[tuple[Held, Stays], ...]
    before: tuple[Held, ...]
    unmarked: int


@dataclass(frozen=True, slots=True)
class Restricted:
    """What setting or lifting a restriction came to.

    Attributes:
        changed: Conversations, by their number for parties.
        same: Those for which it held already (or did not hold).
        held_back: Deliveries that somebody waits for.
    """

    changed: tuple[str, ...]
    same: tuple[str, ...]
    held_back: int
