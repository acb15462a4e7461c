"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.BigInteger()

BODIES_AS_THEY_ARE = """
ALTER TABLE message
    ALTER COLUMN original SET STORAGE EXTERNAL,
    ALTER COLUMN canonical SET STORAGE EXTERNAL
"""


def upgrade() -> None:
    op.create_table(
        "action",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("dead_letters", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("action_pk")),
    )
    op.create_table(
        "assertion",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("expires", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("assertion_pk")),
    )
    op.create_index("assertion_expires", "assertion", ["expires"], unique=False)
    op.create_table(
        "conversation",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("conversatie", sa.Text(), nullable=False),
        sa.Column("party_a", sa.Text(), nullable=False),
        sa.Column("party_b", sa.Text(), nullable=False),
        sa.Column("last_to_a", sa.Integer(), nullable=False),
        sa.Column("last_to_b", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("conversation_pk")),
        sa.UniqueConstraint(
            "conversatie", "party_a", "party_b", name=op.f("conversation_conversatie_uq")
        ),
    )
    op.create_table(
        "directory",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.Column("applied_at", INSTANT, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("directory_pk")),
    )
    op.create_table(
        "message",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("referentienummer", sa.Text(), nullable=False),
        sa.Column("afzender", sa.Text(), nullable=False),
        sa.Column("ontvanger", sa.Text(), nullable=False),
        sa.Column("conversatie", sa.Text(), nullable=False),
        sa.Column("cross", sa.Text(), nullable=True),
        sa.Column("namens", sa.Text(), nullable=True),
        sa.Column("vervangt", sa.Text(), nullable=True),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column("soort", sa.Text(), nullable=False),
        sa.Column("versie", sa.Text(), nullable=False),
        sa.Column("tijdstip", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("signer_fingerprint", sa.Text(), nullable=False),
        sa.Column("signer_algorithm", sa.Text(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("receipt_id", sa.Text(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("erased_at", INSTANT, nullable=True),
        sa.Column("original_sha256", sa.Text(), nullable=True),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.Column("digest_header", sa.Text(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("canonical", sa.LargeBinary(), nullable=True),
        sa.Column("original", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("message_pk")),
        sa.UniqueConstraint(
            "referentienummer", "afzender", name=op.f("message_referentienummer_uq")
        ),
    )
    op.create_index("message_recorded", "message", ["recorded_at"], unique=False)
    op.create_index(
        "message_unerased",
        "message",
        ["recorded_at", "id"],
        unique=False,
        sqlite_where=sa.text("erased_at IS NULL"),
        postgresql_where=sa.text("erased_at IS NULL"),
    )
    op.create_table(
        "refusal",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=True),
        sa.Column("referentienummer", sa.Text(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("refusal_pk")),
    )
    op.create_index("refusal_at", "refusal", ["at"], unique=False)
    op.create_index(
        "refusal_referentienummer",
        "refusal",
        ["referentienummer"],
        unique=False,
        sqlite_where=sa.text("referentienummer IS NOT NULL"),
        postgresql_where=sa.text("referentienummer IS NOT NULL"),
    )
    op.create_table(
        "attachment",
        sa.Column("message", NUMBER, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["message.id"], name=op.f("attachment_message_fk")),
        sa.PrimaryKeyConstraint("message", "place", name=op.f("attachment_pk")),
    )
    op.create_table(
        "person",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.Column("conversation", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation"], ["conversation.id"], name=op.f("person_conversation_fk")
        ),
        sa.PrimaryKeyConstraint("version", "mark", "conversation", name=op.f("person_pk")),
    )
    op.create_index("person_conversation", "person", ["conversation"], unique=False)
    op.create_table(
        "checkpoint",
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "number", name=op.f("checkpoint_pk")),
    )
    op.create_table(
        "evidence",
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("soort", sa.Text(), nullable=False),
        sa.Column("message", sa.BigInteger(), nullable=True),
        sa.Column("delivery", sa.BigInteger(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("log", "number", "place", name=op.f("evidence_pk")),
    )
    op.create_index(
        "evidence_message",
        "evidence",
        ["message"],
        unique=False,
        sqlite_where=sa.text("message IS NOT NULL"),
        postgresql_where=sa.text("message IS NOT NULL"),
    )
    op.create_table(
        "day_close",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("day_close_pk")),
    )
    op.create_table(
        "key",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("check", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("retired_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("kind", "version", name=op.f("key_pk")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("message", NUMBER, nullable=False),
        sa.Column("conversation", NUMBER, nullable=False),
        sa.Column("ontvanger", sa.Text(), nullable=False),
        sa.Column("volgnummer", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("awaits_confirmation", sa.Boolean(), nullable=False),
        sa.Column("overtakes", sa.Boolean(), nullable=False),
        sa.Column("blocks", sa.Boolean(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("leased_until", INSTANT, nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("unanswered", sa.Integer(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("queued_at", INSTANT, nullable=True),
        sa.Column("offered_at", INSTANT, nullable=True),
        sa.Column("confirmed_at", INSTANT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("state = 'wacht' OR due_at IS NULL", name=op.f("delivery_due_ck")),
        sa.CheckConstraint(
            "state IN ('wacht', 'aangeboden', 'bevestigd', 'gestrand', 'verworpen')",
            name=op.f("delivery_state_ck"),
        ),
        sa.ForeignKeyConstraint(
            ["conversation"], ["conversation.id"], name=op.f("delivery_conversation_fk")
        ),
        sa.ForeignKeyConstraint(["message"], ["message.id"], name=op.f("delivery_message_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("delivery_pk")),
        sa.UniqueConstraint(
            "conversation", "ontvanger", "volgnummer", name=op.f("delivery_conversation_uq")
        ),
        sa.UniqueConstraint("delivery_id", name=op.f("delivery_delivery_id_uq")),
    )
    op.create_index(
        "delivery_abandoned",
        "delivery",
        ["leased_until"],
        unique=False,
        sqlite_where=sa.text("state = 'wacht' AND unanswered >= 10"),
        postgresql_where=sa.text("state = 'wacht' AND unanswered >= 10"),
    )
    op.create_index(
        "delivery_due",
        "delivery",
        ["due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'wacht' AND due_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'wacht' AND due_at IS NOT NULL"),
    )
    op.create_index(
        "delivery_finished",
        "delivery",
        ["ontvanger", "state"],
        unique=False,
        sqlite_where=sa.text(
            "state = 'bevestigd' OR state = 'verworpen' OR state = 'aangeboden' AND awaits_confirmation = 0"
        ),
        postgresql_where=sa.text(
            "state = 'bevestigd' OR state = 'verworpen' OR state = 'aangeboden' AND NOT awaits_confirmation"
        ),
    )
    op.create_index("delivery_message", "delivery", ["message"], unique=False)
    op.create_index(
        "delivery_postbus",
        "delivery",
        ["ontvanger", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'aangeboden' AND channel = 'postbus'"),
        postgresql_where=sa.text("state = 'aangeboden' AND channel = 'postbus'"),
    )
    op.create_index(
        "delivery_queue",
        "delivery",
        ["ontvanger", "offered_at"],
        unique=False,
        sqlite_where=sa.text("state = 'aangeboden' AND channel = 'queue'"),
        postgresql_where=sa.text("state = 'aangeboden' AND channel = 'queue'"),
    )
    op.create_index(
        "delivery_unfinished",
        "delivery",
        ["conversation", "ontvanger", "volgnummer"],
        unique=False,
        sqlite_where=sa.text(
            "state = 'wacht' OR state = 'gestrand' OR state = 'aangeboden' AND awaits_confirmation = 1"
        ),
        postgresql_where=sa.text(
            "state = 'wacht' OR state = 'gestrand' OR state = 'aangeboden' AND awaits_confirmation"
        ),
    )
    op.create_table(
        "attempt",
        sa.Column("delivery", NUMBER, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("sent_sha256", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("attempt_delivery_fk")),
        sa.PrimaryKeyConstraint("delivery", "number", name=op.f("attempt_pk")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("delivery", NUMBER, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("stranded_at", INSTANT, nullable=False),
        sa.Column("resolved", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_why", sa.Text(), nullable=True),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("garbage_digest", sa.Text(), nullable=True),
        sa.Column("garbage", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery"], ["delivery.id"], name=op.f("dead_letter_delivery_fk")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letter_pk")),
    )
    op.create_index("dead_letter_delivery", "dead_letter", ["delivery"], unique=False)
    op.create_index(
        "dead_letter_newest",
        "dead_letter",
        ["stranded_at", "id"],
        unique=False,
        sqlite_where=sa.text("resolved IS NULL"),
        postgresql_where=sa.text("resolved IS NULL"),
    )
    op.create_index(
        "dead_letter_open",
        "dead_letter",
        ["delivery"],
        unique=True,
        sqlite_where=sa.text("resolved IS NULL"),
        postgresql_where=sa.text("resolved IS NULL"),
    )
    op.create_index(
        "dead_letter_open_garbage",
        "dead_letter",
        ["garbage_digest"],
        unique=True,
        sqlite_where=sa.text("resolved IS NULL"),
        postgresql_where=sa.text("resolved IS NULL"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(BODIES_AS_THEY_ARE)
