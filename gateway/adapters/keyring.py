"""Every secret of the gateway, read once at start from one folder outside the data.

* ``rsa-…`` and ``ec-…``: what the gateway signs with (``keys``);
* ``kluis-0001.sleutel``, …: key-encryption keys of what is kept (``vault``);
* ``index-0001.sleutel``, …: keys of the blind index (``blind_index``);
* ``samenvatting.sleutel``: the key under the business digests, which never changes while
  a repeat of a message can still come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from gateway.adapters.blind_index import BlindIndex
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.secret_files import generations, path_of, read_secret, write_secret
from gateway.adapters.vault import Vault
from gateway.errors import Fault
from gateway.message import Oin

DIGEST = "samenvatting.sleutel"
VAULT = "kluis"
INDEX = "index"

_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


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
            vault=Vault(_read(folder, VAULT)),
            index=BlindIndex(_read(folder, INDEX)),
            digest=read_secret(folder / DIGEST),
        )

    def sign_checkpoint(self, text: bytes) -> tuple[str, bytes]:
        """The ``kid`` of the newest RSA key, and its PS256 signature over ``text``."""
        newest = self.signing.rsa[0]
        return newest.kid, newest.key.sign(text, _PSS, hashes.SHA256())


def make_missing(folder: Path, oin: Oin) -> list[str]:
    """Make the keys that are not there yet; those that are stay as they are.

    Returns:
        What was made, one Dutch sentence each.
    """
    done = []
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(folder.glob("*.pem")):
        GatewayKeys.create(folder, oin)
        done.append(f"Sleutels om mee te ondertekenen gemaakt in {folder}.")
    if not (folder / DIGEST).exists():
        write_secret(folder / DIGEST)
        done.append("Sleutel voor samenvattingen gemaakt.")
    for kind, purpose in ((VAULT, "de kluis"), (INDEX, "de blinde index")):
        if not generations(folder, kind):
            write_secret(path_of(folder, kind, 1))
            done.append(f"Sleutel van {purpose} gemaakt. Bewaar hiervan een kopie, apart.")
    return done


def _read(folder: Path, kind: str) -> dict[int, bytes]:
    found = generations(folder, kind)
    if not found:
        raise Fault(
            f"{path_of(folder, kind, 1)} is missing: restore it; only for a new ledger may "
            "'gateway inrichten' make one"
        )
    return {number: read_secret(path) for number, path in found.items()}
