"""What does the ledger have of a message, and what did its sender get for it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.among import among, these
from gateway.adapters.ledger.question import Question
from gateway.adapters.ledger.tables import checkpoint, evidence, message
from gateway.evidence import (
    HASH_BYTES,
    Checkpoint,
    Proof,
    Signed,
    path,
    tree,
    with_proof,
)
from gateway.message import Delivery, Oin, Submission

ACCEPTED = sa.literal_column("'aangenomen'", sa.Text())


class Identity(NamedTuple):
    """What makes a message the same one: who sent it under which number."""

    referentienummer: str
    afzender: Oin


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that the ledger has.

    Attributes:
        receipt: With its proof, byte for byte as its sender got it the first time.
        lent: Its delivery, where that was lent when it was recorded just now.
    """

    digest: str
    receipt: bytes
    lent: Delivery | None = None


_SENT_BEFORE = Question(
    sa.select(
        message.c.id,
        message.c.referentienummer,
        message.c.afzender,
        message.c.digest,
        message.c.receipt,
        message.c.original_sha256,
    ).where(these(message.c.referentienummer)),
    "TEXT",
)


def identity_of(submission: Submission) -> Identity:
    """The identity of a submission."""
    header = submission.message.header
    return Identity(header.referentienummer, header.afzender)


def kept(connection: sa.Connection, named: Sequence[Identity]) -> dict[Identity, Kept]:
    """Those of these messages that the ledger has; others with the same number may be along."""
    rows = _SENT_BEFORE.ask(connection, {each.referentienummer for each in named})
    if not rows:
        return {}
    proofs = proofs_of(connection, [row.id for row in rows])
    return {
        Identity(row.referentienummer, row.afzender): Kept(
            row.digest, receipt_of(row.receipt, row.original_sha256, proofs.get(row.id))
        )
        for row in rows
    }


def receipt_of(receipt: bytes, original_sha256: str | None, proof: Proof | None) -> bytes:
    """The receipt as its sender gets it; bare once its proof was erased."""
    if proof is None or original_sha256 is None:
        return receipt
    return with_proof(receipt, proof, original_sha256)


def proofs_of(connection: sa.Connection, messages: Sequence[int]) -> dict[int, Proof]:
    """The proof that each of these messages was accepted, unless it was erased."""
    rows = connection.execute(
        sa.select(evidence, checkpoint)
        .join_from(
            evidence,
            checkpoint,
            sa.and_(evidence.c.log == checkpoint.c.log, evidence.c.number == checkpoint.c.number),
        )
        .where(among(evidence.c.message, messages), evidence.c.soort == ACCEPTED)
    )
    return {row.message: proof_of(row) for row in rows if row.salt is not None}


def proof_of(row: Any) -> Proof:
    """The proof in a row of an entry with its checkpoint."""
    signed = signed_of(row)
    return Proof(row.salt, row.place, path(tree(leaves_of(row)), row.place), signed)


def signed_of(row: Any) -> Signed:
    """A checkpoint as it was signed."""
    size = len(row.leaves) // HASH_BYTES
    point = Checkpoint(row.log, row.number, row.at, size, row.root, row.previous)
    return Signed(point, row.kid, row.signature)


def leaves_of(row: Any) -> list[bytes]:
    """The leaves of a checkpoint."""
    return [row.leaves[at : at + HASH_BYTES] for at in range(0, len(row.leaves), HASH_BYTES)]
