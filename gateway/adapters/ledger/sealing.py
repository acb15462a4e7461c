"""How what a message says becomes sealed rows, and comes back.

The canonical document is kept without the bytes of its attachments, and so are the bytes
as sent wherever those stand in them literally; both are put together again to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.tables import attachment
from gateway.adapters.vault import DataKey, SealBroken, Vault
from gateway.message import Oin, Submission

CANONICAL, ORIGINAL = "canoniek", "origineel"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message as it lies in the ledger.

    Attributes:
        size: Bytes of the canonical document when it is whole.
        attachments: By place in ``bijlagen``.
    """

    key_version: int
    wrapped_key: bytes
    size: int
    canonical: bytes
    original: bytes
    attachments: tuple[bytes, ...] = ()


def about(afzender: Oin, referentienummer: str) -> bytes:
    """The identity of a message (design decision 5), to which its seal is bound."""
    return f"{afzender}/{referentienummer}".encode()


def seal(vault: Vault, submission: Submission) -> Sealed:
    """Seal what a submission says, under a fresh data key."""
    header = submission.message.header
    key = vault.make(about(header.afzender, header.referentienummer))
    canonical, original = submission.canonical, submission.message.verified.received.body
    contents = _contents(submission.message.document)
    if contents:
        canonical = _without(canonical, contents)
        original = _without(original, contents)
    return Sealed(
        key_version=key.version,
        wrapped_key=key.wrapped,
        size=len(submission.canonical),
        canonical=key.seal(CANONICAL, canonical),
        original=key.seal(ORIGINAL, original),
        attachments=tuple(
            key.seal(_attachment(place), content) for place, content in enumerate(contents)
        ),
    )


def data_key(vault: Vault, row: Any) -> DataKey:
    """The data key of a row with identity and wrapped key.

    Raises:
        SealBroken: the row was erased or altered.
        VaultKeyMissing: the key-encryption key is not here.
    """
    if row.wrapped_key is None:
        raise SealBroken("the content was erased")
    identity = about(Oin(row.afzender), row.referentienummer)
    return vault.take(identity, row.key_version, row.wrapped_key)


class Attachments:
    """What was kept apart of messages, read when it is asked for."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def of(self, number: int) -> Mapping[int, bytes]:
        """The sealed attachments of a message, by place."""
        rows = self._connection.execute(
            sa.select(attachment.c.place, attachment.c.content).where(
                attachment.c.message == number
            )
        )
        return {row.place: row.content for row in rows}


def is_cut(content: bytes) -> bool:
    """Whether attachments were taken out of this part before it was sealed."""
    return content.startswith(_CUT)


def whole(
    key: DataKey, part: str, sealed: bytes, attachments: Callable[[], Mapping[int, bytes]]
) -> bytes:
    """A part as it was before it was sealed, with its attachments in place.

    Raises:
        SealBroken: something was altered, exchanged or taken away.
    """
    content = key.open(part, sealed)
    if not content.startswith(_CUT):
        return content
    head, _, rest = content.partition(b"\n")
    apart = attachments()
    pieces: list[bytes] = []
    done = 0
    for place, at in json.loads(head[len(_CUT) :]):  # our own bytes
        if place not in apart:
            raise SealBroken("an attachment was erased or taken away")
        pieces += [rest[done:at], key.open(_attachment(place), apart[place])]
        done = at
    return b"".join([*pieces, rest[done:]])


def bare(content: bytes) -> bytes:
    """A part as it was opened, with nothing where its attachments were cut out."""
    return content.partition(b"\n")[2] if content.startswith(_CUT) else content


def _attachment(place: int) -> str:
    return f"bijlage-{place}"


def _contents(document: Mapping[str, Any]) -> list[bytes]:
    """The base64 text of each attachment, in order."""
    stuurgegevens = next(iter(document.values()))["stuurgegevens"]
    return [str(each.get("inhoud", "")).encode() for each in stuurgegevens.get("bijlagen", ())]


_CUT = b"\x00gesneden"  # no XML and no JSON begins with NUL


def _without(content: bytes, attachments: Sequence[bytes]) -> bytes:
    """Content without the attachments that stand in it literally, and where they stood."""
    cuts: list[tuple[int, int]] = []
    rest: list[bytes] = []
    begin = kept = 0
    for place, text in enumerate(attachments):
        at = content.find(text, begin) if text else -1
        if at < 0:
            continue
        rest.append(content[begin:at])
        kept += at - begin
        cuts.append((place, kept))
        begin = at + len(text)
    if not cuts:
        return content
    rest.append(content[begin:])
    return b"%s%s\n%s" % (_CUT, json.dumps(cuts).encode(), b"".join(rest))
