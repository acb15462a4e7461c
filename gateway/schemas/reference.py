"""The reference pages in docs/berichten: one page for each message kind, in Dutch.

Pure: what comes out depends on the plans, the rules and the example only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from lxml import etree

from gateway.errors import Severity
from gateway.message import Json, Kind
from gateway.schemas.catalogue import Catalogue, Codec
from gateway.schemas.plan import Choice, Element, Listing, Place, Record, Simple, places
from gateway.schemas.rules import Post, Rule, explanations

MADE = "<!-- Gemaakt met docs/genereer.py uit de XSD's; verander die, niet deze pagina. -->"
FORMS = {
    "text": "tekst",
    "cents": "bedrag (JSON: gehele centen)",
    "integer": "geheel getal",
    "boolean": "`true` of `false`",
}
BASES = {"date": "datum", "dateTime": "tijdstip", "base64Binary": "base64", "decimal": "decimaal"}


def pages(catalogue: Catalogue, examples: Mapping[Kind, Json]) -> dict[str, str]:
    """All pages by their path below docs/berichten."""
    made = {path_of(kind): page(codec, catalogue, examples.get(kind))
            for kind, codec in catalogue.kinds.items()}  # fmt: skip
    return {"README.md": index(catalogue), **made}


def path_of(kind: Kind) -> str:
    """Where the page of a kind lies, below docs/berichten."""
    return f"{kind.module}-v{kind.major}/{kind.name}.md"


def index(catalogue: Catalogue) -> str:
    """The list of kinds, and every rule that a finding can name."""
    lines = [MADE, "", "# Berichten", ""]
    for schema in catalogue.modules.values():
        module = schema.module
        lines += [f"## {module.name} v{module.major}", "", f"`{module.namespace}`", ""]
        lines += ["| Bericht | Betekenis | Herkomst |", "|---|---|---|"]
        for root in module.roots:
            note = root.element.note
            link = f"[{root.kind.name}]({path_of(root.kind)})"
            lines.append(f"| {link} | {cell(note.text)} | {note.herkomst} |")
        lines.append("")
    lines += ["## Regels", "", "| Code | Betekenis | In English |", "|---|---|---|"]
    lines += [f"| `{code}` | {cell(told.nl)} | {cell(told.en)} |"
              for code, told in explanations().items()]  # fmt: skip
    return "\n".join([*lines, ""])


def page(codec: Codec, catalogue: Catalogue, example: Json | None) -> str:
    """The page of one message kind."""
    root, kind = codec.root, codec.kind
    lines = [
        MADE,
        "",
        f"# {kind.name}",
        "",
        root.element.note.text,
        "",
        f"Module {kind.module}, versie {root.version}, {root.element.note.herkomst}.  ",
        f"XML: `{root.element.name}` in `{root.namespace}`.  ",
        f"JSON: `{root.element.json}`.",
        "",
        *_fields(codec),
        *_types(codec),
        *_codes(codec),
        *_rules(codec),
        *_example(codec, catalogue, example),
    ]
    return "\n".join(lines)


def _fields(codec: Codec) -> Iterator[str]:
    yield from ("## Velden", "")
    yield "| XML | JSON | Type | Aantal | Herkomst | Merken | Betekenis |"
    yield "|---|---|---|---|---|---|---|"
    start = f"/{codec.root.element.name}/"
    for place in list(places(codec.root))[1:]:
        element = place.element
        listed = isinstance(place.parent, Listing)
        yield (
            f"| {place.xml.removeprefix(start)} | {'(element)' if listed else f'`{element.json}`'}"
            f" | {_type_name(element)} | {_count(place)} | {element.note.herkomst}"
            f" | {', '.join(sorted(element.marks))} | {cell(element.note.text)} |"
        )
    yield ""


def _type_name(element: Element) -> str:
    if isinstance(element.type, Simple):
        return element.type.name
    return "lijst" if isinstance(element.type, Listing) else "groep"


def _count(place: Place) -> str:
    if isinstance(place.parent, Listing):
        most = "n" if place.parent.most is None else place.parent.most
        return f"{place.parent.least}..{most}"
    choice = _choice_of(place)
    if choice is not None:
        return "keuze" if choice.required else "keuze, mag weg"
    return "1" if place.element.required else "0..1"


def _choice_of(place: Place) -> Choice | None:
    parts = place.parent.parts if isinstance(place.parent, Record) else ()
    return next((p for p in parts if isinstance(p, Choice) and place.element in p.branches), None)


def _simple_types(codec: Codec) -> list[Simple]:
    found = {p.element.type.name: p.element.type for p in places(codec.root)
             if isinstance(p.element.type, Simple)}  # fmt: skip
    return [found[name] for name in sorted(found)]


def _types(codec: Codec) -> Iterator[str]:
    yield from ("## Typen", "", "| Type | Vorm | Grenzen | Patroon |", "|---|---|---|---|")
    for node in _simple_types(codec):
        form = FORMS[node.form.value]
        if node.form.value == "text" and node.base in BASES:
            form = f"{BASES[node.base]} (JSON: tekst)"
        if node.codes:
            form = "code"
        bounds = ", ".join(f"{name} {value}" for name, value in node.facets)
        patterns = " ".join(f"`{_visible(pattern)}`" for pattern in node.patterns)
        yield f"| {node.name} | {form} | {bounds} | {patterns} |"
    yield ""


def _visible(pattern: str) -> str:
    shown = "".join(c if " " <= c <= "~" else f"\\u{{{ord(c):X}}}" for c in pattern)
    return shown.replace("|", "\\|")


def _codes(codec: Codec) -> Iterator[str]:
    coded = [node for node in _simple_types(codec) if node.codes]
    if coded:
        yield from ("## Codes", "")
    for node in coded:
        opened = " (open lijst: een volgende versie kan codes toevoegen)"
        yield from (f"### {node.name}{opened if 'open' in node.note.marks else ''}", "")
        yield from ("| Code | Betekenis | Herkomst |", "|---|---|---|")
        for code in node.codes:
            yield f"| `{code.value}` | {cell(code.note.text)} | {code.note.herkomst} |"
        yield ""


def _rules(codec: Codec) -> Iterator[str]:
    found = list(_posted(codec.rules, ""))
    if not found:
        return
    yield from ("## Bedrijfsregels", "")
    yield from ("| Code | Gevolg | Waar (JSON) | Betekenis |", "|---|---|---|---|")
    for at, rule in found:
        effect = "weigert" if rule.severity is Severity.WEIGER else "waarschuwt"
        yield f"| `{rule.code}` | {effect} | `{at}` | {cell(rule.nl)} |"
    yield ""


def _posted(post: Post, at: str) -> Iterator[tuple[str, Rule]]:
    yield from ((at, rule) for rule, _ in post.checks)
    for step, below in post.below.items():
        yield from _posted(below, f"{at}/{step}")


def _example(codec: Codec, catalogue: Catalogue, example: Json | None) -> Iterator[str]:
    if example is None:
        return
    tree = catalogue.to_xml(codec.kind, example)
    etree.indent(tree)
    yield from ("## Voorbeeld", "", "```json", json.dumps(example, ensure_ascii=False, indent=2))
    yield from ("```", "", "```xml", etree.tostring(tree, encoding="unicode"), "```", "")


def cell(text: str) -> str:
    """Text as it may stand in a table."""
    return text.replace("|", "\\|")
