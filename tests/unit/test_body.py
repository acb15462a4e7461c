"""Reading a body: within its limit, within its time, and within what is set aside for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.types import Message

from gateway.adapters.rest_in.body import Bodies, read
from gateway.errors import Code, Overloaded, Refusal
from gateway.settings import Settings

SETTINGS = replace(Settings(), largest_body=100, body_timeout=timedelta(seconds=5))


def a_request(parts: Iterable[bytes], *, declared: str | None = None, ends: bool = True) -> Request:
    """A request whose body comes in these parts, and then ends, hangs up or hangs."""
    waiting = list(parts)

    async def receive() -> Message:
        if waiting:
            part = waiting.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(waiting) or not ends}
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    headers = [] if declared is None else [(b"content-length", declared.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def taken(bodies: Bodies, request: Request, settings: Settings = SETTINGS) -> bytes:
    """Read in a task of its own, as a server does."""
    return await asyncio.create_task(read(request, settings, bodies))


async def test_a_body_in_parts_comes_whole() -> None:
    assert await taken(Bodies(), a_request([b"een ", b"", b"twee"])) == b"een twee"


@pytest.mark.parametrize("declared", [None, "7"])
async def test_a_body_above_its_limit_is_refused_whatever_it_declared(declared: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        await taken(Bodies(), a_request([b"x" * 60, b"x" * 60], declared=declared))

    assert refused.value.code is Code.TE_GROOT


async def test_a_body_that_declares_too_much_is_refused_unread() -> None:
    with pytest.raises(Refusal) as refused:
        await taken(Bodies(0), a_request([b"x" * 101], declared="101"))

    assert refused.value.code is Code.TE_GROOT


@pytest.mark.parametrize("declared", ["-1", "1e3", "²", "9" * 13, ""])
async def test_a_length_that_is_no_number_is_refused(declared: str) -> None:
    with pytest.raises(Refusal) as refused:
        await taken(Bodies(), a_request([b"x"], declared=declared))

    assert refused.value.code is Code.VERZOEK_ONGELDIG


async def test_a_body_that_does_not_end_in_time_is_refused_and_holds_nothing() -> None:
    bodies = Bodies(100)
    hasty = replace(SETTINGS, body_timeout=timedelta(milliseconds=10))

    with pytest.raises(Refusal) as refused:
        await taken(bodies, a_request([b"x" * 90], ends=False), hasty)

    assert refused.value.code is Code.TE_TRAAG
    bodies.take(100)


async def test_more_than_is_set_aside_for_all_bodies_is_told_to_come_back() -> None:
    bodies = Bodies(100)
    bodies.take(50)

    with pytest.raises(Overloaded):
        await taken(bodies, a_request([b"x" * 40, b"x" * 20]))

    bodies.take(50)  # of the one that was refused nothing is held
    bodies.give_back(100)
    assert await taken(bodies, a_request([b"x" * 60])) == b"x" * 60


async def test_a_body_counts_until_its_request_is_answered() -> None:
    bodies, examined = Bodies(100), asyncio.Event()
    was_read = asyncio.Event()

    async def answer() -> None:
        await read(a_request([b"x" * 90]), SETTINGS, bodies)
        was_read.set()
        await examined.wait()

    request = asyncio.create_task(answer())
    await was_read.wait()
    with pytest.raises(Overloaded):
        bodies.take(20)

    examined.set()
    await request
    await asyncio.sleep(0)
    bodies.take(100)
