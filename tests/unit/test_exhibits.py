"""What files prove together, also where some are strange and some are not there."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import ledger_in_memory
from gateway.adapters.published_keys import verifier
from gateway.audit import KeptClose, Sort
from gateway.evidence import NOTHING_BEFORE, DayClose, day_close_digest, day_close_text
from gateway.exhibits import PACKAGE, RECEIPT, Judged, judge, together
from gateway.message import Json, Receipt, as_bytes, canonical_form
from tests.conformance.conftest import at_noon
from tests.conformance.submissions import NOON, admitting, strangers_to_each_other
from tests.unit.test_evidence import a_receipt

FIRST = date(2026, 3, 1)
GIVEN = "het gegeven origineel is het bericht dat werd aangenomen"


def closes(count: int) -> list[DayClose]:
    """Of so many days in a row, each naming the one before it."""
    made: list[DayClose] = []
    for number in range(count):
        day = FIRST + timedelta(days=number)
        before = day_close_digest(made[-1].content()) if made else NOTHING_BEFORE
        made.append(DayClose(day.isoformat(), datetime.combine(day, time(23), UTC), before, ()))
    return made


def held(*kept: DayClose) -> Judged:
    """A file with these day closes, each of them signed."""
    return Judged(
        "dagen",
        closes=[(KeptClose(each, "k", b""), day_close_text(each.content())) for each in kept],
    )


def test_day_closes_of_which_some_were_not_kept_do_not_contradict_each_other() -> None:
    first, _, third, _, fifth = closes(5)

    assert list(together([held(first), held(third), held(fifth)])) == []


def test_day_closes_of_two_days_in_a_row_must_be_linked() -> None:
    first, second = closes(2)
    other = second._replace(previous=b"x" * 32)

    assert [flaw.sort for flaw in together([held(first), held(other)])] == [Sort.LINK]


def receipts(count: int) -> tuple[list[Json], list[bytes], Json]:
    """Real receipts of so many messages, those messages, and the published keys."""
    keyring = a_keyring()
    batch = strangers_to_each_other(count)
    ledger = ledger_in_memory(keyring, clock=at_noon)
    outcomes = ledger.record(batch, admitting(receipt=canonical_form(a_receipt())), NOON)
    ledger.close()
    told = [json.loads(each.document) for each in outcomes if isinstance(each, Receipt)]
    sent = [each.message.verified.received.body for each in batch]
    return told, sent, keyring.signing.published()


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_instant_that_no_clock_shows_is_one_unreadable_file(instant: str) -> None:
    (told,), _, keys = receipts(1)
    told["ontvangstbevestiging"]["bewijs"]["controlepunt"]["tijdstip"] = instant

    judged = judge("bevestiging", told, verifier(keys))

    assert [flaw.sort for flaw in judged.flaws] == [Sort.UNREADABLE]


def test_a_salt_of_another_length_is_no_proof() -> None:
    (told,), _, keys = receipts(1)
    told["ontvangstbevestiging"]["bewijs"]["zout"] += "00"

    judged = judge("bevestiging", told, verifier(keys))

    assert [flaw.sort for flaw in judged.flaws] == [Sort.UNREADABLE]


def test_an_original_is_that_of_one_receipt_and_says_nothing_against_the_others(
    tmp_path: Path,
) -> None:
    told, sent, keys = receipts(2)
    files = []
    for number, each in enumerate(told):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_bytes(as_bytes(each))
    own, published, strange = (tmp_path / name for name in ("origineel", "sleutels", "vreemd"))
    own.write_bytes(sent[1])
    strange.write_bytes(b"<iets-anders/>")
    published.write_bytes(as_bytes(keys))
    command = [sys.executable, "-m", "gateway", "bewijs", "controleer", *map(str, files), "--json"]

    checks = [
        subprocess.run(
            [*command, "--sleutels", str(published), "--origineel", str(original)],
            capture_output=True,
            text=True,
            check=False,
        )
        for original in (own, strange)
    ]

    theirs, nobodys = (json.loads(each.stdout) for each in checks)
    assert (theirs["klopt"], theirs["bewezen"].count(GIVEN)) == (True, 1)
    assert [each["gebrek"] for each in nobodys["gebreken"]] == [Sort.CONTENT, Sort.CONTENT]
    assert [each.returncode for each in checks] == [0, 1]


def test_a_package_that_only_says_that_its_proof_was_erased_proves_nothing() -> None:
    (told,), _, keys = receipts(1)
    receipt = told[RECEIPT]
    header = receipt["stuurgegevens"]
    del receipt["bewijs"]
    about = {
        **receipt["bericht"],
        "afzender": header["ontvanger"]["oin"],
        "conversatieReferentienummer": header["conversatieReferentienummer"],
        "ontvangenOp": receipt["ontvangenOp"],
        "gewistOp": "2026-04-01T12:00:00.000Z",
    }
    made = {"bericht": about, "origineel": {}, RECEIPT: receipt, "gebeurtenissen": []}

    judged = judge("pakket", {PACKAGE: made}, verifier(keys))

    assert [flaw.sort for flaw in judged.flaws] == [Sort.UNREADABLE]
    assert (judged.proven, judged.remarks) == ([], [])
