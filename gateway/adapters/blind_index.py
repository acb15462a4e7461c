"""Blind indexes: find what is about a person without keeping who that is.

What is kept is a keyed hash of a normalised value under a versioned key that lies outside the
database. During a rotation both versions are searched.

Source: design decision 14.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import Fault

_PURPOSE = b"burgerservicenummer:"
_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A value as the index keeps it: which key, and the keyed hash."""

    version: int
    value: bytes


class BlindIndex:
    """The index keys by version; the newest marks, all search."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise Fault("no key for the blind index")
        self._keys = dict(keys)
        self.newest = max(keys)

    @property
    def versions(self) -> frozenset[int]:
        """Under which keys can be searched."""
        return frozenset(self._keys)

    def mark(self, bsn: str) -> Mark:
        """How this number is kept from now on."""
        return self._mark(bsn, self.newest)

    def marks(self, bsn: str) -> list[Mark]:
        """How this number may have been kept."""
        return [self._mark(bsn, version) for version in sorted(self._keys)]

    def _mark(self, bsn: str, version: int) -> Mark:
        said = _PURPOSE + bsn.encode()
        return Mark(version, hmac.digest(self._keys[version], said, "sha256")[:_MARK_BYTES])
