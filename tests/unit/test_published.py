"""What was published stays: only what docs/contract.md rule 7 allows may be added."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest

from gateway.message import Json
from gateway.schemas.published import PUBLISHED_FILE, breaking_changes, snapshot, text_of
from tests.unit.schema_cases import CATALOGUE

NOW = snapshot(schema.module for schema in CATALOGUE.modules.values())
HOME = "schuldregeling-v2"


def test_todays_contract_keeps_to_what_was_published() -> None:
    if not PUBLISHED_FILE.exists():
        pytest.skip("nothing is published yet: python docs/genereer.py --publiceer")
    before = json.loads(PUBLISHED_FILE.read_text("utf-8"))

    assert breaking_changes(before, NOW) == []


def test_a_contract_keeps_to_itself_and_survives_the_file() -> None:
    assert breaking_changes(NOW, NOW) == []
    assert json.loads(text_of(NOW)) == NOW


def after(change: Callable[[Json], object]) -> list[str]:
    """What is broken when the contract of today changes like this."""
    now = copy.deepcopy(NOW)
    change(now)
    return breaking_changes(NOW, now)


def shared(now: Json, name: str) -> Json:
    found: Json = now["types"]["basis"][name]
    return found


def parts(now: Json, name: str) -> list[Json]:
    found: list[Json] = now["types"][HOME][name]["parts"]
    return found


NEW = {"name": "Nieuw", "json": "nieuw", "type": "Datum", "required": False}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda n: parts(n, "Heroverweging").append(NEW), id="optional at the end"),
        pytest.param(lambda n: shared(n, "Grondslag")["codes"].append("NIEUW"), id="open list"),
        pytest.param(lambda n: n["kinds"][HOME].update(Nieuw=NEW), id="a new kind"),
        pytest.param(lambda n: n["kinds"].update({"nieuw-v1": {}}), id="a new module"),
        pytest.param(lambda n: n["types"][HOME].update(Nieuw={}), id="a new type"),
    ],
)
def test_an_addition_that_the_contract_allows_passes(change: Callable[[Json], object]) -> None:
    assert after(change) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda n: n["kinds"][HOME].pop("Heroverweging"), "/Heroverweging is gone"),
        (lambda n: n["kinds"].pop("vish-v1"), "/VishRaadpleging is gone"),
        (
            lambda n: parts(n, "Heroverweging").pop(2),
            "/Heroverweging/KlantnummerSHV is removed or renamed",
        ),
        (
            lambda n: parts(n, "Heroverweging")[2].update(name="Klantnr"),
            "/Heroverweging/Klantnr is new and not last in its type",
        ),
        (
            lambda n: parts(n, "Heroverweging")[2].update(json="klantnr"),
            "/Heroverweging/KlantnummerSHV is called klantnr in JSON, not klantnummerShv",
        ),
        (
            lambda n: parts(n, "Heroverweging").insert(1, NEW),
            "/Heroverweging/Nieuw is new and not last in its type",
        ),
        (
            lambda n: parts(n, "Heroverweging").append(NEW | {"required": True}),
            "/Heroverweging/Nieuw is new and required",
        ),
        (
            lambda n: parts(n, "Heroverweging")[2].update(required=False),
            "/Heroverweging/KlantnummerSHV became optional",
        ),
        (
            lambda n: parts(n, "Heroverweging").reverse(),
            "/Heroverweging has its elements in another order",
        ),
        (
            lambda n: parts(n, "Heroverweging")[1].update(type="Datum"),
            "/Heroverweging/KlantnummerSE is date, was string",
        ),
        (
            lambda n: parts(n, "Heroverweging")[1].update(type="Stuurgegevens"),
            "/Heroverweging/KlantnummerSE has another type",
        ),
        (
            lambda n: shared(n, "Tekst50")["facets"].update(maxLength="40"),
            "has maxLength 40, was 50",
        ),
        (lambda n: shared(n, "Oin").update(patterns=["x"]), "has another pattern"),
        (lambda n: shared(n, "Module")["codes"].remove("vish"), "lost the code vish"),
        (lambda n: shared(n, "Grondslag").update(open=False), "has a list that is no longer open"),
        (
            lambda n: shared(n, "Module")["codes"].append("nieuw"),
            "got the code nieuw, but its list is not open",
        ),
        (lambda n: shared(n, "Bijlagen").update(most=5), "may hold most 5 items, was 10"),
    ],
)
def test_every_other_change_is_named(change: Callable[[Json], object], sentence: str) -> None:
    assert any(sentence in each for each in after(change))
