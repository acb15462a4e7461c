"""How do creditors answer: in time, late, or never? Counted without content.

Pure: questions as the ledger found them, the calendar and an instant come in. What is shown to
anybody but the operator hides every figure under ``THRESHOLD``, so that it says nothing about
single people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.calendar import Calendar
from gateway.message import Json, Oin
from gateway.routing.lengths import ends_at, local_day
from gateway.routing.stand import Stand, Status
from gateway.routing.table import Table

THRESHOLD: Final = 10
"""A figure under this is hidden (process.md 9)."""

HIDDEN: Final = f"<{THRESHOLD}"

PERCENT_MEDIAN, PERCENT_P90 = 50, 90

OBJECTION = "AKKOORD_VOORLOPIG"
"""The state in which a creditor may object, and need not answer."""


class Outcome(StrEnum):
    """What came of a question; each question has exactly one."""

    OP_TIJD = "opTijd"
    TE_LAAT = "teLaat"
    NOOIT = "nooit"
    OPEN = "open"
    VERVALLEN = "vervallen"
    ZONDER_TERMIJN = "zonderTermijn"


ANSWERED = frozenset({Outcome.OP_TIJD, Outcome.TE_LAAT, Outcome.ZONDER_TERMIJN})


@dataclass(frozen=True, slots=True)
class Asking:
    """A kind of message that asks.

    Attributes:
        answers: The kinds that close it.
        by: Who asks it: ``shv``, ``se`` or ``*``.
    """

    answers: frozenset[str]
    by: str


class Answer(NamedTuple):
    """The first answer that was not taken back; ``late`` as its sender was told."""

    at: datetime
    late: bool


class Question(NamedTuple):
    """A question with what became of it, as the ledger holds it.

    Attributes:
        asker: Who sent it.
        by_helper: The helper asked it, so a creditor is to answer.
        asked: To whom it was delivered.
        stand: Where its conversation stands; None where that need not be looked at, since the
            rules remember the question as answered.
        available: When it lay where that party finds it; None while it does not.
        term: How long that party has; None without a term.
        tot_en_met: The last day of that, as that party was told.
        ended_at: When the conversation ended.
    """

    referentienummer: str
    conversatie: str
    soort: str
    asker: Oin
    asked: Oin
    asked_at: datetime
    by_helper: bool
    stand: Stand | None
    available: datetime | None = None
    term: str | None = None
    tot_en_met: date | None = None
    ended_at: datetime | None = None
    answer: Answer | None = None


class Key(NamedTuple):
    """Whose figures: a creditor, a kind of question, and the month (``2026-03``) or nothing."""

    creditor: Oin
    soort: str
    month: str = ""


@dataclass(slots=True)
class Group:
    """The figures of one key.

    Attributes:
        days: How many answers came after so many working days.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    days: Counter[int] = field(default_factory=Counter)

    @property
    def asked(self) -> int:
        """How many questions."""
        return self.outcomes.total()

    @property
    def answered(self) -> int:
        """How many of them have an answer of which the days are known."""
        return self.days.total()


def asking(table: Table) -> Mapping[str, Asking]:
    """Every kind that asks for an answer that closes it."""
    found = {}
    for soort, rows in table.rows.items():
        asks = [row for row in rows if row.vraag]
        answers = frozenset(
            kind
            for kind, answering in table.rows.items()
            if any(
                soort in (*row.antwoord_op, *row.beantwoordt) and not row.laat_open
                for row in answering
            )
        )
        if asks and answers:
            found[soort] = Asking(answers, asks[0].zegt)
    return found


def outcome_of(question: Question, now: datetime) -> Outcome | None:
    """What came of a question by now; None where it turned out to ask for nothing.

    That is so for a proposal after a consent in advance: nobody has to answer it.
    """
    stand = question.stand
    asked = None if stand is None else stand.vraag(question.referentienummer)
    # What the rules do not remember any more was closed long ago. One that is not answered
    # although there is an answer had that taken back by its sender.
    counts = asked is None or asked.status is Status.BEANTWOORD
    if counts and question.answer is not None:
        if question.term is None:
            return Outcome.ZONDER_TERMIJN
        return Outcome.TE_LAAT if question.answer.late else Outcome.OP_TIJD
    if asked is None:
        return None if question.term is None else Outcome.VERVALLEN
    return _unanswered(question, stand or Stand(), asked.status, now)


def _unanswered(question: Question, stand: Stand, status: Status, now: datetime) -> Outcome:
    if status is Status.NIET_AFGELEVERD and question.ended_at is None:
        return Outcome.OPEN
    stap = stand.stap(question.referentienummer)
    if status is not Status.OPEN or (stap is not None and stap.na == OBJECTION):
        return Outcome.VERVALLEN
    # with the delay that the asker granted, if any
    termijn = stand.termijn(question.referentienummer)
    last = question.tot_en_met if termijn is None else termijn.tot_en_met
    over = None if last is None else ends_at(last)
    if question.ended_at is not None and (over is None or question.ended_at < over):
        return Outcome.VERVALLEN
    return Outcome.NOOIT if over is not None and now >= over else Outcome.OPEN


def working_days(question: Question, calendar: Calendar) -> int | None:
    """After how many working days it was answered, counted as the term is.

    The day on which it became available does not count, the day of the answer does; a part of
    a day is a whole one, and what comes on a free day counts with the working day before.
    """
    if question.answer is None or question.available is None:
        return None
    return _between(local_day(question.available), local_day(question.answer.at), calendar)


@lru_cache(maxsize=4096)
def _between(available: date, answered: date, calendar: Calendar) -> int:
    return max(0, calendar.working_days_between(available, answered))


def grouped(
    questions: Iterable[Question],
    calendar: Calendar,
    now: datetime,
    *,
    by_month: bool = False,
) -> dict[Key, Group]:
    """The figures of every creditor and kind that is among these; a stream will do.

    What a creditor asked has no figures here.
    """
    found: dict[Key, Group] = {}
    for each in questions:
        if not each.by_helper:
            continue
        outcome = outcome_of(each, now)
        if outcome is None:
            continue
        month = f"{local_day(each.asked_at):%Y-%m}" if by_month else ""
        group = found.setdefault(Key(each.asked, each.soort, month), Group())
        group.outcomes[outcome] += 1
        if outcome in ANSWERED and (days := working_days(each, calendar)) is not None:
            group.days[days] += 1
    return found


def quantile(days: Mapping[int, int], percent: int) -> int | None:
    """The smallest number of days within which so many percent were answered.

    Always one that occurred; for 50 percent of an even number the lower of the two in the
    middle. None where nothing was answered.
    """
    rank = -(-sum(days.values()) * percent // 100)
    passed = 0
    for number in sorted(days):
        passed += days[number]
        if passed >= rank:
            return number
    return None


def shown(group: Group) -> Json:
    """The figures of a group as they may leave the operator.

    A group under ``THRESHOLD`` shows nothing. In a larger one a figure of 1 to 9 is hidden, and
    then the sum only says how much there is at least: else what is hidden could be subtracted.
    0 is shown, since there is nobody behind it.
    """
    if group.asked < THRESHOLD:
        hidden: Json = {outcome.value: HIDDEN for outcome in Outcome}
        return {"gevraagd": HIDDEN, **hidden, "mediaan": HIDDEN, "p90": HIDDEN}
    told: Json = {outcome.value: _figure(group.outcomes[outcome]) for outcome in Outcome}
    visible = sum(each for each in told.values() if each != HIDDEN)
    whole = visible == group.asked
    enough = group.answered >= THRESHOLD
    return {
        "gevraagd": group.asked if whole else f">={max(visible, THRESHOLD)}",
        **told,
        "mediaan": quantile(group.days, PERCENT_MEDIAN) if enough else HIDDEN,
        "p90": quantile(group.days, PERCENT_P90) if enough else HIDDEN,
    }


def _figure(count: int) -> int | str:
    return HIDDEN if 0 < count < THRESHOLD else count
