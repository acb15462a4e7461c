"""A delivery as the ledger lends it out: which columns, and how they become one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.rows import Row
from gateway.adapters.ledger.sealing import CANONICAL, Attachments, data_key, whole
from gateway.adapters.ledger.tables import delivery, message
from gateway.adapters.vault import SealBroken, Vault, VaultKeyMissing
from gateway.delivery import State
from gateway.message import Admitted, Channel, Delivery, Dialect, Kind, Oin

_SEALED = (message.c.key_version, message.c.wrapped_key, message.c.canonical)


def lent(*, content: bool = True) -> sa.Select[Any]:
    """Deliveries joined with the messages they carry; ``as_delivery`` reads its rows."""
    return sa.select(
        delivery.c.id,
        delivery.c.conversation,
        delivery.c.delivery_id,
        delivery.c.ontvanger,
        delivery.c.channel,
        delivery.c.volgnummer,
        delivery.c.awaits_confirmation,
        delivery.c.overtakes,
        delivery.c.attempts,
        delivery.c.fence,
        delivery.c.queued_at,
        delivery.c.recorded_at,
        delivery.c.term,
        delivery.c.tot_en_met,
        delivery.c.collected_at,
        delivery.c.state,
        message.c.module,
        message.c.major,
        message.c.soort,
        message.c.referentienummer,
        message.c.conversatie,
        message.c.afzender,
        message.c.received_at,
        message.c.id.label("message"),
        *(_SEALED if content else ()),
        message.c.original_sha256,
        message.c.dialect,
        message.c.signer_fingerprint,
        message.c.warnings,
    ).join_from(delivery, message, delivery.c.message == message.c.id)


def sizes() -> sa.Select[Any]:
    """Numbers of deliveries with the ``size`` of what they carry, which stays where it is."""
    return sa.select(delivery.c.id, message.c.size).join_from(
        delivery, message, delivery.c.message == message.c.id
    )


def within(rows: Sequence[Any], budget: int) -> list[int]:
    """Numbers of the first deliveries that fit in so many bytes, and always of the first."""
    sums = accumulate(row.size for row in rows)
    return [
        row.id
        for place, (row, so_far) in enumerate(zip(rows, sums, strict=True))
        if place == 0 or so_far <= budget
    ]


NO_KEY = "sleutel-ontbreekt"


class Broken(NamedTuple):
    """A delivery whose content cannot be opened, and a closed word that says why."""

    row: Any
    note: str

    @property
    def lacks_key(self) -> bool:
        """Nothing is wrong with it: the key that opens it is not in this process."""
        return self.note == NO_KEY


def load(
    connection: sa.Connection, ids: Sequence[int], vault: Vault, *, taken: bool = False
) -> tuple[list[tuple[Any, Delivery]], list[Broken]]:
    """These deliveries with their content, in this order, and those that cannot be opened."""
    if not ids:
        return [], []
    found = {row.id: row for row in connection.execute(lent().where(among(delivery.c.id, ids)))}
    return open_all(connection, [found[number] for number in ids], vault, taken=taken)


def open_all(
    connection: sa.Connection, rows: Sequence[Any], vault: Vault, *, taken: bool = False
) -> tuple[list[tuple[Any, Delivery]], list[Broken]]:
    """Open what each of these rows carries; ``taken`` as for ``as_delivery``."""
    opened: list[tuple[Any, Delivery]] = []
    broken: list[Broken] = []
    apart = Attachments(connection)
    for row in rows:
        try:
            key = data_key(vault, row)
            canonical = whole(key, CANONICAL, row.canonical, partial(apart.of, row.message))
        except VaultKeyMissing:
            broken.append(Broken(row, NO_KEY))
        except SealBroken:
            broken.append(Broken(row, "zegel-verbroken"))
        else:
            opened.append((row, as_delivery(row, canonical, taken=taken)))
    return opened, broken


def was_collected(row: Any) -> bool:
    """Its recipient took its content, so that it is not withdrawn any more."""
    return row.collected_at is not None or bool(row.state == State.BEVESTIGD)


def lent_at_once(admitted: Admitted, said: Row, goes: Row) -> Delivery:
    """A delivery that is lent as it is recorded, the same as ``as_delivery`` would read it.

    Args:
        said: The row of its message.
        goes: Its own row.
    """
    submission = admitted.submission
    message = submission.message
    return Delivery(
        id=goes["delivery_id"],
        ontvanger=admitted.ontvanger,
        channel=admitted.channel,
        volgnummer=goes["volgnummer"],
        awaits_confirmation=admitted.awaits_confirmation,
        attempt=goes["attempts"],
        fence=goes["fence"],
        queued_at=goes["queued_at"],
        kind=message.kind,
        referentienummer=message.header.referentienummer,
        conversatie=message.header.conversatie,
        afzender=message.header.afzender,
        received_at=message.verified.received.at,
        canonical=submission.canonical,
        original_sha256=said["original_sha256"],
        original_dialect=message.verified.received.dialect,
        signer_fingerprint=message.verified.signer.fingerprint,
        warnings=tuple(said["warnings"]),
        overtakes=admitted.overtakes,
        term=admitted.term,
    )


def as_delivery(row: Any, canonical: bytes = b"", *, taken: bool = False) -> Delivery:
    """Read one row; ``taken`` counts the attempt and the fence of a lease made just now."""
    step = 1 if taken else 0
    return Delivery(
        id=row.delivery_id,
        ontvanger=Oin(row.ontvanger),
        channel=Channel(row.channel),
        volgnummer=row.volgnummer,
        awaits_confirmation=row.awaits_confirmation,
        # A postbus takes no lease: being visible is its one attempt.
        attempt=max(1, row.attempts + step),
        fence=row.fence + step,
        queued_at=row.queued_at or row.recorded_at,
        kind=Kind(row.module, row.major, row.soort),
        referentienummer=row.referentienummer,
        conversatie=row.conversatie,
        afzender=Oin(row.afzender),
        received_at=row.received_at,
        canonical=canonical,
        original_sha256=row.original_sha256 or "",
        original_dialect=Dialect(row.dialect),
        signer_fingerprint=row.signer_fingerprint,
        warnings=tuple(row.warnings),
        overtakes=row.overtakes,
        term=row.term,
        tot_en_met=None if row.tot_en_met is None else date.fromisoformat(row.tot_en_met),
        collected=was_collected(row),
    )
