"""A message that arrived at the second attempt: its package, and who checks that alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from fixtures.running import ROOT
from fixtures.world import SE
from gateway.adapters.published_keys import verifier
from gateway.audit import Sort
from gateway.exhibits import PACKAGE, judge
from gateway.message import Json
from gateway.schemas.catalogue import XSD_FOLDER
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice, reference_of
from tests.e2e.test_dead_letters import BUSY, a_scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMAND = (
    f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r});"
    "runpy.run_module('gateway', run_name='__main__', alter_sys=True)"
)
"""``python -m gateway``, from whatever folder."""


class Case(NamedTuple):
    """A message whose recipient was busy once.

    Attributes:
        sent: It, as a document and as the bytes that were sent.
        taken: The body that its recipient took.
        files: The bytes of its package and of the published keys, by name.
    """

    number: str
    document: Json
    sent: bytes
    taken: bytes
    files: dict[str, bytes]

    @property
    def package(self) -> Json:
        return dict(json.loads(self.files["pakket.json"])[PACKAGE])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def case(
    new_world: NewWorld, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Case]:
    async with a_scene(tmp_path_factory.mktemp("bewijs"), new_world) as scene:
        here = scene.here
        scene.endpoint.script.append(BUSY)
        made = a_notice()
        sent, number = here.signed(made), reference_of(made)
        assert (await here.post(sent)).status_code == 202
        await scene.until(number, "bevestigd")
        package = await here.json.get(f"/v1/berichten/{number}/bewijs")
        keys = await here.reach.client.get(f"{here.url}/v1/sleutels")
        [taken] = scene.endpoint.taken
        files = {"pakket.json": package.content, "sleutels.json": keys.content}
        yield Case(number, made, sent.body, taken, files)


async def test_the_package_holds_the_message_as_it_was_sent_and_as_it_was_understood(
    case: Case,
) -> None:
    original = case.package["origineel"]

    assert base64.b64decode(original["inhoud"]) == case.sent
    assert original["sha256"] == hashlib.sha256(case.sent).hexdigest()
    assert case.package["document"] == case.document


async def test_the_package_names_the_schema_to_the_byte_and_its_verdict(case: Case) -> None:
    schema = case.package["schema"]
    file = XSD_FOLDER / f"{NOTICE.module}-v{NOTICE.major}.xsd"

    assert schema["xsd"] == file.name
    assert schema["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (schema["oordeel"], schema["waarschuwingen"]) == ("geldig", [])


async def test_each_attempt_is_in_the_package_with_its_number_and_answer(case: Case) -> None:
    [delivery] = case.package["afleveringen"]
    happened = case.package["gebeurtenissen"]
    signed = [json.loads(each["vastlegging"]) for each in happened]
    taken = hashlib.sha256(case.taken).hexdigest()
    expected = [(1, "onbereikbaar", BUSY), (2, "bevestigd", 200)]

    assert [each["soort"] for each in happened] == ["poging", "poging"]
    for told in (delivery["pogingen"], signed):
        assert [(each["poging"], each["antwoord"], each["status"]) for each in told] == expected
        assert told[-1]["verzondenSha256"] == taken
    assert {each["afleverId"] for each in signed} == {delivery["afleverId"]}
    assert (delivery["ontvanger"], delivery["kanaal"]) == (SE, "push")
    assert (delivery["volgnummer"], delivery["status"], delivery["gestrand"]) == (
        1,
        "bevestigd",
        [],
    )


@pytest.mark.parametrize("place", [0, 1])
async def test_an_attempt_that_says_something_else_is_not_believed(case: Case, place: int) -> None:
    told = json.loads(case.files["pakket.json"])
    happened = told[PACKAGE]["gebeurtenissen"][place]
    happened["vastlegging"] = happened["vastlegging"].replace('"poging":', '"poging":1')

    judged = judge("pakket", told, verifier(json.loads(case.files["sleutels.json"])))

    assert [flaw.sort for flaw in judged.flaws] == ["blad"]


@pytest.mark.parametrize("name", ["afzender", "conversatieReferentienummer", "ontvangenOp"])
async def test_a_package_does_not_lend_a_receipt_to_another_message_of_that_number(
    case: Case, name: str
) -> None:
    told = json.loads(case.files["pakket.json"])
    told[PACKAGE]["bericht"][name] = "00000099000000004000"
    told[PACKAGE]["gebeurtenissen"] = []

    judged = judge("pakket", told, verifier(json.loads(case.files["sleutels.json"])))

    assert [flaw.sort for flaw in judged.flaws] == [Sort.STATE]
    assert judged.proven == []


async def test_with_the_keys_of_the_package_itself_json_says_so_and_is_nothing_but_json(
    case: Case, tmp_path: Path
) -> None:
    (tmp_path / "pakket.json").write_bytes(case.files["pakket.json"])

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", COMMAND, "bewijs", "controleer", "pakket.json", "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    told = json.loads(done.stdout)
    assert (done.returncode, told["klopt"]) == (0, True)
    assert "sleutels uit het pakket zelf" in told["opmerkingen"][0]


async def test_a_package_is_checked_in_an_empty_folder_with_nothing_but_the_published_keys(
    case: Case, tmp_path: Path
) -> None:
    for name, content in case.files.items():
        (tmp_path / name).write_bytes(content)
    words = ("bewijs", "controleer", "pakket.json", "--sleutels", "sleutels.json", "--json")

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", COMMAND, *words],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["klopt"], told["gebreken"]) == (True, [])
    assert f"bericht {case.number} is aangenomen" in told["bewezen"][0]
    assert [each.split()[0] for each in told["bewezen"][-2:]] == ["poging", "poging"]
    assert names_in(tmp_path) == set(case.files)


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}
