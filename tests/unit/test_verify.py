"""Station verify: form, trust, signature and agreement, with the real checks behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from fixtures.pki import AGO, AHEAD, Identity, Pki, Variant
from gateway.adapters import jades, xmldsig
from gateway.adapters.signatures import Signatures
from gateway.errors import Code, Refusal
from gateway.message import Dialect, Door, Json, Oin, Received, Verified
from gateway.routing.directory import EMPTY, Directory, Party
from gateway.verify import Proof, Trust, registered, verify

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
NAMESPACE = "urn:nld:schuldhulp-gateway:schuldregeling:v2"
SENDER = Oin("00000099000000001000")
OTHER = Oin("00000099000000002000")
CHECK = Signatures()

Sign = Callable[[Identity], Received]


@pytest.fixture(scope="session")
def sender(pki: Pki) -> Identity:
    return pki.party(SENDER)


@pytest.fixture(scope="session")
def directory(pki: Pki) -> Directory:
    """Both parties, each with every certificate that we could think of but the unknown."""
    return a_directory(
        *(
            pki.party(oin, variant)
            for oin in (SENDER, OTHER)
            for variant in Variant
            if variant is not Variant.UNKNOWN
        )
    )


def a_directory(*identities: Identity) -> Directory:
    parties = {
        oin: Party(
            oin=oin,
            naam="Proefpartij",
            rollen=frozenset(),
            modules=frozenset(),
            certificates=tuple(i.registered for i in identities if i.oin == oin),
        )
        for oin in {identity.oin for identity in identities}
    }
    return Directory(version=1, parties=MappingProxyType(parties))


def xml_text(claimed: str | None = SENDER) -> str:
    afzender = "" if claimed is None else f"<Afzender><Oin>{claimed}</Oin></Afzender>"
    return (
        f'<Kennisgeving xmlns="{NAMESPACE}"><Stuurgegevens>{afzender}</Stuurgegevens>'
        f"<Naam>Jan é</Naam>\n<Bedrag>100.00</Bedrag></Kennisgeving>"
    )


def signed_xml(identity: Identity, claimed: str | None = SENDER) -> Received:
    tree = etree.fromstring(xml_text(claimed))
    body = xmldsig.sign_xml(tree, identity.key, identity.cert)
    return Received(Door.REST_XML, Dialect.XML, body, NOON)


def a_document(claimed: object = SENDER) -> Json:
    return {"kennisgeving": {"stuurgegevens": {"afzender": {"oin": claimed}}, "naam": "Jan é"}}


def signed_json(identity: Identity, document: object = None, door: Door = Door.QUEUE) -> Received:
    body = json.dumps(a_document() if document is None else document, ensure_ascii=False).encode()
    if door is Door.QUEUE:
        algorithm = "ES256" if "EC" in type(identity.key).__name__ else "PS256"
        signature = jades.sign_body(body, identity.key, identity.cert, algorithm)
        return Received(door, Dialect.JSON, body, NOON, signature, transport=identity.oin)
    digest, signature = jades.sign_digest(body, identity.key, identity.cert)  # type: ignore[arg-type]
    return Received(door, Dialect.JSON, body, NOON, signature, digest, identity.oin)


def refused(received: Received, directory: Directory) -> tuple[Code, str, str]:
    with pytest.raises(Refusal) as caught:
        verify(received, directory, CHECK)
    (finding,) = caught.value.findings
    return caught.value.code, finding.rule, finding.path


def content(verified: Verified) -> bytes:
    if isinstance(verified.document, dict):
        return json.dumps(verified.document, sort_keys=True).encode()
    written: bytes = etree.tostring(verified.document, method="c14n", exclusive=True)
    return written


# What passes


@pytest.mark.parametrize("variant", [Variant.GOOD, Variant.SECOND, Variant.ELLIPTIC])
def test_a_signed_message_of_a_registered_party_passes(
    pki: Pki, directory: Directory, variant: Variant
) -> None:
    identity = pki.party(SENDER, variant)

    for received in (signed_xml(identity), signed_json(identity)):
        verified = verify(received, directory, CHECK)

        assert verified.received is received
        assert verified.signer.oin == SENDER
        assert verified.signer.fingerprint == identity.registered.fingerprint


def test_the_document_is_what_was_signed_and_has_no_signature(
    sender: Identity, directory: Directory
) -> None:
    verified = verify(signed_xml(sender), directory, CHECK)

    assert content(verified) == etree.tostring(etree.fromstring(xml_text()), method="c14n")
    assert verified.signer.algorithm == "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


def test_a_json_message_over_http_passes(sender: Identity, directory: Directory) -> None:
    verified = verify(signed_json(sender, door=Door.REST_JSON), directory, CHECK)

    assert verified.document == a_document()
    assert verified.signer.algorithm == "PS256"


def test_the_first_and_last_instant_of_a_certificate_are_good(
    sender: Identity, directory: Directory
) -> None:
    known = sender.registered
    for at in (known.not_before, known.not_after):
        assert registered(directory, known.fingerprint, at)[0].oin == SENDER


# Form comes first


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<a>", Code.XML_ONGELDIG),
        (b"<!DOCTYPE a><a/>", Code.DOCTYPE_VERBODEN),
        ("<a/>".encode("utf-16"), Code.XML_ONGELDIG),
        (b"<a>" * 100_000, Code.XML_ONGELDIG),
    ],
)
def test_bad_xml_is_refused(directory: Directory, body: bytes, code: Code) -> None:
    assert refused(Received(Door.REST_XML, Dialect.XML, body, NOON), directory)[0] is code


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":1}', b'{"a":' * 100_000])
def test_bad_json_is_refused(directory: Directory, body: bytes) -> None:
    received = Received(Door.REST_JSON, Dialect.JSON, body, NOON, "a..b")

    assert refused(received, directory)[0] is Code.JSON_ONGELDIG


def test_a_message_without_a_signature_is_refused(directory: Directory) -> None:
    bare = Received(Door.REST_XML, Dialect.XML, xml_text().encode(), NOON)
    unsigned = Received(Door.REST_JSON, Dialect.JSON, json.dumps(a_document()).encode(), NOON)

    assert refused(bare, directory)[0] is Code.HANDTEKENING_ONTBREEKT
    assert refused(unsigned, directory)[0] is Code.HANDTEKENING_ONTBREEKT


# Trust


@pytest.mark.parametrize(
    ("variant", "outcome"),
    [
        (Variant.EXPIRED, (Code.CERTIFICAAT_VERLOPEN, "verlopen")),
        (Variant.NOT_YET_VALID, (Code.CERTIFICAAT_VERLOPEN, "nog-niet-geldig")),
        (Variant.NOT_FOR_SIGNING, (Code.CERTIFICAAT_ONGESCHIKT, "keyusage")),
        (Variant.UNKNOWN, (Code.CERTIFICAAT_ONBEKEND, "register")),
    ],
)
@pytest.mark.parametrize("sign", [signed_xml, signed_json])
def test_a_certificate_that_may_not_sign_now_is_refused(
    pki: Pki, directory: Directory, sign: Sign, variant: Variant, outcome: tuple[Code, str]
) -> None:
    assert refused(sign(pki.party(SENDER, variant)), directory)[:2] == outcome


def test_validity_is_judged_at_the_time_of_receipt(pki: Pki, directory: Directory) -> None:
    expired = signed_xml(pki.party(SENDER, Variant.EXPIRED))
    early = signed_xml(pki.party(SENDER, Variant.NOT_YET_VALID))

    verify(replace(expired, at=AGO - timedelta(days=1)), directory, CHECK)
    verify(replace(early, at=AHEAD + timedelta(days=1)), directory, CHECK)


def test_nobody_passes_an_empty_directory(sender: Identity) -> None:
    assert refused(signed_xml(sender), EMPTY)[0] is Code.CERTIFICAAT_ONBEKEND
    assert refused(signed_json(sender), EMPTY)[0] is Code.CERTIFICAAT_ONBEKEND


# Agreement


@pytest.mark.parametrize("sign", [signed_xml, signed_json])
def test_a_signer_who_is_not_the_sender_is_refused(
    pki: Pki, directory: Directory, sign: Sign
) -> None:
    received = sign(pki.party(OTHER))

    assert refused(received, directory)[:2] == (Code.AFZENDER_WIJKT_AF, "ondertekenaar")


@pytest.mark.parametrize("sign", [signed_xml, signed_json])
def test_the_transport_must_vouch_for_the_same_party(
    sender: Identity, directory: Directory, sign: Sign
) -> None:
    received = sign(sender)

    verify(replace(received, transport=SENDER), directory, CHECK)
    assert refused(replace(received, transport=OTHER), directory)[:2] == (
        Code.AFZENDER_WIJKT_AF,
        "aanmelding",
    )


def test_json_without_transport_identity_is_refused(sender: Identity, directory: Directory) -> None:
    received = replace(signed_json(sender), transport=None)

    assert refused(received, directory)[:2] == (Code.TOKEN_ONGELDIG, "ontbreekt")


def test_signed_xml_needs_a_transport_identity_only_where_the_party_says_so(
    sender: Identity, directory: Directory
) -> None:
    strict = replace(directory.parties[SENDER], xml_needs_token=True)
    received = signed_xml(sender)

    verify(received, directory, CHECK)
    assert refused(received, Directory(version=2, parties={SENDER: strict}))[0] is (
        Code.TOKEN_ONGELDIG
    )


@pytest.mark.parametrize("claimed", ["", f" {SENDER}", f"{SENDER}0", SENDER[1:]])
def test_a_sender_written_in_another_way_is_refused(
    sender: Identity, directory: Directory, claimed: str
) -> None:
    assert refused(signed_xml(sender, claimed), directory)[0] in {
        Code.AFZENDER_WIJKT_AF,
        Code.SCHEMA_ONGELDIG,
    }


def test_a_message_that_names_no_sender_is_refused(sender: Identity, directory: Directory) -> None:
    assert refused(signed_xml(sender, claimed=None), directory) == (
        Code.SCHEMA_ONGELDIG,
        "ontbreekt",
        "/*/Stuurgegevens/Afzender/Oin",
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kennisgeving": None},
        {"kennisgeving": {"stuurgegevens": []}},
        {"kennisgeving": {"stuurgegevens": {"afzender": SENDER}}},
        a_document(None),
        a_document(""),
        a_document(int(SENDER)),
        a_document([SENDER]),
        {**a_document(), "saldoverzoek": {}},
    ],
)
def test_a_json_message_that_names_no_sender_is_refused(
    sender: Identity, directory: Directory, document: Json
) -> None:
    assert refused(signed_json(sender, document), directory) == (
        Code.SCHEMA_ONGELDIG,
        "ontbreekt",
        "/*/stuurgegevens/afzender/oin",
    )


# A check that does not do its work


class Lying:
    """A check that asks nobody and vouches for whatever it is told to."""

    def __init__(self, fingerprint: str) -> None:
        self.proof = Proof(fingerprint, "PS256")

    def xml(self, document: etree._Element, trust: Trust) -> tuple[etree._Element, Proof]:
        return document, self.proof

    def json(self, received: Received, trust: Trust) -> Proof:
        return self.proof


@pytest.mark.parametrize(
    ("variant", "code"),
    [
        (Variant.UNKNOWN, Code.CERTIFICAAT_ONBEKEND),
        (Variant.EXPIRED, Code.CERTIFICAAT_VERLOPEN),
        (Variant.NOT_FOR_SIGNING, Code.CERTIFICAAT_ONGESCHIKT),
    ],
)
def test_a_check_that_forgets_to_ask_for_trust_gains_nothing(
    pki: Pki, directory: Directory, variant: Variant, code: Code
) -> None:
    identity = pki.party(SENDER, variant)

    for received in (signed_xml(identity), signed_json(identity)):
        with pytest.raises(Refusal) as caught:
            verify(received, directory, Lying(identity.registered.fingerprint))
        assert caught.value.code is code


def test_a_check_that_crashes_lets_nothing_pass(sender: Identity, directory: Directory) -> None:
    class Broken(Lying):
        def xml(self, document: etree._Element, trust: Trust) -> tuple[etree._Element, Proof]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verify(signed_xml(sender), directory, Broken(sender.registered.fingerprint))


# Whatever is changed on the way


@pytest.fixture(scope="session")
def in_transit(pki: Pki) -> list[Received]:
    """The same message in every form in which it can arrive."""
    good, elliptic = pki.party(SENDER), pki.party(SENDER, Variant.ELLIPTIC)
    return [
        signed_xml(good),
        signed_xml(elliptic),
        signed_json(good, door=Door.REST_JSON),
        signed_json(good),
        signed_json(elliptic),
    ]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_flipping_any_byte_never_verifies_as_something_else(
    in_transit: list[Received], directory: Directory, data: st.DataObject
) -> None:
    received = data.draw(st.sampled_from(in_transit))
    place = data.draw(st.integers(0, len(received.body) - 1))
    flip = data.draw(st.integers(1, 255))
    body = bytearray(received.body)
    body[place] ^= flip

    try:
        verified = verify(replace(received, body=bytes(body)), directory, CHECK)
    except Refusal:
        return
    assert content(verified) == content(verify(received, directory, CHECK))
    assert verified.signer == verify(received, directory, CHECK).signer


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changing_any_character_of_a_signature_or_digest_is_refused(
    in_transit: list[Received], directory: Directory, data: st.DataObject
) -> None:
    received = data.draw(st.sampled_from([r for r in in_transit if r.signature]))
    assert received.signature is not None
    name = data.draw(st.sampled_from(["signature", "digest"] if received.digest else ["signature"]))
    text = getattr(received, name)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != text[place]))
    changed = text[:place] + other + text[place + 1 :]

    with pytest.raises(Refusal):
        verify(replace(received, **{name: changed}), directory, CHECK)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_moving_or_repeating_any_part_never_verifies_as_something_else(
    in_transit: list[Received], directory: Directory, data: st.DataObject
) -> None:
    received = in_transit[0]
    tree = etree.fromstring(received.body)
    elements = list(tree.iter())
    moved = data.draw(st.sampled_from(elements[1:]))
    target = data.draw(st.sampled_from([e for e in elements if e not in moved.iter()]))
    target.insert(data.draw(st.integers(0, len(target))), moved)

    try:
        verified = verify(replace(received, body=etree.tostring(tree)), directory, CHECK)
    except Refusal:
        return
    assert content(verified) == content(verify(received, directory, CHECK))
