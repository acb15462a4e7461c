"""The XSDs, the codec and the JSON Schemas say the same about every document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import jsonschema
import pytest
import xmlschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.errors import Finding, Refusal
from gateway.message import Dialect, Door, Json, Kind, Oin, Received, Signer, Verified
from gateway.schemas import judge, translate, validate
from gateway.schemas.catalogue import Codec
from gateway.schemas.decode import collapsed
from gateway.schemas.jsonschema import FORMATS, definition, schema_of
from gateway.schemas.plan import Form, Simple
from gateway.schemas.reader import Module
from gateway.schemas.validate import CONTENT, MODULE_DIFFERS, VERSION_DIFFERS
from tests.property.schema_instances import CATALOGUE, KINDS, documents, of_type
from tests.property.schema_mutations import TEXTS, broken_json, broken_xml

PER_KIND = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
MUTATED = settings(PER_KIND, max_examples=250)


def has_odd_space_between_elements(tree: etree._Element) -> bool:
    """No-break space between elements: text to libxml2 (rightly), white space to xmlschema."""
    between = [
        text for each in tree.iter() if len(each) for text in (each.text, *(c.tail for c in each))
    ]
    return any(text and not text.strip() and text.strip(" \t\n\r") for text in between)


ENGINE_DIFFERENCES = (has_odd_space_between_elements,)
"""All trees about which libxml2, which decides, may be stricter than xmlschema."""

JSON_DIFFERENCES = frozenset(
    {
        "type",  # a day that is not in the calendar: JSON Schema does not look
        "json-type",  # 1.0 is an integer to JSON Schema; the gateway wants 1
    }
)
"""Rules by which the gateway may refuse what JSON Schema accepts; never the reverse."""

WHOLE_KINDS = [kind for kind in KINDS if CATALOGUE.kinds[kind].headed]
"""Not Aflevering: what it carries is described by the schema of the carried kind."""

HEADER_RULES = {MODULE_DIFFERS, VERSION_DIFFERS}
"""What the gateway holds XML to beside its XSD: header and namespace agree."""

BY_MODULE = {
    schema.module: xmlschema.XMLSchema10(str(schema.module.path), allow="local", defuse="always")
    for schema in CATALOGUE.modules.values()
}


def xmlschema_says(tree: etree._Element, codec: Codec) -> bool:
    return bool(BY_MODULE[codec.schema.module].is_valid(tree))


def libxml2_says(tree: etree._Element, codec: Codec) -> bool:
    return bool(codec.schema.verdict.validate(tree))


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    """``pattern`` as ECMA-262 reads it: ``$`` is the very end, not before a last newline."""
    ends = re.sub(r"\$$", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(ends, instance):
        yield jsonschema.ValidationError(pattern)


Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {"pattern": _pattern}
)


@cache
def json_schema(kind: Kind) -> Any:
    return Validator(schema_of(CATALOGUE.kinds[kind].root))


def verified(document: Json | etree._Element, dialect: Dialect) -> Verified:
    """The document as if a party had signed it."""
    received = Received(Door.REST_JSON, dialect, b"", datetime(2026, 1, 1, tzinfo=UTC))
    return Verified(received, Signer(Oin("0" * 20), "", ""), document)


def findings_of(document: Json | etree._Element, dialect: Dialect) -> tuple[Finding, ...]:
    """Why the station refuses; nothing when it does not."""
    try:
        validate(verified(document, dialect), CATALOGUE)
    except Refusal as refusal:
        return refusal.findings
    return ()


def shows_only(names: frozenset[str], finding: Finding) -> bool:
    """The path is made of names of the contract, positions and stars."""
    steps = re.findall(r"[^/\[\]]+", finding.path)
    return all(step == "*" or step.isdecimal() or step in names for step in steps)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@PER_KIND
@given(data=st.data())
def test_a_valid_document_is_valid_in_every_form_and_survives_the_way_there_and_back(
    kind: Kind, data: st.DataObject
) -> None:
    codec = CATALOGUE.kinds[kind]
    document = data.draw(documents(codec.root))

    tree = CATALOGUE.to_xml(kind, document)

    assert codec.schema.verdict.validate(tree), codec.schema.verdict.error_log
    assert xmlschema_says(tree, codec)
    json_schema(kind).validate(document)
    assert CATALOGUE.to_json(tree) == document
    again = CATALOGUE.to_xml(kind, CATALOGUE.to_json(tree))
    assert etree.tostring(again, method="c14n", exclusive=True) == etree.tostring(
        tree, method="c14n", exclusive=True
    )


@MUTATED
@given(data=st.data())
def test_two_engines_give_one_verdict_on_broken_xml(data: st.DataObject) -> None:
    codec = CATALOGUE.kinds[data.draw(st.sampled_from(KINDS))]
    document = data.draw(documents(codec.root))

    tree = broken_xml(data.draw, CATALOGUE.to_xml(codec.kind, document))

    decides, other = libxml2_says(tree, codec), xmlschema_says(tree, codec)
    known = not decides and any(differs(tree) for differs in ENGINE_DIFFERENCES)
    assert decides == other or known
    findings = findings_of(tree, Dialect.XML)
    assert decides == (not findings) or {f.rule for f in findings} <= HEADER_RULES
    assert all(shows_only(codec.schema.xml_names, each) for each in findings)
    assert not any(each.rule == CONTENT for each in findings), "refused, but nobody knows why"


@MUTATED
@given(data=st.data())
def test_json_schema_and_xsd_give_one_verdict_on_broken_json(data: st.DataObject) -> None:
    codec = CATALOGUE.kinds[data.draw(st.sampled_from(WHOLE_KINDS))]
    names = sorted(codec.schema.json_names)

    document = broken_json(data.draw, data.draw(documents(codec.root)), names)

    findings = findings_of(document, Dialect.JSON)
    rules = {finding.rule for finding in findings}
    satisfied = json_schema(codec.kind).is_valid(document)
    if not (satisfied and rules and rules <= JSON_DIFFERENCES):
        assert satisfied == (not rules) or is_another_kind(document, codec.kind)
    assert all(shows_only(codec.schema.json_names, each) for each in findings)
    assert not any(each.rule == CONTENT for each in findings), "refused, but nobody knows why"


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@MUTATED
@given(data=st.data())
def test_any_json_at_all_is_a_message_or_a_refusal(data: st.DataObject) -> None:
    codec = CATALOGUE.kinds[data.draw(st.sampled_from(KINDS))]
    name = codec.root.element.json
    header = {"module": codec.kind.module, "versie": f"{codec.kind.major}.0"}
    names = st.sampled_from(sorted(codec.schema.json_names))

    members = data.draw(st.dictionaries(names, JSON_VALUES, max_size=4))
    headed = {"stuurgegevens": header | data.draw(st.dictionaries(names, JSON_VALUES, max_size=2))}

    for document in (members, {name: members}, {name: members | headed}):
        assert findings_of(document, Dialect.JSON)


@MUTATED
@given(data=st.data())
def test_any_valid_message_is_judged_the_same_in_both_forms(data: st.DataObject) -> None:
    codec = CATALOGUE.kinds[data.draw(st.sampled_from(WHOLE_KINDS))]
    document = data.draw(documents(codec.root))
    day = data.draw(st.dates())

    in_json = judgement(document, Dialect.JSON, day)
    in_xml = judgement(CATALOGUE.to_xml(codec.kind, document), Dialect.XML, day)

    assert [each.rule for each in in_json] == [each.rule for each in in_xml]
    assert all(shows_only(codec.schema.json_names, each) for each in in_json)
    assert all(shows_only(codec.schema.xml_names, each) for each in in_xml)


def judgement(document: Json | etree._Element, dialect: Dialect, day: date) -> tuple[Finding, ...]:
    """What the rules say of a valid message, refused or not."""
    validated = validate(verified(document, dialect), CATALOGUE)
    try:
        return judge(translate(validated, CATALOGUE), day, CATALOGUE).warnings
    except Refusal as refusal:
        return refusal.findings


def is_another_kind(document: Json, kind: Kind) -> bool:
    """Changing the module made it a valid message of another module."""
    return CATALOGUE.by_document(document).kind != kind


SIMPLE_TYPES = {
    node: schema
    for schema in CATALOGUE.modules.values()
    for node in schema.module.types.values()
    if isinstance(node, Simple)
}
"""Each type once, with a module that has it."""


def with_an_element_for_each_type(module: Module) -> str:
    """A schema that includes the module and declares one global element for each type."""
    elements = "".join(
        f'<xs:element name="proef.{name}" type="{name}"/>'
        for name, node in module.types.items()
        if isinstance(node, Simple)
    )
    return (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="{module.namespace}"'
        f' targetNamespace="{module.namespace}"><xs:include schemaLocation="{module.path.name}"/>'
        f"{elements}</xs:schema>"
    )


@cache
def probes(module: Module) -> tuple[Any, Any]:
    text = with_an_element_for_each_type(module)
    folder = f"{module.path.parent}/"
    document = etree.fromstring(text, base_url=f"{folder}proef.xsd")
    return etree.XMLSchema(document), xmlschema.XMLSchema10(text, base_url=folder, allow="local")


def near_texts(node: Simple) -> st.SearchStrategy[str]:
    """Texts that are right, nearly right or wrong for a type."""
    patterned = [st.from_regex(p, fullmatch=True) for p in node.patterns if p.isascii()]
    codes = [st.sampled_from([code.value for code in node.codes])] if node.codes else []
    valid = [of_type(node)] if node.form is Form.TEXT else []
    return st.one_of(*patterned, *codes, *valid, st.sampled_from(TEXTS), st.text(max_size=8))


@pytest.mark.parametrize("node", SIMPLE_TYPES, ids=lambda node: node.name)
@settings(PER_KIND, max_examples=30)
@given(data=st.data())
def test_three_engines_accept_the_same_texts(node: Simple, data: st.DataObject) -> None:
    module = SIMPLE_TYPES[node].module
    libxml2, other = probes(module)
    text = data.draw(near_texts(node))
    leaf = etree.Element(f"{{{module.namespace}}}proef.{node.name}")
    try:
        leaf.text = text
    except ValueError:  # not a character of XML
        return

    decides = libxml2.validate(leaf)

    assert decides == other.is_valid(leaf)
    if node.form is Form.TEXT and node.base not in FORMATS:
        as_it_stands = not node.collapse or collapsed(text) == text
        assert (decides and as_it_stands) == Validator(definition(node)).is_valid(text)
