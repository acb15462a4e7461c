"""``gateway klok``: what will happen by itself; normally the gateway sees to that itself."""

from __future__ import annotations

import asyncio
import heapq
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Annotated

import typer

from gateway.adapters.clock import Clock, clock_of
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.register import directory_of
from gateway.adapters.timekeeping import Caught, catch_up, courses_of
from gateway.calendar import AMSTERDAM
from gateway.cli.given import the_ledger
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault
from gateway.message import Admitted, Submission, Talk
from gateway.replies import instant
from gateway.routing.course import Courses
from gateway.routing.directory import EMPTY
from gateway.routing.foreseen import Anders, Coming
from gateway.routing.lengths import ends_at
from gateway.routing.moments import Wat
from gateway.settings import load

SHOWN = 1_000

WORDS = {
    Wat.HELFT: "Herinnering, de helft is voorbij",
    Wat.VIER_VIJFDE: "Herinnering, vier vijfde is voorbij",
    Wat.VERSTREKEN: "TermijnVerstreken",
    Wat.BEZWAAR_VERSTREKEN: "bezwaartermijn voorbij",
    Anders.BEGINT: "termijn begint",
    Anders.NIET_OPGEHAALD: "NietAfgeleverd, niet opgehaald",
    Anders.NIET_AFGELEVERD: "NietAfgeleverd, gestrand",
    Anders.VERVALLEN: "Vervallen",
}


def add_to(app: typer.Typer) -> None:
    """Hang the command under ``gateway`` itself."""
    app.command("klok")(klok)


def klok(
    *,
    op: Annotated[
        str | None,
        typer.Option(
            "--op",
            metavar="DATUM[TIJD]",
            help="Tot en met deze dag (2026-12-01), of tot dit tijdstip in Nederland "
            "(2026-12-01T09:00). Alleen met --proef.",
        ),
    ] = None,
    proef: Annotated[
        bool, typer.Option("--proef", help="Toon wat zou gebeuren; doe niets.")
    ] = False,
    aantal: Annotated[
        int,
        typer.Option("--aantal", min=1, help="Toon in de tabel hoogstens zoveel regels."),
    ] = SHOWN,
    json: AsJson = False,
) -> None:
    """Doe wat nu aan de beurt is: herinneringen, verstreken termijnen, meldingen.

    De rol klok doet dit zelf, elke seconde. Met --proef verandert er niets en staat er wat er
    zou gebeuren als niemand nog iets zegt; met --op tot wanneer.
    """
    if op is not None and not proef:
        raise Fault("--op hoort bij --proef: alleen wat nu aan de beurt is kan worden gedaan")
    settings = load(os.environ)
    clock = clock_of(settings.clock_ahead)
    now = clock()
    until = now if op is None else until_of(op)
    ledger = the_ledger()
    try:
        version, text = ledger.directory()
        directory = directory_of(version, text) if version else EMPTY
        courses = courses_of(Keyring.load(settings.keys), lambda: directory)
        first, count = _first(ledger.foreseen(courses, now, until), sys.maxsize if json else aantal)
        passed = 0 if proef else asyncio.run(_catch_up(ledger, courses, clock)).passed
    finally:
        ledger.close()
    if json:
        as_json([_as_json(each) for each in first])
    else:
        _show(first, count, now, proef=proef)
    if passed:
        raise Fault(
            f"{passed} keer lukte het niet (clock.passed_over); de rol klok probeert het weer"
        )


def _show(first: Sequence[Coming], count: int, now: datetime, *, proef: bool) -> None:
    columns = ["wanneer", "wat", "gesprek-id", "berichtsoort", "voor wie", "termijn t/m"]
    table("Zou gebeuren" if proef else "Gedaan", columns, map(_row, first))
    if count > len(first):
        screen.print(f"De eerste {len(first)} van {count}; meer met --aantal.")
    if proef and any(each.at <= now for each in first):
        screen.print("Wat nu aan de beurt is doen: gateway klok")


def until_of(text: str) -> datetime:
    """The instant up to which was asked: a day is meant whole, a time is that of Amsterdam.

    Raises:
        Fault: it is neither.
    """
    try:
        return ends_at(date.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    try:
        asked = datetime.fromisoformat(text)
        return asked if asked.tzinfo else asked.replace(tzinfo=AMSTERDAM)
    except ValueError:
        raise Fault(
            f"--op: geen dag of tijdstip als 2026-12-01 of 2026-12-01T09:00: {text}"
        ) from None


def _first(all_of: Iterable[Coming], most: int) -> tuple[list[Coming], int]:
    """The first by time, and how many there are."""
    count = 0

    def counted() -> Iterable[Coming]:
        nonlocal count
        for each in all_of:
            count += 1
            yield each

    first = heapq.nsmallest(most, counted(), key=lambda each: (each.at, each.conversatie))
    return first, count


async def _catch_up(ledger: SqlLedger, courses: Courses, clock: Clock) -> Caught:
    writer = Writer(ledger, _admits_nothing, clock=clock)
    try:
        return await catch_up(writer, ledger, courses, clock)
    finally:
        await writer.close()


def _admits_nothing(_: Submission, __: Talk) -> Admitted:
    raise Fault("this process takes no messages in")


def _row(each: Coming) -> tuple[object, ...]:
    last = each.tot_en_met and f"{each.tot_en_met:%d-%m-%Y}"
    return each.at, WORDS[each.wat], each.conversatie, each.berichtsoort, each.voor, last


def _as_json(each: Coming) -> dict[str, object]:
    return {
        "wanneer": instant(each.at),
        "wat": each.wat,
        "bericht": each.bericht,
        "conversatieReferentienummer": each.conversatie,
        "berichtsoort": each.berichtsoort,
        "referentienummer": each.referentienummer,
        "voor": each.voor,
        "termijnTotEnMet": each.tot_en_met and each.tot_en_met.isoformat(),
    }
