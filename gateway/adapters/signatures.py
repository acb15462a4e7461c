"""Both kinds of signature behind one name: for what comes in and for what leaves."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from gateway.adapters import jades, xmldsig
from gateway.adapters.keys import GatewayKeys
from gateway.message import Received
from gateway.verify import Proof, Trust


class Signatures:
    """The check behind the station verify (``gateway.verify.SignatureCheck``)."""

    def xml(self, document: etree._Element, trust: Trust) -> tuple[etree._Element, Proof]:
        """See ``xmldsig.check``."""
        return xmldsig.check(document, trust)

    def json(self, received: Received, trust: Trust) -> Proof:
        """See ``jades.check``."""
        return jades.check(received, trust)


@dataclass(frozen=True, slots=True)
class Seal:
    """Signs what leaves, with the newest of the gateway's own keys (``compose.Sealer``)."""

    keys: GatewayKeys

    def xml(self, tree: etree._Element) -> bytes:
        """The document with an enveloped XMLDSig (RSA-SHA256), UTF-8."""
        newest = self.keys.rsa[0]
        return xmldsig.sign_xml(tree, newest.key, newest.certificate)

    def http_json(self, body: bytes) -> tuple[str, str]:
        """``Digest`` header and detached JAdES (PS256) over it."""
        newest = self.keys.rsa[0]
        return jades.sign_digest(body, newest.key, newest.certificate)

    def queue_json(self, body: bytes, algorithm: str) -> str:
        """Detached JWS (ES256 or PS256) over exactly ``body``, with a published ``kid``.

        Raises:
            ValueError: Another algorithm.
        """
        newest = self.keys.ec[0] if algorithm == "ES256" else self.keys.rsa[0]
        return jades.sign_body(body, newest.key, newest.kid, algorithm)
