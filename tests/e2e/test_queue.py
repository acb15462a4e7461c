"""The channel and the door *queue*, end to end on a real broker, each party with its own rights."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractIncomingMessage

from fixtures.documents import document, kind
from fixtures.parties import Creditor, fresh, now
from fixtures.running import Reach, in_process
from fixtures.world import (
    GATEWAY,
    OVERIGE_SHV,
    SE,
    SHV,
    SHV_FASE_1,
    STRANGER,
    Entry,
    World,
    the_usual,
)
from gateway.adapters.jades import sign_body
from gateway.adapters.rabbitmq.events import BEVESTIGING
from gateway.adapters.rabbitmq.topology import Limits, party_queue
from gateway.app import Gateway
from gateway.dead_letter import DeadLetter, DeadLetterFilter
from gateway.message import Json, Kind, Oin, as_bytes
from gateway.replies import FOUTBERICHT, ONTVANGSTBEVESTIGING
from gateway.schemas import Catalogue
from tests.conftest import CANARIES, NewWorld
from tests.e2e.operator import operator
from tests.e2e.queue_party import COMES_WITHIN, QueueParty, holding, queue_party, subscribed
from tests.servers.party import at_broker, depth, eventually
from tests.servers.rabbitmq import Broker

pytestmark = pytest.mark.broker

SALDOVERZOEK = kind("schuldregeling", "Saldoverzoek")
OPGAVE = kind("schuldregeling", "SaldoverzoekAntwoord")
STATUS = kind("schuldregeling", "StatusberichtSe")

SOON = {"herhalen": "{ eerste_wachttijd = 0.2, langste_wachttijd = 0.5 }"}
LIMIT = Limits().deliveries


def by_queue(oin: Oin, naam: str, rol: str) -> Entry:
    """A party that reads from its queue."""
    return Entry(oin, naam, rol, kanaal="queue", more=SOON)


PARTIES = the_usual(
    shv=by_queue(SHV, "Gemeente Voorbeeldstad", "shv-fase-2"),
    shv_fase1=by_queue(SHV_FASE_1, "Wijkteam Voorbeeld", "shv-fase-1 shv-fase-2"),
)


class Question(NamedTuple):
    """What an SHV asked, by whom, in which conversation and under which number."""

    asker: Oin
    conversation: str
    number: str


@dataclass(frozen=True)
class Scene:
    """A running gateway with a broker: two SHVs by queue, a creditor with a postbus."""

    gateway: Gateway
    reach: Reach
    broker: Broker
    se: Creditor

    @property
    def world(self) -> World:
        return self.reach.world

    @asynccontextmanager
    async def party(self, oin: Oin = SHV) -> AsyncIterator[QueueParty]:
        """That SHV's system, logged in at the broker."""
        async with queue_party(self.broker, self.reach.case_system(oin)) as party:
            yield party

    async def tell(self, oin: Oin = SHV, *, conversation: str | None = None) -> str:
        """Have the creditor answer what an SHV asked; returns the number of the answer."""
        return await self.answer(await self.ask(oin, conversation=conversation))

    async def ask(self, oin: Oin = SHV, *, conversation: str | None = None) -> Question:
        """Have an SHV ask the creditor."""
        made = told(SALDOVERZOEK, oin, SE, conversation=conversation or fresh())
        number = await self._send(self.reach.creditor(oin), SALDOVERZOEK, made)
        thread = made["saldoverzoek"]["stuurgegevens"]["conversatieReferentienummer"]
        return Question(oin, thread, number)

    async def answer(self, question: Question) -> str:
        """Have the creditor answer; returns the number of the answer."""
        oin, talk, cross = question
        made = told(OPGAVE, SE, oin, conversation=talk, cross=cross)
        return await self._send(self.se, OPGAVE, made)

    async def tell_more(self, conversation: str) -> str:
        """Have the creditor say how it stands; returns the referentienummer."""
        return await self._send(self.se, STATUS, told(STATUS, SE, SHV, conversation=conversation))

    async def _send(self, author: Creditor, which: Kind, made: Json) -> str:
        answer = await author.send(which, made)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return reference(made)

    async def view(self, referentienummer: str) -> Json:
        """What the creditor sees of a message that it sent."""
        seen: Json = (await self.se.get(f"/v1/berichten/{referentienummer}")).json()
        return seen

    async def until_state(self, referentienummer: str, state: str) -> Json:
        """What the creditor sees of its message as soon as it stands there."""
        seen: Json = {}

        async def there() -> bool:
            seen.update(await self.view(referentienummer))
            return bool(seen["status"] == state)

        await eventually(there, f"{referentienummer} is {state}")
        return seen

    def dead_letters(self) -> list[DeadLetter]:
        """What the operator sees."""
        return self.gateway.services.ledger.dead_letters(DeadLetterFilter())

    async def one_dead_letter(self) -> DeadLetter:
        """The only dead letter, as soon as it is there."""
        await eventually(lambda: bool(self.dead_letters()), "a dead letter")
        (letter,) = self.dead_letters()
        return letter

    async def ready(self) -> str:
        """What the health page says."""
        answer = await self.reach.client.get(f"{self.reach.url}/health/ready")
        assert answer.status_code == httpx.codes.OK
        return str(answer.json()["status"])


@pytest_asyncio.fixture
async def scene(new_world: NewWorld, tmp_path: Path, broker: Broker) -> AsyncIterator[Scene]:
    world = new_world(tmp_path / "gateway", PARTIES, broker=broker.url)
    async with in_process(world) as (gateway, reach):
        yield Scene(gateway, reach, broker, reach.creditor(SE))


def told(
    which: Kind,
    sender: Oin,
    recipient: Oin,
    *,
    conversation: str | None = None,
    cross: str | None = None,
) -> Json:
    """An example message under a fresh referentienummer."""
    return document(
        which,
        reference=fresh(),
        conversation=conversation or fresh(),
        sender=sender,
        recipient=recipient,
        at=now(),
        cross=cross,
    )


def a_question(recipient: Oin = SE) -> Json:
    """What an SHV sends."""
    return told(SALDOVERZOEK, SHV, recipient)


def reference(made: Json) -> str:
    """The referentienummer of a message."""
    return str(next(iter(made.values()))["stuurgegevens"]["referentienummer"])


# the door


async def test_a_message_sent_by_queue_is_accepted_and_its_receipt_lies_on_the_answer_queue(
    scene: Scene,
) -> None:
    question = a_question()

    async with scene.party() as shv:
        own = await shv.send(question)
        message, receipt = await shv.answer()

    assert (message.correlation_id, message.type) == (own, str(ONTVANGSTBEVESTIGING))
    assert holds_to_schema(scene.reach.catalogue, ONTVANGSTBEVESTIGING, receipt)
    body = receipt["ontvangstbevestiging"]
    assert (body["bericht"]["referentienummer"], body["status"]) == (
        reference(question),
        "AANGENOMEN",
    )
    (arrived,) = await scene.se.collect()
    taken = scene.se.believe_xml(arrived["xml"].encode())["aflevering"]
    assert taken["bericht"] == question


async def test_a_repeat_by_any_door_gets_the_first_receipt_byte_for_byte(scene: Scene) -> None:
    question = a_question()
    async with scene.party() as shv:
        await shv.send(question)
        first, _ = await shv.answer()

        await shv.send(question)
        again, _ = await shv.answer()
        over_http = await shv.http.send(question)

    assert again.body == first.body == over_http.content
    assert over_http.status_code == httpx.codes.OK
    assert len(await scene.se.collect()) == 1


Sending = Callable[[QueueParty], Awaitable[str]]


async def unsigned(shv: QueueParty) -> str:
    return await shv.publish(as_bytes(a_question()))


async def altered(shv: QueueParty) -> str:
    body = as_bytes(a_question())
    signature = sign_body(body, shv.http.key, shv.http.identity.cert, "PS256")
    return await shv.publish(body + b" ", headers={"payload-signature": signature})


async def unreadable(shv: QueueParty) -> str:
    body = b'{"saldoverzoek":'
    signature = sign_body(body, shv.http.key, shv.http.identity.cert, "PS256")
    return await shv.publish(body, headers={"payload-signature": signature})


async def to_a_stranger(shv: QueueParty) -> str:
    return await shv.send(a_question(STRANGER))


async def of_somebody_else(shv: QueueParty) -> str:
    return await shv.send(told(SALDOVERZOEK, SHV_FASE_1, SE))


async def without_a_field(shv: QueueParty) -> str:
    question = a_question()
    del question["saldoverzoek"]["klant"]
    return await shv.send(question)


async def an_event_of_no_known_kind(shv: QueueParty) -> str:
    return await shv.publish(
        as_bytes({"specversion": "1.0", "type": "iets.anders", "data": {}}),
        content_type="application/cloudevents+json",
    )


async def a_confirmation_of_nothing(shv: QueueParty) -> str:
    return await shv.publish(as_bytes({"afleverIds": []}), type=BEVESTIGING)


REFUSED: dict[Sending, str] = {
    unsigned: "HANDTEKENING_ONTBREEKT",
    altered: "HANDTEKENING_ONGELDIG",
    unreadable: "JSON_ONGELDIG",
    to_a_stranger: "ONTVANGER_ONBEKEND",
    of_somebody_else: "AFZENDER_WIJKT_AF",
    without_a_field: "SCHEMA_ONGELDIG",
    an_event_of_no_known_kind: "VERZOEK_ONGELDIG",
    a_confirmation_of_nothing: "VERZOEK_ONGELDIG",
}


async def test_what_is_refused_is_told_on_the_answer_queue_and_leaves_nothing(
    scene: Scene,
) -> None:
    async with scene.party() as shv:
        expected = {await send(shv): code for send, code in REFUSED.items()}
        answers = [await shv.answer() for _ in expected]

    assert {message.type for message, _ in answers} == {str(FOUTBERICHT)}
    assert all(holds_to_schema(scene.reach.catalogue, FOUTBERICHT, told) for _, told in answers)
    codes = {message.correlation_id: told["foutbericht"]["code"] for message, told in answers}
    assert codes == expected
    assert scene.gateway.services.ledger.overview()["parties"] == {}
    assert scene.dead_letters() == []


# the channel


async def test_a_delivery_is_a_signed_cloudevent_that_says_nothing_personal_outside_its_data(
    scene: Scene,
) -> None:
    sent = await scene.tell()

    async with scene.party() as shv, holding(shv.channel, shv.queue) as message:
        event = await shv.believe(message)
        await message.ack()

    data = event.pop("data")
    assert set(event) == ATTRIBUTES
    assert event["specversion"] == "1.0"
    assert event["id"] == message.message_id == data["aflevering"]["afleverId"]
    assert event["subject"] == sent
    assert event["source"] == message.app_id == f"urn:nld:oin:{GATEWAY}:systeem:gateway"
    assert event["type"] == message.type
    assert message.content_type == "application/cloudevents+json"
    assert message.routing_key == f"{SHV}.schuldregeling.saldoverzoekantwoord.v2"
    outside = repr((event, message.info()))
    personal = {canary for canary in CANARIES if canary in repr(data)}
    assert personal
    assert [word for word in personal | words_of(data) if word in outside] == []


ATTRIBUTES = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype"}


def words_of(data: Json) -> set[str]:
    """Every value that the sender wrote, but for the header and codes."""
    (body,) = data["aflevering"]["bericht"].values()
    said = {name: value for name, value in body.items() if name != "stuurgegevens"}
    texts = re.findall(r'"([^"]{4,})"(?!:)', json.dumps(said, ensure_ascii=False))
    return {text for text in texts if not re.fullmatch("[A-Z_]+", text)}


async def test_confirming_by_event_ends_a_delivery_and_lets_its_successor_go(
    scene: Scene,
) -> None:
    conversation = fresh()
    first = await scene.tell(conversation=conversation)
    second = await scene.tell_more(conversation)
    async with scene.party() as shv:
        event = await shv.take()
        assert event["subject"] == first
        assert (await scene.view(second))["status"] == "wacht"

        await shv.confirm(event["id"])

        assert (await shv.take())["subject"] == second
    view = await scene.until_state(first, "bevestigd")
    assert (view["pogingen"], "bevestigdOp" in view) == (1, True)


async def test_nobody_confirms_or_rejects_what_is_somebody_elses(scene: Scene) -> None:
    sent = await scene.tell()
    async with scene.party() as shv, scene.party(SHV_FASE_1) as other:
        event = await shv.take()

        await other.confirm(event["id"])
        await other.object_to(event["id"], "ONVERWERKBAAR")

        # its own submission comes after those: when it is answered, they were read
        await other.publish(b"{}")
        await other.answer()
    assert (await scene.view(sent))["status"] == "aangeboden"
    assert scene.dead_letters() == []


async def test_a_foutbericht_and_a_reject_make_one_dead_letter_with_that_code(
    scene: Scene,
) -> None:
    sent = await scene.tell()
    async with scene.party() as shv, holding(shv.channel, shv.queue) as message:
        await shv.object_to(str(message.message_id), "ONBEKENDE_KLANT")
        await scene.one_dead_letter()

        await message.reject(requeue=False)

        await until_empty(scene, "gateway.gestrand")
    letter = await scene.one_dead_letter()
    assert (letter.referentienummer, letter.reason, letter.note) == (
        sent,
        "geweigerd",
        "ONBEKENDE_KLANT",
    )


async def test_a_foutbericht_that_comes_after_the_reject_still_says_why(scene: Scene) -> None:
    await scene.tell()
    async with scene.party() as shv:
        async with holding(shv.channel, shv.queue) as message:
            await message.reject(requeue=False)
        await scene.one_dead_letter()

        await shv.object_to(str(message.message_id), "ONBEKENDE_KLANT")

        await eventually(
            lambda: [letter.note for letter in scene.dead_letters()] == ["ONBEKENDE_KLANT"],
            "the dead letter has the code of the Foutbericht",
        )


async def rejects(shv: QueueParty) -> None:
    async with holding(shv.channel, shv.queue) as message:
        await message.reject(requeue=False)


async def gives_back(shv: QueueParty) -> None:
    times = asyncio.Semaphore(0)

    async def give_back(message: AbstractIncomingMessage) -> None:
        await message.reject(requeue=True)
        times.release()

    async with subscribed(shv.channel, shv.queue, give_back), asyncio.timeout(COMES_WITHIN):
        for _ in range(1 + LIMIT):
            await times.acquire()


async def crashes(shv: QueueParty) -> None:
    for _ in range(1 + LIMIT):
        async with at_broker(shv.url) as channel, holding(channel, shv.queue):
            pass  # the connection ends with the message in hand


@pytest.mark.parametrize(
    ("behave", "reason", "note"),
    [
        pytest.param(rejects, "geweigerd", "rejected", id="rejects"),
        pytest.param(gives_back, "afleverlimiet", "delivery-limit", id="gives back"),
        pytest.param(crashes, "afleverlimiet", "delivery-limit", id="crashes"),
    ],
)
async def test_what_a_subscriber_cannot_take_is_a_dead_letter_within_seconds_with_its_reason(
    scene: Scene, behave: Callable[[QueueParty], Awaitable[None]], reason: str, note: str
) -> None:
    sent = await scene.tell()

    async with scene.party() as shv:
        await behave(shv)
        letter = await scene.one_dead_letter()

        assert (letter.referentienummer, letter.ontvanger) == (sent, SHV)
        assert (letter.reason, letter.note) == (reason, note)
        view = await scene.view(sent)
        assert (view["status"], view["reden"]) == ("gestrand", reason)
        assert await depth(shv.channel, shv.queue) == 0


# what an operator does


async def test_a_replay_puts_each_on_the_right_queue_under_the_same_id(scene: Scene) -> None:
    sent = {oin: await scene.tell(oin) for oin in (SHV, SHV_FASE_1)}
    async with scene.party(SHV) as one, scene.party(SHV_FASE_1) as other:
        died = {}
        for party in (one, other):
            async with holding(party.channel, party.queue) as message:
                died[party.oin] = message.message_id
                await message.reject(requeue=False)
        await eventually(lambda: len(scene.dead_letters()) == 2, "two dead letters")

        said = operator(
            scene.world,
            "gestrand",
            "herhaal",
            "--alles",
            "--reden",
            "geweigerd",
            "--waarom",
            "weer heel",
        )

        assert "2 herhaald" in said
        for party in (one, other):
            offered = await party.take()
            assert (offered["id"], offered["subject"]) == (died[party.oin], sent[party.oin])
            await party.confirm(offered["id"])
            view = await scene.until_state(sent[party.oin], "bevestigd")
            assert view["pogingen"] == 2
    assert scene.dead_letters() == []


async def test_a_lost_queue_is_filled_again_with_what_was_not_confirmed(scene: Scene) -> None:
    sent = {await scene.tell() for _ in range(4)}
    async with scene.party() as shv:
        taken = await shv.take()
        await shv.confirm(taken["id"])
        await scene.until_state(taken["subject"], "bevestigd")
        lost = sent - {taken["subject"]}
        for each in lost:
            await scene.until_state(each, "aangeboden")
        async with at_broker(scene.broker.url) as admin:
            await (await admin.get_queue(shv.queue, ensure=False)).purge()

        since = f"{now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
        said = operator(scene.world, "rabbitmq", "hervullen", SHV, "--sinds", since)

        assert said.startswith("3 afleveringen")
        again = [await shv.take() for _ in lost]
        assert {event["subject"] for event in again} == lost
        await shv.confirm(*(event["id"] for event in again))
        for each in lost:
            await scene.until_state(each, "bevestigd")


async def test_without_a_broker_accepting_goes_on_and_deliveries_follow_when_it_is_back(
    scene: Scene,
) -> None:
    server = scene.broker.server
    await asyncio.to_thread(server.kill)
    try:
        await eventually(lambda: says(scene, "beperkt"), "the health page tells of it")
        sent = [await scene.tell() for _ in range(20)]
    finally:
        await asyncio.to_thread(server.start)

    async with scene.party() as shv:
        events = [await shv.take() for _ in sent]
        assert {event["subject"] for event in events} == set(sent)
        await shv.confirm(*(event["id"] for event in events))
    assert await says(scene, "ok")
    views = [await scene.until_state(each, "bevestigd") for each in sent]
    assert {view["pogingen"] for view in views} == {1}, "an outage of ours is no attempt"


async def test_a_new_party_has_its_queue_within_seconds_and_disturbs_nobody(
    scene: Scene,
) -> None:
    newcomer = by_queue(OVERIGE_SHV, "Gemeente Nieuwkomer", "shv-fase-2")
    entries = [entry for entry in PARTIES if entry.oin != OVERIGE_SHV]
    questions = [await scene.ask() for _ in range(20)]

    scene.world.apply([*entries, newcomer])

    async def declared() -> bool:
        queues = await asyncio.to_thread(scene.broker.queues)
        return party_queue(OVERIGE_SHV) in {queue.name for queue in queues}

    meanwhile = [asyncio.create_task(scene.answer(each)) for each in questions]
    await eventually(declared, "the queue of the new party", within=15)
    sent = await scene.tell(OVERIGE_SHV)
    async with scene.party(OVERIGE_SHV) as party:
        assert (await party.take())["subject"] == sent
    for each in await asyncio.gather(*meanwhile):
        assert (await scene.until_state(each, "aangeboden"))["pogingen"] == 1


async def says(scene: Scene, status: str) -> bool:
    """The health page says so."""
    return await scene.ready() == status


async def until_empty(scene: Scene, queue: str) -> None:
    """Wait until the gateway has taken everything that lies there, also what it still holds."""

    async def empty() -> bool:
        async with at_broker(scene.broker.url) as admin:
            return await depth(admin, queue) == 0

    await eventually(empty, f"{queue} is empty")


def holds_to_schema(catalogue: Catalogue, which: Kind, made: Json) -> bool:
    """Whether the contract lets this through."""
    return bool(catalogue.kinds[which].schema.verdict.validate(catalogue.to_xml(which, made)))
