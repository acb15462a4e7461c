"""``gateway termijnen``: who answers in time, which terms need attention, and the daily digest."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from gateway.adapters.clock import clock_of
from gateway.adapters.ledger.figures import Period
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.register import directory_of
from gateway.cli.given import an_oin, the_ledger
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault
from gateway.message import Json, Oin
from gateway.routing import digest, figures, terms
from gateway.routing import table as moves
from gateway.routing.directory import EMPTY, Directory
from gateway.routing.lengths import ends_at, local_day
from gateway.settings import load

FIGURES_OVER = timedelta(days=90)
TERMS_OVER = timedelta(days=400)
"""How far back is looked: the longest term of the convenants is eight months."""

_DAY = timedelta(days=1)

HEADS = {
    "schuldeiser": "schuldeiser",
    "naam": "naam",
    "soort": "vraag",
    "maand": "maand",
    "gevraagd": "gevraagd",
    "opTijd": "op tijd",
    "teLaat": "te laat",
    "nooit": "nooit",
    "open": "open",
    "vervallen": "vervallen",
    "zonderTermijn": "zonder termijn",
    "mediaan": "mediaan",
    "p90": "p90",
}


def add_to(app: typer.Typer) -> None:
    """Hang the command under ``gateway`` itself."""
    app.command("termijnen")(termijnen)


def termijnen(
    *,
    sinds: Annotated[
        str | None, typer.Option(metavar="DATUM", help="Gevraagd vanaf deze dag.")
    ] = None,
    tot: Annotated[
        str | None, typer.Option(metavar="DATUM", help="Gevraagd tot en met deze dag.")
    ] = None,
    schuldeiser: Annotated[str | None, typer.Option(help="OIN van wie werd gevraagd.")] = None,
    shv: Annotated[str | None, typer.Option(help="OIN van de schuldhulpverlener.")] = None,
    soort: Annotated[
        list[str] | None, typer.Option(help="Soort vraag; mag vaker worden gegeven.")
    ] = None,
    per_maand: Annotated[bool, typer.Option("--per-maand", help="Uitgesplitst per maand.")] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Welke termijnen zijn voorbij of lopen binnenkort af?")
    ] = False,
    dagoverzicht: Annotated[
        bool, typer.Option("--dagoverzicht", help="Een overzicht per schuldhulpverlener.")
    ] = False,
    datum: Annotated[
        str | None, typer.Option(metavar="DATUM", help="Van welke dag; gewoonlijk gisteren.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Hoe snel antwoorden schuldeisers: op tijd, te laat of nooit? Cijfers onder 10 verborgen.

    Een vraag telt mee op de dag waarop zij is gesteld. Met --open staat er welke gesprekken nu
    aandacht vragen: alleen voor de beheerder. Met --dagoverzicht wat er in de gesprekken van
    elke schuldhulpverlener gebeurde, klaar om te mailen.
    """
    _fit_together(
        open_=open_,
        dagoverzicht=dagoverzicht,
        figures_only={"--tot": tot, "--per-maand": per_maand or None},
        not_digest={"--sinds": sinds, "--schuldeiser": schuldeiser, "--soort": soort},
        datum=datum,
    )
    now = clock_of(load(os.environ).clock_ahead)()
    helper = None if shv is None else an_oin("shv", shv)
    creditor = None if schuldeiser is None else an_oin("schuldeiser", schuldeiser)
    ledger = the_ledger()
    try:
        version, text = ledger.directory()
        directory = directory_of(version, text) if version else EMPTY
        since = None if sinds is None else _a_day("sinds", sinds)
        until = None if tot is None else _a_day("tot", tot)
        if dagoverzicht:
            day = digest.day_of(now) if datum is None else _a_day("datum", datum)
            _digests(ledger, directory, helper, day, now, json=json)
        elif open_:
            first = since or local_day(now - TERMS_OVER)
            _open(ledger, directory, (helper, creditor, soort or ()), first, now, json=json)
        else:
            last = until or local_day(now)
            first = since or last - FIGURES_OVER
            kinds = _kinds(soort or ())
            asked = ledger.asked(kinds, _period(first, last), asker=helper, asked=creditor)
            calendar = terms.read().calendar
            found = figures.grouped(asked, calendar, now, by_month=per_maand)
            _figures(found, directory, first, last, json=json)
    finally:
        ledger.close()


def _fit_together(
    *,
    open_: bool,
    dagoverzicht: bool,
    figures_only: Mapping[str, object],
    not_digest: Mapping[str, object],
    datum: str | None,
) -> None:
    """Options that mean nothing together are a mistake, and not left out silently."""
    if open_ and dagoverzicht:
        raise Fault("--open and --dagoverzicht are two questions: ask one at a time")
    if datum is not None and not dagoverzicht:
        raise Fault("--datum belongs to --dagoverzicht; figures have --sinds and --tot")
    unfit = dict(figures_only) if open_ or dagoverzicht else {}
    unfit |= not_digest if dagoverzicht else {}
    given = [name for name, said in unfit.items() if said]
    if given:
        mode = "--open" if open_ else "--dagoverzicht"
        raise Fault(f"{', '.join(given)}: says nothing with {mode}; leave it out")


def _a_day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Fault(f"{option}: a day is like 2026-12-01") from None


def _period(first: date, last: date) -> Period:
    """From the first day to the last with it, in Amsterdam."""
    if last < first:
        raise Fault(f"tot: {last} comes before {first}")
    return Period(ends_at(first - _DAY), ends_at(last))


def _kinds(wanted: Collection[str]) -> dict[str, figures.Asking]:
    """The kinds of question that a creditor is asked.

    Raises:
        Fault: one was named that is no such kind; it names those that are.
    """
    known = {
        name: asking for name, asking in figures.asking(moves.read()).items() if asking.by != "se"
    }
    if unknown := sorted(set(wanted) - known.keys()):
        raise Fault(
            f"soort: {', '.join(unknown)}: nobody asks a creditor that; "
            f"choose from {', '.join(sorted(known))}"
        )
    return {name: known[name] for name in wanted} if wanted else known


def _name(directory: Directory, oin: Oin) -> str:
    party = directory.parties.get(oin)
    return "" if party is None else party.naam


def _figures(
    found: Mapping[figures.Key, figures.Group],
    directory: Directory,
    first: date,
    last: date,
    *,
    json: bool,
) -> None:
    told: list[Json] = [
        {
            "schuldeiser": key.creditor,
            "naam": _name(directory, key.creditor),
            "soort": key.soort,
            **({"maand": key.month} if key.month else {}),
            **figures.shown(group),
        }
        for key, group in sorted(found.items())
    ]
    if json:
        period = {"sinds": first.isoformat(), "totEnMet": last.isoformat()}
        as_json({**period, "drempel": figures.THRESHOLD, "cijfers": told})
        return
    columns = {name: head for name, head in HEADS.items() if told and name in told[0]}
    rows = ([each[name] for name in columns] for each in told)
    title = f"Vragen van {first:%d-%m-%Y} tot en met {last:%d-%m-%Y}; dagen zijn werkdagen"
    table(title, list(columns.values()), rows)


def _open(
    ledger: SqlLedger,
    directory: Directory,
    wanted: tuple[Oin | None, Oin | None, Collection[str]],
    first: date,
    now: datetime,
    *,
    json: bool,
) -> None:
    """Terms that are over or nearly so, each with its conversation: for the operator alone."""
    shv, turn, soorten = wanted
    today, calendar = local_day(now), terms.read().calendar
    running = (
        each
        for conversatie, stand in ledger.with_terms(_period(first, today))
        for each in digest.terms_of(conversatie, stand, today, calendar)
        if (shv is None or each.shv == shv)
        and (turn is None or each.turn == turn)
        and (not soorten or each.soort in soorten)
    )
    found = digest.needs_attention(running, today, calendar)
    if json:
        as_json(
            [
                {
                    "conversatieReferentienummer": each.conversatie,
                    "soort": each.soort,
                    "wat": each.wat.value,
                    "aanZet": each.turn,
                    "naam": _name(directory, each.turn),
                    "totEnMet": each.tot_en_met.isoformat(),
                    "werkdagenOver": each.days_left,
                    "voorbij": each.over,
                }
                for each in found
            ]
        )
        return
    table(
        f"Voorbij, of binnen {digest.SOON_WORKING_DAYS} werkdagen voorbij",
        ["gesprek", "vraag", "aan zet", "naam", "termijn t/m", "werkdagen over"],
        (
            (
                each.conversatie,
                each.soort,
                each.turn,
                _name(directory, each.turn),
                f"{each.tot_en_met:%d-%m-%Y}",
                f"voorbij ({-each.days_left})" if each.over else each.days_left,
            )
            for each in found
        ),
    )
    screen.print(f"Van vragen sinds {first:%d-%m-%Y}; verder terug met --sinds.")


def _digests(
    ledger: SqlLedger,
    directory: Directory,
    shv: Oin | None,
    day: date,
    now: datetime,
    *,
    json: bool,
) -> None:
    today = local_day(now)
    if day > today:
        raise Fault(f"datum: {day} has yet to come")
    book = terms.read()
    back = Period(now - TERMS_OVER, max(now, ends_at(day)))
    found = digest.Found(
        answered=list(ledger.answers(figures.asking(moves.read()), _period(day, day))),
        terms=[
            each
            for conversatie, stand in ledger.with_terms(back)
            for each in digest.terms_of(conversatie, stand, today, book.calendar)
        ],
        uncollected=list(ledger.never_collected(back, ends_at(day))),
        stranded=list(ledger.stranded()),
    )
    helpers = _helpers(directory, found) if shv is None else [shv]
    made = digest.digests(found, helpers, day, may_lie=book.uncollected, calendar=book.calendar)
    if json:
        as_json([digest.as_json(each, _name(directory, each.shv)) for each in made])
        return
    texts = [digest.as_text(each, _name(directory, each.shv)) for each in made]
    print(f"{'=' * 72}\n".join(texts) if texts else "Er is geen schuldhulpverlener.")


def _helpers(directory: Directory, found: digest.Found) -> list[Oin]:
    """Who helps people: by the directory, and by the conversations."""
    named = {
        party.oin
        for party in directory.parties.values()
        if any("shv" in role.split("-") for role in party.rollen)
    }
    seen = {each.shv for each in (*found.answered, *found.uncollected, *found.stranded)}
    seen |= {each.shv for each in found.terms}
    return sorted(named | {each for each in seen if each is not None})
