"""The identifiers that the gateway gives out."""

from __future__ import annotations

import re
from uuid import RFC_4122, UUID

from gateway.app import draw

WRITTEN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_drawn_identifier_is_a_random_uuid_in_lower_case() -> None:
    for drawn in (draw() for _ in range(1000)):
        assert WRITTEN.fullmatch(drawn)
        assert (UUID(drawn).version, UUID(drawn).variant) == (4, RFC_4122)


def test_every_bit_that_is_free_varies_and_nothing_comes_twice() -> None:
    drawn = [UUID(draw()).int for _ in range(1000)]
    ever, always = 0, (1 << 128) - 1
    for each in drawn:
        ever |= each
        always &= each

    assert len(set(drawn)) == len(drawn)
    assert {str(UUID(int=each))[19] for each in drawn} == set("89ab")
    assert always == UUID("00000000-0000-4000-8000-000000000000").int
    assert ever == UUID("ffffffff-ffff-4fff-bfff-ffffffffffff").int
