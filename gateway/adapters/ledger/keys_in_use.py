"""Which keys was this ledger used with, and is each of them here? Nothing starts without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Clock, Database, connect, insert_into
from gateway.adapters.ledger.dead_letters import about_garbage
from gateway.adapters.ledger.kerns import versions_of_kerns, wrap_kerns_again
from gateway.adapters.ledger.order import lock
from gateway.adapters.ledger.sealing import (
    CANONICAL,
    ORIGINAL,
    Attachments,
    about,
    bare,
    data_key,
    whole,
)
from gateway.adapters.ledger.tables import (
    dead_letter,
    delivery,
    key,
    message,
    person,
    person_request,
    unresolved,
)
from gateway.adapters.vault import version_alone
from gateway.errors import Fault
from gateway.message import Kind, Oin

COUNTED_AT_ONCE = 20_000
"""Numbers of messages that one statement looks through: none takes seconds."""

WRAPPED_AT_ONCE = 200
"""Numbers of messages in one transaction of a rotation; others wait milliseconds for it."""

PersonsOf = Callable[[Kind, bytes], frozenset[str]]
"""The burgerservicenummers in a canonical document of this kind."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that this ledger was ever used with.

    Attributes:
        check: What the right key answers (``secret_files.check_value``).
        made_at: Since when it is in use.
        retired_at: Since when nothing needs it any more, but backups.
    """

    kind: str
    version: int
    check: bytes
    made_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rotation came.

    Attributes:
        reached: Number of the last message, or conversation, that was looked at.
        end: The highest number there is.
        changed: How many were changed in this step.
        left: How many stay under an old key: their content was erased.
    """

    reached: int
    end: int
    changed: int
    left: int = 0


class KeysInUse:
    """The part of the ledger that knows keys, and changes what they seal to newer ones."""

    _database: Database
    _keyring: Keyring
    _clock: Clock

    def follow_keys(self) -> None:
        """Take the keys that this ledger is used with; note the first of each kind.

        Raises:
            Fault: one that is in use is missing, or is another under the same name.
        """
        self._keyring.learn()
        known = self.known_keys()
        for kind in self._keyring.in_use().keys() - {each.kind for each in known}:
            self.put_in_use(kind, self._keyring.in_use()[kind])
        wrong = [
            problem_with(each, self._keyring.checks()) for each in known if not each.retired_at
        ]
        if any(wrong):
            raise Fault("; ".join(filter(None, wrong)))
        for each in known:  # in order: the newest of a kind comes last
            if not each.retired_at:
                self._keyring.use(each.kind, each.version)

    def known_keys(self) -> list[KnownKey]:
        """Every key that this ledger was used with, by kind and version."""
        with self._database.reading() as connection:
            return _known(connection)

    def key_checks(self) -> dict[tuple[str, int], bytes]:
        """By kind and version of the keys that are here what shows which key it is."""
        return self._keyring.checks()

    def put_in_use(self, kind: str, version: int) -> None:
        """Note that this key is used from now on; harmless when it is already."""
        row = {
            "kind": kind,
            "version": version,
            "check": self._keyring.checks()[kind, version],
            "made_at": self._clock(),
        }
        with self._database.writing() as connection:
            connection.execute(insert_into(connection, key).on_conflict_do_nothing(), row)
        self._keyring.use(kind, version)

    def retire_keys(self, kind: str, below: int) -> list[int]:
        """Note that older versions of this kind seal nothing any more; returns which."""
        with self._database.writing() as connection:
            old = sa.and_(key.c.kind == kind, key.c.version < below, key.c.retired_at.is_(None))
            gone = connection.scalars(sa.select(key.c.version).where(old)).all()
            connection.execute(sa.update(key).where(old).values(retired_at=self._clock()))
        return sorted(gone)

    def sealed_under(self) -> dict[int, tuple[int, int]]:
        """By version of the key-encryption key: how many messages, and the newest of them."""
        counts: Counter[int] = Counter()
        newest: dict[int, int] = {}
        end = self._last(message.c.id)
        for begin in range(0, end, COUNTED_AT_ONCE):
            query = (
                sa.select(message.c.key_version, sa.func.count(), sa.func.max(message.c.id))
                .where(
                    message.c.id > begin,
                    message.c.id <= begin + COUNTED_AT_ONCE,
                    message.c.wrapped_key.is_not(None),
                )
                .group_by(message.c.key_version)
            )
            with self._database.reading() as connection:
                for version, count, last in connection.execute(query):
                    counts[version] += count
                    newest[version] = last
        return {version: (counts[version], newest[version]) for version in sorted(counts)}

    def kerns_under(self) -> dict[int, int]:
        """By version of the key-encryption key: of how many conversations the sealed part."""
        return dict(versions_of_kerns(self._database))

    def requests_under(self) -> dict[int, int]:
        """By version of the index key: how many requests of people are found by it alone."""
        query = (
            sa.select(person_request.c.version, sa.func.count())
            .group_by(person_request.c.version)
            .order_by(person_request.c.version)
        )
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def opens(self, number: int) -> None:
        """Open everything of one message, and forget it.

        Raises:
            SealBroken, VaultKeyMissing: it cannot be opened.
        """
        with self._database.reading() as connection:
            row = connection.execute(sa.select(message).where(message.c.id == number)).one()
            found = data_key(self._keyring.vault, row)
            apart = Attachments(connection).of(number)
        for part, sealed in ((CANONICAL, row.canonical), (ORIGINAL, row.original)):
            whole(found, part, sealed, lambda: apart)

    def wrap_again(self, after: int, *, to: int) -> Progress:
        """Give the next messages after this number a data key wrapped under version ``to``.

        What another process changed meanwhile is left alone. To be repeated until the end.

        Raises:
            SealBroken, VaultKeyMissing: a data key cannot be unwrapped.
        """
        end, reached = self._last(message.c.id), after + WRAPPED_AT_ONCE
        query = sa.select(
            message.c.id,
            message.c.afzender,
            message.c.referentienummer,
            message.c.key_version,
            message.c.wrapped_key,
        ).where(
            message.c.id > after,
            message.c.id <= reached,
            message.c.wrapped_key.is_not(None),
            message.c.key_version < to,
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        vault = self._keyring.vault
        changes = [
            {
                "number": row.id,
                "old": row.key_version,
                "wrapped": vault.wrap_again(
                    about(Oin(row.afzender), row.referentienummer),
                    row.key_version,
                    row.wrapped_key,
                    to=to,
                ),
            }
            for row in rows
        ]
        if changes:
            with self._database.writing() as connection:
                connection.execute(
                    sa.update(message)
                    .where(
                        message.c.id == sa.bindparam("number"),
                        message.c.key_version == sa.bindparam("old"),
                        message.c.wrapped_key.is_not(None),
                    )
                    .values(wrapped_key=sa.bindparam("wrapped"), key_version=to),
                    changes,
                )
        apart = 0
        if reached >= end:
            apart = self._wrap_garbage_again(to)
            apart += wrap_kerns_again(self._database, self._keyring.vault, to)
        return Progress(min(reached, end), end, len(changes) + apart)

    def _wrap_garbage_again(self, to: int) -> int:
        """The same for what nobody could read; there is little of it. How many changed."""
        kept = sa.and_(unresolved(dead_letter), dead_letter.c.delivery.is_(None))
        with self._database.reading() as connection:
            numbers = connection.scalars(sa.select(dead_letter.c.id).where(kept)).all()
        changed = 0
        for number in numbers:
            one = sa.and_(dead_letter.c.id == number, dead_letter.c.garbage.is_not(None))
            with self._database.writing() as connection:
                row = connection.execute(sa.select(dead_letter).where(one)).one_or_none()
                if row is None or version_alone(row.garbage) >= to:
                    continue
                again = self._keyring.vault.wrap_alone_again(
                    about_garbage(row.garbage_digest), row.garbage, to=to
                )
                connection.execute(sa.update(dead_letter).where(one).values(garbage=again))
                changed += 1
        return changed

    def mark_again(self, after: int, persons_of: PersonsOf, *, to: int) -> Progress:
        """Mark the next conversations after this number under version ``to`` of the index key.

        It needs the content: a mark of which all content was erased stays as it is, and is
        found as long as its key is there. One that somebody erases meanwhile is gone.
        """
        end, reached = self._last(person.c.conversation), after + WRAPPED_AT_ONCE
        old = sa.and_(
            person.c.conversation > after, person.c.conversation <= reached, person.c.version < to
        )
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(person).where(old)).all()
            found = self._persons(connection, {row.conversation for row in rows}, persons_of)
        index = self._keyring.index
        marks = {
            (row.conversation, row.version, row.mark): index.mark_under(to, bsn).value
            for row in rows
            for bsn in found.get(row.conversation, ())
            if row.version in index.versions
            and index.mark_under(row.version, bsn).value == row.mark
        }
        changed = 0
        if marks:
            with self._database.writing() as connection:
                changed = _replace(connection, marks, to)
        return Progress(min(reached, end), end, changed, left=len(rows) - len(marks))

    def _persons(
        self, connection: sa.Connection, conversations: set[int], persons_of: PersonsOf
    ) -> dict[int, set[str]]:
        """The burgerservicenummers in what is left of these conversations."""
        query = (
            sa.select(
                message.c.afzender,
                message.c.referentienummer,
                message.c.module,
                message.c.major,
                message.c.soort,
                message.c.key_version,
                message.c.wrapped_key,
                message.c.canonical,
                delivery.c.conversation.label("within"),
            )
            .join_from(delivery, message, delivery.c.message == message.c.id)
            .where(delivery.c.conversation.in_(conversations), message.c.wrapped_key.is_not(None))
        )
        found: dict[int, set[str]] = {}
        for row in connection.execute(query):
            kind = Kind(row.module, row.major, row.soort)
            # attachments stay where they are: no number that we index is in one
            canonical = bare(data_key(self._keyring.vault, row).open(CANONICAL, row.canonical))
            found.setdefault(row.within, set()).update(persons_of(kind, canonical))
        return found

    def _last(self, column: sa.Column[int]) -> int:
        with self._database.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(column))) or 0


def kinds_used(address: str) -> frozenset[str]:
    """Of which kinds of key the ledger at a URL ever used one."""
    database = connect(address)
    try:
        with database.reading() as connection:
            return frozenset(each.kind for each in _known(connection))
    finally:
        database.engine.dispose()


def _known(connection: sa.Connection) -> list[KnownKey]:
    query = sa.select(key).order_by(key.c.kind, key.c.version)
    return [KnownKey(*row) for row in connection.execute(query)]


def problem_with(known: KnownKey, checks: Mapping[tuple[str, int], bytes]) -> str | None:
    """What is wrong with a key that this ledger knows; None for nothing."""
    name = f"key {known.kind} {known.version:04}"
    found = checks.get((known.kind, known.version))
    if found is None:
        return f"{name} is missing: restore its file from its own backup"
    if found != known.check:
        return f"{name} is not the key that this ledger was used with: restore the right file"
    return None


def _replace(
    connection: sa.Connection, marks: Mapping[tuple[int, int, bytes], bytes], to: int
) -> int:
    """Put new marks for those old ones that are still there; how many."""
    held = lock(connection, sorted({conversation for conversation, _, _ in marks}))
    # only now that nobody can erase them: a new mark would have an erased person found again
    old = sa.select(person).where(among(person.c.conversation, held), person.c.version < to)
    there = {(row.conversation, row.version, row.mark) for row in connection.execute(old)}
    still = sorted(marks.keys() & there)
    if not still:
        return 0
    connection.execute(
        insert_into(connection, person).on_conflict_do_nothing(),
        [{"version": to, "mark": marks[each], "conversation": each[0]} for each in still],
    )
    connection.execute(
        sa.delete(person).where(
            person.c.version == sa.bindparam("old"),
            person.c.mark == sa.bindparam("was"),
            person.c.conversation == sa.bindparam("within"),
        ),
        [
            {"old": version, "was": mark, "within": conversation}
            for conversation, version, mark in still
        ],
    )
    return len(still)
