"""Publishing does not wait for the socket until much is unanswered."""

from __future__ import annotations

import pytest
from aiormq.exceptions import DeliveryError
from pamqp.commands import Basic

from gateway.adapters.rabbitmq.lanes import MOST_UNHEARD_BYTES, Lanes


async def nowhere() -> None:
    raise AssertionError("no channel is opened here")


def some_lanes() -> Lanes:
    return Lanes(nowhere)  # type: ignore[arg-type]


def test_what_the_broker_answered_counts_no_more() -> None:
    lanes = some_lanes()
    half = MOST_UNHEARD_BYTES // 2 + 1

    for _ in range(3):
        with lanes.handing_over(half) as crowded:
            assert not crowded


def test_more_than_the_bound_at_once_is_waited_for() -> None:
    lanes = some_lanes()
    half = MOST_UNHEARD_BYTES // 2 + 1

    with lanes.handing_over(half), lanes.handing_over(half) as crowded:
        assert crowded
    with lanes.handing_over(half) as crowded:
        assert not crowded


def test_what_the_broker_refused_counts_no_more() -> None:
    lanes = some_lanes()

    with pytest.raises(DeliveryError), lanes.handing_over(MOST_UNHEARD_BYTES):
        raise DeliveryError(None, Basic.Nack())

    with lanes.handing_over(1) as crowded:
        assert not crowded


def test_what_the_broker_never_answered_keeps_counting() -> None:
    lanes = some_lanes()

    with pytest.raises(TimeoutError), lanes.handing_over(MOST_UNHEARD_BYTES):
        raise TimeoutError

    with lanes.handing_over(1) as crowded:
        assert crowded
