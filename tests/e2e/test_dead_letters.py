"""A push endpoint that misbehaves, the dead letters that follow, and how an operator mends them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fixtures.documents import kind
from fixtures.parties import Endpoint, fresh, now, serving
from fixtures.world import (
    BEWINDVOERDER,
    PUBLIEKE_SE,
    SE,
    SHV,
    SHV_FASE_1,
    Entry,
    World,
    the_usual,
)
from gateway.message import Json, Kind, Oin
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import NOTICE, Here, a_notice, reference_of, started
from tests.e2e.operator import Said, operator, operator_json
from tests.servers.party import eventually

LEAD = kind("schuldregeling", "Kennisgeving")
FURTHER = kind("schuldregeling", "StatusberichtShv")
NO, BUSY = 422, 503
QUICKLY = "{ eerste_wachttijd = 0.05, langste_wachttijd = 0.1 }"


@dataclass(frozen=True)
class Scene:
    """A running gateway, and the endpoint of its creditor.

    Attributes:
        begun: Conversations in which something was said.
    """

    here: Here
    endpoint: Endpoint
    begun: set[str] = field(default_factory=set)

    @property
    def world(self) -> World:
        return self.here.world

    async def tell(self, *, which: Kind = NOTICE, sender: Oin = SHV, talk: str = "") -> str:
        """Send one message to the creditor; gives its referentienummer.

        Args:
            which: What begins a conversation; what follows in it is a StatusberichtShv.
        """
        if talk in self.begun:
            which = FURTHER
        elif talk:
            self.begun.add(talk)
        made = a_notice(which=which, sender=sender, conversation=talk or None)
        author = self.here.reach.creditor(sender)
        answer = await author.send(which, made)
        assert answer.status_code == 202, answer.text
        return reference_of(made)

    async def view(self, reference: str, sender: Oin = SHV) -> Json:
        """What the sender sees of its message."""
        answer = await self.here.party(sender).get(f"/v1/berichten/{reference}")
        return dict(answer.json())

    async def until(self, reference: str, status: str, sender: Oin = SHV) -> Json:
        """Wait until a message stands so; gives the view of its sender."""
        peer = self.here.party(sender)
        await peer.authorization()

        async def stands() -> bool:
            answer = await peer.get(f"/v1/berichten/{reference}")
            return bool(answer.json()["status"] == status)

        await eventually(stands, f"the message is {status}")
        return await self.view(reference, sender)

    async def dead(self, **told: Any) -> int:
        """Send a message that the endpoint refuses; gives the number of its dead letter."""
        self.endpoint.script.append(NO)
        reference = await self.tell(**told)
        await self.until(reference, "gestrand", told.get("sender", SHV))
        return self.number_of(reference)

    def mend(self, *arguments: str) -> Said:
        """What an operator does; the courier looks at once, not within its second."""
        said = operator(self.world, "gestrand", *arguments)
        self.here.gateway.services.news.ring()
        return said

    def number_of(self, reference: str) -> int:
        """The number of the open dead letter of a message."""
        listed = operator_json(self.world, "gestrand", "lijst")
        (found,) = [one for one in listed if one["referentienummer"] == reference]
        return int(found["nummer"])

    def arrived(self) -> list[str]:
        """The referentienummers of what the endpoint took, in order."""
        creditor = self.here.reach.creditor(SE)
        return [
            str(creditor.believe_xml(body)["aflevering"]["referentienummer"])
            for body in self.endpoint.taken
        ]

    async def until_arrived(self, *references: str) -> None:
        """Wait until the endpoint took exactly these, in this order."""
        await self.endpoint.until(lambda: len(self.endpoint.taken) >= len(references))
        assert self.arrived() == list(references)


@pytest_asyncio.fixture
async def scene(tmp_path: Path, new_world: NewWorld) -> AsyncIterator[Scene]:
    """The creditor gets its messages pushed, with quick retries."""
    async with a_scene(tmp_path, new_world) as made:
        yield made


class a_scene:  # noqa: N801 - reads as what it gives
    """A scene, with further keys in the creditor's entry."""

    def __init__(self, folder: Path, new_world: NewWorld, **more: str) -> None:
        self._folder, self._new, self._more = folder, new_world, more
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Scene:
        endpoint = Endpoint()
        address = await self._stack.enter_async_context(serving(endpoint))
        entry = {
            "adres": f'"{address}/berichten"',
            "interne_netten": '["127.0.0.0/8"]',
            "herhalen": QUICKLY,
            **self._more,
        }
        creditor = Entry(
            SE, "Energie Voorbeeld B.V.", "schuldeiser", kanaal="push", vorm="xml", more=entry
        )
        other = Entry(SHV_FASE_1, "Wijkteam Voorbeeld", "shv-fase-1 shv-fase-2")
        world = self._new(self._folder / "gateway", the_usual(se=creditor, shv_fase1=other))
        here = await self._stack.enter_async_context(started(world))
        return Scene(here, endpoint)

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


# Retries


async def test_an_endpoint_that_is_busy_twice_gets_the_message_the_third_time(scene: Scene) -> None:
    scene.endpoint.script[:] = [BUSY, BUSY]

    reference = await scene.tell()
    await scene.until_arrived(reference)
    view = await scene.until(reference, "bevestigd")

    assert (view["pogingen"], view["kanaal"]) == (3, "push")
    assert scene.endpoint.seen == 3
    assert operator_json(scene.world, "gestrand", "lijst") == []


async def test_a_refused_message_is_a_dead_letter_and_is_not_tried_again(scene: Scene) -> None:
    number = await scene.dead()

    (listed,) = operator_json(scene.world, "gestrand", "lijst")

    assert listed["nummer"] == number
    assert (listed["reden"], listed["pogingen"], listed["herstel"]) == ("geweigerd", 1, None)
    assert (listed["afzender"], listed["ontvanger"]) == (SHV, SE)
    assert (listed["module"], listed["soort"]) == (NOTICE.module, NOTICE.name)
    assert scene.endpoint.seen == 1
    assert (await scene.view(listed["referentienummer"]))["reden"] == "geweigerd"


async def test_an_endpoint_that_stays_away_is_given_up_after_its_time(
    tmp_path: Path, new_world: NewWorld
) -> None:
    # few attempts: after five the endpoint would be left in peace for half a minute
    hasty = "{ eerste_wachttijd = 1, langste_wachttijd = 1, opgeven_na_seconden = 0.2 }"
    async with a_scene(tmp_path, new_world, herhalen=hasty) as scene:
        scene.endpoint.script[:] = [BUSY] * 50
        reference = await scene.tell()

        view = await scene.until(reference, "gestrand")

        assert view["reden"] == "opgegeven"


# Replay


async def test_a_replay_brings_the_message_under_the_same_delivery_id(scene: Scene) -> None:
    number = await scene.dead()
    (listed,) = operator_json(scene.world, "gestrand", "lijst")

    said = operator(
        scene.world, "gestrand", "herhaal", str(number), "--waarom", "hersteld", "--door", "Sam"
    )
    await scene.until_arrived(listed["referentienummer"])

    told = scene.here.reach.creditor(SE).believe_xml(scene.endpoint.taken[0])["aflevering"]
    assert said.code == 0
    assert "1 herhaald" in said
    assert told["afleverId"] == listed["afleverId"]
    await scene.until(listed["referentienummer"], "bevestigd")
    assert operator_json(scene.world, "gestrand", "lijst") == []
    (repaired,) = operator_json(scene.world, "gestrand", "lijst", "--hersteld")
    assert (repaired["herstel"], repaired["hersteldDoor"]) == ("herhaald", "Sam")


async def test_a_second_replay_says_that_it_is_repaired_already(scene: Scene) -> None:
    number = str(await scene.dead())
    scene.mend("herhaal", number, "--waarom", "hersteld")
    await scene.endpoint.until(lambda: len(scene.endpoint.taken) == 1)

    again = scene.mend("herhaal", number, "--waarom", "nog eens")

    assert again.code == 1
    assert f"Niet (meer) open: {number}" in again
    assert scene.endpoint.seen == 2


async def test_a_message_that_is_refused_again_is_a_new_dead_letter(scene: Scene) -> None:
    first = await scene.dead()
    scene.endpoint.script.append(NO)
    scene.mend("herhaal", str(first), "--waarom", "te vroeg")
    await scene.endpoint.until(lambda: scene.endpoint.seen == 2)
    await eventually(
        lambda: len(operator_json(scene.world, "gestrand", "lijst")) == 1, "it strands again"
    )

    (second,) = operator_json(scene.world, "gestrand", "lijst")
    both = operator_json(scene.world, "gestrand", "lijst", "--hersteld")

    assert second["nummer"] > first
    assert [one["herstel"] for one in both] == [None, "herhaald"]
    assert len({one["afleverId"] for one in both}) == 1


async def test_a_trial_shows_what_would_happen_and_does_nothing(scene: Scene) -> None:
    number = await scene.dead()

    for command in ("herhaal", "verwerp", "vrijgeven"):
        said = scene.mend(command, str(number), "--waarom", "kijken", "--proef")
        assert said.code == 0
        assert NOTICE.name in said

    (listed,) = operator_json(scene.world, "gestrand", "lijst")
    assert listed["herstel"] is None
    assert scene.endpoint.seen == 1
    assert actions(scene.world) == []


async def test_nothing_moves_without_a_reason_or_without_saying_what(scene: Scene) -> None:
    number = await scene.dead()

    for command in ("herhaal", "verwerp", "vrijgeven"):
        assert scene.mend(command, str(number)).code == 2
        assert scene.mend(command, "--waarom", "zomaar").code == 2

    assert len(operator_json(scene.world, "gestrand", "lijst")) == 1
    assert actions(scene.world) == []


async def test_who_did_what_and_why_is_written_down(scene: Scene) -> None:
    letters = [await scene.dead() for _ in range(3)]
    reasons = {"herhaal": "hersteld", "verwerp": "dubbel", "vrijgeven": "wordt nagebeld"}

    for number, (command, why) in zip(letters, reasons.items(), strict=True):
        scene.mend(command, str(number), "--waarom", why, "--door", "Sam")

    assert actions(scene.world) == [
        ("Sam", "hersteld", "herhaald", f"[{letters[0]}]"),
        ("Sam", "dubbel", "verworpen", f"[{letters[1]}]"),
        ("Sam", "wordt nagebeld", "vrijgegeven", f"[{letters[2]}]"),
    ]


def actions(world: World) -> list[tuple[Any, ...]]:
    """What operators did, as it is kept for good."""
    file = world.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(
            "SELECT who, why, what, dead_letters FROM action ORDER BY id"
        ).fetchall()


# Order


async def test_a_successor_waits_for_its_predecessor(scene: Scene) -> None:
    scene.endpoint.script[:] = [BUSY, BUSY, BUSY]
    talk = fresh()

    first = await scene.tell(talk=talk)
    second = await scene.tell(talk=talk)
    third = await scene.tell(talk=talk)

    await scene.until_arrived(first, second, third)
    assert scene.endpoint.seen == 6


async def test_a_successor_of_a_dead_letter_waits_until_it_is_replayed(scene: Scene) -> None:
    talk = fresh()
    number = await scene.dead(talk=talk)
    (listed,) = operator_json(scene.world, "gestrand", "lijst")
    successor = await scene.tell(talk=talk)
    other = await scene.tell()
    await scene.until_arrived(other)
    assert (await scene.view(successor))["status"] == "wacht"

    scene.mend("herhaal", str(number), "--waarom", "hersteld")

    await scene.until_arrived(other, listed["referentienummer"], successor)


@pytest.mark.parametrize(
    ("command", "status"), [("verwerp", "verworpen"), ("vrijgeven", "gestrand")]
)
async def test_giving_up_or_releasing_lets_the_successor_go(
    command: str, status: str, scene: Scene
) -> None:
    talk = fresh()
    number = await scene.dead(talk=talk)
    (listed,) = operator_json(scene.world, "gestrand", "lijst")
    successor = await scene.tell(talk=talk)

    said = scene.mend(command, str(number), "--waarom", "gebeld")

    assert said.code == 0
    await scene.until_arrived(successor)
    assert (await scene.view(listed["referentienummer"]))["status"] == status


async def test_what_was_discarded_stays_so_and_what_was_released_may_be_replayed(
    scene: Scene,
) -> None:
    discarded, released = await scene.dead(), await scene.dead()
    for number, command in ((discarded, "verwerp"), (released, "vrijgeven")):
        scene.mend(command, str(number), "--waarom", "gebeld")

    def again(*which: str) -> Said:
        return scene.mend("herhaal", *which, "--waarom", "toch")

    assert again(str(discarded)).code == 1
    assert again("--alles", "--ontvanger", SE).code == 1
    assert scene.endpoint.taken == []
    number = await scene.dead()
    listed = operator_json(scene.world, "gestrand", "lijst")
    (still_open,) = [one["referentienummer"] for one in listed if one["nummer"] == number]
    assert "1 herhaald" in again("--alles", "--ontvanger", SE)
    await scene.until_arrived(still_open)
    assert "1 herhaald" in again(str(released))
    await scene.endpoint.until(lambda: len(scene.endpoint.taken) == 2)
    assert again(str(discarded)).code == 1


async def test_a_party_may_choose_that_a_dead_letter_blocks_nobody(
    tmp_path: Path, new_world: NewWorld
) -> None:
    async with a_scene(tmp_path, new_world, gestrand='"laat-door"') as scene:
        talk = fresh()
        await scene.dead(talk=talk)

        successor = await scene.tell(talk=talk)

        await scene.until_arrived(successor)


# What the operator sees


async def test_dead_letters_are_found_by_every_filter_and_counted(scene: Scene) -> None:
    sent = (
        (NOTICE, SHV),
        (NOTICE, SHV_FASE_1),
        (LEAD, SHV_FASE_1),
    )
    numbers = [await scene.dead(which=which, sender=sender) for which, sender in sent]
    soon, past = (f"{now() + timedelta(days=day):%Y-%m-%dT%H:%M:%S}" for day in (1, -1))

    def found(*arguments: str) -> list[int]:
        listed = operator_json(scene.world, "gestrand", "lijst", *arguments)
        return sorted(one["nummer"] for one in listed)

    assert found() == numbers
    assert found("--ontvanger", SE) == numbers
    assert found("--ontvanger", SHV) == []
    assert found("--afzender", SHV_FASE_1) == numbers[1:]
    assert found("--soort", LEAD.name) == [numbers[2]]
    assert found("--afzender", SHV_FASE_1, "--soort", NOTICE.name) == [numbers[1]]
    assert found("--reden", "geweigerd") == numbers
    assert found("--reden", "opgegeven") == []
    assert found("--sinds", past, "--tot", soon) == numbers
    assert found("--sinds", soon) == found("--tot", past) == []
    said = scene.mend("lijst")
    counted = [line.split() for line in said.partition("Aantallen")[2].splitlines()]
    assert [SE, LEAD.name, "geweigerd", "1"] in counted
    assert [SE, NOTICE.name, "geweigerd", "2"] in counted


async def test_all_that_matches_a_filter_is_repaired_at_once_and_nothing_else(scene: Scene) -> None:
    for sender in (SHV, SHV_FASE_1, SHV_FASE_1):
        await scene.dead(sender=sender)
    filters = ("--alles", "--afzender", SHV_FASE_1, "--reden", "geweigerd")

    said = scene.mend("herhaal", *filters, "--waarom", "storing voorbij")
    await scene.endpoint.until(lambda: len(scene.endpoint.taken) == 2)

    (left,) = operator_json(scene.world, "gestrand", "lijst")
    assert "2 herhaald" in said
    assert left["afzender"] == SHV


async def test_the_way_of_a_dead_letter_is_told_without_its_content(scene: Scene) -> None:
    number = await scene.dead()
    scene.mend("herhaal", str(number), "--waarom", "hersteld")
    await scene.endpoint.until(lambda: len(scene.endpoint.taken) == 1)
    (one,) = operator_json(scene.world, "gestrand", "lijst", "--hersteld")
    await scene.until(one["referentienummer"], "bevestigd")

    told = operator_json(scene.world, "gestrand", "toon", str(number))
    said = scene.mend("toon", str(number))

    steps = [step["stap"] for step in told["weg"]]
    assert steps[:2] == ["ontvangen", "vastgelegd"]
    assert {"poging", "gestrand", "herhaald", "aangeboden", "bevestigd"} <= set(steps)
    assert steps.count("poging") == 2
    assert "status=422" in said
    assert [canary for canary in CANARIES if canary in said + str(told)] == []


async def test_a_number_that_does_not_exist_is_said_to_be_unknown(scene: Scene) -> None:
    assert scene.mend("toon", "99").code == 1
    assert scene.mend("herhaal", "99", "--waarom", "hersteld").code == 1


async def test_dead_letters_of_one_party_do_not_hold_up_others(scene: Scene) -> None:
    await scene.dead()
    made = a_notice(recipient=PUBLIEKE_SE)

    answer = await scene.here.post(scene.here.signed(made))

    assert answer.status_code == 202
    (ready,) = await scene.here.party(PUBLIEKE_SE).collect()
    assert reference_of(made) in str(ready)
    assert await asyncio.wait_for(scene.here.party(BEWINDVOERDER).collect(), 10) == []
