"""Does this broker behave as we rely on? Asked at start, by doing it.

A broker accepts many arguments that it then ignores, and a policy can change what a
queue does without a trace in its arguments. So a message is published, rejected and
awaited among the dead letters, on a scratch queue with the arguments of a real one.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity, PublishError
from aiormq.abc import AbstractChannel as RawChannel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from gateway.adapters.rabbitmq.deaths import newest_death
from gateway.adapters.rabbitmq.topology import (
    BERICHTEN,
    GESTRAND,
    TRIAL,
    TRIAL_TYPE,
    Limits,
    party_arguments,
)
from gateway.errors import Fault

WITHIN = 10.0
"""Seconds in which a rejected message must lie among the dead letters."""
SCRATCH_EXPIRES = 60_000
"""Milliseconds after which the broker removes a scratch queue that we left behind."""


class BrokerMisbehaves(Fault):
    """The broker does not do what no message may be trusted to it without."""


async def self_check(channel: AbstractChannel, limits: Limits | None = None) -> None:
    """Try returns, dead letters and their reason; leaves nothing but one trial letter.

    Args:
        channel: With confirms and ``on_return_raises``.
        limits: Of the real party queues.

    Raises:
        BrokerMisbehaves: the sentence says what does not work.
    """
    raw = await channel.get_underlay_channel()
    try:
        await _unroutable_returns(raw)
        await _dead_letters_have_a_queue(raw)
        await _rejected_becomes_a_dead_letter(raw, limits or Limits())
    except ChannelNotFoundEntity as error:
        raise BrokerMisbehaves(
            f"{BERICHTEN} or {GESTRAND} is missing on the broker; it was removed after the "
            "gateway declared it"
        ) from error


async def _unroutable_returns(channel: RawChannel) -> None:
    try:
        await _publish(channel, BERICHTEN, f"{TRIAL}{uuid.uuid4()}")
    except PublishError:
        return
    raise BrokerMisbehaves(
        f"a message for nobody is not returned by {BERICHTEN}: remove the alternate exchange "
        "or the binding that catches everything"
    )


async def _dead_letters_have_a_queue(channel: RawChannel) -> None:
    try:
        await _publish(channel, GESTRAND, "")
    except PublishError:
        raise BrokerMisbehaves(
            f"no queue is bound to {GESTRAND}: dead letters would be lost"
        ) from None


async def _rejected_becomes_a_dead_letter(channel: RawChannel, limits: Limits) -> None:
    scratch, dead = f"{TRIAL}{uuid.uuid4()}", f"{TRIAL}{uuid.uuid4()}"
    arguments = party_arguments(limits) | {"x-expires": SCRATCH_EXPIRES}
    await channel.queue_declare(scratch, durable=True, arguments=arguments)
    await channel.queue_declare(dead, exclusive=True, auto_delete=True)
    try:
        await channel.queue_bind(dead, GESTRAND)
        arrived = await _await_death(channel, dead, scratch)
        await channel.basic_consume(scratch, _reject)
        await _publish(channel, "", scratch)
        reason = await asyncio.wait_for(arrived, WITHIN)
    except TimeoutError:
        raise BrokerMisbehaves(
            f"a rejected message did not reach {GESTRAND} within {WITHIN:.0f} s: look for a "
            "policy on the broker that changes dead-lettering"
        ) from None
    finally:
        # Not sooner: RabbitMQ 3.10 loses the supervisor of all dead-letter workers when a
        # queue is deleted while its own is still starting. This one has worked by now.
        with suppress(*CONNECTION_EXCEPTIONS):
            await channel.queue_delete(scratch)
            await channel.queue_delete(dead)
    if reason != "rejected":
        raise BrokerMisbehaves("the broker does not tell why a message became a dead letter")


async def _await_death(channel: RawChannel, dead: str, scratch: str) -> asyncio.Future[str]:
    arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def on_dead(message: DeliveredMessage) -> None:
        death = newest_death(message.header.properties.headers or {})
        if death is not None and death.queue == scratch and not arrived.done():
            arrived.set_result(death.reason)

    await channel.basic_consume(dead, on_dead, no_ack=True)
    return arrived


async def _reject(message: DeliveredMessage) -> None:
    await message.channel.basic_reject(message.delivery_tag or 0, requeue=False)


async def _publish(channel: RawChannel, exchange: str, key: str) -> None:
    await channel.basic_publish(
        b"{}",
        exchange=exchange,
        routing_key=key,
        properties=Basic.Properties(
            content_type="application/json", delivery_mode=2, message_type=TRIAL_TYPE
        ),
        mandatory=True,
        timeout=WITHIN,
    )
