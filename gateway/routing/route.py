"""Station route: who gets it, through which channel, in which dialect?

Decided anew at every attempt, since the directory may have changed after acceptance.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.message import Channel, Delivery, Dialect
from gateway.routing.directory import Directory, Party


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one delivery goes."""

    party: Party
    channel: Channel
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Nowhere:
    """There is no way to this recipient now; a person must look at the directory."""


def route(delivery: Delivery, directory: Directory) -> Destination | Nowhere:
    """Find the destination of a delivery in the directory of this moment.

    A queue always carries JSON; elsewhere the party's own dialect holds. The ledger moves
    what waits when a party changes its channel; what was lent before keeps its own.
    """
    party = directory.parties.get(delivery.ontvanger)
    if party is None:
        return Nowhere()
    if delivery.channel is Channel.PUSH and party.endpoint is None:
        return Nowhere()
    dialect = Dialect.JSON if delivery.channel is Channel.QUEUE else party.dialect
    return Destination(party=party, channel=delivery.channel, dialect=dialect)
