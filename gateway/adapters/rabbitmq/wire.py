"""What may a party write in AMQP properties without ending our connection? Anything.

RabbitMQ passes on property texts that are not UTF-8 and instants after the year 9999;
pamqp raises on both, which ends the connection of every consumer that meets such a
message, again and again. So the tables by which pamqp reads get lenient readers.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from pamqp import decode
from pamqp.common import FieldTable, FieldValue

UNREADABLE_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for an instant that Python cannot hold; the gateway reads none of them."""


def read_leniently() -> None:
    """Have pamqp read texts and instants without raising; idempotent."""
    decode.METHODS["shortstr"] = _short_text
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _instant
    decode.METHODS["table"] = decode.TABLE_MAPPING[b"F"] = _table


def keep_bodies_out_of_logs() -> None:
    """Silence the loggers of the AMQP libraries: they print frames and messages.

    What happens to a connection is logged by its owner, in our own words.
    """
    for name in ("aio_pika", "aiormq", "pamqp"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _short_text(value: bytes) -> tuple[int, str]:
    end = 1 + value[0]
    return end, value[1:end].decode("utf-8", "replace")


def _instant(value: bytes) -> tuple[int, datetime]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, UNREADABLE_INSTANT


def _table(value: bytes) -> tuple[int, FieldTable]:
    end = 4 + int.from_bytes(value[:4], "big")
    offset = 4
    table: dict[str, FieldValue] = {}
    while offset < end:
        consumed, name = _short_text(value[offset:])
        offset += consumed
        consumed, table[name] = decode.embedded_value(value[offset:])
        offset += consumed
    return end, table
