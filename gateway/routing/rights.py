"""May this party say this to that party, with what is in it? Rights, mandates, attachments, BSN.

Pure, on the rights of ``rechten.toml`` and the directory of this moment. What no row and no
entry allows is refused, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from functools import lru_cache
from itertools import product
from typing import Any, Literal, NamedTuple

from gateway.calendar import AMSTERDAM
from gateway.errors import Code, Finding, Refusal
from gateway.message import Canonical, Json, Kind, Oin, Submission
from gateway.routing.directory import Directory, Party, successor
from gateway.routing.places import in_header, place
from gateway.routing.policy import CREDITORS, GATEWAY_MODULE, GATEWAY_ROLE, Policy, read

BSN = "bsn"
PARTNER = "partner"


class Exchange(NamedTuple):
    """One message between two parties, on one Dutch day.

    Attributes:
        pairs: The roles in which they may say it to each other; each is (sender's, recipient's).
    """

    message: Canonical
    sender: Party
    recipient: Party
    pairs: tuple[tuple[str, str], ...]
    directory: Directory
    day: date

    @property
    def kind(self) -> Kind:
        return self.message.current.kind


class Actor(NamedTuple):
    """Who may be acting for the owner of a claim, or be the owner.

    Attributes:
        for_another: In the role in which it acts here it always acts for somebody else.
    """

    oin: Oin
    for_another: bool


class Rights:
    """The rights of this gateway, read once."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or read()
        self._between = lru_cache(maxsize=4096)(self._pairs_between)

    def party(
        self,
        message: Canonical,
        member: Literal["afzender", "ontvanger"],
        directory: Directory,
        at: datetime,
    ) -> Party | None:
        """Who the sender or the recipient is; None for a stranger.

        Raises:
            Refusal: PARTIJ_OPGEVOLGD, when it is somebody else by now.
        """
        header = message.header
        oin = header.afzender if member == "afzender" else header.ontvanger
        if directory.successions and (now := successor(oin, _day(at), directory)) != oin:
            found = self._finding(message, "OPGEVOLGD", "OPGEVOLGD", member, oud=oin, nieuw=now)
            raise Refusal(Code.PARTIJ_OPGEVOLGD, found)
        return directory.parties.get(oin)

    def check(
        self,
        submission: Submission,
        sender: Party,
        recipient: Party,
        directory: Directory,
        at: datetime,
    ) -> None:
        """Let a message through that these parties may exchange.

        Args:
            at: When it was received; its day in Europe/Amsterdam decides what is valid.

        Raises:
            Refusal: GEEN_RECHT (role, side, mandate), NIET_AANGESLOTEN, BIJLAGE_ONTBREEKT or
                BSN_NIET_TOEGESTAAN, with the rule, the place, and what to do instead.
        """
        message = submission.message
        pairs = self._pairs(message, sender, recipient)
        exchange = Exchange(message, sender, recipient, pairs, directory, _day(at))
        _connected(message, sender, "afzender")
        _connected(message, recipient, "ontvanger")
        self._mandate(exchange)
        self._attachment(exchange)
        if submission.persons:
            self._numbers(exchange)

    def _pairs(
        self, message: Canonical, sender: Party, recipient: Party
    ) -> tuple[tuple[str, str], ...]:
        kind = message.current.kind
        pairs = self._between(kind.module, kind.name, sender.rollen, recipient.rollen)
        if pairs:
            return pairs
        if not sender.rollen & self.policy.senders(kind).keys():
            raise Refusal(Code.GEEN_RECHT, self._may_not_send(message, sender))
        if not recipient.rollen & self.policy.recipients(kind):
            raise Refusal(Code.GEEN_RECHT, self._may_not_get(message, recipient))
        found = self._finding(message, "RECHT_ZELFDE_KANT", "ZELFDE_KANT", "ontvanger")
        raise Refusal(Code.GEEN_RECHT, found)

    def _pairs_between(
        self, module: str, name: str, sender: frozenset[str], recipient: frozenset[str]
    ) -> tuple[tuple[str, str], ...]:
        said, roles = (module, name), self.policy.roles
        senders = sender & self.policy.sends.get(said, {}).keys()
        recipients = recipient & self.policy.gets.get(said, frozenset())
        return tuple(
            (one, other)
            for one, other in product(sorted(senders), sorted(recipients))
            if roles[one].side != roles[other].side
        )

    def _may_not_send(self, message: Canonical, sender: Party) -> Finding:
        kind = message.current.kind
        allowed = self.policy.senders(kind)
        if allowed.keys() == {GATEWAY_ROLE}:
            rule, key, other = "RECHT_ALLEEN_GATEWAY", "ALLEEN_GATEWAY", ("", "")
        else:
            rule, key = f"RECHT_{_as_word(kind.name)}_{_first(sender)}", "RECHT"
            other = self._elsewhere(kind, sender)
        names = {"soort": kind.name, "module": kind.module, "wel": _listed(allowed)}
        nl, _ = self.policy.explain(key, anders=other[0], **names)
        _, en = self.policy.explain(key, anders=other[1], **names)
        return Finding(rule, in_header(message, "afzender"), nl=nl, en=en)

    def _elsewhere(self, kind: Kind, sender: Party) -> tuple[str, str]:
        modules = self.policy.modules_of(kind.name, sender.rollen)
        if not modules:
            return "", ""
        return self.policy.explain("ANDERS", soort=kind.name, modules=_listed(modules))

    def _may_not_get(self, message: Canonical, recipient: Party) -> Finding:
        kind = message.current.kind
        return self._finding(
            message,
            f"ONTVANGST_{_as_word(kind.name)}_{_first(recipient)}",
            "ONTVANGST",
            "ontvanger",
            wel=_listed(self.policy.recipients(kind)),
        )

    def _mandate(self, exchange: Exchange) -> None:
        """Who acts for another says for whom, and is authorised to; so it is for whom it names."""
        namens, actors = exchange.message.header.namens, self._actors(exchange)
        for actor in actors:
            if _may_act(actor, namens, exchange):
                return
        named = namens is not None and any(actor.oin != namens for actor in actors)
        rule = "MACHTIGING_ONTBREEKT" if named else "NAMENS_ONTBREEKT"
        found = self._finding(exchange.message, rule, rule, "namens", houder=actors[0].oin)
        raise Refusal(Code.GEEN_RECHT, found)

    def _actors(self, exchange: Exchange) -> list[Actor]:
        """Who may be acting on the side of the claim; the sender, towards the gateway."""
        roles, actors = self.policy.roles, []
        for one, other in exchange.pairs:
            sides = {roles[one].side, roles[other].side}
            if GATEWAY_ROLE in sides:
                party = exchange.recipient if roles[one].side == GATEWAY_ROLE else exchange.sender
                actors.append(Actor(party.oin, for_another=False))
            elif roles[one].side == CREDITORS:
                actors.append(Actor(exchange.sender.oin, roles[one].for_another))
            else:
                actors.append(Actor(exchange.recipient.oin, roles[other].for_another))
        return actors

    def _attachment(self, exchange: Exchange) -> None:
        """The lightest demand of the roles in which the sender may say this is met."""
        demands = self.policy.senders(exchange.kind)
        asked = {demands[one] for one, _ in exchange.pairs}
        if None in asked:
            return
        body = next(iter(exchange.message.document.values()))
        brought = {each["soort"] for each in body["stuurgegevens"].get("bijlagen", ())}
        if asked & brought:
            return
        wanted = sorted(each for each in asked if each is not None)
        found = self._finding(
            exchange.message,
            f"BIJLAGE_{wanted[0]}",
            "BIJLAGE",
            "bijlagen",
            bijlagen=" / ".join(wanted),
        )
        raise Refusal(Code.BIJLAGE_ONTBREEKT, found)

    def _numbers(self, exchange: Exchange) -> None:
        """The recipient may have the burgerservicenummers in it, for whom it acts, today."""
        if GATEWAY_ROLE in exchange.recipient.rollen:
            return
        rights = exchange.directory.bsn_rights_of(
            exchange.recipient.oin, self._principal(exchange), exchange.kind.module, exchange.day
        )
        if any(right.partner for right in rights):
            return
        findings = [
            self._number(exchange.message, steps, partners_only=bool(rights))
            for steps in numbers_in(exchange.message.document)
            if not rights or PARTNER in steps
        ]
        if not rights and not findings:  # there is one, wherever it stands
            findings = [self._number(exchange.message, (), partners_only=False)]
        if findings:
            raise Refusal(Code.BSN_NIET_TOEGESTAAN, *findings)

    def _principal(self, exchange: Exchange) -> Oin | None:
        """For whom the recipient acts; None where it acts for itself."""
        namens, recipient = exchange.message.header.namens, exchange.recipient.oin
        acts = any(actor.oin == recipient for actor in self._actors(exchange))
        return namens if acts and namens != recipient else None

    def _number(
        self, message: Canonical, steps: tuple[str, ...], *, partners_only: bool
    ) -> Finding:
        kind = message.kind
        names = {"soort": kind.name, "module": kind.module}
        if partners_only:
            rule = key = "BSN_PARTNER_ZONDER_RECHT"
        else:
            rule = key = "BSN_ZONDER_RECHT"
            if kind.name in self.policy.variants:
                key, names["variant"] = "BSN_VARIANT", self.policy.variants[kind.name]
        nl, en = self.policy.explain(key, **names)
        return Finding(rule, place(message, steps), nl=nl, en=en)

    def _finding(
        self, message: Canonical, rule: str, key: str, member: str, **names: str
    ) -> Finding:
        kind = message.kind
        nl, en = self.policy.explain(key, soort=kind.name, module=kind.module, **names)
        return Finding(rule, in_header(message, member), nl=nl, en=en)


def numbers_in(document: Json) -> Iterator[tuple[str, ...]]:
    """Where burgerservicenummers stand: JSON names below the root, without positions."""
    seen = dict.fromkeys(_members(next(iter(document.values())), ()))
    return (steps for steps in seen if steps[-1] == BSN)


def _members(value: Any, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*way, name)
            yield from _members(inner, (*way, name))
    elif isinstance(value, list):
        for item in value:
            yield from _members(item, way)


def _may_act(actor: Actor, namens: Oin | None, exchange: Exchange) -> bool:
    if namens is None or namens == actor.oin:
        return not actor.for_another
    module = exchange.kind.module
    return exchange.directory.mandated(actor.oin, namens, module, exchange.day)


def _connected(message: Canonical, party: Party, member: str) -> None:
    if GATEWAY_ROLE in party.rollen or message.kind.module == GATEWAY_MODULE:
        return
    if message.kind.module not in party.modules:
        raise Refusal(Code.NIET_AANGESLOTEN, Finding(member, in_header(message, member)))


def _day(at: datetime) -> date:
    return at.astimezone(AMSTERDAM).date()


def _as_word(name: str) -> str:
    return name.upper().replace("-", "_")


def _first(party: Party) -> str:
    return _as_word(min(party.rollen, default="geen-rol"))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "niemand"
