"""Blind indexes: find what is about a person without keeping who that is.

What is kept is a keyed hash of a normalised value under a versioned key that lies outside the
database. During a rotation both versions are searched.

Source: design decision 14.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.adapters.secret_files import check_value
from gateway.errors import Fault

INDEX = "index"
"""What the files of index keys are called."""

_PURPOSE = b"burgerservicenummer:"
_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A value as the index keeps it: which key, and the keyed hash."""

    version: int
    value: bytes


class BlindIndex:
    """The index keys by version; one marks, all search.

    Args:
        keys: By version; the highest marks until another is told (``use``).
        read: Reads the keys again, for a version that was added while this process ran.

    Attributes:
        newest: Version of the key that marks.
    """

    def __init__(
        self, keys: Mapping[int, bytes], read: Callable[[], Mapping[int, bytes]] | None = None
    ) -> None:
        if not keys:
            raise Fault("no key for the blind index")
        self._keys = dict(keys)
        self._read = read
        self.newest = max(keys)

    @property
    def versions(self) -> frozenset[int]:
        """Under which keys can be searched."""
        return frozenset(self._keys)

    @property
    def checks(self) -> Mapping[int, bytes]:
        """By version what shows that it is the right key."""
        return {version: check_value(INDEX, key) for version, key in self._keys.items()}

    def learn(self) -> None:
        """Read the keys again; those that are gone stay known to this process.

        Raises:
            Fault: one of them is not what it should be.
        """
        if self._read is not None:
            self._keys = {**self._read(), **self._keys}

    def use(self, version: int) -> None:
        """Mark with this version from now on.

        Raises:
            Fault: it is not here.
        """
        if version not in self._keys:
            raise Fault(f"index key {version:04} is not here: restore it")
        self.newest = version

    def mark(self, bsn: str) -> Mark:
        """How this number is kept from now on."""
        return self.mark_under(self.newest, bsn)

    def marks(self, bsn: str) -> list[Mark]:
        """How this number may have been kept."""
        return [self.mark_under(version, bsn) for version in sorted(self._keys)]

    def mark_under(self, version: int, bsn: str) -> Mark:
        """How this number is kept under one of the keys."""
        said = _PURPOSE + bsn.encode()
        return Mark(version, hmac.digest(self._keys[version], said, "sha256")[:_MARK_BYTES])
