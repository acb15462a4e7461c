"""Which messages do not wait for their predecessors: data (design decision 6)."""

from __future__ import annotations

from gateway.message import Canonical

MODULES_THAT_OVERTAKE = frozenset({"crisis"})

KINDS_THAT_OVERTAKE = frozenset(
    {
        "Intrekking",  # a recall must arrive before what it recalls is acted upon
        "RegelingBeeindigd",
        "IncassopauzeEinde",
        "ToelatingIngetrokken",
        "VishAfmelding",
    }
)

STATUSES_THAT_OVERTAKE = frozenset(
    {
        "DWANGAKKOORD_TOEGEWEZEN",  # court notices bind
        "DWANGAKKOORD_AFGEWEZEN",
        "WSNP_TOEGELATEN",
        "OVERGEDRAGEN_ANDERE_SHV",  # endings
        "OVERLEDEN",
        "VOORTIJDIG_BEEINDIGD",
    }
)
"""Codes of StatusberichtShv."""


def overtakes(message: Canonical) -> bool:
    """Whether this message goes ahead of what still waits for its recipient."""
    message = message.current
    kind = message.kind
    if kind.module in MODULES_THAT_OVERTAKE or kind.name in KINDS_THAT_OVERTAKE:
        return True
    body = next(iter(message.document.values()))
    return kind.name == "StatusberichtShv" and body["status"] in STATUSES_THAT_OVERTAKE
