"""Our XML signature check and signxml say the same about every document, however written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st
from lxml import etree
from signxml.signer import XMLSigner

from fixtures.documents import example
from fixtures.pki import Identity, Pki, Variant
from gateway import xml
from gateway.adapters import xmldsig, xmldsig_form
from gateway.errors import Refusal
from gateway.message import Kind
from tests.property.schema_instances import CATALOGUE, KINDS
from tests.unit.signing import DS, EXCLUSIVE, by_signxml, same, trusting

SPACES = {
    name: f"urn:nld:schuldhulp-gateway:{word}:v1"
    for name, word in (("", "een"), ("p", "twee"), ("q", "drie"))
}
OTHER = "urn:nld:schuldhulp-gateway:vier:v1"
NAMES = ("Naam", "Bedrag", "Adres", "Vordering")
PIECES = ("a", "12.00", "é", "€", "😀", "\u0085", "\u00a0", " ", "\t", "\n", "\r\n", "&#13;",
          "&#10;", "&amp;", "&lt;", "&gt;", "&quot;", "&#x20AC;", "'", '"', "]",
          "<![CDATA[<b> & ]]>")  # fmt: skip
VALUES = ("", "a", "é", "&#10;", "&#9;", "&#13;", " ", "&lt;", "&amp;", "&#34;", ">")

MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
gaps = st.sampled_from(["", " ", "\n  "])


@st.composite
def attributes(draw: st.DrawFn, declared: frozenset[str]) -> list[str]:
    prefixed = [f"{prefix}:x" for prefix in sorted(declared) if prefix]
    names = draw(st.lists(st.sampled_from(["x", "y", *prefixed]), unique=True, max_size=3))
    return [f'{name}="{draw(st.sampled_from(VALUES))}"' for name in names]


@st.composite
def elements(draw: st.DrawFn, scope: frozenset[str] = frozenset(), depth: int = 0) -> str:
    """One element in one of the many ways to write it."""
    prefix = draw(st.sampled_from(sorted(SPACES)))
    redeclared = draw(st.sets(st.sampled_from(sorted(SPACES))))
    declared = redeclared | ({prefix} - scope)
    tag = f"{prefix}:{draw(st.sampled_from(NAMES))}".lstrip(":")
    parts = [
        *(f'xmlns{":" if each else ""}{each}="{SPACES[each]}"' for each in sorted(declared)),
        *draw(attributes(scope | declared)),
    ]
    opening = " ".join([tag, *draw(st.permutations(parts))])
    children = st.lists(elements(scope | declared, depth + 1), min_size=depth == 0, max_size=2)
    inside = draw(texts)
    if depth < 2:
        inside += "".join(each + draw(texts) for each in draw(children))
    if not inside and draw(st.booleans()):
        return f"<{opening}{draw(gaps)}/>"
    return f"<{opening}{draw(gaps)}>{inside}</{tag}{draw(gaps)}>"


@pytest.fixture(scope="session")
def sender(pki: Pki) -> Identity:
    return pki.party("00000099000000001000", Variant.ELLIPTIC)


def ours(body: bytes, sender: Identity) -> etree._Element | None:
    try:
        return xmldsig.check(etree.fromstring(body), trusting(sender))[0]
    except Refusal:
        return None


def signed(document: str, sender: Identity) -> bytes:
    signer = XMLSigner(signature_algorithm="ecdsa-sha256", c14n_algorithm=EXCLUSIVE)
    tree = signer.sign(etree.fromstring(document), key=sender.key, cert=[sender.cert])
    return written(tree)


def written(tree: etree._Element) -> bytes:
    body: bytes = etree.tostring(tree, encoding="UTF-8")
    return body


@MANY
@given(document=elements())
def test_what_signxml_signed_is_believed_and_read_as_it_was_digested(
    sender: Identity, document: str
) -> None:
    body = signed(document, sender)

    content, digested = ours(body, sender), by_signxml(etree.fromstring(body), sender)

    assert digested is not None
    assert content is not None
    assert same(content, digested)
    assert same(content, etree.fromstring(document))


@MANY
@given(document=elements())
def test_what_the_gateway_signed_is_believed_by_signxml(sender: Identity, document: str) -> None:
    tree = etree.fromstring(document)
    before = etree.tostring(tree)

    body = xmldsig.sign_xml(tree, sender.key, sender.cert)

    digested = by_signxml(etree.fromstring(body), sender)
    assert digested is not None
    assert same(digested, tree)
    assert ours(body, sender) is not None
    assert etree.tostring(tree) == before


def _move(body: bytes, number: int) -> bytes:
    """The signature to another place among the children of the root."""
    tree = etree.fromstring(body)
    signature = tree.find(f"{{{DS}}}Signature")
    tree.remove(signature)
    tree.insert(number % (len(tree) + 1), signature)
    return written(tree)


def _nth(body: bytes, what: bytes, by: bytes, number: int) -> bytes:
    places = body.count(what)
    parts = body.split(what)
    at = number % places + 1 if places else 1
    return what.join(parts[:at]) + by + what.join(parts[at:]) if places else body


CHANGES: dict[str, Callable[[bytes, int], bytes]] = {
    "nothing": lambda body, _: body,
    "moved": _move,
    "line-ends": lambda body, _: body.replace(b"\n", b"\r\n"),
    "space-in-tag": lambda body, n: _nth(body, b"/>", b" />", n),
    "space-in-end": lambda body, n: _nth(body, b"</ds:", b"</ds:", n).replace(b">", b" >", 1),
    "reference": lambda body, _: body.replace("é".encode(), b"&#233;"),
    "data": lambda body, n: _nth(body, b"12.00", b"<![CDATA[12.00]]>", n),
    "split": lambda body, n: _nth(body, b"12.00", b"12.<![CDATA[00]]>", n),
    "amount": lambda body, n: _nth(body, b"12.00", b"12.01", n),
    "unused": lambda body, n: _nth(body, b" xmlns:ds=",
                                   f' xmlns:zz="{OTHER}" xmlns:ds='.encode(), n),
    "within": lambda body, n: _nth(body, b"<ds:SignedInfo>",
                                   f'<ds:SignedInfo xmlns:zz="{OTHER}">'.encode(), n),
    "other-default": lambda body, n: _nth(body, b" xmlns:ds=",
                                          f' xmlns="{OTHER}" xmlns:ds='.encode(), n),
    "prefix": lambda body, _: body.replace(b"ds:", b"sig:").replace(b":ds=", b":sig="),
    "default-prefix": lambda body, _: body.replace(b"ds:", b"").replace(b"xmlns:ds=", b"xmlns="),
    "space-after": lambda body, _: body.replace(b"</ds:Signature>", b"</ds:Signature>\n"),
    "space-before": lambda body, _: body.replace(b"<ds:Signature ", b" <ds:Signature "),
    "space-inside": lambda body, n: _nth(body, b"><ds:", b">\n<ds:", n),
    "cut": lambda body, n: body[: n % len(body)] + body[n % len(body) + 1 :],
    "twice": lambda body, n: body[: n % len(body)] + body[n % len(body) - 1 :],
}  # fmt: skip


@settings(MANY, max_examples=150)
@given(
    document=elements(),
    names=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3),
    number=st.integers(0, 100_000),
)
def test_whatever_is_changed_afterwards_both_believe_it_or_neither(
    sender: Identity, document: str, names: list[str], number: int
) -> None:
    body = signed(document, sender)
    for name in names:
        body = CHANGES[name](body, number)
        try:
            etree.fromstring(body)
            xmldsig_form.read(etree.fromstring(body))
        except (etree.XMLSyntaxError, Refusal):
            reject()  # refused by its form; the mathematics are not asked

    content, digested = ours(body, sender), by_signxml(etree.fromstring(body), sender)

    event("believed" if content is not None else "refused")
    assert (content is None) == (digested is None)
    if content is not None and digested is not None:
        assert same(content, digested)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_message_of_the_contract_passes_both_ways(pki: Pki, kind: Kind) -> None:
    identity = pki.party("00000099000000001000")
    tree = CATALOGUE.to_xml(kind, example(kind))
    etree.indent(tree)
    theirs = XMLSigner(c14n_algorithm=EXCLUSIVE).sign(tree, key=identity.key, cert=[identity.cert])

    for body in (
        xmldsig.sign_xml(tree, identity.key, identity.cert),
        etree.tostring(theirs, encoding="UTF-8"),
    ):
        digested = by_signxml(etree.fromstring(body), identity)
        content, _ = xmldsig.check(xml.parse(body), trusting(identity))
        assert digested is not None
        assert same(content, digested)
        assert same(content, tree)
