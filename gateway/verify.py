"""Station verify: is it really from the party it names, and unaltered?

Pure: trust comes from the directory given, time from the message, and the mathematics
from the check given. Whatever is not said to be good here is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from lxml import etree

from gateway import json, xml
from gateway.errors import Code, Finding, Refusal
from gateway.message import Dialect, Json, Oin, Received, Signer, Verified
from gateway.routing.directory import Certificate, Directory, Party

_SENDER = ("Stuurgegevens", "Afzender", "Oin")
_XML_SENDER = "/*/" + "/".join(_SENDER)
_JSON_SENDER = ("stuurgegevens", "afzender", "oin")
_JSON_PATH = "/*/" + "/".join(_JSON_SENDER)

Trust = Callable[[str], Certificate]
"""From a fingerprint to the registered certificate, fit for use now; raises Refusal.

A check calls it before it computes anything that costs: who is unknown gets no work.
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """Under which registered certificate a signature holds.

    Attributes:
        fingerprint: SHA-256 over the DER certificate, 64 lower-case hex digits.
        algorithm: As the signature names it: an XMLDSig URI or a JOSE name.
    """

    fingerprint: str
    algorithm: str


class SignatureCheck(Protocol):
    """What the adapters promise: the mathematics, behind our rules of position.

    Both methods return only when the one signature covers exactly the whole content,
    with an allowed algorithm and a certificate that ``trust`` let pass. Else they raise
    ``Refusal``; also when the library underneath fails in any way.
    """

    def xml(self, document: etree._Element, trust: Trust) -> tuple[etree._Element, Proof]:
        """Check the enveloped signature; the tree returned is what it covers."""
        ...

    def json(self, received: Received, trust: Trust) -> Proof:
        """Check the detached signature over exactly ``received.body``."""
        ...


def verify(received: Received, directory: Directory, check: SignatureCheck) -> Verified:
    """Let a message pass only as its registered signer signed it.

    1. Form: the bytes pass the one hardened parser of their dialect.
    2. Trust: the certificate is registered, valid at ``received.at`` and made for
       signing. The check asks this before its mathematics, and it is asked again here.
    3. Signature: it covers exactly the whole content. From here on only what it covers
       is read, never the bytes of the door.
    4. Agreement: the sender named in the content, the signer, and whom the transport
       vouches for are one party. Signed XML may do without the latter, unless the
       party's entry says otherwise.

    Raises:
        Refusal: XML_ONGELDIG, DOCTYPE_VERBODEN, JSON_ONGELDIG (1); CERTIFICAAT_… (2);
            HANDTEKENING_…, ALGORITME_VERBODEN (3); SCHEMA_ONGELDIG where no sender is
            named, AFZENDER_WIJKT_AF, TOKEN_ONGELDIG (4).

    Source: design decision 11; standards §3.5.
    """

    def trust(fingerprint: str) -> Certificate:
        return registered(directory, fingerprint, received.at)[1]

    document: etree._Element | Json
    if received.dialect is Dialect.XML:
        document, proof = check.xml(xml.parse(received.body), trust)
        claimed = _sender_in_xml(document)
    else:
        document = json.parse(received.body)
        proof = check.json(received, trust)
        claimed = _sender_in_json(document)
    party, _ = registered(directory, proof.fingerprint, received.at)
    _judge_agreement(claimed, party, received)
    signer = Signer(party.oin, proof.fingerprint, proof.algorithm)
    return Verified(received, signer, document)


def registered(directory: Directory, fingerprint: str, at: datetime) -> tuple[Party, Certificate]:
    """Whose certificate this is, if it is fit for signing at this instant.

    Raises:
        Refusal: CERTIFICAAT_ONBEKEND, CERTIFICAAT_VERLOPEN (also: not yet valid),
            CERTIFICAAT_ONGESCHIKT.
    """
    found = directory.signers.get(fingerprint)
    if found is None:
        raise Refusal(Code.CERTIFICAAT_ONBEKEND, Finding("register", ""))
    party, certificate = found
    if at < certificate.not_before:
        raise Refusal(Code.CERTIFICAAT_VERLOPEN, Finding("nog-niet-geldig", ""))
    if at > certificate.not_after:
        raise Refusal(Code.CERTIFICAAT_VERLOPEN, Finding("verlopen", ""))
    if not certificate.signs:
        raise Refusal(Code.CERTIFICAAT_ONGESCHIKT, Finding("keyusage", ""))
    return party, certificate


def may_sign_for(signer: Party, sender: Oin) -> bool:
    """Whether this party signs messages of that sender.

    Only its own: the mandates of the directory are about whose claim it is (namens),
    which admit judges. A mandate to sign for another would be judged here.
    """
    return signer.oin == sender


def _judge_agreement(claimed: str, signer: Party, received: Received) -> None:
    if not may_sign_for(signer, Oin(claimed)):
        path = _XML_SENDER if received.dialect is Dialect.XML else _JSON_PATH
        raise Refusal(Code.AFZENDER_WIJKT_AF, Finding("ondertekenaar", path))
    if received.transport is None:
        if signer.xml_needs_token or received.dialect is not Dialect.XML:
            raise Refusal(Code.TOKEN_ONGELDIG, Finding("ontbreekt", ""))
    elif received.transport != signer.oin:
        raise Refusal(Code.AFZENDER_WIJKT_AF, Finding("aanmelding", ""))


def _sender_in_xml(document: etree._Element) -> str:
    found = _sender_path(document.tag)(document)
    claimed: str | None = found[0].text if found else None
    if not claimed:
        raise Refusal(Code.SCHEMA_ONGELDIG, Finding("ontbreekt", _XML_SENDER))
    return claimed


@lru_cache(maxsize=256)
def _sender_path(root: str) -> etree.ETXPath:
    """Where a document with this root names its sender, in the namespace of the root."""
    namespace = root[: root.rfind("}") + 1]
    return etree.ETXPath("/".join(namespace + name for name in _SENDER))


def _sender_in_json(document: Json) -> str:
    # The one member of a document is its root (docs/contract.md, rule 6).
    place: Any = next(iter(document.values())) if len(document) == 1 else None
    for name in _JSON_SENDER:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, str) or not place:
        raise Refusal(Code.SCHEMA_ONGELDIG, Finding("ontbreekt", _JSON_PATH))
    return place
