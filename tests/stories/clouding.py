"""Stories of machines on a simulated cloud: created, replaced, deleted, scaled down; judged by the cloud's own truth.

They are no stories of the demo; the enumeration plays them. What the cloud counts: which instances were ever made, for
which machine, how many there were at any time, and whose end was asked for how often.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial

import attrs

from kubenode.core import model as m
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.core.model.machineset import DELETE_FIRST, Strategy, StrategyType
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone
from kubenode.runtime.store.embedded import now_or_never

POOL = "pool"
LONG = timedelta(hours=6)


def cast_of(machines: int, *, zones: str) -> Cast:
    """Give a set of so many machines of the provider `memory`, and limits that let two go at once."""
    spec = m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    owner = m.MachineSet(
        metadata=m.ObjectMeta(name=POOL),
        spec=m.MachineSetSpec(
            replicas=machines, selector=m.Selector(match_labels={POOL: "x"}), failure_domains=tuple(zones),
            template=m.MachineTemplate(labels={POOL: "x"}, spec=spec),
            strategy=Strategy(type=StrategyType.REPLACE, max_surge=1, max_unavailable=0),
        ),
    )  # fmt: skip
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(2))
    risk = m.RiskPolicy(metadata=m.ObjectMeta(name="lax"), spec=m.RiskPolicySpec(limits=(limit,)))
    return Cast(objects=(risk, owner))


@attrs.define
class Counting:
    """Looks at the cloud after every turn.

    Attributes:
        most: how many instances there may be.
        wrong: what was exceeded, and when.
    """

    stage: Stage
    most: int
    wrong: list[str] = attrs.field(factory=list)

    def look(self) -> None:
        """Hold what there is against what there may be."""
        alive = self.stage.simulation.cloud.alive
        if len(alive) > self.most:
            self.wrong.append(f"{len(alive)} instances, at most {self.most}")
        owners = Counter(one.tags[MACHINE_UID_TAG] for one in alive)
        self.wrong += [f"{times} instances of one machine" for times in owners.values() if times > 1]


def play(what: str, cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Let the set come up, and then do what the story is about."""
    stage = Stage(f"cloud-{what}", cast, seed=seed, tell=tell, attend=attend)
    [owner] = cast.of(m.MachineSet)
    wanted = owner.spec.replicas
    counting = Counting(stage, most=wanted)
    stage.simulation.watch(counting.look)
    for obj in cast.objects:
        stage.simulation.create(obj)
    rested = [stage.simulation.rest(limit=LONG)]
    made, left = wanted, wanted
    match what:
        case "replace":
            counting.most, made = wanted + 1, 2 * wanted
            _marked(stage, sorted(one.metadata.name for one in stage.all(m.Machine))[:1])
            change = {
                "template": {"spec": {"infrastructure": {"provider": "memory", "parameters": {"zone": "a"}}}}
            }
            stage.simulation.change(m.MachineSet, POOL, {"spec": change})
        case "delete":
            left = 0
            now_or_never(stage.simulation.store.delete(m.MachineSet.KIND, POOL))
        case "scale-down":
            left = 1
            _marked(stage, sorted(one.metadata.name for one in stage.all(m.Machine))[left:])
            stage.simulation.change(m.MachineSet, POOL, {"spec": {"replicas": left}})
        case _:
            pass
    rested.append(stage.simulation.rest(limit=LONG))
    checks = _checks(stage, counting, made=made, left=left, rested=all(rested))
    calls = stage.simulation.cloud.calls
    return stage.end(checks, f"{calls['create']} creates, {calls['delete']} deletes")


def _marked(stage: Stage, names: Iterable[str]) -> None:
    """Mark who goes first; of those that are alike that is by their uids, which are others in another run."""
    for name in names:
        stage.simulation.change(m.Machine, name, {"metadata": {"annotations": {DELETE_FIRST: ""}}})


def _checks(stage: Stage, counting: Counting, *, made: int, left: int, rested: bool) -> Iterable[Check]:
    cloud = stage.simulation.cloud
    machines, alive = stage.all(m.Machine), cloud.alive
    yield all_of("never too many instances, and never two of a machine", counting.wrong)
    yield all_of(
        "each was made once",
        () if len(cloud.created) == made else (f"{len(cloud.created)} made, not {made}",),
    )
    wrong = [f"{key} {times} times" for key, times in cloud.terminated.items() if times > 1]
    yield all_of("each was terminated once", wrong)
    # Who crashes forgets the answers to all that was under way, and asks for it again, with the same tokens.
    most = {"create": 2 * made, "delete": 2 * (made - left)}
    over = [f"{cloud.calls[what]} of {what}" for what, limit in most.items() if cloud.calls[what] > limit]
    yield all_of("each call was made once more at most", over)
    named = {one.status.instance.id for one in machines if one.status.instance is not None}
    yield all_of(
        "cloud and Machines agree", () if named == {one.id for one in alive} else (f"{named} and {alive}",)
    )
    yield all_of("as many as wanted", () if len(machines) == left else (f"{len(machines)} machines",))
    yield all_of(
        "all that are left run", (one.metadata.name for one in machines if one.status.phase != "Running")
    )
    nodes = {node.metadata.name for node in stage.all(m.Node)}
    known = {one.status.node_ref.name for one in machines if one.status.node_ref is not None}
    yield all_of("a Node for each, and no other", () if nodes == known else (f"{nodes} and {known}",))
    yield all_of("an instance is its machine's", (
        one.id for one in alive if one.tags[MACHINE_TAG] not in {machine.metadata.name for machine in machines}
    ))  # fmt: skip
    yield all_of("came to rest", () if rested else ("still busy",))


PLAYS: dict[str, Callable[..., Told]] = {
    f"cloud-{what}": partial(play, what) for what in ("create", "replace", "delete", "scale-down")
}
