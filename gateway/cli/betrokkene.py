"""``gateway betrokkene``: what is held about somebody, erase it, or only store it.

The burgerservicenummer is typed in or read from a file: what stands behind a command is seen by
everybody on the machine, and stays in the history of the shell.
"""

from __future__ import annotations

import json as plain
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from gateway.adapters.betrokkene_report import identity_of, report
from gateway.adapters.ledger.about_person import Held
from gateway.adapters.ledger.asked import Ground, Restricted, What
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.vault import SealBroken, VaultKeyMissing
from gateway.cli.betrokkene_desk import at_the_desk
from gateway.cli.betrokkene_shown import REMAINS, show_erasure, show_insight
from gateway.cli.given import not_blank
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault
from gateway.message import Json
from gateway.routing.retention import read

app = typer.Typer(help="Verzoeken van betrokkenen (AVG art. 15, 17 en 18).", no_args_is_help=True)

OVERVIEW, CONTENT = "overzicht.json", "inhoud.json"


Verzoeker = Annotated[str, typer.Option(help="Naam of functie van wie het vraagt.")]
Verantwoordelijke = Annotated[str, typer.Option(help="OIN van wie de berichten zijn, of 'alle'.")]
Reden = Annotated[str, typer.Option(help="Waarom; wordt vastgelegd. Geen persoonsgegevens.")]
Door = Annotated[str | None, typer.Option(help="Wie dit doet.")]
BsnUit = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Bestand (rechten 600) met het burgerservicenummer; anders wordt het gevraagd.",
    ),
]


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway betrokkene``."""
    gateway.add_typer(app, name="betrokkene")


@app.command()
def inzage(
    *,
    verzoeker: Verzoeker,
    verantwoordelijke: Verantwoordelijke,
    reden: Reden,
    bsn_uit: BsnUit = None,
    uit: Annotated[
        Path | None, typer.Option(file_okay=False, help="Schrijf in deze map (rechten 700).")
    ] = None,
    inhoud: Annotated[
        bool, typer.Option("--inhoud", help="Ook de inhoud die er nog is, in de map van --uit.")
    ] = False,
    door: Door = None,
    json: AsJson = False,
) -> None:
    """Wat ging over iemand naar wie, wanneer en waarom, en wat is er nog?"""
    if inhoud and uit is None:
        raise Fault("inhoud goes into files only: give --uit with a folder")
    for name in (OVERVIEW, CONTENT):
        if uit is not None and (uit / name).exists():
            raise Fault(f"{uit / name} is there already: give another folder")
    with at_the_desk(
        What.SHOW,
        requester=verzoeker,
        controller=verantwoordelijke,
        why=reden,
        by=door,
        file=bsn_uit,
    ) as desk:
        found = desk.ledger.show_person(desk.asked)
        made = report(desk.asked, found, desk.directory, read(), desk.gateway)
        if uit is not None:
            _folder(uit)
            with _private(uit / OVERVIEW) as file:
                plain.dump(made, file, ensure_ascii=False, indent=2)
            if inhoud:
                _write_content(desk.ledger, found.messages, uit / CONTENT)
    if json:
        as_json(made)
    else:
        show_insight(made)
    if uit is not None and not json:
        screen.print(f"Geschreven in {uit}: geef het veilig af en verwijder het daarna.")


def _folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Fault(f"{folder} cannot be made ({error.strerror})") from error


@contextmanager
def _private(file: Path) -> Iterator[IO[str]]:
    """A new file for its owner only."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Fault(f"{file} cannot be written ({error.strerror})") from error
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        yield opened


def _write_content(ledger: SqlLedger, messages: tuple[Held, ...], file: Path) -> None:
    """One message after another: together they may be large."""
    with _private(file) as opened:
        between = "["
        for each in messages:
            try:
                content = ledger.content_of(each.id)
            except (SealBroken, VaultKeyMissing):
                told: Json = {"gaatNietOpen": True}
            else:
                if content is None:
                    continue
                told = {"document": plain.loads(content)}  # our own bytes
            opened.write(between)
            about = {**identity_of(each), "betreftOokAnderen": each.others}
            plain.dump({**about, **told}, opened, ensure_ascii=False, indent=1)
            between = ",\n"
        opened.write("[]" if between == "[" else "]")


@app.command()
def wissing(
    *,
    verzoeker: Verzoeker,
    verantwoordelijke: Verantwoordelijke,
    reden: Reden,
    bsn_uit: BsnUit = None,
    ook_lopend: Annotated[
        str | None,
        typer.Option(help="Ook in gesprekken die nog lopen, en waarom; een regeling kan breken."),
    ] = None,
    proef: Annotated[bool, typer.Option("--proef", help="Toon wat zou gaan; wis niets.")] = False,
    door: Door = None,
    json: AsJson = False,
) -> None:
    """Wis de inhoud van berichten over iemand; wat moet blijven, wordt genoemd met de reden.

    Exitcode 1 als er inhoud blijft staan.
    """
    if ook_lopend is not None:
        reden = f"{reden}; ook lopend: {not_blank('ook-lopend', ook_lopend)}"
    with at_the_desk(
        What.TRY_TO_ERASE if proef else What.ERASE,
        requester=verzoeker,
        controller=verantwoordelijke,
        why=reden,
        by=door,
        file=bsn_uit,
    ) as desk:
        done = desk.ledger.erase_person(desk.asked, running=ook_lopend is not None)
    made: Json = {
        "kenmerk": desk.asked.kenmerk,
        "proef": proef,
        "gewist": [identity_of(each) for each in done.erased],
        "gebleven": [{**identity_of(each), "reden": why} for each, why in done.stays],
        "eerderGewist": [identity_of(each) for each in done.before],
        "ontmerkteGesprekken": done.unmarked,
        "blijft": list(REMAINS),
    }
    if json:
        as_json(made)
    else:
        show_erasure(made)
    raise typer.Exit(1 if done.stays else 0)


@app.command()
def beperking(
    *,
    verzoeker: Verzoeker,
    verantwoordelijke: Verantwoordelijke,
    reden: Reden,
    grond: Annotated[Ground | None, typer.Option(help="Waarom dit mag (art. 18 lid 1).")] = None,
    opheffen: Annotated[bool, typer.Option("--opheffen", help="Beëindig de beperking.")] = False,
    bsn_uit: BsnUit = None,
    door: Door = None,
    json: AsJson = False,
) -> None:
    """Alleen bewaren: niets van deze gesprekken wordt verstrekt of gewist, tot --opheffen."""
    if (grond is None) != opheffen:
        raise Fault("give --grond to set a restriction, or --opheffen to end it")
    with at_the_desk(
        What.LIFT if opheffen else What.RESTRICT,
        requester=verzoeker,
        controller=verantwoordelijke,
        why=reden,
        by=door,
        file=bsn_uit,
    ) as desk:
        done = (
            desk.ledger.lift_restriction(desk.asked)
            if grond is None
            else desk.ledger.restrict_person(desk.asked, grond)
        )
    if json:
        as_json(_plain(desk.asked.kenmerk, done))
        return
    word = "Opgeheven" if opheffen else "Beperkt"
    table(word, ["conversatieReferentienummer"], ([each] for each in done.changed))
    if done.same:
        screen.print(f"{len(done.same)} gesprekken waren dat al.")
    waits = "gaan weer door" if opheffen else "worden aangehouden"
    screen.print(f"{done.held_back} afleveringen {waits}. Kenmerk: {desk.asked.kenmerk}")


def _plain(kenmerk: str, done: Restricted) -> Json:
    return {
        "kenmerk": kenmerk,
        "gesprekken": list(done.changed),
        "ongewijzigd": list(done.same),
        "aangehoudenAfleveringen": done.held_back,
    }
