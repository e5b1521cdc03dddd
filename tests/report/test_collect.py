"""The fold: what a run showed is what the report has, compared with the witness's and the hosts' own truth."""

from datetime import UTC, datetime, timedelta

import attrs

from kubenode.core import model as m
from kubenode.runtime.report import Collector, ReportData, follow
from kubenode.runtime.report.data import State
from kubenode.runtime.report.fleet import moments
from kubenode.runtime.report.usage import Usage
from kubenode.runtime.sim.check import at_once
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, examples
from kubenode.runtime.sim.witness import Witness
from kubenode.runtime.store.cache import Change

SECOND = 1_000_000_000
NEW_YEAR = m.Now(wall=datetime(2026, 1, 1, tzinfo=UTC), elapsed=0)


def played(story: str) -> tuple[ReportData, Simulation, Witness]:
    """Play a story, followed by a collector and a witness."""
    seen: list[tuple[Collector, Simulation, Witness]] = []

    def attend(simulation: Simulation) -> None:
        seen.append((follow(simulation), simulation, Witness(simulation)))

    told = STORIES[story](Cast.read([examples() / f"{story}.yaml"]), 0, lambda _: None, attend)
    ((collector, simulation, witness),) = seen
    assert told.passed
    return collector.data(story, simulation.time.now()), simulation, witness


def test_the_batches_are_those_of_the_story(upgrade: ReportData) -> None:
    """1/5/10/50/100/34, one failed in the fourth, paused once and for the two minutes a person looked."""
    (rollout,) = upgrade.rollouts
    assert [batch.size for batch in rollout.batches] == [1, 5, 10, 50, 100, 34]
    assert [batch.failed for batch in rollout.batches] == [0, 0, 0, 1, 0, 0]
    assert sum(batch.updated for batch in rollout.batches) == 199
    for batch in rollout.batches:
        assert batch.worked is not None
        assert batch.passed is not None
        assert batch.opened < batch.worked < batch.passed
    (pause,) = rollout.pauses
    assert "n117 failed" in pause.text
    assert pause.ended is not None
    assert pause.ended - pause.began == 120 * SECOND


def test_permits_are_those_that_the_witness_saw() -> None:
    """Every hold once, from its grant until it was gone."""
    for story in ("hung", "outage"):
        data, _, witness = played(story)
        expected = sorted((one.opened, one.hold.machine, one.closed) for one in witness.permits.values())
        assert sorted((one.opened, one.machine, one.closed) for one in data.permits) == expected
        assert data.permits


def test_a_permit_names_every_change_that_it_was_granted_for() -> None:
    """Also those that joined, and also when one of them is over before the others."""
    hold = m.Hold(
        op_id="rollout-a", joined=("rollout-b", "rollout-c"), machine="n1", machine_uid="u", cause=m.Cause.ROLLOUT,
        scopes=("cluster",), since=1,
    )  # fmt: skip
    later = attrs.evolve(hold, joined=("rollout-c",), over=True)
    seen = Usage()
    for at, holds in enumerate(((hold,), (later,), ()), start=1):
        seen.ledger(holds, at)
    (permit,) = seen.permits()
    assert (permit.op_ids, permit.opened, permit.closed) == (("rollout-a", "rollout-b", "rollout-c"), 1, 3)


def test_how_full_a_limit_came_is_the_peak_of_the_permits(upgrade: ReportData) -> None:
    """Counted again by another way: for what is in flight and for every window."""
    for bound in upgrade.bounds:
        mine = [one for one in upgrade.permits if bound.scope in one.scopes]
        length = None if bound.window is None else bound.window // timedelta(microseconds=1) * 1000
        spans = [(one.opened, one.closed if length is None else one.opened + length) for one in mine]
        assert bound.reached == at_once(spans), bound
    kinds = {(one.scope.partition("=")[0], one.window is None) for one in upgrade.bounds}
    assert kinds == {("cluster", True), ("cluster", False), ("zone", True), ("zone", False)}


def test_every_machine_is_counted_at_every_moment(upgrade: ReportData) -> None:
    """Stretches of a machine follow each other without gap or overlap, so the bands add up to the fleet."""
    assert len(upgrade.lanes) == 200
    for lane in upgrade.lanes:
        for before, after in zip(lane.stretches, lane.stretches[1:], strict=False):
            assert before.ended == after.began
            assert before.state is not after.state
        assert lane.stretches[-1].ended is None
    assert {sum(counts) for _, counts in moments(upgrade.lanes)} == {200}


def test_an_outage_is_seen_as_machines_that_are_down() -> None:
    """Seven of zone b from +5:00 to +45:00, as long as their hosts were cut off, and the breaker that bound."""
    data, _, _ = played("outage")
    silent = [
        (lane.zone, one.ended)
        for lane in data.lanes
        for one in lane.stretches
        if one.state is State.DOWN and one.began == 300 * SECOND
    ]
    assert [zone for zone, _ in silent] == ["b"] * 7
    assert [ended for _, ended in silent].count(
        2700 * SECOND
    ) == 5  # two had hung meanwhile, and were healed after it
    breaker = [wait for wait in data.waits if wait.code == "ZoneOutage"]
    assert {wait.scope for wait in breaker} == {"zone b"}
    assert all(wait.observed > wait.limit == 5 for wait in breaker)
    assert min(wait.began for wait in breaker) == 300 * SECOND


def test_acts_are_what_the_hosts_were_asked_to_do() -> None:
    """A restart that did not help and a reboot that did, of one machine, each with the attempt that asked."""
    data, simulation, _ = played("hung")
    acts = {lane.machine: lane.acts for lane in data.lanes if lane.acts}
    assert list(acts) == ["n003"]
    assert [(act.what, act.outcome) for act in acts["n003"]] == [("restart-unit", "done"), ("reboot", "done")]
    assert [act.why.rpartition(" ")[2] for act in acts["n003"]] == ["1", "2"]
    assert [act.began for act in acts["n003"]] == [span.began for span in simulation.hosts["n003"].spans]


def test_following_changes_nothing() -> None:
    """A run that is followed has the trace of one that is not."""
    cast = Cast.read([examples() / "hung.yaml"])
    alone = STORIES["hung"](cast, 3, lambda _: None)
    followed = STORIES["hung"](cast, 3, lambda _: None, lambda simulation: (follow(simulation), None)[1])
    assert alone.trace == followed.trace


def machine(name: str, phase: str) -> m.Machine:
    """A machine of zone a in a phase, which is the Node of its name."""
    return m.Machine(
        metadata=m.ObjectMeta(name=name, uid=name, labels={"topology.kubernetes.io/zone": "a"}),
        spec=m.MachineSpec(host=m.Host(address="10.0.0.1")),
        status=m.MachineStatus(phase=phase, node_ref=m.NodeRef(name=name)),
    )


def test_a_machine_that_is_deleted_leaves_the_count() -> None:
    """Its lane ends when it is gone; the lane of one whose Node is not Ready says that it is down."""
    collector = Collector(NEW_YEAR)
    one = machine("n1", "Running")
    collector.changed(Change(kind=m.Machine, before=None, after=one), 1)
    collector.changed(Change(kind=m.Machine, before=one, after=None), 5)
    data = collector.data("x", NEW_YEAR)
    ((stretch,),) = [lane.stretches for lane in data.lanes]
    assert (stretch.state, stretch.began, stretch.ended) == (State.DOWN, 1, 5)
