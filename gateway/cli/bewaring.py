"""``gateway bewaring``: what was kept long enough goes; normally the gateway does this itself."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.adapters.keyring import Keyring
from gateway.adapters.register import directory_of
from gateway.adapters.timekeeping import courses_of
from gateway.adapters.upkeep import sweep_batches
from gateway.cli.given import the_ledger
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.routing.directory import EMPTY
from gateway.routing.retention import read
from gateway.settings import load


def add_to(app: typer.Typer) -> None:
    """Hang the command under ``gateway`` itself."""
    app.command("bewaring")(bewaring)


def bewaring(
    *,
    proef: Annotated[bool, typer.Option("--proef", help="Toon wat zou gaan; doe niets.")] = False,
    json: AsJson = False,
) -> None:
    """Wis wat lang genoeg is bewaard. De rollen klok en houder doen dit zelf, elk uur."""
    settings = load(os.environ)
    ledger = the_ledger()
    counts: Counter[tuple[str, str]] = Counter()
    try:
        version, text = ledger.directory()
        directory = directory_of(version, text) if version else EMPTY
        courses = courses_of(Keyring.load(settings.keys), lambda: directory)
        now = datetime.now(UTC)
        for batch in sweep_batches(ledger, read(), courses, lambda: now, trial=proef):
            counts += batch()
    finally:
        ledger.close()
    rows = [(what, soort, count) for (what, soort), count in sorted(counts.items())]
    if json:
        as_json([dict(zip(("wat", "soort", "aantal"), row, strict=True)) for row in rows])
        return
    title = "Zou gaan" if proef else "Gegaan"
    table(title, ["wat", "soort", "aantal"], rows)
    if proef and rows:
        screen.print("Uitvoeren: gateway bewaring")
