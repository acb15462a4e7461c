"""The sealed parts of conversations: under which key they are, and when they go.

A ``kern`` outlives the bodies of its messages, so it has a seal of its own and an end of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.erasing import overwriting
from gateway.adapters.ledger.numbering import Pair, about_kern
from gateway.adapters.ledger.order import lock
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import conversation, has_kern
from gateway.adapters.vault import VERSION_BYTES, Vault, version_alone
from gateway.message import Oin

AT_ONCE = 500

_VERSION = sa.func.substr(conversation.c.kern, 1, VERSION_BYTES, type_=sa.LargeBinary())


def versions_of_kerns(database: Database) -> Counter[int]:
    """How many are sealed under each version of the key-encryption key."""
    query = (
        sa.select(_VERSION, sa.func.count())
        .where(conversation.c.kern.is_not(None))
        .group_by(_VERSION)
    )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return Counter({version_alone(bytes(prefix)): count for prefix, count in rows})


def wrap_kerns_again(database: Database, vault: Vault, to: int) -> int:
    """Give all of them a data key wrapped under version ``to``; returns how many changed.

    Raises:
        SealBroken, VaultKeyMissing: one cannot be unwrapped.
    """
    changed, after = 0, 0
    while numbers := _numbers(database, after):
        with database.writing() as connection:
            lock(connection, numbers)
            rows = connection.execute(
                sa.select(conversation).where(among(conversation.c.id, numbers))
            ).all()
            again = [_again(row, vault, to) for row in rows if _is_older(row, to)]
            bulk.update(connection, conversation, again)
        changed, after = changed + len(again), numbers[-1]
    return changed


def erase_kerns(connection: sa.Connection, before: datetime, limit: int, *, trial: bool) -> int:
    """Erase those of conversations that ended before this; the longest ended first.

    Returns:
        How many; ``limit`` means that there may be more.
    """
    numbers: Sequence[int] = connection.scalars(
        sa.select(conversation.c.id)
        .where(
            has_kern(conversation),
            conversation.c.ended_at <= before,
            sa.not_(is_restricted(conversation.c.id)),
        )
        .order_by(conversation.c.ended_at, conversation.c.id)
        .limit(limit)
    ).all()
    if numbers and not trial:
        lock(connection, numbers)
        with overwriting(connection):
            connection.execute(
                sa.update(conversation).where(among(conversation.c.id, numbers)).values(kern=None)
            )
    return len(numbers)


def _numbers(database: Database, after: int) -> Sequence[int]:
    query = (
        sa.select(conversation.c.id)
        .where(conversation.c.id > after, conversation.c.kern.is_not(None))
        .order_by(conversation.c.id)
        .limit(AT_ONCE)
    )
    with database.reading() as connection:
        return connection.scalars(query).all()


def _is_older(row: Any, to: int) -> bool:
    return row.kern is not None and version_alone(row.kern) < to


def _again(row: Any, vault: Vault, to: int) -> dict[str, Any]:
    pair = Pair(row.conversatie, Oin(row.party_a), Oin(row.party_b))
    return {"id": row.id, "kern": vault.wrap_alone_again(about_kern(pair), row.kern, to=to)}
