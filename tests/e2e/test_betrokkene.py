"""Somebody asks about their own data: the privacy officer can answer, and the number leaves no
trace.
"""

from __future__ import annotations

import json
import logging
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fixtures.world import SE, SHV, World
from gateway.adapters.ledger.tables import metadata
from tests.conftest import CANARIES, NewWorld
from tests.e2e.canary_search import found_in, found_under
from tests.e2e.here import a_notice, reference_of, started
from tests.e2e.operator import Said, operator, operator_json
from tests.e2e.test_restore import accepted, kept, waiting

ANNA, NOBODY = "999990007", "999990020"
ASKED = (
    *("--verzoeker", "functionaris gegevensbescherming"),
    *("--reden", "verzoek 12"),
)
OF_ALL = ("--verantwoordelijke", "alle")
WHOLE = (*ASKED, *OF_ALL)
FIRST, SECOND = 0, 1


@dataclass(frozen=True)
class Scene:
    """Two notices about Anna, of which the creditor took the first."""

    world: World
    references: tuple[str, str]
    deliveries: tuple[str, str]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.database)])
def somewhere(request: pytest.FixtureRequest, new_world: NewWorld, tmp_path: Path) -> World:
    if request.param == "sqlite":
        return new_world(tmp_path / "gateway")
    url = str(request.getfixturevalue("postgres_url"))
    return new_world(tmp_path / "gateway", ledger=url)


@pytest_asyncio.fixture
async def scene(somewhere: World) -> Scene:
    async with started(somewhere) as here:
        reader = here.party(SE)
        one, other = a_notice(), a_notice()
        await accepted(here, here.written(one))
        mine = await waiting(reader)
        await reader.confirm(*mine.values())
        await accepted(here, here.written(other))
        mine |= await waiting(reader)
    references = (reference_of(one), reference_of(other))
    return Scene(somewhere, references, (mine[references[0]], mine[references[1]]))


def ask(world: World, *arguments: str, bsn: str = ANNA) -> Said:
    """Run ``gateway betrokkene …`` and type the number."""
    return operator(world, "betrokkene", *arguments, answer=f"{bsn}\n")


def asked(world: World, *arguments: str, bsn: str = ANNA) -> Any:
    said = ask(world, *arguments, "--json", bsn=bsn)
    return json.loads(said)


def everything_in(world: World) -> str:
    """Every value of every table, as text."""
    said = []
    for name in metadata.tables:
        for row in kept(world, f'SELECT * FROM "{name}"'):
            said += [
                value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                for value in row
            ]
    return "\n".join(said)


def test_an_inzage_says_what_went_to_whom_when_why_and_what_is_left(scene: Scene) -> None:
    made = asked(scene.world, "inzage", *WHOLE)

    (controller,) = made["verantwoordelijken"]
    assert (controller["oin"], controller["naam"]) == (SHV, "Gemeente Voorbeeldstad")
    first, second = sorted(
        controller["berichten"], key=lambda each: scene.references.index(each["referentienummer"])
    )
    assert (first["ontvanger"], first["soort"]) == (SE, "KennisgevingPubliek")
    assert (first["stand"], second["stand"]) == ("bevestigd", "aangeboden")
    assert first["afleveringen"][0]["bevestigdOp"]
    kept_until = first["bewaard"]["inhoudTot"], first["bewaard"]["gegevensTot"]
    assert first["bewaard"]["inhoud"]
    assert kept_until[0] < second["bewaard"]["inhoudTot"] < kept_until[1]
    assert made["vish"]["raadplegingen"] is None
    (request,) = made["vervoer"]["verzoeken"]
    assert (request["verzoek"], request["reden"]) == ("inzage", "verzoek 12")
    assert request["aantallen"]["berichten"] == 2


def test_people_read_it_as_tables(scene: Scene) -> None:
    said = ask(scene.world, "inzage", *WHOLE)

    assert said.code == 0
    assert "Gemeente Voorbeeldstad" in said
    assert all(number in said for number in scene.references)
    assert "VISH: " in said
    assert found_in(said.encode()) == set()


def test_content_goes_only_into_files_that_nobody_else_can_read(
    scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "uit"

    assert "--uit" in ask(scene.world, "inzage", *WHOLE, "--inhoud")
    said = ask(scene.world, "inzage", *WHOLE, "--inhoud", "--uit", str(folder))

    assert said.code == 0, said
    assert found_in(said.encode()) == set()
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
    assert modes == {"overzicht.json": 0o600, "inhoud.json": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert found_in((folder / "overzicht.json").read_bytes()) == set()
    content = json.loads((folder / "inhoud.json").read_text())
    assert {each["referentienummer"] for each in content} == set(scene.references)
    assert all(ANNA in json.dumps(each["document"]) for each in content)
    again = ask(scene.world, "inzage", *WHOLE, "--uit", str(folder))
    assert (again.code, "is there already" in again) == (1, True)


def test_an_erasure_is_tried_done_signed_and_the_ledger_stays_whole(scene: Scene) -> None:
    world = scene.world
    done = (*WHOLE, "--ook-lopend", "de klant is overleden")

    tried = asked(world, "wissing", *done, "--proef")
    assert kept(world, "SELECT count(*) FROM message WHERE wrapped_key IS NULL") == [(0,)]
    made = asked(world, "wissing", *done)

    for each in (tried, made):
        assert [one["referentienummer"] for one in each["gewist"]] == [scene.references[FIRST]]
        assert [(one["referentienummer"], one["reden"]) for one in each["gebleven"]] == [
            (scene.references[SECOND], "nog-niet-bezorgd")
        ]
    gone = kept(world, "SELECT referentienummer FROM message WHERE wrapped_key IS NULL")
    assert gone == [(scene.references[FIRST],)]
    with closing(world.ledger()) as ledger:
        assert ledger.audit() == []
        dossier = ledger.dossier(None, scene.references[FIRST])
    assert dossier is not None
    assert [each.soort for each in dossier.happenings] == ["gewist"]
    shown = asked(world, "inzage", *WHOLE)
    told = {
        each["referentienummer"]: each["bewaard"]
        for each in shown["verantwoordelijken"][0]["berichten"]
    }
    assert told[scene.references[FIRST]]["gewistOm"] == "verzoek"
    requests = [each["verzoek"] for each in shown["vervoer"]["verzoeken"]]
    assert requests == ["wissing-proef", "wissing", "inzage"]


async def test_whoever_checks_the_ledger_afterwards_finds_it_whole(world: World) -> None:
    sent = a_notice()
    async with started(world) as here:
        await accepted(here, here.written(sent))
        await here.party(SE).confirm(*(await waiting(here.party(SE))).values())
    ask(world, "wissing", *WHOLE, "--ook-lopend", "toch")

    assert operator_json(world, "bewijs", "controleer", "--grootboek")["klopt"]
    assert "gewist" in operator(world, "bewijs", "toon", reference_of(sent))


def test_people_read_why_something_stays_and_what_to_do(scene: Scene) -> None:
    said = ask(scene.world, "wissing", *WHOLE, "--proef")

    assert said.code == 1
    assert "gateway gestrand verwerp" in said
    assert "Reservekopieën" in said


async def test_what_is_only_stored_is_not_handed_out_until_that_ends(scene: Scene) -> None:
    world, second = scene.world, scene.deliveries[SECOND]

    made = asked(world, "beperking", *WHOLE, "--grond", "juistheid-betwist")
    assert (len(made["gesprekken"]), made["aangehoudenAfleveringen"]) == (2, 1)

    async with started(world) as here:
        reader = here.party(SE)
        assert await waiting(reader) == {}
        assert (await reader.get(f"/v1/postbus/{second}")).status_code == httpx.codes.NOT_FOUND
        origin = await reader.get(f"/v1/postbus/{second}/origineel")
        assert origin.status_code == httpx.codes.NOT_FOUND
        operator_said = ask(world, "beperking", *WHOLE, "--opheffen")
        assert "1 afleveringen gaan weer door" in operator_said
        assert await waiting(reader) == {scene.references[SECOND]: second}
        assert (await reader.get(f"/v1/postbus/{second}")).status_code == httpx.codes.OK


def test_the_number_is_nowhere_but_in_sealed_content(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    world = scene.world
    with caplog.at_level(logging.DEBUG):
        said = [
            ask(world, "inzage", *WHOLE),
            ask(world, "inzage", *WHOLE, "--json"),
            ask(world, "beperking", *WHOLE, "--grond", "bezwaar"),
            ask(world, "beperking", *WHOLE, "--opheffen"),
            ask(world, "wissing", *WHOLE, "--ook-lopend", "toch"),
            ask(world, "inzage", *WHOLE, bsn=NOBODY),
            ask(world, "inzage", *WHOLE, bsn="999990008"),
        ]

    assert [each.code for each in said] == [0, 0, 0, 0, 1, 0, 1]
    for number in (ANNA, NOBODY, "999990008"):
        assert number not in "".join(said)
        assert number not in caplog.text
        assert number not in everything_in(world)
    assert found_under(world.folder) == {}
    assert not [each for each in CANARIES if each in everything_in(world)]


@pytest.mark.parametrize(
    ("typed", "told"),
    [("", "nine digits"), ("999990008", "nine digits"), ("٩٩٩٩٩٠٠٠٧", "nine digits")],
)
def test_what_is_no_number_is_refused_before_anything_is_looked_up(
    world: World, typed: str, told: str
) -> None:
    said = ask(world, "inzage", *WHOLE, bsn=typed)

    assert (said.code, told in said) == (1, True)
    assert kept(world, "SELECT count(*) FROM person_request") == [(0,)]


def test_the_number_may_lie_in_a_file_of_ones_own(world: World, tmp_path: Path) -> None:
    file = tmp_path / "bsn"
    file.write_text("9999.90.007\n")
    given = ("betrokkene", "inzage", *WHOLE, "--bsn-uit", str(file))

    file.chmod(0o640)
    assert "chmod it to 600" in operator(world, *given)
    file.chmod(0o600)
    assert operator(world, *given).code == 0


@pytest.mark.parametrize("place", ["--verzoeker", "--reden", "--door"])
def test_texts_that_are_kept_for_good_may_not_hold_the_number(world: World, place: str) -> None:
    texts = {"--verzoeker": "fg", "--reden": "verzoek", "--door": "ada", place: f"over {ANNA}"}
    given = [each for pair in texts.items() for each in pair]

    said = ask(world, "inzage", *given, *OF_ALL, bsn=NOBODY)

    assert (said.code, "leave the number out" in said) == (1, True)
    assert ANNA not in everything_in(world)


@pytest.mark.parametrize(
    "given",
    [
        ("inzage", *ASKED),
        ("inzage", *OF_ALL, "--reden", "x"),
        ("inzage", *OF_ALL, "--verzoeker", "x"),
        ("inzage", *ASKED, "--verantwoordelijke", "123"),
        ("wissing", *WHOLE, "--ook-lopend", " "),
        ("beperking", *WHOLE),
        ("beperking", *WHOLE, "--grond", "bezwaar", "--opheffen"),
    ],
)
def test_a_request_without_requester_controller_reason_or_ground_does_nothing(
    world: World, given: tuple[str, ...]
) -> None:
    assert ask(world, *given).code != 0
    assert kept(world, "SELECT count(*) FROM person_request") == [(0,)]
