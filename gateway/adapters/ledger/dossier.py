"""Everything that is kept of one message, with what proves it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.receipts import proof_of, proofs_of, receipt_of
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.sealing import CANONICAL, ORIGINAL, Attachments, data_key, whole
from gateway.adapters.ledger.seeing import as_original, as_view, may_fetch, seen_by
from gateway.adapters.ledger.tables import (
    attempt,
    checkpoint,
    dead_letter,
    delivery,
    directory,
    evidence,
    message,
)
from gateway.adapters.register import directory_of
from gateway.dossier import Dossier, Happening
from gateway.message import Json, Oin
from gateway.replies import instant


class Dossiers:
    """The part of the ledger that shows what can be proven."""

    _database: Database
    _keyring: Keyring

    def dossier(
        self, party: Oin | None, referentienummer: str, afzender: Oin | None = None
    ) -> Dossier | None:
        """Everything of a message that this party may see; None where that is nothing.

        Raises:
            SealBroken: its content is there and cannot be opened.
        """
        query = seen_by(party, referentienummer, afzender)
        with self._database.snapshot() as connection:  # content and attachments go together
            found = connection.execute(query).one_or_none()
            if found is None:
                return None
            row = connection.execute(sa.select(message).where(message.c.id == found.id)).one()
            proof = proofs_of(connection, [row.id]).get(row.id)
            body = canonical = None
            if row.wrapped_key is not None and _may_read(connection, party, row, found):
                key, apart = data_key(self._keyring.vault, row), Attachments(connection)
                body = whole(key, ORIGINAL, row.original, lambda: apart.of(row.id))
                canonical = whole(key, CANONICAL, row.canonical, lambda: apart.of(row.id))
            version, certificate = _certificate(connection, row)
            return Dossier(
                view=as_view(found, receipt_of(row.receipt, row.original_sha256, proof)),
                original=None if body is None else as_original(row, body),
                canonical=canonical,
                versie=row.versie,
                original_sha256=row.original_sha256,
                signer_fingerprint=row.signer_fingerprint,
                signer_algorithm=row.signer_algorithm,
                certificate=certificate,
                directory_version=version,
                warnings=tuple(row.warnings),
                recorded_at=row.recorded_at,
                erased_at=row.erased_at,
                deliveries=tuple(deliveries_of(connection, row.id)),
                happenings=tuple(_happenings(connection, row.id)),
            )


def _may_read(connection: sa.Connection, party: Oin | None, row: Any, found: Any) -> bool:
    """The operator always; a recipient what it may fetch; the sender what is not only stored."""
    if party is None:
        return True
    mine = sa.select(delivery.c.id).where(
        sa.and_(delivery.c.message == row.id, sa.not_(is_restricted()))
        if party == row.afzender
        else may_fetch(party, found.delivery_id)
    )
    return connection.scalar(mine.limit(1)) is not None


def _certificate(connection: sa.Connection, row: Any) -> tuple[int | None, str | None]:
    """The certificate of the signer, and the version of the directory that held it then.

    A process follows the directory within seconds: where the version of that instant does
    not know the certificate, the newest that does is named.
    """
    query = sa.select(directory.c.version, directory.c.content).order_by(
        (directory.c.applied_at > row.received_at), directory.c.version.desc()
    )
    for each in connection.execute(query.limit(_VERSIONS_TRIED)):
        signer = directory_of(each.version, each.content).signers.get(row.signer_fingerprint)
        if signer is not None:
            return each.version, signer[1].pem
    return None, None


_VERSIONS_TRIED = 5


def deliveries_of(connection: sa.Connection, number: int) -> list[Json]:
    """Where a message went, as the contract writes it; no content."""
    rows = connection.execute(
        sa.select(delivery).where(delivery.c.message == number).order_by(delivery.c.id)
    ).all()
    return [
        {
            "afleverId": row.delivery_id,
            "ontvanger": row.ontvanger,
            "volgnummer": row.volgnummer,
            "kanaal": row.channel,
            "status": row.state,
            **_times(aangebodenOp=row.offered_at, bevestigdOp=row.confirmed_at),
            "pogingen": _attempts(connection, row.id),
            "gestrand": _deaths(connection, row.id),
        }
        for row in rows
    ]


def _attempts(connection: sa.Connection, number: int) -> list[Json]:
    rows = connection.execute(
        sa.select(attempt).where(attempt.c.delivery == number).order_by(attempt.c.number)
    )
    return [
        {
            "poging": row.number,
            "begonnenOp": instant(row.started_at),
            "geeindigdOp": instant(row.ended_at),
            "antwoord": row.answer,
            **({} if row.status is None else {"status": row.status}),
            **({} if row.sent_sha256 is None else {"verzondenSha256": row.sent_sha256}),
        }
        for row in rows
    ]


def _deaths(connection: sa.Connection, number: int) -> list[Json]:
    rows = connection.execute(
        sa.select(dead_letter).where(dead_letter.c.delivery == number).order_by(dead_letter.c.id)
    )
    return [
        {
            "op": instant(row.stranded_at),
            "reden": row.reason,
            **({"herstel": row.resolved} if row.resolved else {}),
            **_times(hersteldOp=row.resolved_at),
        }
        for row in rows
    ]


def _times(**moments: Any) -> Json:
    return {name: instant(moment) for name, moment in moments.items() if moment is not None}


def _happenings(connection: sa.Connection, number: int) -> list[Happening]:
    """What was signed about its deliveries, in the order in which it was signed."""
    rows = connection.execute(
        sa.select(evidence, checkpoint)
        .join_from(
            evidence,
            checkpoint,
            sa.and_(evidence.c.log == checkpoint.c.log, evidence.c.number == checkpoint.c.number),
        )
        .where(evidence.c.message == number, evidence.c.entry.is_not(None))
        .order_by(checkpoint.c.at, checkpoint.c.log, checkpoint.c.number, evidence.c.place)
    )
    return [
        Happening(row.soort, row.entry.encode(), proof_of(row))
        for row in rows
        if row.salt is not None
    ]
