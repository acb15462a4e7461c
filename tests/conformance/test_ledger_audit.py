"""Whatever is done to a ledger behind its back, the audit finds it; of the rest it is silent."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fixtures.keyring import a_keyring
from gateway import json
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.receipts import signed_of
from gateway.adapters.ledger.sealing import ORIGINAL, data_key
from gateway.adapters.ledger.tables import (
    attachment,
    attempt,
    checkpoint,
    day_close,
    dead_letter,
    delivery,
    evidence,
    message,
)
from gateway.adapters.published_keys import verifier
from gateway.audit import Flaw, Sort
from gateway.delivery import State
from gateway.evidence import DayClose, Head, day_close_digest, day_close_text, leaf, tree
from gateway.exhibits import judge, together
from gateway.message import Channel, Receipt
from gateway.routing.retention import read
from tests.conformance.conftest import Open, at_noon
from tests.conformance.delivering import conclude, rows, stranding
from tests.conformance.submissions import (
    MUNICIPALITY,
    NOON,
    a_submission,
    admitting,
    strangers_to_each_other,
)

DAY = timedelta(days=1)


def accept(
    ledger: SqlLedger, count: int, first: int = 1, *, channel: Channel = Channel.PUSH
) -> None:
    ledger.record(strangers_to_each_other(count, first=first), admitting(channel), NOON)


def with_a_history(ledger: SqlLedger) -> SqlLedger:
    """Accepted, attempted, confirmed, stranded, repaired, and two days closed."""
    accept(ledger, 3)
    conclude(ledger, State.BEVESTIGD)
    accept(ledger, 2, first=4)
    conclude(ledger, State.GESTRAND)
    accept(ledger, 3, first=6, channel=Channel.POSTBUS)
    ledger.confirm(MUNICIPALITY, [a_submission(6).delivery_id], NOON)
    ledger.strand([stranding(7)])
    assert ledger.close_day(NOON) is not None
    ledger.replay([1], by="beheer", why="proef", at=NOON)
    ledger.apply_directory("{}", base=0, by="beheer", at=NOON)
    assert ledger.close_day(NOON + DAY) is not None
    return ledger


def change(ledger: SqlLedger, *statements: sa.Executable) -> None:
    with ledger._database.writing() as connection:
        for statement in statements:
            connection.execute(statement)


def found(ledger: SqlLedger, *heads: Head) -> set[Sort]:
    return {flaw.sort for flaw in ledger.audit(heads=heads)}


def of_message(number: int) -> sa.ScalarSelect[Any]:
    reference = a_submission(number).message.header.referentienummer
    return sa.select(message.c.id).where(message.c.referentienummer == reference).scalar_subquery()


def points(ledger: SqlLedger) -> list[Any]:
    return rows(ledger, sa.select(checkpoint).order_by(checkpoint.c.log, checkpoint.c.number))


def test_a_ledger_that_nobody_touched_has_no_flaws(ledger: SqlLedger) -> None:
    with_a_history(ledger)

    assert ledger.audit() == []


def test_the_bar_of_an_audit_ends_where_the_rows_end(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    seen: list[int] = []

    ledger.audit(step=seen.append)

    assert sum(seen) == ledger.audit_size()


def test_a_changed_entry_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    entry = rows(ledger, sa.select(evidence).where(evidence.c.soort == "bevestigd"))[0]
    text = entry.entry.replace("2026-03-02", "2026-03-01")
    change(ledger, sa.update(evidence).where(_is(entry)).values(entry=text))

    assert Sort.LEAF in found(ledger)


def _is(row: Any) -> sa.ColumnElement[bool]:
    return sa.and_(
        evidence.c.log == row.log, evidence.c.number == row.number, evidence.c.place == row.place
    )


@pytest.mark.parametrize("column", ["receipt", "original_sha256"])
def test_a_changed_message_is_found(ledger: SqlLedger, column: str) -> None:
    with_a_history(ledger)
    changed: dict[str, Any] = {"receipt": b'{"ontvangstbevestiging":{"id":"x"}}'}
    changed["original_sha256"] = "0" * 64
    mine = message.c.id == of_message(2)
    change(ledger, sa.update(message).where(mine).values({column: changed[column]}))

    assert Sort.LEAF in found(ledger)


@pytest.mark.parametrize("column", ["original", "canonical"])
def test_changed_content_is_found(ledger: SqlLedger, column: str) -> None:
    with_a_history(ledger)
    other = rows(ledger, sa.select(message).where(message.c.id == of_message(3)))[0]
    mine = message.c.id == of_message(2)
    change(ledger, sa.update(message).where(mine).values({column: getattr(other, column)}))

    assert found(ledger) == {Sort.CONTENT}


def test_other_content_that_was_sealed_with_the_right_key_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    row = rows(ledger, sa.select(message).where(message.c.id == of_message(2)))[0]
    sealed = data_key(a_keyring().vault, row).seal(ORIGINAL, b"<kennisgeving>ander</kennisgeving>")
    change(ledger, sa.update(message).where(message.c.id == row.id).values(original=sealed))

    assert found(ledger) == {Sort.CONTENT}


def test_a_message_under_another_sender_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    mine = message.c.id == of_message(2)
    change(ledger, sa.update(message).where(mine).values(afzender="00000099000000004000"))

    assert Sort.CONTENT in found(ledger)


def test_a_dropped_entry_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    change(ledger, sa.delete(evidence).where(evidence.c.soort == "bevestigd"))

    assert found(ledger) == {Sort.ENTRY_MISSING, Sort.UNPROVEN}


def test_an_entry_that_was_emptied_without_erasing_its_message_is_found(
    ledger: SqlLedger,
) -> None:
    with_a_history(ledger)
    change(
        ledger,
        sa.update(evidence).where(evidence.c.soort == "bevestigd").values(salt=None, entry=None),
    )

    assert Sort.ERASED in found(ledger)


def test_a_dropped_message_is_found(ledger: SqlLedger) -> None:
    accept(ledger, 3)
    change(
        ledger,
        sa.delete(delivery).where(delivery.c.message == of_message(2)),
        sa.delete(message).where(message.c.id == of_message(2)),
    )

    assert found(ledger) == {Sort.MESSAGE_MISSING}


def test_a_message_without_an_entry_is_found(ledger: SqlLedger) -> None:
    accept(ledger, 3)
    change(ledger, sa.delete(evidence).where(evidence.c.message == of_message(2)))

    assert found(ledger) == {Sort.ENTRY_MISSING, Sort.UNPROVEN}


@pytest.mark.parametrize("table", [attempt, dead_letter])
def test_a_dropped_attempt_or_dead_letter_is_found(ledger: SqlLedger, table: sa.Table) -> None:
    with_a_history(ledger)
    change(ledger, sa.delete(table))

    assert found(ledger) == {Sort.STATE}


def test_a_confirmation_that_nobody_gave_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    mine = delivery.c.message == of_message(8)
    confirmed = {"state": State.BEVESTIGD.value, "confirmed_at": NOON, "due_at": None}
    change(ledger, sa.update(delivery).where(mine).values(confirmed))

    assert found(ledger) == {Sort.UNPROVEN}


def test_a_confirmation_that_was_taken_back_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    mine = delivery.c.message == of_message(6)
    change(ledger, sa.update(delivery).where(mine).values(state=State.AANGEBODEN.value))

    assert found(ledger) == {Sort.STATE}


def test_reordered_entries_are_found(ledger: SqlLedger) -> None:
    accept(ledger, 3)
    move = {0: 10, 1: 0, 10: 1}
    change(
        ledger,
        *(
            sa.update(evidence).where(evidence.c.place == before).values(place=after)
            for before, after in move.items()
        ),
    )

    assert found(ledger) == {Sort.LEAF}


def test_reordered_checkpoints_are_found(ledger: SqlLedger) -> None:
    for number in (1, 2, 3):
        accept(ledger, 1, first=number)
    swap = {1: 10, 2: 1, 10: 2}
    for table in (checkpoint, evidence):
        steps = (
            sa.update(table).where(table.c.number == before).values(number=after)
            for before, after in swap.items()
        )
        change(ledger, *steps)

    assert {Sort.LINK, Sort.SIGNATURE} <= found(ledger)


def test_an_entry_that_was_added_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    genuine = rows(ledger, sa.select(evidence).where(evidence.c.soort == "poging"))[0]
    added = {**genuine._mapping, "place": 99, "salt": os.urandom(16)}
    change(ledger, sa.insert(evidence).values(added))

    assert Sort.ENTRY_EXTRA in found(ledger)


def test_an_entry_of_no_checkpoint_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    genuine = rows(ledger, sa.select(evidence).where(evidence.c.soort == "poging"))[0]
    change(ledger, sa.insert(evidence).values({**genuine._mapping, "number": 99}))

    assert Sort.ENTRY_EXTRA in found(ledger)


@pytest.mark.parametrize("wrong", [Sort.ROOT, Sort.SIGNATURE])
def test_a_forged_entry_with_its_hash_in_the_tree_is_found(ledger: SqlLedger, wrong: Sort) -> None:
    with_a_history(ledger)
    entry = rows(ledger, sa.select(evidence).where(evidence.c.soort == "bevestigd"))[0]
    text = entry.entry.replace("2026-03-02", "2026-03-01")
    mine = sa.and_(checkpoint.c.log == entry.log, checkpoint.c.number == entry.number)
    forged = [leaf(entry.salt, text.encode())]
    root = {"root": tree(forged)[-1][0]} if wrong is Sort.SIGNATURE else {}
    change(
        ledger,
        sa.update(evidence).where(_is(entry)).values(entry=text),
        sa.update(checkpoint).where(mine).values(leaves=b"".join(forged), **root),
    )

    assert wrong in found(ledger)


def resign(ledger: SqlLedger, sign: Callable[[bytes], bytes], kid: str | None = None) -> None:
    """Have the last checkpoint signed by somebody, under its own ``kid`` or another."""
    last = points(ledger)[-1]
    mine = sa.and_(checkpoint.c.log == last.log, checkpoint.c.number == last.number)
    forged = sign(signed_of(last).checkpoint.signed_text())
    changed = {"signature": forged, "kid": kid or last.kid}
    change(ledger, sa.update(checkpoint).where(mine).values(changed))


def es256(key: ec.EllipticCurvePrivateKey, text: bytes) -> bytes:
    return key.sign(text, ec.ECDSA(hashes.SHA256()))


def ps256(key: rsa.RSAPrivateKey, text: bytes) -> bytes:
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    return key.sign(text, pss, hashes.SHA256())


FORGERS: dict[str, Callable[[bytes], bytes]] = {
    "p-256": partial(es256, ec.generate_private_key(ec.SECP256R1())),
    "p-384": partial(es256, ec.generate_private_key(ec.SECP384R1())),
    "rsa": partial(ps256, rsa.generate_private_key(public_exponent=65537, key_size=2048)),
}


@pytest.mark.parametrize("claimed", ["own", "genuine"])
@pytest.mark.parametrize("forger", FORGERS)
def test_a_checkpoint_that_another_key_signed_is_found(
    ledger: SqlLedger, forger: str, claimed: str
) -> None:
    with_a_history(ledger)
    resign(ledger, FORGERS[forger], "vreemd" if claimed == "own" else None)

    assert found(ledger) == {Sort.KEY if claimed == "own" else Sort.SIGNATURE}


def test_a_checkpoint_that_the_gateway_itself_signed_with_another_kind_of_key_is_found(
    ledger: SqlLedger,
) -> None:
    with_a_history(ledger)
    own = a_keyring().signing.rsa[0]
    resign(ledger, partial(ps256, own.key), own.kid)

    assert found(ledger) == {Sort.KEY}


def test_a_signature_is_written_in_der_only(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    own = a_keyring().signing.ec[0].key

    def as_in_a_jws(text: bytes) -> bytes:
        return b"".join(each.to_bytes(32) for each in decode_dss_signature(es256(own, text)))

    resign(ledger, partial(es256, own))
    in_der = found(ledger)
    resign(ledger, as_in_a_jws)

    assert in_der == set()
    assert found(ledger) == {Sort.SIGNATURE}


def test_a_checkpoint_taken_from_the_middle_is_found(ledger: SqlLedger) -> None:
    for number in (1, 2, 3):
        accept(ledger, 1, first=number)
    change(ledger, sa.delete(checkpoint).where(checkpoint.c.number == 2))

    assert Sort.GAP in found(ledger)


def test_a_truncated_log_is_found_by_the_day_closes(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    last = max(row.number for row in points(ledger))
    change(
        ledger,
        *(sa.delete(table).where(table.c.number == last) for table in (checkpoint, evidence)),
    )

    assert Sort.HEAD_MISSING in found(ledger)


def test_a_log_cut_off_after_the_last_day_close_is_found_by_a_receipt_that_a_party_holds(
    ledger: SqlLedger,
) -> None:
    with_a_history(ledger)
    ledger._journal.clock = lambda: NOON + DAY
    [receipt] = ledger.record([a_submission(20)], admitting(Channel.POSTBUS), NOON)
    assert isinstance(receipt, Receipt)
    verify = verifier(a_keyring().signing.published())
    held = judge("ontvangst.json", json.parse(receipt.document), verify).heads()
    mine = of_message(20)
    last = max(row.number for row in points(ledger))
    change(ledger, sa.delete(delivery).where(delivery.c.message == mine))
    change(
        ledger,
        sa.delete(message).where(message.c.id == mine),
        *(sa.delete(table).where(table.c.number == last) for table in (checkpoint, evidence)),
    )

    assert found(ledger) == set()
    assert found(ledger, *held) == {Sort.HEAD_MISSING}


def test_a_whole_log_that_was_removed_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    change(ledger, sa.delete(checkpoint), sa.delete(evidence))

    assert found(ledger) == {Sort.UNPROVEN, Sort.HEAD_MISSING}


def test_a_clock_that_was_set_back_is_found(ledger: SqlLedger) -> None:
    instants = itertools.chain([NOON, NOON - timedelta(hours=1)], itertools.repeat(NOON))
    ledger._journal.clock = lambda: next(instants)
    accept(ledger, 1)
    accept(ledger, 1, first=2)

    assert found(ledger) == {Sort.CLOCK}


def restarted(ledger: SqlLedger, at: datetime) -> str:
    """As a process that starts at this instant on its clock; its log."""
    ledger._journal.begin()
    ledger._journal.clock = lambda: at
    return ledger._journal.log


def test_a_clock_that_was_set_back_before_a_restart_is_found_by_the_day_close_before_it(
    ledger: SqlLedger,
) -> None:
    with_a_history(ledger)
    log = restarted(ledger, NOON + DAY - timedelta(hours=1))
    for number in (20, 21):
        accept(ledger, 1, first=number)
    soon = ledger.audit()
    ledger.close_day(NOON + 2 * DAY)

    assert soon == ledger.audit() == [Flaw(Sort.CLOCK, f"{log}/1")]  # its order goes on from there


def test_a_clock_that_was_set_back_in_a_log_that_is_in_a_day_close_already_is_found(
    ledger: SqlLedger,
) -> None:
    log = restarted(ledger, NOON)
    accept(ledger, 1)
    ledger.close_day(NOON + timedelta(minutes=10))
    accept(ledger, 1, first=2)

    assert ledger.audit() == [Flaw(Sort.CLOCK, f"{log}/2")]


def test_clocks_of_machines_that_differ_by_seconds_are_no_flaw(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    restarted(ledger, NOON + DAY - timedelta(seconds=30))
    accept(ledger, 1, first=20)
    ledger.close_day(NOON + 2 * DAY)
    restarted(ledger, NOON + 2 * DAY)
    accept(ledger, 1, first=21)

    assert ledger.audit() == []


def test_a_day_close_that_is_earlier_than_the_one_before_it_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    last = rows(ledger, sa.select(day_close).order_by(day_close.c.day.desc()))[0]
    at = NOON + DAY - timedelta(seconds=2)
    made = DayClose("2026-03-03", at, day_close_digest(last.content), ())
    kid, signature = ledger._journal.sign(day_close_text(made.content()))
    added = {"day": made.day, "content": made.content(), "kid": kid, "signature": signature}
    change(ledger, sa.insert(day_close).values(at=at, **added))

    assert ledger.audit() == [Flaw(Sort.CLOCK, "dagafsluiting 2026-03-03")]


def test_a_changed_day_close_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    first = rows(ledger, sa.select(day_close).order_by(day_close.c.day))[0]
    text = first.content.replace('"nummer":', '"nummer":1')
    mine = day_close.c.day == first.day
    change(ledger, sa.update(day_close).where(mine).values(content=text))

    assert {Sort.SIGNATURE, Sort.LINK, Sort.HEAD_MISSING} <= found(ledger)


def test_a_dropped_day_close_is_found(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    first = rows(ledger, sa.select(day_close).order_by(day_close.c.day))[0]
    change(ledger, sa.delete(day_close).where(day_close.c.day == first.day))

    assert found(ledger) == {Sort.LINK}


def test_what_was_erased_is_no_flaw(ledger: SqlLedger) -> None:
    with_a_history(ledger)
    gone = dict.fromkeys(("original_sha256", "wrapped_key", "canonical", "original"))
    mine = of_message(2)
    change(
        ledger,
        sa.update(evidence).where(evidence.c.message == mine).values(salt=None, entry=None),
        sa.update(message).where(message.c.id == mine).values(erased_at=NOON, **gone),
    )

    assert ledger.audit() == []


def test_what_was_forgotten_after_its_retention_is_no_flaw_and_before_it_is_one(
    ledger: SqlLedger,
) -> None:
    accept(ledger, 3)
    mine = of_message(2)
    change(
        ledger,
        sa.delete(evidence).where(evidence.c.message == mine),
        sa.delete(delivery).where(delivery.c.message == mine),
    )
    change(ledger, sa.delete(message).where(message.c.id == mine))

    before = found(ledger)
    ledger._clock = lambda: NOON + read().forgetting

    assert before == {Sort.ENTRY_MISSING}
    assert found(ledger) == set()


def test_attachments_that_are_gone_are_a_flaw_until_their_term_is_over(ledger: SqlLedger) -> None:
    inside = b"aW5ob3Vk" * 8
    sent = {"body": b"<b>%b</b>" % inside, "canonical": b'{"k":{"inhoud":"%b"}}' % inside}
    with_one = {"bijlagen": [{"inhoud": inside.decode()}]}
    whole = a_submission(1, stuurgegevens=with_one, **sent)
    ledger.record([whole], admitting(), NOON)
    untouched = found(ledger)
    change(ledger, sa.delete(attachment))

    before = found(ledger)
    ledger._clock = lambda: NOON + read().soonest

    assert untouched == set()
    assert before == {Sort.CONTENT}
    assert found(ledger) == set()


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Open, Open]]:
    """How to open a ledger, and a copy of it as it is at that moment."""
    make = _postgres_copies if request.param == "postgres" else _file_copies
    yield from make(request, tmp_path)


def _file_copies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Open, Open]]:
    file = tmp_path / "ledger.db"
    shutil.copy(request.getfixturevalue("migrated_file"), file)

    def copied() -> SqlLedger:
        shutil.copy(file, tmp_path / "copy.db")
        return _opened(f"sqlite:///{tmp_path / 'copy.db'}")

    yield lambda: _opened(f"sqlite:///{file}"), copied


def _opened(address: str) -> SqlLedger:
    return open_ledger(address, a_keyring(), clock=at_noon)


def _postgres_copies(request: pytest.FixtureRequest, _: Path) -> Iterator[tuple[Open, Open]]:
    url = sa.make_url(str(request.getfixturevalue("postgres_url")))
    copy = url.set(database=f"{url.database}_kopie")
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
    )

    def copied() -> SqlLedger:
        with engine.connect() as connection:
            connection.execute(
                sa.text(f'CREATE DATABASE "{copy.database}" TEMPLATE "{url.database}"')
            )
        return _opened(copy.render_as_string(hide_password=False))

    yield lambda: _opened(url.render_as_string(hide_password=False)), copied
    with engine.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{copy.database}"'))
    engine.dispose()


def test_a_copy_that_went_on_differently_is_found_by_receipts_from_both(
    copies: tuple[Open, Open],
) -> None:
    genuine, copied = copies
    one = genuine()
    accept(one, 1)
    log, number, head = one._journal.log, one._journal.number, one._journal.head
    one.close()
    other, one = copied(), genuine()
    for ledger in (one, other):  # each goes on as if it were the only one
        ledger._journal.log, ledger._journal.number, ledger._journal.head = log, number, head
    receipts = [
        ledger.record([a_submission(number)], admitting(), NOON)[0]
        for number, ledger in ((2, one), (3, other))
    ]
    verify = verifier(a_keyring().signing.published())
    judged = [
        judge(str(place), json.parse(each.document), verify)
        for place, each in enumerate(receipts)
        if isinstance(each, Receipt)
    ]

    assert [each.flaws for each in judged] == [[], []]
    assert {flaw.sort for flaw in together(judged)} == {Sort.FORK}
    assert one.audit() == other.audit() == []
    assert found(one, *judged[1].heads()) == {Sort.FORK}
    one.close()
    other.close()
