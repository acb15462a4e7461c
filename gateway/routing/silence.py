"""May the gateway state that nobody reacted to a question, and what does it state?

Pure: what was recorded and an instant come in; a VerklaringGeenReactie or a refusal comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from gateway.delivery import State
from gateway.errors import Code, Fault, Finding, Refusal
from gateway.message import Json, Oin
from gateway.replies import About, verklaring_geen_reactie
from gateway.routing import stand as stands
from gateway.routing.access import Access
from gateway.routing.lengths import Length, ends_at, tot_en_met
from gateway.routing.stand import Stand, Status, Termijn, Vraag
from gateway.routing.terms import TermBook

SILENCE, UNREACHED = "GEEN_REACTIE", "NIET_BEREIKBAAR"

SETTLED = timedelta(seconds=10)
"""So far back a statement looks: what another process records just now may carry an instant
from before we looked, and would belie it.
"""

PLACE = "/query/vraag"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what became of it, as the ledger holds it under its lock.

    Attributes:
        stand: Of its conversation, as the rules wrote it.
        term: How long its recipient has, as the rules write it; None without a term.
        withheld_since: Since when, first, the gateway hid it from its recipient, who had not
            collected it (GDPR art. 18); None where it never did.
        answers: Who recorded what in answer, by its number; also where it was taken back.
    """

    stand: str
    conversatie: str
    bericht: About
    recorded_at: datetime
    state: State
    term: str | None = None
    available_at: datetime | None = None
    collected_at: datetime | None = None
    confirmed_at: datetime | None = None
    withheld_since: datetime | None = None
    answers: Mapping[str, Oin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a statement, and which.

    Attributes:
        party: To whom it is made out.
        access: In whose name it may ask.
        own: Number of the statement, fresh.
        soort: The only kind that is wanted; None for the one that is true.
    """

    party: Oin
    access: Access
    gateway: Oin
    own: str
    soort: str | None = None


def stated(asked: Asked, request: Request, at: datetime, book: TermBook) -> Json:
    """The statement, canonical.

    Raises:
        Refusal: NIET_GEVONDEN (no such question, or it is not the asker's), VRAAG_VERVANGEN,
            VRAAG_AL_BEANTWOORD, GESPREK_BEEINDIGD, TERMIJN_LOOPT_NOG,
            NIET_BESCHIKBAAR_GEWEEST, or VERZOEK_ONGELDIG where there is no term.
        Fault: the conversation does not know yet that the question became available.
    """
    stand = stands.read(asked.stand)
    vraag = _open_question(asked, request, stand)
    termijn = stand.termijn(asked.bericht.referentienummer)
    if asked.term is None:
        raise Refusal(Code.VERZOEK_ONGELDIG, _no_term())
    there = _was_available(asked, termijn)
    until = at - SETTLED
    last = _last_day(asked, asked.term, termijn if there else None, book)
    hidden = asked.withheld_since is not None and asked.withheld_since < ends_at(last)
    silent = there and not hidden
    if until < ends_at(last):
        raise Refusal(Code.TERMIJN_LOOPT_NOG, _still_runs(last))
    _as_wanted(request.soort, silent=silent)
    gevraagde = stand.se if vraag.vrager == stand.shv else stand.shv
    if gevraagde is None:
        raise Refusal(Code.NIET_GEVONDEN)
    return verklaring_geen_reactie(
        own=request.own,
        cross=asked.bericht.referentienummer,
        conversatie=asked.conversatie,
        sender=request.gateway,
        to=request.party,
        at=at,
        bericht=asked.bericht,
        vrager=vraag.vrager,
        gevraagde=gevraagde,
        aangenomen_op=asked.recorded_at,
        beschikbaar_geweest=silent,
        beschikbaar_op=termijn.beschikbaar if silent and termijn else asked.available_at,
        opgehaald_op=asked.collected_at,
        bevestigd_op=asked.confirmed_at,
        herinneringen=() if termijn is None else termijn.herinnerd,
        termijn_tot_en_met=last,
        vastgesteld_op=until,
    )


def _open_question(asked: Asked, request: Request, stand: Stand) -> Vraag:
    """The question, where it is the asker's and nobody answered it."""
    vraag = stand.vraag(asked.bericht.referentienummer)
    if vraag is None or vraag.status is Status.INGETROKKEN:
        raise Refusal(Code.NIET_GEVONDEN)
    if not request.access.covers(vraag.vrager, asked.bericht.module):
        raise Refusal(Code.NIET_GEVONDEN)
    if vraag.status is Status.VERVANGEN:
        raise Refusal(Code.VRAAG_VERVANGEN, _replaced(vraag))
    answers = [number for number, by in asked.answers.items() if by != vraag.vrager]
    if vraag.status is Status.BEANTWOORD or answers:
        raise Refusal(Code.VRAAG_AL_BEANTWOORD, _answered(vraag, answers))
    if stand.ended:
        raise Refusal(Code.GESPREK_BEEINDIGD, _ended())
    return vraag


def _was_available(asked: Asked, termijn: Termijn | None) -> bool:
    """It lay ready from the day its term began until now."""
    there = asked.state in (State.AANGEBODEN, State.BEVESTIGD)
    if there and (termijn is None or termijn.beschikbaar is None):
        raise Fault("the conversation does not know yet that the question became available")
    return there


def _last_day(asked: Asked, term: str, termijn: Termijn | None, book: TermBook) -> date:
    """Of the term; of one that never began, as if it had when the question was recorded."""
    if termijn is not None and termijn.tot_en_met is not None:
        return termijn.tot_en_met
    return tot_en_met(Length.read(term), asked.recorded_at, book.calendar)


def _as_wanted(soort: str | None, *, silent: bool) -> None:
    if soort == SILENCE and not silent:
        raise Refusal(Code.NIET_BESCHIKBAAR_GEWEEST)
    if soort == UNREACHED and silent:
        raise Refusal(
            Code.VERZOEK_ONGELDIG,
            Finding(
                "WEL_BESCHIKBAAR",
                "/query/soort",
                nl=f"De vraag lag de hele termijn klaar. Vraag de verklaring {SILENCE}.",
                en=f"The question lay ready all the term. Ask for the statement {SILENCE}.",
            ),
        )


def _no_term() -> Finding:
    return Finding(
        "GEEN_TERMIJN",
        PLACE,
        nl="Op deze soort bericht staat geen termijn, dus er is geen moment waarop een reactie "
        "uitbleef. Vraag een verklaring over een vraag met een termijn.",
        en="This kind of message has no term, so there is no moment at which a reaction failed "
        "to come. Ask for a statement about a question with a term.",
    )


def _still_runs(last: date) -> Finding:
    return Finding(
        "TERMIJN",
        PLACE,
        nl=f"De termijn loopt tot en met {last}; vraag de verklaring daarna.",
        en=f"The term runs up to and including {last}; ask for the statement after that.",
    )


def _replaced(vraag: Vraag) -> Finding:
    if not vraag.door:
        return Finding(
            "VERVALLEN",
            PLACE,
            nl="De vraag wordt niet meer gesteld: er loopt geen termijn meer voor een antwoord.",
            en="The question is not asked any more: no term for an answer runs.",
        )
    return Finding(
        "VERVANGEN_DOOR",
        PLACE,
        nl=f"Vraag de verklaring over {vraag.door}, die hiervoor in de plaats kwam.",
        en=f"Ask for the statement about {vraag.door}, which came instead of this one.",
    )


def _answered(vraag: Vraag, answers: Sequence[str]) -> Finding:
    if vraag.status is Status.BEANTWOORD:
        by = vraag.door or next(iter(answers), "")
        return Finding(
            "BEANTWOORD_DOOR",
            PLACE,
            nl=f"Het antwoord is {by}; een verklaring dat het uitbleef is er niet.",
            en=f"The answer is {by}; there is no statement that it failed to come.",
        )
    return Finding(
        "ANTWOORD_INGETROKKEN",
        PLACE,
        nl=f"Er kwam een antwoord ({answers[0]}) dat is teruggenomen of de vraag openliet; dat er "
        "niets kwam zou onwaar zijn. Stel de vraag opnieuw.",
        en=f"An answer came ({answers[0]}) that was taken back or left the question open; that "
        "nothing came would be untrue. Put the question again.",
    )


def _ended() -> Finding:
    return Finding(
        "TERMIJNEN_VERVALLEN",
        PLACE,
        nl="Met het einde van het gesprek vervielen de termijnen; er is geen verklaring meer.",
        en="With the end of the conversation its terms lapsed; there is no statement any more.",
    )
