"""``stations``: microseconds per station, for one message after another on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from bench.contestants import parties
from bench.corpus import SIZES, Size, signed
from bench.setting import Setting
from fixtures.world import World, lay_out
from gateway import xml
from gateway.adapters.keyring import Keyring
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.sealing import CANONICAL, about
from gateway.adapters.ledger.sealing import seal as seal_up
from gateway.adapters.register import directory_of
from gateway.adapters.signatures import Seal, Signatures
from gateway.compose import OnQueue, compose
from gateway.evidence import accepted_entry, leaf, tree
from gateway.message import Channel, Delivery, Dialect, Door, Received, Submission, as_bytes
from gateway.record import business_digest
from gateway.schemas import judge, translate, validate
from gateway.verify import verify

WARM = 20


def measure(setting: Setting) -> dict[str, dict[str, float]]:
    """Both sizes."""
    world = lay_out(setting.folder / "stations", parties("postbus"), pki=setting.pki)
    ledger = world.ledger()
    _, text = ledger.directory()
    ledger.close()
    with setting.step("stations", len(SIZES)) as advance:
        found = {}
        for name in SIZES:
            found[name] = _of_size(setting, world, text, setting.size(name))
            advance(1)
    return found


def _of_size(setting: Setting, world: World, text: str, size: Size) -> dict[str, float]:
    """What each station costs for a document of this size."""
    catalogue = setting.catalogue
    microseconds = partial(_microseconds, repeats=setting.plan.repeats)
    directory = directory_of(1, text)
    body = signed(catalogue, setting.pki, size.claims)
    received = Received(Door.REST_XML, Dialect.XML, body, datetime.now(UTC))
    check, seal = Signatures(), Seal(GatewayKeys.load(world.settings.keys))
    verified = verify(received, directory, check)
    validated = validate(verified, catalogue)
    message = translate(validated, catalogue)
    today = received.at.date()
    canonical = as_bytes(message.document)
    delivery = _delivery(canonical, message.kind)
    submission = Submission(message, "0" * 64, canonical, delivery.id, delivery.id)
    keyring = Keyring.load(world.settings.keys)
    sealed = seal_up(keyring.vault, submission)
    key = keyring.vault.take(
        about(message.header.afzender, message.header.referentienummer),
        sealed.key_version,
        sealed.wrapped_key,
    )
    entry = accepted_entry(b"{}", "0" * 64)

    def composed(channel: Dialect, way: Channel) -> Callable[[], object]:
        return lambda: compose(
            _on(delivery, way),
            dialect=channel,
            catalogue=catalogue,
            sealer=seal,
            gateway=world.settings.oin,
            on_queue=OnQueue(world.settings.url) if way is Channel.QUEUE else None,
        )

    return {
        "receive: parse": microseconds(lambda: xml.parse(body)),
        "verify (with parse)": microseconds(lambda: verify(received, directory, check)),
        "validate": microseconds(lambda: validate(verified, catalogue)),
        "translate": microseconds(lambda: translate(validated, catalogue)),
        "judge": microseconds(lambda: judge(message, today, catalogue)),
        "record: digest and bytes": microseconds(
            lambda: (business_digest(message, b"k" * 32), as_bytes(message.document))
        ),
        "record: seal": microseconds(lambda: seal_up(keyring.vault, submission)),
        "record: evidence (1/32 of a checkpoint)": microseconds(
            lambda: (tree([leaf(b"s" * 16, entry)] * 32), keyring.sign_checkpoint(entry))
        )
        / 32,
        "deliver: open": microseconds(lambda: key.open(CANONICAL, sealed.canonical)),
        "deliver: queue, ES256": microseconds(composed(Dialect.JSON, Channel.QUEUE)),
        "deliver: postbus, PS256": microseconds(composed(Dialect.JSON, Channel.POSTBUS)),
        "deliver: push, XMLDSig": microseconds(composed(Dialect.XML, Channel.PUSH)),
    }


def _microseconds(work: Callable[[], object], *, repeats: int) -> float:
    """The median of many single runs, in microseconds."""
    for _ in range(WARM):
        work()
    spent = []
    for _ in range(repeats):
        started = time.perf_counter_ns()
        work()
        spent.append(time.perf_counter_ns() - started)
    return sorted(spent)[repeats // 2] / 1000


def _delivery(canonical: bytes, kind: object) -> Delivery:
    now = datetime.now(UTC)
    return Delivery(
        id="00000000-0000-4000-8000-000000000001",
        ontvanger="00000099000000001000",  # type: ignore[arg-type]
        channel=Channel.QUEUE,
        volgnummer=1,
        awaits_confirmation=True,
        attempt=1,
        fence=1,
        queued_at=now,
        kind=kind,  # type: ignore[arg-type]
        referentienummer="00000000-0000-4000-8000-000000000002",
        conversatie="00000000-0000-4000-8000-000000000003",
        afzender="00000099000000002000",  # type: ignore[arg-type]
        received_at=now,
        canonical=canonical,
        original_sha256="0" * 64,
        original_dialect=Dialect.XML,
        signer_fingerprint="0" * 64,
    )


def _on(delivery: Delivery, channel: Channel) -> Delivery:
    return replace(delivery, channel=channel)
