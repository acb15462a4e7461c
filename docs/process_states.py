"""The parts of docs/process.md that are read from the table of moves: drawings and states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.routing.conversation import BALANCES
from gateway.routing.lengths import Length, Unit
from gateway.routing.stand import BEEINDIGD, GEOPEND, NIEUW, Soort
from gateway.routing.table import EITHER, EVERY, FROM_THE_MESSAGE, KLOK, RUNNING, Rij, Table
from gateway.routing.terms import TermBook

Words = Mapping[str, Any]

SIDES = {
    "shv": "De schuldhulpverlener",
    "se": "De schuldeiser",
    EITHER: "Beide kanten",
    KLOK: "Vanzelf",
}
OTHER = {"shv": "de schuldeiser", "se": "de schuldhulpverlener", EITHER: "de ander"}
UNITS = {
    Unit.WERKDAG: ("werkdag", "werkdagen"),
    Unit.KALENDERDAG: ("dag", "dagen"),
    Unit.MAAND: ("maand", "maanden"),
}
MOST_IN_A_LABEL = 3

Edges = dict[tuple[str, str], list[str]]


def written(length: Length) -> str:
    """A length as people write it."""
    one, more = UNITS[length.eenheid]
    shifts = ", en anders de eerstvolgende werkdag" if length.verschuift else ""
    return f"{length.aantal} {one if length.aantal == 1 else more}{shifts}"


def drawings(table: Table, words: Words) -> Iterator[str]:
    """A drawing per phase, with what leads back below it."""
    phases = {name: tuple(phase["standen"]) for name, phase in words["fasen"].items()}
    phase_of = {state: name for name, states in phases.items() for state in states}
    order = list(phase_of)
    edges = edges_of(table)
    onward = {way: said for way, said in edges.items() if order.index(way[0]) < order.index(way[1])}
    back = {way: said for way, said in edges.items() if way not in onward}
    for name, states in phases.items():
        yield from (f"### {name}", "", "```mermaid")
        yield from diagram(_of_phase(onward, states, phase_of), list(phases), states)
        yield from ("```", "")
        if lines := list(_back(back, states)):
            yield from ("Terug kan ook:", "", *lines, "")
        if BEEINDIGD in states:
            yield from (ENDS, "", *_ends(table), "")


ENDS = "Vanuit elke stand na NIEUW eindigt het gesprek door:"


def edges_of(table: Table) -> Edges:
    """From state to other state: the kinds that lead there. Ends from anywhere are left out."""
    edges: Edges = {}
    for row in table.moves():
        if row.weigert is not None or RUNNING in row.van:
            continue
        for state in row.states(table.staten):
            if (to := _next(row, state)) != state:
                _add(edges, (state, to), _labels(row))
    return edges


def _add(edges: Edges, way: tuple[str, str], labels: Sequence[str]) -> None:
    said = edges.setdefault(way, [])
    said += [each for each in labels if each not in said]


def _of_phase(edges: Edges, states: Sequence[str], phase_of: Mapping[str, str]) -> Edges:
    """Arrows that start or end in a phase; other phases are one place each."""
    mine: Edges = {}
    for (start, to), said in edges.items():
        if start in states or to in states:
            ends = tuple(each if each in states else phase_of[each] for each in (start, to))
            _add(mine, (ends[0], ends[1]), said)
    return mine


def diagram(edges: Edges, phases: Sequence[str], states: Sequence[str]) -> Iterator[str]:
    """Mermaid: parallel arrows are one, other phases have a short name of their own."""
    short = {name: f"fase{number}" for number, name in enumerate(phases, start=1)}
    yield "stateDiagram-v2"
    for name in phases:
        if any(name in way for way in edges):
            yield f'    state "(fase: {name})" as {short[name]}'
    if NIEUW in states:
        yield f"    [*] --> {NIEUW}"
    for (start, to), said in edges.items():
        yield f"    {short.get(start, start)} --> {short.get(to, to)}: {_joined(said)}"
    if BEEINDIGD in states:
        yield '    state "(elke stand na NIEUW)" as overal'
        yield f"    overal --> {BEEINDIGD}: een einde"
        yield f"    {BEEINDIGD} --> [*]"


def _back(edges: Edges, states: Sequence[str]) -> Iterator[str]:
    """By what, from where, to where; one line for each kind and target."""
    found: dict[tuple[str, str], list[str]] = {}
    for (start, to), said in edges.items():
        if to in states:
            found.setdefault((_joined(said), to), []).append(start)
    for (what, to), starts in found.items():
        yield f"- {what}: van {', '.join(starts)} naar {to}"


def _ends(table: Table) -> Iterator[str]:
    for row in table.moves():
        if row.reden is not None and RUNNING in row.van:
            yield f"- {_said(row)}"


def _joined(said: Sequence[str]) -> str:
    shown = ", ".join(said[:MOST_IN_A_LABEL])
    rest = len(said) - MOST_IN_A_LABEL
    return shown if rest <= 0 else f"{shown} en {rest} andere"


def _labels(row: Rij) -> list[str]:
    if row.zegt == KLOK:
        return [_over(row)]
    if row.als and len(row.soort) == 1:
        return [f"{row.soort[0]} {'/'.join(row.als)}"]
    return list(row.soort)


def _over(row: Rij) -> str:
    return "bezwaartermijn voorbij" if "Bezwaar" in row.soort[0] else "termijn voorbij"


def _next(row: Rij, state: str) -> str:
    if row.opent and state == NIEUW:
        return GEOPEND
    return row.naar or state


def overview(table: Table, words: Words) -> Iterator[str]:
    """Every state in one table."""
    yield "| stand | wat het betekent | wie is aan zet |"
    yield "|---|---|---|"
    for state, meaning in table.staten.items():
        yield f"| [{state}](#{state.lower()}) | {meaning} | {words['aan_zet'][state]} |"


def states(table: Table, book: TermBook, words: Words) -> Iterator[str]:
    """What may be said next, state by state."""
    for state, meaning in table.staten.items():
        yield from (f"### {state}", "", f"{meaning} Aan zet: {words['aan_zet'][state]}.", "")
        rows = [row for row in table.moves() if _listed(row, state)]
        if rows:
            yield from _rows(rows, state, book, words)
        if state in BALANCES and book.voorstellen:
            yield from (words["na_voorsteltermijn"], "")


def _listed(row: Rij, state: str) -> bool:
    """Rows for every state are told once; but all of a new conversation."""
    if state == NIEUW:
        return row.holds(state) and not row.antwoord_op and not row.intrekking
    return state in row.van


def always(table: Table, book: TermBook, words: Words) -> Iterator[str]:
    """What may be said wherever the conversation stands."""
    rows = [row for row in table.moves() if {EVERY, RUNNING} & set(row.van)]
    yield from _rows(rows, None, book, words)


def _rows(rows: Sequence[Rij], state: str | None, book: TermBook, words: Words) -> Iterator[str]:
    for side in dict.fromkeys(row.zegt for row in rows):
        mine = [row for row in rows if row.zegt == side]
        yield from (f"{SIDES[side]}:", "")
        for place, row in enumerate(mine):
            earlier = [each for each in mine[:place] if set(each.soort) & set(row.soort)]
            terms = () if state == BEEINDIGD else _terms(row, book)  # none runs after the end
            remarks = "; ".join((*_remarks(row, earlier, words), *terms))
            told = f" {remarks[:1].upper()}{remarks[1:]}." if remarks else ""
            yield f"- **{_said(row)}** {_after(row, state)}.{told} *({source(row.bron, words)})*"
        yield ""


def source(bron: str, words: Words) -> str:
    """Our working papers are not part of this repository: what they say is a choice of ours."""
    for paper, name in words["bronnen"].items():
        if bron.startswith(paper):
            _, _, more = bron.removeprefix(paper).partition(": ")
            return f"{name}: {more}" if more else str(name)
    return bron


def _said(row: Rij) -> str:
    if row.zegt == KLOK:
        return f"{_over(row)}, na {', '.join(row.als)}"
    codes = f": {', '.join(f'`{code}`' for code in row.als)}" if row.als else ""
    return ", ".join(row.soort) + codes


def _after(row: Rij, state: str | None) -> str:
    if row.weigert is not None:
        return f"→ geweigerd: `{row.weigert}`"
    if row.opent and state is None:
        return "→ blijft; uit NIEUW wordt het GEOPEND"
    to = _next(row, state or "")
    if not to or to == state:
        return "→ blijft"
    if row.reden is None:
        return f"→ {to}"
    reason = "reden uit het bericht" if row.reden == FROM_THE_MESSAGE else f"reden `{row.reden}`"
    return f"→ {to}, {reason}"


def _terms(row: Rij, book: TermBook) -> Iterator[str]:
    if row.weigert is not None:
        return
    stopped = [each for each in (*row.antwoord_op, *row.beantwoordt) if _has_term(each, book)]
    if stopped and not row.laat_open:
        yield f"stopt de termijn van {' of '.join(stopped)}"
    replaced = [each for each in row.vervangt if _has_term(each, book)]
    if replaced and row.zegt != KLOK:
        yield f"vervangt een open {' of '.join(replaced)}, en stopt die termijn"
    if row.term is Soort.BEZWAAR:
        yield f"start de termijn voor bezwaar: {_by_convenant(book.bezwaren)}"
    elif row.term is Soort.VOORSTEL:
        yield f"start de termijn voor het voorstel: {_by_convenant(book.voorstellen)}"
    elif row.vraag:
        for text in sorted({_lengths(each, book) for each in row.soort} - {""}):
            yield f"start een termijn voor {OTHER[row.zegt]}: {text}"
    if row.reden is not None:
        yield "stopt alle termijnen"
    if row.verleent is not None:
        yield "verlengt de termijn van de eigen vragen, tot de genoemde dag"


def _lengths(soort: str, book: TermBook) -> str:
    rows = [each for each in book.rows.values() if each.soort == soort]
    general = [written(each.length) for each in rows if each.convenant is None]
    special = [f"{e.convenant}: {written(e.length)}" for e in rows if e.convenant is not None]
    return ", ".join(general) + (f" ({', '.join(special)})" if special else "")


def _by_convenant(rows: Mapping[str, Any]) -> str:
    return ", ".join(f"{written(each.length)} (alleen {name})" for name, each in rows.items())


def _has_term(soort: str, book: TermBook) -> bool:
    return any(each.soort == soort for each in book.rows.values())


def _remarks(row: Rij, earlier: Sequence[Rij], words: Words) -> Iterator[str]:
    if not row.wanneer and not row.als and any(each.wanneer for each in earlier):
        yield "in alle andere gevallen"
    for kind, names in (("voorwaarden", row.wanneer), ("eisen", row.eist)):
        yield from (words[kind][name] for name in names)
    if row.antwoord_op:
        yield f"antwoord op {' of '.join(row.antwoord_op)}"
    if row.laat_open:
        yield "de vraag blijft open"
    yield from (words["merken"][name] for name in row.merkt)
