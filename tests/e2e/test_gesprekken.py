"""Where a conversation stands, as its parties and their mandates read it; and nobody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import pytest_asyncio
from lxml import etree

from fixtures.documents import document, kind
from fixtures.parties import ASSERTION, CaseSystem, Peer, fresh, now
from fixtures.world import (
    BEWINDVOERDER,
    GATEWAY,
    INCASSO,
    OVERIGE_SHV,
    PUBLIEKE_SE,
    SE,
    SHV,
    STRANGER,
    Entry,
    the_usual,
)
from gateway.adapters.rest_in.gesprekken_schema import GESPREKKEN as PUBLISHED
from gateway.adapters.timekeeping import catch_up
from gateway.adapters.tokens import client_assertion
from gateway.message import Json, Oin
from gateway.routing.lengths import Length, local_day, tot_en_met
from gateway.routing.terms import read as read_terms
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import Here, started
from tests.e2e.operator import operator

pytestmark = pytest.mark.asyncio(loop_scope="module")

KVK = "99005000"
UNREACHED = Oin("00000099000000008100")
GESPREKKEN = {
    name: jsonschema.Draft202012Validator({**schema, "unevaluatedProperties": False})
    for name, schema in PUBLISHED.items()
}
FIFTEEN_WORKING_DAYS = Length.read("15 WERKDAG")


def entries() -> list[Entry]:
    """Everybody speaks JSON here; one helper lets the gateway tell where something stands.

    The usual agency acts for every creditor; the guardian only where a test says so.
    """
    return [
        Entry(each.oin, each.naam, _ROLES.get(each.oin, each.rollen), more=_MORE.get(each.oin, {}))
        for each in the_usual()
    ] + [
        Entry(STRANGER, "Nieuwe Energie Voorbeeld", "schuldeiser"),
        Entry(
            UNREACHED,
            "Onbereikbaar Voorbeeld",
            "schuldeiser",
            kanaal="push",
            more={"adres": '"http://127.0.0.1:9/"', "interne_netten": '["127.0.0.0/8"]'},
        ),
    ]


_ROLES = {OVERIGE_SHV: "shv-fase-2"}
_MORE = {
    SE: {"convenant": '"RIJK"'},
    PUBLIEKE_SE: {"kvk": f'"{KVK}"'},
    OVERIGE_SHV: {"statusverzoek_toegestaan": "true"},
}


@dataclass
class Trial:
    """A gateway whose clock this test sets ahead."""

    here: Here
    file: Path
    ahead: timedelta = timedelta(0)
    peers: dict[Oin, CaseSystem] = field(default_factory=dict)

    async def pass_by(self, days: int) -> None:
        """Let so many days pass, and have the gateway do what fell due."""
        self.ahead += timedelta(days=days)
        self.file.write_text(str(self.ahead.total_seconds()))
        self.peers.clear()
        await self.catch_up()

    async def catch_up(self) -> None:
        services = self.here.gateway.services
        await catch_up(services.writer, services.ledger, services.line.courses, services.line.clock)  # type: ignore[arg-type]

    async def party(self, oin: Oin) -> CaseSystem:
        """A party with a token that holds at this moment."""
        if oin not in self.peers:
            peer = self.here.party(oin)
            peer._token = await self._token(peer)
            self.peers[oin] = peer
        return self.peers[oin]

    async def _token(self, peer: Peer) -> str:
        url = f"{peer.url}/v1/token"
        signed = client_assertion(
            peer.identity.oin, peer.key, peer.identity.cert, url, now() + self.ahead, fresh()
        )
        answer = await peer.client.post(
            url,
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION,
                "client_assertion": signed,
            },
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    async def says(
        self,
        name: str,
        conversation: str,
        *,
        sender: Oin = SHV,
        to: Oin = SE,
        cross: str | None = None,
        change: Json | None = None,
        module: str = "schuldregeling",
    ) -> str:
        """Have this accepted; gives its number."""
        made = document(
            kind(module, name),
            reference=fresh(),
            conversation=conversation,
            sender=sender,
            recipient=to,
            at=now() + self.ahead,
            cross=cross,
            change=change,
        )
        answer = await (await self.party(sender)).send(made)
        assert answer.status_code == 202, answer.text
        await self.catch_up()
        return str(next(iter(made.values()))["stuurgegevens"]["referentienummer"])

    async def asks(self, oin: Oin, path: str = "", **query: str) -> httpx.Response:
        return await (await self.party(oin)).get(f"/v1/gesprekken{path}", **query)

    async def reads(self, oin: Oin, path: str = "", **query: str) -> Any:
        """What is answered, as the OpenAPI document promises it."""
        answer = await self.asks(oin, path, **query)
        assert answer.status_code == 200, answer.text
        GESPREKKEN["Gesprek" if path else "Gesprekken"].validate(answer.json())
        return answer.json()

    async def directory(self, more: str = "", parties: Sequence[Entry] | None = None) -> None:
        """Make this the directory at once."""
        self.here.world.apply(entries() if parties is None else parties, more)
        await self.here.gateway.services.line.directory.refresh()  # type: ignore[attr-defined]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trial(
    new_world: NewWorld, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Trial]:
    folder = tmp_path_factory.mktemp("gesprekken")
    ahead = folder / "vooruit"
    world = new_world(folder / "gateway", entries(), clock_ahead=str(ahead))
    async with started(world) as here:
        yield Trial(here, ahead)


async def a_question(trial: Trial, *, to: Oin = SE, sender: Oin = SHV) -> tuple[str, str]:
    """A conversation in which a balance was asked: its id and the number of the question."""
    conversation = fresh()
    await trial.says("Kennisgeving", conversation, sender=sender, to=to)
    return conversation, await trial.says("Saldoverzoek", conversation, sender=sender, to=to)


async def test_both_parties_read_where_it_stands_and_who_is_to_do_what(trial: Trial) -> None:
    conversation, question = await a_question(trial)
    today = trial.here.gateway.services.line.clock()
    last = tot_en_met(FIFTEEN_WORKING_DAYS, today, read_terms().calendar).isoformat()

    for oin in (SHV, SE):
        told = await trial.reads(oin, f"/{conversation}")

        assert (told["shv"], told["se"]) == (SHV, SE)
        assert told["staat"] == {
            "code": "SALDO_GEVRAAGD",
            "tekst": "De schuldhulpverlener wacht op de opgave.",
        }
        [expected] = [one for one in told["verwacht"] if one["op"]["soort"] == "Saldoverzoek"]
        assert expected == {
            "van": SE,
            "kant": "se",
            "wat": "ANTWOORD",
            "op": {"referentienummer": question, "soort": "Saldoverzoek"},
            "met": ["SaldoverzoekAntwoord", "SaldoverzoekAntwoordVoorafAkkoord", "GeenMedewerking"],
            "totEnMet": last,
            "verstreken": False,
        }
        assert [(one["soort"], one["status"]) for one in told["vragen"]] == [
            ("Kennisgeving", "open"),
            ("Saldoverzoek", "open"),
        ]
        assert [one["soort"] for one in told["berichten"]] == ["Kennisgeving", "Saldoverzoek"]
        assert {"ontvangenOp", "beschikbaarOp"} <= told["berichten"][1].keys()
        assert told["aantalBerichten"] == 2


async def test_no_content_is_told(trial: Trial) -> None:
    conversation, question = await a_question(trial)
    await trial.says("SaldoverzoekAntwoord", conversation, sender=SE, to=SHV, cross=question)

    said = (await trial.asks(SHV, f"/{conversation}")).text + (await trial.asks(SHV)).text

    assert [each for each in CANARIES if each in said] == []


@pytest.mark.parametrize("oin", [PUBLIEKE_SE, OVERIGE_SHV, BEWINDVOERDER, STRANGER])
async def test_a_third_party_finds_nothing_whether_it_exists_or_not(oin: Oin, trial: Trial) -> None:
    conversation, question = await a_question(trial)

    for path in (f"/{conversation}", f"/{fresh()}"):
        answer = await trial.asks(oin, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NIET_GEVONDEN")
    refused = await trial.asks(oin, f"/{conversation}/verklaring", vraag=question)
    assert (refused.status_code, refused.json()["code"]) == (404, "NIET_GEVONDEN")
    assert conversation not in listed(await trial.reads(oin))


async def test_nobody_reads_without_a_token(trial: Trial) -> None:
    for path in ("", f"/{fresh()}", f"/{fresh()}/verklaring?vraag={fresh()}"):
        answer = await trial.here.get(f"/v1/gesprekken{path}")
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_ONGELDIG")


def listed(page: Any) -> list[str]:
    return [each["conversatieReferentienummer"] for each in page["gesprekken"]]


async def test_a_mandate_lets_its_holder_read_on_its_days_and_in_its_module_only(
    trial: Trial,
) -> None:
    conversation, question = await a_question(trial)
    await trial.says("CrisisMelding", conversation, module="crisis")
    today = local_day(trial.here.gateway.services.line.clock())

    def mandate(module: str, van: int, tot_en_met: int) -> str:
        first, last = (today + timedelta(days=n) for n in (van, tot_en_met))
        return (
            f'\n[[machtiging]]\nhouder = "{BEWINDVOERDER}"\nnamens = "{SE}"\n'
            f'module = "{module}"\nvan = {first}\ntot_en_met = {last}\n'
        )

    async def sees() -> list[str]:
        answer = await trial.asks(BEWINDVOERDER, f"/{conversation}")
        both = conversation in listed(await trial.reads(BEWINDVOERDER))
        assert both == (answer.status_code == 200)
        return [one["soort"] for one in answer.json().get("berichten", ())]

    await trial.directory(mandate("schuldregeling", 1, 9))
    assert await sees() == []
    await trial.directory(mandate("schuldregeling", -9, -1))
    assert await sees() == []
    await trial.directory(mandate("bewindvoering", 0, 0))
    assert await sees() == []
    await trial.directory(mandate("crisis", 0, 0))
    assert await sees() == ["CrisisMelding"]
    await trial.directory(mandate("schuldregeling", 0, 0))
    assert await sees() == ["Kennisgeving", "Saldoverzoek"]
    told = await trial.reads(BEWINDVOERDER, f"/{conversation}")
    assert {one["op"]["soort"] for one in told["verwacht"]} == {"Kennisgeving", "Saldoverzoek"}
    assert question in {one["referentienummer"] for one in told["vragen"]}
    await trial.directory()
    assert await sees() == []


async def test_a_successor_reads_the_conversations_of_who_merged_into_it(trial: Trial) -> None:
    conversation, _ = await a_question(trial, to=PUBLIEKE_SE)
    today = local_day(trial.here.gateway.services.line.clock())
    merger = f'\n[[opvolging]]\nvan = "{PUBLIEKE_SE}"\nnaar = "{STRANGER}"\nop = {{}}\n'

    await trial.directory(merger.format(today + timedelta(days=1)))
    assert (await trial.asks(STRANGER, f"/{conversation}")).status_code == 404
    await trial.directory(merger.format(today))
    told = await trial.reads(STRANGER, f"/{conversation}")

    assert told["staat"]["code"] == "SALDO_GEVRAAGD"
    assert conversation in listed(await trial.reads(STRANGER))
    assert conversation in listed(await trial.reads(STRANGER, aan_zet="ik"))
    await trial.directory()


async def test_conversations_are_listed_newest_change_first_and_paged(trial: Trial) -> None:
    made = [(await a_question(trial, sender=OVERIGE_SHV, to=PUBLIEKE_SE))[0] for _ in range(5)]
    await trial.says("Navraag", made[1], sender=OVERIGE_SHV, to=PUBLIEKE_SE)
    newest_first = [made[1], *reversed([made[0], *made[2:]])]

    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await trial.reads(OVERIGE_SHV, partij=PUBLIEKE_SE, aantal="2", **cursor)
        pages.append(listed(page))
        if "volgende" not in page:
            break
        cursor = {"na": str(page["volgende"])}

    assert [one for page in pages for one in page] == newest_first
    assert [len(page) for page in pages] == [2, 2, 1]
    since = (await trial.reads(OVERIGE_SHV, aantal="1"))["gesprekken"][0]["gewijzigdOp"]
    assert listed(await trial.reads(OVERIGE_SHV, sinds=since)) == made[1:2]
    assert listed(await trial.reads(OVERIGE_SHV, partij=GATEWAY)) == []


async def test_a_list_is_narrowed_by_state_and_by_whose_turn_it_is(trial: Trial) -> None:
    asked, _ = await a_question(trial)
    answered, other = await a_question(trial)
    notice = (await trial.reads(SE, f"/{answered}"))["vragen"][0]["referentienummer"]
    await trial.says("KennisgevingAntwoord", answered, sender=SE, to=SHV, cross=notice)
    await trial.says("SaldoverzoekAntwoord", answered, sender=SE, to=SHV, cross=other)

    waiting = listed(await trial.reads(SHV, staat="SALDO_GEVRAAGD"))
    stated = listed(await trial.reads(SHV, staat="SALDO_ONTVANGEN"))
    assert asked in waiting
    assert answered not in waiting
    assert answered in stated
    assert asked not in stated
    mine, theirs = [listed(await trial.reads(oin, aan_zet="ik")) for oin in (SHV, SE)]
    assert (asked in theirs, answered in theirs) == (True, False)
    # a balance starts the term for a proposal under this convenant: the helper's turn
    assert (asked in mine, answered in mine) == (False, True)


async def test_only_the_helper_is_told_of_its_proposal_and_of_linked_conversations(
    trial: Trial,
) -> None:
    conversation, question = await a_question(trial)
    moved = {
        "schuldtype": "OVERGEDRAGEN",
        "factuurnummerSe": "E-2023-0090",
        "overdracht": {
            "soort": "CESSIE",
            "naam": "Rijk Voorbeeld",
            "kvkNummer": KVK,
            "datum": "2025-09-01",
        },
    }
    answer = {"vorderingen": [moved], "totaalSaldoInCenten": 0}
    await trial.says(
        "SaldoverzoekAntwoord", conversation, sender=SE, to=SHV, cross=question, change=answer
    )

    helper, creditor = [await trial.reads(oin, f"/{conversation}") for oin in (SHV, SE)]

    [term] = [one for one in helper["verwacht"] if one["wat"] == "VOORSTEL"]
    assert (term["van"], term["met"]) == (SHV, ["Betaalvoorstel"])
    [linked] = helper["vervolggesprekken"]
    assert linked.pop("conversatieReferentienummer") != conversation
    assert linked.pop("modules") == sorted(
        trial.here.gateway.services.line.directory().parties[PUBLIEKE_SE].modules
    )
    assert linked == {
        "soort": "CESSIE",
        "kvkNummer": KVK,
        "aangesloten": True,
        "oin": PUBLIEKE_SE,
        "naam": "Rijk Voorbeeld",
    }
    assert "vervolggesprekken" not in creditor
    assert "VOORSTEL" not in {one["wat"] for one in creditor["verwacht"]}
    assert "VOORSTEL" not in {one["soort"] for one in creditor["termijnen"]}


async def test_an_end_is_told_to_both_with_a_reason_that_creditors_may_know(
    trial: Trial,
) -> None:
    conversation, _ = await a_question(trial)
    await trial.says(
        "RegelingBeeindigd", conversation, change={"reden": "WSNP", "toelichting": None}
    )

    for oin in (SHV, SE):
        told = await trial.reads(oin, f"/{conversation}")
        assert (told["staat"]["code"], told["reden"]) == ("BEEINDIGD", "WSNP")
        assert (told["termijnen"], told["verwacht"]) == ([], [])


async def test_a_conversation_id_that_several_pairs_use_needs_the_other_party(
    trial: Trial,
) -> None:
    conversation = fresh()
    for creditor in (SE, PUBLIEKE_SE):
        await trial.says("Kennisgeving", conversation, to=creditor)

    both = await trial.asks(SHV, f"/{conversation}")
    assert (both.status_code, both.json()["code"]) == (400, "VERZOEK_ONGELDIG")
    assert "?partij=" in both.json()["errors"][0]["detail"]
    for creditor in (SE, PUBLIEKE_SE):
        told = await trial.reads(SHV, f"/{conversation}", partij=creditor)
        assert told["se"] == creditor
        assert (await trial.reads(creditor, f"/{conversation}"))["se"] == creditor
    assert (await trial.asks(SHV, f"/{conversation}", partij=INCASSO)).status_code == 404


async def test_a_status_is_answered_for_who_allows_that_and_else_only_delivered(
    trial: Trial,
) -> None:
    allowed, _ = await a_question(trial, sender=OVERIGE_SHV)
    silent, _ = await a_question(trial, sender=SHV)

    asked = await trial.says("Statusverzoek", allowed, sender=SE, to=OVERIGE_SHV)
    told = await trial.reads(SE, f"/{allowed}")
    [question] = [one for one in told["vragen"] if one["referentienummer"] == asked]
    assert question["status"] == "beantwoord"
    [answer] = [one for one in told["berichten"] if one["soort"] == "StatusberichtShv"]
    assert (answer["afzender"], answer["namens"]) == (GATEWAY, OVERIGE_SHV)
    assert answer["referentienummer"] == question["door"]

    await trial.says("Statusverzoek", silent, sender=SE, to=SHV)
    told = await trial.reads(SHV, f"/{silent}")
    assert [(o["soort"], o["van"]) for o in (e | e["op"] for e in told["verwacht"])][-1] == (
        "Statusverzoek",
        SHV,
    )
    assert "StatusberichtShv" not in {one["soort"] for one in told["berichten"]}


@pytest.mark.parametrize(
    "query",
    [
        {"staat": "x"},
        {"aan_zet": "jij"},
        {"partij": "1"},
        {"sinds": "gisteren"},
        {"sinds": "2026-03-17T09:00:00"},
        {"aantal": "0"},
        {"na": "x"},
    ],
    ids=str,
)
async def test_a_question_about_conversations_that_is_none_is_refused(
    query: dict[str, str], trial: Trial
) -> None:
    answer = await trial.asks(SHV, **query)

    assert (answer.status_code, answer.json()["code"]) == (400, "VERZOEK_ONGELDIG")


# The statement that nobody reacted; the clock goes on from here


async def a_statement(trial: Trial, oin: Oin, conversation: str, vraag: str, **more: str) -> Any:
    return await trial.asks(oin, f"/{conversation}/verklaring", vraag=vraag, **more)


async def test_no_statement_while_the_term_runs_or_where_there_is_none(trial: Trial) -> None:
    conversation, question = await a_question(trial)
    notice = (await trial.reads(SHV, f"/{conversation}"))["vragen"][0]["referentienummer"]

    running = await a_statement(trial, SHV, conversation, question)
    without = await a_statement(trial, SHV, conversation, notice)
    unknown = await a_statement(trial, SHV, conversation, fresh())

    assert (running.status_code, running.json()["code"]) == (409, "TERMIJN_LOOPT_NOG")
    assert "tot en met" in running.json()["errors"][0]["detail"]
    assert (without.status_code, without.json()["code"]) == (400, "VERZOEK_ONGELDIG")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "NIET_GEVONDEN")


def audited(trial: Trial, file: Path) -> Any:
    said = operator(trial.here.world, "bewijs", "controleer", str(file), "--grootboek", "--json")
    return {"code": said.code, **json.loads(said)}


async def test_after_the_term_the_asker_gets_a_statement_that_a_late_answer_overtakes(
    trial: Trial, tmp_path: Path
) -> None:
    conversation, question = await a_question(trial)
    answered, other = await a_question(trial)
    await trial.says("SaldoverzoekAntwoord", answered, sender=SE, to=SHV, cross=other)
    for _ in range(4):
        await trial.pass_by(7)

    told = await trial.reads(SHV, f"/{conversation}")
    assert told["staat"]["code"] == "SALDO_VERLOPEN"
    assert [one["verstreken"] for one in told["verwacht"] if "verstreken" in one] == [True]
    assert [one["soort"] for one in told["berichten"]][-1] == "TermijnVerstreken"
    [term] = told["termijnen"]

    too_late = await a_statement(trial, SHV, answered, other)
    assert (too_late.status_code, too_late.json()["code"]) == (409, "VRAAG_AL_BEANTWOORD")
    other_side = await a_statement(trial, SE, conversation, question)
    assert (other_side.status_code, other_side.json()["code"]) == (404, "NIET_GEVONDEN")

    made = await a_statement(trial, SHV, conversation, question)
    assert (made.status_code, made.headers["content-type"]) == (200, "application/xml")
    peer = await trial.party(SHV)
    statement = peer.believe_xml(made.content)["verklaringGeenReactie"]
    assert statement["soort"] == "GEEN_REACTIE"
    assert (statement["vrager"], statement["gevraagde"]) == (SHV, SE)
    assert statement["termijnTotEnMet"] == term["totEnMet"]
    assert statement["beschikbaarOp"] == term["beschikbaarOp"]
    assert statement["herinneringen"] == term["herinnerdOp"]
    assert "opgehaaldOp" not in statement
    assert [each for each in CANARIES if each.encode() in made.content] == []

    file = tmp_path / "verklaring.xml"
    file.write_bytes(made.content)
    before = audited(trial, file)
    assert (before["code"], before["klopt"], before["achterhaald"]) == (0, True, [])
    late = await trial.says("SaldoverzoekAntwoord", conversation, sender=SE, to=SHV, cross=question)
    after = audited(trial, file)
    assert (after["code"], after["klopt"]) == (1, True)
    assert [(one["antwoord"], one["zeker"]) for one in after["achterhaald"]] == [(late, True)]
    [message] = [
        one
        for one in (await trial.reads(SHV, f"/{conversation}"))["berichten"]
        if one["referentienummer"] == late
    ]
    assert message["teLaat"] is True


async def test_a_statement_comes_as_a_document_for_people_too_and_is_signed_for(
    trial: Trial,
) -> None:
    conversation, question = await a_question(trial)
    for _ in range(4):
        await trial.pass_by(7)
    peer = await trial.party(SHV)
    url = f"{peer.url}/v1/gesprekken/{conversation}/verklaring?vraag={question}"

    pages = await peer.client.get(
        url, headers={**await peer.authorization(), "Accept": "application/pdf"}
    )
    image = await peer.client.get(
        url, headers={**await peer.authorization(), "Accept": "image/png"}
    )

    assert pages.headers["content-type"] == "application/pdf"
    assert pages.content.startswith(b"%PDF")
    assert etree.QName(etree.fromstring(attached(pages.content))).localname
    assert image.status_code == 406
    proof = (await peer.get(f"/v1/berichten/{question}/bewijs")).json()["bewijspakket"]
    assert [each["soort"] for each in proof["gebeurtenissen"]].count("verklaring") == 1


def attached(pages: bytes) -> bytes:
    return pages[
        pages.index(b"<VerklaringGeenReactie") : pages.index(b"</VerklaringGeenReactie>") + 24
    ]


async def test_who_was_never_reached_gets_no_statement_of_silence_against_it(
    trial: Trial,
) -> None:
    conversation, question = await a_question(trial, to=UNREACHED)
    for _ in range(4):
        await trial.pass_by(7)

    refused = await a_statement(trial, SHV, conversation, question, soort="GEEN_REACTIE")
    made = await a_statement(trial, SHV, conversation, question)

    assert (refused.status_code, refused.json()["code"]) == (409, "NIET_BESCHIKBAAR_GEWEEST")
    assert made.status_code == 200, made.text
    statement = (await trial.party(SHV)).believe_xml(made.content)["verklaringGeenReactie"]
    assert (statement["soort"], statement["code"]) == (
        "NIET_BEREIKBAAR",
        "NIET_BESCHIKBAAR_GEWEEST",
    )
    assert not {"beschikbaarOp", "opgehaaldOp", "bevestigdOp"} & statement.keys()


async def test_the_status_page_says_where_terms_end_and_names_no_conversation(
    trial: Trial,
) -> None:
    conversation, _ = await a_question(trial)
    client, url = trial.here.reach.client, trial.here.reach.url

    page = await client.get(f"{url}/console")
    figures = (await client.get(f"{url}/console/stand.json")).json()["terms"]

    assert figures["due"] == 0
    assert figures["later"] + figures["week"] >= 1
    assert "Termijnen" in page.text
    assert conversation not in page.text
