"""The command line: Dutch sub-commands, ``--json`` for scripts, and what to do next."""

from __future__ import annotations

import sys

import typer

from gateway.adapters.ledger.database import LedgerBug
from gateway.cli import (
    betrokkene,
    bewaring,
    bewijs,
    dienst,
    gestrand,
    klok,
    ondertekenen,
    partijen,
    rabbitmq,
    reservekopie,
    sleutels,
    termijnen,
)
from gateway.errors import Fault, LedgerUnavailable, Refusal

app = typer.Typer(
    name="gateway",
    help="Berichtengateway voor schuldhulpverlening.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(partijen.app, name="partijen")
app.add_typer(gestrand.app, name="gestrand")
app.add_typer(rabbitmq.app, name="rabbitmq")
app.add_typer(bewijs.app, name="bewijs")
app.add_typer(betrokkene.app, name="betrokkene")
app.add_typer(reservekopie.app, name="reservekopie")
app.add_typer(sleutels.app, name="sleutels")
dienst.add_to(app)
bewaring.add_to(app)
klok.add_to(app)
termijnen.add_to(app)
ondertekenen.add_to(app)


def main() -> None:
    """Run one command; trouble is one clear sentence and exit code 1, never a trace."""
    try:
        app()
    except LedgerUnavailable as error:
        sys.exit(f"gateway: {error}; 'gateway inrichten' makes a new one")
    except LedgerBug as error:
        sys.exit(f"gateway: what GATEWAY_LEDGER names is no ledger of this gateway ({error})")
    except (Fault, Refusal) as error:
        sys.exit(f"gateway: {error}")
