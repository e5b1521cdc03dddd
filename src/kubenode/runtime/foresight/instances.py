"""What would be asked of providers: counted from the machines that there would be, and those that there are."""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.core.errors import Problem
from kubenode.runtime.foresight.values import PlannedInstances
from kubenode.runtime.foresight.world import World
from kubenode.runtime.observe.launches import Launches
from kubenode.runtime.plugins import Plugins


def planned_instances(before: World, after: World, plugins: Plugins) -> Iterable[PlannedInstances]:
    """Give for each provider, by name, what would be asked of it; those that nothing is asked of are left out."""
    there = {one.metadata.name: one for one in before.all(m.Machine)}
    then = {one.metadata.name: one for one in after.all(m.Machine)}
    made = _by_provider(one for name, one in then.items() if name not in there)
    gone = _by_provider(one for name, one in there.items() if name not in then)
    launches = Launches(plugins)
    for provider in sorted(made.keys() | gone.keys()):
        news, olds = made.get(provider, []), gone.get(provider, [])
        problems = {one.metadata.name: text for one in news if (text := _problem(one, launches))}
        yield PlannedInstances(
            provider=provider, problems=problems,
            creates=tuple(one.metadata.name for one in news if one.metadata.name not in problems),
            deletes=tuple(one.metadata.name for one in olds if _ends(one)),
            released=tuple(one.metadata.name for one in olds if not _ends(one)),
        )  # fmt: skip


def _by_provider(machines: Iterable[m.Machine]) -> dict[str, list[m.Machine]]:
    found: dict[str, list[m.Machine]] = {}
    for one in machines:
        if one.spec.infrastructure is not None and one.spec.host is None:
            # What was made is by whoever made it, whatever the spec says now.
            made = one.status.instance
            provider = made.provider if made is not None else one.spec.infrastructure.provider
            found.setdefault(provider, []).append(one)
    return found


def _ends(one: m.Machine) -> bool:
    return one.spec.on_deletion is m.DeletionPolicy.TERMINATE


def _problem(one: m.Machine, launches: Launches) -> str:
    wanted = one.spec.infrastructure
    found = () if wanted is None else launches.wanted(wanted)
    if not isinstance(found, Problem):
        return ""
    return f"{found.what}; {found.fix}" if found.fix else found.what
