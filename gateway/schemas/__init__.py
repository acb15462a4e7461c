"""The contract: does a message satisfy it, and what does it say?

Stations ``validate``, ``translate`` and ``judge``, over the ``Catalogue`` of message kinds;
and the same message in the other version of its module.
"""

from __future__ import annotations

from gateway.schemas.catalogue import Catalogue
from gateway.schemas.judge import judge
from gateway.schemas.translate import translate, upcast
from gateway.schemas.unsaid import unsaid
from gateway.schemas.validate import validate

__all__ = ["Catalogue", "judge", "translate", "unsaid", "upcast", "validate"]
