"""One machine's decisions: stories step by step, then the refusals, then properties."""

import copy
import json
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import TypeVar

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import ApplyNode, PatchNode, PatchNodeConditions, SetFinalizers
from kubenode.core.identity import deletion_op_id
from kubenode.core.machine.decide import decide
from kubenode.core.machine.phase import Phase
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import (
    FINALIZER,
    HOLD_LABEL,
    MACHINE_LABEL,
    SYNCED_ANNOTATIONS,
    SYNCED_LABELS,
    SYNCED_TAINTS,
)
from kubenode.core.model.world import NodeInfo
from kubenode.core.node.mirror import KUBELETS_OWN, MIRRORED_CONDITIONS
from tests.core.machine.world import (
    POLICY,
    START,
    World,
    agent,
    deleted,
    entry,
    machine,
    node,
    report,
    with_meta,
    with_status,
)

T = TypeVar("T")
GPU = m.Taint(key="gpu", value="yes", effect=m.TaintEffect.NO_SCHEDULE)


def finding(type: str = "KernelDeadlock", holds: m.Switch = m.Switch.TRUE) -> Condition:
    """A condition as an agent reports it."""
    at = START.wall - timedelta(seconds=90, microseconds=-123)
    return Condition(
        type=type, status=holds, reason="TaskHung", message="task dd:1 blocked", last_transition_time=at
    )


def running(reports: Mapping[str, m.ComponentReport] | None = None, **spec: object) -> World:
    """A machine that is Running, at rest."""
    world = World(machine=with_status(machine(**spec), agent=agent(components=reports or {})), node=node())
    world.settle()
    assert world.told() == "Running: all True"
    return world


IMPORT = """\
created        | SetFinalizers
               | Pending: Ready=False/AgentNotHeard AgentReady=False/AgentNotHeard NodeReady=False/NodeNotRegistered \
LabelsSynced=False/NodeNotRegistered ComponentsReady=False/EntryMissing
agent reports  | Importing: Ready=False/NodeNotRegistered NodeReady=False/NodeNotRegistered \
LabelsSynced=False/NodeNotRegistered ComponentsReady=False/EntryMissing
Node registers | ApplyNode
               | Initializing: Ready=False/NodeNotReady NodeReady=False/NodeNotReady ComponentsReady=False/EntryMissing
Node is Ready  | Initializing: Ready=False/EntryMissing ComponentsReady=False/EntryMissing
entry written  | Initializing: Ready=False/NotReported ComponentsReady=False/NotReported
agent installs | Running: all True
hold: Rollout  | Running: all True
new entry      | Updating: Ready=False/Updating ComponentsReady=False/Progressing
it fails       | Updating: Ready=False/Updating ComponentsReady=False/ComponentFailed
hold closed    | Running: Ready=False/ComponentFailed ComponentsReady=False/ComponentFailed
it succeeds    | Running: all True
hold: Remedy   | Repairing: Ready=False/Repairing
host reboots   | Repairing: Ready=False/Repairing AgentReady=Unknown/AgentSilent NodeReady=Unknown/NodeSilent
hold closed    | Unknown: Ready=Unknown/AgentSilent AgentReady=Unknown/AgentSilent NodeReady=Unknown/NodeSilent
it is back     | Running: all True
deletion       | ApplyNode
               | Draining: Ready=False/Releasing
               | gone"""


def test_import_story() -> None:
    """The life of an imported machine, step by step: phase, conditions, and what was done."""
    world = World(
        machine=with_meta(machine(labels={"pool": "a"}), finalizers=()), wanted=frozenset({"kubelet"})
    )
    lines: list[str] = []

    def step(what: str, node: m.Node | None = None, **status: object) -> None:
        assert world.machine is not None
        world.machine = with_status(world.machine, **status)
        if node is not None:
            said = node.status
            world.node = node if world.node is None else attrs.evolve(world.node, status=said)
        effects: list[str] = []
        while world.machine is not None:
            before = world.writes
            decision = world.decide()
            effects += (type(effect).__name__ for effect in decision.effects)
            world.apply(decision)
            if world.machine is None:
                effects = ["gone"]
            elif before == world.writes:
                break
            elif decision.effects and world.machine.metadata.deletion_timestamp is not None:
                effects.append(world.told())
            for effect in effects:
                lines.append(f"{what:<14} | {effect}")
                what = ""
            effects = []
        if world.machine is not None:
            lines.append(f"{what:<14} | {world.told()}")

    def entries(revision: str) -> None:
        assert world.machine is not None
        components = {"kubelet": entry(component=f"kubelet-{revision}", revision=revision)}
        spec = attrs.evolve(world.machine.spec, components=components)
        meta = attrs.evolve(world.machine.metadata, generation=world.machine.metadata.generation + 1)
        world.machine = attrs.evolve(world.machine, spec=spec, metadata=meta)

    step("created")
    step("agent reports", agent=agent())
    step("Node registers", node(m.Switch.FALSE))
    step("Node is Ready", node())
    entries("1")
    step("entry written")
    step("agent installs", agent=agent(components={"kubelet": report()}))
    world.hold = m.Cause.ROLLOUT
    step("hold: Rollout")
    entries("2")
    step("new entry")
    step("it fails", agent=agent(components={"kubelet": report(revision="2", reason="StepFailed")}))
    world.hold = None
    step("hold closed")
    step("it succeeds", agent=agent(components={"kubelet": report(component="kubelet-2", revision="2")}))
    world.hold = m.Cause.REMEDY
    step("hold: Remedy")
    step("host reboots", node(m.Switch.UNKNOWN))
    world.hold = None
    step("hold closed")
    step("it is back", node())
    assert world.machine is not None
    world.machine = deleted(world.machine)
    step("deletion")
    assert "\n".join(lines) == IMPORT
    assert world.node is not None
    assert world.node.metadata.labels == {}
    assert world.node.metadata.annotations == {}


def test_an_upgrade_costs_two_writes_of_the_status() -> None:
    """One when its entry is there and one when the rollout is through: permit and agent's report are seen, and not written."""
    world = running(components={"kubelet": entry()}, reports={"kubelet": report()})
    assert world.machine is not None
    before, entries = world.writes, {"kubelet": entry(component="kubelet-2", revision="2")}

    def settled() -> tuple[int, str]:
        world.settle()
        return world.writes - before, world.told()

    updating = "Updating: Ready=False/Updating ComponentsReady=False/Progressing"
    world.hold = m.Cause.ROLLOUT
    assert settled() == (0, "Running: all True")
    meta = attrs.evolve(world.machine.metadata, generation=world.machine.metadata.generation + 1)
    world.machine = attrs.evolve(
        world.machine, spec=attrs.evolve(world.machine.spec, components=entries), metadata=meta
    )
    assert settled() == (1, updating)
    done = agent(components={"kubelet": report(component="kubelet-2", revision="2")})
    world.machine = with_status(world.machine, agent=done)
    assert settled() == (1, updating)
    world.hold = None
    assert settled() == (2, "Running: all True")


def test_first_running_is_stamped_once() -> None:
    """first_running is the first time in Running, in whole seconds, and stays."""
    world = running()
    assert world.machine is not None
    assert world.machine.status.first_running == START.wall
    world.now = START.plus(timedelta(hours=1, microseconds=3))
    world.node = node(m.Switch.UNKNOWN)
    world.settle()
    world.node = node()
    world.settle()
    assert world.told().startswith("Running")
    assert world.machine.status.first_running == START.wall


def test_observed_generation_is_the_machines() -> None:
    """The status says which generation it is about, in itself and in every condition."""
    world = World(machine=with_meta(machine(), generation=7))
    status = world.decide().status
    assert status is not None
    assert status.observed_generation == 7
    assert {condition.observed_generation for condition in status.conditions} == {7}


def test_the_agents_part_is_kept_as_read() -> None:
    """The agent's subtree is in the status unchanged, whatever is decided."""
    told = agent(conditions=(finding(),), components={"kubelet": report()})
    world = World(machine=with_status(machine(), agent=told), node=node())
    for one in (
        world,
        World(machine=deleted(world.seen.machine), node=node()),
        World(machine=world.machine, rival="x"),
    ):
        status = one.decide().status
        assert status is None or status.agent is told


def test_message_names_the_first_component_and_why() -> None:
    """ComponentsReady names the first component that is not at target, with the agent's reason."""
    entries = {"b": entry(), "a": entry(revision="3"), "c": entry()}
    reports = {"b": report(), "a": report(revision="3", reason="StepFailed", message="dpkg: error")}
    world = World(
        machine=with_status(machine(components=entries), agent=agent(components=reports or {})), node=node()
    )
    world.settle()
    found = world.condition("ComponentsReady")
    assert (found.reason, found.message) == ("ComponentFailed", "a: revision 3: StepFailed: dpkg: error")
    assert world.condition("Ready").message == found.message


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        (None, "NotReported"),
        (report(revision="0"), "Progressing"),
        (report(component=""), "Progressing"),
        (report(config=m.ConfigState.DRIFTED), "ComponentDrifted"),
        (report(state=m.Running.ABSENT), "ComponentState"),
        (report(reason="DigestMismatch"), "ComponentFailed"),
    ],
)
def test_reason_of_a_component(lacking: m.ComponentReport | None, reason: str) -> None:
    """Each way not to be at target has its fixed reason."""
    told = agent(components={} if lacking is None else {"kubelet": lacking})
    world = World(machine=with_status(machine(components={"kubelet": entry()}), agent=told), node=node())
    world.settle()
    assert world.condition("ComponentsReady").reason == reason


@pytest.mark.parametrize(("state", "good"), [(m.Running.ABSENT, True), (m.Running.RUNNING, False)])
def test_absent_is_a_target(state: m.Running, good: bool) -> None:
    """An entry of state Absent is at target when the agent finds nothing there."""
    entries = {"old": entry(state=m.Running.ABSENT)}
    told = agent(components={"old": report(component="", state=state, config=m.ConfigState.UNKNOWN)})
    world = World(machine=with_status(machine(components=entries), agent=told), node=node())
    world.settle()
    assert (world.condition("ComponentsReady").status is m.Switch.TRUE) is good


# Identity.


def test_node_ref_is_kept_when_the_node_goes() -> None:
    """A Node that vanishes leaves its name, and the machine is Unknown until somebody speaks for it."""
    world = running()
    world.node = None
    world.settle()
    assert world.machine is not None
    assert world.machine.status.node_ref == m.NodeRef(name="node-7", uid="node-uid")
    assert world.told().startswith("Unknown")
    assert world.condition("NodeReady").reason == "NodeGone"


def test_reimaged() -> None:
    """A Node of the same name and another uid is another: the machine begins anew with it (F42)."""
    world = running(components={})
    assert world.machine is not None
    world.machine = attrs.evolve(
        world.machine, spec=attrs.evolve(world.machine.spec, components={"kubelet": entry()})
    )
    world.node = node(uid="after")
    world.settle()
    assert world.machine.status.node_ref == m.NodeRef(name="node-7", uid="after")
    assert world.told().startswith("Initializing")
    assert world.node.metadata.labels[MACHINE_LABEL] == "m1"


@pytest.mark.parametrize("phase", Phase)
def test_rival(phase: Phase) -> None:
    """Of two machines that say they are one Node neither touches it, and neither changes its phase (F34)."""
    given_up = phase in (Phase.DRAINING, Phase.DELETING)
    one = with_status(machine(labels={"pool": "a"}), agent=agent(), phase=phase.value, observed_generation=1)
    world = World(machine=one, node=node(), rival="m2")
    decision = world.decide()
    assert decision.effects == ()
    assert decision.deferred
    world.settle()
    assert world.machine is not None
    assert world.machine.status.phase == phase.value
    assert world.machine.status.node_ref is None
    assert world.condition("NodeReady").reason == "Conflict"
    assert "m2" in world.condition("NodeReady").message
    assert given_up or world.condition("Ready").reason in ("Conflict", "Updating", "Repairing")


def test_agent_that_names_another_node() -> None:
    """An agent that suddenly names another Node is not believed (S12)."""
    world = running()
    assert world.machine is not None
    known = world.machine.status.node_ref
    world.machine = with_status(world.machine, agent=agent(node_name="victim"))
    world.node = node(name="victim", uid="victim-uid")
    assert world.decide().effects == ()
    world.settle()
    assert world.machine.status.node_ref == known
    assert world.condition("Ready").reason == "NodeChanged"


def test_a_node_of_another_host_of_the_same_name_is_not_touched() -> None:
    """An import of a host whose name is taken: no label, taint or condition of the Node is written, and it is not remembered (S12)."""
    spec = attrs.evolve(machine().spec, labels={"pool": "a"})
    one = attrs.evolve(with_status(machine(), agent=agent(conditions=(finding(),))), spec=spec)
    theirs = attrs.evolve(node(), status=attrs.evolve(node().status, node_info=NodeInfo(boot_id="b2")))
    world = World(machine=one, node=theirs)
    assert world.decide().effects == ()
    world.settle()
    assert world.machine is not None
    assert (world.machine.status.node_ref, world.condition("NodeReady").reason) == (None, "NodeChanged")
    ours = attrs.evolve(theirs, status=attrs.evolve(theirs.status, node_info=NodeInfo(boot_id="b1")))
    world.node = ours
    world.settle()
    assert world.machine.status.node_ref is not None


def test_conditions_of_another_node_are_not_mirrored() -> None:
    """What an agent says of another Node is not shown on this one."""
    world = running()
    assert world.machine is not None
    world.machine = with_status(world.machine, agent=agent(node_name="", conditions=(finding(),)))
    world.settle()
    assert world.node is not None
    assert [c.type for c in world.node.status.conditions] == ["Ready", "KernelDeadlock"]


# Hands off.


@pytest.mark.parametrize("deleting", [False, True])
@pytest.mark.parametrize(
    ("one", "path"),
    [
        (
            with_meta(machine(), unknown=("spec.turbo", "spec.host.port"), finalizers=()),
            "spec.turbo, spec.host.port",
        ),
        (with_status(machine(), phase="Hibernating"), "status.phase 'Hibernating'"),
    ],
)
def test_newer_version(one: m.Machine, path: str, deleting: bool) -> None:
    """Of a newer version's object nothing moves but Ready, which says what is not known (F12, S10)."""
    foreign = Condition(type="Hibernated", reason="Cold", last_transition_time=START.wall)
    one = with_status(deleted(one) if deleting else one, conditions=(foreign,), agent=agent())
    world = World(machine=one, node=node(), hold=m.Cause.REMEDY)
    decision = world.decide()
    assert decision.effects == ()
    world.settle()
    assert world.machine is not None
    ready, *rest = world.machine.status.conditions
    assert rest == [foreign]
    assert attrs.evolve(world.machine.status, conditions=(foreign,)) == one.status
    assert (ready.type, ready.status, ready.reason) == ("Ready", m.Switch.UNKNOWN, "NewerVersion")
    assert path in ready.message


def test_newer_version_keeps_the_place_of_ready() -> None:
    """A Ready that stands there is replaced in place."""
    world = running()
    assert world.machine is not None
    order = [condition.type for condition in world.machine.status.conditions]
    world.machine = with_meta(world.machine, unknown=("spec.turbo",))
    world.settle()
    assert [condition.type for condition in world.machine.status.conditions] == order


def test_a_machine_to_be_created_waits_where_nobody_looks_at_its_provider() -> None:
    """In Provisioning, and says so."""
    one = machine(host=None, infrastructure=m.Infrastructure(provider="aws"))
    world = World(machine=one)
    world.settle()
    assert world.told().startswith(
        "Provisioning: Ready=Unknown/InstanceNotWatched InstanceReady=Unknown/InstanceNotWatched"
    )


@pytest.mark.parametrize("infrastructure", [None, m.Infrastructure(provider="aws")])
def test_failed_until_the_spec_changes(infrastructure: m.Infrastructure | None) -> None:
    """A spec that cannot be acted on fails, and a changed one is judged afresh by one decision."""
    host = None if infrastructure is None else m.Host(address="10.0.0.7")
    world = World(machine=machine(host=host, infrastructure=infrastructure), node=node())
    world.settle()
    assert world.told().startswith("Failed: Ready=False/SpecNotActionable")
    assert world.machine is not None
    world.machine = attrs.evolve(world.machine, spec=machine().spec)
    world.settle()
    assert world.told().startswith("Failed"), "nothing says that the spec changed"
    assert world.condition("Ready").reason != "AllReady"
    world.machine = with_meta(world.machine, generation=2)
    world.machine = with_status(world.machine, agent=agent())
    assert world.settle() <= 2
    assert world.told() == "Running: all True"


def test_failed_is_never_ready() -> None:
    """A Failed machine is not Ready, even when all its parts are."""
    world = running()
    assert world.machine is not None
    world.machine = with_status(world.machine, phase="Failed")
    world.settle()
    assert world.told() == "Failed: Ready=False/SpecNotActionable"


@pytest.mark.parametrize("deleting", [False, True])
def test_node_that_cannot_be_read_whole(deleting: bool) -> None:
    """A Node with a taint that this version does not know is not written back without it."""
    world = running(labels={"pool": "a"})
    assert world.machine is not None
    assert world.node is not None
    spec = attrs.evolve(world.machine.spec, labels={"pool": "b"})
    world.machine = attrs.evolve(deleted(world.machine) if deleting else world.machine, spec=spec)
    unknown = attrs.evolve(world.node.metadata, unknown=("spec.taints[0].effect",))
    world.node = before = attrs.evolve(world.node, metadata=unknown)
    world.settle()
    assert world.node is before
    found = world.condition("Ready" if deleting else "LabelsSynced")
    assert found.reason == "NodeUnreadable"
    assert "spec.taints[0].effect" in found.message


# Deletion.


def test_release() -> None:
    """Release takes all that is ours off the Node, conditions first, then lets the object go."""
    world = running(labels={"pool": "a"}, taints=(GPU,))
    assert world.machine is not None
    world.machine = with_status(world.machine, agent=agent(conditions=(finding(),)))
    world.settle()
    assert world.node is not None
    assert [c.type for c in world.node.status.conditions] == ["Ready", "KernelDeadlock"]
    world.machine = deleted(world.machine)
    kinds: list[str] = []
    while world.machine is not None:
        decision = world.decide()
        kinds += (type(effect).__name__ for effect in decision.effects)
        world.apply(decision)
    assert kinds == ["PatchNodeConditions", "PatchNode", "ApplyNode", "SetFinalizers"]
    assert world.node.metadata.labels == {}
    assert world.node.metadata.annotations == {}
    assert world.node.spec.taints == ()
    assert world.node.status == node().status


def test_release_without_a_node() -> None:
    """A machine whose Node is gone is let go at once; other finalizers stay, and then nothing is done."""
    world = World(machine=with_meta(deleted(machine()), finalizers=("other/one", FINALIZER)))
    world.settle()
    assert world.machine is not None
    assert world.machine.metadata.finalizers == ("other/one",)
    assert world.machine.status.phase == "Deleting"
    assert world.decide().effects == ()


def test_release_leaves_the_node_of_a_rival() -> None:
    """Of two machines that claim one Node the deleted one goes without touching it."""
    world = running(labels={"pool": "a"})
    marks = world.node
    assert world.machine is not None
    world.machine, world.rival = deleted(world.machine), "m2"
    world.settle()
    assert world.machine is None
    assert world.node is marks


def test_release_leaves_a_node_that_another_machine_marked() -> None:
    """A Node labelled with another machine's name is not cleaned."""
    world = World(
        machine=deleted(machine()),
        node=node(labels={MACHINE_LABEL: "m2"}, annotations={SYNCED_LABELS: '{"a":"b"}'}),
    )
    marks = world.node
    world.settle()
    assert world.machine is None
    assert world.node is marks


HELD = {HOLD_LABEL: "looking into it"}


@pytest.mark.parametrize(
    ("on_machine", "on_node", "named"),
    [
        (True, False, "on Machine m1;"),
        (False, True, "on Node node-7;"),
        (True, True, "on Machine m1 and Node node-7;"),
    ],
)
def test_a_hold_is_shown_and_changes_nothing_else(on_machine: bool, on_node: bool, named: str) -> None:
    """Whoever looks at the machine sees why nothing happens; Ready and the phase are as without it."""
    free, world = running(), running()
    assert free.machine is not None
    assert world.machine is not None
    assert world.node is not None
    if on_machine:
        world.machine = with_meta(world.machine, labels=HELD)
    if on_node:
        world.node = attrs.evolve(
            world.node,
            metadata=attrs.evolve(world.node.metadata, labels={**world.node.metadata.labels, **HELD}),
        )
    world.settle()
    assert world.machine is not None
    assert world.told() == free.told()
    assert world.machine.status.conditions[:-1] == free.machine.status.conditions
    paused = world.condition("Paused")
    assert (paused.status, paused.reason) == (m.Switch.TRUE, MachineReason.HELD.value)
    assert named in paused.message
    assert HOLD_LABEL in paused.message
    world.machine = with_meta(world.machine, labels={})
    assert world.node is not None
    labels = {key: value for key, value in world.node.metadata.labels.items() if key != HOLD_LABEL}
    world.node = attrs.evolve(world.node, metadata=attrs.evolve(world.node.metadata, labels=labels))
    world.settle()
    assert world.machine is not None
    assert world.machine.status.conditions == free.machine.status.conditions


def test_a_hold_is_shown_while_the_machine_goes_too() -> None:
    """A release disrupts nothing, so it goes on; what would end the machine gets no permit, and says both."""
    world = running(deletion_policy=m.DeletionPolicy.TERMINATE)
    assert world.machine is not None
    world.machine = with_meta(deleted(world.machine), labels=HELD)
    world.settle()
    assert world.told() == "Draining: Ready=False/PermitAwaited"
    assert world.condition("Paused").reason == MachineReason.HELD.value


def test_to_terminate_an_imported_host_is_refused() -> None:
    """No provider made it, so none can terminate it: its Node is drained, the finalizer stays, and it says why."""
    world = running(deletion_policy=m.DeletionPolicy.TERMINATE)
    assert world.machine is not None
    world.machine = deleted(world.machine)
    world.holds = frozenset({deletion_op_id("uid-m1")})
    world.settle()
    assert world.machine is not None
    assert world.machine.metadata.finalizers == (FINALIZER,)
    assert world.node is not None
    assert world.node.spec.unschedulable
    assert world.told() == "Draining: Ready=False/TerminateUnsupported"
    assert "no provider made this host" in world.machine.status.conditions[0].message
    spec = attrs.evolve(world.machine.spec, deletion_policy=m.DeletionPolicy.RELEASE)
    world.machine = attrs.evolve(world.machine, spec=spec)
    world.settle()
    assert world.machine is None
    assert world.node == attrs.evolve(node(), metadata=world.node.metadata)


def test_what_was_created_is_not_released_by_default() -> None:
    """Without a word on it its instance is to be terminated, which waits for who looks at providers; a person's word releases it."""
    spec = m.MachineSpec(infrastructure=m.Infrastructure(provider="memory"))
    world = World(machine=deleted(attrs.evolve(machine(), spec=spec)))
    world.settle()
    assert world.machine is not None
    assert world.told().startswith("Deleting: Ready=False/InstanceNotWatched ")
    released = attrs.evolve(spec, deletion_policy=m.DeletionPolicy.RELEASE)
    world.machine = attrs.evolve(world.machine, spec=released)
    world.settle()
    assert world.machine is None


def test_finalizer_comes_first_and_alone() -> None:
    """Before the finalizer is there, nothing else is written; foreign finalizers stay."""
    world = World(machine=with_meta(machine(), finalizers=("other/one",)), node=node())
    decision = world.decide()
    assert decision.status is None
    (effect,) = decision.effects
    assert isinstance(effect, SetFinalizers)
    assert effect.finalizers == ("other/one", FINALIZER)


# Properties.

KEYS = st.sampled_from(("a", "b", "c", "d"))
VALUES = st.sampled_from(("1", "2", ""))
TAINTS = st.lists(
    st.builds(m.Taint, key=KEYS, value=VALUES, effect=st.sampled_from(m.TaintEffect)),
    max_size=4, unique_by=lambda taint: (taint.key, taint.effect),
).map(tuple)  # fmt: skip
TYPES = st.sampled_from(("KernelDeadlock", "ReadonlyFilesystem", "LogFlood", "Ready", "DiskPressure"))
FINDINGS = st.lists(
    st.builds(finding, TYPES, st.sampled_from(m.Switch)), max_size=4, unique_by=lambda one: one.type
).map(tuple)
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)
NODE_TYPES = st.lists(
    st.sampled_from(("KernelDeadlock", "Custom", "LogFlood", "MemoryPressure")), unique=True
)
RECORDS = st.sampled_from(
    (None, "", "{", "[]", '{"a":"1"}', '{"a":1,"b":"2"}', '{"a:NoSchedule":"1","x":"2"}')
)
MIRRORED = st.sampled_from((None, "KernelDeadlock", "LogFlood,Custom", "Ready,,KernelDeadlock"))


@st.composite
def nodes(draw: st.DrawFn) -> m.Node:
    """Nodes with foreign labels, taints and conditions, and records of ours, spoilt ones too."""
    records = {
        SYNCED_LABELS: draw(RECORDS),
        SYNCED_ANNOTATIONS: draw(RECORDS),
        SYNCED_TAINTS: draw(RECORDS),
        MIRRORED_CONDITIONS: draw(MIRRORED),
    }
    annotations = {key: value for key, value in records.items() if value is not None}
    one = node(
        draw(st.sampled_from((*m.Switch, None))), uid=draw(st.sampled_from(("node-uid", "after"))),
        labels=draw(LABELS), annotations=annotations | {"their/own": "x"},
    )  # fmt: skip
    extra = tuple(m.NodeCondition(type=type, status=m.Switch.FALSE) for type in draw(NODE_TYPES))
    conditions = m.NodeStatus(conditions=one.status.conditions + extra)
    return attrs.evolve(one, spec=m.NodeSpec(taints=draw(TAINTS)), status=conditions)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any machine with any Node."""
    host = draw(st.sampled_from((m.Host(address="h"), m.Host(address="h"), None)))
    infrastructure = draw(st.sampled_from((None, None, m.Infrastructure(provider="aws"))))
    components = draw(st.dictionaries(st.sampled_from(("kubelet", "containerd")), st.builds(entry)))
    one = machine(
        host=host, infrastructure=infrastructure, labels=draw(LABELS), annotations=draw(LABELS), taints=draw(TAINTS), components=components,
        deletion_policy=draw(st.sampled_from(m.DeletionPolicy)),
    )  # fmt: skip
    reports = draw(
        st.dictionaries(
            st.sampled_from(("kubelet", "containerd")), st.sampled_from((report(), report(revision="0")))
        )
    )
    told = agent(
        node_name=draw(st.sampled_from(("node-7", "node-7", "", "other"))),
        conditions=draw(FINDINGS), components=reports,
    )  # fmt: skip
    one = with_status(
        one, phase=draw(st.sampled_from(("", "Hibernating", *(phase.value for phase in Phase)))),
        agent=draw(st.sampled_from((told, None))), observed_generation=draw(st.integers(0, 1)),
        node_ref=draw(st.sampled_from((None, m.NodeRef(name="node-7", uid="node-uid")))),
        first_running=draw(st.sampled_from((None, START.wall))),
    )  # fmt: skip
    one = with_meta(one, finalizers=draw(st.sampled_from(((FINALIZER,), (), ("o/o", FINALIZER)))))
    one = with_meta(one, unknown=draw(st.sampled_from(((), (), ("spec.turbo",)))))
    one = deleted(one) if draw(st.booleans()) else one
    return World(
        machine=one, node=draw(st.none() | nodes()), rival=draw(st.sampled_from(("", "", "m2"))),
        wanted=draw(st.frozensets(st.sampled_from(("kubelet", "cni")))), hold=draw(st.none() | st.sampled_from(m.Cause)),
    )  # fmt: skip


@given(worlds())
def test_same_input_same_output(world: World) -> None:
    """A decision depends on its snapshot alone, and wakes by itself only for a drain."""
    first = decide(world.seen, POLICY)
    assert decide(copy.copy(world).seen, POLICY) == first
    drains = first.status is not None and first.status.drain is not None
    assert first.wake_at is None or drains


@given(worlds())
def test_comes_to_rest(world: World) -> None:
    """After few of its own decisions nothing is left to do, and time alone changes nothing."""
    assert world.settle(most=9) <= 7
    if world.machine is None:
        return
    world.now = START.plus(timedelta(days=3))
    decision = world.decide()
    assert decision.effects == ()
    assert decision.status in (None, world.machine.status)


@given(worlds(), st.randoms(use_true_random=False))
def test_order_does_not_matter(world: World, random: Random) -> None:
    """At rest, no order of labels, taints or conditions makes anything be written."""
    world.settle()
    if world.machine is None or world.node is None:
        return
    one = world.node

    def shuffled(items: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(random.sample(items, len(items)))

    conditions = m.NodeStatus(conditions=shuffled(one.status.conditions))
    world.node = attrs.evolve(one, spec=m.NodeSpec(taints=shuffled(one.spec.taints)), status=conditions)
    spec = attrs.evolve(world.machine.spec, taints=shuffled(world.machine.spec.taints))
    world.machine = attrs.evolve(world.machine, spec=spec)
    decision = world.decide()
    assert decision.effects == ()
    assert decision.status in (None, world.machine.status)


# Its agent names another Node than the one that is seen, before any is known: the first status would make that known.
@example(World(machine=with_status(machine(labels={"a": "1"}), agent=agent(node_name="other")), node=node()))
@settings(deadline=None)
@given(worlds())
def test_every_crash_leads_to_the_same_end(world: World) -> None:
    """From every prefix of every decision's writes a re-plan reaches the same end (S24)."""
    straight = copy.copy(world)
    straight.settle()
    for crash_at in range(straight.writes):
        crashed = copy.copy(world)
        while crashed.writes < crash_at:
            crashed.apply(crashed.decide(), crash_after=crash_at - crashed.writes)
        crashed.settle()
        assert _end(crashed) == _end(straight)


def _end(world: World) -> object:
    def plain(one: m.Machine | m.Node | None) -> object:
        return (
            None
            if one is None
            else attrs.evolve(one, metadata=attrs.evolve(one.metadata, resource_version=""))
        )

    return plain(world.machine), plain(world.node)


@given(worlds())
def test_what_is_foreign_is_never_touched(world: World) -> None:
    """Labels, taints, annotations and conditions that no record calls ours stay, in their order, with their values."""
    assert world.machine is not None
    before = world.node
    world.settle()
    if before is None or world.node is None:
        return
    meta, after = before.metadata, world.node
    labels, taints = (
        _record(meta.annotations.get(SYNCED_LABELS)),
        _record(meta.annotations.get(SYNCED_TAINTS)),
    )
    for key, value in meta.labels.items():
        assert key in labels or after.metadata.labels.get(key) == value
    foreign = [taint for taint in before.spec.taints if f"{taint.key}:{taint.effect.value}" not in taints]
    assert [taint for taint in after.spec.taints if taint in foreign] == foreign
    ours = set(meta.annotations.get(MIRRORED_CONDITIONS, "").split(",")) - KUBELETS_OWN
    theirs = [condition for condition in before.status.conditions if condition.type not in ours]
    assert [condition for condition in after.status.conditions if condition in theirs] == theirs
    assert after.metadata.annotations["their/own"] == "x"


def _record(text: str | None) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


@given(worlds())
def test_one_write_to_a_node_a_decision(world: World) -> None:
    """A second write to the same object would be decided on a version that the first made old."""
    decision = world.decide()
    assert (
        sum(isinstance(effect, ApplyNode | PatchNode | PatchNodeConditions) for effect in decision.effects)
        <= 1
    )
    if any(isinstance(effect, SetFinalizers) for effect in decision.effects):
        assert decision.status is None
        assert len(decision.effects) == 1


@given(worlds())
def test_ready_only_in_running(world: World) -> None:
    """Ready is True only in Running, and then every other condition is."""
    world.settle()
    if world.machine is None:
        return
    for condition in world.machine.status.conditions:
        if condition.type == "Ready" and condition.status is m.Switch.TRUE:
            assert world.machine.status.phase == "Running"
            assert all(one.status is m.Switch.TRUE for one in world.machine.status.conditions)


@given(worlds())
def test_reasons_and_bounds(world: World) -> None:
    """Every condition's reason is a fixed word, and no message is longer than the API takes."""
    known = {reason.value for reason in MachineReason}
    status = world.decide().status
    for condition in () if status is None else status.conditions:
        assert condition.reason in known
        assert len(condition.message) <= 2048
