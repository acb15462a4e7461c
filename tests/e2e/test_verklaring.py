"""A statement that there was no reaction, held against what came later: by files, by ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from fixtures.documents import kind
from fixtures.parties import fresh
from fixtures.world import SE, SHV
from gateway.adapters.clock import utc_now
from gateway.adapters.verklaring_pdf import verklaring
from gateway.delivery import AMSTERDAM
from gateway.message import Json, Kind
from gateway.replies import About, verklaring_geen_reactie
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import Here, a_notice, reference_of, started
from tests.e2e.operator import operator

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTICE, BALANCE, ANSWER = (
    kind("schuldregeling", name)
    for name in ("Kennisgeving", "Saldoverzoek", "SaldoverzoekAntwoord")
)


class Case(NamedTuple):
    """A question that was answered after the gateway had stated that it was not.

    Attributes:
        files: Where the statement, the published keys and what came of the answer lie.
        before: What the audit said of the statement before the answer came.
    """

    here: Here
    files: Path
    question: Json
    answer: str
    before: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def case(
    new_world: NewWorld, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Case]:
    folder = tmp_path_factory.mktemp("verklaring")
    async with started(new_world(folder / "gateway")) as here:
        creditor, conversation = here.reach.creditor(SE), fresh()

        def in_turn(which: Kind, *, back: bool = False, cross: str | None = None) -> Json:
            head = {} if cross is None else {"crossReferentienummer": cross}
            sender, recipient = (SE, SHV) if back else (SHV, SE)
            return a_notice(
                which=which,
                conversation=conversation,
                sender=sender,
                recipient=recipient,
                head=head,
            )

        question = in_turn(BALANCE)
        for made in (in_turn(NOTICE), question):
            assert (await here.json.send(made)).status_code == 202
        keys = await here.reach.client.get(f"{here.url}/v1/sleutels")
        (folder / "sleutels.json").write_bytes(keys.content)
        state(here, folder, question, "verklaring")
        before = asked(here, folder, "verklaring.xml", "--grootboek")
        answer = in_turn(ANSWER, back=True, cross=reference_of(question))
        sent = creditor.signed(ANSWER, answer)
        receipt = await creditor.send_bytes(sent)
        assert receipt.status_code == 202, receipt.text
        package = await here.json.get(f"/v1/berichten/{reference_of(answer)}/bewijs")
        (folder / "antwoord.xml").write_bytes(sent)
        (folder / "ontvangst.xml").write_bytes(receipt.content)
        (folder / "pakket.json").write_bytes(package.content)
        yield Case(here, folder, question, reference_of(answer), before)


def state(here: Here, folder: Path, question: Json, name: str) -> None:
    """Write a statement as of now, signed with the gateway's own keys, as XML and PDF."""
    header = question["saldoverzoek"]["stuurgegevens"]
    moment: datetime = utc_now()
    document = verklaring_geen_reactie(
        own=fresh(),
        sender=here.gateway.services.line.gateway,
        to=SHV,
        conversatie=header["conversatieReferentienummer"],
        cross=header["referentienummer"],
        at=moment,
        bericht=About(header["referentienummer"], BALANCE.name, BALANCE.module, header["versie"]),
        vrager=SHV,
        gevraagde=SE,
        aangenomen_op=moment,
        beschikbaar_geweest=True,
        beschikbaar_op=moment,
        termijn_tot_en_met=moment.astimezone(AMSTERDAM).date() - timedelta(days=1),
        vastgesteld_op=moment,
    )
    services = here.gateway.services
    signed, pages = verklaring(document, services.keys, services.line.catalogue)
    (folder / f"{name}.xml").write_bytes(signed)
    (folder / f"{name}.pdf").write_bytes(pages)


def asked(here: Here, folder: Path, *words: str) -> Any:
    """What ``gateway bewijs controleer`` says in JSON, with its exit code."""
    named = [str(folder / word) if (folder / word).is_file() else word for word in words]
    keys = () if "--grootboek" in words else ("--sleutels", str(folder / "sleutels.json"))
    said = operator(here.world, "bewijs", "controleer", *named, *keys, "--json")
    return {"code": said.code, **json.loads(said)}


def answers(told: Any) -> Sequence[tuple[str, bool]]:
    return [(each["antwoord"], each["zeker"]) for each in told["achterhaald"]]


@pytest.mark.parametrize("form", ["xml", "pdf"])
async def test_a_statement_alone_is_good_with_nothing_but_the_published_keys(
    case: Case, form: str
) -> None:
    told = asked(case.here, case.files, f"verklaring.{form}")

    assert (told["code"], told["klopt"], told["achterhaald"]) == (0, True, [])
    assert told["opmerkingen"] == []
    assert reference_of(case.question) in told["bewezen"][0]


async def test_the_ledger_confirms_a_statement_as_long_as_no_answer_came(case: Case) -> None:
    assert (case.before["code"], case.before["klopt"]) == (0, True)
    assert case.before["achterhaald"] == []
    assert "GEEN_REACTIE" in case.before["bewezen"][1]


async def test_the_ledger_says_that_a_statement_was_overtaken(case: Case) -> None:
    told = asked(case.here, case.files, "verklaring.pdf", "--grootboek")

    assert (told["code"], told["klopt"]) == (1, True)
    assert answers(told) == [(case.answer, True)]


@pytest.mark.parametrize(
    ("beside", "certain"),
    [
        (("pakket.json",), True),
        (("ontvangst.xml",), False),
        (("ontvangst.xml", "--origineel", "antwoord.xml"), True),
    ],
    ids=["package", "receipt", "receipt-and-answer"],
)
async def test_what_somebody_holds_of_the_answer_shows_that_a_statement_was_overtaken(
    case: Case, beside: Sequence[str], certain: object
) -> None:
    told = asked(case.here, case.files, "verklaring.xml", *beside)

    assert (told["code"], told["klopt"], told["gebreken"]) == (1, True, [])
    assert answers(told) == [(case.answer, certain)]


async def test_people_read_what_happened_and_what_to_do(case: Case) -> None:
    said = operator(
        case.here.world, "bewijs", "controleer", str(case.files / "verklaring.pdf"),
        str(case.files / "pakket.json"), "--sleutels", str(case.files / "sleutels.json"),
    )  # fmt: skip

    assert said.code == 1
    assert "ACHTERHAALD:" in said
    assert "gebruik haar niet meer zonder dat antwoord erbij" in said
    assert "stilte is geen instemming" in said
    assert "In orde" not in said


async def test_a_statement_that_was_never_true_is_not_in_order(case: Case) -> None:
    state(case.here, case.files, case.question, "onwaar")

    told = asked(case.here, case.files, "onwaar.xml", "--grootboek")

    assert (told["code"], told["klopt"], told["achterhaald"]) == (1, False, [])
    assert [each["gebrek"] for each in told["gebreken"]] == ["weerlegd"]


async def test_a_statement_needs_the_keys(case: Case) -> None:
    said = operator(case.here.world, "bewijs", "controleer", str(case.files / "verklaring.xml"))

    assert said.code == 1
    assert "GET /v1/sleutels" in said


async def test_the_statement_does_not_know_the_client(case: Case) -> None:
    numbers = [canary.encode() for canary in CANARIES if canary.startswith("99999")]
    for name in ("verklaring.xml", "verklaring.pdf"):
        content = (case.files / name).read_bytes()
        assert [number for number in numbers if number in content] == []
        assert str(datetime.now(UTC).year).encode() in content
