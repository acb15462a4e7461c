"""To which addresses may the gateway open a connection on behalf of a party?

A party chooses its own endpoint, so a name may lead anywhere: to the broker, to the
metadata service of a cloud, back to ourselves. Per request the name is resolved once,
every address is checked, and the connection is made to exactly what was checked. A
second look-up between check and connection (DNS rebinding) cannot happen.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import httpx

from gateway.errors import Fault

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a name, in the order in which to try them.

Raises ``NameUnresolved`` when there is none."""

NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host": Linux connects it to loopback
        "224.0.0.0/4",  # multicast
        "255.255.255.255/32",
        "169.254.169.254/32",  # metadata of most clouds
        "169.254.170.2/32",  # metadata of containers
        "100.100.100.200/32",  # metadata of one cloud inside the CGNAT range
        "168.63.129.16/32",  # metadata of one cloud on a public address
        "192.0.0.192/32",  # metadata of one cloud in the protocol range
        "::/128",
        "ff00::/8",  # multicast
        "fd00:ec2::254/128",  # metadata over IPv6
    )
)
"""Refused also where a party's own ranges would allow it."""

SPECIAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # CGNAT, RFC 6598
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, withdrawn
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",  # reserved
        "::1/128",
        "64:ff9b:1::/48",  # local NAT64, RFC 8215: what is embedded where is local too
        "100::/64",  # discard
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, withdrawn
    )
)
"""Not the public internet (IANA special-purpose registries); a party may name a part.

Our own table, since ``is_global`` gives other answers in other releases of Python."""

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class EgressForbidden(Fault):
    """The endpoint leads where the gateway does not go; a person must look."""


class NameUnresolved(Fault):
    """The name of the endpoint has no address now."""


def effective(address: Address) -> Address:
    """Where packets to this address end up: the IPv4 address inside, if there is one.

    Looks inside IPv4-mapped, IPv4-compatible, 6to4 and NAT64 addresses.
    """
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    # ::1 and :: fall inside the compatible range, but are no IPv4 addresses
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def permitted(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether the gateway may connect to this address.

    ``allowed`` are the networks outside the public internet on which the party may be
    reached; they never open what is in ``NEVER``.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    target = effective(address)
    if any(target in network for network in NEVER):
        return False
    if any(target in network for network in allowed):
        return True
    # both: ours for what Python calls global, Python's for what was assigned since
    return target.is_global and not any(target in network for network in SPECIAL)


class SystemResolver:
    """Names as the operating system resolves them.

    Has its own few threads, and one look-up per name at a time, so that a slow name
    server of one party leaves the threads of the process alone.
    """

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")
        self._under_way: dict[tuple[str, int], asyncio.Future[tuple[str, ...]]] = {}

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """All addresses of a name.

        Raises:
            NameUnresolved: the name has no address now, or is no name.
        """
        key = (host, port)
        lookup = self._under_way.get(key)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.run_in_executor(self._threads, _look_up, host, port)
            self._under_way[key] = lookup
            lookup.add_done_callback(lambda _: self._under_way.pop(key, None))
        # shielded: one caller's timeout is not the end of the others' look-up
        return await asyncio.shield(lookup)

    def close(self) -> None:
        """Let the threads go, without waiting for a name server."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        raise NameUnresolved("name not resolved") from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Handshake:
    """Closes a connection whose TLS handshake did not end.

    httpcore forgets it when the handshake times out or is cancelled, and then it stays
    open until the peer hangs up: a peer could use up our file descriptors.
    """

    def __init__(self) -> None:
        self._connected: Any = None
        self._under_way: Any = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear of one step of the request, as the ``trace`` extension tells it."""
        if event == "connection.connect_tcp.complete":
            self._connected = info["return_value"]
        elif event == "connection.start_tls.started":
            self._under_way = self._connected
        elif event == "connection.start_tls.complete":
            self._under_way = None

    async def abandon(self) -> None:
        """Close the connection, if its handshake is still under way."""
        if self._under_way is not None:
            await self._under_way.aclose()


class PinnedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that only connects to addresses that were checked.

    The connection goes to the checked address; TLS (SNI and the name in the
    certificate) and the ``Host`` header keep the name. One per party: connections are
    pooled by address, and a connection made for one name must not serve another.
    """

    def __init__(
        self,
        private_ranges: Sequence[str],
        *,
        resolve: Resolve,
        inner: httpx.AsyncBaseTransport,
        ports: frozenset[int] | None = None,
    ) -> None:
        self._private_ranges = private_ranges
        self._resolve = resolve
        self._inner = inner
        self._ports = ports

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request to the first checked address that takes the connection.

        Raises:
            EgressForbidden: the URL, or any of its addresses, is not permitted.
            NameUnresolved: the name has no address now.
            httpx.TransportError: as the inner transport.
        """
        addresses = await self._checked(request.url)
        name = request.url.raw_host.decode("ascii").rstrip(".")
        for number, address in enumerate(addresses, start=1):
            try:
                return await self._send(request, address, name)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # nothing was sent yet, so the next address may be tried
                if number == len(addresses):
                    raise
        raise NameUnresolved("name without addresses")

    async def _send(self, request: httpx.Request, address: Address, name: str) -> httpx.Response:
        handshake = _Handshake()
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=request.headers,  # Host is among them
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": name, "trace": handshake},
        )
        try:
            return await self._inner.handle_async_request(pinned)
        finally:
            await handshake.abandon()

    async def _checked(self, url: httpx.URL) -> list[Address]:
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        if port is None or url.userinfo or not url.host:
            raise EgressForbidden("endpoint is no plain https URL")
        if self._ports is not None and port not in self._ports:
            raise EgressForbidden("port not permitted")
        try:
            allowed = [ip_network(text) for text in self._private_ranges]
            found = await self._resolve(url.raw_host.decode("ascii"), port)
            addresses = [ip_address(text) for text in found]
        except ValueError as error:
            raise EgressForbidden("no address or network") from error
        # all of them: a name with one bad address is a trap or a mistake
        if not all(permitted(address, allowed) for address in addresses):
            raise EgressForbidden("address not permitted")
        if url.scheme != "https" and not all(map(_is_loopback, addresses)):
            raise EgressForbidden("only https leaves this machine")
        return addresses

    async def aclose(self) -> None:
        """Close the connections of the inner transport."""
        await self._inner.aclose()


def _is_loopback(address: Address) -> bool:
    # not effective(): a NAT64 address leaves this machine, whatever is inside
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((plain or address) in network for network in _LOOPBACK)


class Egress:
    """Makes the guarded transports, one per party, that share one trust store.

    Args:
        tls: Trusted roots, and later a client certificate; checking stays on.
        ports: Ports that may be connected to; None for every port.

    Raises:
        ValueError: ``tls`` does not check certificates and names.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        resolve: Resolve,
        *,
        ports: frozenset[int] | None = None,
        idle: float = 30.0,
    ) -> None:
        if tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname:
            raise ValueError("the TLS context must check certificates and names")
        self._tls = tls
        self._resolve = resolve
        self._ports = ports
        self._limits = httpx.Limits(max_keepalive_connections=8, keepalive_expiry=idle)

    def transport(self, private_ranges: Sequence[str]) -> PinnedTransport:
        """A transport with a pool of its own that may also reach these networks."""
        inner = httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=self._limits)
        return PinnedTransport(
            private_ranges, resolve=self._resolve, inner=inner, ports=self._ports
        )
