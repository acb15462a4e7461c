"""The door *queue*: what a party publishes is handled once it is committed, and answered."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aio_pika.abc import AbstractChannel

from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.events import BEVESTIGING, FOUTBERICHT
from gateway.adapters.rabbitmq.queue_in import Intake, QueueIn, Reply
from gateway.adapters.rabbitmq.topology import (
    GESTRAND,
    INZENDING,
    Topology,
    answer_queue,
    permissions,
)
from gateway.errors import Code, LedgerUnavailable, Refusal
from gateway.message import Dialect, Door, Oin, Receipt, Received
from tests.servers.party import (
    NOON,
    SHV,
    at_broker,
    depth,
    eventually,
    submit,
    take,
    take_many,
)
from tests.servers.rabbitmq import Broker, Permissions

pytestmark = pytest.mark.broker
TOPOLOGY = Topology(lambda: [SHV])


@dataclass
class Line:
    """Stands for all behind the door: it remembers, and fails as it is told."""

    trouble: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    received: list[Received] = field(default_factory=list)
    confirmed: list[tuple[Oin, tuple[str, ...]]] = field(default_factory=list)
    objections: list[tuple[Oin, str, str]] = field(default_factory=list)

    async def accept(self, received: Received) -> Receipt:
        self.received.append(received)
        if self.always is not None:
            raise self.always
        if self.trouble:
            raise self.trouble.pop(0)
        return Receipt("ref", b'{"ontvangstbevestiging":{}}', repeated=False)

    async def confirm(self, oin: Oin, ids: Sequence[str]) -> None:
        self.confirmed.append((oin, tuple(ids)))

    async def objection(self, oin: Oin, delivery_id: str, code: str) -> None:
        self.objections.append((oin, delivery_id, code))

    def intake(self) -> Intake:
        return Intake(
            accept=self.accept,
            confirm=self.confirm,
            objection=self.objection,
            receipt=lambda receipt, _: Reply(receipt.document, "ontvangst", signature="a..b"),
            refusal=lambda refusal, _: Reply(refusal.code.value.encode(), "fout"),
        )


@asynccontextmanager
async def a_door(
    broker: Broker, line: Line, *, hold: timedelta = timedelta(minutes=20)
) -> AsyncIterator[None]:
    consuming = BrokerConnection(broker.url, name="in", prepare=TOPOLOGY.declare)
    answering = BrokerConnection(broker.url, name="antwoord", prepare=TOPOLOGY.declare)
    door = QueueIn(
        consuming,
        answering,
        line.intake(),
        clock=lambda: NOON,
        hold=hold,
        pause=timedelta(milliseconds=20),
    )
    async with consuming, answering:
        await asyncio.gather(consuming.until_healthy(), answering.until_healthy())
        yield
    await door.close()


@asynccontextmanager
async def the_party(broker: Broker) -> AsyncIterator[AbstractChannel]:
    async with at_broker(broker.user(SHV, Permissions(*permissions(SHV)))) as channel:
        yield channel


async def test_an_accepted_submission_is_answered_with_its_receipt(broker: Broker) -> None:
    line = Line()
    async with a_door(broker, line), the_party(broker) as party:
        await submit(
            party,
            b'{"kennisgeving":{}}',
            user_id=SHV,
            message_id="van-mij",
            headers={"payload-signature": "kop..handtekening"},
        )
        answer = await take(party, answer_queue(SHV))

    assert line.received == [
        Received(
            door=Door.QUEUE,
            dialect=Dialect.JSON,
            body=b'{"kennisgeving":{}}',
            at=NOON,
            signature="kop..handtekening",
            transport=SHV,
        )
    ]
    assert answer.body == b'{"ontvangstbevestiging":{}}'
    assert answer.correlation_id == "van-mij"
    assert answer.type == "ontvangst"
    assert answer.headers == {"payload-signature": "a..b"}


async def test_a_refused_submission_is_answered_with_a_foutbericht(broker: Broker) -> None:
    line = Line(trouble=[Refusal(Code.HANDTEKENING_ONGELDIG)])
    async with a_door(broker, line), the_party(broker) as party:
        await submit(party, b"{}", user_id=SHV, message_id="van-mij")
        answer = await take(party, answer_queue(SHV))

    assert (answer.body, answer.correlation_id) == (b"HANDTEKENING_ONGELDIG", "van-mij")


A, B = str(uuid.uuid4()), str(uuid.uuid4())


def as_event(kind: str, data: object) -> bytes:
    return json.dumps({"specversion": "1.0", "id": A, "type": kind, "data": data}).encode()


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (
            as_event(BEVESTIGING, {"afleverIds": [A, B]}),
            {"content_type": "application/cloudevents+json"},
        ),
        (json.dumps({"afleverIds": [A, B]}).encode(), {"type": BEVESTIGING}),
    ],
    ids=["cloudevent", "data alone"],
)
async def test_a_confirmation_reaches_the_ledger_under_the_users_name(
    broker: Broker, body: bytes, properties: dict[str, str]
) -> None:
    line = Line()
    async with a_door(broker, line), the_party(broker) as party:
        await submit(party, body, user_id=SHV, **properties)
        await eventually(lambda: bool(line.confirmed), "the confirmation")

    assert line.confirmed == [(SHV, (A, B))]
    assert line.received == []


async def test_the_reason_of_a_rejection_reaches_the_ledger(broker: Broker) -> None:
    line = Line()
    body = as_event(FOUTBERICHT, {"afleverId": A, "code": "SCHEMA_ONGELDIG"})
    async with a_door(broker, line), the_party(broker) as party:
        await submit(party, body, user_id=SHV, content_type="application/cloudevents+json")
        await eventually(lambda: bool(line.objections), "the objection")

    assert line.objections == [(SHV, A, "SCHEMA_ONGELDIG")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"geen json", "JSON_ONGELDIG"),
        (b"\xff\x00", "JSON_ONGELDIG"),
        (b"[" * 100_000, "JSON_ONGELDIG"),
        (b"{}" + b" " * 300_000, "TE_GROOT"),
        (as_event("nl.onbekend.v1", {}), "VERZOEK_ONGELDIG"),
        (as_event(BEVESTIGING, []), "VERZOEK_ONGELDIG"),
        (as_event(BEVESTIGING, {"afleverIds": []}), "VERZOEK_ONGELDIG"),
        (as_event(BEVESTIGING, {"afleverIds": [1]}), "VERZOEK_ONGELDIG"),
        (as_event(BEVESTIGING, {"afleverIds": ["x"]}), "VERZOEK_ONGELDIG"),
        (as_event(FOUTBERICHT, {"afleverId": A, "code": "vrije tekst"}), "VERZOEK_ONGELDIG"),
    ],
)
async def test_an_unreadable_event_is_answered_and_stops_nothing(
    broker: Broker, body: bytes, code: str
) -> None:
    line = Line()
    event = "application/cloudevents+json"
    async with a_door(broker, line), the_party(broker) as party:
        await submit(party, body, user_id=SHV, content_type=event)
        await submit(
            party, as_event(BEVESTIGING, {"afleverIds": [A]}), user_id=SHV, content_type=event
        )
        answer = await take(party, answer_queue(SHV))
        await eventually(lambda: bool(line.confirmed), "the next event")

    assert answer.body == code.encode()


async def test_a_submission_without_a_user_becomes_a_dead_letter_unread(broker: Broker) -> None:
    line = Line()
    async with a_door(broker, line), the_party(broker) as party, at_broker(broker.url) as operator:
        await submit(party, b"{}")
        dead = await take(operator, GESTRAND)

    assert dead.body == b"{}"
    assert line.received == []


async def test_while_the_ledger_is_down_a_submission_is_held_and_tried_again(
    broker: Broker,
) -> None:
    down = LedgerUnavailable("de database antwoordt niet")
    line = Line(trouble=[down] * 30)
    async with a_door(broker, line), the_party(broker) as party, at_broker(broker.url) as operator:
        await submit(party, b"{}", user_id=SHV)
        await take(party, answer_queue(SHV))

        assert len(line.received) == 31
        assert await depth(operator, INZENDING) == await depth(operator, GESTRAND) == 0


async def test_a_submission_held_too_long_goes_back_and_comes_again(broker: Broker) -> None:
    down = LedgerUnavailable("de database antwoordt niet")
    line = Line(always=down)
    async with a_door(broker, line, hold=timedelta(0)), the_party(broker) as party:
        await submit(party, b"{}", user_id=SHV)
        await eventually(lambda: len(line.received) >= 3, "handed over again and again")

        line.always = None

        await take(party, answer_queue(SHV))


async def test_a_submission_that_crashes_the_gateway_becomes_a_dead_letter(
    broker: Broker,
) -> None:
    line = Line(always=ZeroDivisionError("een fout van ons"))
    async with a_door(broker, line), the_party(broker) as party, at_broker(broker.url) as operator:
        await submit(party, b'{"vergif":1}', user_id=SHV)
        dead = await take(operator, GESTRAND)

        line.always = None
        await submit(party, b"{}", user_id=SHV)
        await take(party, answer_queue(SHV))

    assert dead.body == b'{"vergif":1}'
    deaths = dead.headers["x-death"]
    assert isinstance(deaths, list)
    assert isinstance(deaths[0], dict)
    assert deaths[0]["reason"] == "delivery_limit"


async def test_an_answer_that_nobody_can_get_stops_nothing(broker: Broker) -> None:
    line = Line()
    async with a_door(broker, line), the_party(broker) as party, at_broker(broker.url) as operator:
        await operator.queue_delete(answer_queue(SHV))
        await submit(party, b"{}", user_id=SHV)
        await eventually(lambda: len(line.received) == 1, "accepted")

        async def settled() -> bool:
            return await depth(operator, INZENDING) == 0

        await eventually(settled, "not handed over again")


async def test_a_submission_in_hand_when_the_broker_dies_is_answered_all_the_same(
    broker: Broker,
) -> None:
    line = Line(always=LedgerUnavailable("nog niet"))
    async with a_door(broker, line):
        async with the_party(broker) as party:
            await submit(party, b"{}", user_id=SHV, message_id="een")
            await eventually(lambda: bool(line.received), "in hand")
        await asyncio.to_thread(broker.server.kill)
        await asyncio.to_thread(broker.server.start)
        line.always = None

        async with the_party(broker) as party:
            assert (await take(party, answer_queue(SHV))).correlation_id == "een"


async def test_two_processes_share_the_work(broker: Broker) -> None:
    one, two = Line(), Line()
    async with a_door(broker, one), a_door(broker, two), the_party(broker) as party:
        for number in range(200):
            await submit(party, b"{}", user_id=SHV, message_id=str(number))
        answers = await take_many(party, answer_queue(SHV), 200)

    assert {answer.correlation_id for answer in answers} == {str(number) for number in range(200)}
    assert one.received
    assert two.received
