"""What is claimed of a machine: one claim a condition, and Ready as their summary.

The order in which they are listed is the order in which a machine comes up, so the first that is not
True is the one to look at.
"""

from collections.abc import Iterable

from kubenode.core.health.held import held_by
from kubenode.core.instance.turn import INSTANCE_READY, Turn
from kubenode.core.machine.phase import Phase
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.condition import Claim, find
from kubenode.core.model.entry import WAITS, ComponentEntry, ComponentReport, ConfigState, Running
from kubenode.core.model.meta import HOLD_LABEL, Switch
from kubenode.core.node.sync import Marks

READY = "Ready"
AGENT_READY = "AgentReady"
NODE_READY = "NodeReady"
LABELS_SYNCED = "LabelsSynced"
COMPONENTS_READY = "ComponentsReady"
PAUSED = "Paused"


def paused_claim(seen: MachineSnapshot) -> tuple[Claim, ...]:
    """Claim Paused while a person holds the machine, so that one sees why nothing happens; else nothing.

    It takes no part in Ready: a machine that is held may be as well as any.
    """
    bearers = [f"{one.KIND.name} {one.metadata.name}" for one in held_by(seen.machine, seen.node)]
    if not bearers:
        return ()
    text = f"label {HOLD_LABEL} on {' and '.join(bearers)}; nothing automatic disrupts it"
    return (Claim.of(PAUSED, True, MachineReason.HELD.value, text),)


def instance_claim(seen: MachineSnapshot, turn: Turn | None) -> tuple[Claim, ...]:
    """Claim InstanceReady for a machine that is to be created; nothing for an imported one."""
    if turn is not None:
        return (turn.claim,)
    if seen.machine.spec.infrastructure is None:
        return ()
    text = "nobody here looks at the provider"
    return (_unknown(INSTANCE_READY, MachineReason.INSTANCE_NOT_WATCHED, text),)


def agent_claim(seen: MachineSnapshot) -> Claim:
    """Claim AgentReady: it has reported, and its host is not silent."""
    agent = seen.machine.status.agent
    if agent is None:
        text = "no agent has reported from this host yet"
        return Claim.of(AGENT_READY, False, MachineReason.AGENT_NOT_HEARD.value, text)
    if seen.silent:
        text = "its Node is silent, so its last report may be old"
        return _unknown(AGENT_READY, MachineReason.AGENT_SILENT, text)
    return Claim.of(AGENT_READY, True, MachineReason.AGENT_REPORTING.value)


def node_claim(seen: MachineSnapshot) -> Claim:
    """Claim NodeReady: what the kubelet says, or why there is nobody to say it."""
    if seen.contest is not None:
        reason, text = seen.contest
        return Claim.of(NODE_READY, False, reason.value, text)
    if seen.node is None:
        return _no_node(NODE_READY, seen)
    name, kubelet = seen.node.metadata.name, seen.kubelet
    if kubelet is None:
        text = f"the kubelet of Node {name} has not said anything yet"
        return Claim.of(NODE_READY, False, MachineReason.NODE_NOT_READY.value, text)
    said = f"{kubelet.reason}: {kubelet.message}".strip(": ")
    if kubelet.status is Switch.TRUE:
        return Claim.of(NODE_READY, True, MachineReason.NODE_READY.value)
    if kubelet.status is Switch.FALSE:
        return Claim.of(NODE_READY, False, MachineReason.NODE_NOT_READY.value, f"Node {name}: {said}")
    return _unknown(NODE_READY, MachineReason.NODE_SILENT, f"Node {name}: {said}")


def labels_claim(seen: MachineSnapshot, marks: Marks | None) -> tuple[Claim, ...]:
    """Claim LabelsSynced: labels, annotations and taints stand on the Node as the spec says.

    `marks` is None where the Node is not touched; nothing is claimed of a Node that is there and not touched.
    """
    if seen.contest is not None:
        reason, text = seen.contest
        return (Claim.of(LABELS_SYNCED, False, reason.value, text),)
    if seen.node is None:
        return (_no_node(LABELS_SYNCED, seen),)
    if seen.unread:
        text = f"the Node has what this version cannot read, so it is not written: {seen.unread}"
        return (Claim.of(LABELS_SYNCED, False, MachineReason.NODE_UNREADABLE.value, text),)
    if marks is None:
        return ()
    if marks.conflicts:
        text = f"not ours to change on the Node: {'; '.join(marks.conflicts)}"
        return (Claim.of(LABELS_SYNCED, False, MachineReason.FIELD_CONFLICT.value, text),)
    if marks.differ:
        text = "labels, annotations and taints are being written"
        return (Claim.of(LABELS_SYNCED, False, MachineReason.SYNCING.value, text),)
    return (Claim.of(LABELS_SYNCED, True, MachineReason.SYNCED.value),)


def components_claim(seen: MachineSnapshot) -> Claim:
    """Claim ComponentsReady: every entry, and an entry of every wanted component, is at target.

    The message names the first one that is not, by name, and why.
    """
    entries = seen.machine.spec.components
    agent = seen.machine.status.agent
    reports = {} if agent is None else agent.components
    for name in sorted(seen.wanted | entries.keys()):
        entry = entries.get(name)
        if entry is None:
            text = f"{name}: a set wants it, but has not written its entry yet"
            return Claim.of(COMPONENTS_READY, False, MachineReason.ENTRY_MISSING.value, text)
        lack = _lack(entry, reports.get(name))
        if lack is not None:
            return Claim.of(COMPONENTS_READY, False, lack[0].value, f"{name}: {lack[1]}")
    text = f"{len(entries)} at target"
    return Claim.of(COMPONENTS_READY, True, MachineReason.ALL_AT_TARGET.value, text)


def rolled_out_claim(seen: MachineSnapshot) -> Claim:
    """Claim ComponentsReady of a machine that a rollout has in hand: not before it is through with it.

    Its agent says sooner that the revision is installed; the rollout then watches for as long as it is told to. What
    was said stays until then, so that a machine costs one write at the beginning and one at the end.
    """
    claim = components_claim(seen)
    said = find(seen.machine.status.conditions, COMPONENTS_READY)
    if claim.holds is not Switch.TRUE or said is None or said.reason != MachineReason.PROGRESSING.value:
        return claim
    return Claim.again(said)


def _lack(entry: ComponentEntry, report: ComponentReport | None) -> tuple[MachineReason, str] | None:
    """Give what a component lacks to be at target (version, configuration, running state), or None."""
    if report is None:
        return MachineReason.NOT_REPORTED, "the agent has not reported on it yet"
    if report.revision == entry.revision and report.reason:
        text = f"revision {entry.revision}: {report.reason}"
        return MachineReason.COMPONENT_FAILED, f"{text}: {report.message}" if report.message else text
    if report.revision != entry.revision:
        waits = f": {report.reason}: {report.message}" if report.reason in WAITS else ""
        text = f"revision {entry.revision} ({entry.component}) is not done yet{waits}"
        return MachineReason.PROGRESSING, text
    if entry.state is Running.ABSENT:
        found = report.state
        return (
            None
            if found is Running.ABSENT
            else (MachineReason.COMPONENT_STATE, f"is {found.value}, not Absent")
        )
    if report.component != entry.component:
        found_component = report.component or "nothing"
        return MachineReason.PROGRESSING, f"{found_component} is installed, not {entry.component}"
    held = "".join(f"; {text}" for text in (report.message, entry.held) if text)
    if report.config is not ConfigState.CURRENT:
        return MachineReason.COMPONENT_DRIFTED, f"its configuration is {report.config.value}{held}"
    if report.state is not entry.state:
        return MachineReason.COMPONENT_STATE, f"is {report.state.value}, not {entry.state.value}{held}"
    if report.drifting:
        return MachineReason.COMPONENT_DRIFTED, f"its version is {report.version or 'none'}{held}"
    return None


_HELD = {Phase.UPDATING: MachineReason.UPDATING, Phase.REPAIRING: MachineReason.REPAIRING}


def summary(phase: Phase, parts: Iterable[Claim]) -> Claim:
    """Claim Ready: True only in Running and when every part is; else the first part that is not.

    In Updating and Repairing it is False whatever the parts say: the machine may be disrupted any moment.
    """
    held = _HELD.get(phase)
    lacking = next((part for part in parts if part.holds is not Switch.TRUE), None)
    if held is not None:
        text = "" if lacking is None else f"{lacking.type}: {lacking.message or lacking.reason}"
        return Claim.of(READY, False, held.value, text)
    if lacking is not None:
        return Claim(type=READY, holds=lacking.holds, reason=lacking.reason, message=lacking.message)
    if phase is Phase.INITIALIZING:
        text = "all is well but the RiskLedger: without it nothing done here later could be counted"
        return Claim.of(READY, False, MachineReason.LEDGER_MISSING.value, text)
    if phase is not Phase.RUNNING:
        text = f"the machine is {phase.value}; change its spec"
        return Claim.of(READY, False, MachineReason.SPEC_NOT_ACTIONABLE.value, text)
    return Claim.of(READY, True, MachineReason.ALL_READY.value)


def _no_node(type: str, seen: MachineSnapshot) -> Claim:
    known = seen.machine.status.node_ref
    if known is not None:
        return Claim.of(type, False, MachineReason.NODE_GONE.value, f"Node {known.name} is no more")
    agent = seen.machine.status.agent
    name = agent.node_name if agent is not None else ""
    text = f"no Node {name} has registered yet" if name else "no Node has registered yet"
    return Claim.of(type, False, MachineReason.NODE_NOT_REGISTERED.value, text)


def _unknown(type: str, reason: MachineReason, message: str) -> Claim:
    return Claim(type=type, holds=Switch.UNKNOWN, reason=reason.value, message=message)
