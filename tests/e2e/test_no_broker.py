"""A party on a queue while no broker is configured: seen and said, never silently waiting."""

from __future__ import annotations

from pathlib import Path

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.pki import Pki
from fixtures.running import in_process
from fixtures.world import SE, SHV, Entry, lay_out, the_usual
from tests.servers.party import eventually

ANSWER = kind("schuldregeling", "SaldoverzoekAntwoord")


async def test_a_delivery_for_a_queue_is_tried_and_told_without_a_broker(
    tmp_path: Path, pki: Pki
) -> None:
    on_a_queue = Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", kanaal="queue")
    world = lay_out(tmp_path / "gateway", the_usual(shv=on_a_queue), pki=pki)
    async with in_process(world) as (_, reach):
        creditor = reach.creditor(SE)
        reference = fresh()
        made = document(
            ANSWER,
            reference=reference,
            conversation=fresh(),
            sender=SE,
            recipient=SHV,
            at=now(),
        )

        assert (await creditor.send(ANSWER, made)).status_code == 202

        async def tried() -> bool:
            view = (await creditor.get(f"/v1/berichten/{reference}")).json()
            return bool(view["status"] == "wacht" and view["pogingen"] >= 1)

        await eventually(tried, "an attempt was made")
