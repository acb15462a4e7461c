"""A message that kills the process that takes it ends as a dead letter, and takes nobody along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.running import ROOT
from gateway.adapters.clock import utc_now
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.ledger.migrate import migrate
from gateway.adapters.ledger.tables import LEASES_WITHOUT_ANSWER
from gateway.dead_letter import DeadLetterFilter
from gateway.delivery import Reason
from tests.conformance.submissions import (
    MUNICIPALITY,
    a_submission,
    a_uuid,
    admitting,
    strangers_to_each_other,
)
from tests.conftest import NewWorld
from tests.fault.conftest import Counts

OTHERS = 20


@pytest.mark.timeout(120)
def test_a_delivery_that_kills_its_courier_strands_after_its_limit_and_others_are_delivered(
    tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    keys = new_world(tmp_path / "gateway").settings.keys
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(address)
    ledger = open_ledger(address, Keyring.load(keys))
    killer = a_submission(1, conversatie=a_uuid("killer"))
    behind = a_submission(2, conversatie=a_uuid("killer"))
    others = strangers_to_each_other(OTHERS, first=10)
    ledger.record([killer, behind, *others], admitting(), utc_now())

    lives = 0
    while lives <= 2 * LEASES_WITHOUT_ANSWER:
        lives += 1
        arguments = [address, str(keys), killer.delivery_id]
        command = [sys.executable, "-m", "tests.fault.killed_courier", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr.decode()[-2000:]

    stranded = ledger.dead_letters(DeadLetterFilter())
    standing = ledger.overview()["parties"][MUNICIPALITY]
    flaws = ledger.audit()
    ledger.close()
    counts(
        "a message that kills",
        lives=lives,
        confirmed=standing.get("bevestigd", 0),
        flaws=len(flaws),
    )
    assert flaws == []
    assert [(one.delivery_id, one.reason) for one in stranded] == [
        (killer.delivery_id, Reason.AFLEVERLIMIET)
    ]
    assert standing == {"bevestigd": OTHERS, "wacht": 1, "gestrand": 1}
    assert lives == LEASES_WITHOUT_ANSWER + 2, "the limit, one more lease, and the life after it"
