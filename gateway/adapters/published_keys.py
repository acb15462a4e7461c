"""Whom to believe: the gateway's published keys, read from ``GET /v1/sleutels`` or a file."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.adapters.jades import holds
from gateway.audit import Verify
from gateway.errors import Fault
from gateway.message import Json


def verifier(*published: Json) -> Verify:
    """Checks signatures with the RSA keys of one or more JWKS, old and new together.

    Raises:
        Fault: one of them is no JWKS.
    """
    known = {kid: key for document in published for kid, key in _keys(document)}

    def verify(kid: str, text: bytes, signature: bytes) -> bool | None:
        key = known.get(kid)
        return None if key is None else holds(key, "PS256", signature, text)

    return verify


def _keys(document: Json) -> Iterable[tuple[str, rsa.RSAPublicKey]]:
    try:
        return [
            (
                str(each["kid"]),
                rsa.RSAPublicNumbers(_number(each["e"]), _number(each["n"])).public_key(),
            )
            for each in document["keys"]
            if each["kty"] == "RSA"
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("this is no set of published keys (GET /v1/sleutels)") from error


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
