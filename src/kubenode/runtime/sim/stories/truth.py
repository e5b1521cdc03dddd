"""What is really on a simulated host, compared with what the user's objects ask for."""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.story import Cast


def runs(host: SimHost, component: m.MachineComponent) -> bool:
    """Tell whether a component is really installed and running on a host."""
    parameters = component.spec.parameters
    unit = parameters.get("unit")
    active = unit is None or host.units.get(unit) == "active"
    if component.spec.driver == "package":
        return host.packages.get(parameters["package"]) == component.spec.version and active
    if component.spec.driver == "file":
        return host.files.get(parameters["path"]) == str(parameters["content"]).encode() and active
    return False


def lacking(cast: Cast, hosts: dict[str, SimHost], excused: frozenset[str] = frozenset()) -> Iterable[str]:
    """Say which machine lacks which component that a set wants on it in the end."""
    components = {one.metadata.name: one for one in cast.last(m.MachineComponent)}
    for one in cast.last(m.MachineComponentSet):
        component = components.get(one.spec.component)
        for machine in cast.of(m.Machine):
            name = machine.metadata.name
            if name in excused or not one.spec.selector.selects(machine.metadata.labels):
                continue
            if component is None or not runs(hosts[name], component):
                yield f"{name} does not run {one.spec.component}"
