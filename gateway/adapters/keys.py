"""The gateway's own keys: it is a party too, with several keys during a rollover.

A folder holds generations ``0001``, ``0002``, …: per generation one file for the RSA key
(XML and PS256) and one for the EC P-256 key (ES256, tokens and evidence), each with its
self-signed certificate. The newest generation signs; all are published and verify. A key
retires when an operator removes its files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from gateway.adapters.certificates import SMALLEST_RSA_BITS, oin_of
from gateway.adapters.jades import base64url, thumbprint
from gateway.adapters.secret_files import write_secret
from gateway.errors import Fault
from gateway.message import Json, Oin

RSA_BITS = 3072
VALID_FOR = timedelta(days=3 * 365)

_FILE = re.compile(r"(rsa|ec)-([0-9]{4})\.pem")
_PEM = serialization.Encoding.PEM
_OTHERS = 0o007  # permission bits of everybody else

RsaKey = rsa.RSAPrivateKey
EcKey = ec.EllipticCurvePrivateKey
Key = TypeVar("Key", RsaKey, EcKey)


class KeysUnusable(Fault):
    """The folder does not hold keys that this gateway may sign with."""


@dataclass(frozen=True, slots=True)
class SigningKey(Generic[Key]):
    """One key of the gateway, with its certificate.

    Attributes:
        kid: JWK thumbprint (RFC 7638), as published.
    """

    kid: str
    key: Key
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class GatewayKeys:
    """Every live key, newest first; never empty."""

    oin: Oin
    rsa: tuple[SigningKey[RsaKey], ...]
    ec: tuple[SigningKey[EcKey], ...]

    @classmethod
    def load(cls, folder: Path) -> GatewayKeys:
        """Read all generations.

        Raises:
            KeysUnusable: No key of either kind, a file that others may read, a file that
                is not what it should be, or certificates of different parties.
        """
        names = sorted((p.name for p in folder.glob("*.pem")), reverse=True)
        rsa_keys = tuple(_read_rsa(folder / name) for name in names if _kind(name) == "rsa")
        ec_keys = tuple(_read_ec(folder / name) for name in names if _kind(name) == "ec")
        if not rsa_keys or not ec_keys:
            raise KeysUnusable("no signing keys in the folder; make them first")
        owners = {oin_of(known.certificate) for known in rsa_keys}
        owners |= {oin_of(known.certificate) for known in ec_keys}
        if len(owners) != 1:
            raise KeysUnusable("the keys in the folder belong to different parties")
        return cls(owners.pop(), rsa_keys, ec_keys)

    @classmethod
    def create(cls, folder: Path, oin: Oin, *, at: datetime | None = None) -> GatewayKeys:
        """Make the first generation.

        Args:
            folder: Made where it is not there, for the owner only.
            oin: The gateway's own number, in the subject of its certificates.
            at: Begin of validity; now by default.

        Raises:
            KeysUnusable: There are keys already, which are left as they are, or the new ones
                cannot be written.
        """
        if folder.exists() and any(folder.glob("*.pem")):
            raise KeysUnusable("there are keys in the folder already")
        return cls._add(folder, oin, 1, at)

    @classmethod
    def renew(cls, folder: Path, *, at: datetime | None = None) -> GatewayKeys:
        """Add a generation, which signs from now on; the older ones stay published.

        Raises:
            KeysUnusable: As ``load``, or it cannot be written; a full disk leaves nothing of it.
        """
        owner = cls.load(folder).oin
        newest = max(int(found[2]) for p in folder.glob("*.pem") if (found := _match(p.name)))
        return cls._add(folder, owner, newest + 1, at)

    @classmethod
    def complete(cls, folder: Path, *, at: datetime | None = None) -> bool:
        """Make the EC key that a first generation lacks; only for a folder that never signed.

        Returns:
            Whether it did: where there is any other key, all stays as it is.

        Raises:
            KeysUnusable: The RSA key is not what it should be, or nothing can be written.
        """
        if [path.name for path in folder.glob("*.pem")] != [_name("rsa", 1)]:
            return False
        owner = oin_of(_read_rsa(folder / _name("rsa", 1)).certificate)
        _write_ec(folder, owner, 1, _begin(at))
        return True

    @classmethod
    def _add(cls, folder: Path, oin: Oin, number: int, at: datetime | None) -> GatewayKeys:
        begin = _begin(at)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        path = folder / _name("rsa", number)
        _write(path, rsa_key, _certificate(rsa_key, oin, begin))
        try:
            _write_ec(folder, oin, number, begin)
        except KeysUnusable:
            path.unlink()  # half a generation would sign at the next start, after we said it failed
            raise
        return cls.load(folder)

    def published(self) -> Json:
        """The public keys as a JWKS (RFC 7517), newest first of each kind."""
        return {
            "keys": [
                {
                    **_public_jwk(known.key.public_key()),
                    "kid": known.kid,
                    "use": "sig",
                    "alg": algorithm,
                    "x5t#S256": thumbprint(known.certificate),
                    "x5c": [_standard_base64(known.certificate)],
                }
                for algorithm, group in (("ES256", self.ec), ("PS256", self.rsa))
                for known in group
            ]
        }


def _begin(at: datetime | None) -> datetime:
    return (at or datetime.now(UTC)).replace(microsecond=0)


def _name(kind: str, number: int) -> str:
    return f"{kind}-{number:04}.pem"


def _match(name: str) -> re.Match[str] | None:
    return _FILE.fullmatch(name)


def _kind(name: str) -> str:
    found = _match(name)
    if found is None:
        raise KeysUnusable("the folder holds a .pem file that is not a signing key")
    return found[1]


def _read(path: Path) -> tuple[object, x509.Certificate]:
    try:
        if path.stat().st_mode & _OTHERS:
            raise KeysUnusable(f"{path.name} may be read by others")
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
    except (OSError, ValueError, TypeError) as error:
        raise KeysUnusable(f"{path.name} cannot be read") from error
    if key.public_key() != certificate.public_key():
        raise KeysUnusable(f"{path.name} holds a certificate of another key")
    return key, certificate


def _read_rsa(path: Path) -> SigningKey[RsaKey]:
    key, certificate = _read(path)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < SMALLEST_RSA_BITS:
        raise KeysUnusable(f"{path.name} does not hold an RSA key of 2048 bits or more")
    return SigningKey(_kid(key.public_key()), key, certificate)


def _read_ec(path: Path) -> SigningKey[EcKey]:
    key, certificate = _read(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeysUnusable(f"{path.name} does not hold a P-256 key")
    return SigningKey(_kid(key.public_key()), key, certificate)


def _write_ec(folder: Path, oin: Oin, number: int, begin: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder / _name("ec", number), key, _certificate(key, oin, begin))


def _write(path: Path, key: RsaKey | EcKey, certificate: x509.Certificate) -> None:
    """Under its own name the file is whole or not there; raises KeysUnusable."""
    content = key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(_PEM)
    try:
        write_secret(path, content)
    except FileExistsError as error:
        raise KeysUnusable(f"{path.name} is there already") from error
    except OSError as error:
        raise KeysUnusable(f"{path.name} cannot be written ({error.strerror})") from error


def _certificate(key: RsaKey | EcKey, oin: Oin, begin: datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.SERIAL_NUMBER, oin),
            x509.NameAttribute(NameOID.COMMON_NAME, "Berichtengateway schuldhulp"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _unsigned(number: int, length: int | None = None) -> str:
    """RFC 7518 §2: Base64urlUInt, or a coordinate of fixed length."""
    return base64url(number.to_bytes(length or (number.bit_length() + 7) // 8))


def _public_jwk(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The members of the JWK that are required, and those only."""
    if isinstance(key, rsa.RSAPublicKey):
        modulus = key.public_numbers()
        return {"kty": "RSA", "n": _unsigned(modulus.n), "e": _unsigned(modulus.e)}
    point = key.public_numbers()
    size = (key.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _unsigned(point.x, size),
        "y": _unsigned(point.y, size),
    }


def _kid(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    """RFC 7638: SHA-256 over the required members, sorted, without spaces."""
    required = json.dumps(_public_jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url(hashlib.sha256(required.encode()).digest())


def _standard_base64(certificate: x509.Certificate) -> str:
    """RFC 7517 §4.7: standard base64 over DER, not base64url."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
