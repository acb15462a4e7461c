"""Errors over HTTP: problem+json (RFC 9457, API Design Rules 2.2), coded, without values."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import EXPLANATIONS, Code, Fault, Finding, Overloaded, Refusal
from gateway.message import Json

log = logging.getLogger(__name__)

BY_STATUS = {
    404: Code.NIET_GEVONDEN,
    405: Code.METHODE_ONBEKEND,
    406: Code.ACCEPT_ONMOGELIJK,
    413: Code.TE_GROOT,
    415: Code.MEDIATYPE_ONBEKEND,
}
CHALLENGE = 'Bearer realm="gateway"'
UNREAD = frozenset({408, 413})
"""After these the rest of the body stays unread, so the connection can serve no more."""
LINGER_BYTES = 20 * 1024 * 1024
LINGER_SECONDS = 5.0
"""So much of a body that is too large is thrown away, so that its sender hears why.

Who writes to a connection that is closed may never get to read what was said on it.
"""


def problem(status: int, code: str, nl: str, en: str, **more: object) -> Response:
    """One problem document. ``title`` is Dutch, ``titleEn`` its English twin."""
    headers = more.pop("headers", {})
    body: Json = {
        "type": f"urn:nld:schuldhulp-gateway:fout:{code}",
        "status": status,
        "code": code,
        "title": nl.split(". ", maxsplit=1)[0].rstrip(".") + ".",
        "detail": nl,
        "detailEn": en,
        **more,
    }
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=status,
        media_type="application/problem+json",
        headers=dict(headers),  # type: ignore[call-overload]
    )


class Lingering(Response):
    """An answer that is complete only when the sender stopped sending, or sent too much."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, throw away what still comes, and end."""

        async def unfinished(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["more_body"] = True
            await send(message)

        await super().__call__(scope, receive, unfinished)
        await self._throw_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _throw_away(self, receive: Receive) -> None:
        left = LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body", False):
                        return
                    left -= len(message.get("body", b""))


def refused(refusal: Refusal) -> Response:
    """A refusal as its sender reads it."""
    explained = EXPLANATIONS[refusal.code]
    more: dict[str, object] = {}
    if refusal.findings:
        more["errors"] = [_finding(finding) for finding in refusal.findings]
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if explained.status == 401:  # noqa: PLR2004 - RFC 9110 §11.6.1
        headers["WWW-Authenticate"] = CHALLENGE
    if explained.status in UNREAD:
        headers["Connection"] = "close"
    return problem(
        explained.status, refusal.code, explained.nl, explained.en, headers=headers, **more
    )


def failed(fault: Fault) -> Response:
    """Our trouble, not the sender's: the same request may be sent again."""
    code = "OVERBELAST" if isinstance(fault, Overloaded) else "TIJDELIJK_NIET_BESCHIKBAAR"
    return problem(
        503,
        code,
        "De gateway kan het bericht nu niet vastleggen. Stuur hetzelfde bericht later opnieuw.",
        "The gateway cannot record the message now. Send the same message again later.",
        headers={"Retry-After": str(fault.retry_after)},
    )


def crashed(error: Exception) -> Response:
    """A bug: said without any detail, logged by kind and place only."""
    log.error("request.crashed", extra={"error": type(error).__name__, "place": _place(error)})
    return problem(
        500,
        "INTERNE_FOUT",
        "Er ging iets mis in de gateway. Stuur hetzelfde bericht later opnieuw.",
        "Something went wrong in the gateway. Send the same message again later.",
    )


def answer_to(error: Refusal | Fault) -> Response:
    """What the sender hears of an error that the line raises."""
    if isinstance(error, Fault):
        return failed(error)
    answer = refused(error)
    if error.code is Code.TE_GROOT:
        return Lingering(answer.body, answer.status_code, answer.headers)
    return answer


def install(app: FastAPI) -> None:
    """Make every error of the framework one of ours."""
    # Coroutines all: a plain function would be run in a thread, for every refusal.
    app.add_exception_handler(Refusal, _answered)  # type: ignore[arg-type]
    app.add_exception_handler(Fault, _answered)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _crashed)
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _framework)  # type: ignore[arg-type]


async def _answered(request: Request, error: Refusal | Fault) -> Response:
    return answer_to(error)


async def _crashed(request: Request, error: Exception) -> Response:
    return crashed(error)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    findings = [
        Finding(rule=str(one["type"]), path="/" + "/".join(str(part) for part in one["loc"]))
        for one in error.errors()
    ]
    return refused(Refusal(Code.VERZOEK_ONGELDIG, *findings))


async def _framework(request: Request, error: HTTPException) -> Response:
    code = BY_STATUS.get(error.status_code, Code.VERZOEK_ONGELDIG)
    explained = EXPLANATIONS[code]
    return problem(error.status_code, code, explained.nl, explained.en, headers=error.headers or {})


def _finding(finding: Finding) -> Json:
    entry: Json = {"rule": finding.rule, "path": finding.path}
    if finding.line is not None:
        entry["line"] = finding.line
    if finding.nl:
        entry["detail"], entry["detailEn"] = finding.nl, finding.en
    return entry


def _place(error: BaseException) -> str:
    """File and line where it broke: enough to find it, nothing of the message."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return ""
    return f"{last.tb_frame.f_globals.get('__name__')}:{last.tb_lineno}"
