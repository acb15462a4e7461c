"""The directory as people write it (TOML) and as the ledger keeps it (JSON text).

A file that does not describe a whole, consistent directory is refused whole, with
every problem named at once.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from gateway.adapters import certificates
from gateway.adapters.register_contradictions import TEST_PREFIX, contradictions
from gateway.adapters.register_entries import BsnRightEntry, DirectoryEntry, PartyEntry, RetryEntry
from gateway.delivery import RetryPolicy, WorkingDays
from gateway.errors import Fault
from gateway.message import Channel, Oin
from gateway.routing.directory import BsnRight, Directory, Mandate, Party, Succession

OTHER_TABLES = {
    "machtiging": "machtigingen",
    "bsn_recht": "bsn-rechten",
    "opvolging": "opvolgingen",
}
"""The tables beside the parties, and what people call their rows."""


class DirectoryInvalid(Fault):
    """The file does not describe a directory; the text names every problem."""


def text_of(toml: str, *, read_file: Callable[[str], str], production: bool) -> str:
    """A TOML file as the ledger keeps it: canonical JSON with certificates inside.

    Args:
        read_file: Gives the PEM text of a certificate path named in the file.

    Raises:
        DirectoryInvalid: naming every problem with its place, never a key or value.
    """
    try:
        raw = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise DirectoryInvalid(f"the file is not TOML: {error}") from error
    entry, problems = _entries(raw)
    parties = []
    for party in entry.partij:
        inlined, wrong = _inline(party, read_file)
        parties.append(inlined)
        problems += wrong
    problems += contradictions(raw, parties, production=production)
    if problems:
        raise DirectoryInvalid("\n".join(problems))
    whole = entry.model_copy(update={"partij": tuple(parties)})
    return json.dumps(whole.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


def directory_of(version: int, text: str) -> Directory:
    """The directory that the ledger keeps as ``text``; empty for an empty text.

    Raises:
        DirectoryInvalid: this gateway does not understand it; a newer one wrote it.
    """
    if not text:
        return Directory(version=version, parties=MappingProxyType({}))
    try:
        entry = DirectoryEntry.model_validate_json(text)
    except ValidationError as error:
        raise DirectoryInvalid("a newer gateway wrote this directory") from error
    parties = {Oin(party.oin): _party(party) for party in entry.partij}
    return Directory(
        version=version,
        parties=MappingProxyType(parties),
        mandates=tuple(
            Mandate(Oin(m.houder), Oin(m.namens), m.module, m.van, m.tot_en_met)
            for m in entry.machtiging
        ),
        bsn_rights=tuple(_bsn_right(each) for each in entry.bsn_recht),
        successions=tuple(
            Succession(Oin(each.van), Oin(each.naar), each.op) for each in entry.opvolging
        ),
    )


def accept_oins(directory: Directory, *, production: bool) -> None:
    """Let a directory through that this environment may use.

    Raises:
        DirectoryInvalid: it has test OINs, and this is production.
    """
    if production and any(oin.startswith(TEST_PREFIX) for oin in directory.parties):
        raise DirectoryInvalid("production refuses a directory with test OINs")


def difference(before: str, after: str) -> list[tuple[str, str, str]]:
    """What changes from one text to another, for the operator to read.

    Returns:
        Rows of (``+``, ``-`` or ``~``; OIN and name; what changes, by field name).
    """
    old, new = _by_oin(before), _by_oin(after)
    rows = []
    for oin in sorted(old.keys() | new.keys()):
        label = f"{oin} {(new.get(oin) or old[oin])['naam']}"
        if oin not in old:
            rows.append(("+", label, "nieuw"))
        elif oin not in new:
            rows.append(("-", label, "verdwijnt"))
        elif old[oin] != new[oin]:
            changed = [name for name in new[oin] if new[oin][name] != old[oin].get(name)]
            rows.append(("~", label, ", ".join(changed)))
    rows += [
        ("~", people, "gewijzigd")
        for table, people in OTHER_TABLES.items()
        if _rows(before, table) != _rows(after, table)
    ]
    return rows


def _by_oin(text: str) -> dict[str, dict[str, Any]]:
    parties = json.loads(text)["partij"] if text else []
    return {party["oin"]: party for party in parties}


def _rows(text: str, table: str) -> list[Any]:
    return list(json.loads(text).get(table, ())) if text else []


def _entries(raw: dict[str, Any]) -> tuple[DirectoryEntry, list[str]]:
    """The entries that are right by themselves, and what is wrong with the others."""
    try:
        return DirectoryEntry.model_validate(raw), []
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
    wrong = {problem["loc"][:2] for problem in found}
    right = {
        name: [each for number, each in enumerate(raw[name]) if (name, number) not in wrong]
        for name in DirectoryEntry.model_fields
        if isinstance(raw.get(name), list)
    }
    problems = [f"{_place(raw, problem['loc'])}: {problem['msg']}" for problem in found]
    return DirectoryEntry.model_validate(right), problems


def _place(raw: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Where in the file, for a person: a party by its OIN where it has one."""
    table, *rest = (*location, "")[:-1] or ("bestand",)
    if rest and isinstance(rest[0], int):
        entry = raw[str(table)][rest[0]]
        oin = entry.get("oin") if isinstance(entry, dict) else None
        table, rest = f"{table} {oin or f'nr {rest[0] + 1}'}", rest[1:]
    return ": ".join([str(table), *([".".join(str(step) for step in rest)] if rest else [])])


def _inline(party: PartyEntry, read_file: Callable[[str], str]) -> tuple[PartyEntry, list[str]]:
    """The party with its usable certificates inside, and what is wrong with the others."""
    pems, problems = [], []
    for number, reference in enumerate(party.certificaten, start=1):
        inside = "BEGIN CERTIFICATE" in reference
        place = f"partij {party.oin}: certificaten: {f'nr {number}' if inside else reference}"
        try:
            pem = reference if inside else read_file(reference)
            owner = certificates.oin_of(certificates.loaded(certificates.read(pem)))
        except (OSError, ValueError):
            problems.append(f"{place} is not one usable certificate")
            continue
        if owner != party.oin:
            problems.append(f"{place} belongs to OIN {owner}")
            continue
        pems.append(pem.strip() + "\n")
    return party.model_copy(update={"certificaten": tuple(pems)}), problems


def _party(entry: PartyEntry) -> Party:
    default_signature = "ES256" if entry.kanaal is Channel.QUEUE else "PS256"
    return Party(
        oin=Oin(entry.oin),
        naam=entry.naam,
        rollen=frozenset(entry.rollen),
        modules=frozenset(entry.modules),
        certificates=tuple(certificates.read(pem) for pem in entry.certificaten),
        channel=entry.kanaal,
        dialect=entry.vorm,
        kvk=entry.kvk,
        vestigingen=entry.vestigingen,
        handelsnamen=entry.handelsnamen,
        endpoint=entry.adres,
        private_ranges=entry.interne_netten,
        awaits_confirmation=entry.bevestiging == "verplicht",
        by_reference=entry.inhoud == "verwijzing",
        blocks=entry.gestrand == "blokkeert",
        xml_needs_token=entry.xml_met_token,
        signature=entry.handtekening or default_signature,
        per_minute=entry.berichten_per_minuut,
        timeout=timedelta(seconds=entry.wachttijd_seconden),
        retry=_retry(entry.herhalen),
        convenant=entry.convenant,
        statusverzoek_toegestaan=entry.statusverzoek_toegestaan,
        versions={str(module): major for module, major in entry.versies.items()},
    )


def _bsn_right(entry: BsnRightEntry) -> BsnRight:
    return BsnRight(
        recipient=Oin(entry.ontvanger),
        principal=None if entry.namens is None else Oin(entry.namens),
        module=entry.module,
        ground=entry.grond,
        van=entry.van,
        tot_en_met=entry.tot_en_met,
        partner=entry.partner,
    )


def _retry(entry: RetryEntry) -> RetryPolicy:
    first = timedelta(seconds=entry.eerste_wachttijd)
    longest = timedelta(seconds=entry.langste_wachttijd)
    if entry.opgeven_na_seconden is not None:
        give_up = timedelta(seconds=entry.opgeven_na_seconden)
        return RetryPolicy(first_wait=first, longest_wait=longest, give_up_after=give_up)
    days = WorkingDays(entry.opgeven_na_werkdagen or 3)
    return RetryPolicy(first_wait=first, longest_wait=longest, give_up_after=days)
