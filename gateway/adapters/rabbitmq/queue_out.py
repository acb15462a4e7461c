"""The channel *queue*: one attempt is one confirmed publish to the party's queue."""

from __future__ import annotations

from pamqp.commands import Basic

from gateway.adapters.rabbitmq.connection import BrokerConnection, QueueFull, Unroutable
from gateway.adapters.rabbitmq.topology import BERICHTEN
from gateway.cloudevent import event_source, event_type
from gateway.delivery import Answer, Attempted
from gateway.errors import BrokerUnavailable
from gateway.message import Delivery, Oin, Parcel
from gateway.routing.directory import Party

PERSISTENT = 2


def routing_key(delivery: Delivery) -> str:
    """``<ontvanger-oin>.<module>.<type>.v<major>``."""
    kind = delivery.kind
    return f"{delivery.ontvanger}.{kind.module}.{kind.name.lower()}.v{kind.major}"


class QueueOut:
    """Publishes parcels; as many at once as there are callers.

    Args:
        gateway: OIN of the gateway; names the source to the broker's operator.
    """

    def __init__(self, connection: BrokerConnection, gateway: Oin) -> None:
        self._connection = connection
        self._source = event_source(gateway)

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """Lay one parcel in the party's queue; OFFERED only when the broker confirmed.

        Never raises for what the broker does. After UNAVAILABLE the message may lie
        there all the same: the next attempt carries the same delivery id.
        """
        properties = Basic.Properties(
            content_type=parcel.media,
            delivery_mode=PERSISTENT,
            message_id=parcel.delivery.id,
            message_type=event_type(parcel.delivery.kind),
            app_id=self._source,
            headers={"payload-signature": parcel.signature} if parcel.signature else {},
        )
        try:
            await self._connection.publish(
                parcel.body,
                properties,
                exchange=BERICHTEN,
                key=routing_key(parcel.delivery),
                recipient=parcel.delivery.ontvanger,
            )
        except Unroutable:
            return Attempted(Answer.UNROUTABLE, note="geen-wachtrij")
        except QueueFull:
            return Attempted(Answer.UNAVAILABLE, note="vol")
        except BrokerUnavailable:
            return Attempted(Answer.UNAVAILABLE, note="broker")
        return Attempted(Answer.OFFERED)
