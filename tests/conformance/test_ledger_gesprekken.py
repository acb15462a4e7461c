"""Every ledger finds the conversations of a party through its indexes, a page at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation, restriction
from gateway.message import Course, Kind, Oin
from gateway.record import GesprekFilter
from gateway.routing.stand import Stand, as_text
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
    many,
    strangers_to_each_other,
)
from tests.conformance.test_ledger_plans import listening, whole_tables_read

ASKED = as_text(Stand("SALDO_GEVRAAGD", shv=MUNICIPALITY, se=CREDITOR))
OVER = as_text(Stand("BEEINDIGD", shv=MUNICIPALITY, se=CREDITOR))
EVERYTHING = GesprekFilter()


def following(stand: str = ASKED, **more: object) -> Course:
    return Course(stand=stand, **more)  # type: ignore[arg-type]


def conversations(ledger: SqlLedger, count: int, stand: str = ASKED, first: int = 1) -> list[str]:
    """So many, each with one message; their ids."""
    batch = strangers_to_each_other(count, first=first)
    ledger.record(batch, admitting(course=following(stand)), NOON)
    return [each.message.header.conversatie for each in batch]


def page(
    ledger: SqlLedger, *parties: Oin, limit: int = 10, which: GesprekFilter = EVERYTHING
) -> tuple[list[str], int | None]:
    found, after = ledger.gesprekken(parties, which, lambda _: True, limit)
    return [each.conversatie for each in found], after


def test_conversations_of_either_side_come_newest_change_first(ledger: SqlLedger) -> None:
    ids = conversations(ledger, 4)
    again = a_submission(9, conversatie=ids[1], afzender=MUNICIPALITY, ontvanger=CREDITOR)
    ledger.record([again], admitting(course=following()), NOON + timedelta(hours=1))

    order = [ids[1], ids[3], ids[2], ids[0]]
    for party in (CREDITOR, MUNICIPALITY):
        assert page(ledger, party) == (order, None)
    assert page(ledger, STRANGER) == ([], None)
    assert page(ledger) == ([], None)


def test_pages_follow_each_other_and_know_the_last(ledger: SqlLedger) -> None:
    ids = conversations(ledger, 5)

    one, after = page(ledger, CREDITOR, limit=2)
    two, then = page(ledger, CREDITOR, limit=2, which=GesprekFilter(after=after))
    rest, end = page(ledger, CREDITOR, limit=2, which=GesprekFilter(after=then))

    assert [one, two, rest] == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert end is None


def test_what_does_not_fit_is_passed_over_without_an_empty_page(ledger: SqlLedger) -> None:
    ids = conversations(ledger, 9)
    wanted = {ids[0], ids[1]}

    found, after = ledger.gesprekken(
        [CREDITOR], EVERYTHING, lambda each: each.conversatie in wanted, 1
    )

    assert [each.conversatie for each in found] == [ids[1]]
    assert after is not None


@pytest.mark.parametrize(
    ("which", "places"),
    [
        (GesprekFilter(staat="BEEINDIGD"), [3, 2]),
        (GesprekFilter(staat="BEEINDIG_"), []),
        (GesprekFilter(staat="SALDO_GEVRAAGD"), [1, 0]),
        (GesprekFilter(partij=MUNICIPALITY), [3, 2, 1, 0]),
        (GesprekFilter(partij=STRANGER), []),
        (GesprekFilter(since=NOON), [3, 2, 1, 0]),
        (GesprekFilter(since=NOON + timedelta(milliseconds=1)), []),
        (GesprekFilter(open_only=True), []),
    ],
    ids=str,
)
def test_a_list_is_narrowed(which: GesprekFilter, places: list[int], ledger: SqlLedger) -> None:
    ids = conversations(ledger, 2) + conversations(ledger, 2, OVER, first=5)

    assert page(ledger, CREDITOR, which=which)[0] == [ids[place] for place in places]


def test_what_is_only_stored_or_has_no_rules_is_not_shown(ledger: SqlLedger) -> None:
    kept, hidden = conversations(ledger, 2)
    ledger.record([a_submission(8, conversatie=a_uuid("other"))], admitting(), NOON)
    with ledger._database.writing() as connection:
        number = sa.select(conversation.c.id).where(conversation.c.conversatie == hidden)
        connection.execute(
            sa.insert(restriction).values(
                conversation=connection.scalar(number), since=NOON, ground="x", kenmerk="x"
            )
        )

    assert page(ledger, CREDITOR)[0] == [kept]
    assert ledger.gesprek([CREDITOR], hidden) == []
    assert ledger.gesprek([CREDITOR], a_uuid("other")) == []


def test_what_the_gateway_tells_a_party_is_a_change_whoever_has_the_lower_number(
    ledger: SqlLedger,
) -> None:
    own = ledger._keyring.signing.oin
    high = Oin("9" * 20)
    for number, party in enumerate((CREDITOR, high), start=1):
        pair = {"conversatie": a_uuid(party), "afzender": party}
        ledger.record([a_submission(number, **pair)], admitting(course=following()), NOON)
        later = NOON + timedelta(hours=number)
        back = a_submission(10 + number, **{**pair, "afzender": own, "ontvanger": party})
        ledger.record([back], admitting(), later)

        [told], _ = ledger.gesprekken([party], EVERYTHING, lambda _: True, 5)

        assert told.changed_at == later


def test_a_conversation_has_its_messages_and_what_the_gateway_told_who_asks(
    ledger: SqlLedger,
) -> None:
    own = ledger._keyring.signing.oin
    (id_,) = conversations(ledger, 1)
    question = a_uuid("message", 1)
    said = [
        a_submission(
            20 + place,
            conversatie=id_,
            afzender=own,
            ontvanger=party,
            cross=question,
            kind=Kind("gateway", 1, "TermijnVerstreken"),
        )
        for place, party in enumerate((CREDITOR, MUNICIPALITY))
    ]
    ledger.record(said, admitting(), NOON + timedelta(hours=1))
    before, _ = ledger.gesprekken([CREDITOR], EVERYTHING, lambda _: True, 5)

    [gesprek] = ledger.gesprek([CREDITOR], id_)

    assert [(each.soort, each.ontvanger) for each in gesprek.berichten] == [
        ("Kennisgeving", MUNICIPALITY),
        ("TermijnVerstreken", CREDITOR),
    ]
    assert gesprek.modules == {question: "schuldregeling"}
    assert gesprek.count == 1
    assert before[0].changed_at == NOON + timedelta(hours=1)  # a term that ran out is a change
    assert ledger.gesprek([STRANGER], id_) == []


def test_pages_and_conversations_are_found_without_reading_those_of_others(
    ledger: SqlLedger,
) -> None:
    conversations(ledger, 200)
    other = strangers_to_each_other(3, first=900, afzender=STRANGER)
    ledger.record(other, admitting(course=following()), NOON)
    ledger.record(many(10, first=2_000), admitting(course=following()), NOON)
    with ledger._database.writing() as connection:
        connection.execute(sa.text("ANALYZE"))

    with listening(ledger) as asked:
        every = GesprekFilter(staat="SALDO_GEVRAAGD", partij=MUNICIPALITY, since=NOON, after=10**9)
        ledger.gesprekken([STRANGER], EVERYTHING, lambda _: True, 10)
        ledger.gesprekken([STRANGER], every, lambda _: True, 10)
        ledger.gesprek([STRANGER], other[0].message.header.conversatie)
        ledger.moments(NOON)
        ledger.state(
            [STRANGER], other[0].message.header.conversatie, a_uuid("message", 1), no, NOON
        )

    assert len(asked) >= 8
    assert whole_tables_read(ledger, asked) == []


def no(asked: object) -> dict[str, object]:
    raise AssertionError("there is no such question")


def test_the_number_of_statements_does_not_depend_on_the_page(ledger: SqlLedger) -> None:
    conversations(ledger, 50)

    def statements(limit: int) -> int:
        with listening(ledger) as asked:
            ledger.gesprekken([CREDITOR], EVERYTHING, lambda _: True, limit)
        return len(asked)

    assert statements(1) == statements(40) == 2


def test_moments_are_counted_by_how_soon_they_come(ledger: SqlLedger) -> None:
    for number, days in enumerate((-1, 0, 3, 7, 8, 30)):
        at = NOON + timedelta(days=days)
        ledger.record(
            strangers_to_each_other(1, first=number + 1),
            admitting(course=following(next_term=at)),
            NOON,
        )

    assert ledger.moments(NOON) == {"due": 2, "week": 2, "later": 2}
