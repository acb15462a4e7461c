"""Is the process alive, and can it accept? For load balancers; says nothing else."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from gateway.adapters.rest_in.services import Services
from gateway.errors import Fault


def routes(services: Services, broker_healthy: Callable[[], bool | None]) -> APIRouter:
    """The routes of this room.

    Args:
        broker_healthy: None when this gateway runs without a broker.
    """
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", summary="Leeft het proces?")
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/ready", summary="Kan de gateway berichten aannemen?")
    async def ready() -> Response:
        try:
            await services.writer.read(services.ledger.ping)
        except Fault:
            return JSONResponse({"status": "ledger antwoordt niet"}, status_code=503)
        broker = broker_healthy()
        # a broker that is down delays deliveries; accepting goes on (design decision 3)
        return JSONResponse({"status": "beperkt" if broker is False else "ok"})

    return router
