"""Station admit: may this party say this, to that party, now?

Pure, on facts it is given: the directory, the rights, and where the conversation stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from gateway.errors import Code, Finding, Refusal
from gateway.message import Admitted, Canonical, Oin, Submission, Talk, canonical_form
from gateway.replies import receipt
from gateway.routing.course import Courses
from gateway.routing.directory import Directory
from gateway.routing.lanes import overtakes
from gateway.routing.places import in_header, place
from gateway.routing.rights import Rights
from gateway.routing.versions import Try, only_the_newest, versions_ok

OLDEST = timedelta(days=30)
"""A tijdstip further back is refused; identities are kept longer than this."""


NEEDED: Mapping[tuple[str, str], tuple[str, Code]] = MappingProxyType(
    {("vish", "VishRaadpleging"): ("dossierkenmerk", Code.DOSSIERKENMERK_ONTBREEKT)}
)
"""By module and kind: the member without which it is refused, and the code (process.md 8)."""


def admit(
    submission: Submission,
    talk: Talk,
    *,
    directory: Directory,
    rights: Rights,
    courses: Courses,
    gateway: Oin,
    skew: timedelta,
    attempt: Try = only_the_newest,
) -> Admitted:
    """Decide on one new message.

    Args:
        talk: Its conversation, as the ledger holds it.
        skew: How far ahead a sender's clock may be.
        attempt: Tries a message in the older version that its recipient reads.

    Raises:
        Refusal: TIJDSTIP_BUITEN_VENSTER, PARTIJ_OPGEVOLGD, GEEN_RECHT, ONTVANGER_ONBEKEND,
            NIET_AANGESLOTEN (sender or recipient is not connected to the module),
            DOSSIERKENMERK_ONTBREEKT, BIJLAGE_ONTBREEKT, BSN_NIET_TOEGESTAAN or
            VERSIE_KAN_DIT_NIET; or what the conversation says (``conversation.step``).
    """
    message, at = submission.message, submission.message.verified.received.at
    _in_window(message, at, skew)
    sender = rights.party(message, "afzender", directory, at)
    if sender is None:
        raise Refusal(Code.GEEN_RECHT, _at(message, "afzender"))
    _complete(message)
    recipient = rights.party(message, "ontvanger", directory, at)
    if recipient is None:
        raise Refusal(Code.ONTVANGER_ONBEKEND, _at(message, "ontvanger"))
    rights.check(submission, sender, recipient, directory, at)
    lost = versions_ok(message, recipient, attempt)
    gone_on = courses.proceed(submission, talk, recipient)
    term = None if gone_on.term is None else str(gone_on.term)
    return Admitted(
        submission=gone_on.submission,
        ontvanger=recipient.oin,
        channel=recipient.channel,
        awaits_confirmation=recipient.awaits_confirmation,
        blocks=recipient.blocks,
        overtakes=overtakes(message),
        receipt=canonical_form(
            receipt(
                gone_on.submission,
                channel=recipient.channel,
                gateway=gateway,
                at=at,
                lost=lost,
                term=None if gone_on.discreet else term,
                tot_en_met=None if gone_on.discreet else gone_on.tot_en_met,
            )
        ),
        course=gone_on.course,
        term=term,
        tot_en_met=gone_on.tot_en_met,
        notice_at=courses.notice_at(at),
        withdraws=gone_on.withdraws,
        says=gone_on.says,
    )


def _in_window(message: Canonical, now: datetime, skew: timedelta) -> None:
    tijdstip = message.header.tijdstip
    if not now - OLDEST <= tijdstip <= now + skew:
        raise Refusal(Code.TIJDSTIP_BUITEN_VENSTER, _at(message, "tijdstip"))


def _complete(message: Canonical) -> None:
    """What a kind must name, though its schema leaves that open."""
    needed = NEEDED.get((message.kind.module, message.kind.name))
    if needed is None:
        return
    member, code = needed
    if member not in next(iter(message.document.values())):
        raise Refusal(code, Finding(rule=code.value, path=place(message, (member,))))


def _at(message: Canonical, member: str) -> Finding:
    return Finding(rule=member, path=in_header(message, member))
