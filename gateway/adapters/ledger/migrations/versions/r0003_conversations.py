"""What the rules remember of a conversation, and what becomes of its terms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
# A gateway without these rules would let through what they refuse: it may not go on beside.
compatible_with = "0003"

INSTANT = sa.BigInteger()


def upgrade() -> None:
    for name, kind in (
        ("stand", sa.Text()),
        ("next_term", INSTANT),
        ("ended_at", INSTANT),
        ("kern", sa.LargeBinary()),
    ):
        op.add_column("conversation", sa.Column(name, kind, nullable=True))
    for name, kind in (
        ("collected_at", INSTANT),
        ("term", sa.Text()),
        ("tot_en_met", sa.Text()),
        ("notice_at", INSTANT),
        ("followed", sa.Text()),
    ):
        op.add_column("delivery", sa.Column(name, kind, nullable=True))
    op.create_index("conversation_party_a", "conversation", ["party_a", "id"])
    op.create_index("conversation_party_b", "conversation", ["party_b", "id"])
    for name, table, columns, where in (
        ("conversation_next_term", "conversation", ["next_term", "id"], "next_term IS NOT NULL"),
        (
            "conversation_kern",
            "conversation",
            ["ended_at", "id"],
            "ended_at IS NOT NULL AND kern IS NOT NULL",
        ),
        (
            "delivery_to_follow",
            "delivery",
            ["id"],
            "(state = 'aangeboden' OR state = 'bevestigd') AND term IS NOT NULL"
            " AND followed IS NULL"
            " OR (state = 'aangeboden' OR state = 'bevestigd') AND followed = 'gestrand'"
            " OR state = 'gestrand' AND (followed IS NULL OR followed != 'gestrand')"
            " OR state = 'verworpen' AND (followed IS NULL OR followed != 'verworpen')",
        ),
        (
            "delivery_uncollected",
            "delivery",
            ["notice_at", "id"],
            "notice_at IS NOT NULL AND collected_at IS NULL"
            " AND (state = 'wacht' OR state = 'aangeboden')",
        ),
    ):
        op.create_index(
            name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
