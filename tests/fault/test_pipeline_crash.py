"""The process ends at its first effect, then at its second, …: nothing is lost or invented.

What an effect is, and what a crash: ``crashing.py``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from fixtures.world import SE, SHV, Entry, World
from gateway.adapters.ledger import tables
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter
from gateway.delivery import Answer, Reason
from gateway.dossier import MessageView
from gateway.message import Channel
from gateway.schemas import Catalogue
from tests.conformance.delivering import rows
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.crashing import (
    IN_BETWEEN,
    SALDOVERZOEK,
    STATUS,
    Crash,
    Fuse,
    Life,
    Together,
    Try,
    a_line,
    a_talk,
    two_messages,
)

TOGETHER = ((SALDOVERZOEK, STATUS, STATUS), (SALDOVERZOEK, STATUS))
"""What is recorded in one transaction: two conversations."""


@pytest.fixture(params=[Channel.PUSH, Channel.QUEUE])
def channel(request: pytest.FixtureRequest) -> Channel:
    made: Channel = request.param
    return made


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def town(
    request: pytest.FixtureRequest, new_world: NewWorld, tmp_path: Path, channel: Channel
) -> World:
    """An SHV that sends to a creditor on this channel; nothing is started."""
    address = {"adres": '"https://se.example/berichten"'} if channel is Channel.PUSH else {}
    given = {}
    if request.param == "postgres":
        given["ledger"] = str(request.getfixturevalue("postgres_url"))
    return new_world(
        tmp_path / "gateway",
        [
            Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2"),
            Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", kanaal=channel, more=address),
        ],
        **given,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_no_crash_loses_invents_or_reorders_a_message(
    town: World, channel: Channel, catalogue: Catalogue, when: str, counts: Counts
) -> None:
    line = a_line(town, catalogue)
    accepted = 0
    for blows_at in count(1):
        messages = two_messages(town.pki)
        life = Life(town, channel, messages, line, Fuse(blows_at, when))

        crashed = await crashes(life)
        await go_on_after(life, crashed=crashed)

        accepted += len(life.receipts)
        standing = life.ledger.overview()["parties"]
        assert standing == {SE: {"bevestigd": blows_at * len(messages)}}
        assert_kept_and_handed_over(life)
        assert_attempts_are_kept(life, crashed=crashed)
        assert life.ledger.dead_letters(DeadLetterFilter(resolved=True)) == []
        if not crashed:
            assert life.ledger.audit() == []  # of every life: they have one ledger
            assert blows_at > 4 * len(messages), "not every effect was an end"
            counts(
                f"crash {when}, {channel}",
                ends=blows_at - 1,
                accepted=accepted,
                lost=accepted - standing[SE]["bevestigd"],
            )
        life.ledger.close()
        if not crashed:
            return


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["after", IN_BETWEEN])
async def test_no_crash_loses_an_attempt_that_failed_or_doubles_a_dead_letter(
    town: World, channel: Channel, catalogue: Catalogue, when: str, counts: Counts
) -> None:
    line = a_line(town, catalogue)
    dead: list[str] = []
    accepted = 0
    for blows_at in count(1):
        messages = two_messages(town.pki)
        first, last = messages
        life = Life(
            town,
            channel,
            messages,
            line,
            Fuse(blows_at, when),
            late=frozenset({first}),
            rejected=frozenset({last}),
        )

        crashed = await crashes(life)
        await go_on_after(life, crashed=crashed)

        accepted += len(life.receipts)
        standing = life.ledger.overview()["parties"][SE]
        assert standing == {"bevestigd": blows_at, "gestrand": blows_at}
        assert_kept_and_handed_over(life)
        assert_attempts_are_kept(life, crashed=crashed)
        dead.append(last)
        letters = life.ledger.dead_letters(DeadLetterFilter(resolved=True))
        assert sorted(str(each.referentienummer) for each in letters) == sorted(dead)
        assert {each.reason for each in letters} == {Reason.GEWEIGERD}
        if not crashed:
            assert blows_at > 5 * len(messages), "not every effect was an end"
            assert life.ledger.audit() == []  # of every life: they have one ledger
            counts(
                f"crash {when}, {channel}, one late and one rejected",
                ends=blows_at - 1,
                accepted=accepted,
                lost=accepted - standing["bevestigd"] - len(letters),
                dead_letters=len(letters),
            )
        life.ledger.close()
        if not crashed:
            return


@pytest.mark.timeout(120)
@pytest.mark.parametrize("when", ["after", IN_BETWEEN])
async def test_of_what_is_recorded_together_a_crash_leaves_all_or_nothing(
    town: World, channel: Channel, catalogue: Catalogue, when: str, counts: Counts
) -> None:
    line = a_line(town, catalogue)
    left: Counter[int] = Counter()
    accepted = 0
    for blows_at in count(1):
        talks = [a_talk(town.pki, *kinds) for kinds in TOGETHER]
        messages = {number: each for talk in talks for number, each in talk.items()}
        life = Together(town, channel, messages, line, Fuse(blows_at, when))

        crashed = await crashes(life)
        if crashed:
            life.restart()
            left[len(kept_of(life))] += 1
            assert life.ledger.audit() == []
            await life.live()

        accepted += len(life.receipts)
        standing = life.ledger.overview()["parties"]
        assert standing == {SE: {"bevestigd": blows_at * len(messages)}}
        kept = kept_of(life)
        assert [view.receipt for view in kept] == list(life.receipts.values())
        assert sorted(life.handed_over) == sorted(view.delivery_id for view in kept)
        for talk in talks:
            ids = [view.delivery_id for view in kept if view.referentienummer in talk]
            assert [own for own in life.handed_over if own in ids] == ids
        assert life.ledger.audit() == []  # of every life: they have one ledger
        life.ledger.close()
        if not crashed:
            break

    assert left == Counter({len(messages) if when == "after" else 0: blows_at - 1})
    assert blows_at > (1 if when == "after" else len(messages)), "not every statement was an end"
    counts(
        f"crash {when} a commit of {len(messages)}, {channel}",
        ends=blows_at - 1,
        all_there=left[len(messages)],
        none_there=left[0],
        accepted=accepted,
        lost=accepted - standing[SE]["bevestigd"],
    )


def kept_of(life: Life) -> list[MessageView]:
    """What the ledger has of the messages of this life, in order."""
    found = (life.ledger.message(SHV, number) for number in life.messages)
    return [view for view in found if view]


async def crashes(life: Life) -> bool:
    """Whether the fuse blew before everything was done; what follows is no effect any more."""
    try:
        await life.live()
    except Crash:
        return True
    finally:
        life.fuse.blows_at = 0
    return False


async def go_on_after(life: Life, *, crashed: bool) -> None:
    """Begin again where it crashed, and do all there is."""
    if crashed:
        life.restart()
        await life.live()


def assert_kept_and_handed_over(life: Life) -> None:
    """Each receipt stands, and each message reached the recipient in order, one at most twice."""
    kept = kept_of(life)
    assert [view.receipt for view in kept] == list(life.receipts.values())
    ids = [view.delivery_id for view in kept]
    assert list(dict.fromkeys(life.handed_over)) == ids
    assert len(life.handed_over) <= len(ids) + 1, "more than one repeat"


def assert_attempts_are_kept(life: Life, *, crashed: bool) -> None:
    """The log of attempts is what the channel said, without a gap but for where it crashed."""
    log = attempts_of(life.ledger, set(life.tried))
    assert life.known <= log <= life.told, "an attempt is gone, or invented"
    numbers = defaultdict(list)
    for own, number, _ in sorted(log):
        numbers[own].append(number)
    gaps = [missed for own in numbers for missed in {*range(1, numbers[own][-1])} - {*numbers[own]}]
    # a crash between the lease and what it came to: nobody knows the answer any more
    assert len(gaps) <= crashed
    if not crashed:
        for message in life.messages:
            view = life.ledger.message(SHV, message)
            assert view is not None
            answers = [answer for own, _, answer in sorted(log) if own == view.delivery_id]
            before = [Answer.UNAVAILABLE] if message in life.late else []
            assert answers == [*before, life.answer_to(message)]


def attempts_of(ledger: SqlLedger, deliveries: Iterable[str]) -> set[Try]:
    """What the ledger keeps of every attempt at these."""
    query = (
        sa.select(tables.delivery.c.delivery_id, tables.attempt.c.number, tables.attempt.c.answer)
        .join_from(tables.attempt, tables.delivery)
        .where(tables.delivery.c.delivery_id.in_(list(deliveries)))
    )
    return {(row.delivery_id, row.number, row.answer) for row in rows(ledger, query)}
