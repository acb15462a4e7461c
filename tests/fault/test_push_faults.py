"""A push endpoint that fails in every way: each message ends where it should, in order, once."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from fixtures.parties import fresh
from fixtures.world import PUBLIEKE_SE
from gateway.message import Json
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.pushing import PATIENCE_SECONDS, TAKEN, Attempt, a_scene
from tests.servers.cutting_proxy import How, Toward, Where
from tests.servers.endpoint import (
    drips,
    never_stops,
    says,
    sends,
    sends_and_closes,
    sends_and_hangs,
)

HEAD_ENDS = b"\r\n\r\n"
GONE_OUT = (0, 100_000, 2_000_000)
"""Bytes of the body after which the way is cut, at one attempt each."""
ATTACHMENTS = 10
ATTACHMENT_BYTES = 450_000

OK = b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_FAULT = f'<s:Envelope xmlns:s="{SOAP}"><s:Body><s:Fault/></s:Body></s:Envelope>'.encode()
LOGIN = b"<!DOCTYPE html><html><title>Inloggen</title></html>"


def later(status: str = "", note: str = "") -> Attempt:
    return Attempt("onbereikbaar", status, note)


def to_mend(status: str, note: str = "") -> Attempt:
    return Attempt("verkeerd-ingesteld", status, note)


AGAIN = {
    "slow": (sends_and_hangs(b""), later(note="timeout")),
    "slow after the head": (sends_and_hangs(OK[:-2]), later(note="timeout")),
    "dripping": (drips(OK, 0.2), later(note="timeout")),
    "500": (says(500), later("500")),
    "429": (says(429), later("429")),
    "503 with a body": (says(503, SOAP_FAULT), later("503")),
    "login page": (says(200, LOGIN, Content_Type="text/html"), to_mend("200", "html")),
    "redirect": (says(307, Location="http://127.0.0.1:9/"), to_mend("307")),
    "404": (says(404), to_mend("404")),
    "cut mid-answer": (
        sends_and_closes(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n<a/>"),
        later(note="cut"),
    ),
    "cut after it took the message": (sends_and_closes(b""), later(note="cut")),
    "another protocol": (sends_and_closes(b"220 mail.example ESMTP\r\n"), later(note="cut")),
    "endless": (never_stops, later("200", "oversized")),
    "half a document": (says(200, SOAP_FAULT[:-9]), later("200", "unreadable")),
    "compressed": (says(200, b"\x1f\x8b", Content_Encoding="gzip"), later("200", "encoded")),
}
"""What is tried again: how the endpoint acts, and what the ledger says of that attempt."""

IMPATIENT = {"slow": 1.0, "slow after the head": 1.0, "dripping": 1.0}
"""Where the endpoint is waited for in vain: for how many seconds. Its good answers have no more."""

NEVER = {
    "soap fault": says(200, SOAP_FAULT, Content_Type="text/xml"),
    "soap fault under another media type": says(200, SOAP_FAULT, Content_Type="text/plain"),
    "problem": says(200, b'{"title":"nee"}', Content_Type="application/problem+json"),
    "foutbericht": says(200, b'{"foutbericht":{}}', Content_Type="application/json"),
}
"""What is a refusal inside a 200."""

TAKES = {
    "twice on one connection": sends(OK * 2),
    "with a no behind its yes": sends(OK + OK.replace(b"200", b"422")),
    "with rubbish behind it": sends(OK + b"\x00rommel" * 99),
    "under another media type": says(200, b"OK", Content_Type="image/png"),
    "without saying how long it is": sends_and_closes(b"HTTP/1.1 200 X\r\n\r\nOK"),
}
"""What is an odd answer, and yet a whole yes."""


@pytest.mark.parametrize("fault", AGAIN)
async def test_a_message_that_meets_a_fault_is_brought_again_under_its_own_id_and_in_order(
    fault: str, tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    act, attempted = AGAIN[fault]
    target, talk = fresh(), fresh()
    patience = IMPATIENT.get(fault, PATIENCE_SECONDS)
    async with a_scene(tmp_path, new_world, [act, act], target=target, patience=patience) as scene:
        first = await scene.tell(talk=talk, reference=target)
        second = await scene.tell(talk=talk)
        aside, other = await scene.tell(), await scene.tell(PUBLIEKE_SE)

        await scene.until("bevestigd", first, second, aside, other)

        assert scene.attempts(first) == [attempted, attempted, TAKEN]
        assert [scene.attempts(one) for one in (second, aside, other)] == [[TAKEN]] * 3
        heard = scene.heard(scene.endpoint)
        assert sorted(own for _, own in heard) == sorted([first, first, first, second, aside])
        assert len(set(heard)) == 3, "a repeat has another delivery id"
        order = [own for _, own in heard if own in (first, second)]
        assert order == [first, first, first, second]
        assert [own for _, own in scene.heard(scene.well)] == [other]
        assert scene.dead() == []
        counts(f"push, {fault}", accepted=4, requests=len(heard) + 1, confirmed=4)


@pytest.mark.parametrize("how", [How.RESET, How.FINISH], ids=lambda how: how.value)
async def test_a_large_message_that_is_cut_while_it_goes_out_is_brought_again_and_arrives_once(
    how: How, tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    async with a_scene(tmp_path, new_world, cut=True, patience=20) as scene:
        assert scene.way is not None
        cuts = [scene.way.cut(Toward.SERVER, of_the_body(count), how) for count in GONE_OUT]

        first = await scene.tell(head={"bijlagen": attachments()})
        await scene.until("bevestigd", first)

        assert all(cut.fired.is_set() for cut in cuts)
        assert scene.attempts(first) == [later(note="cut")] * len(cuts) + [TAKEN]
        assert [own for _, own in scene.heard(scene.endpoint)] == [first]
        ((_, _, body),) = scene.endpoint.heard
        assert len(body) > 2 * max(GONE_OUT), "all of it may have gone out before the cut"
        assert scene.dead() == []
        counts(f"push, request {how.value}", accepted=1, cuts=len(cuts), heard_whole=1, confirmed=1)


def of_the_body(count: int) -> Where:
    """After the head and so many bytes of the body."""

    def where(seen: bytes) -> int | None:
        begins = seen.find(HEAD_ENDS) + len(HEAD_ENDS)
        return begins + count if HEAD_ENDS in seen and len(seen) >= begins + count else None

    return where


def attachments() -> list[Json]:
    """So many that the message is larger than what lies in sockets on the way."""
    content = b"%PDF-1.7 " + os.urandom(ATTACHMENT_BYTES)
    one = {
        "soort": "ONDERBOUWING",
        "mime": "application/pdf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "inhoud": base64.b64encode(content).decode(),
    }
    return [{**one, "bestandsnaam": f"bijlage-{number}.pdf"} for number in range(ATTACHMENTS)]


@pytest.mark.parametrize("fault", NEVER)
async def test_a_no_inside_a_200_is_a_dead_letter_at_once_and_others_go_on(
    fault: str, tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    target, talk = fresh(), fresh()
    async with a_scene(tmp_path, new_world, [NEVER[fault]], target=target) as scene:
        first = await scene.tell(talk=talk, reference=target)
        await scene.until("gestrand", first)
        second = await scene.tell(talk=talk)
        aside, other = await scene.tell(), await scene.tell(PUBLIEKE_SE)

        await scene.until("bevestigd", aside, other)

        assert scene.attempts(first) == [Attempt("geweigerd", "200", "fault")]
        assert await scene.stands(second) == "wacht"
        assert scene.dead() == [(first, "geweigerd")]

        scene.replay_all()
        await scene.until("bevestigd", first, second)
        assert [own for _, own in scene.heard(scene.endpoint)] == [first, aside, first, second]
        counts(f"push, {fault} in a 200", accepted=4, dead_letters=1, confirmed=4)


@pytest.mark.parametrize("answer", TAKES)
async def test_an_odd_yes_counts_once_and_for_no_other_message(
    answer: str, tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    target, talk = fresh(), fresh()
    async with a_scene(tmp_path, new_world, [TAKES[answer]], target=target) as scene:
        first = await scene.tell(talk=talk, reference=target)
        await scene.until("bevestigd", first)
        scene.faulty.target = next_one = fresh()
        scene.faulty.faults.append(says(422))
        await scene.tell(talk=talk, reference=next_one)

        await scene.until("gestrand", next_one)

        assert scene.attempts(first) == [TAKEN]
        assert scene.attempts(next_one) == [Attempt("geweigerd", "422", "")]
        counts(f"push, yes {answer}", accepted=2, confirmed=1, dead_letters=1)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_an_endpoint_that_says_when_is_not_asked_before_that(
    status: int, form: str, tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    target = fresh()
    async with a_scene(tmp_path, new_world, target=target) as scene:
        when = datetime.now(UTC) + timedelta(seconds=2)
        asked = "1" if form == "seconds" else format_datetime(when, usegmt=True)
        scene.faulty.faults.append(says(status, Retry_After=asked))
        await scene.tell(reference=target)
        other = await scene.tell(PUBLIEKE_SE)
        await scene.until("bevestigd", other, target)

        assert scene.attempts(target) == [later(str(status)), TAKEN]
        came, again = scene.faulty.times
        if form == "seconds":
            assert again - came >= 1
        else:
            assert datetime.now(UTC) >= when.replace(microsecond=0)
        counts(f"push, {status} retry-after in {form}", waited_s=round(again - came, 2))
