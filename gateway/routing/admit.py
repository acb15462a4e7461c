"""Station admit: may this party say this, to that party, now?

Pure, on facts it is given. The rules of the conversation join here as rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.errors import Code, Finding, Refusal
from gateway.message import Admitted, Canonical, Oin, Submission, canonical_form
from gateway.replies import receipt
from gateway.routing.directory import Directory, Party
from gateway.routing.lanes import overtakes

OLDEST = timedelta(days=30)
"""A tijdstip further back is refused; identities are kept longer than this."""

GATEWAY_MODULE = "gateway"


def admit(
    submission: Submission, *, directory: Directory, gateway: Oin, skew: timedelta
) -> Admitted:
    """Decide on one new message.

    Args:
        skew: How far ahead a sender's clock may be.

    Raises:
        Refusal: TIJDSTIP_BUITEN_VENSTER, GEEN_RECHT (a kind that only the gateway may
            send), ONTVANGER_ONBEKEND, or NIET_AANGESLOTEN (sender or recipient is not
            connected to the module).
    """
    message = submission.message
    _in_window(message, message.verified.received.at, skew)
    sender = directory.parties.get(message.header.afzender)
    if sender is None or message.kind.module == GATEWAY_MODULE:
        raise Refusal(Code.GEEN_RECHT, _at(message, "afzender"))
    recipient = directory.parties.get(message.header.ontvanger)
    if recipient is None:
        raise Refusal(Code.ONTVANGER_ONBEKEND, _at(message, "ontvanger"))
    _connected(message, sender, "afzender")
    _connected(message, recipient, "ontvanger")
    return Admitted(
        submission=submission,
        ontvanger=recipient.oin,
        channel=recipient.channel,
        awaits_confirmation=recipient.awaits_confirmation,
        blocks=recipient.blocks,
        overtakes=overtakes(message),
        receipt=canonical_form(
            receipt(
                submission,
                channel=recipient.channel,
                gateway=gateway,
                at=message.verified.received.at,
            )
        ),
    )


def _in_window(message: Canonical, now: datetime, skew: timedelta) -> None:
    tijdstip = message.header.tijdstip
    if not now - OLDEST <= tijdstip <= now + skew:
        raise Refusal(Code.TIJDSTIP_BUITEN_VENSTER, _at(message, "tijdstip"))


def _connected(message: Canonical, party: Party, role: str) -> None:
    if message.kind.module not in party.modules:
        raise Refusal(Code.NIET_AANGESLOTEN, _at(message, role))


def _at(message: Canonical, member: str) -> Finding:
    """The place in the Stuurgegevens, in the form in which the sender wrote."""
    root = next(iter(message.document))
    pointer = f"/{root}/stuurgegevens/{member}"
    if message.verified.received.dialect == "xml":
        pointer = f"/{message.kind.name}/Stuurgegevens/{member.capitalize()}"
    return Finding(rule=member, path=pointer)
