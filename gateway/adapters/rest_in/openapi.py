"""The published OpenAPI document: FastAPI's own, with the contract's schemas and our rules."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

from gateway.adapters.rest_in.gesprekken_schema import GESPREKKEN, SHOWN
from gateway.adapters.rest_in.postbus import LARGEST_CONFIRMATION
from gateway.adapters.rest_in.services import API_VERSION, Services
from gateway.adapters.tokens import ASSERTION_TYPE
from gateway.errors import Code
from gateway.message import Json
from gateway.routing.policy import GATEWAY_MODULE
from gateway.schemas import Catalogue
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
                    "detail": {"type": "string"},
                    "detailEn": {"type": "string"},
                },
            },
        },
    },
}
OPEN_PATHS = frozenset(
    {
        "/v1/sleutels",
        "/v1/token",
        "/v1/bewijs/dagafsluitingen",
        "/health/live",
        "/health/ready",
    }
)
SEND = ("/v1/berichten", "post")
VERSION_HEADER: Json = {
    "API-Version": {"description": "Versie van de API", "schema": {"type": "string"}}
}
SIGNED: list[Json] = [
    {
        "name": name,
        "in": "header",
        "description": f"{what}; alleen en altijd bij application/json.",
        "schema": {"type": "string"},
    }
    for name, what in (("Payload-Signature", "JAdES, PS256"), ("Digest", "SHA-256 van de inhoud"))
]
STATEMENT = ("/v1/gesprekken/{conversatie}/verklaring", "get")
REFUSALS: dict[tuple[str, str], tuple[str, ...]] = {
    SEND: ("400", "401", "403", "406", "408", "409", "413", "415", "429", "503"),
    STATEMENT: ("400", "401", "404", "406", "409", "503"),
}
USUAL_REFUSALS = ("400", "401", "404")
DELIVERED = ("/v1/postbus/{aflever_id}", "get")
ANSWERS: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    SEND: (
        "gateway.Ontvangstbevestiging.v1",
        {"202": "Aangenomen en vastgelegd", "200": "Was al aangenomen: de eerste bevestiging"},
    ),
    DELIVERED: ("gateway.Aflevering.v1", {"200": "De aflevering, door de gateway ondertekend"}),
}
STATEMENTS: Json = {
    "application/xml": {"schema": {"type": "string"}},
    "application/pdf": {"schema": {"type": "string", "format": "binary"}},
}
FORM: Json = {
    "type": "object",
    "required": ["grant_type", "client_assertion_type", "client_assertion"],
    "properties": {
        "grant_type": {"const": "client_credentials"},
        "client_assertion_type": {"const": ASSERTION_TYPE},
        "client_assertion": {"type": "string", "description": "JWT, PS256 of ES256 (RFC 7523)"},
    },
}
CONFIRMATIONS: Json = {
    "type": "object",
    "required": ["afleverIds"],
    "additionalProperties": False,
    "properties": {
        "afleverIds": {
            "type": "array",
            "minItems": 1,
            "maxItems": LARGEST_CONFIRMATION,
            "items": {"type": "string", "minLength": 1, "maxLength": 36},
        }
    },
}
BODIES: dict[tuple[str, str], Json] = {
    ("/v1/token", "post"): {"application/x-www-form-urlencoded": {"schema": FORM}},
    ("/v1/postbus/bevestigingen", "post"): {"application/json": {"schema": CONFIRMATIONS}},
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
    schemas = _schemas(services.line.catalogue)
    sent = [str(kind) for kind in services.line.catalogue.kinds if kind.module != GATEWAY_MODULE]
    made["components"] = {
        "schemas": {"Probleem": PROBLEM, **GESPREKKEN, **schemas},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    made["x-codes"] = sorted(code.value for code in Code)
    choice: Json = {"oneOf": [_reference(name) for name in sorted(sent)]}
    bodies = {**BODIES, SEND: _in_both_forms(choice)}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _describe(operation, (path, method), bodies.get((path, method)))
    return made


def _schemas(catalogue: Catalogue) -> Json:
    """Every kind, and the types of each module under names of their own.

    The schemas of the contract each hold their own types; tools that read OpenAPI look for
    references from the root of the whole document only.
    """
    schemas: Json = {}
    for kind, codec in sorted(catalogue.kinds.items(), key=lambda each: str(each[0])):
        whole = schema_of(codec.root)
        prefix = f"{kind.module}.v{kind.major}."
        types = {prefix + name: each for name, each in whole.pop("$defs").items()}
        del whole["$id"], whole["$schema"]
        schemas |= _moved({**types, str(kind): whole}, prefix)
    return schemas


def _moved(value: Any, prefix: str) -> Any:
    """The same with references to where its types are now."""
    if isinstance(value, list):
        return [_moved(each, prefix) for each in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _moved(each, prefix) for name, each in value.items()}
    if isinstance(moved.get("$ref"), str):
        moved |= _reference(prefix + moved["$ref"].removeprefix("#/$defs/"))
    return moved


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _in_both_forms(schema: Json) -> Json:
    return {
        "application/xml": {"schema": {"type": "string"}},
        "application/json": {"schema": schema},
    }


def _describe(operation: Json, which: tuple[str, str], body: Json | None) -> None:
    """What FastAPI cannot see, because the body and the answers are ours to the byte."""
    responses = operation["responses"]
    responses.pop("422", None)
    if which in ANSWERS:
        name, told = ANSWERS[which]
        content = _in_both_forms(_reference(name))
        responses |= {
            status: {"description": text, "content": content} for status, text in told.items()
        }
    if which in SHOWN:
        responses["200"] |= {"content": {"application/json": {"schema": _reference(SHOWN[which])}}}
    if which == STATEMENT:
        responses["200"] |= {"description": "De verklaring, ondertekend", "content": STATEMENTS}
    for status in REFUSALS.get(which, USUAL_REFUSALS):
        responses.setdefault(status, _problem_response())
    for response in responses.values():
        response["headers"] = VERSION_HEADER
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    if which == SEND:
        operation["parameters"] = SIGNED
    operation["security"] = [] if which[0] in OPEN_PATHS else [{"token": []}]
    if which == SEND:  # a signed XML needs only its signature, unless the party chose otherwise
        operation["security"] = [{"token": []}, {}]


def _problem_response() -> Json:
    return {
        "description": "Geweigerd",
        "content": {"application/problem+json": {"schema": _reference("Probleem")}},
    }
