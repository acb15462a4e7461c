"""A database that keeps its connection and says nothing does not answer: within a bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.errors import LedgerUnavailable
from gateway.message import Receipt
from tests.conformance.submissions import NOON, admitting, strangers_to_each_other
from tests.servers.cutting_proxy import CuttingProxy, How, Toward, Where, after
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.database, pytest.mark.timeout(60)]

SILENCE_S = 1.0
NOTICED_WITHIN_S = 10.0


def before(word: bytes) -> Where:
    """Just before this is seen."""

    def where(seen: bytes) -> int | None:
        found = seen.find(word)
        return None if found < 0 else found

    return where


WHERE = {
    "at the first question": (Toward.CLIENT, after(0)),
    "inside an answer": (Toward.CLIENT, after(3)),
    "before the answer to a commit": (Toward.CLIENT, before(b"COMMIT\0")),
}


@pytest.fixture
def proxy(postgres_server: Postgres) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres_server.port) as made:
        yield made


@pytest.fixture
def ledger(
    postgres_url: str, postgres_server: Postgres, proxy: CuttingProxy
) -> Iterator[SqlLedger]:
    """The database of this test, through the proxy."""
    address = postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
    made = open_ledger(address, a_keyring(), silence_s=SILENCE_S)
    yield made
    made.close()


@pytest.mark.parametrize("where", WHERE)
def test_who_writes_hears_that_a_silent_database_does_not_answer_and_may_repeat(
    ledger: SqlLedger, proxy: CuttingProxy, where: str
) -> None:
    first, second = ([each] for each in strangers_to_each_other(2))
    ledger.record(first, admitting(), NOON)
    cut = proxy.cut(*WHERE[where], How.SILENCE)
    began = time.monotonic()

    with pytest.raises(LedgerUnavailable):
        ledger.record(second, admitting(), NOON)

    assert cut.fired.is_set()
    assert SILENCE_S <= time.monotonic() - began < NOTICED_WITHIN_S
    (outcome,) = ledger.record(second, admitting(), NOON)
    assert isinstance(outcome, Receipt)
    assert outcome.repeated is (where == "before the answer to a commit")


def test_who_reads_hears_so_too(ledger: SqlLedger, proxy: CuttingProxy) -> None:
    ledger.ping()
    proxy.cut(Toward.CLIENT, after(0), How.SILENCE)

    with pytest.raises(LedgerUnavailable):
        ledger.ping()
    ledger.ping()
