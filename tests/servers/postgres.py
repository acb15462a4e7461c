"""A private PostgreSQL for the tests: own folder, own port, own user.

Nothing of the machine's own PostgreSQL is read, started or stopped. What is started here is
ended by its process id, also when the test run itself is killed. A server can have a streaming
replica (``replica_of``) that takes over (``promote``).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from gateway.adapters.ledger.migrate import migrate
from tests.required import lacking
from tests.servers.process import free_port

BINARIES = Path("/usr/lib/postgresql")
USER = "gateway"
TEMPLATE = "gateway_template"
STARTS_WITHIN = 60.0
"""Seconds that the server may take to answer; a quiet machine needs less than one."""


class Postgres:
    """One server in a folder of its own; it keeps its data and its port until it is deleted.

    Args:
        binaries: Folder with ``initdb`` and ``postgres``.
        folder: An empty folder, for the data, the socket and the log.
        durable: False turns fsync off: faster, but a crash of the machine loses data.
        most_connections: How many clients it serves at once.
    """

    def __init__(
        self,
        binaries: Path,
        folder: Path,
        *,
        durable: bool = True,
        most_connections: int = 100,
    ) -> None:
        self._binaries = binaries
        self._folder = folder
        self._durable = durable
        self._most_connections = most_connections
        self._process: subprocess.Popen[bytes] | None = None
        self._starter = ThreadPoolExecutor(1, "postgres")
        self.port = 0

    def initialise(self) -> None:
        """Make the data folder, owned by somebody who is not root."""
        self._make(
            "initdb",
            f"--username={USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def replica_of(self, primary: Postgres, *, through: int | None = None) -> None:
        """Make the data folder as a streaming replica of a server that runs.

        Args:
            through: Port of a proxy through which it reaches that server.
        """
        self._make(
            "pg_basebackup",
            f"--dbname=host=127.0.0.1 port={through or primary.port} user={USER}",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--write-recovery-conf",
            "--no-sync",
        )

    def _make(self, program: str, *arguments: str) -> None:
        owner = _unprivileged()
        if owner is not None:
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        subprocess.run(
            [
                *_as(owner),
                str(self._binaries / program),
                f"--pgdata={self._folder / 'data'}",
                *arguments,
            ],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start, at first on a port that the system gives; returns when it answers."""
        self.port = self.port or free_port()
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
            "fsync": "on" if self._durable else "off",
            "max_connections": str(self._most_connections),
            "shared_buffers": "64MB",
            "log_min_messages": "warning",
        }
        command = [
            *_as(_unprivileged()),
            str(self._binaries / "postgres"),
            f"-D{self._folder / 'data'}",
            *(f"-c{name}={value}" for name, value in settings.items()),
        ]
        # the kernel ends it with the thread that started it, so that one must last
        self._process = self._starter.submit(self._spawn, command).result()
        self._await()

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._process is not None
            late = time.monotonic() > deadline
            if late or self._process.poll() is not None:
                said = (self._folder / "output.txt").read_text(errors="replace")
                raise AssertionError(f"PostgreSQL does not start:\n{said[-3000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self.ask("SELECT 1")
            return True
        return False

    def stop(self) -> None:
        """Orderly, without waiting for clients to leave."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """As a power cut: nothing is written any more; the next start recovers."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """SIGKILL to the server and all that it started, at once; the next start recovers."""
        assert self._process is not None
        pid = self._process.pid
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        self._end(signal.SIGKILL)
        for each in started:  # each leads a session of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(each), signal.SIGKILL)

    def promote(self) -> None:
        """Have a replica take over; returns when it takes writes."""
        self.ask("SELECT pg_promote(true, 30)")

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the running server."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            change = sql.SQL("ALTER SYSTEM SET {} = {}")
            connection.execute(change.format(sql.Identifier(name), sql.Literal(value)))
            connection.execute("SELECT pg_reload_conf()")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(timeout=30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, for good: what it holds is not needed any more."""
        self.crash()
        self._starter.shutdown()

    def create(self, *, template: str = "template1", name: str | None = None) -> str:
        """Make a database as a copy of ``template``; returns its name."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        # From 15 on there is a choice; copying files is four times as fast without fsync.
        quick = not self._durable and int(self._binaries.parent.name) >= 15
        how = " STRATEGY FILE_COPY" if quick else ""
        self._administrate(f"CREATE DATABASE {{}} TEMPLATE {{}}{how}", name, template)
        return name

    def drop(self, name: str) -> None:
        """Delete a database, also when somebody is still connected."""
        self._administrate("DROP DATABASE {} WITH (FORCE)", name)

    def url(self, name: str) -> str:
        """Address of a database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def ask(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """Run one query as the administrator; the rows."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def _administrate(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*(sql.Identifier(each) for each in names)))


def any_of(*servers: Postgres, name: str) -> str:
    """Address of a database on whichever of these servers takes writes."""
    hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in servers)
    return f"postgresql://{USER}@/{name}?{hosts}&target_session_attrs=read-write"


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to become: the server refuses to run as root. None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("there is no user to run PostgreSQL as")


def _as(owner: pwd.struct_passwd | None) -> list[str]:
    """Prefix that has the kernel end the server when the test run is gone."""
    setpriv = shutil.which("setpriv")
    if owner is None:
        return [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if setpriv is None:
        return ["su", "--shell", "/bin/sh", owner.pw_name, "--command", 'exec "$0" "$@"', "--"]
    return [
        setpriv,
        "--pdeathsig=INT",
        f"--reuid={owner.pw_uid}",
        f"--regid={owner.pw_gid}",
        "--clear-groups",
    ]


def _binaries() -> Path:
    """The newest installed server; ends the test when there is none."""
    found = [each.parent for each in BINARIES.glob("*/bin/initdb")]
    if not found:
        lacking("PostgreSQL is not installed here: run 'make servers'.")
    return max(found, key=lambda each: int(each.parent.name))


@contextlib.contextmanager
def a_postgres(*, durable: bool, most_connections: int = 100) -> Iterator[Postgres]:
    """A server of one's own, to stop and crash at will; skips or fails without binaries."""
    with _in_a_folder(durable=durable, most_connections=most_connections) as server:
        server.initialise()
        server.start()
        yield server


@contextlib.contextmanager
def a_replica(primary: Postgres, *, through: int | None = None) -> Iterator[Postgres]:
    """A streaming replica of a server that runs; it answers, and takes no writes."""
    with _in_a_folder(durable=False) as server:
        server.replica_of(primary, through=through)
        server.start()
        yield server


@contextlib.contextmanager
def _in_a_folder(**how: Any) -> Iterator[Postgres]:
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    server = Postgres(binaries, folder, **how)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The private server, started once for the whole run, with the tables in a template.

    It does not wait for the disk: databases come and go with every test.
    """
    with a_postgres(durable=False) as server:
        migrate(server.url(server.create(name=TEMPLATE)))
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A database of its own for one test, with the tables of this gateway."""
    name = postgres_server.create(template=TEMPLATE)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def empty_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A database of its own for one test, without tables."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)
