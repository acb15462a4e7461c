"""The line, in order. Read this file first.

    receive > verify > validate > translate > admit > record | route > deliver

``accept`` runs inside the sender's request and ends when the message is safe on disk.
``dispatch`` runs afterwards, perhaps in another process, from the recorded copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.compose import OnQueue, Sealer, compose
from gateway.delivery import Answer, Attempted, Conclusion, after
from gateway.errors import Refusal
from gateway.message import (
    Admitted,
    Canonical,
    Channel,
    Delivery,
    Kind,
    Oin,
    Parcel,
    Receipt,
    Received,
    Submission,
    Talk,
    as_bytes,
)
from gateway.record import Admit, business_digest
from gateway.routing.admit import admit
from gateway.routing.course import Courses
from gateway.routing.directory import Directory, Party
from gateway.routing.rights import Rights
from gateway.routing.route import Destination, Nowhere, route
from gateway.schemas import Catalogue, judge, translate, unsaid, upcast, validate
from gateway.schemas.judge import pointed
from gateway.schemas.persons import PersonsIn
from gateway.schemas.unsaid import Unsaid
from gateway.verify import SignatureCheck, verify

LOCAL = ZoneInfo("Europe/Amsterdam")
"""Days are Dutch days: a peildatum of today must not be tomorrow's."""


class ChannelOut(Protocol):
    """One way out: makes one attempt and says what it came to."""

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """Hand one parcel over; never raises for what the other side does."""
        ...


@dataclass(frozen=True)
class Line:
    """What the line works with, built once at start.

    Attributes:
        url: Where parties reach the gateway, without a slash at the end.
        courses: The rules of the conversation.
        persons: By kind, how the burgerservicenummers in a document are found.
        draw: A fresh lower-case UUID at every call.
        jitter: A fresh random share in [0, 1) at every call.
        quota: Raises Refusal when this party hands in too much.
        run: Does the pure work for a body of so many bytes, here or in a thread.
        record: Keeps a submission once; returns only when it is committed.
    """

    gateway: Oin
    url: str
    catalogue: Catalogue
    persons: Mapping[Kind, PersonsIn]
    check: SignatureCheck
    sealer: Sealer
    digest_key: bytes
    skew: timedelta
    directory: Callable[[], Directory]
    courses: Courses
    clock: Callable[[], datetime]
    draw: Callable[[], str]
    jitter: Callable[[], float]
    quota: Callable[[Oin], None]
    run: Callable[[Callable[[], Submission], int], Awaitable[Submission]]
    record: Callable[[Submission], Awaitable[Receipt]]
    channels: Mapping[Channel, ChannelOut]


async def accept(received: Received, line: Line) -> Receipt:
    """Take one message in.

    Returns only after the message is committed with its delivery, so that the caller
    may acknowledge. A repeat returns the first receipt and is not recorded twice.

    Raises:
        Refusal: the sender must change the message; nothing of it was recorded.
        Fault: nothing was recorded; the sender may send the same again.
    """
    submission = await line.run(lambda: examine(received, line), len(received.body))
    try:
        return await line.record(submission)
    except Refusal as refusal:
        header = submission.message.header
        refusal.party, refusal.referentienummer = header.afzender, header.referentienummer
        raise


def examine(received: Received, line: Line) -> Submission:
    """The steps of ``accept`` before the ledger: pure work, no waiting."""
    verified = verify(received, line.directory(), line.check)
    line.quota(verified.signer.oin)
    try:
        validated = validate(verified, line.catalogue)
        message = translate(validated, line.catalogue)
        message = judge(message, received.at.astimezone(LOCAL).date(), line.catalogue)
    except Refusal as refusal:
        refusal.party = verified.signer.oin
        raise
    return Submission(
        message=upcast(message, line.catalogue),
        digest=business_digest(message, line.digest_key),
        canonical=as_bytes(message.document),
        receipt_id=line.draw(),
        delivery_id=line.draw(),
        persons=line.persons[message.kind](message.document),
    )


def admission(line: Line) -> Admit:
    """Station admit, bound to what it needs; the ledger calls it inside its batch.

    Raises:
        Fault: the rights of this gateway cannot be used.
    """
    rights = Rights()

    def attempt(message: Canonical, major: int) -> Unsaid:
        return unsaid(message, major, line.catalogue)

    def admit_one(submission: Submission, talk: Talk) -> Admitted:
        try:
            return admit(
                submission,
                talk,
                directory=line.directory(),
                rights=rights,
                courses=line.courses,
                gateway=line.gateway,
                skew=line.skew,
                attempt=attempt,
            )
        except Refusal as refusal:
            raise pointed(refusal, submission.message, line.catalogue) from None

    return admit_one


async def dispatch(delivery: Delivery, line: Line) -> Conclusion:
    """Make one attempt to hand a recorded message over, and say what it means."""
    started = line.clock()
    destination = route(delivery, line.directory())
    if isinstance(destination, Nowhere):
        return after(
            delivery,
            Attempted(Answer.UNROUTABLE, note="geen-partij"),
            started_at=started,
            ended_at=line.clock(),
            jitter=line.jitter(),
        )
    delivery = line.courses.stamped(delivery, started)
    parcel = compose(
        delivery,
        dialect=destination.dialect,
        catalogue=line.catalogue,
        sealer=line.sealer,
        gateway=line.gateway,
        on_queue=_on_queue(destination, line.url),
        versions=destination.party.versions,
    )
    attempted = await line.channels[destination.channel].deliver(parcel, destination.party)
    return after(
        delivery,
        attempted,
        policy=destination.party.retry,
        started_at=started,
        ended_at=line.clock(),
        jitter=line.jitter(),
        sent_sha256=hashlib.sha256(parcel.body).hexdigest(),
        tot_en_met=delivery.tot_en_met,
    )


def _on_queue(destination: Destination, url: str) -> OnQueue | None:
    if destination.channel is not Channel.QUEUE:
        return None
    party = destination.party
    return OnQueue(url, by_reference=party.by_reference, algorithm=party.signature)
