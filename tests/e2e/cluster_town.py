"""A town whose broker is a cluster: who reads the queue goes to the next node when one is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.parties import CaseSystem
from gateway.adapters.rabbitmq.topology import permissions
from gateway.message import Json
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.broker_load import Subscriber
from tests.fault.town import Taken, Town, a_town
from tests.servers.rabbitmq import Broker, Permissions
from tests.servers.rabbitmq_cluster import ClusterBroker


@dataclass
class _Reader(Subscriber):
    """Takes what it is told to, and rejects the rest."""

    taken: Taken = field(default_factory=Taken)
    came: list[str] = field(default_factory=list)

    def keep(self, told: Json) -> bool:
        self.came.append(told["afleverId"])
        if told["referentienummer"] in self.taken.rejected:
            return False
        self.taken.take(told)
        return True


@dataclass(frozen=True)
class ClusterTown(Town):
    """A town whose SHV may read at each node of a cluster.

    Attributes:
        place: Where the queues are.
        came: Delivery ids as the SHV read them, repeats included.
    """

    place: ClusterBroker = field(kw_only=True)
    came: list[str] = field(default_factory=list, kw_only=True)

    @asynccontextmanager
    async def reading(self, shv: CaseSystem, taken: Taken) -> AsyncIterator[None]:
        oin = shv.identity.oin
        urls = self.place.user(oin, Permissions(*permissions(oin)))
        task = asyncio.create_task(_Reader(urls, taken=taken, came=self.came).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def a_cluster_town(
    new_world: NewWorld, catalogue: Catalogue, folder: Path, *, ledger: str, place: ClusterBroker
) -> ClusterTown:
    """A prepared world on a ledger and a cluster; the processes are the test's."""
    anyone = Broker(place.cluster.alive[0], place.vhost)
    nodes = ",".join(place.urls)
    town = a_town(new_world, catalogue, folder, ledger=ledger, broker=anyone, broker_url=nodes)
    return ClusterTown(town.world, town.catalogue, town.signed, town.broker, place=place)
