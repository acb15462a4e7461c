"""The example messages and the canonical conversations are what they say they are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from stdnum import iban
from stdnum.nl import bsn

from fixtures import gesprekken
from fixtures.documents import MESSAGES, example
from fixtures.gesprekken import PARTIES, Gesprek, build, documents, load, load_all
from gateway.message import Json, Kind
from gateway.schemas.catalogue import Catalogue

START = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)

TOTALS = (
    ("totaalSaldoInCenten", "saldoInCenten"),
    ("totaalPrognoseInCenten", "prognoseEindbedragInCenten"),
    ("totaalBedragInCenten", "bedragInCenten"),
)
PARTS = ("oorspronkelijkeVordering", "rente", "incassokosten", "executiekosten")

catalogue = Catalogue.load()
conversations = load_all()

each_kind = pytest.mark.parametrize("kind", catalogue.kinds, ids=str)
each_conversation = pytest.mark.parametrize(
    "gesprek", conversations, ids=[str(gesprek.nummer) for gesprek in conversations]
)


def members(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a document, with its path; array positions left out."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield f"{path}/{name}", value
            yield from members(value, f"{path}/{name}")
    elif isinstance(node, list):
        for value in node:
            yield from members(value, path)


def holds_to_schema(kind: Kind, document: Json) -> bool:
    tree = catalogue.to_xml(kind, document)
    return bool(catalogue.kinds[kind].schema.verdict.validate(tree))


def fresh_ids() -> Iterator[str]:
    for number in range(1, 1000):
        yield str(UUID(int=number, version=4))


def run(gesprek: Gesprek) -> list[tuple[gesprekken.Stap, Json]]:
    ids = fresh_ids()
    return list(documents(gesprek, start=START, fresh=lambda: next(ids)))


# examples


def test_every_kind_has_one_example_and_there_are_no_others() -> None:
    found = {f"{path.parent.name}/{path.stem}" for path in MESSAGES.glob("*/*")}
    assert found == {f"{kind.module}-v{kind.major}/{kind.name}" for kind in catalogue.kinds}


@each_kind
def test_an_example_satisfies_its_schema_and_survives_the_way_through_xml(kind: Kind) -> None:
    document = example(kind)
    assert holds_to_schema(kind, document)
    again = catalogue.to_json(catalogue.to_xml(kind, document))
    assert json.dumps(again) == json.dumps(document)


@each_kind
def test_an_example_names_only_synthetic_persons_and_parties(kind: Kind) -> None:
    for path, value in members(example(kind)):
        name = path.rsplit("/", 1)[1]
        if name == "bsn":
            assert re.match("9999|9000000", value), path
            assert bsn.is_valid(value), path
        elif name == "iban":
            assert iban.validate(value, check_country=False)[4:8] == "VRBD", path
        elif name == "oin":
            assert value in PARTIES.values(), path
        elif name == "email":
            assert value.endswith(".example"), path
        elif name in {"kvkNummer", "telefoonnummer"}:
            assert re.match("99|088-000", value), path


@each_kind
def test_the_amounts_of_an_example_add_up(kind: Kind) -> None:
    for path, value in members(example(kind)):
        if path.endswith("/openstaand"):
            parts = [value.get(f"{name}InCenten", 0) for name in PARTS]
            assert value["saldoInCenten"] == sum(parts) - value.get("betaaldInCenten", 0)
        if isinstance(value, dict):
            for total, part in TOTALS:
                claims = [each for name, each in members(value) if name.endswith(f"/{part}")]
                if total in value and claims:
                    assert value[total] == sum(claims), f"{path}/{total}"


@each_kind
def test_an_example_offers_what_its_percentage_says(kind: Kind) -> None:
    for path, value in members(example(kind)):
        claims = value if isinstance(value, list) else []
        for claim in [claim for claim in claims if "actueelVorderingsbedragInCenten" in claim]:
            base = claim["actueelVorderingsbedragInCenten"]
            offer = round(base * float(claim["afkooppercentage"]) / 100)
            assert claim["prognoseEindbedragInCenten"] == offer, path


@each_kind
def test_the_attachments_of_an_example_are_what_they_say(kind: Kind) -> None:
    for path, value in members(example(kind)):
        if path.endswith("/bijlagen"):
            for bijlage in value:
                held = base64.b64decode(bijlage["inhoud"], validate=True)
                assert hashlib.sha256(held).hexdigest() == bijlage["sha256"]
                assert held.startswith(b"%PDF-")


# conversations


def test_there_are_twelve_conversations() -> None:
    assert [gesprek.nummer for gesprek in conversations] == list(range(1, 13))


@each_conversation
def test_every_step_of_a_conversation_satisfies_its_schema(gesprek: Gesprek) -> None:
    for stap, document in run(gesprek):
        assert holds_to_schema(stap.kind, document), stap.als


@each_conversation
def test_a_conversation_goes_forward_in_time_within_a_month(gesprek: Gesprek) -> None:
    moments = [stap.wanneer for stap in gesprek.stappen]
    assert moments == sorted(moments)
    assert moments[-1].days < 30


@each_conversation
def test_answers_go_back_to_who_asked_in_the_same_thread(gesprek: Gesprek) -> None:
    bodies = {stap.als: (stap, next(iter(body.values()))["stuurgegevens"])
              for stap, body in run(gesprek)}  # fmt: skip
    for stap, header in bodies.values():
        if stap.antwoord_op:
            asked, question = bodies[stap.antwoord_op]
            assert header["crossReferentienummer"] == question["referentienummer"]
            told = header["conversatieReferentienummer"]
            assert told == question["conversatieReferentienummer"]
            assert {stap.van, stap.naar} == {asked.van, asked.naar}


def test_a_repeat_is_the_same_document_and_a_conflict_only_has_the_same_number() -> None:
    sent = {stap.als: document for stap, document in run(conversations[8])}
    assert sent["nog-eens"] == sent["saldoverzoek"] != sent["anders"]
    header = sent["anders"]["saldoverzoek"]["stuurgegevens"]
    assert header == sent["saldoverzoek"]["saldoverzoek"]["stuurgegevens"]


def test_the_bad_line_of_a_list_fails_the_check_digits_and_no_other_does() -> None:
    for stap, document in run(conversations[11]):
        numbers = [value for path, value in members(document) if path.endswith("/iban")]
        right = all(iban.is_valid(number, check_country=False) for number in numbers)
        assert right == stap.accepted


def test_a_step_says_only_what_its_arguments_and_its_example_say() -> None:
    stap = conversations[0].stap("bevestiging")
    document = build(
        stap,
        referentienummer="1",
        conversatie="2",
        tijdstip=START,
        cross="3",
        parties={**PARTIES, "se": PARTIES["incasso"]},
    )
    assert document["kennisgevingAntwoord"]["stuurgegevens"] == {
        "referentienummer": "1",
        "crossReferentienummer": "3",
        "conversatieReferentienummer": "2",
        "module": "schuldregeling",
        "versie": "2.0",
        "afzender": {"oin": PARTIES["incasso"]},
        "ontvanger": {"oin": PARTIES["shv"]},
        "tijdstip": "2026-06-01T09:00:00+00:00",
    }


HEAD = 'titel = "t"\ntoont = "t"\n'
STEP = '[[stap]]\nvan = "shv"\nnaar = "se"\nsoort = "Navraag"\nmodule = "schuldregeling"\n'


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('verwachtt = "aangenomen"', "unknown keys"),
        ('verwacht = "aangenomen"\nantwoord_op = "later"', "no earlier step"),
        ('verwacht = "aangenomen"\nnamens = "niemand"', "unknown roles"),
        ('verwacht = "aangenomen"\nwanneer = "3 dagen"', "not a time"),
        ('verwacht = "aangenomen"\nsoort_ = 1', "unknown keys"),
    ],
)
def test_a_conversation_with_a_mistake_is_not_read(
    tmp_path: Path, line: str, complaint: str
) -> None:
    path = tmp_path / "1-fout.toml"
    path.write_text(HEAD + STEP + line, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        load(path)
