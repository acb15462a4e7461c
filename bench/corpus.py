"""Signed documents of two sizes, each with an identity of its own."""

from __future__ import annotations

from dataclasses import dataclass

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.pki import Pki
from fixtures.world import SE, SHV
from gateway.adapters import xmldsig
from gateway.message import Json, Kind
from gateway.schemas import Catalogue

KIND: Kind = kind("schuldregeling", "SaldoverzoekAntwoord")
SIZES = {"3.6 KB": 3_600, "10 KB": 10_000}
"""Bytes of the signed XML, as near as whole claims allow."""


@dataclass(frozen=True)
class Size:
    """One size of document."""

    name: str
    claims: int
    body_bytes: int


def one(claims: int) -> Json:
    """A SaldoverzoekAntwoord with so many claims."""
    made = document(
        KIND, reference=fresh(), conversation=fresh(), sender=SE, recipient=SHV, at=now()
    )
    body = made["saldoverzoekAntwoord"]
    claim = body["vorderingen"][1]
    body["vorderingen"] = [
        {**claim, "factuurnummerSe": f"E-2025-{number:04}"} for number in range(claims)
    ]
    body["totaalSaldoInCenten"] = claims * claim["openstaand"]["saldoInCenten"]
    return made


def signed(catalogue: Catalogue, pki: Pki, claims: int) -> bytes:
    """One such document as signed XML, RSA-2048."""
    identity = pki.party(SE)
    return xmldsig.sign_xml(catalogue.to_xml(KIND, one(claims)), identity.key, identity.cert)


def sizes(catalogue: Catalogue, pki: Pki) -> list[Size]:
    """The number of claims that comes nearest to each size."""
    found = []
    for name, target in SIZES.items():
        lengths = {claims: len(signed(catalogue, pki, claims)) for claims in range(1, 25)}
        best = min(lengths, key=lambda claims: abs(lengths[claims] - target))
        found.append(Size(name, best, lengths[best]))
    return found
