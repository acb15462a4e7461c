"""Roles spread over several processes on two machines, with one ledger and one broker cluster.

One machine is cut off while parties send, the cluster loses a node meanwhile, and the machine
comes back: what was answered arrives once recorded and in order, and nobody notices but by
waiting.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fixtures.world import SHV
from gateway.adapters.rabbitmq.topology import party_queue
from gateway.schemas import Catalogue
from tests.conftest import Counts, NewWorld
from tests.e2e.cluster_town import ClusterTown, a_cluster_town
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town
from tests.servers.machines import Machine, machines, ports
from tests.servers.party import eventually
from tests.servers.rabbitmq_cluster import Cluster, a_cluster, a_vhost

pytestmark = [pytest.mark.database, pytest.mark.timeout(400)]

MESSAGES = 300
AT_FIRST, MEANWHILE = 60, 80
FEW = 45
QUEUE = party_queue(SHV)


@pytest.fixture
def two_machines() -> Iterator[list[Machine]]:
    with machines(2) as made:
        yield made


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with a_cluster() as started:
        yield started


@pytest.fixture
def town(
    cluster: Cluster, postgres_url: str, new_world: NewWorld, catalogue: Catalogue, tmp_path: Path
) -> ClusterTown:
    place = a_vhost(cluster)
    return a_cluster_town(new_world, catalogue, tmp_path, ledger=postgres_url, place=place)


def on(machine: Machine, town: Town, roles: str) -> GatewayProcess:
    """A process on this machine, which reaches the ledger and each node by a way of its own."""
    at = town.world.environment
    nodes = [machine.address(node) for node in at["GATEWAY_BROKER"].split(",") if node]
    reaches = {
        "GATEWAY_LEDGER": machine.address(at["GATEWAY_LEDGER"]),
        "GATEWAY_BROKER": ",".join(nodes),
    }
    return GatewayProcess(town.world, roles, host=machine.host, prefix=machine.prefix, more=reaches)


@asynccontextmanager
async def cut_off(machine: Machine, process: GatewayProcess) -> AsyncIterator[None]:
    """This machine is cut off, and this process of it knows; it is ready again afterwards."""
    machine.cut_off()
    try:
        await until_it_says_so(machine, process)
        yield
    finally:
        machine.come_back()
    await process.until_ready()


@pytest.mark.broker
async def test_a_machine_cut_off_and_a_queues_leader_lost_meanwhile_cost_no_message(
    two_machines: list[Machine], town: ClusterTown, cluster: Cluster, counts: Counts
) -> None:
    stays, goes = two_machines
    receiving = [on(stays, town, "ontvangen"), on(goes, town, "ontvangen")]
    others = [on(stays, town, "bezorgen,houder"), on(goes, town, "bezorgen,klok")]

    with running(*receiving, *others):
        await asyncio.gather(*(each.until_ready() for each in (*receiving, *others)))
        load = town.load(*receiving, count=MESSAGES, pause=0.1)
        rejected = [own for own in load.bodies if own in town.signed.alone][::3]
        async with town.taking(load.doors, rejected=rejected) as taken:
            sending = asyncio.create_task(load.send())
            await load.until(AT_FIRST)
            async with cut_off(goes, receiving[1]):
                lost = await asyncio.to_thread(cluster.leader, town.place.vhost, QUEUE)
                await asyncio.to_thread(lost.kill)
                came = len(town.came)
                await load.until(AT_FIRST + MEANWHILE)
                await eventually(
                    lambda: len(town.came) >= came + 10,
                    "one machine and two nodes go on",
                    within=90,
                )
            await asyncio.wait_for(sending, 180)
            held = await everything_holds(town, load, taken)

    leads = await asyncio.to_thread(cluster.alive[0].place, town.place.vhost, QUEUE)
    assert leads.leader not in {"", lost.name}
    counts("machine cut off, leader lost", machines=type(goes).__name__, **held.numbers)


async def test_a_machine_that_is_only_ports_is_cut_off_and_comes_back_too(
    new_world: NewWorld,
    catalogue: Catalogue,
    tmp_path: Path,
    postgres_url: str,
    counts: Counts,
) -> None:
    town = a_town(new_world, catalogue, tmp_path, ledger=postgres_url)

    with ports(2) as (stays, goes):
        receiving = [on(stays, town, "ontvangen,bezorgen"), on(goes, town, "ontvangen")]
        with running(*receiving):
            await asyncio.gather(*(each.until_ready() for each in receiving))
            load = town.load(*receiving, count=FEW, pause=0.1)
            async with town.taking(load.doors) as taken:
                sending = asyncio.create_task(load.send())
                await load.until(FEW // 3)
                async with cut_off(goes, receiving[1]):
                    await load.until(2 * FEW // 3)
                await asyncio.wait_for(sending, 180)
                held = await everything_holds(town, load, taken)

    counts("machine of ports cut off", **held.numbers)


ASK_UNTIL = """
import sys, time, urllib.error, urllib.request
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        urllib.request.urlopen(sys.argv[1], timeout=30)
    except urllib.error.HTTPError as error:
        sys.exit(error.code != 503)
    time.sleep(0.1)
sys.exit("it says all the time that it can accept")
"""


async def until_it_says_so(machine: Machine, process: GatewayProcess) -> None:
    """On its own machine the process says that its ledger does not answer."""
    asking = await asyncio.create_subprocess_exec(
        *machine.prefix, sys.executable, "-c", ASK_UNTIL, f"{process.admin}/health/ready"
    )
    assert await asking.wait() == 0
