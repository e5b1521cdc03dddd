"""A story of reboots that drain first: budgets let go or block, and the time limit's policy decides.

One machine after another hangs. What runs on both may be evicted one at a time; beside it is what may not be evicted at
all. The first machine's policy is Force: it is rebooted when its time is over. The second's is GiveUp: a human's turn.
It is no story of the demo; the enumeration plays it, and tests of its own.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Evict
from kubenode.core.node.cordon import CORDONED_BY
from kubenode.core.node.workload import budgets_of, pods_of
from kubenode.core.step import Reboot
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone, examples
from kubenode.runtime.sim.workload import App, Apps
from kubenode.runtime.store.embedded import EmbeddedWatch, now_or_never

LONG = timedelta(hours=6)
LIMIT = timedelta(minutes=2)
MOST = 2
"""How often one Pod's eviction may be decided: a second time when the first one's answer was lost, or was none."""


def cast_of(machines: int, *, zones: str = "a") -> Cast:
    """Give two machines and what reboots them; the mild rung is left out, since it drains nothing."""
    cast = Cast.read([examples() / "hung.yaml"]).with_machines(machines, zones=tuple(zones))
    return attrs.evolve(cast, objects=tuple(map(_told, cast.objects)))


def _told(obj: m.Object) -> m.Object:
    """Give each machine its policy, and the remedier its one rung."""
    if isinstance(obj, m.NodeRemedier):
        return attrs.evolve(obj, spec=attrs.evolve(obj.spec, ladder=obj.spec.ladder[-1:]))
    if isinstance(obj, m.Machine):
        how = m.OnTimeout.FORCE if obj.metadata.name == "n001" else m.OnTimeout.GIVE_UP
        return attrs.evolve(
            obj, spec=attrs.evolve(obj.spec, drain=m.DrainPolicy(timeout=LIMIT, on_timeout=how))
        )
    return obj


@attrs.define
class Watching:
    """Sees every turn: what budgets ask for stands, and nothing is evicted from a Node that is open."""

    stage: Stage
    decided: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    watch: EmbeddedWatch | None = None

    def note(self, decided: Decided) -> None:
        """Count the evictions that are decided, by Pod."""
        self.decided.update(act.pod.uid for act in decided.acts if isinstance(act, Evict))

    def look(self) -> None:
        """Look at all budgets."""
        store = self.stage.simulation.store
        if self.watch is None:
            self.watch = now_or_never(store.watch(m.Pod.KIND, resource_version="0"))
        if not self.watch.drain():
            return
        pods = pods_of(now_or_never(store.find(m.Pod.KIND)).items)
        for budget in budgets_of(now_or_never(store.find(m.PodDisruptionBudget.KIND)).items):
            up = sum(pod.ready and not pod.deleting for pod in pods if budget.selects(pod))
            if up < budget.desired:
                self.wrong.append(f"{budget}: {up} of {budget.desired}")


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Let one machine hang, and when that is over the other."""
    stage = Stage("drain", cast, seed=seed, tell=tell, attend=attend)
    watching = Watching(stage)
    stage.simulation.listen(watching.note)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=LONG)
    apps = Apps(simulation)
    nodes = sorted(host.spec.node for host in simulation.hosts.values())
    apps.add(App(name="web", replicas=2, spare=1), nodes)
    apps.add(App(name="db", replicas=2, spare=0), nodes)
    apps.add(App(name="logs", owner="DaemonSet"), nodes)
    simulation.watch(watching.look)
    for name in sorted(simulation.hosts):
        simulation.at(timedelta(minutes=5), lambda name=name: simulation.hosts[name].hang(kernel_lines()))  # type: ignore[misc]
        rested = simulation.rest(limit=LONG)
    return stage.end(_checks(stage, apps, watching, rested=rested), f"{len(apps.ended)} Pods went")


def _checks(stage: Stage, apps: Apps, watching: Watching, *, rested: bool) -> Iterable[Check]:
    hosts = stage.simulation.hosts
    reboots = {
        name: sum(isinstance(step, Reboot) for span in host.spans for step in span.steps) for name, host in hosts.items()
    }  # fmt: skip
    phases = {job.spec.machine.name: job.status.phase for job in stage.all(m.RemedyOperationJob)}
    wanted = {name: ("Succeeded", 1) if name == "n001" else ("HandedOver", 0) for name in hosts}
    yield all_of("the policy decides", (
        f"{name}: {(phases.get(name), reboots[name])}" for name in sorted(hosts) if (phases.get(name), reboots[name]) != wanted[name]
    ))  # fmt: skip
    yield all_of("what could go has gone, and no more", (
        *(f"{pod} is there" for pod in apps.all() if pod.name in ("web-1", "web-2") and not pod.deleting),
        *(f"{name} went" for name in apps.ended if not name.startswith("web")),
    ))  # fmt: skip
    yield all_of("no budget is overdrawn", watching.wrong)
    yield all_of("no Pod is evicted again and again", (
        f"{uid}: {count} times" for uid, count in watching.decided.items() if count > MOST
    ))  # fmt: skip
    yield all_of("no cordon, no word of a drain and no permit is left", (
        *(f"{one.metadata.name} is cordoned" for one in stage.all(m.Node) if one.spec.unschedulable or CORDONED_BY in one.metadata.annotations),
        *(f"{one.metadata.name}: {one.status.drain}" for one in stage.all(m.Machine) if one.status.drain is not None),
        *(f"{hold.op_id} is open" for book in stage.all(m.RiskLedger) for hold in book.status.holds),
    ))  # fmt: skip
    yield all_of("came to rest", () if rested else ("still busy",))
