"""The contract: does a message satisfy it, and what does it say?

Stations ``validate``, ``translate`` and ``judge``, over the ``Catalogue`` of message kinds.
"""

from __future__ import annotations

from gateway.schemas.catalogue import Catalogue
from gateway.schemas.judge import judge
from gateway.schemas.translate import translate
from gateway.schemas.validate import validate

__all__ = ["Catalogue", "judge", "translate", "validate"]
