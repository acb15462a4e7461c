"""Whatever two parties, the clock and the network do to a conversation, in whatever order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fixtures.keyring import a_keyring
from fixtures.world import SE
from gateway.adapters.ledger.ledger import SqlLedger, ledger_in_memory, open_ledger
from gateway.calendar import AMSTERDAM
from gateway.delivery import Answer, State
from gateway.errors import Refusal
from gateway.message import Channel, Json, canonical_form
from gateway.routing.moments import schedule
from gateway.routing.stand import BEEINDIGD, NIEUW, Soort, Stand, Status
from tests.property.conversing import Conversing
from tests.servers.postgres import TEMPLATE, Postgres
from tests.unit.conversation_moves import expected
from tests.unit.talking import move

SAID = [
    each
    for each in expected()
    if each.zegt != "klok" and each.soort not in ("Intrekking", "CollectieveMelding", "Lijnbezwaar")
]
USUAL = [
    each
    for each in SAID
    if each.soort
    in {
        "Kennisgeving",
        "Saldoverzoek",
        "SaldoverzoekAntwoord",
        "SaldoverzoekAntwoordVoorafAkkoord",
        "GeenMedewerking",
        "Betaalvoorstel",
        "BetaalvoorstelAntwoord",
        "Heroverweging",
        "RegelingGeaccordeerd",
        "StatusberichtShv",
    }
    and each.reden is None
]
DEAD = (State.GESTRAND, State.VERWORPEN)
ENDINGS = {"Herinnering", "TermijnVerstreken", "StatusberichtShv"}
"""What the gateway says only while a conversation goes on."""

WAITS_FOR = {
    "SALDO_GEVRAAGD": "Saldoverzoek",
    "SALDO_VERLOPEN": "Saldoverzoek",
    "VOORSTEL_GEDAAN": "Betaalvoorstel",
    "AKKOORD_VOORLOPIG": "Betaalvoorstel",
    "HEROVERWEGING_GEVRAAGD": "Heroverweging",
}

BY_THE_CLOCK = {
    "SALDO_GEVRAAGD": "SALDO_VERLOPEN",
    "VOORSTEL_GEDAAN": "VOORSTEL_VERLOPEN",
    "HEROVERWEGING_GEVRAAGD": "VERLOPEN",
    "AKKOORD_VOORLOPIG": "AKKOORD",
}

SO_FAR = (
    (),
    ("Saldoverzoek",),
    ("Saldoverzoek", "SaldoverzoekAntwoord"),
    ("Saldoverzoek", "SaldoverzoekAntwoord", "Betaalvoorstel"),
    ("Saldoverzoek", "SaldoverzoekAntwoord", "Betaalvoorstel", "BetaalvoorstelAntwoord"),
    ("Saldoverzoek", "SaldoverzoekAntwoordVoorafAkkoord", "Betaalvoorstel"),
)
"""Conversations that are on their way when anything may begin to happen."""

picks = st.integers(0, 1000)


REPAIRS = st.sampled_from(["replay", "discard", "release"])


class Machine(RuleBasedStateMachine):
    """The rules are what can happen; the invariants are what the gateway promises."""

    make: Callable[[], SqlLedger] = staticmethod(lambda: ledger_in_memory(a_keyring()))

    @initialize(
        channel=st.sampled_from([Channel.POSTBUS, Channel.POSTBUS, Channel.PUSH, Channel.QUEUE]),
        convenant=st.sampled_from([None, "COLLECTIEF", "RIJK"]),
        so_far=st.sampled_from(SO_FAR),
        pick=picks,
    )
    def begins(
        self, channel: Channel, convenant: str | None, so_far: tuple[str, ...], pick: int
    ) -> None:
        self.them = Conversing(self.make(), channel, convenant)
        self.said: list[tuple[str, str | None]] = []
        self.worked = False
        for soort in so_far:
            zet = next(e for e in USUAL if e.soort == soort and e.als in (None, "AKKOORD"))
            self._say(zet, pick * 4 + 1, cut=False)

    # --- what can happen ------------------------------------------------------------------------

    @rule(zet=st.sampled_from(USUAL), pick=picks, cut=st.sampled_from([False] * 9 + [True]))
    def somebody_says_what_is_usual(self, zet: Any, pick: int, *, cut: bool) -> None:
        self._say(zet, pick, cut=cut)

    @rule(zet=st.sampled_from(SAID), pick=picks)
    def somebody_says_anything(self, zet: Any, pick: int) -> None:
        self._say(zet, pick, cut=False)

    @rule(pick=picks)
    def somebody_says_what_the_rules_expect_now(self, pick: int) -> None:
        stand = self.them.stand
        fitting = [
            each
            for each in USUAL
            if not each.uit.get("anders", "").startswith("naar")
            and each.outcome(stand.staat).startswith("naar")
        ]
        if fitting:
            self._say(fitting[pick % len(fitting)], pick, cut=False)

    def _say(self, zet: Any, pick: int, *, cut: bool) -> None:
        stand = self.them.stand
        by = zet.speakers[pick % len(zet.speakers)]
        cross = self._cross(zet, stand, pick)
        numbers = list(self.them.sent)
        vervangt = None
        if "vervangt" in zet.met or pick % 4 == 0:
            asked = stand.vraag(cross)
            vervangt = asked.door if asked and asked.door else _one(numbers, pick)
        change: Json = {}
        if "schatting" in zet.met:
            change["voorstel"] = {"saldoBron": "SCHATTING"}
        if zet.verleent:
            until = self.them.now.astimezone(AMSTERDAM).date() + timedelta(days=pick % 30)
            change["uitstelTotEnMet"] = until.isoformat()
        if cut:
            before = self.them.stand, list(self.them.sent)
            with self.them.cut():
                self.them.say(
                    zet.soort, by, als=zet.als, cross=cross, vervangt=vervangt, change=change
                )
            if list(self.them.sent) == before[1]:
                assert self.them.stand == before[0], "half of it stayed"
                return
        else:
            outcome = self.them.say(
                zet.soort, by, als=zet.als, cross=cross, vervangt=vervangt, change=change
            )
            if isinstance(outcome, Refusal):
                assert self.them.stand == stand, "a refusal changes nothing"
                return
            if zet.soort.startswith("SaldoverzoekAntwoord"):
                assert b"termijn" not in outcome.document, "it learns of a term of the helper"
        self.said.append((zet.soort, zet.als))
        self.worked = False

    def _cross(self, zet: Any, stand: Stand, pick: int) -> str | None:
        if zet.soort == "Heroverweging":
            fit = [e.referentienummer for e in stand.stappen if e.soort.startswith("Betaal")]
            return str(_one(fit, pick)) if fit else None
        kinds = zet.op or ((zet.beantwoordt,) if zet.beantwoordt else ())
        fit = [each.referentienummer for each in stand.vragen if each.soort in kinds]
        open_ = [each.referentienummer for each in stand.open_vragen(kinds)] if kinds else []
        among = open_ if open_ and pick % 3 else fit or list(self.them.sent)
        return str(_one(among, pick)) if among else None

    @precondition(lambda self: self.them.sent)
    @rule(pick=picks)
    def a_message_comes_again(self, pick: int) -> None:
        number = _one(list(self.them.sent), pick)
        before = self.them.stand
        outcome = self.them.hand_in(self.them.sent[number])
        assert not isinstance(outcome, Refusal)
        assert outcome.repeated
        first = self.them.receipts[number]
        if self.them.delivery_states()[number] is State.VERWORPEN:
            first = _without_proof(first)  # which goes with the content
        assert outcome.document in (first, self.them.receipts[number])
        assert self.them.stand == before

    @precondition(lambda self: self.them.sent)
    @rule(pick=picks)
    def somebody_takes_a_message_back(self, pick: int) -> None:
        number = _one(list(self.them.sent), pick)
        told = self.them.sent[number].message
        outcome = self.them.say(
            "Intrekking",
            told.header.afzender,
            change={"ingetrokkenReferentienummer": number},
        )
        if told.kind.name == "Intrekking":
            assert isinstance(outcome, Refusal)
            return
        assert not isinstance(outcome, Refusal)
        self.worked = False
        if self.them.delivery_states()[number] is State.VERWORPEN:
            later = self.them.stand.vraag(number)
            assert later is None or later.status is not Status.OPEN

    @precondition(lambda self: self.them.sent)
    @rule(pick=picks, confirmed=st.booleans())
    def somebody_collects(self, pick: int, *, confirmed: bool) -> None:
        number = _one(list(self.them.sent), pick)
        (self.them.confirm if confirmed else self.them.collect)(number)

    @rule(answer=st.sampled_from([Answer.CONFIRMED, Answer.OFFERED, Answer.REJECTED]))
    def deliveries_leave(self, answer: Answer) -> None:
        self.them.deliver(answer)
        self.worked = False

    @precondition(lambda self: self.them.sent)
    @rule(pick=picks)
    def a_message_cannot_be_read(self, pick: int) -> None:
        self.them.strand(_one(list(self.them.sent), pick))
        self.worked = False

    @precondition(lambda self: self.them.sent)
    @rule(pick=picks, how=REPAIRS, heard=st.booleans(), late=st.sampled_from([0, 1, 20]))
    def a_message_dies_and_is_repaired(
        self, pick: int, how: str, late: int, *, heard: bool
    ) -> None:
        self.them.strand(_one(list(self.them.sent), pick))
        self.them.now += timedelta(days=late)
        if heard:
            self.them.work()
        self.them.repair(how, self.them.letters())
        self.worked = False

    @rule(how=REPAIRS)
    def an_operator_repairs(self, how: str) -> None:
        self.them.repair(how, self.them.letters())
        self.worked = False

    @rule(days=st.sampled_from([0, 1, 3, 5, 8, 12, 15, 25, 130]), asleep=st.booleans())
    def time_passes(self, days: int, *, asleep: bool) -> None:
        self.them.advance(self.them.now + timedelta(days=days, hours=3), asleep=asleep)
        self.worked = True

    @rule()
    def the_clock_works(self) -> None:
        self.them.work()
        self.worked = True

    @rule(days=st.sampled_from([5, 12, 15]))
    def the_clock_is_cut_off(self, days: int) -> None:
        self.them.now += timedelta(days=days)
        with self.them.cut():
            self.them.work()
        self.them.work()
        self.worked = True

    # --- what the gateway promises ----------------------------------------------------------------

    @invariant()
    def there_is_no_agreement_without_a_ground(self) -> None:
        told = set(self.said)
        staat = self.them.stand.staat
        consent = any(soort == "SaldoverzoekAntwoordVoorafAkkoord" for soort, _ in told)
        proposed = any(soort == "Betaalvoorstel" for soort, _ in told)
        yes = ("BetaalvoorstelAntwoord", "AKKOORD") in told
        court = ("StatusberichtShv", "DWANGAKKOORD_TOEGEWEZEN") in told
        if staat == "AKKOORD":
            assert proposed
            assert yes or consent
        if staat == "AKKOORD_VOORLOPIG":
            assert proposed
            assert consent
        if staat == "OPGELEGD":
            assert court
        if staat == "LOPEND":
            assert (proposed and yes) or consent or court

    @invariant()
    def no_term_is_told_of_twice(self) -> None:
        told = Counter(each for each in self.them.heard if each.soort == "TermijnVerstreken")
        assert all(times == 1 for times in told.values()), told
        creditor = [each for each in told if each.to == SE]
        balances = ("SaldoverzoekAntwoord", "SaldoverzoekAntwoordVoorafAkkoord")
        for each in creditor:
            kind = self.them.sent[each.about].message.kind.name
            assert kind not in balances, "the creditor learns of a term of the helper"

    @invariant()
    def nothing_is_said_after_the_end(self) -> None:
        late = [e for e in self.them.heard if e.after_the_end and e.soort in ENDINGS]
        assert not late or not self.them.stand.ended, late

    @invariant()
    def no_term_is_lost(self) -> None:
        stand, due = self.them.stand, self.them.next_term()
        if stand.ended:
            assert due is None
            return
        if not self.worked:
            return
        assert due is None or due > self.them.now, "something due was left undone"
        states = self.them.delivery_states()
        calendar = self.them.courses.book.calendar
        for vraag in stand.open_vragen():
            number = vraag.referentienummer
            assert states[number] not in DEAD, "open, but nobody got it"
            termijn = stand.termijn(number)
            reached = states[number] in (State.AANGEBODEN, State.BEVESTIGD)
            if termijn is None or not reached:
                continue
            assert termijn.tot_en_met is not None, "it lies there, and no term runs"
            if termijn.soort is Soort.BEZWAAR and stand.staat != "AKKOORD_VOORLOPIG":
                continue
            moments = schedule(termijn, calendar)
            assert all(each.at > self.them.now for each in moments[termijn.stap :])
        for vraag in stand.vragen:
            if vraag.status is Status.NIET_AFGELEVERD:
                assert states[vraag.referentienummer] in (State.GESTRAND, State.WACHT)

    @invariant()
    def a_state_that_waits_has_something_to_wait_for(self) -> None:
        stand = self.them.stand
        asked = WAITS_FOR.get(stand.staat)
        if asked is not None:
            waiting = (Status.OPEN, Status.NIET_AFGELEVERD)
            assert [e for e in stand.vragen if e.soort == asked and e.status in waiting], stand

    @invariant()
    def the_state_is_that_of_the_newest_message_that_still_stands(self) -> None:
        stand = self.them.stand
        moves = [each.na for each in stand.stappen if each.beweegt]
        if moves and not stand.ended:
            assert stand.staat in (moves[-1], BY_THE_CLOCK.get(moves[-1])), stand
        if stand.staat in (NIEUW, "GEOPEND"):
            assert not list(stand.open_vragen(tuple(WAITS_FOR.values()))), stand

    @invariant()
    def every_conversation_can_end(self) -> None:
        stand = self.them.stand
        if stand.staat not in (NIEUW, BEEINDIGD):
            assert move("RegelingBeeindigd", stand, als="VOORTIJDIG").stand.ended

    def teardown(self) -> None:
        them = getattr(self, "them", None)
        if them is not None:
            try:
                assert them.ledger.audit() == []
            finally:
                them.ledger.close()


def _without_proof(receipt: bytes) -> bytes:
    told = orjson.loads(receipt)
    told["ontvangstbevestiging"].pop("bewijs", None)
    return canonical_form(told)


def _one(of: list[str], pick: int) -> Any:
    """One of these; None where there is none."""
    return of[pick % len(of)] if of else None


def run(machine: type[Machine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(examples, settings().max_examples // 20),
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(300)
def test_whatever_happens_to_a_conversation_it_keeps_its_promises() -> None:
    run(Machine, examples=25, steps=25)


@pytest.mark.database
@pytest.mark.timeout(300)
def test_on_a_server_it_keeps_them_too(postgres_server: Postgres) -> None:
    made: list[str] = []

    def make() -> SqlLedger:
        made.append(postgres_server.create(template=TEMPLATE))
        return open_ledger(postgres_server.url(made[-1]), a_keyring())

    class OnServer(Machine):
        def teardown(self) -> None:
            super().teardown()
            if made:
                postgres_server.drop(made.pop())

    OnServer.make = staticmethod(make)
    run(OnServer, examples=4, steps=20)
