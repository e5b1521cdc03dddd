"""One decision per machine: open an episode of drift, or bring the open one a step further.

Drift of class none or restart the agent repairs by itself (core/host/drift). What drains or reboots always asks:
here the agent's report opens a job, which asks for a permit as any remedy does, lets the agent repair by
`Machine.spec.operation`, and proves that the drift is gone. It is an episode (`episode.py`) of the built-in ladder below.
Called by runtime/controller/repair.py, the simulator and replay.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Create, Decision, Note
from kubenode.core.health.freeze import thaws
from kubenode.core.health.held import allows_drift
from kubenode.core.health.zones import ZoneTally, open_breaker
from kubenode.core.model.component import REPAIRABLE, MachineComponent
from kubenode.core.model.entry import ComponentEntry, ComponentReport
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import FORCED, ObjectMeta
from kubenode.core.model.now import Now, moment
from kubenode.core.model.operation import OperationStep, StepAction
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import (
    Cause,
    ConditionMatch,
    JobPhase,
    MachineRef,
    NodeRemedier,
    NodeRemedierSpec,
    RemedyOperationJob,
    RemedyOperationJobSpec,
    RemedyOperationJobStatus,
    Rung,
    origin_of_drift,
)
from kubenode.core.model.world import Node
from kubenode.core.policy import Policy
from kubenode.core.remedy.case import Answer, Case, ended
from kubenode.core.remedy.episode import advance
from kubenode.core.remedy.grounds import claimed, contest, left_alone, newer, stopped_by_people
from kubenode.core.remedy.ladder import (
    cleared,
    first_rung,
    is_humans_turn,
    job_of,
    last_closed,
    next_episode,
    open_repair,
)
from kubenode.core.remedy.worn import worn_out

DRIFTED: Final = "Drifted"
ENTRY_GONE: Final = "its component is no more wanted here, or not of class drain or reboot any more"
SETTLE: Final = timedelta(seconds=30)
"""How long a drift must be seen before it asks: so that repair of what very many report at once is held before."""
ATTEMPTS: Final = 3
LADDER: Final = NodeRemedier(
    metadata=ObjectMeta(name="drift"),
    spec=NodeRemedierSpec(
        condition=ConditionMatch(type=DRIFTED),
        ladder=(Rung(action="repair", timeout=timedelta(minutes=15)),) * ATTEMPTS,
    ),
)
"""What is done about drift: three repairs, each with its own permit, then a human. No object of the store."""
DRAINS: Final = frozenset(rung.action for rung in LADDER.spec.ladder)
"""All of them: what repairs itself without a permit needs no drain, and the rest does."""


@attrs.frozen(kw_only=True)
class RepairSnapshot:
    """One machine, what its agent reports of its components, and its episodes.

    Attributes:
        node: the Node by the name this machine is known by; None when there is none.
        components: by their own names, those that entries name and that are there.
        jobs: all episodes of this machine's uid, open and closed, in any order; those of remediers too.
        holds: op-ids that are open in the ledger.
        zones: the tally of every zone.
        sets: names of all MachineComponentSets that select the machine; a freeze may name one.
    """

    machine: Machine
    node: Node | None = None
    components: Mapping[str, MachineComponent] = attrs.field(factory=dict)
    jobs: tuple[RemedyOperationJob, ...] = ()
    holds: frozenset[str] = frozenset()
    zones: Mapping[str, ZoneTally] = attrs.field(factory=dict)
    sets: tuple[str, ...] = ()
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN

    def drifts(self, name: str) -> bool:
        """Tell whether the agent reports of an entry, as it stands, that it was at target and is not now; what is allowed is none."""
        entry, report = self.machine.spec.components.get(name), _reports(self.machine).get(name)
        drifts = entry is not None and report is not None and report.drifting and report.is_of(entry)
        return drifts and not allows_drift(self.machine, name)

    def asks(self, entry: ComponentEntry) -> bool:
        """Tell whether repair of an entry takes a permit; no while its component is not known or not understood."""
        component = self.components.get(entry.component)
        if component is None or component.metadata.unknown:
            return False
        return component.spec.disruption not in REPAIRABLE


def is_of_interest(machine: Machine, jobs: Iterable[RemedyOperationJob]) -> bool:
    """Tell whether anything can be decided about a machine: it drifts, or an episode of drift is open or was handed over."""
    done_with = (JobPhase.SUCCEEDED.value, JobPhase.CANCELLED.value)
    return any(report.drifting for report in _reports(machine).values()) or any(
        job.spec.component and job.status.phase not in done_with for job in jobs
    )


def _reports(machine: Machine) -> Mapping[str, ComponentReport]:
    return {} if machine.status.agent is None else machine.status.agent.components


def decide(seen: RepairSnapshot, policy: Policy) -> Decision[RemedyOperationJobStatus]:
    """Decide what is to be done about the drift of one machine that must not be repaired without a permit.

    Returns:
        `status` is that of `open_repair(seen.jobs)`; None when there is none. At most one effect: the next job, or
        the Machine's operation.

    Invariants: an operation is written only when its attempt stands as Acting in the job as read, and its op-id
    among the holds; no job is opened while a breaker of the zone is open, its scope is frozen, the machine is held, or
    the controller holds repair of the component; at most one episode of drift is open a machine.
    Source: api.md section 3 ("Asking is state") and section 4 ("Drift").
    """
    job = open_repair(seen.jobs)
    strange = newer(seen.machine, seen.jobs)
    if strange is not None:
        return left_alone(job, strange, seen.now.wall)
    answer = _watched(seen, policy) if job is None else _advanced(seen, policy, job)
    return answer.decision


# Without an open job.


def _watched(seen: RepairSnapshot, policy: Policy) -> Answer:
    """Look whether an episode begins: of the first entry by name that drifts and is nobody else's turn."""
    node, doubt = claimed(seen.machine, seen.node), contest(seen.machine)
    if node is None or seen.machine.metadata.deletion_timestamp is not None:
        return Answer()
    if doubt is not None:
        return Answer(notes=(doubt,))
    clear = _cleared(seen, node)
    frosts = thaws(policy.limits, seen.now, seen.sightings)
    stop = _stop(seen, policy, node)
    notes: list[Note] = []
    since: dict[str, int] = {}
    waits: list[int] = []
    for name, entry in _asking(seen):
        if is_humans_turn(last_closed(seen.jobs, origin_of_drift(name)), clear):
            notes.append(_handed_over(name))
            continue
        obstacle = _held(name, entry) or stop
        if obstacle is not None:  # nothing is remembered: when it is over, the drift is looked at anew
            notes.append(obstacle)
            waits += frosts.values()
            continue
        key = f"drifting:{name}:{entry.revision}"
        since[key] = min(seen.sightings.get(key, seen.now.elapsed), seen.now.elapsed)
        due = since[key] + nanoseconds(SETTLE)
        if seen.now.elapsed >= due:
            opened = Create(object=_opened(seen, name, entry))
            return Answer(effects=(opened,), notes=tuple(notes), sightings={**clear, **frosts, **since})
        notes.append(
            Note(code="NotYet", text=f"{name}: drifted; it asks for a permit when that lasts", frees_at=due)
        )
        waits.append(due)
    return Answer(
        notes=tuple(dict.fromkeys(notes)), sightings={**clear, **frosts, **since}, deadlines=tuple(waits),
        deferred=any(note.code != JobPhase.HANDED_OVER.value for note in notes),
    )  # fmt: skip


def _asking(seen: RepairSnapshot) -> tuple[tuple[str, ComponentEntry], ...]:
    """Give the entries that drift and whose repair takes a permit, by name."""
    entries = sorted(seen.machine.spec.components.items())
    return tuple((name, entry) for name, entry in entries if seen.drifts(name) and seen.asks(entry))


def _held(name: str, entry: ComponentEntry) -> Note | None:
    """Say that the controller holds repair of a component: so many drift that a person is to look."""
    if not entry.held:
        return None
    return Note(code="DriftHeld", text=f"{name}: {entry.held}", scope=f"component={name}")


def _stop(seen: RepairSnapshot, policy: Policy, node: Node) -> Note | None:
    return open_breaker(node.zone, seen.zones, policy.limits) or stopped_by_people(
        seen.machine, node, seen.sets, policy, seen.now, seen.sightings
    )


def _cleared(seen: RepairSnapshot, node: Node) -> dict[str, int]:
    """Remember of each component whose drift was handed over since when it was seen at target on a Ready Node."""
    found: dict[str, int] = {}
    dwell = LADDER.spec.verification.dwell
    for name in sorted({job.spec.component for job in seen.jobs}):
        last = last_closed(seen.jobs, origin_of_drift(name))
        found |= cleared(last, dwell, seen.now, seen.sightings, clear=_is_clear(seen, name, node))
    return found


def _is_clear(seen: RepairSnapshot, name: str, node: Node) -> bool:
    return node.ready and not seen.drifts(name)


def _handed_over(name: str) -> Note:
    text = f"{name}: repair of its drift was tried {ATTEMPTS} times, or too often; it is a human's turn until it is at target"
    return Note(code=JobPhase.HANDED_OVER.value, text=text)


def _opened(seen: RepairSnapshot, name: str, entry: ComponentEntry) -> RemedyOperationJob:
    """Make the job of the episode that begins; all of it follows from what is stored, its name from three things alone."""
    machine, last = seen.machine.metadata, last_closed(seen.jobs, origin_of_drift(name))
    return job_of(
        RemedyOperationJobSpec(
            machine=MachineRef(name=machine.name, uid=machine.uid), component=name, episode=next_episode(last),
            first_rung=first_rung(last, LADDER, seen.now.wall),
            cause=Cause(type=DRIFTED, message=f"{name} is not any more as {entry.component} wants it"),
        )
    )  # fmt: skip


# With an open job.


def _advanced(seen: RepairSnapshot, policy: Policy, job: RemedyOperationJob) -> Answer:
    """Bring the open episode a step further, and keep what is seen of those that were handed over."""
    doubt, name = contest(seen.machine), job.spec.component
    if seen.machine.metadata.deletion_timestamp is not None:
        return ended(job, JobPhase.CANCELLED, "the machine is being deleted", seen.now.wall)
    if doubt is not None:
        return Answer(status=job.status, notes=(doubt,))
    node = claimed(seen.machine, seen.node)
    if node is None:
        return ended(job, JobPhase.CANCELLED, "the Node that this episode was about is gone", seen.now.wall)
    entry = seen.machine.spec.components.get(name)
    wanted = entry is not None and seen.asks(entry)
    forced = FORCED in job.metadata.annotations
    frosts = thaws(policy.limits, seen.now, seen.sightings)
    held = None if entry is None else _held(name, entry)
    step = OperationStep(action=StepAction.REPAIR, component=name)
    answer = advance(Case(
        machine=seen.machine, job=job, remedier=LADDER if wanted else None, gone=ENTRY_GONE,
        clear=_is_clear(seen, name, node), stop=None if forced else held or _stop(seen, policy, node),
        worn=None if forced else worn_out(seen.machine.metadata.name, seen.jobs, policy.attempt_limits, seen.now),
        planned=dict.fromkeys(range(ATTEMPTS), (step,)), holds=seen.holds, drains=DRAINS, jobs=seen.jobs, now=seen.now,
        sightings=seen.sightings,
    ))  # fmt: skip
    kept = {**_cleared(seen, node), **answer.sightings, **frosts}
    return attrs.evolve(answer, sightings=kept, deadlines=(*answer.deadlines, *frosts.values()))


__all__ = ["ATTEMPTS", "LADDER", "RepairSnapshot", "decide", "is_of_interest"]
