"""A machine, case by case: when its Node is left alone, what is noted, and what counts as having run."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Note, PatchNode
from kubenode.core.machine.decide import decide
from kubenode.core.machine.phase import Signal
from kubenode.core.machine.signals import main_signal
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import FINALIZER, MACHINE_LABEL, SYNCED_LABELS, ref
from kubenode.core.node.mirror import MIRRORED_CONDITIONS
from kubenode.core.policy import Policy
from tests.core.machine.world import START, World, agent, deleted, machine, node, with_meta, with_status

REF = m.NodeRef(name="node-7", uid="node-uid")
HEARD = with_status(machine(), agent=agent())
RAN = with_status(HEARD, node_ref=REF, first_running=START.wall)
CREATED = m.Infrastructure(provider="aws")
FINDING = Condition(
    type="KernelDeadlock", status=m.Switch.TRUE, reason="TaskHung", last_transition_time=START.wall
)
CLAIMED = node(labels={MACHINE_LABEL: "m1"}, annotations={SYNCED_LABELS: f'{{"{MACHINE_LABEL}":"m1"}}'})
"""Whose labels are as wanted, so that what comes after them is next."""
UNREAD = with_meta(node(), unknown=("spec.taints[0].x",))  # type: ignore[type-var]


@pytest.mark.parametrize(
    "world",
    [
        World(machine=machine(host=None), node=node()),
        World(machine=machine(infrastructure=CREATED), node=node()),
        World(machine=machine(host=None, infrastructure=CREATED), node=node()),
        World(machine=HEARD, node=node(), rival="m2"),
        World(machine=with_status(HEARD, agent=agent(node_name="other")), node=node()),
        World(machine=HEARD, node=UNREAD),
    ],
)
@pytest.mark.parametrize("phase", ["", "Failed"])
def test_a_node_is_left_alone_where_a_person_has_to_speak_first(world: World, phase: str) -> None:
    """Also in the decision in which a Failed machine is judged afresh, since its spec has changed."""
    assert world.machine is not None
    changed = with_status(with_meta(world.machine, generation=2), phase=phase, observed_generation=1)
    assert attrs.evolve(world, machine=changed).decide().effects == ()


def patch(one: m.Node, annotations: dict[str, str | None]) -> PatchNode:
    """What writes these and nothing else."""
    return PatchNode(node=ref(one), resource_version=one.metadata.resource_version, annotations=annotations)


def test_what_is_contested_is_noted_in_words() -> None:
    """After the signal: who says what."""
    assert World(machine=HEARD, node=node(), rival="m2").decide().notes == (
        Note(code="Contested", text="which machine the Node is, is not certain"),
        Note(code="Conflict", text="Machine m2 says it is the same Node; delete one of the two"),
    )


@pytest.mark.parametrize(
    ("name", "known", "shown"),
    [("node-7", None, True), ("", None, True), ("other", m.NodeRef(name="other", uid="node-uid"), False)],
)
def test_what_an_agent_says_of_another_node_is_not_shown_on_this_one(
    name: str, known: m.NodeRef | None, shown: bool
) -> None:
    """Whoever put the two together."""
    one = with_status(machine(), agent=agent(node_name=name, conditions=(FINDING,)), node_ref=known)
    effects = World(machine=one, node=CLAIMED).decide().effects
    expected = (patch(CLAIMED, {MIRRORED_CONDITIONS: "KernelDeadlock"}),) if shown else ()
    assert effects == expected


@pytest.mark.parametrize("agents", [None, "node-7", "other"])
def test_what_its_cloud_tells_is_shown_whatever_its_agent_says(agents: str | None) -> None:
    """And of two that say the same type, the cloud."""
    events = Condition(
        type="CloudMaintenance", status=m.Switch.TRUE, reason="RebootPlanned", last_transition_time=START.wall
    )
    theirs = attrs.evolve(events, reason="TheAgents")
    told = None if agents is None else agent(node_name=agents, conditions=(theirs, FINDING))
    one = with_status(
        machine(), agent=told, cloud_events=m.CloudEvents(instance="i-1", conditions=(events,)),
        node_ref=m.NodeRef(name=agents or "node-7", uid="node-uid"),
    )  # fmt: skip
    world = World(machine=one, node=CLAIMED)
    (effect,) = world.decide().effects
    assert isinstance(effect, PatchNode)
    shown = "CloudMaintenance,KernelDeadlock" if agents == "node-7" else "CloudMaintenance"
    assert effect.annotations[MIRRORED_CONDITIONS] == shown
    if agents == "other":  # whoever put the two together: nothing is certain from here on
        return
    world.settle()
    assert world.node is not None
    found = {condition.type: condition.reason for condition in world.node.status.conditions}
    assert found["CloudMaintenance"] == "RebootPlanned"


@pytest.mark.parametrize(
    ("finalizers", "rival", "waits"),
    [((FINALIZER,), "", True), ((FINALIZER,), "m2", False), (("other/one",), "", False)],
)
def test_a_node_that_cannot_be_read_holds_up_only_who_would_write_it(
    finalizers: tuple[str, ...], rival: str, waits: bool
) -> None:
    """Not a machine of which nothing is ours any more, nor one that is not certain to be that Node."""
    world = World(machine=with_meta(deleted(RAN), finalizers=finalizers), node=UNREAD, rival=rival)
    decision = world.decide()
    assert decision.deferred is waits
    assert bool(decision.effects) is (not waits and FINALIZER in finalizers)


def test_the_record_of_what_was_shown_goes_too() -> None:
    """When nothing else of ours is on the Node."""
    stained = node(annotations={MIRRORED_CONDITIONS: "KernelDeadlock", "theirs": "1"})
    (effect,) = World(machine=deleted(RAN), node=stained).decide().effects
    assert isinstance(effect, PatchNode)
    assert dict(effect.annotations) == {MIRRORED_CONDITIONS: None}


@pytest.mark.parametrize(
    ("one", "ready", "stamped"), [(HEARD, m.Switch.TRUE, True), (HEARD, m.Switch.FALSE, False), (machine(), m.Switch.TRUE, False)]
)  # fmt: skip
def test_first_running_is_stamped_in_running_alone(one: m.Machine, ready: m.Switch, stamped: bool) -> None:
    """Whoever registers has not run."""
    status = World(machine=one, node=node(ready)).decide().status
    assert status is not None
    assert (status.first_running is not None) is stamped


@pytest.mark.parametrize(
    ("one", "there", "ran"),
    [
        (RAN, node(), True), (RAN, None, False), (RAN, node(uid="after"), False), (with_status(RAN, node_ref=None), node(), False),
        (with_status(RAN, first_running=None), node(), False),
    ],
)  # fmt: skip
def test_a_machine_ran_with_this_incarnation_of_its_node(
    one: m.Machine, there: m.Node | None, ran: bool
) -> None:
    """All of it: it was Running, it is known which Node it was, and that one is there."""
    assert World(machine=one, node=there).seen.ran is ran


@pytest.mark.parametrize(
    ("one", "ledger", "signal"),
    [
        (HEARD, True, Signal.HEALTHY), (HEARD, False, Signal.REGISTERED), (RAN, True, Signal.HEALTHY), (RAN, False, Signal.HEALTHY),
    ],
)  # fmt: skip
def test_before_the_ledger_stands_nobody_runs_for_the_first_time(
    one: m.Machine, ledger: bool, signal: Signal
) -> None:
    """Who ran goes on running without one."""
    seen = attrs.evolve(World(machine=one, node=node()).seen, ledger=ledger)
    assert main_signal(seen) is signal


def test_where_the_ledger_lacks_that_is_said() -> None:
    """All else is well, so it is what Ready names."""
    world = World(machine=HEARD, node=node())
    world.apply(world.decide())
    assert world.machine is not None
    world.machine = with_status(world.machine, first_running=None, phase="Initializing")
    status = decide(attrs.evolve(world.seen, ledger=False), Policy()).status
    assert status is not None
    assert (status.phase, status.first_running) == ("Initializing", None)
    assert [one.reason for one in status.conditions if one.type == "Ready"] == ["LedgerMissing"]
