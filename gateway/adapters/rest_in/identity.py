"""Whom the transport vouches for: a bearer token, or a client certificate from our proxy."""

from __future__ import annotations

import base64
import hashlib

from starlette.requests import Request

from gateway.adapters.rest_in.body import every
from gateway.adapters.rest_in.services import Services
from gateway.errors import Code, Finding, Refusal
from gateway.message import Oin

_CREDENTIALS = frozenset({b"authorization", b"client-cert"})


def transport_of(request: Request, services: Services) -> Oin | None:
    """The authenticated party; None when the request does not authenticate.

    ``Client-Cert`` (RFC 9440) is believed only from a configured proxy address.

    Raises:
        Refusal: TOKEN_ONGELDIG for a credential that is there but not valid, and
            AFZENDER_WIJKT_AF when token and certificate name different parties.
    """
    if _CREDENTIALS.isdisjoint(dict(request.scope["headers"])):
        return None
    by_certificate = _by_certificate(request, services)
    authorizations = every(request, b"authorization")
    if not authorizations:
        return by_certificate
    if len(authorizations) > 1:  # a proxy may have looked at the other
        raise Refusal(Code.TOKEN_ONGELDIG, Finding("aantal", ""))
    by_token = services.tokens.party_of(authorizations[0], services.line.clock())
    if by_token not in services.line.directory().parties:
        raise Refusal(Code.TOKEN_ONGELDIG)
    if by_certificate not in {None, by_token}:
        raise Refusal(Code.AFZENDER_WIJKT_AF)
    return by_token


def party_of(request: Request, services: Services) -> Oin:
    """The authenticated party.

    Raises:
        Refusal: TOKEN_ONGELDIG when there is none.
    """
    oin = transport_of(request, services)
    if oin is None:
        raise Refusal(Code.TOKEN_ONGELDIG)
    return oin


def _by_certificate(request: Request, services: Services) -> Oin | None:
    values = every(request, b"client-cert")
    if not values:
        return None
    peer = request.client.host if request.client else ""
    if peer not in services.settings.proxies:
        return None
    value = values[0]
    if len(values) > 1 or not (value.startswith(":") and value.endswith(":")):
        raise Refusal(Code.TOKEN_ONGELDIG)
    try:
        der = base64.b64decode(value[1:-1], validate=True)
    except ValueError as error:  # also for what is not ASCII
        raise Refusal(Code.TOKEN_ONGELDIG) from error
    registered = services.line.directory().signers.get(hashlib.sha256(der).hexdigest())
    now = services.line.clock()
    if registered is None or not registered[1].not_before <= now <= registered[1].not_after:
        raise Refusal(Code.TOKEN_ONGELDIG)
    return registered[0].oin
