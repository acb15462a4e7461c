"""The ledger is lost and put back from a copy: what was lost is known exactly, and asked again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from fixtures.parties import Peer
from fixtures.world import SE, SHV, World
from gateway.message import Json
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import Here, Sent, a_notice, started
from tests.e2e.operator import operator, operator_json
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Place:
    """A world whose ledger can be destroyed and put back."""

    world: World
    destroy: Callable[[], None]
    restore: Callable[[Path], None]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.database)])
def place(request: pytest.FixtureRequest, new_world: NewWorld, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return on_sqlite(new_world(tmp_path / "gateway"))
    url = str(request.getfixturevalue("postgres_url"))
    server: Postgres = request.getfixturevalue("postgres_server")
    return on_postgres(new_world(tmp_path / "gateway", ledger=url), server, url)


def on_sqlite(world: World) -> Place:
    file = Path(world.settings.ledger.removeprefix("sqlite:///"))

    def destroy() -> None:
        for each in file.parent.glob(file.name + "*"):
            each.unlink()

    def restore(copy: Path) -> None:
        shutil.copy(copy, file)

    return Place(world, destroy, restore)


def on_postgres(world: World, server: Postgres, url: str) -> Place:
    name = url.rpartition("/")[2]

    def destroy() -> None:
        server.drop(name)

    def restore(copy: Path) -> None:
        server.create(template="template0", name=name)
        subprocess.run(["pg_restore", "--dbname", url, str(copy)], check=True)

    return Place(world, destroy, restore)


def kept(world: World, query: str) -> list[tuple[Any, ...]]:
    engine = sa.create_engine(world.settings.ledger.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(query))]
    engine.dispose()
    return found


async def send(here: Here, count: int) -> tuple[list[Sent], list[Json]]:
    """So many notices, each in a conversation of its own, with their receipts."""
    sent = [here.written(a_notice()) for _ in range(count)]
    receipts = [await accepted(here, each) for each in sent]
    return sent, receipts


async def accepted(here: Here, sent: Sent) -> Json:
    answer = await here.post(sent)
    assert answer.status_code in (httpx.codes.ACCEPTED, httpx.codes.OK), answer.text
    told: Json = answer.json()
    return told


async def waiting(peer: Peer) -> dict[str, str]:
    """What lies in a postbus: delivery id by referentienummer."""
    page: dict[str, str] = {}
    after = 0
    while True:
        answer = (await peer.get("/v1/postbus", na=str(after))).json()
        if not answer["afleveringen"]:
            return page
        page |= {one["referentienummer"]: one["afleverId"] for one in answer["afleveringen"]}
        after = answer["volgende"]


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def numbers(receipts: list[Json]) -> set[str]:
    return {one["ontvangstbevestiging"]["bericht"]["referentienummer"] for one in receipts}


async def test_a_restored_ledger_says_what_was_lost_and_gets_it_again(
    place: Place, tmp_path: Path
) -> None:
    world, copy = place.world, tmp_path / "kopie" / "gateway.kopie"
    copy.parent.mkdir()
    told = tmp_path / "bevestigingen"
    told.mkdir()

    async with started(world) as here:
        reader = here.party(SE)
        before, first = await send(here, 20)
        made = operator_json(world, "reservekopie", str(copy))
        after, second = await send(here, 10)
        offered = await waiting(reader)
        confirmed = [offered[each] for each in sorted(numbers(first))[:5]]
        await reader.confirm(*confirmed)
        for place_, one in enumerate(first + second):
            (told / f"{place_}.json").write_text(json.dumps(one))
        (told / "iets-anders.txt").write_text("geen bevestiging")

    place.destroy()
    place.restore(copy)

    check = ("reservekopie", "controleer", str(copy), "--bevestigingen", str(told))
    said = operator(world, *check, "--json")
    assert said.code == 1
    found = json.loads(said)
    assert made["berichten"] == 20
    assert found["problemen"] == []
    assert (found["bevestigingen"], found["onleesbaar"]) == (30, ["iets-anders.txt"])
    assert {one["referentienummer"] for one in found["verloren"]} == numbers(second)
    assert {one["afzender"] for one in found["verloren"]} == {SHV}
    assert found["aanTeBieden"] == [{"ontvanger": SE, "status": "aangeboden", "aantal": 20}]
    told_people = operator(world, *check)
    assert told_people.code == 1
    assert "Verloren" in told_people

    async with started(world) as here:
        reader = here.party(SE)
        again = [await accepted(here, one) for one in before + after]
        now = await waiting(reader)

        assert again[:20] == first  # byte for byte what was told the first time
        assert now.keys() == numbers(first) | numbers(second)
        same = numbers(first)
        assert {one: now[one] for one in same} == {one: offered[one] for one in same}
        outcomes = await reader.confirm(*now.values())
        assert set(outcomes.values()) == {"bevestigd"}
    unread = operator(world, *check)
    assert unread.code == 1
    assert "1 bestanden zijn er geen" in unread
    (told / "iets-anders.txt").unlink()
    assert operator_json(world, *check)["verloren"] == []
    assert kept(world, "SELECT count(*) FROM message") == [(30,)]


async def test_a_copy_is_for_its_owner_only_and_holds_no_content_and_no_key(
    place: Place, tmp_path: Path
) -> None:
    copy = tmp_path / "gateway.kopie"
    async with started(place.world) as here:
        await send(here, 3)
        said = operator(place.world, "reservekopie", str(copy))

    keys = [each.read_bytes() for each in place.world.settings.keys.glob("*.sleutel")]
    for file in (copy, copy.with_name(copy.name + ".manifest.json")):
        assert file.stat().st_mode & 0o777 == 0o600
        content = file.read_bytes()
        assert not [canary for canary in CANARIES if canary.encode() in content]
        assert not [key for key in keys if key in content]
    assert sorted(each for each in names(tmp_path) if "kopie" in each) == [
        "gateway.kopie",
        "gateway.kopie.manifest.json",
    ]
    assert "Zonder sleutels is hij niet te openen" in said
    assert "kluis" in said


async def test_a_copy_that_was_damaged_or_of_another_ledger_is_found(
    place: Place, tmp_path: Path, new_world: NewWorld
) -> None:
    copy = tmp_path / "gateway.kopie"
    async with started(place.world) as here:
        await send(here, 2)
        operator(place.world, "reservekopie", str(copy))
    other = new_world(tmp_path / "ander")

    unlike = operator(other, "reservekopie", "controleer", str(copy))
    assert unlike.code == 1
    assert "this is an older ledger" in unlike

    with copy.open("r+b") as file:
        file.write(b"\xff")
    damaged = operator(place.world, "reservekopie", "controleer", str(copy))
    assert damaged.code == 1
    assert "is not the file that was made" in damaged


def test_a_gateway_that_stands_still_is_copied_too(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "map met 100% #vreemde? tekens"
    folder.mkdir()

    made = operator_json(place.world, "reservekopie", str(folder / "kopie"))

    assert made["berichten"] == 0
    check = ("reservekopie", "controleer", str(folder / "kopie"))
    assert operator_json(place.world, *check)["problemen"] == []


def test_a_copy_never_overwrites_anything(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "gateway.kopie"
    copy.write_text("van iemand anders")

    said = operator(world, "reservekopie", str(copy))

    assert said.code == 1
    assert "is there already" in said
    assert copy.read_text() == "van iemand anders"


def test_a_folder_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    said = operator(world, "reservekopie", str(tmp_path / "weg" / "kopie"))

    assert said.code == 1
    assert "cannot be written" in said
    with contextlib.suppress(FileNotFoundError):
        assert list((tmp_path / "weg").iterdir()) == []


def test_a_copy_that_was_made_is_there_after_a_power_cut(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kopie"
    folder.mkdir()
    kept_safe: set[str] = set()
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            kept_safe.update(names(folder))

    monkeypatch.setattr(os, "fsync", noted)
    assert operator(world, "reservekopie", str(folder / "gateway.kopie")).code == 0

    assert {"gateway.kopie", "gateway.kopie.manifest.json"} <= kept_safe
