"""X.509 certificates: from PEM to what the directory keeps, and back to a usable key."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.errors import Code, Finding, Refusal
from gateway.message import Oin
from gateway.routing.directory import Certificate

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

SMALLEST_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
OIN_DIGITS = 20


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the DER form, 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def read(text: str | bytes) -> Certificate:
    """Read exactly one PEM certificate into what the directory keeps.

    Raises:
        ValueError: Not one certificate, or a key that we never accept.
    """
    found = x509.load_pem_x509_certificates(text.encode() if isinstance(text, str) else text)
    if len(found) != 1:
        raise ValueError("expected exactly one certificate")
    certificate = found[0]
    if _usable_key(certificate) is None:
        raise ValueError("expected an RSA key of 2048 bits or more, or a NIST P curve")
    return Certificate(
        fingerprint=fingerprint(certificate),
        pem=pem(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        signs=_signs(certificate),
    )


def pem(certificate: x509.Certificate) -> str:
    """The PEM form."""
    return certificate.public_bytes(Encoding.PEM).decode()


def oin_of(certificate: x509.Certificate) -> Oin:
    """Read the organisation number from a PKIoverheid certificate.

    Returns:
        20 digits from ``subject.serialNumber``, leading zeros kept.

    Raises:
        ValueError: The attribute is absent, repeated, or not 20 digits.

    Source: Digikoppeling Beveiligingsstandaarden PKI001.
    """
    found = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    number = str(found[0].value) if len(found) == 1 else ""
    if len(number) != OIN_DIGITS or not (number.isascii() and number.isdigit()):
        raise ValueError("subject.serialNumber is not one OIN")
    return Oin(number)


@lru_cache(maxsize=4096)
def loaded(certificate: Certificate) -> x509.Certificate:
    """The certificate itself; loaded once per registration.

    Raises:
        Refusal: CERTIFICAAT_ONGESCHIKT where the register does not hold what its
            fingerprint says, or a key that is too weak.
    """
    found = x509.load_pem_x509_certificate(certificate.pem.encode())
    if fingerprint(found) != certificate.fingerprint or _usable_key(found) is None:
        raise Refusal(Code.CERTIFICAAT_ONGESCHIKT, Finding("sleutel", ""))
    return found


@lru_cache(maxsize=4096)
def public_key(certificate: Certificate) -> PublicKey:
    """The key of a registered certificate; loaded once per registration.

    Raises:
        Refusal: As ``loaded``.
    """
    key = _usable_key(loaded(certificate))
    if key is None:
        raise Refusal(Code.CERTIFICAAT_ONGESCHIKT, Finding("sleutel", ""))
    return key


def _usable_key(certificate: x509.Certificate) -> PublicKey | None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= SMALLEST_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES):
        return key
    return None


def _signs(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False  # RFC 5280 would allow every use; we want it said
    return usage.digital_signature
