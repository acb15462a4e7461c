"""The channel *queue*: one attempt is one confirmed publish to the party's queue."""

from __future__ import annotations

from functools import lru_cache

from pamqp.commands import Basic
from pamqp.encode import octet, short_string

from gateway.adapters.rabbitmq.connection import BrokerConnection, QueueFull, Unroutable
from gateway.adapters.rabbitmq.topology import BERICHTEN
from gateway.cloudevent import event_source, event_type
from gateway.delivery import Answer, Attempted
from gateway.errors import BrokerUnavailable
from gateway.message import Delivery, Kind, Oin, Parcel
from gateway.routing.directory import Party

PERSISTENT = 2

OFFERED = Attempted(Answer.OFFERED)

_NAMED = ("content_type", "headers", "delivery_mode", "message_id", "message_type", "app_id")
_FLAGS = sum(Basic.Properties.flags[name] for name in _NAMED).to_bytes(2, "big")
_PERSISTENT = octet(PERSISTENT)
_SIGNATURE = short_string("payload-signature") + b"S"


class Label:
    """The AMQP properties of one delivery, as ``Basic.Properties`` with the same content.

    Of these six only the id and the signature differ from one delivery to the next.
    """

    __slots__ = ("_marshalled", "message_id")

    def __init__(self, parcel: Parcel, source: str) -> None:
        self.message_id: str | None = parcel.delivery.id
        start, end = _unchanging(parcel.media, parcel.delivery.kind, source)
        headers = b""
        if parcel.signature:
            signature = parcel.signature.encode()
            headers = b"%b%b%b" % (_SIGNATURE, len(signature).to_bytes(4, "big"), signature)
        self._marshalled = b"%b%b%b%b%b%b" % (
            start,
            len(headers).to_bytes(4, "big"),
            headers,
            _PERSISTENT,
            short_string(parcel.delivery.id),
            end,
        )

    def marshal(self) -> bytes:
        """See ``lane.Properties``."""
        return self._marshalled


@lru_cache(maxsize=1024)
def _unchanging(media: str, kind: Kind, source: str) -> tuple[bytes, bytes]:
    """What stands before the headers and after the id."""
    return _FLAGS + short_string(media), short_string(event_type(kind)) + short_string(source)


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
        try:
            await self._connection.publish(
                parcel.body,
                Label(parcel, self._source),
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
        return OFFERED
