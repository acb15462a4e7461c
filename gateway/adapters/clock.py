"""The clock of the process; that of a trial can be set ahead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.errors import Fault

Clock = Callable[[], datetime]
"""Tells the instant, aware and in UTC."""


def utc_now() -> datetime:
    """The instant, aware and in UTC."""
    return datetime.now(UTC)


def clock_of(ahead: Path | None) -> Clock:
    """The clock that a gateway goes by.

    Args:
        ahead: A file with a number of seconds, which may change while the gateway runs: so
            far its clock is ahead of that of the machine. None for a gateway that is no trial.
    """
    return utc_now if ahead is None else AheadClock(ahead)


class AheadClock:
    """A clock that is set ahead by a file, so that a trial need not wait for days."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        """The instant, aware and in UTC.

        Raises:
            Fault: the file holds no number of seconds.
        """
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._read_at:
                seconds = float(self._path.read_text(encoding="ascii") or 0)
                self._ahead, self._read_at = timedelta(seconds=seconds), changed
        except FileNotFoundError:
            self._ahead, self._read_at = timedelta(0), -1
        except ValueError:
            raise Fault(f"GATEWAY_CLOCK_AHEAD: {self._path} holds no number of seconds") from None
        return utc_now() + self._ahead
