"""May this be said now, and where does the conversation stand afterwards?

Pure: a message makes a move of the table, and so does a term that ran out. What becomes of a
message later is in ``gateway.routing.outcomes``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from types import MappingProxyType
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from gateway.errors import Code, Finding, Refusal
from gateway.message import Json
from gateway.routing.guards import BEZWAAR_VOORBIJ, CONDITIONS, GUARDS, Said
from gateway.routing.kern import PROPOSALS, TAKEN, Kern
from gateway.routing.stand import (
    BEEINDIGD,
    GEOPEND,
    NIEUW,
    Soort,
    Stand,
    Stap,
    Status,
    Termijn,
    Vraag,
)
from gateway.routing.table import CODE_MEMBERS, EITHER, FROM_THE_MESSAGE, KLOK, Rij, Table
from gateway.routing.terms import Length, ends_at

CROSS = "stuurgegevens/crossReferentienummer"
TE_LAAT = "TE_LAAT"
AKKOORD_VERVALLEN = "AKKOORD_VERVALLEN"
IBAN_NIEUW = "IBAN_NIET_EERDER_GEZIEN"

OVER = MappingProxyType(
    {
        Soort.ANTWOORD: "TermijnVerstreken",
        Soort.VOORSTEL: "",
        Soort.BEZWAAR: "BezwaartermijnVerstreken",
    }
)
"""What the clock says in the table when such a term is over."""

HANDING_OVER = frozenset({"opgave", "vorderingstatus"})
"""What is taken over (``kern``) from messages that may say who took a claim over."""

BALANCES = frozenset({"SALDO_ONTVANGEN", "SALDO_ONTVANGEN_VOORAF_AKKOORD"})
PROVISIONAL = "AKKOORD_VOORLOPIG"


class Lengths(NamedTuple):
    """How long each side has, for this message between these two parties.

    Attributes:
        antwoord: For an answer; None where there is no term.
        voorstel: For the helper's proposal, after this balance.
        bezwaar: For an objection to a consent in advance.
    """

    antwoord: Length | None = None
    voorstel: Length | None = None
    bezwaar: Length | None = None


class Move(NamedTuple):
    """What a message made of its conversation.

    Attributes:
        term: How long its recipient has, once it is available.
        answered: The question that it answered.
    """

    stand: Stand
    kern: Kern
    row: Rij
    warnings: tuple[Finding, ...] = ()
    term: Length | None = None
    answered: Vraag | None = None


def step(said: Said, *, at: datetime, lengths: Lengths, table: Table) -> Move:
    """Make the move that a message stands for.

    Raises:
        Refusal: GESPREK_BEEINDIGD, GEEN_RECHT (the other side says this), VRAAG_ONBEKEND,
            VRAAG_VERVANGEN, VRAAG_AL_BEANTWOORD, VOLGORDE_ONGELDIG, or the code of the row
            or guard that refused it.
    """
    stand = _by_now(said.stand, at, table)
    if stand is not said.stand:
        said = said._replace(stand=stand)
    rows = _rows_of(said, table)
    if stand.ended and not any(row.holds(BEEINDIGD) for row in rows):
        raise Refusal(Code.GESPREK_BEEINDIGD)
    row = _row_for(said, rows)
    vraag = _answered(said, row)
    for guard in row.eist:
        GUARDS[guard](said)
    warnings = [*_late(said, vraag, at), *_new_iban(said), *_lapsed(said, row)]
    kern = said.kern if row.kern is None else TAKEN[row.kern](said.kern, said.body)
    if row.kern in PROPOSALS:
        kern = kern.remembered(said.header.referentienummer)
    moved, term = _moved(said, row, vraag, lengths)
    return Move(moved, kern, row, tuple(warnings), term, vraag)


def _by_now(stand: Stand, at: datetime, table: Table) -> Stand:
    """As it stands at this instant, also where the clock did not come by yet."""
    if stand.ended:
        return stand
    for termijn in stand.termijnen:
        vraag, last = stand.vraag(termijn.referentienummer), termijn.tot_en_met
        if vraag is None or vraag.status is not Status.OPEN:
            continue
        if last is not None and at >= ends_at(last):
            stand = expired(stand, OVER[termijn.soort], termijn.berichtsoort, table)
    return stand


def _rows_of(said: Said, table: Table) -> list[Rij]:
    """The rows of this kind that this side may say, with these codes and conditions."""
    rows = table.rows.get(said.soort, ())
    code = said.body.get(CODE_MEMBERS.get(said.soort, ""))
    mine = [row for row in rows if row.zegt in (_side(said, row), EITHER)]
    if not mine:
        raise Refusal(Code.GEEN_RECHT, said.at("stuurgegevens/afzender", "ANDERE_KANT"))
    return [row for row in mine if not row.als or code in row.als]


def _side(said: Said, row: Rij) -> str:
    """On which side the sender is; the first message decides."""
    if said.stand.shv is not None:
        return said.stand.side(said.header.afzender)
    return "shv" if row.zegt == EITHER else row.zegt


def _row_for(said: Said, rows: Iterable[Rij]) -> Rij:
    staat = said.stand.staat
    for row in rows:
        if row.holds(staat) and all(CONDITIONS[name](said) for name in row.wanneer):
            if row.weigert is not None:
                raise Refusal(row.weigert, said.at("stuurgegevens", f"IN_{staat}"))
            return row
    # Who answers what was answered, or replaced, reads that; it says more than the order.
    if answers := [soort for row in rows for soort in row.antwoord_op]:
        _question(said, answers)
    raise Refusal(Code.VOLGORDE_ONGELDIG, said.at("stuurgegevens", f"IN_{staat}"))


def _answered(said: Said, row: Rij) -> Vraag | None:
    """The question that this answers; None where the move is no answer."""
    vraag = said.stand.vraag(said.header.cross)
    if row.beantwoordt:
        fits = vraag is not None and vraag.soort in row.beantwoordt
        return vraag if fits and vraag is not None and vraag.status is Status.OPEN else None
    return _question(said, row.antwoord_op) if row.antwoord_op else None


def _question(said: Said, soorten: Collection[str]) -> Vraag:
    """The question of these kinds to which it refers, that it may (still) answer."""
    vraag = said.stand.vraag(said.header.cross)
    if vraag is None or vraag.soort not in soorten:
        raise Refusal(Code.VRAAG_ONBEKEND, said.at(CROSS, "VRAAG"))
    if vraag.vrager == said.header.afzender or vraag.status is Status.INGETROKKEN:
        raise Refusal(Code.VRAAG_ONBEKEND, said.at(CROSS, "VRAAG"))
    if vraag.status is Status.VERVANGEN:
        raise Refusal(Code.VRAAG_VERVANGEN, _see(said, "VERVANGEN_DOOR", vraag.door))
    if vraag.status is Status.BEANTWOORD and said.header.vervangt != vraag.door:
        raise Refusal(Code.VRAAG_AL_BEANTWOORD, _see(said, "BEANTWOORD_DOOR", vraag.door))
    return vraag


def _see(said: Said, rule: str, number: str | None) -> Finding:
    """Points at the message that counts instead."""
    if not number:
        return said.at(CROSS, rule)
    return said.at(CROSS, rule, f"Het gaat nu om {number}.", f"What counts now is {number}.")


def _late(said: Said, vraag: Vraag | None, at: datetime) -> list[Finding]:
    if vraag is None:
        return []
    termijn = said.stand.termijn(vraag.referentienummer)
    if termijn is None or termijn.tot_en_met is None or at < ends_at(termijn.tot_en_met):
        return []
    return [said.at(CROSS, TE_LAAT)]


def _new_iban(said: Said) -> list[Finding]:
    """Another account than before is how money goes astray (process.md 1, waarschuw)."""
    given = said.body.get("betaalgegevens")
    if given is None or not said.kern.ibans or given["iban"] in said.kern.ibans:
        return []
    return [said.at("betaalgegevens/iban", IBAN_NIEUW)]


def _lapsed(said: Said, row: Rij) -> list[Finding]:
    """A consent that was given does not count any more: both sides read that."""
    if row.naar == "VOORSTEL_GEDAAN" and said.stand.staat in ("AKKOORD", PROVISIONAL):
        return [said.at("stuurgegevens/vervangt", AKKOORD_VERVALLEN)]
    return []


def _moved(
    said: Said, row: Rij, vraag: Vraag | None, lengths: Lengths
) -> tuple[Stand, Length | None]:
    header, before = said.header, said.stand
    own, other = header.afzender, header.ontvanger
    shv, se = before.shv, before.se
    if shv is None:
        shv, se = (own, other) if row.zegt != "se" else (other, own)
    stand, verving = _replaced(before, row, header.referentienummer)
    if vraag is not None and not row.laat_open:
        closed = vraag._replace(status=Status.BEANTWOORD, door=header.referentienummer)
        stand = stand.with_vraag(closed)
    staat = row.naar or (GEOPEND if row.opent and stand.staat == NIEUW else stand.staat)
    merken = stand.merken
    if row.merkt or row.ontmerkt:
        merken = merken.union(row.merkt).difference(row.ontmerkt)
    reden = _reason(said, row) or stand.reden
    stand = stand._replace(staat=staat, shv=shv, se=se, merken=merken, reden=reden)
    stand, term = _with_terms(stand, said, row, lengths)
    if row.verleent is not None:
        stand = _granted(stand, said, row.verleent)
    if row.kern in HANDING_OVER and (more := _successors(said, stand.vervolg)):
        stand = stand._replace(vervolg=(*stand.vervolg, *more))
    if row.naar is not None or row.vraag or row.antwoord_op:
        stand = stand.with_stap(
            Stap(
                referentienummer=header.referentienummer,
                soort=said.soort,
                afzender=own,
                voor=before.staat,
                na=staat,
                antwoord_op=None if vraag is None else vraag.referentienummer,
                verving=verving,
                beweegt=row.naar is not None,
                merkte=tuple(sorted(set(row.merkt) - before.merken)),
            )
        )
    return settled(stand), term


def _reason(said: Said, row: Rij) -> str | None:
    return str(said.body["reden"]) if row.reden == FROM_THE_MESSAGE else row.reden


def _replaced(stand: Stand, row: Rij, by: str) -> tuple[Stand, tuple[str, ...]]:
    """What this message replaces is not asked any more."""
    if not row.vervangt:
        return stand, ()
    replaced = tuple(
        each
        for each in stand.vragen
        if each.soort in row.vervangt and each.status in (Status.OPEN, Status.NIET_AFGELEVERD)
    )
    for each in replaced:
        stand = stand.with_vraag(each._replace(status=Status.VERVANGEN, door=by))
    return stand, tuple(each.referentienummer for each in replaced)


def _with_terms(
    stand: Stand, said: Said, row: Rij, lengths: Lengths
) -> tuple[Stand, Length | None]:
    header = said.header
    soort, length, turn = Soort.ANTWOORD, lengths.antwoord if row.vraag else None, header.ontvanger
    if row.vraag:
        asked = Vraag(header.referentienummer, said.soort, header.afzender)
        stand = stand.with_vraag(asked)
    if row.term is Soort.BEZWAAR:
        soort, length = Soort.BEZWAAR, lengths.bezwaar
    if row.term is Soort.VOORSTEL:
        soort, length = Soort.VOORSTEL, lengths.voorstel
    if length is None:
        return stand, None
    termijn = Termijn(
        soort=soort,
        referentienummer=header.referentienummer,
        berichtsoort=said.soort,
        module=said.module,
        versie=header.versie,
        aan_zet=turn,
        lengte=str(length),
    )
    return stand.with_termijn(termijn), length


def _granted(stand: Stand, said: Said, member: str) -> Stand:
    """The asker gives more time to what it asked; a shorter time is nothing granted."""
    until = said.body.get(member)
    if until is None:
        return stand
    last = date.fromisoformat(until)
    for vraag in stand.open_vragen():
        termijn = stand.termijn(vraag.referentienummer)
        mine = vraag.vrager == said.header.afzender
        if not mine or termijn is None or termijn.tot_en_met is None:
            continue
        if last > termijn.tot_en_met:
            # Its reminders were sent already, or come as they were planned.
            later = termijn._replace(tot_en_met=last, stap=min(termijn.stap, 2))
            stand = stand.with_termijn(later)
    return stand


def _successors(said: Said, known: Iterable[Json]) -> list[Json]:
    """Whom the helper may go on with: the gateway itself tells the new party nothing."""
    claims = (said.body, *said.body.get("vorderingen", ()))
    handed_over = [each["overdracht"] for each in claims if "overdracht" in each]
    if not handed_over:
        return []
    offered = {each["conversatieReferentienummer"] for each in known}
    parent = UUID(said.header.conversatie)
    made = []
    for to in handed_over:
        named = to.get("oin") or to.get("kvkNummer")
        if named is None:
            continue
        child = str(uuid5(uuid5(NAMESPACE_URL, str(parent)), named))
        if child not in offered:
            offered.add(child)
            party = {name: to[name] for name in ("oin", "kvkNummer") if name in to}
            made.append({**party, "soort": to["soort"], "conversatieReferentienummer": child})
    return made


def settled(stand: Stand) -> Stand:
    """Without terms of questions that are forgotten. Those that do not count now stay: what
    they wait for may be undone, the end of the conversation too.
    """
    left = tuple(
        each
        for each in stand.termijnen
        if each.soort is Soort.VOORSTEL or stand.vraag(each.referentienummer) is not None
    )
    return stand if left == stand.termijnen else stand._replace(termijnen=left)


def running(stand: Stand) -> Iterator[Termijn]:
    """Terms that count now: of a question only while that is open; for a proposal and for an
    objection only in the state that waits for it.
    """
    if stand.ended:
        return
    balances = [each for each in stand.termijnen if each.soort is Soort.VOORSTEL]
    for each in stand.termijnen:
        if each.soort is Soort.VOORSTEL:
            if stand.staat in BALANCES and each is balances[-1]:
                yield each
            continue
        vraag = stand.vraag(each.referentienummer)
        asked = vraag is not None and vraag.status is Status.OPEN
        if asked and (each.soort is Soort.ANTWOORD or stand.staat == PROVISIONAL):
            yield each


def expired(stand: Stand, soort: str, berichtsoort: str, table: Table) -> Stand:
    """A term ran out: the move that the clock makes, if there is one in this state."""
    for row in table.rows.get(soort, ()):
        if row.zegt == KLOK and berichtsoort in row.als and row.holds(stand.staat):
            stand, _ = _replaced(stand, row, "")
            stand = stand._replace(staat=row.naar or stand.staat)
            if soort == "BezwaartermijnVerstreken":
                stand = stand._replace(merken=stand.merken | {BEZWAAR_VOORBIJ})
            return settled(stand)
    return stand
