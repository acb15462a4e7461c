"""On every ledger terms begin, remind, run out and stand still as the rules say, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import count

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from fixtures.world import GATEWAY, PUBLIEKE_SE, SE, SHV
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation, restriction
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.timekeeping import catch_up
from gateway.calendar import AMSTERDAM
from gateway.delivery import Answer, State
from gateway.message import Channel
from gateway.routing.access import Access
from gateway.routing.silence import Request, stated
from gateway.routing.stand import Status
from tests.conformance.delivering import at_once
from tests.conformance.submissions import a_uuid
from tests.conformance.timed import (
    ESTIMATE,
    MONDAY,
    NO,
    THREAD,
    Timed,
    Told,
    a_directory,
    merged,
)

DAY = timedelta(days=1)
HALF = datetime(2026, 3, 9, 9, tzinfo=AMSTERDAM)
FOUR_FIFTHS = datetime(2026, 3, 12, 9, tzinfo=AMSTERDAM)
OVER = datetime(2026, 3, 17, tzinfo=AMSTERDAM)
LAST_DAY = date(2026, 3, 16)
SECOND = timedelta(seconds=1)

ELSEWHERE = [
    pytest.param(Channel.PUSH, Answer.CONFIRMED, id="push"),
    pytest.param(Channel.QUEUE, Answer.OFFERED, id="queue"),
]


@pytest.fixture
def timed(ledger: SqlLedger) -> Timed:
    """Everybody collects from a postbus."""
    return Timed(ledger)


def last_day(timed: Timed, number: str) -> date | None:
    """Of the term that this message started, as the conversation has it."""
    termijn = timed.stand().termijn(number)
    return None if termijn is None else termijn.tot_en_met


# --- when a term begins ---------------------------------------------------------------------------


def test_in_a_postbus_a_term_begins_with_the_commit(timed: Timed) -> None:
    number = timed.say("Saldoverzoek")

    assert last_day(timed, number) == LAST_DAY
    assert timed.row(number).tot_en_met == "2026-03-16"
    timed.work()
    assert last_day(timed, number) == LAST_DAY
    assert timed.row(number).tot_en_met == "2026-03-16"


@pytest.mark.parametrize(("channel", "takes"), ELSEWHERE)
def test_elsewhere_a_term_begins_when_the_message_was_taken(
    ledger: SqlLedger, channel: Channel, takes: Answer
) -> None:
    timed = Timed(ledger, a_directory(channel))
    number = timed.say("Saldoverzoek")
    timed.work()
    assert last_day(timed, number) is None

    timed.now += 2 * DAY
    timed.attempt(Answer.UNAVAILABLE)
    timed.work()
    assert (last_day(timed, number), timed.row(number).tot_en_met) == (None, None)

    timed.now += DAY
    assert len(timed.attempt(takes)) == 1
    timed.now += 3 * DAY
    timed.work()

    assert last_day(timed, number) == date(2026, 3, 19)
    assert timed.row(number).tot_en_met == "2026-03-19"
    termijn = timed.stand().termijn(number)
    assert termijn is not None
    assert termijn.beschikbaar == MONDAY + 3 * DAY


@pytest.mark.parametrize(("channel", "takes"), ELSEWHERE)
def test_the_day_that_its_recipient_was_told_counts_also_when_the_answer_came_after_midnight(
    ledger: SqlLedger, channel: Channel, takes: Answer
) -> None:
    timed = Timed(ledger, a_directory(channel))
    timed.now = datetime(2026, 3, 2, 23, 59, 59, tzinfo=AMSTERDAM)
    number = timed.say("Saldoverzoek")

    timed.attempt(takes, ends=timed.now + 2 * SECOND)
    timed.now += 5 * SECOND
    timed.work()

    assert timed.row(number).tot_en_met == "2026-03-16"
    assert last_day(timed, number) == LAST_DAY


def test_what_waits_for_another_message_has_no_term_yet(ledger: SqlLedger) -> None:
    timed = Timed(ledger, a_directory(Channel.QUEUE))
    timed.say("Kennisgeving")
    number = timed.say("Saldoverzoek")
    timed.attempt(Answer.OFFERED)
    timed.work()

    assert last_day(timed, number) is None


# --- what it says ---------------------------------------------------------------------------------


def test_who_is_to_answer_is_reminded_twice_and_both_sides_hear_that_it_is_over(
    timed: Timed,
) -> None:
    number = timed.say("Saldoverzoek")
    timed.collect(number, confirm=True)

    timed.until(HALF - SECOND)
    assert timed.told() == []
    timed.until(HALF)
    timed.until(FOUR_FIFTHS)
    timed.until(OVER - SECOND)
    reminders = [
        Told("Herinnering", number, SE, "HELFT"),
        Told("Herinnering", number, SE, "VIER_VIJFDE"),
    ]
    assert timed.told() == reminders
    assert timed.stand().staat == "SALDO_GEVRAAGD"

    timed.until(OVER)
    timed.until(OVER + 60 * DAY)

    over = {Told("TermijnVerstreken", number, party) for party in (SHV, SE)}
    assert (timed.told()[:2], set(timed.told()[2:]), len(timed.told())) == (reminders, over, 4)
    assert timed.stand().staat == "SALDO_VERLOPEN"
    assert [each.status for each in timed.stand().vragen] == [Status.OPEN]


def test_an_answer_ends_the_reminders(timed: Timed) -> None:
    number = timed.say("Saldoverzoek")
    timed.until(HALF)
    timed.say("SaldoverzoekAntwoord", SE, SHV, cross=number)
    timed.until(OVER + DAY)

    assert [each for each in timed.told() if each.soort != "NietAfgeleverd"] == [
        Told("Herinnering", number, SE, "HELFT")
    ]


def test_after_an_outage_only_the_last_moment_is_told(timed: Timed) -> None:
    number = timed.say("Saldoverzoek")
    timed.collect(number, confirm=True)

    timed.now = OVER + 3 * DAY
    timed.work()

    assert {each.soort for each in timed.told()} == {"TermijnVerstreken"}
    assert len(timed.told()) == 2


def test_the_asker_grants_a_delay_and_the_term_ends_then(timed: Timed) -> None:
    number = timed.say("Saldoverzoek")
    timed.collect(number, confirm=True)
    timed.until(FOUR_FIFTHS)
    granted = {
        "status": "UITSTEL_VERLEEND",
        "uitstelTotEnMet": "2026-03-20",
        "verwachteVervolgdatum": None,
        "datum": "2026-03-02",
    }
    timed.collect(timed.say("StatusberichtShv", change=granted), confirm=True)
    timed.until(datetime(2026, 3, 21, tzinfo=AMSTERDAM) - SECOND)

    assert [each.soort for each in timed.told()] == ["Herinnering", "Herinnering"]
    assert last_day(timed, number) == date(2026, 3, 20)
    timed.until(datetime(2026, 3, 21, tzinfo=AMSTERDAM))
    assert [each.soort for each in timed.told()[2:]] == ["TermijnVerstreken"] * 2


def test_an_objection_to_a_proposal_has_a_term_after_which_the_consent_counts(
    ledger: SqlLedger,
) -> None:
    timed = Timed(ledger, a_directory(convenant="COLLECTIEF"))
    request = timed.say("Saldoverzoek")
    timed.say(
        "SaldoverzoekAntwoordVoorafAkkoord",
        SE,
        SHV,
        cross=request,
        change={"standaardAkkoord": {"geldigTotEnMet": "2026-12-31"}},
    )
    proposal = timed.say("Betaalvoorstel")
    assert timed.stand().staat == "AKKOORD_VOORLOPIG"
    assert timed.refused("RegelingGeaccordeerd") == "AKKOORD_VOORLOPIG"

    timed.until(datetime(2026, 3, 10, tzinfo=AMSTERDAM) - SECOND)
    assert timed.stand().staat == "AKKOORD_VOORLOPIG"
    timed.until(datetime(2026, 3, 10, tzinfo=AMSTERDAM))

    assert timed.stand().staat == "AKKOORD"
    no = timed.refused("BetaalvoorstelAntwoord", SE, SHV, cross=proposal, change=NO)
    assert no == "TERMIJN_VOORBIJ"


# --- uncollected, dead, given up ------------------------------------------------------------------


def test_after_five_working_days_the_sender_hears_once_that_nobody_collected_and_it_stays(
    timed: Timed,
) -> None:
    number = timed.say("Kennisgeving")
    notice = datetime(2026, 3, 10, tzinfo=AMSTERDAM)

    timed.until(notice - SECOND)
    assert timed.told() == []
    timed.until(notice)
    timed.until(notice + 20 * DAY)

    assert timed.told() == [Told("NietAfgeleverd", number, SHV, "NIET_OPGEHAALD")]
    assert timed.row(number).state == State.AANGEBODEN
    timed.collect(number, confirm=True)
    assert timed.row(number).state == State.BEVESTIGD


def test_nobody_hears_of_what_was_collected_and_not_confirmed(timed: Timed) -> None:
    timed.collect(timed.say("Kennisgeving"))
    timed.until(MONDAY + 20 * DAY)

    assert timed.told() == []


def test_a_dead_letter_is_told_to_its_sender_and_its_term_stands_still(timed: Timed) -> None:
    number = timed.say("Saldoverzoek")
    timed.now += DAY
    timed.strand(number)
    timed.work()

    assert timed.told() == [Told("NietAfgeleverd", number, SHV, "GEWEIGERD")]
    stap, vraag = timed.stand().stap(number), timed.stand().vraag(number)
    assert stap is not None
    assert vraag is not None
    assert (stap.niet_afgeleverd, vraag.status) == (True, Status.NIET_AFGELEVERD)
    assert last_day(timed, number) is None
    timed.until(OVER + 10 * DAY)
    assert len(timed.told()) == 1


def test_a_replay_starts_the_term_afresh(timed: Timed) -> None:
    number = timed.say("Saldoverzoek")
    timed.strand(number)
    timed.work()
    timed.now = MONDAY + 7 * DAY
    timed.ledger.replay(timed.letters(), by="ada", why="proef", at=timed.now)
    timed.work()

    stap, vraag = timed.stand().stap(number), timed.stand().vraag(number)
    assert stap is not None
    assert vraag is not None
    assert (stap.niet_afgeleverd, vraag.status) == (False, Status.OPEN)
    assert last_day(timed, number) == LAST_DAY + 7 * DAY
    timed.collect(number, confirm=True)
    timed.until(OVER + 7 * DAY)
    assert Counter(each.soort for each in timed.told()) == {
        "NietAfgeleverd": 1,
        "Herinnering": 2,
        "TermijnVerstreken": 2,
    }


def test_a_discard_restores_the_state_and_says_so(timed: Timed) -> None:
    request = timed.say("Saldoverzoek")
    timed.collect(request, confirm=True)
    timed.say("SaldoverzoekAntwoord", SE, SHV, cross=request)
    number = timed.say("Betaalvoorstel")
    assert timed.stand().staat == "VOORSTEL_GEDAAN"
    timed.strand(number)
    timed.work()

    timed.ledger.discard(timed.letters(), by="ada", why="proef", at=timed.now)
    timed.work()
    timed.work()

    assert timed.stand().staat == "SALDO_ONTVANGEN"
    assert timed.told() == [
        Told("NietAfgeleverd", number, SHV, "GEWEIGERD"),
        Told("Vervallen", number, SHV, "VERWORPEN"),
    ]


# --- each once ------------------------------------------------------------------------------------

MANY = 200


def open_many(timed: Timed, many: int = MANY) -> list[str]:
    """So many conversations, each with a question that waits for an answer."""
    written = [timed.written("Saldoverzoek", thread=str(each)) for each in range(many)]
    outcomes = timed.ledger.record(written, timed.station, timed.now)
    assert len(outcomes) == many
    numbers = [each.message.header.referentienummer for each in written]
    delivered = [each.delivery_id for each in written]
    timed.delivery_ids |= dict(zip(numbers, delivered, strict=True))
    timed.ledger.confirm(SE, delivered, timed.now)
    return numbers


def test_four_at_once_say_each_due_thing_once(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers
    timed = Timed(one)
    numbers = open_many(timed)

    def look(ledger: SqlLedger) -> None:
        while ledger.due_terms(timed.rules, timed.now, 30):
            pass

    for moment in (HALF, FOUR_FIFTHS, OVER):
        timed.now = moment
        at_once(*(partial(look, each) for each in (one, other, one, other)))

    told = Counter(timed.told())
    assert set(told) == {
        each
        for number in numbers
        for each in (
            Told("Herinnering", number, SE, "HELFT"),
            Told("Herinnering", number, SE, "VIER_VIJFDE"),
            Told("TermijnVerstreken", number, SE),
            Told("TermijnVerstreken", number, SHV),
        )
    }
    assert set(told.values()) == {1}
    assert one.audit() == []


class Cut(BaseException):
    """Not an Exception: no handler may swallow the end of the process."""


@dataclass
class Fuse:
    """Ends the process at its n-th statement or commit.

    Attributes:
        burnt: How many there were.
    """

    blows_at: int
    burnt: int = 0

    def burn(self, *_: object) -> None:
        self.burnt += 1
        if self.burnt == self.blows_at:
            raise Cut

    @contextmanager
    def inside(self, ledger: SqlLedger) -> Iterator[None]:
        """For as long as the context lasts."""
        engine = ledger._database.engine
        for name in ("before_cursor_execute", "commit"):
            event.listen(engine, name, self.burn)
        try:
            yield
        finally:
            for name in ("before_cursor_execute", "commit"):
                event.remove(engine, name, self.burn)


def test_whoever_ends_in_between_another_goes_on_and_everything_is_said_once(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers
    timed, expected = Timed(one), set[Told]()
    for blows_at in count(1):
        timed.now += 7 * DAY
        numbers = [timed.say("Saldoverzoek", thread=f"{blows_at}/{each}") for each in range(2)]
        timed.now += 21 * DAY
        expected |= {
            Told("TermijnVerstreken", each, party) for each in numbers for party in (SHV, SE)
        }
        expected |= {Told("NietAfgeleverd", each, SHV, "NIET_OPGEHAALD") for each in numbers}
        crashed = False
        with Fuse(blows_at).inside(one):
            try:
                timed.work()
            except Cut:
                crashed = True
        timed.work(other)

        told = Counter(timed.told())
        assert (set(told), set(told.values())) == (expected, {1})
        if not crashed:
            assert blows_at > 10, "not every effect was an end"
            return


# --- mergers --------------------------------------------------------------------------------------


async def catches_up(timed: Timed) -> None:
    """The role klok looks once."""
    writer = Writer(timed.ledger, timed.station, clock=lambda: timed.now)
    try:
        await catch_up(writer, timed.ledger, timed.rules, lambda: timed.now)
    finally:
        await writer.close()


async def test_a_merged_partys_conversations_and_mail_move_on_the_day_and_its_terms_stay(
    timed: Timed,
) -> None:
    request = timed.say("Saldoverzoek")
    timed.collect(request, confirm=True)
    timed.say("SaldoverzoekAntwoord", SE, SHV, cross=request)
    proposal = timed.say("Betaalvoorstel")
    day = (timed.now + 2 * DAY).astimezone(AMSTERDAM).replace(hour=0)
    timed.directory = merged(timed.directory, SE, PUBLIEKE_SE, day.date())

    timed.now = day - timedelta(hours=1)
    await catches_up(timed)
    assert timed.row(proposal).ontvanger == SE
    timed.now = day
    await catches_up(timed)
    await catches_up(timed)

    row = timed.row(proposal)
    assert (row.ontvanger, row.state) == (PUBLIEKE_SE, State.AANGEBODEN)
    assert [each.referentienummer for _, each in timed.ledger.postbus(PUBLIEKE_SE, limit=9)] == [
        proposal
    ]
    assert timed.ledger.postbus(SE, limit=9) == []
    stand = timed.stand()
    assert (stand.se, last_day(timed, proposal)) == (PUBLIEKE_SE, LAST_DAY)

    timed.until(HALF)
    assert timed.told() == [Told("Herinnering", proposal, PUBLIEKE_SE, "HELFT")]
    # The sealed part opens: the agreed lines are there to compare with.
    timed.say("BetaalvoorstelAntwoord", PUBLIEKE_SE, SHV, cross=proposal)
    assert timed.stand().staat == "AKKOORD"
    timed.say("RegelingGeaccordeerd", to=PUBLIEKE_SE)
    assert timed.stand().staat == "LOPEND"


def test_what_a_ledger_says_is_next_is_what_the_clock_does_next(timed: Timed) -> None:
    assert timed.ledger.next_term() is None
    timed.say("Saldoverzoek")
    assert timed.ledger.next_term() == HALF
    timed.until(HALF)
    assert timed.ledger.next_term() == FOUR_FIFTHS
    timed.until(OVER)
    assert timed.ledger.next_term() is None
    assert timed.refused("Saldoverzoek", SE, SHV, thread="x") == "GEEN_RECHT"
    timed.say("Betaalvoorstel", change=ESTIMATE)
    assert timed.stand().staat == "VOORSTEL_GEDAAN"


# --- what would happen ----------------------------------------------------------------------------


def test_what_is_foreseen_is_what_happens_and_foreseeing_changes_nothing(timed: Timed) -> None:
    for number in range(3):
        request = timed.say("Saldoverzoek", thread=str(number))
    timed.collect(request, confirm=True)
    timed.strand(timed.say("Kennisgeving", thread="dood"))
    until = OVER + DAY

    foreseen = [*timed.ledger.foreseen(timed.rules, timed.now, until)]
    again = [*timed.ledger.foreseen(timed.rules, timed.now, until)]
    assert foreseen == again
    assert timed.told() == []

    timed.until(until)

    expected = Counter((e.bericht, e.referentienummer, e.voor) for e in foreseen)
    assert expected == Counter((e.soort, e.over, e.to) for e in timed.told())
    assert [*timed.ledger.foreseen(timed.rules, timed.now, until)] == []


def test_a_term_that_would_begin_now_is_foreseen_with_all_that_follows(ledger: SqlLedger) -> None:
    timed = Timed(ledger, a_directory(Channel.PUSH))
    timed.say("Saldoverzoek")
    timed.attempt(Answer.CONFIRMED)

    foreseen = [*timed.ledger.foreseen(timed.rules, timed.now, OVER)]

    assert [(each.wat, each.at, each.voor) for each in foreseen] == [
        ("TERMIJN_BEGINT", MONDAY, SE),
        ("HELFT", HALF, SE),
        ("VIER_VIJFDE", FOUR_FIFTHS, SE),
        ("VERSTREKEN", OVER, SHV),
        ("VERSTREKEN", OVER, SE),
    ]
    assert {each.tot_en_met for each in foreseen} == {LAST_DAY}
    with timed.ledger._database.reading() as connection:
        assert connection.scalar(sa.select(conversation.c.next_term)) is None


# --- what is only stored --------------------------------------------------------------------------


def restrict(ledger: SqlLedger, since: datetime, until: datetime | None = None) -> None:
    """Every conversation is only stored, or was."""
    with ledger._database.writing() as connection:
        connection.execute(sa.delete(restriction))
        connection.execute(
            sa.insert(restriction),
            [
                {
                    "conversation": number,
                    "since": since,
                    "ground": "BEZWAAR",
                    "kenmerk": "een",
                    "until": until,
                    "lifted_by": until and "ander",
                }
                for number in connection.scalars(sa.select(conversation.c.id)).all()
            ],
        )


def test_what_the_gateway_itself_hides_nobody_is_told_to_have_left_lying(timed: Timed) -> None:
    timed.say("Saldoverzoek")
    timed.work()
    restrict(timed.ledger, timed.now)
    start, due = timed.now, timed.now + timedelta(days=10)

    timed.until(due)
    coming = list(timed.ledger.foreseen(timed.rules, due, due))
    during = timed.told()
    restrict(timed.ledger, start, due)
    timed.work()

    assert (coming, during) == ([], [])
    assert [each.soort for each in timed.told()] != []


def test_no_statement_says_that_a_question_lay_ready_while_it_was_hidden(timed: Timed) -> None:
    question = timed.say("Saldoverzoek")
    timed.work()
    restrict(timed.ledger, timed.now + DAY, timed.now + 14 * DAY)
    timed.until(timed.now + 60 * DAY)

    hidden = seen_by_the_rules(timed, question)
    restrict(timed.ledger, timed.now - DAY, timed.now)
    after = seen_by_the_rules(timed, question)

    assert (hidden, after) == ("NIET_BEREIKBAAR", "GEEN_REACTIE")


def test_what_was_collected_before_it_was_hidden_lay_ready(timed: Timed) -> None:
    question = timed.say("Saldoverzoek")
    timed.collect(question)
    timed.work()
    restrict(timed.ledger, timed.now + DAY, timed.now + 14 * DAY)
    timed.until(timed.now + 60 * DAY)

    assert seen_by_the_rules(timed, question) == "GEEN_REACTIE"


def seen_by_the_rules(timed: Timed, question: str) -> str:
    """The kind of the statement about a question that nobody answered."""
    request = Request(SHV, Access(frozenset({SHV})), GATEWAY, a_uuid("verklaring"))
    made = timed.ledger.state(
        [SHV],
        a_uuid("gesprek", THREAD),
        question,
        lambda asked: stated(asked, request, timed.now, timed.rules.book),
        timed.now,
    )
    assert made is not None
    return str(made["verklaringGeenReactie"]["soort"])
