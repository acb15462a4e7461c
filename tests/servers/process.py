"""Starts and ends the processes of a private server: by process id, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from fixtures.world import free_port

__all__ = ["dies_with_us", "end", "free_port", "listens", "wait_until"]


def wait_until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Poll every 20 ms until ``condition`` holds; AssertionError after ``within`` s."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a process and its own session (its port programs), by process id."""
    process.send_signal(how)
    try:
        process.wait(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def dies_with_us() -> list[str]:
    """Prefix that has the kernel end the process when the test run is gone."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
