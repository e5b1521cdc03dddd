"""Import: existing nodes become Running machines, with labels, taints and components as asked."""

from collections.abc import Iterable
from datetime import timedelta

from kubenode.core import model as m
from kubenode.runtime.sim.check import all_of
from kubenode.runtime.sim.stories.truth import lacking
from kubenode.runtime.sim.story import Attend, Cast, Progress, Stage, Tell, Told, alone

EVERY = timedelta(seconds=20)
LIMIT = timedelta(hours=1)


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Install an agent on one host after another; each machine is imported until it is Running."""
    cast = cast.with_machines(3)
    stage = Stage("import", cast, seed=seed, tell=tell, attend=attend)
    stage.open(agents_up=False)
    simulation, total = stage.simulation, len(cast.of(m.Machine))
    for number, host in enumerate(simulation.hosts.values()):
        simulation.at(EVERY * number, lambda host=host: host.enrol())  # type: ignore[misc]
    simulation.watch(
        lambda: tell(Progress(story="import", done=stage.witness_running(), total=total, text=_phases(stage)))
    )
    stage.until_running(LIMIT)
    stage.change()
    rested = simulation.rest(limit=LIMIT)
    running = stage.phases().get("Running", 0)
    return stage.end(
        (
            all_of("every machine Running", _not_running(stage)),
            all_of("labels synced", _labels_missing(stage)),
            all_of("taints synced", _taints_missing(stage)),
            all_of("components installed", lacking(cast, simulation.hosts)),
            all_of("came to rest", () if rested else ("still busy after an hour",)),
        ),
        f"{running}/{total} Running in {simulation.time.elapsed // 1_000_000_000} s",
    )


def _phases(stage: Stage) -> str:
    return f"{stage.witness_running()} Running"


def _not_running(stage: Stage) -> Iterable[str]:
    for machine in stage.all(m.Machine):
        if machine.status.phase != "Running":
            why = next(
                (c.message or c.reason for c in machine.status.conditions if c.type == "Ready"),
                "nothing heard",
            )
            yield f"{machine.metadata.name} is {machine.status.phase or 'Pending'}: {why}"


def _nodes(stage: Stage) -> dict[str, m.Json]:
    return {raw["metadata"]["name"]: raw for raw in stage.simulation.objects(m.Node)}


def _labels_missing(stage: Stage) -> Iterable[str]:
    nodes = _nodes(stage)
    for machine in stage.cast.last(m.Machine):
        have = nodes[f"node-{machine.metadata.name}"]["metadata"].get("labels", {})
        for key, value in machine.spec.labels.items():
            if have.get(key) != value:
                yield f"Node of {machine.metadata.name} lacks {key}={value}"


def _taints_missing(stage: Stage) -> Iterable[str]:
    nodes = _nodes(stage)
    for machine in stage.cast.last(m.Machine):
        have = nodes[f"node-{machine.metadata.name}"].get("spec", {}).get("taints", [])
        for taint in machine.spec.taints:
            if not any(
                (t["key"], t.get("value", ""), t["effect"]) == (taint.key, taint.value, taint.effect.value)
                for t in have
            ):
                yield f"Node of {machine.metadata.name} lacks the taint {taint.key}:{taint.effect.value}"
