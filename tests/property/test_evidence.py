"""For every tree and every leaf: the path leads to the root, and nothing else does."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence import (
    NOTHING_BEFORE,
    Checkpoint,
    Proof,
    Signed,
    accepted_entry,
    as_json,
    leaf,
    path,
    proof_of,
    root_from,
    stands,
    tree,
    with_proof,
    without_proof,
)
from gateway.message import canonical_form

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
SIZES = st.integers(min_value=1, max_value=130)
TEXTS = st.dictionaries(st.sampled_from(["a", "b", "c", "naam"]), st.text(max_size=20))


@st.composite
def proofs(draw: st.DrawFn) -> tuple[bytes, Proof]:
    """An entry somewhere in a tree, and its proof."""
    size = draw(SIZES)
    place = draw(st.integers(min_value=0, max_value=size - 1))
    entry, salt = (
        draw(st.binary(min_size=1, max_size=40)),
        draw(st.binary(min_size=16, max_size=16)),
    )
    leaves = [leaf(b"other", number.to_bytes(2)) for number in range(size)]
    leaves[place] = leaf(salt, entry)
    levels = tree(leaves)
    point = Checkpoint("log", 1, AT, size, levels[-1][0], NOTHING_BEFORE)
    return entry, Proof(salt, place, path(levels, place), Signed(point, "kid", b"s"))


def flipped(content: bytes, bit: int) -> bytes:
    """The same with one other bit."""
    at = bit % (8 * len(content))
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


@given(proofs())
def test_every_leaf_leads_to_the_root(made: tuple[bytes, Proof]) -> None:
    entry, proof = made

    assert stands(entry, proof)
    assert proof_of(json.loads(json.dumps(as_json(proof)))) == proof


@given(proofs(), st.integers(min_value=0), st.data())
def test_a_changed_bit_anywhere_leads_elsewhere(
    made: tuple[bytes, Proof], bit: int, data: st.DataObject
) -> None:
    entry, proof = made

    assert not stands(flipped(entry, bit), proof)
    assert not stands(entry, proof._replace(salt=flipped(proof.salt, bit)))
    point = proof.signed.checkpoint
    other_root = point._replace(root=flipped(point.root, bit))
    assert not stands(entry, proof._replace(signed=proof.signed._replace(checkpoint=other_root)))
    if proof.path:
        step = data.draw(st.integers(min_value=0, max_value=len(proof.path) - 1))
        changed = list(proof.path)
        changed[step] = flipped(changed[step], bit)
        assert not stands(entry, proof._replace(path=tuple(changed)))


@given(proofs(), st.integers(min_value=-2, max_value=300))
def test_a_leaf_has_one_place(made: tuple[bytes, Proof], place: int) -> None:
    entry, proof = made

    assert stands(entry, proof._replace(place=place)) == (place == proof.place)


@given(proofs(), st.binary(min_size=32, max_size=32))
def test_a_path_has_one_length(made: tuple[bytes, Proof], more: bytes) -> None:
    entry, proof = made

    assert not stands(entry, proof._replace(path=(*proof.path, more)))
    assert not proof.path or not stands(entry, proof._replace(path=proof.path[:-1]))


@given(proofs(), st.integers(min_value=0))
def test_what_is_signed_names_every_field(made: tuple[bytes, Proof], bit: int) -> None:
    point = made[1].signed.checkpoint
    others = [
        point._replace(log="another"),
        point._replace(number=point.number + 1),
        point._replace(at=AT.replace(hour=13)),
        point._replace(size=point.size + 1),
        point._replace(root=flipped(point.root, bit)),
        point._replace(previous=flipped(point.previous, bit)),
    ]

    texts = {each.signed_text() for each in [point, *others]}

    assert len(texts) == len({each.head for each in [point, *others]}) == 7


@given(SIZES, st.integers(min_value=0, max_value=130), st.lists(st.binary(max_size=32), max_size=9))
def test_no_path_of_any_shape_breaks_the_check(size: int, place: int, found: list[bytes]) -> None:
    reached = root_from(b"l" * 32, place, size, found)

    assert reached is None or len(reached) == 32


@given(proofs(), TEXTS)
def test_a_proof_in_a_receipt_changes_no_other_byte(
    made: tuple[bytes, Proof], members: dict[str, str]
) -> None:
    receipt = canonical_form({"ontvangstbevestiging": {"id": "1", **members}})

    handed_out = with_proof(receipt, made[1], "ab")

    told = json.dumps(as_json(made[1], "ab"), separators=(",", ":"))
    assert handed_out == receipt[:-2] + b',"bewijs":' + told.encode() + b"}}"
    assert without_proof(json.loads(handed_out)) == (receipt, as_json(made[1], "ab"))
    assert accepted_entry(receipt, "ab") != accepted_entry(receipt + b" ", "ab")
