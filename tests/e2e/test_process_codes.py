"""Every code of the process, from the seat of who gets it: what it reads is enough to go on.

No message gets NIET_BESCHIKBAAR_GEWEEST: that answers who asks for a statement of a missing
reaction. A consultation of VISH that is complete reads ONTVANGER_ONBEKEND: nobody answers it yet.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from signxml.algorithms import SignatureMethod

from fixtures import gesprekken
from fixtures.ahead import Ahead
from fixtures.documents import document, kind
from fixtures.parties import fresh, now
from fixtures.pki import Variant
from fixtures.world import (
    BEWINDVOERDER,
    GATEWAY,
    INCASSO,
    OVERIGE_SHV,
    PUBLIEKE_SE,
    SE,
    SHV,
    SHV_FASE_1,
    STRANGER,
    Entry,
    the_usual,
)
from gateway.message import Json, Kind, Oin
from tests.conftest import NewWorld
from tests.e2e.bad_messages import bytes_of_xml, signed_text, signed_tree, signed_with
from tests.e2e.bad_xml import (
    after_declaration,
    another_signature_value,
    deeper,
    without_signature,
)
from tests.e2e.here import NOTICE, Here, Sent, a_notice, reference_of, started
from tests.unit.talking import module_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLD = {"versies": "{ schuldregeling = 1 }"}
BEYOND = Oin("00000099000000010000")
LARGER_THAN_ALLOWED = 10 * 1024 * 1024 + 1
GONE, HEIR = PUBLIEKE_SE, BEWINDVOERDER
MERGED = f'\n[[opvolging]]\nvan = "{GONE}"\nnaar = "{HEIR}"\nop = 2020-01-01\n'


def entries() -> list[Entry]:
    """Creditors of every sort: one with a term for objections, one that reads the older version,
    one that may have no BSN, one that is not connected, and one that merged into another."""
    variants = (Variant.GOOD, Variant.EXPIRED)
    return the_usual(
        shv=Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", variants=variants),
        se=Entry(SE, "Energie", "schuldeiser", more={"convenant": '"COLLECTIEF"'}),
        incasso=Entry(INCASSO, "Oud Systeem", "schuldeiser", more=OLD),
        stranger=Entry(STRANGER, "Zonder BSN", "schuldeiser", may_have_bsn=False),
        bewindvoerder=Entry(HEIR, "Opvolger", "schuldeiser"),
        publieke_se=Entry(GONE, "Opgegaan", "schuldeiser"),
        beyond=Entry(BEYOND, "Niet aangesloten", "schuldeiser", modules=("crisis",)),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, new_world: NewWorld
) -> AsyncIterator[Here]:
    """One gateway for all codes, whose clock can be set ahead."""
    folder = tmp_path_factory.mktemp("codes")
    world = new_world(folder, entries(), clock_ahead=str(folder / "ahead"))
    world.apply(entries(), MERGED)
    async with started(world) as here:
        yield here


@dataclass
class Seat:
    """A conversation, as those who hold it see it; they write XML and read problems."""

    here: Here
    thread: str = field(default_factory=fresh)

    async def say(
        self,
        soort: str,
        by: Oin = SHV,
        to: Oin | None = None,
        *,
        cross: str | None = None,
        change: Json | None = None,
        head: Json | None = None,
    ) -> Told:
        """Send the example of a kind."""
        which = kind(module_of(soort), soort)
        made = document(
            which,
            reference=fresh(),
            conversation=self.thread,
            sender=by,
            recipient=to or (SE if by == SHV else SHV),
            at=now(),
            cross=cross,
            change=change,
        )
        next(iter(made.values()))["stuurgegevens"] |= head or {}
        return await self.send(which, made, by)

    async def send(self, which: Kind, made: Json, by: Oin) -> Told:
        """Send this."""
        creditor = self.here.reach.creditor(by)
        return Told(await creditor.send(which, made), reference_of(made))

    async def stated(self, *, consent: bool = False) -> tuple[str, str]:
        """A question for the balance and its answer; their numbers."""
        asked = (await self.say("Saldoverzoek")).accepted()
        soort = "SaldoverzoekAntwoordVoorafAkkoord" if consent else "SaldoverzoekAntwoord"
        until = {"geldigTotEnMet": (now() + timedelta(days=60)).date().isoformat()}
        change = {"standaardAkkoord": until} if consent else {}
        answered = await self.say(soort, SE, cross=asked, change=change)
        return asked, answered.accepted()


class Told(NamedTuple):
    """What the sender of a message reads."""

    answer: httpx.Response
    number: str

    def accepted(self) -> str:
        """The message was taken; its number."""
        assert self.answer.status_code == 202, self.answer.text
        return self.number

    def refused(self, code: str, nl: str, en: str) -> Json:
        """It was refused with this code, and says in both languages what to do."""
        problem: Json = self.answer.json()
        assert problem["code"] == code, self.answer.text
        assert problem["type"].endswith(f":{code}")
        assert problem["title"]
        assert nl in problem["detail"], problem["detail"]
        assert en in problem["detailEn"], problem["detailEn"]
        return problem


def only(problem: Json) -> Json:
    """The one finding, of which the place is known."""
    (found,) = problem["errors"]
    assert found["path"].startswith("/")
    return dict(found)


def number_in(text: str) -> str:
    """The number that a text names."""
    found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
    assert found is not None, text
    return found[0]


async def test_geen_recht(here: Here) -> None:
    seat = Seat(here)
    asked = (await seat.say("Saldoverzoek", SHV, HEIR)).accepted()
    (await seat.say("SaldoverzoekAntwoord", HEIR, SHV, cross=asked)).accepted()

    told = await Seat(here).say("Betaalvoorstel", SHV_FASE_1, HEIR)

    found = only(told.refused("GEEN_RECHT", "noemt de regel en wat wel kan", "what is possible"))
    assert found["detail"]
    assert found["detailEn"]
    assert found["path"].endswith("Afzender")
    (await seat.say("Betaalvoorstel", SHV, HEIR)).accepted()


async def test_bijlage_ontbreekt(here: Here) -> None:
    told = gesprekken.load(gesprekken.CONVERSATIONS / "10-zonder-toestemming.toml")
    (without, bare), (with_it, whole) = list(
        gesprekken.documents(told, start=now() - timedelta(days=1), fresh=fresh)
    )[:2]
    seat = Seat(here)

    refused = await seat.send(without.kind, bare, OVERIGE_SHV)

    found = only(refused.refused("BIJLAGE_ONTBREEKT", "met die bijlage", "with that attachment"))
    assert "TOESTEMMING" in found["detail"] + found["rule"]
    (await seat.send(with_it.kind, whole, OVERIGE_SHV)).accepted()


async def test_bsn_niet_toegestaan(here: Here) -> None:
    seat = Seat(here)

    told = await seat.say("KennisgevingPubliek", SHV, STRANGER)

    problem = told.refused("BSN_NIET_TOEGESTAAN", "de variant zonder", "the variant without")
    assert {each["path"].rsplit("/", 1)[1] for each in problem["errors"]} == {"BSN"}
    assert "Kennisgeving" in problem["errors"][0]["detail"]
    (await seat.say("Kennisgeving", SHV, STRANGER)).accepted()


async def test_vraag_onbekend(here: Here) -> None:
    seat = Seat(here)
    asked = (await seat.say("Saldoverzoek")).accepted()

    told = await seat.say("SaldoverzoekAntwoord", SE, cross=fresh())

    problem = told.refused("VRAAG_ONBEKEND", "Controleer het crossReferentienummer", "new answer")
    assert only(problem)["path"].endswith("/Stuurgegevens/CrossReferentienummer")
    (await seat.say("SaldoverzoekAntwoord", SE, cross=asked)).accepted()


async def test_vraag_al_beantwoord(here: Here) -> None:
    seat = Seat(here)
    asked, answered = await seat.stated()

    told = await seat.say("SaldoverzoekAntwoord", SE, cross=asked)

    found = only(told.refused("VRAAG_AL_BEANTWOORD", "in 'vervangt' noemt", "in 'vervangt'"))
    earlier = number_in(found["detail"])
    assert earlier == number_in(found["detailEn"]) == answered
    (await seat.say("SaldoverzoekAntwoord", SE, cross=asked, head={"vervangt": earlier})).accepted()


async def test_vraag_vervangen(here: Here) -> None:
    seat = Seat(here)
    first = (await seat.say("Saldoverzoek")).accepted()
    (await seat.say("Saldoverzoek")).accepted()

    told = await seat.say("SaldoverzoekAntwoord", SE, cross=first)

    problem = told.refused("VRAAG_VERVANGEN", "op die nieuwe vraag", "to that newer question")
    newer = number_in(only(problem)["detail"])
    (await seat.say("SaldoverzoekAntwoord", SE, cross=newer)).accepted()


async def test_gesprek_beeindigd(here: Here) -> None:
    seat = Seat(here)
    (await seat.say("Saldoverzoek")).accepted()
    ended = {"status": "OVERGEDRAGEN_ANDERE_SHV"}
    (await seat.say("StatusberichtShv", change=ended)).accepted()

    told = await seat.say("Saldoverzoek")

    told.refused("GESPREK_BEEINDIGD", "begin voor een nieuw traject", "a new trajectory begins")
    (await Seat(here).say("Saldoverzoek")).accepted()


async def test_saldo_nog_open(here: Here) -> None:
    seat = Seat(here)
    asked = (await seat.say("Saldoverzoek")).accepted()

    told = await seat.say("Betaalvoorstel")

    told.refused("SALDO_NOG_OPEN", "Wacht op de opgave", "Wait for the answer")
    (await seat.say("SaldoverzoekAntwoord", SE, cross=asked)).accepted()
    (await seat.say("Betaalvoorstel")).accepted()


async def test_vordering_niet_in_gesprek(here: Here) -> None:
    seat = Seat(here)
    await seat.stated()
    good = body_of("Betaalvoorstel")["voorstel"]["vorderingen"]
    strange = [good[0], {**good[1], "factuurnummerSe": "E-2024-9999"}]

    told = await seat.say("Betaalvoorstel", change={"voorstel": {"vorderingen": strange}})

    problem = told.refused(
        "VORDERING_NIET_IN_GESPREK",
        "Gebruik de vorderingen uit de laatste opgave",
        "Use the claims",
    )
    assert "[2]" in only(problem)["path"]
    (await seat.say("Betaalvoorstel")).accepted()


async def test_wijkt_af_van_akkoord(here: Here) -> None:
    seat = Seat(here)
    await seat.stated()
    proposed = (await seat.say("Betaalvoorstel")).accepted()
    (await seat.say("BetaalvoorstelAntwoord", SE, cross=proposed)).accepted()
    good = body_of("RegelingGeaccordeerd")["vorderingen"]
    other = [good[0], {**good[1], "prognoseEindbedragInCenten": 4724}]

    told = await seat.say("RegelingGeaccordeerd", change={"vorderingen": other})

    problem = told.refused(
        "WIJKT_AF_VAN_AKKOORD", "zoals zij is overeengekomen", "Send the arrangement as agreed"
    )
    path = only(problem)["path"]
    assert "[2]" in path
    assert path.endswith("/PrognoseEindbedrag")
    (await seat.say("RegelingGeaccordeerd")).accepted()


async def test_akkoord_voorlopig_and_termijn_voorbij(here: Here) -> None:
    seat = Seat(here)
    await seat.stated(consent=True)
    proposed = (await seat.say("Betaalvoorstel")).accepted()

    too_soon = await seat.say("RegelingGeaccordeerd")

    too_soon.refused("AKKOORD_VOORLOPIG", "Wacht tot de bezwaartermijn om is", "Wait until")
    path = here.world.settings.clock_ahead
    assert path is not None
    Ahead(path).set(now() + timedelta(days=20))
    try:
        no = {"besluit": "NIET_AKKOORD", "betaalgegevens": None, "afwijzing": REFUSAL}
        late = await seat.say("BetaalvoorstelAntwoord", SE, cross=proposed, change=no)
        late.refused("TERMIJN_VOORBIJ", "wat er nu nog kan", "what is still possible")
        (await seat.say("Navraag", SE)).accepted()
        (await seat.say("RegelingGeaccordeerd")).accepted()
    finally:
        path.unlink()


REFUSAL = {"reden": "BEDRAG_TE_LAAG", "toelichting": "Wij zien ruimte voor een hoger aanbod."}


async def test_pauze_bindend(here: Here) -> None:
    seat = Seat(here)
    asked = (await seat.say("IncassopauzeVerzoek")).accepted()
    no = {"resultaat": "GEWEIGERD", "pauze": None, "redenWeigering": "GEEN_AFSPRAAK"}

    told = await seat.say("IncassopauzeAntwoord", SE, cross=asked, change=no)

    told.refused("PAUZE_BINDEND", "zonder weigering", "without the refusal")
    (await seat.say("IncassopauzeAntwoord", SE, cross=asked)).accepted()


async def test_partij_opgevolgd(here: Here) -> None:
    seat = Seat(here)

    told = await seat.say("Saldoverzoek", SHV, GONE)

    problem = told.refused(
        "PARTIJ_OPGEVOLGD", "het OIN van de opvolger", "the OIN of the successor"
    )
    found = only(problem)
    _, successor = re.findall(r"[0-9]{20}", found["detail"])
    assert successor in found["detailEn"]
    (await seat.say("Saldoverzoek", SHV, Oin(successor))).accepted()


async def test_versie_kan_dit_niet(here: Here) -> None:
    seat = Seat(here)

    told = await seat.say("Kennisgeving", SHV, INCASSO)

    problem = told.refused("VERSIE_KAN_DIT_NIET", "verliesToegestaan", "verliesToegestaan")
    assert len(problem["errors"]) > 1
    (await seat.say("Kennisgeving", SHV, INCASSO, head={"verliesToegestaan": True})).accepted()


async def test_volgorde_ongeldig(here: Here) -> None:
    seat = Seat(here)
    await seat.stated()

    told = await seat.say("RegelingGeaccordeerd")

    problem = told.refused("VOLGORDE_ONGELDIG", "GET /v1/gesprekken/", "what is expected of whom")
    assert only(problem)["rule"] == "IN_SALDO_ONTVANGEN"
    proposed = (await seat.say("Betaalvoorstel")).accepted()
    (await seat.say("BetaalvoorstelAntwoord", SE, cross=proposed)).accepted()
    (await seat.say("RegelingGeaccordeerd")).accepted()


# --- the form -------------------------------------------------------------------------------------


def under(here: Here, content: str) -> Sent:
    """A good message, sent as something else."""
    good = here.signed(a_notice())
    return replace(good, headers=[("Content-Type", content)])


def in_the_name_of_another(here: Here) -> Sent:
    return here.as_xml(here.reach.creditor(INCASSO).signed(NOTICE, a_notice()))


def by_a_certificate(here: Here, variant: Variant) -> Sent:
    return here.as_xml(here.reach.creditor(SHV, variant).signed(NOTICE, a_notice()))


class Form(NamedTuple):
    """A message that is wrong, what its sender reads, and with which words."""

    code: str
    make: Callable[[Here], Sent]
    nl: str
    en: str


FORM = (
    Form("XML_ONGELDIG", bytes_of_xml(lambda b: b[:-30]), "met een XML-parser", "an XML parser"),
    Form(
        "DOCTYPE_VERBODEN",
        bytes_of_xml(after_declaration(b"<!DOCTYPE bericht>")),
        "Verwijder die",
        "Remove it",
    ),
    Form(
        "TE_GROOT",
        lambda here: here.as_xml(b" " * LARGER_THAN_ALLOWED),
        "Verklein de bijlagen",
        "Make the attachments smaller",
    ),
    Form(
        "MEDIATYPE_ONBEKEND",
        lambda here: under(here, "text/plain"),
        "Stuur application/xml of application/json",
        "Send application/xml or application/json",
    ),
    Form(
        "SCHEMA_ONGELDIG",
        signed_text(b"Voorletters>", b"Voorletter>"),
        "waar en waarom",
        "where and why",
    ),
    Form(
        "HANDTEKENING_ONTBREEKT",
        signed_tree(without_signature),
        "één enveloped XMLDSig",
        "one enveloped XMLDSig",
    ),
    Form(
        "HANDTEKENING_ONGELDIG",
        signed_tree(another_signature_value),
        "als laatste stap",
        "as the last step",
    ),
    Form("HANDTEKENING_POSITIE", signed_tree(deeper), "direct onder het", "directly under the"),
    Form(
        "ALGORITME_VERBODEN",
        signed_with(method=SignatureMethod.RSA_SHA1),
        "RSA of ECDSA met SHA-256",
        "RSA or ECDSA with SHA-256",
    ),
    Form(
        "CERTIFICAAT_ONBEKEND",
        lambda here: by_a_certificate(here, Variant.UNKNOWN),
        "door de beheerder toevoegen",
        "Ask the operator to add it",
    ),
    Form(
        "CERTIFICAAT_VERLOPEN",
        lambda here: by_a_certificate(here, Variant.EXPIRED),
        "een geldig, geregistreerd certificaat",
        "a valid, registered certificate",
    ),
    Form("AFZENDER_WIJKT_AF", in_the_name_of_another, "als de afzender", "as the sender"),
    Form(
        "ONTVANGER_ONBEKEND",
        lambda here: here.signed(a_notice(recipient=Oin("00000099000000099000"))),
        "Zoek het juiste OIN op",
        "Look up the right OIN",
    ),
    Form(
        "NIET_AANGESLOTEN",
        lambda here: here.signed(a_notice(recipient=BEYOND)),
        "Zoek in GET /v1/deelnemers?module=",
        "Look in GET /v1/deelnemers?module=",
    ),
    Form(
        "REGEL_GESCHONDEN",
        lambda here: here.signed(a_notice({"klant": {"bsn": "999990018"}})),
        "welke regel waar",
        "which rule and where",
    ),
)


def without_a_case(here: Here) -> Sent:
    """A consultation of VISH that does not say for which case."""
    which = kind("vish", "VishRaadpleging")
    made = document(
        which, reference=fresh(), conversation=fresh(), sender=SHV, recipient=GATEWAY, at=now()
    )
    del made["vishRaadpleging"]["dossierkenmerk"]
    return here.signed(made, which)


async def test_dossierkenmerk_ontbreekt(here: Here) -> None:
    answer = await here.post(without_a_case(here))

    problem = Told(answer, "").refused(
        "DOSSIERKENMERK_ONTBREEKT", "met uw dossierkenmerk en het doel", "your dossierkenmerk"
    )
    (error,) = problem["errors"]
    assert error["path"] == "/VishRaadpleging/Dossierkenmerk"


@pytest.mark.parametrize("form", FORM, ids=lambda form: form.code)
async def test_what_is_wrong_with_the_form_is_told_and_the_good_form_is_taken(
    form: Form, here: Here
) -> None:
    answer = await here.post(form.make(here))

    problem = Told(answer, "").refused(form.code, form.nl, form.en)
    if "'errors'" in problem["detail"]:
        assert problem["errors"][0]["path"].startswith("/")
        assert problem["errors"][0]["rule"]
    assert (await here.post(here.signed(a_notice()))).status_code == httpx.codes.ACCEPTED


async def test_bericht_conflict(here: Here) -> None:
    first = a_notice()
    assert (await here.post(here.signed(first))).status_code == httpx.codes.ACCEPTED
    other = a_notice({"klant": {"voorletters": "M."}}, reference=reference_of(first))

    answer = await here.post(here.signed(other))

    Told(answer, "").refused("BERICHT_CONFLICT", "Gebruik een nieuw referentienummer", "a new one")
    anew = a_notice({"klant": {"voorletters": "M."}})
    assert (await here.post(here.signed(anew))).status_code == httpx.codes.ACCEPTED


async def test_every_code_of_the_process_is_here_or_is_said_not_to_be() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    told = {form.code for form in FORM} | {name.upper() for name in tests}
    together = "akkoord_voorlopig_and_termijn_voorbij".upper()
    assert together in told
    told |= set(together.split("_AND_")) | UNREACHABLE

    assert set(CODES.split()) - told == set()


CODES = """
    GEEN_RECHT BIJLAGE_ONTBREEKT BSN_NIET_TOEGESTAAN NIET_AANGESLOTEN VRAAG_ONBEKEND
    VRAAG_AL_BEANTWOORD VRAAG_VERVANGEN GESPREK_BEEINDIGD SALDO_NOG_OPEN
    VORDERING_NIET_IN_GESPREK WIJKT_AF_VAN_AKKOORD AKKOORD_VOORLOPIG TERMIJN_VOORBIJ PAUZE_BINDEND
    PARTIJ_OPGEVOLGD VERSIE_KAN_DIT_NIET DOSSIERKENMERK_ONTBREEKT NIET_BESCHIKBAAR_GEWEEST
    VOLGORDE_ONGELDIG XML_ONGELDIG DOCTYPE_VERBODEN TE_GROOT SCHEMA_ONGELDIG
    HANDTEKENING_ONTBREEKT HANDTEKENING_ONGELDIG HANDTEKENING_POSITIE ALGORITME_VERBODEN
    CERTIFICAAT_ONBEKEND CERTIFICAAT_VERLOPEN AFZENDER_WIJKT_AF ONTVANGER_ONBEKEND
    BERICHT_CONFLICT REGEL_GESCHONDEN MEDIATYPE_ONBEKEND
"""
UNREACHABLE = {"NIET_BESCHIKBAAR_GEWEEST"}


def body_of(soort: str) -> Json:
    """What the example of a kind says."""
    ((_, body),) = document(
        kind(module_of(soort), soort),
        reference=fresh(),
        conversation=fresh(),
        sender=SHV,
        recipient=SE,
        at=now(),
    ).items()
    return dict(body)
