"""What a gateway needs before it can start: keys, and the tables of its ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from gateway.adapters.keyring import Keyring, make_missing
from gateway.adapters.ledger.keys_in_use import kinds_used
from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.ledger.migrate import migrate
from gateway.errors import Fault
from gateway.settings import Settings, keys_beside_ledger

_NOT_THE_OWNER = 0o077  # permission bits of everybody else


def prepare(settings: Settings) -> list[str]:
    """Make what a gateway needs and does not have yet: keys, tables.

    Returns:
        What was done, one sentence each, for the operator.

    Raises:
        Fault: the ledger does not answer, keys or files cannot be made or read, or the keys
            are not those that the ledger was used with.
    """
    file = make_url(settings.ledger).database or ""
    if settings.ledger.startswith("sqlite:///") and file != ":memory:":
        with _on_disk(Path(file)):
            _make_private(Path(file))
    migrate(settings.ledger)
    used = kinds_used(settings.ledger)
    with _on_disk(settings.keys):
        done = make_missing(settings.keys, settings.oin, used)
    ledger = open_ledger(settings.ledger, Keyring.load(settings.keys))
    try:
        ledger.follow_keys()
    finally:
        ledger.close()
    if keys_beside_ledger(settings):
        done.append(
            f"Let op: de sleutels ({settings.keys}) liggen in de map van het grootboek. Leg ze "
            "ergens anders (GATEWAY_KEYS); in productie moet dat."
        )
    done.append("Het grootboek heeft de tabellen van deze versie.")
    return done


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
