"""What the HTTP door works with, built once at start."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.news import News
from gateway.adapters.refusals import RefusalLog
from gateway.adapters.rest_in.body import Bodies
from gateway.adapters.tokens import TokenIssuer
from gateway.pipeline import Line
from gateway.record import Ledger
from gateway.settings import Settings

API_VERSION = "1.0.0"
"""Semantic version of the HTTP interface, on every response (ADR /core/version-header)."""


@dataclass(frozen=True)
class Services:
    """The collaborators of the door; tests pass their own."""

    line: Line
    settings: Settings
    ledger: Ledger
    writer: Writer
    tokens: TokenIssuer
    keys: GatewayKeys
    refusals: RefusalLog
    news: News
    bodies: Bodies
