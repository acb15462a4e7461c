"""What is wrong with a directory whose entries are each right by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gateway.adapters import certificates
from gateway.adapters.register_entries import PartyEntry

TEST_PREFIX = "00000099"


def contradictions(
    raw: dict[str, Any], parties: Sequence[PartyEntry], *, production: bool
) -> list[str]:
    """What is wrong with entries that are each right by themselves."""
    problems = []
    named = (each.get("oin") for _, each in _tables(raw, "partij"))
    times = Counter(oin for oin in named if isinstance(oin, str))
    problems += [
        f"partij {oin}: appears {count} times" for oin, count in times.items() if count > 1
    ]
    test = sorted(oin for oin in times if oin.startswith(TEST_PREFIX))
    if production and test:
        problems.append(f"production refuses test OINs: {', '.join(test)}")
    owners: dict[str, str] = {}
    for party in parties:
        for pem in party.certificaten:
            fingerprint = certificates.read(pem).fingerprint
            if owners.setdefault(fingerprint, party.oin) != party.oin:
                problems.append(f"partij {party.oin}: a certificate is also of another partij")
    return problems + _strangers(raw) + _successions(raw)


def _strangers(raw: dict[str, Any]) -> list[str]:
    """Who gets a right or a succession and is no partij; for whom one acts may be a stranger."""
    known = _texts(raw, "partij", "oin")
    gone = _texts(raw, "opvolging", "van")
    return [
        f"{table} nr {number}: {name} is no partij"
        for table, name, allowed in (
            ("machtiging", "houder", known),
            ("bsn_recht", "ontvanger", known),
            ("opvolging", "naar", known | gone),
        )
        for number, each in _tables(raw, table)
        if isinstance(each.get(name), str) and each[name] not in allowed
    ]


def _texts(raw: dict[str, Any], table: str, name: str) -> set[str]:
    """What stands there, but for what is no text: that is a problem of its own."""
    values = (each.get(name) for _, each in _tables(raw, table))
    return {value for value in values if isinstance(value, str)}


def _successions(raw: dict[str, Any]) -> list[str]:
    """A party that is followed up twice, or in the end by itself."""
    links = [
        (number, each["van"], each["naar"])
        for number, each in _tables(raw, "opvolging")
        if isinstance(each.get("van"), str) and isinstance(each.get("naar"), str)
    ]
    times = Counter(van for _, van, _ in links)
    problems = [
        f"opvolging: {van} is followed up {count} times"
        for van, count in times.items()
        if count > 1
    ]
    next_of = {van: naar for _, van, naar in links}
    for number, van, _ in links:
        seen, here = {van}, next_of[van]
        while here in next_of and here not in seen:
            seen.add(here)
            here = next_of[here]
        if here == van:
            problems.append(f"opvolging nr {number}: {van} would follow up itself")
    return problems


def _tables(raw: dict[str, Any], name: str) -> list[tuple[int, dict[str, Any]]]:
    """The tables of an array as they are numbered for people, whatever else is in it."""
    found = raw.get(name)
    entries = enumerate(found if isinstance(found, list) else [], start=1)
    return [(number, each) for number, each in entries if isinstance(each, dict)]
