"""What a gateway needs before it can start: keys, and the tables of its ledger."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gateway.adapters.clock import utc_now
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.migrate import migrate
from gateway.settings import Settings

DIGEST_KEY = "samenvatting.sleutel"
"""File of the key under the business digests, in the folder of keys."""

DIGEST_KEY_BYTES = 32


def prepare(settings: Settings) -> list[str]:
    """Make what a gateway needs and does not have yet: keys, tables.

    Returns:
        What was done, one sentence each, for the operator.

    Raises:
        Fault: the ledger does not answer, or the keys cannot be read.
    """
    done = []
    if not settings.keys.exists():
        GatewayKeys.create(settings.keys, settings.oin, at=utc_now())
        done.append(f"Sleutels gemaakt in {settings.keys}.")
    key_file = settings.keys / DIGEST_KEY
    if not key_file.exists():
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(DIGEST_KEY_BYTES))
        done.append("Sleutel voor samenvattingen gemaakt.")
    if settings.ledger.startswith("sqlite:///"):
        Path(settings.ledger.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    migrate(settings.ledger)
    done.append("Het grootboek heeft de tabellen van deze versie.")
    return done
