"""Writes docs/process.md from the tables of the gateway: ``python -m docs.process``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docs.process_states import Words, always, drawings, overview, source, states, written
from gateway.errors import EXPLANATIONS, Code
from gateway.routing import policy, retention, table, terms
from gateway.routing.lanes import KINDS_THAT_OVERTAKE, STATUSES_THAT_OVERTAKE
from gateway.routing.lengths import Length, local_day, reminders, tot_en_met
from gateway.routing.policy import CREDITORS, GATEWAY_ROLE, Policy
from gateway.routing.standing import SHOWN_REASONS
from gateway.routing.terms import TERMIJNEN, TermBook
from gateway.schemas.pairing import VERSIONS_FILE
from gateway.verklaring import written as written_moment
from gateway.verklaring import written_day

PAGE = Path(__file__).with_name("process.md")
WORDS = Path(__file__).with_name("process.toml")

EXAMPLE = datetime(2027, 4, 22, 12, 5, tzinfo=UTC)
"""Before Koningsdag, 5 May and Hemelvaartsdag."""


def page() -> str:
    """The whole page."""
    words = tomllib.loads(WORDS.read_text("utf-8"))
    rules, book, rights = table.read(), terms.read(), policy.read()
    fill = {
        "niet_opgehaald": written(book.uncollected),
        "onbezorgd": str(retention.read().rows[-1].terms.undelivered.days),
        "vrije_dagen": ", ".join(sorted(map(str, book.calendar.extra))) or "nu leeg",
        "redenen": ", ".join(f"`{each}`" for each in sorted(SHOWN_REASONS)),
    }

    def prose(text: str) -> list[str]:
        return [text.strip().format(**fill), ""]

    lines = [
        *prose(words["inleiding"]),
        *prose(words["gateway"]),
        *prose(words["diagram"]),
        *drawings(rules, words),
        *("## Alle standen", ""),
        *overview(rules, words),
        *("", "## Wat er in elke stand kan", ""),
        *(WHAT_COUNTS, ""),
        *states(rules, book, words),
        *("## Wat overal kan", "", _overtaking(), ""),
        *always(rules, book, words),
        *("", "## Termijnen", ""),
        *_terms(book, words),
        *prose(words["na_termijnen"]["tekst"]),
        *_example(book),
        *prose(words["midden"]["tekst"]),
        *prose(words["rechten"]["tekst"]),
        *_roles(rights),
        *prose(words["rechten"]["namens"]),
        *_modules(rights),
        *prose(words["rechten"]["bsn"]),
        *_variants(rights),
        *prose(words["statusverzoek"]["tekst"]),
        *("| stand | antwoord |", "|---|---|"),
        *(f"| {state} | `{code}` |" for state, code in rules.status_codes.items()),
        "",
        *prose(words["versies"]["tekst"]),
        *_versions(),
        *prose(words["codes"]["tekst"]),
        *_codes(words),
    ]
    return "\n".join(lines).rstrip() + "\n"


WHAT_COUNTS = (
    "Na `→` staat waar het gesprek dan staat. Passen er meer regels, dan telt de eerste; de regels"
    " van een stand gaan voor die onder [Wat overal kan](#wat-overal-kan). Wat op geen van beide"
    " plaatsen staat, krijgt `VOLGORDE_ONGELDIG`, of zegt wat er met de vraag is gebeurd. Een"
    " bericht van de verkeerde kant krijgt `GEEN_RECHT`."
)


def _overtaking() -> str:
    kinds = ", ".join(sorted(KINDS_THAT_OVERTAKE))
    codes = ", ".join(f"`{each}`" for each in sorted(STATUSES_THAT_OVERTAKE))
    return (
        "In elke stand na NIEUW, tot het gesprek is beëindigd. Wat een vraag beantwoordt, kan"
        " alleen als die er is. Voorrang op wat al voor dezelfde ontvanger wacht, hebben"
        f" {kinds}, alles van de module crisis, en een StatusberichtShv met {codes}."
    )


def _terms(book: TermBook, words: Words) -> Iterator[str]:
    given = tomllib.loads(TERMIJNEN.read_text("utf-8"))
    yield "| convenant | waarvoor | lengte | wie zegt het |"
    yield "|---|---|---|---|"
    for each in given["termijn"]:
        what = f"antwoord op {', '.join(each.get('soorten', ())) or 'alles in ' + each['module']}"
        yield _term(each, what, each["lengte"], words)
    for each in given.get("bezwaar", ()):
        yield _term(each, "bezwaar tegen een vooraf gegeven akkoord", each["lengte"], words)
    for each in given.get("voorstel", ()):
        what = "voorstel na de opgave; alleen de schuldhulpverlener ziet dit"
        yield _term(each, what, each["lengte"], words)
    uncollected = given["niet_opgehaald"]
    what = "melding dat een bericht niet is opgehaald"
    yield _term(uncollected, what, uncollected["lengte"], words)
    valid = given["geldigheid_saldo"]
    what = "hoe lang een opgave geldt die dat zelf niet zegt; daarna mag opnieuw worden gevraagd"
    yield _term(valid, what, valid["lengte"], words)
    yield from (
        "",
        "In de gegevens staan ook lengtes die de gateway nog niet zelf bewaakt:",
        "",
        "| convenant | waarvoor | lengte | wie zegt het |",
        "|---|---|---|---|",
    )
    for each in given.get("voorstel", ()):
        yield _term(each, "voorstel na de opgave, hoogstens", each["hoogstens"], words)
    for each in given["pauze"]:
        length = f"{each['maanden']} MAAND"
        yield _term(each, "pauze van het innen na een kennisgeving", length, words)
    yield from ("", f"Geen termijn hebben: {', '.join(sorted(book.zonder))}.", "")


def _term(row: Any, what: str, length: str, words: Words) -> str:
    convenant = row.get("convenant", "geen of een ander")
    shifted = " VERSCHUIFT" if row.get("verschuift") else ""
    days = written(Length.read(length + shifted))
    return f"| {convenant} | {what} | {days} | {source(row['bron'], words)} |"


def _example(book: TermBook) -> Iterator[str]:
    soort = "Saldoverzoek"
    length = book.length(soort=soort, module="schuldregeling", convenant=None)
    if length is None:
        return
    last = tot_en_met(length, EXAMPLE, book.calendar)
    first, second = reminders(length, EXAMPLE, book.calendar)
    yield (
        f"**Voorbeeld.** Een {soort} ligt klaar op {written_day(local_day(EXAMPLE))}, met een"
        f" termijn van {written(length)}. Koningsdag, 5 mei, Hemelvaartsdag en de weekeinden tellen"
        " niet mee."
        f" De laatste dag is {written_day(last)}. Herinneringen gaan op {written_moment(first)} en"
        f" op {written_moment(second)}."
    )
    yield ""


def _roles(rights: Policy) -> Iterator[str]:
    sides = {"hulp": "hulpverlener", CREDITORS: "schuldeiser", GATEWAY_ROLE: "de gateway zelf"}
    yield from ("| rol | kant | handelt altijd namens een ander |", "|---|---|---|")
    for name, role in rights.roles.items():
        yield f"| {name} | {sides[role.side]} | {'ja' if role.for_another else ''} |"
    yield ""


def _modules(rights: Policy) -> Iterator[str]:
    for module in dict.fromkeys(module for module, _ in rights.sends):
        yield from (f"### Module {module}", "")
        yield from ("| bericht | verzendt | ontvangt | verplichte bijlage |", "|---|---|---|---|")
        alike: dict[tuple[str, str, str], list[str]] = {}
        for (each, name), senders in rights.sends.items():
            if each == module:
                cells = (
                    _who(frozenset(senders), rights),
                    _who(rights.gets.get((module, name), frozenset()), rights),
                    "; ".join(f"{by}: `{what}`" for by, what in senders.items() if what),
                )
                alike.setdefault(cells, []).append(name)
        for cells, names in alike.items():
            yield f"| {', '.join(names)} | " + " | ".join(cells) + " |"
        yield ""


def _who(roles: frozenset[str], rights: Policy) -> str:
    said, left = [], set(roles)
    for side, name in (("hulp", "alle hulpverleners"), (CREDITORS, "de kant van de schuldeiser")):
        whole = {each for each, role in rights.roles.items() if role.side == side}
        if whole <= left:
            said.append(name)
            left -= whole
    return ", ".join((*said, *(each for each in rights.roles if each in left)))


def _variants(rights: Policy) -> Iterator[str]:
    yield from ("| in plaats van | stuurt u zonder nummer |", "|---|---|")
    yield from (f"| {kind} | {other} |" for kind, other in rights.variants.items())
    yield ""


def _versions() -> Iterator[str]:
    for module in tomllib.loads(VERSIONS_FILE.read_text("utf-8"))["module"]:
        old, new = module["oud"], module["nieuw"]
        yield f"| {module['naam']} versie {old} | versie {new} | versie {old} zegt altijd |"
        yield "|---|---|---|"
        for kind in module["soort"]:
            meant = ", ".join(f"{e['plaats']} = `{e['waarde']}`" for e in kind.get("vul", ()))
            yield f"| {kind['oud']} | {kind['nieuw']} | {meant} |"
        yield ""


def _codes(words: Words) -> Iterator[str]:
    for name, codes in words["codes"]["groepen"].items():
        yield from (f"### {name}", "", "| code | wat er is, en wat u doet |", "|---|---|")
        yield from (f"| `{each}` | {EXPLANATIONS[Code[each]].nl} |" for each in codes)
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
