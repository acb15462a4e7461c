"""The plans are what the XSDs say, and an XSD that leaves the contract is not read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from xmlschema.validators import XsdAnyElement

from gateway.schemas.plan import Carrier, Choice, Element, Listing, Record, Root, Simple, Type
from gateway.schemas.reader import ContractError, Module, read_modules
from tests.unit.schema_cases import CATALOGUE

MODULES = [schema.module for schema in CATALOGUE.modules.values()]
FACETS = {"length", "minLength", "maxLength", "totalDigits", "fractionDigits"}
XS = "{http://www.w3.org/2001/XMLSchema}"


class Compared:
    """Walks a plan and xmlschema's own reading of the same file together."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def element(self, mine: Element, theirs: Any) -> None:
        assert mine.name == theirs.local_name
        assert mine.type.name == theirs.type.local_name
        if mine.type.name not in self.seen:
            self.seen.add(mine.type.name)
            self.type(mine.type, theirs.type)

    def type(self, mine: Type, theirs: Any) -> None:
        if isinstance(mine, Simple):
            self.simple(mine, theirs)
        elif isinstance(mine, Listing):
            (item,) = theirs.content
            assert (mine.least, mine.most) == (item.min_occurs, item.max_occurs)
            self.element(mine.item, item)
        elif isinstance(mine, Carrier):
            assert [type(each) for each in theirs.content] == [XsdAnyElement]
        else:
            self.record(mine, theirs)

    def record(self, mine: Record, theirs: Any) -> None:
        assert len(mine.parts) == len(theirs.content)
        for part, other in zip(mine.parts, theirs.content, strict=True):
            assert (other.min_occurs, other.max_occurs) == (int(part.required), 1)
            if isinstance(part, Choice):
                assert other.model == "choice"
                for branch, option in zip(part.branches, other, strict=True):
                    assert (option.min_occurs, option.max_occurs) == (1, 1)
                    self.element(branch, option)
            else:
                self.element(part, other)

    def simple(self, mine: Simple, theirs: Any) -> None:
        assert mine.base in {
            theirs.primitive_type.local_name,
            theirs.root_type.local_name,
            "integer",
        }
        assert mine.collapse == (theirs.white_space == "collapse")
        assert [code.value for code in mine.codes] == (theirs.enumeration or [])
        for name in FACETS:
            facet = theirs.get_facet(f"{XS}{name}")
            assert mine.facet(name) == (None if facet is None else str(facet.value))
        patterns = theirs.patterns.regexps if theirs.patterns else []
        assert list(mine.patterns) == list(patterns)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path.stem)
def test_a_plan_is_what_an_xsd_processor_reads(module: Module) -> None:
    theirs = xmlschema.XMLSchema10(str(module.path), allow="local", defuse="always")
    compared = Compared()

    for root in module.roots:
        compared.element(root.element, theirs.elements[root.element.name])

    assert [root.element.name for root in module.roots] == list(theirs.elements)
    assert {name for name, node in module.types.items() if used(module, node)} == compared.seen


def used(module: Module, node: Type) -> bool:
    """The type occurs in some message of this module."""
    found: set[int] = set()

    def walk(each: Type) -> None:
        found.add(id(each))
        if isinstance(each, Listing):
            walk(each.item.type)
        elif isinstance(each, Record):
            for element in each.elements():
                walk(element.type)

    for root in module.roots:
        walk(root.element.type)
    return id(node) in found


MEASURE = """
import time, timeit
from gateway.schemas import Catalogue
print(min(timeit.repeat(Catalogue.load, timer=time.process_time, number=1, repeat=3)))
"""


def test_the_contract_is_read_and_compiled_within_seconds_of_work() -> None:
    # in a process of its own: what a whole suite keeps in memory slows this one
    measured = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True)

    assert float(measured.stdout) < 3


def a_contract(
    folder: Path, content: str, namespace: str = "proef:v1", version: str = "1.0"
) -> Path:
    """A module file with one kind, of which ``content`` is the type."""
    name = f"urn:nld:schuldhulp-gateway:{namespace}"
    (folder / "proef-v1.xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="{name}" '
        f'targetNamespace="{name}" elementFormDefault="qualified" version="{version}">'
        '<xs:element name="Proef" type="Proef"/>'
        '<xs:simpleType name="Tekst"><xs:restriction base="xs:string"/></xs:simpleType>'
        f'<xs:complexType name="Proef">{content}</xs:complexType></xs:schema>',
        "utf-8",
    )
    return folder


def sequence(*children: str) -> str:
    return f"<xs:sequence>{''.join(children)}</xs:sequence>"


A = '<xs:element name="A" type="Tekst"/>'
B = '<xs:element name="B" type="Tekst" minOccurs="0"/>'


def test_a_contract_of_the_test_itself_is_read(tmp_path: Path) -> None:
    (module,) = read_modules(a_contract(tmp_path, sequence(A, B)))

    root: Root = module.roots[0]
    assert [(each.json, each.required) for each in root.record.elements()] == [
        ("a", True),
        ("b", False),
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("<xs:all>" + A + "</xs:all>", id="not a sequence"),
        pytest.param(sequence(A, A), id="a name twice"),
        pytest.param(sequence(A, '<xs:element name="a" type="Tekst"/>'), id="a JSON name twice"),
        pytest.param(
            sequence(A, '<xs:element name="B" type="Tekst" maxOccurs="2"/>'),
            id="a repeated child that is not alone",
        ),
        pytest.param(sequence(A, "<xs:sequence>" + B + "</xs:sequence>"), id="a nested sequence"),
        pytest.param(
            sequence("<xs:choice><xs:sequence>" + A + "</xs:sequence></xs:choice>"),
            id="a branch that is no element",
        ),
        pytest.param(
            sequence("<xs:choice>" + B + "</xs:choice>"), id="a branch that may be absent"
        ),
        pytest.param(
            sequence('<xs:element name="A" type="Tekst" default="x"/>'), id="a default value"
        ),
        pytest.param(sequence('<xs:element ref="Proef"/>'), id="a reference"),
        pytest.param(sequence('<xs:element name="A" type="xs:date"/>'), id="a built-in type"),
        pytest.param(sequence('<xs:element name="A" type="Weg"/>'), id="a type that is not there"),
    ],
)
def test_an_xsd_that_leaves_the_contract_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ContractError):
        read_modules(a_contract(tmp_path, content))


@pytest.mark.parametrize(("namespace", "version"), [("proef:v2", "1.0"), ("proef", "1.0")])
def test_the_namespace_says_module_and_major_version(
    tmp_path: Path, namespace: str, version: str
) -> None:
    with pytest.raises(ContractError):
        read_modules(a_contract(tmp_path, sequence(A), namespace, version))
