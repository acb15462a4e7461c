"""The HTTP door: tokens, and client certificates that a proxy passes on."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fixtures.parties import ASSERTION, Peer, fresh, now
from fixtures.pki import Variant
from fixtures.world import (
    INCASSO,
    SE,
    SHV,
    free_port,
)
from gateway.adapters.tokens import client_assertion
from gateway.message import Oin
from tests.e2e.doors import WHO, Elsewhere
from tests.e2e.here import Here, Sent, a_notice

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Tokens


def a_form(here: Here, **changes: str | None) -> dict[str, str]:
    """What a party posts for a token; a change to None takes a field out."""
    form: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": an_assertion(here.json, here.reach.url),
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


def an_assertion(
    peer: Peer, url: str, *, at: datetime | None = None, claimed: Oin | None = None
) -> str:
    identity = peer.identity
    return client_assertion(
        claimed or identity.oin, peer.key, identity.cert, f"{url}/v1/token", at or now(), fresh()
    )


async def asked(here: Here, form: dict[str, str]) -> httpx.Response:
    return await here.reach.client.post(f"{here.reach.url}/v1/token", data=form)


async def test_a_signed_assertion_gets_a_token_for_an_hour(here: Here) -> None:
    answer = await asked(here, a_form(here))

    granted = answer.json()
    assert answer.status_code == 200
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    ask = await here.reach.client.get(
        f"{here.reach.url}/v1/postbus",
        headers={"Authorization": f"Bearer {granted['access_token']}"},
    )
    assert ask.status_code == 200


async def test_an_assertion_is_good_for_one_token(here: Here) -> None:
    form = a_form(here)
    first = await asked(here, form)

    again = await asked(here, form)

    assert first.status_code == 200
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion": None}, 400, "invalid_request"),
        ({"client_assertion_type": "urn:iets-anders"}, 400, "invalid_request"),
        ({"client_secret": "geheim"}, 400, "invalid_request"),
        ({"scope": "alles"}, 400, "invalid_scope"),
        ({"client_assertion": "geen.jwt.hier"}, 401, "invalid_client"),
        ({"client_id": INCASSO}, 401, "invalid_client"),
        ({"client_assertion": "x" * 20_000}, 400, "invalid_request"),
    ],
    ids=str,
)
async def test_a_token_request_that_is_wrong_gets_the_error_of_rfc_6749(
    changes: dict[str, str | None], status: int, error: str, here: Here
) -> None:
    answer = await asked(here, a_form(here, **changes))

    told = answer.json()
    assert (answer.status_code, told["error"]) == (status, error)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(told) == {"error", "error_description"}
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_an_assertion_that_is_not_right_gets_no_token(here: Here) -> None:
    url = here.reach.url
    late = now() - timedelta(hours=1)
    assertions = {
        "of the past": an_assertion(here.json, url, at=late),
        "of the future": an_assertion(here.json, url, at=now() + timedelta(hours=1)),
        "for another": an_assertion(here.json, url, claimed=INCASSO),
        "for elsewhere": an_assertion(here.json, "https://elders.example"),
        "by a stranger": an_assertion(here.party(SHV, Variant.UNKNOWN), url),
    }

    answers = {
        name: await asked(here, a_form(here, client_assertion=one))
        for name, one in assertions.items()
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        assertions, 401
    )
    assert {answer.json()["error"] for answer in answers.values()} == {"invalid_client"}


async def test_a_token_request_must_be_a_form_with_each_field_once(here: Here) -> None:
    url = f"{here.reach.url}/v1/token"
    form = "application/x-www-form-urlencoded"
    bodies = [
        ("application/json", b"{}"),
        (form, b"grant_type=client_credentials&grant_type=client_credentials"),
        (form, b"a=" + b"x" * 20_000),
        (form, b"\xff\xfe"),
    ]

    answers = [
        await here.reach.client.post(url, content=body, headers={"Content-Type": media})
        for media, body in bodies
    ]

    assert [answer.status_code for answer in answers] == [400] * len(bodies)
    assert {answer.json()["error"] for answer in answers} == {"invalid_request"}


# Client certificates from the proxy


def client_cert(peer: Peer) -> str:
    """RFC 9440: the certificate as the proxy passes it on."""
    der = peer.identity.cert.public_bytes(Encoding.DER)
    return f":{base64.b64encode(der).decode()}:"


async def test_a_client_certificate_from_outside_is_ignored(here: Here) -> None:
    alone = await here.get(WHO, ("Client-Cert", client_cert(here.json)))
    with_token = await here.get(
        WHO,
        ("Client-Cert", client_cert(here.party(SE))),
        *(await here.json.authorization()).items(),
    )

    assert alone.status_code == 401
    assert with_token.status_code == 200


async def test_a_client_certificate_from_the_proxy_is_believed(elsewhere: Elsewhere) -> None:
    async with elsewhere(proxies="127.0.0.1", admin_port=str(free_port())) as here:
        mine = ("Client-Cert", client_cert(here.json))
        written = here.written(a_notice())

        assert (await here.get(WHO, mine)).status_code == 200
        assert (await here.post(Sent(written.body, [*written.headers, mine]))).status_code == 202
        for bad in (
            [("Client-Cert", client_cert(here.party(SHV, Variant.UNKNOWN)))],
            [("Client-Cert", "geen certificaat")],
            [("Client-Cert", ":####:")],
            [mine, mine],
        ):
            assert (await here.get(WHO, *bad)).status_code == 401
        other = tuple((await here.party(SE).authorization()).items())
        assert (await here.get(WHO, mine, *other)).status_code == 403
