"""A FastStream + FastAPI service (c), as its users would write and tune it; the same work.

signxml verifies, libxml2 validates, asyncpg keeps one row per request from a pool, FastStream
publishes with confirms to a quorum queue, uvicorn serves with uvloop and httptools. It has an
environment of its own (bench/requirements.txt) and reads the same BENCH_* as bench.floor.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from fastapi import FastAPI, Request, Response
from faststream.rabbit import RabbitBroker
from lxml import etree
from signxml.exceptions import InvalidInput, InvalidSignature
from signxml.verifier import SignatureConfiguration, XMLVerifier

from bench.mapping import mapped

INSERT = "INSERT INTO bericht VALUES ($1, $2, $3, $4, now(), $5, $6)"
JWS_HEADER = base64.urlsafe_b64encode(b'{"alg":"ES256","b64":false,"crit":["b64"]}').rstrip(b"=")


def setting(name: str) -> str:
    return os.environ[f"BENCH_{name}"]


QUEUE = setting("QUEUE")
CERTIFICATE = x509.load_pem_x509_certificate(Path(setting("CERTIFICATE")).read_bytes())
SCHEMA = etree.XMLSchema(etree.parse(setting("XSD")))
CONFIGURATION = SignatureConfiguration(location="./", expect_references=1)
_key = serialization.load_pem_private_key(Path(setting("KEY")).read_bytes(), None)
assert isinstance(_key, ec.EllipticCurvePrivateKey)
KEY = _key

broker = RabbitBroker(setting("BROKER"), logger=None)
pools: list[asyncpg.Pool] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(setting("DATABASE"), min_size=16, max_size=16) as pool:
        pools.append(pool)
        await broker.start()
        yield
        await broker.stop()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


def detached(body: bytes) -> str:
    """A detached JWS (ES256) over the body."""
    r, s = utils.decode_dss_signature(KEY.sign(JWS_HEADER + b"." + body, ec.ECDSA(hashes.SHA256())))
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return (JWS_HEADER + b".." + base64.urlsafe_b64encode(raw).rstrip(b"=")).decode()


@app.post("/v1/berichten", status_code=202)
async def receive(request: Request) -> Response:
    original = await request.body()
    try:
        verified = XMLVerifier().verify(
            original, x509_cert=CERTIFICATE, expect_config=CONFIGURATION
        )
    except (InvalidInput, InvalidSignature):
        return Response(status_code=400)
    tree = verified.signed_xml  # type: ignore[union-attr]
    if not SCHEMA.validate(tree):
        return Response(status_code=422)
    document = mapped(tree)
    kind, content = next(iter(document.items()))
    header = content["stuurgegevens"]
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    reference = header["referentienummer"]
    await pools[0].execute(
        INSERT,
        UUID(reference),
        header["afzender"]["oin"],
        header["ontvanger"]["oin"],
        kind,
        original,
        body,
    )
    await broker.publish(
        body,
        queue=QUEUE,
        persist=True,
        content_type="application/json",
        message_id=reference,
        headers={"payload-signature": detached(body)},
    )
    return Response(json.dumps({"id": reference}), status_code=202, media_type="application/json")
