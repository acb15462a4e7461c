"""What falls due in a conversation falls due once, on the Dutch day that was told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from fixtures.world import SE, SHV
from gateway.calendar import AMSTERDAM, Calendar
from gateway.routing.moments import Wat, fire, next_moment, schedule
from gateway.routing.outcomes import available, not_delivered, undone
from gateway.routing.stand import Soort, Stand, Status, Termijn
from tests.unit.talking import TABLE, move, question, standing, term

PLAIN = Calendar()
NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)  # a Monday


@pytest.fixture(params=["UTC", "Asia/Tokyo"], autouse=True)
def time_zone_of_the_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the machine believes the time zone to be, days are those of Amsterdam."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def running(since: datetime, length: str = "10 WERKDAG", soort: Soort = Soort.ANTWOORD) -> Stand:
    """A question that became available then, with a term of that length."""
    kind = "Saldoverzoek" if soort is Soort.ANTWOORD else "Betaalvoorstel"
    staat = "SALDO_GEVRAAGD" if soort is Soort.ANTWOORD else "AKKOORD_VOORLOPIG"
    waiting = term("v", None, soort=soort, kind=kind)._replace(lengte=length)
    stand = standing(staat, question(kind, number="v"), termijnen=(waiting,))
    return available(stand, "v", since, PLAIN)


def of(stand: Stand) -> Termijn:
    (termijn,) = stand.termijnen
    return termijn


def amsterdam(*when: int) -> datetime:
    return datetime(*when, tzinfo=AMSTERDAM)  # type: ignore[misc, arg-type]


def fired_by(stand: Stand, now: datetime) -> list[Wat]:
    return [each.wat for each in fire(stand, now, PLAIN, TABLE)[1]]


# --- each once ------------------------------------------------------------------------------------


def test_every_moment_fires_once_and_then_nothing_is_due() -> None:
    stand, seen = running(NOON), []
    while (due := next_moment(stand, PLAIN)) is not None:
        assert fired_by(stand, due - timedelta(microseconds=1)) == []
        stand, fired = fire(stand, due, PLAIN, TABLE)
        seen += [(each.wat, each.at) for each in fired]
        assert fired_by(stand, due) == []

    assert seen == [
        (Wat.HELFT, amsterdam(2026, 3, 9, 9)),
        (Wat.VIER_VIJFDE, amsterdam(2026, 3, 12, 9)),
        (Wat.VERSTREKEN, amsterdam(2026, 3, 17)),
    ]
    assert stand.staat == "SALDO_VERLOPEN"
    assert of(stand).herinnerd == (amsterdam(2026, 3, 9, 9), amsterdam(2026, 3, 12, 9))
    assert [each.status for each in stand.vragen] == [Status.OPEN]  # expiry closes no question


@pytest.mark.parametrize(
    ("now", "only"),
    [
        (amsterdam(2026, 3, 12, 9), Wat.VIER_VIJFDE),
        (amsterdam(2026, 3, 16, 23, 59, 59), Wat.VIER_VIJFDE),
        (amsterdam(2026, 3, 17), Wat.VERSTREKEN),
        (amsterdam(2027, 3, 17), Wat.VERSTREKEN),
    ],
)
def test_moments_that_passed_unseen_are_not_made_up_for(now: datetime, only: Wat) -> None:
    stand, fired = fire(running(NOON), now, PLAIN, TABLE)

    assert [each.wat for each in fired] == [only]
    assert fired_by(stand, now) == []
    later = next_moment(stand, PLAIN)
    assert later is None or later > now


def test_a_term_of_one_day_reminds_once() -> None:
    stand = running(NOON, "1 WERKDAG")

    half, four_fifths, over = schedule(of(stand), PLAIN)
    _, fired = fire(stand, half.at, PLAIN, TABLE)

    assert half.at == four_fifths.at == amsterdam(2026, 3, 3, 9)
    assert [each.wat for each in fired] == [Wat.VIER_VIJFDE]
    assert over.at == amsterdam(2026, 3, 4)


def test_moments_of_several_questions_fire_each_for_itself() -> None:
    first = running(NOON)
    other = of(first)._replace(referentienummer="n", berichtsoort="Navraag")
    stand = first._replace(
        vragen=(*first.vragen, question("Navraag", number="n")),
        termijnen=(*first.termijnen, other),
    )

    stand, fired = fire(stand, amsterdam(2026, 3, 17), PLAIN, TABLE)

    assert [each.termijn.referentienummer for each in fired] == ["v", "n"]
    assert stand.staat == "SALDO_VERLOPEN"
    assert fired_by(stand, amsterdam(2027, 3, 17)) == []


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.OPEN])
def test_a_question_that_is_not_open_fires_nothing(status: Status) -> None:
    stand = running(NOON)
    closed = stand._replace(vragen=(question("Saldoverzoek", number="v", status=status),))

    assert next_moment(closed, PLAIN) is None
    assert fired_by(closed, amsterdam(2027, 1, 1)) == []


def test_after_the_end_nothing_fires() -> None:
    ended = running(NOON)._replace(staat="BEEINDIGD")

    assert next_moment(ended, PLAIN) is None
    assert fired_by(ended, amsterdam(2027, 1, 1)) == []


def test_a_term_that_does_not_run_yet_fires_nothing() -> None:
    dead = not_delivered(running(NOON), "v")

    assert schedule(of(dead), PLAIN) == []
    assert next_moment(dead, PLAIN) is None


def test_what_arrives_after_all_has_its_whole_term_from_then() -> None:
    reminded, _ = fire(running(NOON), amsterdam(2026, 3, 12, 9), PLAIN, TABLE)

    again = available(not_delivered(reminded, "v"), "v", amsterdam(2026, 3, 16, 8), PLAIN)

    assert of(again).tot_en_met == date(2026, 3, 30)
    assert of(again).stap == 0
    assert next_moment(again, PLAIN) == amsterdam(2026, 3, 23, 9)


def test_what_lies_ready_already_keeps_the_day_that_was_told() -> None:
    stand = running(NOON)

    assert available(stand, "v", NOON + timedelta(days=3), PLAIN) == stand
    waiting = not_delivered(stand, "v")
    assert of(available(waiting, "v", NOON, PLAIN, date(2026, 5, 1))).tot_en_met == date(2026, 5, 1)


@pytest.mark.parametrize(
    ("recalled_at", "due"),
    [
        (amsterdam(2026, 3, 4, 12), amsterdam(2026, 3, 9, 9)),
        (amsterdam(2026, 3, 20, 12), amsterdam(2026, 3, 17)),
    ],
)
def test_a_withdrawn_answer_reopens_its_question_with_the_old_date(
    recalled_at: datetime, due: datetime
) -> None:
    asked = running(NOON)
    if recalled_at > due:
        asked, _ = fire(asked, amsterdam(2026, 3, 12, 9), PLAIN, TABLE)
    answered = move(
        "SaldoverzoekAntwoord", asked, number="a", by=SE, cross="v", at=NOON + timedelta(days=1)
    ).stand
    by_then, fired = fire(answered, recalled_at, PLAIN, TABLE)

    again = undone(by_then, "a")

    assert [each for each in fired if each.termijn.soort is Soort.ANTWOORD] == []
    assert of(again) == of(asked)
    assert next_moment(again, PLAIN) == due


# --- whose turn it is -----------------------------------------------------------------------------


def test_the_helper_has_one_term_for_its_proposal_that_of_the_newest_statement() -> None:
    first = term("a", soort=Soort.VOORSTEL, kind="SaldoverzoekAntwoord", turn=SHV)
    newer = first._replace(referentienummer="b", tot_en_met=date(2026, 3, 20))
    stand = standing("SALDO_ONTVANGEN", termijnen=(first, newer))

    stand, fired = fire(stand, amsterdam(2026, 4, 1), PLAIN, TABLE)

    assert [each.termijn.referentienummer for each in fired] == ["b"]
    assert stand.staat == "SALDO_ONTVANGEN"
    assert next_moment(stand._replace(staat="VOORSTEL_GEDAAN"), PLAIN) is None


def test_the_end_of_the_term_for_objections_makes_the_consent_count() -> None:
    stand = running(NOON, "5 WERKDAG", Soort.BEZWAAR)
    end = amsterdam(2026, 3, 10)

    before, nothing = fire(stand, end - timedelta(seconds=1), PLAIN, TABLE)
    after, fired = fire(stand, end, PLAIN, TABLE)

    assert (before, nothing) == (stand, [])
    assert [each.wat for each in fired] == [Wat.BEZWAAR_VERSTREKEN]
    assert after.staat == "AKKOORD"
    assert next_moment(after, PLAIN) is None


def test_a_term_for_objections_fires_only_while_the_consent_is_provisional() -> None:
    objected = running(NOON, "5 WERKDAG", Soort.BEZWAAR)._replace(staat="AFGEWEZEN")

    assert next_moment(objected, PLAIN) is None


# --- days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "length", "last"),
    [
        pytest.param(amsterdam(2026, 3, 2, 23, 59), "10 WERKDAG", date(2026, 3, 16), id="23:59"),
        pytest.param(amsterdam(2026, 3, 3, 0, 1), "10 WERKDAG", date(2026, 3, 17), id="00:01"),
        pytest.param(
            amsterdam(2026, 7, 6, 23, 59), "1 WERKDAG", date(2026, 7, 7), id="summer-23:59"
        ),
        pytest.param(amsterdam(2026, 7, 7, 0, 1), "1 WERKDAG", date(2026, 7, 8), id="summer-00:01"),
        pytest.param(
            amsterdam(2026, 3, 27, 12), "2 WERKDAG", date(2026, 3, 31), id="clock-forward"
        ),
        pytest.param(
            amsterdam(2026, 3, 28, 12), "1 KALENDERDAG", date(2026, 3, 29), id="short-day"
        ),
        pytest.param(amsterdam(2026, 10, 23, 12), "2 WERKDAG", date(2026, 10, 27), id="clock-back"),
        pytest.param(
            amsterdam(2026, 10, 24, 12), "1 KALENDERDAG", date(2026, 10, 25), id="long-day"
        ),
        pytest.param(
            amsterdam(2026, 10, 25, 2, 30), "1 KALENDERDAG", date(2026, 10, 26), id="twice"
        ),
        pytest.param(amsterdam(2027, 3, 25, 9), "2 WERKDAG", date(2027, 3, 31), id="Easter-2027"),
        pytest.param(amsterdam(2026, 5, 4, 9), "1 WERKDAG", date(2026, 5, 6), id="5-May"),
        pytest.param(amsterdam(2026, 12, 31, 9), "1 WERKDAG", date(2027, 1, 4), id="year-end"),
        pytest.param(amsterdam(2026, 12, 24, 9), "2 WERKDAG", date(2026, 12, 29), id="Christmas"),
        pytest.param(amsterdam(2026, 10, 31, 9), "4 MAAND", date(2027, 2, 28), id="28-February"),
        pytest.param(
            amsterdam(2027, 2, 28, 9), "1 MAAND", date(2027, 3, 28), id="from-28-February"
        ),
        pytest.param(amsterdam(2027, 10, 31, 9), "4 MAAND", date(2028, 2, 29), id="leap-year"),
    ],
)
def test_a_term_ends_when_its_last_day_ends_in_amsterdam(
    since: datetime, length: str, last: date
) -> None:
    stand = running(since.astimezone(UTC), length)
    *reminders, over = schedule(of(stand), PLAIN)

    assert of(stand).tot_en_met == last
    next_day = last + timedelta(days=1)
    assert over.at == amsterdam(next_day.year, next_day.month, next_day.day)
    assert fired_by(stand, over.at - timedelta(microseconds=1)) != [Wat.VERSTREKEN]
    assert fired_by(stand, over.at) == [Wat.VERSTREKEN]
    for each in reminders:
        local = each.at.astimezone(AMSTERDAM)
        assert (local.hour, local.minute) == (9, 0)
        assert since.astimezone(AMSTERDAM).date() < local.date() <= last
    assert all(one.at <= other.at for one, other in pairwise([*reminders, over]))


def test_the_day_on_which_the_clock_changes_is_as_long_as_it_is() -> None:
    def hours(year: int, month: int, day: int) -> float:
        begins = schedule(of(running(amsterdam(year, month, day - 2, 9), "1 KALENDERDAG")), PLAIN)
        ends = schedule(of(running(amsterdam(year, month, day - 1, 9), "1 KALENDERDAG")), PLAIN)
        return (ends[-1].at - begins[-1].at) / timedelta(hours=1)

    assert hours(2026, 3, 29) == 23
    assert hours(2026, 10, 25) == 25
