"""The door *queue*: what parties publish on ``gateway.inzending``, answered by queue.

Several processes may consume. A submission is acknowledged only after its outcome is
committed and the broker has confirmed the answer; so it may be handled twice, and the
ledger makes that the same receipt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pamqp.commands import Basic

from gateway.adapters.rabbitmq.connection import BrokerConnection, QueueFull, Unroutable
from gateway.adapters.rabbitmq.consumer import Letter
from gateway.adapters.rabbitmq.events import Objected, Taken, read_event
from gateway.adapters.rabbitmq.topology import INZENDING, answer_queue
from gateway.errors import Code, Fault, Refusal
from gateway.message import Dialect, Door, Oin, Receipt, Received

log = logging.getLogger(__name__)

LARGEST_SUBMISSION_BYTES = 20 * 1024 * 1024
"""No setting raises it; brokers take far larger bodies."""

_OIN = re.compile(r"[0-9]{20}")
_LONGEST_PROPERTY_BYTES = 255
_PERSISTENT = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it leaves: composed and signed.

    Attributes:
        kind: CloudEvents or message type, for the AMQP property ``type``.
        signature: Detached JWS over ``body``.
    """

    body: bytes
    kind: str
    media: str = "application/json"
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """What the door leads to.

    Attributes:
        accept: The line. Raises Refusal (the party must act) or Fault (we must).
        confirm: The party has taken these deliveries.
        objection: Why the party rejects this delivery: its id and a code.
        receipt: Composes the answer to what was accepted, for this party.
        refusal: Counts what was refused, and composes the Foutbericht for this party.
    """

    accept: Callable[[Received], Awaitable[Receipt]]
    confirm: Callable[[Oin, Sequence[str]], Awaitable[None]]
    objection: Callable[[Oin, str, str], Awaitable[None]]
    receipt: Callable[[Receipt, Oin], Reply]
    refusal: Callable[[Refusal, Oin], Reply]


class QueueIn:
    """Consumes submissions and answers them.

    Args:
        consuming: Its connection is subscribed; start it afterwards.
        answering: Another connection, for the answers.
        largest: Bytes that a submission may have; larger ones are refused unread.
        prefetch: Submissions in hand at once; more wait at the broker.
        hold: While the ledger is down submissions are held and tried again; after so
            long they go back to the broker, which counts it. Stays well below the
            broker's consumer timeout (30 minutes).
        pause: Longest wait between two tries.
    """

    def __init__(
        self,
        consuming: BrokerConnection,
        answering: BrokerConnection,
        intake: Intake,
        *,
        clock: Callable[[], datetime],
        largest: int = LARGEST_SUBMISSION_BYTES,
        prefetch: int = 64,
        hold: timedelta = timedelta(minutes=20),
        pause: timedelta = timedelta(seconds=5),
    ) -> None:
        self._consuming = consuming
        self._answering = answering
        self._intake = intake
        self._clock = clock
        self._largest = largest
        self._hold = hold.total_seconds()
        self._pause = pause.total_seconds()
        self._at_work: set[asyncio.Task[None]] = set()
        consuming.subscribe(INZENDING, prefetch=prefetch, receive=self._receive)

    async def close(self) -> None:
        """Let go of what is in hand; close ``consuming`` first, so nothing new comes."""
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def _receive(self, letter: Letter) -> None:
        # a task of our own: the AMQP library ends its tasks with the channel, and a
        # commit under way must not be broken off by a blip of the broker
        task = asyncio.create_task(self._handle(letter))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _handle(self, letter: Letter) -> None:
        sender = letter.properties.user_id
        if sender is None or not _OIN.fullmatch(sender):
            log.warning("submission.nameless")
            await letter.reject(requeue=False)
            return
        try:
            await self._until_settled(letter, Oin(sender))
        except Exception as error:  # noqa: BLE001 - the edge of the process
            # A bug: back to the queue, a little later. The delivery limit makes it a
            # dead letter, and other submissions pass meanwhile.
            log.error(  # noqa: TRY400 - a traceback may quote the message
                "submission.crashed", extra={"party": sender, "error": type(error).__name__}
            )
            await asyncio.sleep(min(self._pause, 0.1))
            await letter.reject(requeue=True)

    async def _until_settled(self, letter: Letter, sender: Oin) -> None:
        """Try until it is done, the letter is lost, or it was held long enough."""
        loop = asyncio.get_running_loop()
        give_back_at = loop.time() + self._hold
        failures = 0
        while not letter.lost:
            try:
                await self._settle(letter, sender)
            except Fault as fault:
                failures += 1
                log.warning("submission.held", extra={"party": sender, "fault": str(fault)})
            else:
                await letter.ack()
                return
            if loop.time() >= give_back_at:
                self._consuming.renew()
                return
            longest = min(self._pause, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311

    async def _settle(self, letter: Letter, sender: Oin) -> None:
        try:
            reply = await self._outcome(letter, sender)
        except Refusal as refusal:
            reply = self._intake.refusal(refusal, sender)
        if reply is not None:
            await self._answer(letter, sender, reply)

    async def _outcome(self, letter: Letter, sender: Oin) -> Reply | None:
        if len(letter.body) > self._largest:
            raise Refusal(Code.TE_GROOT)
        event = read_event(letter.body, letter.properties)
        match event:
            case Taken(delivery_ids):
                await self._intake.confirm(sender, delivery_ids)
                return None
            case Objected(delivery_id, code):
                await self._intake.objection(sender, delivery_id, code)
                return None
            case None:
                receipt = await self._intake.accept(self._received(letter, sender))
                return self._intake.receipt(receipt, sender)

    def _received(self, letter: Letter, sender: Oin) -> Received:
        signature = letter.headers.get("payload-signature")
        return Received(
            door=Door.QUEUE,
            dialect=Dialect.JSON,
            body=letter.body,
            at=self._clock(),
            signature=signature if isinstance(signature, str) else None,
            transport=sender,
        )

    async def _answer(self, letter: Letter, sender: Oin, reply: Reply) -> None:
        properties = Basic.Properties(
            content_type=reply.media,
            delivery_mode=_PERSISTENT,
            correlation_id=_mirrored(letter.properties.message_id),
            message_type=reply.kind,
            headers={"payload-signature": reply.signature} if reply.signature else {},
        )
        try:
            await self._answering.publish(
                reply.body,
                properties,
                exchange="",
                key=answer_queue(sender),
                recipient=sender,
            )
        except (Unroutable, QueueFull) as error:
            # The outcome stands. A party that wants its answer repeats the message.
            log.warning(
                "answer.undeliverable", extra={"party": sender, "error": type(error).__name__}
            )


def _mirrored(message_id: str | None) -> str | None:
    """What the sender called its submission, where AMQP can carry that back."""
    if message_id is None or len(message_id.encode()) > _LONGEST_PROPERTY_BYTES:
        return None
    return message_id
