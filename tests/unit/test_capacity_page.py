"""The figures that the pages name are those of the newest bench and soak, to their decimals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.test_docs import ROOT, prose, rows_of

BENCH = max((ROOT / "bench" / "results").glob("*.json"))
SOAK = ROOT / "tests" / "soak" / "report.json"
CAPACITY, GUARANTEES = ROOT / "docs" / "capacity.md", ROOT / "docs" / "guarantees.md"
NUMBER = r"(\d[\d,]*(?:\.\d+)?)"

measured: Mapping[str, Any] = json.loads(BENCH.read_text("utf-8"))
soaked: Mapping[str, Any] = json.loads(SOAK.read_text("utf-8"))


def raced(contestant: str, size: str = "10 KB") -> Mapping[str, float]:
    """The medians of one contestant at 32 connections."""
    wanted = (contestant, size, 32)
    (one,) = [
        each
        for each in measured["race"]["medians"]
        if (each["contestant"], each["size"], each["connections"]) == wanted
    ]
    found: Mapping[str, float] = one
    return found


def ratios(ours: str, what: str = "ratio") -> list[float]:
    """Ours as a share of floor, FastStream and Camel, at 10 KB."""
    return [
        each[what]
        for other in ("floor", "FastStream", "Camel")
        for each in measured["race"]["ratios"]
        if (each["ours"], each["other"], each["size"]) == (ours, other, "10 KB")
    ]


def per_cpu_second(processes: int) -> float:
    """Messages, as a percentage of those of one process."""
    runs = {each["processes"]: each["per_cpu_second"] for each in measured["processes"]["runs"]}
    return float(100 * runs[processes] / runs[1])


def as_written(said: str, value: float) -> bool:
    """Whether a page says this value, to as many decimals as it gives."""
    decimals = len(said.partition(".")[2])
    return abs(float(said.replace(",", "")) - value) <= 0.5 * 10.0**-decimals + 1e-9


ONE, TWO = raced("gateway"), raced("gateway, 2 processes")
HALF, SECOND = measured["latency"]["half"], "offered_per_second"
SEALING = measured["stations"]["10 KB"]

SENTENCES = {
    f"took {NUMBER} messages of 10 KB a second and {NUMBER} of 3.6 KB": [
        ONE[SECOND],
        raced("gateway", "3.6 KB")[SECOND],
    ],
    f"two took {NUMBER} and {NUMBER}\\.": [
        TWO[SECOND],
        raced("gateway, 2 processes", "3.6 KB")[SECOND],
    ],
    f"cost one process {NUMBER} ms of CPU, and PostgreSQL and RabbitMQ {NUMBER} ms": [
        ONE["own_us"] / 1000,
        (ONE["postgres_us"] + ONE["rabbitmq_us"]) / 1000,
    ],
    f"two cores, meet them: {NUMBER}, {NUMBER} and {NUMBER} ": ratios("gateway, 2 processes"),
    f"to best: {NUMBER}, {NUMBER} and {NUMBER}\\)": ratios("gateway, 2 processes", "best_to_best"),
    f"One process has {NUMBER}, {NUMBER} and {NUMBER}:": ratios("gateway"),
    f"was ready after {NUMBER} s": [measured["start"]["PostgreSQL + RabbitMQ"]["median_seconds"]],
    f"two processes gave {NUMBER} % more messages a CPU second": [per_cpu_second(2) - 100],
    f"four on two cores {NUMBER} % fewer": [100 - per_cpu_second(4)],
    f"embedded default took {NUMBER} messages of 10 KB": [
        measured["embedded"]["10 KB"]["accepted_per_second"]
    ],
    f"p99 was {NUMBER} times p50": [measured["latency"]["p99_to_p50"]],
    f"at most {NUMBER} MiB, flat": [measured["memory"]["most_mib"]],
    f"within {NUMBER} % the same over": [100 * measured["rows"]["spread"]],
}

FIGURES = {
    f"p50 {NUMBER} ms, p99 {NUMBER} ms at {NUMBER} messages/s of 10 KB": [
        HALF["p50_ms"],
        HALF["p99_ms"],
        HALF["accepted_per_second"],
    ],
    f"{NUMBER} µs for 10 KB, {NUMBER} µs to open": [
        SEALING["record: seal"],
        SEALING["deliver: open"],
    ],
    f"{NUMBER} % of accept on SQLite and {NUMBER} % on PostgreSQL": [
        100 * measured["evidence"]["SQLite"]["share"],
        100 * measured["evidence"]["PostgreSQL"]["share"],
    ],
    f"{NUMBER} messages in an hour with {NUMBER} faults": [
        soaked["aangenomen"],
        len(soaked["verloop"]),
    ],
    f"highest {NUMBER} MiB per process over that hour": [
        max(each["rss_mib"]["meest"] for each in soaked["processen"])
    ],
}


def test_the_page_names_the_newest_bench() -> None:
    assert f"({'../' + str(BENCH.relative_to(ROOT).with_suffix('.md'))})" in prose(CAPACITY)


def test_each_contestant_has_the_costs_that_were_measured() -> None:
    names = {each["contestant"] for each in measured["race"]["medians"]}
    costs = (SECOND, "own_us", "postgres_us", "rabbitmq_us")

    rows = {row[0]: row[1:] for row in rows_of(CAPACITY) if row[0] in names}

    assert rows.keys() == names
    for name, row in rows.items():
        found = raced(name)
        assert all(as_written(said, found[cost]) for said, cost in zip(row, costs, strict=True)), (
            name
        )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_of_the_page_says_what_was_measured(sentence: str) -> None:
    said_is_measured(prose(CAPACITY), sentence, SENTENCES[sentence])


@pytest.mark.parametrize("sentence", FIGURES)
def test_a_figure_of_a_guarantee_is_what_was_measured(sentence: str) -> None:
    said_is_measured(prose(GUARANTEES), sentence, FIGURES[sentence])


def said_is_measured(text: str, sentence: str, values: list[float]) -> None:
    found = re.findall(sentence, " ".join(text.split()))
    assert len(found) == 1, f"it says this {len(found)} times"
    said = [found[0]] if isinstance(found[0], str) else list(found[0])
    wrong = [
        (one, value) for one, value in zip(said, values, strict=True) if not as_written(one, value)
    ]
    assert not wrong
