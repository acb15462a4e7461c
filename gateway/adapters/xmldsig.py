"""XMLDSig: does the one enveloped signature cover exactly this document?

Position and algorithms are judged on the parsed tree by exact lists, the certificate is
looked up, and only then is anything canonicalised. What is returned is the tree that the
library digested, never the tree that arrived.

Source: XML Signature 1.1 §4; standards §3.1, §3.2 and §3.5.
"""

from __future__ import annotations

import base64
import hashlib
import logging

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest
from signxml.exceptions import InvalidSignature as SignatureMismatch
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from gateway.adapters import certificates
from gateway.errors import Code, Finding, Refusal
from gateway.routing.directory import Certificate
from gateway.verify import Proof, Trust
from gateway.xml import EXC_C14N, XMLDSIG

# At DEBUG the library prints what it canonicalises, which is the message itself. This
# must hold for whoever imports this module, so it is not left to the start of a process.
logging.getLogger("signxml").setLevel(logging.CRITICAL)

SIGNATURE_METHODS = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
    }
)
DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
ENVELOPED = f"{XMLDSIG}enveloped-signature"

_SIGNATURE_URIS = frozenset(method.value for method in SIGNATURE_METHODS)
_DIGEST_URIS = frozenset(digest.value for digest in DIGESTS)
_LONGEST_BASE64 = 8192


def _ds(name: str) -> str:
    return f"{{{XMLDSIG}}}{name}"


_SIGNATURE = _ds("Signature")
_KEY_INFO_PARTS = frozenset({_ds("X509Data"), _ds("KeyName"), _ds("KeyValue")})


def check(document: etree._Element, trust: Trust) -> tuple[etree._Element, Proof]:
    """Check the enveloped signature of a parsed document, which is used up.

    1. Exactly one ``ds:Signature``, a direct child of the root.
    2. Its parts are exactly SignedInfo, SignatureValue and KeyInfo, in that order; one
       Reference, to the whole document; the transforms are enveloped-signature and
       exclusive C14N without comments, in that order and without parameters.
    3. The algorithms are on our lists.
    4. Exactly one X509Certificate, and ``trust`` lets it pass. Key values, key names and
       the like are hints that anybody can write: they are not read.
    5. The signature value and the digest are right, under the *registered* certificate.
    6. What was digested is the same root, with content, without a signature.

    Returns:
        The root of the signed content, with the line numbers of the document as sent.

    Raises:
        Refusal: HANDTEKENING_ONTBREEKT or HANDTEKENING_POSITIE (1, 2);
            ALGORITME_VERBODEN (2, 3); CERTIFICAAT_ONBEKEND (4: none, several, or not
            registered) and what ``trust`` raises; HANDTEKENING_ONGELDIG (5, 6, and any
            failure of the library).
    """
    signature = _only_signature(document)
    signed_info, key_info = _parts(signature)
    method = _judge_signed_info(signed_info)
    certificate = trust(_claimed_fingerprint(key_info))
    signed = _verified(document, certificate)
    document.remove(signature)
    _keep_lines(document, signed)
    return signed, Proof(certificate.fingerprint, method)


def sign_xml(
    tree: etree._Element,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    certificate: x509.Certificate,
) -> bytes:
    """Sign the whole document as ``check`` wants it: SHA-256, exclusive C14N, enveloped.

    Returns:
        The document in UTF-8 with its declaration; ``tree`` is left as it was.
    """
    rsa_key = isinstance(key, rsa.RSAPrivateKey)
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.RSA_SHA256 if rsa_key else SignatureMethod.ECDSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(tree, key=key, cert=[certificate])
    written: bytes = etree.tostring(signed, xml_declaration=True, encoding="UTF-8")
    return written


def _refusal(code: Code, rule: str, element: etree._Element | None = None) -> Refusal:
    line = None if element is None else element.sourceline
    return Refusal(code, Finding(rule, "/*/Signature", line))


def _only_signature(document: etree._Element) -> etree._Element:
    found = list(document.iter(_SIGNATURE))
    if not found:
        raise Refusal(Code.HANDTEKENING_ONTBREEKT, Finding("ontbreekt", "/*/Signature"))
    if len(found) > 1:
        raise _refusal(Code.HANDTEKENING_POSITIE, "aantal", found[1])
    if found[0].getparent() is not document:
        raise _refusal(Code.HANDTEKENING_POSITIE, "plaats", found[0])
    return found[0]


def _children(element: etree._Element, *names: str) -> list[etree._Element]:
    """The children, if they are exactly these; no parameters, no extensions."""
    found = list(element)
    if [child.tag for child in found] != [_ds(name) for name in names]:
        raise _refusal(Code.HANDTEKENING_POSITIE, "onderdelen", element)
    return found


def _parts(signature: etree._Element) -> tuple[etree._Element, etree._Element]:
    if signature.find(_ds("KeyInfo")) is None:
        raise _refusal(Code.CERTIFICAAT_ONBEKEND, "geen-certificaat", signature)
    signed_info, value, key_info = _children(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    _decoded(value, Code.HANDTEKENING_ONGELDIG)
    return signed_info, key_info


def _judge_signed_info(signed_info: etree._Element) -> str:
    """Judge everything that steers the computation; returns the signature method."""
    if len(signed_info.findall(_ds("Reference"))) != 1:
        raise _refusal(Code.HANDTEKENING_POSITIE, "aantal-verwijzingen", signed_info)
    canonicalization, method, reference = _children(
        signed_info, "CanonicalizationMethod", "SignatureMethod", "Reference"
    )
    _judge_algorithm(canonicalization, frozenset({EXC_C14N}), "canonicalisatie")
    algorithm = _judge_algorithm(method, _SIGNATURE_URIS, "handtekening")
    if reference.get("URI") != "" or reference.get("Type") is not None:
        raise _refusal(Code.HANDTEKENING_POSITIE, "verwijzing", reference)
    transforms, digest, value = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    steps = list(transforms)
    if [step.get("Algorithm") for step in steps] != [ENVELOPED, EXC_C14N]:
        raise _refusal(Code.ALGORITME_VERBODEN, "transformatie", transforms)
    for step in steps:
        _judge_algorithm(step, frozenset({ENVELOPED, EXC_C14N}), "transformatie")
    _judge_algorithm(digest, _DIGEST_URIS, "digest")
    _decoded(value, Code.HANDTEKENING_ONGELDIG)
    return algorithm


def _judge_algorithm(element: etree._Element, allowed: frozenset[str], rule: str) -> str:
    algorithm: str | None = element.get("Algorithm")
    # A child would be a parameter (HMACOutputLength, InclusiveNamespaces, XPath, …).
    if algorithm is None or algorithm not in allowed or len(element):
        raise _refusal(Code.ALGORITME_VERBODEN, rule, element)
    return algorithm


def _claimed_fingerprint(key_info: etree._Element) -> str:
    if any(part.tag not in _KEY_INFO_PARTS for part in key_info):
        raise _refusal(Code.HANDTEKENING_POSITIE, "sleutelgegevens", key_info)
    found = list(key_info.iter(_ds("X509Certificate")))
    if len(found) != 1 or found[0].getparent().tag != _ds("X509Data"):
        rule = "aantal-certificaten" if found else "geen-certificaat"
        raise _refusal(Code.CERTIFICAAT_ONBEKEND, rule, key_info)
    return hashlib.sha256(_decoded(found[0], Code.CERTIFICAAT_ONBEKEND)).hexdigest()


def _decoded(element: etree._Element, code: Code) -> bytes:
    text = element.text or ""
    try:
        if len(element) or not 0 < len(text) <= _LONGEST_BASE64:
            raise _refusal(code, "base64", element)
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:  # binascii.Error is one
        raise _refusal(code, "base64", element) from None


def _verified(document: etree._Element, certificate: Certificate) -> etree._Element:
    configuration = SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=1,
        signature_methods=SIGNATURE_METHODS,
        digest_algorithms=DIGESTS,
        # Key values are unsigned hints and are not used; see step 4.
        ignore_ambiguous_key_info=True,
        # The register judged validity at the time of receipt; the library must not
        # judge it again by a clock of its own.
        verification_time=certificate.not_before,
        default_reference_c14n_method=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    loaded = certificates.loaded(certificate)
    try:
        # A new verifier each time: it keeps policy and certificate on itself.
        result = XMLVerifier().verify(document, x509_cert=loaded, expect_config=configuration)
    except MemoryError:
        raise
    except InvalidDigest:
        raise _refusal(Code.HANDTEKENING_ONGELDIG, "digest") from None
    except SignatureMismatch:
        raise _refusal(Code.HANDTEKENING_ONGELDIG, "waarde") from None
    except Exception:  # noqa: BLE001 - the library raises many kinds; all of them refuse
        raise _refusal(Code.HANDTEKENING_ONGELDIG, "kern") from None
    return _signed_content(document, result)


def _signed_content(
    document: etree._Element, result: VerifyResult | list[VerifyResult]
) -> etree._Element:
    signed = result.signed_xml if isinstance(result, VerifyResult) else None
    if (
        signed is None
        or signed.tag != document.tag
        or len(signed) == 0
        or next(signed.iter(_SIGNATURE), None) is not None
    ):
        raise _refusal(Code.HANDTEKENING_POSITIE, "dekking")
    return signed


def _keep_lines(document: etree._Element, signed: etree._Element) -> None:
    # Canonicalisation drops line breaks inside tags and before the root, so lines only
    # ever shift down: where root and last element kept theirs, all did. Else they are
    # put back, since people look for mistakes in what they sent.
    if document.sourceline == signed.sourceline and (
        _last(document).sourceline == _last(signed).sourceline
    ):
        return
    try:
        for sent, canonical in zip(document.iter(), signed.iter(), strict=True):
            canonical.sourceline = sent.sourceline
    except OverflowError:
        return  # libxml2 keeps lines up to 65 535; the rest stays as canonicalised
    except ValueError:
        raise _refusal(Code.HANDTEKENING_POSITIE, "dekking") from None


def _last(element: etree._Element) -> etree._Element:
    while len(element):
        element = element[-1]
    return element
