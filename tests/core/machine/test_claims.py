"""What is claimed of a machine, row by row: holds, reason, and the words that name what lacks."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.machine.conditions import (
    agent_claim,
    components_claim,
    instance_claim,
    labels_claim,
    node_claim,
    rolled_out_claim,
    summary,
)
from kubenode.core.machine.phase import Phase
from kubenode.core.model.condition import Claim, Condition
from kubenode.core.model.world import NodeInfo
from kubenode.core.node.sync import Marks
from tests.core.machine.world import START, World, agent, entry, machine, node, report, with_meta, with_status

T, F, U = m.Switch.TRUE, m.Switch.FALSE, m.Switch.UNKNOWN
HEARD = with_status(machine(), agent=agent())
KNOWN = with_status(HEARD, node_ref=m.NodeRef(name="node-7", uid="node-uid"))
STRANGER = with_status(KNOWN, agent=agent(node_name="other"))


def booted(boot_id: str, ready: m.Switch = T) -> m.Node:
    """Give the Node with the boot in which its kubelet says it is."""
    one = node(ready)
    return attrs.evolve(one, status=attrs.evolve(one.status, node_info=NodeInfo(boot_id=boot_id)))


UNREAD = with_meta(node(), unknown=("spec.taints[0].x",))  # type: ignore[type-var]

PRESSED = attrs.evolve(
    node(), status=m.NodeStatus(conditions=(m.NodeCondition(type="DiskPressure", status=F), *node().status.conditions))
)  # fmt: skip

Row = tuple[World, m.Switch, str, str]

AGENT: dict[str, Row] = {
    "never heard": (World(machine=machine()), F, "AgentNotHeard", "no agent has reported from this host yet"),
    "its Node is silent": (World(machine=HEARD, node=node(U)), U, "AgentSilent", "its Node is silent, so its last report may be old"),
    "its Node is gone": (World(machine=KNOWN), U, "AgentSilent", "its Node is silent, so its last report may be old"),
    "heard, no Node yet": (World(machine=HEARD), T, "AgentReporting", ""),
    "heard": (World(machine=HEARD, node=node()), T, "AgentReporting", ""),
}  # fmt: skip

NODE: dict[str, Row] = {
    "a rival": (World(machine=HEARD, node=node(), rival="m2"), F, "Conflict", "Machine m2 says it is the same Node; delete one of the two"),
    "another's by its agent": (
        World(machine=STRANGER, node=node()), F, "NodeChanged", "the agent says it is Node other, but this machine is Node node-7",
    ),
    "another's by its agent, none known": (
        World(machine=with_status(STRANGER, node_ref=None), node=node()), F, "NodeChanged",
        "the agent says it is Node other, but this machine is Node node-7",
    ),
    "another host of its name": (
        World(machine=HEARD, node=booted("b2")), F, "NodeChanged",
        "Node node-7 is Ready in another boot than this machine's agent is in, so another host is that Node; give one of both hosts another name",
    ),
    "its own host": (World(machine=HEARD, node=booted("b1")), T, "NodeReady", ""),
    "of a boot that nobody knows": (World(machine=with_status(HEARD, agent=agent(boot_id="")), node=booted("b2")), T, "NodeReady", ""),
    "rebooted, and not Ready yet": (World(machine=HEARD, node=booted("b2", F)), F, "NodeNotReady", "Node node-7: Kubelet: says so"),
    "rebooted, and known": (World(machine=KNOWN, node=booted("b2")), T, "NodeReady", ""),
    "nothing heard, in some boot": (World(machine=machine(), node=booted("b2")), T, "NodeReady", ""),
    "the agent names none": (World(machine=with_status(KNOWN, agent=agent(node_name="")), node=node()), T, "NodeReady", ""),
    "none yet, nothing heard": (World(machine=machine()), F, "NodeNotRegistered", "no Node has registered yet"),
    "none yet, its name is known": (World(machine=HEARD), F, "NodeNotRegistered", "no Node node-7 has registered yet"),
    "gone": (World(machine=KNOWN), F, "NodeGone", "Node node-7 is no more"),
    "kubelet has not spoken": (World(machine=HEARD, node=node(None)), F, "NodeNotReady", "the kubelet of Node node-7 has not said anything yet"),
    "not ready": (World(machine=HEARD, node=node(F)), F, "NodeNotReady", "Node node-7: Kubelet: says so"),
    "silent": (World(machine=HEARD, node=node(U)), U, "NodeSilent", "Node node-7: Kubelet: says so"),
    "ready": (World(machine=HEARD, node=node()), T, "NodeReady", ""),
    "ready is said last": (World(machine=HEARD, node=PRESSED), T, "NodeReady", ""),
}  # fmt: skip

LABELS: dict[str, tuple[World, Marks | None, tuple[m.Switch, str, str] | None]] = {
    "contested": (World(machine=HEARD, node=node(), rival="m2"), None, (F, "Conflict", "Machine m2 says it is the same Node; delete one of the two")),
    "no Node": (World(machine=HEARD), None, (F, "NodeNotRegistered", "no Node node-7 has registered yet")),
    "what cannot be read": (
        World(machine=HEARD, node=UNREAD), None,
        (F, "NodeUnreadable", "the Node has what this version cannot read, so it is not written: spec.taints[0].x"),
    ),
    "not to be touched": (World(machine=HEARD, node=node()), None, None),
    "another's": (
        World(machine=HEARD, node=node()), Marks(applies=True, conflicts=("label a is '9', wanted '1'", "taint t")),
        (F, "FieldConflict", "not ours to change on the Node: label a is '9', wanted '1'; taint t"),
    ),
    "to be written": (World(machine=HEARD, node=node()), Marks(applies=True), (F, "Syncing", "labels, annotations and taints are being written")),
    "there": (World(machine=HEARD, node=node()), Marks(), (T, "Synced", "")),
}  # fmt: skip

DRIFTED = attrs.evolve(entry(), held="60 machines of the set report the same")
COMPONENTS: dict[str, tuple[m.ComponentEntry | None, m.ComponentReport | None, m.Switch, str, str]] = {
    "no entry": (None, None, F, "EntryMissing", "kubelet: a set wants it, but has not written its entry yet"),
    "no report": (entry(), None, F, "NotReported", "kubelet: the agent has not reported on it yet"),
    "failed": (entry(), report(reason="StepFailed", message="dpkg"), F, "ComponentFailed", "kubelet: revision 1: StepFailed: dpkg"),
    "failed without words": (entry(), report(reason="StepFailed"), F, "ComponentFailed", "kubelet: revision 1: StepFailed"),
    "an earlier revision failed": (
        entry(revision="2"), report(reason="StepFailed"), F, "Progressing", "kubelet: revision 2 (kubelet-1) is not done yet",
    ),
    "to be absent": (entry(state=m.Running.ABSENT), report(), F, "ComponentState", "kubelet: is Running, not Absent"),
    "absent as wanted": (entry(state=m.Running.ABSENT), report(state=m.Running.ABSENT), T, "AllAtTarget", "1 at target"),
    "nothing installed": (entry(), report(component=""), F, "Progressing", "kubelet: nothing is installed, not kubelet-1"),
    "another installed": (entry(), report(component="kubelet-0"), F, "Progressing", "kubelet: kubelet-0 is installed, not kubelet-1"),
    "its configuration": (entry(), report(config=m.ConfigState.DRIFTED), F, "ComponentDrifted", "kubelet: its configuration is Drifted"),
    "its configuration, held": (
        DRIFTED, report(config=m.ConfigState.DRIFTED), F, "ComponentDrifted",
        "kubelet: its configuration is Drifted; 60 machines of the set report the same",
    ),
    "its state": (entry(), report(state=m.Running.STOPPED), F, "ComponentState", "kubelet: is Stopped, not Running"),
    "its version": (entry(), report(drifting=True, version="2"), F, "ComponentDrifted", "kubelet: its version is 2"),
    "its version is none": (entry(), report(drifting=True), F, "ComponentDrifted", "kubelet: its version is none"),
    "stopped as wanted": (entry(state=m.Running.STOPPED), report(state=m.Running.STOPPED), T, "AllAtTarget", "1 at target"),
    "at target": (entry(), report(), T, "AllAtTarget", "1 at target"),
}  # fmt: skip


def told(claim: Claim) -> tuple[m.Switch, str, str]:
    """Give a claim without its type."""
    return claim.holds, claim.reason, claim.message


@pytest.mark.parametrize("name", AGENT)
def test_agent_ready(name: str) -> None:
    """An agent that was heard is trusted until its Node is silent."""
    world, *expected = AGENT[name]
    assert told(agent_claim(world.seen)) == tuple(expected)


@pytest.mark.parametrize("name", NODE)
def test_node_ready(name: str) -> None:
    """What the kubelet says, or why nobody says it; of a Node that may be another's, nothing but that."""
    world, *expected = NODE[name]
    assert told(node_claim(world.seen)) == tuple(expected)


@pytest.mark.parametrize("name", LABELS)
def test_labels_synced(name: str) -> None:
    """The first of what forbids it, what is another's, and what is still to be written."""
    world, marks, expected = LABELS[name]
    claims = labels_claim(world.seen, marks)
    assert [told(claim) for claim in claims] == ([] if expected is None else [expected])


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_ready(name: str) -> None:
    """Each way in which a component lacks has its reason, and says what is and what is wanted."""
    wants, says, *expected = COMPONENTS[name]
    one = machine(components={} if wants is None else {"kubelet": wants})
    one = with_status(one, agent=agent(components={} if says is None else {"kubelet": says}))
    assert told(components_claim(World(machine=one, wanted=frozenset({"kubelet"})).seen)) == tuple(expected)


def test_without_an_agent_nothing_is_reported() -> None:
    """An entry of a machine that nobody has reported from."""
    one = machine(components={"kubelet": entry()})
    assert components_claim(World(machine=one).seen).reason == "NotReported"
    assert told(components_claim(World(machine=machine()).seen)) == (T, "AllAtTarget", "0 at target")


@pytest.mark.parametrize(
    ("known", "says", "expected"),
    [
        ("Progressing", report(), (F, "Progressing", "as before")),
        ("Progressing", report(drifting=True), (F, "ComponentDrifted", "kubelet: its version is none")),
        ("ComponentDrifted", report(), (T, "AllAtTarget", "1 at target")),
        ("", report(), (T, "AllAtTarget", "1 at target")),
    ],
)
def test_while_a_rollout_has_it_in_hand_only_progress_is_said_on(
    known: str, says: m.ComponentReport, expected: tuple[m.Switch, str, str]
) -> None:
    """Whatever else was said is over with what it was of; somebody may have taken the condition away."""
    before = Condition(
        type="ComponentsReady", status=F, reason=known, message="as before", last_transition_time=START.wall
    )
    one = with_status(
        machine(components={"kubelet": entry()}), agent=agent(components={"kubelet": says}),
        conditions=(before,) if known else (),
    )  # fmt: skip
    assert told(rolled_out_claim(World(machine=one).seen)) == expected


def test_only_what_is_to_be_created_claims_an_instance() -> None:
    """An imported host has none; where nobody looks at the provider, that is said."""
    assert instance_claim(World(machine=machine()).seen, None) == ()
    created = machine(host=None, infrastructure=m.Infrastructure(provider="aws"))
    assert [told(one)[:2] for one in instance_claim(World(machine=created).seen, None)] == [
        (U, "InstanceNotWatched")
    ]


WELL, ILL, DARK = (
    Claim(type=f"{holds.value}ish", holds=holds, reason="Why", message="because") for holds in (T, F, U)
)
SILENT_CLAIM = Claim.of("Mute", False, "NoWords")


@pytest.mark.parametrize(
    ("phase", "parts", "expected"),
    [
        (Phase.RUNNING, (WELL, WELL), (T, "AllReady", "")),
        (Phase.RUNNING, (), (T, "AllReady", "")),
        (Phase.RUNNING, (WELL, ILL, DARK), (F, "Why", "because")),
        (Phase.RUNNING, (DARK, ILL), (U, "Why", "because")),
        (Phase.UPDATING, (WELL,), (F, "Updating", "")),
        (Phase.REPAIRING, (WELL,), (F, "Repairing", "")),
        (Phase.UPDATING, (WELL, DARK), (F, "Updating", "Unknownish: because")),
        (Phase.REPAIRING, (SILENT_CLAIM,), (F, "Repairing", "Mute: NoWords")),
        (Phase.INITIALIZING, (WELL,), (F, "LedgerMissing", "all is well but the RiskLedger: without it nothing done here later could be counted")),
        (Phase.INITIALIZING, (ILL,), (F, "Why", "because")),
        (Phase.FAILED, (WELL,), (F, "SpecNotActionable", "the machine is Failed; change its spec")),
        (Phase.FAILED, (ILL,), (F, "Why", "because")),
    ],
)  # fmt: skip
def test_ready_sums_up(phase: Phase, parts: tuple[Claim, ...], expected: tuple[m.Switch, str, str]) -> None:
    """True in Running alone, when every part is; else the first that is not; while held, never."""
    assert told(summary(phase, parts)) == expected
