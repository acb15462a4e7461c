"""The directory: who takes part, how each is reached, and what each signs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType

from gateway.delivery import DEFAULT_POLICY, RetryPolicy
from gateway.message import Channel, Dialect, Oin


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


@dataclass(frozen=True, slots=True)
class Directory:
    """One dated version of the whole directory; immutable, looked up by key."""

    version: int
    parties: Mapping[Oin, Party]
    mandates: tuple[Mandate, ...] = ()
    signers: Mapping[str, tuple[Party, Certificate]] = field(init=False)

    def __post_init__(self) -> None:
        index = {
            certificate.fingerprint: (party, certificate)
            for party in self.parties.values()
            for certificate in party.certificates
        }
        object.__setattr__(self, "signers", MappingProxyType(index))


EMPTY = Directory(version=0, parties=MappingProxyType({}))
"""What a gateway starts with: nobody may say anything."""
