"""The clock of the process."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The instant, aware and in UTC."""
    return datetime.now(UTC)
