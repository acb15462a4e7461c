"""``gateway rabbitmq``: what an operator does with the broker."""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from gateway.adapters.rabbitmq.topology import permissions
from gateway.adapters.register import directory_of
from gateway.cli.given import an_oin, the_ledger
from gateway.cli.screen import AsJson, as_json, screen
from gateway.message import Channel
from gateway.settings import load

app = typer.Typer(help="De broker.", no_args_is_help=True)


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway rabbitmq``."""
    gateway.add_typer(app, name="rabbitmq")


@app.command()
def hervullen(
    ontvanger: str,
    *,
    sinds: Annotated[datetime, typer.Option(help="Vanaf wanneer (UTC).")],
) -> None:
    """Bied opnieuw aan wat op een verloren wachtrij lag en niet is bevestigd."""
    oin = an_oin("ontvanger", ontvanger)
    ledger = the_ledger()
    count = ledger.refill(oin, sinds.replace(tzinfo=UTC), datetime.now(UTC))
    screen.print(f"{count} afleveringen gaan opnieuw naar partij.{oin}.")


@app.command()
def rechten(*, json: AsJson = False) -> None:
    """Welke rechten krijgt de broker-gebruiker (= OIN) van elke partij met een wachtrij?"""
    settings = load(os.environ)
    _, text = the_ledger().directory()
    parties = [
        party for party in directory_of(0, text).parties.values() if party.channel is Channel.QUEUE
    ]
    rows = [(party.oin, *permissions(party.oin)) for party in parties]
    if json:
        as_json(
            [dict(zip(("oin", "configure", "write", "read"), row, strict=True)) for row in rows]
        )
        return
    if not rows:
        screen.print("Geen partij heeft een wachtrij.")
    host = unquote(urlsplit(settings.broker[0]).path[1:]) if settings.broker else ""
    where = ["-p", host] if host else []
    for row in rows:
        # whole lines, however narrow the screen: they are there to be copied
        print(shlex.join(["rabbitmqctl", "set_permissions", *where, *row]))
