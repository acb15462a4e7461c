"""Station translate: what does it say, in canonical form?

The canonical form is always read from the XML tree, also where the message came as JSON:
then it does not depend on the door. The way back is ``Catalogue.to_xml``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.errors import Code, Refusal
from gateway.message import Canonical, Header, Json, Oin, Validated
from gateway.schemas.catalogue import KIND, Catalogue
from gateway.schemas.paths import Spot, finding


def translate(validated: Validated, catalogue: Catalogue) -> Canonical:
    """Decode a validated message and read its Stuurgegevens.

    Identifiers of messages are in lower case, ``header.tijdstip`` is in UTC.

    Raises:
        Refusal: SCHEMA_ONGELDIG (``soort-onbekend``) for a kind without Stuurgegevens:
            nobody may send those.
    """
    codec = catalogue.kinds[validated.kind]
    if not codec.headed:
        dialect = validated.verified.received.dialect
        raise Refusal(Code.SCHEMA_ONGELDIG, finding(codec, dialect, Spot(validated.tree), KIND))
    document = codec.decode(validated.tree)
    header = header_of(document)
    return Canonical(validated.verified, validated.kind, header, document)


def upcast(message: Canonical, catalogue: Catalogue) -> Canonical:
    """Put the message in the newest version of its module beside the one that was sent.

    The very same object where it was sent in the newest version.
    """
    kind, document = catalogue.versions.upcast(message.document, message.kind)
    if kind is message.kind:
        return message
    header = replace(message.header, versie=catalogue.kinds[kind].root.version)
    return replace(message, newer=replace(message, kind=kind, document=document, header=header))


def header_of(document: Json) -> Header:
    """The Stuurgegevens of a canonical document."""
    told = next(iter(document.values()))["stuurgegevens"]
    return Header(
        referentienummer=told["referentienummer"],
        conversatie=told["conversatieReferentienummer"],
        afzender=Oin(told["afzender"]["oin"]),
        ontvanger=Oin(told["ontvanger"]["oin"]),
        tijdstip=datetime.fromisoformat(told["tijdstip"]).astimezone(UTC),
        versie=told["versie"],
        cross=told.get("crossReferentienummer"),
        namens=_party(told.get("namens")),
        vervangt=told.get("vervangt"),
    )


def _party(told: Json | None) -> Oin | None:
    return None if told is None else Oin(told["oin"])
