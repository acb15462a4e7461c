"""The listener: a connection that does not speak up, or talks without end, is let go."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.adapters.rest_in.headers import HEADERS, EveryResponse
from gateway.adapters.rest_in.listener import BoundedHead, Server, bind, server
from gateway.errors import Fault


class Hasty(BoundedHead):
    """The same, with less patience than in production."""

    head_within = 0.3


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    door = bind("127.0.0.1", 0)
    app = PlainTextResponse("ok")
    server = Server(uvicorn.Config(app, http=Hasty, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[door]))
    try:
        yield door.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def closed(reader: asyncio.StreamReader) -> bool:
    """The other side hung up, within reason."""
    async with asyncio.timeout(5):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "half"])
async def test_a_head_that_does_not_end_in_time_closes_the_connection(head: bytes) -> None:
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)

        assert await closed(reader)
        writer.close()


async def test_a_head_without_end_closes_the_connection_at_once() -> None:
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X-Filler: " + b"x" * 500_000)

        assert await closed(reader)
        writer.close()


async def test_what_is_no_http_is_told_so_with_a_problem_document() -> None:
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01 this is no request\r\n\r\n")

        head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "VERZOEK_ONGELDIG"


async def test_ordinary_requests_share_a_connection_for_longer_than_a_head_may_take() -> None:
    async with listening() as port, httpx.AsyncClient() as client:
        for size in (0, 5_000_000, 10):
            answer = await client.post(f"http://127.0.0.1:{port}/", content=b"x" * size)

            assert answer.text == "ok"


async def test_a_later_head_on_a_connection_must_end_in_time_too() -> None:
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\nok")
        writer.write(b"GET / HTTP/1.1\r\n")

        assert await closed(reader)
        writer.close()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was told, in one piece or in two."""
    message = await receive()
    answer = Response(message["body"], status_code=202, headers={"Location": "/waar"})
    if scope["path"] == "/fout":
        answer.raw_headers.append((b"x", b"een\r\ntwee: drie"))
    if scope["path"] != "/delen":
        await answer(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 202, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def at_the_door(app: ASGIApp) -> AsyncIterator[int]:
    """The port of a server as the gateway has it."""
    door = bind("127.0.0.1", 0)
    ours = server(app, stop_within=5)
    task = asyncio.create_task(ours.serve(sockets=[door]))
    try:
        yield door.getsockname()[1]
    finally:
        ours.should_exit = True
        await task


def a_request(line: bytes, *more: bytes, body: bytes = b"hallo") -> bytes:
    lines = (line + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *more, b"", body)
    return b"\r\n".join(lines)


ANSWER = b"".join(
    [
        b"HTTP/1.1 202 Accepted\r\nlocation: /waar\r\ncontent-length: 5\r\n",
        *(b"%b: %b\r\n" % header for header in HEADERS),
    ]
)
LAST = a_request(b"POST /", b"Connection: close")
AT_LAST = ANSWER + b"connection: close\r\n\r\nhallo"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (a_request(b"POST /"), ANSWER + b"\r\nhallo"),
        (a_request(b"POST /delen"), ANSWER + b"\r\nhallo"),
        (a_request(b"HEAD /"), ANSWER + b"\r\n"),
        (
            a_request(b"POST /", b"Expect: 100-continue"),
            b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER + b"\r\nhallo",
        ),
        (a_request(b"POST /") * 3, (ANSWER + b"\r\nhallo") * 3),
        (b"", b""),
    ],
    ids=["whole", "in two", "HEAD", "100-continue", "three at once", "none before"],
)
async def test_an_answer_is_the_same_to_the_byte_however_it_is_said(
    request_: bytes, answer: bytes
) -> None:
    async with at_the_door(EveryResponse(echo)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_ + LAST)

        said = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert said == answer + AT_LAST


async def test_an_answer_whose_header_holds_a_line_end_is_not_sent() -> None:
    async with at_the_door(EveryResponse(echo)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(a_request(b"POST /fout"))

        assert await closed(reader)
        writer.close()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Fault, match=f"cannot listen on 127.0.0.1:{port}"):
            bind("127.0.0.1", port)


def test_an_address_that_is_not_of_this_machine_is_named() -> None:
    with pytest.raises(Fault, match=r"cannot listen on 192\.0\.2\.1"):
        bind("192.0.2.1", 0)
