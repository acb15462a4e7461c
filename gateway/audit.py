"""Does what was recorded still say what was signed? Every way in which it may not is a flaw.

Pure: rows come in, flaws come out. Whoever reads a ledger or files brings what is to be
compared; nothing here keeps more than the last checkpoint of a log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from gateway.evidence import (
    NOTHING_BEFORE,
    Checkpoint,
    DayClose,
    Signed,
    day_close_digest,
    leaf,
    tree,
)
from gateway.message import Json

Verify = Callable[[str, bytes, bytes], bool | None]
"""Whether key ``kid`` signed a text (ES256, DER); None where that key is not known."""

CLOCK_STEP = timedelta(seconds=1)
"""A clock that is corrected may go back so much; more is a clock that was set back."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""Clocks of machines that keep time differ by less, also with what a commit waits for its turn."""


class Sort(StrEnum):
    """What is wrong."""

    SIGNATURE = "handtekening"
    KEY = "sleutel-onbekend"
    GAP = "gat"
    LINK = "keten"
    CLOCK = "klok-terug"
    FORK = "splitsing"
    ROOT = "wortel"
    LEAF = "blad"
    ENTRY_MISSING = "vastlegging-ontbreekt"
    ENTRY_EXTRA = "vastlegging-te-veel"
    ERASED = "ten-onrechte-gewist"
    MESSAGE_MISSING = "bericht-ontbreekt"
    UNPROVEN = "zonder-vastlegging"
    STATE = "stand-wijkt-af"
    CONTENT = "inhoud-gewijzigd"
    HEAD_MISSING = "kop-ontbreekt"
    UNSIGNED = "niet-ondertekend"
    BELIED = "weerlegd"
    UNREADABLE = "onleesbaar"


MEANING: Mapping[Sort, str] = {
    Sort.SIGNATURE: "de handtekening klopt niet: van een controlepunt, dagafsluiting of verklaring",
    Sort.KEY: "ondertekend met een sleutel die niet bij de gegeven sleutels is",
    Sort.GAP: "de nummers van een logboek lopen niet door",
    Sort.LINK: "een schakel noemt een andere voorganger dan er is",
    Sort.CLOCK: "de tijd gaat terug: de klok is verzet, of de volgorde is veranderd",
    Sort.FORK: "van één logboek bestaan twee versies: er is een kopie voortgezet",
    Sort.ROOT: "de bladeren leiden niet naar de ondertekende wortel",
    Sort.LEAF: "een vastlegging of ontvangstbevestiging is niet wat er is ondertekend",
    Sort.ENTRY_MISSING: "een ondertekende vastlegging is weg",
    Sort.ENTRY_EXTRA: "er staat een vastlegging die niemand heeft ondertekend",
    Sort.ERASED: "een vastlegging is gewist terwijl haar bericht er nog is",
    Sort.MESSAGE_MISSING: "het bericht bij een vastlegging is weg",
    Sort.UNPROVEN: "iets staat in het grootboek zonder ondertekende vastlegging",
    Sort.STATE: "het grootboek zegt iets anders dan de ondertekende vastlegging",
    Sort.CONTENT: "de inhoud is niet meer wat er is ontvangen, of gaat niet open",
    Sort.HEAD_MISSING: "een logboek heeft een eerder ondertekend punt niet meer",
    Sort.UNSIGNED: "de gateway heeft dit niet ondertekend; haal de verklaring op als XML of PDF",
    Sort.BELIED: "er was al een antwoord toen de verklaring werd gemaakt; vraag het de gateway",
    Sort.UNREADABLE: "dit is geen bewijs in een bekende vorm",
}


class Flaw(NamedTuple):
    """One thing that is wrong.

    Attributes:
        where: Which checkpoint, message or file; identifiers only.
    """

    sort: Sort
    where: str

    def __str__(self) -> str:
        return f"{self.sort}: {MEANING[self.sort]} ({self.where})"


def place_of(point: Checkpoint) -> str:
    """How a flaw names a checkpoint."""
    return f"{point.log}/{point.number}"


def judge_signature(verify: Verify, kid: str, text: bytes, signature: bytes) -> Sort | None:
    """What is wrong with a signature; None for nothing."""
    found = verify(kid, text, signature)
    if found is None:
        return Sort.KEY
    return None if found else Sort.SIGNATURE


@dataclass(slots=True)
class Chain:
    """Follows checkpoints in order of log and number.

    Attributes:
        last: The checkpoint before.
        whole: Every log begins at 1 and has no gaps; else what lies between is not at hand.
    """

    verify: Verify
    whole: bool = True
    last: Checkpoint | None = None

    def flaws(self, signed: Signed) -> Iterator[Flaw]:
        """What is wrong with the next checkpoint."""
        point, before = signed.checkpoint, self.last
        if before is not None and before.log != point.log:
            before = None
        self.last = point
        wrong = judge_signature(self.verify, signed.kid, point.signed_text(), signed.signature)
        if wrong is not None:
            yield Flaw(wrong, place_of(point))
        number, head = (before.number, before.head) if before else (0, NOTHING_BEFORE)
        if before is not None and before.number == point.number:
            if before.head != point.head:
                yield Flaw(Sort.FORK, place_of(point))
            return
        if number + 1 != point.number:
            if self.whole:
                yield Flaw(Sort.GAP, place_of(point))
        elif point.previous != head:
            yield Flaw(Sort.LINK, place_of(point))
        if before is not None and point.at < before.at - CLOCK_STEP:
            yield Flaw(Sort.CLOCK, place_of(point))


@dataclass(slots=True)
class Closed:
    """What day closes say about the instants of checkpoints.

    A log says nothing about the order between logs, and each process that starts begins one.
    But what a day close does not cover was committed after it, on whatever clock.
    """

    _latest: datetime | None = None
    _heads: dict[str, list[tuple[int, datetime | None]]] = field(default_factory=dict)
    _told: str = ""

    def add(self, close: DayClose) -> None:
        """Take the next day close into account, in order of their day."""
        for head in close.heads:
            self._heads.setdefault(head.log, []).append((head.number, self._latest))
        self._latest = close.at if self._latest is None else max(close.at, self._latest)

    def flaws(self, point: Checkpoint) -> Iterator[Flaw]:
        """That a checkpoint is earlier than a day close before it; once for each log."""
        covering = self._heads.get(point.log, [])
        first = bisect_left(covering, point.number, key=lambda head: head[0])
        before = covering[first][1] if first < len(covering) else self._latest
        if before is None or point.at >= before - CLOCKS_DIFFER or point.log == self._told:
            return
        self._told = point.log
        yield Flaw(Sort.CLOCK, place_of(point))


class Row(NamedTuple):
    """One entry as a ledger keeps it.

    Attributes:
        text: What was signed, or what can be made of the message now; None where neither is.
        erased: Its message was erased, so that text and salt may be gone.
    """

    place: int
    salt: bytes | None
    text: bytes | None
    erased: bool = False


def judge_entries(
    point: Checkpoint, leaves: Sequence[bytes], rows: Iterable[Row], *, forgotten: bool = False
) -> Iterator[Flaw]:
    """What is wrong with the leaves of a checkpoint and the entries under them.

    Args:
        forgotten: It is so old that entries were deleted with their messages.
    """
    if len(leaves) == 0 or tree(leaves)[-1][0] != point.root:
        yield Flaw(Sort.ROOT, place_of(point))
    found = {row.place: row for row in rows}
    for place in sorted(found.keys() - range(len(leaves))):
        yield Flaw(Sort.ENTRY_EXTRA, f"{place_of(point)}/{place}")
    for place, expected in enumerate(leaves):
        if forgotten and place not in found:
            continue
        wrong = _judge_entry(found.get(place), expected)
        if wrong is not None:
            yield Flaw(wrong, f"{place_of(point)}/{place}")


def _judge_entry(row: Row | None, expected: bytes) -> Sort | None:
    if row is None:
        return Sort.ENTRY_MISSING
    if row.salt is None:
        return None if row.erased else Sort.ERASED
    if row.text is None:
        return None if row.erased else Sort.MESSAGE_MISSING
    return None if leaf(row.salt, row.text) == expected else Sort.LEAF


ATTEMPTED, CONFIRMED, STRANDED = "poging", "bevestigd", "gestrand"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the tables say about one delivery, to be compared with what was signed.

    Attributes:
        confirmed: Instant at which it was confirmed; None when its state is another.
        attempts: As ``attempt_of`` reads them from entries.
        deaths: Instants at which it stranded.
        repairs: (word, instant) of what operators did.
        entries: What was signed about it.
    """

    delivery_id: str
    confirmed: str | None
    attempts: frozenset[tuple[object, ...]] = frozenset()
    deaths: frozenset[str] = frozenset()
    repairs: frozenset[tuple[str, str]] = frozenset()
    entries: Sequence[Json] = field(default=())


def attempt_of(entry: Json) -> tuple[object, ...]:
    """What an entry of an attempt says, as a row says it."""
    said = ("poging", "op", "antwoord", "status", "verzondenSha256")
    return tuple(entry.get(name) for name in said)


def judge_delivery(told: Standing) -> Iterator[Flaw]:
    """Where the tables and the signed entries about a delivery differ."""
    where = f"aflevering {told.delivery_id}"
    signed: dict[str, list[Json]] = {}
    for entry in told.entries:
        signed.setdefault(str(entry["soort"]), []).append(entry)
        if entry.get("afleverId") != told.delivery_id:
            yield Flaw(Sort.STATE, where)
    attempts = signed.get(ATTEMPTED, [])
    proven = {attempt_of(entry) for entry in attempts}
    if told.attempts - proven:
        yield Flaw(Sort.UNPROVEN, f"{where}, poging")
    if proven - told.attempts:
        yield Flaw(Sort.STATE, f"{where}, poging")

    confirmed = {str(entry["op"]) for entry in signed.get(CONFIRMED, ())}
    by_channel = {str(entry["op"]) for entry in attempts if entry["gevolg"] == CONFIRMED}
    if told.confirmed is not None and told.confirmed not in confirmed | by_channel:
        yield Flaw(Sort.UNPROVEN, f"{where}, bevestiging")
    if confirmed and told.confirmed is None:
        yield Flaw(Sort.STATE, f"{where}, bevestiging")

    died = {str(entry["op"]) for entry in signed.get(STRANDED, ())}
    gave_up = {str(entry["op"]) for entry in attempts if entry["gevolg"] == STRANDED}
    if told.deaths - died - gave_up:
        yield Flaw(Sort.UNPROVEN, f"{where}, gestrand")
    if died - told.deaths:
        yield Flaw(Sort.STATE, f"{where}, gestrand")
    if any(
        op not in {str(entry["op"]) for entry in signed.get(word, ())} for word, op in told.repairs
    ):
        yield Flaw(Sort.UNPROVEN, f"{where}, herstel")


class KeptClose(NamedTuple):
    """A day close as it is kept or published."""

    close: DayClose
    kid: str
    signature: bytes


@dataclass(slots=True)
class Days:
    """Follows day closes in order of their day.

    Attributes:
        whole: The first one is the first that there is.
        gaps: Days between may be left out: who keeps some need not keep all.
    """

    verify: Verify
    whole: bool = True
    gaps: bool = False
    last: DayClose | None = None

    def flaws(self, kept: KeptClose, text: bytes) -> Iterator[Flaw]:
        """What is wrong with the next day close, whose signed text is ``text``."""
        close, before, self.last = kept.close, self.last, kept.close
        where = f"dagafsluiting {close.day}"
        wrong = judge_signature(self.verify, kept.kid, text, kept.signature)
        if wrong is not None:
            yield Flaw(wrong, where)
        if before is None:
            if self.whole and close.previous != NOTHING_BEFORE:
                yield Flaw(Sort.LINK, where)
            return
        if before.day == close.day:
            if before != close:
                yield Flaw(Sort.FORK, where)
        elif close.previous != day_close_digest(before.content()) and not (
            self.gaps and _apart(before.day, close.day)
        ):
            yield Flaw(Sort.LINK, where)
        if close.at < before.at - CLOCK_STEP:
            yield Flaw(Sort.CLOCK, where)


def _apart(day: str, later: str) -> bool:
    """Whether another day lies between these."""
    return date.fromisoformat(later) - date.fromisoformat(day) > timedelta(days=1)
