"""What overtakes: crises, court notices, recalls and endings, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fixtures.documents import MESSAGES, example, kind
from gateway.message import Canonical, Dialect, Door, Json, Kind, Oin, Received, Signer, Verified
from gateway.routing.lanes import (
    KINDS_THAT_OVERTAKE,
    MODULES_THAT_OVERTAKE,
    STATUSES_THAT_OVERTAKE,
    overtakes,
)
from gateway.schemas import Catalogue
from gateway.schemas.translate import header_of


def a_message(which: Kind, document: Json | None = None) -> Canonical:
    made = document or example(which)
    received = Received(Door.REST_XML, Dialect.XML, b"", datetime(2026, 11, 22, tzinfo=UTC))
    verified = Verified(received, Signer(Oin("0" * 20), "0" * 64, "alg"), made)
    return Canonical(verified, which, header_of(made), made)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("crisis", "CrisisMelding"),
        ("crisis", "CrisisAntwoord"),
        ("schuldregeling", "Intrekking"),
        ("schuldregeling", "RegelingBeeindigd"),
    ],
)
def test_crises_recalls_and_endings_overtake(module: str, name: str) -> None:
    assert overtakes(a_message(kind(module, name)))


@pytest.mark.parametrize("name", ["Kennisgeving", "Betaalvoorstel", "RegelingGeaccordeerd"])
def test_ordinary_messages_wait_their_turn(name: str) -> None:
    assert not overtakes(a_message(kind("schuldregeling", name)))


@pytest.mark.parametrize(
    ("status", "ahead"), [("DWANGAKKOORD_TOEGEWEZEN", True), ("IN_BEHANDELING", False)]
)
def test_a_court_notice_overtakes_and_another_status_does_not(status: str, *, ahead: bool) -> None:
    which = kind("schuldregeling", "StatusberichtShv")
    document = example(which)
    document["statusberichtShv"]["status"] = status

    assert overtakes(a_message(which, document)) is ahead


def test_every_name_in_the_tables_is_of_the_contract(catalogue: Catalogue) -> None:
    names = {path.stem for path in MESSAGES.glob("*/*.json")}
    modules = {which.module for which in catalogue.kinds}
    statuses = (MESSAGES.parents[1] / "gateway" / "schemas" / "xsd" / "basis.xsd").read_text(
        encoding="utf-8"
    )

    assert names >= KINDS_THAT_OVERTAKE
    assert modules >= MODULES_THAT_OVERTAKE
    assert all(f'value="{status}"' in statuses for status in STATUSES_THAT_OVERTAKE)
