"""Station judge: can the content be right, as far as the message alone tells?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import islice

from gateway.errors import Code, Finding, Refusal, Severity
from gateway.message import Canonical, Dialect
from gateway.schemas.attachments import untrue
from gateway.schemas.catalogue import LARGEST_REPORT, Catalogue
from gateway.schemas.paths import finding, spot_at
from gateway.schemas.rules import broken
from gateway.schemas.versions import place_as_sent


def judge(message: Canonical, today: date, catalogue: Catalogue) -> Canonical:
    """Hold a message to the business rules of its kind.

    Args:
        today: The Dutch calendar day on which the message came in.

    Returns:
        The message, with at most 100 warnings.

    Raises:
        Refusal: REGEL_GESCHONDEN with every finding that refuses, at most 100; those of
            attachments among them. BIJLAGE_ONGELDIG where there are only the latter.
    """
    wrong = broken(catalogue.kinds[message.kind].rules, message.document, today)
    untruths = list(islice(untrue(message.document), LARGEST_REPORT))
    if not (wrong or untruths):
        return message
    point = _pointing(message, catalogue)
    found = [point(rule.code, at, rule.severity) for rule, at in wrong]
    refusing = [each for each in found if each.severity is Severity.WEIGER]
    lying = [point(rule, at, Severity.WEIGER) for rule, at in untruths]
    if refusing:
        raise Refusal(Code.REGEL_GESCHONDEN, *[*refusing, *lying][:LARGEST_REPORT])
    if lying:
        raise Refusal(Code.BIJLAGE_ONGELDIG, *lying)
    return replace(message, warnings=tuple(found[:LARGEST_REPORT]))


def pointed(refusal: Refusal, message: Canonical, catalogue: Catalogue) -> Refusal:
    """A refusal whose findings point into the document as its sender wrote it.

    Findings of the conversation point into the newest form of the canonical document.
    """
    if message.newer is not None:
        pair = catalogue.versions.by_old[message.kind]
        refusal.findings = tuple(
            replace(each, path=place_as_sent(each.path, pair)) for each in refusal.findings
        )
    if isinstance(message.verified.document, dict) or not refusal.findings:
        return refusal
    root = f"/{next(iter(message.document))}/"
    point = _pointing(message, catalogue)
    refusal.findings = tuple(
        replace(point(each.rule, each.path, each.severity), nl=each.nl, en=each.en)
        if each.path.startswith(root)
        else each
        for each in refusal.findings
    )
    return refusal


def _pointing(message: Canonical, catalogue: Catalogue) -> Callable[[str, str, Severity], Finding]:
    """How to point at a place of the document, in the form in which the sender wrote."""
    codec, tree = catalogue.kinds[message.kind], message.verified.document
    if isinstance(tree, dict):
        return lambda rule, at, severity: Finding(rule, at, None, severity)
    return lambda rule, at, severity: finding(
        codec, Dialect.XML, spot_at(tree, at, codec), rule, severity
    )
