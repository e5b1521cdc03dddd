"""One key a Machine: its episode of remedy, if its Node is sick."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Case, SupportsPower
from kubenode.core.host.plan import operation_steps
from kubenode.core.policy import Policy
from kubenode.core.reading import near
from kubenode.core.remedy.case import Planned
from kubenode.core.remedy.decide import RemedySnapshot, decide, open_job
from kubenode.core.step import ConfirmMaintenance, ReplaceMachine, RestartInstance
from kubenode.runtime.controller.breakers import Breakers
from kubenode.runtime.controller.drains import draining_actions
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change


class RemedyController:
    """Which machines a change concerns, and their snapshots."""

    name = "remedy"

    def __init__(self, cache: Cache, inventory: Inventory, plugins: Plugins, instances: Instances) -> None:
        self._cache = cache
        self._inventory = inventory
        self._plugins = plugins
        self._instances = instances
        self._breakers = Breakers(inventory)
        self._drains = draining_actions(plugins)

    def concerns(self, change: Change) -> Iterable[str]:
        """A machine, its Node, its episodes, its hold; and all of a zone whose breaker opened or closed."""
        yield from self._inventory.episodes_touched(change)
        if change.kind is m.RiskPolicy or (
            change.kind is m.NodeRemedier and rule_of(change.before) != rule_of(change.after)
        ):
            yield from self._inventory.machines()
        yield from self._breakers.flipped(change)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one machine's episode; its subject is the open job, if there is one."""
        machine = self._cache.get(m.Machine, key)
        if machine is None:
            return None
        jobs = self._inventory.jobs(machine.metadata.uid)
        node = self._inventory.node_of(machine)
        snapshot = RemedySnapshot(
            machine=machine, node=node, jobs=jobs, holds=self._inventory.op_ids_on(machine.metadata.uid),
            zones=self._inventory.zones(), sets=self._inventory.sets_of(key),
            steps=planned(self._plugins, self._inventory.policy(), machine, node, jobs), drains=self._drains,
            stand_in=_by_provider(self._plugins, machine, "a silent agent") if jobs else None,
            answer=self._instances.answer(machine.metadata.uid), now=now, sightings=sightings,
        )  # fmt: skip
        job = open_job(jobs)
        return Question(
            snapshot=snapshot,
            subject=job,
            stored=None if job is None else job.status,
        )

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/remedy."""
        return decide(snapshot, policy)


def rule_of(obj: m.Object | None) -> object:
    """Give what of a remedier rules; None of anything else. What its status says changes nothing for a machine."""
    return (obj.spec, obj.metadata.unknown) if isinstance(obj, m.NodeRemedier) else None


def planned(
    plugins: Plugins,
    policy: Policy,
    machine: m.Machine,
    node: m.Node | None,
    jobs: tuple[m.RemedyOperationJob, ...],
) -> Mapping[tuple[str, int], Planned]:
    """Ask the plugins for the steps of every rung that may come next; none for a machine that is well."""
    if node is None or (not jobs and all(_well(condition) for condition in node.status.conditions)):
        return {}
    return {
        (remedier.metadata.name, index): _planned(plugins, machine, node, remedier, rung)
        for remedier in policy.remediers
        for index, rung in enumerate(remedier.spec.ladder)
    }


def rung_problems(plugins: Plugins, remediers: Iterable[m.NodeRemedier]) -> Iterable[Problem]:
    """Say which rungs could never be planned, whatever the machine: no such action, or wrong parameters."""
    for remedier in remediers:
        for index, rung in enumerate(remedier.spec.ladder):
            where = f"NodeRemedier {remedier.metadata.name}, ladder[{index}] {rung.action}"
            action = plugins.remedies.get(rung.action)
            if action is None:
                fix = f"{near(rung.action, plugins.remedies)}, or drop the rung"
                yield Problem(where=where, what="no plugin brings this remedy", fix=fix)
                continue
            try:
                structured(rung.parameters, action.params, f"{where}.parameters")
            except InvalidObjectError as error:
                yield from error.problems


def _planned(
    plugins: Plugins, machine: m.Machine, node: m.Node, remedier: m.NodeRemedier, rung: m.Rung
) -> Planned:
    where = f"NodeRemedier {remedier.metadata.name}, rung {rung.action}"
    action = plugins.remedies.get(rung.action)
    if action is None:
        known = ", ".join(sorted(plugins.remedies)) or "none"
        return Problem(
            where=where,
            what=f"PluginMissing: no remedy action is named {rung.action!r}",
            fix=f"known: {known}",
        )
    try:
        case = Case(
            machine=machine.metadata.name, node=node.metadata.name, condition=remedier.spec.condition.type,
            params=structured(rung.parameters, action.params, f"{where}.parameters"),
        )  # fmt: skip
        steps = action.plan(case)
        if steps == (RestartInstance(),):
            return _by_provider(plugins, machine, where)
        alone = steps[0] if len(steps) == 1 else None
        return alone if isinstance(alone, ConfirmMaintenance | ReplaceMachine) else operation_steps(steps)
    except InvalidObjectError as error:
        return Problem(where=where, what=f"ParametersInvalid: {error}")
    except Exception as error:
        return Problem(
            where=where, what=f"PluginFailed: {rung.action}.plan raised {type(error).__name__}: {error}"
        )


def _by_provider(plugins: Plugins, machine: m.Machine, where: str) -> Planned:
    """Let the provider of a machine's instance do it, if it has one that can."""
    instance = machine.status.instance
    if instance is None or instance.step is not m.InstanceStep.MADE:
        fix = "a rung that the agent does, such as reboot"
        return Problem(where=where, what="InstanceWanted: no provider made the machine an instance", fix=fix)
    if not isinstance(plugins.providers.get(instance.provider), SupportsPower):
        return Problem(
            where=where, what=f"Unsupported: provider {instance.provider} cannot restart an instance"
        )
    return RestartInstance()


def _well(condition: m.NodeCondition) -> bool:
    return condition.status is (m.Switch.TRUE if condition.type == "Ready" else m.Switch.FALSE)
