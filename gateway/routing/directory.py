"""The directory: who takes part, how each is reached, and what each signs with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from gateway.delivery import DEFAULT_POLICY, RetryPolicy
from gateway.message import Channel, Dialect, Oin

_E = TypeVar("_E")
_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A registered signing certificate.

    Attributes:
        fingerprint: SHA-256 over the DER form, 64 lower-case hex digits.
        pem: The certificate itself, for the verifier.
        signs: keyUsage names digitalSignature.
    """

    fingerprint: str
    pem: str
    not_before: datetime
    not_after: datetime
    signs: bool


@dataclass(frozen=True, slots=True)
class Mandate:
    """``holder`` may speak for ``principal`` in ``module`` on these days, inclusive."""

    holder: Oin
    principal: Oin
    module: str
    van: date
    tot_en_met: date | None = None


@dataclass(frozen=True, slots=True)
class BsnRight:
    """``recipient`` may get burgerservicenummers in ``module`` on these days, inclusive.

    Attributes:
        principal: For whom it acts then; None where it acts for itself.
        ground: Code of the law or agreement that says so.
        partner: Also the number of a partner.
    """

    recipient: Oin
    principal: Oin | None
    module: str
    ground: str
    van: date
    tot_en_met: date | None = None
    partner: bool = False


@dataclass(frozen=True, slots=True)
class Succession:
    """``van`` is ``naar`` from the day ``op`` on."""

    van: Oin
    naar: Oin
    op: date


@dataclass(frozen=True, slots=True)
class Party:
    """One participant.

    Attributes:
        endpoint: Where push delivers (https URL), None for other channels.
        private_ranges: Networks outside the public internet that push may reach.
        awaits_confirmation: False for ``bevestiging = "geen"``.
        by_reference: A queue carries where to fetch the content, not the content.
        blocks: A dead predecessor blocks its successors (False: it lets them pass).
        xml_needs_token: A signed XML post also needs a token.
        per_minute: Quota of messages that this party may hand in each minute.
        convenant: Code of the agreement whose terms hold for this party, if any.
        statusverzoek_toegestaan: The gateway may answer a Statusverzoek to it.
        versions: Major version that it reads, by module; the newest where none is named.
    """

    oin: Oin
    naam: str
    rollen: frozenset[str]
    modules: frozenset[str]
    certificates: tuple[Certificate, ...]
    channel: Channel = Channel.POSTBUS
    dialect: Dialect = Dialect.JSON
    kvk: str | None = None
    vestigingen: tuple[str, ...] = ()
    handelsnamen: tuple[str, ...] = ()
    endpoint: str | None = None
    private_ranges: tuple[str, ...] = ()
    awaits_confirmation: bool = True
    by_reference: bool = False
    blocks: bool = True
    xml_needs_token: bool = False
    signature: str = "PS256"
    per_minute: int = 60_000
    timeout: timedelta = timedelta(seconds=20)
    retry: RetryPolicy = DEFAULT_POLICY
    versions: Mapping[str, int] = field(default_factory=dict, hash=False)
    convenant: str | None = None
    statusverzoek_toegestaan: bool = False


@dataclass(frozen=True, slots=True)
class Directory:
    """One dated version of the whole directory; immutable, looked up by key."""

    version: int
    parties: Mapping[Oin, Party]
    mandates: tuple[Mandate, ...] = ()
    bsn_rights: tuple[BsnRight, ...] = ()
    successions: tuple[Succession, ...] = ()
    signers: Mapping[str, tuple[Party, Certificate]] = field(init=False)
    succeeded: Mapping[Oin, Succession] = field(init=False)
    _predecessors: Mapping[Oin, tuple[Succession, ...]] = field(init=False)
    _mandates: Mapping[tuple[Oin, Oin, str], tuple[Mandate, ...]] = field(init=False)
    _bsn_rights: Mapping[tuple[Oin, Oin | None, str], tuple[BsnRight, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._keep(
            "signers",
            {
                certificate.fingerprint: (party, certificate)
                for party in self.parties.values()
                for certificate in party.certificates
            },
        )
        self._keep("succeeded", {each.van: each for each in self.successions})
        self._keep("_predecessors", _grouped(self.successions, lambda each: each.naar))
        self._keep(
            "_mandates",
            _grouped(self.mandates, lambda each: (each.holder, each.principal, each.module)),
        )
        self._keep(
            "_bsn_rights",
            _grouped(self.bsn_rights, lambda each: (each.recipient, each.principal, each.module)),
        )

    def mandated(self, holder: Oin, principal: Oin, module: str, on_day: date) -> bool:
        """Whether one party may act for another in a module that day."""
        mandates = self._mandates.get((holder, principal, module), ())
        return any(_holds(each, on_day) for each in mandates)

    def bsn_rights_of(
        self, recipient: Oin, principal: Oin | None, module: str, on_day: date
    ) -> list[BsnRight]:
        """On which grounds a party may get burgerservicenummers in a module that day.

        Args:
            principal: For whom it acts; None where it acts for itself.
        """
        rights = self._bsn_rights.get((recipient, principal, module), ())
        return [each for each in rights if _holds(each, on_day)]

    def acts_for(self, party: Oin, on_day: date) -> frozenset[Oin]:
        """Itself and everybody who merged into it, directly or not, up to and with that day.

        Their conversations are its own.
        """
        found, todo = {party}, [party]
        while todo:
            for each in self._predecessors.get(todo.pop(), ()):
                if each.op <= on_day and each.van not in found:
                    found.add(each.van)
                    todo.append(each.van)
        return frozenset(found)

    def _keep(self, name: str, index: Mapping[Any, Any]) -> None:
        object.__setattr__(self, name, MappingProxyType(index))


def successor(oin: Oin, on_day: date, directory: Directory) -> Oin:
    """Who this party is that day: itself, or the last one that it merged into."""
    for _ in directory.successions:  # a chain has no more links than there are successions
        link = directory.succeeded.get(oin)
        if link is None or link.op > on_day:
            break
        oin = link.naar
    return oin


def _holds(dated: Mandate | BsnRight, on_day: date) -> bool:
    return dated.van <= on_day and (dated.tot_en_met is None or on_day <= dated.tot_en_met)


def _grouped(entries: tuple[_E, ...], key: Callable[[_E], _K]) -> dict[_K, tuple[_E, ...]]:
    groups: dict[_K, tuple[_E, ...]] = {}
    for each in entries:
        groups[key(each)] = (*groups.get(key(each), ()), each)
    return groups


EMPTY = Directory(version=0, parties=MappingProxyType({}))
"""What a gateway starts with: nobody may say anything."""
