"""The directory as people write it (TOML) and as the ledger keeps it (JSON text).

A file that does not describe a whole, consistent directory is refused whole, with
every problem named at once.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from ipaddress import ip_network
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.adapters import certificates
from gateway.delivery import RetryPolicy, WorkingDays
from gateway.errors import Fault
from gateway.message import Channel, Dialect, Oin
from gateway.routing.directory import Directory, Mandate, Party

TEST_PREFIX = "00000099"

OinText = Annotated[str, Field(pattern=r"^[0-9]{20}$")]
Module = Literal[
    "schuldregeling",
    "schuldinventarisatie",
    "betalingsregeling",
    "bewindvoering",
    "incassopauze",
    "crisis",
    "traject",
    "vish",
]
MODULES: tuple[str, ...] = get_args(Module)
"""Every module that a party can take part in."""

Role = Literal[
    "schuldeiser",
    "incassobureau",
    "gerechtsdeurwaarder",
    "shv-fase-1",
    "shv-fase-2",
    "overige-shv",
    "bewindvoerder",
]


class DirectoryInvalid(Fault):
    """The file does not describe a directory; the text names every problem."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetryEntry(_Entry):
    """``[partij.herhalen]``: seconds, and days until giving up."""

    eerste_wachttijd: Annotated[float, Field(gt=0, le=3600)] = 5
    langste_wachttijd: Annotated[float, Field(gt=0, le=86_400)] = 3600
    opgeven_na_seconden: Annotated[float, Field(gt=0)] | None = None
    opgeven_na_werkdagen: Annotated[int, Field(ge=1, le=30)] | None = None


class PartyEntry(_Entry):
    """``[[partij]]``: one participant, in the words of the field."""

    oin: OinText
    naam: Annotated[str, Field(min_length=1, max_length=200)]
    kvk: Annotated[str, Field(pattern=r"^[0-9]{8}$")] | None = None
    vestigingen: tuple[Annotated[str, Field(pattern=r"^[0-9]{12}$")], ...] = ()
    handelsnamen: tuple[str, ...] = ()
    rollen: Annotated[tuple[Role, ...], Field(min_length=1)]
    modules: Annotated[tuple[Module, ...], Field(min_length=1)]
    certificaten: tuple[str, ...] = ()
    kanaal: Channel = Channel.POSTBUS
    vorm: Dialect = Dialect.JSON
    bevestiging: Literal["verplicht", "geen"] = "verplicht"
    inhoud: Literal["bericht", "verwijzing"] = "bericht"
    gestrand: Literal["blokkeert", "laat-door"] = "blokkeert"
    adres: str | None = None
    interne_netten: tuple[str, ...] = ()
    wachttijd_seconden: Annotated[float, Field(gt=0, le=120)] = 20
    handtekening: Literal["PS256", "ES256"] | None = None
    xml_met_token: bool = False
    berichten_per_minuut: Annotated[int, Field(ge=1)] = 60_000
    herhalen: RetryEntry = RetryEntry()

    @field_validator("interne_netten")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ip_network(net)) for net in value)
        except ValueError:
            raise ValueError("is not a network, such as 10.0.0.0/8") from None

    @model_validator(mode="after")
    def _push_has_an_address(self) -> PartyEntry:
        if (self.kanaal is Channel.PUSH) != (self.adres is not None):
            raise ValueError("kanaal = push and adres belong together")
        if self.adres is not None:
            parts = urlsplit(self.adres)
            if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username:
                raise ValueError("adres must be an https URL without user")
            if parts.scheme == "http" and not self.interne_netten:
                raise ValueError("adres must be https")
        return self


class MandateEntry(_Entry):
    """``[[machtiging]]``: ``houder`` may speak for ``namens`` in a module."""

    houder: OinText
    namens: OinText
    module: Module
    van: date
    tot_en_met: date | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> MandateEntry:
        if self.tot_en_met is not None and self.tot_en_met < self.van:
            raise ValueError("tot_en_met lies before van")
        return self


class DirectoryEntry(_Entry):
    """The whole file."""

    partij: tuple[PartyEntry, ...] = ()
    machtiging: tuple[MandateEntry, ...] = ()


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
    problems += _contradictions(raw, parties, production=production)
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
    mandates = tuple(
        Mandate(Oin(m.houder), Oin(m.namens), m.module, m.van, m.tot_en_met)
        for m in entry.machtiging
    )
    return Directory(version=version, parties=MappingProxyType(parties), mandates=mandates)


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
    if _rest(before) != _rest(after):
        rows.append(("~", "machtigingen", "gewijzigd"))
    return rows


def _by_oin(text: str) -> dict[str, dict[str, Any]]:
    parties = json.loads(text)["partij"] if text else []
    return {party["oin"]: party for party in parties}


def _rest(text: str) -> list[Any]:
    return list(json.loads(text)["machtiging"]) if text else []


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


def _contradictions(
    raw: dict[str, Any], parties: list[PartyEntry], *, production: bool
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
    return problems + _loose_mandates(raw)


def _loose_mandates(raw: dict[str, Any]) -> list[str]:
    known = {each.get("oin") for _, each in _tables(raw, "partij")}
    return [
        f"machtiging nr {number}: {name} is no partij"
        for number, each in _tables(raw, "machtiging")
        for name in ("houder", "namens")
        if name in each and each[name] not in known
    ]


def _tables(raw: dict[str, Any], name: str) -> list[tuple[int, dict[str, Any]]]:
    """The tables of an array as they are numbered for people, whatever else is in it."""
    found = raw.get(name)
    entries = enumerate(found if isinstance(found, list) else [], start=1)
    return [(number, each) for number, each in entries if isinstance(each, dict)]


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
    )


def _retry(entry: RetryEntry) -> RetryPolicy:
    first = timedelta(seconds=entry.eerste_wachttijd)
    longest = timedelta(seconds=entry.langste_wachttijd)
    if entry.opgeven_na_seconden is not None:
        give_up = timedelta(seconds=entry.opgeven_na_seconden)
        return RetryPolicy(first_wait=first, longest_wait=longest, give_up_after=give_up)
    days = WorkingDays(entry.opgeven_na_werkdagen or 3)
    return RetryPolicy(first_wait=first, longest_wait=longest, give_up_after=days)
