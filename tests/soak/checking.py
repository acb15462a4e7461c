"""What must hold when the faults have stopped: everything drains, and every promise is kept."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from gateway.dead_letter import DeadLetterFilter
from gateway.delivery import State
from gateway.errors import Fault
from tests.conftest import CANARIES
from tests.soak.city import City
from tests.soak.watching import Sample

DRAINS_WITHIN = 600.0
REPLAY_EVERY_SECONDS = 60.0
REPEATED_AT_THE_END = 200
MOST_RSS_MIB = 300.0
FLAT = 1.25
"""The last third may have so many times the median of the first third."""
SAMPLES_ENOUGH = 12


@dataclass(frozen=True)
class Verdict:
    """One thing that was checked.

    Attributes:
        said: The figures behind it.
    """

    what: str
    holds: bool
    said: str


async def replay(city: City) -> None:
    """What an operator does with dead letters whose cause is gone."""
    code, said = await city.command(
        "gestrand", "herhaal", "--alles", "--sinds", "2020-01-01", "--waarom", "oorzaak is weg"
    )
    if code == 0 and "herhaald." in said:
        city.book.replayed += int(said.split(" herhaald.")[0].split()[-1])
    elif "Zou worden" not in said:  # the list is not just empty
        city.book.operator_failed += 1


async def replay_at_intervals(city: City) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(REPLAY_EVERY_SECONDS)
        await replay(city)


def standing(city: City) -> Counter[str]:
    """How many deliveries stand where."""
    with closing(city.world.ledger()) as ledger:
        counted: Counter[str] = Counter()
        for states in ledger.overview()["parties"].values():
            counted.update(states)
    return counted


async def drained(city: City, within: float = DRAINS_WITHIN) -> tuple[bool, float, Counter[str]]:
    """Wait until every delivery is confirmed; whether, after how many seconds, and what is left."""
    begun, last = time.monotonic(), 0.0
    now: Counter[str] = Counter()
    while time.monotonic() - begun < within:
        try:
            now = await asyncio.to_thread(standing, city)
        except Fault:
            now = Counter()
        # what the gateway itself says is delivered and confirmed as well
        if now == Counter({State.BEVESTIGD: len(city.book.accepted) + len(city.book.notices)}):
            return True, time.monotonic() - begun, now
        if now[State.GESTRAND] and time.monotonic() - last > 10:
            last = time.monotonic()
            await replay(city)
        await asyncio.sleep(2)
    return False, time.monotonic() - begun, now


async def receipts_again(city: City) -> int:
    """Post kept messages again, each until it is answered; how many."""
    chosen = city.senders.kept[:REPEATED_AT_THE_END]
    for letter in chosen:
        await city.senders.deliver(letter)
    return len(chosen)


async def promises(city: City, samples: Sequence[Sample]) -> list[Verdict]:
    """Drain, and check everything."""
    book = city.book
    emptied, seconds, left = await drained(city)
    again = await receipts_again(city)
    verdicts = [
        Verdict(
            "alles is bevestigd, niets blijft hangen", emptied, f"{seconds:.0f} s; {dict(left)}"
        ),
        _delivered(city),
        _ordered(city),
        await asyncio.to_thread(_dead_letters, city),
        await asyncio.to_thread(_kept, city),
        Verdict(
            "een herhaling krijgt hetzelfde ontvangstbewijs, byte voor byte",
            book.receipts_compared >= again > 0,
            f"{book.receipts_compared} vergeleken, waarvan {again} aan het eind",
        ),
    ]
    verdicts += [_flat_memory(samples), _flat_files(samples)]
    verdicts.append(await _evidence(city))
    seen = len(book.violations)
    verdicts.append(Verdict("geen belofte gebroken onderweg", not seen, f"{seen} gezien"))
    return verdicts


def _delivered(city: City) -> Verdict:
    book = city.book
    times = Counter(book.references.values())
    lost, invented = set(book.accepted) - set(times), set(times) - set(book.accepted)
    twice = sum(1 for count in times.values() if count > 1)
    return Verdict(
        "elke 202 is afgeleverd, niets verzonnen, één aflever-id per bericht",
        not lost and not invented and not twice,
        f"{len(lost)} verloren, {len(invented)} verzonnen, {twice} onder twee ids",
    )


def _ordered(city: City) -> Verdict:
    orders = city.book.order.values()
    crooked = [each for each in orders if each != list(range(1, len(each) + 1))]
    said = f"{len(orders)} gesprekken, {len(crooked)} niet op volgorde {crooked[:3]}"
    return Verdict("eerste exemplaren op volgorde per gesprek, zonder gat", not crooked, said)


def _dead_letters(city: City) -> Verdict:
    with closing(city.world.ledger()) as ledger:
        every = ledger.dead_letters(DeadLetterFilter(resolved=True, limit=1_000_000))
        still = ledger.dead_letters(DeadLetterFilter())
    missing = city.book.rejected - {each.referentienummer for each in every}
    reasons = dict(Counter(str(each.reason) for each in every))
    return Verdict(
        "elke weigering werd een gestrand bericht, en elk is hersteld",
        not missing and not still,
        f"{len(city.book.rejected)} geweigerd, {reasons}, {len(missing)} ontbreken, "
        f"{len(still)} open",
    )


def _kept(city: City) -> Verdict:
    with closing(city.world.ledger()) as ledger:
        overview: dict[str, Any] = dict(ledger.overview())
    kept = sum(sum(states.values()) for states in overview["parties"].values())
    return Verdict(
        "het grootboek heeft precies wat is aangenomen",
        kept == len(city.book.accepted) + len(city.book.notices),
        f"{kept} in het grootboek, {len(city.book.accepted)} aangenomen, "
        f"{len(city.book.notices)} van de gateway zelf",
    )


def _flat_memory(samples: Sequence[Sample]) -> Verdict:
    told, holds = [], True
    for name in dict.fromkeys(each.name for each in samples):
        rss = [each.rss for each in samples if each.name == name]
        first, last = _thirds(rss)
        holds &= max(rss) <= MOST_RSS_MIB and (len(rss) < SAMPLES_ENOUGH or last <= FLAT * first)
        told.append(f"{name} {min(rss):.0f}-{max(rss):.0f} MiB, derde {first:.0f} → {last:.0f}")
    return Verdict("het geheugen van elk proces blijft vlak", holds, "; ".join(told))


def _flat_files(samples: Sequence[Sample]) -> Verdict:
    told, holds = [], True
    for name in dict.fromkeys(each.name for each in samples):
        files = [float(each.files) for each in samples if each.name == name]
        first, last = _thirds(files)
        holds &= len(files) < SAMPLES_ENOUGH or last <= FLAT * first + 20
        told.append(f"{name} {min(files):.0f}-{max(files):.0f}, derde {first:.0f} → {last:.0f}")
    return Verdict("open bestanden van elk proces blijven vlak", holds, "; ".join(told))


def _thirds(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and of the last third."""
    third = max(1, len(values) // 3)
    return statistics.median(values[:third]), statistics.median(values[-third:])


async def _evidence(city: City) -> Verdict:
    begun = time.monotonic()
    code, said = await city.command("bewijs", "controleer", "--grootboek", within=1_800)
    last = "In orde" if code == 0 else " ".join(said.split())[-600:]
    return Verdict(
        "het bewijs klopt (`gateway bewijs controleer --grootboek`)",
        code == 0,
        f"{time.monotonic() - begun:.0f} s: {last}",
    )


def logs(city: City) -> tuple[Counter[str], Verdict]:
    """Lines by level and event, and whether one of them holds personal data."""
    kinds: Counter[str] = Counter()
    seen: set[str] = set()
    for file in city.world.folder.glob("*.log"):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                kinds[_kind(line)] += 1
                seen |= {canary for canary in CANARIES if canary in line}
    total = sum(kinds.values())
    verdict = Verdict(
        "geen persoonsgegevens in een logregel", not seen, f"{total} regels, gezien: {sorted(seen)}"
    )
    return kinds, verdict


def _kind(line: str) -> str:
    try:
        told = json.loads(line)
        source = f" ({told['source']})" if told["event"] == "library" else ""
        error = f" {told['error']}" if "error" in told else ""
        return f"{told['level']} {told['event']}{source}{error}"
    except (ValueError, KeyError, TypeError):
        return "geen JSON"
