"""Two versions of a module side by side: who hears what, and what is refused."""

from __future__ import annotations

import json
import time
import timeit
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.documents import example, kind
from fixtures.rules import courses
from fixtures.world import GATEWAY, SE, SHV
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.rabbitmq.queue_out import routing_key
from gateway.adapters.register import DirectoryInvalid, directory_of, text_of
from gateway.adapters.signatures import Seal
from gateway.compose import OnQueue, aflevering, compose, in_version
from gateway.errors import Code, Finding, Refusal
from gateway.message import (
    Admitted,
    Canonical,
    Delivery,
    Dialect,
    Json,
    Kind,
    Submission,
    Talk,
    as_bytes,
)
from gateway.record import business_digest
from gateway.replies import ONTVANGSTBEVESTIGING
from gateway.routing.admit import admit
from gateway.routing.directory import Party
from gateway.routing.lanes import overtakes
from gateway.routing.rights import Rights
from gateway.routing.versions import versions_ok
from gateway.schemas import Catalogue, translate, unsaid, upcast, validate
from gateway.schemas.judge import pointed
from gateway.schemas.pairing import read_versions
from gateway.schemas.reader import ContractError
from gateway.schemas.unsaid import Unsaid, bounded
from gateway.schemas.versions import Older, Unsayable, live_versions
from tests.servers.party import a_delivery
from tests.unit.schema_cases import CATALOGUE, verified
from tests.unit.test_admit import NOW, SKEW, a_directory, a_party, a_submission

NOTICE = kind("schuldregeling", "Kennisgeving")
NOTICE_ANSWER = kind("schuldregeling", "KennisgevingAntwoord")
ASK = kind("schuldregeling", "Saldoverzoek")
NO = kind("schuldregeling", "GeenMedewerking")
PROPOSAL = kind("schuldregeling", "Betaalvoorstel")
OLD_NOTICE = Kind("schuldregeling", 1, "KlantGemeldVoorShv")
OLD_ENDING = Kind("schuldregeling", 1, "SchuldregelingBeeindigd")
READS_OLD = {"schuldregeling": 1}
VERSIONS = CATALOGUE.versions

AN_ENTRY = f"""
[[partij]]
oin = "{SE}"
naam = "Schuldeiser"
rollen = ["schuldeiser"]
modules = ["schuldregeling"]
"""


def body_of(document: Json) -> Json:
    (body,) = document.values()
    return dict(body)


def message_of(document: Json, dialect: Dialect = Dialect.JSON) -> Canonical:
    """The message as the line makes it, whichever form it was sent in."""
    which = CATALOGUE.by_document(document).kind
    sent = document if dialect is Dialect.JSON else CATALOGUE.to_xml(which, document)
    return upcast(translate(validate(verified(sent), CATALOGUE), CATALOGUE), CATALOGUE)


def allowing(which: Kind, **changes: object) -> Json:
    """The example with ``verliesToegestaan``, and these members over its body."""
    document = example(which)
    (body,) = document.values()
    body["stuurgegevens"]["verliesToegestaan"] = True
    body |= changes
    return document


def attempt(message: Canonical, major: int) -> Unsaid:
    return unsaid(message, major, CATALOGUE)


def reader_of(**versions: int) -> Party:
    return a_party(SE, versions=versions)


def refusal_of(document: Json, dialect: Dialect = Dialect.JSON) -> list[tuple[str, str]]:
    with pytest.raises(Refusal) as refused:
        versions_ok(message_of(document, dialect), reader_of(schuldregeling=1), attempt)
    assert refused.value.code is Code.VERSIE_KAN_DIT_NIET
    return [(finding.rule, finding.path) for finding in refused.value.findings]


# the two versions


def test_every_kind_of_the_older_version_has_one_in_the_newer() -> None:
    old = {kind for kind in CATALOGUE.kinds if (kind.module, kind.major) == ("schuldregeling", 1)}

    assert set(VERSIONS.by_old) == old
    assert len(VERSIONS.by_new) == len(old)


@pytest.mark.parametrize(
    "name",
    [
        "Heroverweging",
        "SaldoverzoekAntwoordVoorafAkkoord",
        "StatusberichtShv",
        "Statusverzoek",
        "Navraag",
        "Intrekking",
    ],
)
def test_what_only_the_newer_version_has_cannot_go_down(name: str) -> None:
    which = kind("schuldregeling", name)
    document = example(which)

    assert VERSIONS.downcast(document, which, 1) == Unsayable((f"/{next(iter(document))}",))


def test_an_answer_without_more_means_that_the_client_is_known() -> None:
    old = example(Kind("schuldregeling", 1, "KlantGemeldVoorShvAntwoord"))

    which, document = VERSIONS.upcast(old, Kind("schuldregeling", 1, "KlantGemeldVoorShvAntwoord"))

    assert which == NOTICE_ANSWER
    assert body_of(document)["antwoord"] == "BEKEND"


def test_klant_onbekend_is_the_one_reason_that_the_older_version_has() -> None:
    unknown, other = example(NO), example(NO)
    unknown["geenMedewerking"]["reden"] = "KLANT_ONBEKEND"
    other["geenMedewerking"]["reden"] = "RECENT_FINALE_KWIJTING"

    down = VERSIONS.downcast(unknown, NO, 1)

    assert isinstance(down, Older)
    assert down.kind.name == "KlantOnbekend"
    assert isinstance(refused := VERSIONS.downcast(other, NO, 1), Unsayable)
    assert refused.why == ("/geenMedewerking/reden",)


def test_an_estimate_is_never_passed_off_as_a_statement() -> None:
    document = allowing(PROPOSAL)
    document["betaalvoorstel"]["voorstel"]["saldoBron"] = "SCHATTING"

    assert refusal_of(document) == [("versie-onmogelijk", "/betaalvoorstel/voorstel/saldoBron")]


def test_an_address_that_the_older_version_does_not_know_is_not_left_out() -> None:
    document = allowing(NOTICE, adreskeuze={"afgeschermd": "AFGESCHERMD"})

    assert refusal_of(document) == [("versie-onmogelijk", "/kennisgeving/adreskeuze")]

    del document["kennisgeving"]["stuurgegevens"]["verliesToegestaan"]
    whole = [path for _, path in refusal_of(document) if "adreskeuze" in path]
    assert whole == ["/kennisgeving/adreskeuze"]


def test_a_statement_in_one_total_cannot_be_said_claim_by_claim() -> None:
    which = kind("schuldregeling", "SaldoverzoekAntwoord")
    document = example(which)
    body = document["saldoverzoekAntwoord"]
    total = {"factuurnummerSe": "F", "saldoInCenten": 1, "vorderingsType": "CONCURRENT"}
    del body["vorderingen"]
    body["totaalvordering"] = {**total, "schuldenaar": "KLANT"}

    down = VERSIONS.downcast(document, which, 1)

    assert isinstance(down, Unsayable)
    assert "/saldoverzoekAntwoord/vorderingen" in down.why
    assert "/saldoverzoekAntwoord/totaalvordering" in down.lost


def test_a_proposal_of_the_older_version_is_flat() -> None:
    old = Kind("schuldregeling", 1, "Betaalvoorstel")
    document = example(old)

    _, raised = VERSIONS.upcast(document, old)

    assert (
        raised["betaalvoorstel"]["voorstel"]["looptijd"] == document["betaalvoorstel"]["looptijd"]
    )
    assert "looptijd" not in raised["betaalvoorstel"]


ROW = '[[module]]\nnaam = "schuldregeling"\noud = 1\nnieuw = 2\n[[module.soort]]\n'


@pytest.mark.parametrize(
    "row",
    [
        'oud = "Onbekend"\nnieuw = "Kennisgeving"',
        'oud = "KlantOnbekend"\nnieuw = "GeenMedewerking"\nplaats = { nergens = "reden" }',
        'oud = "KlantOnbekend"\nnieuw = "GeenMedewerking"\nplaats = { klantnummerShv = "nergens" }',
        'oud = "KlantOnbekend"\nnieuw = "GeenMedewerking"\nplaats = { klantnummerShv = "reden" }',
        'oud = "KlantOnbekend"\nnieuw = "GeenMedewerking"\nvul = [{ plaats = "nergens" }]',
    ],
)
def test_a_row_that_does_not_fit_the_schemas_is_not_read(tmp_path: Path, row: str) -> None:
    path = tmp_path / "versions.toml"
    path.write_text(ROW + row, encoding="utf-8")
    roots = {kind: codec.root for kind, codec in CATALOGUE.kinds.items()}

    with pytest.raises(ContractError):
        read_versions(roots, path)


@pytest.mark.parametrize("versies", ["{ schuldregeling = 3 }", "{ betalingsregeling = 1 }"])
def test_a_party_cannot_read_a_version_that_does_not_exist(versies: str) -> None:
    with pytest.raises(DirectoryInvalid, match="there is no version"):
        text_of(AN_ENTRY + f"versies = {versies}", read_file=str, production=False)


def test_a_party_reads_the_version_that_the_directory_names() -> None:
    text = text_of(AN_ENTRY + "versies = { schuldregeling = 1 }", read_file=str, production=False)

    assert directory_of(1, text).parties[SE].versions == READS_OLD


def test_the_live_versions_are_those_of_the_schemas() -> None:
    assert live_versions() == set(CATALOGUE.modules)


# on arrival


def test_an_older_message_stands_beside_itself_in_the_newest_version() -> None:
    message = message_of(example(OLD_NOTICE))

    assert message.kind == OLD_NOTICE
    assert message.header.versie == "1.0"
    assert message.document == example(OLD_NOTICE)
    assert message.current.kind == NOTICE
    assert message.current.header == replace(message.header, versie="2.0")
    assert "adreskeuze" in message.current.document["kennisgeving"]


def test_a_message_of_the_newest_version_is_its_own_current_form() -> None:
    message = message_of(example(NOTICE))

    assert message.current is message


def test_what_counts_as_the_same_message_is_what_was_sent() -> None:
    old = message_of(example(OLD_NOTICE))

    assert business_digest(old, b"k") == business_digest(replace(old, newer=None), b"k")
    assert business_digest(old, b"k") != business_digest(old.current, b"k")


def test_an_ending_overtakes_in_both_versions() -> None:
    assert overtakes(message_of(example(OLD_ENDING)))
    assert not overtakes(message_of(example(OLD_NOTICE)))


# admission


def admitted_to_an_older_reader(submission: Submission) -> Admitted:
    directory = a_directory(a_party(SHV), reader_of(schuldregeling=1))
    return admit(
        submission,
        Talk(),
        directory=directory,
        rights=Rights(),
        courses=courses(directory),
        gateway=GATEWAY,
        skew=SKEW,
        attempt=attempt,
    )


def test_who_reads_the_newest_version_can_be_told_everything() -> None:
    for versions in ({}, {"schuldregeling": 2}, {"betalingsregeling": 2}):
        for which in (NOTICE, OLD_NOTICE, PROPOSAL):
            assert versions_ok(message_of(example(which)), reader_of(**versions), attempt) == ()


def test_who_reads_the_older_version_can_be_told_what_was_sent_in_it() -> None:
    message = message_of(example(OLD_NOTICE))

    assert versions_ok(message, reader_of(schuldregeling=1), attempt) == ()


def test_every_field_that_the_older_version_cannot_say_is_named() -> None:
    assert refusal_of(example(NOTICE)) == [
        ("versie-verlies", "/kennisgeving/klant/eerdereNamen"),
        ("versie-verlies", "/kennisgeving/eerdereAdressen"),
        ("versie-verlies", "/kennisgeving/leveringsadressen"),
        ("versie-verlies", "/kennisgeving/toelatingsdatum"),
        ("versie-verlies", "/kennisgeving/gevraagdePauze"),
    ]


def test_a_field_is_named_in_the_form_in_which_the_sender_wrote() -> None:
    which = kind("schuldregeling", "RegelingGeaccordeerd")

    named = refusal_of(example(which), Dialect.XML)

    assert ("versie-verlies", "/RegelingGeaccordeerd/Vorderingen/Vordering[2]/Saldo") in named
    assert ("versie-verlies", "/RegelingGeaccordeerd/Akkoordgrond") in named


def test_after_leaving_out_what_was_named_the_message_passes() -> None:
    document = example(NOTICE)
    for _, pointer in refusal_of(document):
        *way, last = pointer.split("/")[1:]
        node = document
        for step in way:
            node = node[step]
        del node[last]

    assert versions_ok(message_of(document), reader_of(schuldregeling=1), attempt) == ()


def test_a_loss_that_the_sender_allows_is_listed_in_the_receipt() -> None:
    submission = replace(a_submission(), receipt_id="0b0e8d0c-6c0e-4c5e-9d53-9df3d2f3d3ac")
    document = submission.message.document
    document["saldoverzoek"]["stuurgegevens"]["verliesToegestaan"] = True

    admitted = admitted_to_an_older_reader(submission)

    receipt = json.loads(admitted.receipt)
    left_out = receipt["ontvangstbevestiging"]["weggelaten"]
    assert {"pad": "/saldoverzoek/toelatingsdatum", "grond": "VERSIE"} in left_out
    assert {each["grond"] for each in left_out} == {"VERSIE"}
    tree = CATALOGUE.to_xml(ONTVANGSTBEVESTIGING, receipt)
    assert CATALOGUE.kinds[ONTVANGSTBEVESTIGING].schema.verdict.validate(tree)


def test_admission_refuses_what_the_recipient_cannot_be_told() -> None:
    with pytest.raises(Refusal) as refused:
        admitted_to_an_older_reader(a_submission(at=NOW))

    assert refused.value.code is Code.VERSIE_KAN_DIT_NIET


def test_allowing_a_loss_is_part_of_what_was_said() -> None:
    plain, allowed = message_of(example(ASK)), message_of(allowing(ASK))

    assert business_digest(plain, b"k") != business_digest(allowed, b"k")


def test_a_report_of_very_many_losses_names_every_place_once() -> None:
    which = kind("schuldregeling", "RegelingGeaccordeerd")
    document = example(which)
    claims = document["regelingGeaccordeerd"]["vorderingen"]
    document["regelingGeaccordeerd"]["vorderingen"] = [claims[0]] * 300

    in_json, in_xml = refusal_of(document), refusal_of(document, Dialect.XML)

    assert ("versie-verlies", "/regelingGeaccordeerd/vorderingen/*/saldoInCenten") in in_json
    assert ("versie-verlies", "/RegelingGeaccordeerd/Vorderingen/Vordering/Saldo") in in_xml
    assert len(in_json) == len(in_xml) < 20
    assert list(bounded(("/a/1",))) == ["/a/1"]


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        (Dialect.JSON, "/betaalvoorstel/vorderingen/0/factuurnummerSe"),
        (Dialect.XML, "/Betaalvoorstel/Vorderingen/Vordering[1]/FactuurnummerSE"),
    ],
)
def test_a_refusal_points_into_the_message_as_its_sender_wrote_it(
    dialect: Dialect, path: str
) -> None:
    found = Finding("R", "/betaalvoorstel/voorstel/vorderingen/0/factuurnummerSe", nl="a", en="b")
    message = message_of(example(Kind("schuldregeling", 1, "Betaalvoorstel")), dialect)

    refusal = pointed(Refusal(Code.VORDERING_NIET_IN_GESPREK, found), message, CATALOGUE)

    assert [(each.path, each.nl) for each in refusal.findings] == [(path, "a")]


# delivery


def delivery_of(which: Kind, document: Json) -> Delivery:
    return a_delivery(kind=which, canonical=as_bytes(document))


def told(delivery: Delivery, **versions: int) -> Json:
    """The envelope and the message, as a party that reads these versions gets them."""
    spoken = in_version(delivery, versions, CATALOGUE)
    made = aflevering(spoken.delivery, dialect=Dialect.JSON, done=spoken.done)
    return dict(made["aflevering"])


def test_an_older_message_is_delivered_in_the_version_that_its_recipient_reads() -> None:
    envelope = told(delivery_of(OLD_NOTICE, example(OLD_NOTICE)))

    assert (envelope["soort"], envelope["versie"]) == ("Kennisgeving", "2.0")
    assert "OMHOOG" in envelope["bewerkingen"]
    assert "OMLAAG" not in envelope["bewerkingen"]
    assert CATALOGUE.by_document(envelope["bericht"]).kind == NOTICE


def test_a_newer_message_says_what_was_left_out_of_it() -> None:
    envelope = told(delivery_of(NOTICE, allowing(NOTICE)), schuldregeling=1)

    assert (envelope["soort"], envelope["versie"]) == ("KlantGemeldVoorShv", "1.0")
    assert envelope["bewerkingen"][-2:] == ["OMLAAG", "WEGGELATEN"]
    left_out = envelope["bericht"]["klantGemeldVoorShv"]["stuurgegevens"]["weggelaten"]
    assert {"pad": "/kennisgeving/toelatingsdatum", "grond": "VERSIE"} in left_out
    codec = CATALOGUE.kinds[OLD_NOTICE]
    assert codec.schema.verdict.validate(CATALOGUE.to_xml(OLD_NOTICE, envelope["bericht"]))


def test_a_newer_message_without_loss_is_only_lowered() -> None:
    which = kind("schuldregeling", "RegelingBeeindigd")
    document = example(which)
    del document["regelingBeeindigd"]["contactpersoon"]

    envelope = told(delivery_of(which, document), schuldregeling=1)

    assert envelope["bewerkingen"][-1] == "OMLAAG"
    assert "weggelaten" not in envelope["bericht"]["schuldregelingBeeindigd"]["stuurgegevens"]


def test_an_event_on_the_queue_is_of_the_kind_that_its_recipient_reads(tmp_path: Path) -> None:
    parcel = compose(
        delivery_of(NOTICE, allowing(NOTICE)),
        dialect=Dialect.JSON,
        catalogue=CATALOGUE,
        sealer=Seal(GatewayKeys.create(tmp_path / "keys", GATEWAY)),
        gateway=GATEWAY,
        on_queue=OnQueue("https://gateway.example"),
        versions=READS_OLD,
    )

    event = json.loads(parcel.body)
    assert event["type"].endswith(".klantgemeldvoorshv.v1")
    assert routing_key(parcel.delivery).endswith(".schuldregeling.klantgemeldvoorshv.v1")
    assert "klantGemeldVoorShv" in event["data"]["aflevering"]["bericht"]


@pytest.mark.parametrize("which", [NOTICE, kind("schuldregeling", "Heroverweging")], ids=str)
def test_nothing_is_left_out_unasked_when_a_recipient_went_to_an_older_version(which: Kind) -> None:
    envelope = told(delivery_of(which, example(which)), schuldregeling=1)

    assert envelope["bericht"] == example(which)
    assert envelope.get("bewerkingen", []) in ([], ["VERTAALD"])


def test_a_message_in_the_version_of_its_recipient_is_the_same_object() -> None:
    for which, versions in ((NOTICE, {}), (NOTICE, {"schuldregeling": 2}), (OLD_NOTICE, READS_OLD)):
        delivery = delivery_of(which, example(which))

        assert in_version(delivery, versions, CATALOGUE).delivery is delivery


def test_messages_of_the_newest_version_cost_next_to_nothing(catalogue: Catalogue) -> None:
    message, delivery = message_of(example(NOTICE)), delivery_of(NOTICE, example(NOTICE))
    reader = reader_of()

    def everything() -> None:
        upcast(message, catalogue)
        versions_ok(message, reader, attempt)
        in_version(delivery, reader.versions, catalogue)

    times = timeit.repeat(everything, timer=time.process_time, number=1_000, repeat=7)

    assert min(times) / 1_000 < 50e-6  # measured about 2; a loaded machine is slower
