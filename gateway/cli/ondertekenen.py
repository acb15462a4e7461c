"""``gateway token`` and ``gateway onderteken``: what a party's integrator needs at a prompt."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway import json, xml
from gateway.adapters import certificates
from gateway.adapters.jades import sign_digest
from gateway.adapters.tokens import client_assertion
from gateway.adapters.xmldsig import sign_xml
from gateway.cli.screen import AsJson, as_json, screen
from gateway.errors import Fault, Refusal
from gateway.settings import load

Sleutel = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="Eigen geheime sleutel (PEM).")
]
Certificaat = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="Eigen certificaat (PEM).")
]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def add_to(app: typer.Typer) -> None:
    """Hang the commands under ``gateway`` itself."""
    app.command("token")(token)
    app.command("onderteken")(onderteken)


def token(
    *,
    sleutel: Sleutel,
    certificaat: Certificaat,
    url: Annotated[str | None, typer.Option(help="Adres van de gateway.")] = None,
    json: AsJson = False,
) -> None:
    """Haal een token en druk een kopregel voor curl af."""
    base = (url or load(os.environ).url).rstrip("/")
    key, certificate = _identity(sleutel, certificaat)
    assertion = client_assertion(
        certificates.oin_of(certificate),
        key,
        certificate,
        f"{base}/v1/token",
        datetime.now(UTC),
        str(uuid.uuid4()),
    )
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
    }
    try:
        answer = httpx.post(f"{base}/v1/token", data=form, timeout=10)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Fault(f"no answer from {base}: {type(error).__name__}; is it running?") from error
    granted = _granted(answer, base)
    if json:
        as_json(granted)
    else:
        print(f"Authorization: Bearer {granted['access_token']}")


def _granted(answer: httpx.Response, base: str) -> dict[str, Any]:
    """The answer with a token in it (RFC 6749 §5)."""
    try:
        told = json.parse(answer.content)
    except Refusal:
        told = {}
    if "error" in told and "error_description" in told:
        raise Fault(f"no token: {told['error']}: {told['error_description']}")
    if answer.status_code != httpx.codes.OK or "access_token" not in told:
        raise Fault(f"no token: {base} answers {answer.status_code}; is a gateway there?")
    return told


def onderteken(
    bericht: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    sleutel: Sleutel,
    certificaat: Certificaat,
    uit: Annotated[Path | None, typer.Option(help="Ondertekende XML hierheen.")] = None,
) -> None:
    """Onderteken een bericht: XML wordt ondertekende XML, JSON krijgt kopregels voor curl."""
    key, certificate = _identity(sleutel, certificaat)
    body = bericht.read_bytes()
    if bericht.suffix == ".json":
        json.parse(body)
        digest, signature = sign_digest(body, key, certificate)
        print(f"Digest: {digest}\nPayload-Signature: {signature}")
        return
    signed = sign_xml(xml.parse(body), key, certificate)
    if uit is None:
        print(signed.decode())
    else:
        try:
            uit.write_bytes(signed)
        except OSError as error:
            raise Fault(f"{uit} cannot be written: {error.strerror}") from error
        screen.print(f"Ondertekend in {uit}. Verander er daarna niets meer aan.")


def _identity(key_file: Path, certificate_file: Path) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key and the certificate of it, which names a party."""
    wanted = f"{key_file} must hold an RSA key in PEM, without a password"
    try:
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Fault(wanted) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Fault(wanted)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        certificates.oin_of(certificate)
    except (OSError, ValueError) as error:
        raise Fault(f"{certificate_file} must hold a certificate in PEM with an OIN") from error
    if certificate.public_key() != key.public_key():
        raise Fault(f"{certificate_file} is a certificate of another key than {key_file}")
    return key, certificate
