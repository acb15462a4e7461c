"""The gateway's own keys and the certificates of parties: made, read, renewed, published."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from fixtures.pki import LONG_AGO, Pki, Variant
from gateway.adapters import certificates
from gateway.adapters.keyring import make_missing
from gateway.adapters.keys import GatewayKeys, KeysUnusable
from gateway.message import Oin

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
OIN = Oin("00000099000000009000")
PEM = serialization.Encoding.PEM


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gateway") / "sleutels"
    GatewayKeys.create(folder, OIN, at=NOON)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    for file in made.iterdir():
        copy = tmp_path / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o600)
    return tmp_path


def a_certificate(key: object, *serial_numbers: str, usage: bool | None = True) -> bytes:
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, n) for n in serial_numbers])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LONG_AGO)
        .not_valid_after(NOON)
    )
    if usage is not None:
        flags = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(x509.KeyUsage(digital_signature=usage, **flags), True)  # noqa: FBT003
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM)


# Certificates of parties


def test_a_certificate_is_read_into_what_the_directory_keeps(pki: Pki) -> None:
    identity = pki.party("00000099000000001000")

    known = certificates.read(identity.pem)

    der = identity.cert.public_bytes(serialization.Encoding.DER)
    assert known.fingerprint == hashlib.sha256(der).hexdigest()
    assert (known.not_before, known.signs) == (LONG_AGO, True)
    assert certificates.loaded(known) == identity.cert
    assert certificates.public_key(known) == identity.cert.public_key()
    assert certificates.oin_of(identity.cert) == "00000099000000001000"


def test_a_certificate_signs_only_where_key_usage_says_so(pki: Pki) -> None:
    key = pki.party("00000099000000001000").key

    assert certificates.read(a_certificate(key, OIN)).signs
    assert not certificates.read(a_certificate(key, OIN, usage=False)).signs
    assert not certificates.read(a_certificate(key, OIN, usage=None)).signs
    forbidden = pki.party("00000099000000001000", Variant.NOT_FOR_SIGNING)
    assert not forbidden.registered.signs


def test_a_weak_or_unknown_kind_of_key_is_not_read() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    odd = ec.generate_private_key(ec.SECP256K1())

    for key in (weak, odd):
        with pytest.raises(ValueError, match="RSA key of 2048"):
            certificates.read(a_certificate(key, OIN))


@pytest.mark.parametrize("pem", ["", "geen certificaat"])
def test_what_is_no_certificate_is_not_read(pem: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever sentence the library has
        certificates.read(pem)


def test_two_certificates_in_one_file_are_not_read(pki: Pki) -> None:
    pem = pki.party("00000099000000001000").pem

    with pytest.raises(ValueError, match="exactly one"):
        certificates.read(pem + pem)


@pytest.mark.parametrize("numbers", [(), ("123",), (OIN, OIN), ("0000009900000000900x",)])
def test_a_subject_without_exactly_one_oin_names_nobody(pki: Pki, numbers: tuple[str, ...]) -> None:
    key = pki.party("00000099000000001000").key
    found = x509.load_pem_x509_certificate(a_certificate(key, *numbers))

    with pytest.raises(ValueError, match="not one OIN"):
        certificates.oin_of(found)


# The gateway's own keys


def test_new_keys_are_for_the_owner_only_and_name_the_gateway(made: Path) -> None:
    keys = GatewayKeys.load(made)

    assert keys.oin == OIN
    assert keys.rsa[0].key.key_size == 3072
    assert isinstance(keys.ec[0].key.curve, ec.SECP256R1)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    for file in made.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for certificate in (keys.rsa[0].certificate, keys.ec[0].certificate):
        assert certificates.read(certificate.public_bytes(PEM)).signs
        assert certificates.oin_of(certificate) == OIN
        assert certificate.not_valid_before_utc == NOON


def test_keys_that_are_there_are_never_overwritten(folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    with pytest.raises(KeysUnusable):
        GatewayKeys.create(folder, OIN)

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows: to who writes it is as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_new_key_is_whole_or_not_there(folder: Path) -> None:
    before = {file.name for file in folder.iterdir()}

    with full_disk(), pytest.raises(KeysUnusable, match=r"rsa-0002\.pem cannot be written \(File"):
        GatewayKeys.renew(folder)

    assert {file.name for file in folder.iterdir()} == before
    assert len(GatewayKeys.renew(folder).rsa) == 2


def test_of_half_a_generation_nothing_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file.name for file in folder.iterdir()}
    sync = os.fsync

    def full(descriptor: int) -> None:
        if (folder / "rsa-0002.pem").exists() and stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(KeysUnusable, match=r"ec-0002\.pem cannot be written \(No space"):
            GatewayKeys.renew(folder)

    assert {file.name for file in folder.iterdir()} == before


def test_first_keys_that_a_kill_left_half_are_completed(folder: Path) -> None:
    (folder / "ec-0001.pem").unlink()
    before = (folder / "rsa-0001.pem").read_bytes()

    done = make_missing(folder, OIN)

    assert any("aangevuld" in line for line in done)
    assert (folder / "rsa-0001.pem").read_bytes() == before
    assert GatewayKeys.load(folder).oin == OIN
    assert not any("ondertekenen" in line for line in make_missing(folder, OIN))


@pytest.mark.parametrize("why", ["used", "renewed", "other kind"])
def test_a_signing_key_that_was_lost_is_not_made_anew(folder: Path, why: str) -> None:
    make_missing(folder, OIN)
    if why == "renewed":
        (folder / "rsa-0002.pem").write_bytes((folder / "rsa-0001.pem").read_bytes())
    lost = folder / ("rsa-0001.pem" if why == "other kind" else "ec-0001.pem")
    lost.unlink()

    assert make_missing(folder, OIN, {"kluis"} if why == "used" else ()) == []

    assert not lost.exists()


def test_after_renewal_the_new_key_signs_and_the_old_one_stays_published(folder: Path) -> None:
    old = GatewayKeys.load(folder)

    new = GatewayKeys.renew(folder, at=NOON)

    assert new.oin == old.oin
    assert [known.kid for known in new.rsa[1:]] == [old.rsa[0].kid]
    assert [known.kid for known in new.ec[1:]] == [old.ec[0].kid]
    published = [entry["kid"] for entry in new.published()["keys"]]
    assert published == [k.kid for k in new.ec] + [k.kid for k in new.rsa]
    assert len(set(published)) == 4


def test_what_is_published_is_public_and_complete(made: Path) -> None:
    keys = GatewayKeys.load(made)

    elliptic, rivest = keys.published()["keys"]

    assert set(elliptic) == {"kty", "crv", "x", "y", "kid", "use", "alg", "x5t#S256", "x5c"}
    assert set(rivest) == {"kty", "n", "e", "kid", "use", "alg", "x5t#S256", "x5c"}
    assert (elliptic["alg"], rivest["alg"]) == ("ES256", "PS256")
    assert len(elliptic["x"]) == len(elliptic["y"]) == 43
    der = base64.b64decode(rivest["x5c"][0])
    assert x509.load_der_x509_certificate(der) == keys.rsa[0].certificate
    assert json.loads(json.dumps(keys.published())) == keys.published()


def test_a_kid_is_the_thumbprint_of_its_key(made: Path) -> None:
    for entry in GatewayKeys.load(made).published()["keys"]:
        members = ("crv", "kty", "x", "y") if entry["kty"] == "EC" else ("e", "kty", "n")
        required = json.dumps({name: entry[name] for name in members}, separators=(",", ":"))
        digest = hashlib.sha256(required.encode()).digest()
        assert entry["kid"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_an_empty_or_missing_folder_holds_no_keys(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "weg"):
        with pytest.raises(KeysUnusable, match="no signing keys"):
            GatewayKeys.load(place)


def test_a_key_that_others_may_read_is_not_used(folder: Path) -> None:
    (folder / "ec-0001.pem").chmod(0o604)

    with pytest.raises(KeysUnusable, match="read by others"):
        GatewayKeys.load(folder)


@pytest.mark.parametrize("name", ["rsa-0001.pem", "ec-0001.pem"])
@pytest.mark.parametrize("damage", ["empty", "key-only", "swapped", "other-kind"])
def test_a_damaged_file_is_not_used(folder: Path, name: str, damage: str) -> None:
    file = folder / name
    content = file.read_bytes()
    other = (folder / ("ec-0001.pem" if name.startswith("rsa") else "rsa-0001.pem")).read_bytes()
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    begin = content.index(b"-----BEGIN CERTIFICATE")
    file.write_bytes(
        {
            "empty": b"",
            "key-only": content[:begin],
            "swapped": content[:begin] + other[other.index(b"-----BEGIN CERTIFICATE") :],
            "other-kind": edwards + content[begin:],
        }[damage]
    )

    with pytest.raises(KeysUnusable, match=name):
        GatewayKeys.load(folder)


def test_a_file_of_the_wrong_kind_of_key_is_not_used(folder: Path) -> None:
    (folder / "rsa-0002.pem").write_bytes((folder / "ec-0001.pem").read_bytes())
    (folder / "rsa-0002.pem").chmod(0o600)

    with pytest.raises(KeysUnusable, match="does not hold an RSA key"):
        GatewayKeys.load(folder)


def test_a_strange_file_or_a_strange_owner_is_not_used(folder: Path, pki: Pki) -> None:
    identity = pki.party("00000099000000001000")
    strange = identity.key_path.read_bytes() + identity.cert_path.read_bytes()
    (folder / "rsa-0009.pem").write_bytes(strange)
    (folder / "rsa-0009.pem").chmod(0o600)

    with pytest.raises(KeysUnusable, match="different parties"):
        GatewayKeys.load(folder)

    (folder / "anders.pem").write_bytes(b"")
    with pytest.raises(KeysUnusable, match="not a signing key"):
        GatewayKeys.load(folder)
