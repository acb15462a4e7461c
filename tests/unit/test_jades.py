"""Detached JWS: what is accepted over HTTP and on a queue, and each bad input refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fixtures.pki import Identity, Pki, Variant
from gateway.adapters import jades
from gateway.errors import Code, Finding, Refusal
from gateway.message import Dialect, Door, Received
from gateway.routing.directory import Certificate

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BODY = '{"kennisgeving":{"bsn":"999990019","naam":"é"}}'.encode()
SIG_D = {"mId": "http://uri.etsi.org/19182/HttpHeaders", "pars": ["digest"]}


@pytest.fixture(scope="session")
def sender(pki: Pki) -> Identity:
    return pki.party("00000099000000001000")


@pytest.fixture(scope="session")
def elliptic(pki: Pki) -> Identity:
    return pki.party("00000099000000001000", Variant.ELLIPTIC)


@pytest.fixture(scope="session")
def stranger(pki: Pki) -> Identity:
    return pki.party("00000099000000009990", Variant.UNKNOWN)


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def digest_of(body: bytes) -> str:
    return "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


def thumbprint(identity: Identity) -> str:
    return base64url(bytes.fromhex(identity.registered.fingerprint))


def chain(identity: Identity) -> list[str]:
    return [base64.b64encode(identity.cert.public_bytes(Encoding.DER)).decode()]


def over_http(
    body: bytes = BODY, signature: str | None = None, digest: str | None = None
) -> Received:
    return Received(Door.REST_JSON, Dialect.JSON, body, NOON, signature, digest)


def on_queue(body: bytes = BODY, signature: str | None = None) -> Received:
    return Received(Door.QUEUE, Dialect.JSON, body, NOON, signature)


def trusting(*identities: Identity) -> Callable[[str], Certificate]:
    register = {identity.registered.fingerprint: identity.registered for identity in identities}

    def trust(fingerprint: str) -> Certificate:
        if fingerprint not in register:
            raise Refusal(Code.CERTIFICAAT_ONBEKEND, Finding("register", ""))
        return register[fingerprint]

    return trust


def refused(received: Received, *known: Identity) -> tuple[Code, str]:
    with pytest.raises(Refusal) as caught:
        jades.check(received, trusting(*known))
    (finding,) = caught.value.findings
    assert finding.path == ""
    return caught.value.code, finding.rule


def a_header(identity: Identity, **changes: object) -> dict[str, object]:
    """A good HTTP header; a change to None takes a member out."""
    header: dict[str, object] = {
        "alg": "PS256",
        "b64": False,
        "crit": ["b64", "sigD"],
        "sigD": SIG_D,
        "x5t#S256": thumbprint(identity),
        **{name.replace("_", "#"): value for name, value in changes.items()},
    }
    return {name: value for name, value in header.items() if value is not None}


def pss(key: object, content: bytes, salt: int = 32) -> bytes:
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(content, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())


def a_message(
    identity: Identity, header: dict[str, object] | str | None = None, *, salt: int = 32
) -> Received:
    """Signed as the header says, without our own code."""
    made = a_header(identity) if header is None else header
    text = made if isinstance(made, str) else json.dumps(made)
    protected = base64url(text.encode())
    payload = f"digest: {digest_of(BODY)}"
    signature = pss(identity.key, f"{protected}.{payload}".encode(), salt)
    return over_http(BODY, f"{protected}..{base64url(signature)}", digest_of(BODY))


# What is accepted


def test_a_jades_signature_over_the_digest_header_is_accepted(sender: Identity) -> None:
    proof = jades.check(a_message(sender), trusting(sender))

    assert (proof.fingerprint, proof.algorithm) == (sender.registered.fingerprint, "PS256")


@pytest.mark.parametrize("named_by", ["thumbprint", "chain", "both"])
def test_the_certificate_may_be_named_by_thumbprint_or_chain(
    sender: Identity, stranger: Identity, named_by: str
) -> None:
    ways: dict[str, dict[str, Any]] = {
        "thumbprint": {},
        "chain": {"x5t_S256": None, "x5c": chain(sender) + chain(stranger)},
        "both": {"x5c": chain(sender)},
    }

    proof = jades.check(a_message(sender, a_header(sender, **ways[named_by])), trusting(sender))

    assert proof.fingerprint == sender.registered.fingerprint


def test_the_name_of_the_digest_algorithm_is_read_in_any_case(sender: Identity) -> None:
    protected = base64url(json.dumps(a_header(sender)).encode())
    digest = digest_of(BODY).replace("SHA-256", "sha-256")
    signature = pss(sender.key, f"{protected}.digest: {digest}".encode())

    received = over_http(BODY, f"{protected}..{base64url(signature)}", digest)

    assert jades.check(received, trusting(sender)).algorithm == "PS256"


def test_what_the_gateway_signs_for_http_is_accepted(sender: Identity) -> None:
    assert isinstance(sender.key, rsa.RSAPrivateKey)

    digest, signature = jades.sign_digest(BODY, sender.key, sender.cert)

    assert digest == digest_of(BODY)
    assert jades.check(over_http(BODY, signature, digest), trusting(sender)).algorithm == "PS256"


@pytest.mark.parametrize("algorithm", ["ES256", "PS256"])
def test_a_signature_over_the_body_is_accepted_on_the_queue(
    sender: Identity, elliptic: Identity, algorithm: str
) -> None:
    identity = elliptic if algorithm == "ES256" else sender

    signature = jades.sign_body(BODY, identity.key, identity.cert, algorithm)

    proof = jades.check(on_queue(BODY, signature), trusting(sender, elliptic))
    assert (proof.fingerprint, proof.algorithm) == (identity.registered.fingerprint, algorithm)


def test_a_signature_for_a_published_key_names_its_kid(elliptic: Identity) -> None:
    signature = jades.sign_body(BODY, elliptic.key, "de-sleutel", "ES256")

    protected = signature.split(".")[0]
    header = json.loads(base64.urlsafe_b64decode(protected + "=="))
    assert header == {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": "de-sleutel"}


def test_a_key_does_not_sign_with_an_algorithm_of_another_kind(elliptic: Identity) -> None:
    with pytest.raises(ValueError, match="cannot sign"):
        jades.sign_body(BODY, elliptic.key, elliptic.cert, "PS256")


# Missing and doubled


def test_no_signature_is_refused(sender: Identity) -> None:
    for nothing in (over_http(), over_http(BODY, ""), on_queue()):
        assert refused(nothing, sender) == (Code.HANDTEKENING_ONTBREEKT, "ontbreekt")


def test_two_signature_headers_are_refused_and_one_is_passed_on() -> None:
    assert jades.one_signature([]) is None
    assert jades.one_signature(["a..b"]) == "a..b"
    with pytest.raises(Refusal) as caught:
        jades.one_signature(["a..b", "a..b"])
    assert caught.value.code is Code.HANDTEKENING_ONTBREEKT


def test_two_signatures_in_one_header_are_refused(sender: Identity) -> None:
    message = a_message(sender)
    twice = replace(message, signature=f"{message.signature}, {message.signature}")

    assert refused(twice, sender)[0] is Code.HANDTEKENING_ONGELDIG


# Algorithms


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "", "HS256", "RS256", "RS1", "PS384", "ES256", "EdDSA", "ps256", 1, None, []],
)
def test_an_algorithm_outside_the_list_is_refused_over_http(
    sender: Identity, algorithm: object
) -> None:
    message = a_message(sender, a_header(sender, alg=algorithm))

    assert refused(message, sender) == (Code.ALGORITME_VERBODEN, "alg")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES384", "PS512", None])
def test_an_algorithm_outside_the_list_is_refused_on_the_queue(
    sender: Identity, algorithm: object
) -> None:
    header = a_header(sender, alg=algorithm, crit=["b64"], sigD=None)
    signature = replace(a_message(sender, header), door=Door.QUEUE)

    assert refused(signature, sender) == (Code.ALGORITME_VERBODEN, "alg")


def test_an_hmac_with_the_public_key_as_its_secret_is_refused(sender: Identity) -> None:
    secret = sender.cert.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    protected = base64url(json.dumps(a_header(sender, alg="HS256")).encode())
    payload = f"digest: {digest_of(BODY)}"
    tag = hmac.digest(secret, f"{protected}.{payload}".encode(), "sha256")

    message = over_http(BODY, f"{protected}..{base64url(tag)}", digest_of(BODY))

    assert refused(message, sender) == (Code.ALGORITME_VERBODEN, "alg")


def test_pkcs1_padding_under_the_name_of_pss_is_refused(sender: Identity) -> None:
    assert isinstance(sender.key, rsa.RSAPrivateKey)
    protected = base64url(json.dumps(a_header(sender)).encode())
    content = f"{protected}.digest: {digest_of(BODY)}".encode()
    signature = sender.key.sign(content, padding.PKCS1v15(), hashes.SHA256())

    message = over_http(BODY, f"{protected}..{base64url(signature)}", digest_of(BODY))

    assert refused(message, sender) == (Code.HANDTEKENING_ONGELDIG, "waarde")


@pytest.mark.parametrize("salt", [0, 20, 48])
def test_another_salt_length_is_refused(sender: Identity, salt: int) -> None:
    assert refused(a_message(sender, salt=salt), sender) == (Code.HANDTEKENING_ONGELDIG, "waarde")


def test_an_algorithm_of_another_kind_of_key_than_the_registered_is_refused(
    sender: Identity, elliptic: Identity
) -> None:
    header = a_header(elliptic)

    assert refused(a_message(sender, header), elliptic) == (Code.HANDTEKENING_ONGELDIG, "waarde")


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\xff" * 64, b"\1" * 63, b"\1" * 65])
def test_an_ecdsa_value_that_cannot_be_one_is_refused(elliptic: Identity, signature: bytes) -> None:
    protected = jades.sign_body(BODY, elliptic.key, elliptic.cert).split(".")[0]
    message = on_queue(BODY, f"{protected}..{base64url(signature)}")

    assert refused(message, elliptic)[0] is Code.HANDTEKENING_ONGELDIG


# The header


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"b64": True}, "b64"),
        ({"b64": None}, "b64"),
        ({"b64": 0}, "b64"),
        ({"crit": None}, "crit"),
        ({"crit": []}, "crit"),
        ({"crit": ["b64"]}, "crit"),
        ({"crit": ["sigD"]}, "crit"),
        ({"crit": ["b64", "sigD", "exp"]}, "crit"),
        ({"crit": ["b64", "sigD", "b64"]}, "crit"),
        ({"crit": "b64 sigD"}, "crit"),
        ({"sigD": None}, "sigD"),
        ({"sigD": {**SIG_D, "pars": []}}, "sigD"),
        ({"sigD": {**SIG_D, "pars": ["digest", "digest"]}}, "sigD"),
        ({"sigD": {**SIG_D, "pars": ["host"]}}, "sigD"),
        ({"sigD": {**SIG_D, "pars": ["(request-target)", "digest"]}}, "sigD"),
        ({"sigD": {**SIG_D, "mId": "http://uri.etsi.org/19182/ObjectIdByURI"}}, "sigD"),
        ({"sigD": {**SIG_D, "hashM": "S256"}}, "sigD"),
    ],
)
def test_a_header_that_does_not_say_exactly_what_we_check_is_refused(
    sender: Identity, changes: dict[str, object], rule: str
) -> None:
    message = a_message(sender, a_header(sender, **changes))

    assert refused(message, sender) == (Code.HANDTEKENING_ONGELDIG, rule)


@pytest.mark.parametrize(
    "text",
    [
        '{"alg":"PS256","alg":"PS256"}',
        '{"alg":"PS256","sigD":{"mId":"a","mId":"b"}}',
        '["PS256"]',
        "{",
        '{"alg":"PS256","iat":1.5}',
    ],
)
def test_a_header_with_doubled_names_or_that_is_no_object_is_refused(
    sender: Identity, text: str
) -> None:
    assert refused(a_message(sender, text), sender) == (Code.HANDTEKENING_ONGELDIG, "kop")


@pytest.mark.parametrize(
    "signature",
    ["x", ".", "..", "a.b", "a.b.c.d", "..YQ", "YQ..", "Y Q..YQ", "YQ==..YQ==", "YR..YQ", "é..YQ"],
)
def test_a_signature_of_another_form_is_refused(sender: Identity, signature: str) -> None:
    assert refused(over_http(BODY, signature), sender)[0] is Code.HANDTEKENING_ONGELDIG


def test_a_payload_inside_the_signature_is_refused(sender: Identity) -> None:
    message = a_message(sender)
    assert message.signature is not None
    attached = message.signature.replace("..", f".{base64url(BODY)}.")

    assert refused(replace(message, signature=attached), sender)[0] is Code.HANDTEKENING_ONGELDIG


def test_a_signature_longer_than_any_real_one_is_refused(sender: Identity) -> None:
    assert refused(over_http(BODY, "A" * 20_000 + "..YQ"), sender)[0] is Code.HANDTEKENING_ONGELDIG


# Certificates


def test_a_signature_that_names_no_certificate_is_refused(sender: Identity) -> None:
    key = sender.cert.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    own_key = {"kty": "RSA", "n": base64url(key.public_numbers().n.to_bytes(256)), "e": "AQAB"}
    header = a_header(sender, x5t_S256=None, jwk=own_key, kid="x", x5u="https://localhost/x")

    assert refused(a_message(sender, header), sender) == (
        Code.CERTIFICAAT_ONBEKEND,
        "geen-certificaat",
    )


def test_a_signature_that_names_two_certificates_is_refused(
    sender: Identity, stranger: Identity
) -> None:
    message = a_message(sender, a_header(sender, x5c=chain(stranger)))

    assert refused(message, sender, stranger) == (Code.HANDTEKENING_ONGELDIG, "x5t#S256")


@pytest.mark.parametrize(
    "changes",
    [
        {"x5t_S256": "YQ"},
        {"x5t_S256": 1},
        {"x5t_S256": "=" * 43},
        {"x5t_S256": None, "x5c": []},
        {"x5t_S256": None, "x5c": "MII"},
        {"x5t_S256": None, "x5c": [1]},
        {"x5t_S256": None, "x5c": ["###"]},
    ],
)
def test_a_name_that_is_no_certificate_is_refused(
    sender: Identity, changes: dict[str, object]
) -> None:
    message = a_message(sender, a_header(sender, **changes))

    assert refused(message, sender)[0] is Code.HANDTEKENING_ONGELDIG


def test_a_stranger_is_refused_before_anything_is_computed(
    sender: Identity, stranger: Identity
) -> None:
    broken = replace(a_message(stranger), digest="SHA-256=onzin")

    assert refused(broken, sender) == (Code.CERTIFICAAT_ONBEKEND, "register")


def test_somebody_elses_certificate_beside_ones_own_signature_is_refused(
    sender: Identity, stranger: Identity
) -> None:
    message = a_message(stranger, a_header(sender))

    assert refused(message, sender) == (Code.HANDTEKENING_ONGELDIG, "waarde")


# The body


def test_a_digest_that_does_not_match_the_body_is_refused(sender: Identity) -> None:
    message = replace(a_message(sender), body=BODY + b" ")

    assert refused(message, sender) == (Code.HANDTEKENING_ONGELDIG, "digest")


def test_a_digest_that_matches_but_was_not_signed_is_refused(sender: Identity) -> None:
    other = b'{"kennisgeving":{}}'
    message = replace(a_message(sender), body=other, digest=digest_of(other))

    assert refused(message, sender) == (Code.HANDTEKENING_ONGELDIG, "waarde")


@pytest.mark.parametrize(
    "digest",
    [
        None,
        "",
        "SHA-256=",
        "MD5=Q2hlY2sgSW50ZWdyaXR5IQ==",
        "SHA-512=" + "A" * 86 + "==",
        digest_of(BODY) + "," + digest_of(BODY),
        digest_of(BODY) + "\n",
        " " + digest_of(BODY),
    ],
)
def test_a_digest_header_of_another_form_is_refused(sender: Identity, digest: str | None) -> None:
    message = replace(a_message(sender), digest=digest)

    assert refused(message, sender) == (Code.HANDTEKENING_ONGELDIG, "digest")


def test_another_body_on_the_queue_is_refused(elliptic: Identity) -> None:
    signature = jades.sign_body(BODY, elliptic.key, elliptic.cert)

    assert refused(on_queue(BODY + b"\n", signature), elliptic) == (
        Code.HANDTEKENING_ONGELDIG,
        "waarde",
    )


def test_a_signature_made_for_one_door_is_refused_at_the_other(sender: Identity) -> None:
    for_queue = jades.sign_body(BODY, sender.key, sender.cert, "PS256")

    assert refused(over_http(BODY, for_queue, digest_of(BODY)), sender)[1] == "crit"
    assert refused(replace(a_message(sender), door=Door.QUEUE), sender)[1] == "crit"
