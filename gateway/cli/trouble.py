"""What a person reads when a command cannot go on: one sentence, and what to do."""

from __future__ import annotations

from gateway.adapters.ledger.database import LedgerBug
from gateway.errors import Fault, LedgerUnavailable, Refusal

TROUBLE = (Fault, Refusal, LedgerBug)
"""What a command can meet that is no mistake in its code."""


def sentence(error: Fault | Refusal | LedgerBug) -> str:
    """What to tell of it."""
    match error:
        case LedgerUnavailable():
            return f"{error}; 'gateway inrichten' makes a new one"
        case LedgerBug():
            return f"what GATEWAY_LEDGER names is no ledger of this gateway ({error})"
        case _:
            return str(error)
