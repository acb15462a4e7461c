"""Tokens: from a signed client assertion to a bearer token, and from a token to a party.

``POST /v1/token`` is OAuth 2 client credentials with ``private_key_jwt``: the party signs
a short assertion with a registered certificate. The token is a JWT of the gateway's own.

Source: RFC 6749 §4.4 and §5; RFC 7521 §4.2; RFC 7523 §3; RFC 9068; NLgov Assurance
profile for OAuth 2.0 1.2.0 (no shared secrets, tokens in headers only).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeGuard
from uuid import uuid4

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.types import Options

from gateway.adapters import certificates
from gateway.adapters.jades import PrivateKey, base64url, claimed_fingerprint, thumbprint
from gateway.adapters.keys import GatewayKeys
from gateway.errors import Code, Finding, GatewayError, Refusal
from gateway.message import Json, Oin
from gateway.routing.directory import Directory
from gateway.verify import registered

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION = timedelta(minutes=5)
TOKEN_LIFE = timedelta(hours=1)
MOST_REMEMBERED = 10_000
LONGEST_TOKEN = 16_384
LONGEST_JTI = 128
LAST_INSTANT = 2**40
"""Seconds; far beyond any date, and small enough to calculate with."""

_ACCESS_TOKEN = "at+jwt"  # noqa: S105 - RFC 9068 §2.1, the type of a token
# The library would read its own clock; every claim is judged here, by ours.
_SIGNATURE_ONLY: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}

Granted = tuple[Oin, str, float]
"""To whom, under which certificate (fingerprint), until when (seconds since 1970)."""

Seen = Callable[[str, datetime, datetime], bool]
"""``(key, expires, now)``: remembers an assertion; True when it was used before."""


class TokenRefused(GatewayError):
    """No token is granted; the client must change its request.

    Attributes:
        error: A word of RFC 6749 §5.2.
        description: A fixed English sentence; never a value of the request.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


def client_assertion(  # noqa: PLR0917 - what RFC 7523 needs, no more
    oin: Oin, key: PrivateKey, certificate: x509.Certificate, audience: str, now: datetime, jti: str
) -> str:
    """What a party sends to get a token: RFC 7523 §3, valid for two minutes.

    Args:
        oin: Who asks; issuer and subject.
        key: RSA (PS256) or EC P-256 (ES256), of ``certificate``.
        certificate: A registered certificate of the party; named by ``x5t#S256``.
        audience: The URL of the token endpoint.
        now: Aware instant of issue.
        jti: Fresh each time; an assertion is good for one token.
    """
    claims = {
        "iss": oin,
        "sub": oin,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=2)).timestamp()),
        "jti": jti,
    }
    algorithm = "PS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return jwt.encode(claims, key, algorithm, headers={"x5t#S256": thumbprint(certificate)})


@dataclass(slots=True)
class TokenIssuer:
    """Grants tokens and knows them again.

    Attributes:
        keys: The newest EC key signs; tokens under older published keys stay good.
        directory: The directory as it is now.
        url: Where parties reach the gateway; issuer and audience of its tokens. The
            audience of an assertion is ``{url}/v1/token``.
        skew: How far clocks may differ.
    """

    keys: GatewayKeys
    directory: Callable[[], Directory]
    url: str
    skew: timedelta = timedelta(seconds=60)
    _known: dict[bytes, Granted] = field(default_factory=dict, repr=False)

    def exchange(self, form: Mapping[str, str], now: datetime, seen: Seen) -> Json:
        """Grant a token for one assertion.

        Args:
            form: The fields of the request, each at most once.
            now: Aware instant.
            seen: Asked last, so that only a good assertion is remembered.

        Returns:
            The body of the answer (RFC 6749 §5.1); the token lives one hour.

        Raises:
            TokenRefused: ``invalid_request`` (a field is missing or too much),
                ``unsupported_grant_type``, ``invalid_scope`` (we have no scopes), or
                ``invalid_client`` (everything about the assertion).
        """
        _judge_form(form)
        party, fingerprint, claims = self._read_assertion(form["client_assertion"], now)
        if form.get("client_id", party) != party:
            raise _invalid_client("client_id is not the subject of the assertion")
        self._judge_times(claims, now)
        expires = datetime.fromtimestamp(claims["exp"], UTC) + self.skew
        if seen(_key(party, claims["jti"]), expires, now):
            raise _invalid_client("the assertion was used before")
        return {
            "access_token": self._new_token(party, fingerprint, now),
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFE.total_seconds()),
        }

    def party_of(self, authorization: str, now: datetime) -> Oin:
        """Whose token this is; microseconds for one that was seen before.

        Args:
            authorization: The value of the header ``Authorization``.
            now: Aware instant.

        Raises:
            Refusal: TOKEN_ONGELDIG when it is not one of our tokens, has expired, or
                was granted under a certificate that is that party's no longer.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= LONGEST_TOKEN:
            raise _bad_token("vorm")
        place = hashlib.sha256(token.encode()).digest()
        known = self._known.get(place)
        party, fingerprint, expires = known or self._read_token(token)
        if now.timestamp() >= expires:
            self._known.pop(place, None)
            raise _bad_token("verlopen")
        registered_to = self.directory().signers.get(fingerprint)
        if registered_to is None or registered_to[0].oin != party:
            raise _bad_token("deelnemer")
        if known is None:
            self._remember(place, (party, fingerprint, expires))
        return party

    def _read_assertion(self, assertion: str, now: datetime) -> tuple[Oin, str, Json]:
        """Party, fingerprint and claims: check signature and names; the times are judged apart."""
        try:
            header = jwt.get_unverified_header(assertion)
            fingerprint = claimed_fingerprint(header)
            if fingerprint is None or "crit" in header:
                raise _invalid_client("the assertion does not name one certificate")
            party, certificate = registered(self.directory(), fingerprint, now)
            key = certificates.public_key(certificate)
            claims: Json = jwt.decode(
                assertion, key, algorithms=_algorithms(key), options=_SIGNATURE_ONLY
            )
        except Refusal as refusal:
            raise _invalid_client(_SENTENCES[refusal.code]) from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _invalid_client("the assertion is not a JWT signed as it says") from None
        if claims.get("iss") != party.oin or claims.get("sub") != party.oin:
            raise _invalid_client("iss and sub must be the OIN of the certificate's party")
        if claims.get("aud") not in (self.url + "/v1/token", [self.url + "/v1/token"]):
            raise _invalid_client("aud must be the URL of this token endpoint")
        return party.oin, fingerprint, claims

    def _judge_times(self, claims: Json, now: datetime) -> None:
        skew, at = self.skew.total_seconds(), now.timestamp()
        for name in ("exp", "iat"):
            if not _is_instant(claims.get(name)):
                raise _invalid_client(f"{name} must be a number of seconds")
        if claims["exp"] <= at - skew:
            raise _invalid_client("the assertion has expired")
        if claims["exp"] > at + LONGEST_ASSERTION.total_seconds() + skew:
            raise _invalid_client("exp may be at most five minutes ahead")
        not_before = claims.get("nbf", claims["iat"])
        if not _is_instant(not_before) or max(claims["iat"], not_before) > at + skew:
            raise _invalid_client("the assertion is not valid yet")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_JTI:
            raise _invalid_client("jti must be a fresh text of at most 128 characters")

    def _new_token(self, party: Oin, fingerprint: str, now: datetime) -> str:
        newest = self.keys.ec[0]
        claims = {
            "iss": self.url,
            "sub": party,
            "client_id": party,
            "aud": self.url,
            "iat": int(now.timestamp()),
            "exp": int((now + TOKEN_LIFE).timestamp()),
            "jti": str(uuid4()),
            # not proof of possession: it ends the token when the certificate is withdrawn
            "cnf": {"x5t#S256": base64url(bytes.fromhex(fingerprint))},
        }
        headers = {"typ": _ACCESS_TOKEN, "kid": newest.kid}
        return jwt.encode(claims, newest.key, "ES256", headers=headers)

    def _read_token(self, token: str) -> Granted:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = next((known.key for known in self.keys.ec if known.kid == kid), None)
            # The type keeps other things that these keys sign from passing as a token.
            if key is None or header.get("typ") != _ACCESS_TOKEN or "crit" in header:
                raise _bad_token("kop")
            claims = jwt.decode(
                token, key.public_key(), algorithms=["ES256"], options=_SIGNATURE_ONLY
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _bad_token("handtekening") from None
        subject, expires = claims.get("sub"), claims.get("exp")
        ours = claims.get("iss") == self.url and claims.get("aud") == self.url
        if not ours or not isinstance(subject, str) or not _is_instant(expires):
            raise _bad_token("inhoud")
        fingerprint = claimed_fingerprint(claims.get("cnf") or {})
        if fingerprint is None:
            raise _bad_token("inhoud")
        return Oin(subject), fingerprint, float(expires)

    def _remember(self, place: bytes, granted: Granted) -> None:
        while len(self._known) >= MOST_REMEMBERED:
            self._known.pop(next(iter(self._known)), None)
        self._known[place] = granted


_SENTENCES = {
    Code.CERTIFICAAT_ONBEKEND: "the certificate is not registered",
    Code.CERTIFICAAT_VERLOPEN: "the certificate is not valid now",
    Code.CERTIFICAAT_ONGESCHIKT: "the certificate is not made for signing",
}


def _invalid_client(description: str) -> TokenRefused:
    return TokenRefused("invalid_client", description)


def _bad_token(rule: str) -> Refusal:
    return Refusal(Code.TOKEN_ONGELDIG, Finding(rule, ""))


def _judge_form(form: Mapping[str, str]) -> None:
    if "grant_type" not in form:
        raise TokenRefused("invalid_request", "grant_type is missing")
    if form["grant_type"] != "client_credentials":
        raise TokenRefused("unsupported_grant_type", "only client_credentials")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise TokenRefused("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
    if not 0 < len(form.get("client_assertion", "")) <= LONGEST_TOKEN:
        raise TokenRefused("invalid_request", "client_assertion is missing or too long")
    if "client_secret" in form:
        raise TokenRefused("invalid_request", "only one way to authenticate, and no secrets")
    if form.get("scope"):
        raise TokenRefused("invalid_scope", "there are no scopes")


def _algorithms(key: certificates.PublicKey) -> list[str]:
    """What this kind of key may sign with; never what the assertion asks for."""
    if isinstance(key, rsa.RSAPublicKey):
        return ["PS256", "RS256"]
    return ["ES256"] if isinstance(key.curve, ec.SECP256R1) else []


def _is_instant(value: object) -> TypeGuard[float]:
    """A NumericDate (RFC 7519 §2) that a float holds; no infinity, nothing absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < LAST_INSTANT  # also False for NaN


def _key(party: Oin, jti: str) -> str:
    return hashlib.sha256(f"{party}\n{jti}".encode()).hexdigest()
