"""Whoever has the disk and not the keys has no content: every file is searched for canaries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import sqlalchemy as sa
from isal import isal_zlib

from fixtures.documents import document, kind
from fixtures.keyring import a_keyring
from fixtures.parties import CaseSystem, fresh, now
from fixtures.running import Reach, as_process
from fixtures.world import SE, SHV, Entry, World, the_usual
from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.ledger.tables import attachment
from gateway.message import Json, Kind, Oin, as_bytes
from gateway.schemas import Catalogue
from tests.conformance.delivering import rows
from tests.conftest import CANARIES, NewWorld
from tests.e2e.canary_search import found_in, found_under
from tests.e2e.queue_party import queue_party
from tests.servers.party import eventually
from tests.servers.postgres import a_postgres
from tests.servers.rabbitmq import Broker, RabbitMQ, require_rabbitmq

pytestmark = pytest.mark.timeout(300)

CONVERSATION = (
    (SHV, "KennisgevingPubliek"),
    (SHV, "Saldoverzoek"),
    (SE, "SaldoverzoekAntwoord"),
    (SHV, "Betaalvoorstel"),
    (SE, "BetaalvoorstelAntwoord"),
    (SHV, "RegelingGeaccordeerd"),
    (SHV, "StatusberichtShv"),
)
"""Who says what, in order."""

ANSWERS = {"SaldoverzoekAntwoord", "Betaalvoorstel", "BetaalvoorstelAntwoord"}
"""These answer what was said just before."""

ROUNDS = 3


def test_a_canary_is_recognised_in_every_form() -> None:
    said = "een Fietsenmaker Bel, 999990007"

    assert found_in(said.encode()) == {"Fietsenmaker Bel", "999990007"}
    assert found_in(said.encode("utf-16-le")) == {"Fietsenmaker Bel", "999990007"}
    assert found_in(said.encode().hex().encode()) == {"Fietsenmaker Bel", "999990007"}
    for before in range(3):
        written = base64.b64encode(b"x" * before + said.encode())
        assert found_in(written) == {"Fietsenmaker Bel", "999990007"}


@pytest.mark.parametrize("deflate", [isal_zlib.compress, zlib.compress], ids=["isa-l", "zlib"])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_canary_that_was_only_deflated_is_found(
    deflate: Callable[[bytes, int], bytes], level: int
) -> None:
    said = b"een Fietsenmaker Bel, 999990007 " + b" ".join(b"%d" % n for n in range(600))
    deflated = b"\x01" + deflate(said, level)
    broken = deflated[: len(deflated) * 3 // 4] + bytes(100)

    for content in (deflated, broken, b"\\x" + deflated.hex().encode() + b"\t"):
        lying = os.urandom(5_000) + content + os.urandom(5_000)
        assert found_in(lying) == {"Fietsenmaker Bel", "999990007"}


class Said(NamedTuple):
    """One message of a conversation."""

    sender: Oin
    recipient: Oin
    which: Kind
    document: Json


def a_conversation() -> Iterator[Said]:
    """The messages of a conversation, in order."""
    conversation, before = fresh(), ""
    for sender, name in CONVERSATION:
        own, which = fresh(), kind("schuldregeling", name)
        recipient = SE if sender == SHV else SHV
        made = document(
            which,
            reference=own,
            conversation=conversation,
            sender=sender,
            recipient=recipient,
            at=now(),
            cross=before if name in ANSWERS else None,
        )
        if name == "Betaalvoorstel":
            ((_, body),) = made.items()
            body["stuurgegevens"]["bijlagen"] = [an_attachment()]
        yield Said(sender, recipient, which, made)
        before = own


def an_attachment() -> Json:
    """A document about the debtor, which is kept apart from the message."""
    content = b"%PDF-1.7 " + b" en ".join(each.encode() for each in CANARIES * 20)
    return {
        "soort": "ONDERBOUWING",
        "mime": "application/pdf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "inhoud": base64.b64encode(content).decode(),
    }


def kept_apart(world: World) -> int:
    """How many attachments lie in the ledger."""
    with closing(open_ledger(world.settings.ledger, a_keyring())) as ledger:
        return len(rows(ledger, sa.select(attachment.c.place)))


@asynccontextmanager
async def reaching(world: World, catalogue: Catalogue) -> AsyncIterator[Reach]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield Reach(world, catalogue, client)


async def traffic(reach: Reach) -> Counter[Oin]:
    """Messages in both forms, repeats, and refusals of each sort; how many lie ready for whom."""
    by_json = {oin: reach.case_system(oin) for oin in (SHV, SE)}
    by_xml = {oin: reach.creditor(oin) for oin in (SHV, SE)}
    accepted: Counter[Oin] = Counter()
    carried: set[str] = set()
    for _ in range(ROUNDS):
        for one, other in zip(a_conversation(), a_conversation(), strict=True):
            carried |= found_in(as_bytes(one.document))
            party, in_xml = by_json[one.sender], by_xml[one.sender]
            answers = [
                await party.send(one.document),
                await in_xml.send(other.which, other.document),
                await party.send(one.document),
            ]
            statuses = [each.status_code for each in answers]
            assert statuses == [202, 202, 200], [each.text for each in answers]
            accepted[one.recipient] += 2
            ((name, body),) = one.document.items()
            refused = await party.send({name: {**body, "bsn": "999990007"}})
            signed = in_xml.signed(other.which, other.document)
            broken = await in_xml.send_bytes(signed.replace(b"</", b" </", 1))
            assert {refused.status_code, broken.status_code} < {400, 401, 403, 422}
    assert len(carried) > 4, "the traffic must carry canaries"
    return accepted


async def collect_all(reach: Reach, ready: Counter[Oin]) -> None:
    """Both read everything and confirm it."""
    for oin, count in ready.items():
        await collect(reach.case_system(oin), count)


async def collect(reader: CaseSystem, count: int) -> None:
    """Read everything and confirm it."""
    taken = 0
    while taken < count:
        items = await reader.collect(wait=10)
        assert items
        assert found_in(as_bytes({"items": items}))
        await reader.confirm(*(one["afleverId"] for one in items))
        taken += len(items)


def read_by_json(channel: str = "postbus", **more: str) -> list[Entry]:
    return the_usual(
        se=Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", kanaal=channel, more=more)
    )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the gateway's process puts temporary files, if it does."""
    folder = tmp_path / "tijdelijk"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("SQLITE_TMPDIR", str(folder))
    return folder


async def test_no_file_of_an_embedded_gateway_holds_content(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, temporary: Path
) -> None:
    world = new_world(tmp_path / "gateway", read_by_json())
    places = (world.folder, temporary, world.settings.keys)
    with as_process(world):
        async with reaching(world, catalogue) as reach:
            ready = await traffic(reach)
            assert (world.folder / "gateway.db-wal").stat().st_size > 0
            assert kept_apart(world) == 2 * ROUNDS
            assert found_under(*places) == {}  # while it lies there
            await collect_all(reach, ready)
        assert found_under(*places) == {}  # and when it was taken
    assert found_under(*places) == {}


@pytest.mark.database
async def test_neither_a_dump_nor_the_files_of_postgresql_hold_content(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, temporary: Path
) -> None:
    with a_postgres(durable=True) as server:
        name = server.create()
        world = new_world(tmp_path / "gateway", read_by_json(), ledger=server.url(name))
        with as_process(world):
            async with reaching(world, catalogue) as reach:
                ready = await traffic(reach)
                assert kept_apart(world) == 2 * ROUNDS
                for form in ("plain", "custom"):
                    assert found_in(dumped(server.url(name), form)) == set()
                await collect_all(reach, ready)
        server.stop()  # everything is written, the journal too
        data = server._folder
        assert list(data.glob("data/pg_wal/0*"))
        assert list(data.glob("data/base/*/*"))
        assert found_under(data, world.folder, temporary) == {}


def dumped(url: str, form: str) -> bytes:
    done = subprocess.run(
        ["pg_dump", f"--format={form}", "--compress=0", "--dbname", url],
        check=True,
        capture_output=True,
    )
    return done.stdout


@contextmanager
def a_broker() -> Iterator[tuple[Broker, Path]]:
    """A node of its own: others leave things in the folder of the shared one."""
    require_rabbitmq()
    folder = Path(tempfile.mkdtemp(prefix="gateway-rabbitmq-"))
    server = RabbitMQ(folder)
    try:
        server.start()
        vhost = f"test-{uuid.uuid4().hex[:12]}"
        server.add_vhost(vhost)
        yield Broker(server, vhost), folder
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.broker
@pytest.mark.parametrize("content", ["verwijzing", "bericht"])
async def test_the_broker_keeps_content_of_nobody_who_chose_for_a_reference(
    content: str,
    new_world: NewWorld,
    catalogue: Catalogue,
    tmp_path: Path,
    temporary: Path,
) -> None:
    """With the content on its queue, a quorum queue keeps what was consumed until it cuts its
    log: that is measured here, and why docs advise ``inhoud = "verwijzing"``.
    """
    with a_broker() as (broker, folder):
        entries = read_by_json("queue", inhoud=f'"{content}"')
        world = new_world(tmp_path / "gateway", entries, broker=broker.url)
        with as_process(world):
            async with reaching(world, catalogue) as reach:
                http = reach.case_system(SE)
                async with queue_party(broker, http) as reader:
                    ready = await traffic(reach)
                    for _ in range(ready[SE]):
                        event = await reader.take()
                        if content == "verwijzing":
                            item = await http.get(f"/v1/postbus/{event['id']}")
                            assert item.status_code == httpx.codes.OK
                        await http.confirm(event["id"])
                await until_confirmed(reach, http)
        await asyncio.to_thread(broker.server.stop)  # whatever it had in memory is written
        found = found_under(folder)
        assert found_under(world.folder, temporary) == {}
        if content == "verwijzing":
            assert found == {}
        else:
            print(f"consumed content is still in {found}")  # noqa: T201
            assert all("/quorum/" in f"/{path}" for path in found), sorted(found)


async def until_confirmed(reach: Reach, http: CaseSystem) -> None:
    async def empty() -> bool:
        return await http.collect() == []

    await eventually(empty, "everything is confirmed")
