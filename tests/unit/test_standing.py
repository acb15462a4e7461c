"""Where a conversation stands, for each side; and what may be stated about silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fixtures.world import BEWINDVOERDER, GATEWAY, SE, SHV, STRANGER
from gateway.delivery import Reason, State
from gateway.errors import Code, Fault, Refusal
from gateway.message import Oin
from gateway.replies import About
from gateway.routing import table, terms
from gateway.routing.access import Access, access_of
from gateway.routing.directory import EMPTY, Directory, Mandate, Party, Succession
from gateway.routing.silence import SETTLED, Asked, Request, stated
from gateway.routing.stand import Soort, Stand, Status, Termijn, Vraag, as_text
from gateway.routing.standing import (
    Bericht,
    Gesprek,
    View,
    expected,
    is_turn,
    view_of,
    whole,
)

TABLE, BOOK = table.read(), terms.read()
NOW = datetime(2026, 4, 20, 9, tzinfo=UTC)
LAST = date(2026, 4, 15)
ASKED_AT = datetime(2026, 4, 1, 9, tzinfo=UTC)
HERE = "52a544f7-51b6-4f69-834c-b479c4c35245"
Q = "e6120ff0-07e1-40b1-9c50-a455aec92e7d"
OTHER = "b31a3c4b-4b23-4861-88b1-0d7f88659e04"


def term(soort: Soort = Soort.ANTWOORD, turn: Oin = SE, **changes: Any) -> Termijn:
    made = Termijn(
        soort, Q, "Saldoverzoek", "schuldregeling", "2.0", turn, "10 WERKDAG", ASKED_AT, LAST
    )
    return made._replace(**changes)


def stand(staat: str = "SALDO_VERLOPEN", **changes: Any) -> Stand:
    asked = Stand(staat, SHV, SE, vragen=(Vraag(Q, "Saldoverzoek", SHV),), termijnen=(term(),))
    return asked._replace(**changes)


def seen(now: Stand, party: Oin = SHV, *berichten: Bericht, modules: Any = None) -> View:
    given = {Q: "schuldregeling"} if modules is None else modules
    gesprek = Gesprek(HERE, SHV, SE, as_text(now), 1, NOW, given, 1, berichten)
    view = view_of(gesprek, Access(frozenset({party})))
    assert view is not None
    return view


def told(now: Stand, party: Oin, *berichten: Bericht, directory: Directory = EMPTY) -> Any:
    return whole(seen(now, party, *berichten), TABLE, NOW, directory)


@pytest.mark.parametrize("staat", TABLE.staten)
def test_every_state_is_told_in_dutch_to_both_sides(staat: str) -> None:
    for party in (SHV, SE):
        assert told(stand(staat), party)["staat"] == {"code": staat, "tekst": TABLE.staten[staat]}


def test_an_open_question_is_for_the_other_side_also_after_its_term() -> None:
    [one] = told(stand(), SE)["verwacht"]

    assert (one["van"], one["wat"], one["totEnMet"], one["verstreken"]) == (
        SE,
        "ANTWOORD",
        "2026-04-15",
        True,
    )
    assert is_turn(seen(stand(), SE), TABLE)
    assert not is_turn(seen(stand(), SHV), TABLE)


@pytest.mark.parametrize(
    ("staat", "soort", "met"),
    [
        ("DWANGAKKOORD_GEVRAAGD", "Betaalvoorstel", None),
        ("VOORSTEL_VERLOPEN", "Betaalvoorstel", ("BetaalvoorstelAntwoord",)),
        ("LOPEND", "CollectieveMelding", None),
        ("BEEINDIGD", "Saldoverzoek", None),
        ("BEEINDIGD", "Intrekking", ("IntrekkingBevestiging",)),
        ("SALDO_GEVRAAGD", "Statusverzoek", ("StatusberichtShv",)),
    ],
)
def test_nothing_is_expected_that_could_not_be_said(
    staat: str, soort: str, met: tuple[str, ...] | None
) -> None:
    now = stand(staat, vragen=(Vraag(Q, soort, SHV),), termijnen=())

    assert [each.met for each in expected(seen(now), TABLE)] == ([] if met is None else [met])


def test_who_may_object_need_not() -> None:
    now = stand(
        "AKKOORD_VOORLOPIG",
        vragen=(Vraag(Q, "Betaalvoorstel", SHV),),
        termijnen=(term(Soort.BEZWAAR),),
    )

    assert [each["wat"] for each in told(now, SE)["verwacht"]] == ["BEZWAAR"]
    assert not is_turn(seen(now, SE), TABLE)


def test_the_creditor_is_not_told_what_is_of_the_helper() -> None:
    now = stand(
        "SALDO_ONTVANGEN",
        reden="ANDERE_REDEN",
        vragen=(),
        termijnen=(term(Soort.VOORSTEL, SHV),),
        vervolg=({"kvkNummer": "99003000", "soort": "CESSIE", "conversatieReferentienummer": Q},),
    )

    helper, creditor = told(now, SHV), told(now, SE)
    assert (helper["reden"], len(helper["termijnen"])) == ("ANDERE_REDEN", 1)
    assert helper["verwacht"][0]["wat"] == "VOORSTEL"
    assert helper["vervolggesprekken"][0]["aangesloten"] is False
    assert not {"reden", "vervolggesprekken"} & creditor.keys()
    assert (creditor["termijnen"], creditor["verwacht"]) == ([], [])


def test_after_the_end_nothing_is_expected_and_no_term_is_shown() -> None:
    ended = stand("BEEINDIGD", reden="WSNP", vragen=(), termijnen=(term(Soort.VOORSTEL, SHV),))

    for party in (SHV, SE):
        now = told(ended, party)
        assert (now["termijnen"], now["verwacht"]) == ([], [])


@pytest.mark.parametrize("reason", ["VOLTOOID", "VOORTIJDIG", "WSNP", "OVERLEDEN", "OVERGENOMEN"])
def test_the_creditor_is_told_the_reasons_that_are_for_it(reason: str) -> None:
    assert told(stand("BEEINDIGD", reden=reason), SE)["reden"] == reason


def test_a_linked_party_is_looked_up_by_its_number_at_the_chamber() -> None:
    def party(oin: Oin, kvk: str) -> Party:
        return Party(
            oin, "Voorbeeld", frozenset({"schuldeiser"}), frozenset({"crisis"}), (), kvk=kvk
        )

    each = {"kvkNummer": "99003000", "soort": "CESSIE", "conversatieReferentienummer": Q}
    now = stand(vervolg=(each,))
    one = Directory(1, {STRANGER: party(STRANGER, "99003000"), SE: party(SE, "99009999")})
    two = Directory(1, {STRANGER: party(STRANGER, "99003000"), SE: party(SE, "99003000")})

    [linked] = told(now, SHV, directory=one)["vervolggesprekken"]
    assert (linked["oin"], linked["modules"], linked["aangesloten"]) == (STRANGER, ["crisis"], True)
    [linked] = told(now, SHV, directory=two)["vervolggesprekken"]
    assert (linked["aangesloten"], "oin" in linked) == (True, False)


def test_what_became_of_a_message_is_marked() -> None:
    def message(number: str, **changes: Any) -> Bericht:
        made = Bericht(
            number, "schuldregeling", "Saldoverzoek", "2.0", SHV, SE, ASKED_AT, State.AANGEBODEN
        )
        return replace(made, **changes)

    marks = ("teLaat", "nietAfgeleverd", "ingetrokken")
    for changes, mark in (
        ({}, None),
        ({"late": True}, "teLaat"),
        ({"state": State.GESTRAND}, "nietAfgeleverd"),
        ({"state": State.VERWORPEN, "reason": Reason.INGETROKKEN}, "ingetrokken"),
    ):
        [one] = told(stand(), SHV, message(Q, **changes))["berichten"]
        assert [each for each in marks if one.get(each)] == ([] if mark is None else [mark])


def test_what_the_gateway_told_others_is_not_shown() -> None:
    def reminder(to: Oin, about: str = Q) -> Bericht:
        return Bericht(
            f"h-{to}-{about}",
            "gateway",
            "Herinnering",
            "1.0",
            GATEWAY,
            to,
            NOW,
            State.AANGEBODEN,
            cross=about,
        )

    shown = told(stand(), SE, reminder(SE), reminder(SHV), reminder(SE, OTHER))["berichten"]

    assert [(one["ontvanger"], one["crossReferentienummer"]) for one in shown] == [(SE, Q)]


# Access


def test_access_follows_the_mandates_and_mergers_of_the_day() -> None:
    day = NOW.date()
    directory = Directory(
        1,
        {},
        mandates=(
            Mandate(BEWINDVOERDER, SE, "crisis", day, day),
            Mandate(
                BEWINDVOERDER, SE, "schuldregeling", day - timedelta(days=9), day - timedelta(1)
            ),
            Mandate(SHV, STRANGER, "crisis", day),
        ),
        successions=(Succession(STRANGER, SE, day),),
    )

    access = access_of(BEWINDVOERDER, NOW, directory)

    assert access.own == {BEWINDVOERDER}
    assert access.mandates == {SE: {"crisis"}, STRANGER: {"crisis"}}
    assert access_of(SE, NOW, directory) == Access(frozenset({SE, STRANGER}))
    assert access_of(SE, NOW - timedelta(days=1), directory) == Access(frozenset({SE}))
    assert (access.covers(SE, "crisis"), access.covers(SE, "schuldregeling")) == (True, False)


def test_by_mandate_only_its_modules_are_seen() -> None:
    gesprek = Gesprek(
        HERE, SHV, SE, as_text(stand()), 1, NOW, {Q: "schuldregeling", OTHER: "crisis"}
    )

    def seen_by(*modules: str) -> View | None:
        return view_of(gesprek, Access(frozenset({BEWINDVOERDER}), {SE: frozenset(modules)}))

    crisis, mine = seen_by("crisis"), seen_by("schuldregeling")
    assert seen_by("vish") is None
    assert view_of(gesprek, Access(frozenset({STRANGER}))) is None
    assert crisis is not None
    assert mine is not None
    assert list(expected(crisis, TABLE)) == []
    assert [each.op for each in expected(mine, TABLE)] == [Q]
    assert whole(crisis, TABLE, NOW, EMPTY)["termijnen"] == []


# The statement that nobody reacted

QUESTION = Asked(
    stand=as_text(stand()),
    conversatie=HERE,
    bericht=About(Q, "Saldoverzoek", "schuldregeling", "2.0"),
    recorded_at=ASKED_AT,
    state=State.AANGEBODEN,
    term="10 WERKDAG",
    available_at=ASKED_AT,
)
NOT_BEGUN = term()._replace(beschikbaar=None, tot_en_met=None)


def state(asked: Asked = QUESTION, *, at: datetime = NOW, soort: str | None = None) -> Any:
    request = Request(SHV, Access(frozenset({SHV})), GATEWAY, OTHER, soort)
    return stated(asked, request, at, BOOK)["verklaringGeenReactie"]


def standing(now: Stand, **changes: Any) -> Asked:
    return replace(QUESTION, stand=as_text(now), **changes)


def asked_for(status: Status, door: str | None = None) -> Asked:
    return standing(stand(vragen=(Vraag(Q, "Saldoverzoek", SHV, status, door),)))


def test_a_question_that_lay_ready_all_the_term_was_not_reacted_to() -> None:
    reminded = (NOW - timedelta(days=9), NOW - timedelta(days=6))
    made = state(standing(stand(termijnen=(term(herinnerd=reminded),)), collected_at=NOW))

    assert (made["soort"], made["vrager"], made["gevraagde"]) == ("GEEN_REACTIE", SHV, SE)
    assert (made["termijnTotEnMet"], len(made["herinneringen"])) == ("2026-04-15", 2)
    assert datetime.fromisoformat(made["vastgesteldOp"]) == NOW - SETTLED
    assert "opgehaaldOp" in made


@pytest.mark.parametrize("begun", [NOT_BEGUN, term()], ids=["never", "for-a-while"])
@pytest.mark.parametrize("state_now", [State.WACHT, State.GESTRAND, State.VERWORPEN])
def test_a_question_that_was_not_available_was_not_reached(
    state_now: State, begun: Termijn
) -> None:
    now = stand(termijnen=(begun,))
    asked = standing(now, state=state_now, available_at=None)

    made = state(asked)

    assert (made["soort"], made["code"]) == ("NIET_BEREIKBAAR", "NIET_BESCHIKBAAR_GEWEEST")
    assert made["termijnTotEnMet"] == "2026-04-17"  # Good Friday and Easter Monday do not count
    with pytest.raises(Refusal) as refused:
        state(asked, soort="GEEN_REACTIE")
    assert refused.value.code is Code.NIET_BESCHIKBAAR_GEWEEST
    assert state(asked, soort="NIET_BEREIKBAAR") == made


@pytest.mark.parametrize(
    ("since", "soort"),
    [(NOW - timedelta(days=40), "NIET_BEREIKBAAR"), (NOW - timedelta(minutes=1), "GEEN_REACTIE")],
    ids=["during the term", "after it"],
)
def test_a_question_that_was_hidden_did_not_lie_ready_all_the_term(
    since: datetime, soort: str
) -> None:
    asked = standing(stand(termijnen=(term(),)), withheld_since=since)

    made = state(asked)

    assert (made["soort"], made["termijnTotEnMet"]) == (soort, "2026-04-15")


@pytest.mark.parametrize(
    ("asked", "code", "rule"),
    [
        (asked_for(Status.BEANTWOORD, OTHER), Code.VRAAG_AL_BEANTWOORD, "BEANTWOORD_DOOR"),
        (
            replace(QUESTION, answers={OTHER: SE}),
            Code.VRAAG_AL_BEANTWOORD,
            "ANTWOORD_INGETROKKEN",
        ),
        (asked_for(Status.VERVANGEN, OTHER), Code.VRAAG_VERVANGEN, "VERVANGEN_DOOR"),
        (asked_for(Status.VERVANGEN, ""), Code.VRAAG_VERVANGEN, "VERVALLEN"),
        (asked_for(Status.INGETROKKEN), Code.NIET_GEVONDEN, None),
        (standing(stand(vragen=())), Code.NIET_GEVONDEN, None),
        (
            standing(stand(vragen=(Vraag(Q, "Navraag", SE),))),
            Code.NIET_GEVONDEN,
            None,
        ),
        (standing(stand("BEEINDIGD")), Code.GESPREK_BEEINDIGD, "TERMIJNEN_VERVALLEN"),
        (replace(QUESTION, term=None), Code.VERZOEK_ONGELDIG, "GEEN_TERMIJN"),
    ],
)
def test_no_statement_is_made_that_would_not_be_true(
    asked: Asked, code: Code, rule: str | None
) -> None:
    with pytest.raises(Refusal) as refused:
        state(asked)

    assert refused.value.code is code
    assert [each.rule for each in refused.value.findings] == ([] if rule is None else [rule])
    assert all(each.nl and each.en for each in refused.value.findings)


def test_what_the_asker_itself_said_about_its_question_is_no_answer() -> None:
    assert state(replace(QUESTION, answers={OTHER: SHV}))["soort"] == "GEEN_REACTIE"


@pytest.mark.parametrize(("seconds", "allowed"), [(-1, False), (0, True)])
def test_a_statement_waits_until_the_last_day_has_ended(seconds: int, allowed: object) -> None:
    end = datetime(2026, 4, 15, 22, tzinfo=UTC) + SETTLED + timedelta(seconds=seconds)

    if allowed:
        assert state(at=end)["soort"] == "GEEN_REACTIE"
        return
    with pytest.raises(Refusal) as refused:
        state(at=end)
    assert refused.value.code is Code.TERMIJN_LOOPT_NOG
    assert "2026-04-15" in refused.value.findings[0].nl


def test_the_other_statement_than_the_true_one_is_not_given() -> None:
    with pytest.raises(Refusal) as refused:
        state(soort="NIET_BEREIKBAAR")

    assert refused.value.code is Code.VERZOEK_ONGELDIG


def test_nothing_is_stated_before_the_conversation_knows_what_became_of_the_question() -> None:
    with pytest.raises(Fault):
        state(standing(stand(termijnen=(NOT_BEGUN,))))
