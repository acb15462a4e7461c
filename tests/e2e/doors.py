"""What the tests of the HTTP door share: their parties, and what every answer must carry."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx

from fixtures.world import (
    BEWINDVOERDER,
    OVERIGE_SHV,
    PUBLIEKE_SE,
    SHV,
    SHV_FASE_1,
    Entry,
    the_usual,
)
from gateway.adapters.rest_in.headers import HEADERS
from gateway.message import Json
from tests.e2e.here import Here

XML = ("Content-Type", "application/xml")
KVK = "99001000"
WHO = "/v1/deelnemers"

Elsewhere = Callable[..., AbstractAsyncContextManager[Here]]
"""Starts another gateway, with other settings, for the time of one test."""


def parties() -> list[Entry]:
    """The usual ones, with something to look for, a small quota, and one that wants a token."""
    return the_usual(
        shv=Entry(
            SHV,
            "Gemeente Voorbeeldstad",
            "shv-fase-2",
            more={
                "kvk": f'"{KVK}"',
                "handelsnamen": '["Kredietbank Merelmeer"]',
                "vestigingen": '["000099001000"]',
            },
        ),
        shv_fase1=Entry(
            SHV_FASE_1, "Wijkteam Voorbeeld", "shv-fase-1", more={"berichten_per_minuut": "2"}
        ),
        bewindvoerder=Entry(
            BEWINDVOERDER, "Bewind Voorbeeld", "bewindvoerder", more={"xml_met_token": "true"}
        ),
        publieke_se=Entry(PUBLIEKE_SE, "Rijk Voorbeeld", "schuldeiser"),
        overige_shv=Entry(OVERIGE_SHV, "Hulp Voorbeeld", "overige-shv", modules=("vish",)),
    )


def carries_what_it_must(answer: httpx.Response) -> bool:
    """Version and security headers, each exactly once."""
    return [answer.headers.get_list(name.decode()) for name, _ in HEADERS] == [
        [value.decode()] for _, value in HEADERS
    ]


async def openapi(here: Here) -> Json:
    """The OpenAPI document, as everybody gets it."""
    document: Json = (await here.reach.client.get(f"{here.reach.url}/v1/openapi.json")).json()
    return document
