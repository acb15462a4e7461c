"""Where the gateway opens connections, and where it never does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import httpx
import pytest

from gateway.adapters.egress import (
    Egress,
    EgressForbidden,
    NameUnresolved,
    PinnedTransport,
    SystemResolver,
    permitted,
)

PUBLIC = "93.184.215.14"
METADATA = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
]
NOWHERE = ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.1.2.3", "255.255.255.255", "ff02::1"]
SPECIAL = [
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",  # CGNAT
    "100.127.255.255",
    "169.254.1.1",  # link-local
    "fe80::1",
    "fc00::1",  # unique local
    "fd12:3456::1",
    "fec0::1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "240.0.0.1",
    "::ffff:10.0.0.1",  # IPv4-mapped
    "::ffff:127.0.0.1",
    "::127.0.0.1",  # IPv4-compatible
    "2002:7f00:1::",  # 6to4 around 127.0.0.1
    "2002:c0a8:101::1",
    "64:ff9b::7f00:1",  # NAT64 around 127.0.0.1
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",  # local NAT64
    "2001:0:1::1",  # Teredo
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
]


@pytest.mark.parametrize("address", METADATA + NOWHERE + SPECIAL + ["fe80::1%1"])
def test_no_address_outside_the_public_internet_is_reached_unasked(address: str) -> None:
    assert not permitted(ip_address(address), [])


@pytest.mark.parametrize(
    "address", [PUBLIC, "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"]
)
def test_public_addresses_are_reached(address: str) -> None:
    assert permitted(ip_address(address), [])


@pytest.mark.parametrize("address", METADATA + NOWHERE)
def test_no_range_of_a_party_opens_metadata_or_multicast(address: str) -> None:
    assert not permitted(ip_address(address), [ip_network("0.0.0.0/0"), ip_network("::/0")])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("fd12::1", "fd12::/16"),
    ],
)
def test_a_range_of_a_party_opens_that_range_and_no_other(address: str, network: str) -> None:
    assert permitted(ip_address(address), [ip_network(network)])
    assert not permitted(ip_address("192.168.1.1"), [ip_network(network)])


class Names:
    """A resolver with an answer for each look-up in turn; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Wire(httpx.AsyncBaseTransport):
    """Takes requests instead of sending them; refuses connections to ``dead``."""

    def __init__(self, dead: Sequence[str] = ()) -> None:
        self.dead = dead
        self.sent: list[httpx.Request] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if request.url.host in self.dead:
            raise httpx.ConnectError("refused")
        return httpx.Response(204)

    async def aclose(self) -> None:
        self.closed = True


async def post(
    url: str,
    names: Names,
    *,
    allowed: Sequence[str] = (),
    wire: Wire | None = None,
    ports: frozenset[int] | None = None,
) -> Wire:
    wire = wire or Wire()
    transport = PinnedTransport(allowed, resolve=names, inner=wire, ports=ports)
    await transport.handle_async_request(httpx.Request("POST", url, content=b"x"))
    return wire


async def test_the_connection_goes_to_the_checked_address_under_the_name() -> None:
    wire = await post("https://partij.example:8443/in?x=1", Names([PUBLIC]))

    (sent,) = wire.sent
    assert str(sent.url) == f"https://{PUBLIC}:8443/in?x=1"
    assert sent.headers["Host"] == "partij.example:8443"
    assert sent.extensions["sni_hostname"] == "partij.example"


async def test_an_international_name_is_looked_up_and_checked_in_ascii() -> None:
    names = Names([PUBLIC])

    wire = await post("https://münchen.example./", names)

    assert names.asked == [("xn--mnchen-3ya.example.", 443)]
    assert wire.sent[0].extensions["sni_hostname"] == "xn--mnchen-3ya.example"


async def test_a_name_is_looked_up_once_per_request() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])

    wire = await post("https://partij.example/", names)

    assert len(names.asked) == 1
    assert [request.url.host for request in wire.sent] == [PUBLIC]


async def test_a_name_that_is_bound_anew_is_checked_anew() -> None:
    names, wire = Names([PUBLIC], ["169.254.169.254"]), Wire()
    await post("https://partij.example/", names, wire=wire)

    with pytest.raises(EgressForbidden):
        await post("https://partij.example/", names, wire=wire)

    assert len(wire.sent) == 1


async def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    wire = Wire()

    with pytest.raises(EgressForbidden):
        await post("https://partij.example/", Names([PUBLIC, "10.0.0.1"]), wire=wire)

    assert wire.sent == []


async def test_the_next_address_is_tried_when_nobody_listens_at_the_first() -> None:
    wire = await post(
        "https://partij.example/", Names([PUBLIC, "8.8.8.8"]), wire=Wire(dead=[PUBLIC])
    )

    assert [request.url.host for request in wire.sent] == [PUBLIC, "8.8.8.8"]


async def test_the_failure_of_the_last_address_is_the_answer() -> None:
    with pytest.raises(httpx.ConnectError):
        await post(
            "https://partij.example/",
            Names([PUBLIC, "8.8.8.8"]),
            wire=Wire(dead=[PUBLIC, "8.8.8.8"]),
        )


async def test_a_name_without_addresses_is_unresolved() -> None:
    with pytest.raises(NameUnresolved):
        await post("https://partij.example/", Names([]))


@pytest.mark.parametrize(
    ("url", "found", "allowed"),
    [
        ("http://partij.example/", PUBLIC, []),
        ("http://partij.example/", "10.0.0.1", ["10.0.0.0/8"]),
        ("http://partij.example/", "64:ff9b::7f00:1", ["127.0.0.0/8"]),
        ("ftp://partij.example/", PUBLIC, []),
        ("/in", PUBLIC, []),
        ("https:///in", PUBLIC, []),
        ("https://user:secret@partij.example/", PUBLIC, []),
        ("https://partij.example/", "127.0.0.1", []),
        ("https://partij.example/", "not an address", []),
        ("https://partij.example/", PUBLIC, ["not a network"]),
    ],
)
async def test_what_is_no_https_to_a_permitted_address_is_refused(
    url: str, found: str, allowed: Sequence[str]
) -> None:
    wire = Wire()

    with pytest.raises(EgressForbidden):
        await post(url, Names([found]), allowed=allowed, wire=wire)

    assert wire.sent == []


@pytest.mark.parametrize("found", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_plain_http_stays_on_this_machine(found: str) -> None:
    wire = await post("http://localhost:9000/", Names([found]), allowed=["127.0.0.0/8", "::1/128"])

    assert len(wire.sent) == 1


async def test_a_port_that_is_not_listed_is_refused() -> None:
    only = frozenset({443})

    await post("https://partij.example/", Names([PUBLIC]), ports=only)
    with pytest.raises(EgressForbidden):
        await post("https://partij.example:22/", Names([PUBLIC]), ports=only)


async def test_closing_the_transport_closes_the_connections() -> None:
    wire = Wire()

    await PinnedTransport([], resolve=Names([PUBLIC]), inner=wire).aclose()

    assert wire.closed


@pytest.mark.parametrize(
    "name", ["2130706433", "0x7f000001", "127.1", "0177.1", "[::ffff:7f00:1]", "localhost"]
)
async def test_no_spelling_of_loopback_passes_the_system_resolver(name: str) -> None:
    resolve, wire = SystemResolver(), Wire()

    with pytest.raises((EgressForbidden, NameUnresolved)):
        await PinnedTransport([], resolve=resolve, inner=wire).handle_async_request(
            httpx.Request("POST", f"https://{name}/")
        )

    assert wire.sent == []
    resolve.close()


async def test_the_system_resolver_finds_addresses_and_shares_a_look_up() -> None:
    resolve = SystemResolver(threads=1)

    found = await asyncio.gather(*(resolve("127.0.0.1", 443) for _ in range(3)))

    assert found == [("127.0.0.1",)] * 3
    resolve.close()


async def test_a_caller_that_gives_up_does_not_end_the_look_up_of_another() -> None:
    resolve = SystemResolver(threads=1)
    hasty, patient = (asyncio.ensure_future(resolve("127.0.0.1", 443)) for _ in range(2))
    asyncio.get_running_loop().call_soon(hasty.cancel)

    assert await patient == ("127.0.0.1",)
    resolve.close()


@pytest.mark.parametrize("name", ["a" * 300, "bad\0name"])
async def test_what_is_no_name_is_unresolved(name: str) -> None:
    resolve = SystemResolver()

    with pytest.raises(NameUnresolved):
        await resolve(name, 443)

    resolve.close()


def test_a_context_that_checks_no_certificates_is_refused() -> None:
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False

    with pytest.raises(ValueError, match="check"):
        Egress(careless, Names([PUBLIC]))
