"""What stands in the log can be shown, and nothing else can."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from lxml import etree

from gateway import xml
from gateway.evidence import (
    NOTHING_BEFORE,
    Checkpoint,
    DayClose,
    Head,
    Proof,
    Signed,
    accepted_entry,
    as_json,
    day_close_digest,
    day_close_of,
    day_close_text,
    leaf,
    path,
    proof_of,
    stands,
    tree,
    with_proof,
    without_proof,
)
from gateway.message import Json, canonical_form
from gateway.replies import ONTVANGSTBEVESTIGING
from gateway.schemas import Catalogue

NOON = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
LOG = "11111111-2222-4333-8444-555555555555"
SHA256 = hashlib.sha256(b"<bericht/>").hexdigest()
SALT = b"s" * 16


def a_checkpoint(size: int, root: bytes, number: int = 1) -> Checkpoint:
    return Checkpoint(LOG, number, NOON, size, root, NOTHING_BEFORE)


def a_receipt() -> Json:
    return {
        "ontvangstbevestiging": {
            "stuurgegevens": {
                "referentienummer": "6b1f1c1e-9f57-4d6c-8a53-3a6f0f9f0c01",
                "crossReferentienummer": "6b1f1c1e-9f57-4d6c-8a53-3a6f0f9f0c02",
                "conversatieReferentienummer": "6b1f1c1e-9f57-4d6c-8a53-3a6f0f9f0c03",
                "module": "gateway",
                "versie": "1.0",
                "afzender": {"oin": "00000099000000009000"},
                "ontvanger": {"oin": "00000099000000001000"},
                "tijdstip": "2026-03-02T12:00:00.250Z",
            },
            "bericht": {
                "referentienummer": "6b1f1c1e-9f57-4d6c-8a53-3a6f0f9f0c02",
                "module": "schuldregeling",
                "soort": "Kennisgeving",
                "versie": "2.0",
            },
            "ontvangenOp": "2026-03-02T12:00:00.125Z",
            "ontvanger": "00000099000000002000",
            "kanaal": "QUEUE",
            "status": "AANGENOMEN",
            "waarschuwingen": [{"regel": "datum-ver-weg", "pad": "/kennisgeving/peildatum"}],
        }
    }


def a_proof(entry: bytes, size: int = 3, place: int = 1) -> Proof:
    leaves = [leaf(SALT, b"another %d" % number) for number in range(size)]
    leaves[place] = leaf(SALT, entry)
    levels = tree(leaves)
    signed = Signed(a_checkpoint(size, levels[-1][0]), "k" * 43, b"\x01" * 70)
    return Proof(SALT, place, path(levels, place), signed)


@pytest.mark.parametrize("size", range(1, 10))
def test_a_receipt_that_carries_its_proof_is_the_one_that_was_recorded(size: int) -> None:
    recorded = canonical_form(a_receipt())
    proof = a_proof(accepted_entry(recorded, SHA256), size, size - 1)

    handed_out = with_proof(recorded, proof, SHA256)
    bare, told = without_proof(json.loads(handed_out))

    assert handed_out.startswith(recorded[:-2])
    assert bare == recorded
    assert proof_of(told) == proof
    assert stands(accepted_entry(bare, told["origineelSha256"]), proof_of(told))


@pytest.mark.parametrize("size", [1, 2, 33])
def test_the_xml_form_of_a_receipt_proves_the_same(catalogue: Catalogue, size: int) -> None:
    recorded = canonical_form(a_receipt())
    proof = a_proof(accepted_entry(recorded, SHA256), size, size - 1)
    handed_out = json.loads(with_proof(recorded, proof, SHA256))

    written = etree.tostring(catalogue.to_xml(ONTVANGSTBEVESTIGING, handed_out))
    bare, told = without_proof(catalogue.to_json(xml.parse(written)))

    assert bare == recorded
    assert stands(accepted_entry(bare, told["origineelSha256"]), proof_of(told))


def test_a_lone_leaf_has_one_place_within_the_size_that_was_signed() -> None:
    proof = a_proof(b"entry", size=3, place=2)
    checkpoint = proof.signed.checkpoint

    assert stands(b"entry", proof)
    assert not any(
        stands(b"entry", Proof(SALT, place, proof.path, proof.signed)) for place in (-1, 0, 1, 3)
    )
    # another size would do for the path alone, and is not what was signed
    smaller = a_checkpoint(2, checkpoint.root)
    assert smaller.signed_text() != checkpoint.signed_text()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("tijdstip", "2026-03-02T12:00:00.250999Z"),
        ("tijdstip", "2026-03-02T13:00:00.250+01:00"),
        ("wortel", "AB" * 32),
        ("nummer", "1"),
    ],
)
def test_a_proof_can_be_written_in_one_way_only(member: str, value: object) -> None:
    told = as_json(a_proof(b"entry"), SHA256)
    told["controlepunt"][member] = value

    with pytest.raises(ValueError, match="one way"):
        proof_of(told)


def test_a_node_cannot_be_taken_for_a_leaf() -> None:
    left, right = leaf(SALT, b"a"), leaf(SALT, b"b")

    assert leaf(b"", left + right) != tree([left, right])[-1][0]


def test_a_day_close_comes_back_as_it_was_written() -> None:
    close = DayClose("2026-03-01", NOON, NOTHING_BEFORE, (Head(LOG, 7, b"h" * 32),))

    assert day_close_of(close.content()) == close
    assert day_close_text(close.content()).startswith(b"gateway-dagafsluiting-1\n{")
    assert (
        day_close_digest(close.content())
        == hashlib.sha256(day_close_text(close.content())).digest()
    )


def test_a_day_close_can_be_written_in_one_way_only() -> None:
    close = DayClose("2026-03-01", NOON, NOTHING_BEFORE, ())

    with pytest.raises(ValueError, match="one way"):
        day_close_of(close.content().replace(":", ": ", 1))
