"""``gateway rabbitmq``: what an operator does with the broker."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.rabbitmq.topology import permissions
from gateway.adapters.register import directory_of
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.message import Channel, Oin
from gateway.settings import load

app = typer.Typer(help="De broker.", no_args_is_help=True)


@app.command()
def hervullen(
    ontvanger: str,
    *,
    sinds: Annotated[datetime, typer.Option(help="Vanaf wanneer (UTC).")],
) -> None:
    """Bied opnieuw aan wat op een verloren wachtrij lag en niet is bevestigd."""
    ledger = open_ledger(load(os.environ).ledger)
    count = ledger.refill(Oin(ontvanger), sinds.replace(tzinfo=UTC), datetime.now(UTC))
    screen.print(f"{count} afleveringen gaan opnieuw naar partij.{ontvanger}.")


@app.command()
def rechten(*, json: AsJson = False) -> None:
    """Welke rechten krijgt de broker-gebruiker (= OIN) van elke partij met een wachtrij?"""
    _, text = open_ledger(load(os.environ).ledger).directory()
    parties = [
        party for party in directory_of(0, text).parties.values() if party.channel is Channel.QUEUE
    ]
    rows = [(party.oin, *permissions(party.oin)) for party in parties]
    if json:
        as_json(
            [dict(zip(("oin", "configure", "write", "read"), row, strict=True)) for row in rows]
        )
        return
    table("Rechten op de broker", ["gebruiker", "configure", "write", "read"], rows)
    screen.print("Zet ze met: rabbitmqctl set_permissions GEBRUIKER CONFIGURE WRITE READ")
