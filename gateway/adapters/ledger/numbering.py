"""The conversations of a batch: locked, with what the rules remember and the volgnummers.

Those that exist are locked first, all at once and in the one order of everybody
(``order.lock``); new ones are made last. Who finds that another made one meanwhile begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import these
from gateway.adapters.ledger.order import Line, held_up
from gateway.adapters.ledger.question import Question
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import conversation
from gateway.adapters.vault import Vault
from gateway.message import Course, Oin, Submission


class Overtaken(Exception):
    """Another process recorded something of ours after we looked."""


class Pair(NamedTuple):
    """A conversation: its id and its two parties, sorted."""

    conversatie: str
    party_a: Oin
    party_b: Oin


def pair_of(submission: Submission) -> Pair:
    """The conversation to which a message belongs."""
    header = submission.message.header
    return pair_between(header.conversatie, header.afzender, header.ontvanger)


def pair_between(conversatie: str, one: Oin, other: Oin) -> Pair:
    """The conversation of this id between two parties."""
    low, high = sorted((one, other))
    return Pair(conversatie, low, high)


def about_kern(pair: Pair) -> bytes:
    """What the sealed part of a conversation is bound to."""
    return "/".join(("gesprek", *pair)).encode()


@dataclass
class Numbering:
    """A conversation that this batch may add to.

    Attributes:
        id: None until it is made.
        last: Volgnummer last given out, by recipient.
        held: For whom a new delivery must wait; True where also one for a postbus must.
        restricted: It is only stored: nothing of it is handed out.
    """

    pair: Pair
    id: int | None = None
    last: dict[Oin, int] = field(default_factory=dict)
    stand: str | None = None
    sealed: bytes | None = None
    held: dict[Oin, bool] = field(default_factory=dict)
    restricted: bool = False
    next_term: datetime | None = None
    ended_at: datetime | None = None
    changed: bool = False
    _opened: bytes | None = None
    _unsealed: bool = False

    def next(self, ontvanger: Oin) -> int:
        """The next volgnummer for this recipient."""
        self.last[ontvanger] = self.last.get(ontvanger, 0) + 1
        self.changed = True
        return self.last[ontvanger]

    def follow(self, course: Course, at: datetime) -> None:
        """What the rules made of it; later ones go on from here."""
        self.changed, self.stand, self.next_term = True, course.stand, course.next_term
        self.ended_at = (self.ended_at or at) if course.ended else None
        if course.kern is not None:
            self._opened, self._unsealed = course.kern, True

    def kern(self, vault: Vault) -> bytes | None:
        """The sealed part, opened; None where there is none."""
        if self._opened is None and self.sealed is not None:
            self._opened = vault.open_alone(about_kern(self.pair), self.sealed)
        return self._opened

    def row(self, vault: Vault) -> dict[str, Any]:
        """Everything of it that can change, as the ledger keeps it."""
        if self._unsealed and self._opened is not None:
            self.sealed = vault.seal_alone(about_kern(self.pair), self._opened)
        return {
            "last_to_a": self.last.get(self.pair.party_a, 0),
            "last_to_b": self.last.get(self.pair.party_b, 0),
            "stand": self.stand,
            "next_term": self.next_term,
            "ended_at": self.ended_at,
            "kern": self.sealed,
        }


_HELD = Question(
    sa.select(conversation, is_restricted(conversation.c.id).label("restricted"))
    .where(these(conversation.c.conversatie))
    .order_by(conversation.c.conversatie, conversation.c.party_a, conversation.c.party_b)
    .with_for_update(),
    "TEXT",
)


class Conversations:
    """The conversations of one transaction, by pair."""

    def __init__(self, connection: sa.Connection, keyring: Keyring) -> None:
        self.connection = connection
        self.keyring = keyring
        self._found: dict[Pair, Numbering] = {}

    def __getitem__(self, pair: Pair) -> Numbering:
        return self._found.setdefault(pair, Numbering(pair))

    def hold(self, pairs: Iterable[Pair], to: Collection[tuple[Pair, Oin]] = ()) -> None:
        """Lock these as far as they exist, and read what is known of them.

        Args:
            to: Where messages are added that wait for their turn; what the gateway itself
                says does not.
        """
        wanted = set(pairs)
        if not wanted:
            return
        rows = _HELD.ask(self.connection, {pair.conversatie for pair in wanted})
        mine = {row.id: row for row in rows if _pair(row) in wanted}
        # To whom nothing was sent yet, nobody waits for anything.
        lines = {(pair.conversatie, oin) for pair, oin in to}
        begun = [
            row.id
            for row in mine.values()
            if (row.last_to_a and (row.conversatie, row.party_a) in lines)
            or (row.last_to_b and (row.conversatie, row.party_b) in lines)
        ]
        held = _by_conversation(held_up(self.connection, begun))
        for row in mine.values():
            pair = _pair(row)
            parties = {pair.party_b: row.last_to_b, pair.party_a: row.last_to_a}
            self._found[pair] = Numbering(
                pair,
                id=row.id,
                last=parties,
                stand=row.stand,
                sealed=row.kern,
                held=held.get(row.id, {}),
                restricted=row.restricted,
                next_term=row.next_term,
                ended_at=row.ended_at,
            )

    def look_again(self, numbers: Collection[int]) -> None:
        """Read anew for whom must be waited in these: something has left the way."""
        held = _by_conversation(held_up(self.connection, numbers))
        for mine in self._found.values():
            if mine.id is not None and mine.id in numbers:
                mine.held = held.get(mine.id, {})

    def opening(self, pair: Pair) -> Callable[[], bytes | None]:
        """Opens the sealed part of a conversation when somebody asks."""
        return partial(self[pair].kern, self.keyring.vault)

    def keep(self) -> None:
        """Write what changed; every conversation that was added to has a number afterwards.

        Raises:
            Overtaken: another process made one of the new ones; the transaction must be given
                up.
        """
        changed = [each for _, each in sorted(self._found.items()) if each.changed]
        new = [each for each in changed if each.id is None]
        old = [each for each in changed if each.id is not None]
        made = bulk.insert(
            self.connection,
            conversation,
            [{**each.pair._asdict(), **each.row(self.keyring.vault)} for each in new],
            keep_first=True,
            returning=(
                conversation.c.id,
                conversation.c.conversatie,
                conversation.c.party_a,
                conversation.c.party_b,
            ),
        )
        if len(made) != len(new):
            raise Overtaken
        for row in made:
            self._found[_pair(row)].id = row.id
        bulk.update(
            self.connection,
            conversation,
            [{"id": each.id, **each.row(self.keyring.vault)} for each in old],
        )


def _by_conversation(held: Mapping[Line, bool]) -> dict[int, dict[Oin, bool]]:
    found: dict[int, dict[Oin, bool]] = {}
    for (number, oin), waits in held.items():
        found.setdefault(number, {})[Oin(oin)] = waits
    return found


def _pair(row: Any) -> Pair:
    return Pair(row.conversatie, Oin(row.party_a), Oin(row.party_b))
