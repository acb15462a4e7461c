"""A copy of the ledger with a manifest, and what a ledger lost that was put back from one.

The copy is of one instant, made while the gateway works. It never holds keys: what is in it
stays sealed, and cannot be opened without the keys, which need a backup of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from gateway.adapters.ledger.database import connect, translated
from gateway.adapters.ledger.receipts import signed_of
from gateway.adapters.ledger.tables import checkpoint, delivery, key, message, unfinished
from gateway.adapters.secret_files import keep_names
from gateway.errors import Fault
from gateway.message import Json
from gateway.replies import instant

MANIFEST = ".manifest.json"
_BLOCK = 1024 * 1024

Heads = dict[str, tuple[int, str]]
"""By log: number of its last checkpoint, and its head in hex."""


@dataclass(frozen=True, slots=True)
class Known:
    """A message that a receipt says was accepted."""

    afzender: str
    referentienummer: str


def make(address: str, path: Path, at: datetime) -> Json:
    """Copy the ledger at a URL to a new file for the owner only; returns its manifest.

    Raises:
        Fault: the file is there already or cannot be written, or a program is missing.
        LedgerUnavailable: the ledger does not answer.
    """
    manifest = path.with_name(path.name + MANIFEST)
    for each in (path, manifest):
        if each.exists():
            raise Fault(f"{each} is there already: choose another name")
    try:
        with _new_file(path) as fresh:
            if make_url(address).get_backend_name() == "sqlite":
                told = _copy_sqlite(address, fresh)
            else:
                told = _dump_postgres(address, fresh)
            told |= {
                "reservekopie": 1,
                "bestand": path.name,
                "gemaaktOp": instant(at),
                "sha256": _sha256(fresh),
            }
        with _new_file(manifest) as fresh:
            fresh.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Fault(f"{error.filename or path} cannot be written ({error.strerror})") from error
    return told


def read_manifest(path: Path) -> tuple[Json, list[str]]:
    """The manifest beside a copy, and what is wrong with the copy.

    Raises:
        Fault: there is none, or it cannot be read.
    """
    beside = path.with_name(path.name + MANIFEST)
    try:
        told: Json = json.loads(beside.read_text(encoding="utf-8"))
        found = _sha256(path)
    except OSError as error:
        raise Fault(f"{error.filename} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise Fault(f"{beside} is no manifest") from error
    wrong = [] if found == told.get("sha256") else [f"{path} is not the file that was made"]
    return told, wrong


def compare(address: str, manifest: Json) -> tuple[list[str], list[tuple[str, str, int]]]:
    """The ledger at a URL beside the manifest of the copy that it was put back from.

    Returns:
        What does not fit; and (ontvanger, state, count) of what is offered (again).

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    database = connect(address)
    try:
        with database.reading() as connection:
            problems = list(_differences(connection, manifest))
            waiting = connection.execute(
                sa.select(delivery.c.ontvanger, delivery.c.state, sa.func.count())
                .where(unfinished(delivery))
                .group_by(delivery.c.ontvanger, delivery.c.state)
                .order_by(delivery.c.ontvanger, delivery.c.state)
            ).all()
    finally:
        database.engine.dispose()
    return problems, [(row[0], row[1], row[2]) for row in waiting]


def lost(address: str, receipts: Iterable[Path]) -> tuple[list[Known], int, list[str]]:
    """Accepted messages that the ledger at a URL does not have, by the receipts of parties.

    Returns:
        Those messages; how many receipts were looked at; and which files are no receipts.
    """
    missing: dict[Known, None] = {}
    unreadable: list[str] = []
    count = 0
    database = connect(address)
    try:
        with database.reading() as connection:
            for path in receipts:
                known = _accepted(path)
                if known is None:
                    unreadable.append(path.name)
                    continue
                count += 1
                found = connection.scalar(
                    sa.select(message.c.id).where(
                        message.c.referentienummer == known.referentienummer,
                        message.c.afzender == known.afzender,
                    )
                )
                if found is None:
                    missing[known] = None
    finally:
        database.engine.dispose()
    return list(missing), count, unreadable


def _accepted(path: Path) -> Known | None:
    """Of which message a file is the receipt."""
    try:
        body = json.loads(path.read_bytes())["ontvangstbevestiging"]
        return Known(
            str(body["stuurgegevens"]["ontvanger"]["oin"]), str(body["bericht"]["referentienummer"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _copy_sqlite(address: str, target: Path) -> Json:
    source = str(make_url(address).database)
    if not Path(source).exists():
        raise Fault(f"{source} is not there: nothing to copy")
    with translated():
        try:
            with (
                closing(_read_only(Path(source))) as ledger,
                closing(sqlite3.connect(target)) as copy,
            ):
                ledger.backup(copy)  # in one step: others write on meanwhile, to the journal
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        except sqlite3.Error as error:
            raise Fault(f"the ledger cannot be copied ({error.sqlite_errorname})") from None
        engine = sa.create_engine("sqlite://", creator=lambda: _read_only(target))
        try:
            with engine.connect() as connection:
                return {"soort": "sqlite", **_contents(connection)}
        finally:
            engine.dispose()


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _dump_postgres(address: str, target: Path) -> Json:
    program = shutil.which("pg_dump")
    if program is None:
        raise Fault("pg_dump is not installed: install the client programs of PostgreSQL")
    database = connect(address, silence_s=None)
    try:
        with translated(), database.engine.connect() as connection:
            # what the manifest tells and what is dumped are of the same instant
            connection.execute(
                sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            )
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            snapshot = connection.scalar(sa.text("SELECT pg_export_snapshot()"))
            told = {"soort": "postgresql", **_contents(connection)}
            _run_pg_dump(program, address, target, str(snapshot))
            return told
    finally:
        database.engine.dispose()


def _run_pg_dump(program: str, address: str, target: Path, snapshot: str) -> None:
    url = make_url(address).set(drivername="postgresql")
    # a password is seen by nobody in the environment of a process, unlike in its arguments
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(  # noqa: S603 - our own words
        [
            program,
            "--format=custom",
            "--no-owner",
            f"--snapshot={snapshot}",
            f"--file={target}",
            "--dbname",
            url.set(password=None).render_as_string(),
        ],
        env={**os.environ, **secret},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Fault(f"pg_dump did not succeed: {said[-1] if said else done.returncode}")


def _contents(connection: sa.Connection) -> Json:
    """What a ledger holds at this instant, in numbers and heads."""
    revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    states = sa.select(delivery.c.state, sa.func.count()).group_by(delivery.c.state)
    newest = connection.scalar(sa.select(sa.func.max(message.c.recorded_at)))
    needed = sa.select(key.c.kind, key.c.version).where(key.c.retired_at.is_(None))
    return {
        "schema": revision,
        "berichten": connection.scalar(sa.select(sa.func.count()).select_from(message)),
        "afleveringen": {row[0]: row[1] for row in connection.execute(states)},
        "nieuwsteBericht": None if newest is None else instant(newest),
        "logboeken": {
            log: {"nummer": number, "hoofd": head}
            for log, (number, head) in sorted(_heads(connection).items())
        },
        "sleutels": [
            {"soort": kind, "versie": version} for kind, version in connection.execute(needed)
        ],
    }


def _heads(connection: sa.Connection) -> Heads:
    last = (
        sa.select(checkpoint.c.log, sa.func.max(checkpoint.c.number).label("number"))
        .group_by(checkpoint.c.log)
        .subquery()
    )
    rows = connection.execute(
        sa.select(checkpoint).join(
            last,
            sa.and_(checkpoint.c.log == last.c.log, checkpoint.c.number == last.c.number),
        )
    )
    return {row.log: (row.number, signed_of(row).checkpoint.head.hex()) for row in rows}


def _differences(connection: sa.Connection, manifest: Json) -> Iterator[str]:
    """In what a ledger is not the one that was copied, or one that went on from there."""
    for log, told in manifest.get("logboeken", {}).items():
        row: Any = connection.execute(
            sa.select(checkpoint).where(
                checkpoint.c.log == log, checkpoint.c.number == told["nummer"]
            )
        ).one_or_none()
        if row is None:
            yield f"log {log} ends before checkpoint {told['nummer']}: this is an older ledger"
        elif signed_of(row).checkpoint.head.hex() != told["hoofd"]:
            yield f"checkpoint {told['nummer']} of log {log} is another one than in the copy"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A file under another name, for the owner only; under its own name it is whole, and stays."""
    fresh = path.with_name(path.name + ".deel")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield fresh
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        os.link(fresh, path)  # fails where the name was taken meanwhile, unlike a rename
        keep_names(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
