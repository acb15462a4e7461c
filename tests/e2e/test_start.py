"""A gateway does not start half: what does not fit together stops it with one clear sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.pki import Pki
from fixtures.world import GATEWAY, World, lay_out, the_usual
from gateway.app import built
from gateway.errors import Fault
from gateway.message import Oin

ANOTHER = Oin("00000099000000009999")


@pytest.fixture
def world(tmp_path: Path, pki: Pki) -> World:
    return lay_out(tmp_path / "gateway", the_usual(), pki=pki)


async def test_keys_of_another_gateway_are_not_used(world: World) -> None:
    with pytest.raises(Fault, match=f"are of {GATEWAY}, not of {ANOTHER}"):
        async with built(replace(world.settings, oin=ANOTHER)):
            pass


async def test_a_digest_key_that_others_can_read_stops_the_start(world: World) -> None:
    key = world.settings.keys / "samenvatting.sleutel"
    key.chmod(0o644)

    with pytest.raises(Fault, match="open to others"):
        async with built(world.settings):
            pass


async def test_production_does_not_start_with_test_parties(world: World) -> None:
    with pytest.raises(Fault, match="test OINs"):
        async with built(replace(world.settings, environment="productie")):
            pass


async def test_a_ledger_without_tables_names_the_command(world: World, tmp_path: Path) -> None:
    empty = replace(world.settings, ledger=f"sqlite:///{tmp_path / 'leeg.db'}")

    with pytest.raises(Fault, match="gateway inrichten"):
        async with built(empty):
            pass
