"""Tokens: who gets one, who does not, and whose it is afterwards."""

from __future__ import annotations

import base64
import hmac
import json
import time
import timeit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fixtures.pki import Identity, Pki, Variant
from gateway.adapters import jades
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.tokens import ASSERTION_TYPE, TokenIssuer, TokenRefused, client_assertion
from gateway.errors import Code, Refusal
from gateway.message import Oin
from gateway.routing.directory import EMPTY, Directory, Party

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
URL = "https://gateway.example"
ENDPOINT = URL + "/v1/token"
PARTY = Oin("00000099000000001000")
OTHER = Oin("00000099000000002000")
GATEWAY = Oin("00000099000000009000")


@pytest.fixture(scope="session")
def keys_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens") / "sleutels"
    GatewayKeys.create(folder, GATEWAY, at=NOON)
    return folder


@pytest.fixture(scope="session")
def directory(pki: Pki) -> Directory:
    parties = {
        oin: Party(
            oin=oin,
            naam="Proefpartij",
            rollen=frozenset(),
            modules=frozenset(),
            certificates=tuple(
                pki.party(oin, variant).registered
                for variant in Variant
                if variant is not Variant.UNKNOWN
            ),
        )
        for oin in (PARTY, OTHER)
    }
    return Directory(version=1, parties=MappingProxyType(parties))


@pytest.fixture(scope="session")
def keys(keys_folder: Path) -> GatewayKeys:
    return GatewayKeys.load(keys_folder)


@pytest.fixture
def issuer(keys: GatewayKeys, directory: Directory) -> TokenIssuer:
    return TokenIssuer(keys, lambda: directory, URL)


@pytest.fixture(scope="session")
def party(pki: Pki) -> Identity:
    return pki.party(PARTY)


class Once:
    """Remembers assertions, as the ledger does."""

    def __init__(self) -> None:
        self.kept: dict[str, datetime] = {}

    def __call__(self, key: str, expires: datetime, now: datetime) -> bool:
        assert expires > now
        before = key in self.kept
        self.kept[key] = expires
        return before


def a_form(assertion: str, **changes: str | None) -> dict[str, str]:
    form: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


def an_assertion(
    identity: Identity, algorithm: str = "PS256", header: Any = None, **changes: object
) -> str:
    """A good one but for the changes; a change to None takes a claim out."""
    now = int(NOON.timestamp())
    claims: dict[str, object] = {
        "iss": identity.oin,
        "sub": identity.oin,
        "aud": ENDPOINT,
        "iat": now,
        "exp": now + 120,
        "jti": "een",
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    headers = {"x5t#S256": jades.thumbprint(identity.cert)} if header is None else header
    return jwt.encode(kept, identity.key, algorithm, headers=headers)


def granted(issuer: TokenIssuer, assertion: str, now: datetime = NOON) -> str:
    token = issuer.exchange(a_form(assertion), now, Once())["access_token"]
    assert isinstance(token, str)
    return token


def refused(issuer: TokenIssuer, assertion: str, **changes: str | None) -> str:
    with pytest.raises(TokenRefused) as caught:
        issuer.exchange(a_form(assertion, **changes), NOON, Once())
    assert PARTY not in caught.value.description
    return caught.value.error


def not_a_token(issuer: TokenIssuer, authorization: str, now: datetime = NOON) -> str:
    with pytest.raises(Refusal) as caught:
        issuer.party_of(authorization, now)
    assert caught.value.code is Code.TOKEN_ONGELDIG
    return caught.value.findings[0].rule


# Who gets one


@pytest.mark.parametrize("variant", [Variant.GOOD, Variant.SECOND, Variant.ELLIPTIC])
def test_a_registered_party_gets_a_token_for_an_hour(
    issuer: TokenIssuer, pki: Pki, variant: Variant
) -> None:
    identity = pki.party(PARTY, variant)
    assertion = client_assertion(PARTY, identity.key, identity.cert, ENDPOINT, NOON, "een")

    answer = issuer.exchange(a_form(assertion, client_id=PARTY), NOON, Once())

    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["aud"]) == (URL, PARTY, URL)
    assert claims["exp"] - claims["iat"] == 3600
    assert issuer.party_of(f"Bearer {answer['access_token']}", NOON) == PARTY


def test_rs256_is_accepted_in_an_assertion(issuer: TokenIssuer, party: Identity) -> None:
    assert granted(issuer, an_assertion(party, "RS256"))


def test_the_certificate_may_come_along_in_the_header(issuer: TokenIssuer, party: Identity) -> None:
    der = base64.b64encode(party.cert.public_bytes(Encoding.DER)).decode()

    assert granted(issuer, an_assertion(party, header={"x5c": [der]}))


def test_two_tokens_differ(issuer: TokenIssuer, party: Identity) -> None:
    assert granted(issuer, an_assertion(party)) != granted(issuer, an_assertion(party))


# Who does not


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"client_assertion_type": None}, "invalid_request"),
        ({"client_assertion_type": "urn:x"}, "invalid_request"),
        ({"client_assertion": None}, "invalid_request"),
        ({"client_assertion": ""}, "invalid_request"),
        ({"client_assertion": "A" * 20_000}, "invalid_request"),
        ({"client_secret": "geheim"}, "invalid_request"),
        ({"scope": "alles"}, "invalid_scope"),
        ({"client_id": OTHER}, "invalid_client"),
    ],
)
def test_a_form_that_asks_for_something_else_is_refused(
    issuer: TokenIssuer, party: Identity, changes: dict[str, str | None], error: str
) -> None:
    assert refused(issuer, an_assertion(party), **changes) == error


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": OTHER},
        {"sub": None},
        {"sub": OTHER},
        {"aud": None},
        {"aud": URL},
        {"aud": ENDPOINT + "/"},
        {"aud": [ENDPOINT, "https://elders.example"]},
        {"exp": None},
        {"exp": "straks"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": int(NOON.timestamp()) - 61},
        {"exp": int(NOON.timestamp()) + 361},
        {"exp": 10**400},
        {"iat": None},
        {"iat": int(NOON.timestamp()) + 61},
        {"nbf": int(NOON.timestamp()) + 61},
        {"nbf": "nu"},
        {"jti": None},
        {"jti": ""},
        {"jti": 1},
        {"jti": "x" * 129},
    ],
)
def test_an_assertion_with_a_wrong_claim_is_refused(
    issuer: TokenIssuer, party: Identity, changes: dict[str, Any]
) -> None:
    assert refused(issuer, an_assertion(party, **changes)) == "invalid_client"


def test_an_assertion_is_good_once(issuer: TokenIssuer, party: Identity, pki: Pki) -> None:
    once = Once()
    form = a_form(an_assertion(party))

    issuer.exchange(form, NOON, once)
    with pytest.raises(TokenRefused) as caught:
        issuer.exchange(form, NOON, once)

    assert caught.value.error == "invalid_client"
    # The same jti of another party is another assertion.
    issuer.exchange(a_form(an_assertion(pki.party(OTHER))), NOON, once)


def test_only_a_good_assertion_is_remembered(issuer: TokenIssuer, party: Identity) -> None:
    once = Once()

    for bad in (an_assertion(party, aud=URL), an_assertion(party)[:-4] + "AAAA"):
        with pytest.raises(TokenRefused):
            issuer.exchange(a_form(bad), NOON, once)

    assert once.kept == {}


@pytest.mark.parametrize(
    "variant",
    [Variant.UNKNOWN, Variant.EXPIRED, Variant.NOT_YET_VALID, Variant.NOT_FOR_SIGNING],
)
def test_a_certificate_that_may_not_sign_now_gets_no_token(
    issuer: TokenIssuer, pki: Pki, variant: Variant
) -> None:
    assert refused(issuer, an_assertion(pki.party(PARTY, variant))) == "invalid_client"


def test_an_assertion_in_the_name_of_another_is_refused(
    issuer: TokenIssuer, party: Identity
) -> None:
    assert refused(issuer, an_assertion(party, iss=OTHER, sub=OTHER)) == "invalid_client"


def test_somebody_elses_certificate_beside_ones_own_signature_is_refused(
    issuer: TokenIssuer, party: Identity, pki: Pki
) -> None:
    header = {"x5t#S256": jades.thumbprint(pki.party(OTHER).cert)}
    stolen = an_assertion(party, header=header, iss=OTHER, sub=OTHER)

    assert refused(issuer, stolen) == "invalid_client"


def _forged(header: dict[str, object], claims: dict[str, object], secret: bytes = b"") -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    tag = hmac.digest(secret, b".".join(parts), "sha256") if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(tag).rstrip(b"=")]).decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "PS384", "ES256", "EdDSA"])
def test_an_algorithm_outside_the_list_is_refused(
    issuer: TokenIssuer, party: Identity, algorithm: str
) -> None:
    public = party.cert.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(an_assertion(party), options={"verify_signature": False})
    header: dict[str, object] = {"alg": algorithm, "x5t#S256": jades.thumbprint(party.cert)}
    secret = public if algorithm == "HS256" else b""

    assert refused(issuer, _forged(header, claims, secret)) == "invalid_client"


@pytest.mark.parametrize("header", [{}, {"kid": "x"}, {"x5t#S256": "YQ"}, {"x5c": []}])
def test_an_assertion_that_names_no_certificate_is_refused(
    issuer: TokenIssuer, party: Identity, header: dict[str, object]
) -> None:
    assert refused(issuer, an_assertion(party, header=header)) == "invalid_client"


def test_an_assertion_with_a_critical_extension_is_refused(
    issuer: TokenIssuer, party: Identity
) -> None:
    header = {"x5t#S256": jades.thumbprint(party.cert), "crit": ["exp"], "exp": 1}

    assert refused(issuer, an_assertion(party, header=header)) == "invalid_client"


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "..", "é.é.é", "a.b.c.d.e"])
def test_what_is_no_jwt_is_refused(issuer: TokenIssuer, assertion: str) -> None:
    assert refused(issuer, assertion) == "invalid_client"


# Whose it is


def test_a_token_is_good_until_it_expires(issuer: TokenIssuer, party: Identity) -> None:
    token = granted(issuer, an_assertion(party))

    for minutes in (0, 1, 59):
        assert issuer.party_of(f"bearer {token}", NOON + timedelta(minutes=minutes)) == PARTY
    assert not_a_token(issuer, f"Bearer {token}", NOON + timedelta(hours=1)) == "verlopen"
    assert not_a_token(issuer, f"Bearer {token}", NOON + timedelta(hours=1)) == "verlopen"


def test_a_token_ends_when_its_certificate_is_withdrawn(
    keys: GatewayKeys, directory: Directory, party: Identity
) -> None:
    now = [directory]
    issuer = TokenIssuer(keys, lambda: now[0], URL)
    token = issuer.exchange(a_form(an_assertion(party)), NOON, Once())["access_token"]
    assert issuer.party_of(f"Bearer {token}", NOON) == PARTY

    without = replace(
        directory.parties[PARTY],
        certificates=tuple(
            one
            for one in directory.parties[PARTY].certificates
            if one.fingerprint != party.registered.fingerprint
        ),
    )
    now[0] = Directory(2, MappingProxyType({PARTY: without}))

    assert not_a_token(issuer, f"Bearer {token}") == "deelnemer"


def test_a_token_is_good_in_another_process(
    issuer: TokenIssuer, party: Identity, keys_folder: Path, directory: Directory
) -> None:
    token = granted(issuer, an_assertion(party))
    elsewhere = TokenIssuer(GatewayKeys.load(keys_folder), lambda: directory, URL)

    assert elsewhere.party_of(f"Bearer {token}", NOON) == PARTY


def test_a_token_outlives_a_renewal_of_keys(
    issuer: TokenIssuer, party: Identity, keys_folder: Path, directory: Directory, tmp_path: Path
) -> None:
    token = granted(issuer, an_assertion(party))
    for file in keys_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / file.name).chmod(0o600)
    renewed = TokenIssuer(GatewayKeys.renew(tmp_path, at=NOON), lambda: directory, URL)

    assert renewed.party_of(f"Bearer {token}", NOON) == PARTY
    newer = granted(renewed, an_assertion(party))
    assert renewed.party_of(f"Bearer {newer}", NOON) == PARTY
    assert not_a_token(issuer, f"Bearer {newer}") == "kop"


def test_a_party_that_left_has_no_token_any_more(keys_folder: Path, directory: Directory,
                                                 party: Identity) -> None:  # fmt: skip
    current = [directory]
    issuer = TokenIssuer(GatewayKeys.load(keys_folder), lambda: current[0], URL)
    token = granted(issuer, an_assertion(party))
    assert issuer.party_of(f"Bearer {token}", NOON) == PARTY

    current[0] = EMPTY

    assert not_a_token(issuer, f"Bearer {token}") == "deelnemer"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "Bearer a.b.c", "Bearer " + "A" * 20_000],
)
def test_what_is_no_token_is_refused(issuer: TokenIssuer, authorization: str) -> None:
    assert not_a_token(issuer, authorization) in {"vorm", "handtekening", "kop"}


def test_a_changed_token_is_refused(issuer: TokenIssuer, party: Identity) -> None:
    token = granted(issuer, an_assertion(party))
    header, claims, signature = token.split(".")
    changed = jwt.decode(token, options={"verify_signature": False}) | {"sub": OTHER}
    other = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()

    assert not_a_token(issuer, f"Bearer {header}.{other}.{signature}") == "handtekening"
    assert not_a_token(issuer, f"Bearer {header}.{claims}.") == "handtekening"
    assert not_a_token(issuer, f"Bearer {header}.{claims}.{signature[:-4]}AAAA") == "handtekening"


@pytest.mark.parametrize(
    ("header", "claims", "rule"),
    [
        ({"typ": "JWT"}, {}, "kop"),
        ({"kid": "onbekend"}, {}, "kop"),
        ({"crit": ["exp"], "exp": 1}, {}, "handtekening"),
        ({}, {"iss": "https://elders.example"}, "inhoud"),
        ({}, {"aud": "https://elders.example"}, "inhoud"),
        ({}, {"exp": "straks"}, "inhoud"),
        ({}, {"sub": 1}, "inhoud"),
    ],
)
def test_other_things_that_our_key_signs_are_not_tokens(
    issuer: TokenIssuer, header: dict[str, object], claims: dict[str, object], rule: str
) -> None:
    ours = issuer.keys.ec[0]
    good = {"iss": URL, "aud": URL, "sub": PARTY, "exp": int(NOON.timestamp()) + 60}
    token = jwt.encode(
        {**good, **claims}, ours.key, "ES256", {"typ": "at+jwt", "kid": ours.kid, **header}
    )

    assert not_a_token(issuer, f"Bearer {token}") == rule


def test_an_assertion_is_not_a_token(issuer: TokenIssuer, party: Identity) -> None:
    assert not_a_token(issuer, f"Bearer {an_assertion(party)}") == "kop"


def test_a_token_that_was_seen_costs_microseconds_and_memory_is_bounded(
    issuer: TokenIssuer, party: Identity
) -> None:
    authorization = f"Bearer {granted(issuer, an_assertion(party))}"
    issuer.party_of(authorization, NOON)

    times = timeit.repeat(
        lambda: issuer.party_of(authorization, NOON),
        timer=time.process_time, number=1_000, repeat=5,
    )  # fmt: skip
    assert min(times) / 1_000 < 50e-6  # about two; to check a signature takes more than this

    for number in range(10_500):
        issuer._remember(str(number).encode(), (PARTY, "0" * 64, 0.0))
    assert len(issuer._known) <= 10_000
