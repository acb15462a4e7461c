"""Evidence is signed with one kind of key, and believed of no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from fixtures.keyring import a_keyring
from fixtures.world import GATEWAY
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.published_keys import verifier
from gateway.errors import Fault
from gateway.message import Json

TEXT = b"gateway-controlepunt-1\n"
KEYRING = a_keyring()
PUBLISHED = KEYRING.signing.published()


def of_kind(kind: str) -> Json:
    """The published key of this kind, as a set of its own."""
    return {"keys": [dict(each) for each in PUBLISHED["keys"] if each["kty"] == kind]}


def changed(**members: Any) -> Json:
    told = of_kind("EC")
    told["keys"][0] |= members
    return told


def test_evidence_is_signed_with_the_newest_p256_key_and_the_older_stays_good(
    tmp_path: Path,
) -> None:
    first = GatewayKeys.create(tmp_path, GATEWAY)
    old_kid, old = replace(KEYRING, signing=first).sign_checkpoint(TEXT)
    renewed = GatewayKeys.renew(tmp_path)
    new_kid, new = replace(KEYRING, signing=renewed).sign_checkpoint(TEXT)

    verify = verifier(renewed.published())

    assert (old_kid, new_kid) == (first.ec[0].kid, renewed.ec[0].kid)
    assert old_kid != new_kid
    assert verify(old_kid, TEXT, old) is verify(new_kid, TEXT, new) is True
    assert verify(old_kid, TEXT, new) is verify(new_kid, TEXT, old) is False
    assert verifier(first.published())(new_kid, TEXT, new) is None
    assert verifier(first.published(), renewed.published())(old_kid, TEXT, old) is True


def test_a_signature_with_one_changed_bit_or_another_length_is_not_believed() -> None:
    kid, signature = KEYRING.sign_checkpoint(TEXT)
    verify = verifier(PUBLISHED)
    bits = range(8 * len(signature))
    number = int.from_bytes(signature)
    others = [(number ^ 1 << bit).to_bytes(len(signature)) for bit in bits]

    for other in (*others, b"", signature[:-1], signature + b"\0", b"\0" * 384):
        assert verify(kid, TEXT, other) is False
    assert verify(kid, TEXT + b"\n", signature) is False
    assert verify(kid, TEXT, signature) is True


def test_a_key_of_another_kind_signs_no_evidence_though_it_is_published() -> None:
    rivest = KEYRING.signing.rsa[0]
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    signature = rivest.key.sign(TEXT, pss, hashes.SHA256())

    assert verifier(PUBLISHED)(rivest.kid, TEXT, signature) is None
    assert verifier(of_kind("RSA"))(KEYRING.sign_checkpoint(TEXT)[0], TEXT, signature) is None


@pytest.mark.parametrize("alg", ["PS256", "none", "HS256", None])
def test_what_a_set_of_keys_says_about_algorithms_changes_nothing(alg: str | None) -> None:
    kid, signature = KEYRING.sign_checkpoint(TEXT)
    verify = verifier(changed(alg=alg))

    assert verify(kid, TEXT, signature) is True
    assert verify(kid, TEXT, b"\0" * 70) is False


def test_a_key_on_another_curve_is_not_known() -> None:
    kid, _ = KEYRING.sign_checkpoint(TEXT)
    stranger = ec.generate_private_key(ec.SECP384R1())
    forged = stranger.sign(TEXT, ec.ECDSA(hashes.SHA256()))

    assert verifier(changed(crv="P-384"))(kid, TEXT, forged) is None


@pytest.mark.parametrize(
    "told",
    [{}, {"keys": [{}]}, {"keys": None}, changed(x="AAAA"), changed(y=7), changed(x="", y="")],
    ids=["no keys", "no kind", "none", "off the curve", "no text", "no point"],
)
def test_what_is_no_set_of_keys_is_refused(told: Json) -> None:
    with pytest.raises(Fault, match="no set of published keys"):
        verifier(told)
