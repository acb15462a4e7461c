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
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import Fault

KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAP = b"gegevenssleutel:"
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
            form = min(form, _DEFLATED + zlib.compress(content, 1), key=len)
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
    """The key-encryption keys by version; the newest wraps, all unwrap."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise VaultKeyMissing("no usable key-encryption key")
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self.newest = max(keys)

    @property
    def versions(self) -> frozenset[int]:
        """What can be unwrapped."""
        return frozenset(self._ciphers)

    def make(self, about: bytes) -> DataKey:
        """A fresh data key for the message of this identity."""
        key = os.urandom(KEY_BYTES)
        return DataKey(self.newest, self._wrap(about, key), about, AESGCM(key))

    def take(self, about: bytes, version: int, wrapped: bytes) -> DataKey:
        """The data key of a message, as the ledger kept it.

        Raises:
            VaultKeyMissing: no key-encryption key of this version.
            SealBroken: it was not wrapped for this message.
        """
        return DataKey(version, wrapped, about, AESGCM(self._unwrap(about, version, wrapped)))

    def wrap_again(self, about: bytes, version: int, wrapped: bytes) -> bytes:
        """The same data key under the newest key-encryption key; raises as ``take``."""
        return self._wrap(about, self._unwrap(about, version, wrapped))

    def _wrap(self, about: bytes, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[self.newest].encrypt(nonce, key, _WRAP + about)

    def _unwrap(self, about: bytes, version: int, wrapped: bytes) -> bytes:
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise VaultKeyMissing(f"key-encryption key {version:04} is not here: restore it")
        return _decrypted(cipher, wrapped, _WRAP + about)


def _decrypted(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealBroken("sealed content cannot be opened: wrong key, or it was altered") from None
