"""Read the XSDs into plans.

The contract keeps to few of XSD's possibilities (docs/contract.md), so a plain reading of
the trees is enough: 15 ms where a full XSD processor takes seconds at every start. What
leaves those possibilities is refused here; a test holds the plans to ``xmlschema``'s own
reading of the same files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree

from gateway.message import Kind
from gateway.schemas.names import CENTS_SUFFIX, json_name
from gateway.schemas.plan import (
    Carrier,
    Choice,
    Code,
    Element,
    Form,
    Listing,
    Note,
    Record,
    Root,
    Simple,
    Type,
)

XS = "{http://www.w3.org/2001/XMLSchema}"
M = "{urn:nld:schuldhulp-gateway:merken:v1}"
NAMESPACE = re.compile(r"urn:nld:schuldhulp-gateway:(?P<module>[a-z]+):v(?P<major>[1-9][0-9]*)")

OPEN = "open"
"""Mark of a code list that a minor version may add to; it says nothing of the content."""

_PRESERVES = frozenset({"string", "normalizedString"})
_INTEGERS = frozenset({"integer", "int", "long", "short", "nonNegativeInteger", "positiveInteger"})
_FACETS = frozenset(
    {
        "length", "minLength", "maxLength", "minInclusive", "maxInclusive",
        "minExclusive", "maxExclusive", "totalDigits", "fractionDigits",
    }
)  # fmt: skip


class ContractError(ValueError):
    """An XSD leaves what docs/contract.md allows; the gateway does not start."""


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One module file as read.

    Attributes:
        version: ``version`` of the file, for example ``2.0``.
        types: Named types, those of the included files among them.
        shared: Names of the types that come from included files.
    """

    path: Path
    name: str
    major: int
    namespace: str
    version: str
    roots: tuple[Root, ...]
    types: Mapping[str, Type]
    shared: frozenset[str]

    def elements(self) -> Iterator[Element]:
        """Every element that the file and what it includes declare."""
        yield from (root.element for root in self.roots)
        for node in self.types.values():
            if isinstance(node, Record):
                yield from node.elements()
            elif isinstance(node, Listing):
                yield node.item


def read_modules(folder: Path) -> list[Module]:
    """Every module of the contract: the files that have a target namespace.

    Raises:
        ContractError: a file leaves what the contract allows.
    """
    included: dict[Path, _File] = {}
    return [
        _read_module(path, tree, included)
        for path in sorted(folder.glob("*.xsd"))
        if (tree := _parse(path)).get("targetNamespace") is not None
    ]


def _read_module(path: Path, tree: Any, included: dict[Path, _File]) -> Module:
    namespace = tree.get("targetNamespace")
    match = NAMESPACE.fullmatch(namespace)
    if match is None:
        raise ContractError(f"{path.name}: namespace {namespace}")
    name, major, version = match["module"], int(match["major"]), tree.get("version")
    if version is None or version.partition(".")[0] != match["major"]:
        raise ContractError(f"{path.name}: version {version} in {namespace}")
    file = _File(path, tree, included)
    roots = tuple(
        Root(Kind(name, major, node.get("name")), namespace, version, file.element(node))
        for node in tree.iterchildren(f"{XS}element")
    )
    shared = frozenset(own for each in file.includes for own in each.all_types())
    return Module(path, name, major, namespace, version, roots, file.all_types(), shared)


def _parse(path: Path) -> Any:
    parser = etree.XMLParser(  # noqa: TID251 - our own file
        resolve_entities=False, no_network=True, remove_comments=True, remove_blank_text=True
    )
    return etree.parse(path, parser).getroot()  # noqa: TID251 - our own file


@dataclass(slots=True)
class _File:
    """One XSD file and what it includes; a type is built once, at first use."""

    path: Path
    tree: Any
    included: dict[Path, _File]
    includes: list[_File] = field(init=False)
    nodes: dict[str, Any] = field(init=False)
    built: dict[str, Type] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = {
            node.get("name"): node
            for node in self.tree
            if node.tag in {f"{XS}complexType", f"{XS}simpleType"}
        }
        self.includes = [
            self._include(node.get("schemaLocation"))
            for node in self.tree.iterchildren(f"{XS}include")
        ]

    def _include(self, location: str) -> _File:
        path = self.path.parent / location
        if path not in self.included:
            self.included[path] = _File(path, _parse(path), self.included)
        return self.included[path]

    def all_types(self) -> dict[str, Type]:
        types: dict[str, Type] = {}
        for file in self.includes:
            types |= file.all_types()
        return types | {name: self.type(name) for name in self.nodes}

    def type(self, name: str) -> Type:
        built = self.find(name)
        if built is None:
            raise ContractError(f"{self.path.name}: no type {name}")
        return built

    def find(self, name: str) -> Type | None:
        """The type of this name here or in an included file."""
        if name not in self.built and name in self.nodes:
            self.built[name] = self._build(name, self.nodes[name])
        if name in self.built:
            return self.built[name]
        return next((found for file in self.includes if (found := file.find(name))), None)

    def _build(self, name: str, node: Any) -> Type:
        if node.tag == f"{XS}simpleType":
            return self._simple(name, node)
        note, (sequence,) = _note(node), _content(node)
        if sequence.tag != f"{XS}sequence" or _repeats(sequence):
            raise ContractError(f"{self.path.name}: {name} is not one sequence")
        children = _content(sequence)
        if [child.tag for child in children] == [f"{XS}any"]:
            return Carrier(name, note)
        if len(children) == 1 and _repeats(children[0]):
            least, most = _occurs(children[0])
            return Listing(name, self.element(children[0]), least, most, note)
        parts = tuple(self._part(name, child) for child in children)
        record = Record(name, parts, note)
        for names in ([e.name for e in record.elements()], [e.json for e in record.elements()]):
            if len(set(names)) != len(names):
                raise ContractError(f"{self.path.name}: a name twice in {name}")
        return record

    def _part(self, owner: str, node: Any) -> Element | Choice:
        least, most = _occurs(node)
        if most != 1:
            raise ContractError(f"{self.path.name}: {owner} repeats a child that is not alone")
        if node.tag == f"{XS}element":
            return self.element(node, required=least == 1)
        if node.tag != f"{XS}choice":
            raise ContractError(f"{self.path.name}: {owner} has a {node.tag}")
        for branch in _content(node):
            if branch.tag != f"{XS}element" or _occurs(branch) != (1, 1):
                raise ContractError(f"{self.path.name}: {owner} has a branch that is no element")
        branches = tuple(self.element(branch, required=False) for branch in _content(node))
        return Choice(branches, required=least == 1)

    def element(self, node: Any, *, required: bool = True) -> Element:
        name, reference, note = node.get("name"), node.get("type"), _note(node)
        extra = set(node.attrib) - {"name", "type", "minOccurs", "maxOccurs"}
        if name is None or reference is None or extra:
            raise ContractError(f"{self.path.name}: element {name} needs just a name and a type")
        node_type = self._referenced(node, reference)
        marks = (note.marks | node_type.note.marks) - {OPEN}
        json = json_name(name)
        if isinstance(node_type, Simple) and node_type.form is Form.CENTS:
            json += CENTS_SUFFIX
            marks |= {"bedrag"}
        return Element(name, json, node_type, required, note, marks)

    def _referenced(self, node: Any, reference: str) -> Type:
        prefix, _, local = reference.rpartition(":")
        if node.nsmap.get(prefix or None) == XS[1:-1]:
            raise ContractError(f"{self.path.name}: {reference} is not a type of ours")
        return self.type(local)

    def _simple(self, name: str, node: Any) -> Simple:
        (restriction,) = _content(node)
        if restriction.tag != f"{XS}restriction" or restriction.get("base") is None:
            raise ContractError(f"{self.path.name}: {name} does not restrict a named type")
        prefix, _, local = restriction.get("base").rpartition(":")
        if restriction.nsmap.get(prefix or None) == XS[1:-1]:
            return _restrict(name, _builtin(local), restriction, _note(node))
        base = self.type(local)
        if not isinstance(base, Simple):
            raise ContractError(f"{self.path.name}: {name} restricts a complex type")
        return _restrict(name, base, restriction, _note(node))


def _restrict(name: str, base: Simple, restriction: Any, note: Note) -> Simple:
    """``base`` with the facets of one more step of derivation."""
    facets, patterns, codes = dict(base.facets), [], []
    collapse = base.collapse
    for facet in _content(restriction):
        kind, value = etree.QName(facet).localname, facet.get("value")
        if kind == "pattern":
            patterns.append(value)
        elif kind == "enumeration":
            codes.append(Code(value, _note(facet)))
        elif kind == "whiteSpace":
            collapse = value == "collapse"
        elif kind in _FACETS:
            facets[kind] = value
        else:
            raise ContractError(f"type {name} has a {kind}")
    marks = note.marks | base.note.marks
    form = Form.CENTS if base.base == "decimal" and "bedrag" in marks else base.form
    return Simple(
        name,
        base.base,
        form,
        collapse,
        base.patterns + _either(patterns),
        tuple(sorted(facets.items())),
        tuple(codes) or base.codes,
        Note(note.text or base.note.text, note.herkomst, marks),
    )


def _either(patterns: list[str]) -> tuple[str, ...]:
    """Patterns of one step of derivation: a value matches one of them."""
    if len(patterns) < 2:  # noqa: PLR2004 - one pattern needs no brackets
        return tuple(patterns)
    return ("|".join(f"({pattern})" for pattern in patterns),)


def _builtin(base: str) -> Simple:
    form = Form.TEXT
    if base in _INTEGERS:
        form, base = Form.INTEGER, "integer"
    elif base == "boolean":
        form = Form.BOOLEAN
    return Simple(base, base, form, base not in _PRESERVES, (), (), (), Note())


def _content(node: Any) -> list[Any]:
    return [child for child in node if child.tag != f"{XS}annotation"]


def _occurs(node: Any) -> tuple[int, int | None]:
    most = node.get("maxOccurs", "1")
    return int(node.get("minOccurs", "1")), None if most == "unbounded" else int(most)


def _repeats(node: Any) -> bool:
    return _occurs(node)[1] != 1


def _note(node: Any) -> Note:
    texts = node.findall(f"{XS}annotation/{XS}documentation")
    herkomst = node.findtext(f"{XS}annotation/{XS}appinfo/{M}herkomst", default="")
    marks = node.findall(f"{XS}annotation/{XS}appinfo/{M}merk")
    return Note(
        " ".join(" ".join((text.text or "").split()) for text in texts),
        herkomst.strip(),
        frozenset((mark.text or "").strip() for mark in marks),
    )
