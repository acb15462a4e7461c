"""Which conversations are only stored (GDPR art. 18): what is in them is neither given nor erased.

Asked wherever something is handed out or erased. While there are no restrictions, what is asked
is an index without entries.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.adapters.ledger.tables import delivery, in_force, restriction


def is_restricted(conversation: sa.ColumnElement[int] = delivery.c.conversation) -> sa.Exists:
    """Whether the conversation in this column is only stored."""
    return sa.exists().where(restriction.c.conversation == conversation, in_force(restriction))
