"""The conversations in which the documents answer: made in a gateway's ledger before a burst.

A gateway refuses an answer to what nobody asked. The others know no conversations and get the
same documents. What is written is what a Saldoverzoek leaves behind in its conversation, by the
gateway's own rules; the question itself is not there, and nobody misses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from bench.load import documents
from fixtures.documents import document, kind
from fixtures.parties import now
from fixtures.rules import courses
from fixtures.world import SE, SHV
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.database import Database, connect
from gateway.adapters.ledger.numbering import pair_between
from gateway.adapters.ledger.tables import conversation
from gateway.message import (
    Canonical,
    Course,
    Dialect,
    Door,
    Received,
    Signer,
    Submission,
    Talk,
    Verified,
    as_bytes,
)
from gateway.routing.directory import Party
from gateway.schemas.translate import header_of

QUESTION = kind("schuldregeling", "Saldoverzoek")
PLACEHOLDER = "00000000-0000-4000-8000-00000000000a"
PORTION = 20_000
_CONVERSATION = re.compile(rb"ConversatieReferentienummer>([0-9a-f-]{36})<")


def question(at: datetime) -> Course:
    """What a Saldoverzoek of the SHV makes of a new conversation.

    Its number is that of its conversation: ``PLACEHOLDER``.
    """
    asked = document(
        QUESTION, reference=PLACEHOLDER, conversation=PLACEHOLDER, sender=SHV, recipient=SE, at=at
    )
    header, body = header_of(asked), as_bytes(asked)
    received = Received(Door.REST_JSON, Dialect.JSON, body, at)
    verified = Verified(received, Signer(SHV, "0" * 64, "PS256"), asked)
    message = Canonical(verified, QUESTION, header, asked)
    submission = Submission(message, "0" * 64, body, PLACEHOLDER, PLACEHOLDER)
    creditor = Party(SE, "", frozenset({"schuldeiser"}), frozenset({QUESTION.module}), ())
    return courses().proceed(submission, Talk(), creditor).course


def opened(ledger: Database, conversations: Iterable[str], course: Course | None) -> None:
    """Open these conversations, in each of which the SHV said one thing.

    Args:
        course: Where they stand, with ``PLACEHOLDER`` for their id; None where the rules know
            nothing of them.
    """
    waiting = iter(conversations)
    while portion := list(islice(waiting, PORTION)):
        with ledger.writing() as connection:
            bulk.insert(connection, conversation, [_row(each, course) for each in portion])


def _row(number: str, course: Course | None) -> dict[str, Any]:
    return {
        **pair_between(number, SHV, SE)._asdict(),
        "last_to_a": int(SE < SHV),
        "last_to_b": int(SHV < SE),
        "stand": None if course is None else course.stand.replace(PLACEHOLDER, number),
        "next_term": None if course is None else course.next_term,
        "ended_at": None,
        "kern": None,
    }


def ask(ledger: str, corpus: Path, first: int, count: int) -> None:
    """Open the conversations of so many documents of a corpus file.

    Args:
        ledger: Its address.
    """
    database = connect(ledger)
    try:
        opened(database, _conversations(documents(corpus, first, count)), question(now()))
    finally:
        database.engine.dispose()


def _conversations(signed: Iterator[bytes]) -> Iterator[str]:
    for body in signed:
        found = _CONVERSATION.search(body)
        if found is None:
            raise ValueError("a document of the corpus names no conversation")
        yield found[1].decode()
