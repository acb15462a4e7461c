"""What counts as the same message: frozen by a golden file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fixtures.documents import MESSAGES, example, kind
from gateway.message import (
    Canonical,
    Dialect,
    Door,
    Json,
    Kind,
    Oin,
    Received,
    Signer,
    Verified,
    canonical_form,
)
from gateway.record import business_digest
from gateway.schemas.translate import header_of

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "business-digests.json"
KEY = b"golden key of the tests, 32 byte"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def a_message(document: Json, which: Kind, door: Door = Door.REST_XML) -> Canonical:
    received = Received(door, Dialect.XML, b"", AT)
    verified = Verified(received, Signer(Oin("0" * 20), "0" * 64, "alg"), document)
    return Canonical(verified, which, header_of(document), document)


def all_kinds() -> list[Kind]:
    found = [
        (path.parent.name.rsplit("-v", 1), path.stem) for path in sorted(MESSAGES.glob("*/*.json"))
    ]
    return [Kind(of, int(major), name) for (of, major), name in found if name != "Aflevering"]


def test_the_digest_of_every_example_is_what_was_published() -> None:
    digests = {
        str(which): business_digest(a_message(example(which), which), KEY) for which in all_kinds()
    }

    assert digests == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_another_tijdstip_and_another_door_are_the_same_message() -> None:
    which = kind("schuldregeling", "Saldoverzoek")
    first, second = example(which), example(which)
    second["saldoverzoek"]["stuurgegevens"]["tijdstip"] = "2026-11-22T12:00:00Z"

    said = a_message(first, which)
    again = a_message(second, which, Door.QUEUE)

    assert business_digest(said, KEY) == business_digest(again, KEY)


def test_another_value_is_another_message() -> None:
    which = kind("schuldregeling", "Saldoverzoek")
    changed = example(which)
    changed["saldoverzoek"]["klantnummerShv"] = "VS-2026-000000"

    said = a_message(example(which), which)

    assert business_digest(said, KEY) != business_digest(a_message(changed, which), KEY)


def test_the_same_words_in_another_kind_are_another_message() -> None:
    which = kind("schuldregeling", "Saldoverzoek")
    said = a_message(example(which), which)

    other = replace(said, kind=replace(which, module="schuldinventarisatie"))

    assert business_digest(said, KEY) != business_digest(other, KEY)


def test_without_the_key_nobody_can_make_the_digest() -> None:
    which = kind("schuldregeling", "Saldoverzoek")
    said = a_message(example(which), which)

    assert business_digest(said, KEY) != business_digest(said, b"another key")


texts = st.text(st.characters(codec="utf-8"), max_size=40)
names = st.from_regex(r"[a-z][a-zA-Z0-9]{0,20}", fullmatch=True)
values = st.recursive(
    st.booleans() | texts | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(names, values, max_size=6))
def test_the_canonical_form_is_that_of_rfc_8785(document: Json) -> None:
    assert canonical_form(document) == rfc8785.dumps(document)
