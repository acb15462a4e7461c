"""Every ledger tells what was asked, answered and never collected, from metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from fixtures.world import GATEWAY, SE, SHV
from gateway.adapters.ledger.figures import Period, _portions, _said
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation
from gateway.dead_letter import Stranding
from gateway.delivery import Reason, State
from gateway.message import Channel
from gateway.routing import table
from gateway.routing.digest import Happened
from gateway.routing.figures import Group, Key, Outcome, Question, asking, grouped, outcome_of
from tests.conformance.conversing import OTHER, Talking
from tests.conformance.submissions import NOON
from tests.conformance.test_ledger_plans import listening, whole_tables_read

KINDS = asking(table.read())
BALANCE = {"Saldoverzoek": KINDS["Saldoverzoek"]}
DAY = timedelta(days=1)
ALWAYS = Period(NOON - DAY, NOON + 400 * DAY)
ANSWER = "SaldoverzoekAntwoord"


def balances(ledger: SqlLedger, period: Period = ALWAYS) -> list[Question]:
    return list(ledger.asked(BALANCE, period))


def outcomes(ledger: SqlLedger, now: datetime) -> list[Outcome | None]:
    return [outcome_of(each, now) for each in balances(ledger)]


def test_a_question_is_found_with_its_term_and_its_first_answer(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    number = talking.ask()
    talking.later(days=3)
    answered_at = talking.now
    first = talking.answer(number)
    talking.later(days=1)
    talking.say(ANSWER, SE, SHV, cross=number, change={"stuurgegevens": {"vervangt": first}})

    (found,) = balances(ledger)

    assert (found.referentienummer, found.conversatie) == (number, talking.thread)
    assert (found.asker, found.asked, found.soort) == (SHV, SE, "Saldoverzoek")
    assert (found.asked_at, found.available, found.term) == (NOON, NOON, "10 WERKDAG")
    assert found.tot_en_met is not None
    assert found.answer is not None
    assert (found.answer.at, found.answer.late) == (answered_at, False)


def test_each_question_comes_to_what_happened_to_it(ledger: SqlLedger) -> None:
    in_time, late, never, still_open, replaced, withdrawn, ended = (
        Talking(ledger) for _ in range(7)
    )
    in_time.answer(in_time.ask())
    for each in (late, never, replaced):
        number = each.ask()
        each.later(days=20)
        if each is late:
            each.answer(number)
        if each is replaced:
            each.answer(each.ask())
    withdrawn.recall(withdrawn.ask())
    ended.ask()
    ended.end()
    still_open.now += 15 * DAY
    still_open.ask()

    now = NOON + 20 * DAY
    found = {
        each.conversatie: [
            outcome_of(other, now)
            for other in balances(ledger)
            if other.conversatie == each.conversatie
        ]
        for each in balances(ledger)
    }

    assert found == {
        in_time.thread: [Outcome.OP_TIJD],
        late.thread: [Outcome.TE_LAAT],
        never.thread: [Outcome.NOOIT],
        replaced.thread: [Outcome.VERVALLEN, Outcome.OP_TIJD],
        withdrawn.thread: [Outcome.VERVALLEN],
        ended.thread: [Outcome.VERVALLEN],
        still_open.thread: [Outcome.OPEN],
    }


def test_an_answer_that_was_withdrawn_does_not_count(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    answer = talking.answer(talking.ask())
    talking.recall(answer, by=SE, to=SHV)

    assert outcomes(ledger, talking.now) == [Outcome.OPEN]


def test_an_answer_in_another_conversation_or_of_another_kind_is_none(ledger: SqlLedger) -> None:
    talking, other = Talking(ledger), Talking(ledger)
    number = talking.ask()
    talking.say("Navraag", SE, SHV, cross=number)
    other.answer(other.ask())

    assert outcomes(ledger, talking.now) == [Outcome.OPEN, Outcome.OP_TIJD]


def test_questions_are_those_of_the_period_and_of_who_is_named(ledger: SqlLedger) -> None:
    first = Talking(ledger)
    first.ask()
    second = Talking(ledger, now=NOON + DAY)
    second.say("Saldoverzoek", SHV, OTHER)

    def threads(period: Period = ALWAYS, **who: object) -> list[str]:
        return [each.conversatie for each in ledger.asked(BALANCE, period, **who)]  # type: ignore[arg-type]

    assert threads() == [first.thread, second.thread]
    assert threads(Period(NOON, NOON + DAY)) == [first.thread]
    assert threads(Period(NOON + DAY, NOON + 2 * DAY)) == [second.thread]
    assert threads(asked=OTHER) == [second.thread]
    assert threads(asker=SHV) == [first.thread, second.thread]
    assert threads(asker=SE) == []


def test_portions_leave_nothing_out_and_tell_nothing_twice(ledger: SqlLedger) -> None:
    talks = [Talking(ledger) for _ in range(7)]
    for number, talking in enumerate(talks):
        talking.now += timedelta(seconds=number // 3)
        talking.ask()
    query = _said(conversation.c.conversatie)

    with_two = [
        row.conversatie
        for portion in _portions(ledger._database, query, ALWAYS, size=2)
        for row in portion
    ]

    assert with_two == [each.thread for each in talks]


def test_of_what_either_side_may_ask_it_is_told_who_did(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    talking.ask()
    talking.say("Navraag", SHV, SE)
    talking.say("Navraag", SE, SHV)
    talking.say("Statusverzoek", SE, SHV)

    found = {(each.soort, each.asker): each.by_helper for each in ledger.asked(KINDS, ALWAYS)}

    assert found == {
        ("Saldoverzoek", SHV): True,
        ("Navraag", SHV): True,
        ("Navraag", SE): False,
        ("Statusverzoek", SE): False,
    }


def test_what_a_helper_asks_in_each_form_is_grouped_by_creditor_and_kind(
    ledger: SqlLedger,
) -> None:
    for _ in range(3):
        talking = Talking(ledger)
        notice = talking.say("Kennisgeving", SHV, SE)
        talking.say("KennisgevingAntwoord", SE, SHV, cross=notice)
        talking.ask()
    calendar = talking.rules.book.calendar

    found: Mapping[Key, Group] = grouped(ledger.asked(KINDS, ALWAYS), calendar, NOON)

    assert {key: dict(group.outcomes) for key, group in found.items()} == {
        Key(SE, "Kennisgeving"): {Outcome.ZONDER_TERMIJN: 3},
        Key(SE, "Saldoverzoek"): {Outcome.OPEN: 3},
    }


def test_terms_that_run_are_found_once_per_conversation_until_it_ends(ledger: SqlLedger) -> None:
    talking, ended, answered = Talking(ledger), Talking(ledger), Talking(ledger)
    talking.ask()
    talking.say("Navraag", SHV, SE)
    ended.ask()
    ended.end()
    answered.answer(answered.ask())

    found = dict(ledger.with_terms(ALWAYS))

    assert talking.thread in found
    assert ended.thread not in found
    assert [each for each, _ in ledger.with_terms(ALWAYS)].count(talking.thread) == 1
    assert found[talking.thread].shv == SHV
    assert dict(ledger.with_terms(Period(NOON + DAY, NOON + 2 * DAY))) == {}


def test_answers_and_what_nobody_collected_are_told_by_conversation(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    number = talking.ask()
    talking.answer(number)

    assert list(ledger.answers(KINDS, ALWAYS)) == [
        Happened(talking.thread, SHV, SE, SHV, talking.now)
    ]
    lying = {
        (each.sender, each.recipient) for each in ledger.never_collected(ALWAYS, talking.now + DAY)
    }
    assert lying == {(SHV, SE), (SE, SHV)}
    ledger.collect(SE, [talking.id_of(number)], at=talking.now)
    assert [each.recipient for each in ledger.never_collected(ALWAYS, talking.now + DAY)] == [SHV]
    assert list(ledger.never_collected(ALWAYS, talking.now)) == []


def test_what_is_dead_is_told_until_an_operator_dealt_with_it(ledger: SqlLedger) -> None:
    talking = Talking(ledger, {SE: Channel.PUSH})
    number = talking.ask()
    ledger.strand([Stranding(talking.id_of(number), Reason.GEWEIGERD, "proef", NOON)])

    assert [each.conversatie for each in ledger.stranded()] == [talking.thread]
    (letter,) = talking.letters(number)
    ledger.discard([letter.id], by="ada", why="proef", at=NOON)
    assert list(ledger.stranded()) == []


def test_a_monitor_reads_what_is_not_finished_and_what_the_gateway_said(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger, {SE: Channel.PUSH})
    assert ledger.load(NOON, NOON).checkpoint_at is None
    number = talking.ask()
    other = Talking(ledger)
    other.ask()
    for _ in range(20):
        other.later(days=1)

    told = ledger.load(NOON - DAY, other.now + DAY)

    standing = {(party, channel, state): count for party, channel, state, count, _ in told.standing}
    assert standing[SE, Channel.PUSH, State.WACHT] == 1
    assert standing[SE, Channel.POSTBUS, State.AANGEBODEN] >= 1
    assert (told.said["Herinnering"], told.said["TermijnVerstreken"]) == (2, 2)
    assert told.checkpoint_at == NOON
    assert (told.dead_letters, told.closed_at) == (0, None)
    ledger.strand([Stranding(talking.id_of(number), Reason.GEWEIGERD, "proef", NOON)])
    assert ledger.load(NOON, NOON).dead_letters == 1
    assert ledger.load(NOON, NOON).said == {}
    assert GATEWAY not in {each.asker for each in balances(ledger)}


def test_nothing_of_this_reads_a_table_that_grows_from_end_to_end(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    talking.ask()  # is replaced by the next
    talking.answer(talking.ask())
    day = Period(NOON, NOON + DAY)

    with listening(ledger) as asked:
        balances(ledger, day)
        list(ledger.with_terms(day))
        list(ledger.answers(KINDS, day))
        list(ledger.never_collected(day, NOON))
        list(ledger.stranded())
        ledger.load(NOON, NOON + DAY)

    assert len(asked) >= 12
    assert whole_tables_read(ledger, asked) == []
