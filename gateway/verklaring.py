"""What does a VerklaringGeenReactie state, and was it overtaken by an answer that came later?

Pure: documents and accepted messages come in, sentences and judgements go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.audit import Flaw, Sort
from gateway.delivery import AMSTERDAM
from gateway.message import Json

STATEMENT = "verklaringGeenReactie"

NOT_STATED = (
    "dat er buiten deze gateway om niet is gereageerd, zoals per brief, e-mail of telefoon",
    "dat er na dat moment geen reactie meer kwam",
    "dat de gevraagde ergens mee instemt: stilte is geen instemming",
)
"""What is easily read into a statement and is not in it; each follows on "niet bewezen is"."""

_DAYS = ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag")
_MONTHS = (
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
)

NO_ANSWER = frozenset({"Navraag", "Intrekking", "IntrekkingBevestiging"})
"""May refer to a question and leaves it open."""
_REFUSALS = {"GeenMedewerking": frozenset({"Kennisgeving", "KennisgevingPubliek", "Saldoverzoek"})}


def written_day(day: date) -> str:
    """A date as people write it: ``woensdag 15 april 2026``."""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"


def written(moment: datetime) -> str:
    """An instant in Dutch time, to the minute that had begun."""
    local = moment.astimezone(AMSTERDAM)
    return f"{written_day(local.date())} om {local:%H.%M} uur{_which_hour(local)}"


def _which_hour(local: datetime) -> str:
    """Summer or winter time, where the clock shows that hour twice."""
    if local.replace(fold=1).utcoffset() == local.replace(fold=0).utcoffset():
        return ""
    return " (zomertijd)" if local.dst() != timedelta(0) else " (wintertijd)"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: which question, between whom, and up to when.

    Attributes:
        own: Referentienummer of the statement.
        question: Referentienummer of the question.
        available: It was there during the whole term (GEEN_REACTIE).
        until: Up to here no reaction came.
    """

    own: str
    conversatie: str
    question: str
    soort: str
    vrager: str
    gevraagde: str
    available: bool
    last_day: date
    until: datetime


def statement_of(document: Json) -> Statement:
    """The statement in a canonical document.

    Raises:
        KeyError, TypeError, ValueError: it holds none.
    """
    told = document[STATEMENT]
    header, about = told["stuurgegevens"], told["bericht"]
    return Statement(
        own=str(header["referentienummer"]),
        conversatie=str(header["conversatieReferentienummer"]),
        question=str(about["referentienummer"]),
        soort=str(about["soort"]),
        vrager=str(told["vrager"]),
        gevraagde=str(told["gevraagde"]),
        available=told["soort"] == "GEEN_REACTIE",
        last_day=date.fromisoformat(told["termijnTotEnMet"]),
        until=datetime.fromisoformat(told["vastgesteldOp"]),
    )


def what_it_states(told: Statement) -> str:
    """The statement as one Dutch sentence."""
    kind, on = ("GEEN_REACTIE", "op") if told.available else ("NIET_BEREIKBAAR", "over")
    lay = "de hele termijn" if told.available else "niet de hele termijn"
    return (
        f"de gateway verklaart {kind} {on} {told.soort} {told.question} van {told.vrager} aan "
        f"{told.gevraagde}: de vraag lag {lay} (tot en met {written_day(told.last_day)}) klaar; "
        f"tot {written(told.until)} kwam via deze gateway geen reactie"
    )


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that the gateway accepted, as far as a file or the ledger shows it.

    Attributes:
        op: When it was recorded.
        cross: Which message it answers; None where what is at hand does not say.
    """

    referentienummer: str
    conversatie: str
    afzender: str
    ontvanger: str
    soort: str
    op: datetime
    cross: str | None = None


@dataclass(frozen=True, slots=True)
class Overtaken:
    """An answer that came after a statement said that there was none.

    Attributes:
        certain: The answer itself names the question; else kind, parties and conversation fit.
    """

    statement: Statement
    answer: Accepted
    certain: bool

    def __str__(self) -> str:
        told, answer = self.statement, self.answer
        doubt = (
            "" if self.certain else " Geef ook het antwoord zelf (--origineel): dan is het zeker."
        )
        return (
            f"op {written(answer.op)} is alsnog een {answer.soort} ({answer.referentienummer}) "
            f"aangenomen op vraag {told.question}. De verklaring klopte tot {written(told.until)}; "
            f"gebruik haar niet meer zonder dat antwoord erbij.{doubt}"
        )

    def as_json(self) -> Json:
        """For scripts."""
        return {
            "verklaring": self.statement.own,
            "vraag": self.statement.question,
            "antwoord": self.answer.referentienummer,
            "soort": self.answer.soort,
            "op": self.answer.op.isoformat(),
            "zeker": self.certain,
            "uitleg": str(self),
        }


def held_against(
    statements: Iterable[Statement], accepted: Iterable[Accepted]
) -> Iterator[Overtaken | Flaw]:
    """Answers that came later overtake a statement; one that was there already belies it."""
    known = list(dict.fromkeys(accepted))
    for told in dict.fromkeys(statements):
        for answer in known:
            if not _answers(answer, told):
                continue
            if answer.op > told.until:
                yield Overtaken(told, answer, certain=answer.cross is not None)
            elif answer.cross is not None:
                yield Flaw(Sort.BELIED, f"verklaring {told.own}, {answer.referentienummer}")


def _answers(answer: Accepted, told: Statement) -> bool:
    if (answer.conversatie, answer.ontvanger) != (told.conversatie, told.vrager):
        return False
    if answer.cross is not None:
        # by whom is not asked: a party may have been succeeded
        return answer.cross == told.question and answer.soort not in NO_ANSWER
    return answer.afzender == told.gevraagde and _may_answer(answer.soort, told.soort)


def _may_answer(answer: str, question: str) -> bool:
    """Whether a kind is made to answer another; asked only where no number says so."""
    if answer in _REFUSALS:
        return question in _REFUSALS[answer]
    return answer.startswith(f"{question}Antwoord")
