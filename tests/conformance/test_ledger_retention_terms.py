"""Terms per kind and role, as data: what each row says goes on its day, and nothing else does."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import timedelta

import sqlalchemy as sa

from fixtures.rules import courses
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.retention import Cursor
from gateway.adapters.ledger.tables import message
from gateway.adapters.register import directory_of
from gateway.adapters.upkeep import sweep_batches
from gateway.delivery import State
from gateway.message import Kind
from gateway.routing.retention import read
from tests.conformance.delivering import conclude, rows
from tests.conformance.submissions import (
    KENNISGEVING,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
)

DAY = timedelta(days=1)
RULES = courses()
SALDOVERZOEK = Kind("schuldregeling", 2, "Saldoverzoek")
BY_KIND_AND_ROLE = read("""
[[termijn]]
inhoud = 40
bijlagen = 40
onbezorgd = 365
gegevens = 2557

[[termijn]]
rol = "schuldeiser"
inhoud = 30
bijlagen = 30
onbezorgd = 365
gegevens = 2557

[[termijn]]
soort = "Saldoverzoek"
inhoud = 20
bijlagen = 20
onbezorgd = 365
gegevens = 2557

[[termijn]]
soort = "Saldoverzoek"
rol = "schuldeiser"
inhoud = 10
bijlagen = 10
onbezorgd = 365
gegevens = 2557

[overig]
weigeringen = 90
onleesbaar = 30
kernen = 365
""")
ROLES = {MUNICIPALITY: {"shv-fase-1"}, STRANGER: {"schuldeiser", "incassobureau"}}
GONE_AFTER_DAYS = {
    10: {(SALDOVERZOEK.name, STRANGER)},
    20: {(SALDOVERZOEK.name, MUNICIPALITY)},
    30: {(KENNISGEVING.name, STRANGER)},
    40: {(KENNISGEVING.name, MUNICIPALITY)},
}


def of_each_kind_to_each(ledger: SqlLedger) -> None:
    """Two messages of each of two kinds to each of two recipients, all confirmed."""
    each = itertools.product((KENNISGEVING, SALDOVERZOEK), (MUNICIPALITY, STRANGER), range(2))
    sent = [
        a_submission(
            number, kind=kind, ontvanger=recipient, conversatie=a_uuid("conversation", number)
        )
        for number, (kind, recipient, _) in enumerate(each, start=1)
    ]
    for one in sent:  # the stub of admit sends on as it was addressed
        ontvanger = one.message.header.ontvanger
        ledger.record([one], admitting(ontvanger=ontvanger), NOON)
    assert len(conclude(ledger, State.BEVESTIGD)) == len(sent)


def erased(ledger: SqlLedger) -> Counter[tuple[str, str]]:
    """Of which messages the content went, by kind and recipient."""
    query = sa.select(message.c.soort, message.c.ontvanger).where(message.c.erased_at.is_not(None))
    return Counter((row.soort, row.ontvanger) for row in rows(ledger, query))


def test_what_goes_when_depends_on_kind_and_role_and_only_that_goes(ledger: SqlLedger) -> None:
    of_each_kind_to_each(ledger)
    expected: Counter[tuple[str, str]] = Counter()

    for days, gone in GONE_AFTER_DAYS.items():
        for at in (NOON + days * DAY - timedelta(seconds=1), NOON + days * DAY):
            ledger.sweep(BY_KIND_AND_ROLE, ROLES, rules=RULES, now=at, limit=100)
            if at == NOON + days * DAY:
                expected += Counter(dict.fromkeys(gone, 2))
            assert erased(ledger) == expected
    assert ledger.audit() == []


def test_the_hourly_course_knows_the_roles_from_the_directory(ledger: SqlLedger) -> None:
    of_each_kind_to_each(ledger)
    more = {"naam": "Voorbeeld", "modules": ["schuldregeling"], "certificaten": [], "vorm": "json"}
    parties = [
        {"oin": oin, "rollen": sorted(roles), "kanaal": "postbus", **more}
        for oin, roles in ROLES.items()
    ]
    ledger.apply_directory(json.dumps({"partij": parties}), base=0, by="ada", at=NOON)
    rules = courses(lambda: directory_of(*ledger.directory()))

    counts = Counter[tuple[str, str]]()
    for batch in sweep_batches(ledger, BY_KIND_AND_ROLE, rules, lambda: NOON + 30 * DAY):
        counts += batch()

    assert counts == {("inhoud", "Kennisgeving"): 2, ("inhoud", "Saldoverzoek"): 4}
    assert erased(ledger).keys() == set().union(*(GONE_AFTER_DAYS[days] for days in (10, 20, 30)))


def test_each_batch_looks_at_so_many_messages_and_no_more(ledger: SqlLedger) -> None:
    of_each_kind_to_each(ledger)
    looked: list[int] = []
    after: Cursor | None = None
    more = True

    while more:
        step = ledger.sweep(
            BY_KIND_AND_ROLE,
            ROLES,
            rules=RULES,
            now=NOON + 40 * DAY,
            limit=3,
            after=after,
            trial=True,
        )
        looked.append(step.counts.total())  # every one of them is due
        after, more = step.after, step.after is not None

    assert looked == [3, 3, 2]
