"""Hung: a kernel log line becomes a condition, a job, a permit, a remedy, and a proof."""

from collections.abc import Iterable
from datetime import timedelta

from kubenode.core import model as m
from kubenode.core.step import Reboot
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.stories.truth import lacking
from kubenode.runtime.sim.story import Attend, Cast, Progress, Stage, Tell, Told, alone, examples

MACHINES = 6
LIMIT = timedelta(hours=6)
HANGS_AFTER = timedelta(minutes=5)


def kernel_lines() -> tuple[str, ...]:
    """Give real kernel log records of a hung task, as /dev/kmsg has them."""
    text = (examples() / "hung.kmsg").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Let one machine hang, and see it found and healed."""
    cast = cast.with_machines(MACHINES)
    stage = Stage("hung", cast, seed=seed, tell=tell, attend=attend)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=timedelta(hours=1))
    host = list(simulation.hosts.values())[min(2, len(simulation.hosts) - 1)]
    hung_at = simulation.time.elapsed + int(HANGS_AFTER.total_seconds()) * 1_000_000_000
    simulation.at(HANGS_AFTER, lambda: host.hang(kernel_lines()))
    simulation.watch(lambda: tell(_progress(stage, host)))
    simulation.run_until(lambda: simulation.time.elapsed > hung_at and _closed(stage), limit=LIMIT)
    healed_at = simulation.time.elapsed
    stage.change()
    rested = simulation.rest(limit=timedelta(hours=6))
    seconds = (healed_at - hung_at) // 1_000_000_000
    return stage.end(
        _checks(stage, host, rested=rested),
        f"{host.spec.machine} healed in {seconds} s"
        if not host.hung
        else f"{host.spec.machine} is still hung",
    )


def _closed(stage: Stage) -> bool:
    jobs = stage.all(m.RemedyOperationJob)
    return bool(jobs) and all(job.status.closed_at is not None for job in jobs)


def _checks(stage: Stage, host: SimHost, *, rested: bool) -> Iterable[Check]:
    cast, hosts = stage.cast, stage.simulation.hosts
    name = host.spec.machine
    yield all_of("the hung host is well again", (f"{name} still hangs",) if host.hung else ())
    yield all_of("the job says Succeeded", _unproven(stage, name))
    yield all_of("its Node is Ready and the condition clear", _sick(stage, host))
    yield all_of("rebooted once, and no other", _reboots(hosts, name))
    yield all_of("components as before", lacking(cast, hosts))
    yield all_of("every machine Running", (
        f"{one.metadata.name} is {one.status.phase}" for one in stage.all(m.Machine) if one.status.phase != "Running"
    ))  # fmt: skip
    yield all_of("came to rest", () if rested else ("still busy",))


def _unproven(stage: Stage, name: str) -> Iterable[str]:
    jobs = [job for job in stage.all(m.RemedyOperationJob) if job.spec.machine.name == name]
    if len(jobs) != 1:
        yield f"{len(jobs)} jobs for {name}"
    yield from (
        f"{job.metadata.name} is {job.status.phase or 'new'}"
        for job in jobs
        if job.status.phase != "Succeeded"
    )


def _sick(stage: Stage, host: SimHost) -> Iterable[str]:
    node = stage.read(m.Node, host.spec.node)
    if not node.ready:
        yield f"{host.spec.node} is not Ready"
    faults = [c for c in node.status.conditions if c.type != "Ready"]
    if not faults:
        yield f"{host.spec.node} never showed the fault"
    yield from (
        f"{host.spec.node} has {c.type}={c.status.value}" for c in faults if c.status is not m.Switch.FALSE
    )


def _reboots(hosts: dict[str, SimHost], name: str) -> Iterable[str]:
    for host in hosts.values():
        count = sum(isinstance(step, Reboot) for span in host.spans for step in span.steps)
        if count != (1 if host.spec.machine == name else 0):
            yield f"{host.spec.machine} was rebooted {count} times"


def _progress(stage: Stage, host: SimHost) -> Progress:
    permits = [p for p in stage.witness.permits.values() if p.hold.machine == host.spec.machine]
    text = f"{host.spec.machine} " + ("hung" if host.hung else "well")
    if permits:
        text += f", {len(permits)} permits"
    return Progress(story="hung", done=0 if host.hung or not stage.witness.jobs else 1, total=1, text=text)
