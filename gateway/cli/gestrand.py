"""``gateway gestrand``: look at dead letters and repair them. Nothing moves without a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.cli.given import an_oin, not_blank, the_ledger, who
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.dead_letter import DeadLetter, DeadLetterFilter
from gateway.delivery import Reason

app = typer.Typer(help="Gestrande berichten bekijken en herstellen.", no_args_is_help=True)

LARGEST = 2**63 - 1
"""Of a number in the ledger."""

Ids = Annotated[list[int] | None, typer.Argument(min=1, max=LARGEST, help="Nummers uit de lijst.")]
Ontvanger = Annotated[str | None, typer.Option(help="OIN van de ontvanger.")]
Afzender = Annotated[str | None, typer.Option(help="OIN van de afzender.")]
Soort = Annotated[str | None, typer.Option(help="Berichtsoort.")]
Reden = Annotated[Reason | None, typer.Option(help="Waarom het strandde.")]
Sinds = Annotated[datetime | None, typer.Option(help="Gestrand vanaf (UTC).")]
Tot = Annotated[datetime | None, typer.Option(help="Gestrand tot (UTC).")]
Alles = Annotated[bool, typer.Option("--alles", help="Alles wat aan het filter voldoet.")]
Proef = Annotated[bool, typer.Option("--proef", help="Toon wat het zou doen; doe niets.")]
Waarom = Annotated[str, typer.Option(help="Waarom; wordt vastgelegd. Geen persoonsgegevens.")]
Door = Annotated[str | None, typer.Option(help="Wie dit doet.")]

COLUMNS = ["nr", "gestrand", "ontvanger", "soort", "reden", "herstel"]


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway gestrand``."""
    gateway.add_typer(app, name="gestrand")


def _filter(
    ids: list[int] | None,
    ontvanger: str | None,
    afzender: str | None,
    soort: str | None,
    reden: Reason | None,
    sinds: datetime | None,
    tot: datetime | None,
    *,
    resolved: bool = False,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        ids=tuple(ids or ()),
        ontvanger=None if ontvanger is None else an_oin("ontvanger", ontvanger),
        afzender=None if afzender is None else an_oin("afzender", afzender),
        soort=None if soort is None else not_blank("soort", soort),
        reason=reden,
        since=None if sinds is None else sinds.replace(tzinfo=UTC),
        until=None if tot is None else tot.replace(tzinfo=UTC),
        resolved=resolved,
    )


@app.command()
def lijst(
    *,
    ontvanger: Ontvanger = None,
    afzender: Afzender = None,
    soort: Soort = None,
    reden: Reden = None,
    sinds: Sinds = None,
    tot: Tot = None,
    hersteld: Annotated[bool, typer.Option("--hersteld", help="Ook wat al is hersteld.")] = False,
    json: AsJson = False,
) -> None:
    """Welke berichten zijn gestrand, en hoeveel per ontvanger, soort en reden?"""
    ledger = the_ledger()
    which = _filter(None, ontvanger, afzender, soort, reden, sinds, tot, resolved=hersteld)
    found = ledger.dead_letters(which)
    if json:
        as_json([_plain(one) for one in found])
        return
    table("Gestrand", COLUMNS, (_row(one) for one in found))
    counts = ledger.count_dead_letters(which)
    if counts:
        table(
            "Aantallen",
            ["ontvanger", "soort", "reden", "aantal"],
            ((*key, count) for key, count in sorted(counts.items())),
        )
        screen.print("Opnieuw aanbieden: gateway gestrand herhaal NR --waarom '…' [--proef]")


@app.command()
def toon(
    nummer: Annotated[int, typer.Argument(min=1, max=LARGEST)], *, json: AsJson = False
) -> None:
    """Alles over één gestrand bericht, zonder inhoud."""
    ledger = the_ledger()
    found = ledger.dead_letters(DeadLetterFilter(ids=(nummer,), resolved=True))
    if not found:
        screen.print(f"Nummer {nummer} bestaat niet. Zie: gateway gestrand lijst --hersteld")
        raise typer.Exit(1)
    one = found[0]
    way = []
    if one.referentienummer is not None:
        way = list(ledger.way(one.afzender, one.referentienummer))
    if json:
        as_json({**_plain(one), "weg": way})
        return
    table(f"Gestrand {nummer}", ["veld", "waarde"], _plain(one).items())
    table(
        "Weg",
        ["wanneer", "wat", "bijzonderheden"],
        ((step.get("op"), step.get("stap"), step.get("detail")) for step in way),
    )


def _repair(name: str, done: str, method: str, explained: str) -> None:
    """Hang a command under ``gateway gestrand`` that does ``method`` of the ledger."""

    def command(
        nummers: Ids = None,
        *,
        waarom: Waarom,
        ontvanger: Ontvanger = None,
        afzender: Afzender = None,
        soort: Soort = None,
        reden: Reden = None,
        sinds: Sinds = None,
        tot: Tot = None,
        alles: Alles = False,
        proef: Proef = False,
        door: Door = None,
    ) -> None:
        which = _filter(nummers, ontvanger, afzender, soort, reden, sinds, tot)
        _resolve(done, method, which, waarom, door, alles=alles, proef=proef)

    app.command(name, help=explained)(command)


_repair("herhaal", "herhaald", "replay", "Bied opnieuw aan, onder dezelfde aflever-id.")
_repair("verwerp", "verworpen", "discard", "Geef voorgoed op; wat erachter wacht, gaat door.")
_repair("vrijgeven", "vrijgegeven", "release", "Laat liggen, maar laat door wat erachter wacht.")


def _resolve(
    done: str,
    method: str,
    which: DeadLetterFilter,
    why: str,
    by: str | None,
    *,
    alles: bool,
    proef: bool,
) -> None:
    """Show exactly what the filter covers, then act on exactly that."""
    why, by = not_blank("waarom", why), who(by)
    if not which.ids and not (alles and _narrows(which)):
        screen.print("Noem nummers, of geef --alles met een filter.")
        raise typer.Exit(2)
    ledger = the_ledger()
    # one that was released can still be replayed or discarded, but only by its number
    also_released = which.ids and method != "release"
    found = [one for one in ledger.dead_letters(which) if also_released or one.resolved is None]
    _tell_absent(ledger, set(which.ids) - {one.id for one in found})
    if method == "replay":
        found = _replayable(found)
    if proef or not found:
        table("Zou worden " + done, COLUMNS, (_row(one) for one in found))
        raise typer.Exit(0 if found else 1)
    act: Callable[..., list[int]] = getattr(ledger, method)
    changed = act(
        [one.id for one in found],
        by=by,
        why=why,
        at=datetime.now(UTC),
    )
    screen.print(f"{len(changed)} {done}.")
    missed = len(found) - len(changed)
    if missed:
        screen.print(f"{missed} intussen al door een ander hersteld.")
    if len(found) >= which.limit:
        screen.print("Er kunnen er meer zijn: geef dezelfde opdracht nog eens.")


def _tell_absent(ledger: SqlLedger, numbers: set[int]) -> None:
    """Say of each number that was named and is not open why it is not."""
    if not numbers:
        return
    known = ledger.dead_letters(DeadLetterFilter(ids=tuple(numbers), resolved=True))
    withdrawn = {one.id: one for one in known if one.resolved == Reason.INGETROKKEN}
    for number, one in sorted(withdrawn.items()):
        screen.print(f"Nummer {number} wordt nooit meer aangeboden: {one.resolved_why}.")
    if others := sorted(numbers - withdrawn.keys()):
        listed = ", ".join(str(one) for one in others)
        screen.print(f"Niet (meer) open: {listed}. Zie: gateway gestrand lijst --hersteld")


def _replayable(found: list[DeadLetter]) -> list[DeadLetter]:
    """Without those whose conversation ended since; says what to do with them."""
    ended = [str(one.id) for one in found if one.ended]
    if ended:
        screen.print(
            f"Niet opnieuw aan te bieden, want het gesprek is beëindigd: {', '.join(ended)}."
        )
        screen.print(f"Opgeven: gateway gestrand verwerp {' '.join(ended)} --waarom '…'")
    return [one for one in found if not one.ended]


def _narrows(which: DeadLetterFilter) -> bool:
    """Does it say more than: everything that is open?"""
    return which != DeadLetterFilter()


def _row(one: DeadLetter) -> tuple[Any, ...]:
    return (
        one.id,
        f"{one.stranded_at.astimezone(UTC):%m-%d %H:%MZ}",
        one.ontvanger,
        one.kind.name if one.kind else "onbekend",
        f"{one.reason} {one.note} ({one.attempts}x)",
        one.resolved or ("open, gesprek beëindigd" if one.ended else "open"),
    )


def _plain(one: DeadLetter) -> dict[str, Any]:
    return {
        "nummer": one.id,
        "afleverId": one.delivery_id,
        "reden": one.reason,
        "code": one.note,
        "gestrandOp": one.stranded_at,
        "afzender": one.afzender,
        "ontvanger": one.ontvanger,
        "module": one.kind.module if one.kind else None,
        "soort": one.kind.name if one.kind else None,
        "referentienummer": one.referentienummer,
        "conversatieReferentienummer": one.conversatie,
        "kanaal": one.channel,
        "pogingen": one.attempts,
        "gesprekBeeindigd": one.ended,
        "herstel": one.resolved,
        "hersteldDoor": one.resolved_by,
        "hersteldWaarom": one.resolved_why,
        "hersteldOp": one.resolved_at,
    }
