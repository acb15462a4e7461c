"""The XSDs, the codec and the JSON Schemas say the same about every document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema
import pytest
import xmlschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.errors import Refusal
from gateway.message import Dialect, Door, Json, Kind, Oin, Received, Signer, Verified
from gateway.schemas import validate
from gateway.schemas.catalogue import Codec
from gateway.schemas.jsonschema import schema_of
from tests.property.schema_instances import CATALOGUE, KINDS, documents
from tests.property.schema_mutations import broken_json, broken_xml

PER_KIND = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
MUTATED = settings(PER_KIND, max_examples=250)

ENGINE_DIFFERENCES: frozenset[str] = frozenset()
"""Where xmlschema and libxml2 may differ about a tree: nowhere that we know."""

JSON_DIFFERENCES = frozenset(
    {
        "type",  # a day that is not in the calendar: JSON Schema does not look
        "json-type",  # 1.0 is an integer to JSON Schema; the gateway wants 1
    }
)
"""Rules by which the gateway may refuse what JSON Schema accepts; never the reverse."""

BY_MODULE = {
    schema.module: xmlschema.XMLSchema10(
        str(schema.module.path), allow="sandbox", defuse="always"
    )
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


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


@cache
def json_schema(kind: Kind) -> Any:
    return Validator(schema_of(CATALOGUE.kinds[kind].root))


def refused(document: Json, kind: Kind) -> frozenset[str]:
    """The rules by which the station refuses; empty when it takes it for this kind."""
    received = Received(Door.REST_JSON, Dialect.JSON, b"", datetime(2026, 1, 1, tzinfo=UTC))
    try:
        verified = Verified(received, Signer(Oin("0" * 20), "", ""), document)
        validated = validate(verified, CATALOGUE)
    except Refusal as refusal:
        return frozenset(finding.rule for finding in refusal.findings)
    return frozenset() if validated.kind == kind else frozenset({"soort"})


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

    assert libxml2_says(tree, codec) == xmlschema_says(tree, codec)


@MUTATED
@given(data=st.data())
def test_json_schema_and_xsd_give_one_verdict_on_broken_json(data: st.DataObject) -> None:
    codec = CATALOGUE.kinds[data.draw(st.sampled_from(KINDS))]
    names = sorted(codec.schema.json_names)

    document = broken_json(data.draw, data.draw(documents(codec.root)), names)

    rules = refused(document, codec.kind)
    satisfied = json_schema(codec.kind).is_valid(document)
    if not (satisfied and rules and rules <= JSON_DIFFERENCES):
        assert satisfied == (not rules), rules
