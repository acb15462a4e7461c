"""The canonical conversations: rights refuse exactly the steps that say so."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import pytest

from fixtures.gesprekken import Gesprek, documents, load_all
from fixtures.world import ALL_MODULES, Entry, rights_of, the_usual
from gateway.adapters.register import directory_of, text_of
from gateway.errors import Code, Refusal
from gateway.message import (
    Canonical,
    Dialect,
    Door,
    Json,
    Kind,
    Received,
    Signer,
    Submission,
    Verified,
)
from gateway.routing.directory import Directory
from gateway.schemas.translate import header_of
from tests.unit.rights_cases import PERSONS, RIGHTS

START = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
OURS = {Code.GEEN_RECHT, Code.BIJLAGE_ONTBREEKT, Code.BSN_NIET_TOEGESTAAN, Code.NIET_AANGESLOTEN}

conversations = load_all()


def table(entry: Entry) -> str:
    return (
        f'[[partij]]\noin = "{entry.oin}"\nnaam = "{entry.naam}"\n'
        f"rollen = {entry.rollen.split()!r}\nmodules = {list(ALL_MODULES)!r}\n"
    )


def usual_directory() -> Directory:
    toml = "".join(table(entry) for entry in the_usual()) + rights_of(the_usual())
    return directory_of(1, text_of(toml, read_file=lambda _: "", production=False))


DIRECTORY = usual_directory()


def judged(kind: Kind, document: Json) -> str:
    """The code that rights answer, or nothing."""
    header = header_of(document)
    received = Received(Door.REST_JSON, Dialect.JSON, b"", header.tijdstip)
    verified = Verified(received, Signer(header.afzender, "0" * 64, "PS256"), document)
    message = Canonical(verified, kind, header, document)
    submission = Submission(message, "digest", b"", "a", "b", PERSONS[kind](document))
    sender, recipient = (DIRECTORY.parties[oin] for oin in (header.afzender, header.ontvanger))
    try:
        RIGHTS.check(submission, sender, recipient, DIRECTORY, header.tijdstip)
    except Refusal as refusal:
        return refusal.code
    return ""


@pytest.mark.parametrize("gesprek", conversations, ids=lambda gesprek: f"{gesprek.nummer:02}")
def test_rights_refuse_exactly_the_steps_that_say_so(gesprek: Gesprek) -> None:
    numbers = count(1)
    steps = documents(gesprek, start=START, fresh=lambda: str(UUID(int=next(numbers), version=4)))

    told = [
        (stap.als, judged(stap.kind, document), stap.verwacht if stap.verwacht in OURS else "")
        for stap, document in steps
    ]

    assert told
    assert [(als, found) for als, found, _ in told] == [(als, said) for als, _, said in told]
