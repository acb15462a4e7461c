"""Terms are data: the most specific row counts, and nonsense stops the start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import Fault
from gateway.message import Kind
from gateway.routing.admit import OLDEST
from gateway.routing.retention import Due, Terms, read

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
SALDO = Kind("schuldregeling", 2, "Saldoverzoek")
REST = "[overig]\nweigeringen = 90\nonleesbaar = 30\nkernen = 365\n"


def row(*, more: str = "", **days: int) -> str:
    given = {"inhoud": 30, "bijlagen": 30, "onbezorgd": 365, "gegevens": 2557, **days}
    lines = "\n".join(f"{name} = {value}" for name, value in given.items())
    return f"[[termijn]]\n{more}\n{lines}\n"


def test_the_terms_of_this_gateway_keep_an_identity_longer_than_a_message_may_be_old() -> None:
    retention = read()
    terms = retention.terms(SALDO, {"schuldeiser"})

    assert terms.metadata > terms.undelivered > OLDEST
    assert terms.content >= OLDEST
    assert retention.soonest == timedelta(days=30)
    assert retention.forgetting >= timedelta(days=2556)


def test_the_most_specific_row_counts() -> None:
    retention = read(
        row(inhoud=40)
        + row(more='rol = "schuldeiser"', inhoud=50)
        + row(more='module = "schuldregeling"', inhoud=60)
        + row(more='soort = "Saldoverzoek"', inhoud=70)
        + row(more='soort = "Saldoverzoek"\nrol = "bewindvoerder"', inhoud=80)
        + row(more='soort = "Saldoverzoek"\nrol = "bewindvoerder"', inhoud=90)
        + REST
    )

    def days(kind: Kind, *roles: str) -> int:
        return retention.terms(kind, roles).content.days

    assert days(SALDO, "schuldeiser", "bewindvoerder") == 80
    assert days(SALDO, "schuldeiser") == 70
    assert days(Kind("schuldregeling", 2, "Navraag"), "schuldeiser") == 60
    assert days(Kind("crisis", 2, "CrisisMelding"), "schuldeiser") == 50
    assert days(Kind("crisis", 2, "CrisisMelding")) == 40


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (REST, "everything else"),
        (row(more='soort = "Navraag"') + REST, "everything else"),
        (row(bijlagen=31) + REST, "bijlagen"),
        (row(gegevens=380) + REST, "gegevens outlive"),
        (row(gegevens=30, onbezorgd=10, inhoud=10, bijlagen=10) + REST, "longer than 30 days"),
        (row(inhoud=0, bijlagen=0) + REST, "inhoud"),
        (row(more="inhouden = 3") + REST, "unknown are inhouden"),
        (row() + REST + "pogingen = 3\n", "unknown are pogingen"),
        (row(), "weigeringen"),
    ],
)
def test_terms_that_cannot_be_are_named(text: str, says: str) -> None:
    with pytest.raises(Fault, match=says):
        read(text)


@pytest.mark.parametrize(
    ("age", "finished", "due"),
    [
        (364, None, Due.KEEP),
        (365, None, Due.GIVE_UP),
        (400, 9, Due.KEEP),
        (400, 10, Due.ATTACHMENTS),
        (400, 29, Due.ATTACHMENTS),
        (30, 30, Due.CONTENT),
    ],
)
def test_time_runs_from_confirmation_and_for_the_undelivered_from_recording(
    age: int, finished: int | None, due: Due
) -> None:
    terms = Terms(30 * DAY, 10 * DAY, 365 * DAY, 2557 * DAY)

    assert (
        terms.due(
            recorded=NOW - age * DAY,
            finished=None if finished is None else NOW - finished * DAY,
            now=NOW,
        )
        is due
    )
