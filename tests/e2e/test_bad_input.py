"""Bad input over real HTTP: what each gets, that it leaves no trace, and that no answer
repeats a word of it.

The rows are in ``bad_messages``; what needs more than one request is below them here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import pytest_asyncio

from fixtures.documents import example
from fixtures.pki import Variant
from fixtures.running import in_process
from fixtures.world import OVERIGE_SHV, SHV, Entry, the_usual
from gateway.message import Json
from tests.conftest import CANARIES, NewWorld
from tests.e2e.bad_messages import (
    CERTIFICATE,
    IDENTITY,
    JSON_FORM,
    JSON_SIGNATURE,
    REQUEST,
    SAID,
    SALDO,
    UNKNOWN,
    XML_FORM,
    XML_SIGNATURE,
    Row,
)
from tests.e2e.here import NOTICE, Here, texts_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEBIBYTE = 1024 * 1024
LIMIT = 10 * MEBIBYTE
IN_SOCKETS = 16 * MEBIBYTE
"""What the kernel may hold of a body that nobody reads."""

NEVER_SAID = frozenset({*CANARIES, *texts_of(example(NOTICE)), *texts_of(example(SALDO)), "onderling"})
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """One gateway for all rows: what is refused leaves it as it was."""
    shv = Entry(
        SHV,
        "Gemeente Voorbeeldstad",
        "shv-fase-2",
        variants=(
            Variant.GOOD,
            Variant.EXPIRED,
            Variant.NOT_YET_VALID,
            Variant.NOT_FOR_SIGNING,
        ),
    )
    unconnected = Entry(OVERIGE_SHV, "Hulp Voorbeeld", "overige-shv", modules=("vish",))
    entries = the_usual(shv=shv, overige_shv=unconnected)
    async with in_process(new_world(tmp_path_factory.mktemp("bad-input"), entries)) as started:
        yield Here.at(*started)


def problem_of(answer: httpx.Response) -> Json:
    """The problem document of an answer, whole and without a word of the message."""
    problem: Json = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["type"].endswith(f":{problem['code']}")
    assert problem["title"]
    assert problem["detail"]
    said = answer.text + repr(list(answer.headers.values()))
    assert [word for word in NEVER_SAID if word in said] == []
    assert UUID.search(said) is None
    return problem


@pytest.mark.parametrize(
    "row",
    [
        *(pytest.param(row, id=f"request: {row.name}") for row in REQUEST),
        *(pytest.param(row, id=f"XML form: {row.name}") for row in XML_FORM),
        *(pytest.param(row, id=f"XML signature: {row.name}") for row in XML_SIGNATURE),
        *(pytest.param(row, id=f"JSON form: {row.name}") for row in JSON_FORM),
        *(pytest.param(row, id=f"JSON signature: {row.name}") for row in JSON_SIGNATURE),
        *(pytest.param(row, id=f"certificate: {row.name}") for row in CERTIFICATE),
        *(pytest.param(row, id=f"identity: {row.name}") for row in IDENTITY),
        *(pytest.param(row, id=f"contract: {row.name}") for row in UNKNOWN),
        *(pytest.param(row, id=f"content: {row.name}") for row in SAID),
    ],
)
async def test_bad_input_is_refused_with_its_code_and_leaves_no_trace(row: Row, here: Here) -> None:
    kept, noted = here.kept(), await here.refusals()

    answer = await here.post(row.make(here))

    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (row.status, row.code)
    if row.rule is not None:
        assert problem["errors"][0]["rule"] == row.rule
    assert here.kept() == kept
    added = (await here.refusals())[len(noted) :]
    assert [(each.code, each.party, each.count) for each in added] == [(row.code, row.party, 1)]


# Too large


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_body_of_21_mebibytes_is_refused_before_it_is_read(
    declared: bool, here: Here
) -> None:
    kept = here.kept()

    answer, written = await poured(here, 21 * MEBIBYTE, declared=declared)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "TE_GROOT"' in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert written <= (0 if declared else LIMIT) + IN_SOCKETS
    assert here.kept() == kept


async def test_a_body_without_an_end_is_read_up_to_the_limit_and_no_further(here: Here) -> None:
    with grown() as memory:
        answer, written = await poured(here, 200 * MEBIBYTE, declared=False)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert written <= LIMIT + IN_SOCKETS
    assert memory() < 4 * LIMIT


async def test_a_body_as_large_as_the_limit_is_read(here: Here) -> None:
    body = b"<a>" + b" " * (LIMIT - 7) + b"</a>"

    answer = await here.post(here.as_xml(body))

    assert len(body) == LIMIT
    assert problem_of(answer)["code"] == "HANDTEKENING_ONTBREEKT"


async def poured(here: Here, size: int, *, declared: bool) -> tuple[bytes, int]:
    """Send so many bytes until the gateway hangs up; gives its answer and what was sent."""
    settings = here.world.settings
    reader, writer = await asyncio.open_connection(settings.host, settings.port)
    length = f"Content-Length: {size}" if declared else "Transfer-Encoding: chunked"
    head = ("POST /v1/berichten HTTP/1.1", "Host: gateway", "Content-Type: application/xml", length)
    writer.write("\r\n".join((*head, "", "")).encode())
    answer = asyncio.create_task(everything_from(reader))
    part = b" " * (256 * 1024)
    written = 0
    with suppress(ConnectionError):
        while written < size and not answer.done():
            writer.write(part if declared else b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
            written += len(part)
    writer.close()
    return await answer, written


async def everything_from(reader: asyncio.StreamReader) -> bytes:
    """What is said until the connection ends, however it ends."""
    said = b""
    with suppress(ConnectionError):
        while part := await reader.read(64 * 1024):
            said += part
    return said


@contextmanager
def grown() -> Iterator[Callable[[], int]]:
    """How many bytes of memory this process needed at most, more than it had before."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        yield lambda: 0
        return
    reset.write_text("5", encoding="ascii")  # the high-water mark starts again from here

    def peak() -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        return int(found[1]) * 1024 if found else 0

    before = peak()
    yield lambda: peak() - before
