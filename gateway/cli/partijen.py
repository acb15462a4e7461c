"""``gateway partijen``: who takes part."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.register import DirectoryInvalid, difference, directory_of, text_of
from gateway.adapters.register_entries import MODULES
from gateway.cli.given import the_ledger, who
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault
from gateway.settings import Settings, load

app = typer.Typer(help="Het deelnemersregister.", no_args_is_help=True)


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway partijen``."""
    gateway.add_typer(app, name="partijen")


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
    ledger, by = the_ledger(), who(door)
    text = _text_in(bestand, settings)
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
    made = ledger.apply_directory(text, base=version, by=by, at=datetime.now(UTC))
    screen.print(f"Versie {made} geldt nu; draaiende processen volgen binnen 5 seconden.")


def _text_in(file: Path, settings: Settings) -> str:
    """What the ledger would keep of a file, with the certificates that it names."""
    absent: list[str] = []

    def certificate(name: str) -> str:
        try:
            return (file.parent / name).read_text(encoding="ascii")
        except OSError as error:
            absent.append(f"{file.parent / name}: {error.strerror}")
            raise

    try:
        return text_of(
            file.read_text(encoding="utf-8"),
            read_file=certificate,
            production=settings.environment == "productie",
        )
    except UnicodeDecodeError as error:
        raise Fault(f"{file} is not a text in UTF-8") from error
    except OSError as error:
        raise Fault(f"{file} cannot be read: {error.strerror}") from error
    except DirectoryInvalid as error:
        raise DirectoryInvalid("\n".join([str(error), *absent])) from error


@app.command()
def toon(*, json: AsJson = False) -> None:
    """Toon wie er is aangesloten."""
    version, text = the_ledger().directory()
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
