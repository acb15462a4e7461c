"""Every message that must be refused, as rows: how to make it and what it gets.

A row is made from a good message of the SHV to the creditor. Names that the contract does
not know contain "zonderling", so that a test can see whether an answer repeats them.
"""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from fixtures.documents import kind
from fixtures.parties import altered, now
from fixtures.pki import Variant
from fixtures.world import INCASSO, OVERIGE_SHV, SE, SHV, STRANGER
from gateway.adapters.jades import HTTP_HEADERS, base64url, thumbprint
from gateway.message import Json, Kind, Oin, as_bytes
from gateway.replies import instant
from tests.e2e.here import NOTICE, Here, Sent, a_notice

DS = "http://www.w3.org/2000/09/xmldsig#"
NAMESPACE = b"urn:nld:schuldhulp-gateway:schuldregeling:v2"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
DEEP = 100_000
SALDO = kind("schuldregeling", "SaldoverzoekAntwoord")
TRIAL = kind("gateway", "TermijnVerstreken")

Make = Callable[[Here], Sent]


class Row(NamedTuple):
    """One bad message.

    Attributes:
        rule: What the first finding says, where there is one.
        party: Whom the refusal entry names; None for those that were not verified.
    """

    name: str
    make: Make
    status: int
    code: str
    rule: str | None = None
    party: Oin | None = None


# How to make them


def bytes_of_xml(change: Callable[[bytes], bytes]) -> Make:
    """A signed message of which the bytes are changed afterwards."""
    return lambda here: here.as_xml(change(here.xml.signed(NOTICE, a_notice())))


def signed_text(find: bytes, replacement: bytes) -> Make:
    """A message that is changed before it is signed."""

    def make(here: Here) -> Sent:
        changed = etree.tostring(here.tree(a_notice())).replace(find, replacement)
        tree = etree.fromstring(changed)
        return here.as_xml(etree.tostring(sign(here, tree), encoding="UTF-8"))

    return make


def signed_with(
    *,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = EXCLUSIVE,
    **options: Any,
) -> Make:
    """A message signed with other algorithms or other key information."""

    def make(here: Here) -> Sent:
        tree = here.tree(a_notice())
        signed = sign(here, tree, method=method, digest=digest, c14n=c14n, **options)
        return here.as_xml(etree.tostring(signed, encoding="UTF-8"))

    return make


class Careless(XMLSigner):
    """The library's signer, which may also do what nobody should."""

    def check_deprecated_methods(self) -> None:
        """SHA-1 is what we want to see refused."""


def sign(
    here: Here,
    tree: etree._Element,
    *,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = EXCLUSIVE,
    **options: Any,
) -> etree._Element:
    """A tree signed by the SHV."""
    signer = Careless(signature_algorithm=method, digest_algorithm=digest, c14n_algorithm=c14n)
    chosen: dict[str, Any] = {"key": here.xml.key, "cert": [here.xml.identity.cert], **options}
    return signer.sign(tree, **chosen)


def signed_tree(change: Callable[[etree._Element], etree._Element]) -> Make:
    """A signed message whose tree is changed afterwards."""

    def make(here: Here) -> Sent:
        changed = change(sign(here, here.tree(a_notice())))
        return here.as_xml(etree.tostring(changed, xml_declaration=True, encoding="UTF-8"))

    return make


def json_bytes(change: Callable[[bytes], bytes]) -> Make:
    """JSON of which the bytes are changed before they are signed."""
    return lambda here: here.as_json(change(as_bytes(a_notice())))


def json_document(change: Callable[[Json], Json]) -> Make:
    """JSON of which the document is changed before it is signed."""
    return lambda here: here.written(change(a_notice()))


def json_headers(change: Callable[[dict[str, str]], list[tuple[str, str]]]) -> Make:
    """Good signed JSON whose headers are changed afterwards."""

    def make(here: Here) -> Sent:
        good = here.written(a_notice())
        return Sent(good.body, change(dict(good.headers)), good.token_of)

    return make


def in_both_forms(document: Callable[[], Json], which: Kind = NOTICE) -> tuple[Make, Make]:
    """A signed message that is wrong in what it says, in XML and in JSON."""
    return lambda here: here.signed(document(), which), lambda here: here.written(document())


def jws(*, key: Callable[[Here, bytes], bytes], **header: object) -> Make:
    """Good JSON under a signature of another making."""

    def make(here: Here) -> Sent:
        body = as_bytes(a_notice())
        digest = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
        told = {
            "alg": "PS256",
            "b64": False,
            "crit": ["b64", "sigD"],
            "sigD": {"mId": HTTP_HEADERS, "pars": ["digest"]},
            "x5t#S256": thumbprint(here.json.identity.cert),
            **header,
        }
        protected = base64url(json.dumps(told).encode())
        signature = base64url(key(here, f"{protected}.digest: {digest}".encode()))
        headers = [
            ("Content-Type", "application/json"),
            ("Digest", digest),
            ("Payload-Signature", f"{protected}..{signature}"),
        ]
        return Sent(body, headers, here.json)

    return make


def with_pss(here: Here, content: bytes) -> bytes:
    """RSA-PSS, as it should be."""
    return here.json.key.sign(
        content, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )


def with_pkcs1(here: Here, content: bytes) -> bytes:
    """What RS256 means."""
    return here.json.key.sign(content, padding.PKCS1v15(), hashes.SHA256())


def with_public_key_as_secret(here: Here, content: bytes) -> bytes:
    """What HS256 means to a verifier that takes any key for a secret."""
    return hmac.new(public_pem(here), content, hashlib.sha256).digest()


def public_pem(here: Here) -> bytes:
    """The public key of the SHV, as anybody can have it."""
    return here.json.identity.cert.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


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


# Certificates, in both forms

CERTIFICATES = (
    (Variant.EXPIRED, "CERTIFICAAT_VERLOPEN", "verlopen"),
    (Variant.NOT_YET_VALID, "CERTIFICAAT_VERLOPEN", "nog-niet-geldig"),
    (Variant.UNKNOWN, "CERTIFICAAT_ONBEKEND", "register"),
    (Variant.NOT_FOR_SIGNING, "CERTIFICAAT_ONGESCHIKT", "keyusage"),
)


def xml_under(variant: Variant) -> Make:
    return lambda here: here.as_xml(here.reach.creditor(SHV, variant).signed(NOTICE, a_notice()))


def json_under(variant: Variant) -> Make:
    return lambda here: here.as_json(as_bytes(a_notice()), by=here.party(SHV, variant))


CERTIFICATE = [
    Row(f"{form}: {variant}", make(variant), 401, code, rule)
    for variant, code, rule in CERTIFICATES
    for form, make in (("XML", xml_under), ("JSON", json_under))
]


def xml_by(signer: Oin, token: Oin | None = None) -> Make:
    """XML in the name of the SHV."""

    def make(here: Here) -> Sent:
        token_of = None if token is None else here.party(token)
        return here.as_xml(here.reach.creditor(signer).signed(NOTICE, a_notice()), token_of)

    return make


def json_by(signer: Oin, token: Oin) -> Make:
    """JSON in the name of the SHV."""
    return lambda here: here.as_json(
        as_bytes(a_notice()), by=here.party(signer), token_of=here.party(token)
    )


IDENTITY = [
    Row("XML: another signs", xml_by(INCASSO), 403, "AFZENDER_WIJKT_AF", "ondertekenaar"),
    Row("JSON: another signs", json_by(INCASSO, SHV), 403, "AFZENDER_WIJKT_AF", "ondertekenaar"),
    Row(
        "JSON: another signs and authenticates",
        json_by(INCASSO, INCASSO),
        403,
        "AFZENDER_WIJKT_AF",
        "ondertekenaar",
    ),
    Row("XML: token of another", xml_by(SHV, INCASSO), 403, "AFZENDER_WIJKT_AF", "aanmelding"),
    Row("JSON: token of another", json_by(SHV, INCASSO), 403, "AFZENDER_WIJKT_AF", "aanmelding"),
]


# JSON


def members(body: bytes) -> bytes:
    """Two members of the same name."""
    return altered(body, b'"bsn":"999990019"', b'"bsn":"999990007","bsn":"999990019"')


def unknown_member(made: Json) -> Json:
    made["kennisgevingPubliek"]["klant"]["zonderling"] = "Kanarie"
    return made


JSON_FORM = [
    Row("cut short", json_bytes(lambda b: b[:-3]), 400, "JSON_ONGELDIG", "vorm"),
    Row("empty", json_bytes(lambda b: b""), 400, "JSON_ONGELDIG", "vorm"),
    Row("a list", json_bytes(lambda b: b"[" + b + b"]"), 400, "JSON_ONGELDIG", "geen-object"),
    Row("UTF-16", json_bytes(lambda b: b.decode().encode("utf-16")), 400, "JSON_ONGELDIG", None),
    Row(
        "byte order mark",
        json_bytes(lambda b: b"\xef\xbb\xbf" + b),
        400,
        "JSON_ONGELDIG",
        "codering",
    ),
    Row("duplicate member", json_bytes(members), 400, "JSON_ONGELDIG", "dubbele-naam"),
    Row(
        "depth 100,000",
        json_bytes(lambda b: b'{"zonderling":' * DEEP + b"1" + b"}" * DEEP),
        400,
        "JSON_ONGELDIG",
        "vorm",
    ),
    Row(
        "depth 33",
        json_bytes(lambda b: b'{"zonderling":' * 33 + b"1" + b"}" * 33),
        400,
        "JSON_ONGELDIG",
        "diepte",
    ),
    Row(
        "a fraction",
        json_bytes(lambda b: altered(b, b'"huisnummer":12', b'"huisnummer":12.5')),
        400,
        "JSON_ONGELDIG",
        "getal",
    ),
    Row(
        "not a number",
        json_bytes(lambda b: altered(b, b'"huisnummer":12', b'"huisnummer":NaN')),
        400,
        "JSON_ONGELDIG",
        "getal",
    ),
    Row(
        "half a character",
        json_bytes(lambda b: altered(b, b"Karin", b"Kar\\ud800n")),
        400,
        "JSON_ONGELDIG",
        "teken",
    ),
]


def twice(name: str) -> Callable[[dict[str, str]], list[tuple[str, str]]]:
    return lambda headers: [*headers.items(), (name, headers[name])]


def without(name: str) -> Callable[[dict[str, str]], list[tuple[str, str]]]:
    return lambda headers: [each for each in headers.items() if each[0] != name]


def instead(name: str, value: str) -> Callable[[dict[str, str]], list[tuple[str, str]]]:
    return lambda headers: [*without(name)(headers), (name, value)]


OTHER_DIGEST = "SHA-256=" + base64.b64encode(hashlib.sha256(b"zonderling").digest()).decode()


def another_body(here: Here) -> Sent:
    """The headers of one message with the body of another."""
    good = here.written(a_notice())
    return Sent(as_bytes(a_notice()), good.headers, good.token_of)


JSON_SIGNATURE = [
    Row(
        "missing",
        json_headers(without("Payload-Signature")),
        400,
        "HANDTEKENING_ONTBREEKT",
        "ontbreekt",
    ),
    Row(
        "two signature headers",
        json_headers(twice("Payload-Signature")),
        400,
        "HANDTEKENING_ONTBREEKT",
        "aantal",
    ),
    Row(
        "two digest headers", json_headers(twice("Digest")), 400, "HANDTEKENING_ONTBREEKT", "aantal"
    ),
    Row("no digest", json_headers(without("Digest")), 400, "HANDTEKENING_ONGELDIG", "digest"),
    Row(
        "digest of other content",
        json_headers(instead("Digest", OTHER_DIGEST)),
        400,
        "HANDTEKENING_ONGELDIG",
        "digest",
    ),
    Row("body of another message", another_body, 400, "HANDTEKENING_ONGELDIG", "digest"),
    Row(
        "not a signature",
        json_headers(instead("Payload-Signature", "zonderling")),
        400,
        "HANDTEKENING_ONGELDIG",
        "vorm",
    ),
    Row("alg none", jws(key=with_pss, alg="none"), 400, "ALGORITME_VERBODEN", "alg"),
    Row(
        "alg none, nothing signed",
        jws(key=lambda *_: b"", alg="none"),
        400,
        "HANDTEKENING_ONGELDIG",
        "vorm",
    ),
    Row("alg RS256", jws(key=with_pkcs1, alg="RS256"), 400, "ALGORITME_VERBODEN", "alg"),
    Row(
        "alg HS256",
        jws(key=with_public_key_as_secret, alg="HS256"),
        400,
        "ALGORITME_VERBODEN",
        "alg",
    ),
    Row(
        "signature of another making",
        jws(key=with_pkcs1),
        400,
        "HANDTEKENING_ONGELDIG",
        "waarde",
    ),
    Row(
        "payload not detached",
        jws(key=with_pss, b64=True),
        400,
        "HANDTEKENING_ONGELDIG",
        "b64",
    ),
]


# What the contract does not know


def another_root(made: Json) -> Json:
    return {"zonderlingetje": next(iter(made.values()))}


def another_head(name: str, value: str) -> Callable[[Json], Json]:
    def change(made: Json) -> Json:
        made["kennisgevingPubliek"]["stuurgegevens"][name] = value
        return made

    return change


UNKNOWN = [
    Row(
        "XML: unknown root",
        signed_text(b"KennisgevingPubliek", b"Zonderlingetje"),
        400,
        "SCHEMA_ONGELDIG",
        "soort-onbekend",
        SHV,
    ),
    Row(
        "XML: unknown module",
        signed_text(NAMESPACE, b"urn:nld:schuldhulp-gateway:zonderling:v2"),
        400,
        "SCHEMA_ONGELDIG",
        "module-onbekend",
        SHV,
    ),
    Row(
        "XML: unknown version",
        signed_text(NAMESPACE, b"urn:nld:schuldhulp-gateway:schuldregeling:v9"),
        400,
        "SCHEMA_ONGELDIG",
        "versie-onbekend",
        SHV,
    ),
    Row(
        "XML: another module than the namespace says",
        signed_text(b"<Module>schuldregeling<", b"<Module>vish<"),
        400,
        "SCHEMA_ONGELDIG",
        "module-wijkt-af",
        SHV,
    ),
    Row(
        "XML: another version than the namespace says",
        signed_text(b"<Versie>2.0<", b"<Versie>1.0<"),
        400,
        "SCHEMA_ONGELDIG",
        "versie-wijkt-af",
        SHV,
    ),
    Row(
        "JSON: unknown root",
        json_document(another_root),
        400,
        "SCHEMA_ONGELDIG",
        "soort-onbekend",
        SHV,
    ),
    Row(
        "JSON: unknown module",
        json_document(another_head("module", "zonderling")),
        400,
        "SCHEMA_ONGELDIG",
        "module-onbekend",
        SHV,
    ),
    Row(
        "JSON: unknown version",
        json_document(another_head("versie", "9.0")),
        400,
        "SCHEMA_ONGELDIG",
        "versie-onbekend",
        SHV,
    ),
    Row(
        "JSON: unknown member",
        json_document(unknown_member),
        400,
        "SCHEMA_ONGELDIG",
        "onbekend-lid",
        SHV,
    ),
    Row(
        "XML: unknown element",
        signed_text(b"<Klant>", b"<Klant><Zonderling>Kanarie</Zonderling>"),
        400,
        "SCHEMA_ONGELDIG",
        "onbekend-element",
        SHV,
    ),
]


# What may not be said, or not to whom, in both forms


def late(days: float) -> Callable[[], Json]:
    """A message with a tijdstip so many days from now."""
    return lambda: a_notice(head={"tijdstip": instant(now() + timedelta(days=days))})


def attached(mime: str, content: bytes, sha256: str | None = None) -> Callable[[], Json]:
    """A message with one attachment."""
    attachment = {
        "soort": "ONDERBOUWING",
        "mime": mime,
        "bestandsnaam": "zonderling.pdf",
        "sha256": sha256 or hashlib.sha256(content).hexdigest(),
        "inhoud": base64.b64encode(content).decode(),
    }
    return lambda: a_notice(head={"bijlagen": [attachment]})


SECOND = 1 / 86_400
PDF = b"%PDF-1.7 zonderling"

CONTENT = [
    ("tijdstip of 31 days ago", late(-31), 400, "TIJDSTIP_BUITEN_VENSTER", "tijdstip"),
    ("tijdstip two minutes ahead", late(120 * SECOND), 400, "TIJDSTIP_BUITEN_VENSTER", "tijdstip"),
    (
        "unknown recipient",
        lambda: a_notice(recipient=STRANGER),
        400,
        "ONTVANGER_ONBEKEND",
        "ontvanger",
    ),
    (
        "recipient without this module",
        lambda: a_notice(recipient=OVERIGE_SHV),
        400,
        "NIET_AANGESLOTEN",
        "ontvanger",
    ),
    (
        "attachment of another type",
        attached("image/png", PDF),
        400,
        "BIJLAGE_ONGELDIG",
        "BIJLAGE_MIME",
    ),
    (
        "attachment with another hash",
        attached("application/pdf", PDF, "0" * 64),
        400,
        "BIJLAGE_ONGELDIG",
        "BIJLAGE_SHA256",
    ),
    (
        "a BSN that cannot be one",
        lambda: a_notice({"klant": {"bsn": "999990018"}}),
        400,
        "REGEL_GESCHONDEN",
        "BSN_ELFPROEF",
    ),
]

SAID = [
    Row(f"{form}: {name}", make, status, code, rule, SHV)
    for name, document, status, code, rule in CONTENT
    for form, make in zip(("XML", "JSON"), in_both_forms(document), strict=True)
]


def from_outside_the_module(here: Here) -> Sent:
    author = here.reach.creditor(OVERIGE_SHV)
    return here.as_xml(author.signed(NOTICE, a_notice(sender=OVERIGE_SHV, recipient=SE)))


SAID.append(
    Row(
        "XML: sender without this module",
        from_outside_the_module,
        400,
        "NIET_AANGESLOTEN",
        "afzender",
        OVERIGE_SHV,
    )
)


def a_gateway_kind() -> Json:
    return a_notice(which=TRIAL, sender=SHV, recipient=SE)


SAID += [
    Row(f"{form}: a kind of the gateway", make, 403, "GEEN_RECHT", "afzender", SHV)
    for form, make in zip(("XML", "JSON"), in_both_forms(a_gateway_kind, TRIAL), strict=True)
]


# The request around it


def headed(*headers: tuple[str, str]) -> Make:
    """A good signed XML message under these headers."""
    return lambda here: Sent(here.xml.signed(NOTICE, a_notice()), headers)


def media(value: str) -> Make:
    return headed(("Content-Type", value))


def gzipped(here: Here) -> Sent:
    body = gzip.compress(here.xml.signed(NOTICE, a_notice()))
    return Sent(body, [("Content-Type", "application/xml"), ("Content-Encoding", "gzip")])


XML = ("Content-Type", "application/xml")

REQUEST = [
    Row("text/xml", media("text/xml"), 415, "MEDIATYPE_ONBEKEND", "content-type"),
    Row("no media type", headed(), 415, "MEDIATYPE_ONBEKEND", "content-type"),
    Row("SOAP", media("application/soap+xml"), 415, "MEDIATYPE_ONBEKEND", "content-type"),
    Row(
        "a form",
        media("application/x-www-form-urlencoded"),
        415,
        "MEDIATYPE_ONBEKEND",
        "content-type",
    ),
    Row(
        "another charset",
        media("application/xml; charset=iso-8859-1"),
        415,
        "MEDIATYPE_ONBEKEND",
        "charset",
    ),
    Row("gzip", gzipped, 415, "MEDIATYPE_ONBEKEND", "content-encoding"),
    Row("Accept: text/html", headed(XML, ("Accept", "text/html")), 406, "ACCEPT_ONMOGELIJK"),
    Row(
        "Accept: everything but what we have",
        headed(XML, ("Accept", "application/*;q=0, text/plain")),
        406,
        "ACCEPT_ONMOGELIJK",
    ),
    Row(
        "JSON without a token",
        lambda here: replace(here.written(a_notice()), token_of=None),
        401,
        "TOKEN_ONGELDIG",
    ),
    Row(
        "a token that is none",
        headed(XML, ("Authorization", "Bearer zonderling")),
        401,
        "TOKEN_ONGELDIG",
        "handtekening",
    ),
    Row(
        "two authorizations",
        headed(XML, ("Authorization", "Bearer a"), ("Authorization", "Bearer b")),
        401,
        "TOKEN_ONGELDIG",
        "aantal",
    ),
    Row(
        "basic authentication",
        headed(XML, ("Authorization", "Basic em9uZGVybGluZzp4")),
        401,
        "TOKEN_ONGELDIG",
        "vorm",
    ),
]
