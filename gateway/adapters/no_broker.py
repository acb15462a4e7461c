"""Channel *queue* of a gateway without a broker: says so at every attempt.

So such a delivery shows in the list and becomes a dead letter, instead of waiting unseen.
"""

from __future__ import annotations

from gateway.delivery import Answer, Attempted
from gateway.message import Parcel
from gateway.routing.directory import Party


class NoBroker:
    """``pipeline.ChannelOut`` that never gets anything out."""

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """Answer that there is no way to a queue."""
        return Attempted(Answer.UNROUTABLE, note="geen-broker")
