"""Said things and stands for tests of the conversation: what matters is named, the rest is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from fixtures.documents import MESSAGES, example, kind, merge
from fixtures.world import SE, SHV
from gateway.errors import Refusal
from gateway.message import Header, Json, Oin
from gateway.routing import table
from gateway.routing.conversation import Lengths, Move, step
from gateway.routing.guards import Said
from gateway.routing.kern import LINE_MEMBERS, Kern
from gateway.routing.lengths import Length, Unit
from gateway.routing.stand import Soort, Stand, Status, Termijn, Vraag
from gateway.routing.table import CODE_MEMBERS

AT = datetime(2026, 3, 10, 11, tzinfo=UTC)
TODAY = AT.date()
THREAD = "52a544f7-51b6-4f69-834c-b479c4c35245"
LENGTHS = Lengths(
    antwoord=Length(10, Unit.WERKDAG),
    voorstel=Length(4, Unit.MAAND),
    bezwaar=Length(5, Unit.WERKDAG),
)
TABLE = table.read()

CONSENT: Json = {
    "bron": "COLLECTIEF",
    "typenRegeling": ["SK"],
    "minimumPercentage": "5",
    "geldigTotEnMet": "2026-12-31",
}
"""A consent in advance that holds for the example proposal."""

MODULES = (
    "schuldregeling",
    "incassopauze",
    "crisis",
    "bewindvoering",
    "traject",
    "vish",
)


def module_of(soort: str) -> str:
    """The first module that has this kind."""
    return next(each for each in MODULES if list(MESSAGES.glob(f"{each}-v*/{soort}.json")))


def body_of(soort: str, als: str | None = None, change: Json | None = None) -> tuple[str, Json]:
    """The example of a kind with this code in it; its JSON name and what it says."""
    ((root, body),) = example(kind(module_of(soort), soort)).items()
    if als is not None:
        body[CODE_MEMBERS[soort]] = als
    merge(body, change or {})
    return root, body


def said(
    soort: str,
    stand: Stand,
    *,
    als: str | None = None,
    by: Oin = SHV,
    number: str = "nieuw",
    cross: str | None = None,
    vervangt: str | None = None,
    kern: Kern | None = None,
    change: Json | None = None,
    day: date = TODAY,
    objection: bool = False,
) -> Said:
    """A message as the rules see it: the example of its kind."""
    root, body = body_of(soort, als, change)
    header = Header(
        referentienummer=number,
        conversatie=THREAD,
        afzender=by,
        ontvanger=SE if by == SHV else SHV,
        tijdstip=AT,
        versie="2.0",
        cross=cross,
        vervangt=vervangt,
    )
    return Said(
        soort=soort,
        module=module_of(soort),
        header=header,
        root=root,
        body=body,
        stand=stand,
        kern=Kern() if kern is None else kern,
        day=day,
        objection=objection,
        validity=Length(90, Unit.KALENDERDAG),
    )


def move(
    soort: str,
    stand: Stand,
    *,
    at: datetime = AT,
    lengths: Lengths = LENGTHS,
    rules: table.Table = TABLE,
    **how: Any,
) -> Move:
    """The move that such a message makes; see ``said``."""
    return step(said(soort, stand, **how), at=at, lengths=lengths, table=rules)


def refusal(soort: str, stand: Stand, **how: Any) -> Refusal:
    """Why it is refused."""
    try:
        move(soort, stand, **how)
    except Refusal as refused:
        return refused
    raise AssertionError(f"{soort} is accepted in {stand.staat}")


def question(
    soort: str, *, number: str = "", by: Oin = SHV, status: Status = Status.OPEN, door: str = ""
) -> Vraag:
    """A question that is called after its kind, unless it is given a number."""
    return Vraag(number or soort, soort, by, status, door or None)


def term(
    number: str,
    last: date | None = date(2026, 3, 16),
    *,
    soort: Soort = Soort.ANTWOORD,
    kind: str = "Saldoverzoek",
    turn: Oin = SE,
) -> Termijn:
    """A term of ten working days that runs until and with a day; None while it does not run."""
    return Termijn(
        soort=soort,
        referentienummer=number,
        berichtsoort=kind,
        module="schuldregeling",
        versie="2.0",
        aan_zet=turn,
        lengte="10 WERKDAG",
        beschikbaar=None if last is None else datetime(2026, 3, 2, 11, tzinfo=UTC),
        tot_en_met=last,
    )


def standing(staat: str, *vragen: Vraag, **more: Any) -> Stand:
    """A conversation in a state, with these questions."""
    return Stand(staat=staat, shv=SHV, se=SE, vragen=vragen, **more)


def lines_of(soort: str, member: str | None = None, **change: Any) -> Json:
    """The lines of an example as the sealed part keeps them.

    Args:
        member: Where they are, if not in the body itself.
    """
    _, body = body_of(soort)
    inside = body if member is None else body[member]
    return {
        line["factuurnummerSe"]: [(line | change)[name] for name in LINE_MEMBERS]
        for line in inside["vorderingen"]
    }


def agreed(**change: Any) -> Kern:
    """The sealed part when the example proposal was agreed."""
    kern = Kern(
        opgave=("E-2025-0117", "E-2025-0342"),
        type="SK",
        regels=lines_of("RegelingGeaccordeerd"),
        ibans=("NL59VRBD0300065264",),
    )
    return kern._replace(**change)


def after(stand: Stand, *messages: tuple[str, Json]) -> tuple[Stand, Kern]:
    """Where these leave the conversation, one after the other; each by ``move``."""
    kern = Kern()
    for soort, how in messages:
        made = move(soort, stand, **{"kern": kern, **how})
        stand, kern = made.stand, made.kern
    return stand, kern


def rules_of(findings: Sequence[Any]) -> list[str]:
    """The rules of findings, in order."""
    return [each.rule for each in findings]
