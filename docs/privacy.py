"""Writes docs/privacy.md from the data of the code: ``python -m docs.privacy``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from gateway.message import Kind
from gateway.routing.retention import Retention, read
from gateway.schemas import Catalogue
from gateway.schemas.catalogue import Codec
from gateway.schemas.plan import places

PAGE = Path(__file__).with_name("privacy.md")
PURPOSES = Path(__file__).with_name("privacy.toml")

MARKS = {
    "bsn": "burgerservicenummer",
    "persoon": "persoonsgegeven",
    "vrijeTekst": "vrije tekst",
    "bedrag": "bedrag",
}

BEFORE = """\
# Privacy: wat de gateway verwerkt, waarom, en hoe lang

Made by `python -m docs.privacy` from the XSDs, `gateway/routing/bewaartermijnen.toml` and `docs/privacy.toml`; do not edit. In Dutch, since
it is meant to be copied into the register of processing of a Dutch organisation.

## Rollen (AVG)

Elke partij is verwerkingsverantwoordelijke voor haar eigen berichten. De beheerder van de gateway is verwerker voor het transport, en
(gezamenlijk) verwerkingsverantwoordelijke voor VISH en voor cijfers die worden gepubliceerd. Sluit met elke deelnemer een
verwerkersovereenkomst.

## Wat waar ligt

| plaats | wat | leesbaar voor |
|---|---|---|
| grootboek: inhoud | het bericht zoals verzonden, zoals vertaald, en de bijlagen, elk verzegeld met een sleutel per bericht | wie ook de sleutel van de kluis heeft; die ligt buiten de gegevens |
| grootboek: gegevens | wie schreef wie, wanneer, welk soort, welke nummers, wat ervan werd | de beheerder van de database |
| grootboek: teruggekomen | wat de broker teruggaf en bij geen aflevering hoort, verzegeld; op verzoek van een betrokkene wordt daarin niet gezocht | wie ook de sleutel van de kluis heeft |
| grootboek: blinde index | een samenvatting van het burgerservicenummer onder een eigen sleutel, per gesprek | niemand zonder die sleutel |
| grootboek: bewijs | hashes met zout; na het wissen van een bericht is het zout weg en zegt de hash niets meer | iedereen die een bevestiging heeft, over dat bericht |
| broker | afleveringen in gewone tekst tot ze zijn opgehaald; met `inhoud = "verwijzing"` alleen een verwijzing | de beheerder van de broker, en de ene ontvanger |
| logs, cijfers, adressen, koppen, fouten | nooit een burgerservicenummer, naam of vrije tekst | de beheerder |
| reservekopie | hetzelfde als het grootboek; nooit een sleutel | als het grootboek |

**Wissen** is het weghalen van de sleutel en de inhoud van een bericht. In reservekopieën blijft het verzegelde bericht staan tot de laatste kopie
verloopt waarin het zit: bewaar kopieën dus niet langer dan de termijnen hieronder.

"""

AFTER = """\

## Wat de gateway nooit doet

- Inhoud gebruiken voor iets anders dan controleren, vertalen en afleveren.
- Bijlagen openen.
- Een burgerservicenummer zichtbaar maken voor een partij die het niet in het bericht kreeg.
- Gegevens naar buiten sturen, behalve naar de deelnemer voor wie een bericht is.
"""


def page() -> str:
    """The whole page."""
    catalogue = Catalogue.load()
    purposes = tomllib.loads(PURPOSES.read_text("utf-8"))
    lines = [BEFORE + "## Bewaartermijnen", "", *_terms(read()), ""]
    modules = sorted({kind.module for kind in catalogue.kinds})
    for module in modules:
        lines += _module(module, purposes[module], catalogue)
    return "\n".join(lines).rstrip() + "\n" + AFTER


def _terms(retention: Retention) -> Iterator[str]:
    yield (
        "De gegevens (wie, wanneer, welk soort, wat ervan werd) tellen vanaf de aanname, en niet "
        "korter dan vanaf het laatste wat over het bericht is ondertekend."
    )
    yield ""
    yield "| voor | inhoud na afronding | bijlagen | onbezorgd na | gegevens |"
    yield "|---|---|---|---|---|"
    for row in retention.rows:
        chosen = (row.soort, row.module and f"module {row.module}", row.rol and f"aan {row.rol}")
        terms = row.terms
        days = (terms.content, terms.attachments, terms.undelivered, terms.metadata)
        who = ", ".join(each for each in chosen if each) or "alles"
        yield f"| {who} | " + " | ".join(f"{each.days} dagen" for each in days) + " |"
    yield ""
    yield (
        f"Wat bij geen bericht hoort: dat iets werd geweigerd {retention.refusals.days} dagen, wat de "
        f"broker teruggaf {retention.garbage.days} dagen, en de vorderingen en bedragen van een "
        f"gesprek {retention.kerns.days} dagen na zijn einde."
    )


def _module(module: str, why: dict[str, str], catalogue: Catalogue) -> Iterator[str]:
    yield from (f"## {module}", "")
    yield f"- **Grondslag**: {why['grond']}."
    yield f"- **Doel**: {why['doel']}."
    yield f"- **Ontvangers**: {why['ontvangers']}."
    yield from (
        "",
        "| bericht | burgerservicenummers | persoonsgegevens | vrije tekst | bedragen |",
    )
    yield "|---|---|---|---|---|"
    for kind, codec in sorted(catalogue.kinds.items(), key=lambda item: str(item[0])):
        if kind.module == module:
            yield _kind(kind, codec)
    yield ""


def _kind(kind: Kind, codec: Codec) -> str:
    marked: dict[str, list[str]] = {mark: [] for mark in MARKS}
    for place in places(codec.root):
        for mark in sorted(place.element.marks & MARKS.keys()):
            if place.element.name not in marked[mark]:
                marked[mark].append(place.element.name)
    link = f"[{kind.name}](berichten/{kind.module}-v{kind.major}/{kind.name}.md)"
    cells = (", ".join(found) or "geen" for found in marked.values())
    return f"| {link} v{kind.major} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
