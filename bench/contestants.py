"""Who runs the race: each is started on a fresh database and a fresh virtual host."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.corpus import ROOT_XSD, signed
from bench.servers import GATEWAY_QUEUE, PLAIN_QUEUE, Queue, Servers
from fixtures.pki import Pki
from fixtures.running import ROOT, as_process
from fixtures.world import SE, SHV, Entry, World, free_port, free_ports, lay_out
from gateway.schemas import Catalogue

STARTS_WITHIN = 60.0
VENV = ROOT / ".venv"
FASTSTREAM = VENV / "bench" / "bin" / "python"
CAMEL = VENV / "camel"
XSD = ROOT / "gateway" / "schemas" / "xsd" / ROOT_XSD

GATEWAY = "gateway"
GATEWAY_TWO = "gateway, 2 processes"
FLOOR = "floor"
FASTSTREAM_NAME = "FastStream"
FASTSTREAM_TWO = "FastStream, 2 workers"
CAMEL_NAME = "Camel"


@dataclass(frozen=True)
class Running:
    """A contestant that answers.

    Attributes:
        pids: Its own processes, without their descendants.
        database: Its table, or its ledger; empty for an embedded one.
        log: What its processes print.
        ledger: Where the conversations of a gateway are; empty for who knows none.
    """

    urls: tuple[str, ...]
    pids: tuple[int, ...]
    queue: Queue | None
    database: str
    log: Path
    ledger: str = ""

    def last_words(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


Start = Callable[[Servers, Pki], AbstractContextManager[Running]]
"""How a contestant is started; it ends with the block."""


def parties(channel: str) -> list[Entry]:
    """A creditor that sends, and an SHV that receives on this channel."""
    more = {"bevestiging": '"geen"'} if channel == "queue" else {}
    return [
        Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", vorm="xml"),
        Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", kanaal=channel, more=more),
    ]


@dataclass(frozen=True)
class Prepared:
    """A gateway on fresh servers that can be started, ended and started again."""

    world: World
    database: str
    broker: str

    @contextmanager
    def running(self, processes: int = 1) -> Iterator[Running]:
        """By one command, in so many processes."""
        more = {}
        if processes > 1:
            more = {
                "GATEWAY_PROCESSES": str(processes),
                "GATEWAY_ADMIN_PORT": str(free_ports(processes)),
            }
        world = replace(self.world, environment={**self.world.environment, **more})
        with (
            as_process(world) as process,
            closing(Queue(self.broker, GATEWAY_QUEUE)) as queue,
        ):
            yield Running(
                urls=(world.settings.url,),
                pids=(process.pid,),
                queue=queue,
                database=self.database,
                log=world.folder / "gateway.log",
                ledger=self.database,
            )


def prepared(servers: Servers, pki: Pki) -> Prepared:
    """Everything on, over PostgreSQL and RabbitMQ."""
    database, broker = servers.database(with_table=False), servers.broker()
    folder = servers.folder / f"gateway-{time.monotonic_ns()}"
    world = lay_out(folder, parties("queue"), pki=pki, ledger=database, broker=broker)
    return Prepared(world, database, broker)


@contextmanager
def gateway(servers: Servers, pki: Pki, processes: int = 1) -> Iterator[Running]:
    """(a) The gateway in so many processes."""
    made = prepared(servers, pki)
    try:
        with made.running(processes) as running:
            yield running
    finally:
        servers.forget(made.database)


@contextmanager
def embedded(servers: Servers, pki: Pki) -> Iterator[Running]:
    """The gateway as it comes: one process, SQLite, the postbus."""
    folder = servers.folder / f"embedded-{time.monotonic_ns()}"
    world = lay_out(folder, parties("postbus"), pki=pki)
    with as_process(world) as process:
        log = world.folder / "gateway.log"
        ledger = world.settings.ledger
        yield Running((world.settings.url,), (process.pid,), None, "", log, ledger)


@contextmanager
def floor(servers: Servers, pki: Pki) -> Iterator[Running]:
    """(b) Only the indispensable work."""
    with _service(servers, pki, [sys.executable, "-m", "bench.floor"]) as running:
        yield running


@contextmanager
def faststream(servers: Servers, pki: Pki, workers: int = 1) -> Iterator[Running]:
    """(c) As users of FastStream and FastAPI would write and tune it."""
    command = [
        *(str(FASTSTREAM), "-m", "uvicorn", "bench.faststream_service:app"),
        *("--host", "127.0.0.1", "--port", "{port}", "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--workers", str(workers)),
    ]
    with _service(servers, pki, command) as running:
        yield running


@contextmanager
def camel(servers: Servers, pki: Pki) -> Iterator[Running]:
    """(d) An Apache Camel route."""
    command = [
        *("java", "-Xms512m", "-Xmx512m", "-XX:+UseParallelGC"),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        *("-cp", f"{CAMEL / 'classes'}:{CAMEL / 'lib'}/*", "nl.schuldhulp.bench.Service"),
    ]
    with _service(servers, pki, command) as running:
        yield running


@contextmanager
def _service(servers: Servers, pki: Pki, command: list[str]) -> Iterator[Running]:
    database, broker = servers.database(with_table=True), servers.broker()
    port = free_port()
    key = servers.folder / "es256.pem"
    if not key.exists():
        key.write_bytes(_new_key())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BENCH_")},
        "BENCH_PORT": str(port),
        "BENCH_DATABASE": database,
        "BENCH_BROKER": broker,
        "BENCH_QUEUE": PLAIN_QUEUE,
        "BENCH_CERTIFICATE": str(pki.party(SE).cert_path),
        "BENCH_KEY": str(key),
        "BENCH_XSD": str(XSD),
    }
    with ExitStack() as stack:
        stack.callback(servers.forget, database)
        queue = stack.enter_context(closing(Queue(broker, PLAIN_QUEUE)))
        queue.declare()
        said = servers.folder / "contestant.log"
        output = stack.enter_context(said.open("wb"))
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
        stack.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, pki, said)
        yield Running((url,), (process.pid,), queue, database, said)


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _wait(process: subprocess.Popen[bytes], url: str, pki: Pki, said: Path) -> None:
    """Return when it took a first message; raise with its last words when it does not."""
    catalogue = Catalogue.load()
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            body = signed(catalogue, pki, 1)
            if httpx.post(f"{url}/v1/berichten", content=body).status_code == httpx.codes.ACCEPTED:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"a contestant does not start:\n{said.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def available() -> tuple[dict[str, Start], list[str]]:
    """Who can run here, and why others cannot."""
    found: dict[str, Start] = {
        GATEWAY: gateway,
        GATEWAY_TWO: partial(gateway, processes=2),
        FLOOR: floor,
    }
    missing = []
    if FASTSTREAM.exists():
        found[FASTSTREAM_NAME] = faststream
        found[FASTSTREAM_TWO] = partial(faststream, workers=2)
    else:
        missing.append("FastStream is not installed here: run 'make bench'.")
    if (CAMEL / "classes").exists() and (CAMEL / "lib").exists() and shutil.which("java"):
        found[CAMEL_NAME] = camel
    else:
        missing.append("Camel was not built: Maven or a JDK is missing, or did not answer.")
    return found, missing
