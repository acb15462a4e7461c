"""What do these files prove, and do they agree with each other?

For whoever holds receipts, packages, day closes or statements and trusts nothing but
published keys.
Pure: documents come in, judgements go out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway import xml
from gateway.audit import Chain, Days, Flaw, KeptClose, Sort, Verify, judge_signature, place_of
from gateway.errors import Refusal
from gateway.evidence import (
    ERASED,
    Checkpoint,
    Head,
    Proof,
    Signed,
    accepted_entry,
    day_close_of,
    day_close_text,
    proof_of,
    stands,
    without_proof,
)
from gateway.json import parse
from gateway.message import Json
from gateway.replies import instant
from gateway.verklaring import STATEMENT, Accepted, Statement, statement_of, what_it_states

RECEIPT, PACKAGE, DAY_CLOSES = "ontvangstbevestiging", "bewijspakket", "dagafsluitingen"
DELIVERY = "aflevering"

NOT_PROVEN = (
    "dat de inhoud van het bericht waar is",
    "dat een mens bij de ontvanger het bericht heeft gelezen",
    "dat de klok van de gateway gelijk liep; bewezen is de volgorde binnen een logboek",
    "dat de gegeven sleutels van de gateway zijn: haal ze zelf op bij GET /v1/sleutels",
)

_PROOF_ERASED = "met de inhoud is het bewijs van de aanname gewist"

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, Refusal)


@dataclass(slots=True)
class Judged:
    """One file.

    Attributes:
        proven: Dutch sentences; nothing is proven where there are flaws.
        points: Every checkpoint in it whose signature holds.
        closes: Every day close in it.
        statements: Every VerklaringGeenReactie in it that the gateway signed.
        accepted: Every message of which it shows that the gateway accepted it.
        remarks: What a reader must know besides; no flaw.
    """

    name: str
    proven: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    points: list[Signed] = field(default_factory=list)
    closes: list[tuple[KeptClose, bytes]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def heads(self) -> list[Head]:
        """What must still be in the ledger."""
        points = [each.checkpoint for each in self.points]
        seen = [Head(point.log, point.number, point.head) for point in points]
        return seen + [head for kept, _ in self.closes for head in kept.close.heads]


def is_about(document: Json, original: bytes) -> bool:
    """Whether this is a receipt, or a package with one, that names this message as it was sent."""
    try:
        told = document.get(PACKAGE, document)[RECEIPT]["bewijs"]["origineelSha256"]
    except _UNREADABLE:
        return False
    return bool(told == _sha256(original))


def judge(name: str, document: Json, verify: Verify, original: bytes | None = None) -> Judged:
    """What a receipt, a package or a page of day closes proves.

    Args:
        original: The message as it was sent, where somebody has it.
    """
    judged = Judged(name)
    readers = {RECEIPT: _receipt, PACKAGE: _package, DAY_CLOSES: _day_closes}
    kind = next((kind for kind in readers if kind in document), None)
    try:
        if kind is None:
            raise ValueError("of no known form")
        readers[kind](judged, document, verify, original)
    except _UNREADABLE:
        judged.flaws.append(Flaw(Sort.UNREADABLE, name))
    if judged.flaws:
        judged.proven.clear()
    return judged


def judge_signed(name: str, document: Json, wrong: Sort | None) -> Judged:
    """What a document says that the gateway signed as a whole: a statement or a delivery.

    Args:
        wrong: What is wrong with that signature; None for nothing.
    """
    judged = Judged(name)
    if wrong is not None:
        judged.flaws.append(Flaw(wrong, name))
        return judged
    try:
        inside = document
        if DELIVERY in document:
            judged.accepted.append(_delivered(document[DELIVERY]))
            inside = document[DELIVERY]["bericht"]
        if STATEMENT in inside:
            judged.statements.append(statement_of(inside))
            judged.proven.append(what_it_states(judged.statements[-1]))
        else:
            judged.proven += [_told(each) for each in judged.accepted]
    except _UNREADABLE:
        return unreadable(name)
    return judged


def _delivered(told: Json) -> Accepted:
    body = next(iter(told["bericht"].values()))
    return Accepted(
        referentienummer=told["referentienummer"],
        conversatie=told["conversatieReferentienummer"],
        afzender=told["afzender"],
        ontvanger=told["ontvanger"],
        soort=told["soort"],
        op=datetime.fromisoformat(told["ontvangenOp"]),
        cross=_reference(body),
    )


def _told(accepted: Accepted) -> str:
    return (
        f"de gateway heeft {accepted.soort} {accepted.referentienummer} van {accepted.afzender} "
        f"aan {accepted.ontvanger} aangenomen op {instant(accepted.op)}"
    )


def unreadable(name: str) -> Judged:
    """A file of which nothing can be made."""
    return Judged(name, flaws=[Flaw(Sort.UNREADABLE, name)])


def together(judged: Sequence[Judged]) -> Iterator[Flaw]:
    """Where files contradict each other: a forked log, a broken link, time that goes back."""
    points = sorted(
        (signed for each in judged for signed in each.points),
        key=lambda signed: (signed.checkpoint.log, signed.checkpoint.number),
    )
    chain = Chain(lambda *_: True, whole=False)
    for signed in points:
        yield from chain.flaws(signed)
    days = Days(lambda *_: True, whole=False, gaps=True)
    closes = sorted((pair for each in judged for pair in each.closes), key=_by_day)
    for kept, text in closes:
        yield from days.flaws(kept, text)
    known = {(at.checkpoint.log, at.checkpoint.number): at.checkpoint.head for at in points}
    for kept, _ in closes:
        for head in kept.close.heads:
            if known.setdefault((head.log, head.number), head.head) != head.head:
                yield Flaw(Sort.FORK, f"{head.log}/{head.number}")


def _by_day(pair: tuple[KeptClose, bytes]) -> str:
    return pair[0].close.day


def _receipt(
    judged: Judged,
    document: Json,
    verify: Verify,
    original: bytes | None,
    inside: bytes | None = None,
) -> None:
    bare, told = without_proof(document)
    sha256 = str(told["origineelSha256"])
    if not _stands(judged, accepted_entry(bare, sha256), proof_of(told), verify):
        return
    body = document[RECEIPT]
    about = body["bericht"]["referentienummer"] if "bericht" in body else judged.name
    at = told["controlepunt"]["tijdstip"]
    if "bericht" in body:
        sent = next((each for each in (original, inside) if each and _sha256(each) == sha256), None)
        judged.accepted.append(_confirmed(body, at, sent))
    judged.proven.append(
        f"bericht {about} is aangenomen en vastgelegd op {at}; "
        f"het bericht zoals verzonden heeft sha256 {sha256}"
    )
    if original is not None:
        _same(judged, sha256, original, "het gegeven origineel is het bericht dat werd aangenomen")


def _confirmed(body: Json, at: str, original: bytes | None) -> Accepted:
    header = body["stuurgegevens"]
    return Accepted(
        referentienummer=body["bericht"]["referentienummer"],
        conversatie=header["conversatieReferentienummer"],
        afzender=header["ontvanger"]["oin"],
        ontvanger=body["ontvanger"],
        soort=body["bericht"]["soort"],
        op=datetime.fromisoformat(at),
        cross=None if original is None else _cross_of(original),
    )


def _cross_of(original: bytes) -> str:
    """Which message a message as sent refers to; empty where it refers to none."""
    if original.lstrip()[:1] == b"<":
        path = "{*}Stuurgegevens/{*}CrossReferentienummer"
        return xml.parse(original).findtext(path) or ""
    return _reference(next(iter(parse(original).values())))


def _reference(body: Json) -> str:
    return str(body["stuurgegevens"].get("crossReferentienummer", ""))


def _package(judged: Judged, document: Json, verify: Verify, original: bytes | None) -> None:
    package = document[PACKAGE]
    if not _same_message(package):
        judged.flaws.append(Flaw(Sort.STATE, f"{judged.name}, bericht"))
        return
    has_proof = "bewijs" in package[RECEIPT]
    if has_proof:
        _accepted(judged, package, verify, original)
    signed: set[str] = set()
    for happened in package["gebeurtenissen"]:
        text = happened.get("vastlegging")
        if text is not None:
            proof = proof_of(happened["bewijs"])
            if _stands(judged, text.encode(), proof, verify):
                signed.add(_tell(judged, package["bericht"], text, proof.signed.checkpoint))
    if not has_proof:
        if ERASED not in signed:
            raise ValueError("a receipt without its proof")
        judged.remarks.append(_PROOF_ERASED)


def _accepted(judged: Judged, package: Json, verify: Verify, original: bytes | None) -> None:
    """The receipt in a package, and the message beside it."""
    content = package["origineel"].get("inhoud")
    body = None if content is None else base64.b64decode(content, validate=True)
    _receipt(judged, {RECEIPT: package[RECEIPT]}, verify, original, inside=body)
    if body is not None:
        sha256 = str(package[RECEIPT]["bewijs"]["origineelSha256"])
        _same(
            judged, sha256, body, "het origineel in het pakket is het bericht dat werd aangenomen"
        )


def _same_message(package: Json) -> bool:
    """The metadata beside the receipt are those of the message that it confirms.

    Its sender too: a number is that of one message for each sender only.
    """
    told, receipt = package["bericht"], package[RECEIPT]
    header = receipt["stuurgegevens"]
    confirmed = {
        **receipt["bericht"],
        "afzender": header["ontvanger"]["oin"],
        "conversatieReferentienummer": header["conversatieReferentienummer"],
        "ontvangenOp": receipt["ontvangenOp"],
    }
    return all(told[name] == value for name, value in confirmed.items())


def _tell(judged: Judged, about: Json, text: str, point: Checkpoint) -> str:
    """Which kind of thing an entry says of this message; empty where it is of another."""
    entry = parse(text.encode())
    mine = all(entry[name] == about[name] for name in ("referentienummer", "afzender"))
    if not mine:
        judged.flaws.append(Flaw(Sort.STATE, place_of(point)))
        return ""
    of = (
        f"aflevering {entry['afleverId']} aan {entry['ontvanger']}"
        if "afleverId" in entry
        else f"bericht {entry['referentienummer']} van {entry['afzender']}"
    )
    judged.proven.append(f"{entry['soort']} op {entry['op']}, {of}; vastgelegd {instant(point.at)}")
    return str(entry["soort"])


def _stands(judged: Judged, entry: bytes, proof: Proof, verify: Verify) -> bool:
    point = proof.signed.checkpoint
    wrong = judge_signature(
        verify, proof.signed.kid, point.signed_text(), proof.signed.signature
    ) or (None if stands(entry, proof) else Sort.LEAF)
    if wrong is not None:
        judged.flaws.append(Flaw(wrong, place_of(point)))
        return False
    judged.points.append(proof.signed)
    return True


def _same(judged: Judged, sha256: str, body: bytes, sentence: str) -> None:
    if _sha256(body) == sha256:
        judged.proven.append(sentence)
    else:
        judged.flaws.append(Flaw(Sort.CONTENT, judged.name))


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _day_closes(judged: Judged, document: Json, verify: Verify, original: bytes | None) -> None:
    days = Days(verify, whole=False)
    for told in document[DAY_CLOSES]:
        content = str(told["inhoud"])
        kept = KeptClose(
            day_close_of(content), str(told["sleutel"]), bytes.fromhex(told["handtekening"])
        )
        found = list(days.flaws(kept, day_close_text(content)))
        judged.flaws += found
        if not found:
            judged.closes.append((kept, day_close_text(content)))
            judged.proven.append(
                f"op {kept.close.day} stonden er {len(kept.close.heads)} koppen van logboeken vast"
            )
