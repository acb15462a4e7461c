"""A private RabbitMQ node for the tests: own name, folder, ports, epmd and cookie.

Nothing of the machine's own RabbitMQ is read, started or stopped. Everything that is
started here is ended by its process id, also when the test run itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx
import pytest

from tests.required import lacking, required
from tests.servers.process import dies_with_us, end, free_port, listens, wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
ADMIN = "beheer"
NODE = "gateway-tests@localhost"
DISK_KEPT_FREE = 50_000_000
STARTS_WITHIN = 120.0
"""Seconds that a node may take to answer; a quiet machine needs about two."""

ANSWERS_WITHIN = 60.0
"""Seconds for the management API: a node that is busy leaves a question unanswered now and then."""
ASKS_AGAIN_AFTER = 10.0
BUSY = frozenset({httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.GATEWAY_TIMEOUT})
"""What it says when a part of the node did not answer it; a raised alarm is a 503."""

SETTLES_WITHIN = 5.0
"""Seconds after which a new queue's helpers have certainly started."""


class Permissions(NamedTuple):
    """Regular expressions for what a user may configure, write and read."""

    configure: str
    write: str
    read: str


EVERYTHING = Permissions(".*", ".*", ".*")


class QueuePlace(NamedTuple):
    """The nodes that keep a quorum queue."""

    leader: str
    members: list[str]
    online: list[str]


class QueueView(NamedTuple):
    """One queue as the management API tells it."""

    name: str
    kind: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class Company:
    """What the nodes of one cluster have in common.

    Attributes:
        nodes: Their names; the first is started first.
        epmd_port: Of the epmd that one of them starts and all use.
    """

    nodes: tuple[str, ...] = (NODE,)
    epmd_port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: uuid.uuid4().hex)
    cookie: str = field(default_factory=lambda: uuid.uuid4().hex)


class RabbitMQ:
    """One node; ``stop``, ``kill`` and ``start`` keep its data.

    Args:
        folder: An empty folder, for its data, settings and output.
        name: Its name within the company; the first one brings the epmd.
    """

    def __init__(self, folder: Path, company: Company | None = None, name: str = NODE) -> None:
        self._folder = folder
        self._company = company or Company()
        self.name = name
        self._dist_port, self._http_port, self.port = free_port(), free_port(), free_port()
        self._starter = ThreadPoolExecutor(1, "rabbitmq")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self._retired: dict[str, float] = {}
        self._api = httpx.Client(
            base_url=f"http://127.0.0.1:{self._http_port}/api",
            auth=(ADMIN, self._company.password),
            timeout=ASKS_AGAIN_AFTER,
            trust_env=False,
        )
        self._write_settings()

    def _write_settings(self) -> None:
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": self._http_port,
            "default_user": ADMIN,
            "default_pass": self._company.password,
            # a restart must not wait for its turn, nor a test run fill a small disk
            "disk_free_limit.absolute": DISK_KEPT_FREE,
            "raft.wal_max_size_bytes": 32 * 1024 * 1024,
            "log.console.level": "warning",
        }
        if len(self._company.nodes) > 1:
            settings["cluster_formation.peer_discovery_backend"] = "classic_config"
            # the first node finds nobody, and need not look long
            settings["cluster_formation.discovery_retry_limit"] = 2
            settings["cluster_formation.discovery_retry_interval"] = 200
        for number, node in enumerate(self._company.nodes, 1):
            settings[f"cluster_formation.classic_config.nodes.{number}"] = node
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self._folder / "rabbitmq.conf").write_text(lines)
        (self._folder / "plugins").write_text("[rabbitmq_management].\n")
        (self._folder / "rabbitmq-env.conf").write_text("")
        # milliseconds until a dead letter that found no way is tried again; it is three minutes
        again = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}]}].\n"
        (self._folder / "advanced.config").write_text(again)
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(self._company.cookie)
        cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ["PATH"],
            "HOME": folder,  # the cookie is there
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._company.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # the start script becomes the node itself, so its pid is the node's
            "detached": "1",
        }

    def start(self) -> None:
        """Start what does not run; returns when AMQP and the management API answer."""
        if self._epmd is None and self.name == self._company.nodes[0]:
            port = self._company.epmd_port
            self._epmd = self._spawn(["epmd", "-port", str(port), "-address", "127.0.0.1"])
            self._wait(lambda: listens(port), "epmd listens")
        self._node = self._spawn([str(SERVER)])
        self._wait(self._answers, "RabbitMQ answers")
        self._retired = dict.fromkeys(self._retired, time.monotonic())

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        # the kernel ends it with the thread that started it, so that one must last
        return self._starter.submit(self._spawn_here, command).result()

    def _spawn_here(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [*dies_with_us(), *command],
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def ready() -> bool:
            if self._node is not None and self._node.poll() is not None:
                raise AssertionError(f"RabbitMQ ended at its start:\n{self.output()}")
            return condition()

        wait_until(ready, within=STARTS_WITHIN, what=f"{what}\n{self.output()}")

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        with contextlib.suppress(httpx.HTTPError):
            return self._api.get("/overview").status_code == httpx.codes.OK
        return False

    def output(self) -> str:
        """The last lines that the node and epmd printed."""
        file = self._folder / "output.txt"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""

    def stop(self) -> None:
        """Orderly, as an operator would; takes some seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, after the node has written down which queues there are.

        RabbitMQ 3.10 keeps the names of new quorum queues to itself for some seconds; a
        queue whose name is lost confirms nothing ever again. Its messages are safe.
        """
        self._erlang("dets sync [ra_directory_reverse]")
        self._end(signal.SIGKILL)

    @contextlib.contextmanager
    def stuck_queue(self, vhost: str, queue: str) -> Iterator[None]:
        """This quorum queue does not answer, as when its cluster lost the majority."""
        name = f"'{vhost}_{queue}'"
        self._erlang(f"sys suspend [{name}]")
        try:
            yield
        finally:
            self._erlang(f"sys resume [{name}]")

    @contextlib.contextmanager
    def short_of_disk(self) -> Iterator[None]:
        """The disk alarm is on: whoever publishes is read no more."""
        self._erlang("rabbit_disk_monitor set_disk_free_limit [900000000000000]")
        try:
            yield
        finally:
            self._erlang(f"rabbit_disk_monitor set_disk_free_limit [{DISK_KEPT_FREE}]")

    @contextlib.contextmanager
    def short_of_memory(self) -> Iterator[None]:
        """The memory alarm is on: whoever publishes is read no more."""
        self._erlang("vm_memory_monitor set_vm_memory_high_watermark [0.0]")
        try:
            yield
        finally:
            self._erlang("vm_memory_monitor set_vm_memory_high_watermark [0.4]")

    def alarms(self) -> list[str]:
        """Which resources this node is short of: ``disk``, ``memory``."""
        told = self._ask("GET", "/health/checks/local-alarms").json()
        return [each["resource"] for each in told.get("alarms", [])]

    def _erlang(self, call: str) -> None:
        if self._node is not None:
            command = ["erl_call", "-c", self._company.cookie, "-sname", self.name, "-a", call]
            subprocess.run(
                command, env=self._environment(), capture_output=True, timeout=60, check=False
            )

    def restart(self) -> None:
        """Stop orderly and start again."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The node keeps its sockets but answers nobody, as behind a cut cable."""
        assert self._node is not None
        os.kill(self._node.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._node.pid, os.WSTOPPED)  # every thread has stopped
        try:
            yield
        finally:
            os.kill(self._node.pid, signal.SIGCONT)

    @property
    def runs(self) -> bool:
        """It was started and did not end since."""
        return self._node is not None and self._node.poll() is None

    def _end(self, how: signal.Signals) -> None:
        if self._node is not None:
            end(self._node, how)
            self._node = None

    def close(self) -> None:
        """End the node and its epmd, whatever state they are in."""
        self._end(signal.SIGKILL)
        if self._epmd is not None:
            end(self._epmd, signal.SIGTERM)
            self._epmd = None
        self._api.close()
        self._starter.shutdown()

    def url(self, vhost: str, user: str = ADMIN, password: str | None = None) -> str:
        """AMQP address, by default of the administrator."""
        secret = self._company.password if password is None else password
        return f"amqp://{quote(user)}:{secret}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def add_vhost(self, name: str) -> None:
        self._sweep()
        self._do("PUT", f"/vhosts/{quote(name, safe='')}", {})
        self.permit(ADMIN, name, EVERYTHING)

    def runs_everywhere(self, vhost: str) -> bool:
        """Whether every node lets clients into a virtual host; those that do not are asked to.

        A node that was busy while it was made may have left it stopped.
        """
        place = f"/vhosts/{quote(vhost, safe='')}"
        states = self._told(place).json().get("cluster_state", {})
        stopped = [node for node, state in states.items() if state != "running"]
        for node in stopped:
            self._ask("POST", f"{place}/start/{node}", {})
        return not stopped

    def retire_vhost(self, name: str) -> None:
        """Nobody uses it any more; it is deleted some seconds later.

        RabbitMQ 3.10 deletes a queue badly while the queue's dead-letter worker is
        still starting: the supervisor of all such workers gives up, for good.
        """
        self._retired[name] = time.monotonic()

    def _sweep(self) -> None:
        settled = time.monotonic() - SETTLES_WITHIN
        for name in [name for name, since in self._retired.items() if since < settled]:
            del self._retired[name]
            self._do("DELETE", f"/vhosts/{quote(name, safe='')}", None)

    def add_user(self, name: str, password: str) -> None:
        self._do("PUT", f"/users/{quote(name, safe='')}", {"password": password, "tags": ""})

    def permit(self, user: str, vhost: str, may: Permissions) -> None:
        place = f"/permissions/{quote(vhost, safe='')}/{quote(user, safe='')}"
        self._do("PUT", place, may._asdict())

    def queues(self, vhost: str) -> list[QueueView]:
        answer = self._told(
            f"/queues/{quote(vhost, safe='')}?disable_stats=true&enable_queue_totals=true"
        )
        return [QueueView(item["name"], item["type"], item["arguments"]) for item in answer.json()]

    def definitions(self, vhost: str) -> object:
        """Every queue, exchange and binding, in an order of its own."""
        told = self._told(f"/definitions/{quote(vhost, safe='')}").json()
        return {what: sorted(told[what], key=repr) for what in ("queues", "exchanges", "bindings")}

    def place(self, vhost: str, queue: str) -> QueuePlace:
        """Where a quorum queue lives, as this node knows it."""
        told = self._told(f"/queues/{quote(vhost, safe='')}/{quote(queue, safe='')}").json()
        return QueuePlace(told.get("leader", ""), told.get("members", []), told.get("online", []))

    def _do(self, method: str, place: str, body: dict[str, str] | None) -> None:
        answer = self._ask(method, place, body)
        # an earlier try may have been done without being answered
        if not (method == "DELETE" and answer.status_code == httpx.codes.NOT_FOUND):
            answer.raise_for_status()

    def _told(self, place: str) -> httpx.Response:
        return self._ask("GET", place).raise_for_status()

    def _ask(self, method: str, place: str, body: dict[str, str] | None = None) -> httpx.Response:
        """What the management API answers, asked again until it does; each may be repeated.

        Raises:
            httpx.TransportError: nobody answered within ``ANSWERS_WITHIN``.
        """
        deadline = time.monotonic() + ANSWERS_WITHIN
        while True:
            try:
                answer = self._api.request(method, place, json=body)
            except httpx.TransportError:
                if not self.runs or time.monotonic() > deadline:
                    raise
            else:
                if answer.status_code not in BUSY or time.monotonic() > deadline:
                    return answer
            time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Broker:
    """A clean virtual host on the private node."""

    server: RabbitMQ
    vhost: str

    @property
    def url(self) -> str:
        """AMQP address of the administrator in this virtual host."""
        return self.server.url(self.vhost)

    def user(self, name: str, may: Permissions) -> str:
        """Make a user (again) with these rights here; returns its AMQP address."""
        password = uuid.uuid4().hex
        self.server.add_user(name, password)
        self.server.permit(name, self.vhost, may)
        return self.server.url(self.vhost, name, password)

    def queues(self) -> list[QueueView]:
        return self.server.queues(self.vhost)


def require_rabbitmq() -> None:
    """Skip the test where there is no RabbitMQ; fail it where there must be."""
    if not SERVER.exists():
        lacking("RabbitMQ is not installed here: run 'make servers'.")
    required("epmd", "erl_call")


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQ]:
    """The private node, started once for the whole run."""
    require_rabbitmq()
    folder = Path(tempfile.mkdtemp(prefix="gateway-rabbitmq-"))
    server = RabbitMQ(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def broker(rabbitmq_server: RabbitMQ) -> Iterator[Broker]:
    """A clean virtual host for one test."""
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    rabbitmq_server.add_vhost(vhost)
    yield Broker(rabbitmq_server, vhost)
    rabbitmq_server.retire_vhost(vhost)
