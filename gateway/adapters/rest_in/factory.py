"""Builds the HTTP applications from their rooms."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway.adapters.rest_in import (
    berichten,
    bewijs,
    console,
    deelnemers,
    gesprekken,
    health,
    metrics,
    openapi,
    origineel,
    postbus,
    problem,
)
from gateway.adapters.rest_in.headers import EveryResponse
from gateway.adapters.rest_in.services import Services
from gateway.adapters.rest_in.shortcut import Shortcut


def parties_app(
    services: Services,
    *,
    broker_healthy: Callable[[], bool | None] = lambda: None,
    with_console: bool = False,
) -> ASGIApp:
    """What parties reach. ``with_console`` only on loopback, on one shared port."""
    app = _bare()
    for router in (
        berichten.routes(services),
        bewijs.routes(services),
        postbus.routes(services),
        origineel.routes(services),
        deelnemers.routes(services),
        gesprekken.routes(services),
        health.routes(services, broker_healthy),
        openapi.routes(app, services),
    ):
        app.include_router(router)
    if with_console:
        app.include_router(console.routes(services, broker_healthy))
        app.include_router(metrics.routes(services))
    endpoint = berichten.sending(services)
    return EveryResponse(Shortcut(app, method="POST", path=berichten.PATH, endpoint=endpoint))


def admin_app(
    services: Services, *, broker_healthy: Callable[[], bool | None] = lambda: None
) -> ASGIApp:
    """What only operators reach."""
    app = _bare()
    app.include_router(console.routes(services, broker_healthy))
    app.include_router(health.routes(services, broker_healthy))
    app.include_router(metrics.routes(services))
    return EveryResponse(app)


def _bare() -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problem.install(app)
    return app
