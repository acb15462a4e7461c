"""``gateway bewijs``: what happened to a message, what proves it, and is the ledger whole?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from gateway import json as strict
from gateway.adapters.evidence_package import package
from gateway.adapters.exhibit_files import Exhibit, judged, read, seal_judge
from gateway.adapters.keyring import Keyring
from gateway.adapters.published_keys import verifier
from gateway.audit import Flaw
from gateway.cli.given import an_oin, the_ledger
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault, Refusal
from gateway.evidence import Head
from gateway.exhibits import NOT_PROVEN, PACKAGE, RECEIPT, Judged, is_about, together
from gateway.message import Json, as_bytes
from gateway.schemas import Catalogue
from gateway.settings import load
from gateway.verklaring import NOT_STATED, Accepted, Overtaken, held_against

OWN_KEYS = (
    "gecontroleerd met de sleutels uit het pakket zelf. Haal ze op bij GET /v1/sleutels en geef "
    "--sleutels om zeker te zijn."
)

app = typer.Typer(help="Bewijs tonen en controleren.", no_args_is_help=True)

Bestanden = Annotated[
    list[Path] | None,
    typer.Argument(
        exists=True, dir_okay=False, help="Bevestigingen, pakketten, dagafsluitingen, verklaringen."
    ),
]


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway bewijs``."""
    gateway.add_typer(app, name="bewijs")


@app.command()
def controleer(
    bestanden: Bestanden = None,
    *,
    sleutels: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Opgehaald bij GET /v1/sleutels."),
    ] = None,
    origineel: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Het bericht zoals het is verzonden."),
    ] = None,
    grootboek: Annotated[
        bool, typer.Option("--grootboek", help="Het hele grootboek van deze gateway.")
    ] = False,
    koppen: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Wat anderen bewaarden; moet er nog zijn."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Klopt dit bewijs? Zonder --grootboek zijn alleen de bestanden nodig, geen gateway."""
    if not bestanden and not grootboek:
        raise Fault("name files to check, or give --grootboek")
    if grootboek:
        verdict = _audit(sleutels or [], koppen or [], bestanden or [])
    else:
        verdict = _check(bestanden or [], sleutels or [], origineel)
    if json:
        as_json(verdict.as_json())
    else:
        _tell(verdict)
    raise typer.Exit(0 if verdict.fit else 1)


@dataclass(slots=True)
class Verdict:
    """What all files say together.

    Attributes:
        overtaken: Statements that were right and have been answered since.
    """

    proven: list[str]
    flaws: list[Flaw]
    overtaken: list[Overtaken]
    remarks: list[str]
    statements: bool

    @property
    def fit(self) -> bool:
        """It may be used as it is."""
        return not self.flaws and not self.overtaken

    def as_json(self) -> Json:
        """For scripts."""
        return {
            "klopt": not self.flaws,
            "bewezen": self.proven,
            "gebreken": _plain(self.flaws),
            "achterhaald": [each.as_json() for each in self.overtaken],
            "opmerkingen": self.remarks,
        }


def _verdict(found: list[Judged], accepted: list[Accepted]) -> Verdict:
    """Files against each other; ``accepted`` is what the ledger adds."""
    statements = [told for each in found for told in each.statements]
    known = [told for each in found for told in each.accepted] + accepted
    against = list(held_against(statements, known))
    flaws = [flaw for each in found for flaw in each.flaws]
    flaws += [*together(found), *(each for each in against if isinstance(each, Flaw))]
    return Verdict(
        proven=[said for each in found for said in each.proven],
        flaws=flaws,
        overtaken=[each for each in against if isinstance(each, Overtaken)],
        remarks=[said for each in found for said in each.remarks],
        statements=bool(statements),
    )


def _check(files: list[Path], keys: list[Path], original: Path | None) -> Verdict:
    """Files against each other and against published keys."""
    catalogue = Catalogue.load()
    exhibits = [read(file.name, file.read_bytes(), catalogue) for file in files]
    published, remarks = _offline_keys(exhibits, keys)
    verify, seals = verifier(*published), seal_judge(*published)
    sent = None if original is None else original.read_bytes()
    about = [each for each in exhibits if sent and each.document and is_about(each.document, sent)]
    found = [
        # that of one is not that of the others; where it is nobody's, each says so
        judged(each, verify, seals, catalogue, sent if each in about or not about else None)
        for each in exhibits
    ]
    verdict = _verdict(found, [])
    verdict.remarks = [*remarks, *verdict.remarks]
    return verdict


def _offline_keys(exhibits: list[Exhibit], keys: list[Path]) -> tuple[list[Json], list[str]]:
    """The keys to check with, and what a reader must know of them."""
    if keys:
        return [_keys_in(file) for file in keys], []
    documents = [each.document for each in exhibits if each.document is not None]
    packages = [each[PACKAGE] for each in documents if PACKAGE in each]
    if not packages:
        raise Fault("give --sleutels with the published keys (GET /v1/sleutels)")
    return [each["sleutels"] for each in packages], [OWN_KEYS]


def _audit(keys: list[Path], heads: list[Path], held: list[Path]) -> Verdict:
    """The whole ledger, also against what others hold."""
    catalogue = Catalogue.load()
    own = Keyring.load(load(os.environ).keys).signing.published()
    published = [own, *(_keys_in(file) for file in keys)]
    verify, seals = verifier(*published), seal_judge(*published)
    exhibits = [read(file.name, file.read_bytes(), catalogue) for file in (*heads, *held)]
    found = [judged(each, verify, seals, catalogue) for each in exhibits]
    on_record: list[Head] = [head for each in found for head in each.heads()]
    ledger = the_ledger()
    size = ledger.audit_size()
    with Progress(console=screen, transient=True) as progress:
        bar = progress.add_task("Grootboek", total=size)
        flaws = ledger.audit(verify, on_record, lambda done: progress.advance(bar, done))
    answers = [
        answer for each in found for told in each.statements for answer in ledger.answers_to(told)
    ]
    verdict = _verdict(found, answers)
    verdict.flaws = flaws + verdict.flaws
    stated = verdict.proven if verdict.statements else []
    verdict.proven = [f"het grootboek, met {size} controlepunten en berichten", *stated]
    return verdict


def _keys_in(file: Path) -> Json:
    try:
        return strict.parse(file.read_bytes())
    except Refusal as error:
        raise Fault(f"{file} is no set of published keys (GET /v1/sleutels)") from error


def _plain(flaws: list[Flaw]) -> list[Json]:
    return [{"gebrek": flaw.sort, "waar": flaw.where, "uitleg": str(flaw)} for flaw in flaws]


def _tell(verdict: Verdict) -> None:
    if verdict.proven:
        screen.print("Bewezen:")
        _list("-", verdict.proven)
    if verdict.remarks:
        screen.print("Let op:")
        _list("-", verdict.remarks)
    if verdict.overtaken:
        screen.print("ACHTERHAALD:")
        _list("!", verdict.overtaken)
    if verdict.flaws:
        screen.print(f"NIET IN ORDE, {len(verdict.flaws)} gebreken:")
        _list("!", verdict.flaws)
        return
    screen.print("In orde. Dit bewijst niet:" if verdict.fit else "Dit bewijst niet:")
    _list("-", (*NOT_PROVEN, *(NOT_STATED if verdict.statements else ())))


def _list(mark: str, lines: Iterable[object]) -> None:
    for line in lines:
        screen.print(f"  {mark} {line}", soft_wrap=True)


@app.command()
def toon(
    referentienummer: str,
    *,
    afzender: Annotated[str | None, typer.Option(help="OIN van de afzender.")] = None,
    pakket: Annotated[Path | None, typer.Option(help="Schrijf het bewijspakket hierheen.")] = None,
    pdf: Annotated[Path | None, typer.Option(help="Schrijf een leesbaar overzicht.")] = None,
    met_inhoud: Annotated[
        bool, typer.Option("--met-inhoud", help="Ook de inhoud van het bericht, in pakket en PDF.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Wat is er met een bericht gebeurd, en wat bewijst elke stap?"""
    made = _package(referentienummer, afzender)
    if not met_inhoud:
        made = without_content(made)
    if pakket is not None:
        _write(pakket, as_bytes(made), quiet=json)
    if pdf is not None:
        from gateway.adapters.evidence_pdf import as_pdf  # noqa: PLC0415 - few ask for it

        _write(pdf, as_pdf(made, with_content=met_inhoud), quiet=json)
    if json:
        as_json(made)
    elif pakket is None and pdf is None:
        _timeline(made[PACKAGE])


def _package(referentienummer: str, afzender: str | None) -> Json:
    own = Keyring.load(load(os.environ).keys).signing.published()
    sender = None if afzender is None else an_oin("afzender", afzender)
    found = the_ledger().dossier(None, referentienummer.strip().lower(), sender)
    if found is None:
        raise Fault("there is no message of this number in the ledger")
    return package(found, None, own)


def without_content(made: Json) -> Json:
    """The same package without what the message says."""
    inside = {name: value for name, value in made[PACKAGE].items() if name != "document"}
    kept = inside["origineel"]
    if "inhoud" in kept:
        inside["origineel"] = {"sha256": kept["sha256"], "weggelaten": "niet-gevraagd"}
    return {PACKAGE: inside}


def _write(file: Path, content: bytes, *, quiet: bool) -> None:
    """Only for the owner: a package may hold what the message says."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise Fault(f"{file} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
    if not quiet:
        screen.print(f"Geschreven: {file}")


def _timeline(made: Json) -> None:
    about, proof = made["bericht"], made[RECEIPT].get("bewijs")
    table(
        f"Bericht {about['referentienummer']}",
        ["veld", "waarde"],
        [
            ("soort", f"{about['module']} {about['soort']} {about['versie']}"),
            ("afzender", about["afzender"]),
            ("ontvanger", about["ontvanger"]),
            ("origineel", made["origineel"].get("sha256", "gewist")),
            ("certificaat", made["verificatie"]["vingerafdruk"]),
        ],
    )
    steps: list[tuple[Any, ...]] = [
        (about["ontvangenOp"], "ontvangen", about["deur"], ""),
        (about["vastgelegdOp"], "aangenomen", "", _proven(proof)),
    ]
    for each in made["gebeurtenissen"]:
        told = strict.parse(each["vastlegging"].encode())
        detail = " ".join(str(told[name]) for name in _DETAILS if name in told)
        steps.append((told["op"], each["soort"], detail, _proven(each["bewijs"])))
    table("Tijdlijn", ["wanneer", "wat", "bijzonderheden", "bewezen door"], steps)


_DETAILS = ("ontvanger", "antwoord", "status", "reden", "door")


def _proven(proof: Json | None) -> str:
    if proof is None:
        return "niet (gewist)"
    point = proof["controlepunt"]
    return f"{point['logboek'][:8]}… nr {point['nummer']}"
