"""Figures about who answers in time: what is counted, what is hidden, and the daily digest."""

from __future__ import annotations

import statistics
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.world import OVERIGE_SHV, PUBLIEKE_SE, SE, SHV
from gateway.adapters.exposition import Metric, histogram, text, value
from gateway.calendar import Calendar
from gateway.message import Oin
from gateway.routing import digest, table
from gateway.routing.digest import Digest, Found, Happened, Line, Part, Running
from gateway.routing.figures import (
    HIDDEN,
    THRESHOLD,
    Answer,
    Group,
    Key,
    Outcome,
    Question,
    asking,
    grouped,
    outcome_of,
    quantile,
    shown,
    working_days,
)
from gateway.routing.lengths import Length, ends_at
from gateway.routing.stand import Soort, Stand, Stap, Status, Termijn, Vraag

KINDS = asking(table.read())
CALENDAR = Calendar()
MONDAY = datetime(2026, 3, 2, 11, tzinfo=UTC)
LAST = date(2026, 3, 16)
"""Of ten working days after that Monday."""
OVER = ends_at(LAST)
NUMBER = "52a544f7-51b6-4f69-834c-b479c4c35245"
TICK = timedelta(microseconds=1)


def standing(status: Status, *, last: date | None = LAST, na: str = "SALDO_GEVRAAGD") -> Stand:
    """A conversation with one question."""
    termijn = Termijn(
        soort=Soort.ANTWOORD,
        referentienummer=NUMBER,
        berichtsoort="Saldoverzoek",
        module="schuldregeling",
        versie="2.0",
        aan_zet=SE,
        lengte="10 WERKDAG",
        beschikbaar=MONDAY,
        tot_en_met=last,
    )
    return Stand(
        staat=na,
        shv=SHV,
        se=SE,
        vragen=(Vraag(NUMBER, "Saldoverzoek", SHV, status),),
        termijnen=() if last is None else (termijn,),
        stappen=(Stap(NUMBER, "Saldoverzoek", SHV, "NIEUW", na),),
    )


def question(status: Status = Status.OPEN, **changes: Any) -> Question:
    made = Question(
        referentienummer=NUMBER,
        conversatie="c",
        soort="Saldoverzoek",
        asker=SHV,
        asked=SE,
        asked_at=MONDAY,
        by_helper=True,
        stand=standing(status),
        available=MONDAY,
        term="10 WERKDAG",
        tot_en_met=LAST,
    )
    return made._replace(**changes)


def answered(at: datetime, *, late: bool = False, **changes: Any) -> Question:
    return question(Status.BEANTWOORD, answer=Answer(at, late), **changes)


# --- what is a question ---------------------------------------------------------------------


def test_what_asks_and_what_closes_it_is_read_from_the_table_of_moves() -> None:
    assert KINDS["Saldoverzoek"].answers == {
        "SaldoverzoekAntwoord",
        "SaldoverzoekAntwoordVoorafAkkoord",
        "GeenMedewerking",
    }
    assert KINDS["Statusverzoek"].by == "se"
    assert "KennisgevingAntwoord" not in KINDS
    assert "CollectieveMelding" not in KINDS, "an objection leaves it open, so nothing closes it"


def test_only_what_a_helper_asked_counts() -> None:
    asked = [question(), question(soort="Statusverzoek", asker=SE, asked=SHV, by_helper=False)]

    assert set(grouped(asked, CALENDAR, OVER)) == {Key(SE, "Saldoverzoek")}


# --- what came of it ------------------------------------------------------------------------


def test_an_answer_is_in_time_or_late_as_its_sender_was_told() -> None:
    assert outcome_of(answered(OVER - TICK), OVER) is Outcome.OP_TIJD
    assert outcome_of(answered(OVER, late=True), OVER) is Outcome.TE_LAAT


def test_without_an_answer_it_is_open_until_the_last_day_is_over_and_then_never() -> None:
    assert outcome_of(question(), OVER - TICK) is Outcome.OPEN
    assert outcome_of(question(), OVER) is Outcome.NOOIT


def test_a_delay_that_the_asker_granted_counts() -> None:
    later = question(stand=standing(Status.OPEN, last=LAST + timedelta(days=7)))

    assert outcome_of(later, OVER) is Outcome.OPEN


def test_a_question_that_did_not_arrive_is_open_and_never_held_against_a_creditor() -> None:
    undelivered = question(stand=standing(Status.NIET_AFGELEVERD))
    waiting = question(stand=standing(Status.OPEN, last=None), available=None, tot_en_met=None)

    assert outcome_of(undelivered, OVER + timedelta(days=90)) is Outcome.OPEN
    assert outcome_of(waiting, OVER + timedelta(days=90)) is Outcome.OPEN


@pytest.mark.parametrize("status", [Status.VERVANGEN, Status.INGETROKKEN])
def test_what_was_replaced_or_withdrawn_needs_no_answer(status: Status) -> None:
    assert outcome_of(question(status), OVER) is Outcome.VERVALLEN


def test_what_the_end_of_the_conversation_overtook_needs_no_answer() -> None:
    ended = question(stand=standing(Status.OPEN, last=None), ended_at=OVER - TICK)

    assert outcome_of(ended, OVER) is Outcome.VERVALLEN
    assert outcome_of(ended._replace(ended_at=OVER), OVER) is Outcome.NOOIT


def test_who_may_object_and_is_silent_did_nothing_wrong() -> None:
    objection = question(stand=standing(Status.OPEN, na="AKKOORD_VOORLOPIG"))

    assert outcome_of(objection, OVER) is Outcome.VERVALLEN


def test_an_answer_that_was_taken_back_is_no_answer() -> None:
    again_open = answered(OVER - TICK, stand=standing(Status.OPEN))

    assert outcome_of(again_open, OVER) is Outcome.NOOIT


def test_a_proposal_after_a_consent_in_advance_asks_for_nothing() -> None:
    told = question(stand=Stand(shv=SHV, se=SE), term=None, tot_en_met=None)

    assert outcome_of(told, OVER) is None


def test_a_kind_without_a_term_is_never_late() -> None:
    notice = answered(OVER, soort="Kennisgeving", term=None, tot_en_met=None)

    assert outcome_of(notice, OVER) is Outcome.ZONDER_TERMIJN


# --- how long it took -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "days"),
    [
        (datetime(2026, 3, 2, 22, 59, tzinfo=UTC), 0),  # 23:59 of that Monday
        (datetime(2026, 3, 2, 23, 1, tzinfo=UTC), 1),  # 00:01 of Tuesday
        (datetime(2026, 3, 6, 12, tzinfo=UTC), 4),
        (datetime(2026, 3, 7, 12, tzinfo=UTC), 4),  # Saturday counts with Friday
        (datetime(2026, 3, 9, 12, tzinfo=UTC), 5),
        (OVER - TICK, 10),  # the last moment of a term of ten took ten
    ],
)
def test_days_are_counted_as_the_term_is(at: datetime, days: int) -> None:
    assert working_days(answered(at), CALENDAR) == days


def test_holidays_do_not_count() -> None:
    before_easter = datetime(2026, 4, 2, 12, tzinfo=UTC)
    after_easter = datetime(2026, 4, 7, 12, tzinfo=UTC)

    assert working_days(answered(after_easter, available=before_easter), CALENDAR) == 1


@given(st.lists(st.integers(0, 60), min_size=1))
def test_the_median_and_p90_are_days_that_occurred(days: list[int]) -> None:
    counted = Counter(days)

    assert quantile(counted, 50) == statistics.median_low(days)
    p90 = quantile(counted, 90)
    assert p90 in days
    assert sum(each <= (p90 or 0) for each in days) * 10 >= len(days) * 9
    assert sum(each < (p90 or 0) for each in days) * 10 < len(days) * 9


def test_nothing_answered_has_no_median() -> None:
    assert quantile({}, 50) is None


# --- groups ---------------------------------------------------------------------------------


statuses = st.sampled_from([*Status])
questions = st.builds(
    lambda status, at, month, who, soort, late: question(
        status,
        asked=who,
        soort=soort,
        asked_at=MONDAY + timedelta(days=month),
        answer=Answer(at, late) if status is Status.BEANTWOORD else None,
    ),
    statuses,
    st.integers(0, 90).map(lambda days: MONDAY + timedelta(days=days)),
    st.integers(0, 70),
    st.sampled_from([SE, PUBLIEKE_SE]),
    st.sampled_from(["Saldoverzoek", "Betaalvoorstel"]),
    st.booleans(),
)


@given(st.lists(questions, max_size=60), st.booleans())
def test_every_question_is_in_one_group_with_one_outcome(
    asked: list[Question],
    by_month: bool,  # noqa: FBT001 - as it is generated
) -> None:
    found = grouped(asked, CALENDAR, OVER, by_month=by_month)

    assert sum(group.asked for group in found.values()) == len(asked)
    assert all(group.answered <= group.asked for group in found.values())
    assert {key.creditor for key in found} == {each.asked for each in asked}
    months = {f"{each.asked_at:%Y-%m}" for each in asked} if by_month else set()
    assert {key.month for key in found} - {""} == months


def test_a_month_is_that_of_the_question_in_amsterdam() -> None:
    new_year = question(asked_at=datetime(2026, 12, 31, 23, 30, tzinfo=UTC))

    assert set(grouped([new_year], CALENDAR, OVER, by_month=True)) == {
        Key(SE, "Saldoverzoek", "2027-01")
    }


# --- what is hidden -------------------------------------------------------------------------

groups = st.builds(
    lambda counts, days: Group(
        Counter(dict(zip(Outcome, counts, strict=True))), Counter(dict(enumerate(days)))
    ),
    st.lists(st.integers(0, 25), min_size=len(Outcome), max_size=len(Outcome)),
    st.lists(st.integers(0, 6), max_size=12),
)


@given(groups)
def test_no_figure_under_ten_is_shown(group: Group) -> None:
    told = shown(group)

    figures = [told[outcome.value] for outcome in Outcome] + [told["gevraagd"]]
    assert not [each for each in figures if isinstance(each, int) and 0 < each < THRESHOLD]
    if group.asked < THRESHOLD:
        assert set(told.values()) == {HIDDEN}
    if group.answered < THRESHOLD:
        assert (told["mediaan"], told["p90"]) == (HIDDEN, HIDDEN)


@given(groups)
def test_what_is_shown_is_true_and_the_whole_where_nothing_is_hidden(group: Group) -> None:
    told = shown(group)
    if group.asked < THRESHOLD:
        return

    for outcome in Outcome:
        assert told[outcome.value] in (group.outcomes[outcome], HIDDEN)
    if isinstance(told["gevraagd"], int):
        assert told["gevraagd"] == sum(told[outcome.value] for outcome in Outcome)
    else:
        assert int(told["gevraagd"].removeprefix(">=")) <= group.asked


@given(groups)
def test_no_hidden_figure_can_be_reckoned_from_what_is_shown(group: Group) -> None:
    told = shown(group)
    hidden = [outcome for outcome in Outcome if told[outcome.value] == HIDDEN]
    # in a small group everything is hidden, so the others may have been nothing
    small = group.asked < THRESHOLD

    for outcome in hidden:
        rest = {each: 0 if small else group.outcomes[each] for each in Outcome}
        others = (
            Group(Counter({**rest, outcome: other}), Counter() if small else group.days)
            for other in range(THRESHOLD)
            if other != group.outcomes[outcome]
        )
        assert any(shown(each) == told for each in others)


# --- terms and digests ----------------------------------------------------------------------


def term(conversatie: str, last: date, *, shv: Oin = SHV, turn: Oin = SE) -> Running:
    return Running(conversatie, "Saldoverzoek", Soort.ANTWOORD, shv, turn, last, 0, over=False)


def test_terms_are_shown_from_five_working_days_before_their_end() -> None:
    today = date(2026, 3, 9)
    stand = standing(Status.OPEN)
    (running,) = digest.terms_of("c", stand, today, CALENDAR)

    assert (running.turn, running.days_left, running.over) == (SE, 5, False)
    assert digest.needs_attention([running], today, CALENDAR) == [running]
    assert digest.needs_attention([running], today - timedelta(days=3), CALENDAR) == []
    (late,) = digest.terms_of("c", stand, LAST + timedelta(days=2), CALENDAR)
    assert (late.days_left, late.over) == (-2, True)


def test_an_objection_and_what_was_answered_are_nobodys_turn() -> None:
    objection = standing(Status.OPEN, na="AKKOORD_VOORLOPIG")
    (termijn,) = objection.termijnen
    stand = objection._replace(termijnen=(termijn._replace(soort=Soort.BEZWAAR),))

    assert list(digest.terms_of("c", stand, LAST, CALENDAR)) == []
    assert list(digest.terms_of("c", standing(Status.BEANTWOORD), LAST, CALENDAR)) == []


DAY = date(2026, 3, 9)
FIVE = Length.read("5 WERKDAG")


def happened(conversatie: str, *, shv: Oin = SHV, back: bool = False, days: int = 0) -> Happened:
    sender, recipient = (SE, shv) if back else (shv, SE)
    return Happened(conversatie, shv, sender, recipient, MONDAY - timedelta(days=days))


def made(found: Found, *helpers: Oin) -> list[Digest]:
    return digest.digests(found, helpers, DAY, may_lie=FIVE, calendar=CALENDAR)


def test_a_digest_tells_a_helper_what_happened_to_its_own_conversations_only() -> None:
    found = Found(
        answered=[happened("a", back=True), happened("x", shv=OVERIGE_SHV, back=True)],
        terms=[
            term("late", DAY),
            term("soon", date(2026, 3, 16)),
            term("own", DAY + timedelta(days=1), turn=SHV),
            term("far", date(2026, 3, 17)),
            term("long over", DAY - timedelta(days=1)),
            term("y", DAY, shv=OVERIGE_SHV),
        ],
        uncollected=[happened("lies"), happened("not long", days=-1), happened("to us", back=True)],
        stranded=[happened("dead"), happened("dead", back=True)],
    )

    mine, other = made(found, SHV, OVERIGE_SHV)

    assert {part: [line.conversatie for line in lines] for part, lines in mine.parts.items()} == {
        Part.BEANTWOORD: ["a"],
        Part.TE_LAAT: ["late"],
        Part.LOOPT_AF: ["own", "soon"],
        Part.NIET_OPGEHAALD: ["lies"],
        Part.GESTRAND: ["dead"],
    }
    assert [line.own_turn for line in mine.parts[Part.LOOPT_AF]] == [True, False]
    assert {line.conversatie for lines in other.parts.values() for line in lines} == {"x", "y"}


def test_a_digest_is_a_text_that_can_be_mailed_as_it_is() -> None:
    parts = {
        Part.BEANTWOORD: [Line("a"), Line("b")],
        Part.LOOPT_AF: [Line("c", date(2026, 3, 10), own_turn=True)],
    }
    told = digest.as_text(Digest(SHV, DAY, date(2026, 3, 16), parts), "Gemeente Voorbeeldstad")

    assert told == (
        "Onderwerp: Dagoverzicht van uw gesprekken op maandag 9 maart 2026\n"
        "\n"
        "Voor: Gemeente Voorbeeldstad\n"
        f"OIN: {SHV}\n"
        "\n"
        "Beantwoord: 2 gesprekken\n"
        "U kreeg op deze dag antwoord.\n"
        "- a\n"
        "- b\n"
        "\n"
        "Loopt binnenkort af: 1 gesprek\n"
        "De termijn loopt uiterlijk op maandag 16 maart 2026 af.\n"
        "- c (tot en met 10-03-2026; u bent aan zet)\n"
        "\n"
        "Zoek een gesprek op in uw eigen systeem met het nummer dat hier staat.\n"
        "In dit overzicht staan geen persoonsgegevens.\n"
    )


def test_a_day_without_news_says_so() -> None:
    (empty,) = made(Found((), (), (), ()), SHV)

    assert "Er is niets bijzonders te melden." in digest.as_text(empty, "")
    assert digest.as_json(empty, "")["beantwoord"] == {"aantal": 0, "gesprekken": []}


def test_a_digest_is_about_the_day_that_is_over_in_amsterdam() -> None:
    assert digest.day_of(datetime(2026, 3, 9, 23, 30, tzinfo=UTC)) == date(2026, 3, 9)
    assert digest.day_of(datetime(2026, 3, 9, 22, 30, tzinfo=UTC)) == date(2026, 3, 8)


# --- the text format of a monitor -----------------------------------------------------------


def test_labels_and_explanations_are_escaped() -> None:
    told = text([Metric("m", 'a\\b\nc"', "gauge", [("", {"x": 'q"\\\n}'}, 1.5)])])

    assert told == '# HELP m a\\\\b\\nc"\n# TYPE m gauge\nm{x="q\\"\\\\\\n}"} 1.5\n'


def test_the_buckets_of_a_histogram_add_up() -> None:
    told = text([histogram("m", "h", (0.5, 2), (3, 0, 4), 9.25)])

    assert told.splitlines()[2:] == [
        'm_bucket{le="0.5"} 3',
        'm_bucket{le="2"} 3',
        'm_bucket{le="+Inf"} 7',
        "m_sum 9.25",
        "m_count 7",
    ]


def test_what_is_not_known_has_no_value() -> None:
    assert text([value("m", "h", None)]) == "# HELP m h\n# TYPE m gauge\n"
