"""From what is asked of a host to steps, op-ids and tries; nothing here decides when.

An operation carries only the steps that need no artefact: a unit restarted, the host rebooted. What
installs or writes belongs to a MachineComponent, which an operation names.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import assert_never

import attrs

from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.journal import JournalEntry, JournalState, acts_of
from kubenode.core.model.component import Disruption, MachineComponent
from kubenode.core.model.entry import ComponentEntry, ConfigState, Running
from kubenode.core.model.machine import Machine
from kubenode.core.model.operation import Operation, OperationStep, StepAction
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.naming import is_component, is_unit
from kubenode.core.step import (
    EnableUnit,
    InstallPackage,
    Reboot,
    ReinstallComponent,
    ReloadUnit,
    RemedyStep,
    RestartUnit,
    Step,
    StopUnit,
)

MAX_STEPS = 16
FIRST_PAUSE = timedelta(minutes=5)
RESUME_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
NO_REPAIRS: Mapping[str, tuple[Step, ...]] = MappingProxyType({})


def operation_steps(steps: Iterable[RemedyStep]) -> tuple[OperationStep, ...] | Problem:
    """Put host steps into the form in which an operation carries them.

    Returns:
        The same steps in order, 1 to 16; or a Problem that blames the plugin for the first that cannot be
        carried. A reboot must come last: nothing that follows it would be run.
    """
    found: list[OperationStep] = []
    for step in steps:
        where = f"steps[{len(found)}]"
        if found and found[-1].action is StepAction.REBOOT:
            return _faulty(
                where, f"{type(step).__name__} follows a Reboot, so it would never run", "reboot last"
            )
        match step:
            case Reboot():
                found.append(OperationStep(action=StepAction.REBOOT))
            case ReinstallComponent() if is_component(step.component):
                found.append(OperationStep(action=StepAction.REINSTALL, component=step.component))
            case ReinstallComponent():
                return _faulty(where, f"{step.component!r} is not the name of an entry", "as in kubelet")
            case RestartUnit() if is_unit(step.unit):
                found.append(OperationStep(action=StepAction.RESTART_UNIT, unit=step.unit))
            case RestartUnit():
                return _faulty(where, f"{step.unit!r} is not the name of a unit", "as in kubelet.service")
            case _:
                fix = (
                    "RestartUnit, ReinstallComponent or Reboot; what installs or writes is a MachineComponent"
                )
                return _faulty(where, f"an operation cannot carry {type(step).__name__}", fix)
    if not found:
        return _faulty("steps", "there are none", "at least one step")
    if len(found) > MAX_STEPS:
        return _faulty("steps", f"{len(found)} are more than an operation can carry", f"at most {MAX_STEPS}")
    return tuple(found)


def takes_reboot(plan: Iterable[Step], disruption: Disruption) -> bool:
    """Tell whether the host is rebooted after a plan: its component is of class reboot, and the plan brings something.

    A plan that only starts, stops, reloads or enables units takes none. A driver never plans the reboot itself: the
    component's class says it, and the permit was granted for that class.
    """
    turns = RestartUnit | ReloadUnit | EnableUnit | StopUnit
    return disruption is Disruption.REBOOT and any(not isinstance(step, turns) for step in plan)


def whole(plan: tuple[Step, ...], disruption: Disruption) -> tuple[Step, ...]:
    """Give what is done on a host for a plan: its steps, and the reboot that they take."""
    return (*plan, Reboot()) if takes_reboot(plan, disruption) else plan


def _faulty(where: str, what: str, fix: str) -> Problem:
    return Problem(where=where, what=f"PluginFailed: {what}", fix=fix)


def host_steps(
    steps: Iterable[OperationStep], by_driver: Mapping[str, tuple[Step, ...]] = NO_REPAIRS
) -> tuple[Step, ...]:
    """Give the host steps of an operation; the inverse of `operation_steps`.

    Args:
        steps: as they stand in the operation.
        by_driver: by the name of the entry; the steps that repair or reinstall it.
    """
    return tuple(one for step in steps for one in _host_steps(step, by_driver))


def _host_steps(step: OperationStep, by_driver: Mapping[str, tuple[Step, ...]]) -> tuple[Step, ...]:
    match step.action:
        case StepAction.RESTART_UNIT:
            return (RestartUnit(unit=step.unit or ""),)
        case StepAction.REBOOT:
            return (Reboot(),)
        case StepAction.REPAIR | StepAction.REINSTALL:
            return () if step.component is None else by_driver.get(step.component, ())
        case _:
            assert_never(step.action)


def repaired(operation: Operation) -> tuple[str, ...]:
    """Name the entries that an operation repairs, in its order."""
    return _named(operation, StepAction.REPAIR)


def reinstalled(operation: Operation | None) -> tuple[str, ...]:
    """Name the entries that an operation reinstalls, in its order."""
    return () if operation is None else _named(operation, StepAction.REINSTALL)


def _named(operation: Operation, action: StepAction) -> tuple[str, ...]:
    steps = (step for step in operation.steps if step.action is action)
    return tuple(step.component for step in steps if step.component is not None)


def anew(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Let steps that were planned for a host without a component install it again where it is there already.

    Only packages have to be told: a file is written again in any case, an artifact is compared byte for byte.
    """
    return tuple(
        attrs.evolve(step, anew=True) if isinstance(step, InstallPackage) else step for step in steps
    )


def reboots(operation: Operation) -> bool:
    """Tell whether an operation ends in a reboot; then a new boot is its success."""
    return any(step.action is StepAction.REBOOT for step in operation.steps)


def disruption(operation: Operation, repairs: Iterable[Disruption] = ()) -> Disruption:
    """Give the disruption class of an operation: the highest of what it does.

    Args:
        operation: what is asked.
        repairs: the classes of the components that it repairs.
    """
    own = Disruption.REBOOT if reboots(operation) else Disruption.RESTART
    order = list(Disruption)
    return max((own, *repairs), key=order.index)


def is_at_target(entry: ComponentEntry, component: MachineComponent, have: Have) -> bool:
    """Tell whether version, configuration and running state are as the entry wants them.

    What should be Absent and is has neither a version nor a configuration to compare.
    """
    if entry.state is Running.ABSENT:
        return have.state is Running.ABSENT
    return (
        have.version == component.spec.version
        and have.config is ConfigState.CURRENT
        and have.state is entry.state
    )


@attrs.frozen(kw_only=True)
class Tries:
    """How often a component's revision was tried on this host, by its journal.

    Attributes:
        number: tries begun so far; also the number of the next one.
        last: the journal's entry of the last one; None when there is none.
        last_op_id: its op-id; empty when there is none.
        failed: the last entry that came to an end, if that was a failure; an interruption is none.
        next_op_id: under which the next try would run.
    """

    number: int
    last: JournalEntry | None
    last_op_id: str
    failed: JournalEntry | None
    next_op_id: str


def tries(
    machine: Machine, name: str, entry: ComponentEntry, component: MachineComponent,
    journal: Mapping[str, JournalEntry],
) -> Tries:  # fmt: skip
    """Count the tries of an entry."""
    begun, following = acts_of("component", machine, name, entry, component, journal)
    last_op_id = begun[-1] if begun else ""
    ended = [journal[one] for one in begun if journal[one].state is not JournalState.STARTED]
    return Tries(
        number=len(begun), last=journal.get(last_op_id), last_op_id=last_op_id,
        failed=ended[-1] if ended and ended[-1].is_failed else None, next_op_id=following,
    )  # fmt: skip


def pause(tried: int) -> int:
    """Give the pause after so many tries, nanoseconds: doubled from five minutes, at most an hour.

    A try after the first takes no permit, as a repair of class none or restart takes none; so no hour may
    see more than three (api.md section 4, Drift): they come 10, 30 and 70 minutes after the first.

    >>> [pause(n) // 60_000_000_000 for n in (0, 1, 2, 9, 400)]
    [5, 10, 20, 60, 60]
    """
    return min(nanoseconds(FIRST_PAUSE) << min(tried, 16), nanoseconds(LONGEST_PAUSE))
