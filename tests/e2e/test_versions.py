"""An SHV of the newest version and a creditor of release 1.x hold one conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio

from fixtures.documents import kind
from fixtures.parties import CaseSystem, fresh
from fixtures.world import PUBLIEKE_SE, SE, SHV, Entry, the_usual
from gateway.delivery import Answer, Attempted
from gateway.message import Channel, Json, Kind, Parcel, as_bytes
from gateway.pipeline import dispatch
from gateway.routing.directory import Party
from tests.conftest import NewWorld
from tests.e2e.here import Here, a_notice, reference_of, started
from tests.servers.party import a_delivery

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTICE = kind("schuldregeling", "Kennisgeving")
ASK = kind("schuldregeling", "Saldoverzoek")
OLD_UNKNOWN = Kind("schuldregeling", 1, "KlantOnbekend")
OLD_ANSWER = Kind("schuldregeling", 1, "SaldoverzoekAntwoord")
OLD = {"versies": "{ schuldregeling = 1 }"}
ALLOWED = {"verliesToegestaan": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mixed(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """A gateway with a creditor that reads the older version in JSON, and one in XML."""
    entries = the_usual(
        se=Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", more=OLD),
        publieke_se=Entry(PUBLIEKE_SE, "Rijk Voorbeeld", "schuldeiser", vorm="xml", more=OLD),
    )
    async with started(new_world(tmp_path_factory.mktemp("versions"), entries)) as here:
        yield here


async def collected(party: CaseSystem, made: Json) -> Json:
    """The delivery of this message, taken out of the postbus."""
    (found,) = [
        each
        for each in await party.collect(wait=10)
        if each["referentienummer"] == reference_of(made)
    ]
    await party.confirm(found["afleverId"])
    return dict(found["aflevering"])


async def test_what_the_creditor_cannot_read_is_refused_with_every_field(mixed: Here) -> None:
    answer = await mixed.json.send(a_notice(which=NOTICE))

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "VERSIE_KAN_DIT_NIET")
    assert [each["path"] for each in problem["errors"]] == [
        "/kennisgeving/klant/eerdereNamen",
        "/kennisgeving/eerdereAdressen",
        "/kennisgeving/leveringsadressen",
        "/kennisgeving/toelatingsdatum",
        "/kennisgeving/gevraagdePauze",
    ]


async def test_a_question_goes_down_with_consent_and_its_answer_comes_up(mixed: Here) -> None:
    creditor = mixed.party(SE)
    question = a_notice(which=ASK, head=ALLOWED, conversation=(conversation := fresh()))

    accepted = await mixed.json.send(question)

    assert accepted.status_code == 202, accepted.text
    left_out = accepted.json()["ontvangstbevestiging"]["weggelaten"]
    read = await collected(creditor, question)
    assert (read["soort"], read["versie"]) == ("Saldoverzoek", "1.0")
    assert read["bewerkingen"] == ["OMLAAG", "WEGGELATEN"]
    assert read["bericht"]["saldoverzoek"]["stuurgegevens"]["weggelaten"] == left_out
    assert "adres" in read["bericht"]["saldoverzoek"]

    answer = a_notice(
        which=OLD_ANSWER,
        sender=SE,
        recipient=SHV,
        conversation=conversation,
        head={"crossReferentienummer": reference_of(question)},
    )
    said = await creditor.send(answer)

    assert said.status_code == 202, said.text
    assert said.json()["ontvangstbevestiging"]["bericht"]["versie"] == "1.0"
    got = await collected(mixed.json, answer)
    assert (got["soort"], got["versie"]) == ("SaldoverzoekAntwoord", "2.0")
    assert got["bewerkingen"] == ["OMHOOG"]
    assert "weggelaten" not in said.json()["ontvangstbevestiging"]


async def test_klant_onbekend_ends_what_a_notice_of_the_newest_version_began(mixed: Here) -> None:
    creditor = mixed.party(SE)
    notice = a_notice(which=NOTICE, head=ALLOWED, conversation=(conversation := fresh()))
    assert (await mixed.json.send(notice)).status_code == 202
    assert (await collected(creditor, notice))["soort"] == "KlantGemeldVoorShv"

    unknown = a_notice(
        which=OLD_UNKNOWN,
        sender=SE,
        recipient=SHV,
        conversation=conversation,
        head={"crossReferentienummer": reference_of(notice)},
    )
    assert (await creditor.send(unknown)).status_code == 202

    got = await collected(mixed.json, unknown)
    assert got["bericht"]["geenMedewerking"]["reden"] == "KLANT_ONBEKEND"


async def test_a_message_goes_down_into_signed_xml_of_the_older_version(mixed: Here) -> None:
    creditor = mixed.reach.creditor(PUBLIEKE_SE)
    made = a_notice(which=NOTICE, head=ALLOWED, recipient=PUBLIEKE_SE)
    assert (await mixed.post(mixed.signed(made, NOTICE))).status_code == 202

    (found,) = await creditor.collect(wait=10)

    read = creditor.believe_xml(found["xml"].encode())["aflevering"]
    assert read["bericht"]["klantGemeldVoorShv"]["adres"] == made["kennisgeving"]["adreskeuze"].get(
        "binnenlands"
    )
    assert read["bewerkingen"] == ["OMLAAG", "WEGGELATEN"]


async def test_the_same_question_again_gets_the_first_receipt_with_what_was_left_out(
    mixed: Here,
) -> None:
    question = a_notice(which=ASK, head=ALLOWED)

    first = await mixed.json.send(question)
    again = await mixed.json.send(question)

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.content == first.content
    assert first.json()["ontvangstbevestiging"]["weggelaten"]


@dataclass
class Keeping:
    """A way out that keeps what leaves by it."""

    parcels: list[Parcel] = field(default_factory=list)

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        self.parcels.append(parcel)
        return Attempted(Answer.OFFERED)


async def test_what_is_sent_out_is_in_the_version_that_its_recipient_reads(mixed: Here) -> None:
    way = Keeping()
    line = replace(mixed.gateway.services.line, channels={Channel.QUEUE: way})
    made = a_notice(which=NOTICE, head=ALLOWED)

    await dispatch(a_delivery(ontvanger=SE, kind=NOTICE, canonical=as_bytes(made)), line)

    (parcel,) = way.parcels
    assert parcel.delivery.kind == Kind("schuldregeling", 1, "KlantGemeldVoorShv")
