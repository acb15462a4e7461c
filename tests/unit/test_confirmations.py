"""What parties confirm one by one is committed together, and each hears of its own commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.database import connect
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.migrate import bring_up_to_date
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.ledger_work import Confirmations
from gateway.errors import LedgerUnavailable
from gateway.message import Channel, Oin
from gateway.record import Confirmed
from tests.conformance.submissions import (
    MUNICIPALITY,
    NOON,
    STRANGER,
    admitting,
    strangers_to_each_other,
)


class Watched(SqlLedger):
    """A ledger in memory that counts its confirmations, and can be down."""

    calls = 0
    down = False

    def confirm(
        self, ontvanger: Oin, delivery_ids: Sequence[str], at: datetime
    ) -> dict[str, Confirmed]:
        self.calls += 1
        if self.down:
            raise LedgerUnavailable("down")
        return super().confirm(ontvanger, delivery_ids, at)


@asynccontextmanager
async def confirming(count: int) -> AsyncIterator[tuple[Watched, Confirmations, list[str]]]:
    """A ledger with so many deliveries that lie ready, and their ids."""
    database = connect("sqlite://")
    bring_up_to_date(database)
    ledger = Watched(database, a_keyring(), clock=lambda: NOON)
    submissions = strangers_to_each_other(count)
    ledger.record(submissions, admitting(Channel.POSTBUS), NOON)
    writer = Writer(ledger, admitting(), clock=lambda: NOON)
    try:
        yield (
            ledger,
            Confirmations(writer, ledger, lambda: NOON),
            [submission.delivery_id for submission in submissions],
        )
    finally:
        await writer.close()
        ledger.close()


async def test_confirmations_that_wait_together_share_a_commit() -> None:
    async with confirming(100) as (ledger, confirmations, ids):
        await asyncio.gather(*(confirmations.confirm(MUNICIPALITY, [one]) for one in ids))

        assert ledger.overview()["parties"] == {MUNICIPALITY: {"bevestigd": 100}}
        assert ledger.calls <= 2


async def test_a_confirmation_is_committed_when_it_returns() -> None:
    async with confirming(2) as (ledger, confirmations, ids):
        for done, one in enumerate(ids, start=1):
            await confirmations.confirm(MUNICIPALITY, [one])

            assert ledger.overview()["parties"][MUNICIPALITY]["bevestigd"] == done


async def test_each_party_confirms_only_its_own() -> None:
    async with confirming(2) as (ledger, confirmations, (mine, not_mine)):
        await asyncio.gather(
            confirmations.confirm(STRANGER, [not_mine]), confirmations.confirm(MUNICIPALITY, [mine])
        )

        assert ledger.overview()["parties"] == {MUNICIPALITY: {"aangeboden": 1, "bevestigd": 1}}


async def test_when_the_ledger_is_down_everybody_hears_it_and_may_come_again() -> None:
    async with confirming(2) as (ledger, confirmations, ids):
        ledger.down = True
        outcomes = await asyncio.gather(
            *(confirmations.confirm(MUNICIPALITY, [one]) for one in ids), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [LedgerUnavailable] * 2

        ledger.down = False
        await confirmations.confirm(MUNICIPALITY, ids)

        assert ledger.overview()["parties"] == {MUNICIPALITY: {"bevestigd": 2}}


async def test_who_gives_up_waiting_takes_nobody_along() -> None:
    async with confirming(2) as (ledger, confirmations, (one, other)):
        impatient = asyncio.create_task(confirmations.confirm(MUNICIPALITY, [one]))
        patient = asyncio.create_task(confirmations.confirm(MUNICIPALITY, [other]))
        await asyncio.sleep(0)

        impatient.cancel()
        await patient

        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert ledger.overview()["parties"] == {MUNICIPALITY: {"bevestigd": 2}}
