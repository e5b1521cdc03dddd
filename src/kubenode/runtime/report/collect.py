"""The fold from what the store showed and the deciders said to what a report shows. It decides nothing.

Whoever runs an engine tells it: `changed` with every change of an object, `decided` with every decision
(an engine's `record`). `follow` does both for a simulation.
"""

from collections.abc import Iterable
from typing import Final

import attrs

from kubenode.core import model as m
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.core.model.operation import AnswerState
from kubenode.core.rollout.progress import Phase as SetPhase
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.report.data import (
    Act,
    Batch,
    Lane,
    Reason,
    ReportData,
    Rollout,
    State,
    Stretch,
    Wait,
)
from kubenode.runtime.report.usage import Usage
from kubenode.runtime.store.cache import Change

_BY_PHASE: Final = {
    "Updating": State.UPDATING, "Repairing": State.REPAIRING, "Draining": State.LEAVING, "Deleting": State.LEAVING,
    "Running": State.READY, "Unknown": State.DOWN, "Failed": State.DOWN,
}  # fmt: skip
"""Where a machine is, if its Node is Ready; every other phase is of a machine that joins."""


@attrs.define
class _Track:
    """One machine so far."""

    zone: str = ""
    node: str = ""
    phase: str = ""
    stretches: list[Stretch] = attrs.field(factory=list)
    acts: dict[str, Act] = attrs.field(factory=dict)


@attrs.define
class _Course:
    """One revision of a set so far."""

    component: str
    batches: dict[int, Batch] = attrs.field(factory=dict)
    reasons: list[Reason] = attrs.field(factory=list)
    pauses: list[Reason] = attrs.field(factory=list)


class Collector:
    """Folds changes and decisions; `data` may be asked at any time."""

    def __init__(self, began: m.Now) -> None:
        self._began = began
        self._tracks: dict[str, _Track] = {}
        self._ready: dict[str, bool] = {}
        self._zones: dict[str, str] = {}
        self._machines: dict[str, set[str]] = {}
        self._courses: dict[tuple[str, int], _Course] = {}
        self._latest: dict[str, _Course] = {}
        self._open: dict[tuple[str, str], dict[tuple[str, str, str], Wait]] = {}
        self._waited: list[Wait] = []
        self._usage = Usage()

    # The store.

    def changed(self, change: Change, at: int) -> None:
        """Fold one change of one object, seen at `at` (`Now.elapsed`)."""
        match change.after:
            case m.Machine():
                self._machine(change.after, at)
            case m.Node():
                self._node(change.after, at)
            case m.MachineComponentSet():
                self._set(change.after, at)
            case m.RiskLedger():
                self._usage.ledger(change.after.status.holds, at)
            case None if change.kind is m.Machine:
                self._gone(change.name, at)
            case _:
                pass
        if change.kind is m.RiskPolicy:
            self._usage.policy(change.name, change.after if isinstance(change.after, m.RiskPolicy) else None)

    def _machine(self, machine: m.Machine, at: int) -> None:
        name, status = machine.metadata.name, machine.status
        track = self._tracks.setdefault(name, _Track())
        node = status.agent.node_name if status.agent is not None and status.agent.node_name else ""
        node = node or (status.node_ref.name if status.node_ref is not None else "")
        track.phase = status.phase or "Pending"
        if node != track.node:
            self._machines.get(track.node, set()).discard(name)
            self._machines.setdefault(node, set()).add(name)
            track.node = node
        track.zone = self._zones.get(node, track.zone) or machine.metadata.labels.get(ZONE_LABEL, "")
        self._usage.counted(machine, track.zone)
        self._stand(track, at)
        for key, act in _asked(machine, at):
            track.acts.setdefault(key, act)
        for key, outcome in _answered(machine):
            act_there = track.acts.get(key)
            if act_there is not None and act_there.ended is None:
                track.acts[key] = attrs.evolve(act_there, ended=at, outcome=outcome)

    def _node(self, node: m.Node, at: int) -> None:
        name = node.metadata.name
        self._ready[name], self._zones[name] = node.ready, node.zone
        for machine in self._machines.get(name, ()):
            track = self._tracks[machine]
            track.zone = node.zone
            self._stand(track, at)

    def _gone(self, name: str, at: int) -> None:
        track = self._tracks.get(name)
        self._usage.forgotten(name)
        if track is not None and track.stretches and track.stretches[-1].ended is None:
            track.stretches[-1] = attrs.evolve(track.stretches[-1], ended=at)

    def _stand(self, track: _Track, at: int) -> None:
        """Note in which state a machine is from now on."""
        state = _BY_PHASE.get(track.phase, State.JOINING)
        if state is State.READY and not self._ready.get(track.node, False):
            state = State.DOWN
        last = track.stretches[-1] if track.stretches else None
        if last is not None and last.ended is None:
            if last.state is state:
                return
            track.stretches.pop()
            if last.began < at:
                track.stretches.append(attrs.evolve(last, ended=at))
        if track.stretches and track.stretches[-1].state is state and track.stretches[-1].ended == at:
            track.stretches[-1] = attrs.evolve(track.stretches[-1], ended=None)
        else:
            track.stretches.append(Stretch(state=state, began=at))

    def _set(self, one: m.MachineComponentSet, at: int) -> None:
        status = one.status
        self._usage.selects(one)
        if status.update is None:
            return
        key = (one.metadata.name, status.update.number)
        course = self._courses.setdefault(key, _Course(component=status.update.component))
        before = self._latest.get(one.metadata.name)
        if before is not None and before is not course:
            _end(before.pauses, at)
            _end(before.reasons, at)
        self._latest[one.metadata.name] = course
        for record in status.batches:
            known = course.batches.get(record.number)
            if known is not None and known.passed is None:
                course.batches[record.number] = attrs.evolve(
                    known, worked=at if known.worked is None else known.worked, passed=at, size=record.size,
                    updated=record.updated, failed=record.failed, skipped=record.skipped,
                )  # fmt: skip
        if status.batch is not None:
            _opened(course, status.batch, at)
        if status.phase == SetPhase.PAUSED.value:
            why = next((c.message for c in status.conditions if c.type == "Progressing"), "")
            _say(course.pauses, SetPhase.PAUSED.value, why, at)
        else:
            _end(course.pauses, at)

    # The decisions.

    def decided(self, decided: Decided) -> None:
        """Fold one decision: what it waits for, and by which limit."""
        at, key = decided.now.elapsed, (decided.key.controller, decided.key.name)
        notes = decided.decision.notes if decided.decision.deferred else ()
        if decided.key.controller == "rollout" and (course := self._latest.get(decided.key.name)) is not None:
            if notes:
                _say(course.reasons, notes[0].code, notes[0].text, at)
            else:
                _end(course.reasons, at)
        there = self._open.get(key, {})
        now: dict[tuple[str, str, str], Wait] = {}
        for note in notes:
            if note.limit is None:
                continue
            who, text = _asker(decided, note.text)
            place = (who, note.code, note.scope)
            before = there.get(place)
            observed = note.observed or 0
            if before is None:
                now[place] = Wait(
                    who=who, code=note.code, scope=note.scope, text=text, observed=observed,
                    limit=note.limit, began=at,
                )  # fmt: skip
            else:
                most = max(observed, before.observed)
                now[place] = attrs.evolve(before, text=text, observed=most, limit=note.limit)
        for place, wait in there.items():
            if place not in now and wait.began < at:
                self._waited.append(attrs.evolve(wait, ended=at))
        self._open[key] = now

    # The outcome.

    def data(self, title: str, now: m.Now, summary: str = "") -> ReportData:
        """Give what was seen until `now`."""
        lanes = [
            Lane(machine=name, zone=track.zone, stretches=tuple(track.stretches), acts=tuple(track.acts.values()))
            for name, track in self._tracks.items()
        ]  # fmt: skip
        rollouts = [
            Rollout(
                set=name, revision=revision, component=course.component, batches=tuple(course.batches.values()),
                reasons=tuple(course.reasons), pauses=tuple(course.pauses),
            )
            for (name, revision), course in self._courses.items() if course.batches
        ]  # fmt: skip
        waits = [*self._waited, *(wait for there in self._open.values() for wait in there.values())]
        return ReportData(
            title=title, summary=summary, wall=self._began.wall, begins=self._began.elapsed, ends=now.elapsed,
            lanes=tuple(sorted(lanes, key=lambda lane: (lane.zone, lane.machine))),
            rollouts=tuple(rollouts), permits=self._usage.permits(), bounds=self._usage.bounds(),
            waits=tuple(sorted(waits, key=lambda wait: (wait.began, wait.who, wait.scope))),
        )  # fmt: skip


def _asked(machine: m.Machine, at: int) -> Iterable[tuple[str, Act]]:
    """Give what is asked of the agent, by an identity that stays."""
    for name, entry in machine.spec.components.items():
        batch = f" batch {entry.batch}" if entry.batch else ""
        why = f"{entry.set} revision {entry.revision}{batch}"
        yield f"{name}:{entry.set}:{entry.revision}", Act(what=entry.component, why=why, began=at)
    operation = machine.spec.operation
    if operation is not None:
        why = f"{operation.job} attempt {operation.attempt}"
        yield operation.op_id, Act(what=operation.action, why=why, began=at)


def _answered(machine: m.Machine) -> Iterable[tuple[str, str]]:
    """Give what the agent says it is through with, and how it went."""
    agent = machine.status.agent
    if agent is None:
        return
    for name, entry in machine.spec.components.items():
        report = agent.components.get(name)
        if report is not None and report.revision == entry.revision:
            outcome = f"failed: {report.reason}" if report.reason else "done"
            yield f"{name}:{entry.set}:{entry.revision}", outcome
    if agent.operation is not None and agent.operation.state in (AnswerState.DONE, AnswerState.FAILED):
        failed = agent.operation.state is AnswerState.FAILED
        yield agent.operation.op_id, f"failed: {agent.operation.message}" if failed else "done"


def _opened(course: _Course, batch: m.Batch, at: int) -> None:
    known = course.batches.get(batch.number)
    if known is None:
        known = Batch(number=batch.number, size=len(batch.members), opened=at)
    states = [member.state for member in batch.members]
    course.batches[batch.number] = attrs.evolve(
        known, worked=at if known.worked is None and batch.closed_at is not None else known.worked,
        updated=states.count(m.MemberState.UPDATED), failed=states.count(m.MemberState.FAILED),
        skipped=states.count(m.MemberState.SKIPPED),
    )  # fmt: skip


def _say(reasons: list[Reason], code: str, text: str, at: int) -> None:
    """Go on with the reason that holds, or begin another."""
    last = reasons[-1] if reasons else None
    if last is not None and last.ended is None and last.code == code:
        reasons[-1] = attrs.evolve(last, text=text)
        return
    _end(reasons, at)
    reasons.append(Reason(code=code, text=text, began=at))


def _end(reasons: list[Reason], at: int) -> None:
    if reasons and reasons[-1].ended is None:
        last = reasons.pop()
        if last.began < at:
            reasons.append(attrs.evolve(last, ended=at))


def _asker(decided: Decided, text: str) -> tuple[str, str]:
    """Tell who waits: of the ledger's notes the machine that they begin with, else the key itself."""
    head, colon, tail = text.partition(": ")
    if decided.key.controller == "risk" and colon:
        return head, tail
    return str(decided.key), text
