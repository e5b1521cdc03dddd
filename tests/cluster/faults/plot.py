"""What happens in the four stories, and how they end on the embedded API: what a real cluster is compared with.

Everything is imported first, but for the machines of the import story. Then all four begin at once: three machines
are imported, one hangs, a component is upgraded and one machine refuses it, and most of a zone goes silent.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.stories.upgrade import Person
from kubenode.runtime.sim.story import Cast, Stage
from kubenode.runtime.testing.canonical import canonical

CAST: Final = Path(__file__).with_name("cast.yaml")
STORIES: Final = {
    "import": ("im1", "im2", "im3", "sysctl"),
    "hung": ("hu1", "hu2"),
    "upgrade": ("up1", "up2", "up3", "up4", "exporter"),
    "outage": ("oa1", "ob1", "ob2", "ob3", "ob4"),
}
"""The machines and sets of each story."""
LATE: Final = "im"
"""Prefix of the machines that come with the stories; the others are Running before."""
HUNG: Final = ("hu1", "oa1")
SCARRED: Final = ("ob1", "ob4")
"""Hang while their zone is silent; the last is of that zone and not silent."""
CUT: Final = ("ob1", "ob2", "ob3")
OUTAGE: Final = timedelta(seconds=26)
SCARS: Final = timedelta(seconds=14)
"""How long after the beginning the scarred hang: their Nodes are known to be silent by then."""
REFUSES: Final = {
    "up3": frozenset({"exporter=1.9.0"}),
    **dict.fromkeys((*HUNG, *SCARRED), frozenset({"containerd.service"})),
}
"""What cannot be done on a host: one never gets the new version, and none that hangs can restart the unit."""
STEP, BOOT = timedelta(milliseconds=200), timedelta(seconds=1)
LIMIT: Final = timedelta(hours=1)

Acts = Counter[tuple[str, tuple[str, ...]]]
"""What was done: machine and steps, and how often."""


@attrs.frozen(kw_only=True)
class End:
    """How it ends.

    Attributes:
        state: of the cluster, in canonical form.
        acts: what was really done on the hosts.
    """

    state: Mapping[str, m.Json]
    acts: Acts


def cast() -> Cast:
    """Give the objects."""
    return Cast.read([CAST])


def spec_of(machine: m.Machine) -> HostSpec:
    """Give the host of a machine."""
    name = machine.metadata.name
    return HostSpec(
        machine=name, node=f"node-{name}", zone=machine.metadata.labels[ZONE_LABEL],
        refuses=REFUSES.get(name, frozenset()), step_time=STEP, boot_time=BOOT,
    )  # fmt: skip


def manifests(*, late: bool) -> list[dict[str, Any]]:
    """Give what is applied, before the stories or with them: the late machines and the upgrade."""
    whole = cast()
    if late:
        return [wire.dump(one) for one in (*_late(whole), *whole.changes)]
    return [wire.dump(one) for one in whole.objects if one not in _late(whole)]


def _late(whole: Cast) -> tuple[m.Machine, ...]:
    return tuple(one for one in whole.of(m.Machine) if one.metadata.name.startswith(LATE))


@cache
def embedded() -> End:
    """Play all of it on the embedded API."""
    whole = cast()
    late = _late(whole)
    begun = attrs.evolve(whole, objects=tuple(one for one in whole.objects if one not in late))
    stage = Stage("real", begun, seed=0, tell=lambda _: None)
    machines = {one.metadata.name: one for one in whole.of(m.Machine)}
    stage.open(lambda spec: spec_of(machines[spec.machine]))
    assert stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=LIMIT)
    person = Person(stage)
    simulation.watch(person.look)
    for one in late:
        simulation.add_host(spec_of(one))
        simulation.create(one)
    stage.change()
    for name in CUT:
        host = simulation.hosts[name]
        host.link(False)
        simulation.at(OUTAGE, lambda host=host: host.link(True))
    for name in HUNG:
        simulation.hosts[name].hang(kernel_lines())
    for name in SCARRED:
        host = simulation.hosts[name]
        simulation.at(SCARS, lambda host=host: host.hang(kernel_lines()))
    simulation.rest(limit=LIMIT)
    state = canonical([raw for kind in m.WATCHED for raw in simulation.objects(kind)])
    spans = [span for host in simulation.hosts.values() for span in host.spans]
    return End(state=state, acts=Counter((one.machine, tuple(map(repr, one.steps))) for one in spans))
