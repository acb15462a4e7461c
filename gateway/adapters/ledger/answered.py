"""Which messages refer to a question? For whoever holds a statement that there was no answer."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.tables import conversation, delivery, message
from gateway.verklaring import Accepted, Statement

GATEWAY = "gateway"  # the module of what the gateway itself says


class Answered:
    """The part of the ledger that finds answers."""

    _database: Database

    def answers_to(self, told: Statement) -> list[Accepted]:
        """What was recorded for the asker that refers to the question, oldest first."""
        m, found = message, delivery.c.conversation == conversation.c.id
        query = (
            sa.select(m.c.referentienummer, m.c.afzender, m.c.ontvanger, m.c.soort, m.c.recorded_at)
            .distinct()
            .select_from(conversation.join(delivery, found).join(m, m.c.id == delivery.c.message))
            .where(
                conversation.c.conversatie == told.conversatie,
                delivery.c.ontvanger == told.vrager,
                m.c.ontvanger == told.vrager,
                m.c.cross == told.question,
                m.c.module != GATEWAY,
            )
            .order_by(m.c.recorded_at)
        )
        with self._database.reading() as connection:
            return [
                Accepted(
                    referentienummer=row.referentienummer,
                    conversatie=told.conversatie,
                    afzender=row.afzender,
                    ontvanger=row.ontvanger,
                    soort=row.soort,
                    op=row.recorded_at,
                    cross=told.question,
                )
                for row in connection.execute(query)
            ]
