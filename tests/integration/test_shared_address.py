"""Processes of one user share an address; a process of another user takes no requests there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from gateway.adapters.rest_in.listener import bind
from gateway.errors import Fault

NOBODY = 65534
JOIN = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
joined = socket.socket()
joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
try:
    joined.bind(("127.0.0.1", int(sys.argv[1])))
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    joined.listen()
    print("joined")
"""


def joining(port: int, user: int) -> str:
    """What a process of this user hears that wants to listen at the same address."""
    command = [sys.executable, "-I", "-c", JOIN, str(port), str(user)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    return done.stdout.decode().strip()


def test_who_does_not_share_is_told_that_the_address_is_taken() -> None:
    with bind("127.0.0.1", 0, shared=True) as door, pytest.raises(Fault, match="cannot listen"):
        bind("127.0.0.1", door.getsockname()[1])


def test_an_address_that_is_not_shared_is_joined_by_nobody() -> None:
    with bind("127.0.0.1", 0) as door:
        assert joining(door.getsockname()[1], os.getuid()).startswith("OSError")


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="addresses are not shared here")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_shared_address_is_joined_by_the_same_user_only() -> None:
    with bind("127.0.0.1", 0, shared=True) as door:
        port = door.getsockname()[1]

        assert joining(port, os.getuid()) == "joined"
        assert joining(port, NOBODY).startswith("OSError")
