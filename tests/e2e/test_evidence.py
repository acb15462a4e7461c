"""Evidence, end to end: who gets it, what it shows, and what a stranger can check with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from fixtures.running import ROOT
from fixtures.world import INCASSO, SE, SHV, World, process_environment
from gateway.adapters.clock import utc_now
from gateway.adapters.published_keys import verifier
from gateway.exhibits import NOT_PROVEN, PACKAGE, judge
from gateway.message import Json
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import Here, a_notice, reference_of, started
from tests.e2e.operator import operator
from tests.required import required

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Case(NamedTuple):
    """A message that was sent in XML and confirmed by its recipient.

    Attributes:
        files: Where its receipt, package and the published keys lie.
    """

    here: Here
    number: str
    body: bytes
    receipt: bytes
    before: Json
    files: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def case(
    new_world: NewWorld, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Case]:
    folder = tmp_path_factory.mktemp("bewijs")
    async with started(new_world(folder / "gateway")) as here:
        made = a_notice()
        sent = here.signed(made)
        answer = await here.post(sent)
        assert answer.status_code == 202
        number = reference_of(made)
        creditor = here.reach.case_system(SE)
        before = (await here.json.get(f"/v1/berichten/{number}/bewijs")).json()
        [delivery] = (await creditor.get("/v1/postbus")).json()["afleveringen"]
        await creditor.confirm(delivery["afleverId"])
        keys = await here.reach.client.get(f"{here.url}/v1/sleutels")
        package = await here.json.get(f"/v1/berichten/{number}/bewijs")
        for name, content in (
            ("bericht.xml", sent.body),
            ("ontvangst.xml", answer.content),
            ("sleutels.json", keys.content),
            ("pakket.json", package.content),
        ):
            (folder / name).write_bytes(content)
        yield Case(here, number, sent.body, answer.content, before, folder)


async def gateway(world: World, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command of the gateway, in a process of its own."""
    command = [sys.executable, "-m", "gateway", *map(str, words)]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env={**process_environment(world), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_package_proves_every_step_with_nothing_but_the_published_keys(
    case: Case,
) -> None:
    keys = json.loads((case.files / "sleutels.json").read_text())
    package = json.loads((case.files / "pakket.json").read_text())

    judged = judge("pakket", package, verifier(keys), case.body)

    assert judged.flaws == []
    assert [each["soort"] for each in package[PACKAGE]["gebeurtenissen"]] == ["bevestigd"]
    assert len(judged.proven) == 4  # accepted, two times the original, confirmed
    assert package[PACKAGE]["verificatie"]["deelnemersversie"] == 1
    assert package[PACKAGE]["verificatie"]["certificaat"].startswith("-----BEGIN CERTIFICATE")
    assert package[PACKAGE]["sleutels"] == keys
    assert package[PACKAGE]["schema"]["xsd"] == "schuldregeling-v2.xsd"


async def test_the_same_question_gets_the_same_bytes(case: Case) -> None:
    again = await case.here.json.get(f"/v1/berichten/{case.number}/bewijs", afzender=SHV)

    assert again.content == (case.files / "pakket.json").read_bytes()


async def test_the_recipient_gets_it_too_and_nobody_else(case: Case) -> None:
    path = f"/v1/berichten/{case.number}/bewijs"

    recipient = await case.here.reach.case_system(SE).get(path)
    stranger = await case.here.reach.case_system(INCASSO).get(path)

    assert recipient.content == (case.files / "pakket.json").read_bytes()
    assert stranger.status_code == 404
    assert stranger.json()["code"] == "NIET_GEVONDEN"


@pytest.mark.parametrize("file", ["ontvangst.xml", "pakket.json"])
async def test_anybody_can_check_a_file_with_the_published_keys(case: Case, file: str) -> None:
    words = ("bewijs", "controleer", case.files / file, "--sleutels", case.files / "sleutels.json")
    other = case.files / "ander.xml"
    other.write_bytes(case.body.replace(b"\n", b" ") + b" ")

    good = await gateway(case.here.world, *words, "--origineel", case.files / "bericht.xml")
    bad = await gateway(case.here.world, *words, "--origineel", other, "--json")

    assert (good.returncode, good.stderr) == (0, "")
    assert "In orde. Dit bewijst niet:" in good.stdout
    assert hashlib.sha256(case.body).hexdigest() in good.stdout
    assert bad.returncode == 1
    assert {each["gebrek"] for each in json.loads(bad.stdout)["gebreken"]} == {"inhoud-gewijzigd"}


async def test_a_changed_package_is_not_believed(case: Case) -> None:
    changed = case.files / "vervalst.json"
    told = json.loads((case.files / "pakket.json").read_text())
    told[PACKAGE]["gebeurtenissen"][0]["vastlegging"] = told[PACKAGE]["gebeurtenissen"][0][
        "vastlegging"
    ].replace("Z", "Y")
    changed.write_text(json.dumps(told))

    done = await gateway(case.here.world, "bewijs", "controleer", changed)

    assert done.returncode == 1
    assert "blad" in done.stdout
    assert "Bewezen" not in done.stdout


async def test_the_ledger_is_audited_against_what_a_party_holds(case: Case) -> None:
    done = await gateway(
        case.here.world, "bewijs", "controleer", "--grootboek", "--koppen",
        case.files / "pakket.json", case.files / "ontvangst.xml",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "In orde" in done.stdout


async def test_an_operator_sees_the_timeline_and_what_proves_it_without_content(
    case: Case,
) -> None:
    package, pdf = case.files / "beheer.json", case.files / "beheer.pdf"

    shown = await gateway(case.here.world, "bewijs", "toon", case.number)
    written = await gateway(
        case.here.world, "bewijs", "toon", case.number, "--pakket", package, "--pdf", pdf
    )

    both = await gateway(
        case.here.world, "bewijs", "toon", case.number, "--pakket", package, "--json"
    )

    assert (shown.returncode, written.returncode) == (0, 0), shown.stderr + written.stderr
    assert json.loads(both.stdout) == json.loads(package.read_text()), "and nothing else"
    for word in ("ontvangen", "aangenomen", "bevestigd"):
        assert word in shown.stdout
    assert package.stat().st_mode & 0o777 == pdf.stat().st_mode & 0o777 == 0o600
    assert pdf.read_bytes().startswith(b"%PDF-")
    for said in (shown.stdout, package.read_text()):
        assert not [canary for canary in CANARIES if canary in said]


async def test_people_read_what_happened_and_what_is_not_proven_and_content_only_when_asked(
    case: Case,
) -> None:
    required("pdftotext")
    package = json.loads((case.files / "pakket.json").read_text())[PACKAGE]
    point = package["ontvangstbevestiging"]["bewijs"]["controlepunt"]
    inside = [canary for canary in CANARIES if canary in json.dumps(package["document"])]

    bare, whole = (pages(case, *words) for words in ((), ("--met-inhoud",)))

    for text in (bare, whole):
        for said in (
            *(case.number, SHV, SE, "Aangenomen", "Bevestigd door de ontvanger"),
            *(NOT_PROVEN[0], NOT_PROVEN[1]),
            f"[1]{point['logboek']}{point['nummer']}",
        ):
            assert said.replace(" ", "") in text
    assert len(inside) > 4
    assert [canary for canary in inside if canary.replace(" ", "") not in whole] == []
    assert [canary for canary in CANARIES if canary.replace(" ", "") in bare] == []


def pages(case: Case, *words: str) -> str:
    """What the PDF of an operator says."""
    file = case.files / "bladen.pdf"
    done = operator(case.here.world, "bewijs", "toon", case.number, "--pdf", str(file), *words)
    assert done.code == 0, done
    return read(file)


def read(file: Path) -> str:
    """What pages say, without spaces: no line of it is broken then."""
    done = subprocess.run(
        ["pdftotext", "-layout", file, "-"], capture_output=True, text=True, check=True
    )
    return "".join(done.stdout.split())


async def test_the_pages_for_people_come_over_http_too_the_same_each_time_and_without_content(
    case: Case,
) -> None:
    required("pdftotext")
    url = f"{case.here.url}/v1/berichten/{case.number}/bewijs"
    headers = {**await case.here.json.authorization(), "Accept": "application/pdf"}

    [one, other] = [await case.here.reach.client.get(url, headers=headers) for _ in range(2)]

    assert one.headers["content-type"] == "application/pdf"
    assert one.content == other.content
    assert one.content.startswith(b"%PDF-")
    file = case.files / "bladen.pdf"
    file.write_bytes(one.content)
    text = read(file)
    assert case.number in text
    assert [canary for canary in CANARIES if canary.replace(" ", "") in text] == []


async def test_the_clock_closes_days_and_everybody_may_keep_them(case: Case) -> None:
    url = f"{case.here.url}/v1/bewijs/dagafsluitingen"
    ledger = case.here.gateway.services.ledger

    async def published() -> list[Json]:
        answer = await case.here.reach.client.get(url)
        return list(answer.json()["dagafsluitingen"])

    today = await asyncio.to_thread(ledger.close_day, utc_now() + timedelta(days=1))
    closes = await published()
    file = case.files / "dagen.json"
    file.write_text(json.dumps({"dagafsluitingen": closes}))
    offline = await gateway(
        case.here.world, "bewijs", "controleer", file, case.files / "ontvangst.xml",
        "--sleutels", case.files / "sleutels.json",
    )  # fmt: skip

    # yesterday by the role klok as it started, today by hand; a midnight between may add its day
    told = [json.loads(each["inhoud"]) for each in closes]
    first, last = (date.fromisoformat(each["dag"]) for each in (told[0], told[-1]))
    assert 2 <= len(told) <= 1 + (last - first).days
    assert last.isoformat() == today
    assert any(each["koppen"] for each in told[1:])
    assert (offline.returncode, offline.stderr) == (0, "")
