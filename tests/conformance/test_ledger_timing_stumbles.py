"""What the rules fail on in one conversation holds up no other, and is done once it can be."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
import sqlalchemy as sa

from fixtures.world import OVERIGE_SHV, PUBLIEKE_SE, SE, SHV
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation, message
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.timekeeping import AT_ONCE, Caught, catch_up
from gateway.delivery import Answer
from gateway.message import Channel
from gateway.routing.retention import read
from tests.conformance.submissions import a_uuid
from tests.conformance.test_ledger_timing import OVER, open_many
from tests.conformance.timed import Timed, Told, a_directory, merged

OF_A_NEWER_VERSION = '{"vorm": 99}'


async def looks(timed: Timed) -> Caught:
    """The role klok looks once."""
    writer = Writer(timed.ledger, timed.station, clock=lambda: timed.now)
    try:
        return await catch_up(writer, timed.ledger, timed.rules, lambda: timed.now)
    finally:
        await writer.close()


def stands(ledger: SqlLedger) -> dict[int, str]:
    """What the rules remember, by conversation."""
    query = sa.select(conversation.c.id, conversation.c.stand)
    with ledger._database.reading() as connection:
        found = connection.execute(query.where(conversation.c.stand.is_not(None))).all()
    return {row.id: row.stand for row in found}


def put(ledger: SqlLedger, number: int, stand: str) -> None:
    with ledger._database.writing() as connection:
        connection.execute(
            sa.update(conversation).where(conversation.c.id == number).values(stand=stand)
        )


def conversation_id(ledger: SqlLedger, number: int) -> str:
    """How its parties call it."""
    with ledger._database.reading() as connection:
        query = sa.select(conversation.c.conversatie).where(conversation.c.id == number)
        return str(connection.execute(query).scalar_one())


def changed(ledger: SqlLedger, before: dict[int, str]) -> set[int]:
    """Conversations of which the rules remember something else now."""
    return {number for number, stand in stands(ledger).items() if stand != before[number]}


def over(numbers: list[str]) -> set[Told]:
    """That their terms ran out."""
    return {Told("TermijnVerstreken", each, to) for each in numbers for to in (SE, SHV)}


async def test_one_conversation_that_cannot_be_read_holds_up_no_term_of_another(
    ledger: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    timed = Timed(ledger)
    numbers = open_many(timed, AT_ONCE + 3)
    await looks(timed)
    first, kept = min(stands(ledger).items())
    put(ledger, first, OF_A_NEWER_VERSION)
    timed.now = OVER

    with caplog.at_level(logging.ERROR):
        caught = await looks(timed)

    assert caught == (AT_ONCE + 2, 1)
    assert len(set(timed.told()) & over(numbers)) == 2 * (AT_ONCE + 2)
    (said,) = [each for each in caplog.records if each.message == "clock.passed_over"]
    assert conversation_id(ledger, first) == vars(said)["place"]

    put(ledger, first, kept)

    assert (await looks(timed)).passed == 0
    assert set(timed.told()) == over(numbers)
    assert len(timed.told()) == 2 * len(numbers)


async def test_one_conversation_that_cannot_be_read_keeps_no_other_from_following(
    ledger: SqlLedger,
) -> None:
    timed = Timed(ledger, a_directory(Channel.QUEUE))
    numbers = [timed.say("Saldoverzoek", thread=str(each)) for each in range(3)]
    assert len(timed.attempt(Answer.OFFERED)) == len(numbers)
    before = stands(ledger)
    first = min(before)
    put(ledger, first, OF_A_NEWER_VERSION)

    assert (await looks(timed)).passed == 1
    assert changed(ledger, before | {first: OF_A_NEWER_VERSION}) == set(before) - {first}

    put(ledger, first, before[first])

    assert await looks(timed) == (1, 0)
    assert changed(ledger, before) == set(before)


def test_one_conversation_that_cannot_be_read_keeps_no_content_of_another(
    ledger: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    timed = Timed(ledger, a_directory(Channel.QUEUE))
    for each in range(3):
        timed.say("Saldoverzoek", thread=str(each))
    first, kept = min(stands(ledger).items())
    put(ledger, first, OF_A_NEWER_VERSION)
    timed.now += timedelta(days=400)

    with caplog.at_level(logging.ERROR):
        gone = given_up(timed)

    assert (gone, with_content(ledger)) == (2, 1)
    (said,) = [each for each in caplog.records if each.message == "retention.passed_over"]
    assert said.args == ()

    put(ledger, first, kept)

    assert (given_up(timed), with_content(ledger)) == (1, 0)


def given_up(timed: Timed) -> int:
    """Sweep; how many undelivered requests were given up."""
    swept = timed.ledger.sweep(read(), {}, rules=timed.rules, now=timed.now, limit=100)
    return sum(count for (_, soort), count in swept.counts.items() if soort == "Saldoverzoek")


def with_content(ledger: SqlLedger) -> int:
    """How many requests have their content still."""
    here = sa.and_(message.c.soort == "Saldoverzoek", message.c.erased_at.is_(None))
    with ledger._database.reading() as connection:
        query = sa.select(sa.func.count()).select_from(message).where(here)
        return int(connection.execute(query).scalar_one())


def test_one_conversation_that_cannot_be_read_hides_nothing_of_what_comes_in_others(
    ledger: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    timed = Timed(ledger)
    numbers = open_many(timed, 3)
    timed.work()
    first, kept = min(stands(ledger).items())
    before = list(ledger.foreseen(timed.rules, timed.now, OVER))
    put(ledger, first, OF_A_NEWER_VERSION)

    with caplog.at_level(logging.ERROR):
        coming = list(ledger.foreseen(timed.rules, timed.now, OVER))

    lost = conversation_id(ledger, first)
    assert coming == [each for each in before if each.conversatie != lost]
    assert len({each.conversatie for each in coming}) == len(numbers) - 1
    said = {vars(each)["place"] for each in caplog.records if each.message == "clock.passed_over"}
    assert said == {lost}
    put(ledger, first, kept)


async def test_a_merger_that_cannot_be_done_holds_up_no_other(
    ledger: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    timed = Timed(ledger)
    timed.say("Saldoverzoek", SHV, SE, thread="een")
    timed.work()
    stuck = min(stands(ledger))
    timed.say("Saldoverzoek", OVERIGE_SHV, PUBLIEKE_SE, thread="ander")
    timed.work()
    put(ledger, stuck, OF_A_NEWER_VERSION)
    day = timed.now.date()
    timed.directory = merged(timed.directory, SE, PUBLIEKE_SE, day)
    timed.directory = merged(timed.directory, OVERIGE_SHV, SHV, day)

    with caplog.at_level(logging.ERROR):
        caught = await looks(timed)

    (said,) = [each for each in caplog.records if each.message == "clock.merger_passed_over"]
    assert (vars(said)["oin"], caught.passed) == (SE, 1)
    assert parties_of(ledger, "een") == {SHV, SE}
    assert parties_of(ledger, "ander") == {SHV, PUBLIEKE_SE}


async def test_two_parties_that_merge_keep_what_they_said_to_each_other(ledger: SqlLedger) -> None:
    timed = Timed(ledger)
    question = timed.say("Saldoverzoek", SHV, SE, thread="een")
    timed.say("SaldoverzoekAntwoord", SE, SHV, cross=question, thread="een")
    timed.say("Saldoverzoek", OVERIGE_SHV, SE, thread="ander")
    timed.directory = merged(timed.directory, SE, SHV, timed.now.date())

    caught = await looks(timed)

    assert caught.passed == 0
    assert parties_of(ledger, "een") == {SHV, SE}
    assert parties_of(ledger, "ander") == {OVERIGE_SHV, SHV}


def parties_of(ledger: SqlLedger, thread: str) -> set[str]:
    """Between whom a conversation is, apart from the gateway's own."""
    c = conversation.c
    query = sa.select(c.party_a, c.party_b).where(
        c.conversatie == a_uuid("gesprek", thread), c.stand.is_not(None)
    )
    with ledger._database.reading() as connection:
        (row,) = connection.execute(query).all()
    return {row.party_a, row.party_b}
