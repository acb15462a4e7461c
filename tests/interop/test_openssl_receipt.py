"""A receipt is checked with openssl and sha256sum alone, with the commands of the documentation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import ledger_in_memory
from gateway.errors import Finding
from gateway.message import Receipt, as_bytes, canonical_form
from gateway.replies import as_warnings
from tests.conformance.conftest import at_noon
from tests.conformance.submissions import NOON, admitting, strangers_to_each_other
from tests.required import required
from tests.unit.test_evidence import a_receipt

PAGE = Path(__file__).parents[2] / "docs" / "bewijs.md"


@pytest.fixture(autouse=True)
def programs() -> None:
    required("bash", "openssl", "sha256sum")


def commands() -> str:
    """The one block of commands on the page."""
    [block] = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def lay_out(folder: Path, count: int, place: int) -> None:
    """What a party has: its receipt among so many, its message, and the published keys."""
    told = a_receipt()
    told["ontvangstbevestiging"]["waarschuwingen"] = as_warnings((Finding("é", "/pad"),))
    batch = strangers_to_each_other(count)
    ledger = ledger_in_memory(a_keyring(), clock=at_noon)
    outcome = ledger.record(batch, admitting(receipt=canonical_form(told)), NOON)[place]
    ledger.close()
    assert isinstance(outcome, Receipt)
    (folder / "ontvangst.json").write_bytes(outcome.document)
    (folder / "bericht").write_bytes(batch[place].message.verified.received.body)
    (folder / "sleutels.json").write_bytes(as_bytes(a_keyring().signing.published()))


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", commands()], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("count", "place"), [(1, 0), (2, 1), (3, 0), (3, 2), (7, 6), (33, 0), (33, 31), (33, 32)]
)
def test_the_commands_of_the_documentation_believe_a_receipt(
    tmp_path: Path, count: int, place: int
) -> None:
    lay_out(tmp_path, count, place)

    done = run(tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Verified OK\n", "")


def changed(content: str, member: str) -> str:
    """The receipt with another first digit in this member of its proof."""
    head, _, proof = content.rpartition('"bewijs":')
    found = re.search(rf'"{member}":\[?"?', proof)
    assert found is not None
    first = found.end()
    other = "1" if proof[first] == "0" else "0"
    return f'{head}"bewijs":{proof[:first]}{other}{proof[first + 1 :]}'


@pytest.mark.parametrize(
    "member",
    ["origineelSha256", "zout", "plaats", "pad", "nummer", "aantal", "wortel", "vorige", "logboek",
     "handtekening", "sleutel"],
)  # fmt: skip
def test_they_believe_no_receipt_of_which_anything_was_changed(tmp_path: Path, member: str) -> None:
    lay_out(tmp_path, 7, 3)
    file = tmp_path / "ontvangst.json"
    file.write_text(changed(file.read_text(), member))

    assert run(tmp_path).returncode != 0


def test_they_believe_no_other_message_and_no_other_receipt(tmp_path: Path) -> None:
    lay_out(tmp_path, 7, 3)
    receipt, message = tmp_path / "ontvangst.json", tmp_path / "bericht"
    told, sent = receipt.read_text(), message.read_bytes()

    message.write_bytes(sent + b" ")
    assert run(tmp_path).returncode != 0
    message.write_bytes(sent)
    assert run(tmp_path).returncode == 0
    receipt.write_text(told.replace("AANGENOMEN", "GEWEIGERD"))
    assert run(tmp_path).returncode != 0
