"""Messages for the tests of the contract, and the stations around them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from lxml import etree

from gateway.errors import Code, Finding, Refusal
from gateway.message import (
    Canonical,
    Dialect,
    Door,
    Json,
    Kind,
    Oin,
    Received,
    Signer,
    Verified,
)
from gateway.schemas import Catalogue, judge, translate, validate

CATALOGUE = Catalogue.load()
TODAY = date(2026, 6, 1)

ANTWOORD = Kind("schuldregeling", 2, "SaldoverzoekAntwoord")
VOORAF = Kind("schuldregeling", 2, "SaldoverzoekAntwoordVoorafAkkoord")
VOORSTEL = Kind("schuldregeling", 2, "Betaalvoorstel")
VOORSTEL_ANTWOORD = Kind("schuldregeling", 2, "BetaalvoorstelAntwoord")
GEACCORDEERD = Kind("schuldregeling", 2, "RegelingGeaccordeerd")
STATUS = Kind("schuldregeling", 2, "StatusberichtSe")
KENNISGEVING = Kind("schuldregeling", 2, "KennisgevingPubliek")
AFLEVERING = Kind("gateway", 1, "Aflevering")

ID = "0d0d0d0d-0000-4000-8000-00000000000a"
IBAN = "NL91ABNA0417164300"
NAME = "Wilhelmina Kanarie"


def header(kind: Kind) -> Json:
    return {
        "referentienummer": ID,
        "conversatieReferentienummer": ID,
        "module": kind.module,
        "versie": f"{kind.major}.0",
        "afzender": {"oin": "00000099000000001000"},
        "ontvanger": {"oin": "00000099000000002000"},
        "tijdstip": "2026-05-31T23:30:00.5+02:00",
    }


def message(kind: Kind, **members: Any) -> Json:
    """A document with these members after its Stuurgegevens."""
    name = CATALOGUE.kinds[kind].root.element.json
    return {name: {"stuurgegevens": header(kind), **members}}


def body(document: Json) -> Json:
    """The members of the root, to change in place."""
    content: Json = next(iter(document.values()))
    return content


def changed(document: Json, change: Callable[[Json], object]) -> Json:
    """A copy whose body went through ``change``."""
    document = copy.deepcopy(document)
    change(body(document))
    return document


def claim(**members: Any) -> Json:
    """One open claim of a hundred euro."""
    openstaand = {
        "oorspronkelijkeVorderingInCenten": 8000,
        "renteInCenten": 2500,
        "betaaldInCenten": 500,
        "saldoInCenten": 10000,
        "vorderingsType": "CONCURRENT",
        "schuldenaar": "KLANT",
    }
    return {"schuldtype": "OPENSTAAND", "openstaand": openstaand | members}


def a_balance(*claims: Json) -> Json:
    """A SaldoverzoekAntwoord that breaks no rule."""
    listed = list(claims or (claim(), claim()))
    total = sum(each["openstaand"]["saldoInCenten"] for each in listed)
    return message(
        ANTWOORD,
        klantnummerSe="K-1",
        contactpersoon={"naam": NAME},
        peildatum="2026-06-01",
        vorderingen=listed,
        totaalSaldoInCenten=total,
    )


def proposed(**members: Any) -> Json:
    """One claim of a proposal at 9.39 percent."""
    return {
        "factuurnummerSe": "F-1",
        "actueelVorderingsbedragInCenten": 10000,
        "saldoInCenten": 10000,
        "vorderingsType": "CONCURRENT",
        "afkooppercentage": "9.39",
        "prognoseEindbedragInCenten": 939,
    } | members


def a_proposal(*claims: Json, **members: Any) -> Json:
    """A Betaalvoorstel that breaks no rule."""
    listed = list(claims or (proposed(),))
    voorstel = {
        "typeSchuldregeling": "SB",
        "saldoBron": "OPGAVE",
        "looptijd": 18,
        "percentagePreferent": "18.78",
        "percentageConcurrent": "9.39",
        "onderbouwing": {
            "aantalPreferenteSchuldeisers": 1,
            "aantalConcurrenteSchuldeisers": 13,
            "totaleSchuldPreferentInCenten": 100000,
            "totaleSchuldConcurrentInCenten": 900000,
        },
        "vorderingen": listed,
        "totaalPrognoseInCenten": sum(each["prognoseEindbedragInCenten"] for each in listed),
        "geldigTotEnMet": "2026-07-01",
    }
    return message(VOORSTEL, klantnummerSe="K-1", klantnummerShv="S-1", voorstel=voorstel | members)


def verified(document: Json | etree._Element) -> Verified:
    """The document as if a party had signed it."""
    json = isinstance(document, dict)
    received = Received(
        Door.REST_JSON if json else Door.REST_XML,
        Dialect.JSON if json else Dialect.XML,
        b"",
        datetime(2026, 6, 1, 12, tzinfo=UTC),
    )
    return Verified(received, Signer(Oin("00000099000000001000"), "f" * 64, "PS256"), document)


def as_xml(document: Json) -> str:
    """The document as pretty XML: one element on a line, so that lines mean something."""
    tree = CATALOGUE.to_xml(CATALOGUE.by_document(document).kind, document)
    text: str = etree.tostring(tree, pretty_print=True, encoding="unicode")
    return text


def parsed(text: str) -> etree._Element:
    return etree.fromstring(text)


def judged(document: Json | etree._Element, today: date = TODAY) -> Canonical:
    """Through all three stations."""
    message = translate(validate(verified(document), CATALOGUE), CATALOGUE)
    return judge(message, today, CATALOGUE)


def refusal(document: Json | etree._Element, today: date = TODAY) -> Refusal:
    """The refusal that the three stations raise."""
    with pytest.raises(Refusal) as caught:
        judged(document, today)
    return caught.value


def schema_findings(document: Json | etree._Element) -> list[tuple[str, str]]:
    """(rule, path) of a SCHEMA_ONGELDIG."""
    refused = refusal(document)
    assert refused.code is Code.SCHEMA_ONGELDIG
    return places_of(refused.findings)


def places_of(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.path) for finding in findings]
