"""Machines in one: network namespaces on a bridge of their own, whose cables can be pulled.

They need root, the program ip, and a kernel that lets us. Elsewhere a machine is no more than
its own way to the servers, which can be closed; see ``PortMachine``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.servers.cutting_proxy import CuttingProxy, How, Toward, after

NET = f"10.213.{os.getpid() % 250 + 1}"
"""One for each test run, so that two runs do not meet."""

HERE = f"{NET}.1"
"""Where everybody reaches what runs outside the namespaces."""

LOOPBACK = "127.0.0.1"


class Machine(ABC):
    """A place for processes, which may be cut off from all others.

    Attributes:
        host: Its address.
        prefix: What runs a command on it.
    """

    def __init__(self, host: str, prefix: tuple[str, ...], *, servers_at: str) -> None:
        self.host = host
        self.prefix = prefix
        self._servers_at = servers_at
        self._ways: dict[int, CuttingProxy] = {}

    def address(self, url: str) -> str:
        """How the processes on it reach this server of the loopback, by a way of its own."""
        port = urlsplit(url).port
        assert port is not None, "a server that says no port"
        if port not in self._ways:
            self._ways[port] = CuttingProxy(port, host=self._servers_at)
        return url.replace(f"{LOOPBACK}:{port}", f"{self._servers_at}:{self._ways[port].port}")

    def close(self) -> None:
        """Close its ways to the servers."""
        for way in self._ways.values():
            way.close()

    @abstractmethod
    def cut_off(self) -> None:
        """Nothing passes to the servers or back."""

    @abstractmethod
    def come_back(self) -> None:
        """All is as it was before."""


class NamespaceMachine(Machine):
    """One network namespace with one cable."""

    def __init__(self, number: int, own: str) -> None:
        self.name, self.cable = f"gwn{own}{number}", f"gwc{own}{number}"
        prefix = ("ip", "netns", "exec", self.name)
        super().__init__(f"{NET}.{number + 2}", prefix, servers_at=HERE)

    def cut_off(self) -> None:
        """Pull its cable: nobody reaches it either, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def come_back(self) -> None:
        """Put its cable in again."""
        _ip("link", "set", self.cable, "up")


class PortMachine(Machine):
    """No machine at all: processes on the loopback, with a way of their own to each server.

    Cut off, it reaches no server, and is told so at once; whoever asks it is still answered.
    """

    def __init__(self) -> None:
        super().__init__(LOOPBACK, (), servers_at=LOOPBACK)

    def cut_off(self) -> None:
        """Reset what passes to the servers, and whatever tries again."""
        for way in self._ways.values():
            way.refusing = True
            way.cut_all(How.RESET)
            # for the one that was just being let through
            way.cut(Toward.SERVER, after(0), How.RESET)

    def come_back(self) -> None:
        """Let through again."""
        for way in self._ways.values():
            way.clear()
            way.refusing = False


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many machines, of the best sort that is allowed here; they are gone afterwards."""
    with namespaces(count) if namespaces_allowed() else ports(count) as made:
        yield made


@contextlib.contextmanager
def ports(count: int) -> Iterator[list[Machine]]:
    """So many machines that are no more than ports."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(PortMachine())) for _ in range(count)]


@functools.cache
def namespaces_allowed() -> bool:
    """Whether a whole machine can be made here, and something run on it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with namespaces(1) as [machine]:
            subprocess.run([*machine.prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[Machine]]:
    """So many machines that reach each other and ``HERE``.

    Raises:
        subprocess.CalledProcessError: they are not allowed here.
    """
    own = uuid.uuid4().hex[:6]
    bridge = f"gwb{own}"
    with contextlib.ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{HERE}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        made: list[Machine] = []
        for number in range(count):
            machine = stack.enter_context(contextlib.closing(NamespaceMachine(number, own)))
            _ip("netns", "add", machine.name)
            stack.callback(_ip, "netns", "del", machine.name)
            inside = f"gwi{own}{number}"
            _ip("link", "add", machine.cable, "type", "veth", "peer", "name", inside)
            _ip("link", "set", inside, "netns", machine.name)
            _ip("link", "set", machine.cable, "master", bridge, "up")
            within = ("-n", machine.name)
            _ip(*within, "addr", "add", f"{machine.host}/24", "dev", inside)
            _ip(*within, "link", "set", inside, "up")
            _ip(*within, "link", "set", "lo", "up")
            made.append(machine)
        yield made
