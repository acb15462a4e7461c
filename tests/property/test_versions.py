"""Two versions of a module say the same, and what one cannot say is named."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.message import Json, Kind
from gateway.schemas.versions import Older, Pair, Unsayable
from tests.property.schema_instances import CATALOGUE, documents

VERSIONS = CATALOGUE.versions
OLD = sorted(VERSIONS.by_old, key=str)
PAIRS = sorted(VERSIONS.by_new.values(), key=lambda pair: str(pair.new.kind))

PER_KIND = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

each_old = pytest.mark.parametrize("kind", OLD, ids=str)
each_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair.new.kind))


def is_valid(kind: Kind, document: Json) -> bool:
    tree = CATALOGUE.to_xml(kind, document)
    codec = CATALOGUE.kinds[kind]
    return bool(codec.schema.verdict.validate(tree)) and CATALOGUE.to_json(tree) == document


def lowered(document: Json, pair: Pair) -> Older | Unsayable:
    return VERSIONS.downcast(document, pair.new.kind, pair.old.kind.major)


def there(document: Any, pointer: str) -> bool:
    """There is something at this JSON pointer."""
    for step in pointer.split("/")[1:]:
        if isinstance(document, list):
            document = document[int(step)]
        elif step in document:
            document = document[step]
        else:
            return False
    return True


def without(document: Json, pointers: tuple[str, ...]) -> Json:
    """A copy without what stands at these pointers."""
    document = copy.deepcopy(document)
    for pointer in pointers:
        *way, last = pointer.split("/")[1:]
        node: Any = document
        for step in way:
            node = node[int(step)] if isinstance(node, list) else node[step]
        del node[last]
    return document


def values_of(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [text for each in document.values() for text in values_of(each)]
    if isinstance(document, list):
        return [text for each in document for text in values_of(each)]
    return [document] if isinstance(document, str) else []


@each_old
@PER_KIND
@given(data=st.data())
def test_what_the_older_version_says_survives_the_way_up_and_down(
    kind: Kind, data: st.DataObject
) -> None:
    document = data.draw(documents(CATALOGUE.kinds[kind].root))
    sent = copy.deepcopy(document)

    newer, raised = VERSIONS.upcast(document, kind)
    again = VERSIONS.downcast(raised, newer, kind.major)

    assert is_valid(newer, raised)
    assert again == Older(kind, sent, lost=())
    assert document == sent


@each_pair
@PER_KIND
@given(data=st.data())
def test_what_the_newer_version_says_goes_down_whole_or_names_what_it_loses(
    pair: Pair, data: st.DataObject
) -> None:
    document = data.draw(documents(pair.new))
    sent = copy.deepcopy(document)

    older = lowered(document, pair)

    assert document == sent
    if isinstance(older, Unsayable):
        assert older.why
        return
    assert is_valid(older.kind, older.document)
    assert all(there(document, pointer) for pointer in older.lost)
    kind, raised = VERSIONS.upcast(older.document, older.kind)
    assert (kind, raised) == (pair.new.kind, supposed(without(document, older.lost), pair))


def supposed(document: Json, pair: Pair) -> Json:
    """The document with what the older version means where it says nothing."""
    (body,) = document.values()
    for place, member, meant in pair.up:
        if member is None:
            node = body
            for step in place[:-1]:
                node = node[step]
            node[place[-1]] = meant
    return document


@each_pair
@PER_KIND
@given(data=st.data())
def test_a_loss_is_told_by_names_and_numbers_only(pair: Pair, data: st.DataObject) -> None:
    document = data.draw(documents(pair.new))

    older = lowered(document, pair)

    told = (*older.lost, *(older.why if isinstance(older, Unsayable) else ()))
    names = CATALOGUE.kinds[pair.new.kind].schema.json_names
    steps = {step for pointer in told for step in pointer.split("/")[1:]}
    assert all(step.isdecimal() or step in names for step in steps)


@each_pair
@PER_KIND
@given(data=st.data())
def test_what_is_left_after_a_loss_is_lossless(pair: Pair, data: st.DataObject) -> None:
    document = data.draw(documents(pair.new))
    older = lowered(document, pair)
    if isinstance(older, Unsayable):
        return

    again = lowered(without(document, older.lost), pair)

    assert isinstance(again, Older)
    # an assumed value that was lost is demanded by the newer version, so it cannot be left out
    assert again.lost == ()
    assert json.dumps(again.document) == json.dumps(older.document)
