"""Sealed at rest: who has the database and not the keys has no content.

Every message has a data key of its own; its parts are encrypted with it (AES-256-GCM, with
the identity of the message as associated data, so that no part passes for that of another
message). The data key is wrapped by a key-encryption key that lies in a file outside the
data. Deleting the wrapped key of a message erases it; a new key-encryption key takes over
by wrapping the data keys again, without touching what they seal.

Source: design decision 14; NIST SP 800-38D §8.2.2 (random nonces of 96 bits: at most 2**32
messages under one key-encryption key).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from isal import isal_zlib

from gateway.adapters.secret_files import check_value
from gateway.errors import Fault

KEY_BYTES = 32
VAULT = "kluis"
"""What the files of key-encryption keys are called."""
_NONCE_BYTES = 12
_WRAP = b"gegevenssleutel:"
_ALONE = "alleen"
VERSION_BYTES = 4
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16  # with the tag of GCM
_PLAIN, _DEFLATED = b"\x00", b"\x01"
_WORTH_DEFLATING = 256
_LARGEST_CONTENT = 64 * 1024 * 1024


class SealBroken(Fault):
    """Sealed content cannot be opened: altered, of another message, or under another key."""


class VaultKeyMissing(Fault):
    """The key-encryption key that wrapped this is not in the folder of keys."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one message, with its wrapped form for the ledger.

    Attributes:
        version: Of the key-encryption key that wrapped it.
        about: Identity of the message, bound to everything that is sealed.
    """

    version: int
    wrapped: bytes
    about: bytes
    _cipher: AESGCM

    def seal(self, part: str, content: bytes) -> bytes:
        """Compress and encrypt one part of the message.

        Args:
            part: Its name, so that parts cannot be exchanged either.
        """
        form = _PLAIN + content
        if len(content) >= _WORTH_DEFLATING:
            form = min(form, _DEFLATED + isal_zlib.compress(content, 1), key=len)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, form, self._bound(part))

    def open(self, part: str, sealed: bytes) -> bytes:
        """What was sealed.

        Raises:
            SealBroken: it was not sealed as this part of this message.
        """
        form = _decrypted(self._cipher, sealed, self._bound(part))
        if form[:1] == _PLAIN:
            return form[1:]
        inflate = zlib.decompressobj()
        content = inflate.decompress(form[1:], _LARGEST_CONTENT)
        if not inflate.eof:
            raise SealBroken("sealed content is larger than anything that is accepted")
        return content

    def _bound(self, part: str) -> bytes:
        return b"%s|%s" % (self.about, part.encode())


class Vault:
    """The key-encryption keys by version; one wraps, all unwrap.

    Args:
        keys: By version; the highest wraps until another is told (``use``).
        read: Reads the keys again, for a version that was added while this process ran.

    Attributes:
        newest: Version of the key that wraps.
    """

    def __init__(
        self, keys: Mapping[int, bytes], read: Callable[[], Mapping[int, bytes]] | None = None
    ) -> None:
        if not keys:
            raise VaultKeyMissing("no usable key-encryption key")
        self._read = read
        self._ciphers: dict[int, AESGCM] = {}
        self._checks: dict[int, bytes] = {}
        self._take(keys)
        self.newest = max(keys)

    def _take(self, keys: Mapping[int, bytes]) -> None:
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise VaultKeyMissing("no usable key-encryption key")
        checks = {version: check_value(VAULT, key) for version, key in keys.items()}
        self._ciphers |= {version: AESGCM(key) for version, key in keys.items()}
        self._checks |= checks

    @property
    def versions(self) -> frozenset[int]:
        """What can be unwrapped."""
        return frozenset(self._checks)

    @property
    def checks(self) -> Mapping[int, bytes]:
        """By version what shows that it is the right key."""
        return dict(self._checks)

    def learn(self) -> None:
        """Read the keys again; those that are gone stay known to this process.

        Raises:
            Fault: one of them is not what it should be.
        """
        if self._read is None:
            return
        found = self._read()
        self._take({each: found[each] for each in found if each not in self._ciphers})

    def use(self, version: int) -> None:
        """Wrap with this version from now on.

        Raises:
            VaultKeyMissing: it is not here.
        """
        self._cipher(version)
        self.newest = version

    def make(self, about: bytes) -> DataKey:
        """A fresh data key for the message of this identity."""
        key, version = os.urandom(KEY_BYTES), self.newest
        return DataKey(version, self._wrap(about, version, key), about, AESGCM(key))

    def take(self, about: bytes, version: int, wrapped: bytes) -> DataKey:
        """The data key of a message, as the ledger kept it.

        Raises:
            VaultKeyMissing: no key-encryption key of this version.
            SealBroken: it was not wrapped for this message.
        """
        return DataKey(version, wrapped, about, AESGCM(self._unwrap(about, version, wrapped)))

    def wrap_again(self, about: bytes, version: int, wrapped: bytes, *, to: int) -> bytes:
        """The same data key under version ``to``; raises as ``take``."""
        return self._wrap(about, to, self._unwrap(about, version, wrapped))

    def seal_alone(self, about: bytes, content: bytes) -> bytes:
        """Content that is kept in one piece, with the wrapped key that opens it."""
        key = self.make(about)
        return key.version.to_bytes(VERSION_BYTES) + key.wrapped + key.seal(_ALONE, content)

    def open_alone(self, about: bytes, sealed: bytes) -> bytes:
        """What ``seal_alone`` sealed; raises as ``take`` and ``DataKey.open``."""
        version, wrapped, rest = _parts(sealed)
        return self.take(about, version, wrapped).open(_ALONE, rest)

    def wrap_alone_again(self, about: bytes, sealed: bytes, *, to: int) -> bytes:
        """The same under version ``to``; raises as ``take``."""
        version, wrapped, rest = _parts(sealed)
        again = self.wrap_again(about, version, wrapped, to=to)
        return to.to_bytes(VERSION_BYTES) + again + rest

    def _wrap(self, about: bytes, version: int, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(version).encrypt(nonce, key, _WRAP + about)

    def _unwrap(self, about: bytes, version: int, wrapped: bytes) -> bytes:
        return _decrypted(self._cipher(version), wrapped, _WRAP + about)

    def _cipher(self, version: int) -> AESGCM:
        if version not in self._ciphers:
            try:
                self.learn()
            except Fault as fault:
                raise VaultKeyMissing(str(fault)) from fault
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise VaultKeyMissing(f"key-encryption key {version:04} is not here: restore it")
        return cipher


def version_alone(sealed: bytes) -> int:
    """Under which version of the key-encryption key something was sealed alone."""
    return int.from_bytes(sealed[:VERSION_BYTES])


def _parts(sealed: bytes) -> tuple[int, bytes, bytes]:
    begin, end = VERSION_BYTES, VERSION_BYTES + _WRAPPED_BYTES
    return version_alone(sealed), sealed[begin:end], sealed[end:]


def _decrypted(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealBroken("sealed content cannot be opened: wrong key, or it was altered") from None
