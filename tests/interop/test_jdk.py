"""The JDK and the gateway believe each other's XML signatures, and doubt the same ones."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from lxml import etree

from fixtures.pki import Identity, Pki, Variant
from gateway import xml
from gateway.adapters import xmldsig
from gateway.errors import Code, Refusal
from tests.unit.signing import a_tree, the, trusting

PROGRAM = Path(__file__).with_name("XmlSignature.java")
JAVA = shutil.which("java")
METHODS = {
    "rsa-sha256": ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", Variant.GOOD),
    "rsa-sha512": ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", Variant.GOOD),
    "rsa-pss": ("http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", Variant.GOOD),
    "ecdsa-sha256": ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", Variant.ELLIPTIC),
    "ecdsa-sha384": ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", Variant.ELLIPTIC_384),
}

pytestmark = pytest.mark.skipif(
    JAVA is None, reason="needs a JDK, which is too large to install for this alone"
)


def java(*arguments: str | Path) -> list[str]:
    assert JAVA is not None
    command = [JAVA, "-Xshare:auto", str(PROGRAM), *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, timeout=50, check=True, text=True)
    return finished.stdout.split()


def the_party(pki: Pki, variant: Variant) -> Identity:
    return pki.party("00000099000000001000", variant)


@pytest.mark.parametrize("variant", [Variant.GOOD, Variant.ELLIPTIC])
def test_the_jdk_believes_what_the_gateway_signed_and_nothing_else(
    pki: Pki, tmp_path: Path, variant: Variant
) -> None:
    identity = the_party(pki, variant)
    body = xmldsig.sign_xml(a_tree(), identity.key, identity.cert)
    whole, changed = tmp_path / "whole.xml", tmp_path / "changed.xml"
    whole.write_bytes(body)
    changed.write_bytes(body.replace(b"100.00", b"100.01"))

    assert java("verify", identity.cert_path, whole, changed) == ["true", "false"]


@pytest.mark.parametrize("name", METHODS)
def test_the_gateway_believes_what_the_jdk_signed_and_nothing_else(
    pki: Pki, tmp_path: Path, name: str
) -> None:
    method, variant = METHODS[name]
    identity = the_party(pki, variant)
    bare, signed = tmp_path / "bare.xml", tmp_path / "signed.xml"
    bare.write_bytes(etree.tostring(a_tree(), xml_declaration=True, encoding="UTF-8"))

    java("sign", identity.key_path, identity.cert_path, method, bare, signed)
    document = xml.parse(signed.read_bytes())
    assert the(document, "Signature") is not None
    content, proof = xmldsig.check(document, trusting(identity))

    assert etree.tostring(content, method="c14n") == etree.tostring(a_tree(), method="c14n")
    assert proof.algorithm == method
    changed = xml.parse(signed.read_bytes().replace(b"100.00", b"100.01"))
    with pytest.raises(Refusal) as caught:
        xmldsig.check(changed, trusting(identity))
    assert caught.value.code is Code.HANDTEKENING_ONGELDIG
