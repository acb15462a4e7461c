"""``gateway inrichten`` and ``gateway dienst``: prepare a gateway, and run it."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Annotated

import typer

from gateway.cli.screen import screen
from gateway.settings import Settings, load


def add_to(app: typer.Typer) -> None:
    """Hang the commands under ``gateway`` itself."""
    app.command("inrichten")(inrichten)
    app.command("dienst")(dienst)


def inrichten() -> None:
    """Maak wat ontbreekt: sleutels, tabellen en wachtrijen. Doet niets tweemaal."""
    from gateway.prepare import prepare  # noqa: PLC0415 - other commands need not wait for it

    settings = load(os.environ)
    for line in prepare(settings):
        screen.print(f"  {line}")


def dienst(
    rollen: Annotated[
        str | None, typer.Option(help="ontvangen,bezorgen,klok,houder (standaard alle)")
    ] = None,
) -> None:
    """Start de gateway en houd haar draaiend."""
    # other commands need not wait for these
    from uvicorn.loops.auto import auto_loop_factory  # noqa: PLC0415

    from gateway.process import serve  # noqa: PLC0415

    environment = dict(os.environ)
    if rollen is not None:
        environment["GATEWAY_ROLES"] = rollen
    settings = load(environment)
    # uvloop where it is installed
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(serve(settings, partial(_say_where, settings)))


def _say_where(settings: Settings) -> None:
    """Tell the operator where the doors are that just opened."""
    if "ontvangen" in settings.roles:
        screen.print(f"De gateway luistert op {settings.url}; stoppen met Ctrl-C.")
    shared = settings.port == settings.admin_port
    if "ontvangen" in settings.roles or not shared:
        host = settings.host if shared else settings.admin_host
        screen.print(f"Stand van zaken: http://{host}:{settings.admin_port}/console")
