"""One entry of a machine: what is reported of it, and what would bring it to target.

`decide.py` chooses among the acts of all entries and of the operation.
"""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import Note, RunSteps
from kubenode.core.errors import Problem, refusal
from kubenode.core.hookspecs import Have
from kubenode.core.host.dependencies import CIRCLE, Obstacle, obstacles
from kubenode.core.host.drift import (
    INSTALL_FAILED,
    Drift,
    Repairs,
    drifted,
    not_again,
    remembered,
    repair,
    repairs,
    was_at_target,
)
from kubenode.core.host.journal import ROLLED_BACK, JournalState
from kubenode.core.host.plan import RESUME_PAUSE, Tries, is_at_target, pause, tries, whole
from kubenode.core.host.snapshot import NodeSnapshot
from kubenode.core.host.turn import Turn
from kubenode.core.model.component import REPAIRABLE, MachineComponent
from kubenode.core.model.entry import (
    COMPONENT_MISSING,
    JOURNAL_UNWRITABLE,
    WAITS,
    ComponentEntry,
    ComponentReport,
    ConfigState,
    Running,
)
from kubenode.core.model.meta import ref
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.step import Step


def judged(seen: NodeSnapshot) -> Mapping[str, tuple[ComponentReport, Turn]]:
    """Report on every entry and say what would mend it, by name and in the order of names."""
    entries = seen.machine.spec.components
    done = [name for name in entries if _is_done(seen, name)]
    waits = obstacles(entries, seen.components, done)
    withheld = None
    if seen.host.withheld:  # what circles is told nevertheless: it stays when this is over
        withheld = Obstacle(reason=JOURNAL_UNWRITABLE, text=seen.host.withheld)
    return {
        name: _component(seen, name, entry, waits.get(name, withheld))
        for name, entry in sorted(entries.items())
    }


def _is_done(seen: NodeSnapshot, name: str) -> bool:
    return seen.is_at_target(name) and not isinstance(seen.plans.get(name, ()), Problem)


def _component(
    seen: NodeSnapshot, name: str, entry: ComponentEntry, obstacle: Obstacle | None
) -> tuple[ComponentReport, Turn]:
    """Report on one entry, say what would mend it, and remember what was repaired."""
    component = seen.components.get(entry.component)
    done = None if component is None else repairs(seen.machine, name, entry, component, seen.host.journal)
    kept = remembered(name, () if done is None else done.begun, seen.sightings, seen.now.elapsed)
    known = attrs.evolve(seen, sightings={**seen.sightings, **kept})
    report, turn = _judged(known, name, entry, done, obstacle)
    return report, attrs.evolve(turn, sightings={**kept, **turn.sightings})


def _judged(
    seen: NodeSnapshot, name: str, entry: ComponentEntry, done: Repairs | None, obstacle: Obstacle | None
) -> tuple[ComponentReport, Turn]:
    """Report on one entry, and say what would mend it.

    Args:
        seen: the snapshot; its sightings are those that still count.
        name: of the entry.
        entry: what is wanted.
        done: what was repaired of it; None when there is no such component.
        obstacle: for what it waits; None when it may be begun.
    """
    component = seen.components.get(entry.component)
    before = _before(seen, name, entry, component)
    blind = attrs.evolve(before, config=ConfigState.UNKNOWN)
    if component is None or done is None:
        # Reported under the revision before, so this is no failure yet: the object may be on its way.
        text = f"there is no MachineComponent {entry.component}"
        note = Note(code=COMPONENT_MISSING, text=f"{name}: {text}")
        return attrs.evolve(blind, reason=COMPONENT_MISSING, message=text), Turn(note=note)
    if component.metadata.unknown:
        text = f"MachineComponent {entry.component} is a newer version's"
        return blind, Turn(note=Note(code="NewerVersion", text=f"{name}: {text}"))
    plan, have = seen.plans.get(name, ()), seen.have.get(name)
    if isinstance(plan, Problem):
        reason, text = refusal(plan)
        note = Note(code=reason, text=f"{name}: {text}")
        if reason in WAITS:
            return _waits(blind, entry, reason, text), Turn(note=note)
        failed = attrs.evolve(blind, revision=entry.revision, reason=reason, message=text)
        return failed, Turn(note=note)
    if have is None:
        return blind, Turn(note=Note(code="NotLooked", text=f"{name}: nobody has looked yet"))
    if is_at_target(entry, component, have):
        return _at_target(before, entry, have), Turn()
    report, turn = _astray(seen, name, _Found(before, entry, component, have, plan, done))
    return (report, turn) if obstacle is None else _kept(report, turn, name, entry, obstacle)


def _before(
    seen: NodeSnapshot, name: str, entry: ComponentEntry, component: MachineComponent | None
) -> ComponentReport:
    """Give what was reported of an entry.

    Nothing is begun before its entry is reported on. So where nothing is reported, and the journal says that its steps were
    done, the entry was taken away since and has come back: what it wants was installed, and anything else is drift.
    """
    found = seen.before.components.get(name)
    if found is not None or component is None:
        return found or ComponentReport()
    tried = tries(seen.machine, name, entry, component, seen.host.journal)
    if tried.last is None or tried.last.state is not JournalState.DONE:
        return ComponentReport()
    return ComponentReport(component=entry.component, revision=entry.revision)


@attrs.frozen
class _Found:
    """An entry that was looked at."""

    before: ComponentReport
    entry: ComponentEntry
    component: MachineComponent
    have: Have
    plan: tuple[Step, ...]
    done: Repairs


def _astray(seen: NodeSnapshot, name: str, found: _Found) -> tuple[ComponentReport, Turn]:
    """Report on an entry that is not at target: it drifted, or never was there."""
    failing = seen.failing.get(name, "")
    before, entry, component, have = found.before, found.entry, found.component, found.have
    if was_at_target(before, entry):
        as_found = attrs.evolve(before, version=have.version[:128], config=have.config, state=have.state)
        drift = Drift(
            machine=seen.machine, name=name, entry=entry, component=component, plan=found.plan, done=found.done,
            stored=before.drifting, boot_id=seen.host.boot_id, seen=seen.sightings, now=seen.now.elapsed,
        )  # fmt: skip
        report, turn = drifted(before, as_found, found.done.last, seen.now.wall), repair(drift)
    else:
        tried = tries(seen.machine, name, entry, component, seen.host.journal)
        report = _off_target(before, entry, have, tried)
        turn = _mend(seen, name, component, found.plan, tried)
    return (report if report.reason else attrs.evolve(report, message=failing)), turn


def _kept(
    report: ComponentReport, turn: Turn, name: str, entry: ComponentEntry, obstacle: Obstacle
) -> tuple[ComponentReport, Turn]:
    """Keep an entry from being begun, and say why. What waits for an event has no deadline."""
    note = Note(code=obstacle.reason, text=f"{name}: {obstacle.text}")
    would_act = turn.run is not None or turn.due is not None
    kept = Turn(note=note, sightings=turn.sightings, waits=would_act)
    if obstacle.reason == CIRCLE and not report.drifting:
        failed = attrs.evolve(report, revision=entry.revision, reason=CIRCLE, message=obstacle.text)
        return failed, kept
    return _waits(report, entry, obstacle.reason, obstacle.text), kept


def _waits(report: ComponentReport, entry: ComponentEntry, reason: str, text: str) -> ComponentReport:
    """Report for what a revision waits; as a message only where a reason would mean that this very revision failed."""
    if report.revision != entry.revision:
        return attrs.evolve(report, reason=reason, message=text)
    return report if report.reason else attrs.evolve(report, message=text)


def _at_target(before: ComponentReport, entry: ComponentEntry, have: Have) -> ComponentReport:
    """Report an entry as at target. What is to be Absent and is has no configuration, and counts as Current."""
    config = ConfigState.CURRENT if entry.state is Running.ABSENT else have.config
    return ComponentReport(
        component=entry.component, revision=entry.revision, version=have.version[:128], config=config,
        state=have.state, drifted_at=before.drifted_at if before.component == entry.component else None,
    )  # fmt: skip


def _off_target(before: ComponentReport, entry: ComponentEntry, have: Have, tried: Tries) -> ComponentReport:
    """Report what is found. `component` stays the one that was last installed whole, also when the new one failed."""
    # The failure of an older revision is reported until this one succeeds or fails; this one's own is in the journal.
    stays = before.revision != entry.revision and before.reason not in WAITS
    report = attrs.evolve(
        before, version=have.version[:128], config=have.config, state=have.state, drifting=False,
        reason=before.reason if stays else "", message=before.message if stays else "",
    )  # fmt: skip
    if tried.failed is None:
        return report
    why = tried.failed.message.removeprefix(f"{ROLLED_BACK}: ")
    return attrs.evolve(
        report, revision=entry.revision, reason=ROLLED_BACK if tried.failed.is_rolled_back else INSTALL_FAILED,
        message=why[:2048] or "a step failed",
    )  # fmt: skip


def _mend(
    seen: NodeSnapshot, name: str, component: MachineComponent, plan: tuple[Step, ...], tried: Tries
) -> Turn:
    """Begin the next try of an entry that is not at target, after the pause that the last one asks for."""
    if not plan:
        return Turn(note=Note(code="NotAtTarget", text=f"{name}: not at target, and its driver has no steps"))
    if tried.last is not None and tried.last.state is JournalState.DONE:
        failing = seen.failing.get(name)
        why = f"; {failing}" if failing else ""
        return Turn(note=Note(code="NotAtTarget", text=f"{name}: installed, and yet not at target{why}"))
    if tried.last is not None and tried.last.is_running(seen.host.boot_id):
        return Turn()
    if tried.last is not None and tried.last.is_rolled_back:
        return Turn(note=not_again(name, tried.last))
    run = RunSteps(
        machine=ref(seen.machine), op_id=tried.next_op_id, steps=whole(plan, component.spec.disruption),
        answers=name, disruption=component.spec.disruption,
    )  # fmt: skip
    if tried.last is None:
        return Turn(run=run)
    if component.spec.disruption not in REPAIRABLE:
        text = f"{name}: another try is of class {component.spec.disruption.value}, and would take a permit"
        return Turn(note=Note(code="RetryNeedsPermit", text=text))
    key = f"failed:{tried.last_op_id}"
    since = min(seen.sightings.get(key, seen.now.elapsed), seen.now.elapsed)
    # A try that a reboot interrupted has not failed: it is made again soon, once, within the deadline of its rollout.
    resumes = tried.number == 1 and tried.last.is_interrupted(seen.host.boot_id)
    due = since + (nanoseconds(RESUME_PAUSE) if resumes else pause(tried.number))
    if seen.now.elapsed >= due:
        return Turn(run=run, sightings={key: since})
    text = f"{name}: try {tried.number + 1} waits"
    return Turn(note=Note(code="BackOff", text=text, frees_at=due), due=due, sightings={key: since})
