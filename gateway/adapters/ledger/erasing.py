"""How content goes, and how a message goes: what is left says nothing of it, and how it went is
signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.tables import (
    attachment,
    attempt,
    checkpoint,
    conversation,
    dead_letter,
    delivery,
    evidence,
    message,
    person,
    restriction,
)
from gateway.evidence import ERASED
from gateway.message import canonical_form
from gateway.replies import instant

# Everything of a message that says what was in it, or proves that.
_CONTENT = (
    message.c.original_sha256,
    message.c.signature,
    message.c.digest_header,
    message.c.key_version,
    message.c.wrapped_key,
    message.c.canonical,
    message.c.original,
)


def erase(connection: sa.Connection, rows: Sequence[Any], now: datetime) -> None:
    """Erase the content of messages.

    Args:
        rows: With ``id`` of the message and ``delivery``, the number of its delivery.
    """
    if not rows:
        return
    ids = [row.id for row in rows]
    nothing = dict.fromkeys(_CONTENT, sa.null())
    of_these = among(attempt.c.delivery, [row.delivery for row in rows])
    with overwriting(connection):
        connection.execute(
            sa.update(message)
            .where(among(message.c.id, ids))
            .values({**nothing, message.c.erased_at: now})
        )
        erase_attachments(connection, rows)
        connection.execute(sa.update(attempt).where(of_these).values(sent_sha256=None))
        connection.execute(
            sa.update(evidence).where(among(evidence.c.message, ids)).values(salt=None, entry=None)
        )


@contextmanager
def overwriting(connection: sa.Connection) -> Iterator[None]:
    """Have what is deleted meanwhile leave the file.

    Else a key and what it sealed stay there until something is written over them.
    """
    lite = connection.dialect.name == "sqlite"
    if lite:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    yield
    if lite:
        connection.exec_driver_sql("PRAGMA secure_delete = OFF")


def erase_attachments(connection: sa.Connection, rows: Sequence[Any]) -> None:
    """Erase the attachments of messages, and nothing else of them."""
    if rows:
        ids = [row.id for row in rows]
        connection.execute(sa.delete(attachment).where(among(attachment.c.message, ids)))


def erased_by_term(rows: Sequence[Any], now: datetime) -> list[Entry]:
    """That the content of these messages went after its term: one entry for all of them."""
    if not rows:
        return []
    said = "".join(sorted(f"{row.afzender}/{row.referentienummer}\n" for row in rows))
    told = {
        "soort": ERASED,
        "op": instant(now),
        "grond": "bewaartermijn",
        "aantal": len(rows),
        "berichtenSha256": hashlib.sha256(said.encode()).hexdigest(),
    }
    return [Entry(ERASED, canonical_form(told))]


def erased_on_request(row: Any, kenmerk: str, now: datetime) -> Entry:
    """That the content of one message went because whom it is about asked for that."""
    told = {
        "soort": ERASED,
        "op": instant(now),
        "grond": "verzoek",
        "verzoek": kenmerk,
        "afzender": row.afzender,
        "referentienummer": row.referentienummer,
    }
    return Entry(ERASED, canonical_form(told), message=row.id)


def went_on_request() -> sa.ColumnElement[bool]:
    """Whether it is signed that the content of a message went on request."""
    return sa.exists().where(evidence.c.message == message.c.id, evidence.c.soort == ERASED)


def last_signed() -> sa.ScalarSelect[datetime]:
    """When something of a message was signed for the last time."""
    signed = sa.and_(evidence.c.log == checkpoint.c.log, evidence.c.number == checkpoint.c.number)
    return (
        sa.select(sa.func.max(checkpoint.c.at))
        .join_from(evidence, checkpoint, signed)
        .where(evidence.c.message == message.c.id)
        .scalar_subquery()
    )


def delete(connection: sa.Connection, rows: Sequence[Any]) -> None:
    """Delete messages with all that hangs on them, and conversations that have none left.

    Args:
        rows: With ``id``, ``delivery`` and ``conversation``.
    """
    ids = [row.id for row in rows]
    deliveries = [row.delivery for row in rows]
    for column, values in (
        (evidence.c.message, ids),
        (attempt.c.delivery, deliveries),
        (dead_letter.c.delivery, deliveries),
        (delivery.c.id, deliveries),
        (attachment.c.message, ids),
        (message.c.id, ids),
    ):
        connection.execute(sa.delete(column.table).where(column.in_(values)))
    # whoever holds a conversation adds to it right now
    held = connection.scalars(
        sa.select(conversation.c.id)
        .where(conversation.c.id.in_({row.conversation for row in rows}))
        .with_for_update(skip_locked=True)
    ).all()
    empty = connection.scalars(
        sa.select(conversation.c.id).where(
            conversation.c.id.in_(held),
            ~sa.exists().where(delivery.c.conversation == conversation.c.id),
        )
    ).all()
    for column in (person.c.conversation, restriction.c.conversation, conversation.c.id):
        connection.execute(sa.delete(column.table).where(column.in_(empty)))
