"""What the XSDs say, as frozen nodes.

Everything else is made from these: the codec, the JSON Schemas, the rules' places, the
reference pages, the frozen snapshot. A node knows nothing of namespaces, so one plan of
``basis.xsd`` serves all modules. Nodes compare by identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.message import Kind


class Form(StrEnum):
    """How a simple value is written in JSON."""

    TEXT = "text"  # a string, character for character
    CENTS = "cents"  # an amount: integer cents
    INTEGER = "integer"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Note:
    """What the annotation of an element, a code or a type says.

    Attributes:
        text: Dutch, for people; empty where a type has no annotation.
        herkomst: ``gepubliceerd``, ``afgeleid`` or empty.
        marks: ``bsn``, ``persoon``, ``vrijeTekst``, ``bedrag``, ``open``.
    """

    text: str = ""
    herkomst: str = ""
    marks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Code:
    """One value of a code list."""

    value: str
    note: Note


@dataclass(frozen=True, slots=True, eq=False)
class Simple:
    """A simple type with all facets of its derivation.

    Attributes:
        base: Local name of the built-in XSD type it goes back to, e.g. ``decimal``.
        collapse: White space around and inside is normalised before anything else.
        patterns: XSD regular expressions; a value matches every one of them.
        facets: Other facets as (XSD name, value), in alphabetical order.
        codes: The closed list of values, or empty.
    """

    name: str
    base: str
    form: Form
    collapse: bool
    patterns: tuple[str, ...]
    facets: tuple[tuple[str, str], ...]
    codes: tuple[Code, ...]
    note: Note

    def facet(self, name: str) -> str | None:
        """The value of one facet, None where the type does not have it."""
        return dict(self.facets).get(name)


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """One child of a record, or the repeated child of a list.

    Attributes:
        required: For a branch of a choice: always False, the choice says it.
        marks: Those of the element and of its type.
    """

    name: str
    json: str
    type: Type
    required: bool
    note: Note
    marks: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Exactly one of the branches; at most one where it is not required."""

    branches: tuple[Element, ...]
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A complex type: children in this order, a JSON object."""

    name: str
    parts: tuple[Element | Choice, ...]
    note: Note

    def elements(self) -> Iterator[Element]:
        """All children in order, the branches of choices among them."""
        for part in self.parts:
            if isinstance(part, Element):
                yield part
            else:
                yield from part.branches

    def child(self, json: str) -> Element | None:
        """The child with this JSON name."""
        return next((element for element in self.elements() if element.json == json), None)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A list type: one child that repeats, a JSON array.

    Attributes:
        least: Fewest items, 1 or more.
        most: Most items; None for no bound.
    """

    name: str
    item: Element
    least: int
    most: int | None
    note: Note


@dataclass(frozen=True, slots=True, eq=False)
class Carrier:
    """A type that holds one whole message of any kind (``Aflevering/Bericht``)."""

    name: str
    note: Note


Type = Simple | Record | Listing | Carrier


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """The global element of one message kind.

    Attributes:
        namespace: Target namespace of its module.
        version: The ``version`` attribute of its XSD, for example ``2.0``.
    """

    kind: Kind
    namespace: str
    version: str
    element: Element

    @property
    def tag(self) -> str:
        """The qualified name in lxml's notation."""
        return f"{{{self.namespace}}}{self.element.name}"

    @property
    def record(self) -> Record:
        """The type of the message; the reader made sure that it is a record."""
        if not isinstance(self.element.type, Record):
            raise TypeError(self.kind)
        return self.element.type


@dataclass(frozen=True, slots=True)
class Place:
    """One element of a message and the way to it.

    Attributes:
        xml: Names from the root: ``/Kennisgeving/Vorderingen/Vordering/Saldo``.
        json: JSON names with ``*`` for any item: ``/kennisgeving/vorderingen/*/saldoInCenten``.
    """

    xml: str
    json: str
    element: Element
    parent: Record | Listing | None


def places(root: Root) -> Iterator[Place]:
    """Every element of a message kind, in document order."""
    start = Place(f"/{root.element.name}", f"/{root.element.json}", root.element, None)
    yield start
    yield from _below(start)


def _below(here: Place) -> Iterator[Place]:
    node = here.element.type
    if isinstance(node, Listing):
        steps = [(node.item, node.item.name, "*")]
    elif isinstance(node, Record):
        steps = [(element, element.name, element.json) for element in node.elements()]
    else:
        return
    for element, xml, json in steps:
        place = Place(f"{here.xml}/{xml}", f"{here.json}/{json}", element, node)
        yield place
        yield from _below(place)
