"""The directory: applied with a shown difference, refused whole, and live within seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.parties import ASSERTION, Peer, fresh, now
from fixtures.pki import Pki, Variant
from fixtures.world import OVERIGE_SHV, SE, SHV, STRANGER, Entry, World, rights_of, the_usual
from gateway.adapters.register import DirectoryInvalid, directory_of
from gateway.adapters.tokens import client_assertion
from gateway.errors import Fault
from gateway.message import Oin, as_bytes
from tests.e2e.here import NOTICE, Here, a_notice, started
from tests.e2e.operator import operator, operator_json
from tests.servers.party import eventually

LIVE_WITHIN = 15.0
"""The operator is promised five seconds; a busy machine gets three times as many."""

NEWCOMER = Entry(STRANGER, "Nieuwkomer Voorbeeld", "schuldeiser")
ADDRESS = {"adres": '"https://push.voorbeeld.example/in"'}


def a_file(world: World, entries: Sequence[Entry], more: str = "") -> str:
    """A directory file of these parties; gives its path."""
    file = world.folder / "nieuw.toml"
    file.write_text("\n".join(entry.toml(world.pki) for entry in entries) + more, encoding="utf-8")
    return str(file)


def version(world: World) -> int:
    """The newest version in the ledger."""
    ledger = world.ledger()
    try:
        return ledger.directory()[0]
    finally:
        ledger.close()


# The difference


def test_applying_a_file_shows_what_changes_and_asks(world: World) -> None:
    changed = Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", kanaal="push", more=ADDRESS)
    entries = [each for each in the_usual(se=changed) if each.oin != OVERIGE_SHV]
    file = a_file(world, [*entries, NEWCOMER])

    said = operator(world, "partijen", "toepassen", file, answer="y\n")

    told = {tuple(line.split(maxsplit=2)[:2]): line for line in said.splitlines() if "0000" in line}
    assert said.code == 0
    assert set(told) == {("+", STRANGER), ("-", OVERIGE_SHV), ("~", SE)}
    assert "nieuw" in told["+", STRANGER]
    assert "verdwijnt" in told["-", OVERIGE_SHV]
    assert {"adres", "kanaal", "vorm"} <= set(told["~", SE].replace(",", "").split())
    assert "Versie 2 geldt nu" in said
    assert version(world) == 2


def test_nothing_is_applied_without_a_yes(world: World) -> None:
    said = operator(
        world, "partijen", "toepassen", a_file(world, [*the_usual(), NEWCOMER]), answer="n\n"
    )

    assert said.code == 1
    assert STRANGER in said
    assert version(world) == 1


def test_a_trial_shows_and_applies_nothing(world: World) -> None:
    file = a_file(world, [*the_usual(), NEWCOMER])

    said = operator(world, "partijen", "toepassen", file, "--proef")

    assert said.code == 0
    assert STRANGER in said
    assert version(world) == 1


def test_scripts_apply_without_being_asked_and_are_written_down(world: World) -> None:
    file = a_file(world, [*the_usual(), NEWCOMER])

    said = operator(world, "partijen", "toepassen", file, "--ja", "--door", "nachtploeg")
    again = operator(world, "partijen", "toepassen", file, "--ja")

    assert (said.code, again.code) == (0, 0)
    assert "Versie 2 is al gelijk" in again
    assert version(world) == 2


def test_a_mandate_is_part_of_the_difference(world: World) -> None:
    mandate = (
        f'\n[[machtiging]]\nhouder = "{SE}"\nnamens = "{OVERIGE_SHV}"\n'
        'module = "schuldregeling"\nvan = 2026-01-01\n'
    )

    said = operator(world, "partijen", "toepassen", a_file(world, the_usual(), mandate), "--ja")

    assert "machtigingen" in said
    assert version(world) == 2


def test_what_applies_is_shown_to_people_and_to_scripts(world: World) -> None:
    said = operator(world, "partijen", "toon")
    told = operator_json(world, "partijen", "toon")

    assert all(entry.oin in said and entry.naam in said for entry in the_usual())
    assert [party["oin"] for party in told] == [entry.oin for entry in the_usual()]
    good = world.pki.party(SHV).registered
    assert told[0]["certificaten"] == [
        {"vingerafdruk": good.fingerprint, "geldigTot": good.not_after.isoformat()}
    ]


# Refused whole

BROKEN = """
[[partij]]
oin = "123"
naam = "Te kort"
rollen = ["directeur"]
modules = ["vish"]

[[partij]]
oin = "{shv}"
naam = "Zonder certificaat"
rollen = ["schuldeiser"]
modules = ["vish"]
certificaten = ["nergens.pem"]

[[partij]]
oin = "{se}"
naam = "Duwt nergens heen"
rollen = ["schuldeiser"]
modules = ["vish"]
kanaal = "push"

[[partij]]
oin = "{other}"
naam = "Twee keer"
rollen = ["schuldeiser"]
modules = ["vish"]
certificaten = ["{foreign}"]

[[partij]]
oin = "{other}"
naam = "Twee keer"
rollen = ["schuldeiser"]
modules = ["vish"]
kleur = "blauw"

[[machtiging]]
houder = "{stranger}"
namens = "{se}"
module = "vish"
van = 2026-02-01
tot_en_met = 2026-01-01
"""


def test_a_wrong_file_is_refused_whole_with_every_problem_at_once(world: World) -> None:
    foreign = world.pki.party(SE).cert_path
    text = BROKEN.format(shv=SHV, se=SE, other=OVERIGE_SHV, stranger=STRANGER, foreign=foreign)

    said = operator(world, "partijen", "toepassen", a_file(world, [], text), "--ja")

    problems = {line.rpartition(":")[0]: line for line in said.splitlines()}
    assert said.code == 1
    assert "partij 123: oin" in problems
    assert "partij 123: rollen.0" in problems
    assert f"partij {SE}" in " ".join(said.split())
    assert f"partij {SHV}: certificaten: nergens.pem is not one usable certificate" in said
    assert f"certificaten: {foreign} belongs to OIN {SE}" in said
    assert f"partij {OVERIGE_SHV}: appears 2 times" in said
    assert f"partij {OVERIGE_SHV}: kleur" in problems
    assert "tot_en_met lies before van" in said
    assert "machtiging nr 1: houder is no partij" in said
    assert version(world) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("partij = ", "is not TOML"),
        ("partij = 1", "partij: "),
        ('partij = ["a"]', "partij nr 1: "),
        ("party = []", "party: "),
        ("[[partij]]", "partij nr 1: oin: Field required"),
    ],
    ids=["not TOML", "a number", "a text", "another table", "an empty party"],
)
def test_a_file_that_is_no_directory_is_refused(text: str, problem: str, world: World) -> None:
    said = operator(world, "partijen", "toepassen", a_file(world, [], text), "--ja")

    assert said.code == 1
    assert problem in said
    assert version(world) == 1


def test_a_certificate_of_another_party_is_refused(world: World, pki: Pki) -> None:
    stolen = a_file(world, [NEWCOMER]).replace("nieuw.toml", "gestolen.toml")
    mine, theirs = pki.party(STRANGER).cert_path, pki.party(SE).cert_path
    text = NEWCOMER.toml(pki).replace(str(mine), str(theirs))
    Path(stolen).write_text(text, encoding="utf-8")

    said = operator(world, "partijen", "toepassen", stolen, "--ja")

    assert said.code == 1
    assert f"belongs to OIN {SE}" in said
    assert version(world) == 1


def test_a_production_gateway_refuses_test_parties(world: World) -> None:
    file = a_file(world, [*the_usual(), NEWCOMER])
    production = {"GATEWAY_ENVIRONMENT": "productie", "GATEWAY_OIN": "00000003990000010000"}
    strict = replace(world, environment={**world.environment, **production})

    said = operator(strict, "partijen", "toepassen", file, "--ja")

    assert said.code == 1
    assert "production refuses test OINs" in said
    assert STRANGER in said
    assert version(world) == 1


def test_a_change_on_top_of_an_older_version_is_refused(world: World) -> None:
    ledger = world.ledger()
    base, text = ledger.directory()
    world.apply([*the_usual(), NEWCOMER])

    with pytest.raises(Fault, match="changed since version 1"):
        ledger.apply_directory(text, base=base, by="te laat", at=now())

    ledger.close()
    assert version(world) == 2


def test_a_directory_of_a_newer_gateway_is_a_fault_that_is_waited_out(world: World) -> None:
    ledger = world.ledger()
    _, text = ledger.directory()
    ledger.close()
    newer = json.loads(text)
    newer["partij"][0]["bestaat_nog_niet"] = True

    with pytest.raises(DirectoryInvalid):
        directory_of(2, json.dumps(newer))


# Live


async def test_a_new_party_takes_part_within_seconds(world: World) -> None:
    async with started(world) as here:
        newcomer = here.party(STRANGER)
        before = await here.post(here.signed(a_notice(recipient=STRANGER)))
        entries = [*the_usual(), NEWCOMER]
        file = a_file(world, entries, rights_of(entries))

        assert operator(world, "partijen", "toepassen", file, "--ja").code == 0
        await follows(here, STRANGER)

        after = await here.post(here.signed(a_notice(recipient=STRANGER)))
        assert (before.status_code, before.json()["code"]) == (400, "ONTVANGER_ONBEKEND")
        assert after.status_code == 202
        assert len(await newcomer.collect()) == 1


async def test_a_party_that_left_may_say_nothing_within_seconds(world: World) -> None:
    async with started(world) as here:
        before = await here.json.get("/v1/postbus")
        file = a_file(world, [each for each in the_usual() if each.oin != SHV])
        operator(world, "partijen", "toepassen", file, "--ja")
        await follows(here, SHV, there=False)

        message = await here.post(here.signed(a_notice()))
        question = await here.json.get("/v1/postbus")

        assert before.status_code == 200
        assert (message.status_code, message.json()["code"]) == (401, "CERTIFICAAT_ONBEKEND")
        assert (question.status_code, question.json()["code"]) == (401, "TOKEN_ONGELDIG")


async def follows(here: Here, oin: Oin, *, there: bool = True) -> None:
    """Return when the running gateway knows this party, or knows it no more."""
    await eventually(
        lambda: (oin in here.gateway.services.line.directory().parties) == there,
        f"the gateway follows the directory for {oin}",
        within=LIVE_WITHIN,
    )


async def test_an_empty_directory_refuses_everybody(world: World) -> None:
    world.apply([])
    async with started(world) as here:
        by_xml = await here.post(here.signed(a_notice()))
        token = await here.reach.client.post(f"{here.url}/v1/token", data=assertion_of(here.json))
        health = await here.get("/health/ready")

    assert (by_xml.status_code, by_xml.json()["code"]) == (401, "CERTIFICAAT_ONBEKEND")
    assert (token.status_code, token.json()["error"]) == (401, "invalid_client")
    assert health.status_code == 200


def assertion_of(peer: Peer) -> dict[str, str]:
    identity = peer.identity
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": client_assertion(
            identity.oin, peer.key, identity.cert, f"{peer.url}/v1/token", now(), fresh()
        ),
    }


async def test_a_party_signs_with_its_old_and_its_new_certificate_during_a_rollover(
    world: World,
) -> None:
    old, new = Variant.GOOD, Variant.SECOND
    world.apply(the_usual(shv=an_shv_with(old, new)))
    async with started(world) as here:
        both = [await accepted_under(here, variant) for variant in (old, new)]

        world.apply(the_usual(shv=an_shv_with(new)))
        await eventually(
            lambda: len(here.gateway.services.line.directory().parties[SHV].certificates) == 1,
            "the old certificate is gone",
            within=LIVE_WITHIN,
        )
        afterwards = [await accepted_under(here, variant) for variant in (old, new)]

    assert both == [(202, 202), (202, 202)]
    assert afterwards == [(401, 401), (202, 202)]


def an_shv_with(*variants: Variant) -> Entry:
    return Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", variants=variants)


async def accepted_under(here: Here, variant: Variant) -> tuple[int, int]:
    """What a message gets under this certificate, in XML and in JSON."""
    signer = here.party(SHV, variant)
    body = here.reach.creditor(SHV, variant).signed(NOTICE, a_notice())
    sent = here.as_json(as_bytes(a_notice()), by=signer, token_of=here.party(SHV, Variant.SECOND))
    return (await here.post(here.as_xml(body))).status_code, (await here.post(sent)).status_code
