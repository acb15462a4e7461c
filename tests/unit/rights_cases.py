"""Parties, a directory and messages for the tests of who may say what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from types import MappingProxyType

import pytest

from fixtures.documents import example
from fixtures.world import ALL_MODULES
from gateway.errors import Refusal
from gateway.message import (
    Canonical,
    Dialect,
    Door,
    Json,
    Kind,
    Oin,
    Received,
    Signer,
    Submission,
    Verified,
    as_bytes,
)
from gateway.routing.directory import BsnRight, Directory, Mandate, Party, Succession
from gateway.routing.policy import GATEWAY_ROLE
from gateway.routing.rights import Rights
from gateway.schemas import Catalogue
from gateway.schemas.persons import persons_in
from gateway.schemas.translate import header_of

CATALOGUE = Catalogue.load()
PERSONS = persons_in(CATALOGUE)
RIGHTS = Rights()

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TODAY = date(2026, 11, 22)

OWNER = Oin("00000099000000002000")
"""Whose claim it is where an agency or a bailiff acts."""
OINS = {
    "schuldeiser": OWNER,
    "incassobureau": Oin("00000099000000003000"),
    "gerechtsdeurwaarder": Oin("00000099000000003500"),
    "shv-fase-1": Oin("00000099000000006000"),
    "shv-fase-2": Oin("00000099000000001000"),
    "overige-shv": Oin("00000099000000007000"),
    "bewindvoerder": Oin("00000099000000004000"),
    GATEWAY_ROLE: Oin("00000099000000009000"),
}
CREDITOR_SIDE = ("schuldeiser", "incassobureau", "gerechtsdeurwaarder")
AGENCIES = CREDITOR_SIDE[1:]


def a_party(*roles: str, **changes: object) -> Party:
    """A party with these roles, connected to every module; its OIN is that of the first."""
    party = Party(OINS[roles[0]], "naam", frozenset(roles), frozenset(ALL_MODULES), ())
    return replace(party, **changes)  # type: ignore[arg-type]


def a_mandate(role: str, module: str = "schuldregeling", **changes: object) -> Mandate:
    mandate = Mandate(OINS[role], OWNER, module, date(2026, 1, 1))
    return replace(mandate, **changes)  # type: ignore[arg-type]


def a_bsn_right(role: str, module: str = "schuldregeling", **changes: object) -> BsnRight:
    right = BsnRight(OINS[role], None, module, "WGS", date(2026, 1, 1))
    return replace(right, **changes)  # type: ignore[arg-type]


def a_directory(
    *parties: Party,
    mandates: Iterable[Mandate] = (),
    bsn_rights: Iterable[BsnRight] = (),
    successions: Iterable[Succession] = (),
) -> Directory:
    return Directory(
        1,
        MappingProxyType({party.oin: party for party in parties}),
        tuple(mandates),
        tuple(bsn_rights),
        tuple(successions),
    )


EVERYBODY = a_directory(
    *(a_party(role) for role in OINS if role != GATEWAY_ROLE),
    mandates=[a_mandate(role, module) for role in AGENCIES for module in ALL_MODULES],
    bsn_rights=[
        a_bsn_right(role, module, principal=principal, partner=True)
        for module in ALL_MODULES
        for role, principal in (("schuldeiser", None), *((role, OWNER) for role in AGENCIES))
    ],
)
"""One party of each role, with every mandate and every BSN right."""


def a_submission(
    which: Kind,
    sender: Party,
    recipient: Party,
    *,
    namens: Oin | None = None,
    attached: Iterable[str] = (),
    dialect: Dialect = Dialect.JSON,
    at: datetime = NOON,
    document: Json | None = None,
) -> Submission:
    """The example of a kind, between these parties, with attachments of these soorten only."""
    made = document or example(which)
    header = next(iter(made.values()))["stuurgegevens"]
    header["afzender"], header["ontvanger"] = {"oin": sender.oin}, {"oin": recipient.oin}
    header.pop("namens", None)
    if namens is not None:
        header["namens"] = {"oin": namens}
    header["bijlagen"] = [{"soort": soort} for soort in attached]
    received = Received(Door.REST_JSON, dialect, b"", at)
    verified = Verified(received, Signer(sender.oin, "0" * 64, "PS256"), made)
    message = Canonical(verified, which, header_of(made), made)
    return Submission(
        message, "digest", as_bytes(made), "receipt", "delivery", PERSONS[which](made)
    )


def check(
    submission: Submission, sender: Party, recipient: Party, directory: Directory = EVERYBODY
) -> None:
    """Judge it as admit does, on the day on which it came."""
    RIGHTS.check(submission, sender, recipient, directory, submission.message.verified.received.at)


def refusal(
    submission: Submission, sender: Party, recipient: Party, directory: Directory = EVERYBODY
) -> Refusal:
    with pytest.raises(Refusal) as refused:
        check(submission, sender, recipient, directory)
    return refused.value
