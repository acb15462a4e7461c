"""Station validate: refuses what does not satisfy the schema, and says where and why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.errors import Finding, Refusal
from gateway.message import Dialect, Json
from gateway.schemas import validate
from tests.unit.schema_cases import (
    AFLEVERING,
    ANTWOORD,
    CATALOGUE,
    ID,
    NAME,
    a_balance,
    as_xml,
    changed,
    claim,
    message,
    parsed,
    refusal,
    schema_findings,
    verified,
)

XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def edited(old: str, new: str) -> Any:
    """A valid message in XML with one edit in its text."""
    text = as_xml(a_balance())
    assert old in text
    return parsed(text.replace(old, new, 1))


def test_a_valid_message_passes_in_both_forms() -> None:
    json, xml = a_balance(), parsed(as_xml(a_balance()))

    assert validate(verified(json), CATALOGUE).kind == ANTWOORD
    assert validate(verified(xml), CATALOGUE).tree is xml


def test_a_prefix_instead_of_a_default_namespace_is_the_same_message() -> None:
    text = as_xml(a_balance()).replace(" xmlns=", " xmlns:p=")
    prefixed = text.replace("</", "</p:").replace("<", "<p:").replace("<p:/p:", "</p:")

    assert validate(verified(parsed(prefixed)), CATALOGUE).kind == ANTWOORD


def test_a_finding_of_prefixed_xml_names_the_right_place() -> None:
    text = as_xml(a_balance()).replace(" xmlns=", " xmlns:p=").replace("2500", "2500")
    prefixed = text.replace("</", "</p:").replace("<", "<p:").replace("<p:/p:", "</p:")
    broken = prefixed.replace("CONCURRENT", "GEWOON")

    assert schema_findings(parsed(broken)) == [
        ("code", f"/SaldoverzoekAntwoord/Vorderingen/Vordering[{n}]/Openstaand/VorderingsType")
        for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("old", "new", "rule", "path"),
    [
        ("2026-06-01", "1 juni", "type", "/SaldoverzoekAntwoord/Peildatum"),
        ("2026-06-01", "2026-06-31", "type", "/SaldoverzoekAntwoord/Peildatum"),
        (">K-1<", "> K-1<", "patroon", "/SaldoverzoekAntwoord/KlantnummerSE"),
        (">K-1<", f">{'9' * 51}<", "lengte", "/SaldoverzoekAntwoord/KlantnummerSE"),
        (">K-1<", "><", "lengte", "/SaldoverzoekAntwoord/KlantnummerSE"),
        (">K-1<", "><b/><", "kind", "/SaldoverzoekAntwoord/KlantnummerSE"),
        ("<Contactpersoon>", "<Contactpersoon>x", "tekst", "/SaldoverzoekAntwoord/Contactpersoon"),
        ("<Peildatum>", '<Peildatum x="1">', "attribuut", "/SaldoverzoekAntwoord/Peildatum"),
        ("<Peildatum>2026-06-01</Peildatum>", "", "ontbreekt", "/SaldoverzoekAntwoord/Peildatum"),
        ("<Peildatum>", "<Vreemd/><Peildatum>", "onbekend-element", "/SaldoverzoekAntwoord/*[4]"),
        (
            "<Peildatum>",
            "<KlantnummerSHV>S</KlantnummerSHV><Peildatum>",
            "volgorde",
            "/SaldoverzoekAntwoord/KlantnummerSHV",
        ),
        (
            "<Peildatum>",
            "<Peildatum>2026-06-01</Peildatum><Peildatum>",
            "dubbel",
            "/SaldoverzoekAntwoord/Peildatum[2]",
        ),
    ],
)
def test_each_fault_in_xml_has_its_rule_and_its_place(
    old: str, new: str, rule: str, path: str
) -> None:
    assert schema_findings(edited(old, new)) == [(rule, path)]


def test_one_refusal_names_every_fault_with_its_line() -> None:
    text = as_xml(a_balance()).replace("CONCURRENT", "GEWOON").replace("2026-06-01", "x")

    found = refusal(parsed(text)).findings

    lines = text.splitlines()
    assert [finding.rule for finding in found] == ["type", "code", "code"]
    assert all(
        ("Peildatum" if each.rule == "type" else "GEWOON") in lines[(each.line or 0) - 1]
        for each in found
    )


def test_a_choice_takes_exactly_one_branch() -> None:
    one = {"saldoInCenten": 1, "vorderingsType": "CONCURRENT", "schuldenaar": "KLANT"}
    both = changed(a_balance(), lambda b: b.update(totaalvordering={"factuurnummerSe": "F"} | one))
    none = changed(a_balance(), lambda b: b.pop("vorderingen"))

    assert schema_findings(both) == [("keuze", "/saldoverzoekAntwoord/vorderingen")]
    assert schema_findings(none) == [("keuze", "/saldoverzoekAntwoord")]
    assert schema_findings(parsed(as_xml(none))) == [("keuze", "/SaldoverzoekAntwoord")]


def test_a_refusal_has_at_most_a_hundred_findings() -> None:
    many = a_balance(*(claim(vorderingsType="GEWOON") for _ in range(300)))

    assert len(refusal(many).findings) == 100
    assert len(refusal(parsed(as_xml(many))).findings) == 100


def test_a_list_that_is_too_long_is_refused_at_the_first_item_too_many() -> None:
    many = a_balance(*(claim() for _ in range(501)))

    assert schema_findings(many) == [("te-veel", "/saldoverzoekAntwoord/vorderingen/500")]


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("klantnummerSe", 5, "json-type"),
        ("klantnummerSe", None, "json-type"),
        ("klantnummerSe", "a\x00b", "teken"),
        ("klantnummerSe", "a\ud800b", "teken"),
        ("klantnummerSe", "a\ufffeb", "teken"),
        ("peildatum", " 2026-06-01", "witruimte"),
        ("totaalSaldoInCenten", "20000", "json-type"),
        ("totaalSaldoInCenten", 20000.0, "json-type"),
        ("totaalSaldoInCenten", True, "json-type"),
        ("totaalSaldoInCenten", 2**60, "bereik"),
        ("contactpersoon", [], "json-type"),
        ("vorderingen", [], "lege-lijst"),
        ("vorderingen", {}, "json-type"),
    ],
)
def test_what_json_can_say_and_xml_cannot_is_refused_at_its_place(
    member: str, value: Any, rule: str
) -> None:
    wrong = changed(a_balance(), lambda b: b.update({member: value}))

    assert schema_findings(wrong) == [(rule, f"/saldoverzoekAntwoord/{member}")]


def test_all_faults_of_a_json_document_come_at_once() -> None:
    def spoil(body: Json) -> None:
        body["peildatum"] = "x"
        body["klantnummerSe"] = 5
        body["contactpersoon"] = {}
        body["vorderingen"][1]["openstaand"]["saldoInCenten"] = 1.5

    assert sorted(schema_findings(changed(a_balance(), spoil))) == [
        ("json-type", "/saldoverzoekAntwoord/klantnummerSe"),
        ("json-type", "/saldoverzoekAntwoord/vorderingen/1/openstaand/saldoInCenten"),
        ("ontbreekt", "/saldoverzoekAntwoord/contactpersoon/naam"),
        ("type", "/saldoverzoekAntwoord/peildatum"),
    ]


def test_what_a_sender_invents_is_never_repeated() -> None:
    member = changed(a_balance(), lambda b: b.update({NAME: NAME}))
    element = edited("<Peildatum>", "<WilhelminaKanarie>999990019</WilhelminaKanarie><Peildatum>")
    root = parsed("<WilhelminaKanarie/>")
    known_elsewhere = changed(a_balance(), lambda b: b.update(iban=NAME))

    assert schema_findings(member) == [("onbekend-lid", "/saldoverzoekAntwoord/*")]
    assert schema_findings(element) == [("onbekend-element", "/SaldoverzoekAntwoord/*[4]")]
    assert schema_findings(root) == [("module-onbekend", "/*")]
    assert schema_findings(known_elsewhere) == [("onbekend-lid", "/saldoverzoekAntwoord/iban")]


@pytest.mark.parametrize(
    ("document", "rule", "path"),
    [
        ({}, "soort-onbekend", ""),
        ({"a": {}, "b": {}}, "soort-onbekend", ""),
        ({"vreemd": {}}, "soort-onbekend", "/*"),
        ({"saldoverzoek": []}, "ontbreekt", "/saldoverzoek/stuurgegevens"),
        (
            {"saldoverzoek": {"stuurgegevens": {"module": "vreemd"}}},
            "module-onbekend",
            "/saldoverzoek/stuurgegevens/module",
        ),
        (
            {"saldoverzoek": {"stuurgegevens": {"module": ["vish"]}}},
            "module-onbekend",
            "/saldoverzoek/stuurgegevens/module",
        ),
        (
            {"saldoverzoek": {"stuurgegevens": {"module": "schuldregeling", "versie": "9.0"}}},
            "versie-onbekend",
            "/saldoverzoek/stuurgegevens/versie",
        ),
        (
            {"saldoverzoek": {"stuurgegevens": {"module": "vish", "versie": "1.0"}}},
            "soort-onbekend",
            "/saldoverzoek",
        ),
    ],
)
def test_json_of_no_known_kind_is_refused(document: Json, rule: str, path: str) -> None:
    assert schema_findings(document) == [(rule, path)]


@pytest.mark.parametrize(
    ("root", "rule", "path"),
    [
        ("<Saldoverzoek/>", "module-onbekend", "/Saldoverzoek"),
        ('<Saldoverzoek xmlns="urn:x"/>', "module-onbekend", "/Saldoverzoek"),
        (
            '<Saldoverzoek xmlns="urn:nld:schuldhulp-gateway:schuldregeling:v9"/>',
            "versie-onbekend",
            "/Saldoverzoek",
        ),
        (
            '<Saldoverzoek xmlns="urn:nld:schuldhulp-gateway:vish:v1"/>',
            "soort-onbekend",
            "/Saldoverzoek",
        ),
    ],
)
def test_xml_of_no_known_kind_is_refused(root: str, rule: str, path: str) -> None:
    assert schema_findings(parsed(root)) == [(rule, path)]


def test_the_header_agrees_with_the_namespace() -> None:
    module = edited("<Module>schuldregeling", "<Module>vish")
    version = edited("<Versie>2.0", "<Versie>3.0")

    at = "/SaldoverzoekAntwoord/Stuurgegevens"
    assert schema_findings(module) == [("module-wijkt-af", f"{at}/Module")]
    assert schema_findings(version) == [("versie-wijkt-af", f"{at}/Versie")]


@pytest.mark.parametrize("attribute", ['xsi:nil="true"', 'xsi:nil="false"', 'xsi:type="Datum"'])
def test_xsi_type_and_nil_are_refused(attribute: str) -> None:
    document = edited("<Peildatum>", f"<Peildatum {XSI} {attribute}>")

    assert ("xsi", "/SaldoverzoekAntwoord/Peildatum") in schema_findings(document)


def test_a_schema_location_on_the_root_is_ignored() -> None:
    document = edited("xmlns=", f'{XSI} xsi:schemaLocation="urn:x http://127.0.0.1/x.xsd" xmlns=')

    assert validate(verified(document), CATALOGUE).kind == ANTWOORD


def test_a_schema_location_elsewhere_is_refused() -> None:
    document = edited("<Peildatum>", f'<Peildatum {XSI} xsi:schemaLocation="urn:x x.xsd">')

    assert schema_findings(document) == [("xsi", "/SaldoverzoekAntwoord/Peildatum")]


def test_an_envelope_of_the_gateway_is_known_but_nobody_may_send_it() -> None:
    delivery = message(AFLEVERING)
    delivery["aflevering"] = {
        "afleverId": ID,
        "volgnummer": 1,
        "afzender": "00000099000000001000",
        "ontvanger": "00000099000000002000",
        "referentienummer": ID,
        "conversatieReferentienummer": ID,
        "module": "schuldregeling",
        "soort": "SaldoverzoekAntwoord",
        "versie": "2.0",
        "ontvangenOp": "2026-06-01T12:00:00Z",
        "origineelSha256": "0" * 64,
        "origineelVorm": "XML",
        "ondertekenaarVingerafdruk": "0" * 64,
        "bericht": a_balance(),
    }

    assert validate(verified(delivery), CATALOGUE).kind == AFLEVERING
    assert schema_findings(delivery) == [("soort-onbekend", "/aflevering")]


def test_two_threads_never_see_each_others_findings() -> None:
    codes = parsed(as_xml(a_balance(*(claim(vorderingsType="X") for _ in range(40)))))
    dates = parsed(as_xml(changed(a_balance(), lambda b: b.update(peildatum="x"))))

    def rules(number: int) -> set[str]:
        try:
            validate(verified(codes if number % 2 else dates), CATALOGUE)
        except Refusal as refused:
            return {finding.rule for finding in refused.findings}
        return set()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(rules, range(400)))

    assert found == [{"type"}, {"code"}] * 200


def test_a_finding_of_json_has_no_line() -> None:
    found = refusal(changed(a_balance(), lambda b: b.update(peildatum="x"))).findings

    assert found == (Finding("type", "/saldoverzoekAntwoord/peildatum", None),)
    assert verified({}).received.dialect is Dialect.JSON
