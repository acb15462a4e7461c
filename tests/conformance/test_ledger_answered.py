"""Every ledger finds what was recorded in answer to a question, and nothing else."""

from __future__ import annotations

from datetime import date

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.message import Kind
from gateway.verklaring import Statement
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
)

QUESTION = a_uuid("message", 1)
HERE = a_uuid("conversation", 1)
STATED = Statement(
    own=a_uuid("statement"),
    conversatie=HERE,
    question=QUESTION,
    soort="Kennisgeving",
    vrager=MUNICIPALITY,
    gevraagde=CREDITOR,
    available=True,
    last_day=date(2026, 3, 1),
    until=NOON,
)


def test_an_answer_to_the_question_is_found_and_nothing_else(ledger: SqlLedger) -> None:
    batch = [
        a_submission(1, afzender=MUNICIPALITY, ontvanger=CREDITOR),
        a_submission(2, cross=QUESTION, kind=Kind("schuldregeling", 2, "GeenMedewerking")),
        a_submission(3, cross=a_uuid("message", 9)),
        a_submission(4),
        a_submission(5, cross=QUESTION, kind=Kind("gateway", 1, "TermijnVerstreken")),
        a_submission(6, cross=QUESTION, conversatie=a_uuid("conversation", 2)),
        a_submission(7, cross=QUESTION, ontvanger=STRANGER),
    ]
    ledger.record(batch, admitting(), NOON)

    [found] = ledger.answers_to(STATED)

    assert (found.referentienummer, found.soort) == (a_uuid("message", 2), "GeenMedewerking")
    assert (found.conversatie, found.afzender, found.ontvanger) == (HERE, CREDITOR, MUNICIPALITY)
    assert (found.op, found.cross) == (NOON, QUESTION)


def test_a_question_without_an_answer_has_none(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1, afzender=MUNICIPALITY)], admitting(), NOON)

    assert ledger.answers_to(STATED) == []
