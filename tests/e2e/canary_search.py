"""Which canaries lie in these bytes, or in the files of these folders?

Searched as they are, in UTF-16, in hexadecimal, in base64 at every alignment, and once more in
what comes out where something looks as if it was deflated (RFC 1950): whoever compresses before
encrypting and forgets the latter leaves no text to be read, and hides nothing.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import CANARIES

SHORTEST_FORM = 7
"""Shorter forms stand in compressed or sealed bytes by chance."""

ZLIB_BEGINS = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
"""The two bytes with which every level of zlib and ISA-L begins."""
IN_HEX = re.compile(rb"(?:[0-9a-f]{2}){256,}")
"""How a dump writes bytes that are long enough to be deflated."""
DEFLATED_BYTES = 64 * 1024
"""So much is read behind each beginning; most of them are chance, and end after a few bytes."""
INFLATED_BYTES = 1024 * 1024
"""No more than about so much comes out of one."""
FEED_BYTES = 64


def forms(canary: str) -> Iterator[bytes]:
    """How a text may lie on a disk."""
    said = canary.encode()
    yield said
    yield canary.encode("utf-16-le")
    yield said.hex().encode()
    for before in range(3):
        written = base64.b64encode(bytes(before) + said)
        whole = written[(before * 4 + 2) // 3 : (before + len(said)) * 4 // 3]
        if len(whole) >= SHORTEST_FORM:
            yield whole


FORMS = {form: canary for canary in CANARIES for form in forms(canary)}


def found_in(content: bytes) -> set[str]:
    """Which canaries these bytes hold, in whatever form."""
    written = (bytes.fromhex(run.group().decode()) for run in IN_HEX.finditer(content))
    return _standing_in(content) | {
        canary
        for each in (content, *written)
        for deflated in ZLIB_BEGINS.finditer(each)
        for canary in _standing_in(_inflated(each, deflated.start()))
    }


def found_under(*folders: Path) -> dict[str, list[str]]:
    """Which canaries are in which file of these folders."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and (here := found_in(path.read_bytes())):
                found[str(path.relative_to(folder))] = sorted(here)
    return found


def _standing_in(content: bytes) -> set[str]:
    return {canary for form, canary in FORMS.items() if form in content}


def _inflated(content: bytes, begin: int) -> bytes:
    """What comes out of what may have been deflated from here; of a broken one its beginning.

    A database breaks what is long into pages, so that rarely all of it lies in one piece.
    """
    inflate, out = zlib.decompressobj(), b""
    for at in range(begin, min(begin + DEFLATED_BYTES, len(content)), FEED_BYTES):
        try:
            out += inflate.decompress(content[at : at + FEED_BYTES])
        except zlib.error:
            break
        if inflate.eof or len(out) > INFLATED_BYTES:
            break
    return out
