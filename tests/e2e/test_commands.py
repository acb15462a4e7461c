"""The command line says what is wrong in one sentence, and does nothing by accident."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Protocol

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fixtures.pki import Pki
from fixtures.world import SE, SHV, Entry, World, the_usual
from gateway import cli
from gateway.adapters.secret_files import read_secret
from gateway.cli.dienst import _say_where
from gateway.dead_letter import DeadLetterFilter, Stranding
from gateway.delivery import Reason
from gateway.errors import Fault
from gateway.prepare import prepare
from gateway.settings import Settings
from tests.conftest import NewWorld
from tests.e2e.operator import operator, operator_json

RIGHTS = ("rabbitmq", "rechten")
STRANDED_AT = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
RESOLVING = ("herhaal", "verwerp", "vrijgeven")
NO_OIN = ["", "123", "0000009900000000100x", "٠" * 20, SE + "\n"]


@dataclass(frozen=True)
class Ended:
    """How a command ended, as a shell sees it."""

    code: int
    out: str
    error: str


class Gateway(Protocol):
    """Runs ``gateway …`` as from a shell, with what ``main`` makes of trouble."""

    def __call__(self, *arguments: str, **environment: str) -> Ended: ...


@pytest.fixture
def gateway(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Gateway:
    def run(*arguments: str, **environment: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
        for name, value in {**world.environment, "COLUMNS": "400", **environment}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        told = ended.value.code
        if isinstance(told, str):
            return Ended(1, said.out, said.err + told)
        return Ended(int(told or 0), said.out, said.err)

    return run


@pytest.fixture
def stranded(world: World) -> World:
    """A world with two dead letters that belong to no delivery."""
    with closing(world.ledger()) as ledger:
        ledger.strand(
            [
                Stranding(None, Reason.GEWEIGERD, "proef", STRANDED_AT, garbage=garbage)
                for garbage in (b"een", b"twee")
            ]
        )
    return world


def open_letters(world: World) -> int:
    with closing(world.ledger()) as ledger:
        return len(ledger.dead_letters(DeadLetterFilter()))


# Nothing by accident


@pytest.mark.parametrize("command", RESOLVING)
@pytest.mark.parametrize("oin", NO_OIN)
@pytest.mark.parametrize("option", ["--ontvanger", "--afzender"])
def test_what_is_no_oin_is_no_filter(
    option: str, oin: str, command: str, stranded: World, gateway: Gateway
) -> None:
    ended = gateway("gestrand", command, "--alles", option, oin, "--waarom", "proef")

    assert ended.code == 1
    assert ended.error == f"gateway: {option[2:]}: an OIN is 20 digits"
    assert open_letters(stranded) == 2


@pytest.mark.parametrize("command", RESOLVING)
def test_all_without_a_filter_or_without_a_reason_moves_nothing(
    command: str, stranded: World, gateway: Gateway
) -> None:
    whole = gateway("gestrand", command, "--alles", "--waarom", "proef")
    no_kind = gateway("gestrand", command, "--alles", "--soort", "", "--waarom", "proef")
    no_reason = gateway("gestrand", command, "1", "--waarom", " ")
    nobody = gateway("gestrand", command, "1", "--waarom", "proef", "--door", "")

    assert (whole.code, no_kind.code, no_reason.code, nobody.code) == (2, 1, 1, 1)
    assert "--alles met een filter" in whole.out
    assert "soort: may not be blank" in no_kind.error
    assert "waarom: may not be blank" in no_reason.error
    assert "door: may not be blank" in nobody.error
    assert open_letters(stranded) == 2


def test_all_that_matches_one_filter_is_discarded(stranded: World, gateway: Gateway) -> None:
    filters = ("--alles", "--reden", Reason.GEWEIGERD)

    assert "2 verworpen" in gateway("gestrand", "verwerp", *filters, "--waarom", "proef").out
    assert open_letters(stranded) == 0


def test_a_queue_is_refilled_for_an_oin_only(gateway: Gateway) -> None:
    ended = gateway("rabbitmq", "hervullen", "123", "--sinds", "2026-01-01")

    assert ended.error == "gateway: ontvanger: an OIN is 20 digits"
    assert "0 afleveringen" in gateway("rabbitmq", "hervullen", SE, "--sinds", "2026-01-01").out


@pytest.mark.parametrize("number", ["0", "-1", str(2**63)])
def test_a_number_that_no_dead_letter_can_have_is_a_mistake_in_typing(
    number: str, gateway: Gateway
) -> None:
    assert gateway("gestrand", "toon", "--", number).code == 2
    assert gateway("gestrand", "herhaal", "--waarom", "proef", "--", number).code == 2


def test_who_has_no_name_on_this_machine_is_a_number(
    stranded: World, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    gateway("gestrand", "verwerp", "1", "--waarom", "proef")

    (one,) = operator_json(stranded, "gestrand", "lijst", "--hersteld")[1:]
    assert one["hersteldDoor"] == f"uid-{os.getuid()}"


# What is shown


def test_times_are_shown_in_utc_as_the_filters_take_them(
    stranded: World, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert f"{STRANDED_AT:%m-%d %H:%M}Z" in gateway("gestrand", "lijst").out
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_name_is_shown_as_it_is_written(tmp_path: Path, new_world: NewWorld) -> None:
    name = "[/x] [bold]Bank[/bold] :bank:"
    world = new_world(tmp_path / "gateway", the_usual(se=Entry(SE, name, "schuldeiser")))

    assert name in operator(world, "partijen", "toon")


def test_the_rights_of_a_party_are_one_line_to_copy(tmp_path: Path, new_world: NewWorld) -> None:
    queue = Entry(SE, "Energie Voorbeeld", "schuldeiser", kanaal="queue")
    world = new_world(tmp_path / "gateway", the_usual(se=queue))
    narrow = {"COLUMNS": "20", "GATEWAY_BROKER": "amqp://gateway@localhost/schuld%20hulp"}

    said = operator(replace(world, environment={**world.environment, **narrow}), *RIGHTS)
    by_default = operator(world, *RIGHTS)

    rights = rf"{SE} '^$' '^gateway\.inzending$' '^partij\.{SE}(\.antwoord)?$'"
    assert said == f"rabbitmqctl set_permissions -p 'schuld hulp' {rights}\n"
    assert by_default == f"rabbitmqctl set_permissions {rights}\n"


def test_where_the_console_is_follows_from_where_it_listens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _say_where(Settings(admin_host="127.0.0.2", admin_port=8081))
    apart = capsys.readouterr().out
    _say_where(Settings(roles=frozenset({"klok"})))

    assert "luistert op http://127.0.0.1:8080;" in apart
    assert "http://127.0.0.2:8081/console" in apart
    assert capsys.readouterr().out == ""


# Files that are not what they should be


def test_a_directory_that_is_not_in_utf_8_is_named(tmp_path: Path, gateway: Gateway) -> None:
    file = tmp_path / "latijn.toml"
    file.write_bytes("naam = 'Financiële hulp'".encode("latin-1"))

    assert gateway("partijen", "toepassen", str(file)).error == (
        f"gateway: {file} is not a text in UTF-8"
    )


def test_a_certificate_that_is_not_there_is_said_to_be_missing(
    tmp_path: Path, pki: Pki, gateway: Gateway
) -> None:
    file = tmp_path / "nieuw.toml"
    there = str(pki.party(SE).cert_path.resolve())
    file.write_text(Entry(SE, "Bank", "schuldeiser").toml(pki).replace(there, "nergens.pem"))

    ended = gateway("partijen", "toepassen", str(file))

    assert ended.code == 1
    assert f"{tmp_path / 'nergens.pem'}: No such file or directory" in ended.error


@pytest.mark.parametrize("which", ["nothing", "encrypted", "another kind", "not readable"])
def test_a_wrong_key_is_named(which: str, tmp_path: Path, pki: Pki, gateway: Gateway) -> None:
    me = pki.party(SHV)
    key = serialization.load_pem_private_key(me.key_path.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"geheim")
    content = {
        "nothing": b"",
        "encrypted": key.private_bytes(PEM, PKCS8, locked),
        "another kind": ec.generate_private_key(ec.SECP256R1()).private_bytes(
            PEM, PKCS8, serialization.NoEncryption()
        ),
        "not readable": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }[which]
    file = tmp_path / "sleutel.pem"
    file.write_bytes(content)

    ended = gateway("token", "--sleutel", str(file), "--certificaat", str(me.cert_path))

    assert ended.code == 1
    assert ended.error == f"gateway: {file} must hold an RSA key in PEM, without a password"


def test_a_wrong_certificate_is_named(tmp_path: Path, pki: Pki, gateway: Gateway) -> None:
    mine, theirs = pki.party(SHV), pki.party(SE)
    file = tmp_path / "certificaat.pem"
    file.write_bytes(b"geen certificaat")
    key = ("--sleutel", str(mine.key_path))

    no_certificate = gateway("token", *key, "--certificaat", str(file))
    of_another = gateway("token", *key, "--certificaat", str(theirs.cert_path))

    assert f"{file} must hold a certificate" in no_certificate.error
    assert f"{theirs.cert_path} is a certificate of another key" in of_another.error


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Something that answers every request alike; gives its address."""

    class Always(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Always)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail": "Not Found"}'),
        (503, b""),
        (200, b"<html>Welkom</html>"),
        (200, b"[]"),
        (200, b"{}"),
    ],
)
def test_what_is_no_gateway_gives_no_token(
    status: int, body: bytes, pki: Pki, gateway: Gateway
) -> None:
    me = pki.party(SHV)
    mine = ("--sleutel", str(me.key_path), "--certificaat", str(me.cert_path))

    with answering(status, body) as url:
        ended = gateway("token", *mine, "--url", url)

    assert ended.error == f"gateway: no token: {url} answers {status}; is a gateway there?"


@pytest.mark.parametrize("url", ["geen adres", "http://[", "http://127.0.0.1:1"])
def test_an_address_where_nothing_answers_is_named(url: str, pki: Pki, gateway: Gateway) -> None:
    me = pki.party(SHV)
    mine = ("--sleutel", str(me.key_path), "--certificaat", str(me.cert_path))

    assert f"no answer from {url}" in gateway("token", *mine, "--url", url).error


# The ledger


def test_a_ledger_that_is_not_there_names_what_makes_it(tmp_path: Path, gateway: Gateway) -> None:
    ended = gateway("gestrand", "lijst", GATEWAY_LEDGER=f"sqlite:///{tmp_path}/nergens/gateway.db")

    assert ended.code == 1
    assert "cannot be opened" in ended.error
    assert "gateway inrichten" in ended.error


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path: Path, gateway: Gateway) -> None:
    file = tmp_path / "brief.txt"
    file.write_text("Geachte heer, mevrouw. " * 100, encoding="utf-8")

    for command in (("gestrand", "lijst"), ("inrichten",)):
        ended = gateway(*command, GATEWAY_LEDGER=f"sqlite:///{file}")
        assert ended.code == 1
        assert "is no ledger of this gateway" in ended.error
        assert len(ended.error.splitlines()) == 1


# Preparing


@pytest.fixture
def bare(tmp_path: Path) -> Settings:
    """Of a gateway that was never prepared."""
    return Settings(keys=tmp_path / "sleutels", ledger=f"sqlite:///{tmp_path}/var/gateway.db")


def test_an_empty_folder_gets_keys_and_a_second_time_nothing(bare: Settings) -> None:
    bare.keys.mkdir()

    first, second = prepare(bare), prepare(bare)

    assert len(first) == 5
    assert len(second) == 1
    assert sorted(file.name for file in bare.keys.iterdir()) == [
        "ec-0001.pem",
        "index-0001.sleutel",
        "kluis-0001.sleutel",
        "rsa-0001.pem",
        "samenvatting.sleutel",
    ]
    assert {mode_of(file) for file in bare.keys.iterdir()} == {0o600}


def test_a_ledger_is_for_its_owner_only(bare: Settings) -> None:
    file = Path(bare.ledger.removeprefix("sqlite:///"))
    prepare(bare)
    file.chmod(0o644)

    prepare(bare)

    assert mode_of(file) == 0o600


def mode_of(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_a_key_file_that_cannot_be_relied_on_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kluis-0001.sleutel"

    with pytest.raises(Fault, match=r"kluis-0001.sleutel is missing.*gateway inrichten"):
        read_secret(file)
    file.write_bytes(b"x" * 32)
    for mode in (0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(Fault, match=r"kluis-0001.sleutel is open to others"):
            read_secret(file)
    file.chmod(0o600)
    assert read_secret(file) == b"x" * 32
    file.write_bytes(b"x" * 31)
    with pytest.raises(Fault, match=r"kluis-0001.sleutel is not 32 bytes"):
        read_secret(file)


def test_a_digest_key_that_was_half_written_is_not_there(
    bare: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    bare.keys.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr("gateway.adapters.keyring.GatewayKeys.create", lambda *there: None)
        patched.setattr(os, "fsync", full)
        with pytest.raises(Fault, match="No space left on device"):
            prepare(bare)

    assert list(bare.keys.iterdir()) == []


@pytest.mark.parametrize("place", ["keys", "ledger"])
def test_where_nothing_can_be_made_is_named(place: str, bare: Settings, tmp_path: Path) -> None:
    file = tmp_path / "bestand"
    file.touch()
    wrong = {
        "keys": replace(bare, keys=file / "sleutels"),
        "ledger": replace(bare, ledger=f"sqlite:///{file}/gateway.db"),
    }[place]

    with pytest.raises(Fault, match=rf"{file}.* cannot be made: "):
        prepare(wrong)
