"""Station judge: the business rules, each by its code."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import date, timedelta
from sys import modules
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_97_10
from stdnum.nl import bsn

from gateway.errors import Code, Severity
from gateway.message import Json
from gateway.schemas import attachments, catalogue, encode, verdict
from gateway.schemas.checks import has_check_digits, passes_elfproef
from gateway.schemas.plan import places
from gateway.schemas.rules import (
    Post,
    Rule,
    broken,
    explanations,
    paths_of,
    read_rules,
    resolves,
)
from tests.unit.schema_cases import (
    CATALOGUE,
    GEACCORDEERD,
    IBAN,
    KENNISGEVING,
    NAME,
    STATUS,
    TODAY,
    VOORAF,
    VOORSTEL_ANTWOORD,
    a_balance,
    a_proposal,
    as_xml,
    body,
    changed,
    claim,
    judged,
    message,
    parsed,
    places_of,
    proposed,
    refusal,
)

OPENSTAAND = "/saldoverzoekAntwoord/vorderingen/0/openstaand"


def refused(document: Json) -> list[tuple[str, str]]:
    """(rule, pointer) of a REGEL_GESCHONDEN."""
    found = refusal(document)
    assert found.code is Code.REGEL_GESCHONDEN
    assert all(each.severity is Severity.WEIGER for each in found.findings)
    return places_of(found.findings)


def warned(document: Json) -> list[tuple[str, str]]:
    """(rule, pointer) of the warnings of a message that is let through."""
    warnings = judged(document).warnings
    assert all(each.severity is Severity.WAARSCHUW for each in warnings)
    return places_of(warnings)


def a_notice(bsn: str) -> Json:
    return message(
        KENNISGEVING,
        klantnummerShv="S-1",
        klant={"bsn": bsn, "voorletters": "W", "achternaam": NAME, "geboortedatum": "1985"},
        adreskeuze={"afgeschermd": "AFGESCHERMD"},
        schuldhulpverlener={"naam": "Gemeente"},
        contactpersoon={"naam": "Loket"},
        aanmelddatum="2026-05-01",
    )


def test_a_message_that_breaks_no_rule_passes_without_warnings() -> None:
    assert warned(a_balance()) == []
    assert warned(a_proposal()) == []


@pytest.mark.parametrize("bsn", ["999990019", "123456782", "111222333", "012345672"])
def test_a_bsn_that_passes_the_eleven_test_is_accepted(bsn: str) -> None:
    assert warned(a_notice(bsn)) == []


@pytest.mark.parametrize("bsn", ["000000000", "123456789", "987654321"])
def test_a_bsn_that_fails_the_eleven_test_is_refused(bsn: str) -> None:
    assert refused(a_notice(bsn)) == [("BSN_ELFPROEF", "/kennisgevingPubliek/klant/bsn")]


def test_an_iban_with_wrong_check_digits_is_refused() -> None:
    pay = {"iban": IBAN.replace("91", "92"), "tenaamstelling": NAME, "betaalreferentie": "R"}

    assert refused(a_balance(claim(betaalgegevens=pay))) == [
        ("IBAN_CONTROLEGETAL", f"{OPENSTAAND}/betaalgegevens/iban")
    ]
    assert warned(a_balance(claim(betaalgegevens=pay | {"iban": IBAN}))) == []


def test_a_negative_amount_is_refused_wherever_it_is() -> None:
    document = changed(
        a_balance(claim(renteInCenten=-1)), lambda b: b.update(totaalSaldoInCenten=-5)
    )

    assert refused(document) == [
        ("BEDRAG_NEGATIEF", f"{OPENSTAAND}/renteInCenten"),
        ("BEDRAG_NEGATIEF", "/saldoverzoekAntwoord/totaalSaldoInCenten"),
    ]


def test_a_peildatum_may_be_today_and_not_tomorrow() -> None:
    tomorrow = str(TODAY + timedelta(days=1))
    document = changed(a_balance(), lambda b: b.update(peildatum=tomorrow))

    assert warned(changed(a_balance(), lambda b: b.update(peildatum=str(TODAY)))) == []
    assert refused(document) == [("PEILDATUM_IN_TOEKOMST", "/saldoverzoekAntwoord/peildatum")]


def test_a_claim_that_was_handed_over_names_the_new_party() -> None:
    document = changed(
        a_balance(), lambda b: b.update(vorderingen=[{"schuldtype": "OVERGEDRAGEN"}])
    )
    del body(document)["totaalSaldoInCenten"]
    status = message(STATUS, status="VORDERING_OVERGEDRAGEN", datum="2026-06-01")

    assert refused(document) == [
        ("OVERGEDRAGEN_ZONDER_PARTIJ", "/saldoverzoekAntwoord/vorderingen/0/overdracht")
    ]
    assert refused(status) == [("OVERGEDRAGEN_ZONDER_PARTIJ", "/statusberichtSe/overdracht")]


@pytest.mark.parametrize("born", ["1985", "1985-02", "1984-02-29", TODAY.isoformat()])
def test_a_date_of_birth_may_be_a_year_a_month_or_a_day(born: str) -> None:
    notice = a_notice("999990019")
    body(notice)["klant"]["geboortedatum"] = born

    assert warned(notice) == []


@pytest.mark.parametrize("born", ["1985-02-29", "1985-04-31", "2099", "2026-06-02"])
def test_a_date_of_birth_that_cannot_be_is_refused(born: str) -> None:
    notice = a_notice("999990019")
    body(notice)["klant"]["geboortedatum"] = born
    root = next(iter(notice))

    assert refused(notice) == [("GEBOORTEDATUM_BESTAAT_NIET", f"/{root}/klant/geboortedatum")]


def test_only_the_gateway_says_what_it_left_out() -> None:
    balance = a_balance()
    left_out = [{"pad": "/x", "grond": "BSN_NIET_TOEGESTAAN"}]
    body(balance)["stuurgegevens"]["weggelaten"] = left_out

    assert refused(balance) == [
        ("WEGGELATEN_NIET_VAN_AFZENDER", "/saldoverzoekAntwoord/stuurgegevens/weggelaten")
    ]


def test_an_outstanding_claim_gives_its_amounts() -> None:
    document = changed(a_balance(), lambda b: b.update(vorderingen=[{"schuldtype": "OPENSTAAND"}]))
    del body(document)["totaalSaldoInCenten"]

    assert refused(document) == [
        ("OPENSTAAND_ZONDER_BEDRAGEN", "/saldoverzoekAntwoord/vorderingen/0/openstaand")
    ]


def test_a_refusal_of_a_proposal_gives_its_reason() -> None:
    answer = message(
        VOORSTEL_ANTWOORD,
        klantnummerSe="1",
        besluit="NIET_AKKOORD",
        datumBesluit="2026-06-01",
    )

    assert refused(answer) == [("AFWIJZING_ZONDER_REDEN", "/betaalvoorstelAntwoord/afwijzing")]


def test_anders_needs_an_explanation() -> None:
    without = a_balance(claim(belemmering={"code": "ANDERS"}))
    explained = a_balance(claim(belemmering={"code": "ANDERS", "toelichting": "Om deze reden."}))

    assert refused(without) == [
        ("ANDERS_ZONDER_TOELICHTING", f"{OPENSTAAND}/belemmering/toelichting")
    ]
    assert warned(explained) == []


def test_an_arrangement_without_capacity_offers_nothing() -> None:
    document = a_proposal(
        typeSchuldregeling="SA", percentagePreferent="0", percentageConcurrent="0.00"
    )
    nothing = proposed(afkooppercentage="0", prognoseEindbedragInCenten=0)

    assert refused(document) == [
        ("SA_NIET_NUL", "/betaalvoorstel/voorstel/vorderingen/0/afkooppercentage"),
        ("SA_NIET_NUL", "/betaalvoorstel/voorstel/vorderingen/0/prognoseEindbedragInCenten"),
        ("SA_NIET_NUL", "/betaalvoorstel/voorstel/totaalPrognoseInCenten"),
    ]
    assert warned(
        a_proposal(
            nothing, typeSchuldregeling="SA", percentagePreferent="0", percentageConcurrent="0"
        )
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("percentage", "expected"),
    [
        ("5", [("IBAN_ONTBREEKT", "/saldoverzoekAntwoordVoorafAkkoord/betaalgegevens")]),
        ("0", []),
        (None, []),
    ],
)
def test_consent_in_advance_needs_an_iban_only_above_zero_percent(
    percentage: str | None, expected: list[tuple[str, str]]
) -> None:
    consent: dict[str, Any] = {
        "bron": "ANTWOORD",
        "typenRegeling": ["SB"],
        "geldigTotEnMet": "2026-12-31",
    }
    if percentage is not None:
        consent["minimumPercentage"] = percentage
    document = message(
        VOORAF, **{k: v for k, v in body(a_balance()).items() if k != "stuurgegevens"}
    )
    body(document)["standaardAkkoord"] = consent

    assert (refused(document) if expected else warned(document)) == expected


def test_an_iban_with_one_of_the_claims_is_enough() -> None:
    pay = {"iban": IBAN, "tenaamstelling": NAME, "betaalreferentie": "R"}
    members = body(a_balance(claim(betaalgegevens=pay)))
    del members["stuurgegevens"]
    document = message(VOORAF, **members)
    body(document)["standaardAkkoord"] = {
        "bron": "ANTWOORD",
        "typenRegeling": ["SB"],
        "geldigTotEnMet": "2026-12-31",
        "minimumPercentage": "5",
    }

    assert warned(document) == []


def test_a_total_that_is_not_the_sum_is_a_warning() -> None:
    document = changed(a_balance(), lambda b: b.update(totaalSaldoInCenten=1))
    proposal = a_proposal(totaalPrognoseInCenten=1)

    assert warned(document) == [("TOTAAL_WIJKT_AF", "/saldoverzoekAntwoord/totaalSaldoInCenten")]
    assert warned(proposal) == [
        ("TOTAAL_WIJKT_AF", "/betaalvoorstel/voorstel/totaalPrognoseInCenten")
    ]


def test_a_balance_that_is_not_its_components_is_a_warning() -> None:
    document = a_balance(claim(renteInCenten=2600))

    assert warned(document) == [("VORDERING_TELT_NIET_OP", f"{OPENSTAAND}/saldoInCenten")]


@pytest.mark.parametrize(("cents", "warns"), [(938, False), (940, False), (937, True), (941, True)])
def test_a_prognosis_may_be_a_cent_off_its_percentage(cents: int, warns: bool) -> None:  # noqa: FBT001
    document = a_proposal(proposed(prognoseEindbedragInCenten=cents))

    at = "/betaalvoorstel/voorstel/vorderingen/0/prognoseEindbedragInCenten"
    assert warned(document) == ([("PROGNOSE_WIJKT_AF", at)] if warns else [])


def test_a_utility_claim_wants_meter_readings() -> None:
    line = {
        "factuurnummerSe": "F-1",
        "afkooppercentage": "10",
        "prognoseEindbedragInCenten": 1000,
        "actueelVorderingsbedragInCenten": 10000,
        "vorderingsType": "CONCURRENT",
        "betaalreferentie": "R",
    }

    def agreed(**members: Any) -> Json:
        return message(
            GEACCORDEERD,
            datumAkkoord="2026-06-01",
            klantnummerSe="K",
            klantnummerShv="S",
            typeSchuldregeling="SB",
            vorderingen=[line | members],
        )

    assert warned(agreed(schuldsoort="NUTS")) == [
        ("METERSTANDEN_ONTBREKEN", "/regelingGeaccordeerd/meterstanden")
    ]
    assert warned(agreed(schuldsoort="ZORG")) == []


def test_xml_gets_an_xpath_and_the_line_where_it_stands() -> None:
    document = a_balance(claim(), claim(renteInCenten=-1, belemmering={"code": "ANDERS"}))
    text = as_xml(document)

    found = refusal(parsed(text)).findings

    at = "/SaldoverzoekAntwoord/Vorderingen/Vordering[2]/Openstaand"
    assert places_of(found) == [
        ("BEDRAG_NEGATIEF", f"{at}/Rente"),
        ("ANDERS_ZONDER_TOELICHTING", f"{at}/Belemmering/Toelichting"),
    ]
    lines = [text.splitlines()[(each.line or 0) - 1].strip() for each in found]
    assert lines == ["<Rente>-0.01</Rente>", "<Belemmering>"]


def test_every_refusing_finding_comes_at_once_and_no_warning_with_them() -> None:
    document = a_balance(claim(renteInCenten=-1), claim(renteInCenten=-1))

    assert {rule for rule, _ in refused(document)} == {"BEDRAG_NEGATIEF"}
    assert len(refused(document)) == 2
    many = a_balance(*(claim(renteInCenten=-1) for _ in range(200)))
    assert len(refused(many)) == 100


def attached(content: bytes, mime: str, sha256: str | None = None) -> Json:
    attachment = {
        "soort": "ONDERBOUWING",
        "mime": mime,
        "sha256": sha256 or hashlib.sha256(content).hexdigest(),
        "inhoud": b64encode(content).decode(),
    }
    return changed(a_balance(), lambda b: b["stuurgegevens"].update(bijlagen=[attachment]))


@pytest.mark.parametrize(
    ("mime", "content"),
    [
        ("application/pdf", b"%PDF-1.7 x"),
        ("image/png", b"\x89PNG\r\n\x1a\n...."),
        ("image/jpeg", b"\xff\xd8\xff\xe0"),
    ],
)
def test_an_attachment_is_recognised_by_its_content(mime: str, content: bytes) -> None:
    assert warned(attached(content, mime)) == []
    at = "/saldoverzoekAntwoord/stuurgegevens/bijlagen/0"
    for wrong, rule, member in (
        (attached(b"MZ" + content, mime), "BIJLAGE_MIME", "mime"),
        (attached(content, mime, "0" * 64), "BIJLAGE_SHA256", "sha256"),
    ):
        found = refusal(wrong)
        assert found.code is Code.BIJLAGE_ONGELDIG
        assert places_of(found.findings) == [(rule, f"{at}/{member}")]


def test_an_attachment_without_content_is_not_looked_at() -> None:
    attachment = {"soort": "ONDERBOUWING", "mime": "image/png", "sha256": "0" * 64}
    document = changed(a_balance(), lambda b: b["stuurgegevens"].update(bijlagen=[attachment]))

    assert warned(document) == []


def test_a_broken_rule_and_a_lying_attachment_are_one_refusal() -> None:
    document = changed(attached(b"MZ", "image/png"), lambda b: b.update(peildatum="2999-01-01"))

    assert [rule for rule, _ in refused(document)] == ["PEILDATUM_IN_TOEKOMST", "BIJLAGE_MIME"]


@given(st.from_regex("[0-9]{8,9}", fullmatch=True))
def test_the_eleven_test_is_that_of_another_library(digits: str) -> None:
    for last in "0123456789"[: 10 if len(digits) == 8 else 1]:
        number = digits + last if len(digits) == 8 else digits
        assert passes_elfproef(number) == bsn.is_valid(number)
    assert not passes_elfproef("000000000")


@given(st.from_regex("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", fullmatch=True))
def test_the_check_digits_of_an_iban_are_those_of_another_library(number: str) -> None:
    right = mod_97_10.calc_check_digits(number[4:] + number[:2])

    assert has_check_digits(number) == mod_97_10.is_valid(number[4:] + number[:4])
    assert has_check_digits(number[:2] + right + number[4:])


def posted(post: Post, at: str = "") -> list[tuple[str, Rule]]:
    """Every place below a post where a rule waits."""
    return [(at, rule) for rule, _ in post.checks] + [
        found for step, below in post.below.items() for found in posted(below, f"{at}/{step}")
    ]


def test_a_rule_about_the_items_of_lists_within_a_list_says_which() -> None:
    rule = next(each for each in read_rules() if each.code == "BEDRAG_NEGATIEF")
    post = Post()
    post.at(["a", "*", "*"]).checks.append((rule, rule.check))
    post.lay_out()

    found = broken(post, {"a": [[-1], [2, -3]]}, TODAY)

    assert found == [(rule, "/a/0/0"), (rule, "/a/1/1")]


def test_no_row_is_without_a_place_in_the_contract() -> None:
    placed = {
        (rule.code, rule.where)
        for codec in CATALOGUE.kinds.values()
        for _, rule in posted(codec.rules)
    }

    assert {(rule.code, rule.where) for rule in read_rules()} == placed


def test_no_row_names_a_path_that_is_nowhere_in_the_contract() -> None:
    parents = [
        place.element.type for codec in CATALOGUE.kinds.values() for place in places(codec.root)
    ]

    for rule in read_rules():
        for path in paths_of(rule.arguments):
            assert any(resolves(parent, path) for parent in parents), (rule.code, path)


def test_every_bsn_and_every_amount_of_the_contract_is_checked() -> None:
    for codec in CATALOGUE.kinds.values():
        watched = {(rule.code, at) for at, rule in posted(codec.rules)}
        for place in places(codec.root):
            for mark, code in (("bsn", "BSN_ELFPROEF"), ("bedrag", "BEDRAG_NEGATIEF")):
                if mark in place.element.marks:
                    assert (code, place.json) in watched


def test_every_rule_that_a_finding_can_name_is_explained_in_both_languages() -> None:
    form = {rule for _, rule in verdict.RULES} | {
        value
        for module in (
            encode,
            verdict,
            catalogue,
            attachments,
            modules["gateway.schemas.unsaid"],
            modules["gateway.schemas.validate"],
        )
        for name, value in vars(module).items()
        if name.isupper()
        and isinstance(value, str)
        and not value.startswith(("http", "{"))
        and not name.startswith("_")
    }
    business = {rule.code for rule in read_rules()}

    told = explanations()

    assert (form - {"Stuurgegevens"}) | business == set(told)
    assert all(each.nl and each.en for each in told.values())


def test_the_day_counts_as_the_day_of_the_caller() -> None:
    document = changed(a_balance(), lambda b: b.update(peildatum="2026-06-02"))

    assert judged(document, date(2026, 6, 2)).warnings == ()
