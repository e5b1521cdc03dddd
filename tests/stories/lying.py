"""The check lies on every node: from one moment on a probe says of every machine that its component does not run.

Nothing is wrong with any of them; whoever believed it would restart the kubelet of the whole set. It is no story of the demo.
"""

from collections.abc import Iterable
from datetime import timedelta

from kubenode.core import model as m
from kubenode.core.probe import HttpGet
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone

NAME, UNIT, VERSION = "kubelet", "kubelet.service", "1.30.4"
PROBE = HttpGet("http://127.0.0.1:10248/healthz", 5)
LIES_AFTER, TRUE_AGAIN_AFTER = timedelta(minutes=5), timedelta(hours=6)
LONG = timedelta(days=2)
MOST = 5
"""Restarts of a set of 100: five percent of it."""


def cast_of(machines: int) -> Cast:
    """Give machines on which a set keeps a kubelet whose probe asks it."""
    http = m.HttpProbe(port=10248, path="/healthz")
    kubelet = m.MachineComponent(
        metadata=m.ObjectMeta(name="kubelet-1"),
        spec=m.MachineComponentSpec(
            version=VERSION, driver="package", parameters={"package": NAME, "unit": UNIT},
            probes=(m.ComponentProbe(http=http),),
        ),
    )  # fmt: skip
    spec = m.MachineComponentSetSpec(
        name=NAME, component="kubelet-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(min_ready_seconds=0, max_unavailable=m.IntOrPercent.parse("100%")),
    )  # fmt: skip
    owner = m.MachineComponentSet(metadata=m.ObjectMeta(name=NAME), spec=spec)
    return Cast(objects=(kubelet, owner)).with_machines(machines)


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Let the check lie for six hours, and see how many believed it."""
    stage = Stage("lying", cast, seed=seed, tell=tell, attend=attend)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=LONG)
    before = restarts(stage)
    for host in simulation.hosts.values():
        simulation.at(LIES_AFTER, lambda host=host: host.answer(PROBE, None))  # type: ignore[misc]
    simulation.run_until(lambda: len(held(stage)) + MOST >= len(simulation.hosts), limit=timedelta(hours=1))
    simulation.rest(limit=timedelta(hours=5))
    lied = tuple(_while_it_lies(stage, before))
    for host in simulation.hosts.values():
        simulation.at(TRUE_AGAIN_AFTER, lambda host=host: host.answers.clear() or host.changed(host))  # type: ignore[misc,func-returns-value]
    rested = simulation.rest(limit=LONG)
    done = restarts(stage) - before
    return stage.end(
        (*lied, *_after(stage, before, rested=rested)), f"{done} of {len(simulation.hosts)} restarted"
    )


def restarts(stage: Stage) -> int:
    """Count what was really done to hosts."""
    return sum(len(host.spans) for host in stage.simulation.hosts.values())


def held(stage: Stage) -> tuple[m.Machine, ...]:
    """Give the machines whose repair is held."""
    return tuple(one for one in stage.all(m.Machine) if one.spec.components[NAME].held)


def _while_it_lies(stage: Stage, before: int) -> Iterable[Check]:
    done, machines = restarts(stage) - before, len(stage.simulation.hosts)
    yield all_of("no more than 5 % believed it", (f"{done} restarts",) if done > MOST else ())
    free = [one.metadata.name for one in stage.all(m.Machine) if not one.spec.components[NAME].held]
    yield all_of("all others are held", free if len(free) > MOST else ())
    why = f"of {machines} machines of set {NAME} report that kubelet-1 drifted, and at most {MOST} within ten minutes are borne"
    silent = [one.metadata.name for one in held(stage) if why not in (one.spec.components[NAME].held or "")]
    yield all_of("each says why", silent)
    unready = [name for name, host in stage.simulation.hosts.items() if host.ready is not m.Switch.TRUE]
    yield all_of("no Node was lost", unready)


def _after(stage: Stage, before: int, *, rested: bool) -> Iterable[Check]:
    done = restarts(stage) - before
    yield all_of("it rests", () if rested else ("it does not",))
    yield all_of("the truth restarts nobody", (f"{done} restarts",) if done > MOST else ())
    yield all_of("nobody is held any more", [one.metadata.name for one in held(stage)])
    wrong = [f"{phase}: {count}" for phase, count in stage.phases().items() if phase != "Running"]
    yield all_of("all are Running", wrong)
