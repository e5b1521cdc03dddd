"""The checks of a run can fail: each is shown a run that breaks it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.hookspecs import CreateRequest
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.core.step import RestartUnit
from kubenode.runtime.sim.check import done_once, limits_kept, one_at_a_time, permitted
from kubenode.runtime.sim.cloud import SimParams, Termination
from kubenode.runtime.sim.host import HostSpec, Span
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.witness import Permit, Witness
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import now_or_never

SECOND = 1_000_000_000
STEPS = (RestartUnit(unit="kubelet.service"),)


@pytest.fixture
def stage() -> tuple[Simulation, Witness]:
    """A simulation with one machine that has been Running since 0."""
    simulation = Simulation()
    simulation.create(
        m.Machine(metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1")))
    )
    simulation.add_host(HostSpec(machine="m1", node="n1", zone="a"))
    witness = Witness(simulation)
    witness.first_running[simulation.objects(m.Machine)[0]["metadata"]["uid"]] = 0
    return simulation, witness


def span(
    began: int, ended: int | None, *, op: str = "op", disruption: m.Disruption = m.Disruption.RESTART
) -> Span:
    """Something done on m1."""
    return Span(
        machine="m1", zone="a", op_id=op, steps=STEPS, disruption=disruption, began=began * SECOND,
        ended=None if ended is None else ended * SECOND,
    )  # fmt: skip


def permit(
    opened: int, closed: int | None = None, *, op: str = "op", scopes: tuple[str, ...] = ("cluster", "zone=a"),
    cause: m.Cause = m.Cause.REMEDY,
) -> Permit:  # fmt: skip
    """A hold on m1 as the ledger showed it."""
    hold = m.Hold(op_id=op, machine="m1", machine_uid="u", cause=cause, scopes=scopes, since=1)
    return Permit(hold=hold, opened=opened * SECOND, closed=None if closed is None else closed * SECOND)


def test_an_act_without_a_permit_is_found(stage: tuple[Simulation, Witness]) -> None:
    """Before the permit, after it, without one: found; within it, or of class none: not."""
    simulation, witness = stage
    host = simulation.hosts["m1"]
    witness.permits["op"] = permit(10, 20)
    for began, disruption, sound in (
        (5, m.Disruption.RESTART, False),
        (15, m.Disruption.RESTART, True),
        (25, m.Disruption.RESTART, False),
        (25, m.Disruption.NONE, True),
    ):
        host.spans = [span(began, began + 1, disruption=disruption)]
        assert permitted(simulation, witness).passed is sound


def test_repairs_beyond_three_an_hour_are_found(stage: tuple[Simulation, Witness]) -> None:
    """The same steps again need no permit, but not a fourth time in an hour, and never a reboot."""
    simulation, witness = stage
    host = simulation.hosts["m1"]
    witness.permits["op"] = permit(0, 10)
    host.spans = [span(at, at + 1) for at in (5, 600, 1200, 1800)]
    assert permitted(simulation, witness).passed
    host.spans.append(span(2400, 2401))
    assert not permitted(simulation, witness).passed
    host.spans = [span(5, 6), span(600, 601, disruption=m.Disruption.REBOOT)]
    assert not permitted(simulation, witness).passed


def test_a_termination_without_a_permit_is_found(stage: tuple[Simulation, Witness]) -> None:
    """Of a machine that has been Running, at the call; whatever came before that, or had its hold, is sound."""
    simulation, witness = stage
    [uid] = witness.first_running
    witness.first_running[uid] = 10 * SECOND
    for at, whose, held, sound in (
        (9, uid, False, True),
        (10, uid, False, False),
        (20, uid, True, True),
        (20, "never-running", False, True),
    ):
        ended = Termination(at=at * SECOND, instance="i-1", machine="m1", machine_uid=whose, held=held)
        simulation.cloud.terminations = [ended]
        assert permitted(simulation, witness).passed is sound


def test_whether_a_hold_is_open_is_asked_of_the_ledger_at_the_call() -> None:
    """The cloud asks at each call that ends an instance; one that ends behind its back is no act of ours."""
    simulation = Simulation()
    simulation.create(m.RiskLedger(metadata=m.ObjectMeta(name="cluster")))
    tags = {MACHINE_TAG: "m1", MACHINE_UID_TAG: "u"}
    for number in range(4):
        params = SimParams(zone="a")
        simulation.cloud.create(CreateRequest(token=f"t{number}", machine="m1", params=params, tags=tags))
    ids = list(simulation.cloud.created.values())
    for number, holds in enumerate(((), (permit(0).hold,), ())):
        ledger = m.RiskLedger(metadata=m.ObjectMeta(name="cluster"), status=m.RiskLedgerStatus(holds=holds))
        body = MergePatch({"status": wire.dump(ledger).get("status", {"holds": []})})
        now_or_never(simulation.store.patch(m.RiskLedger.KIND, "cluster", body, subresource="status"))
        simulation.cloud.delete(ids[number])
        simulation.cloud.delete(ids[number])
    assert simulation.cloud.end(ids[3])
    assert [one.held for one in simulation.cloud.terminations] == [False, True, False]
    assert simulation.cloud.terminated == dict.fromkeys(ids[:3], 1)


def limited(limit: m.Limit, witness: Witness) -> bool:
    """Whether one limit was kept."""
    policy = m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=m.RiskPolicySpec(limits=(limit,)))
    return limits_kept((policy,), witness, lambda _: 10).passed


def test_windows_and_what_is_in_flight_are_counted(stage: tuple[Simulation, Witness]) -> None:
    """Two starts within a window of one, and two open at once, are found."""
    _, witness = stage
    witness.permits = {"a": permit(0, 5, op="a"), "b": permit(50, 60, op="b")}
    one, minute = m.IntOrPercent(1), timedelta(minutes=1)
    assert limited(m.Limit(scope=m.Scope.CLUSTER, max=one), witness)
    assert not limited(m.Limit(scope=m.Scope.CLUSTER, window=minute, max=one), witness)
    assert limited(m.Limit(scope=m.Scope.CLUSTER, window=timedelta(seconds=50), max=one), witness)
    assert limited(m.Limit(scope=m.Scope.SET, window=minute, max=one), witness)
    witness.permits["c"] = permit(55, None, op="c")
    assert not limited(m.Limit(scope=m.Scope.ZONE, max=one), witness)
    assert limited(m.Limit(scope=m.Scope.ZONE, max=m.IntOrPercent(20, percent=True)), witness)


def test_what_a_person_forces_is_no_violation_but_counts(stage: tuple[Simulation, Witness]) -> None:
    """Forced second: sound. Automation second, beside what was forced: found."""
    _, witness = stage
    one = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(1))
    hour = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(1), window=timedelta(hours=1))
    automatic, forced = permit(0, 20, op="a"), permit(10, 30, op="b", cause=m.Cause.HUMAN)
    witness.permits = {"a": automatic, "b": forced}
    assert limited(one, witness)
    assert limited(hour, witness)
    witness.permits["c"] = permit(25, 40, op="c")
    assert not limited(one, witness)
    assert not limited(hour, witness)


PERMITS = st.lists(
    st.builds(
        lambda opened, lasts, cause: permit(opened, None if lasts is None else opened + lasts, cause=cause),
        st.integers(0, 20), st.none() | st.integers(0, 20), st.sampled_from((m.Cause.REMEDY, m.Cause.HUMAN)),
    ),
    max_size=8,
)  # fmt: skip


@given(PERMITS, st.none() | st.integers(1, 20))
def test_the_worst_moment_is_that_of_the_definition(permits: list[Permit], window: int | None) -> None:
    """Counted at every unforced start as the sentence says it, each permit against each."""

    def counts(other: Permit, at: int) -> bool:
        if window is not None:
            return at - window * SECOND < other.opened <= at
        return other.opened <= at and (other.closed is None or at < other.closed)

    starts = [one.opened for one in permits if one.hold.cause is not m.Cause.HUMAN]
    worst = max((sum(counts(other, at) for other in permits) for at in starts), default=0)
    witness = Witness(Simulation())
    witness.permits = {str(number): one for number, one in enumerate(permits)}

    def kept(most: int) -> bool:
        span = None if window is None else timedelta(seconds=window)
        return limited(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(most), window=span), witness)

    assert kept(worst)
    assert worst == 0 or not kept(worst - 1)


def test_limits_of_a_node_and_of_the_fleet_are_judged(stage: tuple[Simulation, Witness]) -> None:
    """Of a node remedies alone count; the fleet is the cluster."""
    _, witness = stage
    week = m.Limit(scope=m.Scope.NODE, max=m.IntOrPercent(1), window=timedelta(hours=168))
    fleet = m.Limit(scope=m.Scope.FLEET, max=m.IntOrPercent(1))
    witness.permits = {"a": permit(0, 20, op="a"), "b": permit(10, 30, op="b", cause=m.Cause.ROLLOUT)}
    assert limited(week, witness)
    assert not limited(fleet, witness)
    witness.permits["c"] = permit(90, 99, op="c")
    assert not limited(week, witness)


def test_two_acts_at_once_and_one_done_twice_are_found(stage: tuple[Simulation, Witness]) -> None:
    """Overlap and repetition on one host."""
    simulation, _ = stage
    host = simulation.hosts["m1"]
    host.spans = [span(0, 5, op="a"), span(5, 6, op="b")]
    assert one_at_a_time(simulation).passed
    assert done_once(simulation).passed
    host.spans = [span(0, 5, op="a"), span(4, 6, op="a")]
    assert not one_at_a_time(simulation).passed
    assert not done_once(simulation).passed
    host.spans, host.repeats = [span(0, 5, op="a")], ["a"]
    assert not done_once(simulation).passed
