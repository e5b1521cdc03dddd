"""What would be written if some files were applied. Called by `kubenode plan`.

The deciders are asked again and again until they are at rest, and nothing is done. Every machine is taken to
do at once and well what it is asked, and every permit to be given: so this tells who would be touched, in
which batch, and where a person is waited for; no times.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, assert_never, cast

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import SetEntry
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Desired, Have
from kubenode.core.host.plan import whole
from kubenode.core.model.entry import ConfigState
from kubenode.core.rollout.progress import CONFLICT, PROGRESSING
from kubenode.core.step import (
    EnableUnit,
    InstallArtifact,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    Then,
    UpgradeAgent,
    WriteFile,
)
from kubenode.runtime.foresight.drive import Tell, keep_machines, roll_out, to_nobody
from kubenode.runtime.foresight.instances import planned_instances
from kubenode.runtime.foresight.values import (
    Difference,
    Foresight,
    PlannedBatch,
    PlannedImport,
    PlannedMachines,
    PlannedRollout,
)
from kubenode.runtime.foresight.world import World
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.rivals import FIX


def foresee(
    installed: Iterable[m.Object], applied: Iterable[m.Object], plugins: Plugins, now: m.Now, tell: Tell = to_nobody,
) -> Foresight:  # fmt: skip
    """Tell what applying `applied` to a cluster that has `installed` would do.

    Args:
        installed: as a server has them, statuses included; machines without a status are taken to run what
            the installed sets ask for. Empty for a new cluster.
        applied: as people wrote them; of two of one name the last counts.
        plugins: whose component drivers say which steps an agent would take, and whose providers read parameters.
        now: for stamps, and for the ends of freezes.
        tell: is told how far it is, after every decision.
    """
    before = World(installed)
    _settle(before, now, tell)
    after = before.copy()
    differences = tuple(_apply(before, after, applied))
    machine_sets = tuple(_machines(one, after, now, tell) for one in after.all(m.MachineSet))
    rollouts = tuple(
        _rollout(one, before, after, plugins, now, tell) for one in after.all(m.MachineComponentSet)
    )
    imports = tuple(
        _import(one, after) for one in after.all(m.Machine)
        if one.spec.host is not None and before.get(m.Machine, one.metadata.name) is None
    )  # fmt: skip
    return Foresight(
        differences=differences, imports=imports,
        machine_sets=tuple(one for one in machine_sets if one.creates or one.deletes or one.waits),
        instances=tuple(planned_instances(before, after, plugins)),
        rollouts=tuple(one for one in rollouts if one.batches or one.joining or one.waits),
        frozen=tuple(_frozen(after, now)), exact=not after.made_up,
    )  # fmt: skip


def _settle(world: World, now: m.Now, tell: Tell) -> None:
    """Bring objects that came without a status to what they ask for: machines that have run, sets at rest."""
    for one in world.all(m.MachineComponentSet):
        if one.status == m.MachineComponentSetStatus():
            roll_out(one, world, now, tell)
    for machine in world.all(m.Machine):
        if machine.status.phase == "":
            world.put(attrs.evolve(machine, status=attrs.evolve(machine.status, first_running=now.wall)))


def _apply(before: World, after: World, applied: Iterable[m.Object]) -> Iterable[Difference]:
    """Put what people wrote over what is there; what controllers wrote stays."""
    for obj in {(type(obj), obj.metadata.name): obj for obj in applied}.values():
        kind, name = obj.KIND.name, obj.metadata.name
        there = before.get(type(obj), name)
        if there is None:
            after.put(obj)
            yield Difference(kind=kind, name=name, action="create")
            continue
        made = _over(there, obj)
        after.put(made)
        if made == there:  # as of the machines of a large fleet, of which nothing changes
            continue
        patch = wire.patch_of(wire.dump(there), wire.dump(made))
        if patch is not None:
            yield Difference(kind=kind, name=name, action="change", fields=tuple(_paths(patch, "")))


def _over(there: m.Object, obj: m.Object) -> m.Object:
    metadata = attrs.evolve(
        there.metadata, labels=obj.metadata.labels, annotations={**there.metadata.annotations, **obj.metadata.annotations}
    )  # fmt: skip
    made: m.Object = attrs.evolve(cast(Any, there), metadata=metadata, spec=cast(Any, obj).spec)
    if isinstance(made, m.Machine) and isinstance(there, m.Machine):
        kept = there.spec
        spec = attrs.evolve(
            made.spec, components=kept.components, operation=kept.operation, set_ref=kept.set_ref
        )
        made = attrs.evolve(made, spec=spec)
    return made


def _paths(patch: Mapping[str, Any], above: str) -> Iterable[str]:
    for key, value in patch.items():
        path = f"{above}.{key}" if above else key
        if isinstance(value, dict) and value:
            yield from _paths(value, path)
        else:
            yield path


def _machines(one: m.MachineSet, world: World, now: m.Now, tell: Tell) -> PlannedMachines:
    ended, creates, deletes = keep_machines(one, world, now, tell)
    return PlannedMachines(
        set=one.metadata.name, creates=creates, deletes=deletes,
        waits="" if ended.status.replicas == ended.spec.replicas else _said(ended.status.conditions),
    )  # fmt: skip


def _said(conditions: Iterable[m.Condition]) -> str:
    return "; ".join(one.message for one in conditions if one.message)


def _rollout(
    one: m.MachineComponentSet, before: World, after: World, plugins: Plugins, now: m.Now, tell: Tell
) -> PlannedRollout:
    was = before.get(m.MachineComponentSet, one.metadata.name)
    old = was.status.update.component if was is not None and was.status.update is not None else ""
    ended, written = roll_out(one, after, now, tell)
    batches = [
        PlannedBatch(number=number, members=tuple(_placed(effect, after) for effect in effects))
        for number, effects in groupby(
            (effect for effect in written if effect.entry.batch), key=lambda effect: effect.entry.batch
        )
    ]
    joining = tuple(_placed(effect, after) for effect in written if not effect.entry.batch)
    update = ended.status.update
    return PlannedRollout(
        set=one.metadata.name, revision=update.number if update is not None else 0, before=old,
        component=one.spec.component, steps=_steps(one, old, after, plugins), batches=tuple(batches),
        joining=joining, waits="; ".join(_waits(ended)),
    )  # fmt: skip


def _waits(ended: m.MachineComponentSet) -> Iterable[str]:
    """Say why a set is not complete, and which entries it leaves alone: another set has them already."""
    for one in ended.status.conditions:
        if one.type == CONFLICT:
            yield f"{CONFLICT}: {one.message}; {FIX}"
        elif one.type == PROGRESSING and ended.status.phase != "Complete":
            yield one.message


def _placed(effect: SetEntry, world: World) -> tuple[str, str]:
    machine = world.get(m.Machine, effect.machine.name)
    return effect.machine.name, "" if machine is None else world.zone(machine)


def _steps(one: m.MachineComponentSet, old: str, world: World, plugins: Plugins) -> tuple[str, ...]:
    """Say what an agent would do that has the old component, or none, and is to have the new one."""
    component = world.get(m.MachineComponent, one.component)
    if component is None:
        return ()
    driver = plugins.components.get(component.spec.driver)
    if driver is None:
        return (f"unknown: no component driver is named {component.spec.driver!r}",)
    there = world.get(m.MachineComponent, old)
    have = Have(version="", config=ConfigState.UNKNOWN, state=m.Running.ABSENT)
    if there is not None:
        have = Have(version=there.spec.version, config=ConfigState.DRIFTED, state=m.Running.RUNNING)
    try:
        where = f"MachineComponent {component.metadata.name}.spec.parameters"
        params = structured(component.spec.parameters, driver.params, where)
        spec = component.spec
        want = Desired(version=spec.version, params=params, state=one.spec.state, disruption=spec.disruption)
        return tuple(_step(step) for step in whole(driver.plan(want, have), spec.disruption))
    except InvalidObjectError as error:
        return (f"refused: {error}",)


def _step(step: Step) -> str:
    match step:
        case InstallPackage():
            return f"install {step.package} {step.version}" + _then(step.then)
        case RemovePackage():
            return f"remove {step.package}"
        case InstallArtifact():
            return f"install an artifact at {step.path}, sha256 {step.sha256[:12]}" + _then(step.then)
        case RemoveArtifact():
            return f"remove the artifact at {step.path}"
        case WriteFile():
            return f"write {step.path}" + _then(step.then)
        case RemoveFile():
            return f"remove {step.path}" + _then(step.then)
        case SetKernel():
            return f"set the kernel: {', '.join((*step.modules, *(key for key, _ in step.sysctl)))}"
        case UpgradeAgent():
            return f"upgrade the agent, sha256 {step.sha256[:12]}"
        case RestartUnit():
            return f"restart {step.unit}"
        case ReloadUnit():
            return f"reload {step.unit}"
        case EnableUnit():
            return f"{'enable' if step.enabled else 'disable'} {step.unit}"
        case StopUnit():
            return f"stop {step.unit}"
        case Reboot():
            return "reboot"
        case _:
            assert_never(step)


def _then(after: Then | None) -> str:
    return "" if after is None else f", then {_step(after)}"


def _import(machine: m.Machine, world: World) -> PlannedImport:
    taints = (
        one.key + (f"={one.value}" if one.value else "") + f":{one.effect.value}"
        for one in machine.spec.taints
    )
    return PlannedImport(
        machine=machine.metadata.name, host=machine.spec.host.address if machine.spec.host is not None else "",
        zone=world.zone(machine), labels=dict(machine.spec.labels),
        annotations=dict(machine.spec.annotations), taints=tuple(taints),
        entries={name: entry.component for name, entry in sorted(machine.spec.components.items())},
    )  # fmt: skip


def _frozen(world: World, now: m.Now) -> Iterable[str]:
    for policy in world.all(m.RiskPolicy):
        for one in policy.spec.freeze:
            if one.until is None or one.until > now.wall:
                until = "" if one.until is None else f" until {one.until:%Y-%m-%dT%H:%M:%SZ}"
                place = f"{one.scope.value} {one.name}".rstrip()
                yield f"{policy.metadata.name}: {place} is frozen{until}: {one.reason}"
