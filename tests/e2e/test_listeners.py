"""What operators read has a listener of its own, and is not behind the door of parties."""

from __future__ import annotations

from pathlib import Path

import httpx

from fixtures.running import as_process
from fixtures.world import free_port
from tests.conftest import NewWorld

PAGES = ("/console", "/console/stand.json", "/metrics")


def test_each_listener_has_what_is_for_its_readers_and_nothing_else(
    tmp_path: Path, new_world: NewWorld
) -> None:
    world = new_world(tmp_path / "gateway", admin_port=str(free_port()))
    parties = world.settings.url
    operators = f"http://{world.settings.admin_host}:{world.settings.admin_port}"

    with as_process(world):
        assert statuses(parties) == [httpx.codes.NOT_FOUND] * len(PAGES)
        assert statuses(operators) == [httpx.codes.OK] * len(PAGES)
        for path in ("/v1/berichten", "/v1/token"):
            assert httpx.post(f"{operators}{path}").status_code == httpx.codes.NOT_FOUND
            assert httpx.post(f"{parties}{path}").status_code != httpx.codes.NOT_FOUND


def statuses(url: str) -> list[int]:
    """What each page of operators answers there."""
    return [httpx.get(f"{url}{page}").status_code for page in PAGES]
