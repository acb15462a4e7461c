"""Whatever is sealed comes back to the byte, and no nonce is used twice."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.ledger.sealing import CANONICAL, ORIGINAL, Sealed, about, seal, whole
from gateway.adapters.vault import Vault
from gateway.message import Dialect, as_bytes
from tests.conformance.submissions import CREDITOR, a_submission

VAULT = Vault({1: b"k" * 32})


class Case(NamedTuple):
    """A message with attachments, in the form in which it was sent."""

    canonical: bytes
    original: bytes
    stuurgegevens: dict[str, Any]


def text(content: bytes, broken_every: int) -> str:
    """Base64, in lines where the sender wrote it so."""
    plain = base64.b64encode(content).decode()
    if not broken_every:
        return plain
    return "\n".join(plain[at : at + broken_every] for at in range(0, len(plain), broken_every))


@st.composite
def messages(draw: st.DrawFn) -> Case:
    same = draw(st.binary(max_size=3_000))
    contents = draw(
        st.lists(st.one_of(st.just(same), st.binary(max_size=3_000), st.just(b"")), max_size=4)
    )
    form = draw(st.sampled_from(list(Dialect)))
    words = draw(st.text(max_size=40))
    bijlagen = [
        {"sha256": f"{place:064}", "inhoud": base64.b64encode(one).decode()}
        for place, one in enumerate(contents)
    ]
    for place in range(len(bijlagen)):
        if draw(st.booleans()) and not contents[place]:
            del bijlagen[place]["inhoud"]
    stuurgegevens = {"bijlagen": bijlagen} if bijlagen else {}
    canonical = as_bytes({"melding": {"stuurgegevens": stuurgegevens, "tekst": words}})
    if form is Dialect.JSON:
        original = json.dumps(json.loads(canonical), indent=draw(st.integers(0, 2))).encode()
    else:
        broken = draw(st.sampled_from([0, 0, 64, 76]))
        inside = "".join(f"<Inhoud>{text(one, broken)}</Inhoud>" for one in contents)
        original = f"<Melding>{inside}</Melding>".encode()
    return Case(canonical, original, stuurgegevens)


def sealed_of(case: Case) -> Sealed:
    made = a_submission(body=case.original, canonical=case.canonical)
    document = {"melding": {"stuurgegevens": case.stuurgegevens}}
    return seal(VAULT, replace(made, message=replace(made.message, document=document)))


def opened(sealed: Sealed, part: str) -> bytes:
    header = a_submission().message.header
    identity = about(CREDITOR, header.referentienummer)
    key = VAULT.take(identity, sealed.key_version, sealed.wrapped_key)
    content = sealed.canonical if part == CANONICAL else sealed.original
    return whole(key, part, content, lambda: dict(enumerate(sealed.attachments)))


@given(messages())
def test_every_message_comes_back_to_the_byte(case: Case) -> None:
    sealed = sealed_of(case)

    assert opened(sealed, CANONICAL) == case.canonical
    assert opened(sealed, ORIGINAL) == case.original
    assert sealed.size == len(case.canonical)
    assert len(sealed.attachments) == len(case.stuurgegevens.get("bijlagen", ()))


@given(st.integers(0, 2**32), st.integers(6_000, 9_000))
def test_an_attachment_is_kept_once_and_not_in_the_body(seed: int, size: int) -> None:
    content = Random(seed).randbytes(size)
    bijlage = {"inhoud": base64.b64encode(content).decode()}
    canonical = as_bytes({"melding": {"stuurgegevens": {"bijlagen": [bijlage]}}})

    sealed = sealed_of(Case(canonical, canonical, {"bijlagen": [bijlage]}))

    assert len(sealed.canonical) + len(sealed.original) < 600
    assert len(sealed.attachments[0]) < len(content) * 1.4


def test_no_nonce_is_ever_used_twice() -> None:
    count = 30_000
    key = VAULT.make(b"a/1")

    nonces = {key.seal("origineel", b"")[:12] for _ in range(count)}
    wrapped = {VAULT.make(b"a/1").wrapped[:12] for _ in range(count)}

    assert len(nonces) == len(wrapped) == count
