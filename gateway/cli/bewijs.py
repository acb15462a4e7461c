"""``gateway bewijs``: what happened to a message, what proves it, and is the ledger whole?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from gateway import json as strict
from gateway import xml
from gateway.adapters.evidence_package import package
from gateway.adapters.keyring import Keyring
from gateway.adapters.published_keys import verifier
from gateway.audit import Flaw, Verify
from gateway.cli.given import an_oin, the_ledger
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault, Refusal
from gateway.evidence import Head
from gateway.exhibits import NOT_PROVEN, PACKAGE, RECEIPT, Judged, judge, together, unreadable
from gateway.message import Json, as_bytes
from gateway.schemas import Catalogue
from gateway.settings import load

app = typer.Typer(help="Bewijs tonen en controleren.", no_args_is_help=True)

Bestanden = Annotated[
    list[Path] | None,
    typer.Argument(exists=True, dir_okay=False, help="Bevestigingen, pakketten, dagafsluitingen."),
]


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
        flaws, proven = _audit(sleutels or [], koppen or [], bestanden or [])
    else:
        flaws, proven = _check(bestanden or [], sleutels or [], origineel)
    if json:
        as_json({"klopt": not flaws, "bewezen": proven, "gebreken": _plain(flaws)})
    else:
        _tell(flaws, proven)
    raise typer.Exit(1 if flaws else 0)


def _check(
    files: list[Path], keys: list[Path], original: Path | None
) -> tuple[list[Flaw], list[str]]:
    """Files against each other and against published keys."""
    documents = {file: _document(file) for file in files}
    verify = _offline_keys(documents, keys)
    sent = None if original is None else original.read_bytes()
    judged = [
        unreadable(file.name) if document is None else judge(file.name, document, verify, sent)
        for file, document in documents.items()
    ]
    flaws = [flaw for each in judged for flaw in each.flaws]
    return [*flaws, *together(judged)], [said for each in judged for said in each.proven]


def _offline_keys(documents: dict[Path, Json | None], keys: list[Path]) -> Verify:
    if keys:
        return verifier(*map(_keys_in, keys))
    carried = [each[PACKAGE]["sleutels"] for each in documents.values() if each and PACKAGE in each]
    if not carried:
        raise Fault("give --sleutels with the published keys (GET /v1/sleutels)")
    screen.print(
        "Let op: gecontroleerd met de sleutels uit het pakket zelf. Haal ze op bij "
        "GET /v1/sleutels en geef --sleutels om zeker te zijn."
    )
    return verifier(*carried)


def _audit(keys: list[Path], heads: list[Path], held: list[Path]) -> tuple[list[Flaw], list[str]]:
    """The whole ledger, also against what others hold."""
    own = Keyring.load(load(os.environ).keys).signing.published()
    verify = verifier(own, *map(_keys_in, keys))
    judged = [_held(file, verify) for file in (*heads, *held)]
    on_record: list[Head] = [head for each in judged for head in each.heads()]
    ledger = the_ledger()
    size = ledger.audit_size()
    with Progress(console=screen, transient=True) as progress:
        bar = progress.add_task("Grootboek", total=size)
        flaws = ledger.audit(verify, on_record, lambda done: progress.advance(bar, done))
    flaws += [flaw for each in judged for flaw in each.flaws]
    flaws += together(judged)
    return flaws, [f"het grootboek, met {size} controlepunten en berichten"]


def _held(file: Path, verify: Verify) -> Judged:
    document = _document(file)
    return unreadable(file.name) if document is None else judge(file.name, document, verify)


def _document(file: Path) -> Json | None:
    """A receipt, package or page of day closes, from JSON or XML; None when it is neither."""
    content = file.read_bytes()
    try:
        if content.lstrip()[:1] == b"<":
            return Catalogue.load().to_json(xml.parse(content))
        return strict.parse(content)
    except (Refusal, KeyError):
        return None


def _keys_in(file: Path) -> Json:
    try:
        return strict.parse(file.read_bytes())
    except Refusal as error:
        raise Fault(f"{file} is no set of published keys (GET /v1/sleutels)") from error


def _plain(flaws: list[Flaw]) -> list[Json]:
    return [{"gebrek": flaw.sort, "waar": flaw.where, "uitleg": str(flaw)} for flaw in flaws]


def _tell(flaws: list[Flaw], proven: list[str]) -> None:
    if proven:
        screen.print("Bewezen:")
        for sentence in proven:
            screen.print(f"  - {sentence}", soft_wrap=True)
    if flaws:
        screen.print(f"NIET IN ORDE, {len(flaws)} gebreken:")
        for flaw in flaws:
            screen.print(f"  ! {flaw}", soft_wrap=True)
        return
    screen.print("In orde. Dit bewijst niet:")
    for sentence in NOT_PROVEN:
        screen.print(f"  - {sentence}", soft_wrap=True)


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
        _write(pakket, as_bytes(made))
    if pdf is not None:
        from gateway.adapters.evidence_pdf import as_pdf  # noqa: PLC0415 - few ask for it

        _write(pdf, as_pdf(made, with_content=met_inhoud))
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


def _write(file: Path, content: bytes) -> None:
    """Only for the owner: a package may hold what the message says."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise Fault(f"{file} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
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
