"""The catalogue: every message kind of the contract, with all that was compiled for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from lxml import etree

from gateway.errors import Code, Finding, Refusal
from gateway.message import Json, Kind
from gateway.schemas.decode import STUURGEGEVENS, Decoder, compile_decoder
from gateway.schemas.encode import (
    Encoded,
    Out,
    Problems,
    Workshop,
    Writer,
    compile_encoder,
    compile_writer,
)
from gateway.schemas.pairing import read_versions
from gateway.schemas.plan import Root, Type
from gateway.schemas.reader import Module, read_modules
from gateway.schemas.rules import Post, Rule, bind, read_rules
from gateway.schemas.versions import Versions

XSD_FOLDER = Path(__file__).parent / "xsd"
LARGEST_REPORT = 100
"""Findings in one refusal, at most (errors.Refusal)."""

MODULE = "module-onbekend"
VERSION = "versie-onbekend"
KIND = "soort-onbekend"
ABSENT = "ontbreekt"


@dataclass(frozen=True, eq=False, repr=False)
class ModuleSchema:
    """The compiled XSD of one module.

    Attributes:
        verdict: Says yes or no; any thread may ask at any time.
        document: The XSD as it was read, for ``explaining``.
        xml_names: All element names that a finding may show; likewise json_names.
    """

    module: Module
    verdict: Any
    document: Any
    lock: Lock
    xml_names: frozenset[str]
    json_names: frozenset[str]

    @cached_property
    def explaining(self) -> Any:
        """A second copy, made for the first message that is refused.

        Only to be asked under ``lock``: libxml2's list of errors hangs on the compiled schema,
        and must not mix two messages.
        """
        return etree.XMLSchema(self.document)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Codec:
    """What the line needs for one message kind.

    Attributes:
        decode: A tree that satisfies the XSD to canonical JSON.
        encode: Canonical JSON to a tree, as far as it goes, with the problems.
        rules: Where the business rules wait in a document of this kind.
        headed: The kind has Stuurgegevens.
    """

    root: Root
    schema: ModuleSchema
    decode: Callable[[etree._Element], Json]
    encode: Callable[[Json], Encoded]
    write: Writer
    rules: Post
    headed: bool

    @property
    def kind(self) -> Kind:
        """The message kind that this is for."""
        return self.root.kind


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Catalogue:
    """Every message kind, found by name, by XML root or by JSON root; read once at start.

    Attributes:
        tags: By the qualified name of the XML root.
        documents: By module, major version and JSON root.
        headless: By JSON root, where the kind has no Stuurgegevens.
        versions: The kinds that live in two versions.
    """

    kinds: Mapping[Kind, Codec]
    modules: Mapping[tuple[str, int], ModuleSchema]
    tags: Mapping[str, Codec]
    documents: Mapping[tuple[str, int, str], Codec]
    headless: Mapping[str, Codec]
    versions: Versions

    @classmethod
    def load(cls, folder: Path = XSD_FOLDER) -> Catalogue:
        """Read and compile all XSDs of ``folder``, and bind the rules to them.

        Raises:
            ContractError: an XSD leaves what docs/contract.md allows.
        """
        rules = read_rules()
        modules = {(m.name, m.major): _compiled(m) for m in read_modules(folder)}
        kinds: dict[Kind, Codec] = {}
        tags: dict[str, Codec] = {}
        documents: dict[tuple[str, int, str], Codec] = {}
        headless: dict[str, Codec] = {}
        catalogue = cls(
            MappingProxyType(kinds),
            MappingProxyType(modules),
            MappingProxyType(tags),
            MappingProxyType(documents),
            MappingProxyType(headless),
            read_versions(
                {root.kind: root for each in modules.values() for root in each.module.roots}
            ),
        )
        for codec in _codecs(modules.values(), catalogue, rules):
            kind, name = codec.kind, codec.root.element.json
            kinds[kind] = tags[codec.root.tag] = codec
            if codec.headed:
                documents[kind.module, kind.major, name] = codec
            else:
                headless[name] = codec
        return catalogue

    def by_document(self, document: Json) -> Codec:
        """The codec for a JSON document, from its root member, module and versie.

        Raises:
            Refusal: SCHEMA_ONGELDIG with ``soort-onbekend``, ``module-onbekend`` or
                ``versie-onbekend``.
        """
        found = self._find(document)
        if isinstance(found, Finding):
            raise Refusal(Code.SCHEMA_ONGELDIG, found)
        return found

    def to_xml(self, kind: Kind, document: Json) -> etree._Element:
        """Canonical JSON as a tree; the XSD is not consulted.

        Raises:
            Refusal: SCHEMA_ONGELDIG with a JSON pointer for each place that cannot be
                written as XML of this kind.
        """
        encoded = self.kinds[kind].encode(document)
        if encoded.problems:
            problems = encoded.problems[:LARGEST_REPORT]
            raise Refusal(Code.SCHEMA_ONGELDIG, *(Finding(rule, at) for at, rule in problems))
        return encoded.tree

    def to_json(self, tree: etree._Element) -> Json:
        """Canonical JSON of a tree, which is held to the XSD of its kind first.

        Raises:
            KeyError: the root is of no kind.
            ValueError: the tree does not satisfy the XSD.
        """
        codec = self.tags[tree.tag]
        if not codec.schema.verdict.validate(tree):
            raise ValueError(codec.root.tag)
        return codec.decode(tree)

    def write_any(self, value: Any, out: Out) -> Problems:
        """Write one whole message inside another (``Aflevering/Bericht``)."""
        found = self._find(value)
        if isinstance(found, Finding):
            return [(found.path, found.rule)]
        name = found.root.element.json
        return [(f"/{name}{at}", rule) for at, rule in found.write(value[name], out) or ()]

    def _find(self, document: Any) -> Codec | Finding:
        if type(document) is not dict or len(document) != 1:
            return Finding(KIND, "")
        ((name, body),) = document.items()
        header = body.get("stuurgegevens") if type(body) is dict else None
        if type(header) is not dict:
            return self.headless.get(name) or self._headerless(name)
        module, major = header.get("module"), major_of(header.get("versie"))
        if type(module) is str and (codec := self.documents.get((module, major, name))):
            return codec
        if all(known != module for known, _ in self.modules):
            return Finding(MODULE, f"{self._shown(name)}/stuurgegevens/module")
        if (module, major) not in self.modules:
            return Finding(VERSION, f"{self._shown(name)}/stuurgegevens/versie")
        return Finding(KIND, self._shown(name))

    def _headerless(self, name: str) -> Finding:
        at = self._shown(name)
        return Finding(KIND, at) if at == "/*" else Finding(ABSENT, f"{at}/stuurgegevens")

    def _shown(self, name: str) -> str:
        known = any(codec.root.element.json == name for codec in self.kinds.values())
        return f"/{name}" if known else "/*"


def major_of(version: Any) -> int:
    """The major part of ``2.0``; 0 for what is not a version."""
    major = version.partition(".")[0] if type(version) is str else ""
    return int(major) if major.isascii() and major.isdecimal() and len(major) < 5 else 0  # noqa: PLR2004


def _codecs(
    schemas: Collection[ModuleSchema], catalogue: Catalogue, rules: tuple[Rule, ...]
) -> Iterator[Codec]:
    decoders: dict[tuple[str, Type], Decoder] = {}
    known = frozenset(name for schema in schemas for name in schema.json_names)
    shop = Workshop(catalogue.write_any, known)
    for schema in schemas:
        for root in schema.module.roots:
            write = compile_writer(root, shop)
            yield Codec(
                root,
                schema,
                compile_decoder(root, catalogue.to_json, decoders),
                compile_encoder(root, write),
                write,
                bind(rules, root),
                headed=any(e.name == STUURGEGEVENS for e in root.record.elements()),
            )


def _compiled(module: Module) -> ModuleSchema:
    document = etree.parse(module.path)  # noqa: TID251 - our own file
    elements = list(module.elements())
    return ModuleSchema(
        module,
        verdict=etree.XMLSchema(document),
        document=document,
        lock=Lock(),
        xml_names=frozenset(element.name for element in elements),
        json_names=frozenset(element.json for element in elements),
    )
