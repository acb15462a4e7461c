"""A cluster of three loses nodes: the minority is not missed, the majority is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from fixtures.world import SHV
from gateway.adapters.rabbitmq.topology import party_queue, permissions
from tests.conftest import NewWorld
from tests.fault.broker_load import PARTIES, Flow, flowing, nothing_dead_at, seconds_until
from tests.fault.conftest import Counts
from tests.servers.rabbitmq import Permissions
from tests.servers.rabbitmq_cluster import Cluster, ClusterBroker, a_cluster, a_vhost

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

QUEUE = party_queue(SHV)
GOES_ON_WITHIN = 20.0
"""Seconds in which deliveries go again after the leader died."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with a_cluster() as started:
        yield started


@pytest.fixture
def place(cluster: Cluster) -> ClusterBroker:
    cluster.start_dead()
    return a_vhost(cluster)


@pytest_asyncio.fixture
async def flow(new_world: NewWorld, tmp_path: Path, place: ClusterBroker) -> AsyncIterator[Flow]:
    world = new_world(tmp_path / "gateway", PARTIES, broker=",".join(place.urls))
    urls = place.user(SHV, Permissions(*permissions(SHV)))
    async with flowing(world, urls) as started:
        yield started


async def test_the_loss_of_a_queues_leader_is_survived_without_it(
    flow: Flow, cluster: Cluster, place: ClusterBroker, counts: Counts
) -> None:
    async with flow.sending():
        await flow.until_received(30, "deliveries before")
        leader = await asyncio.to_thread(cluster.leader, place.vhost, QUEUE)
        await asyncio.to_thread(leader.kill)
        received = len(flow.shv.references)
        back = await seconds_until(
            lambda: len(flow.shv.references) > received + 20, "deliveries go on with two nodes"
        )
        new = await asyncio.to_thread(cluster.alive[0].place, place.vhost, QUEUE)
        assert new.leader not in {"", leader.name}
    await nothing_dead_at(cluster.alive[0].url(place.vhost))
    await flow.settle(counts, "cluster lost the leader", twenty_more_after_s=back)
    assert back < GOES_ON_WITHIN


async def test_the_loss_of_the_majority_is_waited_out(
    flow: Flow, cluster: Cluster, place: ClusterBroker, counts: Counts
) -> None:
    async with flow.sending():
        await flow.until_received(20, "deliveries before")
        leader = await asyncio.to_thread(cluster.leader, place.vhost, QUEUE)
        other = next(node for node in cluster.alive if node is not leader)
        for node in (leader, other):
            await asyncio.to_thread(node.kill)
        await flow.until_accepted(30)
        assert flow.states()["bevestigd"] < len(flow.accepted) - 20, "one node alone confirms"
        await asyncio.to_thread(cluster.start_dead)
        received = len(flow.shv.references)
        back = await seconds_until(
            lambda: len(flow.shv.references) > received + 20, "deliveries go again"
        )
    await flow.settle(counts, "cluster lost its majority", twenty_more_after_s=back)


async def test_an_orderly_restart_of_the_leaders_node_is_survived(
    flow: Flow, cluster: Cluster, place: ClusterBroker, counts: Counts
) -> None:
    async with flow.sending():
        await flow.until_received(10, "deliveries before")
        leader = await asyncio.to_thread(cluster.leader, place.vhost, QUEUE)
        await asyncio.to_thread(leader.stop)
        await flow.until_received(20, "deliveries go on with two nodes")
        await asyncio.to_thread(leader.start)
        await flow.until_received(20, "deliveries go on with three")
    await flow.settle(counts, "cluster's leader restarted")
