"""What people may ask about their own data (GDPR art. 15, 17, 18): show, erase, only store.

Each of these is itself recorded and signed, found or not, in the transaction that does it:
who asked, of which controller, why, when and how much; the person by keyed hash alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from gateway.adapters.blind_index import Mark
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import about_person
from gateway.adapters.ledger.about_person import Held
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.asked import Asked, Erasure, Ground, Insight, Restricted, Stays, What
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.erasing import erase, erased_on_request, overwriting
from gateway.adapters.ledger.journal import Entry, Journal, Page
from gateway.adapters.ledger.order import lock
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.sealing import CANONICAL, Attachments, data_key, whole
from gateway.adapters.ledger.tables import (
    conversation,
    delivery,
    in_force,
    message,
    person,
    person_request,
    restriction,
)
from gateway.message import canonical_form
from gateway.replies import instant

REQUESTED = "betrokkene"


class Betrokkene:
    """The part of the ledger that answers whom it is about."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def show_person(self, asked: Asked) -> Insight:
        """Everything about somebody; recorded before anybody sees it."""
        with self._journal.page() as page, self._database.writing() as connection:
            numbers = about_person.conversations_of(connection, asked.marks)
            found = about_person.held(
                connection,
                self._keyring.vault,
                numbers,
                asked.marks,
                asked.controller,
                whole=True,
            )
            refusals = about_person.refused(connection, found)
            counts = {
                "gesprekken": len({each.conversation for each in found}),
                "berichten": len(found),
                "weigeringen": len(refusals),
            }
            _note(connection, page, asked, counts)
            before = about_person.requests(connection, asked.marks)
        return Insight(tuple(found), tuple(refusals), tuple(before))

    def content_of(self, number: int) -> bytes | None:
        """The canonical document of a message, whole; None where it was erased.

        Raises:
            SealBroken, VaultKeyMissing: it is there and cannot be opened.
        """
        with self._database.reading() as connection:
            row = connection.execute(sa.select(message).where(message.c.id == number)).one_or_none()
            if row is None or row.wrapped_key is None:
                return None
            apart = Attachments(connection)
            key = data_key(self._keyring.vault, row)
            return whole(key, CANONICAL, row.canonical, lambda: apart.of(number))

    def erase_person(self, asked: Asked, *, running: bool = False) -> Erasure:
        """Erase content about somebody, or show what that would do (``What.TRY_TO_ERASE``).

        Left alone is what still has to be delivered, what is only stored and, without
        ``running``, what is in a conversation that goes on.
        """
        trial = asked.what is What.TRY_TO_ERASE
        with self._journal.page() as page, self._database.writing() as connection:
            numbers = about_person.conversations_of(connection, asked.marks)
            lock(connection, numbers)
            found = about_person.held(
                connection, self._keyring.vault, numbers, asked.marks, asked.controller
            )
            there = [each for each in found if each.erased_at is None]
            reasons = [(each, _stays(each, running=running)) for each in there]
            goes = [each for each, why in reasons if why is None]
            stays = tuple((each, why) for each, why in reasons if why is not None)
            ended = {each.conversation for each in found if not each.runs and not each.only_stored}
            bare = _without_content(connection, ended, goes)
            if not trial:
                erase(connection, goes, asked.at)
                _close(connection, bare, asked.marks)
            counts = {
                "gewist": len(goes),
                "gebleven": len(stays),
                "eerder": len(found) - len(there),
                "ontmerkt": len(bare),
            }
            entries = [] if trial else goes
            signed = [erased_on_request(each, asked.kenmerk, asked.at) for each in entries]
            _note(connection, page, asked, counts, signed)
        before = tuple(each for each in found if each.erased_at is not None)
        return Erasure(tuple(goes), stays, before, len(bare))

    def restrict_person(self, asked: Asked, ground: Ground) -> Restricted:
        """Have conversations about somebody only stored from now on."""
        with self._journal.page() as page, self._database.writing() as connection:
            numbers = about_person.conversations_of(connection, asked.marks, asked.controller)
            held = lock(connection, numbers)
            free = sa.not_(is_restricted(conversation.c.id))
            new = connection.scalars(
                sa.select(conversation.c.id).where(among(conversation.c.id, held), free)
            ).all()
            if new:
                connection.execute(
                    sa.insert(restriction),
                    [
                        {
                            "conversation": number,
                            "since": asked.at,
                            "ground": ground.value,
                            "kenmerk": asked.kenmerk,
                        }
                        for number in sorted(new)
                    ],
                )
            done = _done(connection, numbers, new)
            _note(connection, page, asked, _counts(done), grond=ground.value)
        return done

    def lift_restriction(self, asked: Asked) -> Restricted:
        """Have what was only stored be given and kept as usual again."""
        with self._journal.page() as page, self._database.writing() as connection:
            numbers = about_person.conversations_of(connection, asked.marks, asked.controller)
            held = lock(connection, numbers)
            changed = connection.scalars(
                sa.update(restriction)
                .where(among(restriction.c.conversation, held), in_force(restriction))
                .values(until=asked.at, lifted_by=asked.kenmerk)
                .returning(restriction.c.conversation)
            ).all()
            done = _done(connection, numbers, changed)
            _note(connection, page, asked, _counts(done))
        return done


def _stays(each: Held, *, running: bool) -> Stays | None:
    if each.only_stored is not None:
        return Stays.ONLY_STORED
    if each.finished is None:
        return Stays.UNDELIVERED
    return Stays.RUNS if each.runs and not running else None


def _without_content(
    connection: sa.Connection, conversations: set[int], goes: Sequence[Held]
) -> list[int]:
    """Those of these conversations in which no content is left once these messages went."""
    left = connection.scalars(
        sa.select(delivery.c.conversation)
        .join_from(delivery, message, delivery.c.message == message.c.id)
        .where(
            among(delivery.c.conversation, conversations),
            message.c.erased_at.is_(None),
            sa.not_(among(message.c.id, [each.id for each in goes])),
        )
    )
    return sorted(conversations - set(left))


def _close(connection: sa.Connection, numbers: Sequence[int], marks: Sequence[Mark]) -> None:
    """Have nobody find these conversations by this person, nor read what they came to."""
    with overwriting(connection):
        connection.execute(
            sa.delete(person).where(
                among(person.c.conversation, numbers), about_person.is_about(person, marks)
            )
        )
        connection.execute(
            sa.update(conversation).where(among(conversation.c.id, numbers)).values(kern=None)
        )


def _done(connection: sa.Connection, numbers: Sequence[int], changed: Sequence[int]) -> Restricted:
    names = connection.execute(
        sa.select(conversation.c.id, conversation.c.conversatie)
        .where(among(conversation.c.id, numbers))
        .order_by(conversation.c.id)
    ).all()
    waiting = connection.scalar(
        sa.select(sa.func.count())
        .select_from(delivery)
        .where(
            among(delivery.c.conversation, changed), delivery.c.state.in_(("wacht", "aangeboden"))
        )
    )
    return Restricted(
        tuple(row.conversatie for row in names if row.id in set(changed)),
        tuple(row.conversatie for row in names if row.id not in set(changed)),
        int(waiting or 0),
    )


def _counts(done: Restricted) -> dict[str, int]:
    return {
        "gesprekken": len(done.changed),
        "ongewijzigd": len(done.same),
        "afleveringen": done.held_back,
    }


def _note(
    connection: sa.Connection,
    page: Page,
    asked: Asked,
    counts: dict[str, int],
    entries: Sequence[Entry] = (),
    **more: str,
) -> None:
    """Record the request and sign it, with what else happened; the last of its transaction."""
    mark = asked.marks[-1]
    connection.execute(
        sa.insert(person_request).values(
            kenmerk=asked.kenmerk,
            at=asked.at,
            what=asked.what.value,
            requester=asked.requester,
            done_by=asked.by,
            controller=asked.controller,
            why=asked.why,
            version=mark.version,
            mark=mark.value,
            counts=counts,
        )
    )
    told = {
        "soort": REQUESTED,
        "verzoek": asked.what.value,
        "kenmerk": asked.kenmerk,
        "op": instant(asked.at),
        "verzoeker": asked.requester,
        "door": asked.by,
        "verantwoordelijke": asked.controller or "alle",
        "reden": asked.why,
        "merk": f"{mark.version}:{mark.value.hex()}",
        "aantallen": counts,
        **more,
    }
    page.write(connection, [*entries, Entry(REQUESTED, canonical_form(told))])
