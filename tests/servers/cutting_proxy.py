"""A TCP proxy on loopback that breaks a connection after an exact byte.

    with CuttingProxy(server_port) as proxy:
        client.connect("127.0.0.1", proxy.port)
        cut = proxy.cut(Toward.SERVER, after(100), How.RESET)
        ...
        assert cut.fired.wait(10)

It works in threads of its own, so the test may block or run an event loop.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import Enum
from typing import Self

CHUNK = 64 * 1024

Where = Callable[[bytes], int | None]
"""Finds the byte to cut before: gets all that came in one direction since the counting began,
and gives the number of bytes that may still pass, or None when it must see more.
"""


class Toward(Enum):
    """Which way the bytes go that are counted."""

    SERVER = "naar-server"
    CLIENT = "naar-client"


class How(Enum):
    """What both sides see of a cut."""

    RESET = "rst"  # the connection is reset
    FINISH = "fin"  # the other side is done: end of stream
    SILENCE = "stilte"  # nothing passes any more, and the connection stays


def after(count: int) -> Where:
    """Cut when exactly ``count`` bytes have passed; 0 is at once."""

    def where(seen: bytes) -> int | None:
        return count if len(seen) >= count else None

    return where


class Cut:
    """A cut that was asked for; it happens once, on the first connection that gets there.

    Attributes:
        fired: Set when it has happened.
    """

    def __init__(self, toward: Toward, where: Where, how: How) -> None:
        self.toward = toward
        self.how = how
        self.fired = threading.Event()
        self._where = where
        self._once = threading.Lock()

    def passing(self, seen: bytes, passed: int) -> int | None:
        """How many bytes after the first ``passed`` may go; None when there is no cut here."""
        found = None if self.fired.is_set() else self._where(seen)
        if found is None or not self._once.acquire(blocking=False):
            return None
        return max(0, found - passed)


class CuttingProxy:
    """Passes connections on to a server of the loopback, until it is told to cut.

    Args:
        server: Port of the server; may be changed, for connections to come.
        host: Address that it listens on itself.

    Attributes:
        port: Where clients connect; it stays the same.
        refusing: New connections are reset at once.
        connections: How many were made until now.
    """

    def __init__(self, server: int, *, host: str = "127.0.0.1") -> None:
        self.server = server
        self.refusing = False
        self.connections = 0
        self._lock = threading.Lock()
        self._cuts: list[Cut] = []
        self._live: set[_Connection] = set()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._closed = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self, toward: Toward, where: Where, how: How) -> Cut:
        """Cut once: on a live connection, counting from now, or on a new one from its start."""
        cut = Cut(toward, where, how)
        with self._lock:
            self._cuts = [each for each in self._cuts if not each.fired.is_set()] + [cut]
            live = list(self._live)
        for connection in live:
            connection.arm(cut)
        return cut

    def cut_all(self, how: How) -> int:
        """Cut every live connection at this moment; gives how many there were."""
        with self._lock:
            live = list(self._live)
        for connection in live:
            connection.end(how)
        return len(live)

    def clear(self) -> None:
        """Forget the cuts that have not happened, and reset the connections that are silent."""
        with self._lock:
            cuts, self._cuts = self._cuts, []
            silent = [each for each in self._live if each.silent]
        for cut in cuts:
            cut.fired.set()
        for connection in silent:
            connection.end(How.RESET)

    def close(self) -> None:
        """Reset every connection and stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        self.cut_all(How.RESET)
        with self._lock:
            live = list(self._live)
        for connection in live:
            connection.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self.refusing:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self.server), 10)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            connection = _Connection(client, server, self._forget)
            with self._lock:
                cuts = list(self._cuts)
                self._live.add(connection)
            connection.start(cuts)

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._live.discard(connection)


class _Connection:
    """Two sockets and a thread for each direction."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        ended: Callable[[_Connection], None],
    ) -> None:
        self._sides = {Toward.SERVER: (client, server), Toward.CLIENT: (server, client)}
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ended = ended
        # a cut that happens while bytes pass takes it a second time
        self._lock = threading.RLock()
        self._seen: dict[Cut, bytearray] = {}
        self._how: How | None = None
        self._released = threading.Event()
        self._pumps = [threading.Thread(target=self._pump, args=(way,)) for way in Toward]
        self._open = len(self._pumps)

    @property
    def silent(self) -> bool:
        return self._how is How.SILENCE

    def start(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            self.arm(cut)
        for pump in self._pumps:
            pump.daemon = True
            pump.start()

    def join(self) -> None:
        for pump in self._pumps:
            pump.join(10)

    def arm(self, cut: Cut) -> None:
        with self._lock:
            if self._how is not None:
                return
            self._seen[cut] = bytearray()
            if cut.passing(b"", 0) is not None:
                self._happen(cut)

    def end(self, how: How) -> None:
        """Cut here and now, both ways."""
        with self._lock:
            if self._how is How.RESET or (self._how is not None and how is not How.RESET):
                return
            self._how = how
            for _, target in self._sides.values():
                with contextlib.suppress(OSError):
                    if how is How.FINISH:
                        target.shutdown(socket.SHUT_WR)
                    elif how is How.RESET:
                        _linger_no_more(target)
                        target.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        if how is not How.SILENCE:
            self._released.set()

    def _happen(self, cut: Cut) -> None:
        self.end(cut.how)
        cut.fired.set()

    def _pump(self, way: Toward) -> None:
        source, target = self._sides[way]
        try:
            while self._how in {None, How.FINISH}:
                data = source.recv(CHUNK)
                if not data:
                    break
                self._pass(way, data, target)
            if self._how is None:  # one side is done of itself
                target.shutdown(socket.SHUT_WR)
        except OSError:
            self.end(How.RESET)
        if self.silent:
            self._released.wait()
        self._leave()

    def _pass(self, way: Toward, data: bytes, target: socket.socket) -> None:
        with self._lock:
            if self._how is not None:
                return
            for cut in list(self._seen):
                if cut.toward is not way or cut.fired.is_set():
                    continue
                seen = self._seen[cut]
                passed = len(seen)
                seen.extend(data)
                allowed = cut.passing(bytes(seen), passed)
                if allowed is not None:
                    target.sendall(data[:allowed])
                    self._happen(cut)
                    return
        target.sendall(data)

    def _leave(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
        for one in self._sides[Toward.SERVER]:
            if self._how is How.RESET:
                _reset(one)
            else:
                one.close()
        self._ended(self)


def _linger_no_more(one: socket.socket) -> None:
    """Its close will be a reset."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        _linger_no_more(one)
    one.close()
