"""Listening: sockets that say why they cannot open, and connections that must speak up in time."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.adapters.rest_in.exchange import offer
from gateway.adapters.rest_in.problem import refused
from gateway.errors import Code, Fault, Refusal

LARGEST_HEAD_BYTES = 64 * 1024
FIRST_PART_OF_BODY_BYTES = 256 * 1024
"""What may come along with the end of a head in one read."""

HEAD_WITHIN_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75
FIRST_REQUEST_WITHIN_SECONDS = 2.0
"""Who was connected when the doors closed may still ask so long."""


class BoundedHead(HttpToolsProtocol):
    """HTTP/1.1 whose request heads end in time and stay small.

    The server underneath bounds neither: silent connections and endless headers would
    take file descriptors and memory from everybody.
    """

    head_within = HEAD_WITHIN_SECONDS
    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited from here."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that did not come at once.

        The next one begins when an answer is complete.
        """
        if self._late is not None:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD_BYTES + FIRST_PART_OF_BODY_BYTES:
                self.transport.close()
                return
        super().data_received(data)
        before_the_first = self.cycle is None
        if self._late is None and (before_the_first or self.cycle.response_complete):
            self._await_head()
            self._head_bytes = len(data)

    def on_headers_complete(self) -> None:
        """The head is whole; the body has a time limit of its own."""
        self._head_came()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        offer(cycle)
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP as every other refusal is said."""
        answer = refused(Refusal(Code.VERZOEK_ONGELDIG))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(answer.body), answer.body)
        )
        self.transport.close()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._late = self.loop.call_later(self.head_within, self.transport.close)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers, that leaves nobody unanswered when it stops.

    A balancer may send a request again only where nobody opened. So whoever was let in by the
    system before the doors closed is heard, also when we had not noticed yet.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the doors, then finish what is under way, within the time for it."""
        doors = sockets or []
        unnoticed = [connection for door in doors for connection in _let_in(door)]
        for listening in self.servers:
            listening.close()
        for door in doors:
            door.close()
        loop = asyncio.get_running_loop()
        for connection in unnoticed:
            await loop.connect_accepted_socket(self._protocol, connection)
        until = loop.time() + FIRST_REQUEST_WITHIN_SECONDS
        while loop.time() < until and self._somebody_is_unheard():  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def _somebody_is_unheard(self) -> bool:
        return any(
            isinstance(each, BoundedHead) and each.cycle is None
            for each in self.server_state.connections
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs this."""
        yield


def _let_in(door: socket.socket) -> Iterator[socket.socket]:
    """The connections of a door that does not block, which the system made and we did not see."""
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return
        yield connection


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket.

    Args:
        shared: Others of this user may listen there too; the system spreads connections.

    Raises:
        Fault: this address cannot be listened on; says which and why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Fault(f"cannot listen on {host}:{port} ({why})") from error


def server(app: ASGIApp, *, stop_within: float) -> Server:
    """An HTTP server that tells nothing about itself and bounds its connections."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Server(
        uvicorn.Config(
            app,
            http=BoundedHead,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            proxy_headers=False,
            # longer than proxies keep an idle connection, so that they close it, not we
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            # half of the files for connections: the ledger, the broker and push need theirs
            limit_concurrency=max(64, min(files // 2, 4096)),
            timeout_graceful_shutdown=int(stop_within),
        )
    )
