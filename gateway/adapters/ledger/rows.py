"""How what was admitted becomes rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.adapters.ledger.sealing import Sealed
from gateway.delivery import Reason, State
from gateway.message import Admitted, Channel
from gateway.record import RefusalEntry

Row = dict[str, Any]


def message_row(admitted: Admitted, sealed: Sealed, at: datetime) -> Row:
    submission = admitted.submission
    canonical = submission.message
    header = canonical.header
    received = canonical.verified.received
    signer = canonical.verified.signer
    return {
        "referentienummer": header.referentienummer,
        "afzender": header.afzender,
        "ontvanger": header.ontvanger,
        "conversatie": header.conversatie,
        "cross": header.cross,
        "namens": header.namens,
        "vervangt": header.vervangt,
        "versie": header.versie,
        "tijdstip": header.tijdstip,
        "module": canonical.kind.module,
        "major": canonical.kind.major,
        "soort": canonical.kind.name,
        "received_at": received.at,
        "recorded_at": at,
        "door": received.door.value,
        "dialect": received.dialect.value,
        "digest": submission.digest,
        "original_sha256": hashlib.sha256(received.body).hexdigest(),
        "signer_fingerprint": signer.fingerprint,
        "signer_algorithm": signer.algorithm,
        "warnings": [{"regel": each.rule, "pad": each.path} for each in canonical.warnings],
        "receipt_id": submission.receipt_id,
        "receipt": admitted.receipt,
        "signature": received.signature,
        "digest_header": received.digest,
        "size": sealed.size,
        "key_version": sealed.key_version,
        "wrapped_key": sealed.wrapped_key,
        "canonical": sealed.canonical,
        "original": sealed.original,
    }


def delivery_row(admitted: Admitted, at: datetime, *, waits: bool) -> Row:
    """A delivery as it starts: in a postbus it is offered when it is its turn, else it is due."""
    offered = admitted.channel is Channel.POSTBUS and not waits
    goes = not offered and not waits
    last = admitted.tot_en_met if offered else None
    if admitted.withdraws is not None:
        return _undelivered(admitted, at)
    return {
        "delivery_id": admitted.submission.delivery_id,
        "ontvanger": admitted.ontvanger,
        "channel": admitted.channel.value,
        "state": (State.AANGEBODEN if offered else State.WACHT).value,
        "awaits_confirmation": admitted.awaits_confirmation,
        "overtakes": admitted.overtakes,
        "blocks": admitted.blocks,
        "released": False,
        "due_at": at if goes else None,
        "leased_until": None,
        "fence": 0,
        "attempts": 0,
        "unanswered": 0,
        "recorded_at": at,
        "queued_at": at if goes or offered else None,
        "offered_at": at if offered else None,
        "reason": None,
        "term": admitted.term,
        "tot_en_met": None if last is None else last.isoformat(),
        "notice_at": admitted.notice_at if admitted.awaits_confirmation else None,
        # The conversation knows at once that it lies ready; of others it hears later, also
        # of one whose way became free only after the rules had looked.
        "followed": State.AANGEBODEN.value if offered and _is_known(admitted) else None,
    }


def _is_known(admitted: Admitted) -> bool:
    return admitted.term is None or admitted.tot_en_met is not None


def _undelivered(admitted: Admitted, at: datetime) -> Row:
    """A message that its recipient never gets: what it is about was never seen either."""
    row = delivery_row(replace(admitted, withdraws=None, term=None), at, waits=True)
    gone = State.VERWORPEN.value
    return {
        **row,
        "state": gone,
        "reason": Reason.INGETROKKEN.value,
        "followed": gone,
        "notice_at": None,
    }


def refusal_row(entry: RefusalEntry) -> Row:
    return {
        "at": entry.at,
        "door": entry.door.value,
        "code": entry.code.value,
        "party": entry.party,
        "referentienummer": entry.referentienummer,
        "count": entry.count,
    }
