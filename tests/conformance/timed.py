"""Conversations on a ledger with a clock that a test moves, and what the gateway says in them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from fixtures.documents import document, kind
from fixtures.rules import courses
from fixtures.world import ALL_MODULES, GATEWAY, OVERIGE_SHV, PUBLIEKE_SE, SE, SHV
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.lending import lent, open_all
from gateway.adapters.ledger.tables import conversation, delivery, message
from gateway.dead_letter import Stranding
from gateway.delivery import DEFAULT_POLICY, Answer, Attempted, Reason, after
from gateway.errors import Refusal
from gateway.json import parse
from gateway.message import (
    Canonical,
    Channel,
    Dialect,
    Door,
    Json,
    Oin,
    Received,
    Signer,
    Submission,
    Verified,
    as_bytes,
)
from gateway.record import Admit
from gateway.routing import stand
from gateway.routing.admit import admit
from gateway.routing.course import Courses
from gateway.routing.directory import BsnRight, Directory, Party, Succession
from gateway.routing.rights import Rights
from gateway.routing.stand import Stand
from gateway.schemas.translate import header_of
from tests.conformance.delivering import dead, ids_of
from tests.conformance.submissions import a_uuid

MONDAY = datetime(2026, 3, 2, 11, tzinfo=UTC)
"""Noon in Amsterdam; the first holiday is Good Friday, 3 April."""

AT_ONCE = 50
SINCE = date(2020, 1, 1)
THREAD = "een"
ROLES = {
    SHV: "shv-fase-2",
    OVERIGE_SHV: "shv-fase-2",
    SE: "schuldeiser",
    PUBLIEKE_SE: "schuldeiser",
}
ESTIMATE: Json = {"voorstel": {"saldoBron": "SCHATTING"}}
NO: Json = {
    "besluit": "NIET_AKKOORD",
    "afwijzing": {"reden": "BEDRAG_TE_LAAG", "toelichting": "Te laag."},
    "betaalgegevens": None,
}


class Told(NamedTuple):
    """What the gateway told somebody.

    Attributes:
        over: Number of the message that it is about.
        how: The moment of a reminder, the code or the reason of a notice.
    """

    soort: str
    over: str
    to: Oin
    how: str = ""


def a_directory(
    channel: Channel = Channel.POSTBUS,
    *,
    convenant: str | None = None,
    successions: tuple[Succession, ...] = (),
) -> Directory:
    """Two helpers and two creditors; the creditors get their messages by this channel."""
    modules = frozenset(ALL_MODULES)
    parties = {
        oin: Party(
            oin,
            f"partij {oin[-4:]}",
            frozenset({rol}),
            modules,
            (),
            channel=channel if rol == "schuldeiser" else Channel.POSTBUS,
            convenant=convenant if rol == "schuldeiser" else None,
        )
        for oin, rol in ROLES.items()
    }
    rights = tuple(
        BsnRight(oin, None, module, "WGS", SINCE, partner=True)
        for oin in parties
        for module in ALL_MODULES
    )
    return Directory(1, parties, bsn_rights=rights, successions=successions)


@dataclass
class Timed:
    """A ledger, its rules and the instant that it is.

    Attributes:
        delivery_ids: Of what was accepted, by number.
    """

    ledger: SqlLedger
    directory: Directory = field(default_factory=a_directory)
    now: datetime = MONDAY
    delivery_ids: dict[str, str] = field(default_factory=dict)
    _drawn: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.rules: Courses = courses(lambda: self.directory, draw=self._draw)
        self._rights = Rights()

    def _draw(self) -> str:
        return a_uuid("getrokken", next(self._drawn))

    @property
    def station(self) -> Admit:
        """Station admit, as it is now."""
        return partial(
            admit,
            directory=self.directory,
            rights=self._rights,
            courses=self.rules,
            gateway=GATEWAY,
            skew=timedelta(seconds=60),
        )

    def written(
        self,
        soort: str,
        by: Oin = SHV,
        to: Oin = SE,
        *,
        thread: str = THREAD,
        cross: str | None = None,
        change: Json | None = None,
    ) -> Submission:
        """The example of a kind, from one to the other."""
        which = kind("schuldregeling", soort)
        made = document(
            which,
            reference=self._draw(),
            conversation=a_uuid("gesprek", thread),
            sender=by,
            recipient=to,
            at=self.now,
            cross=cross,
            change=change,
        )
        body = as_bytes(made)
        received = Received(Door.REST_JSON, Dialect.JSON, body, self.now)
        verified = Verified(received, Signer(by, "0" * 64, "PS256"), made)
        canonical = Canonical(verified, which, header_of(made), made)
        digest = hashlib.sha256(body).hexdigest()
        return Submission(canonical, digest, body, self._draw(), self._draw())

    def say(self, soort: str, by: Oin = SHV, to: Oin = SE, **how: Any) -> str:
        """Have it accepted; gives its number."""
        submission = self.written(soort, by, to, **how)
        (outcome,) = self.ledger.record([submission], self.station, self.now)
        assert not isinstance(outcome, Refusal), (outcome, outcome.findings)
        self.delivery_ids[outcome.referentienummer] = submission.delivery_id
        return outcome.referentienummer

    def refused(self, soort: str, by: Oin = SHV, to: Oin = SE, **how: Any) -> str:
        """The code with which it is refused."""
        submission = self.written(soort, by, to, **how)
        (outcome,) = self.ledger.record([submission], self.station, self.now)
        assert isinstance(outcome, Refusal)
        return outcome.code.value

    def attempt(self, answer: Answer, *, ends: datetime | None = None) -> list[str]:
        """Whatever is due for a queue or an endpoint goes there; gives the delivery ids.

        Args:
            ends: When its answer comes; at once by default.
        """
        taken = self.ledger.lease(
            now=self.now,
            until=self.now + timedelta(hours=1),
            limit=AT_ONCE,
            channels=frozenset({Channel.PUSH, Channel.QUEUE}),
        )
        done = []
        for each in taken:
            stamped = self.rules.stamped(each, self.now)
            told = after(
                stamped,
                Attempted(answer),
                policy=DEFAULT_POLICY,
                started_at=self.now,
                ended_at=ends or self.now,
                jitter=0.0,
                tot_en_met=stamped.tot_en_met,
            )
            done.append(told)
        self.ledger.conclude(done)
        return [each.id for each in taken]

    def strand(self, number: str, to: Oin = SE) -> None:
        """The recipient says that it cannot read this message."""
        told = Stranding(
            self.delivery_ids[number], Reason.GEWEIGERD, "SCHEMA_ONGELDIG", self.now, ontvanger=to
        )
        self.ledger.strand([told])

    def collect(self, number: str, to: Oin = SE, *, confirm: bool = False) -> None:
        """The recipient takes this from its postbus."""
        own = [self.delivery_ids[number]]
        self.ledger.collect(to, own, self.now)
        if confirm:
            self.ledger.confirm(to, own, self.now)

    def work(self, ledger: SqlLedger | None = None) -> None:
        """The clock looks once, as a process would."""
        mine = ledger or self.ledger
        for step in (mine.follow, mine.due_terms, mine.notices):
            while step(self.rules, self.now, AT_ONCE) == AT_ONCE:
                pass

    def until(self, instant: datetime) -> None:
        """Time passes, and the clock looks at every moment at which something is due."""
        self.work()
        while (due := self.ledger.next_term()) is not None and self.now < due <= instant:
            self.now = due
            self.work()
        self.now = instant
        self.work()

    # --- what there is to see ---------------------------------------------------------------

    def told(self, *, thread: str | None = None) -> list[Told]:
        """What the gateway said, in order."""
        mine = message.c.afzender == GATEWAY
        if thread is not None:
            mine = sa.and_(mine, message.c.conversatie == a_uuid("gesprek", thread))
        with self.ledger._database.reading() as connection:
            rows = connection.execute(lent().where(mine).order_by(message.c.id)).all()
            found, _ = open_all(connection, rows, self.ledger._keyring.vault)
        return [_told(parse(each.canonical), each.kind.name, each.ontvanger) for _, each in found]

    def stand(self, thread: str = THREAD) -> Stand:
        """Where the conversation between two parties stands."""
        query = sa.select(conversation.c.stand).where(
            conversation.c.conversatie == a_uuid("gesprek", thread),
            conversation.c.stand.is_not(None),
        )
        with self.ledger._database.reading() as connection:
            return stand.read(connection.scalar(query))

    def row(self, number: str) -> Any:
        """The delivery of a message, as it lies in the ledger."""
        query = sa.select(delivery).where(delivery.c.delivery_id == self.delivery_ids[number])
        with self.ledger._database.reading() as connection:
            return connection.execute(query).one()

    def letters(self) -> list[int]:
        """Dead letters with which something can be done."""
        return ids_of(dead(self.ledger))


def _told(document_: Json, soort: str, to: Oin) -> Told:
    ((_, body),) = document_.items()
    how = body.get("moment") or body.get("code") or body.get("reden") or ""
    return Told(soort, body["stuurgegevens"].get("crossReferentienummer", ""), to, how)


def merged(directory: Directory, old: Oin, new: Oin, on: date) -> Directory:
    """This directory, with a merger in it."""
    return replace(directory, successions=(*directory.successions, Succession(old, new, on)))
