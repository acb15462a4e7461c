"""Station record: keep it once, with all that it implies, in one transaction.

Says what counts as the same message, and what a ledger promises (``Ledger``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from gateway.dead_letter import DeadLetter, DeadLetterFilter, Stranding
from gateway.delivery import Conclusion, State
from gateway.dossier import Dossier, MessageView, Original
from gateway.errors import Code, Refusal
from gateway.message import (
    Admitted,
    Canonical,
    Channel,
    Delivery,
    Door,
    Json,
    Oin,
    Receipt,
    Submission,
    Talk,
    canonical_form,
)
from gateway.routing.silence import Asked
from gateway.routing.standing import Gesprek


def business_digest(message: Canonical, key: bytes) -> str:
    """Keyed hash over what the message says, whatever door or form it came by.

    The RFC 8785 form of the canonical document in the version in which it was sent,
    without ``tijdstip`` and with attachments by their sha256 only.

    Returns:
        HMAC-SHA-256, 64 lower-case hex digits.
    """
    content = _without_attachment_bytes(message.document)
    stuurgegevens = next(iter(content.values()))["stuurgegevens"]
    del stuurgegevens["tijdstip"]
    said = canonical_form({"kind": str(message.kind), "content": content})
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def _without_attachment_bytes(document: Json) -> Json:
    root, body = next(iter(document.items()))
    stuurgegevens: dict[str, Any] = dict(body["stuurgegevens"])
    if "bijlagen" in stuurgegevens:
        stuurgegevens["bijlagen"] = [
            {name: value for name, value in bijlage.items() if name != "inhoud"}
            for bijlage in stuurgegevens["bijlagen"]
        ]
    return {root: {**body, "stuurgegevens": stuurgegevens}}


Admit = Callable[[Submission, Talk], Admitted]
"""The pure station admit, bound to its directory, on what is known of the conversation; raises
Refusal.
"""

Outcome = Receipt | Refusal
"""What became of one submission of a batch."""

AtOnce = Callable[[Channel, Oin, int], datetime | None]
"""Until when a delivery on this channel, to this party, of so many bytes is lent the moment that
it is recorded; None where it waits until a courier asks for it.
"""


@dataclass(frozen=True, slots=True)
class RefusalEntry:
    """That something was refused, without any content.

    Attributes:
        party: Verified signer or authenticated party; None for strangers.
        referentienummer: Only where the content was validated.
        count: How many like it this entry stands for (strangers are sampled).
    """

    at: datetime
    door: Door
    code: Code
    party: Oin | None = None
    referentienummer: str | None = None
    count: int = 1


class Confirmed(StrEnum):
    """What came of one confirmation."""

    NOW = "bevestigd"
    BEFORE = "al-bevestigd"
    UNKNOWN = "onbekend"  # not there, or somebody else's
    NOT_OFFERED = "niet-aangeboden"  # waits, strands or was discarded


@dataclass(frozen=True, slots=True)
class GesprekFilter:
    """Which conversations; every field narrows.

    Attributes:
        partij: One of the two parties.
        open_only: Something is asked or runs in it.
        since: Changed then or later.
        after: Cursor of the last one seen.
    """

    staat: str | None = None
    partij: Oin | None = None
    open_only: bool = False
    since: datetime | None = None
    after: int | None = None


@dataclass(frozen=True)
class Load:
    """How full a ledger is of what is not finished; no content, no numbers of messages.

    Attributes:
        standing: Deliveries that may still need somebody: recipient, channel, state, how many,
            and the instant at which the oldest was recorded.
        dead_letters: How many wait for an operator.
        said: Messages of the gateway itself that were recorded in the period, by kind.
        checkpoint_at: When this process last signed evidence; None where it did not yet.
        closed_at: When a day was last closed; None where none was.
    """

    standing: Sequence[tuple[Oin, Channel, State, int, datetime]]
    dead_letters: int
    said: Mapping[str, int]
    checkpoint_at: datetime | None
    closed_at: datetime | None


class Ledger(Protocol):
    """What every ledger promises. Synchronous; each call is one transaction.

    All instants are aware and in UTC. Every method raises ``LedgerUnavailable`` when
    the database does not answer, and then nothing of the call was recorded.
    """

    def record(
        self,
        batch: Sequence[Submission],
        admit: Admit,
        at: datetime,
        at_once: AtOnce | None = None,
    ) -> list[Outcome]:
        """Keep each submission once, with its delivery; outcomes in order.

        A repeat (same sender and referentienummer, same digest) gets the first
        receipt byte for byte without ``admit``; another digest is BERICHT_CONFLICT.
        Else ``admit`` decides. One refused or repeated message never fails its batch,
        nor do two of the same id within one batch or in two processes at once.

        Args:
            at_once: Asked of each delivery that may go now: who lends it here finds it in its
                receipt, as ``lease`` would have given it, and need not ask for it.
        """
        ...

    def refuse(self, entries: Sequence[RefusalEntry]) -> None:
        """Record refusals, without content."""
        ...

    def lease(
        self,
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin] = frozenset(),
    ) -> list[Delivery]:
        """Take due deliveries, at most ``limit``, counting the attempt as it is taken.

        Due: state wacht, retry time reached, not leased (or its lease ran out), and no
        earlier delivery of the same conversation and recipient still in the way. At
        most one delivery per (conversation, recipient) is lent at a time. Parties in
        ``closed`` (open breaker) are passed over. Two callers never get the same one.
        What is lent at once stays within 64 MiB of content, or is one delivery.
        """
        ...

    def conclude(self, conclusions: Sequence[Conclusion]) -> int:
        """Write what attempts came to, and let successors go. Old fences are ignored.

        Returns:
            How many were applied.
        """
        ...

    def turn(
        self,
        conclusions: Sequence[Conclusion],
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin] = frozenset(),
        look: bool = True,
    ) -> list[Delivery]:
        """``conclude`` and then ``lease``, in one transaction.

        Args:
            look: False where nothing else is due, as far as the caller knows: then only what
                a conclusion let go makes it look.
        """
        ...

    def next_due(self, channels: frozenset[Channel]) -> datetime | None:
        """When the next waiting delivery becomes due; None when none waits."""
        ...

    def postbus(
        self,
        ontvanger: Oin,
        *,
        limit: int,
        after: int = 0,
        budget: int | None = 16 * 1024 * 1024,
    ) -> list[tuple[int, Delivery]]:
        """What lies ready, oldest first, in volgnummer order within a conversation.

        Args:
            limit: At most so many.
            after: Cursor of the last one seen.
            budget: At most so many bytes of content together, but always one delivery;
                None leaves ``canonical`` empty. A page shorter than ``limit`` need not be
                the last: that one is empty.

        Returns:
            Pairs of (cursor, delivery); pass the last cursor as ``after`` to page on.
        """
        ...

    def postbus_item(self, ontvanger: Oin, delivery_id: str) -> Delivery | None:
        """One delivery that this recipient may fetch (confirmed ones too, while kept).

        It lies in its postbus, or was named on its queue.
        """
        ...

    def original(self, ontvanger: Oin, delivery_id: str) -> Original | None:
        """What was sent, as it was sent, to a recipient that may fetch the delivery."""
        ...

    def collect(
        self, ontvanger: Oin, delivery_ids: Collection[str], at: datetime
    ) -> frozenset[str]:
        """Write down that the recipient takes the content of these; which it may have now.

        Of this and a withdrawal at the same instant exactly one comes first: what comes back
        is not withdrawn any more, and what was withdrawn does not come back.
        """
        ...

    def confirm(
        self, ontvanger: Oin, delivery_ids: Sequence[str], at: datetime
    ) -> dict[str, Confirmed]:
        """The recipient has taken these (postbus or queue). Idempotent, in bulk."""
        ...

    def message(
        self, party: Oin, referentienummer: str, afzender: Oin | None = None
    ) -> MessageView | None:
        """The message, if ``party`` sent it or it was addressed to it."""
        ...

    def strand(self, strandings: Sequence[Stranding]) -> None:
        """Make dead letters of these. The same stranding twice is one dead letter."""
        ...

    def dead_letters(self, which: DeadLetterFilter) -> list[DeadLetter]:
        """Dead letters that match, newest first: those with which something can be done.

        They are open, or released while their delivery is still dead; or all (``resolved``).
        """
        ...

    def count_dead_letters(self, which: DeadLetterFilter) -> dict[tuple[str, str, str], int]:
        """Counts per (ontvanger, soort, reason), ignoring ``limit``."""
        ...

    def replay(self, ids: Sequence[int], *, by: str, why: str, at: datetime) -> list[int]:
        """Offer these again under the same delivery id; returns those that it took.

        Open ones and released ones, which then keep their successors waiting again. Not what
        its sender took back, nor into a conversation that ended since.
        """
        ...

    def discard(self, ids: Sequence[int], *, by: str, why: str, at: datetime) -> list[int]:
        """Give these up for good, open or released, and let their successors go."""
        ...

    def release(self, ids: Sequence[int], *, by: str, why: str, at: datetime) -> list[int]:
        """Leave these dead but let their successors go."""
        ...

    def refill(
        self, ontvanger: Oin, since: datetime, at: datetime, until: datetime | None = None
    ) -> int:
        """Offer again what was offered on a queue since then and never confirmed.

        Args:
            until: Leave alone what was offered after this.
        """
        ...

    def rechannel(self, channels: Mapping[Oin, Channel], at: datetime) -> int:
        """Give what waits for these parties, or is dead, the channel that they have now.

        It goes there as if it had been recorded now: at once when it is its turn, and its
        age counts from here. What is lent stays where it is, and so does what was offered.

        Returns:
            How many changed.
        """
        ...

    def heal(self, now: datetime) -> int:
        """Let go what waits for a predecessor that is not in its way; normally nothing.

        Returns:
            How many were let go.
        """
        ...

    def dossier(
        self, party: Oin | None, referentienummer: str, afzender: Oin | None = None
    ) -> Dossier | None:
        """Everything of a message that this party may see; None where that is nothing.

        The sender has the original always, a recipient once it may fetch the delivery, and
        the operator (``party`` None) too.
        """
        ...

    def close_day(self, now: datetime) -> str | None:
        """Sign the heads of all logs once the Dutch day before this one is over.

        Returns:
            The day that this call closed; None where there was nothing to close.
        """
        ...

    def day_closes(self, since: str = "") -> list[Json]:
        """Signed day closes from a day (ISO date) on, oldest first; a page of them."""
        ...

    def ping(self) -> None:
        """Return when the ledger answers; raises LedgerUnavailable else."""
        ...

    def directory(self) -> tuple[int, str]:
        """Newest directory as (version, canonical JSON text); (0, "") when none."""
        ...

    def apply_directory(self, text: str, *, base: int, by: str, at: datetime) -> int:
        """Add a version on top of ``base``; returns it. Fault when base is not newest."""
        ...

    def assertion_seen(self, key: str, expires: datetime, now: datetime) -> bool:
        """Remember a token assertion; True when it was used before."""
        ...

    def gesprekken(
        self,
        parties: Collection[Oin],
        which: GesprekFilter,
        fits: Callable[[Gesprek], bool],
        limit: int,
    ) -> tuple[list[Gesprek], int | None]:
        """Conversations of these parties that fit, newest change first, with a cursor.

        A page shorter than ``limit`` need not be the last: that one has no cursor.
        """
        ...

    def gesprek(self, parties: Collection[Oin], conversatie: str) -> list[Gesprek]:
        """Every conversation of this id in which one of these takes part, with its messages."""
        ...

    def state(
        self,
        askers: Collection[Oin],
        conversatie: str,
        referentienummer: str,
        decide: Callable[[Asked], Json],
        at: datetime,
    ) -> Json | None:
        """What ``decide`` states about a question of these parties, signed; None without one.

        The conversation is held meanwhile; what ``decide`` raises is raised.
        """
        ...

    def moments(self, now: datetime) -> Mapping[str, int]:
        """In how many conversations something happens by itself: due, this week, later."""
        ...

    def overview(self) -> Mapping[str, Any]:
        """Counts for the status page: deliveries per (ontvanger, state), oldest ages,
        accepted and refused today, open dead letters.
        """
        ...

    def load(self, since: datetime, until: datetime) -> Load:
        """What stands where now, and what the gateway said in conversations in this period."""
        ...

    def way(self, afzender: Oin | None, referentienummer: str) -> Iterable[Json]:
        """Every step of a message with times, for the operator: no content."""
        ...
