"""Logging: events as JSON lines, with keys from a closed list and never any content."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

KEYS = frozenset(
    {
        "attempt",
        "answer",
        "channel",
        "code",
        "count",
        "delivery_id",
        "door",
        "error",
        "fault",
        "note",
        "oin",
        "party",
        "place",
        "problem",
        "queue",
        "reason",
        "roles",
        "state",
        "version",
    }
)
"""What an event may carry; anything else is left out."""

LOUD = (
    "alembic",
    "signxml",
    "aio_pika",
    "aiormq",
    "httpx",
    "httpcore",
    "uvicorn",
    "sqlalchemy",
    "fontTools",
    "asyncio",
)
"""Libraries that log contents or addresses at lower levels."""


class EventLine(logging.Formatter):
    """One event as one JSON line. Texts of exceptions are left out: they can hold content."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "source": record.name}
        line["event"] = record.getMessage() if record.name.startswith("gateway") else "library"
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        line |= {key: str(value) for key, value in vars(record).items() if key in KEYS}
        return json.dumps(line, ensure_ascii=False)


def configure_logging() -> None:
    """Send events to standard error; libraries only warn, and only by name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EventLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    # it warns of every request that is no HTTP: strangers would fill the log
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
