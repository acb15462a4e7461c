"""Can the recipient be told this, in the version of the module that it reads?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Code, Finding, Refusal
from gateway.message import Canonical
from gateway.routing.directory import Party

MOST_FINDINGS = 100
"""In one refusal, like everywhere."""


class Loss(Protocol):
    """What an older version cannot say of a message (schemas.unsaid.Unsaid)."""

    @property
    def why(self) -> tuple[Finding, ...]:
        """What makes that it cannot say the message at all."""
        ...

    @property
    def lost(self) -> tuple[Finding, ...]:
        """What it leaves out."""
        ...


Try = Callable[[Canonical, int], Loss]
"""Tries a message in an older major version of its module."""


@dataclass(frozen=True, slots=True)
class _Nothing:
    why: tuple[Finding, ...] = (Finding("versie-onmogelijk", ""),)
    lost: tuple[Finding, ...] = ()


def only_the_newest(message: Canonical, major: int) -> Loss:
    """What holds where nobody knows of older versions: they can say nothing."""
    return _Nothing()


def versions_ok(message: Canonical, recipient: Party, attempt: Try) -> tuple[Finding, ...]:
    """Hold a message to the version that its recipient reads.

    Returns:
        What the recipient will not get; empty unless the sender allowed it
        (``verliesToegestaan``), and always where the recipient reads the newest version.

    Raises:
        Refusal: VERSIE_KAN_DIT_NIET with a finding for each place that the older version
            cannot say, at most 100.
    """
    reads = recipient.versions.get(message.kind.module)
    if reads is None or reads >= message.kind.major:
        return ()
    found = attempt(message, reads)
    (body,) = message.document.values()
    allowed = body["stuurgegevens"].get("verliesToegestaan", False)
    if found.why or (found.lost and not allowed):
        told = found.why if allowed else (*found.why, *found.lost)
        raise Refusal(Code.VERSIE_KAN_DIT_NIET, *told[:MOST_FINDINGS])
    return found.lost
