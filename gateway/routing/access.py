"""Whose conversations may a party see, at the moment of reading?

Pure: the directory and an instant come in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.message import Oin
from gateway.routing.directory import Directory
from gateway.routing.lengths import local_day


@dataclass(frozen=True, slots=True)
class Access:
    """Whose conversations a party may see, at the moment of reading.

    Attributes:
        own: Itself and who merged into it: everything.
        mandates: By principal (and who merged into it): the modules of its mandates.
    """

    own: frozenset[Oin]
    mandates: Mapping[Oin, frozenset[str]] = field(default_factory=dict)

    @property
    def parties(self) -> frozenset[Oin]:
        """All of them."""
        return self.own | self.mandates.keys()

    def covers(self, party: Oin, module: str) -> bool:
        """Whether it may act as this party in this module."""
        return party in self.own or module in self.mandates.get(party, ())


def access_of(party: Oin, at: datetime, directory: Directory) -> Access:
    """Whose conversations a party may see now: its own, and those of its mandates today."""
    today = local_day(at)
    mandates: defaultdict[Oin, frozenset[str]] = defaultdict(frozenset)
    for each in directory.mandates:
        if each.holder == party and directory.mandated(party, each.principal, each.module, today):
            for principal in directory.acts_for(each.principal, today):
                mandates[principal] |= {each.module}
    return Access(directory.acts_for(party, today), dict(mandates))
