"""Acts that the objects of a cluster tell of, by table: which began, whose they are, and how they ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.history import Cluster, Disruption, disruptions, dropped
from kubenode.core.identity import op_id
from kubenode.core.model.meta import FORCED, REGION_LABEL, ZONE_LABEL
from kubenode.core.model.remedy import WITHDRAWN, MachineRef
from kubenode.core.model.remedy import Cause as Origin
from tests.core.risk.builders import hold, ledger_of

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACT = op_id("rollout", "uid-set", 2, "uid-n1")
SECOND = m.Revision(number=2, component="kubelet-2")
DONE = m.ComponentReport(component="kubelet-2", revision="2")


def machine(name: str = "n1", *, batch: int = 3, component: str = "kubelet-2", report: m.ComponentReport | None = None, **status: Any) -> m.Machine:  # fmt: skip
    """Give a machine that a batch changed, and what its agent says."""
    entry = m.ComponentEntry(set="kubelets", component=component, revision="2", batch=batch)
    agent = None if report is None else m.AgentStatus(components={"kubelet": report})
    return m.Machine(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=m.MachineSpec(host=m.Host(address="10.0.0.1"), components={"kubelet": entry}),
        status=m.MachineStatus(agent=agent, **status),
    )


def owner(**status: Any) -> m.MachineComponentSet:
    """Give the set that changed it."""
    return m.MachineComponentSet(
        metadata=m.ObjectMeta(name="kubelets", uid="uid-set"),
        spec=m.MachineComponentSetSpec(name="kubelet", component="kubelet-2"),
        status=m.MachineComponentSetStatus(**{"update": SECOND, **status}),
    )


def component(disruption: m.Disruption) -> m.MachineComponent:
    """Give the component of revision 2."""
    spec = m.MachineComponentSpec(version="2", driver="systemd", disruption=disruption)
    return m.MachineComponent(metadata=m.ObjectMeta(name="kubelet-2"), spec=spec)


def batch(*members: m.Member, number: int = 3) -> m.Batch:
    """Give an open batch."""
    return m.Batch(number=number, opened_at=START, members=members)


def job(*attempts: m.Attempt, remedier: str = "hung", **meta: Any) -> m.RemedyOperationJob:
    """Give an episode on n1: of a remedier, or of drift without one."""
    spec = m.RemedyOperationJobSpec(
        machine=MachineRef(name="n1", uid="uid-n1"), remedier=remedier, component="" if remedier else "kubelet",
        episode=0, cause=Origin(type="KernelDeadlock"),
    )  # fmt: skip
    return m.RemedyOperationJob(
        metadata=m.ObjectMeta(name="j", uid="uid-j", **meta), spec=spec, status=m.RemedyOperationJobStatus(attempts=attempts),
    )  # fmt: skip


def attempt(state: m.AttemptState, *, number: int = 1, verdict: str = "") -> m.Attempt:
    """Give one rung tried."""
    return m.Attempt(
        number=number, rung=0, action="reboot", op_id=f"op-{number}", state=state, since=START + number * HOUR, verdict=verdict,
    )  # fmt: skip


def only(seen: Cluster) -> Disruption:
    """Give the one act."""
    (one,) = disruptions(seen)
    return one


@pytest.mark.parametrize(
    ("report", "state", "verdict"),
    [
        (None, "Acting", ""),
        (attrs.evolve(DONE, revision="1", reason="Old"), "Acting", ""),
        (DONE, "Succeeded", ""),
        (attrs.evolve(DONE, reason="InstallFailed", message="no space"), "Failed", "InstallFailed: no space"),
        (attrs.evolve(DONE, reason="InstallFailed"), "Failed", "InstallFailed"),
    ],
)
def test_how_a_change_ended(report: m.ComponentReport | None, state: str, verdict: str) -> None:
    """As the agent says of that revision; what it says of another one is not of it."""
    act = only(Cluster(machines=[machine(report=report)], sets=[owner()]))
    assert (act.op_id, act.state, act.verdict, act.cause) == (ACT, state, verdict, "Rollout")
    assert act.why == "rollout of kubelets revision 2 batch 3"


@pytest.mark.parametrize(
    ("status", "since"),
    [
        ({"batch": batch()}, START),
        ({"batch": batch(number=4)}, None),
        ({}, None),
        ({"batch": batch(), "update": None}, None),
        ({"batch": batch(), "update": m.Revision(number=5, component="kubelet-2")}, None),
    ],
)
def test_only_the_open_batch_knows_when(status: dict[str, Any], since: datetime | None) -> None:
    """Of an earlier batch or revision nothing is guessed."""
    assert only(Cluster(machines=[machine()], sets=[owner(**status)])).since == since


def test_a_rollback_is_told_as_one() -> None:
    """Only of the revision that brings it back."""
    back = owner(current=m.Revision(number=1, component="kubelet-2"))
    assert only(Cluster(machines=[machine()], sets=[back])).why.startswith("rollback of kubelets")


@pytest.mark.parametrize(
    ("machine", "sets", "components", "told"),
    [
        (machine(batch=0), [owner()], [], False),
        (machine(), [], [], False),
        (machine(), [owner()], [], True),
        (machine(), [owner()], [component(m.Disruption.NONE)], False),
        (machine(), [owner()], [component(m.Disruption.DRAIN)], True),
    ],
)
def test_which_entries_are_acts(machine: m.Machine, sets: Any, components: Any, told: bool) -> None:
    """Brought by a batch of a set that is there, and not known to disrupt nobody."""
    assert bool(disruptions(Cluster(machines=[machine], sets=sets, components=components))) == told


@pytest.mark.parametrize(
    ("one", "began"),
    [
        (attempt(m.AttemptState.WAITING), False),
        (attempt(m.AttemptState.ACTING), True),
        (attempt(m.AttemptState.SUCCEEDED, verdict="healthy"), True),
        (attempt(m.AttemptState.FAILED, verdict="still hung"), True),
        (attempt(m.AttemptState.FAILED, verdict=f"{WITHDRAWN}it healed"), False),
    ],
)
def test_which_attempts_are_acts(one: m.Attempt, began: bool) -> None:
    """Those that began: what waits, or ended before anything was done, disrupted nobody."""
    acts = [(act.state, act.since, act.verdict) for act in disruptions(Cluster(jobs=[job(one)]))]
    assert acts == ([(one.state.value, one.since, one.verdict)] if began else [])


@pytest.mark.parametrize(
    ("remedier", "annotations", "cause", "why"),
    [
        ("hung", {}, "Remedy", "KernelDeadlock, NodeRemedier hung, job j attempt 1"),
        ("", {}, "Drift", "KernelDeadlock, drift of kubelet, job j attempt 1"),
        ("hung", {FORCED: "anna"}, "Human", "KernelDeadlock, NodeRemedier hung, job j attempt 1"),
    ],
)
def test_whose_an_attempt_is(remedier: str, annotations: dict[str, str], cause: str, why: str) -> None:
    """What a person forced is theirs."""
    act = only(Cluster(jobs=[job(attempt(m.AttemptState.ACTING), remedier=remedier, annotations=annotations)]))  # fmt: skip
    assert (act.cause, act.why) == (cause, why)


def test_a_hold_whose_owner_is_gone_is_told() -> None:
    """The ledger alone knows of it; what only waits, or is told by its owner, is not told from there again."""
    waiting = m.Member(name="n3", uid="uid-n3", op_id="w-3", state=m.MemberState.WAITING)
    began = m.Member(name="n4", uid="uid-n4", op_id="b-4", state=m.MemberState.STARTED)
    rows = [hold("lost", "n9"), hold("op-1", "n1"), hold("op-2", "n2"), hold("w-3", "n3"), hold("b-4", "n4")]
    attempts = (attempt(m.AttemptState.ACTING), attempt(m.AttemptState.WAITING, number=2))
    seen = Cluster(jobs=[job(*attempts)], sets=[owner(batch=batch(waiting, began))], ledger=ledger_of(*rows))
    acts = {act.op_id: act for act in disruptions(seen)}
    assert set(acts) == {"lost", "op-1", "b-4"}
    assert (acts["lost"].machine, acts["lost"].why, acts["lost"].held) == ("n9", "its owner is gone", True)
    assert acts["op-1"].held


def test_order_and_choice_of_a_machine() -> None:
    """Without a time first, then the oldest; of one machine only its own."""
    attempts = [attempt(m.AttemptState.FAILED, number=number) for number in (2, 1)]
    seen = Cluster(machines=[machine("n0")], sets=[owner()], jobs=[job(*attempts)])
    assert [(act.machine, act.since) for act in disruptions(seen)] == [
        ("n0", None), ("n1", START + HOUR), ("n1", START + 2 * HOUR),
    ]  # fmt: skip
    assert {act.machine for act in disruptions(seen, "n1")} == {"n1"}


@pytest.mark.parametrize(
    ("node_ref", "place"),
    [
        (m.NodeRef(name="node-1"), ("cluster", "region eu", "zone b", "set kubelets")),
        (m.NodeRef(name="gone"), ("cluster", "region", "zone", "set kubelets")),
        (None, ("cluster", "region", "zone", "set kubelets")),
    ],
)
def test_where_it_counts(node_ref: m.NodeRef | None, place: tuple[str, ...]) -> None:
    """By the labels of today; what is held counts where the ledger has it."""
    node = m.Node(metadata=m.ObjectMeta(name="node-1", labels={ZONE_LABEL: "b", REGION_LABEL: "eu"}))
    seen = Cluster(machines=[machine(node_ref=node_ref)], nodes=[node], sets=[owner()])
    assert only(seen).scopes == place
    held = attrs.evolve(seen, ledger=ledger_of(hold(ACT, "n1", zone="x", sets=())))
    assert (only(held).scopes, only(held).held) == (("cluster", "region", "zone x"), True)


CLOSED = (
    "limits zone b: 2 in flight (p); set kubelets: 3 unavailable (maxUnavailable)\n"
    f"{ACT} n1 Rollout 2026-01-01T01:00:00+00:00 2026-01-01T02:00:00+00:00 rollout of kubelets revision 2: kubelet-2\n"
    "limits cluster: 1 in flight (p)\n"
    "delete-1 gone Rollout 2026-01-01T03:00:00+00:00 2026-01-01T04:00:00+00:00 deletion of the machine\n"
    "other-1 gone Rollout - 2026-01-01T05:00:00+00:00 "
)


def test_what_only_the_ledger_keeps_is_told_from_there() -> None:
    """Of a machine that is gone, too: what was done by the first word of its op-id, for what, when, and what bound it then."""
    first, second, *rest = disruptions(Cluster(ledger=ledger_of(acts=CLOSED)))
    assert rest[0].op_id == "other-1"
    assert second == Disruption(
        op_id="delete-1", machine="gone", cause="Rollout", why="deletion of the machine", action="deletion", state="Ended",
        since=START + 4 * HOUR, began=START + 3 * HOUR, ended=START + 4 * HOUR, limits=("cluster: 1 in flight (p)",),
    )  # fmt: skip
    assert (first.action, first.scopes, first.held) == ("component change", (), False)
    assert (rest[0].action, rest[0].began, rest[0].why) == ("unknown", None, "")
    assert [act.op_id for act in disruptions(Cluster(ledger=ledger_of(acts=CLOSED)), "gone")] == [
        "delete-1",
        "other-1",
    ]


def test_what_other_objects_say_closer_is_told_by_them() -> None:
    """Once, with the times and limits of the ledger, and the time by which it is found."""
    seen = Cluster(machines=[machine(report=DONE)], sets=[owner()], ledger=ledger_of(acts=CLOSED))
    (act,) = disruptions(seen, "n1")
    assert (act.why, act.state) == ("rollout of kubelets revision 2 batch 3", "Succeeded")
    assert (act.since, act.began, act.ended) == (START + 2 * HOUR, START + HOUR, START + 2 * HOUR)
    assert act.limits == ("zone b: 2 in flight (p)", "set kubelets: 3 unavailable (maxUnavailable)")
    (act,) = disruptions(attrs.evolve(seen, sets=[owner(batch=batch())]), "n1")
    assert (act.since, act.began) == (START, START + HOUR)


def test_of_a_permit_that_is_open_the_limits_are_those_of_its_grant() -> None:
    """Whoever else held one of that name before; one that an older version granted has none."""
    permit = attrs.evolve(hold(ACT, "n1"), granted_at=START + 9 * HOUR, by="rollout", limits="cluster: 4 in flight (p); zone a: 1 in 1h (p)")  # fmt: skip
    (act,) = disruptions(Cluster(ledger=ledger_of(permit, acts=CLOSED)), "n1")
    assert (act.why, act.action, act.state, act.held) == ("rollout", "component change", "Acting", True)
    assert (act.since, act.began, act.ended) == (START + 9 * HOUR, START + 9 * HOUR, None)
    assert act.limits == ("cluster: 4 in flight (p)", "zone a: 1 in 1h (p)")
    seen = Cluster(machines=[machine()], sets=[owner(batch=batch())], ledger=ledger_of(permit))
    (act,) = disruptions(seen)
    assert (act.since, act.began, act.why) == (START, START + 9 * HOUR, "rollout of kubelets revision 2 batch 3")  # fmt: skip
    (act,) = disruptions(attrs.evolve(seen, sets=[owner()], ledger=ledger_of(hold(ACT, "n1"))))
    assert (act.since, act.began, act.limits) == (None, None, ())


def test_how_many_are_no_longer_kept() -> None:
    """As the ledger counts them; without one nothing was dropped."""
    assert dropped(Cluster()) == 0
    assert dropped(Cluster(ledger=ledger_of(acts_dropped=7))) == 7
