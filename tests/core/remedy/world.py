"""A tiny world around core/remedy: one machine, a ledger that grants, an agent that answers, a Node that heals or not."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Create, Decision, Delete, RebootInstance, SetOperation
from kubenode.core.errors import Problem
from kubenode.core.health.zones import ZoneTally
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.model.world import NodeInfo
from kubenode.core.policy import Policy
from kubenode.core.remedy.case import Planned
from kubenode.core.remedy.decide import RemedySnapshot, decide
from kubenode.core.remedy.ladder import ENDED, is_closed, open_job
from kubenode.core.step import ReplaceMachine

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = 1_000_000_000
HUNG = "KernelDeadlock"
STEPS: Mapping[str, Planned] = {
    "restart-unit": (m.OperationStep(action=m.StepAction.RESTART_UNIT, unit="containerd.service"),),
    "reboot": (m.OperationStep(action=m.StepAction.REBOOT),),
    "replace": ReplaceMachine(),
}
NORMAL = {"b": ZoneTally(nodes=10, not_ready=1)}
OUTAGE = {"b": ZoneTally(nodes=10, not_ready=7)}


def remedier(name: str = "hung", **changes: Any) -> m.NodeRemedier:
    """Make a remedier of two rungs: 30 s of KernelDeadlock, proven by 10 s of health within 60 s."""
    spec = m.NodeRemedierSpec(
        condition=m.ConditionMatch(type=HUNG, lasting=timedelta(seconds=30)),
        ladder=(
            m.Rung(action="restart-unit", timeout=timedelta(seconds=40)),
            m.Rung(action="reboot", timeout=timedelta(minutes=5)),
        ),
        verification=m.Verification(dwell=timedelta(seconds=10), timeout=timedelta(seconds=60)),
    )
    return m.NodeRemedier(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=attrs.evolve(spec, **changes)
    )


def machine(**spec: Any) -> m.Machine:
    """Make machine n7, which was Running with its Node."""
    return m.Machine(
        metadata=m.ObjectMeta(name="n7", uid="uid-n7", labels={"pool": "a"}),
        spec=m.MachineSpec(host=m.Host(address="10.0.0.7"), **spec),
        status=m.MachineStatus(
            phase="Running", node_ref=m.NodeRef(name="node-7", uid="uid-node"), first_running=START,
            agent=m.AgentStatus(node_name="node-7", boot_id="boot-1"),
        ),
    )  # fmt: skip


def node(hung: m.Switch | None = m.Switch.FALSE, ready: m.Switch = m.Switch.TRUE) -> m.Node:
    """Make its Node in zone b; `hung` None leaves the condition out."""
    conditions = [m.NodeCondition(type="Ready", status=ready)]
    if hung is not None:
        conditions.append(
            m.NodeCondition(type=HUNG, status=hung, reason="TaskHung", message="task x blocked")
        )
    return m.Node(
        metadata=m.ObjectMeta(
            name="node-7", uid="uid-node", labels={"topology.kubernetes.io/zone": "b"}, resource_version="1"
        ),
        status=m.NodeStatus(conditions=tuple(conditions)),
    )


@attrs.define(kw_only=True)
class World:
    """What stands in the API, and how ledger, agent and Node behave.

    Attributes:
        heals: actions that make the Node well when done.
        answers: by action; None is silence.
        granting: whether the ledger grants.
        written: every operation that was written, in order.
        done: op-ids that the agent really ran, in order.
        stand_in: what the provider can do in the place of a silent agent.
        answer: of the provider, to what it was asked last, in the life of this process.
        asked: every restart that the provider was asked for, in order; each one is done.
        boots: how often the host was started.
        crash: told of every decision by its number; gives how many of its acts (status first) are done
            before the process is gone with its memory, or None to do them all.
    """

    policy: Policy = attrs.field(factory=lambda: Policy(remediers=(remedier(),)))
    machine: m.Machine = attrs.field(factory=machine)
    node: m.Node | None = attrs.field(factory=lambda: node(m.Switch.TRUE))
    jobs: dict[str, m.RemedyOperationJob] = attrs.field(factory=dict)
    holds: set[str] = attrs.field(factory=set)
    zones: Mapping[str, ZoneTally] = attrs.field(factory=lambda: NORMAL)
    broken: Mapping[tuple[str, int], Problem] = attrs.field(factory=dict)
    elapsed: int = 0
    sightings: Mapping[str, int] = attrs.field(factory=dict)
    heals: frozenset[str] = frozenset({"restart-unit", "reboot"})
    answers: Mapping[str, m.AnswerState | None] = attrs.field(factory=dict)
    granting: bool = True
    written: list[m.Operation] = attrs.field(factory=list)
    done: list[str] = attrs.field(factory=list)
    decisions: int = 0
    crash: Callable[[int], int | None] = lambda _: None
    stand_in: Planned | None = None
    answer: ProviderAnswer | None = None
    asked: list[RebootInstance] = attrs.field(factory=list)
    boots: int = 1

    @property
    def now(self) -> m.Now:
        """The moment, on both readings."""
        return m.Now(wall=START + timedelta(microseconds=self.elapsed // 1000), elapsed=self.elapsed)

    @property
    def job(self) -> m.RemedyOperationJob:
        """The latest job."""
        return max(self.jobs.values(), key=lambda job: (job.spec.episode, job.metadata.name))

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """What the latest job tried, and how it ended."""
        return [(one.action, one.state.value) for one in self.job.status.attempts]

    def snapshot(self) -> RemedySnapshot:
        """Make the snapshot, as the controller does."""
        steps = {
            (one.metadata.name, index): self.broken.get((one.metadata.name, index), STEPS[rung.action])
            for one in self.policy.remediers
            for index, rung in enumerate(one.spec.ladder)
        }
        return RemedySnapshot(
            machine=self.machine, node=self.node, jobs=tuple(self.jobs.values()), holds=frozenset(self.holds),
            zones=self.zones, steps=steps, stand_in=self.stand_in, answer=self.answer, now=self.now,
            sightings=self.sightings,
        )  # fmt: skip

    def subject(self) -> m.RemedyOperationJob | None:
        """Give the job whose status is decided."""
        return open_job(self.jobs.values())

    def decide(self) -> Decision[m.RemedyOperationJobStatus]:
        """Decide, and keep the sightings, but do nothing."""
        decision = decide(self.snapshot(), self.policy)
        self.sightings = decision.sightings
        return decision

    def step(self) -> bool:
        """Decide and do it, or as much of it as the process lives for; tell whether anything changed."""
        subject = self.subject()
        decision = self.decide()
        todo: list[object] = []
        if subject is not None and decision.status is not None and decision.status != subject.status:
            todo.append(decision.status)
        todo += decision.effects
        if not todo:
            return False
        lives_for = self.crash(self.decisions)
        self.decisions += 1
        for act in todo if lives_for is None else todo[:lives_for]:
            self._apply(act, subject)
        if lives_for is not None:
            self.sightings, self.answer = {}, None
        return True

    def _apply(self, act: object, subject: m.RemedyOperationJob | None) -> None:
        match act:
            case Create(object=m.RemedyOperationJob() as job):
                metadata = attrs.evolve(job.metadata, uid=f"uid-{job.metadata.name}")
                self.jobs.setdefault(job.metadata.name, attrs.evolve(job, metadata=metadata))
            case SetOperation():
                assert act.expect == self.machine.spec.operation
                self._set_operation(act.operation)
                if act.operation is not None:
                    self.written.append(act.operation)
            case RebootInstance():
                self.asked.append(act)
                self.boots += 1
                self.answer = ProviderAnswer(op_id=act.op_id, at=self.elapsed)
                if "reboot-instance" in self.heals:
                    self.heal()
                else:
                    self.node = self._booted(self.node)
            case Delete():
                assert act.object.uid == self.machine.metadata.uid
                meta = attrs.evolve(self.machine.metadata, deletion_timestamp=self.now.wall)
                self.machine = attrs.evolve(self.machine, metadata=meta)
            case m.RemedyOperationJobStatus():
                assert subject is not None
                self.jobs[subject.metadata.name] = attrs.evolve(subject, status=act)
            case _:
                raise AssertionError(act)

    def _set_operation(self, operation: m.Operation | None) -> None:
        self.machine = attrs.evolve(self.machine, spec=attrs.evolve(self.machine.spec, operation=operation))

    def ledger(self) -> bool:
        """Release what has ended, and grant one permit if none is out."""
        before = set(self.holds)
        over = {
            attempt.op_id for job in self.jobs.values() for attempt in job.status.attempts
            if is_closed(job) or attempt.state in ENDED
        }  # fmt: skip
        self.holds -= over
        asking = [
            attempt.op_id for job in self.jobs.values() for attempt in job.status.attempts
            if not is_closed(job) and attempt.state is m.AttemptState.WAITING
        ]  # fmt: skip
        if self.granting and asking and not self.holds:
            self.holds.add(min(asking))
        return before != self.holds

    def agent(self) -> bool:
        """Let the agent do what it is asked to, once, and answer; tell whether it did."""
        operation = self.machine.spec.operation
        answer = None if operation is None else self.answers.get(operation.action, m.AnswerState.DONE)
        if operation is None or answer is None:
            return False
        if operation.op_id not in self.done:
            self.done.append(operation.op_id)
        said = m.OperationAnswer(op_id=operation.op_id, state=answer, message="as told")
        status = self.machine.status.agent or m.AgentStatus()
        if status.operation == said:
            return False
        if answer is m.AnswerState.DONE and operation.action in self.heals:
            self.heal()
            status = self.machine.status.agent or status
        self.machine = attrs.evolve(
            self.machine,
            status=attrs.evolve(self.machine.status, agent=attrs.evolve(status, operation=said)),
        )
        return True

    def heal(self) -> None:
        """Let what was done help."""
        self.node = self._booted(node(m.Switch.FALSE))

    def _booted(self, one: m.Node | None) -> m.Node | None:
        """Let the Node say in which boot it is, where a provider is there to start it."""
        if one is None or self.stand_in is None:
            return one
        info = NodeInfo(boot_id=f"boot-{self.boots}")
        return attrs.evolve(one, status=attrs.evolve(one.status, node_info=info))

    def settle(self) -> None:
        """Let all go on until nothing moves at this moment."""
        for _ in range(200):
            if not any([self.step(), self.ledger(), self.agent()]):
                return
        raise AssertionError("it never settles")

    def run(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline."""
        end = self.elapsed + int(seconds * SECOND)
        while True:
            self.settle()
            wake = self.decide().wake_at
            if wake is None or wake > end:
                self.elapsed = end
                self.settle()
                return
            assert wake > self.elapsed
            self.elapsed = wake

    def say(self, hung: m.Switch | None = m.Switch.FALSE, ready: m.Switch = m.Switch.TRUE) -> None:
        """Change what the Node says, and let it be seen."""
        self.node = node(hung, ready)
        self.settle()


def closed_job(
    *, episode: int = 0, phase: m.JobPhase = m.JobPhase.SUCCEEDED, rung: int = 0,
    ago: timedelta = timedelta(minutes=30), first_rung: int = 0, withdrawn: bool = False,
) -> m.RemedyOperationJob:  # fmt: skip
    """Make a closed episode of remedier `hung` whose last attempt was on `rung`."""
    succeeded = phase is m.JobPhase.SUCCEEDED and not withdrawn
    state = m.AttemptState.SUCCEEDED if succeeded else m.AttemptState.FAILED
    attempt = m.Attempt(
        number=1, rung=rung, action="restart-unit", op_id=f"remedy-old-{episode}", state=state, since=START,
        verdict="withdrawn: because" if withdrawn else "because",
    )  # fmt: skip
    return m.RemedyOperationJob(
        metadata=m.ObjectMeta(name=f"n7-old{episode}", uid=f"uid-old{episode}"),
        spec=m.RemedyOperationJobSpec(
            machine=m.MachineRef(name="n7", uid="uid-n7"), remedier="hung", episode=episode,
            first_rung=first_rung, cause=m.EpisodeCause(type=HUNG),
        ),
        status=m.RemedyOperationJobStatus(phase=phase.value, attempts=(attempt,), closed_at=START - ago),
    )  # fmt: skip
