"""What becomes of a message afterwards, and of its conversation with it.

Pure: it becomes available, does not arrive, is taken back or given up; or a party merges into
another.
"""

from __future__ import annotations

from datetime import date, datetime

from gateway.calendar import Calendar
from gateway.message import Oin
from gateway.routing.conversation import settled
from gateway.routing.stand import Stand, Stap, Status
from gateway.routing.terms import Length, tot_en_met


def available(
    stand: Stand,
    referentienummer: str,
    at: datetime,
    calendar: Calendar,
    told: date | None = None,
) -> Stand:
    """A message lies where its recipient finds it: its term begins, once.

    One that had not been delivered is open again, and its term starts afresh.

    Args:
        told: The last day, where its recipient was told one.
    """
    stap = stand.stap(referentienummer)
    if stap is not None and stap.niet_afgeleverd:
        stand = stand.with_stap(stap._replace(niet_afgeleverd=False))
    vraag = stand.vraag(referentienummer)
    if vraag is not None and vraag.status is Status.NIET_AFGELEVERD:
        stand = stand.with_vraag(vraag._replace(status=Status.OPEN))
    termijn = stand.termijn(referentienummer)
    if termijn is None or termijn.beschikbaar is not None:
        return stand
    last = told or tot_en_met(Length.read(termijn.lengte), at, calendar)
    return stand.with_termijn(termijn._replace(beschikbaar=at, tot_en_met=last, stap=0))


def not_delivered(stand: Stand, referentienummer: str) -> Stand:
    """A message became a dead letter: its step is marked and its term stands still."""
    stap, vraag = stand.stap(referentienummer), stand.vraag(referentienummer)
    termijn = stand.termijn(referentienummer)
    if stap is not None:
        stand = stand.with_stap(stap._replace(niet_afgeleverd=True))
    if vraag is not None and vraag.status is Status.OPEN:
        stand = stand.with_vraag(vraag._replace(status=Status.NIET_AFGELEVERD))
    if termijn is not None:
        stopped = termijn._replace(beschikbaar=None, tot_en_met=None, stap=0)
        stand = stand.with_termijn(stopped)
    return stand


def undone(stand: Stand, referentienummer: str) -> Stand:
    """A message was taken back, or given up: what it changed is as before, where nothing
    else was built on it; a question that it answered is open again with its old date, and a
    conversation that it ended goes on.
    """
    vraag, stap = stand.vraag(referentienummer), stand.stap(referentienummer)
    if vraag is not None:
        stand = stand.with_vraag(vraag._replace(status=Status.INGETROKKEN))
    stand = stand.without_termijn(referentienummer)
    if stap is None:
        return stand
    stand, later = _without_stap(stand, stap)
    stand = stand._replace(merken=stand.merken - set(stap.merkte))
    heir = None if vraag is None else stand.stap(vraag.door or "")
    if heir is not None and referentienummer in heir.verving:
        # What it replaced is replaced by what replaced it.
        stand = stand.with_stap(heir._replace(verving=(*heir.verving, *stap.verving)))
        stand = _given_over(stand, stap, heir.referentienummer)
    elif not later if vraag is None else vraag.status in _WAITING:
        stand = _given_over(stand, stap, None)
    if stap.antwoord_op is not None:
        stand = _unanswered(stand, stap.antwoord_op, referentienummer)
    return settled(stand)


_WAITING = (Status.OPEN, Status.NIET_AFGELEVERD)


def _without_stap(stand: Stand, stap: Stap) -> tuple[Stand, bool]:
    """Without a step, in the state before it; or, if a later one set the state, with that as if
    it came in its place.

    Returns:
        Also whether there was such a later one.
    """
    place = stand.stappen.index(stap)
    before, later = stand.stappen[:place], list(stand.stappen[place + 1 :])
    mover = next((at for at, each in enumerate(later) if each.beweegt), None)
    if stap.beweegt and mover is not None:
        later[mover] = later[mover]._replace(voor=stap.voor)
    elif stap.beweegt:
        stand = stand._replace(staat=stap.voor, reden=None)
    return stand._replace(stappen=(*before, *later)), mover is not None


def _given_over(stand: Stand, stap: Stap, heir: str | None) -> Stand:
    """What a step replaced is replaced by another, or waits for an answer again."""
    for number in stap.verving:
        earlier = stand.vraag(number)
        if earlier is None or earlier.status is not Status.VERVANGEN:
            continue
        if earlier.door == stap.referentienummer:
            status = Status.VERVANGEN if heir else _open_status(stand, number)
            stand = stand.with_vraag(earlier._replace(status=status, door=heir))
    return stand


def _unanswered(stand: Stand, number: str, answer: str) -> Stand:
    """A question is open again with its old date, unless an earlier answer to it still stands."""
    vraag = stand.vraag(number)
    if vraag is None or vraag.status is not Status.BEANTWOORD or vraag.door != answer:
        return stand
    others = [each.referentienummer for each in stand.stappen if each.antwoord_op == number]
    if others:
        return stand.with_vraag(vraag._replace(door=others[-1]))
    return stand.with_vraag(vraag._replace(status=_open_status(stand, number), door=None))


def _open_status(stand: Stand, number: str) -> Status:
    stap = stand.stap(number)
    dead = stap is not None and stap.niet_afgeleverd
    return Status.NIET_AFGELEVERD if dead else Status.OPEN


def inherited(stand: Stand, old: Oin, new: Oin) -> Stand:
    """A party merged into another: the conversation goes on, terms unchanged."""

    def now(party: Oin | None) -> Oin | None:
        return new if party == old else party

    return stand._replace(
        shv=now(stand.shv),
        se=now(stand.se),
        vragen=tuple(e._replace(vrager=now(e.vrager) or e.vrager) for e in stand.vragen),
        termijnen=tuple(e._replace(aan_zet=now(e.aan_zet) or e.aan_zet) for e in stand.termijnen),
        stappen=tuple(e._replace(afzender=now(e.afzender) or e.afzender) for e in stand.stappen),
    )
