"""The ledger as a whole: one class that keeps every promise of ``record.Ledger``."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.accepting import Accepting
from gateway.adapters.ledger.answered import Answered
from gateway.adapters.ledger.auditing import Auditing
from gateway.adapters.ledger.betrokkene import Betrokkene
from gateway.adapters.ledger.database import PATIENCE_S, SILENCE_S, Clock, Database, connect
from gateway.adapters.ledger.day_closing import DayClosing
from gateway.adapters.ledger.dead_letters import DeadLetters
from gateway.adapters.ledger.delivering import Delivering
from gateway.adapters.ledger.dossier import Dossiers
from gateway.adapters.ledger.figures import Figures
from gateway.adapters.ledger.foreseeing import Foreseeing
from gateway.adapters.ledger.gesprekken import Gesprekken
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.keys_in_use import KeysInUse
from gateway.adapters.ledger.measuring import Measuring
from gateway.adapters.ledger.migrate import check_schema
from gateway.adapters.ledger.persons import Persons
from gateway.adapters.ledger.postbus import Postbus
from gateway.adapters.ledger.registry import Registry
from gateway.adapters.ledger.repairs import Repairs
from gateway.adapters.ledger.reporting import Reporting
from gateway.adapters.ledger.retention import Sweeping
from gateway.adapters.ledger.stating import Stating
from gateway.adapters.ledger.succession import Succession
from gateway.adapters.ledger.tables import metadata
from gateway.adapters.ledger.timing import Timing


def wall_clock() -> datetime:
    """The instant on the clock of this machine, in UTC."""
    return datetime.now(UTC)


class SqlLedger(
    Accepting,
    Delivering,
    Postbus,
    DeadLetters,
    Repairs,
    Registry,
    Reporting,
    KeysInUse,
    Persons,
    Betrokkene,
    Sweeping,
    Dossiers,
    DayClosing,
    Auditing,
    Timing,
    Foreseeing,
    Succession,
    Answered,
    Gesprekken,
    Stating,
    Figures,
    Measuring,
):
    """A ledger on SQLite or PostgreSQL; safe to share between threads.

    Each class it is made of holds one duty and one file.
    """

    def __init__(self, database: Database, keyring: Keyring, *, clock: Clock = wall_clock) -> None:
        self._database = database
        self._keyring = keyring
        self._journal = Journal(keyring.sign_checkpoint, clock)
        self._clock = clock

    def ping(self) -> None:
        """Return when the database answers.

        Raises:
            LedgerUnavailable: it does not.
        """
        with self._database.reading() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Give every connection back."""
        self._database.engine.dispose()


def open_ledger(
    address: str,
    keyring: Keyring,
    *,
    clock: Clock = wall_clock,
    patience_s: int = PATIENCE_S,
    silence_s: float = SILENCE_S,
) -> SqlLedger:
    """Open the ledger at a URL (see ``database.connect``) with the keys of its gateway.

    Raises:
        Fault: its tables are older or newer than this gateway; says what to do.
        LedgerUnavailable: the database does not answer.
    """
    database = connect(address, patience_s=patience_s, silence_s=silence_s)
    try:
        check_schema(database)
    except Exception:
        database.engine.dispose()
        raise
    return SqlLedger(database, keyring, clock=clock)


def ledger_in_memory(keyring: Keyring, *, clock: Clock = wall_clock) -> SqlLedger:
    """A ledger that is gone when it is closed, for tests and trials."""
    database = connect("sqlite://")
    with database.writing() as connection:
        metadata.create_all(connection)  # the same tables as by migration, but sooner
    return SqlLedger(database, keyring, clock=clock)
