"""Starts the gateway time and again without reading its code anew; run with ``-m``.

    python -m tests.fault.forking

At ``start`` on its input it forks a process that is ``gateway dienst`` from its beginning, at
``kill`` it ends that with SIGKILL; it prints ``done`` when it has. Most of a start is reading code,
so a test that kills often would mostly wait for that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import NoReturn

from tests.fault.gateway_process import GatewayProcess
from tests.servers.process import dies_with_us

PR_SET_PDEATHSIG = 1


class ForkedGateway(GatewayProcess):
    """One process in all roles, that is quick to start again; kill it before it is started again.

    What ends and begins is a process of its own each time: nothing of the one before is left.
    """

    def start(self) -> None:
        """Start it; ``until_ready`` waits for it."""
        if self.process is None:
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*dies_with_us(), sys.executable, "-m", "tests.fault.forking"],
                    cwd=self._root,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        self._ask(b"start")

    def kill(self) -> None:
        """SIGKILL."""
        self._ask(b"kill")

    def _ask(self, what: bytes) -> None:
        assert self.process is not None
        asked, told = self.process.stdin, self.process.stdout
        assert asked is not None
        assert told is not None
        asked.write(what + b"\n")
        asked.flush()
        assert told.readline() == b"done\n", f"it ended:\n{self.said()}"

    def close(self) -> None:
        """End it, whatever it does."""
        super().close()
        if self.process is not None:
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                pipe.close()


def be_the_gateway() -> NoReturn:
    """Become ``gateway dienst``, which ends when whoever forked it does."""
    from gateway.cli import main  # noqa: PLC0415 - it is here already

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    sys.argv = ["gateway", "dienst"]
    main()
    os._exit(0)


def live() -> None:
    """Do what the input says until it ends."""
    import gateway.cli  # noqa: PLC0415 - so that who is forked need not read these
    import gateway.process  # noqa: F401, PLC0415

    pid = 0
    for line in sys.stdin:
        if line == "start\n":
            pid = os.fork()
            if pid == 0:
                be_the_gateway()
        else:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            assert os.WTERMSIG(status) == signal.SIGKILL, "it had ended by itself"
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    live()
