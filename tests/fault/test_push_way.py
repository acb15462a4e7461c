"""What lies between the gateway and an endpoint: nobody there, or no TLS that can be believed."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import closing
from pathlib import Path

from fixtures.parties import fresh
from fixtures.world import PUBLIEKE_SE, SE, the_usual
from tests.conftest import NewWorld
from tests.e2e.here import started
from tests.fault.conftest import Counts
from tests.fault.pushing import TAKEN, YES, Attempt, Faulty, Scene, a_pushed
from tests.servers.endpoint import Peer, a_peer, certificate_for
from tests.servers.party import eventually
from tests.servers.process import free_port

SLOWLY = "{ eerste_wachttijd = 2, langste_wachttijd = 2 }"
"""Few attempts: after five the endpoint would be left in peace for half a minute."""


def evidence_verifies(scene: Scene) -> None:
    """The evidence of all that happened, while the gateway still runs."""
    with closing(scene.here.world.ledger()) as ledger:
        assert ledger.audit() == []


async def test_what_waits_for_an_endpoint_that_is_down_arrives_in_order_when_it_is_back(
    tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    port, faulty = free_port(), Faulty()
    async with a_peer(YES) as well:
        world = new_world(
            tmp_path / "gateway",
            the_usual(
                se=a_pushed(
                    SE, "Energie", "schuldeiser", f"http://127.0.0.1:{port}/in", herhalen=SLOWLY
                ),
                publieke_se=a_pushed(
                    PUBLIEKE_SE, "Rijk", "schuldeiser", f"http://127.0.0.1:{well.port}/in"
                ),
            ),
        )
        async with started(world) as here:
            scene = Scene(here, faulty, well, well)
            talk = fresh()
            first, second = await scene.tell(talk=talk), await scene.tell(talk=talk)
            other = await scene.tell(PUBLIEKE_SE)
            await scene.until("bevestigd", other)
            await eventually(lambda: len(scene.attempts(first)) >= 1, "it was tried")

            async with a_peer(faulty, port=port) as endpoint:
                faulty.peer = endpoint
                await scene.until("bevestigd", first, second)

                *failures, last = scene.attempts(first)
                assert set(failures) == {Attempt("onbereikbaar", "", "connect")}
                assert last == TAKEN
                assert scene.attempts(second) == [TAKEN]
                assert [own for _, own in scene.heard(endpoint)] == [first, second]
                evidence_verifies(scene)
            counts("push, down", accepted=3, failures=len(failures), confirmed=3)


class Changing(Peer):
    """Behaves at each connection as the next of these says: TLS, or no TLS at all."""

    def __init__(self, *contexts: ssl.SSLContext | None, then: ssl.SSLContext) -> None:
        super().__init__(YES)
        self._contexts, self._then = list(contexts), then

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        context = self._contexts.pop(0) if self._contexts else self._then
        try:
            if context is None:
                writer.write(b"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                await reader.read()
                return
            await writer.start_tls(context)
        except OSError:
            return
        finally:
            if context is None:
                writer.close()
        await super().serve(reader, writer)


def serving(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A TLS server for this name, and the file that vouches for it."""
    file = folder / f"{name}.pem"
    certificate_for(name, file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


async def test_no_message_goes_over_a_connection_that_cannot_be_believed(
    tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    right, trusted = serving("localhost", tmp_path)
    wrong_name, _ = serving("ander.example", tmp_path)
    peer = Changing(wrong_name, None, then=right)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    creditor = a_pushed(SE, "Energie", "schuldeiser", f"https://localhost:{port}/in")
    world = new_world(tmp_path / "gateway", the_usual(se=creditor), ca_bundle=str(trusted))
    async with server, started(world) as here:
        scene = Scene(here, Faulty(), peer, peer)
        first = await scene.tell()

        await scene.until("bevestigd", first)

        broken = Attempt("onbereikbaar", "", "tls")
        assert scene.attempts(first) == [broken, broken, TAKEN]
        assert [own for _, own in scene.heard(peer)] == [first]
        evidence_verifies(scene)
        counts("push, tls broken", accepted=1, failures=2, confirmed=1)
    await peer.leave()
