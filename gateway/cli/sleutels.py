"""``gateway sleutels``: keys that seal what is kept: a new one, changing over, and a check."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress as Bar

from gateway.adapters.blind_index import INDEX
from gateway.adapters.keyring import DIGEST, DIGEST_KIND, Keyring
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.keys_in_use import Progress, problem_with
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.secret_files import generations, path_of, read_secret, write_secret
from gateway.adapters.upkeep import FOLLOW_KEYS_EVERY_SECONDS
from gateway.adapters.vault import VAULT
from gateway.cli.screen import AsJson, as_json, screen, table
from gateway.errors import Fault
from gateway.schemas import Catalogue
from gateway.schemas.persons import persons_of
from gateway.settings import load

app = typer.Typer(help="Sleutels: nieuw, wisselen en controleren.", no_args_is_help=True)

EVERYWHERE_AFTER = timedelta(seconds=2 * FOLLOW_KEYS_EVERY_SECONDS)
"""So long after a key was put in use no process seals with an older one."""

PAUSE_SECONDS = 0.01
"""Between two batches: those who accept messages go first."""


def add_to(gateway: typer.Typer) -> None:
    """Hang the commands under ``gateway sleutels``."""
    gateway.add_typer(app, name="sleutels")


class Soort(StrEnum):
    """A kind of key that has generations."""

    KLUIS = VAULT
    INDEX = INDEX
    ONDERTEKENING = "ondertekening"


SOORT = typer.Option(help="Welke soort sleutel.")


@app.command()
def nieuw(soort: Annotated[Soort, SOORT], *, json: AsJson = False) -> None:
    """Maak een volgende sleutel; wat er is, blijft. Hij wordt pas gebruikt na 'wissel'."""
    settings = load(os.environ)
    if soort is Soort.ONDERTEKENING:
        _renew_signing(settings.keys, json=json)
        return
    number = max(generations(settings.keys, soort), default=0) + 1
    if number == 1:
        raise Fault(f"there is no key {soort} yet: 'gateway inrichten' makes the first one")
    path = path_of(settings.keys, soort, number)
    try:
        write_secret(path)
    except OSError as error:
        raise Fault(f"{path} cannot be made ({error.strerror})") from error
    if json:
        as_json({"soort": soort, "versie": number, "bestand": path})
        return
    screen.print(f"Gemaakt: {path}")
    screen.print("Bewaar hiervan een kopie, apart van de gegevens.")
    screen.print("Zet het bestand (rechten 600) op elke machine van deze gateway.")
    screen.print(f"Daarna: gateway sleutels wissel --soort {soort}")


def _renew_signing(folder: Path, *, json: bool) -> None:
    newest = GatewayKeys.renew(folder)
    made = {"rsa": newest.rsa[0].kid, "ec": newest.ec[0].kid}
    if json:
        as_json({"soort": Soort.ONDERTEKENING, **made})
        return
    table("Nieuw om mee te ondertekenen", ["soort", "kid"], made.items())
    screen.print("Herstart elk proces: dan ondertekent het hiermee, en GET /v1/sleutels toont hem.")
    screen.print(
        "De vorige blijft gepubliceerd; wat daarmee is ondertekend, blijft controleerbaar."
    )


@app.command()
def wissel(
    *,
    soort: Annotated[Soort, SOORT] = Soort.KLUIS,
    wachten: Annotated[
        bool, typer.Option(help="Wacht tot elk proces de nieuwe sleutel gebruikt.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Ga over op de nieuwste sleutel. Mag onder belasting, en mag opnieuw als het afbrak."""
    if soort is Soort.ONDERTEKENING:
        raise Fault(
            "signing keys change over by themselves: restart after 'gateway sleutels nieuw'"
        )
    with _ledger() as ledger:
        ledger.follow_keys()
        target = max(generations(load(os.environ).keys, soort))
        ledger.put_in_use(soort, target)
        step = _step(ledger, soort, target)
        changed, left = _through(step, show=not json)
        waited = _await_everywhere(ledger, soort, target, wait=wachten, show=not json)
        if waited:
            more, left = _through(step, show=not json)
            changed += more
        retired = ledger.retire_keys(soort, target) if waited and not left else []
        under = ledger.requests_under() if soort is Soort.INDEX else {}
    requests = {version: under.get(version, 0) for version in retired}
    if json:
        as_json(
            {
                "soort": soort,
                "versie": target,
                "gewijzigd": changed,
                "over": left,
                "af": retired,
                "verzoeken": requests,
            }
        )
        return
    screen.print(f"{changed} gewijzigd; sleutel {soort} {target:04} is in gebruik.")
    for line in _what_next(soort, requests, left=left, waited=waited):
        screen.print(line)


def _what_next(
    soort: str, requests: Mapping[int, int], *, left: int, waited: bool
) -> Iterator[str]:
    """What the operator does now.

    Args:
        requests: By version that retired: how many requests of people are found by it alone.
    """
    if left:
        yield (
            f"{left} merktekens horen bij inhoud die is gewist: houd de oude sleutel, dan blijven "
            "ze vindbaar."
        )
    if not waited:
        yield "Geef dezelfde opdracht over een minuut nog eens: dan gebruikt elk proces hem."
    for version, count in requests.items():
        name = path_of(Path(), soort, version).name
        if count:
            yield f"Houd {name}: {count} verzoeken van betrokkenen zijn alleen daarmee te vinden."
        else:
            yield f"{name} mag weg zodra geen reservekopie hem nog nodig heeft."
    yield "Nagaan: gateway sleutels controle"


def _step(ledger: SqlLedger, soort: Soort, target: int) -> Callable[[int], Progress]:
    if soort is Soort.KLUIS:
        return lambda after: ledger.wrap_again(after, to=target)
    find = persons_of(Catalogue.load())
    return lambda after: ledger.mark_again(after, find, to=target)


def _through(step: Callable[[int], Progress], *, show: bool) -> tuple[int, int]:
    """Do every step from the first number to the last; how many changed, how many stay."""
    changed = left = reached = 0
    with Bar(console=screen, disable=not show, transient=True) as bar:
        task = bar.add_task("Wisselen")
        while True:
            done = step(reached)
            changed, left, reached = changed + done.changed, left + done.left, done.reached
            bar.update(task, total=done.end, completed=reached)
            if reached >= done.end:
                return changed, left
            time.sleep(PAUSE_SECONDS)


def _await_everywhere(
    ledger: SqlLedger, soort: str, target: int, *, wait: bool, show: bool
) -> bool:
    """Wait until no process uses an older key; False where there is no time for that."""
    known = next(
        each for each in ledger.known_keys() if (each.kind, each.version) == (soort, target)
    )
    seconds = (known.made_at + EVERYWHERE_AFTER - datetime.now(UTC)).total_seconds()
    if seconds > 0 and not wait:
        return False
    if seconds > 0:
        if show:
            screen.print(f"Wachten tot elk proces hem gebruikt ({seconds:.0f} s).")
        time.sleep(seconds)
    return True


@app.command()
def controle(*, json: AsJson = False) -> None:
    """Is elke sleutel er, is het de goede, en gaat er mee open wat ermee verzegeld is?"""
    folder = load(os.environ).keys
    problems = [*_file_problems(folder)]
    rows: list[dict[str, Any]] = []
    if not problems:
        with _ledger() as ledger:
            rows, more = _compare(ledger)
            problems += more
    if json:
        as_json({"sleutels": rows, "problemen": problems})
    else:
        columns = ["soort", "versie", "sinds", "af", "aantal", "oordeel"]
        table("Sleutels", columns, ([row[name] for name in columns] for row in rows))
        for problem in problems:
            screen.print(f"Probleem: {problem}")
        if not problems:
            screen.print("Alles is er en klopt. Bewaar van elke sleutel een kopie, apart.")
    raise typer.Exit(1 if problems else 0)


def _file_problems(folder: Path) -> Iterator[str]:
    """What is wrong with the files themselves: rights, length, absence."""
    files = [folder / DIGEST]
    for kind in (VAULT, INDEX):
        found = generations(folder, kind)
        files += found.values() or [path_of(folder, kind, 1)]
    for path in files:
        try:
            read_secret(path)
        except Fault as fault:
            yield str(fault)


def _compare(ledger: SqlLedger) -> tuple[list[dict[str, Any]], list[str]]:
    """Keys as the ledger knows them beside the files, and a message opened per version."""
    checks, sealed, kerns = ledger.key_checks(), ledger.sealed_under(), ledger.kerns_under()
    rows, problems = [], []
    for known in ledger.known_keys():
        counted = known.kind == VAULT and known.version in sealed
        count, sample = sealed[known.version] if counted else (0, None)
        count += kerns.get(known.version, 0) if known.kind == VAULT else 0
        # one that nothing needs any more may be gone, but not be another
        needed = known.retired_at is None or count > 0
        absent = (known.kind, known.version) not in checks
        problem = None if absent and not needed else problem_with(known, checks)
        if problem is None and sample is not None:
            problem = _does_not_open(ledger, sample)
        if problem is None and known.retired_at is not None and count:
            problem = (
                f"{count} messages came under key {known.kind} {known.version:04} after it was "
                "retired: run 'gateway sleutels wissel' again"
            )
        if problem:
            problems.append(problem)
        told = asdict(known)
        rows.append(
            {
                "soort": told["kind"],
                "versie": told["version"],
                "sinds": told["made_at"],
                "af": told["retired_at"],
                "aantal": count if known.kind == VAULT else None,
                "oordeel": problem or ("weg, niet meer nodig" if absent else "goed"),
            }
        )
    known_kinds = {(row["soort"], row["versie"]) for row in rows}
    rows += [
        {
            "soort": kind,
            "versie": version,
            "sinds": None,
            "af": None,
            "aantal": None,
            "oordeel": f"nog niet in gebruik: gateway sleutels wissel --soort {kind}",
        }
        for kind, version in sorted(checks.keys() - known_kinds)
        if kind != DIGEST_KIND
    ]
    problems += [
        f"{count} messages are sealed with key kluis {version:04}, which the ledger does not know"
        for version, (count, _) in sealed.items()
        if (VAULT, version) not in known_kinds
    ]
    return rows, problems


def _does_not_open(ledger: SqlLedger, sample: int) -> str | None:
    try:
        ledger.opens(sample)
    except Fault as fault:
        return f"message {sample}: {fault}"
    return None


@contextmanager
def _ledger() -> Iterator[SqlLedger]:
    settings = load(os.environ)
    ledger = open_ledger(settings.ledger, Keyring.load(settings.keys))
    try:
        yield ledger
    finally:
        ledger.close()
