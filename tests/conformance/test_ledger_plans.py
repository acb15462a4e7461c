"""No question that a working gateway asks may cost more as finished messages pile up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from gateway.adapters.ledger import prepared
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter, Stranding
from gateway.delivery import Reason, State
from gateway.message import Channel
from tests.conformance.delivering import EVERYWHERE, conclude, lend, told
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    a_submission,
    a_uuid,
    admitting,
    many,
    strangers_to_each_other,
)

GROWING = ("message", "delivery", "conversation", "attempt", "dead_letter", "refusal")
Asked = list[tuple[str, Any]]


@contextmanager
def listening(ledger: SqlLedger) -> Iterator[Asked]:
    """Every statement that the ledger sends meanwhile, with its values."""
    asked: Asked = []

    def hear(_c: Any, _cursor: Any, statement: str, values: Any, _x: Any, many_: bool) -> None:  # noqa: FBT001
        if statement.split(maxsplit=1)[0] in ("SELECT", "UPDATE", "DELETE"):
            asked.append((statement, values[0] if many_ else values))

    engine = ledger._database.engine
    event.listen(engine, "before_cursor_execute", hear)
    yield asked
    event.remove(engine, "before_cursor_execute", hear)


def whole_tables_read(ledger: SqlLedger, asked: Asked) -> list[str]:
    """Parts of plans that read one of the growing tables from end to end."""
    with ledger._database.writing() as connection:
        lite = connection.dialect.name == "sqlite"
        if not lite:
            # on tables this small it would rightly read all; ask whether it could do better
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        how = "EXPLAIN QUERY PLAN " if lite else "EXPLAIN "
        steps = [
            (str(row[-1]), statement)
            for statement, values in asked
            for row in _explained(connection, how + statement, values)
        ]
    return [f"{step}\n  in {statement}" for step, statement in steps if _reads_all(step)]


def _explained(connection: sa.Connection, statement: str, values: Any) -> Sequence[Any]:
    if "$1" not in statement:
        return connection.exec_driver_sql(statement, values).all()
    found = prepared.run(connection, statement, values)
    return [((found.get_value(at, 0) or b"").decode(),) for at in range(found.ntuples)]


def _reads_all(step: str) -> bool:
    words: Sequence[str] = step.replace("->", " ").split()
    if words[:2] == ["Seq", "Scan"]:
        return words[3] in GROWING
    known = {*GROWING, "earlier", "lent"}
    return words[0] == "SCAN" and words[1] in known and "INDEX" not in words


def a_used_ledger(ledger: SqlLedger) -> None:
    for channel in Channel:
        first = 1_000 * (list(Channel).index(channel) + 1)
        ledger.record(strangers_to_each_other(100, first=first), admitting(channel), NOON)
    conclude(ledger, State.BEVESTIGD)
    ledger.record(many(10), admitting(), NOON)
    with ledger._database.writing() as connection:
        connection.execute(sa.text("ANALYZE"))


def test_work_is_found_without_reading_what_is_finished(ledger: SqlLedger) -> None:
    a_used_ledger(ledger)

    with listening(ledger) as asked:
        ledger.record(many(3, first=20), admitting(), NOON)
        ledger.next_due(EVERYWHERE)
        lent = lend(ledger)
        ledger.conclude([told(each, State.BEVESTIGD) for each in lent])
        ledger.refill(MUNICIPALITY, NOON, NOON)
        ledger.rechannel({MUNICIPALITY: Channel.QUEUE, CREDITOR: Channel.POSTBUS}, NOON)

    assert len(asked) > 10
    assert whole_tables_read(ledger, asked) == []


def test_a_postbus_is_read_without_reading_what_was_confirmed(ledger: SqlLedger) -> None:
    a_used_ledger(ledger)
    one = a_submission(3_000).delivery_id

    with listening(ledger) as asked:
        ledger.postbus(MUNICIPALITY, limit=10)
        ledger.postbus_item(MUNICIPALITY, one)
        ledger.confirm(MUNICIPALITY, [one], NOON)
        ledger.message(CREDITOR, a_uuid("message", 1_000))
        list(ledger.way(CREDITOR, a_uuid("message", 1_000)))

    assert len(asked) > 6
    assert whole_tables_read(ledger, asked) == []


def test_dead_letters_are_found_without_reading_what_was_resolved(ledger: SqlLedger) -> None:
    a_used_ledger(ledger)

    with listening(ledger) as asked:
        gone = Stranding(a_submission(1_000).delivery_id, Reason.GEWEIGERD, "", NOON)
        ledger.strand([gone, Stranding(None, Reason.ONLEESBAAR, "", NOON, b"x")])
        ledger.strand([Stranding(a_submission(1).delivery_id, Reason.GEWEIGERD, "", NOON)])
        letters = [each.id for each in ledger.dead_letters(DeadLetterFilter())]
        ledger.release(letters, by="ada", why="", at=NOON)
        ledger.dead_letters(DeadLetterFilter())
        ledger.replay(letters, by="ada", why="", at=NOON)
        ledger.discard(letters, by="ada", why="", at=NOON)

    assert len(asked) > 6
    assert whole_tables_read(ledger, asked) == []


def test_the_number_of_statements_does_not_depend_on_the_batch(ledger: SqlLedger) -> None:
    def statements(size: int, first: int) -> int:
        opening = strangers_to_each_other(size, first=first)
        ledger.record(opening, admitting(overtakes=True), NOON)
        conclude(ledger, State.BEVESTIGD)
        next_ones = [
            a_submission(first + 1_000 + place, conversatie=each.message.header.conversatie)
            for place, each in enumerate(opening)
        ]
        with listening(ledger) as asked:
            ledger.record(next_ones, admitting(Channel.QUEUE), NOON)
            ledger.conclude([told(each, State.AANGEBODEN) for each in lend(ledger)])
            ledger.confirm(MUNICIPALITY, [each.delivery_id for each in next_ones], NOON)
        return len(asked)

    assert statements(50, first=100) == statements(1, first=1)
