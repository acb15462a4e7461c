"""Settings: read once, every problem at once, nothing unsafe by accident."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.settings import HARD_LIMIT_BYTES, Settings, SettingsInvalid, load

PRODUCTION = {"GATEWAY_ENVIRONMENT": "productie", "GATEWAY_OIN": "00000003990090000000"}


def test_without_any_setting_it_is_a_trial_on_loopback() -> None:
    assert load({}) == Settings()
    assert load({}).host == "127.0.0.1"


def test_settings_of_others_are_not_ours() -> None:
    assert load({"PATH": "/usr/bin", "GATEWAY_TESTS_ALL": "1"}) == Settings()


def test_numbers_are_seconds_and_bytes() -> None:
    settings = load({"GATEWAY_SKEW": "5", "GATEWAY_LARGEST_BODY": "1000"})

    assert settings.skew == timedelta(seconds=5)
    assert settings.largest_body == 1000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_NO_SUCH", "1"),
        ("GATEWAY_PORT", "http"),
        ("GATEWAY_PORT", "0"),
        ("GATEWAY_ADMIN_PORT", "65536"),
        ("GATEWAY_HOST", ""),
        ("GATEWAY_ADMIN_HOST", " "),
        ("GATEWAY_PROCESSES", "0"),
        ("GATEWAY_PROCESSES", "alle"),
        ("GATEWAY_SKEW", "-1"),
        ("GATEWAY_PROXIES", "proxy.local"),
        ("GATEWAY_ROLES", "ontvangen,slapen"),
        ("GATEWAY_ROLES", ""),
        ("GATEWAY_OIN", "123"),
        ("GATEWAY_ENVIRONMENT", "acceptatie"),
        ("GATEWAY_LEDGER", "mysql://x"),
        ("GATEWAY_LEDGER", "sqlite:var/gateway.db"),
        ("GATEWAY_LEDGER", "sqlite://var/gateway.db"),
        ("GATEWAY_LEDGER", "sqlite:///"),
        ("GATEWAY_LEDGER", "postgresql:gateway"),
        ("GATEWAY_LEDGER", "postgresql://gateway@localhost:port/gateway"),
        ("GATEWAY_BROKER", "localhost"),
        ("GATEWAY_BROKER", "amqp://gateway@localhost:port/"),
        ("GATEWAY_BROKER", "amqp://een/,localhost"),
        ("GATEWAY_BROKER", "amqp://een, twee/"),
        ("GATEWAY_BROKER", "amqp://een/a,amqp://twee/b"),
        ("GATEWAY_LARGEST_BODY", str(HARD_LIMIT_BYTES + 1)),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=variable):
        load({variable: value})


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ()),
        ("amqp://een/", ("amqp://een/",)),
        ("amqp://u:a,b@een/x,amqps://u@twee/x", ("amqp://u:a,b@een/x", "amqps://u@twee/x")),
        (
            " amqp://een/  amqp://twee/, amqp://drie/ ",
            ("amqp://een/", "amqp://twee/", "amqp://drie/"),
        ),
    ],
)
def test_several_brokers_are_read_in_their_order(given: str, read: tuple[str, ...]) -> None:
    assert load({"GATEWAY_BROKER": given}).broker == read


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load({"GATEWAY_PORT": "x", "GATEWAY_OIN": "1", "GATEWAY_WRONG": ""})

    assert len(str(refused.value).splitlines()) == 3


def test_production_refuses_a_test_oin() -> None:
    with pytest.raises(SettingsInvalid, match="test OIN"):
        load({"GATEWAY_ENVIRONMENT": "productie"})

    assert load(PRODUCTION).environment == "productie"


@pytest.mark.parametrize("variable", ["GATEWAY_LEDGER", "GATEWAY_BROKER"])
@pytest.mark.parametrize("scheme", ["postgresql", "amqp", "mysql"])
def test_an_address_with_a_password_in_it_is_not_told(scheme: str, variable: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load({variable: f"{scheme}://gateway:geheim@localhost:port/x"})

    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"GATEWAY_HOST": "0.0.0.0"},
        {"GATEWAY_ADMIN_HOST": "0.0.0.0"},
        {"GATEWAY_PROXIES": "127.0.0.1"},
    ],
)
def test_the_console_shares_a_port_only_on_loopback_without_proxies(
    setting: dict[str, str],
) -> None:
    with pytest.raises(SettingsInvalid, match="GATEWAY_ADMIN_PORT"):
        load(setting)

    assert load({**setting, "GATEWAY_ADMIN_PORT": "8081"}).admin_port == 8081


def test_the_console_listens_on_loopback_unless_told_otherwise() -> None:
    apart = {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_ADMIN_PORT": "8081"}

    assert load(apart).admin_host == "127.0.0.1"
    assert load({**apart, "GATEWAY_ADMIN_HOST": "10.0.0.1"}).admin_host == "10.0.0.1"


def test_each_of_several_processes_has_a_port_for_the_operator_beside_that_for_parties() -> None:
    three = {"GATEWAY_PROCESSES": "3"}

    for first in ("8078", "8079", "8080", "65534"):
        with pytest.raises(SettingsInvalid, match="GATEWAY_ADMIN_PORT"):
            load({**three, "GATEWAY_ADMIN_PORT": first})
    for first in ("8077", "8081"):
        assert load({**three, "GATEWAY_ADMIN_PORT": first}).processes == 3
