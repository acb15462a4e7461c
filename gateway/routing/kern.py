"""The sealed part of a conversation: which claims, what was proposed, what was agreed.

Kept so that a later message can be held against what was said (design decision 14); never in
the clear, and erased some time after the conversation ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import orjson

from gateway.message import Json

LINE_MEMBERS = (
    "afkooppercentage",
    "prognoseEindbedragInCenten",
    "actueelVorderingsbedragInCenten",
    "vorderingsType",
)
"""What RegelingGeaccordeerd repeats of each line of the proposal."""

MOST_IBANS = 20

OVERGEDRAGEN, NIEUWE_VORDERING = "VORDERING_OVERGEDRAGEN", "NIEUWE_VORDERING"
CLOSES = frozenset({OVERGEDRAGEN, "VORDERING_VOLDAAN", "VORDERING_INGETROKKEN"})
"""Codes of StatusberichtSe after which the claims that it names are open no more."""
MOST_PROPOSALS = 8


class Kern(NamedTuple):
    """What was said about claims, amounts and obstacles, newest only.

    Attributes:
        opgave: Numbers of the open claims that the creditor named; None before it did.
        belemmerd: Numbers of those with an obstacle.
        gesloten: Why a claim is open no more, by its number (codes of StatusberichtSe).
        saldo: Peildatum of that statement, and its last day where it names one.
        vooraf: The StandaardAkkoord, where the creditor consented in advance.
        type: TypeSchuldregeling of the proposal.
        regels: The lines of the proposal by FactuurnummerSE, each as ``LINE_MEMBERS``.
        ibans: Account numbers that the creditor gave.
        voorstellen: Type and lines of the latest proposals, by number, the newest last: one
            may be taken back, and then an earlier one counts again.
    """

    opgave: tuple[str, ...] | None = None
    belemmerd: tuple[str, ...] = ()
    gesloten: Json | None = None
    saldo: tuple[str, str | None] | None = None
    vooraf: Json | None = None
    type: str | None = None
    regels: Json | None = None
    ibans: tuple[str, ...] = ()
    voorstellen: Json | None = None

    @property
    def empty(self) -> bool:
        """There is nothing to keep."""
        return self == NOTHING

    def remembered(self, referentienummer: str) -> Kern:
        """With the proposal that counts now as that of a message."""
        earlier = {n: told for n, told in (self.voorstellen or {}).items() if n != referentienummer}
        latest = list(earlier.items())[1 - MOST_PROPOSALS :]
        return self._replace(
            voorstellen={**dict(latest), referentienummer: [self.type, self.regels]}
        )

    def counting(self, newest_first: Iterable[str]) -> Kern:
        """As it is when of all messages only these still stand."""
        if not self.voorstellen:
            return self
        found = (self.voorstellen[each] for each in newest_first if each in self.voorstellen)
        soort, regels = next(found, (None, None))
        return self._replace(type=soort, regels=regels)

    @property
    def pays(self) -> bool:
        """Some line of the proposal pays more than nothing."""
        return any(Decimal(line[0]) > 0 for line in (self.regels or {}).values())


NOTHING = Kern()
"""What is known of a conversation in which nothing was stated yet."""


def as_bytes(kern: Kern) -> bytes:
    """As it is sealed."""
    told = zip(kern._fields, kern, strict=True)
    return orjson.dumps({name: value for name, value in told if value not in (None, ())})


def read(content: bytes) -> Kern:
    """What ``as_bytes`` wrote."""
    told = orjson.loads(content)
    for name in ("opgave", "belemmerd", "saldo", "ibans"):
        if name in told:
            told[name] = tuple(told[name])
    return Kern(**told)


def with_opgave(kern: Kern, body: Json) -> Kern:
    """After the creditor stated its claims (SaldoverzoekAntwoord and its twin)."""
    vorderingen = body.get("vorderingen", ())
    claims = _claims(body, vorderingen)
    return kern._replace(
        opgave=tuple([number for number, _ in claims]),
        belemmerd=tuple([number for number, claim in claims if "belemmering" in claim]),
        gesloten=dict.fromkeys(_handed_over(vorderingen), OVERGEDRAGEN) or None,
        saldo=(body["peildatum"], body.get("geldigTotEnMet")),
        vooraf=body.get("standaardAkkoord"),
        ibans=_more_ibans(kern, [body, *[claim for _, claim in claims]]),
    )


def with_voorstel(kern: Kern, voorstel: Json) -> Kern:
    """After the helper proposed."""
    lines = {
        line["factuurnummerSe"]: [line[member] for member in LINE_MEMBERS]
        for line in voorstel["vorderingen"]
    }
    return kern._replace(type=voorstel["typeSchuldregeling"], regels=lines)


def with_betaalgegevens(kern: Kern, body: Json) -> Kern:
    """After the creditor said where to pay."""
    return kern._replace(ibans=_more_ibans(kern, [body]))


def with_vorderingstatus(kern: Kern, body: Json) -> Kern:
    """After the creditor told what became of its claims: those that it names, or else all."""
    kern, status = with_betaalgegevens(kern, body), body["status"]
    if kern.opgave is None:
        return kern
    if status == NIEUWE_VORDERING:
        more = body.get("factuurnummers", ())
        return kern._replace(opgave=tuple(dict.fromkeys((*kern.opgave, *more))))
    if status not in CLOSES:
        return kern
    named = body.get("factuurnummers", kern.opgave)
    return kern._replace(
        opgave=tuple(number for number in kern.opgave if number not in named),
        gesloten={**(kern.gesloten or {}), **dict.fromkeys(named, status)},
    )


def _handed_over(vorderingen: Sequence[Json]) -> list[str]:
    return [
        each["factuurnummerSe"]
        for each in vorderingen
        if "overdracht" in each and "factuurnummerSe" in each
    ]


def _claims(body: Json, vorderingen: Sequence[Json]) -> list[tuple[str, Json]]:
    """Open claims by the creditor's number, in the order of the message."""
    claims = [
        (each["factuurnummerSe"], each["openstaand"])
        for each in vorderingen
        if "openstaand" in each and "factuurnummerSe" in each
    ]
    whole = body.get("totaalvordering")
    return claims if whole is None else [(whole["factuurnummerSe"], whole), *claims]


def _more_ibans(kern: Kern, places: Sequence[Json]) -> tuple[str, ...]:
    given = [each["betaalgegevens"]["iban"] for each in places if "betaalgegevens" in each]
    return tuple(dict.fromkeys((*kern.ibans, *given)))[-MOST_IBANS:]


def _voorstel(kern: Kern, body: Json) -> Kern:
    return with_voorstel(kern, body["voorstel"])


def _heroverweging(kern: Kern, body: Json) -> Kern:
    changed = body.get("gewijzigdVoorstel")
    return kern if changed is None else with_voorstel(kern, changed)


TAKEN: Mapping[str, Callable[[Kern, Json], Kern]] = MappingProxyType(
    {
        "opgave": with_opgave,
        "voorstel": _voorstel,
        "heroverweging": _heroverweging,
        "regeling": with_voorstel,
        "betaalgegevens": with_betaalgegevens,
        "vorderingstatus": with_vorderingstatus,
    }
)
"""What a move takes over from its message, by the word of the table."""

PROPOSALS = frozenset({"voorstel", "heroverweging", "regeling"})
"""Those words that say what is proposed."""
