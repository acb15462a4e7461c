"""``gateway partijen``: who takes part."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.register import MODULES, difference, directory_of, text_of
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.settings import load

app = typer.Typer(help="Het deelnemersregister.", no_args_is_help=True)


@app.command()
def toepassen(
    bestand: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    *,
    ja: Annotated[bool, typer.Option("--ja", help="Niet vragen.")] = False,
    proef: Annotated[bool, typer.Option("--proef", help="Alleen tonen.")] = False,
    door: Annotated[str | None, typer.Option(help="Wie dit doet.")] = None,
) -> None:
    """Toon wat een register verandert en pas het toe; elk proces volgt binnen 5 seconden."""
    settings = load(os.environ)
    ledger = open_ledger(settings.ledger)
    text = text_of(
        bestand.read_text(encoding="utf-8"),
        read_file=lambda name: (bestand.parent / name).read_text(encoding="ascii"),
        production=settings.environment == "productie",
    )
    version, current = ledger.directory()
    rows = difference(current, text)
    if not rows:
        screen.print(f"Versie {version} is al gelijk aan {bestand.name}.")
        return
    table(f"Verschil met versie {version}", ["", "partij", "wat"], rows)
    if proef:
        return
    if not ja and not typer.confirm("Toepassen?"):
        raise typer.Exit(1)
    who = door or getpass.getuser()
    made = ledger.apply_directory(text, base=version, by=who, at=datetime.now(UTC))
    screen.print(f"Versie {made} geldt nu; draaiende processen volgen binnen 5 seconden.")


@app.command()
def toon(*, json: AsJson = False) -> None:
    """Toon wie er is aangesloten."""
    version, text = open_ledger(load(os.environ).ledger).directory()
    parties = directory_of(version, text).parties.values()
    if json:
        as_json(
            [
                {
                    "oin": party.oin,
                    "naam": party.naam,
                    "kanaal": party.channel,
                    "vorm": party.dialect,
                    "modules": sorted(party.modules),
                    "certificaten": [
                        {"vingerafdruk": c.fingerprint, "geldigTot": c.not_after}
                        for c in party.certificates
                    ],
                }
                for party in parties
            ]
        )
        return
    table(
        f"Deelnemers (versie {version})",
        ["OIN", "naam", "kanaal", "vorm", "modules", "certificaat"],
        (
            (
                party.oin,
                party.naam,
                party.channel,
                party.dialect,
                _modules(party.modules),
                ", ".join(f"tot {c.not_after:%Y-%m-%d}" for c in party.certificates),
            )
            for party in parties
        ),
    )


def _modules(modules: frozenset[str]) -> str:
    if modules == set(MODULES):
        return "alle"
    return ", ".join(sorted(modules))
