"""The gateway that most tests of the HTTP door share, and others for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.conftest import NewWorld
from tests.e2e.doors import Elsewhere, parties
from tests.e2e.here import Here, started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """The gateway of most tests here; each uses messages and conversations of its own."""
    async with started(new_world(tmp_path_factory.mktemp("doors"), parties())) as here:
        yield here


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld) -> Elsewhere:
    """See ``Elsewhere``."""

    @asynccontextmanager
    async def start(**settings: str) -> AsyncIterator[Here]:
        world = new_world(tmp_path_factory.mktemp("door"), parties(), **settings)
        async with started(world) as here:
            yield here

    return start
