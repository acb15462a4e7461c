"""Which conversations are about a person?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.adapters.blind_index import Mark
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.tables import conversation, person
from gateway.message import Oin


@dataclass(frozen=True, slots=True)
class AboutPerson:
    """A conversation in which somebody's burgerservicenummer was sent.

    Attributes:
        number: Of the conversation in the ledger.
        parties: Between whom it is.
    """

    number: int
    conversatie: str
    parties: tuple[Oin, Oin]


class Persons:
    """The part of the ledger that finds people by keyed hash."""

    _database: Database

    def find_person(self, marks: Sequence[Mark]) -> list[AboutPerson]:
        """The conversations about whoever is marked like this, oldest first.

        Args:
            marks: ``BlindIndex.marks`` of one number: under every key there is.
        """
        if not marks:
            return []
        wanted = sa.or_(
            *(
                sa.and_(person.c.version == each.version, person.c.mark == each.value)
                for each in marks
            )
        )
        query = (
            sa.select(conversation)
            .where(conversation.c.id.in_(sa.select(person.c.conversation).where(wanted)))
            .order_by(conversation.c.id)
        )
        with self._database.reading() as connection:
            return [
                AboutPerson(row.id, row.conversatie, (Oin(row.party_a), Oin(row.party_b)))
                for row in connection.execute(query)
            ]
