"""The report of a soak, for people and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.soak.checking import Verdict
from tests.soak.letters import CHANNELS
from tests.soak.watching import Sample, Watch

PERIOD_MINUTES = 5
WARM_SECONDS = 300.0
"""Memory that grows before then is what a process needs, not what it loses."""


def machine(watch: Watch) -> dict[str, str]:
    """On what it ran."""
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "kernen": str(os.cpu_count()),
        "geheugen": _first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": str(watch.city.postgres.ask("SHOW server_version")[0][0]),
        "belasting van alles samen, aan het eind": " ".join(f"{x:.1f}" for x in os.getloadavg()),
    }


def _first(file: str, key: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "onbekend"


def told(
    watch: Watch, verdicts: Sequence[Verdict], lines: Counter[str], **run: Any
) -> dict[str, Any]:
    """Everything, as JSON."""
    book = watch.city.book
    by_name: dict[str, list[float | None]] = defaultdict(list)
    for fault in watch.faults:
        by_name[fault.name].append(fault.flowing)
    return {
        **run,
        "oordeel": "gehaald" if all(each.holds for each in verdicts) else "NIET gehaald",
        "machine": machine(watch),
        "gemeten_per_seconde": [
            {"minuut": round(at / 60, 1), "berichten_per_seconde": round(rate, 1)}
            for at, rate in watch.measured
        ],
        "aangenomen": len(book.accepted),
        "eerste_exemplaren": book.delivered,
        "per_kanaal": {
            each: {"eerste": book.arrived[each], "herhaald": book.repeats[each]}
            for each in CHANNELS
        },
        "gesprekken": len(book.order),
        "geweigerd_door_abonnee": len(book.rejected),
        "gestrand_herhaald": book.replayed,
        "opdracht_mislukt": book.operator_failed,
        "ontvangstbewijzen_vergeleken": book.receipts_compared,
        "opnieuw_geprobeerd_na": dict(book.failed.most_common()),
        "terecht_geweigerd": dict(sorted(book.refused.items())),
        "storingen": [
            {
                "soort": name,
                "aantal": len(times),
                "stroomt_weer_na_s": _spread(times),
            }
            for name, times in sorted(by_name.items())
        ],
        "verloop": [asdict(each) for each in watch.faults],
        "aannemen": _accepting(book.answers),
        "processen": list(_processes(watch.samples)),
        "logregels": dict(lines.most_common()),
        "gebroken": book.violations,
        "gecontroleerd": [asdict(each) for each in verdicts],
    }


def _spread(times: Iterable[float | None]) -> dict[str, float]:
    known = sorted(each for each in times if each is not None)
    if not known:
        return {}
    return {"mediaan": round(statistics.median(known), 1), "langste": round(known[-1], 1)}


def _accepting(answers: dict[int, list[float]]) -> list[dict[str, float]]:
    periods: dict[int, list[float]] = defaultdict(list)
    for minute, times in answers.items():
        periods[minute // PERIOD_MINUTES].extend(times)
    return [
        {
            "vanaf_minuut": period * PERIOD_MINUTES,
            "antwoorden": len(times),
            "p50_ms": round(1000 * _share(times, 0.5), 1),
            "p99_ms": round(1000 * _share(times, 0.99), 1),
            "langste_ms": round(1000 * max(times), 1),
        }
        for period, times in sorted(periods.items())
    ]


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _processes(samples: Sequence[Sample]) -> Iterable[dict[str, Any]]:
    for name in sorted({each.name for each in samples}):
        own = [each for each in samples if each.name == name]
        rss = [each.rss for each in own]
        warm = [each for each in own if each.at > WARM_SECONDS] or own
        periods: dict[int, list[float]] = defaultdict(list)
        for each in own:
            periods[int(each.at // (60 * PERIOD_MINUTES))].append(each.rss)
        yield {
            "naam": name,
            "gestart": len({each.pid for each in own}),
            "rss_mib": {"minst": round(min(rss)), "meest": round(max(rss))},
            "rss_mib_per_uur": round(_slope(warm), 1),
            "bestanden": {"minst": min(s.files for s in own), "meest": max(s.files for s in own)},
            "rss_mib_per_periode": [
                round(statistics.median(periods[period])) for period in sorted(periods)
            ],
        }


def _slope(samples: Sequence[Sample]) -> float:
    """MiB per hour."""
    hours = [each.at / 3600 for each in samples]
    if len(hours) < 2:
        return 0.0
    return statistics.linear_regression(hours, [each.rss for each in samples]).slope


def as_markdown(made: dict[str, Any]) -> str:
    """For people."""
    parts = [
        "# Duurproef\n",
        (
            f"Oordeel: **{made['oordeel']}**. Gemaakt met `make soak` (`python -m tests.soak "
            f"--minutes {made['minuten']:g} --seed {made['seed']}`) op {made['begonnen']}.\n"
        ),
        f"{made['opmerking']}\n",
        _table("Machine", ["wat", "waarde"], made["machine"].items()),
        _table(
            "Belasting",
            ["vanaf minuut", "hoogste (berichten/s)", "daarna op de helft"],
            (
                (each["minuut"], each["berichten_per_seconde"], each["berichten_per_seconde"] / 2)
                for each in made["gemeten_per_seconde"]
            ),
        ),
        _table("Berichten", ["wat", "aantal"], _amounts(made)),
        _table(
            "Storingen",
            ["soort", "aantal", "stroomt weer na (mediaan, s)", "langste (s)"],
            (
                (
                    each["soort"],
                    each["aantal"],
                    each["stroomt_weer_na_s"].get("mediaan", "-"),
                    each["stroomt_weer_na_s"].get("langste", "-"),
                )
                for each in made["storingen"]
            ),
        ),
        (
            "De tijd tot het weer stroomt loopt vanaf het herstel tot er 20 nieuwe berichten zijn "
            "aangenomen en langs elk kanaal 3 zijn aangekomen; een volgende storing kan erin "
            "vallen.\n"
        ),
        _table("Aannemen", list(made["aannemen"][0]), (e.values() for e in made["aannemen"])),
        _table(
            "Processen",
            ["naam", "gestart", "RSS (MiB)", "MiB per uur", "bestanden", "RSS per 5 minuten"],
            (
                (
                    each["naam"],
                    each["gestart"],
                    f"{each['rss_mib']['minst']}-{each['rss_mib']['meest']}",
                    each["rss_mib_per_uur"],
                    f"{each['bestanden']['minst']}-{each['bestanden']['meest']}",
                    " ".join(str(one) for one in each["rss_mib_per_periode"]),
                )
                for each in made["processen"]
            ),
        ),
        _table(
            "Opnieuw geprobeerd door de afzender na",
            ["wat", "aantal"],
            made["opnieuw_geprobeerd_na"].items(),
        ),
        _table("Terecht geweigerd", ["wat", "aantal"], made["terecht_geweigerd"].items()),
        _table("Logregels", ["soort", "aantal"], made["logregels"].items()),
        _table(
            "Gecontroleerd",
            ["wat", "houdt", "cijfers"],
            (
                (each["what"], "ja" if each["holds"] else "NEE", each["said"])
                for each in made["gecontroleerd"]
            ),
        ),
    ]
    if made["gebroken"]:
        parts.append("## Gebroken\n\n" + "".join(f"- {each}\n" for each in made["gebroken"]))
    return "\n".join(parts)


def _amounts(made: dict[str, Any]) -> Iterable[tuple[str, int]]:
    yield "aangenomen (202)", made["aangenomen"]
    yield "eerste exemplaren afgeleverd", made["eerste_exemplaren"]
    yield "gesprekken", made["gesprekken"]
    for name, counts in made["per_kanaal"].items():
        yield f"{name}: eerste exemplaren", counts["eerste"]
        yield f"{name}: herhaalde exemplaren", counts["herhaald"]
    yield "geweigerd door de abonnee", made["geweigerd_door_abonnee"]
    yield "gestrand en herhaald", made["gestrand_herhaald"]
    yield "herhaalopdrachten die door een storing mislukten", made["opdracht_mislukt"]
    yield "ontvangstbewijzen vergeleken", made["ontvangstbewijzen_vergeleken"]


def _table(title: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [f"## {title}\n", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
