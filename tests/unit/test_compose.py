"""docker-compose.yml can be read, and says nothing that the gateway does not know."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import ROLES, Settings, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]


def environment_of(service: str) -> dict[str, str]:
    """The gateway's variables as a container gets them, defaults filled in."""
    variables = SERVICES[service].get("environment", {})
    return {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in variables.items()
        if name.startswith("GATEWAY_")
    }


def test_every_variable_of_the_gateway_exists_in_its_settings() -> None:
    known = {f"GATEWAY_{field.name.upper()}" for field in fields(Settings)}
    files = [ROOT / "docker-compose.yml", *(ROOT / "deploy").iterdir()]

    for file in files:
        named = set(re.findall(r"\bGATEWAY_[A-Z_]+", file.read_text(encoding="utf-8")))
        assert named <= known, file.name


@pytest.mark.parametrize("service", ["prepare", "receive", "deliver", "clock", "keeper"])
def test_a_role_starts_with_the_settings_it_is_given(service: str) -> None:
    settings = load(
        {
            **environment_of(service),
            "GATEWAY_LEDGER": "postgresql://gateway:x@postgres/gateway",
            "GATEWAY_BROKER": "amqp://gateway:x@rabbitmq/",
        }
    )

    assert settings.port != settings.admin_port
    assert settings.proxies == (SERVICES["proxy"]["networks"]["inside"]["ipv4_address"],)


def test_every_role_is_played_by_one_service() -> None:
    played = [
        service["command"][2]
        for service in SERVICES.values()
        if service.get("command", [None])[0] == "dienst"
    ]

    assert sorted(played) == sorted(ROLES)


def test_what_a_service_names_exists() -> None:
    for name, service in SERVICES.items():
        assert {secret_of(each) for each in service.get("secrets", ())} <= set(COMPOSE["secrets"])
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_file(), source


def test_every_service_that_stays_has_a_health_check() -> None:
    lacking = [name for name, service in SERVICES.items() if "healthcheck" not in service]

    assert lacking == []


def test_no_password_is_written_down() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASS" not in name or name.endswith("_FILE")
            assert not re.search("://[^/]+:[^/]+@", value)


def secret_of(entry: Any) -> str:
    return str(entry["source"] if isinstance(entry, dict) else entry)
