"""Who is named in a message is found by keyed hash, under the old index key and the new."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from gateway.adapters.blind_index import BlindIndex
from gateway.adapters.ledger.asked import What
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import message, person
from gateway.message import Kind, Submission
from tests.conformance.delivering import rows
from tests.conformance.submissions import NOON, a_submission, a_uuid, admitting
from tests.conformance.test_ledger_betrokkene import asking, confirmed, ended

ANNA, BERT = "999990007", "999990019"
OLD, NEW = b"i" * 32, b"j" * 32


@pytest.fixture
def changing(ledger: SqlLedger) -> SqlLedger:
    """A ledger with two index keys, of which the first marks."""
    return with_two_keys(ledger)


def with_two_keys(ledger: SqlLedger) -> SqlLedger:
    index = BlindIndex({1: OLD, 2: NEW})
    index.use(1)
    ledger._keyring = replace(a_keyring(), index=index)
    return ledger


def about(number: int, *persons: str) -> Submission:
    canonical = json.dumps({"kennisgeving": {"bsns": persons}}).encode()
    made = a_submission(number, conversatie=a_uuid("about", number), canonical=canonical)
    return replace(made, persons=frozenset(persons))


def found(ledger: SqlLedger, bsn: str) -> set[str]:
    return {each.conversatie for each in ledger.find_person(ledger._keyring.index.marks(bsn))}


def numbers_in(_kind: Kind, canonical: bytes) -> frozenset[str]:
    return frozenset(json.loads(canonical)["kennisgeving"]["bsns"])


def test_the_conversations_about_a_person_are_found_and_no_others(ledger: SqlLedger) -> None:
    ledger.record([about(1, ANNA), about(2, ANNA, BERT), about(3)], admitting(), NOON)

    assert found(ledger, ANNA) == {a_uuid("about", 1), a_uuid("about", 2)}
    assert found(ledger, BERT) == {a_uuid("about", 2)}
    assert found(ledger, "999990020") == set()
    assert ledger.find_person([]) == []


def test_no_number_lies_in_the_table_as_it_is(ledger: SqlLedger) -> None:
    ledger.record([about(1, ANNA)], admitting(), NOON)

    assert all(ANNA.encode() not in row.mark for row in rows(ledger, sa.select(person)))


def test_during_a_change_what_was_marked_by_either_key_is_found(changing: SqlLedger) -> None:
    changing.record([about(1, ANNA)], admitting(), NOON)
    changing._keyring.index.use(2)
    changing.record([about(2, ANNA)], admitting(), NOON)

    assert found(changing, ANNA) == {a_uuid("about", 1), a_uuid("about", 2)}


def test_after_a_change_the_new_key_finds_all(changing: SqlLedger) -> None:
    changing.record([about(1, ANNA), about(2, ANNA, BERT)], admitting(), NOON)

    step = changing.mark_again(0, numbers_in, to=2)

    assert (step.changed, step.left) == (3, 0)
    assert {row.version for row in rows(changing, sa.select(person))} == {2}
    changing._keyring = replace(a_keyring(), index=BlindIndex({2: NEW}))
    assert found(changing, ANNA) == {a_uuid("about", 1), a_uuid("about", 2)}
    assert found(changing, BERT) == {a_uuid("about", 2)}


def test_attachments_that_lie_apart_are_not_needed_to_mark_again(changing: SqlLedger) -> None:
    bijlagen = {"bijlagen": [{"inhoud": "eenbijlagevanenigelengte"}]}
    canonical = json.dumps({"kennisgeving": {"bsns": [ANNA], "stuurgegevens": bijlagen}}).encode()
    made = a_submission(1, canonical=canonical, body=canonical, stuurgegevens=bijlagen)
    changing.record([replace(made, persons=frozenset({ANNA}))], admitting(), NOON)

    assert changing.mark_again(0, numbers_in, to=2).changed == 1


def test_a_mark_whose_content_was_erased_stays_under_its_key(changing: SqlLedger) -> None:
    changing.record([about(1, ANNA)], admitting(), NOON)
    with changing._database.writing() as connection:
        connection.execute(sa.update(message).values(wrapped_key=None, canonical=None))

    step = changing.mark_again(0, numbers_in, to=2)

    assert (step.changed, step.left) == (0, 1)
    assert found(changing, ANNA) == {a_uuid("about", 1)}


def test_who_is_erased_during_a_change_is_not_marked_again(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = (with_two_keys(each) for each in two_ledgers)
    confirmed(one, about(1, ANNA, BERT))
    ended(one)
    unmarked = []

    def erased_meanwhile(kind: Kind, canonical: bytes) -> frozenset[str]:
        asked = asking(other, What.ERASE, bsn=ANNA)
        unmarked.append(other.erase_person(asked).unmarked)
        return numbers_in(kind, canonical)

    step = one.mark_again(0, erased_meanwhile, to=2)

    assert unmarked == [1]
    assert (step.changed, step.left) == (1, 0)
    assert found(one, ANNA) == set()
    assert found(one, BERT) == {a_uuid("about", 1)}
    assert {row.version for row in rows(one, sa.select(person))} == {2}
