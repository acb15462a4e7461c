"""Who may say what: every role, module, kind and direction, against one table to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from gateway.adapters.register_entries import Role as RoleName
from gateway.errors import Code, Fault
from gateway.message import Dialect, Kind, Oin
from gateway.routing.directory import Party
from gateway.routing.policy import GATEWAY_ROLE, read
from gateway.routing.rights import Rights
from tests.unit.rights_cases import (
    AGENCIES,
    CATALOGUE,
    EVERYBODY,
    OINS,
    OWNER,
    a_party,
    a_submission,
    check,
    refusal,
)

ROLES = tuple(OINS)
MESSAGES = [kind for kind in CATALOGUE.kinds if kind.name != "Aflevering"]
"""Every kind that is a message; an Aflevering is what one travels in."""

# v sends, o gets, a sends and gets; T with TOESTEMMING, B with BESCHIKKING; . neither.
# In this order: schuldeiser, incassobureau, gerechtsdeurwaarder, shv-fase-1, shv-fase-2,
# overige-shv, bewindvoerder, gateway.
TABLE = """
schuldregeling
  Kennisgeving                       o o o . v  .  .  .
  KennisgevingPubliek                o o o . v  .  .  .
  KennisgevingAntwoord               v v v . o  .  .  .
  Saldoverzoek                       o o o . v  .  .  .
  SaldoverzoekAntwoord               v v v . o  .  .  .
  SaldoverzoekAntwoordVoorafAkkoord  v v v . o  .  .  .
  GeenMedewerking                    v v v . o  .  .  .
  Betaalvoorstel                     o o o . v  .  .  .
  BetaalvoorstelAntwoord             v v v . o  .  .  .
  Heroverweging                      o o o . v  .  .  .
  RegelingGeaccordeerd               o o o . v  .  .  .
  RegelingBeeindigd                  o o o . v  .  .  .
  StatusberichtShv                   o o o . v  .  .  .
  StatusberichtSe                    v v v . o  .  .  .
  Statusverzoek                      a a a . a  .  .  .
  Intrekking                         a a a . a  .  .  .
  IntrekkingBevestiging              a a a . a  .  .  .
  Navraag                            a a a . a  .  .  .
  NavraagAntwoord                    a a a . a  .  .  .
  Uitbetaling                        o o o . v  .  .  .
  UitbetalingAntwoord                v v v . o  .  .  .
  Herberekening                      o o o . v  .  .  .
  CollectieveMelding                 o o o . v  .  .  .
  Lijnbezwaar                        v v v . o  .  .  .
  KlantGemeldVoorShv                 o o o . v  .  .  .
  KlantBsnGemeldVoorShv              o o o . v  .  .  .
  KlantGemeldVoorShvAntwoord         v v v . o  .  .  .
  KlantOnbekend                      v v v . o  .  .  .
  SchuldregelingAkkoord              o o o . v  .  .  .
  SchuldregelingBeeindigd            o o o . v  .  .  .
schuldinventarisatie
  Saldoverzoek                       o o o v v  vT vB .
  SaldoverzoekAntwoord               v v v o o  o  o  .
  GeenMedewerking                    v v v o o  o  o  .
  StatusberichtShv                   o o o v v  v  v  .
  StatusberichtSe                    v v v o o  o  o  .
  Statusverzoek                      a a a a a  a  a  .
  Intrekking                         a a a a a  a  a  .
  IntrekkingBevestiging              a a a a a  a  a  .
  Navraag                            a a a a a  a  a  .
  NavraagAntwoord                    a a a a a  a  a  .
betalingsregeling
  Saldoverzoek                       o o o v v  vT vB .
  SaldoverzoekAntwoord               v v v o o  o  o  .
  SaldoverzoekAntwoordVoorafAkkoord  v v v o o  o  o  .
  GeenMedewerking                    v v v o o  o  o  .
  Betaalvoorstel                     o o o v v  vT vB .
  BetaalvoorstelAntwoord             v v v o o  o  o  .
  Heroverweging                      o o o v v  v  v  .
  RegelingGeaccordeerd               o o o v v  v  v  .
  RegelingBeeindigd                  o o o v v  v  v  .
  StatusberichtShv                   o o o v v  v  v  .
  StatusberichtSe                    v v v o o  o  o  .
  Statusverzoek                      a a a a a  a  a  .
  Intrekking                         a a a a a  a  a  .
  IntrekkingBevestiging              a a a a a  a  a  .
  Navraag                            a a a a a  a  a  .
  NavraagAntwoord                    a a a a a  a  a  .
  Uitbetaling                        o o o v v  v  v  .
  UitbetalingAntwoord                v v v o o  o  o  .
bewindvoering
  BewindMelding                      o o o . .  .  vB .
  WijzigingBewindvoerder             o o o . .  .  vB .
incassopauze
  IncassopauzeVerzoek                o o o v v  vT vB .
  IncassopauzeAntwoord               v v v o o  o  o  .
  IncassopauzeVerlenging             o o o v v  v  v  .
  IncassopauzeEinde                  a a a a a  a  a  .
  IncassopauzeSchending              o o o v v  v  v  .
crisis
  CrisisMelding                      o o o v v  vT vB .
  CrisisAntwoord                     v v v o o  o  o  .
traject
  AanmeldingGeregistreerd            . . . v v  .  .  o
  ToelatingBesloten                  . . . v v  .  .  o
  ToelatingIngetrokken               . . . v v  .  .  o
vish
  VishAanmelding                     . . . v v  .  .  o
  VishWijziging                      . . . v v  .  .  o
  VishAfmelding                      . . . v v  .  .  o
  VishRaadpleging                    . . v . .  .  .  o
  VishRaadplegingAntwoord            . . o . .  .  .  v
  VishTrefferMelding                 . . . o o  .  .  v
gateway
  Ontvangstbevestiging               o o o o o  o  o  v
  Foutbericht                        o o o o o  o  o  v
  NietAfgeleverd                     o o o o o  o  o  v
  Vervallen                          o o o o o  o  o  v
  Herinnering                        o o o o o  o  o  v
  TermijnVerstreken                  o o o o o  o  o  v
  VerklaringGeenReactie              o o o o o  o  o  v
"""
ATTACHMENTS = {"T": "TOESTEMMING", "B": "BESCHIKKING"}


def table() -> Mapping[tuple[str, str], Mapping[str, str]]:
    """By module and kind: for each role its cell."""
    told, module = {}, ""
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            module = line
            continue
        name, *cells = line.split()
        assert (module, name) not in told
        told[module, name] = dict(zip(ROLES, cells, strict=True))
    return told


CELLS = table()

each_cell = pytest.mark.parametrize(
    ("kind", "role"),
    [(kind, role) for kind in MESSAGES for role in ROLES],
    ids=str,
)


def cell(kind: Kind, role: str) -> str:
    return CELLS[kind.module, kind.name][role]


def sends(kind: Kind, role: str) -> bool:
    return cell(kind, role)[0] in "va"


def gets(kind: Kind, role: str) -> bool:
    return cell(kind, role)[0] in "oa"


def demanded(kind: Kind, role: str) -> list[str]:
    return [ATTACHMENTS[letter] for letter in cell(kind, role)[1:]]


def side(role: str) -> str:
    if role == GATEWAY_ROLE:
        return role
    return "creditor" if role in {"schuldeiser", *AGENCIES} else "helper"


def owner_in(kind: Kind, *roles: str) -> Oin | None:
    """Whom the message names in Namens, so that only what is under test can be wrong."""
    if kind.module in {"traject", "vish", "gateway"}:
        return None
    return OWNER if set(AGENCIES) & set(roles) else None


def others(role: str) -> Iterator[str]:
    return (each for each in ROLES if side(each) != side(role))


# The table


def test_the_table_has_every_kind_of_the_contract_and_no_other() -> None:
    assert set(CELLS) == {(kind.module, kind.name) for kind in MESSAGES}


def test_the_data_has_every_kind_of_the_contract_and_no_other() -> None:
    policy, kinds = read(), {(kind.module, kind.name) for kind in MESSAGES}

    assert policy.sends.keys() == kinds
    assert policy.gets.keys() == kinds


def test_the_data_has_every_role_of_the_directory_and_the_gateway() -> None:
    assert set(read().roles) == {*RoleName.__args__, GATEWAY_ROLE}  # type: ignore[attr-defined]


def test_attachments_and_variants_of_the_data_are_of_the_contract() -> None:
    policy, names = read(), {kind.name for kind in MESSAGES}
    demands = {soort for by in policy.sends.values() for soort in by.values() if soort}

    assert demands == set(ATTACHMENTS.values())
    assert names >= policy.variants.keys() | set(policy.variants.values())


@each_cell
def test_a_role_sends_a_kind_exactly_where_the_table_says_so(kind: Kind, role: str) -> None:
    recipients = [each for each in others(role) if gets(kind, each)] or [
        each for each in ROLES if gets(kind, each)
    ]
    for other in recipients:
        sender, recipient = a_party(role), a_party(other)
        sent = a_submission(
            kind,
            sender,
            recipient,
            namens=owner_in(kind, role, other),
            attached=demanded(kind, role),
        )
        if sends(kind, role):
            check(sent, sender, recipient)
        else:
            refused = refusal(sent, sender, recipient)
            assert refused.code is Code.GEEN_RECHT
            assert refused.findings[0].path.endswith("/stuurgegevens/afzender")
            assert refused.findings[0].rule.startswith("RECHT_")


@each_cell
def test_a_role_gets_a_kind_exactly_where_the_table_says_so(kind: Kind, role: str) -> None:
    senders = [each for each in others(role) if sends(kind, each)] or [
        each for each in ROLES if sends(kind, each)
    ]
    for other in senders:
        sender, recipient = a_party(other), a_party(role)
        sent = a_submission(
            kind,
            sender,
            recipient,
            namens=owner_in(kind, role, other),
            attached=demanded(kind, other),
        )
        if gets(kind, role):
            check(sent, sender, recipient)
        else:
            refused = refusal(sent, sender, recipient)
            assert refused.code is Code.GEEN_RECHT
            assert refused.findings[0].path.endswith("/stuurgegevens/ontvanger")
            assert refused.findings[0].rule.startswith("ONTVANGST_")


@each_cell
def test_a_mandatory_attachment_is_asked_for_exactly_where_the_table_says_so(
    kind: Kind, role: str
) -> None:
    if not sends(kind, role):
        return
    other = next(each for each in others(role) if gets(kind, each))
    sender, recipient = a_party(role), a_party(other)
    bare = a_submission(
        kind, sender, recipient, namens=owner_in(kind, role, other), attached=["ONDERBOUWING"]
    )

    if not demanded(kind, role):
        check(bare, sender, recipient)
        return
    refused = refusal(bare, sender, recipient)

    (found,) = refused.findings
    (soort,) = demanded(kind, role)
    assert refused.code is Code.BIJLAGE_ONTBREEKT
    assert found.rule == f"BIJLAGE_{soort}"
    assert found.path.endswith("/stuurgegevens/bijlagen")
    assert soort in found.nl
    assert soort in found.en


@pytest.mark.parametrize("kind", MESSAGES, ids=str)
def test_rules_fit_the_contract(kind: Kind) -> None:
    rules = [
        refusal(a_submission(kind, one, other), one, other).findings[0].rule
        for one in map(a_party, ROLES)
        for other in map(a_party, ROLES)
        if one.rollen == other.rollen
    ]

    assert all(2 <= len(rule) <= 64 for rule in rules)


# Sides and several roles

SHV, SE = a_party("shv-fase-2"), a_party("schuldeiser")
NAVRAAG = Kind("schuldregeling", 2, "Navraag")
VOORSTEL = Kind("schuldregeling", 2, "Betaalvoorstel")
VERZOEK = Kind("betalingsregeling", 2, "Saldoverzoek")


def test_two_on_the_same_side_have_nothing_to_say_to_each_other() -> None:
    refused = refusal(a_submission(NAVRAAG, SHV, SHV), SHV, SHV)

    assert refused.code is Code.GEEN_RECHT
    assert refused.findings[0].rule == "RECHT_ZELFDE_KANT"


def test_who_is_on_both_sides_may_speak_with_either() -> None:
    municipality = a_party("schuldeiser", "shv-fase-2")
    other = a_party("shv-fase-2", "schuldeiser")

    check(a_submission(NAVRAAG, SHV, municipality), SHV, municipality)
    check(a_submission(VOORSTEL, other, municipality), other, municipality)
    check(a_submission(VOORSTEL, municipality, other), municipality, other)


@pytest.mark.parametrize(
    ("roles", "attached", "fine"),
    [
        (("overige-shv", "shv-fase-1"), (), True),
        (("overige-shv", "bewindvoerder"), ("TOESTEMMING",), True),
        (("overige-shv", "bewindvoerder"), ("BESCHIKKING",), True),
        (("overige-shv", "bewindvoerder"), (), False),
        # a role that may not say it does not make the demand of the other lighter
        (("overige-shv", "schuldeiser"), (), False),
    ],
)
def test_of_several_roles_the_lightest_demand_holds(
    roles: tuple[str, ...], attached: tuple[str, ...], *, fine: bool
) -> None:
    sender = a_party(*roles)
    sent = a_submission(VERZOEK, sender, SE, attached=attached)

    if fine:
        check(sent, sender, SE)
    else:
        assert refusal(sent, sender, SE).code is Code.BIJLAGE_ONTBREEKT


# What the sender reads


def test_a_refused_kind_names_its_rule_its_place_and_what_is_possible() -> None:
    sender = a_party("shv-fase-1")

    (found,) = refusal(a_submission(VOORSTEL, sender, SE), sender, SE).findings

    assert found.rule == "RECHT_BETAALVOORSTEL_SHV_FASE_1"
    assert found.path == "/betaalvoorstel/stuurgegevens/afzender"
    assert "alleen worden verzonden door: shv-fase-2" in found.nl
    assert "Met uw rol kan Betaalvoorstel wel in: betalingsregeling." in found.nl
    assert "With your role Betaalvoorstel can be sent in: betalingsregeling." in found.en


def test_places_are_named_as_the_sender_wrote_them() -> None:
    sender = a_party("overige-shv")
    sent = a_submission(VERZOEK, sender, SE, dialect=Dialect.XML)

    (found,) = refusal(sent, sender, SE).findings

    assert found.path == "/Saldoverzoek/Stuurgegevens/Bijlagen"


def test_a_party_without_roles_may_do_nothing() -> None:
    nobody = Party(OINS["shv-fase-2"], "naam", frozenset(), frozenset({"schuldregeling"}), ())

    refused = refusal(a_submission(VOORSTEL, nobody, SE), nobody, SE)

    assert refused.findings[0].rule == "RECHT_BETAALVOORSTEL_GEEN_ROL"


@pytest.mark.parametrize("member", ["afzender", "ontvanger"])
def test_who_has_the_right_must_be_connected_as_well(member: str) -> None:
    unconnected = frozenset({"crisis"})
    sender = a_party("shv-fase-2", **({"modules": unconnected} if member == "afzender" else {}))
    recipient = a_party(
        "schuldeiser", **({"modules": unconnected} if member == "ontvanger" else {})
    )

    refused = refusal(a_submission(VOORSTEL, sender, recipient), sender, recipient)

    assert refused.code is Code.NIET_AANGESLOTEN
    assert refused.findings[0].path == f"/betaalvoorstel/stuurgegevens/{member}"


# Data that cannot be used

ROLE = '[[rol]]\nnaam = "schuldeiser"\nkant = "schuldeiser"\n'
SENDS = (
    '[[recht]]\nrollen = ["schuldeiser"]\nmodule = "m"\nrichting = "verzendt"\nsoorten = ["A"]\n'
)
GETS = SENDS.replace("verzendt", "ontvangt")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "nobody may say anything"),
        (ROLE, "nobody may say anything"),
        (ROLE + SENDS, "nobody may say anything"),
        (SENDS + GETS, "unknown roles: schuldeiser"),
        (ROLE + SENDS + SENDS + GETS, "two rows for schuldeiser verzendt m A"),
        (ROLE + SENDS + GETS + 'bijlage = "TOESTEMMING"', "only who sends"),
        (ROLE + SENDS.replace("verzendt", "leest"), "richting is"),
        (ROLE.replace('kant = "schuldeiser"', 'kant = "boven"'), "no known side"),
        (ROLE + "kleur = 1", "unknown are kleur"),
        ("[[regel]]", "unknown are regel"),
    ],
)
def test_rights_that_cannot_be_used_stop_the_gateway(text: str, problem: str) -> None:
    with pytest.raises(Fault, match=problem):
        read(text)


def test_what_no_row_allows_is_refused() -> None:
    rights = Rights(read(ROLE + SENDS + GETS + _texts()))
    sent = a_submission(VOORSTEL, SHV, SE)

    with pytest.raises(Exception, match="GEEN_RECHT"):
        rights.check(sent, SHV, SE, EVERYBODY, sent.message.verified.received.at)


def _texts() -> str:
    return '[uitleg.RECHT]\nnl = "{soort}"\nen = "{soort}"\n'
