"""The business rules: rows of rules.toml, bound to the places of each message kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
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
    """

    checks: list[tuple[Rule, Check]] = field(default_factory=list)
    below: dict[str, Post] = field(default_factory=dict)

    def at(self, steps: list[str]) -> Post:
        """The post at the end of these steps, made where it is not there yet."""
        post = self
        for step in steps:
            post = post.below.setdefault(step, Post())
        return post


def bind(rules: tuple[Rule, ...], root: Root) -> Post:
    """Find the places of one message kind that the rules speak of."""
    start = Post()
    mine = [
        (rule, _pattern(rule.where))
        for rule in rules
        if not rule.kinds or any(fnmatchcase(str(root.kind), each) for each in rule.kinds)
    ]
    for place in places(root):
        for rule, pattern in mine:
            if _speaks_of(rule, pattern, place):
                start.at(place.json.split("/")[1:]).checks.append((rule, rule.check))
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


@dataclass(slots=True)
class _Round:
    """One walk: what was found, as (rule, place, pointer of the check)."""

    today: date
    found: list[tuple[Rule, _Place | None, str]] = field(default_factory=list)


def broken(post: Post, document: Json, today: date) -> list[tuple[Rule, str]]:
    """Every rule that a document breaks, with the JSON pointer of the place."""
    walk = _Round(today)
    _visit(post, document, None, walk)
    return [(rule, _pointer(place, hit)) for rule, place, hit in walk.found]


def _visit(post: Post, value: Json, place: _Place | None, walk: _Round) -> None:
    for step, below in post.below.items():
        if step in value:
            _hold(below, value[step], value, (place, step), walk)


def _hold(post: Post, value: Any, parent: Mapping[str, Any], place: _Place, walk: _Round) -> None:
    for rule, check in post.checks:
        if hits := check(value, parent, walk.today):
            walk.found += [(rule, place, hit) for hit in hits]
    if not post.below:
        return
    if isinstance(value, list):
        items = post.below.get(ANY_STEP)  # a rule may speak of the list itself
        if items is not None:
            for number, item in enumerate(value):
                _hold(items, item, parent, (place, number), walk)
    else:
        _visit(post, value, place, walk)


def _pointer(place: _Place | None, hit: str) -> str:
    """The place itself, or for a hit what it says of the object around the place."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(f"/{step}")
    steps.reverse()
    return "".join(steps[:-1]) + hit if hit else "".join(steps)
