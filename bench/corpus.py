"""Signed documents of given sizes, each with an identity of its own.

One document of each size is made and signed as a party does. All others are that one with
other identifiers, digest and signature: thirty times as fast, and the same bytes that the
party's signer would give, which is checked on the first.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.pki import Pki
from fixtures.world import SE, SHV
from gateway.adapters import xmldsig
from gateway.message import Json, Kind
from gateway.schemas import Catalogue

KIND: Kind = kind("schuldregeling", "SaldoverzoekAntwoord")
ROOT_XSD = "schuldregeling-v2.xsd"
SIZES = {"3.6 KB": 3_600, "10 KB": 10_000}
"""Bytes of the signed XML, as near as whole claims allow."""
LARGE = 95_000
CHUNK = 500
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


@dataclass(frozen=True)
class Size:
    """One size of document."""

    name: str
    claims: int
    body_bytes: int


def one(claims: int, reference: str, conversation: str, at: datetime) -> Json:
    """A SaldoverzoekAntwoord with so many claims.

    The question that it answers has the number of its conversation (see ``asking``).
    """
    made = document(
        KIND,
        reference=reference,
        conversation=conversation,
        sender=SE,
        recipient=SHV,
        at=at,
        cross=conversation,
    )
    body = made["saldoverzoekAntwoord"]
    claim = body["vorderingen"][1]
    body["vorderingen"] = [
        {**claim, "factuurnummerSe": f"E-2025-{number:04}"} for number in range(claims)
    ]
    body["totaalSaldoInCenten"] = claims * claim["openstaand"]["saldoInCenten"]
    return made


def signed(
    catalogue: Catalogue,
    pki: Pki,
    claims: int,
    identity: tuple[str, str] | None = None,
    at: datetime | None = None,
) -> bytes:
    """One such document as signed XML, RSA-2048, by the signer of the fixtures."""
    reference, conversation = identity or (fresh(), fresh())
    party = pki.party(SE)
    tree = catalogue.to_xml(KIND, one(claims, reference, conversation, at or now()))
    return xmldsig.sign_xml(tree, party.key, party.cert)


def size(name: str, target: int, catalogue: Catalogue, pki: Pki) -> Size:
    """The number of claims that comes nearest to so many bytes."""
    few, more = (len(signed(catalogue, pki, claims)) for claims in (1, 2))
    claims = max(1, round((target - few) / (more - few)) + 1)
    return Size(name, claims, len(signed(catalogue, pki, claims)))


def sizes(catalogue: Catalogue, pki: Pki) -> list[Size]:
    """Those of the race."""
    return [size(name, target, catalogue, pki) for name, target in SIZES.items()]


class Stamp:
    """Makes many signed documents out of one."""

    def __init__(self, template: bytes, identity: tuple[str, str], key: rsa.RSAPrivateKey) -> None:
        self._key = key
        root = etree.fromstring(template)
        signature = root.find(_SIGNATURE)
        info, value = signature[0], signature[1]
        self._old = [part.encode() for part in (*identity, info[2][2].text, value.text)]
        self._signed_info = etree.tostring(info, method="c14n", exclusive=True)
        self._template = template
        root.remove(signature)
        self._content = etree.tostring(root, method="c14n", exclusive=True)

    def make(self, reference: str, conversation: str) -> bytes:
        """The template with another identity, signed again."""
        new = [reference.encode(), conversation.encode()]
        content = _replaced(self._content, self._old[:2], new)
        digest = base64.b64encode(hashlib.sha256(content).digest())
        info = self._signed_info.replace(self._old[2], digest)
        value = base64.b64encode(self._key.sign(info, padding.PKCS1v15(), hashes.SHA256()))
        return _replaced(self._template, self._old, [*new, digest, value])


def _replaced(text: bytes, old: list[bytes], new: list[bytes]) -> bytes:
    for before, after in zip(old, new, strict=True):
        text = text.replace(before, after)
    return text


def stamp(catalogue: Catalogue, pki: Pki, claims: int) -> Stamp:
    """A stamp for this size, checked against the signer of the fixtures."""
    at = now()
    key = pki.party(SE).key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the bench signs with RSA")
    first = (fresh(), fresh())
    made = Stamp(signed(catalogue, pki, claims, first, at), first, key)
    other = (fresh(), fresh())
    if made.make(*other) != signed(catalogue, pki, claims, other, at):
        raise RuntimeError("the quick signer and the signer of the fixtures differ")
    return made


_stamps: dict[tuple[Path, int], Stamp] = {}


def _chunk(folder: Path, pattern: tuple[int, ...], count: int) -> bytes:
    made = []
    for number in range(count):
        claims = pattern[number % len(pattern)]
        if (folder, claims) not in _stamps:
            _stamps[folder, claims] = stamp(Catalogue.load(), Pki(folder), claims)
        body = _stamps[folder, claims].make(fresh(), fresh())
        made.append(len(body).to_bytes(4, "big") + body)
    return b"".join(made)


def write(
    path: Path,
    pki: Pki,
    pattern: tuple[int, ...],
    count: int,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """A corpus file of so many documents, whose numbers of claims follow the pattern."""
    pki.party(SE)  # its key exists before the processes look for it
    chunks = [min(CHUNK, count - done) for done in range(0, count, CHUNK)]
    with path.open("wb") as file, ProcessPoolExecutor(os.cpu_count()) as pool:
        for length, part in zip(chunks, _in_order(pool, pki.folder, pattern, chunks), strict=True):
            file.write(part)
            advance(length)


def _in_order(
    pool: ProcessPoolExecutor, folder: Path, pattern: tuple[int, ...], chunks: list[int]
) -> Iterator[bytes]:
    return pool.map(_chunk, [folder] * len(chunks), [pattern] * len(chunks), chunks)
