"""The way back: every delivery is signed by the gateway and says where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.documents import MESSAGES, example, kind
from fixtures.world import GATEWAY
from gateway import xml
from gateway.adapters import certificates, xmldsig
from gateway.adapters.jades import covers
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.signatures import Seal
from gateway.compose import CLOUDEVENT, JSON, XML, OnQueue, aflevering, aflevering_bytes, compose
from gateway.message import Channel, Delivery, Dialect, Kind, Oin, Parcel, as_bytes
from gateway.schemas import Catalogue
from tests.servers.party import a_delivery

HERE = OnQueue("https://gateway.example")
ASK = kind("schuldregeling", "Saldoverzoek")


def every_kind() -> list[Kind]:
    """Every kind that a party may send."""
    found = [path for path in sorted(MESSAGES.glob("*/*.json")) if path.parts[-2] != "gateway-v1"]
    folders = [(path.parent.name.rsplit("-v", 1), path.stem) for path in found]
    return [Kind(module, int(major), name) for (module, major), name in folders]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> GatewayKeys:
    folder: Path = tmp_path_factory.mktemp("sleutels") / "keys"
    return GatewayKeys.create(folder, Oin(GATEWAY))


def saldoverzoek(**changes: object) -> Delivery:
    return a_delivery(kind=ASK, canonical=as_bytes(example(ASK)), **changes)


def composed(
    delivery: Delivery,
    keys: GatewayKeys,
    catalogue: Catalogue,
    *,
    dialect: Dialect = Dialect.JSON,
    on_queue: OnQueue | None = None,
) -> Parcel:
    return compose(
        delivery,
        dialect=dialect,
        catalogue=catalogue,
        sealer=Seal(keys),
        gateway=GATEWAY,
        on_queue=on_queue,
    )


def test_a_delivery_names_its_sender_the_original_and_its_signer() -> None:
    delivery = saldoverzoek()

    told = aflevering(delivery, dialect=Dialect.JSON)["aflevering"]

    assert told["afzender"] == delivery.afzender
    assert told["origineelSha256"] == delivery.original_sha256
    assert told["ondertekenaarVingerafdruk"] == delivery.signer_fingerprint
    assert told["bericht"] == example(ASK)


@pytest.mark.parametrize(("dialect", "said"), [(Dialect.JSON, ["VERTAALD"]), (Dialect.XML, None)])
def test_a_translation_is_said(dialect: Dialect, said: list[str] | None) -> None:
    told = aflevering(saldoverzoek(original_dialect=Dialect.XML), dialect=dialect)["aflevering"]

    assert told.get("bewerkingen") == said


def test_warnings_and_precedence_travel_with_the_delivery() -> None:
    warning = {"regel": "TOTAAL", "pad": "/saldoverzoek"}
    delivery = saldoverzoek(warnings=(warning,), overtakes=True)

    told = aflevering(delivery, dialect=Dialect.JSON)["aflevering"]

    assert told["waarschuwingen"] == [warning]
    assert told["voorrang"] is True


@pytest.mark.parametrize("which", every_kind(), ids=str)
@pytest.mark.parametrize(
    "told", [{}, {"overtakes": True, "warnings": ({"regel": "é", "pad": "/"},)}]
)
def test_what_is_embedded_as_recorded_is_to_the_byte_what_would_be_written_anew(
    which: Kind, told: dict[str, object]
) -> None:
    delivery = a_delivery(kind=which, canonical=as_bytes(example(which)), **told)

    written = aflevering_bytes(delivery, dialect=Dialect.JSON)

    assert written == as_bytes(aflevering(delivery, dialect=Dialect.JSON))


@pytest.mark.parametrize("which", every_kind(), ids=str)
def test_the_version_of_a_message_is_told_as_it_stands_there(which: Kind) -> None:
    document = example(which)
    next(iter(document.values()))["stuurgegevens"]["versie"] = "2.7"

    delivery = a_delivery(kind=which, canonical=as_bytes(document))

    assert aflevering(delivery, dialect=Dialect.JSON)["aflevering"]["versie"] == "2.7"


def test_the_version_is_found_also_where_the_stuurgegevens_do_not_come_first() -> None:
    [(root, body)] = example(ASK).items()
    stuurgegevens = body.pop("stuurgegevens")
    document = {root: {**body, "stuurgegevens": {**stuurgegevens, "versie": "2.7"}}}

    delivery = a_delivery(kind=ASK, canonical=as_bytes(document))

    assert aflevering(delivery, dialect=Dialect.JSON)["aflevering"]["versie"] == "2.7"


def test_an_xml_delivery_is_one_signed_document_that_reads_back(
    keys: GatewayKeys, catalogue: Catalogue
) -> None:
    delivery = saldoverzoek(channel=Channel.PUSH, original_dialect=Dialect.JSON, overtakes=True)

    parcel = composed(delivery, keys, catalogue, dialect=Dialect.XML)

    signer = certificates.read(certificates.pem(keys.rsa[0].certificate))
    tree, _ = xmldsig.check(xml.parse(parcel.body), lambda _: signer)
    assert parcel.media == XML
    assert catalogue.to_json(tree) == aflevering(delivery, dialect=Dialect.XML)


def test_a_json_delivery_over_http_carries_a_signature_over_its_digest(
    keys: GatewayKeys, catalogue: Catalogue
) -> None:
    parcel = composed(saldoverzoek(channel=Channel.POSTBUS), keys, catalogue, dialect=Dialect.JSON)

    assert parcel.media == JSON
    assert parcel.signature is not None
    public = keys.rsa[0].key.public_key()
    assert covers(parcel.signature, f"digest: {parcel.digest}".encode(), public, "PS256")


def test_a_queue_delivery_is_a_signed_cloudevent_without_anything_personal(
    keys: GatewayKeys, catalogue: Catalogue
) -> None:
    delivery = saldoverzoek(channel=Channel.QUEUE)

    parcel = composed(delivery, keys, catalogue, on_queue=HERE)

    event = json.loads(parcel.body)
    data = event.pop("data")
    assert parcel.media == CLOUDEVENT
    assert event["id"] == delivery.id
    assert event["subject"] == delivery.referentienummer
    assert event["source"] == f"urn:nld:oin:{GATEWAY}:systeem:gateway"
    assert "Kanarie" not in json.dumps(event)
    assert data["aflevering"]["bericht"] == example(ASK)
    assert parcel.signature is not None
    assert covers(parcel.signature, parcel.body, keys.ec[0].key.public_key(), "ES256")


@pytest.mark.parametrize(
    ("on_queue", "filler"),
    [(OnQueue("https://gateway.example", by_reference=True), 0), (HERE, 5 * 1024 * 1024)],
    ids=["chosen", "too-large"],
)
def test_a_claim_check_carries_where_to_fetch_and_no_content(
    on_queue: OnQueue, filler: int, keys: GatewayKeys, catalogue: Catalogue
) -> None:
    document = example(ASK)
    document["saldoverzoek"]["vulling"] = "x" * filler
    delivery = a_delivery(kind=ASK, canonical=as_bytes(document))

    parcel = composed(delivery, keys, catalogue, on_queue=on_queue)

    event = json.loads(parcel.body)
    assert event["dataref"] == f"https://gateway.example/v1/postbus/{delivery.id}"
    assert "data" not in event
    assert len(parcel.body) < 1_000
