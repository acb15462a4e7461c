"""``gateway inrichten`` and ``gateway dienst``: prepare a gateway, and run it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any

import typer

from gateway.cli.trouble import TROUBLE, sentence
from gateway.settings import Settings, load


def add_to(app: typer.Typer) -> None:
    """Hang the commands under ``gateway`` itself."""
    app.command("inrichten")(inrichten)
    app.command("dienst")(dienst)
    app.command("lid", hidden=True)(lid)


def inrichten() -> None:
    """Maak wat ontbreekt: sleutels, tabellen en wachtrijen. Doet niets tweemaal."""
    from gateway.prepare import prepare  # noqa: PLC0415 - other commands need not wait for it

    settings = load(os.environ)
    for line in prepare(settings):
        typer.echo(f"  {line}")


def dienst(
    rollen: Annotated[
        str | None, typer.Option(help="ontvangen,bezorgen,klok,houder (standaard alle)")
    ] = None,
    processen: Annotated[
        int | None, typer.Option(min=1, help="zoveel processen, voor alle kernen (standaard 1)")
    ] = None,
) -> None:
    """Start de gateway en houd haar draaiend."""
    environment = dict(os.environ)
    if rollen is not None:
        environment["GATEWAY_ROLES"] = rollen
    if processen is not None:
        environment["GATEWAY_PROCESSES"] = str(processen)
    settings = load(environment)
    ready = partial(_say_where, settings)
    # other commands need not wait for these
    if settings.processes > 1:
        from gateway.family import keep  # noqa: PLC0415

        _run(keep(settings, environment, ready))
    else:
        from gateway.process import serve  # noqa: PLC0415

        _run(serve(settings, ready))


def lid(kern: Annotated[int | None, typer.Option()] = None) -> None:
    """Eén proces van meer: ``gateway dienst --processen`` start het en leest wat het zegt."""
    from gateway.family import READY, Kin  # noqa: PLC0415
    from gateway.process import serve  # noqa: PLC0415

    def say(what: bytes) -> None:
        os.write(sys.stdout.fileno(), what)

    kin = Kin(sys.stdin.fileno(), core=kern)
    try:
        _run(serve(load(os.environ), partial(say, READY), kin))
    except TROUBLE as error:
        say(sentence(error).encode())
        raise typer.Exit(1) from None


def _run(work: Coroutine[Any, Any, None]) -> None:
    from uvicorn.loops.auto import auto_loop_factory  # noqa: PLC0415

    # uvloop where it is installed
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(work)


def _say_where(settings: Settings) -> None:
    """Tell the operator where the doors are that just opened."""
    if "ontvangen" in settings.roles:
        typer.echo(f"De gateway luistert op {settings.url}; stoppen met Ctrl-C.")
    shared = settings.port == settings.admin_port
    if "ontvangen" in settings.roles or not shared:
        host = settings.host if shared else settings.admin_host
        typer.echo(f"Stand van zaken: http://{host}:{settings.admin_port}/console")
