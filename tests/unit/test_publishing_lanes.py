"""What is ready together is published in one write, and each message gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiormq import Channel as RawChannel
from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import FrameTypes, marshal
from pamqp.header import ContentHeader

from gateway.adapters.rabbitmq.lane import LARGEST_WRITE, MOST_UNHEARD_BYTES, Lane, Unheard
from gateway.adapters.rabbitmq.lanes import MOST_LANES, Lanes
from gateway.adapters.rabbitmq.queue_out import Label
from gateway.cloudevent import event_source, event_type
from tests.servers.party import GATEWAY, a_parcel

MOST_IN_A_FRAME = 1_000
LONG = 60.0


class Wire(SimpleNamespace):
    """A channel of the AMQP library, as far as a lane sees one."""

    def __init__(self, room: int = 0) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.write_queue: asyncio.Queue[ChannelFrame] = asyncio.Queue(room)
        super().__init__(
            number=7,
            max_content_size=MOST_IN_A_FRAME,
            delivery_tag=0,
            confirmations={},
            message_id_delivery_tag={},
        )

    @property
    def is_closed(self) -> bool:
        return self.closing.done()

    def confirm(self, tag: int, error: Exception | None = None) -> None:
        answer = self.confirmations.pop(tag)
        if error is None:
            answer.set_result(Basic.Ack(tag))
        else:
            answer.set_exception(error)


def a_lane(wire: Wire, unheard: Unheard | None = None, within: float = LONG) -> Lane:
    return Lane(wire, unheard or Unheard(), within)  # type: ignore[arg-type]


def publishing(lane: Lane, name: str, body: bytes = b"{}") -> Coroutine[Any, Any, None]:
    return lane.publish(body, Basic.Properties(message_id=name), "gateway.berichten", "x.y")


def begun(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)


def as_the_library_writes(name: str, *bodies: bytes) -> bytes:
    size = sum(map(len, bodies))
    frames: list[FrameTypes] = [
        Basic.Publish(exchange="gateway.berichten", routing_key="x.y", mandatory=True),
        ContentHeader(body_size=size, properties=Basic.Properties(message_id=name)),
        *map(ContentBody, bodies),
    ]
    return b"".join(marshal(frame, 7) for frame in frames)


async def test_what_is_ready_together_leaves_in_one_write_and_in_order() -> None:
    wire = Wire()
    lane = a_lane(wire)

    tasks = [begun(publishing(lane, name)) for name in ("a", "b", "c")]
    written = await wire.write_queue.get()
    for tag in (3, 1, 2):
        wire.confirm(tag)
    await asyncio.gather(*tasks)

    assert written.payload == b"".join(as_the_library_writes(name, b"{}") for name in "abc")
    assert wire.write_queue.empty()
    assert wire.message_id_delivery_tag == {}


async def test_a_body_is_cut_as_the_broker_wants_and_an_empty_one_has_no_frame() -> None:
    wire = Wire()
    lane = a_lane(wire)
    large = bytes(range(250)) * 10

    tasks = [begun(publishing(lane, "a", large)), begun(publishing(lane, "b", b""))]
    written = await wire.write_queue.get()
    for task in tasks:
        task.cancel()

    cut = as_the_library_writes("a", large[:1000], large[1000:2000], large[2000:])
    assert written.payload == cut + as_the_library_writes("b")


async def test_each_message_gets_its_own_answer() -> None:
    wire = Wire()
    lane = a_lane(wire)

    returned = DeliveredMessage(
        delivery=Basic.Return(),
        header=ContentHeader(),
        body=b"",
        channel=wire,  # type: ignore[arg-type]
    )

    tasks = [begun(publishing(lane, name)) for name in ("a", "b", "c")]
    await wire.write_queue.get()
    wire.confirm(1, DeliveryError(None, Basic.Nack()))
    wire.confirm(2)
    wire.confirm(3, PublishError(returned, Basic.Return()))
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert list(map(type, answers)) == [DeliveryError, type(None), PublishError]


async def test_what_finds_no_room_keeps_its_order_and_its_number() -> None:
    wire = Wire(room=1)
    lane = a_lane(wire)
    body = b"x" * (LARGEST_WRITE // 2)

    tasks = [begun(publishing(lane, name, body)) for name in "abcdef"]
    sizes = [len((await wire.write_queue.get()).payload) for _ in range(3)]
    tags = dict(wire.message_id_delivery_tag)
    for tag in range(1, 7):
        wire.confirm(tag)
    await asyncio.gather(*tasks)

    assert tags == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}
    assert max(sizes) < LARGEST_WRITE * 2
    assert wire.write_queue.empty()


async def test_a_message_without_an_id_gets_one_by_which_it_is_known_when_it_returns() -> None:
    wire = Wire()
    properties = Basic.Properties()

    task = begun(a_lane(wire).publish(b"{}", properties, "", "x"))
    await wire.write_queue.get()

    assert wire.message_id_delivery_tag == {properties.message_id: 1}
    assert properties.message_id
    task.cancel()


async def test_who_gives_up_before_it_left_takes_no_number() -> None:
    wire = Wire(room=1)
    wire.write_queue.put_nowait(ChannelFrame(b"", should_close=False))
    lane = a_lane(wire)
    first = begun(publishing(lane, "a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    second, third = begun(publishing(lane, "b")), begun(publishing(lane, "c"))
    await asyncio.sleep(0)
    second.cancel()
    payloads = [(await wire.write_queue.get()).payload for _ in range(3)]

    assert payloads == [b"", as_the_library_writes("a", b"{}"), as_the_library_writes("c", b"{}")]
    assert wire.message_id_delivery_tag == {"a": 1, "c": 2}
    first.cancel()
    third.cancel()


async def test_what_is_not_confirmed_in_time_has_failed_and_is_nobodys_any_more() -> None:
    wire = Wire()

    with pytest.raises(TimeoutError):
        await publishing(a_lane(wire, within=0.01), "a")

    assert wire.confirmations[1].done()
    assert wire.message_id_delivery_tag == {}


async def test_a_closed_channel_fails_what_is_under_way_and_what_comes_after() -> None:
    wire = Wire(room=1)
    lane = a_lane(wire)
    written = begun(publishing(lane, "a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = begun(publishing(lane, "b"))
    await asyncio.sleep(0)

    wire.closing.set_result(None)
    answers = await asyncio.gather(written, waiting, return_exceptions=True)

    assert list(map(type, answers)) == [ConnectionError, ConnectionError]
    with pytest.raises(ConnectionError):
        await publishing(lane, "c")


async def answered(wire: Wire, lane: Lane, size: int, error: Exception | None = None) -> bool:
    """Publish so many bytes and have it answered; gives whether its writing was waited for."""
    task = begun(publishing(lane, "a", bytes(size)))
    written = await wire.write_queue.get()
    written.drain()
    wire.confirm(wire.delivery_tag, error)
    await asyncio.gather(task, return_exceptions=True)
    return written.drain_future is not None


@pytest.mark.parametrize("error", [None, DeliveryError(None, Basic.Nack())])
async def test_what_the_broker_answered_counts_no_more(error: Exception | None) -> None:
    wire, unheard = Wire(), Unheard()
    lane = a_lane(wire, unheard)

    waited = [await answered(wire, lane, MOST_UNHEARD_BYTES // 2, error) for _ in range(3)]

    assert waited == [False, False, False]
    assert unheard.size == 0


async def test_more_than_the_bound_at_once_is_waited_for() -> None:
    wire, other, unheard = Wire(), Wire(), Unheard()
    crowd = begun(publishing(a_lane(other, unheard), "z", bytes(MOST_UNHEARD_BYTES)))
    await other.write_queue.get()
    lane = a_lane(wire, unheard)

    first = begun(publishing(lane, "a"))
    written = await wire.write_queue.get()
    second = begun(publishing(lane, "b"))
    await asyncio.sleep(0.01)
    meanwhile = wire.write_queue.qsize()
    written.drain()
    await wire.write_queue.get()

    assert meanwhile == 0
    for task in (crowd, first, second):
        task.cancel()


async def test_what_the_broker_never_answered_keeps_counting() -> None:
    wire, unheard = Wire(), Unheard()
    lane = a_lane(wire, unheard, within=0.05)

    silent = begun(publishing(lane, "z", bytes(MOST_UNHEARD_BYTES)))
    (await wire.write_queue.get()).drain()
    with pytest.raises(TimeoutError):
        await silent

    assert unheard.crowded
    assert await answered(wire, lane, 1)


@pytest.mark.parametrize("signature", ["kop..handtekening", None])
def test_a_label_is_what_the_library_makes_of_the_same_properties(signature: str | None) -> None:
    parcel = replace(a_parcel(), signature=signature)
    made = Basic.Properties(
        content_type=parcel.media,
        delivery_mode=2,
        message_id=parcel.delivery.id,
        message_type=event_type(parcel.delivery.kind),
        app_id=event_source(GATEWAY),
        headers={"payload-signature": signature} if signature else {},
    )

    label = Label(parcel, event_source(GATEWAY))

    assert label.marshal() == made.marshal()
    assert label.message_id == made.message_id


async def test_each_recipient_has_a_lane_of_its_own_until_the_broker_allows_no_more() -> None:
    opened: list[Wire] = []

    async def open_channel() -> RawChannel:
        opened.append(Wire())
        return opened[-1]  # type: ignore[return-value]

    lanes = Lanes(open_channel, LONG)
    names = [f"{number:020}" for number in range(MOST_LANES)]

    own = [await lanes.of(name) for name in names]
    late = [await lanes.of(name) for name in ("laat", "later", "laat")]

    assert len(set(own)) == len(opened) == MOST_LANES
    assert [await lanes.of(name) for name in names] == own
    assert late[0] is late[2]
    assert set(late) < set(own)
