"""The evidence package as pages for people: what happened, when, and what proves it.

Shows metadata; what the message says only where the caller asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace

from gateway.delivery import AMSTERDAM
from gateway.exhibits import NOT_PROVEN, PACKAGE, RECEIPT
from gateway.message import Json

INK, SOFT, LINE, BAND = (28, 36, 52), (98, 108, 124), (206, 212, 222), (242, 245, 249)
MARGIN_MM = 20
LABEL_MM = 42
ENCODING = "cp1252"  # what the fonts that every reader has can show
WORDS = {
    "aangenomen": "Aangenomen",
    "poging": "Aangeboden aan de ontvanger",
    "bevestigd": "Bevestigd door de ontvanger",
    "gestrand": "Gestrand",
    "herhaald": "Opnieuw aangeboden door het beheer",
    "verworpen": "Opgegeven door het beheer",
    "vrijgegeven": "Vrijgegeven door het beheer",
}
ABSENT = {
    "gewist": "gewist na de bewaartermijn; de hash en het bewijs zijn er nog",
    "niet-aangeboden": "niet opgenomen: nog niet aangeboden aan de ontvanger",
    "niet-gevraagd": "niet opgenomen in dit overzicht",
}


class _Page(FPDF):
    """A4 with our header line and page numbers."""

    about: str = ""

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", size=8)
        self.set_text_color(*SOFT)
        half = self.epw / 2
        self.cell(half, 5, f"Bewijs van bericht {self.about}")
        self.cell(half, 5, f"blad {self.page_no()} van {{nb}}", align="R")


def as_pdf(document: Json, *, with_content: bool = False) -> bytes:
    """Pages of an evidence package; the same package gives the same bytes.

    Args:
        with_content: Also what the message says, where the package has it.
    """
    made = document[PACKAGE]
    pdf = _Page(format="A4")
    pdf.core_fonts_encoding = ENCODING
    pdf.about = made["bericht"]["referentienummer"]
    # a date of today would make each copy another document
    pdf.set_creation_date(datetime.fromisoformat(made["bericht"]["vastgelegdOp"]))
    pdf.set_title("Bewijs van een bericht")
    pdf.set_lang("nl")
    pdf.set_margin(MARGIN_MM)
    pdf.set_auto_page_break(auto=True, margin=MARGIN_MM)
    pdf.add_page()
    _title(pdf, made)
    _facts(pdf, "Het bericht", _about(made))
    _facts(pdf, "Wat de gateway naging", _checked(made))
    _timeline(pdf, made)
    _proofs(pdf, made)
    if with_content and "document" in made:
        _content(pdf, made["document"])
    _closing(pdf)
    return bytes(pdf.output())


def _title(pdf: FPDF, made: Json) -> None:
    pdf.set_text_color(*INK)
    pdf.set_font("Helvetica", "B", 20)
    _line(pdf, 9, "Bewijs van een bericht")
    pdf.set_font("Helvetica", size=11)
    pdf.set_text_color(*SOFT)
    about = made["bericht"]
    _line(pdf, 6, f"{about['soort']}, {about['module']} {about['versie']}")
    pdf.ln(2)
    pdf.set_draw_color(*LINE)
    pdf.line(pdf.l_margin, pdf.get_y(), pdf.w - pdf.r_margin, pdf.get_y())
    pdf.ln(1)


def _heading(pdf: FPDF, text: str) -> None:
    if pdf.will_page_break(24):
        pdf.add_page()
    pdf.ln(5)
    pdf.set_font("Helvetica", "B", 12)
    pdf.set_text_color(*INK)
    _line(pdf, 7, text)


def _facts(pdf: FPDF, title: str, facts: Sequence[tuple[str, str]]) -> None:
    _heading(pdf, title)
    for label, value in facts:
        pdf.set_font("Helvetica", size=9)
        pdf.set_text_color(*SOFT)
        pdf.cell(LABEL_MM, 5, label)
        pdf.set_text_color(*INK)
        pdf.set_font("Courier" if _is_code(value) else "Helvetica", size=9)
        pdf.multi_cell(0, 5, _plain(value), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _about(made: Json) -> list[tuple[str, str]]:
    about, original = made["bericht"], made["origineel"]
    included = ABSENT.get(original.get("weggelaten", ""), "opgenomen in het bewijspakket")
    return [
        ("Referentienummer", about["referentienummer"]),
        ("Conversatie", about["conversatieReferentienummer"]),
        ("Afzender (OIN)", about["afzender"]),
        ("Ontvanger (OIN)", about["ontvanger"]),
        ("Ontvangen", _moment(about["ontvangenOp"])),
        ("Vastgelegd", _moment(about["vastgelegdOp"])),
        ("Origineel", included),
        ("Sha256 origineel", original.get("sha256", "gewist")),
    ]


def _checked(made: Json) -> list[tuple[str, str]]:
    checked, schema = made["verificatie"], made["schema"]
    version = checked.get("deelnemersversie")
    register = "" if version is None else f"versie {version} van het deelnemersregister"
    warnings = ", ".join(each["regel"] for each in schema["waarschuwingen"]) or "geen"
    facts = [
        ("Handtekening", f"{checked['handtekening']}, {_algorithm(checked['algoritme'])}"),
        ("Certificaat", checked["vingerafdruk"]),
        ("Geregistreerd in", register),
        ("Schema", f"{schema['xsd']}, {schema['oordeel']}"),
        ("Waarschuwingen", warnings),
    ]
    return [fact for fact in facts if fact[1]]


def _algorithm(name: str) -> str:
    """XML names its algorithms with an address; people read the last part."""
    return name.rpartition("#")[2]


def _timeline(pdf: FPDF, made: Json) -> None:
    _heading(pdf, "Wat er gebeurde")
    rows = [("Wanneer", "Wat", "Bijzonderheden", "Bewijs")]
    point = made[RECEIPT].get("bewijs", {}).get("controlepunt")
    rows.append(
        (_moment(made["bericht"]["vastgelegdOp"]), WORDS["aangenomen"], "", _number(1, point))
    )
    for place, each in enumerate(made["gebeurtenissen"], start=2):
        told = json.loads(each["vastlegging"]) if "vastlegging" in each else {"op": each["op"]}
        point = each.get("bewijs", {}).get("controlepunt")
        what = WORDS.get(each["soort"], each["soort"])
        rows.append((_moment(told["op"]), what, _details(told), _number(place, point)))
    _table(pdf, rows, (44, 52, 54, 20))


def _number(place: int, point: Json | None) -> str:
    return f"[{place}]" if point else "-"


def _details(told: Json) -> str:
    said = [f"aan {told['ontvanger']}"] if "ontvanger" in told else []
    said += [str(told[name]) for name in ("antwoord", "status", "reden") if name in told]
    return ", ".join(said)


def _proofs(pdf: FPDF, made: Json) -> None:
    _heading(pdf, "Waar het is vastgelegd")
    rows = [("Bewijs", "Logboek", "Nummer", "Ondertekend", "Wortel (begin)")]
    receipt = made[RECEIPT].get("bewijs")
    proofs = [receipt, *(each.get("bewijs") for each in made["gebeurtenissen"])]
    for place, proof in enumerate(proofs, start=1):
        if proof is None:
            continue
        point = proof["controlepunt"]
        at = _moment(point["tijdstip"])
        rows.append(
            (f"[{place}]", point["logboek"], str(point["nummer"]), at, point["wortel"][:16])
        )
    _table(pdf, rows, (16, 62, 16, 44, 32))
    kids = sorted({proof["controlepunt"]["sleutel"] for proof in proofs if proof is not None})
    pdf.ln(2)
    _small(pdf, f"Ondertekend met sleutel {', '.join(kids)} (ES256), zie GET /v1/sleutels.")


def _content(pdf: FPDF, document: Json) -> None:
    _heading(pdf, "Wat het bericht zegt")
    pdf.set_font("Courier", size=8)
    pdf.set_text_color(*INK)
    text = json.dumps(document, ensure_ascii=False, indent=2)
    pdf.multi_cell(0, 4, _plain(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _closing(pdf: FPDF) -> None:
    _heading(pdf, "Wat dit bewijst, en wat niet")
    _small(
        pdf,
        "Dit overzicht is een weergave; het bewijs staat in het bewijspakket (JSON). Iedereen kan "
        "dat nagaan met: gateway bewijs controleer pakket.json --sleutels sleutels.json",
    )
    for sentence in NOT_PROVEN:
        _small(pdf, f"Niet bewezen is {sentence}.")


def _table(pdf: FPDF, rows: Sequence[Sequence[str]], widths: tuple[int, ...]) -> None:
    pdf.set_font("Helvetica", size=8.5)
    pdf.set_text_color(*INK)
    pdf.set_draw_color(*LINE)
    with pdf.table(
        col_widths=widths,
        width=sum(widths),
        align="LEFT",
        text_align="LEFT",
        line_height=4.6,
        padding=(1, 1.5),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD", color=INK, fill_color=BAND),
    ) as table:
        for row in rows:
            table.row([_plain(cell) for cell in row])


def _small(pdf: FPDF, text: str) -> None:
    pdf.set_font("Helvetica", size=9)
    pdf.set_text_color(*SOFT)
    pdf.multi_cell(0, 4.8, _plain(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _line(pdf: FPDF, height: float, text: str) -> None:
    pdf.cell(0, height, _plain(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _plain(text: Any) -> str:
    """The text with a question mark for what those fonts do not have."""
    return str(text).encode(ENCODING, "replace").decode(ENCODING)


def _is_code(value: str) -> bool:
    return len(value) >= 20 and " " not in value  # noqa: PLR2004 - a number, not a word


def _moment(text: str) -> str:
    """An instant in Dutch time, as people write it."""
    local = datetime.fromisoformat(text).astimezone(AMSTERDAM)
    return f"{local:%d-%m-%Y %H:%M:%S} ({local:%Z})"
