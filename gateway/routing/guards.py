"""What must hold before a move may be made, and what chooses between moves.

Pure. A condition chooses a row of the table; a guard refuses with a code of its own, and
points at the place in the canonical document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.calendar import AMSTERDAM, Calendar
from gateway.errors import LARGEST_NUMBER_OF_FINDINGS, Code, Finding, Refusal
from gateway.message import Header, Json
from gateway.routing.kern import LINE_MEMBERS, Kern
from gateway.routing.lengths import Length, tot_en_met
from gateway.routing.stand import Stand

BEZWAAR_VOORBIJ = "bezwaarVoorbij"
VEROUDERD = "verouderd"
SCHATTING = "schatting"
UITBETAALD = "uitbetaald"

BINDING_PAUSES = frozenset({"MORATORIUM_SMAL", "MORATORIUM_BREED", "MORATORIUM_KOT"})
"""Pauses by a court or by law (process.md 6)."""


class Said(NamedTuple):
    """A message in its conversation, as guards and conditions see it.

    Attributes:
        root: JSON name of the kind, for pointers.
        body: What the message says, in the current version of its module.
        day: The Dutch day on which it was received.
        objection: There is a term for objections to a consent in advance.
        validity: How long a balance counts that does not say so itself.
    """

    soort: str
    module: str
    header: Header
    root: str
    body: Json
    stand: Stand
    kern: Kern
    day: date
    objection: bool = False
    validity: Length | None = None

    @property
    def voorstel(self) -> Json | None:
        """The proposal in it, if any."""
        found: Json | None = self.body.get("voorstel") or self.body.get("gewijzigdVoorstel")
        return found

    def at(self, pointer: str, rule: str, nl: str = "", en: str = "") -> Finding:
        """A finding at a place below the root, with what to do in two languages."""
        return Finding(rule, f"/{self.root}/{pointer}", nl=nl, en=en)


Condition = Callable[[Said], bool]
Guard = Callable[[Said], None]


def vooraf_akkoord_geldt(said: Said) -> bool:
    """The creditor consented in advance, to this, and nothing has changed since.

    Valid on the day the proposal is recorded, for this type, not below its minimum, no
    obstacle reported, resting on the newest balance, and with an account to pay to
    (process.md 5).
    """
    vooraf, voorstel = said.kern.vooraf, said.voorstel or said.body
    if vooraf is None or VEROUDERD in said.stand.merken or said.kern.belemmerd:
        return False
    if date.fromisoformat(vooraf["geldigTotEnMet"]) < said.day:
        return False
    if voorstel["typeSchuldregeling"] not in vooraf["typenRegeling"]:
        return False
    offered = [Decimal(each["afkooppercentage"]) for each in voorstel["vorderingen"]]
    if any(each > 0 for each in offered) and not said.kern.ibans:
        return False
    minimum = Decimal(vooraf.get("minimumPercentage", "0"))
    return all(each >= minimum for each in offered)


def saldo_geldt(said: Said) -> bool:
    """The balance that the creditor stated still counts: as long as it says, else as is usual."""
    if said.kern.saldo is None:
        return False
    peildatum, last = said.kern.saldo
    if last is not None:
        return said.day <= date.fromisoformat(last)
    noon = datetime.combine(date.fromisoformat(peildatum), time(12), AMSTERDAM)
    return said.validity is not None and said.day <= tot_en_met(said.validity, noon, Calendar())


def bezwaar_mogelijk(said: Said) -> bool:
    """There is a term in which the creditor may still object."""
    return said.objection


def bezwaar_voorbij(said: Said) -> bool:
    """There was such a term, and it is over."""
    return BEZWAAR_VOORBIJ in said.stand.merken


def op_schatting(said: Said) -> bool:
    """The proposal rests on an estimate."""
    return said.voorstel is not None and said.voorstel["saldoBron"] == "SCHATTING"


def vervangt_iets(said: Said) -> bool:
    """The message names what it replaces, and that is of this conversation."""
    return said.stand.stap(said.header.vervangt or "") is not None


CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {
        each.__name__: each
        for each in (
            saldo_geldt,
            vooraf_akkoord_geldt,
            bezwaar_mogelijk,
            bezwaar_voorbij,
            op_schatting,
            vervangt_iets,
        )
    }
)


def vorderingen_in_gesprek(said: Said) -> None:
    """Every claim is one that the creditor stated; unless it never did, or on an estimate."""
    voorstel = said.voorstel or said.body
    open_claims = said.kern.opgave
    if open_claims is None or SCHATTING in said.stand.merken or "vorderingen" not in voorstel:
        return
    inside = next(
        (f"{name}/" for name in ("voorstel", "gewijzigdVoorstel") if name in said.body), ""
    )
    strange = (
        said.at(f"{inside}vorderingen/{place}/factuurnummerSe", "VORDERING_ONBEKEND")
        for place, line in enumerate(voorstel["vorderingen"])
        if line["factuurnummerSe"] not in open_claims
    )
    _refuse(Code.VORDERING_NIET_IN_GESPREK, strange)


def gelijk_aan_akkoord(said: Said) -> None:
    """The arrangement is, line by line, what was agreed."""
    _refuse(Code.WIJKT_AF_VAN_AKKOORD, _differences(said))


def _differences(said: Said) -> Iterator[Finding]:
    agreed = said.kern.regels or {}
    if said.body["typeSchuldregeling"] != said.kern.type:
        yield said.at("typeSchuldregeling", "TYPE_WIJKT_AF")
    told = set()
    for place, line in enumerate(said.body["vorderingen"]):
        number = line["factuurnummerSe"]
        told.add(number)
        if number not in agreed:
            yield said.at(f"vorderingen/{place}/factuurnummerSe", "REGEL_NIET_AFGESPROKEN")
            continue
        for member, value in zip(LINE_MEMBERS, agreed[number], strict=True):
            if not _equal(line[member], value):
                yield said.at(f"vorderingen/{place}/{member}", "REGEL_WIJKT_AF")
    if agreed.keys() - told:
        yield said.at("vorderingen", "REGEL_ONTBREEKT")


def _equal(mine: Any, theirs: Any) -> bool:
    """Percentages are decimals: 12.5 is 12.50."""
    if isinstance(mine, str) and mine[:1].isdigit():
        return Decimal(mine) == Decimal(theirs)
    return bool(mine == theirs)


def iban_bij_betaling(said: Said) -> None:
    """Who agrees to more than nothing says where to pay, now or before."""
    if said.kern.pays and "betaalgegevens" not in said.body and not said.kern.ibans:
        raise Refusal(Code.REGEL_GESCHONDEN, said.at("betaalgegevens", "IBAN_VEREIST"))


def na_afwijzing_of_verlopen(said: Said) -> None:
    """It refers to the refusal, or to the proposal that expired."""
    stap = said.stand.stap(said.header.cross or "")
    if stap is None or stap.soort not in ("Betaalvoorstel", "BetaalvoorstelAntwoord"):
        place = "stuurgegevens/crossReferentienummer"
        raise Refusal(Code.VRAAG_ONBEKEND, said.at(place, "GEEN_AFWIJZING"))


def alleen_bij_sb(said: Said) -> None:
    """Only a settlement that pays as it goes is calculated again."""
    if said.kern.type not in (None, "SB"):
        raise Refusal(Code.VOLGORDE_ONGELDIG, said.at("vorderingen", "ALLEEN_BIJ_SB"))


def uitbetaald_bij_sk(said: Said) -> None:
    """A credit that never paid out cannot be completed."""
    if said.kern.type == "SK" and UITBETAALD not in said.stand.merken:
        raise Refusal(Code.VOLGORDE_ONGELDIG, said.at("reden", "UITBETALING_ONTBREEKT"))


def pauze_niet_bindend(said: Said) -> None:
    """A pause by law or by a court is not refused."""
    if said.body["soort"] in BINDING_PAUSES:
        raise Refusal(Code.PAUZE_BINDEND, said.at("resultaat", "PAUZE_BINDEND"))


GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        each.__name__: each
        for each in (
            vorderingen_in_gesprek,
            gelijk_aan_akkoord,
            iban_bij_betaling,
            na_afwijzing_of_verlopen,
            alleen_bij_sb,
            uitbetaald_bij_sk,
            pauze_niet_bindend,
        )
    }
)


def _refuse(code: Code, findings: Iterator[Finding]) -> None:
    found = list(islice(findings, LARGEST_NUMBER_OF_FINDINGS))
    if found:
        raise Refusal(code, *found)
