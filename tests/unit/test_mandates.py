"""Whoever acts for another is authorised on the day of receipt, and so is who gets a BSN."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from fixtures.documents import example, kind
from gateway.errors import Code, Finding
from gateway.message import Dialect, Json, Kind, Oin, Submission
from gateway.routing.directory import BsnRight, Directory, Mandate, Party
from gateway.routing.places import place
from gateway.routing.rights import numbers_in
from gateway.schemas.persons import paths_of
from gateway.schemas.plan import places
from tests.unit.rights_cases import (
    AGENCIES,
    CATALOGUE,
    NOON,
    OWNER,
    a_bsn_right,
    a_directory,
    a_mandate,
    a_party,
    a_submission,
    check,
    refusal,
)

SHV, SE = a_party("shv-fase-2"), a_party("schuldeiser")
BUREAU, BAILIFF = a_party("incassobureau"), a_party("gerechtsdeurwaarder")
VOORSTEL = kind("schuldregeling", "Betaalvoorstel")
ANTWOORD = kind("schuldregeling", "BetaalvoorstelAntwoord")
PUBLIEK = kind("schuldregeling", "KennisgevingPubliek")
VERZOEK = kind("schuldregeling", "Saldoverzoek")
OTHER = Oin("00000099000000005000")


def with_mandates(*mandates: Mandate) -> Directory:
    return a_directory(SHV, SE, BUREAU, BAILIFF, mandates=mandates)


def with_bsn(*rights: BsnRight, mandates: tuple[Mandate, ...] = ()) -> Directory:
    return a_directory(SHV, SE, BAILIFF, mandates=mandates, bsn_rights=rights)


# Mandates


@pytest.mark.parametrize("role", AGENCIES)
def test_an_agency_gets_a_message_for_whom_it_acts(role: str) -> None:
    agency = a_party(role)

    check(
        a_submission(VOORSTEL, SHV, agency, namens=OWNER),
        SHV,
        agency,
        with_mandates(a_mandate(role)),
    )


@pytest.mark.parametrize("role", AGENCIES)
def test_an_agency_answers_for_whom_it_acts(role: str) -> None:
    agency = a_party(role)

    check(
        a_submission(ANTWOORD, agency, SHV, namens=OWNER),
        agency,
        SHV,
        with_mandates(a_mandate(role)),
    )


@pytest.mark.parametrize("namens", [None, BUREAU.oin])
@pytest.mark.parametrize(
    ("sender", "recipient", "which"), [(SHV, BUREAU, VOORSTEL), (BUREAU, SHV, ANTWOORD)]
)
def test_an_agency_never_acts_for_itself(
    sender: Party, recipient: Party, which: Kind, namens: Oin | None
) -> None:
    sent = a_submission(which, sender, recipient, namens=namens)

    refused = refusal(sent, sender, recipient, with_mandates(a_mandate("incassobureau")))

    assert refused.code is Code.GEEN_RECHT
    assert refused.findings[0].rule == "NAMENS_ONTBREEKT"
    assert refused.findings[0].path.endswith("/stuurgegevens/namens")


@pytest.mark.parametrize(
    "mandate",
    [
        a_mandate("gerechtsdeurwaarder"),
        a_mandate("incassobureau", "betalingsregeling"),
        a_mandate("incassobureau", principal=OTHER),
        Mandate(OWNER, BUREAU.oin, "schuldregeling", date(2026, 1, 1)),
    ],
    ids=["of another", "in another module", "of another principal", "the other way round"],
)
@pytest.mark.parametrize(
    ("sender", "recipient", "which"), [(SHV, BUREAU, VOORSTEL), (BUREAU, SHV, ANTWOORD)]
)
def test_a_mandate_is_of_one_holder_one_principal_and_one_module(
    mandate: Mandate, sender: Party, recipient: Party, which: Kind
) -> None:
    sent = a_submission(which, sender, recipient, namens=OWNER)

    refused = refusal(sent, sender, recipient, with_mandates(mandate))

    (found,) = refused.findings
    assert refused.code is Code.GEEN_RECHT
    assert found.rule == "MACHTIGING_ONTBREEKT"
    assert BUREAU.oin in found.nl
    assert "Laat de schuldeiser de machtiging registreren" in found.nl


def test_a_creditor_needs_no_mandate_for_itself() -> None:
    nothing = with_mandates()

    check(a_submission(VOORSTEL, SHV, SE), SHV, SE, nothing)
    check(a_submission(VOORSTEL, SHV, SE, namens=SE.oin), SHV, SE, nothing)
    check(a_submission(ANTWOORD, SE, SHV, namens=SE.oin), SE, SHV, nothing)


@pytest.mark.parametrize(
    ("sender", "recipient", "which"), [(SHV, SE, VOORSTEL), (SE, SHV, ANTWOORD)]
)
def test_a_creditor_needs_a_mandate_for_another(
    sender: Party, recipient: Party, which: Kind
) -> None:
    sent = a_submission(which, sender, recipient, namens=OTHER)
    mandate = a_mandate("schuldeiser", principal=OTHER)

    assert refusal(sent, sender, recipient, with_mandates()).code is Code.GEEN_RECHT
    check(sent, sender, recipient, with_mandates(mandate))


def test_a_creditor_that_also_collects_for_others_may_act_for_itself() -> None:
    both = a_party("incassobureau", "schuldeiser")

    check(a_submission(ANTWOORD, both, SHV), both, SHV, with_mandates())


def test_the_principal_need_not_take_part_itself() -> None:
    directory = a_directory(SHV, BUREAU, mandates=[a_mandate("incassobureau")])

    check(a_submission(VOORSTEL, SHV, BUREAU, namens=OWNER), SHV, BUREAU, directory)


def test_a_bailiff_consults_vish_in_its_own_name() -> None:
    gateway = a_party("gateway")
    consultation = kind("vish", "VishRaadpleging")

    check(a_submission(consultation, BAILIFF, gateway), BAILIFF, gateway, with_mandates())


@pytest.mark.parametrize(
    ("at", "valid"),
    [
        (datetime(2026, 10, 31, 22, 59, 59, tzinfo=UTC), False),  # 23:59:59 on 31 October
        (datetime(2026, 10, 31, 23, 0, tzinfo=UTC), True),  # 0:00 on 1 November
        (datetime(2026, 11, 30, 22, 59, 59, tzinfo=UTC), True),  # 23:59:59 on 30 November
        (datetime(2026, 11, 30, 23, 0, tzinfo=UTC), False),  # 0:00 on 1 December
    ],
)
def test_a_mandate_holds_on_its_first_and_its_last_dutch_day_and_not_outside(
    at: datetime, *, valid: bool
) -> None:
    dated = a_mandate("incassobureau", van=date(2026, 11, 1), tot_en_met=date(2026, 11, 30))
    sent = a_submission(VOORSTEL, SHV, BUREAU, namens=OWNER, at=at)

    if valid:
        check(sent, SHV, BUREAU, with_mandates(dated))
    else:
        assert refusal(sent, SHV, BUREAU, with_mandates(dated)).code is Code.GEEN_RECHT


def test_of_several_mandates_one_that_holds_is_enough() -> None:
    past = a_mandate("incassobureau", van=date(2020, 1, 1), tot_en_met=date(2020, 12, 31))
    present = a_mandate("incassobureau")

    check(
        a_submission(VOORSTEL, SHV, BUREAU, namens=OWNER),
        SHV,
        BUREAU,
        with_mandates(past, present),
    )


# BSN


def with_partner(which: Kind) -> Json:
    """The example with a number of the client and one of a partner."""
    made = example(which)
    body = next(iter(made.values()))
    body["klant"] = {**body["klant"], "bsn": "999993653"}
    body["partner"] = {**body["klant"], "bsn": "999990019"}
    return made


def asked(namens: Oin | None = None, to: Party = SE, **changes: object) -> Submission:
    return a_submission(PUBLIEK, SHV, to, namens=namens, document=with_partner(PUBLIEK), **changes)  # type: ignore[arg-type]


def places_of(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(found.rule, found.path) for found in findings]


def test_without_a_ground_nobody_gets_a_number() -> None:
    refused = refusal(asked(), SHV, SE, with_bsn())

    assert refused.code is Code.BSN_NIET_TOEGESTAAN
    assert places_of(refused.findings) == [
        ("BSN_ZONDER_RECHT", "/kennisgevingPubliek/klant/bsn"),
        ("BSN_ZONDER_RECHT", "/kennisgevingPubliek/partner/bsn"),
    ]
    assert "Stuur Kennisgeving in plaats van KennisgevingPubliek" in refused.findings[0].nl
    assert "Send Kennisgeving instead of KennisgevingPubliek" in refused.findings[0].en


def test_the_number_of_a_partner_needs_a_right_of_its_own() -> None:
    refused = refusal(asked(dialect=Dialect.XML), SHV, SE, with_bsn(a_bsn_right("schuldeiser")))

    assert places_of(refused.findings) == [
        ("BSN_PARTNER_ZONDER_RECHT", "/KennisgevingPubliek/Partner/BSN")
    ]


def test_with_a_right_for_the_client_a_message_without_a_partners_number_passes() -> None:
    made = with_partner(PUBLIEK)
    del made["kennisgevingPubliek"]["partner"]["bsn"]
    sent = a_submission(PUBLIEK, SHV, SE, document=made)

    check(sent, SHV, SE, with_bsn(a_bsn_right("schuldeiser")))


def test_with_both_rights_both_numbers_pass() -> None:
    check(asked(), SHV, SE, with_bsn(a_bsn_right("schuldeiser", partner=True)))


def test_where_there_is_no_variant_the_number_is_left_out() -> None:
    sent = a_submission(VERZOEK, SHV, SE, document=with_partner(VERZOEK))

    found = refusal(sent, SHV, SE, with_bsn()).findings[0]

    assert found.path == "/saldoverzoek/klant/bsn"
    assert "Laat het weg en stuur het bericht opnieuw." in found.nl


def test_a_message_without_a_number_needs_no_right() -> None:
    made = with_partner(VERZOEK)
    for person in ("klant", "partner"):
        del made["saldoverzoek"][person]["bsn"]

    check(a_submission(VERZOEK, SHV, SE, document=made), SHV, SE, with_bsn())


def test_a_bailiff_may_have_the_number_for_one_principal_and_not_for_another() -> None:
    mandates = (
        a_mandate("gerechtsdeurwaarder"),
        a_mandate("gerechtsdeurwaarder", principal=OTHER),
    )
    right = a_bsn_right("gerechtsdeurwaarder", principal=OWNER, partner=True)
    directory = with_bsn(right, mandates=mandates)

    check(asked(OWNER, BAILIFF), SHV, BAILIFF, directory)
    refused = refusal(asked(OTHER, BAILIFF), SHV, BAILIFF, directory)

    assert refused.code is Code.BSN_NIET_TOEGESTAAN


@pytest.mark.parametrize(
    "right",
    [
        a_bsn_right("gerechtsdeurwaarder", partner=True),
        a_bsn_right("schuldeiser", partner=True),
        a_bsn_right("gerechtsdeurwaarder", "crisis", principal=OWNER, partner=True),
    ],
    ids=["for itself", "of its principal", "in another module"],
)
def test_a_right_is_of_one_recipient_one_principal_and_one_module(right: BsnRight) -> None:
    directory = with_bsn(right, mandates=(a_mandate("gerechtsdeurwaarder"),))

    assert refusal(asked(OWNER, BAILIFF), SHV, BAILIFF, directory).code is Code.BSN_NIET_TOEGESTAAN


@pytest.mark.parametrize(
    ("day", "valid"), [(0, True), (-1, False), (9, True), (10, False)], ids=str
)
def test_a_bsn_right_holds_on_its_first_and_its_last_day_and_not_outside(
    day: int, *, valid: bool
) -> None:
    first = NOON.date()
    right = a_bsn_right(
        "schuldeiser", van=first, tot_en_met=first + timedelta(days=9), partner=True
    )
    sent = asked(at=NOON + timedelta(days=day))

    if valid:
        check(sent, SHV, SE, with_bsn(right))
    else:
        assert refusal(sent, SHV, SE, with_bsn(right)).code is Code.BSN_NIET_TOEGESTAAN


def test_the_gateway_itself_may_have_the_numbers_that_it_registers() -> None:
    gateway = a_party("gateway")
    registration = a_submission(kind("vish", "VishAanmelding"), SHV, gateway)

    assert registration.persons
    check(registration, SHV, gateway, with_bsn())


def test_a_number_in_an_unforeseen_place_is_refused_too() -> None:
    sent = replace(a_submission(VOORSTEL, SHV, SE), persons=frozenset({"999993653"}))

    refused = refusal(sent, SHV, SE, with_bsn())

    assert places_of(refused.findings) == [("BSN_ZONDER_RECHT", "/betaalvoorstel")]


def test_no_refusal_repeats_a_number() -> None:
    refused = refusal(asked(), SHV, SE, with_bsn())

    said = "".join(f"{each.nl}{each.en}{each.path}{each.rule}" for each in refused.findings)
    assert "9999" not in said


WITH_NUMBERS = [which for which, codec in CATALOGUE.kinds.items() if paths_of(codec.root)]


@pytest.mark.parametrize("which", WITH_NUMBERS, ids=str)
def test_every_number_that_the_contract_marks_is_found_at_its_place(which: Kind) -> None:
    root = CATALOGUE.kinds[which].root
    marked = {spot.json: spot.xml for spot in places(root) if "bsn" in spot.element.marks}
    made: Json = {next(iter(example(which))): {}}
    for path in marked:
        here = made
        *way, last = path.split("/")[1:]
        for step in way:
            here = here.setdefault(step, {})
        here[last] = "999993653"

    found = list(numbers_in(made))

    assert {"/".join(["", next(iter(made)), *steps]) for steps in found} == set(marked)
    for dialect, expected in ((Dialect.JSON, set(marked)), (Dialect.XML, set(marked.values()))):
        message = a_submission(which, SHV, SE, dialect=dialect).message
        assert {place(message, steps) for steps in found} == expected


def test_only_what_is_called_bsn_is_marked_as_one() -> None:
    names = {path[-1] for codec in CATALOGUE.kinds.values() for path in paths_of(codec.root)}

    assert names == {"bsn"}
