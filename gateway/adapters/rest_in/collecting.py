"""What hands out content writes that down first, so that nothing withdrawn is handed out.

And nothing handed out is withdrawn: of a collection and a withdrawal at the same instant the
ledger lets one come first (``Ledger.collect``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.adapters.rest_in.services import Services
from gateway.errors import Code, Refusal
from gateway.message import Delivery, Oin


async def own_delivery(services: Services, party: Oin, aflever_id: str) -> Delivery:
    """A delivery that this party may fetch; its content may not leave yet.

    Raises:
        Refusal: NIET_GEVONDEN.
    """
    delivery: Delivery | None = await services.writer.read(
        services.ledger.postbus_item, party, aflever_id.lower()
    )
    if delivery is None:
        raise Refusal(Code.NIET_GEVONDEN)
    return delivery


async def must_be_collected(services: Services, party: Oin, delivery: Delivery) -> None:
    """Return when the content of this delivery may leave.

    Raises:
        Refusal: NIET_GEVONDEN, it was withdrawn meanwhile.
    """
    if not delivery.collected:
        await collect_one(services, party, delivery.id)


async def collect_one(services: Services, party: Oin, aflever_id: str) -> None:
    """Likewise, for one of which only the id is at hand."""
    if not await collect_any(services, party, aflever_id):
        raise Refusal(Code.NIET_GEVONDEN)


async def collected(
    services: Services, party: Oin, deliveries: Iterable[Delivery]
) -> Collection[str]:
    """The ids of those whose content may leave now; one write for all that are new."""
    found = list(deliveries)
    before = {each.id for each in found if each.collected}
    first = [each.id for each in found if not each.collected]
    return before | await collect_any(services, party, *first) if first else before


async def collect_any(services: Services, party: Oin, *ids: str) -> frozenset[str]:
    """Write down that these are taken; which of them may be."""
    return await services.writer.run(services.ledger.collect, party, ids, services.line.clock())
