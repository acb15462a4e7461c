"""A process that records batches until it is killed, and says what it did; run with ``-m``.

    python -m tests.fault.ledger_writing ADDRESS KEYS FIRST

Prints ``try N`` before and ``kept N`` after it records the batch that starts at message N.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import open_ledger
from gateway.message import Receipt, Submission
from tests.conformance.submissions import NOON, a_submission, a_uuid, admitting

SIZE = 20
CONVERSATIONS = 7


def batch_from(first: int) -> list[Submission]:
    """The batch that starts at this message, spread over a few conversations."""
    return [
        a_submission(
            number,
            conversatie=a_uuid("conversation", number % CONVERSATIONS),
            body=number.to_bytes(4, "big") * 2_000,
        )
        for number in range(first, first + SIZE)
    ]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(address: str, keys: Path, first: int) -> None:
    ledger = open_ledger(address, Keyring.load(keys))
    for start in itertools.count(first, SIZE):
        batch = batch_from(start)
        say(f"try {start}")
        outcomes = ledger.record(batch, admitting(), NOON)
        assert all(isinstance(each, Receipt) and not each.repeated for each in outcomes)
        say(f"kept {start}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
