"""A message is taken back over the real doors: gone where nobody had it, else as a duty."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures.documents import kind
from fixtures.parties import CaseSystem
from fixtures.world import SE, SHV, Entry, World, the_usual
from gateway.dead_letter import Stranding
from gateway.delivery import Reason
from gateway.exhibits import PACKAGE
from gateway.message import Json, Oin
from tests.conftest import NewWorld
from tests.e2e.here import Here, a_notice, reference_of, started
from tests.e2e.operator import operator, operator_json
from tests.e2e.queue_party import queue_party
from tests.e2e.test_restore import accepted, kept, waiting
from tests.servers.party import eventually
from tests.servers.rabbitmq import Broker

RECALL = kind("schuldregeling", "Intrekking")
CONFIRMED = kind("schuldregeling", "IntrekkingBevestiging")
ENDED = kind("schuldregeling", "RegelingBeeindigd")

PDF = b"%PDF-1.7 proef"
SHA256 = hashlib.sha256(PDF).hexdigest()
ATTACHED = {
    "bijlagen": [
        {
            "soort": "TOESTEMMING",
            "mime": "application/pdf",
            "sha256": SHA256,
            "inhoud": base64.b64encode(PDF).decode(),
        }
    ]
}


def thread_of(made: Json) -> str:
    """The conversation of a document."""
    head = next(iter(made.values()))["stuurgegevens"]
    return str(head["conversatieReferentienummer"])


def recall_of(made: Json) -> Json:
    """The message that takes another one back."""
    return a_notice(
        {"ingetrokkenReferentienummer": reference_of(made)},
        which=RECALL,
        conversation=thread_of(made),
    )


async def sent(here: Here, made: Json | None = None) -> Json:
    """Send a notice to the creditor."""
    notice = made or a_notice(head=ATTACHED)
    await accepted(here, here.written(notice))
    return notice


async def told(here: Here, reader: Oin = SHV) -> list[Json]:
    """What the gateway or the other side said to a party about recalls, opened."""
    items = await here.party(reader).collect()
    return [
        item["aflevering"]["bericht"]["intrekkingBevestiging"]
        for item in items
        if "intrekkingBevestiging" in json.dumps(item)
    ]


def signed(world: World, made: Json) -> list[str]:
    """What was signed about a message, in order."""
    with closing(world.ledger()) as ledger:
        assert ledger.audit() == []
        dossier = ledger.dossier(None, reference_of(made))
    assert dossier is not None
    return [each.soort for each in dossier.happenings]


@pytest.mark.parametrize("door", ["", "/origineel", f"/bijlagen/{SHA256}", "bewijs", "lijst"])
async def test_every_door_that_hands_out_content_collects(door: str, world: World) -> None:
    async with started(world) as here:
        made, reader = await sent(here), here.party(SE)
        mine = (await waiting(reader))[reference_of(made)]
        before = kept(world, "SELECT collected_at FROM delivery")

        first = await fetched(reader, door, made, mine)
        await accepted(here, here.written(recall_of(made)))
        again = await fetched(reader, door, made, mine)

        assert before == [(None,)]
        assert (first, again) == (True, True)
        assert await told(here) == []
        assert len(await waiting(reader)) == 2
    assert "opgehaald" in signed(world, made)
    assert "ingetrokken" not in signed(world, made)


@pytest.mark.parametrize("door", ["", "/origineel", f"/bijlagen/{SHA256}", "bewijs", "lijst"])
async def test_no_door_hands_out_what_was_withdrawn(door: str, world: World) -> None:
    async with started(world) as here:
        made, reader = await sent(here), here.party(SE)
        mine = (await waiting(reader))[reference_of(made)]

        await accepted(here, here.written(recall_of(made)))

        assert not await fetched(reader, door, made, mine)
        (answer,) = await told(here)
        assert answer["resultaat"] == "NOOIT_OPGEHAALD"
        assert answer["ingetrokkenReferentienummer"] == reference_of(made)
        assert await waiting(reader) == {}
        assert (await reader.confirm(mine)) == {mine: "niet-aangeboden"}
    assert signed(world, made) == ["ingetrokken"]


async def fetched(reader: CaseSystem, door: str, made: Json, mine: str) -> bool:
    """Whether the creditor gets content by this door."""
    if door == "lijst":
        return mine in [one["afleverId"] for one in await reader.collect()]
    if door == "bewijs":
        answer = await reader.get(f"/v1/berichten/{reference_of(made)}/bewijs")
        assert answer.status_code == httpx.codes.OK
        return "inhoud" in answer.json()[PACKAGE]["origineel"]
    answer = await reader.get(f"/v1/postbus/{mine}{door}")
    assert answer.status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND)
    return answer.status_code == httpx.codes.OK


async def test_the_sender_reads_its_own_proof_without_collecting(world: World) -> None:
    async with started(world) as here:
        made = await sent(here)
        answer = await here.json.get(f"/v1/berichten/{reference_of(made)}/bewijs")

    assert "inhoud" in answer.json()[PACKAGE]["origineel"]
    assert kept(world, "SELECT collected_at FROM delivery") == [(None,)]


async def test_a_form_that_nobody_speaks_collects_nothing(world: World) -> None:
    async with started(world) as here:
        made, reader = await sent(here), here.party(SE)
        mine = (await waiting(reader))[reference_of(made)]
        asked = {"Accept": "text/csv", **await reader.authorization()}
        answer = await reader.client.get(f"{reader.url}/v1/postbus/{mine}", headers=asked)
        nothing = await reader.get(f"/v1/postbus/{mine}/bijlagen/{'0' * 64}")

    assert answer.status_code != httpx.codes.OK
    assert nothing.status_code == httpx.codes.NOT_FOUND
    assert kept(world, "SELECT collected_at FROM delivery") == [(None,)]


async def test_a_confirmed_deletion_goes_back_to_who_recalled(world: World) -> None:
    async with started(world) as here:
        made, reader = await sent(here), here.party(SE)
        await reader.confirm(*(await waiting(reader)).values())
        recall = recall_of(made)
        await accepted(here, here.written(recall))
        (duty,) = await reader.collect()
        done = a_notice(
            {"ingetrokkenReferentienummer": reference_of(made), "resultaat": "BEWAARPLICHT"},
            which=CONFIRMED,
            conversation=thread_of(made),
            sender=SE,
            recipient=SHV,
            head={"crossReferentienummer": reference_of(recall)},
        )
        answer = await reader.send(done)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

        assert duty["referentienummer"] == reference_of(recall)
        assert [each["resultaat"] for each in await told(here)] == ["BEWAARPLICHT"]


@pytest.mark.broker
async def test_fetching_what_a_queue_only_names_collects_it(
    broker: Broker, new_world: NewWorld, tmp_path: Path
) -> None:
    creditor = Entry(
        SE,
        "Energie Voorbeeld B.V.",
        "schuldeiser",
        kanaal="queue",
        vorm="json",
        more={"inhoud": '"verwijzing"'},
    )
    world = new_world(tmp_path / "gateway", the_usual(se=creditor), broker=broker.url)
    async with started(world) as here, queue_party(broker, here.party(SE)) as reader:
        made = await sent(here)
        event = await reader.take()

        item = await reader.http.get(f"/v1/postbus/{event['id']}")

        assert item.status_code == httpx.codes.OK
        await accepted(here, here.written(recall_of(made)))
        assert await told(here) == []
        assert (await reader.http.get(f"/v1/postbus/{event['id']}")).status_code == httpx.codes.OK
    assert "opgehaald" in signed(world, made)


# --- what an operator reads -----------------------------------------------------------------


async def a_dead_one(here: Here) -> tuple[Json, int]:
    """A message that the recipient's system objects to; the number of its dead letter."""
    made = await sent(here)
    mine = (await waiting(here.party(SE)))[reference_of(made)]
    services = here.gateway.services
    await services.writer.run(
        services.ledger.strand,
        [Stranding(mine, Reason.GEWEIGERD, "proef", services.line.clock())],
    )
    (found,) = operator_json(here.world, "gestrand", "lijst")
    return made, int(found["nummer"])


async def test_an_operator_reads_why_what_was_withdrawn_is_never_replayed(world: World) -> None:
    async with started(world) as here:
        made, number = await a_dead_one(here)
        await accepted(here, here.written(recall_of(made)))

        said = operator(world, "gestrand", "herhaal", str(number), "--waarom", "proef")

    assert f"Nummer {number} wordt nooit meer aangeboden: ingetrokken door de afzender" in said
    assert said.code == 1
    shown: Any = operator_json(world, "gestrand", "toon", str(number))
    assert (shown["herstel"], shown["hersteldWaarom"]) == (
        "ingetrokken",
        "ingetrokken door de afzender",
    )


async def test_an_operator_reads_why_nothing_is_replayed_after_the_end(world: World) -> None:
    async with started(world) as here:
        made, number = await a_dead_one(here)
        end = a_notice({"reden": "VOORTIJDIG"}, which=ENDED, conversation=thread_of(made))
        await accepted(here, here.written(end))

        said = operator(world, "gestrand", "herhaal", str(number), "--waarom", "proef")
        listed = operator(world, "gestrand", "lijst")
        given_up = operator(world, "gestrand", "verwerp", str(number), "--waarom", "proef")

        assert f"het gesprek is beëindigd: {number}." in said
        assert f"gateway gestrand verwerp {number}" in said
        assert (said.code, given_up.code) == (1, 0)
        assert "open, gesprek beëindigd" in listed

        async def was_told() -> bool:
            return "vervallen" in json.dumps(await here.json.collect())

        await eventually(was_told, "the sender is told that it was given up")
