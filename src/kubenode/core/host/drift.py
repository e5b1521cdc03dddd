"""Drift: a component that was at target and is not any more; when it is repaired, and how often.

A repair of class none or restart takes no permit. What bounds it instead: a delay, so that machines that drift at once
are not repaired at once; so many an hour; and a word in the entry by which the controller holds it. It never begins
before the drift stands in the stored report: the controller must have been able to see it.

Source: api.md section 4, "Drift".
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import attrs

from kubenode.core.decision import Note, RunSteps
from kubenode.core.health.held import allows_drift
from kubenode.core.host.dependencies import CIRCLE
from kubenode.core.host.journal import ROLLED_BACK, JournalEntry, acts_of
from kubenode.core.host.turn import Turn
from kubenode.core.identity import digest
from kubenode.core.model.component import REPAIRABLE, MachineComponent
from kubenode.core.model.entry import ComponentEntry, ComponentReport
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import DRIFT_ALLOWED, ref
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.step import Step

REPAIR_LIMIT: Final = 3
"""Most repairs of a component on a node within REPAIR_WINDOW."""
REPAIR_WINDOW: Final = timedelta(hours=1)
REPAIR_SPREAD: Final = timedelta(seconds=60)
INSTALL_FAILED: Final = "InstallFailed"
NEVER_THERE: Final = frozenset({INSTALL_FAILED, ROLLED_BACK, CIRCLE})
"""Reasons by which a report says that its revision never was at target."""
REPAIR_FAILED: Final = "RepairFailed"


@attrs.frozen(kw_only=True)
class Repairs:
    """The repairs of one entry on this host, by its journal.

    Attributes:
        begun: their op-ids, the first first.
        last: the journal's entry of the last one; None when there is none.
        next_op_id: under which the next would run.
    """

    begun: tuple[str, ...]
    last: JournalEntry | None
    next_op_id: str


def repairs(
    machine: Machine, name: str, entry: ComponentEntry, component: MachineComponent,
    journal: Mapping[str, JournalEntry],
) -> Repairs:  # fmt: skip
    """Count the repairs of an entry, as `tries` counts its installations."""
    begun, following = acts_of("repair", machine, name, entry, component, journal)
    return Repairs(begun=begun, last=journal[begun[-1]] if begun else None, next_op_id=following)


def was_at_target(before: ComponentReport, entry: ComponentEntry) -> bool:
    """Tell, by the stored report, whether the entry was dealt with before, so that not being at target is drift."""
    return before.is_of(entry) and before.reason not in NEVER_THERE


def drifted(
    before: ComponentReport, found: ComponentReport, last: JournalEntry | None, wall: datetime
) -> ComponentReport:
    """Report a drift: since when, and that the last repair failed, if it did."""
    begun = before.drifted_at if before.drifting else None
    failed = last is not None and last.is_failed
    return attrs.evolve(
        found, drifting=True, drifted_at=begun or wall.replace(microsecond=0),
        reason=REPAIR_FAILED if failed else "",
        message=(last.message[:2048] or "a step failed") if last is not None and failed else "",
    )  # fmt: skip


def remembered(name: str, begun: Iterable[str], sightings: Mapping[str, int], now: int) -> dict[str, int]:
    """Give when this process first saw each repair of a component that may still count.

    After a restart the journal's last ones count as just begun: what cannot be known counts as used. Repairs of
    earlier revisions are kept until their window is over.
    """
    prefix, window = f"repaired:{name}:", nanoseconds(REPAIR_WINDOW)
    known = {key: min(at, now) for key, at in sightings.items() if key.startswith(prefix)}
    kept = {key: at for key, at in known.items() if at + window > now}
    return kept | {prefix + one: known.get(prefix + one, now) for one in tuple(begun)[-REPAIR_LIMIT:]}


def delay(machine_uid: str, name: str, number: int) -> int:
    """Give the delay of a repair, nanoseconds: a stable hash over REPAIR_SPREAD.

    >>> delay("uid-1", "kubelet", 0) == delay("uid-1", "kubelet", 0) < 60_000_000_000
    True
    """
    return int(digest("drift", machine_uid, name, number), 16) % nanoseconds(REPAIR_SPREAD)


@attrs.frozen(kw_only=True)
class Drift:
    """One entry that has drifted, and what its repair depends on.

    Attributes:
        stored: whether the stored report says so already.
        boot_id: of this boot.
        seen: sightings of this process, those of `remembered` included.
        now: `Now.elapsed`.
    """

    machine: Machine
    name: str
    entry: ComponentEntry
    component: MachineComponent
    plan: tuple[Step, ...]
    done: Repairs
    stored: bool
    boot_id: str
    seen: Mapping[str, int]
    now: int


def repair(drift: Drift) -> Turn:
    """Say what would mend a drift, and when."""
    name, disruption, done = drift.name, drift.component.spec.disruption, drift.done
    if allows_drift(drift.machine, name):
        text = f"{name}: drifted, and label {DRIFT_ALLOWED}{name} on the Machine lets it be"
        return Turn(note=Note(code="DriftAllowed", text=text, scope=f"component={name}"))
    if disruption not in REPAIRABLE:
        text = f"{name}: drifted; its repair is of class {disruption.value} and is not begun without a permit"
        return Turn(note=Note(code="RepairNeedsPermit", text=text))
    if drift.entry.held:
        return Turn(
            note=Note(code="DriftHeld", text=f"{name}: {drift.entry.held}", scope=f"component={name}")
        )
    if not drift.plan:
        return Turn(note=Note(code="NotAtTarget", text=f"{name}: drifted, and its driver has no steps"))
    if done.last is not None and done.last.is_running(drift.boot_id):
        return Turn()
    if done.last is not None and done.last.is_rolled_back:
        return Turn(note=not_again(name, done.last))
    return _timed(drift)


def not_again(name: str, last: JournalEntry) -> Note:
    """Say that what was gone back from is not tried again."""
    return Note(
        code=ROLLED_BACK, text=f"{name}: not tried again; {last.message.removeprefix(f'{ROLLED_BACK}: ')}"
    )


def _timed(drift: Drift) -> Turn:
    """Wait for the delay and for a free place in the hour, then for the report to be stored."""
    name, number = drift.name, len(drift.done.begun)
    key = f"drift:{name}:{number}"
    since = min(drift.seen.get(key, drift.now), drift.now)
    spread = since + delay(drift.machine.metadata.uid, name, number)
    full = _full_until(drift)
    due = max(spread, full)
    kept = {key: since}
    if drift.now < due:
        if full > spread:  # what binds last, so that the note is the same until then
            text = f"{name}: drifted again; {REPAIR_LIMIT} repairs within an hour are the most"
            note = Note(
                code="RepairLimit", text=text, scope=f"component={name}", observed=REPAIR_LIMIT, limit=REPAIR_LIMIT,
                frees_at=due,
            )  # fmt: skip
        else:
            note = Note(
                code="RepairDelay", text=f"{name}: drifted; its repair is spread over a minute", frees_at=due
            )
        return Turn(note=note, due=due, sightings=kept)
    if not drift.stored:
        text = f"{name}: drifted; its repair begins when that stands in the Machine"
        return Turn(note=Note(code="DriftNotReported", text=text), sightings=kept)
    run = RunSteps(
        machine=ref(drift.machine), op_id=drift.done.next_op_id, steps=drift.plan, answers=name,
        disruption=drift.component.spec.disruption,
    )  # fmt: skip
    return Turn(run=run, sightings=kept)


def _full_until(drift: Drift) -> int:
    """Give when the hour has room for one more repair; a moment that is past when it has."""
    prefix, window = f"repaired:{drift.name}:", nanoseconds(REPAIR_WINDOW)
    begun = sorted(at for key, at in drift.seen.items() if key.startswith(prefix))
    return begun[-REPAIR_LIMIT] + window if len(begun) >= REPAIR_LIMIT else drift.now
