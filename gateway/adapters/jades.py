"""Detached JWS: does this signature cover exactly this body?

Two ways of covering it:

* over HTTP, JAdES as the ADR module writes it: the signature covers the ``Digest`` header
  (``sigD``, mechanism HttpHeaders), and that header covers the body;
* on a queue, a plain detached JWS with ``b64: false`` over the body itself.

Source: NLgov API Design Rules, module signing 1.0.0; ETSI TS 119 182-1 §5.1.10;
RFC 7515 appendix F; RFC 7797.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json as stdlib_json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import json
from gateway.adapters import certificates
from gateway.errors import Code, Finding, Refusal
from gateway.message import Door, Json, Received
from gateway.verify import Proof, Trust

HTTP_HEADERS = "http://uri.etsi.org/19182/HttpHeaders"
SIG_D = {"mId": HTTP_HEADERS, "pars": ["digest"]}

LONGEST_JWS = 16_384
"""Characters; room for a chain of three RSA certificates."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_DIGEST = re.compile(r"(?i:sha-256)=([A-Za-z0-9+/]{43}=)")
_COORDINATE_BYTES = 32  # RFC 7518 §3.4: P-256
_ECDSA = ec.ECDSA(hashes.SHA256())
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def one_signature(values: Sequence[str]) -> str | None:
    """The one value of a header that may appear once; None when it is not there.

    Raises:
        Refusal: HANDTEKENING_ONTBREEKT when there are several: then none counts.

    Source: ADR module signing: more than one such header is invalid.
    """
    if len(values) > 1:
        raise Refusal(Code.HANDTEKENING_ONTBREEKT, Finding("aantal", ""))
    return values[0] if values else None


def check(received: Received, trust: Trust) -> Proof:
    """Check the detached signature that came with a JSON body.

    1. One compact JWS with an empty payload part, of a form that can be read one way.
    2. ``alg`` is allowed at this door; ``b64`` is false; ``crit`` names exactly what we
       understand; ``sigD`` is exactly ours at the HTTP door and absent at the queue.
    3. The certificate is named by ``x5t#S256`` or ``x5c`` (where both: the same one),
       and ``trust`` lets it pass.
    4. HTTP: the ``Digest`` header matches the body. Then the signature is right.

    Raises:
        Refusal: HANDTEKENING_ONTBREEKT (nothing there); ALGORITME_VERBODEN (2: alg);
            CERTIFICAAT_ONBEKEND (3: none named) and what ``trust`` raises;
            HANDTEKENING_ONGELDIG (everything else).
    """
    if not received.signature:
        raise Refusal(Code.HANDTEKENING_ONTBREEKT, Finding("ontbreekt", ""))
    protected, signature = _split(received.signature)
    header = _header(protected)
    over_http = received.door is not Door.QUEUE
    algorithm = _judge_header(header, over_http=over_http)
    certificate = trust(_claimed_fingerprint(header))
    key = certificates.public_key(certificate)
    payload = _digest_payload(received) if over_http else received.body
    if not holds(key, algorithm, signature, protected.encode() + b"." + payload):
        raise _invalid("waarde")
    return Proof(certificate.fingerprint, algorithm)


def sign_digest(body: bytes, key: rsa.RSAPrivateKey, cert: x509.Certificate) -> tuple[str, str]:
    """Sign a body for HTTP: PS256 over its digest.

    Returns:
        The values of the headers ``Digest`` and ``Payload-Signature``.
    """
    digest = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
    protected = _protected("PS256", cert, over_http=True)
    return digest, _jws(protected, f"digest: {digest}".encode(), key, "PS256")


def sign_body(
    body: bytes, key: PrivateKey, signer: x509.Certificate | str, algorithm: str = "ES256"
) -> str:
    """Sign a body for a queue: ES256 or PS256 over exactly these bytes.

    Args:
        body: What is signed, to the byte.
        key: An EC P-256 key for ES256, an RSA key for PS256.
        signer: The certificate (named by ``x5t#S256``) or the ``kid`` of a published key.
        algorithm: ``ES256`` or ``PS256``.

    Returns:
        The value of the header ``payload-signature``.
    """
    return _jws(_protected(algorithm, signer, over_http=False), body, key, algorithm)


def holds(key: certificates.PublicKey, algorithm: str, signature: bytes, signed: bytes) -> bool:
    """Whether this is a signature over ``signed``; False also where key and alg differ."""
    try:
        if algorithm == "PS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, _PSS, hashes.SHA256())
            return True
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(key.curve, ec.SECP256R1) or len(signature) != 2 * _COORDINATE_BYTES:
                return False
            r = int.from_bytes(signature[:_COORDINATE_BYTES])
            s = int.from_bytes(signature[_COORDINATE_BYTES:])
            key.verify(encode_dss_signature(r, s), signed, _ECDSA)
            return True
    except (InvalidSignature, ValueError):
        return False
    return False


def covers(jws: str, payload: bytes, key: certificates.PublicKey, algorithm: str) -> bool:
    """Whether this detached JWS is the key's signature over ``payload``.

    For the receiving side of what ``sign_digest`` and ``sign_body`` make: the payload is
    ``digest: `` and the ``Digest`` header over HTTP, and the body itself at a queue.

    Raises:
        Refusal: HANDTEKENING_ONGELDIG when it is no detached JWS.
    """
    protected, signature = _split(jws)
    return holds(key, algorithm, signature, protected.encode() + b"." + payload)


def base64url(content: bytes) -> str:
    """RFC 7515 §2: base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def thumbprint(cert: x509.Certificate) -> str:
    """``x5t#S256`` (RFC 7515 §4.1.8)."""
    return base64url(cert.fingerprint(hashes.SHA256()))


def claimed_fingerprint(header: Json) -> str | None:
    """Which certificate a JOSE header names, 64 hex digits; None for none or for two.

    ``x5t#S256`` or the first of ``x5c``. Keys inside the header (``jwk``) and places to
    get one (``jku``, ``x5u``) are not looked at: anybody can write those.
    """
    claims: set[str] = set()
    if "x5t#S256" in header:
        named = _decoded(header["x5t#S256"])
        claims.add(named.hex() if named and len(named) == hashlib.sha256().digest_size else "")
    if "x5c" in header:
        chain = header["x5c"]
        first = chain[0] if isinstance(chain, list) and chain else None
        claims.add(_hash_of_base64(first) if isinstance(first, str) else "")
    return claims.pop() or None if len(claims) == 1 else None


def _invalid(rule: str) -> Refusal:
    return Refusal(Code.HANDTEKENING_ONGELDIG, Finding(rule, ""))


def _split(jws: str) -> tuple[str, bytes]:
    parts = jws.split(".") if len(jws) <= LONGEST_JWS else []
    if len(parts) != 3 or parts[1] != "":  # noqa: PLR2004 - header, payload, signature
        raise _invalid("vorm")
    signature = _decoded(parts[2])
    if signature is None:
        raise _invalid("vorm")
    return parts[0], signature


def _decoded(text: object) -> bytes | None:
    """Strict base64url: the one way to write these bytes, or None."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        return None
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return content if base64url(content) == text else None


def _hash_of_base64(text: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()
    except ValueError:
        return ""


def _header(protected: str) -> Json:
    content = _decoded(protected)
    if content is None:
        raise _invalid("vorm")
    try:
        return json.parse(content)  # no duplicate names, no odd numbers
    except Refusal:
        raise _invalid("kop") from None


def _judge_header(header: Json, *, over_http: bool) -> str:
    """Judge everything that steers the computation; returns the algorithm."""
    allowed = {"PS256"} if over_http else {"PS256", "ES256"}
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise Refusal(Code.ALGORITME_VERBODEN, Finding("alg", ""))
    if header.get("b64") is not False:
        raise _invalid("b64")
    understood = ["b64", "sigD"] if over_http else ["b64"]
    critical: Any = header.get("crit")
    if not isinstance(critical, list) or critical not in (understood, understood[::-1]):
        raise _invalid("crit")
    if header.get("sigD") != (SIG_D if over_http else None):
        raise _invalid("sigD")
    return algorithm


def _claimed_fingerprint(header: Json) -> str:
    if "x5t#S256" not in header and "x5c" not in header:
        raise Refusal(Code.CERTIFICAAT_ONBEKEND, Finding("geen-certificaat", ""))
    claimed = claimed_fingerprint(header)
    if claimed is None:
        raise _invalid("x5t#S256")
    return claimed


def _digest_payload(received: Received) -> bytes:
    """What JAdES signs: the header line, lower-cased name and value as sent."""
    stated = _DIGEST.fullmatch(received.digest or "")
    if stated is None:
        raise _invalid("digest")
    actual = base64.b64encode(hashlib.sha256(received.body).digest()).decode()
    if not hmac.compare_digest(stated[1], actual):
        raise _invalid("digest")
    return f"digest: {received.digest}".encode()


@lru_cache(maxsize=64)
def _protected(algorithm: str, signer: x509.Certificate | str, *, over_http: bool) -> str:
    header: Json = {"alg": algorithm, "b64": False}
    header["crit"] = ["b64", "sigD"] if over_http else ["b64"]
    if isinstance(signer, str):
        header["kid"] = signer
    else:
        header["x5t#S256"] = thumbprint(signer)
        if over_http:  # JAdES baseline: the certificate itself comes along
            header["x5c"] = [base64.b64encode(signer.public_bytes(Encoding.DER)).decode()]
    if over_http:
        header["sigD"] = SIG_D
    return base64url(stdlib_json.dumps(header, separators=(",", ":")).encode())


def _jws(protected: str, payload: bytes, key: PrivateKey, algorithm: str) -> str:
    signed = protected.encode() + b"." + payload
    if algorithm == "PS256" and isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed, _PSS, hashes.SHA256())
    elif algorithm == "ES256" and isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(signed, _ECDSA))
        signature = r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)
    else:
        raise ValueError("this key cannot sign with this algorithm")
    return f"{protected}..{base64url(signature)}"
