"""State that nobody reacted to a question, and have it signed that this was stated.

The conversation is held meanwhile: an answer was either recorded before, and seen, or comes after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.answered import GATEWAY
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.gesprekken import told_of
from gateway.adapters.ledger.happenings import happened
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.order import lock
from gateway.adapters.ledger.tables import POSTBUS, conversation, delivery, message, restriction
from gateway.delivery import State
from gateway.message import Json, Oin, canonical_form
from gateway.replies import About
from gateway.routing.silence import Asked
from gateway.verklaring import NO_ANSWER, STATEMENT

STATED = "verklaring"


class Stating:
    """The part of the ledger that gives statements."""

    _database: Database
    _journal: Journal

    def state(
        self,
        askers: Collection[Oin],
        conversatie: str,
        referentienummer: str,
        decide: Callable[[Asked], Json],
        at: datetime,
    ) -> Json | None:
        """The statement that ``decide`` makes of a question that one of these parties put.

        That it was made is signed with it: its number and the sha256 of what it says.

        Returns:
            None where there is no such message; what ``decide`` raises is raised.
        """
        question = sa.and_(
            conversation.c.conversatie == conversatie,
            message.c.referentienummer == referentienummer,
            among(message.c.afzender, sorted(askers)),
            *told_of(conversation.c.id),
        )
        with self._journal.page() as page, self._database.writing() as connection:
            lock(connection, _question(conversation.c.id).where(question))
            row = connection.execute(
                _question(
                    delivery,
                    conversation.c.stand,
                    *(message.c[name] for name in _ABOUT),
                    message.c.recorded_at.label("accepted_at"),
                    _withheld_since().label("withheld_since"),
                ).where(question)
            ).first()
            if row is None:
                return None
            document = decide(_asked(connection, row, conversatie))
            told = document[STATEMENT]
            entry = happened(
                STATED,
                row,
                at,
                verklaring=told["stuurgegevens"]["referentienummer"],
                uitkomst=told["soort"],
                sha256=hashlib.sha256(canonical_form(document)).hexdigest(),
            )
            page.write(connection, [entry])
        return document


_ABOUT = ("referentienummer", "afzender", "module", "soort", "versie")


def _question(*columns: Any) -> sa.Select[Any]:
    return (
        sa.select(*columns)
        .join_from(message, delivery, delivery.c.message == message.c.id)
        .join(conversation, delivery.c.conversation == conversation.c.id)
    )


def _withheld_since() -> sa.ScalarSelect[datetime]:
    """Since when a postbus first hid the question, which nobody had collected by then."""
    return (
        sa.select(sa.func.min(restriction.c.since))
        .where(
            restriction.c.conversation == delivery.c.conversation,
            delivery.c.channel == POSTBUS,
            sa.or_(restriction.c.until.is_(None), restriction.c.until > delivery.c.offered_at),
            sa.or_(
                delivery.c.collected_at.is_(None), delivery.c.collected_at > restriction.c.since
            ),
        )
        .correlate(delivery)
        .scalar_subquery()
    )


def _asked(connection: sa.Connection, row: Any, conversatie: str) -> Asked:
    answers = connection.execute(
        sa.select(message.c.referentienummer, message.c.afzender, message.c.soort)
        .join_from(delivery, message, delivery.c.message == message.c.id)
        .where(
            delivery.c.conversation == row.conversation,
            message.c.cross == row.referentienummer,
            message.c.module != GATEWAY,
            message.c.afzender != row.afzender,
        )
        .order_by(message.c.id)
    )
    return Asked(
        stand=row.stand,
        conversatie=conversatie,
        bericht=About(row.referentienummer, row.soort, row.module, row.versie),
        recorded_at=row.accepted_at,
        state=State(row.state),
        term=row.term,
        available_at=row.offered_at,
        collected_at=row.collected_at,
        confirmed_at=row.confirmed_at,
        withheld_since=row.withheld_since,
        answers={
            each.referentienummer: Oin(each.afzender)
            for each in answers
            if each.soort not in NO_ANSWER
        },
    )
