"""Are attachments what they say they are? Their content is recognised, never opened."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from gateway.message import Json

MIME = "BIJLAGE_MIME"
SHA256 = "BIJLAGE_SHA256"

SIGNATURES: Mapping[str, bytes] = MappingProxyType(
    {
        "application/pdf": b"%PDF-",  # ISO 32000-1 §7.5.2
        "image/png": b"\x89PNG\r\n\x1a\n",  # PNG §5.2
        "image/jpeg": b"\xff\xd8\xff",  # SOI and the start of the next marker
    }
)
"""First bytes of what may be attached, by declared media type."""


def untrue(document: Json) -> Iterator[tuple[str, str]]:
    """Attachments that lie, as (rule, JSON pointer). Those without content are passed over."""
    ((root, body),) = document.items()
    for number, attachment in enumerate(body["stuurgegevens"].get("bijlagen", ())):
        if "inhoud" not in attachment:
            continue
        at = f"/{root}/stuurgegevens/bijlagen/{number}"
        content = b64decode(attachment["inhoud"])
        if not content.startswith(SIGNATURES[attachment["mime"]]):
            yield MIME, f"{at}/mime"
        if hashlib.sha256(content).hexdigest() != attachment["sha256"]:
            yield SHA256, f"{at}/sha256"
