"""What lets an episode of a machine begin or go on, whatever it is about: a condition of its Node, or its drift."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from kubenode.core.decision import Decision, Note
from kubenode.core.health.freeze import frozen
from kubenode.core.health.held import held_note, is_held
from kubenode.core.model.condition import find
from kubenode.core.model.machine import Machine
from kubenode.core.model.now import Now
from kubenode.core.model.remedy import NodeRemedier, RemedyOperationJob, RemedyOperationJobStatus
from kubenode.core.model.world import Node
from kubenode.core.policy import Policy
from kubenode.core.remedy.ladder import KNOWN_PHASES, is_closed, unrecognised

NODE_READY = "NodeReady"
CONTESTED = frozenset({"Conflict", "NodeChanged"})
"""Reasons by which the machine controller says that it is not certain which Node this machine is."""


def claimed(machine: Machine, node: Node | None) -> Node | None:
    """Give the Node, if it is the incarnation that the machine was Running with."""
    known = machine.status.node_ref
    if machine.status.first_running is None or node is None or known is None:
        return None
    return node if known.uid and known.uid == node.metadata.uid else None


def contest(machine: Machine) -> Note | None:
    """Say that it is not certain which Node this machine is; then nothing is done to either (S12)."""
    claim = find(machine.status.conditions, NODE_READY)
    if claim is None or claim.reason not in CONTESTED:
        return None
    return Note(code=claim.reason, text=f"machine {machine.metadata.name}: {claim.message}")


def stopped_by_people(
    machine: Machine, node: Node, sets: tuple[str, ...], policy: Policy, now: Now, sightings: Mapping[str, int]
) -> Note | None:  # fmt: skip
    """Say that people let nothing begin with this machine: its label, or a freeze of a scope it is in."""
    name = machine.metadata.name
    if is_held(machine, node):
        return held_note(name)
    return frozen(node.zone, sets, policy.limits, now, sightings, region=node.region, machine=name)


def newer(machine: Machine, jobs: Iterable[RemedyOperationJob], *others: NodeRemedier) -> Note | None:
    """Say which object a newer version wrote, or None; what is not understood is not touched."""
    open_jobs = [one for one in jobs if not is_closed(one)]
    objects: list[Machine | RemedyOperationJob | NodeRemedier] = [machine, *open_jobs, *others]
    for obj in sorted(objects, key=lambda obj: (obj.KIND.name, obj.metadata.name)):
        if obj.metadata.unknown:
            return newer_note(obj)
    strange = [one for one in open_jobs if one.status.phase not in KNOWN_PHASES]
    if not strange:
        return None
    first = min(strange, key=lambda one: one.metadata.name)
    text = f"RemedyOperationJob {first.metadata.name} is in phase {first.status.phase}, which is a newer version's"
    return Note(code="NewerVersion", text=text)


def left_alone(
    job: RemedyOperationJob | None, why: Note, wall: datetime
) -> Decision[RemedyOperationJobStatus]:
    """Do nothing, since something is a newer version's; where that is the open episode, its status says so."""
    if job is None:
        return Decision(notes=(why,))
    strange = job.metadata.unknown or job.status.phase not in KNOWN_PHASES
    return Decision(status=unrecognised(job, why.text, wall) if strange else job.status, notes=(why,))


def newer_note(obj: Machine | RemedyOperationJob | NodeRemedier) -> Note:
    """Say that an object is a newer version's, and by which fields."""
    fields = ", ".join(sorted(obj.metadata.unknown))
    return Note(
        code="NewerVersion",
        text=f"{obj.KIND.name} {obj.metadata.name} is a newer version's: {fields} is not known here",
    )
