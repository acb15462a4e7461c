"""What a gateway needs before it can start: keys, and the tables of its ledger."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from gateway.adapters.clock import utc_now
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.migrate import COMMAND, migrate
from gateway.errors import Fault
from gateway.settings import Settings

DIGEST_KEY = "samenvatting.sleutel"
"""File of the key under the business digests, in the folder of keys."""

DIGEST_KEY_BYTES = 32

_NOT_THE_OWNER = 0o077  # permission bits of everybody else


def prepare(settings: Settings) -> list[str]:
    """Make what a gateway needs and does not have yet: keys, tables.

    Returns:
        What was done, one sentence each, for the operator.

    Raises:
        Fault: the ledger does not answer, or keys or files cannot be made or read.
    """
    done = []
    with _on_disk(settings.keys):
        if not any(settings.keys.glob("*.pem")):
            GatewayKeys.create(settings.keys, settings.oin, at=utc_now())
            done.append(f"Sleutels gemaakt in {settings.keys}.")
        if not (settings.keys / DIGEST_KEY).exists():
            _write_digest_key(settings.keys)
            done.append("Sleutel voor samenvattingen gemaakt.")
    load_digest_key(settings.keys)
    file = make_url(settings.ledger).database or ""
    if settings.ledger.startswith("sqlite:///") and file != ":memory:":
        with _on_disk(Path(file)):
            _make_private(Path(file))
    migrate(settings.ledger)
    done.append("Het grootboek heeft de tabellen van deze versie.")
    return done


def load_digest_key(folder: Path) -> bytes:
    """The key under the business digests.

    Raises:
        Fault: it is missing, too short, or others than its owner have rights to it.
    """
    path = folder / DIGEST_KEY
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read()
    except FileNotFoundError as error:
        raise Fault(f"{path} is missing: restore it, or make one with '{COMMAND}'") from error
    except OSError as error:
        raise Fault(f"{path} cannot be read ({error.strerror}); see '{COMMAND}'") from error
    if mode & _NOT_THE_OWNER:
        raise Fault(f"{path} is open to others: chmod it to 600, then run '{COMMAND}'")
    if len(key) < DIGEST_KEY_BYTES:
        raise Fault(
            f"{path} is shorter than {DIGEST_KEY_BYTES} bytes: restore it, or remove it and "
            f"run '{COMMAND}'"
        )
    return key


def _write_digest_key(folder: Path) -> None:
    """Under its own name it is whole, or not there."""
    descriptor, name = tempfile.mkstemp(prefix=f"{DIGEST_KEY}.", dir=folder)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(DIGEST_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(folder / DIGEST_KEY)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    within = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(within)
    finally:
        os.close(within)


def _make_private(file: Path) -> None:
    """See to a ledger file, and to what lies beside it, for the owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    for each in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
        if each.exists() and each.stat().st_mode & _NOT_THE_OWNER:
            each.chmod(0o600)


@contextmanager
def _on_disk(place: Path) -> Iterator[None]:
    """Say what could not be made, and where."""
    try:
        yield
    except OSError as error:
        raise Fault(f"{error.filename or place} cannot be made: {error.strerror}") from error
