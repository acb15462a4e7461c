"""The way to the door is cut at every class of byte: the sender repeats, and nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.flooding import MIB, a_post, connect, resident
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.load import Doors, Load, Signed, a_client
from tests.fault.promises import everything_holds
from tests.fault.town import ALL_SENT_WITHIN, Town, a_town
from tests.servers.cutting_proxy import CuttingProxy, How, Toward, Where
from tests.servers.party import eventually

pytestmark = pytest.mark.timeout(240)

ROUNDS = 3
BODY_WITHIN_SECONDS = 3
LET_GO_WITHIN = 60.0
LARGE_BYTES = 3 * MIB
LARGE = 30
GROWTH_MIB = 45
"""Half of what the large bodies would take together."""

HEAD_ENDS = b"\r\n\r\n"


def at(word: bytes, beyond: int = 0) -> Where:
    """So many bytes after the start of this, once they are there."""

    def where(seen: bytes) -> int | None:
        found = seen.find(word)
        return None if found < 0 or len(seen) < found + beyond else found + beyond

    return where


def at_the_end(seen: bytes) -> int | None:
    """After the last byte of the body."""
    head, found, body = seen.partition(HEAD_ENDS)
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    length = int(lines.get(b"Content-Length", b"0"))
    return len(seen) if found and length and len(body) >= length else None


UNHEARD: dict[str, Where] = {
    "before the first byte": at(b"POST"),
    "inside the request line": at(b"POST", 9),
    "inside a header": at(b"Content-Type", 5),
    "between head and body": at(HEAD_ENDS, len(HEAD_ENDS)),
    "inside the body": at(HEAD_ENDS, len(HEAD_ENDS) + 700),
}
"""Where the gateway cannot have the whole message, and keeps nothing of it."""

HEARD: dict[str, Where] = {"after the body": at_the_end}
ANSWERED: dict[str, Where] = {
    "before the answer": at(b"HTTP/1.1"),
    "inside the head of the answer": at(b"HTTP/1.1", 12),
    "between that head and the receipt": at(HEAD_ENDS, len(HEAD_ENDS)),
    "inside the receipt": at(HEAD_ENDS, len(HEAD_ENDS) + 100),
}
"""Where the message is accepted, and its sender does not know."""

ENDS = (How.RESET, How.FINISH)
CASES = [
    # these wait out their time beside the others
    *((name, Toward.SERVER, where, How.SILENCE) for name, where in UNHEARD.items()),
    *(
        (name, toward, where, how)
        for toward, places in ((Toward.SERVER, UNHEARD | HEARD), (Toward.CLIENT, ANSWERED))
        for (name, where), how in itertools.product(places.items(), ENDS * ROUNDS)
    ),
]


@dataclass
class Sender:
    """Sends through the proxy, each time over a new connection, and repeats what was cut.

    Attributes:
        statuses: Status of the first answer that it heard whole, by referentienummer.
    """

    signed: Signed
    proxy: CuttingProxy
    client: httpx.AsyncClient
    receipts: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)

    async def post(self, own: str) -> httpx.Response:
        """Send one message once."""
        return await self.client.post(
            f"http://127.0.0.1:{self.proxy.port}/v1/berichten",
            content=self.signed.bodies[own],
            headers={"Content-Type": "application/xml"},
        )

    async def post_and_be_cut(self, own: str, toward: Toward, where: Where, how: How) -> None:
        """Send one message of which nothing comes back, or no whole answer."""
        cut = self.proxy.cut(toward, where, how)
        sending = asyncio.create_task(self.post(own))
        assert await asyncio.to_thread(cut.fired.wait, 30)
        if how is How.SILENCE:
            sending.cancel()  # a sender that gives up
        (heard,) = await asyncio.gather(sending, return_exceptions=True)
        assert isinstance(heard, httpx.HTTPError | asyncio.CancelledError), heard

    async def repeat(self, own: str) -> None:
        """Send it again, and hear the whole receipt."""
        answer = await self.post(own)
        assert answer.is_success, answer.text
        assert self.receipts.setdefault(own, answer.content) == answer.content
        self.statuses.setdefault(own, answer.status_code)


def sockets(process: GatewayProcess) -> int:
    """How many sockets that process has open."""
    assert process.process is not None
    count = 0
    for each in Path(f"/proc/{process.process.pid}/fd").iterdir():
        try:
            count += str(each.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed while we looked
            continue
    return count


async def until_let_go(process: GatewayProcess, before: int) -> int:
    """Wait until the gateway has no more sockets open than before; how many more it has then."""
    await eventually(
        lambda: sockets(process) <= before, "no connection is held", within=LET_GO_WITHIN
    )
    return max(0, sockets(process) - before)


@pytest.fixture(scope="module")
def town(
    new_world: NewWorld, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Town:
    return a_town(new_world, catalogue, tmp_path_factory.mktemp("door") / "gateway")


@pytest.fixture(scope="module")
def process(town: Town) -> Iterator[GatewayProcess]:
    made = GatewayProcess(town.world, more={"GATEWAY_BODY_TIMEOUT": str(BODY_WITHIN_SECONDS)})
    with running(made):
        yield made


def proxy_before(process: GatewayProcess) -> CuttingProxy:
    return CuttingProxy(httpx.URL(process.url).port or 0)


async def test_a_request_cut_at_any_byte_is_accepted_once_when_repeated_and_none_is_held(
    town: Town, process: GatewayProcess, counts: Counts
) -> None:
    signed = town.signed.some(len(CASES), only_first=True)
    others = {own: body for own, body in town.signed.bodies.items() if own not in signed.bodies}
    beside = Load(replace(town.signed, bodies=others), Doors([process.url]))
    await process.until_ready()
    before = sockets(process)

    with proxy_before(process) as proxy:
        async with a_client() as client, town.taking(beside.doors) as taken:
            sending = asyncio.create_task(beside.send())
            sender = Sender(signed, proxy, client)
            for own, (_, toward, where, how) in zip(signed.bodies, CASES, strict=True):
                await sender.post_and_be_cut(own, toward, where, how)
                if how is not How.SILENCE:
                    await sender.repeat(own)
            for own in signed.bodies:
                await sender.repeat(own)
            await asyncio.wait_for(sending, ALL_SENT_WITHIN)
            receipts = beside.receipts | sender.receipts
            whole = Load(town.signed, beside.doors, receipts=receipts, failed=beside.failed)
            held = await everything_holds(town, whole, taken)
        held_sockets = await until_let_go(process, before)

    assert held_sockets == 0
    for own, (name, toward, _, how) in zip(signed.bodies, CASES, strict=True):
        allowed = {200} if toward is Toward.CLIENT else {202} if name in UNHEARD else {200, 202}
        assert sender.statuses[own] in allowed, f"repeated after a cut {name} ({how.value})"
    first, known = (list(sender.statuses.values()).count(status) for status in (202, 200))
    counts(
        "door cut",
        cuts=len(CASES),
        new_when_repeated=first,
        known_when_repeated=known,
        sockets_held=held_sockets,
        **held.numbers,
    )


async def test_large_bodies_that_are_cut_leave_neither_memory_nor_a_connection(
    process: GatewayProcess, counts: Counts
) -> None:
    await process.until_ready()
    assert process.process is not None
    request = a_post(b"<" * 2 * LARGE_BYTES, {"Content-Type": "application/xml"})
    before_sockets, before_mib = sockets(process), resident(process.process.pid)

    with proxy_before(process) as proxy:
        for how in itertools.islice(itertools.cycle(ENDS), LARGE):
            proxy.cut(Toward.SERVER, at(HEAD_ENDS, LARGE_BYTES), how)
            reader, writer = await connect(f"http://127.0.0.1:{proxy.port}")
            writer.write(request)
            with_an_end = asyncio.gather(reader.read(), return_exceptions=True)
            await asyncio.wait_for(with_an_end, 30)
            writer.transport.abort()
        held_sockets = await until_let_go(process, before_sockets)
        grown = resident(process.process.pid) - before_mib

    assert held_sockets == 0
    assert grown < GROWTH_MIB
    counts("large bodies cut", cuts=LARGE, sockets_held=held_sockets, grown_mib=round(grown, 1))
