"""Hypothesis strategies for valid JSON documents, made from the plans themselves."""

from __future__ import annotations

from base64 import b64encode
from datetime import date, datetime
from functools import cache
from typing import Any

from hypothesis import strategies as st

from gateway.message import Json
from gateway.schemas.catalogue import Catalogue
from gateway.schemas.jsonschema import whole_range
from gateway.schemas.plan import Carrier, Choice, Element, Form, Listing, Record, Root, Simple, Type

CATALOGUE = Catalogue.load()
KINDS = sorted(CATALOGUE.kinds, key=str)

MOST_ITEMS = 2
"""Longer lists show nothing new and cost much."""

Strategy = st.SearchStrategy[Any]


def documents(root: Root) -> Strategy:
    """Every document of one kind that its schema allows, with canonical identifiers."""
    name, kind = root.element.json, root.kind
    header = {"module": kind.module, "versie": f"{kind.major}.0"}

    def framed(body: Json) -> Json:
        if "stuurgegevens" in body:
            body = {**body, "stuurgegevens": body["stuurgegevens"] | header}
        return {name: body}

    return of_type(root.record).map(framed)


@cache
def of_type(node: Type) -> Strategy:
    """Values of one type."""
    if isinstance(node, Simple):
        return _simple(node)
    if isinstance(node, Carrier):
        carried = next(k for k in KINDS if k.name == "Statusverzoek")
        return documents(CATALOGUE.kinds[carried].root)
    if isinstance(node, Listing):
        most = min(node.most or MOST_ITEMS, max(node.least, MOST_ITEMS))
        return st.lists(of_type(node.item.type), min_size=node.least, max_size=most)
    return _record(node)


def _record(node: Record) -> Strategy:
    singles = [part for part in node.parts if isinstance(part, Element)]
    fixed = st.fixed_dictionaries(
        {each.json: of_type(each.type) for each in singles if each.required},
        optional={each.json: of_type(each.type) for each in singles if not each.required},
    )
    choices = [_choice(part) for part in node.parts if isinstance(part, Choice)]
    if not choices:
        return fixed
    return st.tuples(fixed, *choices).map(
        lambda parts: {k: v for part in parts for k, v in part.items()}
    )


def _choice(choice: Choice) -> Strategy:
    branches = [
        st.fixed_dictionaries({branch.json: of_type(branch.type)}) for branch in choice.branches
    ]
    return st.one_of(*branches) if choice.required else st.one_of(st.just({}), *branches)


def _simple(node: Simple) -> Strategy:
    if node.codes:
        return st.sampled_from([code.value for code in node.codes])
    match node.form:
        case Form.BOOLEAN:
            return st.booleans()
        case Form.CENTS:
            largest = 10 ** int(node.facet("totalDigits") or 12) - 1
            return st.integers(-largest, largest)
        case Form.INTEGER:
            return st.integers(*whole_range(node))
        case Form.TEXT:
            return TEXTS_BY_BASE[node.base]() if node.base in TEXTS_BY_BASE else _text(node)


def _days() -> Strategy:
    return st.dates(date(1000, 1, 1), date(2999, 12, 31)).map(date.isoformat)


def _files() -> Strategy:
    return st.binary(min_size=1, max_size=40).map(lambda content: b64encode(content).decode())


def _instants() -> Strategy:
    zones = st.one_of(
        st.just("Z"),
        st.builds(
            "{}{:02d}:{:02d}".format, st.sampled_from("+-"), st.integers(1, 13), st.integers(0, 59)
        ),
    )
    moments = st.datetimes(datetime(1000, 1, 1), datetime(2999, 12, 31))  # noqa: DTZ001 - the zone is drawn
    return st.builds("{}{}".format, moments.map(datetime.isoformat), zones)


TEXTS_BY_BASE = {"date": _days, "dateTime": _instants, "base64Binary": _files}


def _text(node: Simple) -> Strategy:
    least = int(node.facet("length") or node.facet("minLength") or 0)
    most = int(node.facet("length") or node.facet("maxLength") or 1000)
    (pattern,) = node.patterns
    if pattern.isascii():
        texts = st.from_regex(_shortened(pattern), fullmatch=True)
    else:
        texts = _sentences(several_lines="\\n" in pattern)
    texts = texts.filter(lambda text: least <= len(text) <= most)
    return texts.map(str.lower) if node.name == "Uuid" else texts


def _shortened(pattern: str) -> str:
    """The pattern with small bounds where it has none: long texts show nothing new."""
    for endless, few in (("]+", "]{1,4}"), ("]*", "]{0,4}"), (")+", "){1,2}"), (")*", "){0,2}")):
        pattern = pattern.replace(endless, few)
    return pattern


EDGES = "!~\xa1\ud7ff\ue000\ufffd\U00010000\U0010ffff" + "&<>\"';,#" + "aZ09é€"
"""Ends of the ranges that text may use, what markup must escape, and plain letters."""


def _sentences(*, several_lines: bool) -> Strategy:
    words = st.text(st.sampled_from(EDGES), min_size=1, max_size=6)
    between = " \xa0\t\n" if several_lines else " \xa0"
    gaps = st.text(st.sampled_from(between), min_size=1, max_size=2)
    more = st.lists(st.tuples(gaps, words).map("".join), max_size=2).map("".join)
    return st.tuples(words, more).map("".join)
