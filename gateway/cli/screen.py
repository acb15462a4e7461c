"""What commands have in common on the screen: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from gateway.delivery import AMSTERDAM

screen = Console(markup=False, highlight=False, emoji=False)
"""Prints what it is given: the name of a party may hold brackets and colons."""

WHOLE = frozenset(
    {"nr", "OIN", "ontvanger", "gestrand", "aantal", "sinds", "af", "wanneer", "wat", "veld"}
)
"""Columns that are never broken over lines."""

AsJson = Annotated[bool, typer.Option("--json", help="Uitvoer als JSON, voor scripts.")]


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print one table; an empty one says so."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # what people copy stays on one line
        made.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    count = 0
    for row in rows:
        made.add_row(*("" if cell is None else _shown(cell) for cell in row))
        count += 1
    screen.print(made if count else f"{title}: niets.")


def _shown(cell: object) -> str:
    """An instant as people in the Netherlands read it; all else as it is."""
    if isinstance(cell, datetime):
        return cell.astimezone(AMSTERDAM).strftime("%d-%m-%Y %H:%M")
    return str(cell)


def as_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
