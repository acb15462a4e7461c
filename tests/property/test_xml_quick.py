"""What is seen at a glance and what is looked at closely agree, whatever the document.

The parser and the signature check have quick answers for what nearly all messages look
like. Each may only say yes where the long way says so too.
"""

from __future__ import annotations

import base64
from functools import cache

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from fixtures import documents as made_up
from fixtures.pki import Pki
from gateway import markup, xml
from gateway.adapters import xmldsig, xmldsig_form
from gateway.adapters.xmldsig_shape import judge_shape
from gateway.errors import Refusal
from gateway.message import Kind
from tests.property.schema_instances import CATALOGUE, KINDS
from tests.unit.signing import DS, EXCLUSIVE, a_tree

OURS = "urn:nld:schuldhulp-gateway:schuldregeling:v2"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

MANY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))

ROOTS = (
    f'<K xmlns="{OURS}">@</K>',
    f'<ds:K xmlns:ds="{OURS}">@</ds:K>',
    f'<K xmlns="{OURS}" xmlns:ds="{DS}">@</K>',
    f"<?xml version='1.0' encoding='UTF-8'?>\n<K xmlns='{OURS}' xmlns:xsi='{XSI}'>@</K>",
    f'<K xmlns="{OURS}" xmlns:xsi="{XSI}" xsi:schemaLocation="a b">@</K>',
)
INSIDE = (
    "<A>tekst</A>", "<A/>", "<A>", "</A>", "<", ">", "=", "?", "!", "??", "&amp;", "&#13;", "&x;",
    "<!-- x -->", "<?p x?>", "<![CDATA[<b> & ]]>", "<![CDATA[", "]]>", " ", "\n\t",
    "\r\n" + " " * 20, " " * 17 + "\n" + "\t" * 3,
    "<A Id='a'/>", "<A URI=''/>", "<A xml:lang='nl'/>", "<A xsi:nil='true'/>",
    '<ds:A URI=""/>', '<ds:A Id="a"/>', "<ds:A/>", "<ds:A>@</ds:A>", "<ds:A URI=''/>" * 40,
    f'<ds:A xmlns:ds="{DS}" Algorithm="x" Type="y">@</ds:A>', f'<ds:A xmlns:ds="{OURS}">@</ds:A>',
    f'<A xmlns="{DS}" Algorithm="x">@</A>', f'<A xmlns:p="{OURS}">@</A>',
    f'<p:A xmlns:p="{DS}" URI=""/>', '<p:A URI=""/>', f'<p:A xmlns:p="{DS}" xmlns:p="{DS}"/>',
    f'<A xmlns:xml="{DS}"><xml:A URI=""/></A>', '<xml:A URI=""/>',
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Pieces of markup at open places, also such as do not fit."""
    text = draw(st.sampled_from(ROOTS))
    for _ in range(3):
        pieces = draw(st.lists(st.sampled_from(INSIDE), max_size=3))
        text = text.replace("@", "".join(pieces), 1)
    return text.replace("@", "").encode()


REBOUND = (
    f'<K xmlns="{OURS}"><ds:A xmlns:ds="{DS}" URI=""/><B xmlns:ds="{OURS}"><ds:A URI=""/></B></K>'
)
TWICE = f'<K xmlns="{OURS}"><ds:A xmlns:ds="{DS}" Id="a"><ds:A Id="a"/></ds:A></K>'
LOCATED = (
    f'<K xmlns="{OURS}"><ds:A xmlns:ds="{DS}" xmlns:xsi="{XSI}" xsi:schemaLocation="a b"/></K>'
)


@MANY
@given(documents())
@example(REBOUND.encode())
@example(TWICE.encode())
@example(LOCATED.encode())
def test_what_the_bytes_prove_the_tree_confirms(body: bytes) -> None:
    try:
        seen = markup.judge(body)
        root = xml._read(body)
    except Refusal:
        event("refused")
        return

    event(f"read, {seen}")
    if seen.bare:
        xml._judge_asides(root)
    if seen.plain:
        xml._judge_attributes(root)


@MANY
@given(st.one_of(documents(), st.text("<>A/=", max_size=12).map(str.encode)))
def test_tags_are_found_alike_by_pieces_and_by_pattern(body: bytes) -> None:
    angles = bytes(byte for byte in body if byte in b"<>")

    assert markup._tags(body, angles) == frozenset(markup._TAG.findall(body))


@MANY
@given(
    st.lists(st.sampled_from([*" \t\r\n", " " * 15, "<A>"]), max_size=40),
    st.integers(0, 60),
    st.sampled_from([0, 400]),
)
def test_a_document_whose_white_space_is_not_looked_at_has_little_of_it(
    parts: list[str], runs: int, spread: int
) -> None:
    odd = (">" + " " * n + "\t" * 16 + "<A" for n in range(runs))
    body = ("".join(parts) + "x" * spread + "".join(odd)).encode()
    found = set(markup._LONG_SPACE.findall(body))
    many = sum(markup._INDENT.fullmatch(each) is None for each in found) > markup.MOST_ODD_SPACES

    try:
        markup._judge_space(body)
    except Refusal:
        assert many
    else:
        assert not many


# Signatures


@cache
def _signature() -> str:
    """One that is written plainly; nothing in it is computed."""
    value = base64.b64encode(bytes(range(48))).decode()
    more = "http://www.w3.org/2001/04/xmldsig-more#"
    return (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE.value}"/>'
        f'<ds:SignatureMethod Algorithm="{more}rsa-sha256"/><ds:Reference URI=""><ds:Transforms>'
        f'<ds:Transform Algorithm="{xmldsig_form.ENVELOPED}"/>'
        f'<ds:Transform Algorithm="{EXCLUSIVE.value}"/></ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f"<ds:DigestValue>{value}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        f"<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
        f"<ds:X509Certificate>{value}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        "</ds:Signature>"
    )


CHANGES = (
    ("><", ">\n  <"), ("><", "> <"), ("><", ">\r\n<"), ("><", ">x<"), ("><", "><!-- x --><"),
    ("><", "><?p x?><"), ("><", "><ds:KeyName>x</ds:KeyName><"), ("><", "><ds:KeyName/><"),
    ("><", f'><q xmlns="{OURS}"/><'), ("><", "><ds:X509SKI>QUJD</ds:X509SKI><"),
    ("AAEC", "AA\nEC"), ("AAEC", "AA EC"), ("AAEC", "AA&#13;EC"), ("AAEC", "AA&#10;EC"),
    ("AAEC", "A"), ("AAEC", "\u00a0AAEC"), ("AAEC", "<![CDATA[AAEC]]>"), ("AAEC", "A" * 8192),
    ("AAEC", "=AEC"), ("AAEC", "AA<ds:A/>EC"), ("AAEC", "é"), ("AAEC", "AAEC===="),
    ("AAEC", "A-E_"), ('URI=""', 'URI="#x"'), ('URI=""', ""), ('URI=""', 'URI="" Id="x"'),
    ('URI=""', 'Type="x" URI=""'), ("/></ds:", "> </ds:"), ("sha256", "sha1"),
    ("sha256", "sha512"), ("#enveloped-signature", "#base64"), ("Algorithm=", "algorithm="),
    ('Algorithm="', 'Algorithm=" '), ("ds:X509Data", "ds:X509Gegevens"),
    ("<ds:SignedInfo", f'<ds:SignedInfo xmlns:ds="{DS}"'),
    ("<ds:SignedInfo", f'<ds:SignedInfo xmlns:q="{OURS}"'),
    ("<ds:Signature ", f'<ds:Signature xmlns:q="{OURS}" '),
    ("<ds:Signature ", '<ds:Signature Id="s" '),
    ("<ds:SignatureValue", '<ds:SignatureValue Id="1"'),
    ("<ds:KeyInfo>", f'<ds:KeyInfo xmlns:ds="{OURS}">'), ("SignedInfo>", "SignedInfo\n>"),
    ("<ds:DigestValue>", "<ds:DigestValue >"),
)  # fmt: skip


@st.composite
def signatures(draw: st.DrawFn) -> str:
    """That one with a few changes, each everywhere or in one place."""
    text = _signature()
    for old, new in draw(st.lists(st.sampled_from(CHANGES), max_size=2)):
        parts = text.split(old)
        at = draw(st.integers(0, len(parts) - 1))
        before, after = old.join(parts[:at]), old.join(parts[at:])
        text = new.join((before, after)) if at else new.join(parts)
    prefix = draw(st.sampled_from(["ds:", "sig:", ""]))
    return text.replace("xmlns:ds", f"xmlns:{prefix}".rstrip(":")).replace("ds:", prefix)


@MANY
@given(signatures())
@example(_signature().replace("AAEC", "A" * 8192))
def test_what_a_signature_says_at_once_it_says_at_length(text: str) -> None:
    try:
        root = etree.fromstring(f'<K xmlns="{OURS}"><A>1</A>{text}</K>'.encode())
        signature = xmldsig_form._only_signature(root)
    except (etree.XMLSyntaxError, Refusal):
        event("no signature")
        return

    claim = xmldsig_form._read_plain(signature)

    event("not plain" if claim is None else "plain")
    if claim is not None:
        assert xmldsig_form._read_any(signature) == claim._replace(plain=False)
        judge_shape(signature)


def test_the_signature_without_changes_is_plain() -> None:
    signature = etree.fromstring(f"<K>{_signature()}</K>".encode())[0]

    assert xmldsig_form._read_plain(signature) is not None


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_message_of_the_contract_is_seen_at_a_glance(pki: Pki, kind: Kind) -> None:
    identity = pki.party("00000099000000001000")
    body = xmldsig.sign_xml(
        CATALOGUE.to_xml(kind, made_up.example(kind)), identity.key, identity.cert
    )

    seen = markup.judge(body)

    assert seen.plain
    assert xmldsig_form.read(xml.parse(body)).plain


def test_a_plain_message_is_bare(pki: Pki) -> None:
    identity = pki.party("00000099000000001000")

    assert markup.judge(xmldsig.sign_xml(a_tree(), identity.key, identity.cert)) == (True, True)
