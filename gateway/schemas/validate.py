"""Station validate: does it satisfy the published schema of its kind and version?"""

from __future__ import annotations

from lxml import etree

from gateway.errors import Code, Finding, Refusal
from gateway.message import Dialect, Json, Validated, Verified
from gateway.schemas.catalogue import (
    KIND,
    LARGEST_REPORT,
    MODULE,
    VERSION,
    Catalogue,
    Codec,
    major_of,
)
from gateway.schemas.decode import STUURGEGEVENS
from gateway.schemas.paths import Spot, finding
from gateway.schemas.reader import NAMESPACE
from gateway.schemas.verdict import explain

XSI = "http://www.w3.org/2001/XMLSchema-instance"
SCHEMA_LOCATION = f"{{{XSI}}}schemaLocation"
XSI_RULE = "xsi"
CONTENT = "inhoud"
MODULE_DIFFERS = "module-wijkt-af"
VERSION_DIFFERS = "versie-wijkt-af"

_XSI_ATTRIBUTES = etree.XPath("descendant-or-self::*/@xsi:*", namespaces={"xsi": XSI})


def validate(verified: Verified, catalogue: Catalogue) -> Validated:
    """Hold a verified document to the XSD of its kind, whatever form it came in.

    Raises:
        Refusal: SCHEMA_ONGELDIG with 1 to 100 findings. ``soort-onbekend``,
            ``module-onbekend`` and ``versie-onbekend`` where there is no such schema.
    """
    if isinstance(verified.document, dict):
        codec = catalogue.by_document(verified.document)
        return Validated(verified, codec.kind, _from_json(verified.document, codec))
    codec = _by_tag(verified.document, catalogue)
    _hold_xml(verified.document, codec)
    return Validated(verified, codec.kind, verified.document)


def _from_json(document: Json, codec: Codec) -> etree._Element:
    encoded = codec.encode(document)
    satisfied = codec.schema.verdict.validate(encoded.tree)
    if satisfied and not encoded.problems:
        return encoded.tree
    found = [Finding(rule, at) for at, rule in encoded.problems[:LARGEST_REPORT]]
    if not satisfied and len(found) < LARGEST_REPORT:
        reported = tuple(each.path for each in found)
        explained = explain(encoded.tree, codec, Dialect.JSON)
        found += [each for each in explained if not _within(each.path, reported)]
    found = found or [finding(codec, Dialect.JSON, Spot(encoded.tree), CONTENT)]
    raise Refusal(Code.SCHEMA_ONGELDIG, *found[:LARGEST_REPORT])


def _within(path: str, reported: tuple[str, ...]) -> bool:
    """At or below a place where an empty element stands for what could not be written."""
    return any(path == at or path.startswith(f"{at}/") for at in reported)


def _hold_xml(tree: etree._Element, codec: Codec) -> None:
    found = _xsi(tree, codec)
    if not codec.schema.verdict.validate(tree):
        found += explain(tree, codec, Dialect.XML)
        found = found or [finding(codec, Dialect.XML, Spot(tree), CONTENT)]
    elif codec.headed:
        found += _header(tree, codec)
    if found:
        raise Refusal(Code.SCHEMA_ONGELDIG, *found[:LARGEST_REPORT])


def _by_tag(tree: etree._Element, catalogue: Catalogue) -> Codec:
    codec = catalogue.tags.get(tree.tag)
    if codec is not None:
        return codec
    name = etree.QName(tree)
    known = any(codec.root.element.name == name.localname for codec in catalogue.kinds.values())
    namespace = NAMESPACE.fullmatch(name.namespace or "")
    rule = KIND
    if namespace is None or all(namespace["module"] != of for of, _ in catalogue.modules):
        rule = MODULE
    elif (namespace["module"], int(namespace["major"])) not in catalogue.modules:
        rule = VERSION
    path = f"/{name.localname}" if known else "/*"
    raise Refusal(Code.SCHEMA_ONGELDIG, Finding(rule, path, tree.sourceline))


def _xsi(tree: etree._Element, codec: Codec) -> list[Finding]:
    """``xsi:type`` would choose another type and ``xsi:nil`` leave out the content: refused.

    ``xsi:schemaLocation`` on the root is common and harmless: nothing is ever loaded.
    """
    return [
        finding(codec, Dialect.XML, Spot(attribute.getparent()), XSI_RULE)
        for attribute in _XSI_ATTRIBUTES(tree)[: LARGEST_REPORT + 1]
        if attribute.attrname != SCHEMA_LOCATION or attribute.getparent() is not tree
    ]


def _header(tree: etree._Element, codec: Codec) -> list[Finding]:
    """Module and Versie in the Stuurgegevens are those of the namespace."""
    namespace = f"{{{codec.root.namespace}}}"
    header = next(tree.iterchildren(f"{namespace}{STUURGEGEVENS}"))
    module, version = header.iterchildren(f"{namespace}Module", f"{namespace}Versie")
    found = []
    if (module.text or "").strip() != codec.kind.module:
        found.append(finding(codec, Dialect.XML, Spot(module), MODULE_DIFFERS))
    if major_of((version.text or "").strip()) != codec.kind.major:
        found.append(finding(codec, Dialect.XML, Spot(version), VERSION_DIFFERS))
    return found
