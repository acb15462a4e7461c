"""A server that keeps its connection and says nothing: after a while we hang up.

What lasts too long the server ends itself (``statement_timeout``), and of a cable that is pulled
the kernel tells. Neither helps where the other end lives and is silent: a pooler that hangs, a
server that was stopped. Who waits for that waits inside libpq, so another thread hangs up; what
was asked then fails like any other loss of a connection.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from contextlib import suppress

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

LOOKS = 8
"""So often it is looked in the time that silence may last."""

SIGNS = ("begin", "before_cursor_execute", "after_cursor_execute", "commit", "rollback")


class Watch:
    """Watches the connections of an engine that are in use, from a thread of its own.

    A sign of life is anything that is asked or answered. Only for an engine whose transactions
    are short: one in which nothing is asked for so long is taken for one that waits in vain.

    Args:
        silence_s: Seconds without a sign of life after which a connection is ended.
    """

    def __init__(self, engine: sa.Engine, silence_s: float) -> None:
        self._silence_s = silence_s
        self._signs: dict[psycopg.Connection, float] = {}
        self._thread: threading.Thread | None = None
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._left)
        event.listen(engine, "close", self._left)
        for name in SIGNS:
            event.listen(engine, name, self._sign)

    def _taken(self, connection: psycopg.Connection, *_: object) -> None:
        self._signs[connection] = time.monotonic()
        if self._thread is None:
            about = (weakref.ref(self), self._silence_s / LOOKS)
            self._thread = threading.Thread(
                target=_look, args=about, name="ledger-silence", daemon=True
            )
            self._thread.start()

    def _left(self, connection: psycopg.Connection, *_: object) -> None:
        self._signs.pop(connection, None)

    def _sign(self, connection: sa.Connection, *_: object) -> None:
        if not connection.invalidated:
            used = connection.connection.driver_connection
            self._signs[used] = time.monotonic()  # type: ignore[index]

    def end_the_silent(self) -> None:
        """Hang up on every connection in use that gave no sign of life for too long."""
        now = time.monotonic()
        for connection, sign in list(self._signs.items()):
            if now - sign > self._silence_s:
                self._left(connection)
                _hang_up(connection)


def _look(of: weakref.ref[Watch], every_s: float) -> None:
    """Until there is nothing to watch any more."""
    while True:
        time.sleep(every_s)
        watch = of()
        if watch is None:
            return
        watch.end_the_silent()
        del watch


def _hang_up(connection: psycopg.Connection) -> None:
    with suppress(OSError, psycopg.Error):  # it ended meanwhile
        line = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with line:
            line.shutdown(socket.SHUT_RDWR)
