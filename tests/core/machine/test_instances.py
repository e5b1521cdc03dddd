"""A machine and its instance: what of `core/instance` shows in the machine's decisions, and when its Node goes."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import CreateInstance, Delete, PatchNode, SetFinalizers, TerminateInstance
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.identity import deletion_op_id
from kubenode.core.instance.intent import terminate_op_id
from kubenode.core.instance.seen import MACHINE_UID_TAG, InstanceSight, ProviderAnswer
from kubenode.core.machine.decide import decide
from kubenode.core.machine.draining import needs_look
from kubenode.core.machine.instance import barred_by_crd, turn_of
from kubenode.core.model.meta import FINALIZER, MACHINE_LABEL
from kubenode.core.model.world import Pod
from kubenode.core.node.cordon import CORDONED_BY
from tests.core.machine.world import (
    POLICY,
    START,
    World,
    agent,
    deleted,
    machine,
    node,
    with_meta,
    with_status,
)

UID = "uid-m1"
CREATED = machine(host=None, infrastructure=m.Infrastructure(provider="cloud"))
REF = m.NodeRef(name="node-7", uid="node-uid")
SEEN = InstanceSight(wanted=("launch",), pinned=("launch",))


def made(step: m.InstanceStep = m.InstanceStep.MADE, **given: str) -> m.InstanceStatus:
    """The first attempt, at a step."""
    return m.InstanceStatus(
        **{"step": step, "provider": "cloud", "attempt": 1, "token": "t", "id": "i-1", **given}
    )  # type: ignore[arg-type]


def shown(state: InstanceState = InstanceState.RUNNING) -> InstanceSight:
    """A look that shows the instance."""
    one = Instance(id="i-1", state=state, zone="a", tags={MACHINE_UID_TAG: UID})
    return attrs.evolve(SEEN, known=one, looked=START.elapsed)


RELEASED = attrs.evolve(CREATED, spec=attrs.evolve(CREATED.spec, deletion_policy=m.DeletionPolicy.RELEASE))
RAN = with_status(
    CREATED, instance=made(), node_ref=REF, agent=agent(), first_running=START.wall, phase="Running"
)


def test_from_intent_to_running_step_by_step() -> None:
    """Intent, call, id; each in a decision of its own."""
    world = World(machine=CREATED, sight=SEEN)
    world.apply(world.decide())
    assert world.machine is not None
    instance = world.machine.status.instance
    assert instance is not None
    assert (instance.step, world.writes) == (m.InstanceStep.CREATING, 1)
    (effect,) = world.decide().effects
    assert isinstance(effect, CreateInstance)
    assert world.told().startswith("Provisioning: Ready=False/Creating InstanceReady=False/Creating")
    one = Instance(id="i-1", state=InstanceState.PENDING, zone="a")
    world.sight = attrs.evolve(
        SEEN, answer=ProviderAnswer(op_id=instance.token, at=START.elapsed, instance=one)
    )
    world.apply(world.decide())
    assert world.machine.status.instance is not None
    assert (world.machine.status.instance.step, world.machine.status.instance.id) == (
        m.InstanceStep.MADE,
        "i-1",
    )


@pytest.mark.parametrize(
    "one",
    [
        machine(), with_meta(CREATED, finalizers=()), with_meta(CREATED, unknown=("spec.x",)),
        with_status(CREATED, phase="Hibernating"), machine(infrastructure=m.Infrastructure(provider="cloud")),
        machine(host=None), deleted(with_status(RELEASED, instance=made())),
    ],
)  # fmt: skip
def test_nothing_is_asked_for_what_is_not_to_be_made_here(one: m.Machine) -> None:
    """Imported, a newer version's, of a spec that says nothing, released, or before its finalizer (S22)."""
    assert turn_of(World(machine=one, sight=SEEN).seen) is None


def test_who_waits_for_a_provider_says_so_and_who_runs_does_not() -> None:
    """A decision that an instance keeps from going on is marked, and noted."""
    waits = World(machine=CREATED, sight=InstanceSight()).decide()
    assert (waits.deferred, [one.code for one in waits.notes]) == (True, ["InstanceWanted", "Creating"])
    runs = World(machine=RAN, node=node(), sight=shown()).decide()
    assert (runs.deferred, [one.code for one in runs.notes]) == (False, ["Healthy"])


def test_a_machine_whose_node_is_gone_is_known_to_be_that_node_still() -> None:
    """Its instance runs: the Node may come back, and then it is no other's."""
    status = World(machine=RAN, sight=shown()).decide().status
    assert status is not None
    assert status.node_ref == REF


@pytest.mark.parametrize(
    ("there", "joined", "well"),
    [
        (node(), True, True),
        (node(m.Switch.FALSE), True, False),
        (node(None), True, False),
        (None, False, False),
    ],
)
def test_an_instance_has_joined_with_its_node_and_is_well_with_its_kubelet(
    there: m.Node | None, joined: bool, well: bool
) -> None:
    """By these a look at the provider is of use."""
    case = World(machine=RAN, node=there, sight=shown()).seen.case
    assert case is not None
    assert (case.joined, case.well) == (joined, well)


class TestNodes:
    """The Node of an instance that is no more goes before another one is asked for, or the object is let go."""

    def test_it_goes_with_the_evidence(self) -> None:
        """One decision: the status says that it is gone, then the Node is deleted."""
        world = World(machine=RAN, node=node(), sight=shown(InstanceState.TERMINATED))
        decision = world.decide()
        (effect,) = decision.effects
        assert isinstance(effect, Delete)
        assert decision.status is not None
        assert decision.status.instance == made(m.InstanceStep.GONE)
        assert decision.status.node_ref == REF
        said = {one.type: one.reason for one in decision.status.conditions}
        assert said["InstanceReady"] == "InstanceGone"
        assert "LabelsSynced" not in said, "nothing is written to a Node that goes"

    def test_it_goes_although_a_permit_asks_for_its_drain(self) -> None:
        """There is nothing left to drain, and the one write of this decision is its deletion."""
        world = World(machine=RAN, node=node(), sight=shown(InstanceState.TERMINATED), pods=(WEB,))
        world.holds, world.drains, world.hold = frozenset({"remedy-1"}), "remedy-1", m.Cause.REMEDY
        assert [type(one) for one in world.decide().effects] == [Delete]

    def test_it_goes_with_a_machine_that_has_no_instance(self) -> None:
        """Somebody took the status away: no instance is left, so no Node of it is."""
        world = World(machine=deleted(CREATED), node=node(), sight=SEEN)
        assert [type(one) for one in world.decide().effects] == [Delete]
        world.settle()
        assert (world.machine, world.node) == (None, None)

    @pytest.mark.parametrize("goes", [False, True])
    def test_a_cordon_stays_while_the_instance_is_terminated(self, goes: bool) -> None:
        """Whoever asked for it may be through: no Pod comes to a Node whose instance is on its way out."""
        one = with_status(RAN, instance=made(m.InstanceStep.TERMINATING))
        closed = attrs.evolve(
            node(annotations={CORDONED_BY: "remedy-1"}), spec=m.NodeSpec(unschedulable=True)
        )
        world = World(machine=deleted(one) if goes else one, node=closed, sight=shown())
        assert not any(isinstance(effect, PatchNode) for effect in world.decide().effects)

    def test_before_it_is_gone_no_other_is_intended(self) -> None:
        """Also when this process sees only what the one before it has written."""
        gone = with_status(RAN, instance=made(m.InstanceStep.GONE))
        decision = World(machine=gone, node=node(), sight=SEEN).decide()
        assert isinstance(decision.effects[0], Delete)
        assert decision.status is not None
        assert decision.status.instance == made(m.InstanceStep.GONE)
        after = World(machine=gone, sight=SEEN).decide()
        assert after.effects == ()
        assert after.status is not None
        assert after.status.instance is not None
        assert (after.status.instance.step, after.status.instance.attempt) == (m.InstanceStep.CREATING, 2)

    def test_whoever_is_made_anew_is_not_the_node_that_it_was(self) -> None:
        """Else its next Node would be taken for another machine's."""
        after = (
            World(machine=with_status(RAN, instance=made(m.InstanceStep.GONE)), sight=SEEN).decide().status
        )
        assert after is not None
        assert after.node_ref is None
        assert after.first_running == START.wall

    @pytest.mark.parametrize(
        "given",
        [
            {"rival": "m2"},
            {"node": with_meta(node(), labels={MACHINE_LABEL: "m2"})},  # type: ignore[type-var]
            {"node": with_meta(node(), unknown=("spec.taints[0].x",))},  # type: ignore[type-var]
        ],
    )
    def test_a_node_that_may_be_anothers_stays(self, given: dict[str, object]) -> None:
        """S12: ambiguity means no effect."""
        world = World(**{"machine": RAN, "node": node(), "sight": shown(InstanceState.TERMINATED), **given})  # type: ignore[arg-type]
        assert not any(isinstance(effect, Delete) for effect in world.decide().effects)

    @pytest.mark.parametrize("step", [m.InstanceStep.MADE, m.InstanceStep.TERMINATING, m.InstanceStep.GONE])
    @pytest.mark.parametrize(
        ("registered", "goes"), [("", True), ("cloud://i-1", True), ("cloud://i-2", False)]
    )
    def test_a_node_that_another_instance_registered_as_stays(
        self, registered: str, goes: bool, step: m.InstanceStep
    ) -> None:
        """The name was given again. It is a conflict for a person only as long as there are two to choose from."""
        one = with_status(RAN, instance=made(step, provider_id="cloud://i-1"))
        other = attrs.evolve(node(), spec=m.NodeSpec(provider_id=registered))
        world = World(machine=one, node=other, sight=shown(InstanceState.TERMINATED))
        assert any(isinstance(effect, Delete) for effect in world.decide().effects) is goes
        assert (world.seen.contest is not None) is (step is m.InstanceStep.MADE and not goes)


@pytest.mark.parametrize(
    ("registered", "known", "contested"),
    [
        ("cloud:///a/i-1", "cloud:///a/i-1", False), ("cloud:////i-1", "cloud:///a/i-1", False), ("i-1", "cloud:///a/i-1", False),
        ("cloud:///a/i-2", "cloud:///a/i-1", True), ("", "cloud:///a/i-1", False), ("cloud:///a/i-2", "", False),
        ("cn-a.i-1", "alicloud://cn-a.i-1", False), ("cn-a.i-12", "cn-a.i-1", True),
    ],
)  # fmt: skip
def test_a_node_of_another_instance_is_left_alone(registered: str, known: str, contested: bool) -> None:
    """Whatever form the providerID has; a condition says whose it is."""
    one = with_status(RAN, instance=made(provider_id=known))
    world = World(
        machine=one, node=attrs.evolve(node(), spec=m.NodeSpec(provider_id=registered)), sight=shown()
    )
    assert (world.seen.contest is not None) is contested
    decision = world.decide()
    assert bool(decision.effects) is not contested
    assert decision.status is not None
    said = {condition.reason for condition in decision.status.conditions}
    assert ("ProviderIdMismatch" in said) is contested


def test_what_is_contested_is_not_given_up_for_not_having_joined() -> None:
    """A person has to settle it: else a Node that another one holds would cost an instance every twenty minutes."""
    one = attrs.evolve(
        with_status(CREATED, instance=made(), agent=agent(node_name="other")), metadata=CREATED.metadata
    )
    for seen in (
        World(machine=one, node=node(), sight=shown()).seen,
        World(machine=one, rival="m2", sight=shown()).seen,
    ):
        case = seen.case
        assert case is not None
        assert case.joined
    lonely = World(machine=with_status(CREATED, instance=made()), sight=shown()).seen.case
    assert lonely is not None
    assert not lonely.joined


class TestDeletion:
    """Terminate: permit, intent, call, evidence, Node, finalizer, in this order."""

    def world(self, instance: m.InstanceStatus | None, **given: object) -> World:
        """A machine that is deleted."""
        one = deleted(with_status(RAN, instance=instance))
        return World(**{"machine": one, "node": node(), "sight": shown(), **given})  # type: ignore[arg-type]

    def test_without_a_permit_it_waits(self) -> None:
        """And says so in Ready, InstanceReady and a note."""
        decision = self.world(made()).decide()
        assert (decision.effects, decision.deferred) == ((), True)
        assert [one.code for one in decision.notes] == ["TerminateWaits"]
        assert decision.status is not None
        assert {one.type: one.reason for one in decision.status.conditions}["Ready"] == "TerminateWaits"

    def test_a_mass_delete_bars_it_whatever_the_permit(self) -> None:
        """The machine's set says so."""
        held = frozenset({deletion_op_id(UID)})
        decision = self.world(made(), holds=held, barred="mass").decide()
        assert decision.effects == (), "nor is its Node drained"
        assert decision.status is not None
        assert decision.status.instance == made()

    def test_a_crd_that_leaves_bars_it_and_so_does_not_knowing(self) -> None:
        """Only a no bars nothing."""
        assert barred_by_crd(False) == ""
        assert barred_by_crd(None) == (
            "whether the CRD of Machines is being deleted is not known yet; then nothing would be terminated"
        )
        assert barred_by_crd(True) == (
            "the CRD of Machines is being deleted, and a machine that goes for it is not terminated; to let it go set "
            "spec.deletionPolicy: Release, and see to its instance yourself"
        )

    def test_in_order(self) -> None:
        """Each only when the one before is done."""
        held = frozenset({deletion_op_id(UID)})
        ready = self.world(made(), holds=held)
        cordoned = ready.decide()
        assert [type(one) for one in cordoned.effects] == [PatchNode]
        ready.apply(cordoned)
        intended = ready.decide()
        assert intended.effects == ()
        assert intended.status is not None
        assert intended.status.instance == made(m.InstanceStep.TERMINATING)
        world = self.world(made(m.InstanceStep.TERMINATING), holds=held)
        asking = decide(attrs.evolve(world.seen, sightings=intended.sightings), POLICY)
        (effect,) = asking.effects
        assert isinstance(effect, TerminateInstance)
        done = ProviderAnswer(op_id=terminate_op_id(UID, 1), at=START.elapsed)
        accepted = self.world(
            made(m.InstanceStep.TERMINATING), sight=attrs.evolve(shown(), answer=done)
        ).decide()
        assert accepted.effects == ()
        evidence = self.world(
            made(m.InstanceStep.TERMINATING), sight=shown(InstanceState.TERMINATED)
        ).decide()
        assert evidence.effects == ()
        assert evidence.status is not None
        assert evidence.status.instance == made(m.InstanceStep.GONE)
        (removal,) = self.world(made(m.InstanceStep.GONE)).decide().effects
        assert isinstance(removal, Delete)
        (last,) = self.world(made(m.InstanceStep.GONE), node=None).decide().effects
        assert isinstance(last, SetFinalizers)
        assert last.finalizers == ()

    def test_one_that_was_never_asked_for_goes_at_once(self) -> None:
        """Its finalizer is the last of it."""
        world = World(machine=deleted(CREATED), sight=SEEN)
        world.settle()
        assert world.machine is None

    def test_who_has_nothing_of_ours_is_others_business(self) -> None:
        """Whatever its policy."""
        one = with_meta(deleted(CREATED), finalizers=("theirs/one",))
        decision = World(machine=one, sight=SEEN).decide()
        assert (decision.status, decision.effects) == (None, ())
        assert FINALIZER not in one.metadata.finalizers

    def test_an_imported_host_with_an_instance_of_before_is_terminated_by_its_provider(self) -> None:
        """The status names it, whatever the spec says by now."""
        spec = m.MachineSpec(host=m.Host(address="h"), deletion_policy=m.DeletionPolicy.TERMINATE)
        world = World(
            machine=deleted(attrs.evolve(with_status(CREATED, instance=made()), spec=spec)), sight=shown()
        )
        status = world.decide().status
        assert status is not None
        assert status.instance == made(m.InstanceStep.TERMINATING)


WEB = Pod(namespace="shop", name="web", uid="uid-web", node="node-7", owner="ReplicaSet", phase="Running")


def test_its_node_is_drained_before_an_instance_is_terminated() -> None:
    """With its permit: cordon, evict, and only when no Pod is left the intent, and then the one call."""
    world = World(machine=deleted(RAN), node=node(), sight=shown(), pods=(WEB,))
    world.settle()
    assert world.node is not None
    assert world.told().startswith("Draining: Ready=False/TerminateWaits InstanceReady=False/TerminateWaits")
    assert not world.node.spec.unschedulable
    world.holds = frozenset({deletion_op_id(UID)})
    world.settle()
    assert world.told() == (
        "Draining: Ready=False/Draining InstanceReady=False/TerminateWaits Drained=False/Draining"
    )
    assert (world.node.spec.unschedulable, world.pods[0].deleting) == (True, True)
    assert world.machine is not None
    assert world.machine.status.instance == made()
    world.pods = ()
    decision = world.decide()
    assert (decision.effects, decision.status is not None) == ((), True)
    world.apply(decision)
    (effect,) = world.decide().effects
    assert isinstance(effect, TerminateInstance)
    assert world.machine.status.drain == m.DrainRecord(op_id=deletion_op_id(UID), state=m.DrainState.DRAINED)


def test_a_termination_that_is_under_way_is_not_drained_anew() -> None:
    """What was drained stays so; nobody looks at its Pods any more."""
    world = World(
        machine=deleted(with_status(RAN, instance=made(m.InstanceStep.TERMINATING))), node=node(), pods=(WEB,),
        sight=shown(), holds=frozenset({deletion_op_id(UID)}),
    )  # fmt: skip
    assert not needs_look(world.seen)
    assert [type(one) for one in world.decide().effects] == [TerminateInstance]


def test_without_its_permit_what_a_drain_left_is_taken_back() -> None:
    """A cordon of an act that is over, on a machine that is to end and waits."""
    world = World(machine=RAN, node=node(), sight=shown(), pods=(WEB,))
    world.holds, world.drains, world.hold = frozenset({"remedy-1"}), "remedy-1", m.Cause.REMEDY
    world.settle()
    assert world.machine is not None
    assert world.node is not None
    assert world.node.spec.unschedulable
    world.machine = deleted(world.machine)
    world.holds, world.drains, world.hold = frozenset(), "", None
    world.settle()
    assert not world.node.spec.unschedulable


def test_a_drain_that_is_contested_and_untold_is_waited_for() -> None:
    """Another Machine says it is the Node, and somebody took the conditions away: nothing is terminated meanwhile."""
    world = World(machine=deleted(RAN), node=node(), sight=shown(), pods=(WEB,))
    world.holds = frozenset({deletion_op_id(UID)})
    world.settle()
    assert world.machine is not None
    world.machine, world.rival = with_status(world.machine, conditions=()), "m2"
    decision = world.decide()
    assert (decision.effects, decision.deferred) == ((), True)
    assert [(one.code, one.text) for one in decision.notes] == [
        ("Draining", "its Node is to be drained first")
    ]
    assert decision.status is not None
    assert decision.status.instance == made()
    assert "Drained" not in {one.type for one in decision.status.conditions}


def test_with_a_contested_node_an_instance_is_terminated_undrained() -> None:
    """It is certain whose the instance is; whose the Node is, is not, so nothing is done to that."""
    world = World(machine=deleted(RAN), node=node(), rival="m2", sight=shown(), pods=(WEB,))
    world.holds = frozenset({deletion_op_id(UID)})
    decision = world.decide()
    assert decision.effects == ()
    assert decision.status is not None
    assert decision.status.instance == made(m.InstanceStep.TERMINATING)
