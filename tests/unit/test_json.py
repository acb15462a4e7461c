"""The strict JSON reader: one way to read each document, and each bad input refused."""

from __future__ import annotations

import json as stdlib
import time
import timeit
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import json
from gateway.errors import Code, Refusal


def refused(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        json.parse(body)
    assert caught.value.code is Code.JSON_ONGELDIG
    (finding,) = caught.value.findings
    assert (finding.path, finding.line) == ("", None)
    return finding.rule


def cpu_seconds(body: bytes) -> float:
    """What refusing it costs when nothing else is in the way."""
    return min(timeit.repeat(lambda: refused(body), timer=time.process_time, number=1, repeat=5))


def read_or_refused(body: bytes) -> object:
    try:
        return json.parse(body)
    except Refusal as refusal:
        return refusal.code


def test_an_object_is_read() -> None:
    body = '{"a": {"b": [1, "é €", true, null]}, "c": "tab\\t \\"\\u00e9\\ud83d\\ude00"}'.encode()

    assert json.parse(body) == {"a": {"b": [1, "é €", True, None]}, "c": 'tab\t "é😀'}


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} x', b'{"a": "\n"}', b"\x00{}"]
)
def test_malformed_json_is_refused(body: bytes) -> None:
    assert refused(body) == "vorm"


@pytest.mark.parametrize("body", [b"[]", b"1", b'"a"', b"null", b"true"])
def test_anything_but_an_object_is_refused(body: bytes) -> None:
    assert refused(body) == "geen-object"


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf{}",
        '{"a": "b"}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
    ],
)
def test_anything_but_utf8_without_a_byte_order_mark_is_refused(body: bytes) -> None:
    assert refused(body) == "codering"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": [{"b": 1, "\\u0062": 2}]}',
    ],
)
def test_a_name_that_appears_twice_is_refused(body: bytes) -> None:
    assert refused(body) == "dubbele-naam"


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1.0", "1e2", "0.1", "9007199254740992", "-9007199254740992"],
)
def test_a_number_that_two_readers_may_read_differently_is_refused(number: str) -> None:
    assert refused(f'{{"a": [{number}]}}'.encode()) == "getal"


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    body = b'{"a": ' + b"9" * 1_000_000 + b"}"

    assert refused(body) in {"vorm", "getal"}
    assert cpu_seconds(body) < 1  # to read them all takes four


def test_the_largest_exact_integers_are_read() -> None:
    largest = 2**53 - 1

    assert json.parse(f'{{"a": [{largest}, -{largest}]}}'.encode()) == {"a": [largest, -largest]}


@pytest.mark.parametrize(
    "text",
    ["\\u0000", "\\u0008", "\\b", "\\f", "\\u001f", "\\ud800", "\\udc00x", "\\ufffe", "\uffff"],
)
@pytest.mark.parametrize("template", ['{"a": "@"}', '{"@": 1}', '{"a": [{"b": ["@"]}]}'])
def test_text_that_xml_cannot_carry_is_refused(text: str, template: str) -> None:
    assert refused(template.replace("@", text).encode()) == "teken"


def test_thirty_two_levels_are_read_and_thirty_three_refused() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)

    json.parse(nested(32))
    assert refused(nested(33)) == "diepte"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_a_hundred_thousand_levels_are_refused_fast_with_flat_memory(body: bytes) -> None:
    tracemalloc.start()
    rule = refused(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert rule in {"vorm", "diepte"}
    assert cpu_seconds(body) < 1
    assert peak < 10 * len(body) + 2_000_000


def test_nothing_of_the_text_is_in_the_refusal() -> None:
    with pytest.raises(Refusal) as caught:
        json.parse(b'{"bsn": "123456782", ')

    assert "123456782" not in repr(caught.value) + repr(caught.value.findings)
    assert caught.value.__suppress_context__


@given(st.binary(max_size=200))
def test_whatever_the_bytes_the_answer_is_an_object_or_a_refusal(body: bytes) -> None:
    outcome = read_or_refused(body)

    assert isinstance(outcome, dict) or outcome is Code.JSON_ONGELDIG


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"],
                            exclude_characters="\ufffe\uffff")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from("abc"), values), st.booleans())
def test_whatever_can_be_said_is_read_as_it_was_written(
    document: dict[str, Any], ascii_only: bool  # noqa: FBT001 - drawn by the test
) -> None:  # fmt: skip
    written = stdlib.dumps(document, ensure_ascii=ascii_only).encode()

    assert json.parse(written) == document


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b",".join(b'"a%d":{}' % number for number in range(150_000)) + b"}",
        b'{"a":[' + b"[]," * 150_000 + b"[]]}",
    ],
    ids=["members", "items"],
)
def test_a_document_of_very_many_values_is_refused_before_it_is_made(body: bytes) -> None:
    assert refused(body) == "aantal"
    assert cpu_seconds(body) < 0.1
