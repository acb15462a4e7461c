"""A new version comes while parties send: no request fails, and what no longer fits says so."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures.running import ROOT
from fixtures.world import World, process_environment
from gateway.adapters.ledger.migrate import _revisions
from gateway.schemas import Catalogue
from tests.conftest import Counts, NewWorld
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town
from tests.servers.rabbitmq import Broker

EXPAND = '''\
"""Only adds: code that does not know it goes on."""

import sqlalchemy as sa
from alembic import op

revision = "proef_erbij"
down_revision = "{before}"
compatible_with = "{before}"


def upgrade():
    op.add_column("message", sa.Column("proef", sa.Text(), nullable=True))
    with op.get_context().autocommit_block():
        op.create_index(
            "message_proef", "message", ["proef"], postgresql_concurrently=True, if_not_exists=True
        )
'''
CONTRACT = '''\
"""Takes away: code that still reads it must not run."""

from alembic import op

revision = "proef_eraf"
down_revision = "proef_erbij"


def upgrade():
    op.drop_column("message", "proef")
'''
MESSAGES = 300
USES_IT = '\nmessage.append_column(sa.Column("proef", sa.Text()))\n'


def a_tree(folder: Path, **revisions: str) -> Path:
    """A copy of the gateway's code with further revisions of its tables."""
    shutil.copytree(ROOT / "gateway", folder / "gateway")
    versions = folder / "gateway/adapters/ledger/migrations/versions"
    for name, script in revisions.items():
        (versions / f"{name}.py").write_text(script.replace("{before}", _revisions()[0]))
    return folder


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The next version, which has a column more and uses it."""
    tree = a_tree(tmp_path / "newer", expand=EXPAND)
    with (tree / "gateway/adapters/ledger/tables.py").open("a") as tables:
        tables.write(USES_IT)
    return tree


@pytest.fixture
def newest(tmp_path: Path) -> Path:
    """The version after that, which takes the column away."""
    return a_tree(tmp_path / "newest", expand=EXPAND, contract=CONTRACT)


@pytest.fixture
def town(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, postgres_url: str, broker: Broker
) -> Town:
    return a_town(new_world, catalogue, tmp_path / "town", ledger=postgres_url, broker=broker)


async def prepare(world: World, tree: Path) -> None:
    """``gateway inrichten`` of the code in this tree."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "inrichten"),
        cwd=tree,
        env=process_environment(world),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.database
@pytest.mark.broker
@pytest.mark.timeout(400)
async def test_processes_are_replaced_one_by_one_without_a_failed_request(
    town: Town, newer: Path, newest: Path, counts: Counts
) -> None:
    old = [GatewayProcess(town.world) for _ in range(2)]
    new = [GatewayProcess(town.world, root=newer) for _ in range(2)]

    with running(*old), ExitStack() as stack:
        await asyncio.gather(*(each.until_ready() for each in old))
        load = town.load(*old, count=MESSAGES, pause=0.1)
        load.again = True
        async with town.taking(load.doors) as taken:
            sending = asyncio.create_task(load.send())
            await load.until_further(20)
            await prepare(town.world, newer)
            for leaves, comes in zip(old, new, strict=True):
                stack.enter_context(running(comes))
                await comes.until_ready()
                load.doors.urls.append(comes.url)
                await load.until_further(20)
                await leaves.terminate()
                await load.until_further(20)
                load.doors.urls.remove(leaves.url)
            load.again = False
            await sending
            held = await everything_holds(town, load, taken)

    counts("rolling restart", **held.numbers, asked=load.asked)
    assert not load.failed
    assert not taken.failed
    await prepare(town.world, newest)
    with pytest.raises(AssertionError, match="proef_eraf, which this gateway does not know"):
        await start(GatewayProcess(town.world))
    with pytest.raises(AssertionError, match="proef_eraf, which this gateway does not know"):
        await start(GatewayProcess(town.world, root=newer))
    await start(GatewayProcess(town.world, root=newest))


async def start(process: GatewayProcess) -> None:
    """Start it, and end it again when it is ready."""
    with running(process):
        await process.until_ready()
