"""A story of drift that must not be repaired without a permit: two machines' files are changed behind everybody's back.

It is no story of the demo; the enumeration plays it, and tests of its own.
"""

from collections.abc import Iterable
from datetime import timedelta

from kubenode.core import model as m
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.stories.truth import lacking
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone

PATH, UNIT, NAME = "/etc/modprobe.d/net.conf", "kubelet.service", "net"
GOOD, EVIL = b"good\n", b"evil\n"
LONG = timedelta(hours=6)


def component(version: str, disruption: m.Disruption, content: bytes = GOOD) -> m.MachineComponent:
    """Give a version of a file of whose change the node's work is drained, or its kernel started anew."""
    spec = m.MachineComponentSpec(
        version=version, driver="file", disruption=disruption,
        parameters={"path": PATH, "content": content.decode(), "unit": UNIT},
    )  # fmt: skip
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"{NAME}-{version}"), spec=spec)


def cast_of(
    machines: int, *, zones: str = "a", disruption: m.Disruption = m.Disruption.REBOOT, objects: Iterable[m.Object] = ()
) -> Cast:  # fmt: skip
    """Give machines that a set keeps a file on, and whatever else there is to be."""
    spec = m.MachineComponentSetSpec(
        name=NAME, component=f"{NAME}-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(min_ready_seconds=0, max_unavailable=m.IntOrPercent.parse("100%")),
    )  # fmt: skip
    owner = m.MachineComponentSet(metadata=m.ObjectMeta(name=NAME), spec=spec)
    made = (component("1", disruption), component("2", disruption, b"new\n"), owner, *objects)
    return Cast(objects=made).with_machines(machines, zones=tuple(zones))


def spoil(host: SimHost) -> None:
    """Change the file behind everybody's back."""
    host.files[PATH] = EVIL
    host.changed(host)


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Let the file of every machine drift at once, and see one after another repaired with a permit."""
    stage = Stage("drift", cast, seed=seed, tell=tell, attend=attend)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=LONG)
    before = {name: len(host.spans) for name, host in simulation.hosts.items()}
    for host in simulation.hosts.values():
        simulation.at(timedelta(minutes=5), lambda host=host: spoil(host))  # type: ignore[misc]
    rested = simulation.rest(limit=LONG)
    checks = _checks(stage, before, rested=rested)
    return stage.end(checks, f"{len(simulation.hosts)} machines repaired")


def _checks(stage: Stage, before: dict[str, int], *, rested: bool) -> Iterable[Check]:
    hosts = stage.simulation.hosts
    yield all_of("every file is as it should be", lacking(stage.cast, hosts))
    yield all_of("one episode a machine, and it says Succeeded", _unproven(stage))
    yield all_of("each was repaired once", (
        f"{name} was acted on {len(host.spans) - before[name]} times" for name, host in hosts.items()
        if len(host.spans) - before[name] != 1
    ))  # fmt: skip
    yield all_of("every machine Running", (
        f"{one.metadata.name} is {one.status.phase}" for one in stage.all(m.Machine) if one.status.phase != "Running"
    ))  # fmt: skip
    yield all_of("nothing is left with an agent, or in the ledger", (
        *(f"{one.metadata.name} has an operation" for one in stage.all(m.Machine) if one.spec.operation is not None),
        *(f"{hold.op_id} is open" for book in stage.all(m.RiskLedger) for hold in book.status.holds),
    ))  # fmt: skip
    yield all_of("came to rest", () if rested else ("still busy",))


def _unproven(stage: Stage) -> Iterable[str]:
    jobs = stage.all(m.RemedyOperationJob)
    whose = sorted(job.spec.machine.name for job in jobs)
    if whose != sorted(stage.simulation.hosts):
        yield f"jobs for {', '.join(whose) or 'nobody'}"
    yield from (
        f"{job.metadata.name} is {job.status.phase or 'new'}"
        for job in jobs
        if job.status.phase != "Succeeded"
    )
