"""What does the ledger keep? Every table, with the indexes that keep it fast when it is full.

Domain columns carry the Dutch names of the contract. Text has no maximum length here: the
XSDs say how long a value may be, and a second limit would only be a second truth.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.adapters.ledger.instant import Instant

# SQLite numbers its rows itself only where the key is declared INTEGER.
_Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_name)s_uq",
        "ck": "%(table_name)s_%(constraint_name)s_ck",
    }
)

# Literals instead of bound values: a partial index serves a query only where the database
# can see, while it plans, that the query asks for no more than the index holds.
WACHT = sa.literal_column("'wacht'", sa.Text())
AANGEBODEN = sa.literal_column("'aangeboden'", sa.Text())
BEVESTIGD = sa.literal_column("'bevestigd'", sa.Text())
GESTRAND = sa.literal_column("'gestrand'", sa.Text())
VERWORPEN = sa.literal_column("'verworpen'", sa.Text())
POSTBUS = sa.literal_column("'postbus'", sa.Text())
QUEUE = sa.literal_column("'queue'", sa.Text())

# What a message says is sealed (``vault``): ``canonical`` without its attachments, and
# ``original``. Erasing a message empties the columns that are NULL-able below ``receipt``.
# The bodies come last: SQLite reads a row from the front, and leaves the pages that hold
# the bodies alone when only the first columns are asked for.
message = sa.Table(
    "message",
    metadata,
    sa.Column("id", _Number, primary_key=True),
    sa.Column("referentienummer", sa.Text, nullable=False),
    sa.Column("afzender", sa.Text, nullable=False),
    sa.Column("ontvanger", sa.Text, nullable=False),
    sa.Column("conversatie", sa.Text, nullable=False),
    sa.Column("cross", sa.Text),
    sa.Column("namens", sa.Text),
    sa.Column("vervangt", sa.Text),
    sa.Column("module", sa.Text, nullable=False),
    sa.Column("major", sa.Integer, nullable=False),
    sa.Column("soort", sa.Text, nullable=False),
    sa.Column("versie", sa.Text, nullable=False),
    sa.Column("tijdstip", Instant, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("dialect", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("signer_fingerprint", sa.Text, nullable=False),
    sa.Column("signer_algorithm", sa.Text, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("receipt_id", sa.Text, nullable=False),
    sa.Column("receipt", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # bytes of the canonical document, opened
    sa.Column("erased_at", Instant),
    sa.Column("original_sha256", sa.Text),
    sa.Column("signature", sa.Text),
    sa.Column("digest_header", sa.Text),
    sa.Column("key_version", sa.Integer),
    sa.Column("wrapped_key", sa.LargeBinary),
    sa.Column("canonical", sa.LargeBinary),
    sa.Column("original", sa.LargeBinary),
    # The number first: it alone finds the message of a party that does not name the sender.
    sa.UniqueConstraint("referentienummer", "afzender"),
    sa.Index("message_recorded", "recorded_at"),
)

# Attachments are kept apart, so that a delivery is found, and a message is listed, without
# them. Sealed with the key of their message.
attachment = sa.Table(
    "attachment",
    metadata,
    sa.Column("message", sa.ForeignKey("message.id"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),  # in ``bijlagen``
    sa.Column("content", sa.LargeBinary, nullable=False),  # the base64 text, sealed
)

# Sealed content does not compress: what is sealed was compressed before.
_STORE_AS_IT_IS = """
ALTER TABLE message
    ALTER COLUMN original SET STORAGE EXTERNAL,
    ALTER COLUMN canonical SET STORAGE EXTERNAL
"""


@sa.event.listens_for(message, "after_create")
def store_bodies_as_they_are(table: sa.Table, connection: sa.Connection, **_: object) -> None:
    """What no column of the library can say."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(_STORE_AS_IT_IS))


# Which conversations are about a person, by keyed hash (``blind_index``).
person = sa.Table(
    "person",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mark", sa.LargeBinary, primary_key=True),
    sa.Column("conversation", sa.ForeignKey("conversation.id"), primary_key=True),
    sa.Index("person_conversation", "conversation"),
)

# One row per conversation id and pair of parties, so that a third party that uses the same
# id gets a conversation of its own and can neither block nor number somebody else's. Every
# change to what stands in the way of what is made while this row is locked.
conversation = sa.Table(
    "conversation",
    metadata,
    sa.Column("id", _Number, primary_key=True),
    sa.Column("conversatie", sa.Text, nullable=False),
    sa.Column("party_a", sa.Text, nullable=False),  # the lower OIN of the pair
    sa.Column("party_b", sa.Text, nullable=False),
    sa.Column("last_to_a", sa.Integer, nullable=False),  # volgnummer last given out
    sa.Column("last_to_b", sa.Integer, nullable=False),
    # What the rules remember of it (``gateway.routing.stand``); NULL where they have no say, as
    # in what the gateway itself tells a party. Claims and amounts are apart, and sealed.
    sa.Column("stand", sa.Text),
    sa.Column("next_term", Instant),  # when something happens in it by itself
    sa.Column("ended_at", Instant),
    sa.Column("kern", sa.LargeBinary),  # sealed by itself (``Vault.seal_alone``)
    sa.UniqueConstraint("conversatie", "party_a", "party_b"),
)


def awaits_a_moment(c: sa.FromClause) -> sa.ColumnElement[bool]:
    """Conversations in which something will happen by itself."""
    return c.c.next_term.is_not(None)


def has_kern(c: sa.FromClause) -> sa.ColumnElement[bool]:
    """Conversations that are over and of which the sealed part is still there."""
    return sa.and_(c.c.ended_at.is_not(None), c.c.kern.is_not(None))


delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", _Number, primary_key=True),
    sa.Column("delivery_id", sa.Text, nullable=False, unique=True),
    sa.Column("message", sa.ForeignKey("message.id"), nullable=False),
    sa.Column("conversation", sa.ForeignKey("conversation.id"), nullable=False),
    sa.Column("ontvanger", sa.Text, nullable=False),
    sa.Column("volgnummer", sa.Integer, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("awaits_confirmation", sa.Boolean, nullable=False),
    sa.Column("overtakes", sa.Boolean, nullable=False),
    sa.Column("blocks", sa.Boolean, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    # When to take it: the retry time, or the end of the lease while it is lent. NULL while
    # a predecessor is in the way and whenever the state is not wacht.
    sa.Column("due_at", Instant),
    sa.Column("leased_until", Instant),  # NULL once the attempt was concluded
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("unanswered", sa.Integer, nullable=False),  # leases in a row that just ran out
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("queued_at", Instant),
    sa.Column("offered_at", Instant),
    sa.Column("confirmed_at", Instant),
    sa.Column("reason", sa.Text),
    sa.Column("collected_at", Instant),  # from a postbus, before anybody could read it
    sa.Column("term", sa.Text),  # how long its recipient has, once it is available
    sa.Column("tot_en_met", sa.Text),  # the last day of that (ISO), once it is
    sa.Column("notice_at", Instant),  # when its sender is told that nobody collected it
    sa.Column("followed", sa.Text),  # the last state of which the conversation knows
    sa.UniqueConstraint("conversation", "ontvanger", "volgnummer"),
    sa.CheckConstraint(
        "state IN ('wacht', 'aangeboden', 'bevestigd', 'gestrand', 'verworpen')", name="state"
    ),
    sa.CheckConstraint("state = 'wacht' OR due_at IS NULL", name="due"),
    sa.Index("delivery_message", "message"),
)


def unfinished(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries that may still need somebody: what finished rows must not slow down."""
    return sa.or_(
        d.c.state == WACHT,
        d.c.state == GESTRAND,
        sa.and_(d.c.state == AANGEBODEN, d.c.awaits_confirmation),
    )


def finished(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """All others: only counted, so their index is of use to no other question."""
    return sa.or_(
        d.c.state == BEVESTIGD,
        d.c.state == VERWORPEN,
        sa.and_(d.c.state == AANGEBODEN, sa.not_(d.c.awaits_confirmation)),
    )


def scheduled(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries that a channel will take, now or later, without anybody else moving."""
    return sa.and_(d.c.state == WACHT, d.c.due_at.is_not(None))


def let_pass(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Dead deliveries that an operator released and nobody repaired yet.

    The newest dead letter of such a delivery is the released one: what is dead does not die
    again, and a repair writes its own word over that of the release.
    """
    return sa.and_(unfinished(d), d.c.state == GESTRAND, d.c.released)


def in_postbus(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries that lie ready for their recipient to collect."""
    return sa.and_(d.c.state == AANGEBODEN, d.c.channel == POSTBUS)


def on_queue(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries that the broker took and nobody confirmed."""
    return sa.and_(d.c.state == AANGEBODEN, d.c.channel == QUEUE)


def _partial(name: str, *columns: sa.Column[object], where: sa.ColumnElement[bool]) -> None:
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


_partial(
    "conversation_next_term",
    conversation.c.next_term,
    conversation.c.id,
    where=awaits_a_moment(conversation),
)
_partial(
    "conversation_kern", conversation.c.ended_at, conversation.c.id, where=has_kern(conversation)
)
sa.Index("conversation_party_a", conversation.c.party_a, conversation.c.id)
sa.Index("conversation_party_b", conversation.c.party_b, conversation.c.id)


def to_follow(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries of which the conversation does not know yet what became of them."""
    reached = sa.or_(d.c.state == AANGEBODEN, d.c.state == BEVESTIGD)
    unknown = d.c.followed.is_(None)
    return sa.or_(
        sa.and_(reached, d.c.term.is_not(None), unknown),
        sa.and_(reached, d.c.followed == GESTRAND),
        sa.and_(d.c.state == GESTRAND, sa.or_(unknown, d.c.followed != GESTRAND)),
        sa.and_(d.c.state == VERWORPEN, sa.or_(unknown, d.c.followed != VERWORPEN)),
    )


def uncollected(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries of which the sender will be told that nobody collected them."""
    return sa.and_(
        d.c.notice_at.is_not(None),
        d.c.collected_at.is_(None),
        sa.or_(d.c.state == WACHT, d.c.state == AANGEBODEN),
    )


_partial("delivery_to_follow", delivery.c.id, where=to_follow(delivery))
_partial("delivery_uncollected", delivery.c.notice_at, delivery.c.id, where=uncollected(delivery))

# With the number, since a refill makes very many due at the same instant.
_partial("delivery_due", delivery.c.due_at, delivery.c.id, where=scheduled(delivery))
_partial(
    "delivery_unfinished",
    delivery.c.conversation,
    delivery.c.ontvanger,
    delivery.c.volgnummer,
    where=unfinished(delivery),
)
_partial("delivery_finished", delivery.c.ontvanger, delivery.c.state, where=finished(delivery))
_partial("delivery_postbus", delivery.c.ontvanger, delivery.c.id, where=in_postbus(delivery))
_partial("delivery_queue", delivery.c.ontvanger, delivery.c.offered_at, where=on_queue(delivery))


LEASES_WITHOUT_ANSWER = 10
"""So many leases in a row may run out before the delivery strands: it kills its worker."""


def unerased(m: sa.FromClause) -> sa.ColumnElement[bool]:
    """Messages whose content is still there."""
    return m.c.erased_at.is_(None)


def abandoned(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries whose next lost lease is one too many."""
    limit = sa.literal_column(str(LEASES_WITHOUT_ANSWER), sa.Integer())
    return sa.and_(d.c.state == WACHT, d.c.unanswered >= limit)


_partial("message_unerased", message.c.recorded_at, message.c.id, where=unerased(message))
_partial("delivery_abandoned", delivery.c.leased_until, where=abandoned(delivery))

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("delivery", sa.ForeignKey("delivery.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("sent_sha256", sa.Text),
)

dead_letter = sa.Table(
    "dead_letter",
    metadata,
    sa.Column("id", _Number, primary_key=True),
    sa.Column("delivery", sa.ForeignKey("delivery.id")),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("stranded_at", Instant, nullable=False),
    sa.Column("resolved", sa.Text),
    sa.Column("resolved_by", sa.Text),
    sa.Column("resolved_why", sa.Text),
    sa.Column("resolved_at", Instant),
    sa.Column("garbage_digest", sa.Text),  # keyed
    sa.Column("garbage", sa.LargeBinary),  # sealed by itself (``Vault.seal_alone``)
    sa.Index("dead_letter_delivery", "delivery"),
)


def unresolved(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Dead letters that wait for an operator."""
    return d.c.resolved.is_(None)


RELEASED = "vrijgegeven"
"""How a dead letter is resolved whose delivery stays dead and lets others pass."""


def repairable(letter: sa.FromClause, d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Dead letters, joined with their deliveries, that an operator can still do something with."""
    return sa.or_(unresolved(letter), sa.and_(letter.c.resolved == RELEASED, let_pass(d)))


def has_ended(m: sa.FromClause) -> sa.ColumnElement[bool]:
    """Messages, joined with their conversations, that ended after them.

    What ended a conversation, and what could be said afterwards, is not among them.
    """
    return sa.and_(conversation.c.ended_at.is_not(None), conversation.c.ended_at > m.c.recorded_at)


def _one_open(name: str, column: sa.Column[object]) -> None:
    where = unresolved(dead_letter)
    sa.Index(name, column, unique=True, sqlite_where=where, postgresql_where=where)


_one_open("dead_letter_open", dead_letter.c.delivery)
_one_open("dead_letter_open_garbage", dead_letter.c.garbage_digest)
_partial(
    "dead_letter_newest",
    dead_letter.c.stranded_at,
    dead_letter.c.id,
    where=unresolved(dead_letter),
)

# What operators did, for good: who, why, when and to which dead letters.
action = sa.Table(
    "action",
    metadata,
    sa.Column("id", _Number, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("dead_letters", sa.JSON, nullable=False),
)

refusal = sa.Table(
    "refusal",
    metadata,
    sa.Column("id", _Number, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("party", sa.Text),
    sa.Column("referentienummer", sa.Text),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Index("refusal_at", "at"),
)
_partial(
    "refusal_referentienummer",
    refusal.c.referentienummer,
    where=refusal.c.referentienummer.is_not(None),
)

directory = sa.Table(
    "directory",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("applied_by", sa.Text, nullable=False),
    sa.Column("applied_at", Instant, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)

assertion = sa.Table(
    "assertion",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("expires", Instant, nullable=False),
    sa.Index("assertion_expires", "expires"),
)

# Evidence: a log per process, a checkpoint per commit, a row per entry (``gateway.evidence``).
checkpoint = sa.Table(
    "checkpoint",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("previous", sa.LargeBinary, nullable=False),
    sa.Column("leaves", sa.LargeBinary, nullable=False),  # 32 bytes each
    sa.Column("kid", sa.Text, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("soort", sa.Text, nullable=False),
    sa.Column("message", sa.BigInteger),
    sa.Column("delivery", sa.BigInteger),
    sa.Column("salt", sa.LargeBinary),  # NULL once what it hides was erased
    sa.Column("entry", sa.Text),
)
_partial("evidence_message", evidence.c.message, where=evidence.c.message.is_not(None))

# The heads of all logs at the end of each day, signed together.
day_close = sa.Table(
    "day_close",
    metadata,
    sa.Column("day", sa.Text, primary_key=True),  # ISO date, Europe/Amsterdam
    sa.Column("at", Instant, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("kid", sa.Text, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)

# The key-encryption and index keys that were ever used, to know at once when one is lost.
key = sa.Table(
    "key",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("check", sa.LargeBinary, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("retired_at", Instant),
)

# Conversations that are only stored, because whom they are about asked for that (GDPR art. 18).
restriction = sa.Table(
    "restriction",
    metadata,
    sa.Column("conversation", sa.ForeignKey("conversation.id"), primary_key=True),
    sa.Column("since", Instant, primary_key=True, autoincrement=False),
    sa.Column("ground", sa.Text, nullable=False),
    sa.Column("kenmerk", sa.Text, nullable=False),  # of the request that set it
    sa.Column("until", Instant),  # NULL while it holds
    sa.Column("lifted_by", sa.Text),  # likewise; the kenmerk of a request
)


def in_force(r: sa.FromClause) -> sa.ColumnElement[bool]:
    """Restrictions that hold."""
    return r.c.until.is_(None)


sa.Index(
    "restriction_in_force",
    restriction.c.conversation,
    unique=True,
    sqlite_where=in_force(restriction),
    postgresql_where=in_force(restriction),
)

# What was done at the request of whom it is about, for good. Found by keyed hash.
person_request = sa.Table(
    "person_request",
    metadata,
    sa.Column("kenmerk", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("requester", sa.Text, nullable=False),
    sa.Column("done_by", sa.Text, nullable=False),
    sa.Column("controller", sa.Text),  # NULL for all of them
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("mark", sa.LargeBinary, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Index("person_request_mark", "version", "mark"),
)
