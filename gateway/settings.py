"""Configuration: read once at start from ``GATEWAY_*`` into one frozen object.

All problems are reported together. Secrets are paths to files, never values.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.errors import Fault
from gateway.message import Oin

HARD_LIMIT_BYTES = 20 * 1024 * 1024
"""No setting raises the largest body above this (Grote Berichten starts here)."""

TEST_GATEWAY = Oin("00000099000000009000")
"""The gateway of a trial; production must name its own."""

LARGEST_PORT = 65_535

ROLES = frozenset({"ontvangen", "bezorgen", "klok", "houder"})


class SettingsInvalid(Fault):
    """The environment does not describe a gateway that may start."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can choose. Field ``x`` is read from ``GATEWAY_X``.

    Attributes:
        oin: The gateway is a party too; its own OIN.
        environment: ``test`` or ``productie``; the latter refuses test OINs.
        ledger: ``sqlite:///path`` or ``postgresql://user@host/database``; with a replica
            ``postgresql://user@/database?host=a:5432&host=b:5432&target_session_attrs=read-write``.
        broker: ``amqp://…``, or several nodes of one cluster, tried in turn; empty for a
            gateway without queues.
        keys: Folder with the gateway's keys (0600), outside the folder of the ledger: a
            copy of the data must not hold what opens it.
        url: Where parties reach the gateway; the audience of token requests.
        host: Address to listen on.
        port: Port for parties.
        admin_host: Address that the console and health listen on.
        admin_port: Port for console and health, which ask no password; equal to ``port``
            only on loopback, without proxies. Of several processes each has the next one.
        processes: How many share the work on this machine.
        largest_body: Bytes that a body may have; at most 20 MiB.
        body_timeout: Time in which a whole body must arrive.
        waiting: Submissions that may wait for the ledger before 503.
        skew: How far ahead a sender's clock may be.
        proxies: Addresses whose ``Client-Cert`` header is believed.
        roles: Which of ontvangen, bezorgen, klok, houder this process plays.
        ca_bundle: Trusted roots for push; empty for the system's.
        inline_limit: Bodies up to so many bytes are checked in the event loop.
        clock_ahead: A file with the number of seconds that the clock of a trial is ahead;
            production refuses it.
    """

    oin: Oin = TEST_GATEWAY
    environment: str = "test"
    ledger: str = "sqlite:///var/grootboek/gateway.db"
    broker: tuple[str, ...] = ()
    keys: Path = Path("var/sleutels")
    url: str = "http://127.0.0.1:8080"
    host: str = "127.0.0.1"
    port: int = 8080
    admin_host: str = "127.0.0.1"
    admin_port: int = 8080
    processes: int = 1
    largest_body: int = 10 * 1024 * 1024
    body_timeout: timedelta = timedelta(seconds=30)
    waiting: int = 2_000
    skew: timedelta = timedelta(seconds=60)
    proxies: tuple[str, ...] = ()
    roles: frozenset[str] = ROLES
    ca_bundle: str = ""
    inline_limit: int = 256 * 1024
    clock_ahead: Path | None = None


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsInvalid: with every problem, one a line, naming the variables.
    """
    known = {f"GATEWAY_{field.name.upper()}": field.name for field in fields(Settings)}
    problems: list[str] = []
    values: dict[str, object] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith("GATEWAY_"):
            continue
        name = known.get(variable)
        if name is None:
            if not variable.startswith("GATEWAY_TESTS_"):
                problems.append(f"{variable}: unknown; known are {', '.join(sorted(known))}")
            continue
        try:
            values[name] = _read(name, text)
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    settings = Settings(**values)  # type: ignore[arg-type]
    problems += _contradictions(settings)
    if problems:
        raise SettingsInvalid("\n".join(problems))
    return settings


def _read(name: str, text: str) -> object:
    match name:
        case "port" | "admin_port" | "processes" | "largest_body" | "waiting" | "inline_limit":
            if not re.fullmatch(r"[0-9]{1,9}", text):
                raise ValueError("must be a whole number")
            return int(text)
        case "body_timeout" | "skew":
            if not re.fullmatch(r"[0-9]{1,6}", text):
                raise ValueError("must be a whole number of seconds")
            return timedelta(seconds=int(text))
        case "proxies":
            addresses = tuple(part.strip() for part in text.split(",") if part.strip())
            for address in addresses:
                ipaddress.ip_address(address)
            return addresses
        case "broker":
            # a password may hold a comma; what comes after one is another address
            return tuple(re.split(r"[\s,]+(?=amqps?://)", text.strip())) if text.strip() else ()
        case "roles":
            return frozenset(part.strip() for part in text.split(",") if part.strip())
        case _:
            return Path(text) if name in {"keys", "clock_ahead"} else text


def _unfit_for_production(settings: Settings) -> list[str]:
    problems = []
    if settings.environment not in {"test", "productie"}:
        problems.append("GATEWAY_ENVIRONMENT: must be test or productie")
    if settings.environment == "productie" and settings.oin.startswith("00000099"):
        problems.append("GATEWAY_OIN: production refuses a test OIN (00000099…)")
    if settings.environment == "productie" and settings.clock_ahead is not None:
        problems.append("GATEWAY_CLOCK_AHEAD: production goes by the time that it is")
    if settings.environment == "productie" and keys_beside_ledger(settings):
        problems.append("GATEWAY_KEYS: must lie outside the folder of GATEWAY_LEDGER")
    return problems


def _contradictions(settings: Settings) -> list[str]:
    problems = [*_listeners(settings), *_unfit_for_production(settings)]
    if not re.fullmatch(r"[0-9]{20}", settings.oin):
        problems.append("GATEWAY_OIN: must be 20 digits")
    if settings.largest_body > HARD_LIMIT_BYTES:
        problems.append(f"GATEWAY_LARGEST_BODY: at most {HARD_LIMIT_BYTES}")
    if not settings.roles or settings.roles - ROLES:
        problems.append(f"GATEWAY_ROLES: choose from {', '.join(sorted(ROLES))}")
    if not _is_ledger(settings.ledger):
        problems.append("GATEWAY_LEDGER: must be sqlite:///… or postgresql://…")
    if not all(map(_is_broker, settings.broker)):
        problems.append("GATEWAY_BROKER: must be amqp://… or amqps://…, or several with commas")
    if len({urlsplit(address).path for address in settings.broker if _is_broker(address)}) > 1:
        problems.append("GATEWAY_BROKER: every address must name the same virtual host")
    return problems


def keys_beside_ledger(settings: Settings) -> bool:
    """Whether who copies the folder of the ledger has the keys as well."""
    if not settings.ledger.startswith("sqlite:///") or not _is_ledger(settings.ledger):
        return False
    folder = Path(make_url(settings.ledger).database or "").absolute().parent
    return settings.keys.absolute().is_relative_to(folder)


def _listeners(settings: Settings) -> Iterator[str]:
    """What is wrong with where it listens."""
    for name in ("port", "admin_port"):
        if not 1 <= getattr(settings, name) <= LARGEST_PORT:
            yield f"GATEWAY_{name.upper()}: must be 1 to {LARGEST_PORT}"
    for name in ("host", "admin_host"):
        if not getattr(settings, name).strip():  # an empty one would listen everywhere
            yield f"GATEWAY_{name.upper()}: may not be empty"
    hosts = (settings.host, settings.admin_host)
    private = all(map(_loopback, hosts)) and not settings.proxies
    if settings.port == settings.admin_port and not private:
        yield (
            "GATEWAY_ADMIN_PORT: must differ from GATEWAY_PORT, unless the hosts are loopback "
            "and there are no proxies"
        )
    if settings.processes < 1:
        yield "GATEWAY_PROCESSES: must be 1 or more"
    elif settings.processes > 1:
        yield from _admin_ports(settings)


def _admin_ports(settings: Settings) -> Iterator[str]:
    """What is wrong with the ports that several processes have for the operator."""
    ports = range(settings.admin_port, settings.admin_port + settings.processes)
    if settings.port in ports:
        yield (
            f"GATEWAY_ADMIN_PORT: {settings.processes} processes answer for their health at "
            f"{ports[0]} to {ports[-1]}; GATEWAY_PORT may not be one of these"
        )
    if ports[-1] > LARGEST_PORT:
        yield f"GATEWAY_ADMIN_PORT: the last of {settings.processes} is above {LARGEST_PORT}"


def _is_ledger(address: str) -> bool:
    """Can it be read? What it says is not told: there may be a password in it."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        return False
    if url.drivername == "sqlite":
        return bool(url.database) and not url.host  # two slashes make a folder a host
    return url.drivername in {"postgresql", "postgresql+psycopg"}


def _is_broker(address: str) -> bool:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return False
    # anything between two addresses that is no comma would end up in a name
    named = bool(parts.hostname) and not re.search(r"[\s,]", f"{parts.hostname}{parts.path}")
    return parts.scheme in {"amqp", "amqps"} and named


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
