"""What goes straight to libpq keeps the promises of the library: transactions, plans, errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.database import LedgerBug, plan_anew
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.prepared import ELEMENTS, array, run
from gateway.errors import LedgerUnavailable
from tests.conformance.submissions import NOON, admitting, strangers_to_each_other

pytestmark = pytest.mark.database

SETTINGS = ("plan_cache_mode", "enable_seqscan", "enable_hashjoin", "enable_mergejoin")
ANEW = ["force_custom_plan", "on", "on", "on"]
KEPT = ["force_generic_plan", "off", "off", "off"]
OFTEN = 10
"""So often a driver has seen a statement before it prepares it by itself."""


class GivenUp(Exception):
    pass


@contextmanager
def given_up(ledger: SqlLedger) -> Iterator[sa.Connection]:
    """A transaction that comes to nothing."""
    with suppress(GivenUp), ledger._database.writing() as connection:
        yield connection
        raise GivenUp


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[SqlLedger]:
    made = open_ledger(postgres_url, a_keyring())
    yield made
    made.close()


def settings(connection: sa.Connection) -> list[str]:
    return [str(connection.exec_driver_sql(f"SHOW {each}").scalar()) for each in SETTINGS]


def record(ledger: SqlLedger, number: int) -> None:
    ledger.record(strangers_to_each_other(1, first=number), admitting(), NOON)


def test_plans_are_kept_in_one_transaction_until_it_looks_at_more_than_keys(
    ledger: SqlLedger,
) -> None:
    with ledger._database.writing(kept_plans=True) as connection:
        within = settings(connection)
        plan_anew(connection)
        then = settings(connection)
    with ledger._database.writing() as connection:
        afterwards = settings(connection)

    assert within == KEPT
    assert then == ANEW
    assert afterwards == ANEW


def test_a_transaction_that_was_given_up_leaves_what_was_prepared(ledger: SqlLedger) -> None:
    record(ledger, 1)
    with given_up(ledger) as connection:
        for _ in range(OFTEN):
            connection.execute(sa.text("SELECT 1"))

    record(ledger, 2)

    with ledger._database.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM message")) == 2


def test_a_statement_that_begins_a_transaction_is_undone_with_it(ledger: SqlLedger) -> None:
    text = "UPDATE message SET door = 'x' WHERE referentienummer = ANY($1::TEXT[])"
    record(ledger, 1)
    numbers = [strangers_to_each_other(1)[0].message.header.referentienummer]

    with given_up(ledger) as connection:
        changed = run(connection, text, [array(ELEMENTS["TEXT"], numbers)]).command_tuples

    assert changed == 1
    with ledger._database.reading() as connection:
        doors = connection.scalars(sa.text("SELECT door FROM message")).all()
    assert doors == ["rest-xml"]


def test_a_session_without_our_statements_is_one_failure_that_can_be_repeated(
    ledger: SqlLedger,
) -> None:
    record(ledger, 1)
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("DEALLOCATE ALL")  # as behind a pooler that changed sessions

    with pytest.raises(LedgerUnavailable):
        record(ledger, 2)
    record(ledger, 2)


def test_a_mistake_of_ours_is_told_without_a_value(ledger: SqlLedger) -> None:
    secret = array(ELEMENTS["TEXT"], ["999990019"])

    with pytest.raises(LedgerBug) as told, ledger._database.writing() as connection:
        run(connection, "SELECT ($1::TEXT[])[1]::BOOLEAN", [secret])

    assert "999990019" not in str(told.value)
    assert told.value.__cause__ is None
