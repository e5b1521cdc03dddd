"""Outage: most of a zone goes silent. Nothing is done there, the rest is healed, and recovery is no stampede."""

from collections.abc import Iterable
from datetime import timedelta

import attrs

from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.run import CONTROLLER
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Attend, Cast, Progress, Stage, Tell, Told, alone

MACHINES = 20
BEGINS, LASTS = timedelta(minutes=5), timedelta(minutes=40)
SHARE_PERCENT = 70


@attrs.frozen(kw_only=True)
class Outage:
    """What happens.

    Attributes:
        cut: go silent from `begins` to `ends`, in elapsed nanoseconds.
        scarred: hang meanwhile: two that are cut off, and one of that zone that is not.
        elsewhere: hangs meanwhile in the other zone; None when there is none.
    """

    zone: str
    begins: int
    ends: int
    cut: tuple[SimHost, ...]
    scarred: tuple[SimHost, ...]
    elsewhere: SimHost | None


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Cut 70 % of a zone off, give it back, and watch both zones."""
    cast = cast.with_machines(MACHINES, zones=("a", "b"))
    stage = Stage("outage", cast, seed=seed, tell=tell, attend=attend)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=timedelta(hours=1))
    outage = _plan(stage)
    explained: list[str] = []
    simulation.at(BEGINS + LASTS / 5, lambda: explained.append(_explain(stage, outage.cut[0])))
    for host in outage.cut:
        simulation.at(BEGINS, lambda host=host: host.link(False))  # type: ignore[misc]
        simulation.at(BEGINS + LASTS, lambda host=host: host.link(True))  # type: ignore[misc]
    for host in outage.scarred:
        simulation.at(BEGINS + LASTS / 4, lambda host=host: host.hang(kernel_lines()))  # type: ignore[misc]
    if outage.elsewhere is not None:
        simulation.at(BEGINS + LASTS / 4, lambda: outage.elsewhere.hang(kernel_lines()))  # type: ignore[union-attr]
    simulation.watch(lambda: tell(_progress(stage, outage)))
    stage.change()
    simulation.run_until(
        lambda: simulation.time.elapsed > outage.ends and _well(stage), limit=timedelta(hours=12)
    )
    simulation.rest(limit=timedelta(hours=12))
    explanation = explained[0] if explained else ""
    return stage.end(_checks(stage, outage), _summary(stage, outage), explanation)


def _plan(stage: Stage) -> Outage:
    hosts = list(stage.simulation.hosts.values())
    zone = sorted({host.spec.zone for host in hosts})[-1]
    inside = [host for host in hosts if host.spec.zone == zone]
    outside = [host for host in hosts if host.spec.zone != zone]
    cut = tuple(inside[: -(-len(inside) * SHARE_PERCENT // 100)])
    now = stage.simulation.time.elapsed
    return Outage(
        zone=zone, begins=now + nanoseconds(BEGINS), ends=now + nanoseconds(BEGINS + LASTS), cut=cut,
        scarred=(*cut[:2], *inside[len(cut):][-1:]), elsewhere=outside[0] if outside else None,
    )  # fmt: skip


def _well(stage: Stage) -> bool:
    """The store says that every machine is Running and every Node free of faults."""
    phases = stage.phases()
    return phases.get("Running", 0) == len(stage.simulation.hosts) and not any(
        c.status is m.Switch.TRUE and c.type != "Ready"
        for node in stage.all(m.Node)
        for c in node.status.conditions
    )


def _explain(stage: Stage, host: SimHost) -> str:
    """Ask the remedy decider about a silent machine, as `kubenode explain` does."""
    decided = stage.simulation.processes[CONTROLLER].engine.ask(
        "remedy", host.spec.machine, stage.simulation.time.now()
    )
    binding = None if decided is None else decided.binding
    return "" if binding is None else f"{host.spec.machine}: deferred; {binding.text}"


def _checks(stage: Stage, outage: Outage) -> Iterable[Check]:
    hosts = stage.simulation.hosts
    inside = [
        span
        for host in hosts.values()
        if host.spec.zone == outage.zone
        for span in host.spans
        if span.disruptive
    ]
    yield all_of("no remedy in the zone during the outage", (
        f"{span.machine} was acted on during the outage" for span in inside if outage.begins <= span.began < outage.ends
    ))  # fmt: skip
    yield all_of("no job opened for the zone during the outage", _jobs_inside(stage, outage))
    yield all_of("the other zone was healed meanwhile", _not_healed_elsewhere(stage, outage))
    yield all_of("timers start afresh after the outage", _too_early(stage, outage))
    yield all_of("recovery is no stampede", _stampede(stage, outage))
    yield all_of("every host is well in the end", (
        f"{host.spec.machine} is not well" for host in hosts.values() if host.ready is not m.Switch.TRUE
    ))  # fmt: skip
    yield all_of("every machine Running", (
        f"{one.metadata.name} is {one.status.phase}" for one in stage.all(m.Machine) if one.status.phase != "Running"
    ))  # fmt: skip


def _jobs_inside(stage: Stage, outage: Outage) -> Iterable[str]:
    zones = {host.spec.machine: host.spec.zone for host in stage.simulation.hosts.values()}
    for job in stage.all(m.RemedyOperationJob):
        opened = stage.witness.jobs[job.metadata.name]
        if zones[job.spec.machine.name] == outage.zone and outage.begins <= opened < outage.ends:
            yield f"a job was opened for {job.spec.machine.name}"


def _not_healed_elsewhere(stage: Stage, outage: Outage) -> Iterable[str]:
    host = outage.elsewhere
    if host is not None and not any(
        span.disruptive and outage.begins <= span.began < outage.ends for span in host.spans
    ):
        yield f"{host.spec.machine} of zone {host.spec.zone} was left hung"


def _too_early(stage: Stage, outage: Outage) -> Iterable[str]:
    """Nothing may be opened in the zone before the shortest rule has been met afresh."""
    rules = [one.spec.condition.lasting for one in stage.cast.last(m.NodeRemedier)]
    earliest = outage.ends + nanoseconds(min(rules, default=timedelta(0)))
    zones = {host.spec.machine: host.spec.zone for host in stage.simulation.hosts.values()}
    for job in stage.all(m.RemedyOperationJob):
        if (
            zones[job.spec.machine.name] == outage.zone
            and outage.ends <= stage.witness.jobs[job.metadata.name] < earliest
        ):
            yield f"a job for {job.spec.machine.name} came too early"


def _stampede(stage: Stage, outage: Outage) -> Iterable[str]:
    """After the outage no more are acted on at once than the file's strictest limit for a zone allows; else one."""
    limits = [
        limit.max.scaled(len(outage.cut)) for one in stage.cast.last(m.RiskPolicy) for limit in one.spec.limits
        if limit.window is None and limit.scope in (m.Scope.ZONE, m.Scope.CLUSTER)
    ]  # fmt: skip
    most = max(1, min(limits, default=1))
    after = [
        permit for permit in stage.witness.permits.values()
        if permit.opened >= outage.ends and stage.simulation.hosts[permit.hold.machine].spec.zone == outage.zone
    ]  # fmt: skip
    for one in after:
        at_once = sum(o.opened <= one.opened and (o.closed is None or o.closed > one.opened) for o in after)
        if at_once > most:
            yield f"{at_once} machines of zone {outage.zone} were acted on at once, at most {most}"


def _progress(stage: Stage, outage: Outage) -> Progress:
    down = sum(host.ready is not m.Switch.TRUE for host in stage.simulation.hosts.values())
    total = len(stage.simulation.hosts)
    return Progress(
        story="outage", done=total - down, total=total, text=f"{down} not ready, zone {outage.zone}"
    )


def _summary(stage: Stage, outage: Outage) -> str:
    acted = len({span.machine for host in stage.simulation.hosts.values() for span in host.spans
                 if span.disruptive and span.began >= outage.begins})  # fmt: skip
    return f"zone {outage.zone}: {len(outage.cut)} silent for {LASTS.seconds // 60} min, nothing done there; {acted} healed in all"
