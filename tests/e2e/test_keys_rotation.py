"""The operator changes keys while the gateway works, and hears at once when one is lost."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from fixtures.pki import Pki
from fixtures.world import SE, World, lay_out, the_usual
from gateway.adapters.ledger.tables import key, message
from gateway.adapters.secret_files import path_of, write_secret
from gateway.app import built
from gateway.errors import Fault
from gateway.prepare import prepare
from gateway.settings import SettingsInvalid, load
from tests.e2e.here import Here, a_notice, started
from tests.e2e.operator import Said, operator, operator_json
from tests.e2e.test_restore import accepted, kept, waiting

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
CHECK = ("sleutels", "controle")


@pytest.fixture
def world(tmp_path: Path, pki: Pki) -> World:
    """With keys of its own, to lose."""
    ledger = f"sqlite:///{tmp_path / 'gateway' / 'grootboek' / 'gateway.db'}"
    return lay_out(tmp_path / "gateway", the_usual(), pki=pki, ledger=ledger)


def vault_key(world: World, number: int = 1) -> Path:
    return path_of(world.settings.keys, "kluis", number)


def long_in_use(world: World) -> None:
    """As if every key was put in use long ago, so that nobody needs to be waited for."""
    ledger = world.ledger()
    with ledger._database.writing() as connection:
        connection.execute(sa.update(key).values(made_at=LONG_AGO))
    ledger.close()


def change_over(world: World, kind: str) -> Said:
    """A new key from begin to end."""
    assert operator(world, "sleutels", "nieuw", "--soort", kind).code == 0
    soon = operator(world, "sleutels", "wissel", "--soort", kind, "--no-wachten")
    assert "over een minuut" in soon
    long_in_use(world)
    return operator(world, "sleutels", "wissel", "--soort", kind)


async def one_sent(here: Here) -> None:
    await accepted(here, here.written(a_notice()))


async def test_keys_are_changed_while_the_gateway_works(world: World) -> None:
    async with started(world) as here:
        for _ in range(5):
            await one_sent(here)
        operator(world, "sleutels", "nieuw", "--soort", "kluis")
        await one_sent(here)
        soon = operator(world, "sleutels", "wissel", "--no-wachten")
        assert "6 gewijzigd" in soon
        assert "over een minuut" in soon
        await one_sent(here)  # this process still seals with the old one
        await here.gateway.services.writer.run(here.gateway.services.ledger.follow_keys)  # type: ignore[attr-defined]
        await one_sent(here)
        long_in_use(world)
        done = operator_json(world, "sleutels", "wissel")
        assert (done["versie"], done["gewijzigd"], done["af"]) == (2, 1, [1])
        assert len(await waiting(here.party(SE))) == 8

    vault_key(world).unlink()  # no backup needs it any more
    assert operator(world, *CHECK).code == 0
    async with started(world) as here:
        reader = here.party(SE)
        items = await reader.collect()
        outcomes = await reader.confirm(*(one["afleverId"] for one in items))
        assert set(outcomes.values()) == {"bevestigd"}
    assert kept(world, "SELECT DISTINCT key_version FROM message") == [(2,)]


async def test_a_message_that_came_late_under_the_old_key_is_told_and_taken_along(
    world: World,
) -> None:
    async with started(world) as here:
        await one_sent(here)
        assert "mag weg" in change_over(world, "kluis")
        await one_sent(here)  # of a process that stood still for more than a minute

        said = operator(world, *CHECK)
        assert said.code == 1
        assert "run 'gateway sleutels wissel' again" in said
        assert operator_json(world, "sleutels", "wissel")["gewijzigd"] == 1
        assert operator(world, *CHECK).code == 0


async def test_the_index_is_marked_again_from_the_content(world: World) -> None:
    async with started(world) as here:
        await one_sent(here)
        await one_sent(here)
    assert kept(world, "SELECT version, count(*) FROM person GROUP BY version") == [(1, 4)]

    done = change_over(world, "index")

    assert "sleutel index 0002 is in gebruik" in done
    assert "index-0001.sleutel mag weg" in done
    assert kept(world, "SELECT version, count(*) FROM person GROUP BY version") == [(2, 4)]
    ledger = world.ledger()
    found = ledger.find_person(ledger._keyring.index.marks("999990007"))
    ledger.close()
    assert len(found) == 2


async def test_an_index_key_that_finds_requests_is_to_be_kept(world: World) -> None:
    async with started(world) as here:
        await one_sent(here)
    asked = ("--verzoeker", "functionaris", "--reden", "verzoek 12", "--verantwoordelijke", "alle")
    shown = operator(world, "betrokkene", "inzage", *asked, answer="999990007\n")
    assert shown.code == 0, shown

    done = change_over(world, "index")

    assert "Houd index-0001.sleutel: 1 verzoeken van betrokkenen" in done
    assert "mag weg" not in done
    again = change_over(world, "index")
    assert "index-0002.sleutel mag weg" in again


def test_a_new_key_is_used_only_after_the_change(world: World) -> None:
    made = operator_json(world, "sleutels", "nieuw", "--soort", "kluis")

    assert made["versie"] == 2
    assert Path(made["bestand"]).stat().st_mode & 0o777 == 0o600
    (unused,) = (row for row in operator_json(world, *CHECK)["sleutels"] if row["versie"] == 2)
    assert "nog niet in gebruik" in unused["oordeel"]
    assert kept(world, "SELECT count(*) FROM key WHERE kind = 'kluis'") == [(1,)]


def test_new_keys_to_sign_with_stand_beside_the_old(world: World) -> None:
    before = {each.name for each in world.settings.keys.glob("*.pem")}

    said = operator(world, "sleutels", "nieuw", "--soort", "ondertekening")

    assert "Herstart elk proces" in said
    added = {each.name for each in world.settings.keys.glob("*.pem")} - before
    assert added == {"rsa-0002.pem", "ec-0002.pem"}
    refused = operator(world, "sleutels", "wissel", "--soort", "ondertekening")
    assert refused.code == 1
    assert "restart" in refused


async def test_a_lost_key_stops_the_start_and_is_named_by_the_check(world: World) -> None:
    async with started(world) as here:
        await one_sent(here)
    shutil.move(vault_key(world), world.folder / "elders")

    with pytest.raises(Fault, match=r"kluis-0001\.sleutel is missing: restore"):
        async with built(world.settings):
            pass
    said = operator(world, *CHECK)
    assert said.code == 1
    assert "kluis-0001.sleutel is missing" in said
    with pytest.raises(Fault, match="restore it from its own backup"):
        prepare(world.settings)
    assert not vault_key(world).exists()


async def test_a_lost_key_is_named_when_another_is_still_there(world: World) -> None:
    write_secret(vault_key(world, 2))
    vault_key(world).unlink()

    with pytest.raises(Fault, match="kluis 0001 is missing: restore"):
        async with built(world.settings):
            pass
    assert "kluis 0001 is missing" in operator(world, *CHECK)


async def test_a_wrong_key_under_the_right_name_stops_the_start(world: World) -> None:
    vault_key(world).unlink()
    write_secret(vault_key(world))

    with pytest.raises(Fault, match="kluis 0001 is not the key that this ledger was used with"):
        async with built(world.settings):
            pass
    said = operator(world, *CHECK)
    assert said.code == 1
    assert "is not the key" in said


@pytest.mark.parametrize("change", ["open", "short"])
def test_a_key_file_that_is_not_as_it_should_be_is_named(world: World, change: str) -> None:
    if change == "open":
        vault_key(world).chmod(0o640)
    else:
        vault_key(world).write_bytes(b"kort")

    said = operator(world, *CHECK)

    assert said.code == 1
    assert "kluis-0001.sleutel" in said


async def test_the_check_opens_a_message_of_each_key(world: World) -> None:
    async with started(world) as here:
        await one_sent(here)
    assert operator(world, *CHECK).code == 0
    ledger = world.ledger()
    with ledger._database.writing() as connection:
        connection.execute(sa.update(message).values(original=b"iets anders van enige lengte"))
    ledger.close()

    said = operator(world, *CHECK)

    assert said.code == 1
    assert "cannot be opened" in said


def test_keys_beside_the_ledger_are_warned_of_and_refused_in_production(world: World) -> None:
    beside = replace(world.settings, keys=world.folder / "grootboek" / "sleutels")
    shutil.copytree(world.settings.keys, beside.keys)

    assert any("liggen in de map van het grootboek" in line for line in prepare(beside))
    assert not any("liggen in de map" in line for line in prepare(world.settings))
    with pytest.raises(SettingsInvalid, match="GATEWAY_KEYS: must lie outside"):
        load(
            {
                "GATEWAY_ENVIRONMENT": "productie",
                "GATEWAY_OIN": "00000003990090000000",
                "GATEWAY_LEDGER": beside.ledger,
                "GATEWAY_KEYS": str(beside.keys),
            }
        )
