"""Every secret of the gateway, read once at start from one folder outside the data.

* ``rsa-…`` and ``ec-…``: what the gateway signs with (``keys``);
* ``kluis-0001.sleutel``, …: key-encryption keys of what is kept (``vault``);
* ``index-0001.sleutel``, …: keys of the blind index (``blind_index``);
* ``samenvatting.sleutel``: the key under the business digests, which never changes while
  a repeat of a message can still come.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.blind_index import INDEX, BlindIndex
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.secret_files import (
    check_value,
    generations,
    path_of,
    read_generations,
    read_secret,
    write_secret,
)
from gateway.adapters.vault import VAULT, Vault
from gateway.errors import Fault
from gateway.message import Oin

DIGEST = "samenvatting.sleutel"
DIGEST_KIND = "samenvatting"
SIGNING = "ondertekening"
_USED_BY_ANY_LEDGER = (VAULT, INDEX, DIGEST_KIND)

_ECDSA = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one gateway.

    Attributes:
        digest: Under the business digests (``record.business_digest``).
    """

    signing: GatewayKeys
    vault: Vault
    index: BlindIndex
    digest: bytes

    @classmethod
    def load(cls, folder: Path) -> Keyring:
        """Read all keys.

        Raises:
            Fault: one is missing, is open to others or is not what it should be; nothing
                starts without its keys.
        """
        return cls(
            signing=GatewayKeys.load(folder),
            vault=Vault(_read(folder, VAULT), partial(read_generations, folder, VAULT)),
            index=BlindIndex(_read(folder, INDEX), partial(read_generations, folder, INDEX)),
            digest=read_secret(folder / DIGEST),
        )

    def checks(self) -> dict[tuple[str, int], bytes]:
        """By kind and version of each symmetric key what shows that it is the right one."""
        return {
            (DIGEST_KIND, 1): check_value(DIGEST_KIND, self.digest),
            **{(VAULT, version): each for version, each in self.vault.checks.items()},
            **{(INDEX, version): each for version, each in self.index.checks.items()},
        }

    def learn(self) -> None:
        """Read again which keys there are; raises Fault as ``load``."""
        self.vault.learn()
        self.index.learn()

    def in_use(self) -> Mapping[str, int]:
        """Which version of each kind seals, or marks, what is new."""
        return {DIGEST_KIND: 1, VAULT: self.vault.newest, INDEX: self.index.newest}

    def use(self, kind: str, version: int) -> None:
        """Seal, or mark, with this version from now on; raises Fault when it is not here."""
        if kind == VAULT:
            self.vault.use(version)
        elif kind == INDEX:
            self.index.use(version)

    def sign_checkpoint(self, text: bytes) -> tuple[str, bytes]:
        """The ``kid`` of the newest EC P-256 key, and its ES256 signature over ``text``, in DER."""
        newest = self.signing.ec[0]
        return newest.kid, newest.key.sign(text, _ECDSA)


def make_missing(folder: Path, oin: Oin, used: Container[str] = ()) -> list[str]:
    """Make the keys that are not there yet; those that are stay as they are.

    Args:
        used: Kinds of key that the ledger was used with: another would not fit.

    Returns:
        What was made, one Dutch sentence each.

    Raises:
        Fault: a key of a kind in ``used`` is missing; nothing was made.
    """
    done = []
    for kind, missing in _missing(folder).items():
        if kind in used:
            raise Fault(
                f"{missing} is missing, and the ledger was used with it: restore it from its "
                "own backup; a new key cannot open what was kept"
            )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(folder.glob("*.pem")):
        GatewayKeys.create(folder, oin)
        done.append(f"Sleutels om mee te ondertekenen gemaakt in {folder}.")
    # who kept anything had both keys: one that is gone now must come back, not be another
    elif not any(kind in used for kind in _USED_BY_ANY_LEDGER) and GatewayKeys.complete(folder):
        done.append(f"Sleutels om mee te ondertekenen aangevuld in {folder}.")
    if not (folder / DIGEST).exists():
        write_secret(folder / DIGEST)
        done.append("Sleutel voor samenvattingen gemaakt.")
    for kind, purpose in ((VAULT, "de kluis"), (INDEX, "de blinde index")):
        if not generations(folder, kind):
            write_secret(path_of(folder, kind, 1))
            done.append(f"Sleutel van {purpose} gemaakt. Bewaar hiervan een kopie, apart.")
    return done


def _missing(folder: Path) -> dict[str, Path]:
    """Which kinds of symmetric key have no file at all, and the file that one expects."""
    none = {kind: path_of(folder, kind, 1) for kind in (VAULT, INDEX)}
    missing = {kind: path for kind, path in none.items() if not generations(folder, kind)}
    if not (folder / DIGEST).exists():
        missing[DIGEST_KIND] = folder / DIGEST
    return missing


def _read(folder: Path, kind: str) -> dict[int, bytes]:
    found = read_generations(folder, kind)
    if not found:
        raise Fault(
            f"{path_of(folder, kind, 1)} is missing: restore it; only for a new ledger may "
            "'gateway inrichten' make one"
        )
    return found
