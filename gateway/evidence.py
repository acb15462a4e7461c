"""Evidence: what was recorded can be proven by anyone who holds a receipt.

A log is a chain of checkpoints. Each checkpoint signs the root of a Merkle tree over the
entries of one commit, and names the checkpoint before it. An entry enters the tree as a
salted hash (its leaf), so that the log says nothing about content once the salt is gone.
Pure: salts, instants and signatures come in as arguments.

Source: design decision 15; the tree is that of RFC 6962 §2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from gateway.json import parse
from gateway.message import Json, as_bytes, canonical_form
from gateway.replies import instant

SALT_BYTES = 16
ERASED = "gewist"
"""The entry that says that content went."""
HASH_BYTES = 32
NOTHING_BEFORE = bytes(HASH_BYTES)
"""What the first checkpoint of a log names as the one before it."""

_LEAF, _NODE = b"\x00", b"\x01"  # RFC 6962: no node can be taken for a leaf

_RECEIPT = "ontvangstbevestiging"


class Checkpoint(NamedTuple):
    """One commit of one writer, as it is signed.

    Attributes:
        log: UUID of the log; each process that writes has its own.
        number: 1, 2, … without gaps within the log.
        at: On the clock of the writer, UTC, milliseconds.
        size: Number of leaves, 1 or more.
        root: Root of the tree over the leaves, 32 bytes.
        previous: ``head`` of the checkpoint before it, or ``NOTHING_BEFORE``.
    """

    log: str
    number: int
    at: datetime
    size: int
    root: bytes
    previous: bytes

    def signed_text(self) -> bytes:
        """The exact bytes that are signed: one line per field, in this order."""
        return (
            f"gateway-controlepunt-1\n{self.log}\n{self.number}\n{instant(self.at)}\n"
            f"{self.size}\n{self.root.hex()}\n{self.previous.hex()}\n"
        ).encode()

    @property
    def head(self) -> bytes:
        """What the next checkpoint names: the hash of what this one says."""
        return hashlib.sha256(self.signed_text()).digest()


class Signed(NamedTuple):
    """A checkpoint with the gateway's signature (ES256) over ``signed_text``.

    Attributes:
        kid: Which of the published keys.
        signature: ECDSA over P-256 with SHA-256, in DER.
    """

    checkpoint: Checkpoint
    kid: str
    signature: bytes


class Proof(NamedTuple):
    """That one entry stands in one checkpoint.

    Attributes:
        place: Of the leaf, from 0.
        path: Hashes from the leaf to the root.
    """

    salt: bytes
    place: int
    path: tuple[bytes, ...]
    signed: Signed


def leaf(salt: bytes, entry: bytes) -> bytes:
    """The salted hash of an entry."""
    return hashlib.sha256(_LEAF + salt + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def tree(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Every level of the tree, leaves first, root last; a lone last one moves up as it is."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        level = [_node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
        if len(below) % 2:
            level.append(below[-1])
        levels.append(level)
    return levels


def path(levels: Sequence[Sequence[bytes]], place: int) -> tuple[bytes, ...]:
    """The hashes that lead from the leaf at ``place`` to the root."""
    found = []
    for level in levels[:-1]:
        beside = place ^ 1
        if beside < len(level):
            found.append(level[beside])
        place //= 2
    return tuple(found)


def root_from(leaf_hash: bytes, place: int, size: int, found: Sequence[bytes]) -> bytes | None:
    """The root to which a path leads; None where the path has another length than it must."""
    steps = iter(found)
    current, width = leaf_hash, size
    if not 0 <= place < size:
        return None
    while width > 1:
        if (place ^ 1) < width:
            beside = next(steps, None)
            if beside is None:
                return None
            current = _node(beside, current) if place % 2 else _node(current, beside)
        place, width = place // 2, (width + 1) // 2
    return None if next(steps, None) is not None else current


def accepted_entry(receipt: bytes, original_sha256: str) -> bytes:
    """The entry of an accepted message: its receipt as recorded, and the bytes as sent.

    Args:
        receipt: The Ontvangstbevestiging in its RFC 8785 form, without ``bewijs``.
    """
    told = hashlib.sha256(receipt).hexdigest()
    return (
        f'{{"bevestigingSha256":"{told}","origineelSha256":"{original_sha256}",'
        '"soort":"aangenomen"}'
    ).encode()


def as_json(proof: Proof, original_sha256: str | None = None) -> Json:
    """A proof as it is handed out.

    Args:
        original_sha256: Given for the ``bewijs`` of an Ontvangstbevestiging.
    """
    about = {} if original_sha256 is None else {"origineelSha256": original_sha256}
    steps = {"pad": [each.hex() for each in proof.path]} if proof.path else {}
    return {
        **about,
        "zout": proof.salt.hex(),
        "plaats": proof.place,
        **steps,
        "controlepunt": _checkpoint(proof.signed),
    }


def with_proof(receipt: bytes, proof: Proof, original_sha256: str) -> bytes:
    """A receipt with its ``bewijs`` as last member; all other bytes stay as they were."""
    steps = ",".join(f'"{each.hex()}"' for each in proof.path)
    # written by hand: every value is a number, or a text without anything to escape
    return (
        b'%b,"bewijs":{"origineelSha256":"%b","zout":"%b","plaats":%d,%b"controlepunt":%b}}}'
    ) % (
        receipt[:-2],
        original_sha256.encode(),
        proof.salt.hex().encode(),
        proof.place,
        f'"pad":[{steps}],'.encode() if steps else b"",
        _written(proof.signed),
    )


@lru_cache(maxsize=4)
def _written(signed: Signed) -> bytes:
    """A checkpoint as receipts carry it; all receipts of one commit carry the same."""
    return as_bytes(_checkpoint(signed))


def _checkpoint(signed: Signed) -> Json:
    checkpoint = signed.checkpoint
    return {
        "logboek": checkpoint.log,
        "nummer": checkpoint.number,
        "tijdstip": instant(checkpoint.at),
        "aantal": checkpoint.size,
        "wortel": checkpoint.root.hex(),
        "vorige": checkpoint.previous.hex(),
        "sleutel": signed.kid,
        "handtekening": signed.signature.hex(),
    }


def without_proof(document: Json) -> tuple[bytes, Json]:
    """The receipt as it was recorded, and its ``bewijs``; the reverse of ``with_proof``.

    Raises:
        KeyError: it carries none, or is no receipt.
    """
    body = dict(document[_RECEIPT])
    proof: Json = body.pop("bewijs")
    return canonical_form({_RECEIPT: body}), proof


def proof_of(told: Json) -> Proof:
    """A proof as ``as_json`` wrote it; any other way to write the same is none.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: it is none.
    """
    point = told["controlepunt"]
    checkpoint = Checkpoint(
        log=str(point["logboek"]),
        number=int(point["nummer"]),
        at=datetime.fromisoformat(point["tijdstip"]),
        size=int(point["aantal"]),
        root=bytes.fromhex(point["wortel"]),
        previous=bytes.fromhex(point["vorige"]),
    )
    proof = Proof(
        salt=bytes.fromhex(told["zout"]),
        place=int(told["plaats"]),
        path=tuple(bytes.fromhex(each) for each in told.get("pad", ())),
        signed=Signed(checkpoint, str(point["sleutel"]), bytes.fromhex(point["handtekening"])),
    )
    if len(proof.salt) != SALT_BYTES or as_json(proof, told.get("origineelSha256")) != told:
        raise ValueError("a proof is written in one way only")
    return proof


def stands(entry: bytes, proof: Proof) -> bool:
    """Whether this entry is the one whose leaf leads to the root of the checkpoint."""
    checkpoint = proof.signed.checkpoint
    reached = root_from(leaf(proof.salt, entry), proof.place, checkpoint.size, proof.path)
    return reached == checkpoint.root


class Head(NamedTuple):
    """That a log had this checkpoint."""

    log: str
    number: int
    head: bytes


class DayClose(NamedTuple):
    """The heads of all logs that changed since the day close before it.

    Attributes:
        day: ISO date of the Dutch day that had ended.
        previous: ``digest`` of the day close before it, or ``NOTHING_BEFORE``.
        heads: In order of the log.
    """

    day: str
    at: datetime
    previous: bytes
    heads: tuple[Head, ...]

    def content(self) -> str:
        """What it says, canonical JSON."""
        heads = [
            {"logboek": each.log, "nummer": each.number, "kop": each.head.hex()}
            for each in self.heads
        ]
        return canonical_form(
            {
                "dag": self.day,
                "tijdstip": instant(self.at),
                "vorige": self.previous.hex(),
                "koppen": heads,
            }
        ).decode()


def day_close_text(content: str) -> bytes:
    """The exact bytes that are signed, and whose hash the next day close names."""
    return f"gateway-dagafsluiting-1\n{content}\n".encode()


def day_close_digest(content: str) -> bytes:
    """What the next day close names."""
    return hashlib.sha256(day_close_text(content)).digest()


def day_close_of(content: str) -> DayClose:
    """A day close as ``content`` wrote it.

    Raises:
        KeyError, TypeError, ValueError, Refusal: it is none.
    """
    told = parse(content.encode())
    made = DayClose(
        day=date.fromisoformat(told["dag"]).isoformat(),
        at=datetime.fromisoformat(told["tijdstip"]),
        previous=bytes.fromhex(told["vorige"]),
        heads=tuple(
            Head(str(each["logboek"]), int(each["nummer"]), bytes.fromhex(each["kop"]))
            for each in told["koppen"]
        ),
    )
    if made.content() != content:
        raise ValueError("a day close is written in one way only")
    return made
