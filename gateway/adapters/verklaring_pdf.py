"""A VerklaringGeenReactie as one document for people and for a file at court.

PDF/A-3: the pages say what is stated, and the signed XML that proves it is attached. Every
font is embedded, and the same statement gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from importlib.resources import as_file, files

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from gateway.adapters.keys import GatewayKeys
from gateway.adapters.signatures import Seal
from gateway.message import Json
from gateway.replies import VERKLARING_GEEN_REACTIE
from gateway.schemas import Catalogue
from gateway.verklaring import STATEMENT, written, written_day

FONT = "OpenSans"
WEIGHTS = {"": "OpenSans-Regular.ttf", "B": "OpenSans-SemiBold.ttf"}
ATTACHMENT = "verklaring.xml"

INK, SOFT, LINE = (28, 36, 52), (90, 100, 116), (206, 212, 222)
BAND = {True: (236, 243, 250), False: (252, 244, 230)}
EDGE = {True: (38, 92, 148), False: (176, 112, 20)}
MARGIN_MM, FOOT_MM, LABEL_MM = 22, 17, 52
PRODUCER = "berichtengateway schuldhulp"

METADATA = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">
<pdfaid:part>3</pdfaid:part><pdfaid:conformance>U</pdfaid:conformance>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:language><rdf:Bag><rdf:li>nl-NL</rdf:li></rdf:Bag></dc:language>
<pdf:Producer>{producer}</pdf:Producer><xmp:CreateDate>{at}</xmp:CreateDate>
</rdf:Description></rdf:RDF></x:xmpmeta>"""

NEVER = "nooit, tot het moment van deze verklaring"


def verklaring(document: Json, keys: GatewayKeys, catalogue: Catalogue) -> tuple[bytes, bytes]:
    """A recorded statement as it is handed out: signed XML, and PDF/A with that XML inside.

    Args:
        document: The canonical VerklaringGeenReactie.
    """
    signed = Seal(keys).xml(catalogue.to_xml(VERKLARING_GEEN_REACTIE, document))
    return signed, as_pdf(document, signed)


class _Page(FPDF):
    """A4 with page numbers."""

    about: str = ""

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font(FONT, size=7.5)
        self.set_text_color(*SOFT)
        half = self.epw / 2
        self.cell(half, 5, f"Verklaring {self.about}")
        self.cell(half, 5, f"blad {self.page_no()} van {{nb}}", align="R")


def as_pdf(document: Json, signed: bytes) -> bytes:
    """The pages.

    Args:
        document: What is in ``signed``, canonical.
        signed: The XML as the gateway signed it; attached to the byte.
    """
    told = document[STATEMENT]
    silent = told["soort"] == "GEEN_REACTIE"
    at = _moment(told["vastgesteldOp"])
    pdf = _Page(format="A4", enforce_compliance="PDF/A-3U")
    _fonts(pdf)
    pdf.about = told["stuurgegevens"]["referentienummer"]
    _describe(pdf, _title(silent=silent), at)
    pdf.set_margin(MARGIN_MM)
    pdf.set_auto_page_break(auto=True, margin=FOOT_MM)
    pdf.add_page()
    _opening(pdf, told, silent=silent)
    _facts(pdf, "De vraag", _question(told))
    _facts(pdf, "Wat de gateway vastlegde", _course(told))
    _text(pdf, "Wat dit wel en niet zegt", _meaning(silent=silent))
    _text(pdf, "Zo controleert u deze verklaring", _recipe(told, signed))
    pdf.embed_file(
        bytes=signed,
        basename=ATTACHMENT,
        desc="De ondertekende verklaring",
        mime_type="application/xml",
        associated_file_relationship="Source",
        creation_date=at,
        modification_date=at,
        compress=False,  # so that no tool is needed to find it
    )
    return bytes(pdf.output())


def _fonts(pdf: FPDF) -> None:
    folder = files("ttf_opensans").joinpath("ttf")
    for style, name in WEIGHTS.items():
        with as_file(folder.joinpath(name)) as file:
            pdf.add_font(FONT, style, file)


def _describe(pdf: FPDF, title: str, at: datetime) -> None:
    """Metadata in both of its forms; a date of today would make each copy another document."""
    pdf.set_creation_date(at)
    pdf.set_title(title)
    pdf.set_producer(PRODUCER)
    pdf.set_lang("nl-NL")
    moment = at.astimezone(UTC).isoformat(timespec="seconds")
    pdf.set_xmp_metadata(METADATA.format(title=title, producer=PRODUCER, at=moment))


def _title(*, silent: bool) -> str:
    return "Verklaring: geen reactie" if silent else "Verklaring: niet bereikbaar"


def _opening(pdf: FPDF, told: Json, *, silent: bool) -> None:
    pdf.set_text_color(*INK)
    pdf.set_font(FONT, "B", 20)
    _line(pdf, 10, _title(silent=silent))
    pdf.set_font(FONT, size=10)
    pdf.set_text_color(*SOFT)
    _line(pdf, 6, "van de berichtengateway schuldhulp")
    pdf.ln(4)
    pdf.set_fill_color(*BAND[silent])
    pdf.set_text_color(*INK)
    pdf.set_font(FONT, size=11)
    top = pdf.get_y()
    pdf.multi_cell(
        0,
        6,
        _summary(told, silent=silent),
        align="L",
        fill=True,
        padding=(4, 6),
        new_x=XPos.LMARGIN,
        new_y=YPos.NEXT,
    )
    pdf.set_fill_color(*EDGE[silent])
    pdf.rect(pdf.l_margin, top, 1.2, pdf.get_y() - top, style="F")


def _summary(told: Json, *, silent: bool) -> str:
    kind, at = told["bericht"]["soort"], written(_moment(told["vastgesteldOp"]))
    last = written_day(date.fromisoformat(told["termijnTotEnMet"]))
    if silent:
        return (
            f"Op het bericht {kind} hieronder kwam via deze gateway geen reactie. De termijn liep "
            f"tot en met {last} en de vraag lag die hele termijn klaar voor de gevraagde partij. "
            f"Dit is vastgesteld op {at}."
        )
    return (
        f"Het bericht {kind} hieronder lag niet de hele termijn, tot en met {last}, klaar voor de "
        "gevraagde partij. De gateway verklaart daarom niet dat een reactie uitbleef. Vastgesteld "
        f"op {at}; tot dat moment kwam via deze gateway geen reactie."
    )


def _question(told: Json) -> list[tuple[str, str]]:
    about = told["bericht"]
    return [
        ("Soort bericht", f"{about['soort']} ({about['module']} {about['versie']})"),
        ("Referentienummer", about["referentienummer"]),
        ("Gesprek", told["stuurgegevens"]["conversatieReferentienummer"]),
        ("Gesteld door", f"OIN {told['vrager']}"),
        ("Gesteld aan", f"OIN {told['gevraagde']}"),
    ]


def _course(told: Json) -> list[tuple[str, str]]:
    reminders = told.get("herinneringen", [])
    return [
        ("Door de gateway aangenomen", written(_moment(told["aangenomenOp"]))),
        ("Klaargelegd voor gevraagde", _when(told, "beschikbaarOp")),
        ("Opgehaald", _when(told, "opgehaaldOp")),
        ("Ontvangst bevestigd", _when(told, "bevestigdOp")),
        *(("Herinnering gestuurd", written(_moment(each))) for each in reminders),
        *([] if reminders else [("Herinnering gestuurd", "geen")]),
        (
            "Laatste dag van de termijn",
            f"{written_day(date.fromisoformat(told['termijnTotEnMet']))}, tot 24.00 uur",
        ),
        ("Geen reactie tot", written(_moment(told["vastgesteldOp"]))),
    ]


def _when(told: Json, name: str) -> str:
    return written(_moment(told[name])) if name in told else NEVER


def _meaning(*, silent: bool) -> tuple[str, ...]:
    worth = (
        "De rechter bepaalt wat zij waard is."
        if silent
        else "Zij toont alleen dat de vraag niet de hele termijn klaarlag."
    )
    own = (
        "De gateway geeft feiten uit haar eigen vastlegging. Zij weet niet of er langs een andere "
        "weg is gereageerd, zoals per brief, e-mail of telefoon."
    )
    later = (
        "Stilte is geen instemming. De vraag staat nog open: komt er alsnog een antwoord, dan is "
        "deze verklaring achterhaald. Ga dat na voordat u haar gebruikt."
    )
    use = (
        "De verklaring kan worden gevoegd bij een verzoek aan de rechter, bijvoorbeeld om een "
        f"gedwongen schuldregeling (artikel 287a Faillissementswet). {worth}"
    )
    persons = (
        "Er staan geen namen of burgerservicenummers in. Het referentienummer verbindt haar met "
        "de vraag in het dossier van de vrager."
    )
    return own, later, use, persons


def _recipe(told: Json, signed: bytes) -> tuple[str, ...]:
    gateway = told["stuurgegevens"]["afzender"]["oin"]
    attached = (
        f"1. In deze PDF zit de bijlage {ATTACHMENT}, ondertekend door de gateway (OIN {gateway}). "
        "De bijlage telt; deze bladzijde is er een weergave van. Sha256 van de bijlage: "
        f"{hashlib.sha256(signed).hexdigest()}"
    )
    keys = "2. Haal de sleutels van de gateway op (GET /v1/sleutels); bewaar ze als sleutels.json."
    check = "3. Voer uit: gateway bewijs controleer verklaring.pdf --sleutels sleutels.json"
    later = (
        "Is er later geantwoord, geef dan de ontvangstbevestiging of het bewijspakket van dat "
        "antwoord erbij. Andere programma's voor XML-handtekeningen (W3C XMLDSig) voldoen ook."
    )
    return attached, keys, check, later


def _heading(pdf: FPDF, text: str) -> None:
    if pdf.will_page_break(24):
        pdf.add_page()
    pdf.ln(3.6)
    pdf.set_font(FONT, "B", 11)
    pdf.set_text_color(*INK)
    _line(pdf, 7, text)


def _facts(pdf: FPDF, title: str, facts: Sequence[tuple[str, str]]) -> None:
    _heading(pdf, title)
    pdf.set_draw_color(*LINE)
    pdf.set_line_width(0.15)
    for label, value in facts:
        pdf.line(pdf.l_margin, pdf.get_y(), pdf.w - pdf.r_margin, pdf.get_y())
        pdf.set_font(FONT, size=9)
        pdf.set_text_color(*SOFT)
        pdf.cell(LABEL_MM, 5.8, label)
        pdf.set_text_color(*INK)
        pdf.multi_cell(0, 5.8, value, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _text(pdf: FPDF, title: str, paragraphs: Sequence[str]) -> None:
    _heading(pdf, title)
    pdf.set_font(FONT, size=9)
    for paragraph in paragraphs:
        pdf.multi_cell(0, 4.7, paragraph, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        pdf.ln(0.8)


def _line(pdf: FPDF, height: float, text: str) -> None:
    pdf.cell(0, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
