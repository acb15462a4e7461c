"""Every ledger remembers the directory and used assertions, and tells operators the state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.delivery import State
from gateway.errors import Code, Fault
from gateway.message import Channel, Door
from gateway.record import RefusalEntry
from tests.conformance.delivering import at_once, conclude, dead, ids_of
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
    strangers_to_each_other,
)

LATER = NOON + timedelta(minutes=1)


def test_there_is_no_directory_at_first(ledger: SqlLedger) -> None:
    assert ledger.directory() == (0, "")


def test_the_newest_directory_counts(ledger: SqlLedger) -> None:
    first = ledger.apply_directory('{"é":1}', base=0, by="ada", at=NOON)
    second = ledger.apply_directory('{"é":2}', base=first, by="ada", at=NOON)

    assert (first, second) == (1, 2)
    assert ledger.directory() == (2, '{"é":2}')


@pytest.mark.parametrize("base", [0, 2])
def test_a_directory_on_another_base_is_refused(ledger: SqlLedger, base: int) -> None:
    ledger.apply_directory("{}", base=0, by="ada", at=NOON)

    with pytest.raises(Fault, match="changed since"):
        ledger.apply_directory('{"later":1}', base=base, by="bob", at=NOON)

    assert ledger.directory() == (1, "{}")


def test_one_of_two_directories_at_once_wins(two_ledgers: tuple[SqlLedger, SqlLedger]) -> None:
    def apply(ledger: SqlLedger, text: str) -> bool:
        try:
            return bool(ledger.apply_directory(text, base=0, by="ada", at=NOON))
        except Fault:
            return False

    won = at_once(partial(apply, two_ledgers[0], "mine"), partial(apply, two_ledgers[1], "yours"))

    assert sorted(won) == [False, True]
    assert two_ledgers[0].directory() == (1, "mine" if won[0] else "yours")


def test_an_assertion_can_be_used_once(ledger: SqlLedger) -> None:
    assert not ledger.assertion_seen("a", LATER, NOON)
    assert not ledger.assertion_seen("b", LATER, NOON)
    assert ledger.assertion_seen("a", LATER, NOON)


def test_an_assertion_is_remembered_until_it_expires(ledger: SqlLedger) -> None:
    ledger.assertion_seen("a", LATER, NOON)

    assert ledger.assertion_seen("a", LATER, LATER)
    assert not ledger.assertion_seen("a", LATER, LATER + timedelta(microseconds=1))


def test_an_assertion_used_twice_at_once_passes_once(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    used = at_once(*(partial(each.assertion_seen, "a", LATER, NOON) for each in two_ledgers))

    assert sorted(used) == [False, True]


def test_the_overview_of_an_empty_ledger_is_empty(ledger: SqlLedger) -> None:
    assert ledger.overview() == {
        "parties": {},
        "oldest_waiting_seconds": None,
        "oldest_offered_seconds": None,
        "oldest_dead_seconds": None,
        "accepted_today": 0,
        "refused_today": 0,
        "open_dead_letters": 0,
    }


def test_the_overview_counts_what_stands_where(ledger: SqlLedger) -> None:
    before_midnight = datetime(2026, 3, 1, 22, 59, tzinfo=UTC)  # 23:59 in the Netherlands
    after_midnight = datetime(2026, 3, 1, 23, 1, tzinfo=UTC)
    ledger.record(strangers_to_each_other(2), admitting(), before_midnight)
    conclude(ledger, State.GESTRAND)
    ledger.record(strangers_to_each_other(1, first=3), admitting(), after_midnight)
    ledger.record(strangers_to_each_other(2, first=4), admitting(Channel.POSTBUS), NOON)
    ledger.confirm(MUNICIPALITY, [a_submission(4).delivery_id], NOON)
    for at, number in ((before_midnight, 7), (NOON, 250)):
        ledger.refuse([RefusalEntry(at, Door.REST_XML, Code.TE_GROOT, count=number)])

    overview = ledger.overview()  # at noon, by the clock of these tests

    assert overview["parties"] == {
        MUNICIPALITY: {"wacht": 1, "aangeboden": 1, "bevestigd": 1, "gestrand": 2}
    }
    assert overview["oldest_waiting_seconds"] == (NOON - after_midnight).total_seconds()
    assert overview["oldest_offered_seconds"] == 0
    assert overview["oldest_dead_seconds"] == (NOON - before_midnight).total_seconds()
    assert (overview["accepted_today"], overview["refused_today"]) == (3, 250)
    assert overview["open_dead_letters"] == 2


def test_the_way_of_a_message_tells_every_step(ledger: SqlLedger) -> None:
    entry = RefusalEntry(
        NOON - timedelta(minutes=5),
        Door.REST_XML,
        Code.SCHEMA_ONGELDIG,
        CREDITOR,
        a_uuid("message", 1),
    )
    ledger.refuse([entry])
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    conclude(ledger, State.GESTRAND, at=LATER)
    ledger.replay(ids_of(dead(ledger)), by="ada", why="", at=LATER + timedelta(minutes=1))
    conclude(ledger, State.AANGEBODEN, at=LATER + timedelta(minutes=2))
    moment = LATER + timedelta(minutes=3)
    ledger.confirm(MUNICIPALITY, [a_submission(1).delivery_id], moment)

    way = list(ledger.way(CREDITOR, a_uuid("message", 1)))

    steps = [step["stap"] for step in way]
    assert steps[:3] == ["geweigerd", "ontvangen", "vastgelegd"]
    assert set(steps[3:5]) == {"poging", "gestrand"}
    assert steps[5] == "herhaald"
    assert set(steps[6:8]) == {"poging", "aangeboden"}
    assert steps[8:] == ["bevestigd"]
    assert way[-1]["op"] == "2026-03-02T12:04:00.250Z"
    assert all(isinstance(step["detail"], str) for step in way)


def test_the_way_of_a_message_has_nothing_of_another_sender(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1), a_submission(1, afzender=STRANGER)], admitting(), NOON)
    number = a_uuid("message", 1)

    assert len(list(ledger.way(CREDITOR, number))) == 2
    assert len(list(ledger.way(None, number))) == 4
    assert list(ledger.way(MUNICIPALITY, number)) == []


def test_a_ledger_that_answers_says_so(ledger: SqlLedger) -> None:
    ledger.ping()
