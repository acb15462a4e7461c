"""The reference pages say of every message what the schema says."""

from __future__ import annotations

from pathlib import Path

from docs.genereer import check, examples, write
from gateway.schemas.jsonschema import schema_of
from gateway.schemas.plan import places
from gateway.schemas.reference import pages, path_of
from tests.unit.schema_cases import ANTWOORD, CATALOGUE, a_balance

MADE = pages(CATALOGUE, {ANTWOORD: a_balance()})


def test_there_is_a_page_for_every_kind_and_an_index_that_leads_to_it() -> None:
    assert set(MADE) == {"README.md"} | {path_of(kind) for kind in CATALOGUE.kinds}
    assert all(f"({path_of(kind)})" in MADE["README.md"] for kind in CATALOGUE.kinds)


def test_a_page_has_a_row_for_every_element() -> None:
    for kind, codec in CATALOGUE.kinds.items():
        rows = MADE[path_of(kind)].split("\n## Typen")[0].splitlines()
        elements = list(places(codec.root))[1:]

        assert sum(row.startswith("| ") for row in rows) == 1 + len(elements)


def test_a_page_shows_the_example_in_both_forms() -> None:
    page = MADE[path_of(ANTWOORD)]

    assert '"klantnummerSe": "K-1"' in page
    assert "<KlantnummerSE>K-1</KlantnummerSE>" in page


def test_the_pages_are_the_same_every_time() -> None:
    assert pages(CATALOGUE, {ANTWOORD: a_balance()}) == MADE


def test_written_pages_are_up_to_date_until_something_changes(tmp_path: Path) -> None:
    write(MADE, tmp_path)
    assert check(MADE, tmp_path) == 0

    changed = MADE | {"README.md": "x"}
    (tmp_path / "oud.md").write_text("x")

    assert check(changed, tmp_path) == 1
    assert check(MADE, tmp_path) == 1
    write(changed, tmp_path)
    assert check(changed, tmp_path) == 0


def test_every_example_is_a_message_of_its_kind() -> None:
    for kind, document in examples(CATALOGUE).items():
        codec = CATALOGUE.kinds[kind]

        assert codec.schema.verdict.validate(CATALOGUE.to_xml(kind, document)), kind


def test_a_json_schema_carries_descriptions_origin_and_marks() -> None:
    schema = schema_of(CATALOGUE.kinds[ANTWOORD].root)

    claim = schema["$defs"]["OpenstaandeVordering"]["properties"]["saldoInCenten"]
    assert claim["x-merken"] == ["bedrag"]
    assert claim["x-herkomst"] in {"gepubliceerd", "afgeleid"}
    assert claim["description"]
    assert schema["$defs"]["Schuldtype"]["enum"] == [
        "OPENSTAAND",
        "OVERGEDRAGEN",
        "ONBEKEND_BIJ_SE",
    ]
