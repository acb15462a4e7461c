"""Who may not sign: certificates that are not good, and signers that are somebody else."""

from __future__ import annotations

from fixtures.pki import Variant
from fixtures.world import INCASSO, SHV
from gateway.message import Oin, as_bytes
from tests.e2e.bad_messages import (
    Make,
    Row,
)
from tests.e2e.here import NOTICE, Here, Sent, a_notice

CERTIFICATES = (
    (Variant.EXPIRED, "CERTIFICAAT_VERLOPEN", "verlopen"),
    (Variant.NOT_YET_VALID, "CERTIFICAAT_VERLOPEN", "nog-niet-geldig"),
    (Variant.UNKNOWN, "CERTIFICAAT_ONBEKEND", "register"),
    (Variant.NOT_FOR_SIGNING, "CERTIFICAAT_ONGESCHIKT", "keyusage"),
)


def xml_under(variant: Variant) -> Make:
    return lambda here: here.as_xml(here.reach.creditor(SHV, variant).signed(NOTICE, a_notice()))


def json_under(variant: Variant) -> Make:
    return lambda here: here.as_json(as_bytes(a_notice()), by=here.party(SHV, variant))


CERTIFICATE = [
    Row(f"{form}: {variant}", make(variant), 401, code, rule)
    for variant, code, rule in CERTIFICATES
    for form, make in (("XML", xml_under), ("JSON", json_under))
]


def xml_by(signer: Oin, token: Oin | None = None) -> Make:
    """XML in the name of the SHV."""

    def make(here: Here) -> Sent:
        token_of = None if token is None else here.party(token)
        return here.as_xml(here.reach.creditor(signer).signed(NOTICE, a_notice()), token_of)

    return make


def json_by(signer: Oin, token: Oin) -> Make:
    """JSON in the name of the SHV."""
    return lambda here: here.as_json(
        as_bytes(a_notice()), by=here.party(signer), token_of=here.party(token)
    )


IDENTITY = [
    Row("XML: another signs", xml_by(INCASSO), 403, "AFZENDER_WIJKT_AF", "ondertekenaar"),
    Row("JSON: another signs", json_by(INCASSO, SHV), 403, "AFZENDER_WIJKT_AF", "ondertekenaar"),
    Row(
        "JSON: another signs and authenticates",
        json_by(INCASSO, INCASSO),
        403,
        "AFZENDER_WIJKT_AF",
        "ondertekenaar",
    ),
    Row("XML: token of another", xml_by(SHV, INCASSO), 403, "AFZENDER_WIJKT_AF", "aanmelding"),
    Row("JSON: token of another", json_by(SHV, INCASSO), 403, "AFZENDER_WIJKT_AF", "aanmelding"),
]
