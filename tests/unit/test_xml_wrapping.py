"""Where a signature stands: wrapped, doubled or moved ones are refused by position.

The wrapping attacks are XSW1 to XSW8 as published for SAML, adapted to an enveloped
signature. Each is first shown to satisfy the mathematics when nobody looks at position.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from lxml import etree
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from fixtures.pki import Identity, Pki, Variant
from gateway import xml
from gateway.adapters import xmldsig
from gateway.errors import Code, Refusal
from tests.unit.signing import (
    DS,
    EXCLUSIVE,
    NAMESPACE,
    a_tree,
    core_valid,
    refused,
    sent,
    signed,
    the,
)


@pytest.fixture(scope="session")
def sender(pki: Pki) -> Identity:
    return pki.party("00000099000000001000")


@pytest.fixture(scope="session")
def stranger(pki: Pki) -> Identity:
    return pki.party("00000099000000009990", Variant.UNKNOWN)


def test_a_doubled_signature_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    tree.append(copy.deepcopy(the(tree, "Signature")))

    assert core_valid(signed(sender), sender) is not None
    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "aantal")


def test_two_signatures_of_two_parties_are_refused(sender: Identity, stranger: Identity) -> None:
    tree = signed(sender)
    tree.insert(0, the(signed(stranger), "Signature"))

    assert refused(tree, sender, stranger) == (Code.HANDTEKENING_POSITIE, "aantal")


def test_a_signature_deeper_than_the_root_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    tree[0].append(the(tree, "Signature"))

    assert core_valid(tree, sender) is not None
    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "plaats")


def test_a_signature_around_the_message_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    signature = the(tree, "Signature")
    holder = etree.SubElement(signature, f"{{{DS}}}Object")
    tree.remove(signature)
    holder.append(tree)

    assert refused(signature, sender) == (Code.HANDTEKENING_POSITIE, "plaats")


def test_a_whole_signed_message_inside_another_is_refused(sender: Identity) -> None:
    outer = a_tree("999999.00")
    outer.append(signed(sender))

    assert refused(outer, sender) == (Code.HANDTEKENING_POSITIE, "plaats")


# Signature wrapping


def _genuine(sender: Identity) -> tuple[str, str, str]:
    """A message signed by reference to its own Id: whole, without, and its signature."""
    tree = a_tree()
    tree.set("Id", "echt")
    tree = XMLSigner(c14n_algorithm=EXCLUSIVE).sign(tree, key=sender.key, cert=[sender.cert])
    assert the(tree, "Reference").get("URI") == "#echt"
    whole: str = etree.tostring(tree).decode()
    begin, end = whole.index("<ds:Signature "), whole.index("</ds:Signature>")
    end += len("</ds:Signature>")
    return whole, whole[:begin] + whole[end:], whole[begin:end]


def _forged(inside: str = "") -> str:
    tree = a_tree("999999.00")
    tree.set("Id", "vals")
    written: str = etree.tostring(tree).decode()
    return written.replace("</Kennisgeving>", inside + "</Kennisgeving>")


def _root(inside: str) -> str:
    return f'<Kennisgeving xmlns="{NAMESPACE}">{inside}</Kennisgeving>'


def _around(signature: str, content: str) -> str:
    return signature.replace("</ds:Signature>", content + "</ds:Signature>")


# (whole, without, signature) of the genuine message, to the attack.
WRAPPINGS: dict[str, Callable[[str, str, str], str]] = {
    "XSW1": lambda _, bare, signature: _forged(_around(signature, bare)),
    "XSW2": lambda _, bare, signature: _forged(bare + signature),
    "XSW3": lambda whole, *_: _root(_forged() + whole),
    "XSW4": lambda whole, *_: _root(_forged(whole)),
    "XSW5": lambda _, bare, signature: _root(_forged(signature) + bare),
    "XSW6": lambda _, bare, signature: _root(_forged(_around(signature, bare))),
    "XSW7": lambda whole, *_: _root(f"<Extensions>{_forged()}</Extensions>" + whole),
    "XSW8": lambda _, bare, signature: _forged(
        _around(signature, f"<ds:Object>{bare}</ds:Object>")
    ),
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_a_wrapped_signature_is_core_valid_and_refused_by_position(
    sender: Identity, name: str
) -> None:
    attack = etree.fromstring(WRAPPINGS[name](*_genuine(sender)))

    seen = core_valid_unchecked(attack, sender)

    assert seen is not None
    assert seen.findtext(f"{{{NAMESPACE}}}Bedrag") == "100.00"
    assert b"999999.00" in etree.tostring(attack)
    assert refused(attack, sender)[0] is Code.HANDTEKENING_POSITIE
    with pytest.raises(Refusal):
        xml.parse(etree.tostring(attack))  # nor would the parser let an Id pass


def core_valid_unchecked(tree: etree._Element, identity: Identity) -> etree._Element | None:
    result = XMLVerifier().verify(
        sent(tree),
        x509_cert=identity.cert,
        validate_schema=False,
        expect_config=SignatureConfiguration(location=".//"),
    )
    assert not isinstance(result, list)
    return result.signed_xml


def test_a_reference_to_an_id_is_refused_even_when_it_covers_the_root(sender: Identity) -> None:
    genuine = etree.fromstring(_genuine(sender)[0])

    assert core_valid(genuine, sender) is not None
    assert refused(genuine, sender) == (Code.HANDTEKENING_POSITIE, "verwijzing")


def test_a_second_reference_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    the(tree, "SignedInfo").append(copy.deepcopy(the(tree, "Reference")))

    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "aantal-verwijzingen")


def test_a_second_signed_info_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    the(tree, "Signature").insert(0, copy.deepcopy(the(tree, "SignedInfo")))

    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "onderdelen")


def test_an_object_inside_the_signature_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    etree.SubElement(the(tree, "Signature"), f"{{{DS}}}Object").append(a_tree("9.00"))

    assert core_valid(tree, sender) is not None
    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "onderdelen")


# Comments and instructions: the mathematics does not see them, so the parser does


def test_a_comment_in_the_signed_part_is_core_valid_and_refused(sender: Identity) -> None:
    body = xmldsig.sign_xml(a_tree(), sender.key, sender.cert)
    split = body.replace(b"100.00", b"100<!-- -->.00")

    assert core_valid(etree.fromstring(split), sender) is not None
    with pytest.raises(Refusal) as caught:
        xml.parse(split)
    assert caught.value.code is Code.XML_ONGELDIG


def test_an_instruction_in_the_signed_part_is_refused(sender: Identity) -> None:
    tree = a_tree()
    tree.insert(0, etree.PI("betaal", "meer"))
    body = xmldsig.sign_xml(tree, sender.key, sender.cert)

    assert core_valid(etree.fromstring(body), sender) is not None
    with pytest.raises(Refusal):
        xml.parse(body)
