"""The business rules: rows of rules.toml, bound to the places of each message kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gateway.errors import Severity
from gateway.message import Json
from gateway.schemas.checks import CHECKS, EACH, Arguments, Check
from gateway.schemas.plan import Listing, Place, Record, Root, Simple, Type, places

RULES_FILE = Path(__file__).parent / "rules.toml"

ANY_DEPTH = "**"
ANY_STEP = EACH


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what is checked where, and what it does.

    Attributes:
        code: Stable; several rows may share one.
        kinds: Patterns over ``module.Kind.vN``; empty for every kind.
        where: Pattern over JSON names, as explained in rules.toml.
    """

    code: str
    severity: Severity
    kinds: tuple[str, ...]
    where: str
    check: Check
    arguments: Arguments
    nl: str
    en: str


def read_rules(path: Path = RULES_FILE) -> tuple[Rule, ...]:
    """The rows of a rules file.

    Raises:
        KeyError, ValueError: a row lacks something or names an unknown check or severity.
    """
    rows = tomllib.loads(path.read_text("utf-8"))["regel"]
    return tuple(
        Rule(
            row["code"],
            Severity(row["ernst"]),
            tuple(row.get("soorten", ())),
            row["waar"],
            CHECKS[row["toets"]](row.get("met", {})),
            row.get("met", {}),
            row["nl"],
            row["en"],
        )
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Explained:
    """What a person reads about a rule, in both languages."""

    nl: str
    en: str


def explanations(path: Path = RULES_FILE) -> dict[str, Explained]:
    """Every rule that a finding can name, those of form and of business, by code."""
    tables = tomllib.loads(path.read_text("utf-8"))
    rows = [*tables["vorm"], *tables["regel"]]
    return {row["code"]: Explained(row["nl"], row["en"]) for row in rows}


@dataclass(slots=True)
class Post:
    """A step in a document where rules wait.

    The rules of one kind as one tree: a message is walked once, and only where there is
    something to check.

    Attributes:
        checks: What is checked of the value at this step.
        below: Where else rules wait, by the next step.
        watched: Of an object the same, laid out for the walk: name of the member, its checks,
            and its post where more waits below it.
        items: Of a list the post of every item.
    """

    checks: list[tuple[Rule, Check]] = field(default_factory=list)
    below: dict[str, Post] = field(default_factory=dict)
    watched: tuple[tuple[str, tuple[tuple[Rule, Check], ...], Post | None], ...] = ()
    items: Post | None = None

    def at(self, steps: list[str]) -> Post:
        """The post at the end of these steps, made where it is not there yet."""
        post = self
        for step in steps:
            post = post.below.setdefault(step, Post())
        return post

    def lay_out(self) -> None:
        """Make ready for the walk, here and below; nothing may be added afterwards."""
        self.items = self.below.get(ANY_STEP)
        self.watched = tuple(
            (step, tuple(there.checks), there if there.below else None)
            for step, there in self.below.items()
        )
        for there in self.below.values():
            there.lay_out()


def bind(rules: tuple[Rule, ...], root: Root) -> Post:
    """Find the places of one message kind that the rules speak of."""
    start = Post()
    mine = [
        (rule, _pattern(rule.where), rule.where.rpartition("/")[2])
        for rule in rules
        if not rule.kinds or any(fnmatchcase(str(root.kind), each) for each in rule.kinds)
    ]
    for place in places(root):
        name = place.json.rpartition("/")[2]
        for rule, pattern, last in mine:
            # most rules end in another name: that is seen without their pattern
            if (last == name or last[0] in "@=*") and _speaks_of(rule, pattern, place):
                start.at(place.json.split("/")[1:]).checks.append((rule, rule.check))
    start.lay_out()
    return start


def _pattern(where: str) -> re.Pattern[str]:
    parts = {ANY_DEPTH: "(?:/[^/]+)*", ANY_STEP: "/[^/]+"}
    steps = [
        parts.get(step) or ("/[^/]+" if step[0] in "@=" else f"/{re.escape(step)}")
        for step in where.split("/")
    ]
    return re.compile("".join(steps))


def _speaks_of(rule: Rule, pattern: re.Pattern[str], place: Place) -> bool:
    node, last = place.element.type, rule.where.rpartition("/")[2]
    if last.startswith("@") and not (last[1:] in place.element.marks and isinstance(node, Simple)):
        return False
    if last.startswith("=") and not (isinstance(node, Simple) and _has_code(node, last[1:])):
        return False
    return pattern.fullmatch(place.json) is not None and _can_apply(rule.arguments, place)


def _has_code(node: Simple, value: str) -> bool:
    return any(code.value == value for code in node.codes)


def _can_apply(arguments: Arguments, place: Place) -> bool:
    """The object around the place has what the row's arguments name."""
    member = arguments.get("lid")
    if member is not None and not resolves(place.parent, member):
        return False
    named = paths_of(arguments)
    return not named or any(resolves(place.parent, path) for path in named)


def paths_of(arguments: Arguments) -> list[str]:
    """All paths that the arguments of a row name."""
    single = [arguments[key] for key in ("pad", "percentage", "bedrag") if key in arguments]
    return [*single, *(path for key in ("paden", "plus", "min") for path in arguments.get(key, ()))]


def resolves(node: Type | None, path: str) -> bool:
    """There is something at this path below a type of the plan."""
    for step in path.split("/"):
        if step == ANY_STEP and isinstance(node, Listing):
            node = node.item.type
        elif isinstance(node, Record) and (child := node.child(step)) is not None:
            node = child.type
        else:
            return False
    return True


_Place = tuple[Any, str | int]
"""A place on the way down, as (the place above it, step); written out only where needed."""


_Walk = tuple[date, list[tuple[Rule, _Place, Sequence[str]]]]
"""Today, and what was found so far: the rule, the place, and the pointers that the check gave."""


def broken(post: Post, document: Json, today: date) -> list[tuple[Rule, str]]:
    """Every rule that a document breaks, with the JSON pointer of the place."""
    walk: _Walk = (today, [])
    _visit(post, document, None, walk)
    return [(rule, _pointer(place, hit)) for rule, place, hits in walk[1] for hit in hits]


def _visit(post: Post, value: Json, place: _Place | None, walk: _Walk) -> None:
    """An object; most members are leaves, whose place is made only where one is wrong."""
    today, found = walk
    for step, checks, there in post.watched:
        member = value.get(step)
        if member is None:
            continue
        for rule, check in checks:
            if hits := check(member, value, today):
                found.append((rule, (place, step), hits))
        if there is None:
            continue
        if there.items is None:
            _visit(there, member, (place, step), walk)
        else:
            _each(there.items, member, value, (place, step), walk)


def _each(post: Post, values: list[Any], parent: Json, place: _Place, walk: _Walk) -> None:
    """Every item of a list that is a member of an object."""
    today, found = walk
    for number, item in enumerate(values):
        for rule, check in post.checks:
            if hits := check(item, parent, today):
                found.append((rule, (place, number), hits))
        if post.items is not None:
            _each(post.items, item, parent, (place, number), walk)
        elif post.watched:
            _visit(post, item, (place, number), walk)


def _pointer(place: _Place | None, hit: str) -> str:
    """The place itself, or for a hit what it says of the object around the place."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(f"/{step}")
    steps.reverse()
    return "".join(steps[:-1]) + hit if hit else "".join(steps)
