"""Station translate, and the way back: the canonical form does not depend on the door."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from fixtures.documents import example
from gateway.errors import Code, Refusal
from gateway.schemas import translate, validate
from gateway.schemas.names import json_name
from tests.unit.schema_cases import (
    AFLEVERING,
    ANTWOORD,
    CATALOGUE,
    ID,
    a_balance,
    as_xml,
    body,
    changed,
    claim,
    parsed,
    verified,
)


def test_xml_and_json_of_one_message_are_the_same_document() -> None:
    from_json = translate(validate(verified(a_balance()), CATALOGUE), CATALOGUE)
    from_xml = translate(validate(verified(parsed(as_xml(a_balance()))), CATALOGUE), CATALOGUE)

    assert from_json.document == from_xml.document == a_balance()
    assert from_json.header == from_xml.header


def test_the_header_is_read_from_the_stuurgegevens() -> None:
    def fill(body: dict[str, dict[str, object]]) -> None:
        body["stuurgegevens"]["crossReferentienummer"] = ID
        body["stuurgegevens"]["namens"] = {"oin": "00000099000000003000"}

    said = translate(validate(verified(changed(a_balance(), fill)), CATALOGUE), CATALOGUE).header

    assert said.tijdstip == datetime(2026, 5, 31, 21, 30, 0, 500_000, UTC)
    assert (said.referentienummer, said.conversatie, said.cross) == (ID, ID, ID)
    assert (said.afzender, said.namens) == ("00000099000000001000", "00000099000000003000")
    assert (said.versie, said.vervangt) == ("2.0", None)


def test_identifiers_are_lower_case_in_the_canonical_form_whatever_the_door() -> None:
    upper = changed(a_balance(), lambda b: b["stuurgegevens"].update(referentienummer=ID.upper()))

    for document in (upper, parsed(as_xml(upper))):
        said = translate(validate(verified(document), CATALOGUE), CATALOGUE)
        assert said.header.referentienummer == ID
        assert body(said.document)["stuurgegevens"]["referentienummer"] == ID


@pytest.mark.parametrize("cents", [0, 1, -5, 99, 100, -100, 123456, 999_999_999_999])
def test_cents_are_exact_both_ways(cents: int) -> None:
    tree = CATALOGUE.to_xml(ANTWOORD, a_balance(claim(saldoInCenten=cents)))

    saldo = next(each for each in tree.iter() if each.tag.endswith("}Saldo")).text
    assert Decimal(saldo) * 100 == cents
    assert len(saldo.partition(".")[2]) == 2
    assert body(CATALOGUE.to_json(tree))["totaalSaldoInCenten"] == cents


@pytest.mark.parametrize("text", ["a&b<c>\"d'", "\U0001f4a9", "\u00a1\u00a0\u00a1", "]]>", "é"])
def test_text_is_kept_character_for_character(text: str) -> None:
    document = changed(a_balance(), lambda b: b.update(toelichting=f"a\n\t{text}"))

    assert CATALOGUE.to_json(parsed(as_xml(document))) == document


def test_white_space_around_what_is_not_text_is_no_part_of_it() -> None:
    spaced = as_xml(a_balance()).replace("2026-06-01", "\n 2026-06-01 ").replace("25.00", " 25.00")

    said = translate(validate(verified(parsed(spaced)), CATALOGUE), CATALOGUE)

    assert said.document == a_balance()


def test_a_message_inside_a_delivery_keeps_its_own_namespace() -> None:
    delivery = example(AFLEVERING)
    delivery["aflevering"]["bericht"] = a_balance()

    tree = CATALOGUE.to_xml(AFLEVERING, delivery)

    assert tree[-1][0].tag == CATALOGUE.kinds[ANTWOORD].root.tag
    assert CATALOGUE.to_json(tree) == delivery


@pytest.mark.parametrize("where", ["Peildatum", "Oin"])
def test_a_tree_that_does_not_satisfy_its_schema_has_no_canonical_form(where: str) -> None:
    written = as_xml(a_balance()).replace(f"{where}>", "Vreemd>")

    with pytest.raises(ValueError, match="SaldoverzoekAntwoord"):
        CATALOGUE.to_json(parsed(written))


def test_a_comment_is_not_read_as_the_part_that_must_come_next() -> None:
    oin = "<Oin>00000099000000001000</Oin>"
    tree = parsed(as_xml(a_balance()).replace(oin, f"<!--00000099000000003000-->{oin}"))

    validate(verified(tree), CATALOGUE)  # the schema does not see it; xml.parse does
    with pytest.raises(ValueError, match="Deelnemer"):
        CATALOGUE.to_json(tree)


def test_what_cannot_be_written_is_refused_with_every_place() -> None:
    wrong = changed(a_balance(), lambda b: b.update(peildatum=5, vreemd=1))

    with pytest.raises(Refusal) as refused:
        CATALOGUE.to_xml(ANTWOORD, wrong)

    assert refused.value.code is Code.SCHEMA_ONGELDIG
    assert [(each.rule, each.path) for each in refused.value.findings] == [
        ("json-type", "/saldoverzoekAntwoord/peildatum"),
        ("onbekend-lid", "/saldoverzoekAntwoord/*"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("KlantnummerSEVolgensSHV", "klantnummerSeVolgensShv"),
        ("IBAN", "iban"),
        ("Sha256", "sha256"),
        ("EANCode", "eanCode"),
        ("GeldigTotEnMet", "geldigTotEnMet"),
        ("BSN", "bsn"),
    ],
)
def test_json_names_are_the_camel_case_of_the_xsd_names(name: str, expected: str) -> None:
    assert json_name(name) == expected
