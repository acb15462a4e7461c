"""One process of the gateway, in one or more roles, that a fault test starts and ends."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from fixtures.parties import fresh
from fixtures.running import ROOT
from fixtures.world import World, free_port, process_environment
from tests.servers.party import eventually
from tests.servers.process import dies_with_us

STARTS_WITHIN = 150.0
ALL_ROLES = "ontvangen,bezorgen,klok,houder"


class GatewayProcess:
    """One process of the gateway, in one or more roles, with doors of its own.

    Args:
        root: The tree whose code it runs.
        host: Address to listen on.
        prefix: What runs it, such as ``ip netns exec …``.
        more: Further settings by variable.
    """

    def __init__(
        self,
        world: World,
        roles: str = ALL_ROLES,
        *,
        root: Path = ROOT,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.roles = roles
        self._world, self._root, self._prefix = world, root, prefix
        self._log = world.folder / f"{roles.replace(',', '-')}-{fresh()[:4]}.log"
        port, admin = free_port(), free_port()
        self.url = f"http://{host}:{port}"
        self.admin = f"http://{host}:{admin}"
        self._environment = {
            **process_environment(world),
            "GATEWAY_HOST": host,
            "GATEWAY_PORT": str(port),
            "GATEWAY_ADMIN_HOST": host,
            "GATEWAY_ADMIN_PORT": str(admin),
            "GATEWAY_ROLES": roles,
            **(more or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; ``until_ready`` waits for it."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, *dies_with_us(), sys.executable, "-m", "gateway", "dienst"],
                cwd=self._root,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def until_ready(self) -> None:
        """Return when it can accept or, without a door, do its work."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:

            async def ready() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, f"it ended at its start:\n{self.said()}"
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"{self.admin}/health/ready")
                    return answer.status_code == httpx.codes.OK
                return False

            await eventually(ready, f"{self.roles} is ready", within=STARTS_WITHIN)

    async def restart(self) -> None:
        """Start it again, and wait until it is ready."""
        self.start()
        await self.until_ready()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    async def terminate(self) -> None:
        """Ask it to stop and wait until it has; AssertionError when it did not end well."""
        assert self.process is not None
        self.process.terminate()
        code = await asyncio.to_thread(self.process.wait, 30)
        assert code == 0, f"it ended with {code}:\n{self.said()}"

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def said(self) -> str:
        """The last lines of its log."""
        return self._log.read_text(errors="replace")[-3000:]


@contextmanager
def running(*processes: GatewayProcess) -> Iterator[None]:
    """Start these, and end what runs of them."""
    try:
        for each in processes:
            each.start()
        yield
    finally:
        for each in processes:
            each.close()
