"""``gateway reservekopie``: copy the ledger, and see what was lost after it was put back."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.adapters import backup
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault
from gateway.settings import load


class _PathFirst(TyperGroup):
    """``reservekopie PAD`` means ``reservekopie maak PAD``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["maak", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Reservekopie van het grootboek: maken (reservekopie PAD) en controleren.",
    no_args_is_help=True,
    cls=_PathFirst,
)

Pad = Annotated[Path, typer.Argument(help="Bestand van de kopie; het manifest komt ernaast.")]


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway reservekopie``."""
    gateway.add_typer(app, name="reservekopie")


@app.command()
def maak(pad: Pad, *, json: AsJson = False) -> None:
    """Maak een kopie terwijl de gateway doorwerkt. Sleutels zitten er nooit in."""
    settings = load(os.environ)
    told = backup.make(settings.ledger, pad, datetime.now(UTC))
    if json:
        as_json(told)
        return
    count, schema = told["berichten"], told["schema"]
    screen.print(f"Gemaakt: {pad} ({count} berichten, schema {schema}), met manifest ernaast.")
    screen.print(f"Zonder sleutels is hij niet te openen. Bewaar apart, uit {settings.keys}:")
    table("Sleutels", ["soort", "versie"], (each.values() for each in told["sleutels"]))
    screen.print("Wat is gewist, is pas overal weg als de laatste kopie van daarvoor weg is.")
    screen.print(f"Nagaan: gateway reservekopie controleer {pad}")


@app.command()
def controleer(
    pad: Pad,
    *,
    bevestigingen: Annotated[
        Path | None, typer.Option(help="Map met ontvangstbevestigingen van partijen (JSON).")
    ] = None,
    json: AsJson = False,
) -> None:
    """Is de kopie heel, past het grootboek erbij, en wat is er verloren?

    Sluit af met 1 bij een probleem, bij een verloren bericht en bij een onleesbare bevestiging.
    """
    told, problems = backup.read_manifest(pad)
    address = load(os.environ).ledger
    differences, waiting = backup.compare(address, told)
    problems += differences
    missing, looked_at, unreadable = backup.lost(address, _files(bevestigingen))
    code = 1 if problems or missing or unreadable else 0
    if json:
        as_json(
            {
                "problemen": problems,
                "bevestigingen": looked_at,
                "onleesbaar": unreadable,
                "verloren": [_plain(each) for each in missing],
                "aanTeBieden": [
                    dict(zip(("ontvanger", "status", "aantal"), row, strict=True))
                    for row in waiting
                ],
            }
        )
        raise typer.Exit(code)
    for problem in problems:
        screen.print(f"Probleem: {problem}")
    if not problems:
        screen.print(f"De kopie van {told['gemaaktOp']} is heel, en het grootboek past erbij.")
    table("Wordt (opnieuw) aangeboden", ["ontvanger", "status", "aantal"], waiting)
    if bevestigingen is None:
        screen.print("Wat daarna is aangenomen, weten de afzenders: vraag hun bevestigingen, en")
        screen.print(f"geef: gateway reservekopie controleer {pad} --bevestigingen MAP")
    else:
        screen.print(
            f"{looked_at} bevestigingen bekeken; {len(unreadable)} bestanden zijn er geen."
        )
        rows = ((each.afzender, each.referentienummer) for each in missing)
        table("Verloren: vraag de afzender om dit opnieuw", ["afzender", "referentienummer"], rows)
    screen.print("Daarna: gateway sleutels controle")
    raise typer.Exit(code)


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise Fault(f"{folder} is not a folder")
    return sorted(each for each in folder.rglob("*") if each.is_file())


def _plain(known: backup.Known) -> dict[str, Any]:
    return {"afzender": known.afzender, "referentienummer": known.referentienummer}
