"""What the gateway says by itself satisfies the contract, and says nothing of a person."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gateway.delivery import AMSTERDAM
from gateway.message import Json, Kind, Oin
from gateway.replies import (
    HERINNERING,
    NIET_AFGELEVERD,
    TERMIJN_VERSTREKEN,
    VERKLARING_GEEN_REACTIE,
    VERVALLEN,
    About,
    Header,
    herinnering,
    intrekking_bevestiging,
    niet_afgeleverd,
    termijn_verstreken,
    verklaring_geen_reactie,
    vervallen,
)
from gateway.schemas import Catalogue

GATEWAY, SHV, SE = (Oin(f"000000990000000{n}000") for n in ("09", "01", "02"))
ASKED = datetime(2026, 3, 31, 7, 30, 0, 412_000, tzinfo=UTC)
LAST_DAY = date(2026, 4, 15)
AFTER = datetime(2026, 4, 16, 9, 12, tzinfo=UTC)
QUESTION = About("e6120ff0-07e1-40b1-9c50-a455aec92e7d", "Saldoverzoek", "schuldregeling", "2.0")
HEADER: Header = {
    "own": "7d32b2dc-6d68-4e92-ae98-b10562b8558e",
    "cross": QUESTION.referentienummer,
    "conversatie": "52a544f7-51b6-4f69-834c-b479c4c35245",
    "sender": GATEWAY,
    "to": SHV,
    "at": AFTER,
}

catalogue = Catalogue.load()


def a_statement(**change: Any) -> Json:
    facts: dict[str, Any] = {
        "bericht": QUESTION,
        "vrager": SHV,
        "gevraagde": SE,
        "aangenomen_op": ASKED,
        "beschikbaar_geweest": True,
        "beschikbaar_op": ASKED,
        "termijn_tot_en_met": LAST_DAY,
        "vastgesteld_op": AFTER,
    }
    return verklaring_geen_reactie(**HEADER, **{**facts, **change})


WITHDRAWN = {
    module: intrekking_bevestiging(
        **HEADER,
        module=module,
        versie="2.0",
        ingetrokken=QUESTION.referentienummer,
        uitgevoerd_op=ASKED,
    )
    for module in ("schuldregeling", "schuldinventarisatie", "betalingsregeling")
}
MADE: list[tuple[Kind, Json]] = [
    (
        HERINNERING,
        herinnering(
            **HEADER,
            bericht=QUESTION,
            beschikbaar_op=ASKED,
            moment="VIER_VIJFDE",
            termijn_tot_en_met=LAST_DAY,
        ),
    ),
    (
        TERMIJN_VERSTREKEN,
        termijn_verstreken(
            **HEADER, bericht=QUESTION, aan_de_beurt=SE, termijn_tot_en_met=LAST_DAY
        ),
    ),
    (
        NIET_AFGELEVERD,
        niet_afgeleverd(
            **HEADER, bericht=QUESTION, ontvanger=SE, code="ONBESTELBAAR", vastgesteld_op=ASKED
        ),
    ),
    (
        VERVALLEN,
        vervallen(
            **HEADER, bericht=QUESTION, ontvanger=SE, reden="GESPREK_BEEINDIGD", vervallen_op=ASKED
        ),
    ),
    (VERKLARING_GEEN_REACTIE, a_statement()),
    (
        VERKLARING_GEEN_REACTIE,
        a_statement(opgehaald_op=ASKED, bevestigd_op=ASKED, herinneringen=[ASKED, AFTER]),
    ),
    (VERKLARING_GEEN_REACTIE, a_statement(beschikbaar_geweest=False, beschikbaar_op=None)),
    *((Kind(module, 2, "IntrekkingBevestiging"), made) for module, made in WITHDRAWN.items()),
]


@pytest.mark.parametrize(("kind", "document"), MADE)
def test_what_the_gateway_says_satisfies_its_schema_and_survives_the_way_through_xml(
    kind: Kind, document: Json
) -> None:
    tree = catalogue.to_xml(kind, document)

    assert catalogue.kinds[kind].schema.verdict.validate(tree)
    assert json.dumps(catalogue.to_json(tree)) == json.dumps(document)


@pytest.mark.parametrize(("kind", "document"), MADE)
def test_what_the_gateway_says_names_its_question_and_nobody(kind: Kind, document: Json) -> None:
    [body] = document.values()

    assert body["stuurgegevens"]["crossReferentienummer"] == QUESTION.referentienummer
    assert body["stuurgegevens"]["afzender"] == {"oin": GATEWAY}
    assert not {"bsn", "klant", "klantnummerSHV", "klantnummerSE", "naam"} & body.keys()


def test_a_notice_that_answers_no_message_has_no_cross_reference() -> None:
    without_cross: Header = {**HEADER, "cross": None}

    made = niet_afgeleverd(
        **without_cross,
        bericht=QUESTION,
        ontvanger=SE,
        code="X",
        vastgesteld_op=ASKED,
    )

    assert "crossReferentienummer" not in made["nietAfgeleverd"]["stuurgegevens"]


@pytest.mark.parametrize(
    "there", [{"beschikbaar_geweest": False}, {"beschikbaar_op": None}], ids=["partly", "never"]
)
def test_silence_is_only_stated_of_a_question_that_was_there_the_whole_term(
    there: dict[str, Any],
) -> None:
    silent, partly = (
        made["verklaringGeenReactie"] for made in (a_statement(), a_statement(**there))
    )

    assert (silent["soort"], silent.get("code")) == ("GEEN_REACTIE", None)
    assert (partly["soort"], partly["code"]) == ("NIET_BEREIKBAAR", "NIET_BESCHIKBAAR_GEWEEST")


def test_nothing_is_stated_before_the_last_day_is_over_in_the_netherlands() -> None:
    midnight = datetime(2026, 4, 15, 22, tzinfo=UTC)

    made = a_statement(vastgesteld_op=midnight)

    assert made["verklaringGeenReactie"]["vastgesteldOp"] == "2026-04-15T22:00:00.000Z"
    with pytest.raises(ValueError, match="still runs"):
        a_statement(vastgesteld_op=midnight - timedelta(milliseconds=1))


def test_instants_are_written_in_utc_whatever_zone_they_come_in() -> None:
    summer = ASKED.astimezone(AMSTERDAM)

    assert a_statement(aangenomen_op=summer) == a_statement()
