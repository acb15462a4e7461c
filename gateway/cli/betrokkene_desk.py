"""Who asks what about whom? Checked before anything is looked up, and kept for good after that."""

from __future__ import annotations

import getpass
import os
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.asked import Asked, What
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.register import directory_of
from gateway.cli.given import an_oin, not_blank, who
from gateway.errors import Fault
from gateway.message import Oin
from gateway.routing.directory import EMPTY, Directory
from gateway.schemas.checks import passes_elfproef
from gateway.settings import load

ALL = "alle"

_NOT_THE_OWNER = 0o077  # permission bits of everybody else
_BSN = re.compile(r"[0-9]{9}")
_ALONE = re.compile(r"(?<![0-9])[0-9]{9}(?![0-9])")


@dataclass(frozen=True)
class Desk:
    """What a request is done with.

    Attributes:
        gateway: OIN of the gateway itself.
    """

    ledger: SqlLedger
    directory: Directory
    asked: Asked
    gateway: Oin


@contextmanager
def at_the_desk(
    what: What,
    *,
    requester: str,
    controller: str,
    why: str,
    by: str | None,
    file: Path | None,
) -> Iterator[Desk]:
    """Everything that a request needs, checked; the ledger is closed afterwards."""
    told = not_blank("verzoeker", requester), not_blank("reden", why), who(by)
    whose = None if controller == ALL else an_oin("verantwoordelijke", controller)
    settings = load(os.environ)
    keyring = Keyring.load(settings.keys)
    bsn = _bsn(file)
    for text in told:
        _says_no_number(text, bsn)
    asked = Asked(
        kenmerk=str(uuid.uuid4()),
        what=what,
        requester=told[0],
        by=told[2],
        controller=whose,
        why=told[1],
        at=datetime.now(UTC),
        marks=tuple(keyring.index.marks(bsn)),
    )
    ledger = open_ledger(settings.ledger, keyring)
    try:
        version, text = ledger.directory()
        directory = directory_of(version, text) if version else EMPTY
        yield Desk(ledger, directory, asked, settings.oin)
    finally:
        ledger.close()


def _bsn(file: Path | None) -> str:
    """The number that was typed or lies in a file.

    Raises:
        Fault: it is none, or the file is open to others; does not repeat it.
    """
    if file is not None:
        with file.open(encoding="ascii", errors="replace") as opened:
            if os.fstat(opened.fileno()).st_mode & _NOT_THE_OWNER:
                raise Fault(f"{file} is open to others: chmod it to 600 first")
            typed = opened.read(64)
    elif sys.stdin.isatty():
        typed = getpass.getpass("Burgerservicenummer (onzichtbaar): ")
    else:
        typed = sys.stdin.readline(64)
    number = re.sub(r"[\s.]", "", typed)
    if not _BSN.fullmatch(number) or not passes_elfproef(number):
        raise Fault("this is no burgerservicenummer: give nine digits that pass the eleven-test")
    return number


def _says_no_number(text: str, bsn: str) -> None:
    """Raises Fault where a text that is kept for good names a burgerservicenummer."""
    if bsn in re.sub(r"[^0-9]", "", text) or any(map(passes_elfproef, _ALONE.findall(text))):
        raise Fault("verzoeker, reden and door are kept for good: leave the number out")
