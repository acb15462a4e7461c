"""Every ledger keeps dead letters as one thing, and lets operators do three things with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.adapters.ledger import tables
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter, Stranding
from gateway.delivery import Reason, State
from gateway.message import Channel, Kind
from tests.conformance.delivering import (
    conclude,
    dead,
    garbage,
    ids_of,
    lend,
    rows,
    state_of,
    stranding,
    told,
)
from tests.conformance.submissions import (
    CREDITOR,
    KENNISGEVING,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
    many,
    strangers_to_each_other,
)

LATER = NOON + timedelta(minutes=1)
ADA: dict[str, Any] = {"by": "ada", "why": "eindpunt hersteld", "at": LATER}


def test_what_a_subscriber_rejected_is_a_dead_letter(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    conclude(ledger, State.AANGEBODEN)

    ledger.strand([stranding(at=LATER)])

    (letter,) = dead(ledger)
    assert (letter.delivery_id, letter.attempts) == (a_submission(1).delivery_id, 1)
    assert (letter.reason, letter.note) == (Reason.GEWEIGERD, "SCHEMA_ONGELDIG")
    assert (letter.afzender, letter.ontvanger) == (CREDITOR, MUNICIPALITY)
    assert (letter.kind, letter.channel) == (KENNISGEVING, Channel.QUEUE)
    assert letter.referentienummer == a_uuid("message", 1)
    assert letter.conversatie == a_uuid("conversation", 1)
    assert letter.stranded_at == LATER
    assert (letter.resolved, letter.resolved_by, letter.resolved_at) == (None, None, None)
    assert state_of(ledger) is State.GESTRAND


def test_the_same_stranding_twice_is_one_dead_letter(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)

    ledger.strand([stranding(), stranding()])
    ledger.strand([stranding(at=LATER)])
    ledger.strand([])

    assert len(dead(ledger)) == 1


@pytest.mark.parametrize("turn", [1, -1], ids=["broker-first", "party-first"])
def test_the_foutbericht_of_the_recipient_says_why_whichever_comes_first(
    ledger: SqlLedger, turn: int
) -> None:
    ledger.record(strangers_to_each_other(2), admitting(), NOON)

    def told(number: int) -> list[Stranding]:
        broker = stranding(number, note="rejected")
        return [broker, stranding(number, note="ONBEKENDE_KLANT", ontvanger=MUNICIPALITY)][::turn]

    for each in told(1):
        ledger.strand([each])
    ledger.strand(told(2))

    assert [each.note for each in dead(ledger)] == ["ONBEKENDE_KLANT"] * 2


def test_nobody_explains_the_dead_letter_of_another(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    ledger.strand([stranding(note="rejected")])
    ledger.strand([stranding(note="ONBEKENDE_KLANT", ontvanger=STRANGER)])

    assert [each.note for each in dead(ledger)] == ["rejected"]


def test_what_was_confirmed_or_discarded_does_not_die(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(2), admitting(), NOON)
    lent = lend(ledger)
    ledger.conclude([told(lent[0], State.BEVESTIGD), told(lent[1], State.GESTRAND)])
    ledger.discard(ids_of(dead(ledger)), **ADA)

    ledger.strand([stranding(1), stranding(2)])

    assert dead(ledger) == []
    assert [state_of(ledger, number) for number in (1, 2)] == [State.BEVESTIGD, State.VERWORPEN]


def test_what_is_waiting_can_die_and_is_not_lent_any_more(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    ledger.strand([stranding(reason=Reason.ONBESTELBAAR)])

    assert lend(ledger) == []


def test_nobody_strands_the_delivery_of_another(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    ledger.strand([stranding(ontvanger=STRANGER)])
    before = dead(ledger)
    ledger.strand([stranding(ontvanger=MUNICIPALITY)])

    assert before == []
    assert len(dead(ledger)) == 1


@pytest.mark.parametrize("turn", [1, -1], ids=["broker-first", "stranger-first"])
def test_a_stranger_does_not_hide_what_the_broker_says(ledger: SqlLedger, turn: int) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    stranger = stranding(note="ONBEKENDE_KLANT", ontvanger=STRANGER)

    ledger.strand([stranding(note="rejected"), stranger][::turn])

    assert [each.note for each in dead(ledger)] == ["rejected"]


def test_garbage_is_kept_once_with_its_bytes(ledger: SqlLedger) -> None:
    ledger.strand([garbage(), garbage(), garbage(b"anders")])
    ledger.strand([garbage()])

    letters = dead(ledger)
    assert {ledger.garbage(each.id) for each in letters} == {b"\x00niets", b"anders"}
    kept = rows(ledger, sa.select(tables.dead_letter.c.garbage))
    assert all(b"niets" not in row.garbage and b"anders" not in row.garbage for row in kept)
    assert {each.delivery_id for each in letters} == {None}
    assert {each.kind for each in letters} == {None}
    assert {each.attempts for each in letters} == {0}


def test_what_the_broker_gives_back_under_an_unknown_id_is_kept(ledger: SqlLedger) -> None:
    ledger.strand([stranding(99)])

    (letter,) = dead(ledger)
    assert letter.delivery_id is None
    assert ledger.garbage(letter.id) == a_submission(99).delivery_id.encode()


def test_what_the_broker_gives_back_of_a_delivery_that_was_lost_here_is_kept_whole(
    ledger: SqlLedger,
) -> None:
    ledger.strand(
        [stranding(99, note="rejected", ontvanger=MUNICIPALITY, garbage=b"de laatste kopie")]
    )

    (letter,) = dead(ledger)
    assert (letter.delivery_id, letter.reason) == (None, Reason.GEWEIGERD)
    assert ledger.garbage(letter.id) == b"de laatste kopie"


def test_what_a_party_says_of_an_unknown_id_is_not_kept(ledger: SqlLedger) -> None:
    ledger.strand([stranding(99, ontvanger=MUNICIPALITY)])

    assert dead(ledger) == []


def test_dead_letters_come_newest_first_and_every_field_narrows(ledger: SqlLedger) -> None:
    vroeg = Kind("vroegsignalering", 1, "Signaal")
    ledger.record(strangers_to_each_other(2), admitting(), NOON)
    ledger.record(strangers_to_each_other(1, first=3, kind=vroeg), admitting(), NOON)
    back = strangers_to_each_other(1, first=4, afzender=MUNICIPALITY, ontvanger=STRANGER)
    ledger.record(back, admitting(), NOON)
    moments = [NOON + timedelta(hours=hours) for hours in range(5)]
    reasons = [Reason.GEWEIGERD, Reason.OPGEGEVEN, Reason.GEWEIGERD, Reason.GEWEIGERD]
    lent = sorted(lend(ledger), key=lambda each: each.canonical)
    for each, at, reason in zip(lent, moments[:4], reasons, strict=True):
        ledger.conclude([told(each, State.GESTRAND, at=at, reason=reason)])
    ledger.strand([garbage()])

    def found(**which: Any) -> list[str | None]:
        letters = ledger.dead_letters(DeadLetterFilter(**which))
        names = {each.id: each.canonical.decode()[-3] for each in lent}
        return [names.get(each.delivery_id or "") for each in letters]

    every = [each.id for each in dead(ledger)]
    assert found()[:3] == ["4", "3", "2"]
    assert sorted(map(str, found())) == ["1", "2", "3", "4", "None"]
    assert found(ids=tuple(every[:2])) == ["4", "3"]
    assert found(ontvanger=STRANGER) == ["4"]
    assert found(afzender=CREDITOR) == ["3", "2", "1"]
    assert found(module="vroegsignalering") == ["3"]
    assert found(soort="Kennisgeving", afzender=CREDITOR) == ["2", "1"]
    assert found(reason=Reason.OPGEGEVEN) == ["2"]
    assert found(since=moments[1], until=moments[3]) == ["3", "2"]
    assert found(limit=1) == ["4"]
    assert found(resolved=True) == found()


def test_dead_letters_are_counted_whatever_the_limit(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(3), admitting(), NOON)
    conclude(ledger, State.GESTRAND)
    ledger.strand([garbage()])

    counts = ledger.count_dead_letters(DeadLetterFilter(limit=1))

    assert counts == {
        (MUNICIPALITY, "Kennisgeving", "geweigerd"): 3,
        ("", "", "onleesbaar"): 1,
    }
    assert ledger.count_dead_letters(DeadLetterFilter(reason=Reason.OPGEGEVEN)) == {}
