"""Every move of the conversation, legal or not, as read from the rules by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from fixtures.world import SE, SHV
from gateway.calendar import Calendar
from gateway.errors import Code
from gateway.message import Oin
from gateway.routing.conversation import running
from gateway.routing.guards import SCHATTING
from gateway.routing.kern import MOST_PROPOSALS, Kern, as_bytes
from gateway.routing.kern import read as read_kern
from gateway.routing.moments import next_moment
from gateway.routing.outcomes import undone
from gateway.routing.stand import BEEINDIGD, NIEUW, Soort, Stand, Status
from gateway.routing.table import Rij, Table
from gateway.routing.terms import ends_at
from tests.unit.conversation_moves import (
    NEW,
    QUESTIONS,
    Cell,
    Zet,
    cells,
    differences,
    expected,
    of_the_clock,
)
from tests.unit.talking import (
    AT,
    CONSENT,
    LENGTHS,
    TABLE,
    THREAD,
    after,
    agreed,
    lines_of,
    move,
    question,
    refusal,
    rules_of,
    standing,
    term,
)

EVENTS = expected()
SAID = [each for each in EVENTS if each.zegt != "klok"]
CLOCK = [each for each in EVENTS if each.zegt == "klok"]
ANSWERS = [
    each for each in SAID if each.op and not {"moratorium", "bezwaarVoorbij"} & set(each.met)
]

CROSS = "stuurgegevens/crossReferentienummer"


def cells_of(zet: Zet) -> list[Cell]:
    return list(cells(TABLE.staten, [zet]))


@pytest.mark.parametrize("zet", SAID, ids=str)
def test_in_every_state_a_message_does_what_the_rules_say(zet: Zet) -> None:
    assert [each for cell in cells_of(zet) for each in differences(cell, TABLE)] == []


@pytest.mark.parametrize("zet", CLOCK, ids=str)
def test_in_every_state_the_end_of_a_term_does_what_the_rules_say(zet: Zet) -> None:
    assert list(of_the_clock(zet, TABLE)) == []


def test_the_reading_of_the_rules_names_every_kind_and_code_of_the_table() -> None:
    read = {(each.soort, each.als) for each in EVENTS}
    for row in TABLE.moves():
        for soort in row.soort:
            assert {(soort, als) for als in row.als} <= read
            assert any(each == soort for each, _ in read)


def test_the_reading_of_the_rules_names_every_state_once() -> None:
    for zet in EVENTS:
        named = [
            state
            for told, states in zet.uit.items()
            if told != "anders"
            for state in states.split()
        ]
        assert len(named) == len(set(named)), zet
        assert set(named) <= TABLE.staten.keys(), zet
        assert set(named) == TABLE.staten.keys() or "anders" in zet.uit, zet


@pytest.mark.parametrize("row", list(TABLE.moves()), ids=lambda row: f"{row.soort[0]}-{row.naar}")
def test_no_row_can_be_changed_unnoticed(row: Rij) -> None:
    events = [each for each in EVENTS if each.soort in row.soort]
    for changed in _changes(row):
        broken = _with(row, changed)
        noticed = any(
            any(of_the_clock(zet, broken))
            if zet.zegt == "klok"
            else any(differences(cell, broken) for cell in cells_of(zet))
            for zet in events
        )
        assert noticed, changed


def _changes(row: Rij) -> Iterator[Rij | None]:
    """The row without each thing that it says, and without each of its states; and no row."""
    yield None
    untold = {"intrekking", "eist"}
    if row.soort == ("BetaalvoorstelAntwoord",) and row.naar:
        untold.add("als")  # there are two codes, and the rows of the other come first
    plain = {each.name: each.default for each in fields(Rij) if each.name not in _REQUIRED}
    for name, empty in plain.items():
        # These are about what is not in the state of a conversation, or have tests of their own.
        if getattr(row, name) != empty and name not in untold:
            changes: dict[str, Any] = {name: empty}
            yield replace(row, **changes)
    if len(row.van) > 1:
        for state in row.van:
            yield replace(row, van=tuple(each for each in row.van if each != state))


_REQUIRED = ("soort", "zegt", "van", "bron")


def _with(row: Rij, changed: Rij | None) -> Table:
    rows = {
        soort: tuple(
            each if each is not row else changed
            for each in found
            if each is not row or changed is not None
        )
        for soort, found in TABLE.rows.items()
    }
    return replace(TABLE, rows=MappingProxyType(rows))  # type: ignore[arg-type]


@pytest.mark.parametrize("zet", [each for each in SAID if each.zegt != "beide"], ids=str)
def test_the_other_side_may_never_say_it(zet: Zet) -> None:
    other = SE if zet.zegt == "shv" else SHV
    for staat in TABLE.staten:
        if staat != NIEUW:
            refused = refusal(zet.soort, standing(staat), als=zet.als, by=other)
            assert refused.code is Code.GEEN_RECHT
            assert rules_of(refused.findings) == ["ANDERE_KANT"]


@pytest.mark.parametrize("zet", ANSWERS, ids=str)
def test_an_answer_answers_only_the_kinds_that_it_is_an_answer_to(zet: Zet) -> None:
    kinds = {
        each
        for other in ANSWERS
        if (other.soort, other.als) == (zet.soort, zet.als)
        for each in other.op
    }
    for staat in TABLE.staten:
        if staat in (NIEUW, BEEINDIGD):
            continue
        for strange in (QUESTIONS.keys() - kinds) | {None}:
            cell = Cell(zet, staat, zet.speakers[0], strange)
            assert _code(cell) is Code.VRAAG_ONBEKEND, (cell, strange)


@pytest.mark.parametrize("zet", ANSWERS, ids=str)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.BEANTWOORD, Code.VRAAG_AL_BEANTWOORD),
        (Status.VERVANGEN, Code.VRAAG_VERVANGEN),
        (Status.INGETROKKEN, Code.VRAAG_ONBEKEND),
    ],
)
def test_what_is_not_asked_any_more_is_not_answered(zet: Zet, status: Status, code: Code) -> None:
    for staat in TABLE.staten:
        if zet.outcome(staat).startswith("weigert") or staat == NIEUW:
            continue
        for op in zet.op:
            cell = Cell(zet, staat, zet.speakers[0], op, {op: status})
            assert _code(cell) is code, cell


def _code(cell: Cell) -> Code | None:
    told = differences(replace_outcome(cell), TABLE)
    return Code(told[0].split("weigert ")[1].split(",")[0]) if told else None


def replace_outcome(cell: Cell) -> Cell:
    """The cell as if nothing of it could be right, so that what comes of it is told."""
    return replace(cell, zet=replace(cell.zet, uit={"naar NERGENS": cell.staat}))


def test_a_dead_question_that_arrived_after_all_may_be_answered() -> None:
    stand = standing("SALDO_GEVRAAGD", question("Saldoverzoek", status=Status.NIET_AFGELEVERD))

    made = move("SaldoverzoekAntwoord", stand, by=SE, cross="Saldoverzoek")

    assert made.stand.staat == "SALDO_ONTVANGEN"


def test_nobody_answers_its_own_question() -> None:
    stand = standing("LOPEND", question("Navraag", by=SHV))

    assert refusal("NavraagAntwoord", stand, by=SHV, cross="Navraag").code is Code.VRAAG_ONBEKEND


# --- late, repeated, replaced and crossing ----------------------------------------------------


OVERDUE = standing("SALDO_GEVRAAGD", question("Saldoverzoek"), termijnen=(term("Saldoverzoek"),))
LAST_INSTANT = ends_at(date(2026, 3, 16))


def test_an_answer_on_the_last_day_is_in_time_and_one_after_it_is_marked_late() -> None:
    how: dict[str, Any] = {"by": SE, "cross": "Saldoverzoek"}

    in_time = move("SaldoverzoekAntwoord", OVERDUE, at=LAST_INSTANT - timedelta(seconds=1), **how)
    late = move("SaldoverzoekAntwoord", OVERDUE, at=LAST_INSTANT, **how)

    assert rules_of(in_time.warnings) == []
    assert rules_of(late.warnings) == ["TE_LAAT"]
    assert late.stand.staat == in_time.stand.staat == "SALDO_ONTVANGEN"


@pytest.mark.parametrize(
    ("soort", "code", "staat", "naar"),
    [
        ("Saldoverzoek", None, "SALDO_VERLOPEN", "SALDO_ONTVANGEN"),
        ("Betaalvoorstel", "AKKOORD", "VOORSTEL_VERLOPEN", "AKKOORD"),
        ("Betaalvoorstel", "NIET_AKKOORD", "VOORSTEL_VERLOPEN", "AFGEWEZEN"),
        ("Heroverweging", "AKKOORD", "VERLOPEN", "AKKOORD"),
        ("Heroverweging", "NIET_AKKOORD", "VERLOPEN", "DEFINITIEF_AFGEWEZEN"),
    ],
)
def test_a_late_answer_is_accepted_and_says_so(
    soort: str, code: str | None, staat: str, naar: str
) -> None:
    answer = "SaldoverzoekAntwoord" if code is None else "BetaalvoorstelAntwoord"
    overdue = standing(staat, question(soort), termijnen=(term(soort, kind=soort),))

    made = move(answer, overdue, als=code, by=SE, cross=soort, at=LAST_INSTANT)

    assert made.stand.staat == naar
    assert rules_of(made.warnings) == ["TE_LAAT"]


def test_what_is_over_is_over_before_the_clock_came_by() -> None:
    with_estimate = {"voorstel": {"saldoBron": "SCHATTING"}}

    too_soon = refusal(
        "Betaalvoorstel", OVERDUE, change=with_estimate, at=LAST_INSTANT - timedelta(seconds=1)
    )
    made = move("Betaalvoorstel", OVERDUE, change=with_estimate, at=LAST_INSTANT)

    assert too_soon.code is Code.SALDO_NOG_OPEN
    assert made.stand.staat == "VOORSTEL_GEDAAN"
    assert SCHATTING in made.stand.merken


def test_who_answers_a_replaced_question_is_told_the_number_of_the_new_one() -> None:
    stand, _ = after(
        Stand(), ("Saldoverzoek", {"number": "een"}), ("Saldoverzoek", {"number": "twee"})
    )

    crossing = refusal("SaldoverzoekAntwoord", stand, by=SE, cross="een")
    made = move("SaldoverzoekAntwoord", stand, by=SE, cross="twee")

    (found,) = crossing.findings
    assert crossing.code is Code.VRAAG_VERVANGEN
    assert "twee" in found.nl
    assert "twee" in found.en
    assert found.path == f"/saldoverzoekAntwoord/{CROSS}"
    assert made.stand.staat == "SALDO_ONTVANGEN"


def test_who_answers_twice_is_told_the_number_of_the_first_answer() -> None:
    stand, _ = after(
        Stand(),
        ("Saldoverzoek", {"number": "s"}),
        ("SaldoverzoekAntwoord", {"number": "a", "by": SE, "cross": "s"}),
    )

    twice = refusal("SaldoverzoekAntwoord", stand, by=SE, cross="s")

    assert twice.code is Code.VRAAG_AL_BEANTWOORD
    assert "a." in twice.findings[0].nl


def test_a_refusal_repeated_after_the_last_round_was_answered_before() -> None:
    stand = standing(
        "DEFINITIEF_AFGEWEZEN", question("Heroverweging", status=Status.BEANTWOORD, door="a")
    )

    again = refusal(
        "BetaalvoorstelAntwoord", stand, als="NIET_AKKOORD", by=SE, cross="Heroverweging"
    )

    assert again.code is Code.VRAAG_AL_BEANTWOORD


def test_a_notification_is_answered_also_when_the_next_question_was_put() -> None:
    stand, _ = after(Stand(), ("Kennisgeving", {"number": "k"}), ("Saldoverzoek", {"number": "s"}))

    made = move("KennisgevingAntwoord", stand, by=SE, cross="k")

    assert made.stand.staat == "SALDO_GEVRAAGD"


# --- corrections ------------------------------------------------------------------------------


BEFORE_A_PROPOSAL = ("SALDO_ONTVANGEN", "SALDO_ONTVANGEN_VOORAF_AKKOORD")
AFTER_A_PROPOSAL = [
    "VOORSTEL_GEDAAN",
    "VOORSTEL_VERLOPEN",
    "AKKOORD_VOORLOPIG",
    "AKKOORD",
    "AFGEWEZEN",
    "HEROVERWEGING_GEVRAAGD",
    "VERLOPEN",
    "DEFINITIEF_AFGEWEZEN",
    "DWANGAKKOORD_GEVRAAGD",
    "OPGELEGD",
    "GEWEIGERD",
]


@pytest.mark.parametrize("staat", [*BEFORE_A_PROPOSAL, *AFTER_A_PROPOSAL])
def test_a_statement_may_be_corrected_until_the_arrangement_was_accepted(staat: str) -> None:
    answered = question("Saldoverzoek", status=Status.BEANTWOORD, door="a")

    made = move(
        "SaldoverzoekAntwoord", standing(staat, answered), by=SE, cross="Saldoverzoek", vervangt="a"
    )

    assert ("verouderd" in made.stand.merken) == (staat in AFTER_A_PROPOSAL)
    assert made.stand.vraag("Saldoverzoek") == answered._replace(door="nieuw")
    assert made.stand.staat == ("SALDO_ONTVANGEN" if staat in BEFORE_A_PROPOSAL else staat)


def test_no_statement_is_corrected_once_the_arrangement_runs() -> None:
    answered = question("Saldoverzoek", status=Status.BEANTWOORD, door="a")
    how: dict[str, Any] = {"by": SE, "cross": "Saldoverzoek", "vervangt": "a"}

    refused = refusal("SaldoverzoekAntwoord", standing("LOPEND", answered), **how)

    assert refused.code is Code.VOLGORDE_ONGELDIG


def test_a_correction_names_the_answer_that_it_replaces() -> None:
    answered = question("Saldoverzoek", status=Status.BEANTWOORD, door="a")
    how: dict[str, Any] = {"by": SE, "cross": "Saldoverzoek", "vervangt": "b"}

    refused = refusal("SaldoverzoekAntwoord", standing("SALDO_ONTVANGEN", answered), **how)

    assert refused.code is Code.VRAAG_AL_BEANTWOORD


# --- an agreement and what becomes of it ------------------------------------------------------


@pytest.mark.parametrize("staat", ["AKKOORD", "AKKOORD_VOORLOPIG"])
def test_a_new_proposal_takes_the_agreement_away_and_both_are_told(staat: str) -> None:
    stand, _ = after(Stand(), ("Saldoverzoek", {"number": "s"}))
    stand = stand._replace(staat=staat)

    made = move("Betaalvoorstel", stand, vervangt="s")

    assert made.stand.staat == "VOORSTEL_GEDAAN"
    assert rules_of(made.warnings) == ["AKKOORD_VERVALLEN"]  # on the receipt and the delivery


def test_a_proposal_replaces_only_a_message_of_this_conversation() -> None:
    refused = refusal("Betaalvoorstel", standing("AKKOORD"), vervangt="elders")

    assert refused.code is Code.VOLGORDE_ONGELDIG


CONSENTED = Kern(
    opgave=("E-2025-0117", "E-2025-0342"), vooraf=CONSENT, ibans=("NL59VRBD0300065264",)
)


@pytest.mark.parametrize(
    ("kern", "change", "marks", "day"),
    [
        pytest.param({}, {}, (), date(2027, 1, 1), id="expired"),
        pytest.param(
            {"vooraf": {**CONSENT, "typenRegeling": ["SB", "SA"]}}, {}, (), AT.date(), id="type"
        ),
        pytest.param(
            {"vooraf": {**CONSENT, "minimumPercentage": "11.86"}}, {}, (), AT.date(), id="minimum"
        ),
        pytest.param({"belemmerd": ("E-2025-0117",)}, {}, (), AT.date(), id="obstacle"),
        pytest.param({"ibans": ()}, {}, (), AT.date(), id="no-account"),
        pytest.param({}, {}, ("verouderd",), AT.date(), id="outdated"),
        pytest.param({"vooraf": None}, {}, (), AT.date(), id="no-consent"),
    ],
)
@pytest.mark.parametrize("objection", [False, True])
def test_without_consent_that_holds_a_proposal_is_only_a_proposal(
    kern: Any, change: Any, marks: tuple[str, ...], day: date, *, objection: bool
) -> None:
    stand = standing("SALDO_ONTVANGEN_VOORAF_AKKOORD", merken=frozenset(marks))
    how: dict[str, Any] = {"kern": CONSENTED._replace(**kern), "day": day, "objection": objection}

    made = move("Betaalvoorstel", stand, change=change, **how)
    at_once = refusal("RegelingGeaccordeerd", stand, **how)

    assert made.stand.staat == "VOORSTEL_GEDAAN"
    assert made.stand.vraag("nieuw") is not None
    assert at_once.code is Code.VOLGORDE_ONGELDIG


@pytest.mark.parametrize(
    ("kern", "day"),
    [
        ({}, date(2026, 12, 31)),
        ({"vooraf": {**CONSENT, "minimumPercentage": "11.85"}}, AT.date()),
    ],
)
def test_consent_holds_up_to_its_last_day_and_from_its_minimum(kern: Any, day: date) -> None:
    stand = standing("SALDO_ONTVANGEN_VOORAF_AKKOORD")

    made = move("Betaalvoorstel", stand, kern=CONSENTED._replace(**kern), day=day)

    assert made.stand.staat == "AKKOORD"


def provisional() -> Stand:
    """A proposal under consent in advance, to which the creditor may object until 16 March."""
    stand = standing("SALDO_ONTVANGEN_VOORAF_AKKOORD")
    made = move("Betaalvoorstel", stand, number="b", kern=CONSENTED, objection=True)
    return made.stand.with_termijn(term("b", soort=Soort.BEZWAAR, kind="Betaalvoorstel"))


def test_an_objection_counts_until_its_term_is_over_also_before_the_clock_came_by() -> None:
    how: dict[str, Any] = {"als": "NIET_AKKOORD", "by": SE, "cross": "b"}

    in_time = move(
        "BetaalvoorstelAntwoord", provisional(), at=LAST_INSTANT - timedelta(seconds=1), **how
    )
    too_late = refusal("BetaalvoorstelAntwoord", provisional(), at=LAST_INSTANT, **how)

    assert in_time.stand.staat == "AFGEWEZEN"
    assert too_late.code is Code.TERMIJN_VOORBIJ


def test_the_arrangement_waits_for_the_term_for_objections_and_no_longer() -> None:
    kern = CONSENTED._replace(type="SK", regels=lines_of("RegelingGeaccordeerd"))

    too_soon = refusal(
        "RegelingGeaccordeerd", provisional(), kern=kern, at=LAST_INSTANT - timedelta(seconds=1)
    )
    made = move("RegelingGeaccordeerd", provisional(), kern=kern, at=LAST_INSTANT)

    assert too_soon.code is Code.AKKOORD_VOORLOPIG
    assert made.stand.staat == "LOPEND"


def test_who_agrees_says_where_to_pay_unless_it_said_so_or_gets_nothing() -> None:
    stand = standing("VOORSTEL_GEDAAN", question("Betaalvoorstel"))
    how: dict[str, Any] = {"als": "AKKOORD", "by": SE, "cross": "Betaalvoorstel"}
    silent: dict[str, Any] = {"change": {"betaalgegevens": None}}
    unknown = agreed(ibans=())
    nothing = agreed(ibans=(), regels=lines_of("RegelingGeaccordeerd", afkooppercentage="0"))

    refused = refusal("BetaalvoorstelAntwoord", stand, kern=unknown, **how, **silent)

    assert refused.code is Code.REGEL_GESCHONDEN
    assert refused.findings[0].path == "/betaalvoorstelAntwoord/betaalgegevens"
    for kern in (agreed(), nothing):
        assert (
            move("BetaalvoorstelAntwoord", stand, kern=kern, **how, **silent).stand.staat
            == "AKKOORD"
        )
    assert move("BetaalvoorstelAntwoord", stand, kern=unknown, **how).stand.staat == "AKKOORD"


def test_an_account_that_was_not_seen_before_is_remarked_on() -> None:
    stand = standing("VOORSTEL_GEDAAN", question("Betaalvoorstel"))
    how: dict[str, Any] = {"als": "AKKOORD", "by": SE, "cross": "Betaalvoorstel"}

    strange = move(
        "BetaalvoorstelAntwoord", stand, kern=agreed(ibans=("NL02VRBD0990000421",)), **how
    )
    first = move("BetaalvoorstelAntwoord", stand, kern=agreed(ibans=()), **how)

    assert rules_of(strange.warnings) == ["IBAN_NIET_EERDER_GEZIEN"]
    assert rules_of(first.warnings) == []


LINE = "/regelingGeaccordeerd/vorderingen"


@pytest.mark.parametrize(
    ("kern", "found"),
    [
        ({"type": "SB"}, [("TYPE_WIJKT_AF", "/regelingGeaccordeerd/typeSchuldregeling")]),
        (
            {"regels": lines_of("RegelingGeaccordeerd", afkooppercentage="11.86")},
            [("REGEL_WIJKT_AF", f"{LINE}/{n}/afkooppercentage") for n in (0, 1)],
        ),
        (
            {"regels": lines_of("RegelingGeaccordeerd", prognoseEindbedragInCenten=1)},
            [("REGEL_WIJKT_AF", f"{LINE}/{n}/prognoseEindbedragInCenten") for n in (0, 1)],
        ),
        (
            {"regels": lines_of("RegelingGeaccordeerd", actueelVorderingsbedragInCenten=1)},
            [("REGEL_WIJKT_AF", f"{LINE}/{n}/actueelVorderingsbedragInCenten") for n in (0, 1)],
        ),
        (
            {"regels": lines_of("RegelingGeaccordeerd", vorderingsType="PREFERENT")},
            [("REGEL_WIJKT_AF", f"{LINE}/{n}/vorderingsType") for n in (0, 1)],
        ),
        (
            {"regels": {"E-2025-0117": lines_of("RegelingGeaccordeerd")["E-2025-0117"]}},
            [("REGEL_NIET_AFGESPROKEN", f"{LINE}/1/factuurnummerSe")],
        ),
        (
            {"regels": {**lines_of("RegelingGeaccordeerd"), "E-3": ["1", 1, 1, "CONCURRENT"]}},
            [("REGEL_ONTBREEKT", LINE)],
        ),
    ],
)
@pytest.mark.parametrize("staat", ["AKKOORD", "OPGELEGD"])
def test_every_difference_from_what_was_agreed_is_named_with_its_place(
    staat: str, kern: Any, found: list[tuple[str, str]]
) -> None:
    refused = refusal("RegelingGeaccordeerd", standing(staat), kern=agreed(**kern))

    assert refused.code is Code.WIJKT_AF_VAN_AKKOORD
    assert [(each.rule, each.path) for each in refused.findings] == found


def test_the_same_percentage_written_otherwise_is_the_same() -> None:
    kern = agreed(regels=lines_of("RegelingGeaccordeerd", afkooppercentage="11.850"))

    assert move("RegelingGeaccordeerd", standing("AKKOORD"), kern=kern).stand.staat == "LOPEND"


@pytest.mark.parametrize(
    ("soort", "staat", "inside"),
    [
        ("Betaalvoorstel", "SALDO_ONTVANGEN", "voorstel/"),
        ("Heroverweging", "AFGEWEZEN", "gewijzigdVoorstel/"),
    ],
)
def test_only_claims_that_the_creditor_stated_are_proposed_for(
    soort: str, staat: str, inside: str
) -> None:
    stand, _ = after(Stand(), ("Saldoverzoek", {"number": "s"}))
    stand = stand._replace(staat=staat)
    refused_step = stand.stappen[0]._replace(referentienummer="n", soort="BetaalvoorstelAntwoord")
    stand = stand.with_stap(refused_step)

    refused = refusal(soort, stand, cross="n", kern=agreed(opgave=("E-2025-0117",)))
    never_stated = move(soort, stand, cross="n", kern=agreed(opgave=None))

    (found,) = refused.findings
    assert refused.code is Code.VORDERING_NIET_IN_GESPREK
    assert found.path == f"/{soort[0].lower()}{soort[1:]}/{inside}vorderingen/1/factuurnummerSe"
    assert never_stated.stand.staat != staat


def test_a_second_look_is_asked_at_a_refusal_or_a_proposal_that_expired() -> None:
    stand, _ = after(Stand(), ("Saldoverzoek", {"number": "s"}))
    stand = stand._replace(staat="AFGEWEZEN")

    for cross in (None, "s", "elders"):
        refused = refusal("Heroverweging", stand, cross=cross)
        assert refused.code is Code.VRAAG_ONBEKEND
        assert refused.findings[0].path == f"/heroverweging/{CROSS}"


def test_a_credit_is_not_completed_before_it_paid_out() -> None:
    stand = standing("LOPEND")
    paid = move("Uitbetaling", stand, kern=agreed()).stand
    how: dict[str, Any] = {"als": "VOLTOOID", "kern": agreed()}

    refused = refusal("RegelingBeeindigd", stand, **how)

    assert refused.code is Code.VOLGORDE_ONGELDIG
    assert rules_of(refused.findings) == ["UITBETALING_ONTBREEKT"]
    assert move("RegelingBeeindigd", paid, **how).stand.reden == "VOLTOOID"
    assert move("RegelingBeeindigd", stand, als="VOLTOOID", kern=agreed(type="SB")).stand.ended


def test_only_a_settlement_that_pays_as_it_goes_is_calculated_again() -> None:
    refused = refusal("Herberekening", standing("LOPEND"), kern=agreed(type="SK"))

    assert refused.code is Code.VOLGORDE_ONGELDIG
    assert rules_of(refused.findings) == ["ALLEEN_BIJ_SB"]


# --- delay, and who may know where it stands ---------------------------------------------------


def granted(until: str, *, by: Oin = SHV, fired: int = 0) -> Stand:
    stand = OVERDUE._replace(termijnen=(term("Saldoverzoek")._replace(stap=fired),))
    change = {"uitstelTotEnMet": until}
    return move("StatusberichtShv", stand, als="UITSTEL_VERLEEND", by=by, change=change).stand


def test_the_asker_gives_more_time_and_never_less() -> None:
    assert granted("2026-03-17").termijnen[0].tot_en_met == date(2026, 3, 17)
    assert granted("2026-03-16").termijnen[0].tot_en_met == date(2026, 3, 16)
    assert granted("2026-03-13").termijnen[0].tot_en_met == date(2026, 3, 16)


def test_reminders_that_were_sent_are_not_sent_again_after_a_delay_but_its_end_is_told() -> None:
    assert [granted("2026-04-01", fired=n).termijnen[0].stap for n in (0, 1, 2, 3)] == [0, 1, 2, 2]


def test_who_was_asked_gives_itself_no_delay() -> None:
    change = {"gevraagdUitstelTotEnMet": "2026-04-01"}

    asked = move("StatusberichtSe", OVERDUE, als="UITSTEL_GEVRAAGD", by=SE, change=change)
    refused = refusal("StatusberichtShv", OVERDUE, als="UITSTEL_VERLEEND", by=SE)

    assert asked.stand.termijnen == OVERDUE.termijnen
    assert refused.code is Code.GEEN_RECHT


def test_an_enquiry_stops_no_term() -> None:
    made = move("Navraag", OVERDUE, by=SE, at=AT)

    assert made.stand.termijn("Saldoverzoek") == OVERDUE.termijn("Saldoverzoek")


# What the gateway may answer on behalf of a helper, as closed codes of the contract.
MAY_BE_READ = {
    "IN_BEHANDELING",
    "INVENTARISATIE",
    "VOORSTEL_IN_VOORBEREIDING",
    "WACHT_OP_SCHULDEISERS",
    "DWANGAKKOORD_VERZOCHT",
}


def test_a_creditor_reads_only_codes_of_the_whitelist_and_none_of_an_end_or_a_judgement() -> None:
    silent = {
        NIEUW,
        "GEOPEND",
        "GEEN_MEDEWERKING",
        "AKKOORD_VOORLOPIG",
        "OPGELEGD",
        "GEWEIGERD",
        "LOPEND",
        BEEINDIGD,
    }

    assert set(TABLE.status_codes.values()) == MAY_BE_READ
    assert TABLE.staten.keys() - TABLE.status_codes.keys() == silent


# --- the new party ------------------------------------------------------------------------------


def taken_over(**to: str) -> dict[str, Any]:
    overdracht = {"soort": "CESSIE", "naam": "Incasso Voorbeeld", "datum": "2026-01-01", **to}
    lines = [
        {
            "schuldtype": "OVERGEDRAGEN",
            "factuurnummerSeVolgensShv": number,
            "overdracht": overdracht,
        }
        for number in ("E-1", "E-2")
    ]
    return {"vorderingen": lines}


def test_the_helper_is_offered_one_conversation_with_each_new_party() -> None:
    answered: dict[str, Any] = {"by": SE, "cross": "s", "change": taken_over(oin=SHV)}
    stand, _ = after(Stand(), ("Saldoverzoek", {"number": "s"}), ("SaldoverzoekAntwoord", answered))

    (offered,) = stand.vervolg

    assert offered["oin"] == SHV
    assert offered["soort"] == "CESSIE"
    assert str(UUID(offered["conversatieReferentienummer"])) != THREAD
    again = {**answered, "number": "a2", "vervangt": "nieuw", "kern": Kern()}
    assert move("SaldoverzoekAntwoord", stand, **again).stand.vervolg == stand.vervolg


def test_nobody_is_offered_where_the_new_party_cannot_be_reached() -> None:
    answered = {"by": SE, "cross": "s", "change": taken_over()}
    stand, _ = after(Stand(), ("Saldoverzoek", {"number": "s"}), ("SaldoverzoekAntwoord", answered))

    assert stand.vervolg == ()


# --- the end --------------------------------------------------------------------------------------


def test_every_state_can_be_reached_and_every_state_can_end() -> None:
    ways: dict[str, set[str]] = {state: set() for state in TABLE.staten}
    for row in TABLE.moves():
        for state in row.states(TABLE.staten):
            if row.weigert is None:
                ways[state].add(row.naar or ("GEOPEND" if row.opent and state == NIEUW else state))

    assert _reached(ways, NIEUW) == TABLE.staten.keys()
    for state in TABLE.staten:
        assert BEEINDIGD in _reached(ways, state), state


def _reached(ways: dict[str, set[str]], start: str) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        for state in ways[todo.pop()] - seen:
            seen.add(state)
            todo.append(state)
    return seen


@pytest.mark.parametrize(
    ("saldo", "again"),
    [
        (("2026-01-01", "2026-03-10"), False),  # the day itself counts
        (("2026-03-09", "2026-03-09"), True),
        (("2025-12-10", None), False),  # 90 days after its date, and not longer
        (("2025-12-09", None), True),
    ],
)
def test_a_balance_is_asked_again_when_the_statement_counts_no_more(
    saldo: tuple[str, str | None],
    again: bool,  # noqa: FBT001
) -> None:
    stand, kern = standing("SALDO_ONTVANGEN"), Kern(opgave=("a",), saldo=saldo)

    if again:
        assert move("Saldoverzoek", stand, kern=kern).stand.staat == "SALDO_GEVRAAGD"
    else:
        assert refusal("Saldoverzoek", stand, kern=kern).code is Code.VOLGORDE_ONGELDIG


@pytest.mark.parametrize(
    "status", ["VORDERING_OVERGEDRAGEN", "VORDERING_VOLDAAN", "VORDERING_INGETROKKEN"]
)
def test_a_claim_that_is_open_no_more_cannot_be_in_a_proposal_and_the_others_can(
    status: str,
) -> None:
    stand = standing("SALDO_ONTVANGEN")
    both = Kern(opgave=("E-2025-0117", "E-2025-0342"))
    told = {"factuurnummers": ["E-2025-0342"]}

    closed = move("StatusberichtSe", stand, als=status, by=SE, change=told, kern=both).kern

    assert closed.opgave == ("E-2025-0117",)
    assert closed.gesloten == {"E-2025-0342": status}
    refused = refusal("Betaalvoorstel", stand, kern=closed)
    assert refused.code is Code.VORDERING_NIET_IN_GESPREK
    assert [each.path for each in refused.findings] == [
        "/betaalvoorstel/voorstel/vorderingen/1/factuurnummerSe"
    ]


def test_a_status_that_names_no_claim_is_about_all_of_them() -> None:
    both = Kern(opgave=("E-2025-0117", "E-2025-0342"))

    told = move(
        "StatusberichtSe", standing("SALDO_ONTVANGEN"), als="VORDERING_VOLDAAN", by=SE, kern=both
    )

    assert told.kern.opgave == ()
    assert set(told.kern.gesloten or {}) == {"E-2025-0117", "E-2025-0342"}


def test_a_new_claim_can_be_in_a_proposal() -> None:
    stand, one = standing("SALDO_ONTVANGEN"), Kern(opgave=("E-2025-0117",))
    told = {"factuurnummers": ["E-2025-0342"]}

    more = move("StatusberichtSe", stand, als="NIEUWE_VORDERING", by=SE, change=told, kern=one)

    assert move("Betaalvoorstel", stand, kern=more.kern).stand.staat == "VOORSTEL_GEDAAN"


def test_who_took_a_claim_over_later_is_offered_to_the_helper_too() -> None:
    to = {"soort": "CESSIE", "naam": "Incasso Voorbeeld", "oin": "00000099000000003000"}

    made = move(
        "StatusberichtSe",
        standing("SALDO_ONTVANGEN"),
        als="VORDERING_OVERGEDRAGEN",
        by=SE,
        change={"overdracht": to},
    )

    (offered,) = made.stand.vervolg
    assert (offered["oin"], offered["soort"]) == ("00000099000000003000", "CESSIE")


def test_an_end_that_is_taken_back_never_was() -> None:
    ended = move("RegelingBeeindigd", OVERDUE, als="WSNP").stand

    back = undone(ended, NEW)

    assert not back.ended
    assert (back.staat, back.reden) == (OVERDUE.staat, None)
    assert back.termijnen == OVERDUE.termijnen
    assert list(running(back)) == list(running(OVERDUE))


def test_a_payment_that_is_taken_back_was_never_made() -> None:
    running_settlement = standing("LOPEND")

    paid = move("Uitbetaling", running_settlement).stand

    assert paid.merken == {"uitbetaald"}
    assert undone(paid, NEW).merken == frozenset()


def test_after_the_end_nothing_runs_and_almost_nothing_is_said() -> None:
    stand = move("RegelingBeeindigd", OVERDUE, als="WSNP").stand

    assert list(running(stand)) == []
    assert next_moment(stand, Calendar()) is None
    assert stand.reden == "WSNP"
    assert refusal("Saldoverzoek", stand).code is Code.GESPREK_BEEINDIGD
    assert (
        refusal("SaldoverzoekAntwoord", stand, by=SE, cross="Saldoverzoek").code
        is Code.GESPREK_BEEINDIGD
    )


# --- taking back --------------------------------------------------------------------------------


def test_a_withdrawn_answer_reopens_its_question_with_its_old_date() -> None:
    answered = move("SaldoverzoekAntwoord", OVERDUE, number="a", by=SE, cross="Saldoverzoek").stand

    again = undone(answered, "a")

    assert again.staat == "SALDO_GEVRAAGD"
    assert again.vraag("Saldoverzoek") == question("Saldoverzoek")
    assert again.termijnen == OVERDUE.termijnen
    assert refusal("Betaalvoorstel", again).code is Code.SALDO_NOG_OPEN


def test_a_withdrawn_question_is_not_asked_and_what_it_replaced_is_asked_again() -> None:
    stand, _ = after(
        Stand(), ("Saldoverzoek", {"number": "een"}), ("Saldoverzoek", {"number": "twee"})
    )

    first_again = undone(stand, "twee")

    assert first_again.staat == "SALDO_GEVRAAGD"
    assert (
        move("SaldoverzoekAntwoord", first_again, by=SE, cross="een").stand.staat
        == "SALDO_ONTVANGEN"
    )
    assert (
        refusal("SaldoverzoekAntwoord", first_again, by=SE, cross="twee").code
        is Code.VRAAG_ONBEKEND
    )


def test_withdrawing_the_question_that_was_replaced_leaves_the_newer_one_as_it_is() -> None:
    stand, _ = after(
        Stand(),
        ("Kennisgeving", {"number": "k"}),
        ("Saldoverzoek", {"number": "een"}),
        ("Saldoverzoek", {"number": "twee"}),
    )

    without = undone(stand, "een")

    assert without.staat == "SALDO_GEVRAAGD"
    assert (
        move("SaldoverzoekAntwoord", without, by=SE, cross="twee").stand.staat == "SALDO_ONTVANGEN"
    )
    assert undone(without, "twee").staat == "KENNIS_GEGEVEN"
    assert undone(without, "twee").vraag("een") == question(
        "Saldoverzoek", number="een", status=Status.INGETROKKEN, door="twee"
    )


def test_of_three_questions_the_first_is_asked_again_when_the_others_were_withdrawn() -> None:
    stand, _ = after(Stand(), *(("Saldoverzoek", {"number": n}) for n in ("een", "twee", "drie")))

    again = undone(undone(stand, "twee"), "drie")

    assert [each.referentienummer for each in again.open_vragen()] == ["een"]
    assert again.staat == "SALDO_GEVRAAGD"


def test_a_withdrawn_correction_leaves_the_earlier_answer_and_the_other_way_round() -> None:
    stand, _ = after(
        Stand(),
        ("Saldoverzoek", {"number": "s"}),
        ("SaldoverzoekAntwoord", {"number": "a", "by": SE, "cross": "s"}),
        ("SaldoverzoekAntwoord", {"number": "b", "by": SE, "cross": "s", "vervangt": "a"}),
    )

    for withdrawn, left in (("b", "a"), ("a", "b")):
        one = undone(stand, withdrawn)
        assert one.staat == "SALDO_ONTVANGEN"
        assert one.vraag("s") == question(
            "Saldoverzoek", number="s", status=Status.BEANTWOORD, door=left
        )
        none = undone(one, left)
        assert none.staat == "SALDO_GEVRAAGD"
        assert none.vraag("s") == question("Saldoverzoek", number="s")


def test_a_proposal_taken_back_lets_the_term_for_objections_to_the_earlier_one_run_on() -> None:
    replaced = move("Betaalvoorstel", provisional(), number="c", vervangt="b", kern=CONSENTED).stand

    again = undone(replaced, "c")

    assert again.staat == "AKKOORD_VOORLOPIG"
    assert again.vraag("b") == question("Betaalvoorstel", number="b")
    assert again.termijn("b") == term("b", soort=Soort.BEZWAAR, kind="Betaalvoorstel")


def test_when_a_proposal_is_taken_back_the_earlier_one_counts_again() -> None:
    stand, kern = after(
        standing("SALDO_ONTVANGEN"),
        ("Betaalvoorstel", {"number": "b"}),
        ("BetaalvoorstelAntwoord", {"number": "a", "als": "AKKOORD", "by": SE, "cross": "b"}),
        ("Betaalvoorstel", {"number": "c", "vervangt": "b", "change": OTHER_TYPE}),
    )
    again = undone(stand, "c")

    assert (stand.staat, kern.counting(stand.numbers).type) == ("VOORSTEL_GEDAAN", "SA")
    assert (again.staat, kern.counting(again.numbers).type) == ("AKKOORD", "SK")
    made = move("RegelingGeaccordeerd", again, kern=kern.counting(again.numbers))
    assert made.stand.staat == "LOPEND"
    none = undone(again, "b")
    assert kern.counting(none.numbers).regels is None


OTHER_TYPE = {"voorstel": {"typeSchuldregeling": "SA"}}


def test_of_many_proposals_the_latest_are_remembered() -> None:
    kern = agreed()
    for number in range(20):
        kern = kern._replace(type=str(number)).remembered(str(number))

    assert len(kern.voorstellen or {}) == MOST_PROPOSALS
    assert read_kern(as_bytes(kern)) == kern
    assert kern.counting(["19", "18"]).type == "19"
    assert kern.counting(["18"]).type == "18"


def test_an_enquiry_taken_back_moves_nothing() -> None:
    asked = move("Navraag", OVERDUE, number="n", by=SE).stand
    expired = asked._replace(staat="SALDO_VERLOPEN")

    assert undone(expired, "n").staat == "SALDO_VERLOPEN"


def test_lengths_of_these_tests_are_those_that_a_term_is_made_of() -> None:
    made = move("Saldoverzoek", Stand(), at=datetime(2026, 3, 2, tzinfo=UTC))

    assert made.term == LENGTHS.antwoord
    assert made.stand.termijnen[0].lengte == "10 WERKDAG"
