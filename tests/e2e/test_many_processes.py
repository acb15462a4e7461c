"""Roles spread over several processes on two machines, with one ledger and one broker.

One machine is cut off while parties send, and comes back: what was answered arrives once
recorded and in order, and nobody notices but by waiting.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town
from tests.servers.cutting_proxy import CuttingProxy
from tests.servers.machines import HERE, Machine, machines
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import Broker, RabbitMQ

pytestmark = [pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(400)]

MESSAGES = 300
AT_FIRST, MEANWHILE = 60, 80


@pytest.fixture
def two_machines() -> Iterator[list[Machine]]:
    with machines(2) as made:
        yield made


@pytest.fixture
def town(
    two_machines: list[Machine],
    new_world: NewWorld,
    catalogue: Catalogue,
    tmp_path: Path,
    shared: tuple[str, Broker, str],
) -> Town:
    ledger, broker, url = shared
    return a_town(new_world, catalogue, tmp_path, ledger=ledger, broker=broker, broker_url=url)


@pytest.fixture
def shared(
    two_machines: list[Machine],
    postgres_server: Postgres,
    postgres_url: str,
    rabbitmq_server: RabbitMQ,
    broker: Broker,
) -> Iterator[tuple[str, Broker, str]]:
    """The ledger and the broker, where all machines reach them."""
    with ExitStack() as stack:
        ports = {}
        for port in (postgres_server.port, rabbitmq_server.port):
            ports[port] = stack.enter_context(CuttingProxy(port, host=HERE)).port
        ledger, url = postgres_url, broker.url
        for inside, outside in ports.items():
            ledger = ledger.replace(f"127.0.0.1:{inside}/", f"{HERE}:{outside}/")
            url = url.replace(f"127.0.0.1:{inside}/", f"{HERE}:{outside}/")
        yield ledger, broker, url


async def test_a_machine_that_is_cut_off_and_comes_back_costs_no_message(
    town: Town, two_machines: list[Machine], record_property: Callable[[str, object], None]
) -> None:
    stays, goes = two_machines

    def on(machine: Machine, roles: str) -> GatewayProcess:
        return GatewayProcess(town.world, roles, host=machine.host, prefix=machine.prefix)

    receiving = [on(stays, "ontvangen"), on(goes, "ontvangen")]
    others = [on(stays, "bezorgen,houder"), on(goes, "bezorgen,klok")]

    with running(*receiving, *others):
        await asyncio.gather(*(each.until_ready() for each in (*receiving, *others)))
        load = town.load(*receiving, count=MESSAGES, pause=0.1)
        rejected = [own for own in load.bodies if own in town.signed.alone][::3]
        async with town.taking(load.doors, rejected=rejected) as taken:
            sending = asyncio.create_task(load.send())
            await load.until(AT_FIRST)
            goes.cut_off()
            await until_it_says_so(goes, receiving[1])
            await load.until(AT_FIRST + MEANWHILE)
            goes.come_back()
            await receiving[1].until_ready()
            await asyncio.wait_for(sending, 180)
            held = await everything_holds(town, load, taken)

    assert not sending.cancelled()
    for name, number in held.numbers.items():
        record_property(name, number)


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
