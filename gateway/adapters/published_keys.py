"""Whom to believe: the gateway's published keys, read from ``GET /v1/sleutels`` or a file."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.audit import Verify
from gateway.errors import Fault
from gateway.message import Json

_ECDSA = ec.ECDSA(hashes.SHA256())


def verifier(*published: Json) -> Verify:
    """Checks signatures with the EC P-256 keys of one or more JWKS, old and new together.

    A key of another kind is not known: it signs no evidence.

    Raises:
        Fault: one of them is no JWKS.
    """
    known = {kid: key for document in published for kid, key in _keys(document)}

    def verify(kid: str, text: bytes, signature: bytes) -> bool | None:
        key = known.get(kid)
        return None if key is None else _holds(key, text, signature)

    return verify


def _holds(key: ec.EllipticCurvePublicKey, text: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, text, _ECDSA)
    except InvalidSignature:
        return False
    return True


def _keys(document: Json) -> Iterable[tuple[str, ec.EllipticCurvePublicKey]]:
    try:
        return [
            (str(each["kid"]), _point(each))
            for each in document["keys"]
            if each["kty"] == "EC" and each["crv"] == "P-256"
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("this is no set of published keys (GET /v1/sleutels)") from error


def _point(told: Json) -> ec.EllipticCurvePublicKey:
    """Raises ValueError where the point is not on the curve."""
    x, y = _number(told["x"]), _number(told["y"])
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
