"""The command line says what is wrong in one sentence, and does nothing by accident."""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Protocol

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fixtures.parties import fresh
from fixtures.pki import Pki
from fixtures.world import SE, SHV, Entry, World, free_port, the_usual
from gateway import cli
from gateway.adapters.ledger.ledger import open_ledger
from gateway.cli.dienst import _say_where
from gateway.delivery import Reason
from gateway.errors import Fault
from gateway.message import Oin
from gateway.prepare import DIGEST_KEY, load_digest_key, prepare
from gateway.record import DeadLetter
from gateway.settings import Settings
from tests.conftest import NewWorld
from tests.e2e.operator import operator, operator_json

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
    """A world with two dead letters, of two recipients."""
    file = world.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection:
        columns = {row[1]: row for row in connection.execute("PRAGMA table_info(dead_letter)")}
        assert columns
    ledger = open_ledger(world.settings.ledger)
    ledger.close()
    return world
