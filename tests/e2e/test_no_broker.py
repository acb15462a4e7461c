"""A party on a queue while no broker is configured: seen and said, never silently waiting."""

from __future__ import annotations

from pathlib import Path

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.pki import Pki
from fixtures.running import in_process
from fixtures.world import SE, SHV, Entry, lay_out, the_usual
from tests.servers.party import eventually

QUESTION = kind("schuldregeling", "Saldoverzoek")


async def test_a_delivery_for_a_queue_is_tried_and_told_without_a_broker(
    tmp_path: Path, pki: Pki
) -> None:
    on_a_queue = Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", kanaal="queue")
    world = lay_out(tmp_path / "gateway", the_usual(se=on_a_queue), pki=pki)
    async with in_process(world) as (_, reach):
        shv = reach.case_system(SHV)
        reference = fresh()
        made = document(
            QUESTION,
            reference=reference,
            conversation=fresh(),
            sender=SHV,
            recipient=SE,
            at=now(),
        )

        assert (await shv.send(made)).status_code == 202

        async def tried() -> bool:
            view = (await shv.get(f"/v1/berichten/{reference}")).json()
            return bool(view["status"] == "wacht" and view["pogingen"] >= 1)

        await eventually(tried, "an attempt was made")
