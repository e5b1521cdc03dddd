"""A story of the remedy `replace`: a detector's condition, a permit, a drain, a deletion, a successor, and a proof.

A MachineSet's machines run on a simulated cloud. The kernels of two of them say at once that a task hangs; the rule's only
rung is `replace`, and no more than one machine may be disturbed. Beside what may be evicted one at a time nothing runs there.
It is no story of the demo; the enumeration plays it, and tests of its own.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial

import attrs

from kubenode.core import model as m
from kubenode.core.node.cordon import CORDONED_BY
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone
from kubenode.runtime.sim.workload import App, Apps
from kubenode.runtime.store.embedded import EmbeddedWatch, now_or_never
from tests.stories import clouding
from tests.stories.clouding import Counting, Wanted
from tests.stories.draining import Watching

LONG = timedelta(hours=6)
SICK = 2
MOST = 1
"""How many machines the policy lets be disturbed at once."""


def cast_of(machines: int, *, zones: str = "ab") -> Cast:
    """Give a set of so many machines, the rule that replaces the sick ones, and a limit of one at a time."""
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(MOST))
    # That the rule has proven nothing yet is no reason to wait: the limit is the only one.
    width = m.RepairWidth(first=machines)
    risk = m.RiskPolicy(
        metadata=m.ObjectMeta(name="strict"), spec=m.RiskPolicySpec(limits=(limit,), repair_width=width)
    )
    rule = m.NodeRemedier(
        metadata=m.ObjectMeta(name="hung-task"),
        spec=m.NodeRemedierSpec(
            condition=m.ConditionMatch(type="KernelDeadlock", lasting=timedelta(seconds=30)),
            ladder=(m.Rung(action="replace", timeout=timedelta(minutes=30)),),
        ),
    )
    owners = clouding.cast_of(machines, zones=zones).of(m.MachineSet)
    return Cast(objects=(risk, rule, *owners))


@attrs.define(kw_only=True)
class Disturbed:
    """Counts after every turn.

    Attributes:
        worst: most machines at once that were cordoned, or asked to go.
        loaded: Pods that a drain takes and that were there when the instance below them was terminated.
        ended: how many terminations were looked at.
    """

    stage: Stage
    apps: Apps
    worst: int = 0
    loaded: list[str] = attrs.field(factory=list)
    ended: int = 0
    _watches: list[EmbeddedWatch] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        store = self.stage.simulation.store
        self._watches = [
            now_or_never(store.watch(kind.KIND, resource_version="0")) for kind in (m.Node, m.Machine)
        ]

    def look(self) -> None:
        """Look at all Nodes and Machines, and at what has been terminated since."""
        changed = [watch.drain() for watch in self._watches]
        if not any(changed):
            return
        cordoned = {one.metadata.name for one in self.stage.all(m.Node) if one.spec.unschedulable}
        machines = self.stage.all(m.Machine)
        leaving = {
            f"node-{one.metadata.name}" for one in machines if one.metadata.deletion_timestamp is not None
        }
        self.worst = max(self.worst, len(cordoned | leaving))
        ended = self.stage.simulation.cloud.terminations[self.ended :]
        self.ended += len(ended)
        for one in ended:
            on = self.apps.on(f"node-{one.machine}")
            self.loaded += [pod.name for pod in on if pod.name.startswith("web")]


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Let the set come up, and then two of its machines say that a task hangs."""
    make = partial(Simulation, plugins=clouding.plugins())
    stage = Stage("replace", cast, seed=seed, tell=tell, attend=attend, make=make)
    simulation, watching = stage.simulation, Watching(stage)
    simulation.listen(watching.note)
    [owner] = cast.of(m.MachineSet)
    count = owner.spec.replicas
    counting = Counting(stage, most=count)
    simulation.watch(counting.look)
    for obj in cast.objects:
        simulation.create(obj)
    rested = [simulation.rest(limit=LONG)]
    before = {one.metadata.name: one.metadata.uid for one in stage.all(m.Machine)}
    apps = Apps(simulation)
    nodes = sorted(host.spec.node for host in simulation.hosts.values())
    apps.add(App(name="web", replicas=count, spare=1), nodes)
    apps.add(App(name="logs", owner="DaemonSet"), nodes)
    simulation.watch(watching.look)
    disturbed = Disturbed(stage=stage, apps=apps)
    simulation.watch(disturbed.look)
    sick = sorted(before)[:SICK]
    for name in sick:
        simulation.at(timedelta(minutes=5), partial(simulation.hosts[name].log, kernel_lines()))
    rested.append(simulation.rest(limit=LONG))
    checks = (
        *_gone(stage, before, sick),
        *clouding.checks(
            stage, counting, Wanted(made={1: count + SICK}, left=count, ended=SICK), rested=all(rested)
        ),
        *_disturbed(stage, watching, disturbed),
    )
    calls = simulation.cloud.calls
    return stage.end(checks, f"{calls['create']} creates, {calls['delete']} deletes")


def _gone(stage: Stage, before: Mapping[str, str], sick: list[str]) -> Iterable[Check]:
    left = {one.metadata.uid for one in stage.all(m.Machine)}
    yield all_of("the sick are gone, and no other", (
        f"{name} is {'there' if uid in left else 'gone'}" for name, uid in before.items() if (uid in left) == (name in sick)
    ))  # fmt: skip
    jobs = {job.spec.machine.name: job for job in stage.all(m.RemedyOperationJob)}
    yield all_of("one episode for each of them, of one attempt, and it says Succeeded", (
        *(f"{name} has none" for name in sick if name not in jobs),
        *(f"{name} has one" for name in jobs if name not in sick),
        *(f"{job.metadata.name} is {job.status.phase} after {len(job.status.attempts)}" for job in jobs.values()
          if (job.status.phase, [one.action for one in job.status.attempts]) != ("Succeeded", ["replace"])),
        *(() if len(jobs) == len(stage.all(m.RemedyOperationJob)) else ("a machine has two",)),
    ))  # fmt: skip
    yield all_of("no Node says that a task hangs", (
        one.metadata.name for one in stage.all(m.Node)
        if any(said.type == "KernelDeadlock" and said.status is m.Switch.TRUE for said in one.status.conditions)
    ))  # fmt: skip


def _disturbed(stage: Stage, watching: Watching, disturbed: Disturbed) -> Iterable[Check]:
    worst = f"{disturbed.worst} at once, not {MOST}"
    yield all_of("one after another was disturbed", () if disturbed.worst == MOST else (worst,))
    yield all_of("nothing was there that could go when an instance ended", disturbed.loaded)
    yield all_of("no budget is overdrawn", watching.wrong)
    left = Counter(pod.node for pod in disturbed.apps.all() if pod.name.startswith("web"))
    nodes = {one.metadata.name for one in stage.all(m.Node)}
    yield all_of("the work runs on Nodes that there are", (node for node in left if node not in nodes))
    yield all_of("no cordon and no permit is left", (
        *(f"{one.metadata.name} is cordoned" for one in stage.all(m.Node) if one.spec.unschedulable or CORDONED_BY in one.metadata.annotations),
        *(f"{hold.op_id} is open" for book in stage.all(m.RiskLedger) for hold in book.status.holds),
    ))  # fmt: skip
