"""Station admit: may this party say this, to that party, now?"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

import pytest

from fixtures.documents import document, kind
from fixtures.rules import courses
from fixtures.world import GATEWAY, SE, SHV, STRANGER
from gateway.errors import Code, Refusal
from gateway.message import (
    Admitted,
    Canonical,
    Channel,
    Dialect,
    Door,
    Kind,
    Oin,
    Received,
    Signer,
    Submission,
    Talk,
    Verified,
    as_bytes,
)
from gateway.routing.admit import OLDEST, admit
from gateway.routing.directory import EMPTY, Directory, Party, Succession
from gateway.routing.rights import Rights
from gateway.schemas.translate import header_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SKEW = timedelta(seconds=60)
ASK = kind("schuldregeling", "Saldoverzoek")


RIGHTS = Rights()


def a_party(oin: Oin, **changes: object) -> Party:
    """An SHV or a creditor, by its OIN."""
    role = "shv-fase-2" if oin == SHV else "schuldeiser"
    party = Party(oin, "naam", frozenset({role}), frozenset({"schuldregeling"}), ())
    return replace(party, **changes)  # type: ignore[arg-type]


def a_directory(*parties: Party, merger: Succession | None = None) -> Directory:
    return Directory(
        1,
        MappingProxyType({party.oin: party for party in parties}),
        successions=() if merger is None else (merger,),
    )


USUAL = a_directory(a_party(SHV), a_party(SE))


def a_submission(
    *,
    to: Oin = SE,
    at: datetime = NOW,
    which: Kind = ASK,
    dialect: Dialect = Dialect.JSON,
) -> Submission:
    made = document(
        which,
        reference="0b0e8d0c-6c0e-4c5e-9d53-9df3d2f3d3aa",
        conversation="0b0e8d0c-6c0e-4c5e-9d53-9df3d2f3d3ab",
        sender=SHV,
        recipient=to,
        at=at,
    )
    received = Received(Door.REST_JSON, dialect, b"", NOW)
    verified = Verified(received, Signer(SHV, "0" * 64, "PS256"), made)
    message = Canonical(verified, which, header_of(made), made)
    return Submission(message, "digest", as_bytes(made), "receipt-id", "delivery-id")


def refusal_of(submission: Submission, directory: Directory = USUAL) -> Refusal:
    with pytest.raises(Refusal) as refused:
        admitted_by(directory, submission)
    return refused.value


def admitted_by(directory: Directory, submission: Submission) -> Admitted:
    return admit(
        submission,
        Talk(),
        directory=directory,
        rights=RIGHTS,
        courses=courses(directory),
        gateway=GATEWAY,
        skew=SKEW,
    )


def test_what_is_admitted_goes_to_its_recipient_by_the_recipients_channel() -> None:
    recipient = a_party(SE, channel=Channel.QUEUE, awaits_confirmation=False, blocks=False)

    admitted = admitted_by(a_directory(a_party(SHV), recipient), a_submission())

    assert admitted.ontvanger == SE
    assert admitted.channel is Channel.QUEUE
    assert not admitted.awaits_confirmation
    assert not admitted.blocks


def test_the_receipt_names_the_message_and_its_recipient() -> None:
    admitted = admitted_by(USUAL, a_submission())

    receipt = json.loads(admitted.receipt)["ontvangstbevestiging"]

    assert receipt["stuurgegevens"]["afzender"]["oin"] == GATEWAY
    assert (
        receipt["stuurgegevens"]["crossReferentienummer"]
        == (receipt["bericht"]["referentienummer"])
    )
    assert receipt["ontvanger"] == SE
    assert receipt["ontvangenOp"] == "2026-11-22T12:00:00.000Z"


def test_an_empty_directory_admits_nobody() -> None:
    assert refusal_of(a_submission(), EMPTY).code is Code.GEEN_RECHT


def test_an_unknown_recipient_is_told_at_once() -> None:
    refusal = refusal_of(a_submission(to=STRANGER))

    assert refusal.code is Code.ONTVANGER_ONBEKEND
    assert refusal.findings[0].path == "/saldoverzoek/stuurgegevens/ontvanger"


def test_a_place_is_named_in_the_form_of_the_sender() -> None:
    refusal = refusal_of(a_submission(to=STRANGER, dialect=Dialect.XML))

    assert refusal.findings[0].path == "/Saldoverzoek/Stuurgegevens/Ontvanger"


@pytest.mark.parametrize("outside", [SHV, SE])
def test_both_parties_take_part_in_the_module(outside: Oin) -> None:
    parties = [
        a_party(oin, modules=frozenset({"crisis"})) if oin == outside else a_party(oin)
        for oin in (SHV, SE)
    ]

    assert refusal_of(a_submission(), a_directory(*parties)).code is Code.NIET_AANGESLOTEN


def test_only_the_gateway_speaks_for_the_gateway() -> None:
    forged = a_submission(which=kind("gateway", "NietAfgeleverd"))

    refusal = refusal_of(forged)

    assert refusal.code is Code.GEEN_RECHT
    assert refusal.findings[0].rule == "RECHT_ALLEEN_GATEWAY"


def test_what_a_role_may_not_send_is_refused() -> None:
    wrong = a_submission(which=kind("schuldregeling", "BetaalvoorstelAntwoord"))

    refusal = refusal_of(wrong)

    assert refusal.code is Code.GEEN_RECHT
    assert refusal.findings[0].rule == "RECHT_BETAALVOORSTELANTWOORD_SHV_FASE_2"


@pytest.mark.parametrize(("old", "member"), [(SE, "ontvanger"), (SHV, "afzender")])
def test_who_merged_is_refused_from_that_dutch_day_with_its_successor(
    old: Oin, member: str
) -> None:
    merger = Succession(old, STRANGER, date(2026, 11, 22))
    directory = a_directory(a_party(SHV), a_party(SE), a_party(STRANGER), merger=merger)

    refusal = refusal_of(a_submission(), directory)

    (found,) = refusal.findings
    assert refusal.code is Code.PARTIJ_OPGEVOLGD
    assert found.rule == "OPGEVOLGD"
    assert found.path == f"/saldoverzoek/stuurgegevens/{member}"
    assert STRANGER in found.nl
    assert STRANGER in found.en


def test_who_merges_tomorrow_takes_part_today() -> None:
    merger = Succession(SE, STRANGER, date(2026, 11, 23))
    directory = a_directory(a_party(SHV), a_party(SE), merger=merger)

    admitted = admitted_by(directory, a_submission())

    assert admitted.ontvanger == SE


def test_who_merged_and_left_the_directory_is_still_told_of() -> None:
    merger = Succession(SE, STRANGER, date(2026, 1, 1))

    refusal = refusal_of(a_submission(), a_directory(a_party(SHV), merger=merger))

    assert refusal.code is Code.PARTIJ_OPGEVOLGD


@pytest.mark.parametrize(
    "at", [NOW - OLDEST - timedelta(seconds=1), NOW + SKEW + timedelta(seconds=1)]
)
def test_a_tijdstip_outside_the_window_is_refused(at: datetime) -> None:
    assert refusal_of(a_submission(at=at)).code is Code.TIJDSTIP_BUITEN_VENSTER


@pytest.mark.parametrize("at", [NOW - OLDEST, NOW, NOW + SKEW])
def test_a_tijdstip_on_the_edge_of_the_window_is_admitted(at: datetime) -> None:
    admitted = admitted_by(USUAL, a_submission(at=at))

    assert admitted.ontvanger == SE
