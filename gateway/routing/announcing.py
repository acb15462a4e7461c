"""What the gateway says when a term passes, and when it is asked where something stands.

Reminders go only to the party whose turn it is; that a term is over is told once to each side
(process.md 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from gateway.calendar import AMSTERDAM
from gateway.message import Json, Kind
from gateway.replies import (
    HERINNERING,
    TERMIJN_VERSTREKEN,
    About,
    herinnering,
    stuurgegevens,
    termijn_verstreken,
)
from gateway.routing.guards import Said
from gateway.routing.moments import Moment, Wat
from gateway.routing.own import Voice
from gateway.routing.stand import Soort, Stand, Termijn
from gateway.routing.table import Table


def announced(
    stand: Stand, fired: Sequence[Moment], conversatie: str, now: datetime, voice: Voice
) -> tuple[tuple[Kind, Json], ...]:
    """The messages for what fell due."""
    return tuple(
        each for moment in fired for each in _documents(stand, moment, conversatie, now, voice)
    )


def _documents(
    stand: Stand, moment: Moment, conversatie: str, now: datetime, voice: Voice
) -> Iterator[tuple[Kind, Json]]:
    termijn = moment.termijn
    if termijn.beschikbaar is None or termijn.tot_en_met is None:
        return
    number = termijn.referentienummer
    match moment.wat:
        case Wat.HELFT | Wat.VIER_VIJFDE:
            header = voice.header(to=termijn.aan_zet, conversatie=conversatie, cross=number, at=now)
            yield (
                HERINNERING,
                herinnering(
                    bericht=_about(termijn),
                    beschikbaar_op=termijn.beschikbaar,
                    moment="HELFT" if moment.wat is Wat.HELFT else "VIER_VIJFDE",
                    termijn_tot_en_met=termijn.tot_en_met,
                    **header,
                ),
            )
        case Wat.VERSTREKEN:
            both = termijn.soort is not Soort.VOORSTEL
            for party in (stand.shv, stand.se if both else None):
                if party is None:
                    continue
                header = voice.header(to=party, conversatie=conversatie, cross=number, at=now)
                yield (
                    TERMIJN_VERSTREKEN,
                    termijn_verstreken(
                        bericht=_about(termijn),
                        aan_de_beurt=termijn.aan_zet,
                        termijn_tot_en_met=termijn.tot_en_met,
                        **header,
                    ),
                )
        case Wat.BEZWAAR_VERSTREKEN:
            return


def _about(termijn: Termijn) -> About:
    return About(termijn.referentienummer, termijn.berichtsoort, termijn.module, termijn.versie)


def status_answer(
    stand: Stand, said: Said, at: datetime, voice: Voice, table: Table
) -> tuple[Kind, Json] | None:
    """Where it stands, on behalf of the helper, in the codes that a creditor may read."""
    status = table.status_codes.get(stand.staat)
    if status is None or stand.shv is None:
        return None
    header = said.header
    document: Json = {
        "statusberichtShv": {
            "stuurgegevens": {
                **stuurgegevens(
                    module=said.module,
                    versie=header.versie,
                    **voice.header(
                        to=header.afzender,
                        conversatie=header.conversatie,
                        cross=header.referentienummer,
                        at=at,
                    ),
                ),
                "namens": {"oin": stand.shv},
            },
            "status": status,
            "datum": at.astimezone(AMSTERDAM).date().isoformat(),
        }
    }
    kind = Kind(said.module, int(header.versie.split(".")[0]), "StatusberichtShv")
    return kind, document
