"""The HTTP door: what it tells everybody of itself and of who takes part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from fastapi.openapi.models import OpenAPI

from fixtures.documents import MESSAGES, example
from fixtures.world import (
    GATEWAY,
    INCASSO,
    OVERIGE_SHV,
    SHV,
)
from gateway.message import Kind, Oin
from tests.conftest import CANARIES
from tests.e2e.doors import KVK, openapi, parties
from tests.e2e.here import Here, a_notice

pytestmark = pytest.mark.asyncio(loop_scope="module")


# The OpenAPI document


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from references_in(each)


async def test_the_openapi_document_is_whole_and_for_everybody(here: Here) -> None:
    answer = await here.reach.client.get(f"{here.reach.url}/v1/openapi.json")

    document = answer.json()
    assert answer.headers["access-control-allow-origin"] == "*"
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == answer.headers["api-version"]
    OpenAPI.model_validate(document)
    schemas = document["components"]["schemas"]
    named = set(references_in(document))
    assert {name.removeprefix("#/components/schemas/") for name in named} <= schemas.keys()
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all("security" in one and "400" in one["responses"] for one in operations)


async def test_every_schema_of_the_openapi_document_accepts_its_example(here: Here) -> None:
    document = await openapi(here)
    schemas = document["components"]["schemas"]

    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)

    kinds = [kind for kind in here.reach.catalogue.kinds if example_of(kind)]
    assert len(kinds) > 60
    for kind in kinds:
        whole = {**document, "$ref": f"#/components/schemas/{kind}"}
        jsonschema.Draft202012Validator(whole).validate(example(kind))


def example_of(kind: Kind) -> bool:
    folder = MESSAGES / f"{kind.module}-v{kind.major}"
    return (folder / f"{kind.name}.json").exists()


# Who takes part


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [entry.oin for entry in parties()]),
        ({"kvk": KVK}, [SHV]),
        ({"naam": "voorbeeldSTAD"}, [SHV]),
        ({"naam": "merelmeer"}, [SHV]),
        ({"naam": "incasso"}, [INCASSO]),
        ({"module": "crisis"}, [each.oin for each in parties() if each.oin != OVERIGE_SHV]),
        ({"module": "vish", "naam": "Hulp"}, [OVERIGE_SHV]),
        ({"module": "bestaatniet"}, []),
    ],
    ids=str,
)
async def test_participants_are_found_by_number_name_and_module(
    query: dict[str, str], found: list[Oin], here: Here
) -> None:
    answer = await here.json.get("/v1/deelnemers", **query)

    told = answer.json()
    assert sorted(entry["oin"] for entry in told["deelnemers"]) == sorted(found)
    assert told["aantal"] == len(found)


async def test_a_participant_is_told_without_its_certificates_and_address(here: Here) -> None:
    (entry,) = (await here.json.get("/v1/deelnemers", kvk=KVK)).json()["deelnemers"]

    assert entry == {
        "oin": SHV,
        "naam": "Gemeente Voorbeeldstad",
        "kvk": KVK,
        "vestigingen": ["000099001000"],
        "handelsnamen": ["Kredietbank Merelmeer"],
        "rollen": ["shv-fase-2"],
        "modules": sorted(here.gateway.services.line.directory().parties[SHV].modules),
    }


@pytest.mark.parametrize("query", [{"kvk": "1"}, {"naam": "x"}, {"module": "Crisis!"}], ids=str)
async def test_a_question_about_participants_that_is_none_is_refused(
    query: dict[str, str], here: Here
) -> None:
    answer = await here.json.get("/v1/deelnemers", **query)

    assert (answer.status_code, answer.json()["code"]) == (400, "VERZOEK_ONGELDIG")


async def test_the_keys_of_the_gateway_are_published_for_everybody(here: Here) -> None:
    answer = await here.reach.client.get(f"{here.reach.url}/v1/sleutels")

    keys = answer.json()["keys"]
    assert {key["alg"] for key in keys} == {"ES256", "PS256"}
    assert all(not {"d", "p", "q"} & key.keys() for key in keys)


async def test_the_status_page_counts_and_tells_no_content(here: Here) -> None:
    await here.post(here.signed(a_notice()))
    url = here.reach.url

    page = await here.reach.client.get(f"{url}/console")
    figures = await here.reach.client.get(f"{url}/console/stand.json")

    assert page.headers["content-type"].startswith("text/html")
    assert "Energie Voorbeeld B.V." in page.text
    assert figures.json()["accepted_today"] > 0
    personal = [canary for canary in CANARIES if canary in page.text + figures.text]
    assert set(personal) <= {"Merel"}  # a trade name here
    assert GATEWAY not in page.text
