"""XMLDSig: does the one enveloped signature cover exactly this document?

Position and algorithms are judged on the parsed tree by exact lists, the certificate is
looked up, and only then is anything canonicalised. What is returned is the tree that was
canonicalised and digested: docs/adr/0008-own-xml-signature-check.md says why it can be read.

Source: XML Signature 1.1 §3.2 and §4; Exclusive XML Canonicalization 1.0; standards §3.5.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from gateway.adapters import certificates
from gateway.adapters.xmldsig_form import (
    DIGESTS,
    ECDSA,
    ENVELOPED,
    METHODS,
    MORE,
    RSA,
    XMLENC,
    Claim,
    read,
    refusal,
)
from gateway.adapters.xmldsig_shape import judge_shape
from gateway.errors import Code
from gateway.markup import EXC_C14N, XMLDSIG
from gateway.verify import Proof, Trust

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_PKCS1 = padding.PKCS1v15()
# RFC 9231 §2.3.10: MGF1 with the hash of the method, and a salt as long as the hash
_PSS = {
    name: padding.PSS(mgf=padding.MGF1(each), salt_length=each.digest_size)
    for name, each in _HASHES.items()
}
_ASIDES = (etree.Comment, etree.PI, etree.Entity)


def check(document: etree._Element, trust: Trust) -> tuple[etree._Element, Proof]:
    """Check the enveloped signature of a parsed document, and take it out.

    1. Exactly one ``ds:Signature``, a direct child of the root.
    2. Its parts are exactly SignedInfo, SignatureValue and KeyInfo, in that order; one
       Reference, to the whole document; the transforms are enveloped-signature and
       exclusive C14N without comments, in that order and without parameters.
    3. The algorithms are on our lists.
    4. Exactly one X509Certificate, and ``trust`` lets it pass. Key values, key names and
       the like are hints that anybody can write: they are not read.
    5. The signature value and the digest are right, under the *registered* certificate.
    6. What was digested is the whole document, with content, and nothing in it is left
       out of the digest.

    Returns:
        The document itself, without its signature.

    Raises:
        Refusal: HANDTEKENING_ONTBREEKT or HANDTEKENING_POSITIE (1, 2);
            ALGORITME_VERBODEN (2, 3); CERTIFICAAT_ONBEKEND (4: none, several, or not
            registered) and what ``trust`` raises; HANDTEKENING_ONGELDIG (5, 6, and any
            failure of the libraries).
    """
    claim = read(document)
    certificate = trust(claim.fingerprint)
    key = certificates.public_key(certificate)
    if not claim.plain:
        judge_shape(claim.signature)
    _judge_readable(document)
    try:
        _verify_value(claim, key, _canonical(claim.signed_info))
        _take_out(claim.signature, document)
        digest = DIGESTS[claim.digest](_canonical(document)).digest()
    except MemoryError:
        raise
    except InvalidSignature:
        raise refusal(Code.HANDTEKENING_ONGELDIG, "waarde") from None
    except Exception:  # noqa: BLE001 - the libraries raise many kinds; all of them refuse
        raise refusal(Code.HANDTEKENING_ONGELDIG, "kern") from None
    if not hmac.compare_digest(digest, claim.digest_value):
        raise refusal(Code.HANDTEKENING_ONGELDIG, "digest")
    if len(document) == 0:
        raise refusal(Code.HANDTEKENING_POSITIE, "dekking")
    return document, Proof(certificate.fingerprint, claim.method)


def sign_xml(
    tree: etree._Element,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    certificate: x509.Certificate,
) -> bytes:
    """Sign the whole document as ``check`` wants it: SHA-256, exclusive C14N, enveloped.

    Returns:
        The document in UTF-8 with its declaration, in canonical form around the signature;
        ``tree`` is left as it was.
    """
    content = _canonical(tree)
    digest = base64.b64encode(hashlib.sha256(content).digest())
    rsa_key = isinstance(key, rsa.RSAPrivateKey)
    method = f"{MORE}rsa-sha256" if rsa_key else f"{MORE}ecdsa-sha256"
    signed_info = _SIGNED_INFO % (method.encode(), digest)
    # written without what its parent declares, digested with it: XML Exclusive C14N §2.1
    value = _signature(_OPEN_SIGNED_INFO_ALONE + signed_info, key)
    encoded = base64.b64encode(certificate.public_bytes(Encoding.DER))
    signature = _SIGNATURE % (signed_info, base64.b64encode(value), encoded)
    end = content.rindex(b"</")
    return b"".join((_DECLARATION, content[:end], signature, content[end:]))


_DECLARATION = b"<?xml version='1.0' encoding='UTF-8'?>\n"
_OPEN_SIGNED_INFO_ALONE = f'<ds:SignedInfo xmlns:ds="{XMLDSIG}">'.encode()
_SIGNED_INFO = (
    f'<ds:CanonicalizationMethod Algorithm="{EXC_C14N}"></ds:CanonicalizationMethod>'
    '<ds:SignatureMethod Algorithm="%s"></ds:SignatureMethod><ds:Reference URI=""><ds:Transforms>'
    f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
    f'<ds:Transform Algorithm="{EXC_C14N}"></ds:Transform></ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{XMLENC}sha256"></ds:DigestMethod>'
    "<ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>"
).encode()
_SIGNATURE = (
    f'<ds:Signature xmlns:ds="{XMLDSIG}"><ds:SignedInfo>%s'
    "<ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
    "<ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
).encode()


def _canonical(element: etree._Element) -> bytes:
    """The octets that are digested; those of SignedInfo see the namespaces around it."""
    written: bytes = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    return written


def _judge_readable(document: etree._Element) -> None:
    """Refuse what the canonical form leaves out, so that nothing unsigned can be read.

    The parser refuses these as well; whoever reads the tree relies on it.
    """
    has_dtd = document.getroottree().docinfo.internalDTD is not None
    if has_dtd or next(document.iter(*_ASIDES), None) is not None:
        raise refusal(Code.HANDTEKENING_POSITIE, "dekking")


def _take_out(signature: etree._Element, document: etree._Element) -> None:
    """The enveloped-signature transform: the element goes, the text after it stays."""
    tail = signature.tail
    if tail:
        before = signature.getprevious()
        if before is None:
            document.text = (document.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
    document.remove(signature)


def _verify_value(claim: Claim, key: certificates.PublicKey, said: bytes) -> None:
    """Raise InvalidSignature, or TypeError where the key is of another kind."""
    scheme, name = METHODS[claim.method]
    if scheme == ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(_as_der(claim.value, key.key_size), said, ec.ECDSA(_HASHES[name]))
    elif scheme != ECDSA and isinstance(key, rsa.RSAPublicKey):
        key.verify(claim.value, said, _PKCS1 if scheme == RSA else _PSS[name], _HASHES[name])
    else:
        raise TypeError("this key is not for this method")


def _as_der(value: bytes, key_bits: int) -> bytes:
    """From r and s side by side, each as long as the key (XML Signature 1.1 §6.4.3)."""
    length = (key_bits + 7) // 8
    if len(value) != 2 * length:
        raise InvalidSignature
    r, s = int.from_bytes(value[:length]), int.from_bytes(value[length:])
    return encode_dss_signature(r, s)


def _signature(said: bytes, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(said, _PKCS1, _HASHES["sha256"])
    length = (key.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(said, ec.ECDSA(_HASHES["sha256"])))
    return r.to_bytes(length) + s.to_bytes(length)
