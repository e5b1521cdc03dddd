"""Why, and under which observations it would act: said in words, and true when decided anew."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import explain as explaining
from kubenode.core import model as m
from kubenode.core.byhand import make_machine, make_node
from kubenode.core.deciding import decide
from kubenode.core.decision import Note, Verdict
from kubenode.core.errors import InvalidObjectError
from kubenode.core.explain import WhatIf, explain, what_if
from kubenode.core.health.zones import ZoneTally
from kubenode.core.host.decide import HostSeen
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.identity import deletion_op_id
from kubenode.core.levers.change import Change
from kubenode.core.levers.machine import change_of_set
from kubenode.core.model.machineset import MACHINESET_FINALIZER
from kubenode.core.policy import Policy
from kubenode.core.risk.asks import in_order
from kubenode.core.risk.decide import FleetSnapshot, SetRoom
from kubenode.core.risk.decide import decide as decide_fleet
from kubenode.core.snapshots import (
    MachineSetSnapshot,
    MachineSnapshot,
    NodeSnapshot,
    RemedySnapshot,
    Snapshot,
)
from tests.core.host import seen as agents
from tests.core.remedy import test_properties as remedies
from tests.core.remedy.world import World as RemedyWorld
from tests.core.risk import test_properties as risks
from tests.core.risk.builders import AGE, FREE, SECOND, ask, hold, ledger_of, limit, policy_of, world
from tests.core.rollout import test_properties as rollouts
from tests.core.rollout.world import World as RolloutWorld
from tests.core.rollout.world import rolled_out

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEFAULT = Policy.default()


def hung(age: timedelta | None = timedelta(minutes=5), **zones: ZoneTally) -> RemedySnapshot:
    """Give machine n7 of zone b, whose kernel has been stuck for so long."""
    stamp = None if age is None else NOW - age
    condition = m.NodeCondition(type="KernelDeadlock", status=m.Switch.TRUE, last_transition_time=stamp)
    node = make_node("n7", zone="b", conditions=(condition,))
    return RemedySnapshot(machine=make_machine(node, since=NOW), node=node, zones=zones, now=NOW)


# In words.


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (
            hung(b=ZoneTally(nodes=10, not_ready=7)),
            "DEFER  zone b: 7 of 10 not ready, limit 5\nwould act if zone b <= 5 (now 7)",
        ),
        (
            hung(None, b=ZoneTally(nodes=10, not_ready=7)),
            "DEFER  zone b: 7 of 10 not ready, limit 5\nwould act after 1m30s if zone b <= 5 (now 7)",
        ),
        (
            hung(a=ZoneTally(nodes=10, not_ready=10), b=ZoneTally(nodes=10, not_ready=10)),
            "DEFER  cluster: 20 of 20 not ready, every zone is down\n"
            "would act if cluster <= 19 (now 20) and zone b <= 5 (now 10)",
        ),
        (
            hung(a=ZoneTally(nodes=10, not_ready=10), z=ZoneTally(nodes=1, not_ready=1)),
            "DEFER  cluster: 10 of 10 not ready, every zone is down\nwould act if cluster <= 9 (now 10)",
        ),
        (
            hung(timedelta(seconds=30), b=ZoneTally(nodes=10)),
            "DEFER  KernelDeadlock is True; remedier hung-task acts when it lasts\n"
            "frees at 2026-03-02T09:01:00+00:00\nwould act after 1m0s",
        ),
        (hung(b=ZoneTally(nodes=10)), "ACT"),
        (attrs.evolve(hung(), node=None), "IGNORE"),
    ],
)
def test_a_remedy_is_explained(seen: RemedySnapshot, said: str) -> None:
    """Verdict and binding note first, then when it frees, then what would have to be otherwise."""
    assert explain(seen, DEFAULT).text == said.replace("1m0s", "1m")


def test_a_permit_that_is_lacking_is_explained() -> None:
    """By its name, so that one can look for it in the fleet; and so is a machine that is busy."""
    world = RemedyWorld(granting=False)
    for _ in range(4):
        world.step()
        world.elapsed += 31 * SECOND
    op_id = world.job.status.attempts[-1].op_id
    found = explain(world.snapshot(), world.policy)
    assert (
        found.counterfactual
        == f"would act if the ledger held permit {op_id} (explain the fleet to see why not)"
    )
    world.granting = True
    world.ledger()
    world.step()
    other = m.Operation(
        op_id="other", job="by-hand", attempt=1, action="reboot",
        steps=(m.OperationStep(action=m.StepAction.REBOOT),),
    )  # fmt: skip
    world.machine = attrs.evolve(world.machine, spec=attrs.evolve(world.machine.spec, operation=other))
    busy = attrs.evolve(world.snapshot(), holds=frozenset({op_id, "other"}))
    said = "would act if the operation that the machine is busy with were over"
    assert explain(busy, world.policy).counterfactual == said


def test_an_explanation_has_its_facts_apart_from_its_words() -> None:
    """Programs read scope, observed, limit; people read the text."""
    found = explain(hung(b=ZoneTally(nodes=10, not_ready=7)), DEFAULT)
    assert found.verdict is Verdict.DEFER
    assert (found.scope, found.observed, found.limit, found.frees_at) == ("zone b", 7, 5, None)
    assert found.binding == found.note == decide(hung(b=ZoneTally(nodes=10, not_ready=7)), DEFAULT).binding
    assert found.counterfactual == "would act if zone b <= 5 (now 7)"
    young = explain(hung(timedelta(seconds=30), b=ZoneTally(nodes=10)), DEFAULT)
    assert young.frees_at == NOW + timedelta(minutes=1)
    assert (young.scope, young.observed, young.limit, young.binding) == ("", None, None, None)
    nothing = explain(attrs.evolve(hung(), node=None), DEFAULT)
    assert (nothing.scope, nothing.observed, nothing.limit, nothing.note) == ("", None, None, None)


@pytest.mark.parametrize("nodes", [2, 3, 10, 11, 100])
def test_the_limit_that_is_named_is_the_last_that_acts(nodes: int) -> None:
    """With one NotReady Node more it does not act."""
    for down in range(nodes + 1):
        seen = hung(b=ZoneTally(nodes=nodes, not_ready=down), a=ZoneTally(nodes=nodes))
        most = explain(seen, DEFAULT).limit
        if most is not None:
            for count, verdict in ((most, Verdict.ACT), (most + 1, Verdict.DEFER)):
                zones = {**seen.zones, "b": ZoneTally(nodes=nodes, not_ready=count)}
                assert decide(attrs.evolve(seen, zones=zones), DEFAULT).verdict is verdict, (down, count)


def test_in_flight_is_explained() -> None:
    """It would act when what runs had ended."""
    seen = world(ask("new"), ask("old", waiting=False), ledger=ledger_of(hold("old")))
    found = explain(seen, policy_of(limit(m.Scope.ZONE, 1)))
    assert found.text == (
        "DEFER  m-new: zone a: 1 in flight, limit 1\nwould act if zone a in flight <= 0 (now 1)"
    )


def test_a_window_is_explained() -> None:
    """It frees by time."""
    seen = world(
        ask("new"), ask("old", waiting=False), ledger=ledger_of(hold("old", since=AGE - 1800 * SECOND))
    )
    found = explain(seen, policy_of(limit(m.Scope.CLUSTER, 1, timedelta(hours=1))))
    assert found.counterfactual.startswith("would act after ")
    assert found.frees_at is not None
    assert (found.observed, found.limit, found.scope) == (1, 1, "cluster")


def test_a_busy_machine_is_explained() -> None:
    """Whoever has it is named."""
    seen = world(ask("new", "n7"), ask("old", "n7", waiting=False), ledger=ledger_of(hold("old", "n7")))
    assert explain(seen, FREE).counterfactual == "would act if old had ended"


def test_a_set_without_room_is_explained() -> None:
    """Machines that the world took come back first, then those in flight end."""
    seen = world(
        ask("new"), ask("old", waiting=False), ledger=ledger_of(hold("old")),
        rooms={"kubelet": SetRoom(max_unavailable=2, unavailable=frozenset({"uid-x", "uid-m-old"}))},
    )  # fmt: skip
    found = what_if(seen, FREE)
    assert found.text == "would act if set kubelet unavailable <= 1 (now 2)"
    assert found.seen.rooms["kubelet"].unavailable == {"uid-m-old"}
    tight = attrs.evolve(seen, rooms={"kubelet": SetRoom(max_unavailable=1)})
    found = what_if(tight, FREE)
    assert found.text == "would act if set kubelet unavailable <= 0 (now 1)"
    assert found.seen.ended == {"old"}


def test_a_freeze_is_explained() -> None:
    """One with an end waits for it; one without waits for a person."""
    for until, said in (
        (None, "would act if the freeze of zone a were lifted"),
        (NOW, "would act after "),
    ):
        freeze = m.Freeze(scope=m.Scope.ZONE, name="a", until=until, reason="power")
        policy = policy_of(limit(m.Scope.CLUSTER, 100))
        spec = attrs.evolve(policy.risk[0].spec, freeze=(freeze,))
        frozen = Policy(risk=(attrs.evolve(policy.risk[0], spec=spec),))
        assert explain(world(ask("new")), frozen).counterfactual.startswith(said)


def test_a_limit_of_nothing_has_no_counterfactual() -> None:
    """No observation frees a limit of 0: that is for a person to change."""
    found = explain(world(ask("new")), policy_of(limit(m.Scope.ZONE, 0)))
    assert (found.verdict, found.limit, found.counterfactual) == (Verdict.DEFER, 0, "")


def test_of_a_fleet_one_ask_is_meant() -> None:
    """The first that is refused, or the one of the machine that is named; a wrong name is told."""
    seen = world(ask("one", order=1), ask("two", order=2), ask("three", order=3))
    policy = policy_of(limit(m.Scope.ZONE, 1))
    assert explain(seen, policy).text.startswith("DEFER  m-two: zone a: 1 in flight")
    assert explain(seen, policy, about="m-three").text.startswith("DEFER  m-three: zone a: 1 in flight")
    assert explain(seen, policy, about="m-one").verdict is Verdict.ACT
    with pytest.raises(InvalidObjectError) as caught:
        explain(seen, policy, about="m-four")
    assert str(caught.value) == ("about: m-four waits for no permit\n    fix: one of: m-one, m-three, m-two")


def test_a_fleet_at_rest_has_nothing_to_explain() -> None:
    """Nobody asks."""
    assert explain(world(), FREE).text == "IGNORE"


def test_without_a_ledger_the_fleet_says_so() -> None:
    """The ask waits for it."""
    found = explain(world(ask("new"), ledger=None), FREE)
    assert (found.verdict, found.counterfactual) == (Verdict.DEFER, "")
    assert "there is no RiskLedger" in found.text


# Rollouts.


def paused(**rollout: Any) -> RolloutWorld:
    """Give a rollout to a new version that has not begun its batch."""
    world = rolled_out(4, **rollout)
    world.ask("kubelet-2", **rollout)
    return world


def run(world: RolloutWorld, rounds: int) -> None:
    """Let everybody have their turn, a second each."""
    for _ in range(rounds):
        for act in (world.rollout, world.risk, world.agents):
            act()
        world.now = world.now.plus(timedelta(seconds=1))


def test_a_paused_rollout_is_explained() -> None:
    """By the word that lets it go on."""
    world = paused()
    world.rollout()
    world.ask(paused=True)
    world.rollout()
    found = explain(world.snapshot(), DEFAULT)
    assert found.counterfactual == "would act if spec.rollout.paused is false"


def test_failures_are_explained() -> None:
    """By the excuse that lets it go on."""
    world = paused()
    world.bad = dict.fromkeys(world.seats, "Broken")
    run(world, 30)
    found = explain(world.snapshot(), DEFAULT)
    assert (found.verdict, found.observed, found.limit) == (Verdict.DEFER, 1, 0)
    assert found.counterfactual == (
        'would act if failures <= 0 (now 1), as with spec.rollout.excuse: {revision: "2", failures: 1}'
    )


def test_an_approval_is_explained() -> None:
    """By the word that gives it."""
    world = paused(approval=m.Approval.MANUAL, min_ready_seconds=0)
    world.ask(approve=None)
    run(world, 30)
    found = explain(world.snapshot(), DEFAULT)
    assert found.counterfactual == 'would act if spec.rollout.approve is {revision: "2", batch: 1}'


def test_an_inspection_is_explained() -> None:
    """By the machines that have to be available again."""
    world = paused(min_ready_seconds=0, observation=timedelta(seconds=3))
    for _ in range(30):
        run(world, 1)
        batch = world.owner.status.batch
        if batch is not None and batch.closed_at is not None:
            world.evolve(batch.members[0].name, available=False)
            name = batch.members[0].name
            break
    world.now = world.now.plus(timedelta(seconds=10))
    world.rollout()
    found = explain(world.snapshot(), DEFAULT)
    assert found.counterfactual == f"would act if {name} were available"


def test_permits_are_explained() -> None:
    """By the machines that wait for one."""
    world = paused()
    world.rollout()
    world.rollout()
    found = explain(world.snapshot(), DEFAULT)
    assert found.counterfactual.startswith("would act if the ledger held permits for n0")


# Machines and sets.


def test_a_contested_machine_is_explained() -> None:
    """Two machines that say they are one Node: one has to go."""
    node = make_node("n7")
    machine = attrs.evolve(make_machine(node, since=NOW))
    machine = attrs.evolve(
        machine, metadata=attrs.evolve(machine.metadata, finalizers=("kubenode.dev/machine",))
    )
    seen = MachineSnapshot(machine=machine, node=node, rival="n8", now=NOW)
    settled = attrs.evolve(seen, machine=attrs.evolve(machine, status=_status(decide(seen, DEFAULT))))
    found = explain(settled, DEFAULT)
    assert found.verdict is Verdict.DEFER
    assert found.counterfactual == "would act if Machine n8 were deleted"


def _status(decision: Any) -> Any:
    assert decision.status is not None
    return decision.status


def test_a_machine_that_would_be_terminated_is_explained() -> None:
    """Its policy of deletion is named."""
    node = attrs.evolve(make_node("n7"), spec=m.NodeSpec(unschedulable=True))
    machine = make_machine(node, since=NOW)
    machine = attrs.evolve(
        machine,
        metadata=attrs.evolve(machine.metadata, finalizers=("kubenode.dev/machine",), deletion_timestamp=NOW),
        spec=attrs.evolve(machine.spec, deletion_policy=m.DeletionPolicy.TERMINATE),
    )
    op_id = deletion_op_id(machine.metadata.uid)
    drained = m.DrainRecord(op_id=op_id, state=m.DrainState.DRAINED)
    machine = attrs.evolve(machine, status=attrs.evolve(machine.status, drain=drained))
    seen = MachineSnapshot(machine=machine, node=node, holds=frozenset({op_id}), now=NOW)
    settled = attrs.evolve(seen, machine=attrs.evolve(machine, status=_status(decide(seen, DEFAULT))))
    found = explain(settled, DEFAULT)
    assert found.counterfactual == "would act if spec.deletionPolicy is Release"


def bereft(replicas: int) -> m.MachineSet:
    """Give a set that lost seven machines."""
    return m.MachineSet(
        metadata=m.ObjectMeta(name="pool", uid="u", finalizers=(MACHINESET_FINALIZER,)),
        spec=m.MachineSetSpec(
            replicas=replicas,
            selector=m.Selector(match_labels={"pool": "a"}),
            template=m.MachineTemplate(
                labels={"pool": "a"},
                spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory")),
            ),
        ),
        status=m.MachineSetStatus(lost=7),
    )


def test_a_mass_delete_is_explained() -> None:
    """By the number that a person has to acknowledge."""
    found = explain(MachineSetSnapshot(set=bereft(9), now=NOW), DEFAULT)
    assert (found.verdict, found.observed, found.limit) == (Verdict.DEFER, 7, 0)
    assert found.counterfactual == "would act if spec.acknowledgedLosses is 7 (now 0)"


def test_where_nothing_is_left_to_do_it_says_so() -> None:
    """Then it would not act either."""
    found = explain(MachineSetSnapshot(set=bereft(0), now=NOW), DEFAULT)
    assert found.counterfactual == "would have nothing to do if spec.acknowledgedLosses is 7 (now 0)"


def test_what_nobody_can_observe_has_no_counterfactual() -> None:
    """An agent that names another Node, and a host that is busy: nothing that we could say would help."""
    node = make_node("n7")
    machine = make_machine(node, since=NOW)
    moved = attrs.evolve(
        machine,
        metadata=attrs.evolve(machine.metadata, finalizers=("kubenode.dev/machine",)),
        status=attrs.evolve(machine.status, agent=m.AgentStatus(node_name="n8", boot_id="b")),
    )
    seen = MachineSnapshot(machine=moved, node=node, now=NOW)
    seen = attrs.evolve(seen, machine=attrs.evolve(moved, status=_status(decide(seen, DEFAULT))))
    running = {"first": JournalEntry(state=JournalState.STARTED, boot_id=agents.BOOT)}
    busy = agents.seen(operation=agents.operation(), journal=running)
    for one in (seen, busy):
        found = explain(one, DEFAULT)
        assert (found.verdict, found.counterfactual) == (Verdict.DEFER, "")
        assert found.note is not None


def test_it_stops_after_so_many_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what binds then."""
    monkeypatch.setattr(explaining, "CHANGE_LIMIT", 1)
    down = hung(b=ZoneTally(nodes=10, not_ready=10))
    assert explain(down, DEFAULT).counterfactual == (
        "would still wait if cluster <= 9 (now 10); then: zone b: 9 of 10 not ready, limit 5"
    )


def test_an_agent_is_explained() -> None:
    """With nothing to do it says so."""
    machine = make_machine(make_node("n7"), since=NOW)
    host = HostSeen(boot_id="b", node_name="n7", agent_version="1")
    assert explain(NodeSnapshot(machine=machine, host=host, now=NOW), DEFAULT).text == "IGNORE"


# Never only words.


def test_a_change_that_does_not_help_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lever that only words its change, and changes nothing, is caught by deciding anew."""
    seen = hung(b=ZoneTally(nodes=10, not_ready=7))

    def boast(seen: RemedySnapshot, policy: Policy, *_: object) -> Change[RemedySnapshot]:
        return Change(seen=seen, policy=policy, text="zone b <= 5 (now 7)")

    monkeypatch.setattr(explaining.remedy, "change", boast)
    assert explain(seen, DEFAULT).counterfactual == ""


def test_what_binds_next_is_named() -> None:
    """Where one change is not enough and no other is known, the next limit is."""
    seen = attrs.evolve(world(ask("new"), ask("old", waiting=False), ledger=ledger_of(hold("old"))))
    zero = limit(m.Scope.CLUSTER, 0, timedelta(hours=1))
    found = explain(seen, policy_of(limit(m.Scope.ZONE, 1), zero))
    assert found.counterfactual == (
        "would still wait if zone a in flight <= 0 (now 1); then: m-new: cluster: 0 started within 1h, limit 0"
    )


def check_counterfactual(seen: Snapshot, policy: Policy) -> WhatIf[Any]:
    """Decide the changed world anew: it acts, has nothing to do, or what binds in it is what is named."""
    found: WhatIf[Any] = what_if(seen, policy)
    first, after = decide(seen, policy), decide(found.seen, found.policy)
    told = explain(seen, policy)
    assert told.counterfactual == found.text
    assert told.text.startswith(told.verdict.name)
    if not found.text:
        assert found.seen == seen
        return found
    assert found.seen != seen or found.policy != policy
    assert told.verdict is Verdict.DEFER
    assert found.note is None or found.note in after.notes or found.verdict is Verdict.ACT
    if not isinstance(seen, FleetSnapshot):
        assert first.verdict is Verdict.DEFER
        assert after.verdict is found.verdict
    return found


@given(seen=risks.worlds(), policy=risks.POLICIES)
def test_a_counterfactual_of_the_fleet_is_true(seen: FleetSnapshot, policy: Policy) -> None:
    """The decider itself, given the changed world, grants that very ask, or names what binds next."""
    found = check_counterfactual(seen, policy)
    granted = _granted(decide_fleet(seen, policy))
    refused = [one for one in in_order(seen.asks) if one.waiting and one.op_id not in granted]
    if not refused:
        assert not found.text
        return
    after = decide_fleet(found.seen, found.policy)
    assert (refused[0].op_id in _granted(after)) is (found.verdict is Verdict.ACT)
    if found.verdict is Verdict.DEFER:
        assert found.note in after.notes


def _granted(decision: Any) -> frozenset[str]:
    holds = () if decision.status is None else decision.status.holds
    return frozenset(op_id for row in holds for op_id in row.op_ids)


@given(world=rollouts.minded_worlds())
def test_a_counterfactual_of_a_rollout_is_true(world: RolloutWorld) -> None:
    """Decided anew in the changed world, it acts or names what binds next."""
    check_counterfactual(world.snapshot(), DEFAULT)


@given(events=st.lists(remedies.EVENTS, max_size=30))
def test_a_counterfactual_of_a_remedy_is_true(events: Iterable[remedies.Event]) -> None:
    """Decided anew in the changed world, it acts or names what binds next."""
    world = RemedyWorld()
    for event in events:
        event(world)
        check_counterfactual(world.snapshot(), world.policy)


def test_of_a_set_only_a_mass_delete_has_a_lever() -> None:
    """And only while what is lost is not acknowledged already."""
    seen = MachineSetSnapshot(set=bereft(3), now=NOW)
    for note in (
        Note(code="Waiting", text="x", observed=7, limit=5),
        Note(code="MassDelete", text="x"),
        Note(code="MassDelete", text="x", observed=5, limit=5),
    ):
        assert change_of_set(seen, DEFAULT, note) is None
    found = change_of_set(seen, DEFAULT, Note(code="MassDelete", text="x", observed=7, limit=5))
    assert found is not None
    assert found.seen.set.spec.acknowledged_losses == 7
