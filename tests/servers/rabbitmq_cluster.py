"""Three private RabbitMQ nodes that are one cluster, for the tests of its failures."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers.process import wait_until
from tests.servers.rabbitmq import Company, Permissions, RabbitMQ, require_rabbitmq

NAMES = tuple(f"gateway-tests-{number}@localhost" for number in (1, 2, 3))


class Cluster:
    """Three nodes; each may be killed and started again by itself.

    Attributes:
        nodes: By name.
    """

    def __init__(self, folder: Path) -> None:
        company = Company(NAMES)
        self.nodes: dict[str, RabbitMQ] = {}
        for name in NAMES:
            place = folder / name.partition("@")[0]
            place.mkdir()
            self.nodes[name] = RabbitMQ(place, company, name)

    def start(self) -> None:
        """Start all; returns when they are one cluster."""
        first, *others = self.nodes.values()
        first.start()
        with ThreadPoolExecutor() as pool:
            list(pool.map(RabbitMQ.start, others))

    def close(self) -> None:
        """End every node, whatever state it is in; the one with the epmd goes last."""
        for node in reversed(self.nodes.values()):
            node.close()

    @property
    def alive(self) -> list[RabbitMQ]:
        return [node for node in self.nodes.values() if node.runs]

    def leader(self, vhost: str, queue: str) -> RabbitMQ:
        """The node where the leader of this queue is, once all three keep it."""

        def complete() -> bool:
            place = self.alive[0].place(vhost, queue)
            return len(place.online) == len(NAMES) and bool(place.leader)

        wait_until(complete, within=60, what=f"{queue} has three members and a leader")
        return self.nodes[self.alive[0].place(vhost, queue).leader]

    def start_dead(self) -> None:
        """Start every node that does not run; returns when all answer."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(RabbitMQ.start, [n for n in self.nodes.values() if not n.runs]))


class ClusterBroker:
    """A clean virtual host on the cluster."""

    def __init__(self, cluster: Cluster, vhost: str) -> None:
        self.cluster = cluster
        self.vhost = vhost

    @property
    def urls(self) -> list[str]:
        """AMQP addresses of the administrator, one for each node."""
        return [node.url(self.vhost) for node in self.cluster.nodes.values()]

    def user(self, name: str, may: Permissions) -> list[str]:
        """Make a user (again) with these rights; returns its AMQP addresses."""
        password = uuid.uuid4().hex
        node = self.cluster.alive[0]
        node.add_user(name, password)
        node.permit(name, self.vhost, may)
        return [each.url(self.vhost, name, password) for each in self.cluster.nodes.values()]


@contextlib.contextmanager
def a_cluster() -> Iterator[Cluster]:
    """A cluster of one's own; skips or fails where there is no RabbitMQ."""
    require_rabbitmq()
    folder = Path(tempfile.mkdtemp(prefix="gateway-rabbitmq-cluster-"))
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


def a_vhost(cluster: Cluster) -> ClusterBroker:
    """A clean virtual host; it goes with the cluster."""
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    node = cluster.alive[0]
    node.add_vhost(vhost)
    wait_until(lambda: node.runs_everywhere(vhost), within=60, what=f"{vhost} on every node")
    return ClusterBroker(cluster, vhost)
