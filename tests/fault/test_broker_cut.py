"""The connection to the broker is cut at every class of byte, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from fixtures.world import SHV
from gateway.adapters.rabbitmq.topology import permissions
from tests.conftest import NewWorld
from tests.fault.broker_load import PARTIES, Flow, flowing, nothing_dead_at
from tests.fault.conftest import Counts
from tests.servers.cutting_proxy import CuttingProxy, How, Toward, Where, after
from tests.servers.rabbitmq import Broker, Permissions

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

GREETING = b"AMQP\x00\x00\x09\x01"
FRAME_HEAD = 7
"""Bytes of type, channel and size before the payload; one byte ends the frame."""
METHOD, BODY = 1, 3

PUBLISH = (60, 40)
DELIVER = (60, 60)
ACK = (60, 80)
"""Class and method of AMQP 0-9-1; an ack toward the client is a confirm."""

Frame = tuple[int, int, int, tuple[int, int]]
"""Start, type, size of the payload, and which method (of the content too)."""


def frames(seen: bytes) -> Iterator[Frame]:
    """Whole and begun frames, from the start of a connection."""
    start = len(GREETING) if seen.startswith(GREETING) else 0
    method = (0, 0)
    while len(seen) >= start + FRAME_HEAD + 4:
        kind = seen[start]
        size = int.from_bytes(seen[start + 3 : start + FRAME_HEAD])
        payload = seen[start + FRAME_HEAD :]
        if kind == METHOD:
            method = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
        yield start, kind, size, method
        start += FRAME_HEAD + size + 1


def at(wanted: tuple[int, int], inside: Callable[[int], int], kind: int = METHOD) -> Where:
    """Before byte ``inside(size of the payload)`` of the first such frame."""

    def where(seen: bytes) -> int | None:
        for start, found, size, method in frames(seen):
            if (found, method) == (kind, wanted):
                return start + inside(size)
        return None

    return where


CLASSES: dict[str, tuple[Toward, Where]] = {
    "before the first byte": (Toward.SERVER, after(0)),
    "inside the greeting": (Toward.SERVER, after(4)),
    "after the greeting": (Toward.SERVER, after(len(GREETING))),
    "inside the handshake": (Toward.CLIENT, after(20)),
    "before a publish": (Toward.SERVER, at(PUBLISH, lambda _: 0)),
    "inside a frame head": (Toward.SERVER, at(PUBLISH, lambda _: 3)),
    "between frame head and payload": (Toward.SERVER, at(PUBLISH, lambda _: FRAME_HEAD)),
    "inside a method": (Toward.SERVER, at(PUBLISH, lambda size: FRAME_HEAD + size // 2)),
    "before the frame end": (Toward.SERVER, at(PUBLISH, lambda size: FRAME_HEAD + size)),
    "between method and content": (Toward.SERVER, at(PUBLISH, lambda size: FRAME_HEAD + size + 1)),
    "inside a body": (Toward.SERVER, at(PUBLISH, lambda size: FRAME_HEAD + size // 2, BODY)),
    "before a body's end": (Toward.SERVER, at(PUBLISH, lambda size: FRAME_HEAD + size, BODY)),
    "after a body": (Toward.SERVER, at(PUBLISH, lambda size: FRAME_HEAD + size + 1, BODY)),
    "before a confirm": (Toward.CLIENT, at(ACK, lambda _: 0)),
    "inside a confirm": (Toward.CLIENT, at(ACK, lambda size: FRAME_HEAD + size // 2)),
    "after a confirm": (Toward.CLIENT, at(ACK, lambda size: FRAME_HEAD + size + 1)),
    "inside what we take in": (Toward.CLIENT, at(DELIVER, lambda size: FRAME_HEAD + size // 2)),
    "before our acknowledgement": (Toward.SERVER, at(ACK, lambda _: 0)),
    "inside our acknowledgement": (Toward.SERVER, at(ACK, lambda size: FRAME_HEAD + size // 2)),
}
SILENT = ("inside a body", "before a confirm", "before our acknowledgement")
"""Where the cable is pulled too; that takes seconds to notice."""


@pytest.fixture
def proxy(broker: Broker) -> Iterator[CuttingProxy]:
    with CuttingProxy(broker.server.port) as started:
        yield started


@pytest_asyncio.fixture
async def flow(
    new_world: NewWorld, tmp_path: Path, broker: Broker, proxy: CuttingProxy
) -> AsyncIterator[Flow]:
    """Only the gateway goes through the proxy."""
    through = broker.url.replace(f":{broker.server.port}/", f":{proxy.port}/")
    world = new_world(tmp_path / "gateway", PARTIES, broker=through)
    url = broker.user(SHV, Permissions(*permissions(SHV)))
    async with flowing(world, [url]) as started:
        yield started


@pytest.mark.parametrize("how", [How.RESET, How.FINISH, How.SILENCE], ids=lambda how: how.value)
async def test_a_cut_at_any_byte_loses_and_invents_nothing(
    flow: Flow, broker: Broker, proxy: CuttingProxy, counts: Counts, how: How
) -> None:
    classes = SILENT if how is How.SILENCE else tuple(CLASSES)
    async with flow.sending():
        await flow.until_received(5, "deliveries before")
        for name in classes:
            cut = proxy.cut(*CLASSES[name], how)
            proxy.cut_all(How.RESET)  # on connections whose first byte it sees
            assert await asyncio.to_thread(cut.fired.wait, 30), f"never {name}"
            await flow.until_received(1, f"deliveries after a cut {name}")
        proxy.clear()
    await nothing_dead_at(broker.url)
    await flow.settle(
        counts, f"cut {how.value}", classes=len(classes), connections=proxy.connections
    )
