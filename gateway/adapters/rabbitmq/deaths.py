"""What does the broker say of a dead letter's end? Reads ``x-death``, whatever is in it."""

from __future__ import annotations

from typing import NamedTuple

from pamqp.common import FieldTable


class Death(NamedTuple):
    """The newest entry of ``x-death``."""

    queue: str
    reason: str


def newest_death(headers: FieldTable) -> Death | None:
    """How the message died last; None without a readable entry.

    The broker puts its newest entry first. The entries after it may be a sender's own
    invention (RabbitMQ 3 keeps them), so nothing else is read.
    """
    deaths = headers.get("x-death")
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[0], dict):
        return None
    queue, reason = deaths[0].get("queue"), deaths[0].get("reason")
    if isinstance(queue, str) and isinstance(reason, str):
        return Death(queue, reason)
    return None
