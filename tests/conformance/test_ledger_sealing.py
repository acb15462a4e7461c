"""What is kept opens with the right keys only, and goes on opening while keys are changed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from gateway.adapters.blind_index import BlindIndex
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.keys_in_use import WRAPPED_AT_ONCE
from gateway.adapters.ledger.leasing import KEY_MISSING
from gateway.adapters.ledger.ledger import SqlLedger, ledger_in_memory, open_ledger
from gateway.adapters.ledger.tables import attachment, key, message
from gateway.adapters.vault import SealBroken, Vault
from gateway.delivery import Reason, State
from gateway.errors import Fault
from gateway.message import Channel, Submission
from tests.conformance.conftest import at_noon
from tests.conformance.delivering import dead, garbage, lend, rows, told
from tests.conformance.submissions import (
    MUNICIPALITY,
    NOON,
    a_submission,
    admitting,
    many,
    strangers_to_each_other,
)

OLD, NEW = b"v" * 32, b"w" * 32
INHOUD = base64.b64encode(b"een bijlage van enige lengte " * 20).decode()

PATIENCE_S = 60
"""For a lock: SQLite keeps no queue, and a busy machine may let the same writer in many times."""

OpenWith = Callable[..., SqlLedger]
"""Opens the one ledger of the test with these key-encryption keys."""


def a_keyring_of(keys: dict[int, bytes]) -> Keyring:
    usual = a_keyring()
    return Keyring(usual.signing, Vault(keys), BlindIndex({1: b"i" * 32}), usual.digest)


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def open_with(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenWith]:
    if request.param == "postgres":
        address = str(request.getfixturevalue("postgres_url"))
    else:
        file = tmp_path / "ledger.db"
        file.write_bytes(request.getfixturevalue("migrated_file").read_bytes())
        address = f"sqlite:///{file}"
    opened: list[SqlLedger] = []

    def open_(**keys: bytes) -> SqlLedger:
        numbered = {int(name[1:]): each for name, each in keys.items()}
        opened.append(
            open_ledger(address, a_keyring_of(numbered), clock=at_noon, patience_s=PATIENCE_S)
        )
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def change(ledger: SqlLedger, statement: Any) -> None:
    with ledger._database.writing() as connection:
        connection.execute(statement)


def with_attachment(number: int = 1, **changes: Any) -> Submission:
    """A message in JSON whose attachment stands in it literally."""
    stuurgegevens = {"bijlagen": [{"mime": "text/plain", "sha256": "0" * 64, "inhoud": INHOUD}]}
    body = json.dumps({"kennisgeving": {"stuurgegevens": stuurgegevens}, "nr": number}).encode()
    return a_submission(number, body=body, canonical=body, stuurgegevens=stuurgegevens, **changes)


def through(ledger: SqlLedger, to: int) -> int:
    """Change over from begin to end; how many changed."""
    changed = reached = 0
    while True:
        step = ledger.wrap_again(reached, to=to)
        changed, reached = changed + step.changed, step.reached
        if reached >= step.end:
            return changed


# What keys open


def test_without_its_key_no_message_opens_and_nothing_starts(open_with: OpenWith) -> None:
    whole = open_with(k1=OLD)
    whole.follow_keys()
    whole.record(many(1), admitting(), NOON)

    with pytest.raises(Fault, match=r"kluis 0001 is missing: restore"):
        open_with(k2=NEW).follow_keys()


def test_another_key_under_the_same_name_is_found_at_once(open_with: OpenWith) -> None:
    open_with(k1=OLD).follow_keys()

    with pytest.raises(Fault, match=r"kluis 0001 is not the key"):
        open_with(k1=NEW).follow_keys()


def test_what_a_missing_key_sealed_waits_for_it_and_the_rest_goes_on(
    open_with: OpenWith, caplog: pytest.LogCaptureFixture
) -> None:
    both = open_with(k1=OLD, k2=NEW)
    both._keyring.use("kluis", 1)
    both.record(strangers_to_each_other(1), admitting(), NOON)
    both._keyring.use("kluis", 2)
    both.record(strangers_to_each_other(1, first=2), admitting(), NOON)

    half = open_with(k2=NEW)

    assert [each.id for each in lend(half)] == [a_submission(2).delivery_id]
    assert dead(half) == []
    assert "seal.key_missing" in [each.message for each in caplog.records]
    assert lend(both, at=NOON) == []
    assert [each.id for each in lend(both, at=NOON + KEY_MISSING)] == [a_submission(1).delivery_id]


@pytest.mark.parametrize("part", ["canonical", "wrapped_key"])
def test_what_was_altered_becomes_a_dead_letter_and_the_rest_goes_on(
    ledger: SqlLedger, part: str
) -> None:
    ledger.record(strangers_to_each_other(2), admitting(), NOON)
    one = rows(ledger, sa.select(message).where(message.c.id == 1))[0]
    altered = bytearray(getattr(one, part))
    altered[-1] ^= 1
    change(ledger, sa.update(message).where(message.c.id == 1).values({part: bytes(altered)}))

    assert [each.id for each in lend(ledger)] == [a_submission(2).delivery_id]
    assert [(each.reason, each.note) for each in dead(ledger)] == [
        (Reason.ONLEESBAAR, "zegel-verbroken")
    ]


@pytest.mark.parametrize("columns", [("canonical",), ("canonical", "wrapped_key", "key_version")])
def test_the_body_of_one_message_does_not_pass_for_that_of_another(
    ledger: SqlLedger, columns: tuple[str, ...]
) -> None:
    ledger.record(strangers_to_each_other(2), admitting(Channel.POSTBUS), NOON)
    one = rows(ledger, sa.select(message).where(message.c.id == 1))[0]
    change(
        ledger,
        sa.update(message)
        .where(message.c.id == 2)
        .values({name: getattr(one, name) for name in columns}),
    )

    with pytest.raises(SealBroken):
        ledger.postbus_item(MUNICIPALITY, a_submission(2).delivery_id)


def test_an_attachment_that_was_taken_away_or_exchanged_is_found(ledger: SqlLedger) -> None:
    ledger.record([with_attachment(1)], admitting(Channel.POSTBUS), NOON)
    ledger.record([with_attachment(2)], admitting(Channel.POSTBUS), NOON)
    first = rows(ledger, sa.select(attachment.c.content).where(attachment.c.message == 1))[0]

    change(
        ledger,
        sa.update(attachment).where(attachment.c.message == 2).values(content=first.content),
    )
    with pytest.raises(SealBroken):
        ledger.postbus_item(MUNICIPALITY, a_submission(2).delivery_id)

    change(ledger, sa.delete(attachment).where(attachment.c.message == 2))
    with pytest.raises(SealBroken):
        ledger.postbus_item(MUNICIPALITY, a_submission(2).delivery_id)


def test_attachments_are_kept_apart_and_come_back_to_the_byte(ledger: SqlLedger) -> None:
    sent = with_attachment()
    ledger.record([sent], admitting(Channel.POSTBUS), NOON)

    item = ledger.postbus_item(MUNICIPALITY, sent.delivery_id)
    original = ledger.original(MUNICIPALITY, sent.delivery_id)

    assert item is not None
    assert original is not None
    assert (item.canonical, original.body) == (sent.canonical, sent.canonical)
    assert len(rows(ledger, sa.select(attachment))) == 1
    sizes = rows(ledger, sa.select(sa.func.length(message.c.canonical).label("bytes")))
    assert sizes[0].bytes < len(INHOUD)


# Changing keys


def test_after_the_change_everything_opens_with_the_new_key_only(open_with: OpenWith) -> None:
    count = WRAPPED_AT_ONCE + 20
    old = open_with(k1=OLD)
    old.follow_keys()
    old.record(strangers_to_each_other(count), admitting(), NOON)
    both = open_with(k1=OLD, k2=NEW)
    both.follow_keys()
    both.put_in_use("kluis", 2)

    assert through(both, to=2) == count
    assert through(both, to=2) == 0
    assert both.retire_keys("kluis", below=2) == [1]

    only = open_with(k2=NEW)
    only.follow_keys()
    assert only.sealed_under().keys() == {2}
    assert len(lend(only, limit=count)) == count


class Interrupted(Vault):
    """Has something happen between reading a data key and writing it back."""

    meanwhile: Callable[[], object]

    def wrap_again(self, about: bytes, version: int, wrapped: bytes, *, to: int) -> bytes:
        self.meanwhile()
        return super().wrap_again(about, version, wrapped, to=to)


@pytest.mark.parametrize(
    "meanwhile",
    [{"wrapped_key": None, "key_version": None}, {"wrapped_key": b"nieuwer", "key_version": 3}],
)
def test_what_was_erased_or_changed_meanwhile_stays_so(
    open_with: OpenWith, meanwhile: dict[str, Any]
) -> None:
    ledger = open_with(k1=OLD, k2=NEW)
    ledger._keyring.use("kluis", 1)
    ledger.record(many(1), admitting(), NOON)
    vault = Interrupted({1: OLD, 2: NEW})
    vault.meanwhile = lambda: change(ledger, sa.update(message).values(meanwhile))
    ledger._keyring = replace(ledger._keyring, vault=vault)

    ledger.wrap_again(0, to=2)

    (left,) = rows(ledger, sa.select(message.c.wrapped_key, message.c.key_version))
    assert left._mapping == meanwhile


def test_what_nobody_could_read_changes_over_as_well(open_with: OpenWith) -> None:
    both = open_with(k1=OLD, k2=NEW)
    both._keyring.use("kluis", 1)
    both.strand([garbage()])
    (letter,) = dead(both)

    assert through(both, to=2) == 1
    assert through(both, to=2) == 0

    assert open_with(k2=NEW).garbage(letter.id) == garbage().garbage
    both.discard([letter.id], by="ada", why="proef", at=NOON)
    assert both.garbage(letter.id) is None
    assert both.garbage(99) is None


def test_a_change_that_broke_off_is_taken_up_where_it_was(open_with: OpenWith) -> None:
    ledger = open_with(k1=OLD, k2=NEW)
    ledger._keyring.use("kluis", 1)
    count = WRAPPED_AT_ONCE + 20
    ledger.record(strangers_to_each_other(count), admitting(), NOON)

    first = ledger.wrap_again(0, to=2)

    assert 0 < first.changed < count
    assert {version: n for version, (n, _) in ledger.sealed_under().items()} == {
        1: count - first.changed,
        2: first.changed,
    }
    assert through(ledger, to=2) == count - first.changed


def test_a_process_goes_over_when_the_ledger_says_so(open_with: OpenWith) -> None:
    running = open_with(k1=OLD, k2=NEW)
    running._keyring.use("kluis", 1)
    running.follow_keys()
    assert running._keyring.vault.newest == 1

    operator = open_with(k1=OLD, k2=NEW)
    operator.put_in_use("kluis", 2)
    running.follow_keys()

    assert running._keyring.vault.newest == 2


def test_a_key_that_is_not_here_yet_does_not_stop_who_seals_with_the_old(
    open_with: OpenWith,
) -> None:
    without = open_with(k1=OLD)
    without.follow_keys()
    open_with(k1=OLD, k2=NEW).put_in_use("kluis", 2)

    with pytest.raises(Fault, match="kluis 0002 is missing"):
        without.follow_keys()
    without.record(many(1), admitting(), NOON)

    assert without.sealed_under().keys() == {1}


def test_while_keys_change_accepting_and_delivering_go_on(open_with: OpenWith) -> None:
    """Two processes under load; the second takes the new key over late."""
    rotating, one, other = (open_with(k1=OLD, k2=NEW) for _ in range(3))
    for each in (rotating, one, other):
        each._keyring.use("kluis", 1)
        each.follow_keys()
    seeded, each_sends = 300, 120
    one.record(strangers_to_each_other(seeded, first=10_000), admitting(), NOON)
    delivered: list[str] = []
    troubles: list[BaseException] = []

    def work(ledger: SqlLedger, first: int) -> None:
        try:
            for number in range(first, first + each_sends, 10):
                ledger.record(strangers_to_each_other(10, first=number), admitting(), NOON)
                lent = lend(ledger, limit=25)
                ledger.conclude([told(each, State.BEVESTIGD) for each in lent])
                delivered.extend(each.id for each in lent)
                if number >= first + each_sends // 2:
                    ledger.follow_keys()
        except BaseException as error:  # noqa: BLE001 - the test tells it
            troubles.append(error)

    workers = [
        threading.Thread(target=work, args=(one, 1_000)),
        threading.Thread(target=work, args=(other, 2_000)),
    ]
    for worker in workers:
        worker.start()
    rotating.put_in_use("kluis", 2)
    while any(worker.is_alive() for worker in workers):
        through(rotating, to=2)
    through(rotating, to=2)
    rotating.retire_keys("kluis", below=2)

    assert troubles == []
    only = open_with(k2=NEW)
    only.follow_keys()
    assert only.sealed_under() == {2: (seeded + 2 * each_sends, only.sealed_under()[2][1])}
    delivered += [each.id for each in lend(only, limit=1_000)]
    assert len(delivered) == len(set(delivered)) == seeded + 2 * each_sends
    assert dead(only) == []


def test_the_ledger_remembers_every_key_by_what_it_answers(ledger: SqlLedger) -> None:
    ledger.follow_keys()
    ledger.follow_keys()

    known = rows(ledger, sa.select(key).order_by(key.c.kind))

    assert [(row.kind, row.version) for row in known] == [
        ("index", 1),
        ("kluis", 1),
        ("samenvatting", 1),
    ]
    assert len({row.check for row in known}) == 3
    assert all(secret not in {row.check for row in known} for secret in (OLD, OLD[:16]))


def test_a_ledger_in_memory_starts_like_any_other() -> None:
    ledger = ledger_in_memory(a_keyring_of({1: OLD}))
    ledger.follow_keys()
    ledger.close()
