"""What an operator reads of terms, what a helper is mailed, and what a monitor scrapes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import httpx
import pytest
import pytest_asyncio

from fixtures.documents import document, kind
from fixtures.parties import fresh, serving
from fixtures.world import (
    GATEWAY,
    OVERIGE_SHV,
    PUBLIEKE_SE,
    SE,
    SHV,
    Entry,
    World,
    free_port,
    the_usual,
)
from gateway.adapters.timekeeping import catch_up
from gateway.calendar import AMSTERDAM, Calendar
from gateway.message import Oin
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import Here, started
from tests.e2e.operator import operator, operator_json
from tests.servers.party import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALENDAR = Calendar()
ANSWERED_IN_TIME = 11
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SAMPLE = re.compile(r'^[a-z_]+(\{([a-z]+="[^"\\\n]*",?)+\})? (\d+(\.\d+)?(e-?\d+)?)$')


@dataclass
class Story:
    """Questions and answers over some weeks.

    Attributes:
        admin: Where operators reach the gateway.
        first: The day on which most was asked.
        last: The last day of those terms.
        conversations: Ids by what became of them.
    """

    here: Here
    admin: str
    first: date
    last: date
    conversations: dict[str, list[str]] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.here.world

    async def be(self, day: date, at: time = time(10)) -> None:
        """Let it be this moment in Amsterdam, with all done that is due."""
        self.world.ahead.set(datetime.combine(day, at, AMSTERDAM))
        services = self.here.gateway.services
        await catch_up(services.writer, services.ledger, services.line.courses, services.line.clock)  # type: ignore[arg-type]

    async def asks(self, becomes: str, *, by: Oin = SHV, to: Oin = SE) -> tuple[str, str]:
        """Ask for a balance."""
        conversation = fresh()
        self.conversations.setdefault(becomes, []).append(conversation)
        return conversation, await self._says("Saldoverzoek", conversation, by, to)

    async def answers(self, asked: tuple[str, str], *, by: Oin = SE) -> None:
        conversation, number = asked
        await self._says("SaldoverzoekAntwoord", conversation, by, SHV, cross=number)

    async def _says(
        self, name: str, conversation: str, by: Oin, to: Oin, cross: str | None = None
    ) -> str:
        number = fresh()
        self.numbers.append(number)
        made = document(
            kind("schuldregeling", name),
            reference=number,
            conversation=conversation,
            sender=by,
            recipient=to,
            at=self.world.ahead.now(),
            cross=cross,
        )
        answer = await self.here.party(by).send(made)
        assert answer.status_code == 202, answer.text
        return number

    def ids(self) -> set[str]:
        return {each for found in self.conversations.values() for each in found}

    def days(self) -> list[str]:
        return ["--sinds", self.first.isoformat(), "--tot", self.last.isoformat()]


def entries() -> list[Entry]:
    """Everybody speaks JSON, and there are two municipalities."""
    roles = {OVERIGE_SHV: "shv-fase-2"}
    return [Entry(each.oin, each.naam, roles.get(each.oin, each.rollen)) for each in the_usual()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(
    new_world: NewWorld, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Story]:
    folder = tmp_path_factory.mktemp("termijnen")
    world = new_world(
        folder / "gateway",
        entries(),
        clock_ahead=str(folder / "vooruit"),
        admin_port=str(free_port()),
    )
    today = world.ahead.now().astimezone(AMSTERDAM).date()
    first = CALENDAR.add_working_days(today, 1)
    last = CALENDAR.add_working_days(first, 10)
    async with started(world) as here:
        assert here.gateway.admin is not None
        async with serving(here.gateway.admin) as admin:
            told = Story(here, admin, first, last)
            await tell(told)
            yield told


async def tell(story: Story) -> None:
    await story.be(story.first)
    in_time = [await story.asks("in time") for _ in range(ANSWERED_IN_TIME)]
    late = await story.asks("late")
    await story.asks("never")
    for _ in range(2):
        await story.asks("never of another", by=OVERIGE_SHV, to=PUBLIEKE_SE)
    await story.be(CALENDAR.add_working_days(story.first, 2))
    for each in in_time:
        await story.answers(each)
    await story.be(CALENDAR.add_working_days(story.first, 4))
    await story.asks("soon")
    await story.be(CALENDAR.add_working_days(story.last, 1))
    await story.answers(late)


async def test_figures_are_per_creditor_and_kind_and_hide_what_is_under_ten(story: Story) -> None:
    told = operator_json(story.world, "termijnen", *story.days())

    hidden = dict.fromkeys(
        ("opTijd", "teLaat", "nooit", "open", "vervallen", "zonderTermijn", "mediaan", "p90"),
        "<10",
    )
    assert told == {
        "sinds": story.first.isoformat(),
        "totEnMet": story.last.isoformat(),
        "drempel": 10,
        "cijfers": [
            {
                "schuldeiser": SE,
                "naam": "Energie Voorbeeld B.V.",
                "soort": "Saldoverzoek",
                "gevraagd": ">=11",
                "opTijd": ANSWERED_IN_TIME,
                "teLaat": "<10",
                "nooit": "<10",
                "open": "<10",
                "vervallen": 0,
                "zonderTermijn": 0,
                "mediaan": 2,
                "p90": 2,
            },
            {
                "schuldeiser": PUBLIEKE_SE,
                "naam": "Rijk Voorbeeld",
                "soort": "Saldoverzoek",
                "gevraagd": "<10",
                **hidden,
            },
        ],
    }


async def test_figures_are_narrowed_and_split_by_month(story: Story) -> None:
    def of(*options: str) -> list[tuple[str, str]]:
        told = operator_json(story.world, "termijnen", *story.days(), *options)
        return [(each["schuldeiser"], each.get("maand", "")) for each in told["cijfers"]]

    assert of("--schuldeiser", PUBLIEKE_SE) == [(PUBLIEKE_SE, "")]
    assert of("--shv", OVERIGE_SHV) == [(PUBLIEKE_SE, "")]
    assert of("--soort", "Betaalvoorstel") == []
    assert f"{story.first:%Y-%m}" in {month for _, month in of("--per-maand")}
    later = CALENDAR.add_working_days(story.last, 1).isoformat()
    assert operator_json(story.world, "termijnen", "--sinds", later)["cijfers"] == []


async def test_open_terms_name_the_conversation_and_whose_turn_it_is(story: Story) -> None:
    told = operator_json(story.world, "termijnen", "--open")

    found = {each["conversatieReferentienummer"]: each for each in told}
    of = story.conversations
    assert found.keys() == {*of["never"], *of["never of another"], *of["soon"]}
    never, soon = found[of["never"][0]], found[of["soon"][0]]
    assert never == {
        "conversatieReferentienummer": of["never"][0],
        "soort": "Saldoverzoek",
        "wat": "antwoord",
        "aanZet": SE,
        "naam": "Energie Voorbeeld B.V.",
        "totEnMet": story.last.isoformat(),
        "werkdagenOver": -1,
        "voorbij": True,
    }
    assert (soon["werkdagenOver"], soon["voorbij"]) == (3, False)
    assert [each["conversatieReferentienummer"] for each in told][-1] == of["soon"][0]
    mine = operator_json(story.world, "termijnen", "--open", "--shv", OVERIGE_SHV)
    assert {each["conversatieReferentienummer"] for each in mine} == set(of["never of another"])
    table = operator(story.world, "termijnen", "--open")
    assert all(each in table for each in found)
    assert "voorbij (1)" in table


async def test_each_helper_has_a_digest_of_its_own_conversations_only(story: Story) -> None:
    day = story.last.isoformat()
    told = operator_json(story.world, "termijnen", "--dagoverzicht", "--datum", day)

    by_helper = {each["shv"]: each for each in told}
    assert {SHV, OVERIGE_SHV} <= by_helper.keys()
    late = {
        shv: {each["conversatieReferentienummer"] for each in one["teLaatGeworden"]["gesprekken"]}
        for shv, one in by_helper.items()
    }
    of = story.conversations
    assert late[SHV] == set(of["never"])
    assert late[OVERIGE_SHV] == set(of["never of another"])
    soon = by_helper[SHV]["looptAf"]["gesprekken"]
    assert [each["conversatieReferentienummer"] for each in soon] == of["soon"]
    assert by_helper[SHV]["nietOpgehaald"]["aantal"] > 0, "nobody collected a question"
    theirs = operator(
        story.world, "termijnen", "--dagoverzicht", "--datum", day, "--shv", OVERIGE_SHV
    )
    found = {each.group() for each in UUID.finditer(theirs)}
    assert found == set(of["never of another"])
    assert theirs.startswith("Onderwerp: Dagoverzicht van uw gesprekken op ")


async def test_a_digest_tells_what_was_answered_on_its_day(story: Story) -> None:
    day = CALENDAR.add_working_days(story.first, 2).isoformat()
    (told,) = operator_json(
        story.world, "termijnen", "--dagoverzicht", "--datum", day, "--shv", SHV
    )

    answered = [each["conversatieReferentienummer"] for each in told["beantwoord"]["gesprekken"]]
    assert sorted(answered) == sorted(story.conversations["in time"])
    assert told["beantwoord"]["aantal"] == ANSWERED_IN_TIME


async def test_nothing_personal_is_told_and_no_conversation_where_it_may_leave(
    story: Story,
) -> None:
    figures = operator(story.world, "termijnen", *story.days(), "--per-maand")
    pages = [
        figures,
        operator(story.world, "termijnen", "--open"),
        operator(story.world, "termijnen", "--dagoverzicht"),
        await metrics(story),
    ]

    assert [each for each in CANARIES for page in pages if each in page] == []
    assert [each for each in story.numbers for page in pages if each in page] == []
    assert [each for each in story.ids() if each in figures or each in pages[-1]] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sinds", "gisteren"], "a day is like"),
        (["--sinds", "2026-03-02", "--tot", "2026-03-01"], "comes before"),
        (["--soort", "Statusverzoek"], "nobody asks a creditor that; choose from Betaalvoorstel"),
        (["--open", "--dagoverzicht"], "ask one at a time"),
        (["--open", "--per-maand"], "--per-maand: says nothing with --open"),
        (["--datum", "2026-03-02"], "--datum belongs to --dagoverzicht"),
        (["--dagoverzicht", "--datum", "2126-03-02"], "has yet to come"),
        (["--shv", "1"], "an OIN is 20 digits"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_what_to_do(
    options: list[str], said: str, story: Story
) -> None:
    answer = operator(story.world, "termijnen", *options)

    assert answer.code == 1
    assert said in answer


async def metrics(story: Story) -> str:
    answer = await story.here.reach.client.get(f"{story.admin}/metrics")
    assert answer.status_code == httpx.codes.OK
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def sample(page: str, named: str) -> float:
    (line,) = [each for each in page.splitlines() if each.startswith(f"{named} ")]
    return float(line.rpartition(" ")[2])


async def test_a_monitor_finds_every_metric_in_the_text_format(story: Story) -> None:
    page = await metrics(story)

    lines = [each for each in page.splitlines() if not each.startswith("#")]
    assert [each for each in lines if not SAMPLE.match(each)] == []
    assert sample(page, 'gateway_accepted_total{door="rest-json",repeated="false"}') == len(
        story.numbers
    )
    assert sample(page, "gateway_ledger_up") == 1
    assert sample(page, "gateway_writer_waiting") == 0
    assert sample(page, 'gateway_batch_messages_bucket{le="+Inf"}') >= 1
    assert sample(page, "gateway_commit_seconds_count") >= 1
    assert sample(page, "process_start_time_seconds") > 0
    assert sample(page, 'gateway_conversations_awaiting{soon="due"}') == 0
    assert GATEWAY not in page


async def test_refusals_are_counted_by_door_and_code(story: Story) -> None:
    for _ in range(2):
        answer = await story.here.post(story.here.as_xml(b"<geen/>"))
        assert answer.status_code >= httpx.codes.BAD_REQUEST
    code = answer.json()["code"]

    page = await metrics(story)

    assert sample(page, f'gateway_refused_total{{door="rest-xml",code="{code}"}}') == 2


async def test_what_stands_open_and_was_said_is_read_from_the_ledger(story: Story) -> None:
    await story.be(CALENDAR.add_working_days(story.last, 1), time(10, 30))

    async def seen() -> bool:
        page = await metrics(story)
        return (
            sample(page, "gateway_terms_expired_total") == 8
            and sample(page, "gateway_reminders_total") > 0
            and sample(page, 'gateway_oldest_delivery_seconds{state="aangeboden"}') > 86_400
            and sample(page, 'gateway_deliveries_unfinished{state="aangeboden",channel="postbus"}')
            > ANSWERED_IN_TIME
        )

    await eventually(seen, "the ledger is read again within five seconds")


async def test_parties_do_not_reach_the_metrics(story: Story) -> None:
    answer = await story.here.get("/metrics")

    assert answer.status_code == httpx.codes.NOT_FOUND


async def test_a_monitor_that_asks_all_the_time_reads_the_ledger_seldom(story: Story) -> None:
    pages = [await metrics(story) for _ in range(20)]

    ages = {
        line
        for page in pages
        for line in page.splitlines()
        if line.startswith("gateway_oldest_delivery_seconds{")
    }
    assert len(ages) <= 4, "two states, and at most one new reading meanwhile"
    assert timedelta(0) < timedelta(seconds=float(min(ages).rpartition(" ")[2]))
