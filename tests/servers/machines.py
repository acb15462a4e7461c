"""Machines in one: network namespaces on a bridge of their own, whose cables can be pulled.

Needs root and the tools for it; ``machines`` skips (or fails, at the gate) without.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

NET = f"10.213.{os.getpid() % 250 + 1}"
"""One for each test run, so that two runs do not meet."""

HERE = f"{NET}.1"
"""Where everybody reaches what runs outside the namespaces."""


@dataclass(frozen=True)
class Machine:
    """One namespace with one cable.

    Attributes:
        host: Its address.
        prefix: What runs a command on it.
    """

    name: str
    cable: str
    host: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Pull its cable: nothing passes, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def come_back(self) -> None:
        """Put its cable in again."""
        _ip("link", "set", self.cable, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many machines that reach each other and ``HERE``; they are gone afterwards."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        sentence = "machines of one's own need root and the program ip"
        if os.environ.get("GATEWAY_TESTS_ALL") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    own = uuid.uuid4().hex[:6]
    bridge = f"gwb{own}"
    with contextlib.ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{HERE}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        made = []
        for number in range(count):
            machine = Machine(f"gwn{own}{number}", f"gwc{own}{number}", f"{NET}.{number + 2}")
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
