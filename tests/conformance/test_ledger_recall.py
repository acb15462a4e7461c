"""Every ledger takes back what nobody saw, proves it, and never what somebody has."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fixtures.world import SE, SHV
from gateway.adapters.ledger.accepting import ENDING
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter, Stranding
from gateway.delivery import Reason, State
from gateway.errors import Code, Refusal
from gateway.message import Channel, Oin, Receipt
from gateway.routing import table
from gateway.routing.retention import read
from gateway.routing.stand import BEEINDIGD, Status
from tests.conformance.conversing import OTHER, Talking
from tests.conformance.delivering import conclude, dead, ids_of, lend, told
from tests.conformance.submissions import NOON, a_uuid
from tests.conformance.test_ledger_plans import a_used_ledger, listening, whole_tables_read

DAY = timedelta(days=1)
TERMS = read()
NEVER = ("ingetrokken", "nooit-opgehaald")
STOPPED = ("ingetrokken", "niet-meer-aangeboden")
TO_BY_PUSH = {SE: Channel.PUSH}
TO_BY_QUEUE = {SE: Channel.QUEUE}


def strand(talking: Talking, number: str, reason: Reason = Reason.GEWEIGERD) -> None:
    talking.ledger.strand([Stranding(talking.id_of(number), reason, "proef", talking.now)])


def replay(talking: Talking, *letters: int) -> list[int]:
    return talking.ledger.replay(list(letters), by="ada", why="proef", at=talking.now)


# --- collecting -----------------------------------------------------------------------------


def test_collecting_is_signed_once_and_at_the_first_time(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    mine = talking.id_of(asked)

    first = ledger.collect(SE, [mine, a_uuid("onbekend")], NOON)
    again = ledger.collect(SE, [mine], NOON + DAY)

    assert first == again == {mine}
    assert talking.delivery(asked).collected_at == NOON
    assert talking.happened(asked) == [("opgehaald", None)]
    assert ledger.audit() == []


def test_nobody_collects_for_another_nor_what_is_pushed(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    pushed = talking.id_of(talking.ask())
    answered = talking.id_of(talking.say("StatusberichtSe", SE, SHV))

    assert ledger.collect(SE, [pushed, answered], NOON) == frozenset()
    assert ledger.collect(SHV, [], NOON) == frozenset()
    assert ledger.collect(SHV, [answered], NOON) == {answered}


def test_a_listing_without_content_collects_nothing_and_content_says_what_was(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger)
    asked = talking.ask()

    ledger.postbus(SE, limit=9, budget=None)
    assert talking.delivery(asked).collected_at is None
    assert [each.collected for _, each in ledger.postbus(SE, limit=9)] == [False]

    ledger.collect(SE, [talking.id_of(asked)], NOON)
    item, original = (
        ledger.postbus_item(SE, talking.id_of(asked)),
        ledger.original(SE, talking.id_of(asked)),
    )
    assert item is not None
    assert original is not None
    assert (item.collected, original.collected) == (True, True)


def test_who_confirms_has_collected(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()

    ledger.confirm(SE, [talking.id_of(asked)], NOON + DAY)

    assert talking.delivery(asked).collected_at == NOON + DAY
    assert ledger.collect(SE, [talking.id_of(asked)], NOON + 2 * DAY) == {talking.id_of(asked)}
    assert talking.happened(asked) == [("bevestigd", None)]
    assert talking.delivery(asked).collected_at == NOON + DAY


def test_what_a_queue_named_is_collected_when_it_is_fetched(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_QUEUE)
    asked = talking.ask()
    mine = talking.id_of(asked)

    before = ledger.collect(SE, [mine], NOON)
    conclude(ledger, State.AANGEBODEN)

    assert before == frozenset()
    assert ledger.collect(SE, [mine], NOON) == {mine}
    assert talking.delivery(asked).collected_at == NOON


def test_a_message_that_was_collected_is_not_reported_as_uncollected(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    talking.say("Kennisgeving", SHV, SE)
    ledger.collect(SE, [each.id for _, each in ledger.postbus(SE, limit=9)], NOON)

    talking.later(days=30)

    assert "NietAfgeleverd" not in talking.kinds_for(SHV)


def test_collecting_and_recalling_read_no_table_whole(ledger: SqlLedger) -> None:
    a_used_ledger(ledger)
    talking = Talking(ledger)
    asked, again = talking.ask(), talking.say("Kennisgeving", SHV, OTHER)
    recalls = [
        talking.made("Intrekking", SHV, SE, change={"ingetrokkenReferentienummer": asked}),
        talking.made("RegelingBeeindigd", SHV, OTHER, change={"reden": "VOORTIJDIG"}),
    ]

    with listening(ledger) as heard:
        ledger.collect(OTHER, [talking.id_of(again)], NOON)
        talking.record(*recalls)

    assert len(heard) > 8
    assert whole_tables_read(ledger, heard) == []


# --- recall, the helper's side --------------------------------------------------------------


def test_a_question_nobody_collected_is_gone_and_it_is_proven(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()

    recall = talking.recall(asked)

    assert talking.stand().staat == "NIEUW"
    assert (talking.kinds_for(SE), talking.content_is_there(asked)) == ([], False)
    assert ledger.collect(SE, [talking.id_of(asked)], NOON) == frozenset()
    assert ledger.postbus_item(SE, talking.id_of(asked)) is None
    assert ledger.original(SE, talking.id_of(asked)) is None
    (told,) = talking.in_postbus(SHV)
    assert (told["soort"], told["resultaat"]) == ("IntrekkingBevestiging", "NOOIT_OPGEHAALD")
    assert told["ingetrokkenReferentienummer"] == asked
    assert told["stuurgegevens"]["crossReferentienummer"] == recall
    assert talking.happened(asked) == [NEVER]
    assert not talking.stand().termijnen
    assert ledger.audit() == []


def test_a_question_that_was_collected_is_recalled_as_a_duty(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.collect(SE, [talking.id_of(asked)], NOON)

    recall = talking.recall(asked)

    assert talking.stand().staat == "NIEUW"
    assert talking.kinds_for(SE) == ["Saldoverzoek", "Intrekking"]
    assert talking.kinds_for(SHV) == []
    assert talking.content_is_there(asked)
    assert talking.happened(asked) == [("opgehaald", None)]
    assert [each.referentienummer for each in talking.stand().open_vragen()] == [recall]


@pytest.mark.parametrize("resultaat", ["VERWIJDERD", "BEWAARPLICHT"])
def test_the_confirmation_of_a_recall_goes_back_and_closes_it(
    ledger: SqlLedger, resultaat: str
) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.collect(SE, [talking.id_of(asked)], NOON)
    recall = talking.recall(asked)
    done = {"ingetrokkenReferentienummer": asked, "resultaat": resultaat}

    talking.say("IntrekkingBevestiging", SE, SHV, cross=recall, change=done)
    again = talking.refused("IntrekkingBevestiging", SE, SHV, cross=recall, change=done)

    assert [each["resultaat"] for each in talking.in_postbus(SHV)] == [resultaat]
    assert not list(talking.stand().open_vragen())
    assert again.code is Code.VRAAG_AL_BEANTWOORD


def test_after_a_recall_the_question_may_be_asked_again(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    talking.recall(talking.ask())

    again = talking.ask()

    assert talking.kinds_for(SE) == ["Saldoverzoek"]
    assert talking.stand().staat == "SALDO_GEVRAAGD"
    assert [each.referentienummer for each in talking.stand().termijnen] == [again]


def test_what_waited_behind_a_withdrawn_message_goes_on(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()
    noted = talking.say("StatusberichtShv", SHV, SE, change={"status": "IN_BEHANDELING"})

    talking.recall(asked)

    assert [each.referentienummer for each in lend(ledger)] == [noted]
    assert ledger.heal(NOON) == 0


def test_a_message_in_the_batch_of_a_recall_does_not_wait_for_what_that_removed(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()

    talking.record(
        talking.made("Intrekking", SHV, SE, change={"ingetrokkenReferentienummer": asked}),
        talking.made("Saldoverzoek", SHV, SE),
    )

    assert [each.kind.name for each in lend(ledger)] == ["Saldoverzoek"]
    assert ledger.heal(NOON) == 0


# --- recall, the creditor's side ------------------------------------------------------------


@pytest.mark.parametrize("collected", [False, True])
def test_a_withdrawn_answer_reopens_the_question_with_its_old_date(
    ledger: SqlLedger, *, collected: bool
) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    due = talking.stand().termijn(asked)
    talking.later(days=1)
    answered = talking.answer(asked)
    if collected:
        ledger.collect(SHV, [talking.id_of(answered)], talking.now)

    talking.recall(answered, by=SE, to=SHV)

    vraag = talking.stand().vraag(asked)
    assert vraag is not None
    assert (vraag.status, vraag.door) == (Status.OPEN, None)
    assert (talking.stand().staat, talking.stand().termijn(asked)) == ("SALDO_GEVRAAGD", due)
    wanted = ["SaldoverzoekAntwoord", "Intrekking"] if collected else []
    assert talking.kinds_for(SHV) == wanted
    assert talking.answer(asked)
    assert ledger.audit() == []


def test_the_old_date_of_a_reopened_question_still_ends_it(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    answered = talking.answer(asked)
    talking.later(days=60)

    talking.recall(answered, by=SE, to=SHV)
    talking.tick()

    assert talking.stand().staat == "SALDO_VERLOPEN"
    assert "TermijnVerstreken" in talking.kinds_for(SHV)


# --- who may recall what, and how often -----------------------------------------------------


@pytest.mark.parametrize(
    ("by", "to"), [(SE, SHV), (OTHER, SHV)], ids=["the other side", "a stranger"]
)
def test_only_the_sender_recalls_its_message(ledger: SqlLedger, by: Oin, to: Oin) -> None:
    talking = Talking(ledger)
    asked = talking.ask()

    refusal = talking.refused("Intrekking", by, to, change={"ingetrokkenReferentienummer": asked})

    assert refusal.code is Code.VRAAG_ONBEKEND
    assert (talking.kinds_for(SE), talking.content_is_there(asked)) == (["Saldoverzoek"], True)


def test_a_number_that_was_never_used_cannot_be_recalled(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    change = {"ingetrokkenReferentienummer": a_uuid("nooit")}

    first = talking.refused("Intrekking", SHV, SE, change=change)
    talking.ask()
    second = talking.refused("Intrekking", SHV, SE, change=change)

    assert {first.code, second.code} == {Code.VRAAG_ONBEKEND}


def test_a_message_is_recalled_only_in_its_own_conversation(ledger: SqlLedger) -> None:
    one, other = Talking(ledger), Talking(ledger)
    asked = one.ask()
    other.ask()

    refusal = other.refused("Intrekking", SHV, SE, change={"ingetrokkenReferentienummer": asked})

    assert refusal.code is Code.VRAAG_ONBEKEND
    assert one.content_is_there(asked)


def test_a_second_recall_of_what_nobody_saw_is_answered_the_same(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()

    talking.recall(asked)
    talking.recall(asked)

    results = [each["resultaat"] for each in talking.in_postbus(SHV)]
    assert results == ["NOOIT_OPGEHAALD"] * 2
    assert talking.happened(asked) == [NEVER]
    assert (talking.kinds_for(SE), ledger.audit()) == ([], [])


def test_somebody_else_who_names_the_same_number_does_not_hinder_a_recall(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    change = {"ingetrokkenReferentienummer": asked}

    mine, theirs = talking.record(
        talking.made("Intrekking", SHV, SE, change=change),
        talking.made("Intrekking", OTHER, SHV, change=change),
    )

    assert isinstance(mine, Receipt), mine
    assert isinstance(theirs, Refusal)
    assert talking.happened(asked) == [NEVER]


def test_two_recalls_in_one_batch_withdraw_once(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    change = {"ingetrokkenReferentienummer": asked}

    talking.record(*(talking.made("Intrekking", SHV, SE, change=change) for _ in range(2)))

    assert talking.happened(asked) == [NEVER]
    assert len(talking.in_postbus(SHV)) == 2
    assert ledger.audit() == []


def test_a_second_recall_of_what_was_seen_is_delivered_too(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.confirm(SE, [talking.id_of(asked)], NOON)

    talking.recall(asked)
    talking.recall(asked)

    assert talking.kinds_for(SE) == ["Intrekking"] * 2
    assert talking.stand().staat == "NIEUW"


def test_a_recall_cannot_be_recalled(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.collect(SE, [talking.id_of(asked)], NOON)
    recall = talking.recall(asked)

    refusal = talking.refused("Intrekking", SHV, SE, change={"ingetrokkenReferentienummer": recall})

    assert refusal.code is Code.VOLGORDE_ONGELDIG
    assert "stuur het bericht opnieuw" in refusal.findings[0].nl
    assert talking.kinds_for(SE) == ["Saldoverzoek", "Intrekking"]


@pytest.mark.parametrize("collected", [False, True])
def test_what_was_said_can_be_recalled_after_the_end(ledger: SqlLedger, *, collected: bool) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    if collected:
        ledger.collect(SE, [talking.id_of(asked)], NOON)
    talking.later(days=1)
    talking.end()

    recall = talking.recall(asked)

    assert talking.stand().staat == BEEINDIGD
    wanted = ["Saldoverzoek", "RegelingBeeindigd"]
    assert talking.kinds_for(SE) == ([*wanted, "Intrekking"] if collected else wanted[1:])
    if collected:
        done = {"ingetrokkenReferentienummer": asked}
        talking.say("IntrekkingBevestiging", SE, SHV, cross=recall, change=done)
    assert ledger.audit() == []


# --- channels and dead letters --------------------------------------------------------------


@pytest.mark.parametrize("channels", [TO_BY_PUSH, TO_BY_QUEUE], ids=["push", "queue"])
def test_what_no_channel_ever_had_is_taken_back(
    ledger: SqlLedger, channels: dict[Oin, Channel]
) -> None:
    talking = Talking(ledger, channels)
    asked = talking.ask()

    talking.recall(asked)

    assert lend(ledger) == []
    assert talking.happened(asked) == [NEVER]
    assert talking.in_postbus(SHV)[0]["resultaat"] == "NOOIT_OPGEHAALD"


@pytest.mark.parametrize("channels", [TO_BY_PUSH, TO_BY_QUEUE], ids=["push", "queue"])
def test_what_is_lent_may_have_been_seen_and_is_not_tried_again(
    ledger: SqlLedger, channels: dict[Oin, Channel]
) -> None:
    talking = Talking(ledger, channels)
    asked = talking.ask()
    (lent,) = lend(ledger)

    recall = talking.recall(asked)

    assert talking.kinds_for(SHV) == []
    assert [each.referentienummer for each in lend(ledger, at=NOON + DAY)] == [recall]
    assert lent.referentienummer == asked
    assert talking.happened(asked) == [STOPPED]
    assert talking.content_is_there(asked)


def test_what_an_attempt_came_to_is_evidence_also_after_the_recall(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()
    (lent,) = lend(ledger)
    talking.recall(asked)

    assert ledger.conclude([told(lent, State.BEVESTIGD)]) == 1
    assert talking.happened(asked) == [STOPPED, ("poging", "bevestigd")]
    assert talking.delivery(asked).state == State.VERWORPEN
    assert ledger.audit() == []


def test_a_refused_connection_may_have_been_seen_and_is_not_tried_again(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()
    conclude(ledger, State.WACHT)

    recall = talking.recall(asked)

    later = lend(ledger, at=NOON + DAY)
    assert [each.referentienummer for each in later] == [recall]
    assert talking.happened(asked)[-1] == STOPPED
    assert ledger.audit() == []


def test_what_the_broker_took_is_recalled_as_a_duty(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_QUEUE)
    asked = talking.ask()
    conclude(ledger, State.AANGEBODEN)

    recall = talking.recall(asked)

    assert [each.referentienummer for each in lend(ledger)] == [recall]
    assert talking.delivery(asked).state == State.AANGEBODEN
    assert STOPPED not in talking.happened(asked)


def test_what_was_pushed_in_vain_and_now_lies_in_a_postbus_may_have_been_seen(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()
    conclude(ledger, State.WACHT)
    ledger.rechannel({SE: Channel.POSTBUS}, NOON)
    assert talking.kinds_for(SE) == ["Saldoverzoek"]

    talking.recall(asked)

    assert talking.kinds_for(SHV) == []


def test_what_was_collected_and_then_died_may_have_been_seen(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.collect(SE, [talking.id_of(asked)], NOON)
    strand(talking, asked)

    talking.recall(asked)

    assert talking.kinds_for(SE) == ["Intrekking"]
    assert (talking.happened(asked)[-1], dead(ledger)) == (STOPPED, [])


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_a_dead_letter_that_was_recalled_is_never_offered_again(
    ledger: SqlLedger, *, seen: bool, released: bool
) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()
    if seen:
        conclude(ledger, State.GESTRAND)
    else:
        strand(talking, asked)
    talking.tick()
    (letter,) = ids_of(dead(ledger))
    if released:
        ledger.release([letter], by="ada", why="proef", at=NOON)

    talking.recall(asked)

    assert (dead(ledger), replay(talking, letter)) == ([], [])
    assert ledger.discard([letter], by="ada", why="proef", at=NOON) == []
    (kept,) = ledger.dead_letters(DeadLetterFilter(ids=(letter,), resolved=True))
    assert (kept.resolved, kept.resolved_why) == ("ingetrokken", "ingetrokken door de afzender")
    assert talking.happened(asked)[-1] == (STOPPED if seen else NEVER)
    assert talking.content_is_there(asked) is seen
    talking.tick()
    assert [each.kind.name for each in lend(ledger)] == (["Intrekking"] if seen else [])
    assert "Vervallen" not in talking.kinds_for(SHV)
    assert ledger.audit() == []


def test_the_broker_cannot_make_a_dead_letter_of_what_was_withdrawn(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    talking.recall(asked)

    strand(talking, asked)

    assert dead(ledger) == []
    assert talking.delivery(asked).state == State.VERWORPEN


# --- the end --------------------------------------------------------------------------------


def test_the_kinds_that_end_a_conversation_are_those_of_the_table() -> None:
    rows = table.read().moves()

    assert {soort for row in rows if row.naar == BEEINDIGD for soort in row.soort} == ENDING


def test_the_end_takes_back_the_reminders_that_nobody_has(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    talking.ask()
    talking.later(days=10)
    assert "Herinnering" in talking.kinds_for(SE)

    talking.end()

    assert talking.kinds_for(SE) == ["Saldoverzoek", "RegelingBeeindigd"]
    assert ledger.audit() == []


def test_the_end_leaves_what_was_collected_and_other_conversations_alone(
    ledger: SqlLedger,
) -> None:
    talking, other = Talking(ledger), Talking(ledger)
    talking.ask()
    talking.later(days=10)
    ledger.collect(SE, [each.id for _, each in ledger.postbus(SE, limit=9)], talking.now)
    other.ask()
    other.later(days=10)

    talking.end()

    assert talking.kinds_for(SE).count("Herinnering") == 2


def test_a_reminder_that_is_retried_is_not_sent_after_the_end(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    talking.ask()
    conclude(ledger, State.BEVESTIGD)
    talking.later(hours=1)
    talking.later(days=10)
    conclude(ledger, State.WACHT, at=talking.now)

    talking.end()

    due = lend(ledger, at=talking.now + DAY)
    assert [each.kind.name for each in due] == ["RegelingBeeindigd"]


def test_a_dead_reminder_is_buried_by_the_end(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    talking.ask()
    conclude(ledger, State.BEVESTIGD)
    talking.later(hours=1)
    talking.later(days=10)
    conclude(ledger, State.GESTRAND, at=talking.now)
    (letter,) = ids_of(dead(ledger))

    talking.end()

    assert replay(talking, letter) == []
    (kept,) = ledger.dead_letters(DeadLetterFilter(ids=(letter,), resolved=True))
    assert kept.resolved_why == "het gesprek is beëindigd"
    assert ledger.audit() == []


def test_nothing_is_replayed_into_a_conversation_that_ended(ledger: SqlLedger) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    talking.ask()
    conclude(ledger, State.GESTRAND)
    (letter,) = dead(ledger)
    assert not letter.ended
    talking.later(days=1)
    talking.end()

    (now,) = dead(ledger)
    assert (now.id, now.ended) == (letter.id, True)
    assert replay(talking, letter.id) == []
    assert ledger.discard([letter.id], by="ada", why="proef", at=talking.now) == [letter.id]


def test_what_ended_a_conversation_may_be_replayed_and_so_may_what_came_after(
    ledger: SqlLedger,
) -> None:
    talking = Talking(ledger, TO_BY_PUSH)
    asked = talking.ask()
    conclude(ledger, State.BEVESTIGD)
    talking.later(days=1)
    talking.end()
    talking.now += DAY
    talking.recall(asked)
    conclude(ledger, State.GESTRAND, at=talking.now)

    letters = dead(ledger)

    assert {each.kind.name for each in letters if each.kind} == {"RegelingBeeindigd", "Intrekking"}
    assert sorted(replay(talking, *ids_of(letters))) == sorted(ids_of(letters))


def test_a_message_after_the_end_is_refused_and_nothing_of_it_is_kept(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    talking.ask()
    talking.end()

    refusal = talking.refused("Navraag", SE, SHV)

    assert refusal.code is Code.GESPREK_BEEINDIGD
    assert "Navraag" not in talking.kinds_for(SHV)


# --- never taken ----------------------------------------------------------------------------


def sweep(talking: Talking) -> int:
    swept = talking.ledger.sweep(TERMS, {}, rules=talking.rules, now=talking.now, limit=100)
    return sum(count for (what, _), count in swept.counts.items() if what == "onbezorgd")


@pytest.mark.parametrize(
    ("channels", "reden"),
    [({}, "NIET_OPGEHAALD"), (TO_BY_PUSH, "NIET_AFLEVERBAAR")],
    ids=["postbus", "push"],
)
def test_what_nobody_ever_took_goes_and_its_sender_is_told(
    ledger: SqlLedger, channels: dict[Oin, Channel], reden: str
) -> None:
    talking = Talking(ledger, channels)
    asked = talking.ask()
    talking.now += 366 * DAY

    assert sweep(talking) == 1

    (told,) = [each for each in talking.in_postbus(SHV) if each["soort"] == "Vervallen"]
    assert (told["reden"], told["bericht"]["referentienummer"]) == (reden, asked)
    assert (talking.stand().staat, talking.content_is_there(asked)) == ("NIEUW", False)
    talking.tick()
    assert talking.kinds_for(SHV).count("Vervallen") == 1
    assert (sweep(talking), dead(ledger)) == (0, [])
    assert [each.resolved for each in talking.letters(asked)] == ["verworpen"]
    assert ledger.audit() == []


def test_an_answer_that_nobody_ever_took_reopens_its_question(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.confirm(SE, [talking.id_of(asked)], NOON)
    talking.answer(asked)
    talking.now += 366 * DAY

    sweep(talking)

    vraag = talking.stand().vraag(asked)
    assert vraag is not None
    assert vraag.status is Status.OPEN
    assert "Vervallen" in talking.kinds_for(SE)


def test_what_was_taken_and_never_confirmed_goes_but_its_step_stands(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    asked = talking.ask()
    ledger.collect(SE, [talking.id_of(asked)], NOON)
    talking.now += 366 * DAY

    assert sweep(talking) == 1

    assert (talking.stand().staat, talking.content_is_there(asked)) == ("SALDO_GEVRAAGD", False)
    talking.tick()
    assert "Vervallen" not in talking.kinds_for(SHV)
    assert ledger.audit() == []


def test_the_end_is_found_and_told_once_by_two_sweepers(ledger: SqlLedger) -> None:
    talking = Talking(ledger)
    for _ in range(3):
        Talking(ledger).ask()
    asked = talking.ask()
    talking.now += 366 * DAY

    assert [sweep(talking), sweep(talking)] == [4, 0]
    assert len(talking.letters(asked)) == 1
