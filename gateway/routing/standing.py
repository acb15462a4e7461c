"""Where does a conversation stand, for whoever asks?

Pure: what the ledger holds, the access of who asks and an instant come in; a document without
any content comes out. The creditor's side is not told what only the helper's side may know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from gateway.delivery import Reason, State
from gateway.message import Json, Oin
from gateway.replies import instant
from gateway.routing import stand as stands
from gateway.routing.access import Access
from gateway.routing.conversation import running
from gateway.routing.directory import Directory, Party, successor
from gateway.routing.lengths import ends_at, local_day
from gateway.routing.stand import Soort, Stand, Status, Termijn, Vraag
from gateway.routing.table import Table

SHOWN_REASONS = frozenset({"VOLTOOID", "VOORTIJDIG", "WSNP", "OVERLEDEN", "OVERGENOMEN"})
"""Why it ended, as far as creditors are told (process.md 3)."""

PROPOSAL = "Betaalvoorstel"


@dataclass(frozen=True, slots=True)
class Bericht:
    """One message of a conversation and what became of it; no content.

    Attributes:
        available_at: Since when it lies where its recipient finds it.
        late: It answered after the term.
    """

    referentienummer: str
    module: str
    soort: str
    versie: str
    afzender: Oin
    ontvanger: Oin
    received_at: datetime
    state: State
    cross: str | None = None
    namens: Oin | None = None
    available_at: datetime | None = None
    collected_at: datetime | None = None
    confirmed_at: datetime | None = None
    reason: Reason | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Gesprek:
    """A conversation between two parties, as the ledger holds it.

    Attributes:
        stand: As the rules wrote it (``stand.as_text``).
        place: Number of its newest message: the order of a list, newest first.
        changed_at: When that was recorded.
        modules: Of its messages, by referentienummer.
        count: How many messages it has.
        berichten: Oldest first; none in a list.
    """

    conversatie: str
    party_a: Oin
    party_b: Oin
    stand: str
    place: int
    changed_at: datetime
    modules: Mapping[str, str]
    count: int = 0
    berichten: tuple[Bericht, ...] = ()

    @property
    def pair(self) -> frozenset[Oin]:
        """Between whom it is."""
        return frozenset({self.party_a, self.party_b})


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as one party sees it.

    Attributes:
        numbers: The messages of which it may know; None for all.
        helper: It may see what is of the helper's side only.
    """

    gesprek: Gesprek
    stand: Stand
    access: Access
    numbers: frozenset[str] | None
    helper: bool

    def knows(self, referentienummer: str | None) -> bool:
        """Whether it may know of this message."""
        return self.numbers is None or referentienummer in self.numbers


def view_of(gesprek: Gesprek, access: Access) -> View | None:
    """What this access shows of a conversation; None where it shows nothing.

    By mandate only what was said in its modules is seen.
    """
    stand = stands.read(gesprek.stand)
    if access.own & gesprek.pair:
        return View(gesprek, stand, access, None, helper=stand.shv in access.own)
    modules = frozenset[str]().union(*(access.mandates.get(p, ()) for p in gesprek.pair))
    numbers = frozenset(n for n, module in gesprek.modules.items() if module in modules)
    if not numbers:
        return None
    return View(gesprek, stand, access, numbers, helper=stand.shv in access.mandates)


@dataclass(frozen=True, slots=True)
class Verwacht:
    """Something that somebody is to do, or may still do.

    Attributes:
        van: Who.
        wat: An answer or a proposal; an objection is allowed, and nobody waits for it.
        op: The message that started it.
        met: The kinds of message that would do.
        tot_en_met: The last day; None without a term, or while it has not begun.
    """

    van: Oin
    wat: Soort
    op: str
    soort: str
    met: tuple[str, ...]
    tot_en_met: date | None = None


def expected(view: View, table: Table) -> Iterator[Verwacht]:
    """What is expected of whom now, as far as this view shows it."""
    stand = view.stand
    for vraag in stand.open_vragen():
        met = tuple(_answers_to(vraag.soort, stand.staat, table))
        if not met or not view.knows(vraag.referentienummer):
            continue
        termijn = stand.termijn(vraag.referentienummer)
        wat = Soort.ANTWOORD if termijn is None else termijn.soort
        last = None if termijn is None else termijn.tot_en_met
        van = _other(stand, vraag.vrager)
        if van is not None:
            yield Verwacht(van, wat, vraag.referentienummer, vraag.soort, met, last)
    for termijn in running(stand):
        if termijn.soort is Soort.VOORSTEL and _shows(view, termijn):
            yield Verwacht(
                termijn.aan_zet,
                Soort.VOORSTEL,
                termijn.referentienummer,
                termijn.berichtsoort,
                (PROPOSAL,),
                termijn.tot_en_met,
            )


def is_turn(view: View, table: Table) -> bool:
    """Something is expected of who sees this."""
    return any(
        each.van in view.access.parties and each.wat is not Soort.BEZWAAR
        for each in expected(view, table)
    )


def summary(view: View, table: Table, now: datetime) -> Json:
    """A conversation as a list shows it."""
    stand, gesprek = view.stand, view.gesprek
    told: Json = {
        "conversatieReferentienummer": gesprek.conversatie,
        "shv": stand.shv,
        "se": stand.se,
        "staat": {"code": stand.staat, "tekst": table.staten[stand.staat]},
        "gewijzigdOp": instant(gesprek.changed_at),
        "verwacht": [_expected(each, stand, now) for each in expected(view, table)],
    }
    if stand.reden is not None and (view.helper or stand.reden in SHOWN_REASONS):
        told["reden"] = stand.reden
    return told


def whole(view: View, table: Table, now: datetime, directory: Directory) -> Json:
    """Everything of a conversation that may be seen: no content."""
    stand = view.stand
    told = summary(view, table, now)
    told["merken"] = sorted(stand.merken)
    told["vragen"] = [_question(each) for each in stand.vragen if view.knows(each.referentienummer)]
    told["termijnen"] = [_term(each, now) for each in running(stand) if _shows(view, each)]
    if view.helper:
        told["vervolggesprekken"] = [_linked(each, directory, now) for each in stand.vervolg]
    told["aantalBerichten"] = view.gesprek.count
    told["berichten"] = [_message(each, stand) for each in _messages(view)]
    return told


def _answers_to(soort: str, staat: str, table: Table) -> Iterator[str]:
    """The kinds that close a question of this kind in this state."""
    for kind, rows in table.rows.items():
        if any(
            soort in (*row.antwoord_op, *row.beantwoordt)
            and not row.laat_open
            and row.weigert is None
            and row.holds(staat)
            for row in rows
        ):
            yield kind


def _other(stand: Stand, party: Oin) -> Oin | None:
    return stand.se if party == stand.shv else stand.shv


def _shows(view: View, termijn: Termijn) -> bool:
    """By when the helper should propose is its own affair (process.md 4)."""
    mine = view.helper or termijn.soort is not Soort.VOORSTEL
    return mine and view.knows(termijn.referentienummer)


def _expected(each: Verwacht, stand: Stand, now: datetime) -> Json:
    told: Json = {
        "van": each.van,
        "kant": stand.side(each.van),
        "wat": each.wat.upper(),
        "op": {"referentienummer": each.op, "soort": each.soort},
        "met": list(each.met),
    }
    return told | _until(each.tot_en_met, now)


def _until(last: date | None, now: datetime) -> Json:
    if last is None:
        return {}
    return {"totEnMet": last.isoformat(), "verstreken": now >= ends_at(last)}


def _question(vraag: Vraag) -> Json:
    told: Json = {
        "referentienummer": vraag.referentienummer,
        "soort": vraag.soort,
        "vrager": vraag.vrager,
        "status": vraag.status,
    }
    if vraag.door and vraag.status in (Status.BEANTWOORD, Status.VERVANGEN):
        told["door"] = vraag.door
    return told


def _term(termijn: Termijn, now: datetime) -> Json:
    told: Json = {
        "soort": termijn.soort.upper(),
        "referentienummer": termijn.referentienummer,
        "berichtsoort": termijn.berichtsoort,
        "aanZet": termijn.aan_zet,
        "lengte": termijn.lengte,
    }
    if termijn.beschikbaar is not None:
        told["beschikbaarOp"] = instant(termijn.beschikbaar)
    if termijn.herinnerd:
        told["herinnerdOp"] = [instant(each) for each in termijn.herinnerd]
    return told | _until(termijn.tot_en_met, now)


def _linked(each: Json, directory: Directory, now: datetime) -> Json:
    """A conversation that the helper may open with who took a claim over."""
    found = list(_parties_of(each, directory, now))
    told = {name: value for name, value in each.items() if name != "oin"}
    if len(found) != 1:  # unknown here, or a choice that is the helper's
        return told | {"aangesloten": bool(found)}
    party = found[0]
    return told | {
        "aangesloten": True,
        "oin": party.oin,
        "naam": party.naam,
        "modules": sorted(party.modules),
    }


def _parties_of(each: Json, directory: Directory, now: datetime) -> Iterator[Party]:
    if "oin" in each:
        party = directory.parties.get(successor(each["oin"], local_day(now), directory))
        if party is not None:
            yield party
        return
    yield from (party for party in directory.parties.values() if party.kvk == each["kvkNummer"])


def _messages(view: View) -> Iterator[Bericht]:
    """Those of the conversation, and what the gateway told who sees this about them."""
    of_it: Collection[str] = view.gesprek.modules
    for each in view.gesprek.berichten:
        mine = each.referentienummer in of_it
        about = each.referentienummer if mine else each.cross
        told = about in of_it and each.ontvanger in view.access.parties
        if (mine or told) and view.knows(about):
            yield each


def _message(each: Bericht, stand: Stand) -> Json:
    told: Json = {
        "referentienummer": each.referentienummer,
        "crossReferentienummer": each.cross,
        "module": each.module,
        "soort": each.soort,
        "versie": each.versie,
        "afzender": each.afzender,
        "ontvanger": each.ontvanger,
        "namens": each.namens,
        "status": each.state,
        **{
            name: None if moment is None else instant(moment)
            for name, moment in (
                ("ontvangenOp", each.received_at),
                ("beschikbaarOp", each.available_at),
                ("opgehaaldOp", each.collected_at),
                ("bevestigdOp", each.confirmed_at),
            )
        },
    }
    stap = stand.stap(each.referentienummer)
    marks = {
        "teLaat": each.late,
        "nietAfgeleverd": each.state is State.GESTRAND
        or (stap is not None and stap.niet_afgeleverd),
        "ingetrokken": each.reason is Reason.INGETROKKEN,
    }
    told |= {name: True for name, holds in marks.items() if holds}
    return {name: value for name, value in told.items() if value is not None}
