"""No window is exceeded, in true time, whatever the interleaving of two deciders.

Two processes decide on one ledger, each with its own elapsed time, its own stale sight of the ledger and of
the asks, its own restarts and its own sleep. A write arrives when it arrives, and succeeds only at the
resourceVersion it was decided on. The checks know true time and nothing else. Invariants: reliability.md S1, S6, S7.
"""

import math
from collections.abc import Mapping
from datetime import timedelta

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kubenode.core.decision import Create, Decision
from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import Cause, Hold, Limit, ObjectMeta, RiskLedger, RiskLedgerStatus, Scope
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.decide import FleetSnapshot, SetRoom, decide
from tests.core.risk.builders import HOUR, SECOND, ask, limit, now_at, policy_of

MACHINES = tuple((f"m{i}", "ab"[i % 2], ("s",) if i < 4 else ("s", "t")) for i in range(6))
ROOMS = {"s": SetRoom(max_unavailable=3), "t": SetRoom(max_unavailable=1)}
WHO = st.sampled_from([0, 1])
AMOUNTS = st.sampled_from(
    [
        0, 1, SECOND, 10 * SECOND - 1, 10 * SECOND, 30 * SECOND, 59 * SECOND, 60 * SECOND, 61 * SECOND, 600 * SECOND,
        HOUR - 1, HOUR, HOUR + 60 * SECOND, 24 * HOUR,
    ]
)  # fmt: skip
WINDOWS = st.sampled_from([timedelta(seconds=s) for s in (10, 59, 60, 61, 600, 3600, 3601, 86_400)])
LIMITS = st.builds(limit, st.sampled_from(Scope), st.integers(1, 3), st.none() | WINDOWS)
TIGHT = st.builds(limit, st.just(Scope.CLUSTER), st.integers(1, 2), WINDOWS)
POLICIES = st.tuples(TIGHT, LIMITS, LIMITS).map(lambda limits: policy_of(*limits))


@attrs.frozen(kw_only=True)
class Write:
    """A write under way: what was decided, on which version, by whom seen as holding."""

    basis: RiskLedger | None
    decision: Decision[RiskLedgerStatus]
    holding: frozenset[str]


@attrs.define
class Mind:
    """One process: how far its elapsed time is from true time, what it sees, what it remembers."""

    offset: int
    book: RiskLedger | None
    asks: tuple[Ask, ...] = ()
    ended: frozenset[str] = frozenset()
    sightings: Mapping[str, int] = attrs.field(factory=dict)
    write: Write | None = None


class TwoDeciders(RuleBasedStateMachine):
    """Two minds, one ledger, true time."""

    def __init__(self) -> None:
        super().__init__()
        self.true = 10 * SECOND
        self.born = self.true
        self.version = 1
        self.policy = policy_of()
        self.book: RiskLedger | None = self.made(RiskLedgerStatus(checkpoint=1))
        self.books: list[RiskLedger | None] = [self.book]
        self.asks: dict[str, Ask] = {}
        self.ended: dict[str, bool] = {}
        self.grants: list[tuple[int, Hold]] = []
        self.lost = False
        self.minds = [Mind(offset=0, book=self.book), Mind(offset=7 * HOUR, book=self.book)]

    def made(self, status: RiskLedgerStatus, uid: str = "L0") -> RiskLedger:
        """Give a ledger of the present version."""
        return RiskLedger(
            metadata=ObjectMeta(name="cluster", uid=uid, resource_version=str(self.version)), status=status
        )

    def remembered(self, mind: Mind) -> Mapping[str, int]:
        """What a mind brings to its decision; canaries cheat here."""
        return mind.sightings

    @initialize(policy=POLICIES)
    def begin(self, policy: Policy) -> None:
        """Draw the limits; every machine is wanted."""
        self.policy = policy
        for machine in range(len(MACHINES)):
            self.want(machine, Cause.ROLLOUT)

    # --- the world ---

    @rule(amount=AMOUNTS)
    def advance(self, amount: int) -> None:
        """Time passes for all."""
        self.true += amount

    @rule(who=WHO, amount=AMOUNTS)
    def sleep(self, who: int, amount: int) -> None:
        """A process stands still, and its clock with it."""
        self.true += amount
        self.minds[who].offset -= amount

    def want(self, machine: int, cause: Cause) -> None:
        """Somebody asks for a machine."""
        name, zone, sets = MACHINES[machine]
        op_id = f"op{len(self.asks)}"
        self.asks[op_id] = ask(op_id, name, cause=cause, zone=zone, sets=sets, order=len(self.asks))

    def _held(self) -> list[str]:
        return (
            [] if self.book is None else [op_id for hold in self.book.status.holds for op_id in hold.op_ids]
        )

    @rule(machine=st.integers(0, 5))
    def also(self, machine: int) -> None:
        """Another set wants to change a machine, beside whoever wants it already."""
        name = MACHINES[machine][0]
        live = [op for op, each in self.asks.items() if each.machine.name == name and op not in self.ended]
        if len(live) < 3:
            self.want(machine, Cause.ROLLOUT)

    @rule(pick=st.integers(0, 9))
    @precondition(lambda self: self._held())
    def start(self, pick: int) -> None:
        """An owner that finds its op-id among the holds acts."""
        held = self._held()
        op_id = held[pick % len(held)]
        if op_id in self.asks:
            self.asks[op_id] = attrs.evolve(self.asks[op_id], waiting=False)

    @rule(machine=st.integers(0, 5), recorded=st.booleans(), cause=st.sampled_from(Cause))
    def end(self, machine: int, recorded: bool, cause: Cause) -> None:
        """An owner ends, and says so or is simply gone; somebody else wants the machine."""
        name = MACHINES[machine][0]
        live = next(
            op for op, each in self.asks.items() if each.machine.name == name and op not in self.ended
        )
        self.ended[live] = recorded
        self.want(machine, cause)

    @rule()
    @precondition(lambda self: self.grants and not self.lost)
    def lose_ledger(self) -> None:
        """Somebody deletes the ledger."""
        self.book, self.lost = None, True
        self.books.append(None)

    # --- the minds ---

    @rule(who=WHO)
    def see_ledger(self, who: int) -> None:
        """A mind's sight of the ledger catches up."""
        self.minds[who].book = self.book

    @rule(who=WHO)
    def see_owners(self, who: int) -> None:
        """A mind's sight of sets and jobs catches up."""
        recorded = {op_id for op_id, is_recorded in self.ended.items() if is_recorded}
        self.minds[who].asks = tuple(each for op_id, each in self.asks.items() if op_id not in self.ended)
        self.minds[who].ended = frozenset(recorded)

    @rule(who=WHO)
    def think(self, who: int) -> None:
        """A mind decides on what it sees; the write is under way."""
        mind = self.minds[who]
        snapshot = FleetSnapshot(
            ledger=mind.book, asks=mind.asks, ended=mind.ended, zones={z: ZoneTally(nodes=9) for z in "ab"}, rooms=ROOMS,
            history=self.lost, now=now_at(self.true + mind.offset), sightings=self.remembered(mind),
        )  # fmt: skip
        decision = decide(snapshot, self.policy)
        mind.sightings = decision.sightings
        mind.write = Write(
            basis=mind.book,
            decision=decision,
            holding=frozenset(each.op_id for each in mind.asks if not each.waiting),
        )

    @rule(who=WHO)
    def arrive(self, who: int) -> None:
        """A write reaches the server, perhaps long after it was decided."""
        mind = self.minds[who]
        write, mind.write = mind.write, None
        if write is None:
            return
        if write.basis is None:
            if self.book is None and any(isinstance(effect, Create) for effect in write.decision.effects):
                self.born = self.true
                self.commit(self.made(RiskLedgerStatus(), uid=f"L{self.version}"))
        elif (
            self.book is not None
            and self.accepts(write.basis)
            and write.decision.status not in (None, self.book.status)
        ):
            status = write.decision.status
            assert status is not None
            before = self.book.status
            self.commit(attrs.evolve(self.book, status=status))
            self.check(before, status, write)

    def accepts(self, basis: RiskLedger) -> bool:
        """Compare and swap."""
        return self.book is not None and basis.metadata == self.book.metadata

    def commit(self, book: RiskLedger) -> None:
        """Store a version."""
        self.version += 1
        self.book = attrs.evolve(
            book, metadata=attrs.evolve(book.metadata, resource_version=str(self.version))
        )
        self.books.append(self.book)

    @rule(who=WHO)
    def turn(self, who: int) -> None:
        """One undisturbed round."""
        self.see_ledger(who)
        self.see_owners(who)
        self.think(who)
        self.arrive(who)

    @rule(who=WHO, offset=st.integers(-10 * SECOND, 48 * HOUR), back=st.integers(1, 4))
    def restart(self, who: int, offset: int, back: int) -> None:
        """A process begins anew: another elapsed time, no sightings, an old sight; its last write may still arrive."""
        old = self.minds[who]
        self.minds[who] = Mind(offset=offset, book=self.books[-min(back, len(self.books))], write=old.write)

    # --- what must hold ---

    def check(self, before: RiskLedgerStatus, after: RiskLedgerStatus, write: Write) -> None:
        """Check one successful write, in true time."""
        machines = [hold.machine_uid for hold in after.holds]
        assert len(machines) == len(set(machines)), "two holds on one machine"
        self.check_time(before.checkpoint, after.checkpoint)
        self.check_joined(before, after)
        known = {hold.op_id for hold in before.holds} | (write.holding if before.checkpoint == 0 else set())
        new = [hold for hold in after.holds if hold.op_id not in known]
        self.grants += [(self.true, hold) for hold in new]
        # What a person forces counts, but is not bound.
        bound = [hold for hold in new if hold.cause is not Cause.HUMAN]
        for scope in sorted({scope for hold in bound for scope in hold.scopes}):
            running = sum(scope in hold.scopes for hold in after.holds)
            room = ROOMS[scope.removeprefix("set=")].max_unavailable if scope.startswith("set=") else math.inf
            assert running <= room, f"{scope}: {running} unavailable"
            for each in self.policy.limits[0].spec.limits:
                if each.scope.value == scope.partition("=")[0]:
                    self.check_limit(each, scope, running)

    def check_joined(self, before: RiskLedgerStatus, after: RiskLedgerStatus) -> None:
        """Check that nobody joins what is open, and that nobody has two places."""
        rows = {hold.op_id: hold for hold in before.holds}
        for hold in after.holds:
            if hold.op_id in rows and hold.since == rows[hold.op_id].since:
                assert set(hold.op_ids) <= set(rows[hold.op_id].op_ids), "joined after the grant"
        places = [op_id for hold in after.holds for op_id in hold.op_ids]
        assert len(places) == len(set(places)), "two places for one op-id"

    def check_time(self, before: int, after: int) -> None:
        """Check that ledger time never runs ahead."""
        assert before <= after <= 1 + self.true - self.born, "ledger time is ahead of true time"

    def check_limit(self, each: Limit, scope: str, running: int) -> None:
        """Check one limit in one scope of a new grant."""
        if each.window is None:
            assert running <= each.max.amount, f"{scope}: {running} in flight"
            return
        begin = self.true - nanoseconds(each.window)
        within = sum(moment > begin and scope in hold.scopes for moment, hold in self.grants)
        assert within <= each.max.amount, f"{scope}: {within} within {each.window}"


class Canary(TwoDeciders):
    """A wrong decider; it must be caught by what it does to a limit, not by its clock."""

    def check_time(self, before: int, after: int) -> None:
        """Check that ledger time never runs ahead."""


class OwnClock(Canary):
    """A canary: ledger time is the elapsed time of whoever decides."""

    def remembered(self, mind: Mind) -> Mapping[str, int]:
        """Cheat."""
        book = mind.book
        return (
            mind.sightings
            if book is None
            else {**mind.sightings, ledger.sighting(book): book.status.checkpoint}
        )


class LongMemory(Canary):
    """A canary: elapsed counts from the first sight of the ledger, not of this version."""

    def remembered(self, mind: Mind) -> Mapping[str, int]:
        """Cheat."""
        if mind.book is None or not mind.sightings:
            return mind.sightings
        return {**mind.sightings, ledger.sighting(mind.book): min(mind.sightings.values())}


class BlindWrites(Canary):
    """A canary: writes succeed whatever was decided on."""

    def accepts(self, basis: RiskLedger) -> bool:
        """Cheat."""
        return True


COMMON = settings(
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTwoDeciders = TwoDeciders.TestCase
TestTwoDeciders.settings = COMMON


def test_one_grant_an_hour_whoever_decides() -> None:
    """The second decider waits for the true hour."""
    with pytest.raises(AssertionError, match="cluster: 2 within 1:00:00"):
        two_in_an_hour(OwnClock())
    machine = TwoDeciders()
    two_in_an_hour(machine)
    assert len(machine.grants) == 1
    machine.advance(HOUR)
    machine.turn(1)  # has seen this version for an hour
    assert len(machine.grants) == 2


def two_in_an_hour(machine: TwoDeciders) -> None:
    """One permit an hour; the second process, seven hours ahead by its own clock, comes a second later."""
    machine.begin(policy_of(limit(Scope.CLUSTER, 1, timedelta(hours=1))))
    machine.turn(0)
    machine.advance(SECOND)
    machine.turn(1)


@pytest.mark.parametrize("canary", [OwnClock, LongMemory, BlindWrites])
def test_canary_is_caught(canary: type[TwoDeciders]) -> None:
    """A decider with a clock of its own, a memory of older versions, or no compare-and-swap breaks a limit, and is found."""
    found = settings(COMMON, max_examples=5000, derandomize=True, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=r" within | in flight| unavailable|two holds"):
        run_state_machine_as_test(canary, settings=found)
