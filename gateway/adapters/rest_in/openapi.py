"""The published OpenAPI document: FastAPI's own, with the contract's schemas and our rules."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

from gateway.adapters.rest_in.services import API_VERSION, Services
from gateway.errors import Code
from gateway.message import Json
from gateway.schemas.jsonschema import schema_of

PROBLEM: Json = {
    "type": "object",
    "required": ["type", "status", "code", "title", "detail"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "detailEn": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["rule", "path"],
                "properties": {
                    "rule": {"type": "string"},
                    "path": {"type": "string"},
                    "line": {"type": "integer"},
                },
            },
        },
    },
}
OPEN_PATHS = frozenset({"/v1/sleutels", "/v1/token", "/health/live", "/health/ready"})
VERSION_HEADER: Json = {
    "API-Version": {"description": "Versie van de API", "schema": {"type": "string"}}
}


def routes(app: FastAPI, services: Services) -> APIRouter:
    """GET /v1/openapi.json: anonymous and readable from any page (ADR publish-openapi)."""
    router = APIRouter()
    cached: list[Json] = []

    @router.get("/v1/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        if not cached:
            cached.append(document(app, services))
        return JSONResponse(cached[0], headers={"Access-Control-Allow-Origin": "*"})

    return router


def document(app: FastAPI, services: Services) -> Json:
    """The whole document, built once at the first request."""
    made: dict[str, Any] = get_openapi(
        title="Berichtengateway schuldhulp",
        version=API_VERSION,
        description=(
            "Ondertekende standaardberichten tussen schuldeisers en schuldhulpverleners. "
            "Fouten zijn application/problem+json met een vaste code."
        ),
        routes=app.routes,
        servers=[{"url": services.settings.url}],
        license_info={"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
    )
    made["info"]["contact"] = {
        "name": "Beheer van deze gateway",
        "url": services.settings.url,
        "email": "beheer@example.org",
    }
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Probleem"] = PROBLEM
    names = []
    for kind in sorted(services.line.catalogue.kinds, key=str):
        if kind.module == "gateway":
            continue
        name = str(kind)
        schemas[name] = schema_of(services.line.catalogue.kinds[kind].root)
        names.append(name)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    made["x-codes"] = sorted(code.value for code in Code)
    _describe(made, names)
    return made


def _describe(made: Json, names: list[str]) -> None:
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            for status in ("400", "401", "404"):
                responses.setdefault(status, _problem_response())
            for response in responses.values():
                response["headers"] = VERSION_HEADER
            open_to_all = path in OPEN_PATHS or (path, method) == ("/v1/berichten", "post")
            operation["security"] = [] if open_to_all else [{"token": []}]
    schema = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    made["paths"]["/v1/berichten"]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "application/xml": {"schema": {"type": "string"}},
            "application/json": {"schema": schema},
        },
    }


def _problem_response() -> Json:
    return {
        "description": "Geweigerd",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Probleem"}}
        },
    }
