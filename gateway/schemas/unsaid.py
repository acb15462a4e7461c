"""What would an older version of a module leave out of this message?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from gateway.errors import Finding
from gateway.message import Canonical, Dialect
from gateway.schemas.catalogue import LARGEST_REPORT, Catalogue
from gateway.schemas.paths import finding, spot_at
from gateway.schemas.versions import Unsayable

LOSS = "versie-verlies"
IMPOSSIBLE = "versie-onmogelijk"
_ADVICE_NL = (
    "Voor versie-onmogelijk helpt verliesToegestaan niet: bereik deze ontvanger langs een andere "
    "weg, of vraag hem de nieuwste versie te lezen."
)
_ADVICE_EN = (
    "For versie-onmogelijk verliesToegestaan does not help: reach this recipient in another way, "
    "or ask it to read the newest version."
)

_ITEM = re.compile(r"/[0-9]+(?=/|$)")
_POSITION = re.compile(r"\[[0-9]+\]")


@dataclass(frozen=True, slots=True)
class Unsaid:
    """What an older version cannot say, in the form in which the sender wrote.

    Attributes:
        why: What makes that it cannot say the message at all; empty where it can.
        lost: What it leaves out.
    """

    why: tuple[Finding, ...]
    lost: tuple[Finding, ...]


def unsaid(message: Canonical, major: int, catalogue: Catalogue) -> Unsaid:
    """Try a message in an older version of its module.

    Returns:
        At most 100 findings of each; where there are more, one stands for all items of a
        list.
    """
    tried = catalogue.versions.downcast(message.document, message.kind, major)
    why = tried.why if isinstance(tried, Unsayable) else ()
    return Unsaid(
        why=tuple(
            replace(each, nl=_ADVICE_NL, en=_ADVICE_EN)
            for each in _findings(message, why, IMPOSSIBLE, catalogue)
        ),
        lost=_findings(message, tried.lost, LOSS, catalogue),
    )


def bounded(pointers: tuple[str, ...]) -> Mapping[str, str]:
    """What is shown of the pointers, each with the first of those that it stands for.

    They are shown as they are, or with ``*`` for any item where they are more than 100.
    """
    if len(pointers) <= LARGEST_REPORT:
        return {each: each for each in pointers}
    shown: dict[str, str] = {}
    for each in pointers:
        shown.setdefault(_ITEM.sub("/*", each), each)
    return dict(islice(shown.items(), LARGEST_REPORT))


def _findings(
    message: Canonical, pointers: tuple[str, ...], rule: str, catalogue: Catalogue
) -> tuple[Finding, ...]:
    codec, tree = catalogue.kinds[message.kind], message.verified.document
    if isinstance(tree, dict):
        return tuple(Finding(rule, each) for each in bounded(pointers))
    found = []
    for shown, first in bounded(pointers).items():
        one = finding(codec, Dialect.XML, spot_at(tree, first, codec), rule)
        every = _POSITION.sub("", one.path)
        found.append(one if shown == first else replace(one, path=every))
    return tuple(found)
