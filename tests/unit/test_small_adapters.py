"""Quota, refusal log, news and log lines: small, and each keeps a promise."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from fixtures.world import SE, SHV
from gateway.adapters.logs import KEYS, EventLine
from gateway.adapters.news import News
from gateway.adapters.quota import Quota
from gateway.adapters.refusals import MOST_ENTRIES_PER_MINUTE, RefusalLog
from gateway.errors import Code, LedgerUnavailable, Refusal
from gateway.message import Door
from gateway.record import RefusalEntry
from gateway.routing.directory import Directory, Party

SOURCES = sorted((Path(__file__).parents[2] / "gateway").rglob("*.py"))

NOW = datetime(2026, 11, 22, 12, 30, 15, tzinfo=UTC)


def a_directory(per_minute: int) -> Directory:
    party = Party(SHV, "n", frozenset(), frozenset(), (), per_minute=per_minute)
    return Directory(1, MappingProxyType({SHV: party}))


class TestQuota:
    def test_a_party_may_use_its_minute_at_once_and_then_waits_for_the_next_message(self) -> None:
        clock = [0.0]
        quota = Quota(lambda: a_directory(60), lambda: clock[0])
        for _ in range(60):
            quota(SHV)

        with pytest.raises(Refusal) as refused:
            quota(SHV)

        assert refused.value.code is Code.QUOTUM_BEREIKT
        assert refused.value.retry_after == 1

    def test_the_quota_fills_again_with_time(self) -> None:
        clock = [0.0]
        quota = Quota(lambda: a_directory(60), lambda: clock[0])
        for _ in range(60):
            quota(SHV)
        clock[0] += 2.0

        quota(SHV)
        quota(SHV)

        with pytest.raises(Refusal):
            quota(SHV)

    def test_a_stranger_has_no_quota(self) -> None:
        quota = Quota(lambda: a_directory(60), lambda: 0.0)

        with pytest.raises(Refusal):
            quota(SE)


class Written:
    """Where a refusal log writes; down while ``down``."""

    def __init__(self) -> None:
        self.entries: list[RefusalEntry] = []
        self.down = False

    async def __call__(self, entries: Sequence[RefusalEntry]) -> None:
        if self.down:
            raise LedgerUnavailable("down")
        self.entries.extend(entries)


def a_refusal(party: str | None = None) -> Refusal:
    refusal = Refusal(Code.SCHEMA_ONGELDIG)
    refusal.party = party
    return refusal


class TestRefusals:
    async def test_each_refusal_of_a_verified_party_is_an_entry(self) -> None:
        written = Written()
        log = RefusalLog(written, lambda: NOW)
        log.note(a_refusal(SHV), Door.REST_JSON)
        log.note(a_refusal(SHV), Door.REST_JSON)

        await log.flush()

        assert [entry.party for entry in written.entries] == [SHV, SHV]

    async def test_refusals_of_strangers_are_counted_not_listed(self) -> None:
        written = Written()
        log = RefusalLog(written, lambda: NOW)
        for _ in range(10_000):
            log.note(a_refusal(), Door.REST_XML)

        await log.flush()

        assert [(entry.party, entry.count) for entry in written.entries] == [(None, 10_000)]

    async def test_a_flood_of_one_party_is_counted_beyond_its_first_entries(self) -> None:
        written = Written()
        log = RefusalLog(written, lambda: NOW)
        for _ in range(1_000):
            log.note(a_refusal(SHV), Door.REST_JSON)

        await log.flush()

        assert {entry.party for entry in written.entries} == {SHV}
        assert sum(entry.count for entry in written.entries) == 1_000
        assert len(written.entries) == MOST_ENTRIES_PER_MINUTE + 1

    async def test_a_ledger_that_is_down_loses_no_refusal(self) -> None:
        written = Written()
        written.down = True
        log = RefusalLog(written, lambda: NOW)
        log.note(a_refusal(SHV), Door.REST_JSON)
        log.note(a_refusal(), Door.REST_XML)
        await log.flush()
        written.down = False

        await log.flush()

        assert sorted(entry.count for entry in written.entries) == [1, 1]


class TestNews:
    async def test_whoever_waits_wakes_at_a_ring(self) -> None:
        news = News()
        waiting = asyncio.create_task(news.wait(30))
        await asyncio.sleep(0)

        news.ring()

        await asyncio.wait_for(waiting, 1)

    async def test_nobody_waits_longer_than_asked(self) -> None:
        await News().wait(0.01)


def given_to_log(tree: ast.AST) -> Iterator[ast.expr]:
    """What stands behind ``extra=`` of each event."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            of = call.func.value
            if isinstance(of, ast.Name) and of.id == "log":
                yield from (each.value for each in call.keywords if each.arg == "extra")


def dicts_named(tree: ast.AST, name: str) -> list[ast.expr]:
    """What is assigned to a variable anywhere in a file, where that is a dict."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]


def keys_logged(file: Path) -> set[str]:
    """The keys that a file gives to its log; fails where they cannot be read from it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    keys: set[str] = set()
    for given in given_to_log(tree):
        dicts = dicts_named(tree, given.id) if isinstance(given, ast.Name) else [given]
        assert dicts, f"{file}:{given.lineno}"
        for each in dicts:
            assert isinstance(each, ast.Dict), f"{file}:{each.lineno}"
            for key in each.keys:
                assert isinstance(key, ast.Constant), f"{file}:{each.lineno}"
                keys.add(str(key.value))
    return keys


class TestLogLines:
    def test_a_line_carries_only_known_keys(self) -> None:
        record = logging.makeLogRecord(
            {"name": "gateway.x", "msg": "delivery.attempted", "party": SHV, "bsn": "999990019"}
        )

        line = json.loads(EventLine().format(record))

        assert line["party"] == SHV
        assert "999990019" not in json.dumps(line)

    def test_words_of_libraries_and_texts_of_errors_are_left_out(self) -> None:
        error = ValueError("999990019")
        record = logging.makeLogRecord(
            {"name": "lib", "msg": "body: 999990019", "exc_info": (ValueError, error, None)}
        )

        line = EventLine().format(record)

        assert "999990019" not in line
        assert json.loads(line)["error"] == "ValueError"

    def test_what_events_carry_is_written(self) -> None:
        logged = {key: file.name for file in SOURCES for key in keys_logged(file)}

        assert {"problem", "delivery_id", "party"} <= logged.keys()
        assert {key: file for key, file in logged.items() if key not in KEYS} == {}
