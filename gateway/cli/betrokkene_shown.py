"""What the commands about one person show on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gateway.cli.screen import screen, table
from gateway.delivery import AMSTERDAM
from gateway.message import Json

REMAINS = (
    "Dat het bericht er was, zonder inhoud: de gateway moet kunnen aantonen wat zij deed.",
    "Dit verzoek zelf, met een samenvatting van het nummer onder een eigen sleutel.",
    "Wat de broker teruggaf en niemand kan lezen: dat is niet aan een persoon te koppelen.",
    "Reservekopieën, tot zij verlopen; wis na terugzetten opnieuw.",
    "Wat partijen al hebben ontvangen: vraag wissing aan elke partij zelf.",
)
"""What an erasure leaves, and why."""

_EXPLAINED = {
    "beperkt": "Wordt alleen bewaard op verzoek. Hef eerst op: gateway betrokkene beperking "
    "--opheffen.",
    "nog-niet-bezorgd": "Wacht, ligt klaar of is gestrand. Laat het bezorgen, laat de afzender "
    "het intrekken, of geef het op: gateway gestrand verwerp.",
    "gesprek-loopt": "Een lopende regeling zou breken. Toch wissen: --ook-lopend 'waarom'.",
}
"""What to do with what stayed."""


def show_insight(made: Json) -> None:
    """What ``betrokkene_report.report`` made, as tables."""
    for controller in made["verantwoordelijken"]:
        table(
            f"Verantwoordelijke {controller['oin']} {controller.get('naam', '')}",
            ["wanneer", "soort", "ontvanger", "namens", "grond", "stand", "inhoud", "bericht"],
            (_row(each) for each in controller["berichten"]),
        )
        steps = [step for each in controller["berichten"] for step in _steps(each)]
        table("Vervoer", ["wanneer", "wat", "bericht", "bijzonderheden"], sorted(steps))
    if not made["verantwoordelijken"]:
        screen.print("Berichten: niets.")
    table(
        "Weigeringen",
        ["wanneer", "afzender", "code", "bericht"],
        (
            (_day(each["op"]), each["afzender"], each["code"], each["referentienummer"])
            for each in made["vervoer"]["weigeringen"]
        ),
    )
    table(
        "Verzoeken, dit inbegrepen",
        ["wanneer", "wat", "verzoeker", "verantwoordelijke", "reden", "aantallen"],
        (
            (
                _day(each["op"]),
                each["verzoek"],
                each["verzoeker"],
                each["verantwoordelijke"],
                each["reden"],
                _numbers(each["aantallen"]),
            )
            for each in made["vervoer"]["verzoeken"]
        ),
    )
    screen.print(f"VISH: {made['vish']['uitleg']}")
    screen.print("Dit overzicht toont niet:")
    for sentence in made["nietGetoond"]:
        screen.print(f"  - {sentence}", soft_wrap=True)


def _row(each: Json) -> tuple[Any, ...]:
    return (
        _day(each["ontvangenOp"]),
        f"{each['module']} {each['soort']}",
        each["ontvangerNaam"] or each["ontvanger"],
        each["namens"],
        each["grondslag"],
        each["stand"] + (" (beperkt)" if each["beperktSinds"] else ""),
        _how_long(each["bewaard"], restricted=each["beperktSinds"] is not None),
        each["referentienummer"],
    )


def _how_long(kept: Json, *, restricted: bool) -> str:
    if not kept["inhoud"]:
        return f"gewist {_day(kept['gewistOp'])} ({kept['gewistOm']})"
    if restricted:
        return "zolang beperkt"
    attachments = f", {kept['bijlagen']} bijlagen" if kept["bijlagen"] else ""
    return f"tot {_day(kept['inhoudTot'])}{attachments}"


def _steps(each: Json) -> Iterator[tuple[Any, ...]]:
    number = each["referentienummer"]
    if each["opgehaaldOp"]:
        yield _day(each["opgehaaldOp"]), "opgehaald", number, "postbus"
    for one in each["afleveringen"]:
        for name in ("aangebodenOp", "bevestigdOp"):
            if name in one:
                yield _day(one[name]), name.removesuffix("Op"), number, one["kanaal"]
        for attempt in one["pogingen"]:
            yield _day(attempt["geeindigdOp"]), "poging", number, attempt["antwoord"]
        for death in one["gestrand"]:
            how = f"{death['reden']} {death.get('herstel', 'open')}"
            yield _day(death["op"]), "gestrand", number, how


def _day(text: str) -> str:
    """An instant of the report, to the minute, as people here read it."""
    return datetime.fromisoformat(text).astimezone(AMSTERDAM).strftime("%Y-%m-%d %H:%M")


def _numbers(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())


def show_erasure(made: Json) -> None:
    """What went, what stays and why."""
    columns = ["soort", "ontvanger", "bericht"]

    def row(each: Json) -> tuple[Any, ...]:
        return each["soort"], each["ontvanger"], each["referentienummer"]

    table("Zou gaan" if made["proef"] else "Gewist", columns, map(row, made["gewist"]))
    table(
        "Inhoud blijft",
        [*columns, "reden"],
        ((*row(each), each["reden"]) for each in made["gebleven"]),
    )
    for reason in sorted({str(each["reden"]) for each in made["gebleven"]}):
        screen.print(f"  {reason}: {_EXPLAINED[reason]}", soft_wrap=True)
    screen.print(f"Eerder gewist: {len(made['eerderGewist'])}. Kenmerk: {made['kenmerk']}")
    screen.print("Altijd blijft:")
    for sentence in made["blijft"]:
        screen.print(f"  - {sentence}", soft_wrap=True)
