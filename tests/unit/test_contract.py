"""The XSDs keep the rules of docs/contract.md; the names of the tests are those rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from lxml import etree

from gateway.schemas.names import json_name

FOLDER = Path(__file__).parents[2] / "gateway" / "schemas" / "xsd"
XS = "{http://www.w3.org/2001/XMLSchema}"
MARKS = "{urn:nld:schuldhulp-gateway:merken:v1}"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

SHARED = "StatusberichtShv StatusberichtSe Statusverzoek Intrekking IntrekkingBevestiging"
ASKED = f"Saldoverzoek SaldoverzoekAntwoord GeenMedewerking Navraag NavraagAntwoord {SHARED}"
ARRANGED = (
    "SaldoverzoekAntwoordVoorafAkkoord Betaalvoorstel BetaalvoorstelAntwoord Heroverweging "
    "RegelingGeaccordeerd RegelingBeeindigd Uitbetaling UitbetalingAntwoord"
)
KINDS = {
    "schuldregeling-v1": (
        "KlantGemeldVoorShv KlantBsnGemeldVoorShv KlantGemeldVoorShvAntwoord Saldoverzoek "
        "SaldoverzoekAntwoord KlantOnbekend Betaalvoorstel BetaalvoorstelAntwoord "
        "SchuldregelingAkkoord SchuldregelingBeeindigd"
    ),
    "schuldregeling-v2": (
        f"Kennisgeving KennisgevingPubliek KennisgevingAntwoord {ASKED} {ARRANGED} "
        "Herberekening CollectieveMelding Lijnbezwaar"
    ),
    "schuldinventarisatie-v2": ASKED,
    "betalingsregeling-v2": f"{ASKED} {ARRANGED}",
    "bewindvoering-v1": "BewindMelding WijzigingBewindvoerder",
    "incassopauze-v1": (
        "IncassopauzeVerzoek IncassopauzeAntwoord IncassopauzeVerlenging IncassopauzeEinde "
        "IncassopauzeSchending"
    ),
    "crisis-v1": "CrisisMelding CrisisAntwoord",
    "traject-v1": "AanmeldingGeregistreerd ToelatingBesloten ToelatingIngetrokken",
    "vish-v1": (
        "VishAanmelding VishWijziging VishAfmelding VishRaadpleging VishRaadplegingAntwoord "
        "VishTrefferMelding"
    ),
    "gateway-v1": (
        "Ontvangstbevestiging Foutbericht NietAfgeleverd Vervallen Herinnering TermijnVerstreken "
        "VerklaringGeenReactie Aflevering"
    ),
}
ENVELOPE = "Aflevering"
"""The one kind without Stuurgegevens: it carries a message that has them."""

trees = {path.stem: etree.parse(path).getroot() for path in sorted(FOLDER.glob("*.xsd"))}
modules = {name: root for name, root in trees.items() if name != "basis"}

each_file = pytest.mark.parametrize("root", trees.values(), ids=trees)
each_module = pytest.mark.parametrize("name", KINDS)


def nodes(root: Any, *names: str) -> Iterator[Any]:
    yield from root.iter(*(XS + name for name in names))


def content(node: Any) -> list[Any]:
    return [child for child in node if child.tag != f"{XS}annotation"]


def named(node: Any) -> str:
    """Where a node stands, for the message of a failed test."""
    names = [each.get("name") or each.get("value") for each in (node, *node.iterancestors())]
    return "/".join(name for name in reversed(names) if name)


def note(node: Any, path: str) -> list[Any]:
    return list(node.findall(f"{XS}annotation/{path}"))


def marks(node: Any) -> set[str]:
    return {mark.text for mark in note(node, f"{XS}appinfo/{MARKS}merk")}


def children(sequence: Any) -> Iterator[Any]:
    """The elements of a type, those in choices too."""
    for part in content(sequence):
        if part.tag == f"{XS}choice":
            yield from content(part)
        else:
            yield part


def is_list(sequence: Any) -> bool:
    return any(part.get("maxOccurs") for part in content(sequence))


def sequences(root: Any) -> Iterator[Any]:
    for each in root.findall(f"{XS}complexType"):
        (sequence,) = content(each)
        yield sequence


def simple_types() -> Iterator[tuple[str, Any]]:
    for root in trees.values():
        for each in root.findall(f"{XS}simpleType"):
            (restriction,) = content(each)
            yield each.get("name"), restriction


# 1. files


@each_module
def test_every_module_is_one_file_with_its_own_namespace_and_version(name: str) -> None:
    module, major = name.rsplit("-v", 1)
    root = modules[name]
    assert root.get("targetNamespace") == f"urn:nld:schuldhulp-gateway:{module}:v{major}"
    assert root.nsmap[None] == root.get("targetNamespace")
    assert re.fullmatch(rf"{major}\.[0-9]+", root.get("version"))
    assert [each.get("schemaLocation") for each in nodes(root, "include")] == ["basis.xsd"]


def test_the_shared_types_have_no_namespace_and_no_message() -> None:
    basis = trees["basis"]
    assert basis.get("targetNamespace") is None
    assert not basis.findall(f"{XS}element")


@each_file
def test_local_elements_are_qualified(root: Any) -> None:
    assert root.get("elementFormDefault") == "qualified"


@each_file
def test_messages_have_no_attributes_no_ids_no_defaults_and_no_imports(root: Any) -> None:
    assert not list(nodes(root, "attribute", "attributeGroup", "anyAttribute", "import"))
    assert not list(nodes(root, "group", "all", "union", "list", "key", "unique", "redefine"))
    assert not [named(each) for each in root.iter() if {"default", "fixed"} & set(each.attrib)]
    assert not [named(each) for each in root.iter() if each.get("type") == "xs:ID"]


def test_only_the_envelope_carries_what_it_does_not_know() -> None:
    found = [(name, named(each)) for name, root in trees.items() for each in nodes(root, "any")]
    assert found == [("gateway-v1", "Berichtinhoud")]


# 2. Venetian Blind


@each_file
def test_every_type_has_a_name_and_every_element_uses_one(root: Any) -> None:
    types = nodes(root, "complexType", "simpleType")
    assert not [named(each) for each in types if each.getparent() is not root]
    known = {each.get("name") for each in (*trees["basis"], *root)}
    for each in nodes(root, "element"):
        assert each.get("ref") is None, named(each)
        assert each.get("type") in known, named(each)


@each_module
def test_every_message_kind_of_the_field_exists_and_no_other(name: str) -> None:
    found = [each.get("name") for each in modules[name].findall(f"{XS}element")]
    assert Counter(found) == Counter(KINDS[name].split())


def test_every_module_file_is_known() -> None:
    assert modules.keys() == KINDS.keys()


@each_module
def test_the_first_child_of_every_message_is_stuurgegevens(name: str) -> None:
    for kind in modules[name].findall(f"{XS}element"):
        kinds = [*modules[name], *trees["basis"]]
        (of,) = [
            each
            for each in kinds
            if each.get("name") == kind.get("type") and each.tag == f"{XS}complexType"
        ]
        first = next(children(content(of)[0]))
        headed = (first.get("name"), first.get("type")) == ("Stuurgegevens", "Stuurgegevens")
        assert headed == (kind.get("name") != ENVELOPE), named(kind)


# 3. complex types


@each_file
def test_a_complex_type_is_one_sequence_of_elements_and_choices_of_elements(root: Any) -> None:
    for sequence in sequences(root):
        assert sequence.tag == f"{XS}sequence", named(sequence)
        assert not sequence.attrib, named(sequence)
        for part in content(sequence):
            if part.tag == f"{XS}choice":
                assert {each.tag for each in content(part)} == {f"{XS}element"}, named(sequence)
                assert not [each for each in content(part) if each.get("minOccurs")]
            else:
                assert part.tag in {f"{XS}element", f"{XS}any"}, named(sequence)


@each_file
def test_child_names_are_unique_within_a_type_in_xml_and_in_json(root: Any) -> None:
    for sequence in sequences(root):
        names = [each.get("name") for each in children(sequence) if each.get("name")]
        assert len(set(names)) == len({json_name(name) for name in names}) == len(names), names


@each_file
def test_only_elements_and_choices_are_optional(root: Any) -> None:
    optional = [each for each in root.iter() if each.get("minOccurs")]
    assert {each.get("minOccurs") for each in optional} <= {"0"}
    assert {each.tag for each in optional} <= {f"{XS}element", f"{XS}choice"}


@each_file
def test_only_the_single_child_of_a_list_type_repeats(root: Any) -> None:
    for sequence in sequences(root):
        if is_list(sequence):
            (child,) = content(sequence)
            assert child.tag == f"{XS}element", named(sequence)
            assert int(child.get("maxOccurs")) > 1, named(child)
            assert child.get("minOccurs") is None, named(child)


# 4. simple types


def test_a_simple_type_is_a_code_list_or_has_a_pattern() -> None:
    for name, restriction in simple_types():
        facets = Counter(each.tag.removeprefix(XS) for each in content(restriction))
        assert facets["pattern"] == (0 if facets["enumeration"] else 1), name
        assert restriction.get("base").startswith("xs:"), name


def test_every_text_has_a_shortest_and_a_longest_length_and_is_never_empty() -> None:
    for name, restriction in simple_types():
        facets = {each.tag.removeprefix(XS): each.get("value") for each in content(restriction)}
        if restriction.get("base") in {"xs:string", "xs:base64Binary"} and "pattern" in facets:
            assert int(facets.get("length", facets.get("minLength", 0))) >= 1, name
            assert "length" in facets or "maxLength" in facets, name
            assert not re.fullmatch(facets["pattern"], ""), name


def test_patterns_stay_in_the_common_ground_of_xsd_and_ecmascript() -> None:
    escapes = set("\\.-+*?()[]{}|ntr")
    for name, restriction in simple_types():
        for pattern in restriction.findall(f"{XS}pattern"):
            value = pattern.get("value")
            assert set(re.findall(r"\\(.)", value)) <= escapes, name
            assert not re.search(r"\[[^\]]*-\[", value), name
            assert not re.search(r"(?<!\[)[\^]|\$", value), name
            re.compile(value)


def test_codes_are_upper_snake_and_modules_are_named_as_in_their_namespace() -> None:
    listed = {name.rsplit("-v", 1)[0] for name in modules}
    for name, restriction in simple_types():
        codes = [each.get("value") for each in restriction.findall(f"{XS}enumeration")]
        assert len(set(codes)) == len(codes), name
        if name == "Module":
            assert set(codes) == listed
        else:
            assert not [code for code in codes if not re.fullmatch("[A-Z][A-Z0-9_]*", code)], name


def test_a_list_that_says_it_is_open_is_marked_open() -> None:
    for name, restriction in simple_types():
        of = restriction.getparent()
        (text,) = note(of, f"{XS}documentation")
        assert ("Open lijst" in text.text) == ("open" in marks(of)), name
        assert "open" not in marks(of) or restriction.find(f"{XS}enumeration") is not None, name


# 5. annotations


def annotated() -> Iterator[Any]:
    for root in trees.values():
        yield from nodes(root, "element", "enumeration")


def test_every_element_and_every_code_says_what_it_is_and_where_it_comes_from() -> None:
    for each in annotated():
        (text,) = note(each, f"{XS}documentation")
        assert text.get(LANGUAGE) == "nl", named(each)
        assert re.fullmatch(r"[A-Z0-9É].*[.]", text.text), named(each)
        (origin,) = note(each, f"{XS}appinfo/{MARKS}herkomst")
        assert origin.text in {"gepubliceerd", "afgeleid"}, named(each)
        assert marks(each) <= {"bsn", "persoon", "vrijeTekst", "bedrag"}, named(each)


@each_file
def test_every_type_and_every_file_says_what_it_is(root: Any) -> None:
    for each in (root, *nodes(root, "complexType", "simpleType")):
        (text,) = note(each, f"{XS}documentation")
        assert text.get(LANGUAGE) == "nl", named(each)
        assert text.text.endswith("."), named(each)


MARKED = {
    "bedrag": {"Bedrag"},
    "bsn": {"Burgerservicenummer"},
    "vrijeTekst": {"VrijeTekst500", "VrijeTekst2000"},
}


@pytest.mark.parametrize("mark", MARKED)
def test_a_mark_goes_with_its_type(mark: str) -> None:
    for each in annotated():
        if each.tag == f"{XS}element":
            assert (mark in marks(each)) == (each.get("type") in MARKED[mark]), named(each)


def test_what_identifies_a_person_is_marked() -> None:
    types = {
        "Burgerservicenummer",
        "Geboortedatum",
        "Geslacht",
        "Emailadres",
        "Telefoonnummer",
        "Postcode",
        "Huisnummer",
        "Huisletter",
        "Huisnummertoevoeging",
        "Iban",
        "Ean",
    }
    names = re.compile(
        "Achternaam|Voor(letters|namen|voegsel)|Straatnaam|Woonplaats|Adresregel[0-9]"
        "|Klantnummer.*|Factuurnummer[A-Z].*|Betaalreferentie|Tenaamstelling"
        "|Dossier(nummer|kenmerk)|Handelsnaam"
    )
    for each in annotated():
        if each.get("type") in types or names.fullmatch(each.get("name") or ""):
            assert "persoon" in marks(each), named(each)


# 6 and 7: every schema compiles, and says what the rules above intend


@each_module
def test_both_schema_processors_accept_every_module(name: str) -> None:
    path = FOLDER / f"{name}.xsd"
    etree.XMLSchema(etree.parse(path))
    schema = xmlschema.XMLSchema(str(path), allow="sandbox", defuse="never")
    assert set(schema.elements) == set(KINDS[name].split())


@cache
def probe(of: str) -> tuple[Any, Any]:
    """Two schemas with one element of the type, to try values on."""
    root = etree.fromstring(etree.tostring(trees["basis"]))
    etree.SubElement(root, f"{XS}element", name="probe", type=of)
    text = etree.tostring(root, encoding="unicode")
    return etree.XMLSchema(root), xmlschema.XMLSchema(text)


VALUES = {
    "Bedrag": (
        "0.00 0.01 -0.01 10.50 -10.00 9999999999.99",
        "0 0.0 .50 01.00 +1.00 -0.00 1.000 1,00 10000000000.00 1e2",
    ),
    "Percentage": ("0 0.5 9.39 37.4512 100 100.0000", "-1 100.01 101 05 1.23456 .5"),
    "Tijdstip": (
        "2026-01-05T09:00:00Z 2026-01-05T09:00:00.123456+01:00 2026-01-05T09:00:00-00:30",
        "2026-01-05T09:00:00 2026-01-05T09:00:00-00:00 2026-01-05T24:00:00Z 2026-02-30T09:00:00Z",
    ),
    "Datum": ("2026-02-28 2028-02-29", "2026-02-30 2026-02-28Z 2026-2-28"),
    "Geboortedatum": ("1985 1985-03 1985-03-07", "85 1985-13 1985-03-32 1985-3-7 1785"),
    "Uuid": (
        "0a0b0c0d-1111-4222-8333-444455556666 0A0B0C0D-1111-4222-8333-444455556666",
        "0a0b0c0d11114222833344445555666 0g0b0c0d-1111-4222-8333-444455556666",
    ),
    "JaNee": ("true false", "1 0 ja TRUE"),
    "Oin": ("00000099000000001000", "99000000001000 0000009900000000100A"),
    "Iban": ("NL91ABNA0417164300 BE68539007547034", "nl91ABNA0417164300 NL91-ABNA0417164300"),
    "Emailadres": ("k.kanarie@voorbeeld.nl a+b@x-y.example.nl", "kanarie @voorbeeld.nl a@b"),
    "Versienummer": ("2.0 1.12", "2 2.0.1 0.1 02.0"),
}


@pytest.mark.parametrize("of", VALUES)
def test_a_value_is_read_the_same_by_both_schema_processors(of: str) -> None:
    fast, exact = probe(of)
    for value, expected in [
        (v, right)
        for right, group in zip((True, False), VALUES[of], strict=True)
        for v in group.split()
    ]:
        element = etree.Element("probe")
        element.text = value
        assert fast.validate(element) is exact.is_valid(element) is expected, value


@pytest.mark.parametrize(
    ("text", "line", "free"),
    [("Kanarie", True, True), ("d'Été-Ωx 𝄞", True, True), ("a  b", True, True),
     ("a\nb", False, True), ("a\tb", False, True), (" a", False, False), ("a ", False, False),
     ("a\n", False, False), ("\u00a0a", False, False), ("a\u0085b", False, False),
     ("", False, False), ("é" * 200, True, True), ("é" * 201, False, True),
     ("x" * 501, False, False)],
)  # fmt: skip
def test_text_starts_and_ends_with_something_and_is_not_too_long(
    text: str, line: object, free: object
) -> None:
    for of, expected in (("Tekst200", line), ("VrijeTekst500", free)):
        element = etree.Element("probe")
        element.text = text
        fast, exact = probe(of)
        assert fast.validate(element) is exact.is_valid(element) is expected
