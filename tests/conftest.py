"""What every test shares: private servers, a test PKI, a small world, canaries, and counts."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio
from hypothesis import settings

from fixtures.pki import Pki, make
from fixtures.running import Reach, in_process
from fixtures.world import Entry, World, lay_out, the_usual
from gateway.adapters.ledger.migrate import migrate
from gateway.app import Gateway
from gateway.schemas import Catalogue
from tests.required import AT_THE_GATE
from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url
from tests.servers.rabbitmq import broker, rabbitmq_server

__all__ = ["broker", "empty_postgres_url", "postgres_server", "postgres_url", "rabbitmq_server"]

# A slow machine is no failure, and the gate must say the same thing twice.
settings.register_profile("here", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("nightly", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate" if AT_THE_GATE else "here"))

CANARIES = (
    "999990007",
    "999990019",
    "Kanarie",
    "Karin",
    "Merel",
    "Fietsenmaker Bel",
    "1985-03-07",
    "Vogelplein",
    "Nestkade",
    "1234AB",
    "NL02VRBD0990000421",
    "NL59VRBD0300065264",
    "871690000000000010",
    "VS-2026-004711",
    "E-2025-0117",
    "medische apparatuur",
)
"""Personal data of the example messages. Seeing one of them in a log record is a failure."""


@pytest.fixture(autouse=True)
def no_personal_data_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Watches every logger, those of libraries too, at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        yield
    said = {
        (record.name, canary)
        for phase in ("setup", "call")  # caplog.text forgets earlier phases
        for record in caplog.get_records(phase)
        for canary in CANARIES
        if _names(_everything_in(record), canary)
    }
    assert not said, f"personal data in logs: {sorted(said)}"


_BASE64 = re.compile(r"[\w+/=-]{60,}", re.ASCII)
_MAY_COME_UP_BY_CHANCE = 6
"""Letters and digits; what is longer does not come up in the signatures of a whole run."""


def _names(text: str, canary: str) -> bool:
    """A short name counts inside base64 too, unless letters or digits go on at a side of it."""
    if canary not in text:
        return False
    if len(canary) > _MAY_COME_UP_BY_CHANCE:
        return True
    word = re.compile(rf"(?<![A-Za-z0-9]){canary}(?![A-Za-z0-9])")
    return canary in _BASE64.sub(" ", text) or word.search(text) is not None


_FORMATTER = logging.Formatter()


def _everything_in(record: logging.LogRecord) -> str:
    """The message, its extra fields, and the text of the exception, if there is one."""
    told = [record.getMessage(), *(str(value) for value in vars(record).values())]
    if record.exc_info:
        told.append(_FORMATTER.formatException(record.exc_info))
    return "\n".join(told)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """One test PKI for the whole run; keys are made when first asked for."""
    return make(tmp_path_factory.getbasetemp() / "pki")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The contract, read once."""
    return Catalogue.load()


class NewWorld(Protocol):
    """Lays out a gateway in a folder: the usual parties unless others are given."""

    def __call__(
        self, folder: Path, entries: Sequence[Entry] | None = None, **settings: str
    ) -> World: ...


@pytest.fixture(scope="session")
def new_world(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> NewWorld:
    """Worlds that share the PKI and the gateway's keys, which are slow to make."""
    first = lay_out(tmp_path_factory.mktemp("world"), [], pki=pki)
    empty_ledger = first.folder / "empty.db"
    migrate(f"sqlite:///{empty_ledger}")

    def new(folder: Path, entries: Sequence[Entry] | None = None, **settings: str) -> World:
        if "ledger" not in settings:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_ledger, folder / "gateway.db")
        given = the_usual() if entries is None else entries
        keys = str(first.settings.keys)
        return lay_out(folder, given, pki=pki, **{"keys": keys, **settings})

    return new


@pytest.fixture
def world(tmp_path: Path, new_world: NewWorld) -> World:
    """A gateway with the usual parties on SQLite, not started."""
    return new_world(tmp_path / "gateway")


Running = tuple[Gateway, Reach]
"""A started gateway, and how parties reach it."""


@pytest_asyncio.fixture
async def running(world: World) -> AsyncIterator[Running]:
    """That gateway, started in the event loop of the test."""
    async with in_process(world) as started:
        yield started


class Counts(Protocol):
    """Tells what a fault test counted: ``counts("leider weg", accepted=300, repeats=7)``."""

    def __call__(self, name: str, **numbers: float | str) -> None: ...


TOLD = pytest.StashKey[list[tuple[str, dict[str, float | str]]]]()


@pytest.fixture
def counts(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Counts:
    """Keeps these numbers for the table, and in the report of this test."""

    def tell(name: str, **numbers: float | str) -> None:
        request.config.stash.setdefault(TOLD, []).append((name, numbers))
        record_property(name, said(numbers))  # for tests.counted

    return tell


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    told = config.stash.get(TOLD, [])
    if not told:
        return
    terminalreporter.section("counted under faults")
    width = max(len(name) for name, _ in told)
    for name, numbers in told:
        terminalreporter.write_line(f"{name:<{width}}  {said(numbers)}")


def said(numbers: Mapping[str, float | str]) -> str:
    """Numbers with what they count, on one line."""
    return ", ".join(f"{each.replace('_', ' ')} {number}" for each, number in numbers.items())
