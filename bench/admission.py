"""``admission``: what do rights and the rules of the conversation cost per message?

The same ledger records batches in turn with both, without the conversation, and without
either. Without the conversation nothing of it is read, decided or kept but its volgnummers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from statistics import median

from bench.asking import question
from bench.burst import Figures
from bench.contestants import parties
from bench.corpus import SIZES
from bench.recording import WARM, Examined, Recorder
from bench.setting import Setting
from fixtures.parties import now
from fixtures.world import World, lay_out
from gateway.message import Admitted, Submission, Talk
from gateway.pipeline import Line
from gateway.record import Admit
from gateway.routing.admit import admit
from gateway.routing.course import Courses, Proceeded
from gateway.routing.directory import Directory, Party
from gateway.routing.rights import Rights
from gateway.schemas import unsaid

GOAL = 0.15
BATCH, BLOCK, EXAMINED = 32, 8, 50
BOTH, RIGHTS, NEITHER = "both", "rights", "neither"
EXAMINE = "examine"


class Anything(Courses):
    """Everything may be said at any time, and nothing is remembered."""

    def proceed(self, submission: Submission, talk: Talk, recipient: Party) -> Proceeded:
        return Proceeded(submission, None)  # type: ignore[arg-type]


class Anybody(Rights):
    """Whoever is in the directory may say everything."""

    def check(
        self,
        submission: Submission,
        sender: Party,
        recipient: Party,
        directory: Directory,
        at: datetime,
    ) -> None:
        return


def measure(setting: Setting) -> Figures:
    """Both ledgers, both sizes."""
    database = setting.servers.database(with_table=False)
    worlds = {
        "SQLite": lay_out(setting.folder / "admit-sqlite", parties("postbus"), pki=setting.pki),
        "PostgreSQL": lay_out(
            setting.folder / "admit-postgres",
            parties("postbus"),
            pki=setting.pki,
            ledger=database,
        ),
    }
    blocks = setting.plan.blocks
    found: Figures = {}
    with setting.step("admission", len(worlds) * len(SIZES) * blocks) as advance:
        for name, world in worlds.items():
            found[name] = {size: _of(setting, world, size, advance) for size in SIZES}
    setting.servers.forget(database)
    return found


def _of(setting: Setting, world: World, size: str, advance: Callable[[int], None]) -> Figures:
    examined = Examined(world, setting.pki, setting.catalogue, setting.size(size).claims)
    asked = question(now())
    ways = _ways(examined.line)
    blocks: list[dict[str, float]] = []
    ledger = world.ledger()
    try:
        recorder = Recorder(ledger)
        for number in range(-1, setting.plan.blocks):
            batches = BLOCK if number >= 0 else WARM
            spent = {
                name: recorder.microseconds(
                    [examined.others(BATCH) for _ in range(batches)],
                    ways[name],
                    asked if name == BOTH else None,
                )
                for name in _turned(list(ways), number)
            }
            if number >= 0:
                blocks.append({**spent, EXAMINE: examined.microseconds(EXAMINED)})
                advance(1)
    finally:
        ledger.close()
    return judged(blocks)


def _turned(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def _ways(line: Line) -> dict[str, Admit]:
    """Station admit as it is, and without what is measured."""
    ruled, rights = line.courses, Rights()
    free = Anything(ruled.table, ruled.book, ruled.voice, ruled.directory)
    return {
        BOTH: _station(line, rights, ruled),
        RIGHTS: _station(line, rights, free),
        NEITHER: _station(line, Anybody(rights.policy), free),
    }


def _station(line: Line, rights: Rights, courses: Courses) -> Admit:
    def admit_one(submission: Submission, talk: Talk) -> Admitted:
        return admit(
            submission,
            talk,
            directory=line.directory(),
            rights=rights,
            courses=courses,
            gateway=line.gateway,
            skew=line.skew,
            attempt=lambda message, major: unsaid(message, major, line.catalogue),
        )

    return admit_one


def judged(blocks: list[dict[str, float]]) -> Figures:
    """Medians over the blocks; the share is of all of accept but the door."""
    conversation = median(each[BOTH] - each[RIGHTS] for each in blocks)
    rights = median(each[RIGHTS] - each[NEITHER] for each in blocks)
    record, examine = (median(each[name] for each in blocks) for name in (BOTH, EXAMINE))
    share = (conversation + rights) / (record + examine)
    return {
        "examine_us": examine,
        "record_us": record,
        "conversation_us": conversation,
        "rights_us": rights,
        "share": share,
        "goal": GOAL,
        "met": share < GOAL,
        "blocks": blocks,
    }
