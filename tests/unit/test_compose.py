"""docker-compose.yml can be read, and says nothing that the gateway does not know."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import ROLES, Settings, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

_ENTRY = re.compile(r'(?P<key>"[^"]+"|<<|[A-Za-z0-9_./-]+):(?: +(?P<value>.+))?')


class Reader:
    """Reads the part of YAML that the file uses; anything else is an error."""

    def __init__(self, text: str) -> None:
        self.anchors: dict[str, Any] = {}
        bare = (line.rstrip() for line in text.splitlines())
        self.lines = [line for line in bare if line and not line.lstrip().startswith("#")]
        assert not any("\t" in line for line in self.lines)

    def document(self) -> Any:
        value = self.block(0)
        assert not self.lines, f"left over: {self.lines[0]}"
        return value

    def indent(self) -> int:
        return len(self.lines[0]) - len(self.lines[0].lstrip()) if self.lines else -1

    def block(self, depth: int) -> Any:
        assert self.indent() == depth, f"indentation: {self.lines[:1]}"
        if self.lines[0].lstrip().startswith("- "):
            return self.sequence(depth)
        return self.mapping(depth)

    def sequence(self, depth: int) -> list[Any]:
        items = []
        while self.indent() == depth and self.lines[0].lstrip().startswith("- "):
            item = self.lines[0].lstrip().removeprefix("- ")
            if _ENTRY.fullmatch(item):
                self.lines[0] = " " * (depth + 2) + item
                items.append(self.mapping(depth + 2))
            else:
                self.lines.pop(0)
                items.append(self.scalar(item))
        return items

    def mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.indent() == depth:
            entry = _ENTRY.fullmatch(self.lines.pop(0).strip())
            assert entry is not None
            key, value = entry["key"].strip('"'), entry["value"] or ""
            if key == "<<":
                found |= self.anchors[value.removeprefix("*")]
                continue
            if value and not value.startswith("&"):
                found[key] = self.scalar(value)
            else:
                found[key] = self.block(self.indent()) if self.indent() > depth else None
                if value:
                    self.anchors[value.removeprefix("&")] = found[key]
        return found

    def scalar(self, text: str) -> Any:
        if text[0] in '["{' or text in {"true", "false"}:
            return json.loads(text)
        assert not re.search(r"[&*!|>'%@`]|: |^-| #", text), f"quote this: {text}"
        return text


COMPOSE = Reader(TEXT).document()
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
