"""A small status page for the operator: counts and ages, never content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse, JSONResponse, Response

from gateway.adapters.rest_in.services import Services
from gateway.delivery import State
from gateway.replies import instant

STATES = (State.WACHT, State.AANGEBODEN, State.BEVESTIGD, State.GESTRAND, State.VERWORPEN)

STYLE = """
:root{--ink:#1d2b36;--line:#d7dee3;--good:#17643a;--bad:#a8201a;--soft:#f4f7f8}
*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);margin:0;background:#fff}
header{background:#154273;color:#fff;padding:1rem 2rem}header h1{font-size:1.25rem;margin:0}
header p{margin:.2rem 0 0;opacity:.85}main{max-width:70rem;margin:0 auto;padding:1.5rem 2rem}
.cards{display:flex;flex-wrap:wrap;gap:1rem;margin-bottom:2rem}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1.2rem;min-width:11rem;background:var(--soft)}
.card b{display:block;font-size:1.8rem;line-height:1.2}.card.bad b{color:var(--bad)}.card.good b{color:var(--good)}
table{border-collapse:collapse;width:100%;margin-bottom:2rem}caption{text-align:left;font-weight:600;padding:.4rem 0}
th,td{padding:.5rem .7rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}
thead th{background:var(--soft)}td.bad{color:var(--bad);font-weight:600}
footer{color:#52616b;font-size:.9rem;margin-top:2rem}code{background:var(--soft);padding:.1rem .3rem;border-radius:.2rem}
"""


def routes(services: Services, broker_healthy: Callable[[], bool | None]) -> APIRouter:
    """The routes of this room; mounted on the admin listener only."""
    router = APIRouter(include_in_schema=False)

    @router.get("/console")
    async def console() -> Response:
        overview = await services.writer.read(_figures, services)
        names = {oin: p.naam for oin, p in services.line.directory().parties.items()}
        page = render(overview, names, at=instant(services.line.clock()), broker=broker_healthy())
        return HTMLResponse(page, headers={"Refresh": "10"})

    @router.get("/console/stand.json")
    async def figures() -> Response:
        return JSONResponse(await services.writer.read(_figures, services))

    return router


def _figures(services: Services) -> dict[str, Any]:
    """Everything that is counted: ``Ledger.overview``, and ``Ledger.moments`` as ``terms``."""
    moments = services.ledger.moments(services.line.clock())
    return {**services.ledger.overview(), "terms": dict(moments)}


BROKER = {None: "geen ingesteld", True: "bereikbaar", False: "onbereikbaar; afleveringen wachten"}


def render(
    overview: Mapping[str, Any], names: Mapping[Any, str], *, at: str, broker: bool | None
) -> str:
    """The page as HTML; everything from outside is escaped."""
    dead = int(overview["open_dead_letters"])
    cards = [
        ("Vandaag aangenomen", overview["accepted_today"], "good"),
        ("Vandaag geweigerd", overview["refused_today"], ""),
        ("Gestrand, open", dead, "bad" if dead else "good"),
        ("Oudste die wacht", _age(overview["oldest_waiting_seconds"]), ""),
    ]
    rows = "".join(_row(oin, counts, names) for oin, counts in overview["parties"].items())
    if not rows:
        rows = f'<tr><td colspan="{len(STATES) + 2}">Nog geen berichten.</td></tr>'
    tiles = "".join(
        f'<div class="card {tone}"><b>{escape(str(value))}</b>{escape(label)}</div>'
        for label, value, tone in cards
    )
    heads = "".join(f'<th scope="col">{state.value}</th>' for state in STATES)
    return (
        '<!doctype html><html lang="nl"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Gateway: stand van zaken</title><style>{STYLE}</style></head><body>"
        "<header><h1>Berichtengateway schuldhulp</h1>"
        f"<p>Stand van {escape(at)}; ververst elke 10 seconden. Grootboek: bereikbaar. "
        f"Broker: {BROKER[broker]}.</p></header><main>"
        f'<section class="cards" aria-label="Samenvatting">{tiles}</section>'
        "<table><caption>Afleveringen per ontvanger</caption><thead><tr>"
        f'<th scope="col">OIN</th><th scope="col">Naam</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{_terms(overview['terms'])}"
        "<footer>Gestrande berichten herstellen: <code>gateway gestrand lijst</code>.</footer>"
        "</main></body></html>"
    )


TERMS = {
    "due": "had al moeten gebeuren; de rol klok loopt achter",
    "week": "binnen zeven dagen",
    "later": "later",
}


def _terms(counts: Mapping[str, int]) -> str:
    """In how many conversations a reminder or the end of a term comes, and how soon."""
    rows = "".join(
        f'<tr><td>{label}</td><td class="{"bad" if name == "due" and counts[name] else ""}">'
        f"{int(counts[name])}</td></tr>"
        for name, label in TERMS.items()
    )
    return (
        "<table><caption>Termijnen: gesprekken waarin een herinnering of een einde komt</caption>"
        '<thead><tr><th scope="col">Wanneer</th><th scope="col">Gesprekken</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(oin: str, counts: Mapping[str, int], names: Mapping[Any, str]) -> str:
    cells = "".join(
        f'<td class="{"bad" if state is State.GESTRAND and counts.get(state) else ""}">'
        f"{int(counts.get(state, 0))}</td>"
        for state in STATES
    )
    return f"<tr><td>{escape(oin)}</td><td>{escape(names.get(oin, ''))}</td>{cells}</tr>"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "geen"
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "uur")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} dagen"
