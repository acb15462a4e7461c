"""Two hundred different messages at once: each is kept and handed on as its own bytes."""

from __future__ import annotations

import asyncio
import base64
from contextlib import closing
from pathlib import Path

import httpx

from fixtures.parties import fresh
from fixtures.running import Reach, as_process
from fixtures.world import SE, SHV
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import Connection, an_xml_post, connect, resident

MESSAGES = 200
GROWTH_MIB = 60
"""At the most that it ever had, first use of everything included."""


async def test_of_many_messages_at_once_none_gets_the_bytes_or_the_receipt_of_another(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway")
    async with httpx.AsyncClient(timeout=30) as client:
        reach = Reach(world, catalogue, client)
        shv, creditor = reach.creditor(SHV), reach.creditor(SE)
        numbers = [fresh() for _ in range(MESSAGES)]
        bodies = {one: shv.signed(NOTICE, a_notice(reference=one)) for one in numbers}
        with as_process(world) as process:
            before = resident(process.pid)
            lines = [
                Connection(world.settings.url, await connect(world.settings.url)) for _ in numbers
            ]
            asked = (
                line.ask(an_xml_post(bodies[one])) for line, one in zip(lines, numbers, strict=True)
            )
            answers = await asyncio.gather(*asked)
            for line in lines:
                await line.close()
            grown = resident(process.pid, peak=True) - before
            ready = await creditor.collect()
            originals = {}
            for one in ready:
                path = f"/v1/postbus/{one['afleverId']}/origineel"
                told = (await creditor.get(path)).json()["origineel"]
                originals[one["referentienummer"]] = base64.b64decode(told["inhoud"])

    assert {status for status, _ in answers} == {202}
    for number, (_, receipt) in zip(numbers, answers, strict=True):
        assert [one for one in numbers if one.encode() in receipt] == [number]
    assert originals == bodies
    assert all(str(one).count(one["referentienummer"]) > 1 for one in ready), "another's content"
    assert grown < GROWTH_MIB
    with closing(world.ledger()) as ledger:
        assert ledger.audit() == []
    counts(
        "at once, of different content",
        posts=MESSAGES,
        byte_equal=len(originals),
        grown_mib=round(grown, 1),
    )
