"""Tables of a newer gateway: used where they say that this one may, refused in every other case."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.database import connect
from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.ledger.migrate import _revisions, compatible_with, migrate
from gateway.errors import Fault
from gateway.message import Receipt
from tests.conformance.submissions import NOON, a_submission, admitting
from tests.fault.conftest import Counts

NEWER = "9999"


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger with the tables of this gateway."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    made = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(made)
    return made


def made_by_a_newer_gateway(address: str, *, stated_for: str, compatible: str | None) -> None:
    """Have the tables say so."""
    database = connect(address)
    with database.writing() as connection:
        connection.execute(
            sa.text(
                "UPDATE alembic_version"
                " SET version_num = :newer, stated_for = :stated_for, compatible_with = :compatible"
            ),
            {"newer": NEWER, "stated_for": stated_for, "compatible": compatible},
        )
    database.engine.dispose()


def revision_of(address: str) -> str:
    """What revision the tables say that they have."""
    database = connect(address)
    with database.reading() as connection:
        found = str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))
    database.engine.dispose()
    return found


def test_code_goes_on_beside_newer_tables_that_are_compatible_with_it(
    address: str, counts: Counts
) -> None:
    made_by_a_newer_gateway(address, stated_for=NEWER, compatible=_revisions()[0])

    migrate(address)
    with closing(open_ledger(address, a_keyring())) as ledger:
        (outcome,) = ledger.record([a_submission(1)], admitting(), NOON)
        flaws = ledger.audit()

    assert isinstance(outcome, Receipt)
    assert flaws == []
    assert revision_of(address) == NEWER
    counts("tables of a newer gateway", accepted=1, flaws=0)


@pytest.mark.parametrize(
    ("stated_for", "compatible"),
    [(NEWER, NEWER), (NEWER, None), ("9998", _revisions()[0])],
    ids=["other code is needed", "nothing is said", "said of another revision"],
)
def test_newer_tables_that_do_not_say_so_are_refused(
    address: str, stated_for: str, compatible: str | None
) -> None:
    made_by_a_newer_gateway(address, stated_for=stated_for, compatible=compatible)

    with pytest.raises(Fault, match="made by a newer one"):
        open_ledger(address, a_keyring())
    with pytest.raises(Fault, match="made by a newer one"):
        migrate(address)


def test_the_first_tables_are_compatible_with_their_own_code_only() -> None:
    first = _revisions()[-1]

    assert compatible_with(first) == first
