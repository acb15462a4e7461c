"""What happened in a soak: what was sent and answered, what arrived, and what must not be."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from fixtures.world import GATEWAY
from gateway.message import Json

KEPT_VIOLATIONS = 50


@dataclass
class Book:
    """Everything that is counted.

    Attributes:
        begun: Monotonic instant in seconds from which the minutes count.
        accepted: Digest of the receipt by referentienummer.
        conflicts: Referentienummers of which another content was tried.
        answers: Per minute, seconds that an accepting answer took.
        failed: What else than a yes a sender got, and tried again.
        refused: Answers to what must be refused, by kind and status.
        references: Referentienummer by delivery id.
        order: Volgnummers as they first came, by conversation.
        arrived: First copies by channel.
        notices: Delivery ids of what the gateway itself told, such as NietAfgeleverd.
        repeats: Further copies by channel.
        rejected: Referentienummers that the subscriber rejected once.
        receipts_compared: Repeats whose receipt was compared with the first.
        violations: Broken promises that were seen on the way.
    """

    begun: float = field(default_factory=time.monotonic)
    accepted: dict[str, bytes] = field(default_factory=dict)
    answers: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    references: dict[str, str] = field(default_factory=dict)
    order: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    arrived: Counter[str] = field(default_factory=Counter)
    notices: set[str] = field(default_factory=set)
    repeats: Counter[str] = field(default_factory=Counter)
    rejected: set[str] = field(default_factory=set)
    receipts_compared: int = 0
    replayed: int = 0
    operator_failed: int = 0
    violations: list[str] = field(default_factory=list)

    def yes(self, reference: str, receipt: bytes, seconds: float) -> None:
        """An answer that took a message, the first time or again."""
        self.answers[int((time.monotonic() - self.begun) // 60)].append(seconds)
        digest = hashlib.sha256(receipt).digest()
        first = self.accepted.setdefault(reference, digest)
        if first is not digest:
            self.receipts_compared += 1
            if first != digest:
                self.wrong(f"{reference}: the receipt of a repeat differs")

    def came(self, channel: str, told: Json) -> None:
        """One copy of one delivery."""
        own, reference = told["afleverId"], told["referentienummer"]
        if told["afzender"] == GATEWAY:
            self.notices.add(own)
            return
        if own in self.references:
            self.repeats[channel] += 1
            if self.references[own] != reference:
                self.wrong(f"{own}: a repeat says something else")
            return
        self.references[own] = reference
        self.arrived[channel] += 1
        self.order[told["conversatieReferentienummer"]].append(told["volgnummer"])

    def wrong(self, what: str) -> None:
        """A promise is broken."""
        if len(self.violations) < KEPT_VIOLATIONS:
            self.violations.append(what)

    @property
    def delivered(self) -> int:
        return len(self.references)

    @property
    def behind(self) -> int:
        """Accepted and not arrived."""
        return len(self.accepted) - self.delivered
