"""Whom messages are about can have them shown, erased and only stored, and each leaves proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from fixtures.rules import courses
from gateway.adapters.blind_index import BlindIndex
from gateway.adapters.evidence_package import package
from gateway.adapters.ledger.asked import Asked, Ground, Insight, Stays, What
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.tables import (
    attachment,
    conversation,
    evidence,
    message,
    metadata,
    person_request,
    restriction,
)
from gateway.adapters.published_keys import verifier
from gateway.delivery import State
from gateway.errors import Code
from gateway.exhibits import judge
from gateway.message import Channel, Door, Oin, Receipt, Submission, canonical_form
from gateway.record import Confirmed, RefusalEntry
from gateway.replies import receipt
from gateway.routing import stand
from tests.conformance.delivering import conclude, dead, garbage, lend, rows, state_of, stranding
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
from tests.conformance.test_ledger_plans import listening, whole_tables_read
from tests.conformance.test_ledger_retention import CONTENT_GOES, METADATA_GOES, TERMS, swept
from tests.conformance.test_ledger_sealing import INHOUD

ANNA, BERT = "999990007", "999990019"
DAY = timedelta(days=1)
MONTHS_LATER = NOON + 90 * DAY


def about(number: int, *persons: str, about_: int | None = None, **changes: Any) -> Submission:
    """A message in which these numbers stand, in a conversation of its own or another."""
    content = {"stuurgegevens": {"grondslag": "WGS_ART_8"}, "bsns": persons}
    made = a_submission(
        number,
        conversatie=a_uuid("about", number if about_ is None else about_),
        canonical=json.dumps({"kennisgeving": content}).encode(),
        **changes,
    )
    return replace(made, persons=frozenset(persons))


def with_attachment(number: int, *persons: str) -> Submission:
    bijlagen = {"bijlagen": [{"inhoud": INHOUD}]}
    body = json.dumps({"kennisgeving": {"bsns": persons, "stuurgegevens": bijlagen}}).encode()
    changes = {"body": body, "canonical": body, "stuurgegevens": bijlagen}
    made = a_submission(number, conversatie=a_uuid("about", number), **changes)
    return replace(made, persons=frozenset(persons))


def asking(
    ledger: SqlLedger,
    what: What,
    *,
    bsn: str = ANNA,
    at: datetime = NOON,
    controller: Oin | None = None,
) -> Asked:
    number = len(rows(ledger, sa.select(person_request)))
    return Asked(
        kenmerk=a_uuid("kenmerk", number),
        what=what,
        requester="functionaris gegevensbescherming",
        by="ada",
        controller=controller,
        why="verzoek 12",
        at=at,
        marks=tuple(ledger._keyring.index.marks(bsn)),
    )


def shown(ledger: SqlLedger, **how: Any) -> Insight:
    return ledger.show_person(asking(ledger, What.SHOW, **how))


def numbers_shown(ledger: SqlLedger, **how: Any) -> set[str]:
    return {each.referentienummer for each in shown(ledger, **how).messages}


def reference(*numbers: int) -> set[str]:
    return {a_uuid("message", number) for number in numbers}


def confirmed(ledger: SqlLedger, *submissions: Submission) -> None:
    ledger.record(list(submissions), admitting(Channel.POSTBUS), NOON)
    for each in submissions:
        ledger.confirm(each.message.header.ontvanger, [each.delivery_id], NOON)


def stands(ledger: SqlLedger, staat: str, *of: int) -> None:
    """Have the rules say so of these conversations, or of all."""
    which = [a_uuid("about", number) for number in of]
    with ledger._database.writing() as connection:
        connection.execute(
            sa.update(conversation)
            .where(conversation.c.conversatie.in_(which) if of else sa.true())
            .values(
                stand=stand.as_text(stand.Stand(staat=staat)),
                ended_at=NOON if staat == stand.BEEINDIGD else None,
                kern=b"verzegeld",
            )
        )


def goes_on(ledger: SqlLedger, *of: int) -> None:
    stands(ledger, "SALDO_GEVRAAGD", *of)


def ended(ledger: SqlLedger, *of: int) -> None:
    stands(ledger, stand.BEEINDIGD, *of)


def erased(ledger: SqlLedger, **how: Any) -> set[str]:
    running = how.pop("running", False)
    done = ledger.erase_person(asking(ledger, What.ERASE, **how), running=running)
    return {each.referentienummer for each in done.erased}


def restricted(ledger: SqlLedger, **how: Any) -> tuple[str, ...]:
    return ledger.restrict_person(asking(ledger, What.RESTRICT, **how), Ground.BEZWAAR).changed


def lifted(ledger: SqlLedger, **how: Any) -> tuple[str, ...]:
    return ledger.lift_restriction(asking(ledger, What.LIFT, **how)).changed


def content_left(ledger: SqlLedger) -> set[str]:
    there = sa.select(message.c.referentienummer).where(message.c.wrapped_key.is_not(None))
    return {row.referentienummer for row in rows(ledger, there)}


def entries(ledger: SqlLedger, soort: str) -> list[dict[str, Any]]:
    query = sa.select(evidence.c.entry).where(evidence.c.soort == soort)
    return [json.loads(row.entry) for row in rows(ledger, query) if row.entry]


def everything_in(ledger: SqlLedger) -> str:
    """Every value of every table, as text and as it would read in UTF-8."""
    said = []
    for table in metadata.sorted_tables:
        for row in rows(ledger, sa.select(table)):
            for value in row:
                raw = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                said.append(raw)
    return "\n".join(said)


def test_it_is_shown_what_went_to_whom_when_and_why(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA, namens=STRANGER), about(2, BERT))
    answer = a_submission(
        3, conversatie=a_uuid("about", 1), afzender=MUNICIPALITY, ontvanger=CREDITOR
    )
    ledger.record([answer], admitting(), NOON)
    ledger.strand([stranding_of(answer)])
    goes_on(ledger, 1)

    first, second = shown(ledger).messages

    assert (first.afzender, first.ontvanger, first.namens) == (CREDITOR, MUNICIPALITY, STRANGER)
    assert (first.kind.name, first.grondslag) == ("Kennisgeving", "WGS_ART_8")
    assert (first.received_at, first.finished, first.runs) == (NOON, NOON, True)
    assert first.deliveries[0]["bevestigdOp"] == "2026-03-02T12:00:00.250Z"
    assert (second.referentienummer, second.finished) == (a_uuid("message", 3), None)
    assert second.deliveries[0]["gestrand"][0]["reden"] == "geweigerd"


def stranding_of(submission: Submission) -> Any:
    return replace(stranding(), delivery_id=submission.delivery_id)


def test_attempts_dead_letters_and_refusals_under_its_number_are_shown(ledger: SqlLedger) -> None:
    ledger.record([about(1, ANNA)], admitting(), NOON)
    conclude(ledger, State.GESTRAND)
    number = a_uuid("message", 1)
    ledger.refuse(
        [
            RefusalEntry(NOON, Door.REST_XML, Code.BERICHT_CONFLICT, CREDITOR, number),
            RefusalEntry(NOON, Door.REST_XML, Code.GEEN_RECHT, STRANGER, number),
            RefusalEntry(NOON, Door.REST_XML, Code.GEEN_RECHT, CREDITOR, a_uuid("message", 9)),
        ]
    )

    found = shown(ledger)

    (told,) = found.messages[0].deliveries
    assert [each["antwoord"] for each in told["pogingen"]] == ["geweigerd"]
    assert [(each.code, each.count) for each in found.refusals] == [("BERICHT_CONFLICT", 1)]


def test_only_the_messages_of_the_controller_that_was_asked_for_are_shown(
    ledger: SqlLedger,
) -> None:
    answer = a_submission(
        2, conversatie=a_uuid("about", 1), afzender=MUNICIPALITY, ontvanger=CREDITOR
    )
    spoken_for = about(3, ANNA, afzender=STRANGER, namens=CREDITOR)
    ledger.record([about(1, ANNA), answer, spoken_for], admitting(), NOON)

    assert numbers_shown(ledger) == reference(1, 2, 3)
    assert numbers_shown(ledger, controller=CREDITOR) == reference(1, 3)
    assert numbers_shown(ledger, controller=MUNICIPALITY) == reference(2)
    assert numbers_shown(ledger, controller=Oin("00000099000000009999")) == set()


def test_during_a_change_of_keys_both_marks_are_found(ledger: SqlLedger) -> None:
    index = BlindIndex({1: b"i" * 32, 2: b"j" * 32})
    ledger._keyring = replace(a_keyring(), index=index)
    index.use(1)
    ledger.record([about(1, ANNA)], admitting(), NOON)
    shown(ledger)
    index.use(2)
    ledger.record([about(2, ANNA)], admitting(), NOON)

    found = shown(ledger)

    assert {each.referentienummer for each in found.messages} == reference(1, 2)
    assert [each.what for each in found.before] == ["inzage", "inzage"]
    assert not any(each.others for each in found.messages)


def test_it_is_told_that_a_message_is_about_somebody_else_too(ledger: SqlLedger) -> None:
    ledger.record([about(1, ANNA, BERT), about(2, ANNA)], admitting(), NOON)

    found = {each.referentienummer: each.others for each in shown(ledger).messages}

    assert found == {a_uuid("message", 1): True, a_uuid("message", 2): False}


def test_content_is_given_whole_with_its_attachments(ledger: SqlLedger) -> None:
    sent = with_attachment(1, ANNA)
    ledger.record([sent], admitting(), NOON)
    (found,) = shown(ledger).messages

    assert found.attachments == 1
    assert ledger.content_of(found.id) == sent.canonical


def test_every_request_is_recorded_and_signed_also_where_nobody_is_found(
    ledger: SqlLedger,
) -> None:
    shown(ledger, bsn=BERT, controller=CREDITOR)
    mark = ledger._keyring.index.mark(BERT)

    (told,) = entries(ledger, "betrokkene")

    assert told == {
        "soort": "betrokkene",
        "verzoek": "inzage",
        "kenmerk": a_uuid("kenmerk", 0),
        "op": "2026-03-02T12:00:00.250Z",
        "verzoeker": "functionaris gegevensbescherming",
        "door": "ada",
        "verantwoordelijke": CREDITOR,
        "reden": "verzoek 12",
        "merk": f"1:{mark.value.hex()}",
        "aantallen": {"gesprekken": 0, "berichten": 0, "weigeringen": 0},
    }
    before = shown(ledger, bsn=BERT, at=NOON + DAY).before
    assert [(each.what, each.controller) for each in before] == [
        ("inzage", CREDITOR),
        ("inzage", None),
    ]
    assert shown(ledger).before[:-1] == ()  # nothing of somebody else
    assert ledger.audit() == []


def test_content_is_erased_with_all_that_proves_it_and_that_it_went_is_signed(
    ledger: SqlLedger,
) -> None:
    sent = with_attachment(1, ANNA)
    confirmed(ledger, sent, about(2, BERT))
    shown(ledger)

    assert erased(ledger, running=True) == reference(1)

    assert content_left(ledger) == reference(2)
    left = rows(ledger, sa.select(message).where(message.c.erased_at.is_not(None)))[0]
    assert (left.original, left.original_sha256, left.erased_at) == (None, None, NOON)
    assert rows(ledger, sa.select(attachment)) == []
    kept = sa.select(evidence.c.soort, evidence.c.entry).where(evidence.c.message == left.id)
    assert {row.soort for row in rows(ledger, kept) if row.entry} == {"gewist"}
    (told,) = entries(ledger, "gewist")
    assert (told["referentienummer"], told["grond"]) == (a_uuid("message", 1), "verzoek")
    assert told["verzoek"] == entries(ledger, "betrokkene")[-1]["kenmerk"]
    assert ledger.audit() == []
    found = ledger.dossier(None, a_uuid("message", 1))
    assert found is not None
    assert [each.soort for each in found.happenings] == ["gewist"]


def test_the_package_of_what_was_erased_on_request_proves_that_it_was(ledger: SqlLedger) -> None:
    sent, keyring = about(1, ANNA), ledger._keyring
    told = receipt(sent, channel=Channel.POSTBUS, gateway=keyring.signing.oin, at=NOON)
    ledger.record([sent], admitting(Channel.POSTBUS, receipt=canonical_form(told)), NOON)
    ledger.confirm(MUNICIPALITY, [sent.delivery_id], NOON)
    erased(ledger)

    found = ledger.dossier(None, a_uuid("message", 1))
    assert found is not None
    keys = keyring.signing.published()
    judged = judge("pakket", package(found, None, keys), verifier(keys))

    assert (judged.flaws, len(judged.remarks)) == ([], 1)
    assert [each.split()[0] for each in judged.proven] == ["gewist"]


def test_a_repeat_of_what_was_erased_is_not_taken_in_again(ledger: SqlLedger) -> None:
    sent = about(1, ANNA)
    confirmed(ledger, sent)
    erased(ledger, running=True)

    (again,) = ledger.record([sent], admitting(), NOON)

    assert again.repeated  # type: ignore[union-attr]
    assert content_left(ledger) == set()


def test_a_trial_tells_the_same_and_erases_nothing(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA), about(2, ANNA))
    ended(ledger)
    asked = asking(ledger, What.TRY_TO_ERASE)

    trial = ledger.erase_person(asked)

    assert content_left(ledger) == reference(1, 2)
    assert entries(ledger, "gewist") == []
    assert [each["verzoek"] for each in entries(ledger, "betrokkene")] == ["wissing-proef"]
    done = ledger.erase_person(asking(ledger, What.ERASE))
    assert {each.id for each in trial.erased} == {each.id for each in done.erased}
    assert trial.unmarked == done.unmarked == 2


def test_what_is_not_delivered_stays_and_says_so(ledger: SqlLedger) -> None:
    ledger.record([about(1, ANNA)], admitting(), NOON)  # waits
    ledger.record([about(2, ANNA)], admitting(Channel.POSTBUS), NOON)  # lies ready
    ledger.record([about(3, ANNA)], admitting(), NOON)
    ledger.strand([stranding(3), garbage()])
    ended(ledger)

    done = ledger.erase_person(asking(ledger, What.ERASE), running=True)

    assert done.erased == ()
    assert [why for _, why in done.stays] == [Stays.UNDELIVERED] * 3
    assert len(lend(ledger)) == 1
    assert len(dead(ledger)) == 2
    given_up = [each.id for each in dead(ledger) if each.delivery_id]
    ledger.discard(given_up, by="ada", why="proef", at=NOON)
    assert erased(ledger) == reference(3)


def test_a_conversation_that_goes_on_is_left_alone_unless_it_is_asked_for(
    ledger: SqlLedger,
) -> None:
    confirmed(ledger, about(1, ANNA), about(2, ANNA))
    goes_on(ledger, 1)
    ended(ledger, 2)

    done = ledger.erase_person(asking(ledger, What.ERASE))

    assert {each.referentienummer for each in done.erased} == reference(2)
    assert [(each.referentienummer, why) for each, why in done.stays] == [
        (a_uuid("message", 1), Stays.RUNS)
    ]
    assert erased(ledger, running=True) == reference(1)


def test_nobody_is_found_by_a_conversation_of_which_nothing_is_left(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA, BERT), about(2, ANNA), about(3, ANNA))
    answer = a_submission(
        4, conversatie=a_uuid("about", 2), afzender=MUNICIPALITY, ontvanger=CREDITOR
    )
    confirmed(ledger, answer)
    ended(ledger, 1, 2)
    goes_on(ledger, 3)

    first = ledger.erase_person(asking(ledger, What.ERASE, controller=CREDITOR))

    assert first.unmarked == 1
    assert numbers_shown(ledger) == reference(2, 3, 4)  # 2 still has an answer, 3 goes on
    assert numbers_shown(ledger, bsn=BERT) == reference(1)
    assert erased(ledger) == reference(4)
    assert numbers_shown(ledger) == reference(3)
    kept = sa.select(conversation.c.conversatie).where(conversation.c.kern.is_not(None))
    assert [row.conversatie for row in rows(ledger, kept)] == [a_uuid("about", 3)]
    assert [each.what for each in shown(ledger).before].count("wissing") == 2


def test_a_person_stays_found_in_what_goes_on_or_is_only_stored(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA), about(2, ANNA, ontvanger=STRANGER))
    goes_on(ledger, 1)
    ended(ledger, 2)
    swept(ledger, CONTENT_GOES)
    restricted(ledger, controller=STRANGER)

    assert ledger.erase_person(asking(ledger, What.ERASE), running=True).unmarked == 0
    assert numbers_shown(ledger) == reference(1, 2)


def test_what_is_erased_for_one_controller_stays_for_another(ledger: SqlLedger) -> None:
    answer = a_submission(
        2, conversatie=a_uuid("about", 1), afzender=MUNICIPALITY, ontvanger=CREDITOR
    )
    confirmed(ledger, about(1, ANNA), answer)

    assert erased(ledger, controller=MUNICIPALITY, running=True) == reference(2)

    assert content_left(ledger) == reference(1)


def test_proof_of_an_erasure_outlives_the_term_of_its_message(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA), about(2, BERT))
    erased(ledger, running=True, at=MONTHS_LATER)
    ledger.sweep(TERMS, {}, rules=courses(), now=MONTHS_LATER, limit=9)

    ledger.forget(TERMS, {}, now=METADATA_GOES, limit=9)
    assert [row.referentienummer for row in rows(ledger, sa.select(message))] == [
        a_uuid("message", 1)
    ]
    ledger.forget(TERMS, {}, now=METADATA_GOES + 90 * DAY, limit=9)
    assert rows(ledger, sa.select(message)) == []


def test_nothing_of_what_is_only_stored_is_lent_listed_or_fetched(ledger: SqlLedger) -> None:
    lying, sent = about(1, ANNA), about(2, ANNA)
    other = about(3, BERT)
    ledger.record([lying], admitting(Channel.POSTBUS), NOON)
    ledger.record([sent, other], admitting(), NOON)

    done = ledger.restrict_person(asking(ledger, What.RESTRICT), Ground.JUISTHEID_BETWIST)

    assert set(done.changed) == {a_uuid("about", 1), a_uuid("about", 2)}
    assert done.held_back == 2
    assert [each.referentienummer for each in lend(ledger)] == [a_uuid("message", 3)]
    assert ledger.postbus(MUNICIPALITY, limit=9) == []
    assert ledger.postbus(MUNICIPALITY, limit=9, budget=None) == []
    assert ledger.postbus_item(MUNICIPALITY, lying.delivery_id) is None
    assert ledger.original(MUNICIPALITY, lying.delivery_id) is None
    for party in (CREDITOR, MUNICIPALITY):
        found = ledger.dossier(party, a_uuid("message", 1))
        assert found is not None
        assert (found.original, found.canonical) == (None, None)
    operator = ledger.dossier(None, a_uuid("message", 1))
    assert operator is not None
    assert operator.canonical == lying.canonical


def test_what_was_held_back_goes_on_once_the_restriction_ends(ledger: SqlLedger) -> None:
    ledger.record([about(1, ANNA)], admitting(), NOON)
    ledger.record([about(2, ANNA)], admitting(Channel.POSTBUS), NOON)
    restricted(ledger)

    assert set(lifted(ledger, at=NOON + DAY)) == {a_uuid("about", 1), a_uuid("about", 2)}

    assert len(lend(ledger)) == 1
    assert len(ledger.postbus(MUNICIPALITY, limit=9)) == 1


def test_what_comes_in_meanwhile_is_kept_and_waits(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA))
    restricted(ledger)
    after = about(2, about_=1)

    ledger.record([after], admitting(Channel.POSTBUS), NOON)
    urgent = about(3, about_=1)
    (kept,) = ledger.record([urgent], admitting(overtakes=True), NOON, lambda *_: NOON + DAY)

    assert isinstance(kept, Receipt)
    assert kept.lent == ()
    assert ledger.postbus(MUNICIPALITY, limit=9) == []
    assert lend(ledger) == []
    assert numbers_shown(ledger) == reference(1, 2, 3)
    lifted(ledger, at=NOON + DAY)
    assert [each.id for _, each in ledger.postbus(MUNICIPALITY, limit=9)] == [after.delivery_id]


def test_who_had_it_before_can_still_confirm(ledger: SqlLedger) -> None:
    sent = about(1, ANNA)
    ledger.record([sent], admitting(Channel.POSTBUS), NOON)
    ledger.postbus(MUNICIPALITY, limit=9)
    restricted(ledger)

    outcome = ledger.confirm(MUNICIPALITY, [sent.delivery_id], NOON)

    assert outcome == {sent.delivery_id: Confirmed.NOW}


def test_what_is_only_stored_is_neither_erased_nor_given_up_nor_forgotten(
    ledger: SqlLedger,
) -> None:
    confirmed(ledger, about(1, ANNA))
    ledger.record([about(2, ANNA)], admitting(), NOON)
    restricted(ledger)
    years = METADATA_GOES + 3_000 * DAY

    assert swept(ledger, CONTENT_GOES) == {}
    assert swept(ledger, years) == {}
    assert erased(ledger, running=True) == set()
    assert content_left(ledger) == reference(1, 2)
    assert state_of(ledger, 2) is State.WACHT
    lifted(ledger, at=NOON + DAY)
    assert swept(ledger, CONTENT_GOES) == {"inhoud": 1}


def test_what_was_erased_before_a_restriction_is_not_forgotten_during_it(
    ledger: SqlLedger,
) -> None:
    confirmed(ledger, about(1, ANNA))
    swept(ledger, CONTENT_GOES)
    restricted(ledger)

    assert ledger.forget(TERMS, {}, now=METADATA_GOES, limit=9).counts.total() == 0
    lifted(ledger, at=NOON + DAY)
    assert ledger.forget(TERMS, {}, now=METADATA_GOES, limit=9).counts.total() == 1
    assert (rows(ledger, sa.select(restriction)), rows(ledger, sa.select(conversation))) == ([], [])


def test_a_restriction_is_shown_and_an_erasure_says_why_it_did_nothing(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA))
    restricted(ledger)

    assert [each.only_stored for each in shown(ledger).messages] == [NOON]
    done = ledger.erase_person(asking(ledger, What.ERASE), running=True)
    assert [why for _, why in done.stays] == [Stays.ONLY_STORED]


def test_setting_or_lifting_twice_changes_nothing_the_second_time(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA))

    assert restricted(ledger) == (a_uuid("about", 1),)
    assert restricted(ledger, at=NOON + DAY) == ()
    assert lifted(ledger, at=NOON + 2 * DAY) == (a_uuid("about", 1),)
    assert lifted(ledger, at=NOON + 3 * DAY) == ()
    assert restricted(ledger, at=NOON + 4 * DAY) == (a_uuid("about", 1),)
    assert len(rows(ledger, sa.select(restriction))) == 2
    said = [
        (each["verzoek"], each["aantallen"]["gesprekken"]) for each in entries(ledger, "betrokkene")
    ]
    assert said == [
        ("beperking", 1),
        ("beperking", 0),
        ("opheffing", 1),
        ("opheffing", 0),
        ("beperking", 1),
    ]
    assert ledger.audit() == []


def test_a_restriction_of_one_controller_covers_the_conversations_it_takes_part_in(
    ledger: SqlLedger,
) -> None:
    here, elsewhere = about(1, ANNA), about(2, ANNA, ontvanger=STRANGER)
    ledger.record([here, elsewhere], admitting(), NOON)

    assert restricted(ledger, controller=MUNICIPALITY) == (a_uuid("about", 1),)
    assert restricted(ledger, controller=CREDITOR, at=NOON + DAY) == (a_uuid("about", 2),)


def test_the_number_stands_nowhere_in_the_ledger(ledger: SqlLedger) -> None:
    confirmed(ledger, about(1, ANNA))
    shown(ledger)
    restricted(ledger)
    lifted(ledger, at=NOON + DAY)
    erased(ledger, running=True)

    assert ANNA not in everything_in(ledger)


ACTS: dict[str, Callable[[SqlLedger], Any]] = {
    "show": shown,
    "erase": lambda ledger: erased(ledger, running=True),
    "restrict": restricted,
    "lift": lambda ledger: lifted(ledger, at=NOON + DAY),
}


@pytest.mark.parametrize("act", ACTS)
def test_no_request_reads_the_messages_of_others(ledger: SqlLedger, act: str) -> None:
    ledger.record([about(n, ANNA) for n in range(1, 4)], admitting(Channel.POSTBUS), NOON)
    ledger.record(strangers_to_each_other(300, first=100), admitting(), NOON)
    with ledger._database.writing() as connection:
        connection.execute(sa.text("ANALYZE"))

    with listening(ledger) as asked:
        ACTS[act](ledger)

    assert len(asked) > 2
    assert whole_tables_read(ledger, asked) == []


def test_what_was_erased_is_not_in_the_file_any_more(tmp_path: Path, migrated_file: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(migrated_file.read_bytes())
    ledger = open_ledger(f"sqlite:///{file}", a_keyring())
    confirmed(ledger, *(about(number, ANNA) for number in range(1, 20)))
    sealed = [
        each
        for row in rows(ledger, sa.select(message.c.wrapped_key, message.c.original))
        for each in row
    ]
    erased(ledger, running=True)
    ledger.close()

    left = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert not [each for each in sealed if each[:24] in left]
