"""XML that must be refused: its form and its signature."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable

from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod

from fixtures.parties import altered
from tests.e2e.bad_messages import (
    DEEP,
    DS,
    Row,
    bytes_of_xml,
    public_pem,
    sign,
    signed_tree,
    signed_with,
)
from tests.e2e.here import Here, Sent, a_notice

# Changes to trees


def the(tree: etree._Element, name: str) -> etree._Element:
    """The first element of XMLDSig with this name."""
    return next(tree.iter(f"{{{DS}}}{name}"))


def without_signature(tree: etree._Element) -> etree._Element:
    tree.remove(the(tree, "Signature"))
    return tree


def another_signature_value(tree: etree._Element) -> etree._Element:
    value = base64.b64decode(the(tree, "SignatureValue").text)
    other = value[:-1] + bytes([value[-1] ^ 1])
    the(tree, "SignatureValue").text = base64.b64encode(other).decode()
    return tree


def doubled(tree: etree._Element) -> etree._Element:
    tree.append(copy.deepcopy(the(tree, "Signature")))
    return tree


def inside_another_root(tree: etree._Element) -> etree._Element:
    """The genuine message, whole, under a forged one (wrapping)."""
    forged = copy.deepcopy(without_signature(copy.deepcopy(tree)))
    forged.append(tree)
    return forged


def inside_its_signature(tree: etree._Element) -> etree._Element:
    """The genuine message in an Object of its own signature, under a forged root."""
    signature = the(tree, "Signature")
    genuine = without_signature(copy.deepcopy(tree))
    etree.SubElement(signature, f"{{{DS}}}Object").append(genuine)
    return tree


def deeper(tree: etree._Element) -> etree._Element:
    tree[0].append(the(tree, "Signature"))
    return tree


def by_id(tree: etree._Element) -> etree._Element:
    """A reference to an element that the sender names, instead of to the whole."""
    tree.set("Id", "zonderling")
    the(tree, "Reference").set("URI", "#zonderling")
    return tree


def hmac_signed(here: Here) -> Sent:
    """HMAC with the public key as the secret, and the right certificate beside it."""
    tree = here.tree(a_notice())
    secret = public_pem(here)
    signed = sign(here, tree, method=SignatureMethod.HMAC_SHA256, key=secret, cert=None)
    key_info = etree.SubElement(the(signed, "Signature"), f"{{{DS}}}KeyInfo")
    key_info.append(the(sign(here, here.tree(a_notice())), "X509Data"))
    return here.as_xml(etree.tostring(signed, encoding="UTF-8"))


# Changes to bytes


def after_declaration(text: bytes) -> Callable[[bytes], bytes]:
    """Put this between the XML declaration and the root."""
    return lambda body: body.replace(b"?>", b"?>" + text, 1)


def in_utf_16(body: bytes) -> bytes:
    return body.decode().replace("'UTF-8'", "'UTF-16'").encode("utf-16")


def in_latin_1(body: bytes) -> bytes:
    return body.replace(b"'UTF-8'", b"'ISO-8859-1'").replace(b"Karin", b"Kar\xefn")


LAUGHS = (
    b'<!DOCTYPE b [<!ENTITY a "zonderling"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)

XML_FORM = [
    Row("cut short", bytes_of_xml(lambda b: b[:-30]), 400, "XML_ONGELDIG", "welgevormd"),
    Row("empty", lambda here: here.as_xml(b""), 400, "XML_ONGELDIG", "welgevormd"),
    Row("not XML", lambda here: here.as_xml(b"Kanarie"), 400, "XML_ONGELDIG", "welgevormd"),
    Row(
        "DOCTYPE",
        bytes_of_xml(after_declaration(b"<!DOCTYPE zonderling>")),
        400,
        "DOCTYPE_VERBODEN",
        "doctype",
    ),
    Row(
        "external entity",
        bytes_of_xml(
            lambda b: after_declaration(
                b'<!DOCTYPE a [<!ENTITY zonderling SYSTEM "file:///etc/passwd">]>'
            )(b).replace(b"Karin", b"&zonderling;")
        ),
        400,
        "DOCTYPE_VERBODEN",
        "doctype",
    ),
    Row(
        "entities in entities",
        bytes_of_xml(lambda b: after_declaration(LAUGHS)(b).replace(b"Karin", b"&c;")),
        400,
        "DOCTYPE_VERBODEN",
        "doctype",
    ),
    Row(
        "entity that nobody declared",
        bytes_of_xml(lambda b: b.replace(b"Karin", b"&zonderling;")),
        400,
        "XML_ONGELDIG",
        "welgevormd",
    ),
    Row("UTF-16", bytes_of_xml(in_utf_16), 400, "XML_ONGELDIG", "codering"),
    Row("Latin-1", bytes_of_xml(in_latin_1), 400, "XML_ONGELDIG", "codering"),
    Row(
        "another encoding declared",
        bytes_of_xml(lambda b: b.replace(b"'UTF-8'", b"'ISO-8859-1'")),
        400,
        "XML_ONGELDIG",
        "xml-declaratie",
    ),
    Row(
        "depth 100,000",
        lambda here: here.as_xml(b"<zonderling>" * DEEP + b"</zonderling>" * DEEP),
        400,
        "XML_ONGELDIG",
        "aantal-elementen",
    ),
    Row(
        "depth 10,000",
        lambda here: here.as_xml(b"<zonderling>" * 10_000 + b"</zonderling>" * 10_000),
        400,
        "XML_ONGELDIG",
        "welgevormd",
    ),
    Row(
        "depth 33",
        lambda here: here.as_xml(b"<zonderling>" * 33 + b"</zonderling>" * 33),
        400,
        "XML_ONGELDIG",
        "diepte",
    ),
    Row(
        "comment in the signed part",
        bytes_of_xml(lambda b: b.replace(b"Kanarie<", b"Kana<!-- zonderling -->rie<", 1)),
        400,
        "XML_ONGELDIG",
        "commentaar",
    ),
    Row(
        "processing instruction in the signed part",
        bytes_of_xml(lambda b: b.replace(b"<Klant>", b"<Klant><?zonderling x?>", 1)),
        400,
        "XML_ONGELDIG",
        "verwerkingsinstructie",
    ),
    Row(
        "foreign namespace",
        bytes_of_xml(lambda b: b.replace(b"<Klant>", b'<Klant xmlns:g="urn:zonderling">', 1)),
        400,
        "XML_ONGELDIG",
        "naamruimte",
    ),
    Row(
        "foreign attribute",
        bytes_of_xml(lambda b: b.replace(b"<Klant>", b'<Klant zonderling="x">', 1)),
        400,
        "XML_ONGELDIG",
        "attribuut",
    ),
]

XML_SIGNATURE = [
    Row("missing", signed_tree(without_signature), 400, "HANDTEKENING_ONTBREEKT", "ontbreekt"),
    Row(
        "content changed afterwards",
        bytes_of_xml(lambda b: altered(b, b"999990019", b"999990020")),
        400,
        "HANDTEKENING_ONGELDIG",
        "digest",
    ),
    Row(
        "signature value changed",
        signed_tree(another_signature_value),
        400,
        "HANDTEKENING_ONGELDIG",
        "waarde",
    ),
    Row("doubled", signed_tree(doubled), 400, "HANDTEKENING_POSITIE", "aantal"),
    Row(
        "whole message wrapped",
        signed_tree(inside_another_root),
        400,
        "HANDTEKENING_POSITIE",
        "plaats",
    ),
    Row(
        "message wrapped in its signature",
        signed_tree(inside_its_signature),
        400,
        "HANDTEKENING_POSITIE",
        "onderdelen",
    ),
    Row("below the root", signed_tree(deeper), 400, "HANDTEKENING_POSITIE", "plaats"),
    Row("reference by id", signed_tree(by_id), 400, "XML_ONGELDIG", "attribuut"),
    Row(
        "SHA-1 signature",
        signed_with(method=SignatureMethod.RSA_SHA1),
        400,
        "ALGORITME_VERBODEN",
        "handtekening",
    ),
    Row(
        "SHA-1 digest",
        signed_with(digest=DigestAlgorithm.SHA1),
        400,
        "ALGORITME_VERBODEN",
        "digest",
    ),
    Row(
        "inclusive canonicalisation",
        signed_with(c14n=CanonicalizationMethod.CANONICAL_XML_1_0),
        400,
        "ALGORITME_VERBODEN",
        "canonicalisatie",
    ),
    Row("HMAC", hmac_signed, 400, "ALGORITME_VERBODEN", "handtekening"),
    Row("KeyValue only", signed_with(cert=None), 401, "CERTIFICAAT_ONBEKEND", "geen-certificaat"),
]
