"""A refusal says what to do instead, over HTTP and over the queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from fixtures.documents import kind
from gateway.adapters.rest_in.problem import answer_to
from gateway.errors import EXPLANATIONS, Code, Finding, Refusal
from gateway.message import Oin
from gateway.replies import FOUTBERICHT, foutbericht
from tests.unit.rights_cases import CATALOGUE, a_directory, a_party, a_submission, refusal

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID = "0b0e8d0c-6c0e-4c5e-9d53-9df3d2f3d3aa"
GATEWAY, PARTY = Oin("00000099000000009000"), Oin("00000099000000001000")


def a_refusal() -> Refusal:
    sender, recipient = a_party("shv-fase-1"), a_party("schuldeiser")
    proposal = a_submission(kind("schuldregeling", "Betaalvoorstel"), sender, recipient)
    return refusal(proposal, sender, recipient)


def test_over_http_each_finding_brings_its_advice_in_both_languages() -> None:
    refused = a_refusal()

    answer = answer_to(refused)

    told = json.loads(bytes(answer.body))
    (found,) = refused.findings
    assert answer.status_code == 403
    assert told["errors"] == [
        {
            "rule": "RECHT_BETAALVOORSTEL_SHV_FASE_1",
            "path": "/betaalvoorstel/stuurgegevens/afzender",
            "detail": found.nl,
            "detailEn": found.en,
        }
    ]


def test_a_finding_without_advice_is_told_as_before() -> None:
    answer = answer_to(Refusal(Code.SCHEMA_ONGELDIG, Finding("ontbreekt", "/a", 3)))

    assert json.loads(bytes(answer.body))["errors"] == [
        {"rule": "ontbreekt", "path": "/a", "line": 3}
    ]


def test_over_the_queue_the_description_brings_the_advice_and_keeps_to_the_schema() -> None:
    refused = a_refusal()

    told = foutbericht(refused, own=ID, about=ID, sender=GATEWAY, to=PARTY, at=AT)

    body = told["foutbericht"]
    assert body["omschrijvingNl"].endswith(refused.findings[0].nl)
    assert body["omschrijvingEn"].endswith(refused.findings[0].en)
    tree = CATALOGUE.to_xml(FOUTBERICHT, told)
    assert CATALOGUE.kinds[FOUTBERICHT].schema.verdict.validate(tree)


def test_over_the_queue_advice_is_told_once_and_never_makes_a_text_too_long() -> None:
    long, short = "x" * 450, "Doe iets anders."
    refused = Refusal(
        Code.GEEN_RECHT,
        Finding("A", "/a", nl=long, en=long),
        Finding("B", "/b", nl=short, en=short),
        Finding("B", "/c", nl=short, en=short),
    )

    body = foutbericht(refused, own=ID, about=None, sender=GATEWAY, to=PARTY, at=AT)["foutbericht"]

    assert body["omschrijvingNl"] == f"{EXPLANATIONS[Code.GEEN_RECHT].nl} {short}"
    assert body["omschrijvingEn"] == f"{EXPLANATIONS[Code.GEEN_RECHT].en} {short}"


def test_advice_names_no_value_of_the_message() -> None:
    sender, recipient = a_party("shv-fase-2"), a_party("schuldeiser")
    asked = a_submission(kind("schuldregeling", "KennisgevingPubliek"), sender, recipient)

    body = json.loads(bytes(answer_to(refusal(asked, sender, recipient, a_directory())).body))

    assert asked.persons
    assert not any(number in json.dumps(body) for number in asked.persons)
