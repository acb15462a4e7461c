"""Symmetric keys in files: whole or not there, and for their owner only."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path

from gateway.errors import Fault

SECRET_BYTES = 32
ENDING = ".sleutel"

CHECK_BYTES = 16
_CHECK = b"gateway-controlewaarde:"

_NOT_THE_OWNER = 0o077  # permission bits of everybody else


def read_secret(path: Path) -> bytes:
    """The key in this file.

    Raises:
        Fault: it is missing, of another length, or others than its owner have rights to it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read()
    except FileNotFoundError as error:
        raise Fault(
            f"{path} is missing: restore it, or make one with 'gateway inrichten'"
        ) from error
    except OSError as error:
        raise Fault(f"{path} cannot be read ({error.strerror})") from error
    if mode & _NOT_THE_OWNER:
        raise Fault(f"{path} is open to others: chmod it to 600 first")
    if len(key) != SECRET_BYTES:
        raise Fault(f"{path} is not {SECRET_BYTES} bytes long: restore it from its own backup")
    return key


def write_secret(path: Path, key: bytes | None = None) -> None:
    """Put a key, fresh by default, in a new file; under its own name it is whole or not there.

    Raises:
        FileExistsError: there is one already; it is left as it is.
        OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES) if key is None else key)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # fails where the name is taken, unlike a rename
    finally:
        Path(name).unlink(missing_ok=True)
    keep_names(path.parent)


def keep_names(folder: Path) -> None:
    """Return when the disk knows which files lie in a folder."""
    within = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(within)
    finally:
        os.close(within)


def check_value(kind: str, key: bytes) -> bytes:
    """What shows that a key is the right one, and says nothing about it."""
    return hmac.digest(key, _CHECK + kind.encode(), "sha256")[:CHECK_BYTES]


def read_generations(folder: Path, kind: str) -> dict[int, bytes]:
    """Every key of this kind by number; raises as ``read_secret``."""
    return {number: read_secret(path) for number, path in generations(folder, kind).items()}


def generations(folder: Path, kind: str) -> dict[int, Path]:
    """The files ``<kind>-0001.sleutel``, ``<kind>-0002.sleutel``, … by number."""
    form = re.compile(rf"{re.escape(kind)}-([0-9]{{4}}){re.escape(ENDING)}")
    found = ((form.fullmatch(path.name), path) for path in folder.glob(f"{kind}-*{ENDING}"))
    return {int(match[1]): path for match, path in found if match}


def path_of(folder: Path, kind: str, number: int) -> Path:
    """Where generation ``number`` of this kind of key lies."""
    return folder / f"{kind}-{number:04}{ENDING}"
