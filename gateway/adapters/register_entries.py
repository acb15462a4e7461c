"""What stands in the file of the directory: every table and key, in the words of the field."""

from __future__ import annotations

from datetime import date
from ipaddress import ip_network
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.message import Channel, Dialect
from gateway.schemas.versions import live_versions

OinText = Annotated[str, Field(pattern=r"^[0-9]{20}$")]
Code = Annotated[str, Field(pattern=r"^[A-Z][0-9A-Z_]{1,63}$")]
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

LIVE_VERSIONS = live_versions()

Role = Literal[
    "schuldeiser",
    "incassobureau",
    "gerechtsdeurwaarder",
    "shv-fase-1",
    "shv-fase-2",
    "overige-shv",
    "bewindvoerder",
]


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
    convenant: Code | None = None
    statusverzoek_toegestaan: bool = False
    versies: dict[Module, int] = Field(default_factory=dict)

    @field_validator("versies")
    @classmethod
    def _versions_exist(cls, value: dict[Module, int]) -> dict[Module, int]:
        unknown = sorted(
            f"{module} {major}"
            for module, major in value.items()
            if (module, major) not in LIVE_VERSIONS
        )
        if unknown:
            raise ValueError(f"there is no version {', '.join(unknown)}")
        return value

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


class _Dated(_Entry):
    """Holds from ``van`` up to and including ``tot_en_met``, or for good."""

    module: Module
    van: date
    tot_en_met: date | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.tot_en_met is not None and self.tot_en_met < self.van:
            raise ValueError("tot_en_met lies before van")
        return self


class MandateEntry(_Dated):
    """``[[machtiging]]``: ``houder`` may act for ``namens``, a partij or not, in a module."""

    houder: OinText
    namens: OinText


class BsnRightEntry(_Dated):
    """``[[bsn_recht]]``: ``ontvanger`` may get burgerservicenummers, acting for ``namens``."""

    ontvanger: OinText
    namens: OinText | None = None
    grond: Code
    partner: bool = False


class SuccessionEntry(_Entry):
    """``[[opvolging]]``: ``van`` is ``naar`` from the day ``op`` on."""

    van: OinText
    naar: OinText
    op: date


class DirectoryEntry(_Entry):
    """The whole file."""

    partij: tuple[PartyEntry, ...] = ()
    machtiging: tuple[MandateEntry, ...] = ()
    bsn_recht: tuple[BsnRightEntry, ...] = ()
    opvolging: tuple[SuccessionEntry, ...] = ()
