"""Stories of machines on a simulated cloud: created, replaced, deleted, scaled down; judged by the cloud's own truth.

They are no stories of the demo; the enumeration plays them. What the cloud counts: which instances were ever made, for
which machine, by which token, how many there were at any time, and whose end was asked for how often.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.hookspecs import Instance
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.core.model.machineset import DELETE_FIRST, Strategy, StrategyType
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.cloud import SimCloud, SimClouds, machine_of
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone
from kubenode.runtime.store.embedded import now_or_never

POOL = "pool"
LONG = timedelta(hours=6)
RESYNC, RESYNCS = timedelta(minutes=5), 2
"""How often, and how many times, the providers are looked at when nothing is left to do."""


@attrs.frozen(kw_only=True, eq=False)
class Place:
    """Where machines are made: a provider, what it is asked for, what a replacement is asked for, and its zones."""

    provider: str = "memory"
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    other: Mapping[str, Any] = attrs.field(factory=lambda: {"zone": "a"})
    zones: tuple[str, ...] = ("a", "b")


def cast_of(machines: int, *, zones: str = "ab", place: Place | None = None) -> Cast:
    """Give a set of so many machines in the first of the zones, and limits that let two go at once."""
    place = Place() if place is None else place
    infrastructure = m.Infrastructure(provider=place.provider, parameters=dict(place.parameters))
    owner = m.MachineSet(
        metadata=m.ObjectMeta(name=POOL),
        spec=m.MachineSetSpec(
            replicas=machines, selector=m.Selector(match_labels={POOL: "x"}), failure_domains=place.zones[: len(zones)],
            template=m.MachineTemplate(labels={POOL: "x"}, spec=m.MachineTemplateSpec(infrastructure=infrastructure)),
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


@attrs.frozen(kw_only=True)
class Wanted:
    """What is to be in the end.

    Attributes:
        made: machines, by how many instances were ever made for each.
        left: how many machines are left.
        ended: how many instances were ended by calls.
    """

    made: Mapping[int, int]
    left: int
    ended: int

    @property
    def instances(self) -> int:
        """How many were ever made."""
        return sum(each * machines for each, machines in self.made.items())


def play(
    what: str, cast: Cast, seed: int, tell: Tell, attend: Attend = alone, *, place: Place | None = None,
    cloud: Callable[..., SimCloud] = SimCloud,
) -> Told:  # fmt: skip
    """Let the set come up, and then do what the story is about."""
    place = Place() if place is None else place
    make = partial(Simulation, plugins=plugins(), cloud=cloud)
    stage = Stage(f"cloud-{what}", cast, seed=seed, tell=tell, attend=attend, make=make)
    simulation = stage.simulation
    [owner] = cast.of(m.MachineSet)
    count = owner.spec.replicas
    counting = Counting(stage, most=count)
    simulation.watch(counting.look)
    if what == "mute":
        _first_is_mute(simulation.cloud, place.zones[0])
    for obj in cast.objects:
        simulation.create(obj)
    rested = [simulation.rest(limit=LONG)]
    wanted = Wanted(made={1: count}, left=count, ended=0)
    first, *others = sorted(one.metadata.name for one in stage.all(m.Machine))
    match what:
        case "gone" | "mute":
            wanted = Wanted(made={1: count - 1, 2: 1}, left=count, ended=1 if what == "mute" else 0)
            if what == "gone":
                simulation.cloud.end(
                    next(one.id for one in simulation.cloud.alive if machine_of(one) == first)
                )
        case "replace":
            counting.most, wanted = count + 1, Wanted(made={1: 2 * count}, left=count, ended=count)
            _marked(stage, [first])
            change = {"template": {"spec": {"infrastructure": {"parameters": dict(place.other)}}}}
            simulation.change(m.MachineSet, POOL, {"spec": change})
        case "delete":
            wanted = Wanted(made={1: count}, left=0, ended=count)
            now_or_never(simulation.store.delete(m.MachineSet.KIND, POOL))
        case "scale-down":
            wanted = Wanted(made={1: count}, left=1, ended=count - 1)
            _marked(stage, others)
            simulation.change(m.MachineSet, POOL, {"spec": {"replicas": 1}})
        case _:
            pass
    rested.append(simulation.rest(limit=LONG))
    for _ in range(RESYNCS):
        simulation.at(RESYNC, partial(_resync, simulation))
        rested.append(simulation.rest(limit=LONG))
    calls = simulation.cloud.calls
    judged = checks(stage, counting, wanted, rested=all(rested))
    return stage.end(judged, f"{calls['create']} creates, {calls['delete']} deletes")


@cache
def plugins() -> Plugins:
    """Find them once for all plays: none keeps anything of one."""
    return Plugins.discover()


def _resync(simulation: Simulation) -> None:
    for process in list(simulation.processes.values()):  # a look may be what another one begins at
        if isinstance(process.clouds, SimClouds):
            process.clouds.resync()


def _first_is_mute(cloud: SimCloud, zone: str) -> None:
    """Let the host of the first instance in a zone never come up; there is one machine in it."""
    born, mute = cloud.born, list[Instance]()

    def bear(one: Instance) -> None:
        if one.zone == zone and not mute:
            mute.append(one)
        else:
            born(one)

    cloud.born = bear


def _marked(stage: Stage, names: Iterable[str]) -> None:
    """Mark who goes first; of those that are alike that is by their uids, which are others in another run."""
    for name in names:
        stage.simulation.change(m.Machine, name, {"metadata": {"annotations": {DELETE_FIRST: ""}}})


def checks(stage: Stage, counting: Counting, wanted: Wanted, *, rested: bool) -> Iterable[Check]:
    """Judge the machines, the Nodes and the cloud against each other, and what was ever asked for and done."""
    cloud = stage.simulation.cloud
    machines, alive = stage.all(m.Machine), cloud.alive
    yield all_of("never too many instances, and never two of a machine", counting.wrong)
    yield from _counts(cloud, wanted)
    named = {one.status.instance.id for one in machines if one.status.instance is not None}
    yield all_of(
        "cloud and Machines agree", () if named == {one.id for one in alive} else (f"{named} and {alive}",)
    )
    yield all_of("as many as wanted", () if len(machines) == wanted.left else (f"{len(machines)} machines",))
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


def _counts(cloud: SimCloud, wanted: Wanted) -> Iterable[Check]:
    """Judge what was ever asked for and done: instances by machine, tokens, ends, calls."""
    made = dict(Counter(Counter(one.tags[MACHINE_UID_TAG] for one in cloud.made).values()))
    made_wanted = {each: machines for each, machines in wanted.made.items() if machines}
    yield all_of(
        "as many were ever made for each machine as need be",
        ()
        if made == made_wanted
        else (f"machines by how many were made for them: {made}, not {made_wanted}",),
    )
    spent = cloud.asked.keys() - cloud.created.keys()
    yield all_of("each token made one", (f"{token} made none" for token in spent))
    ended = cloud.terminated
    wrong = [f"{key} {times} times" for key, times in ended.items() if times > 1]
    wrong += [] if len(ended) == wanted.ended else [f"{len(ended)} ended, not {wanted.ended}"]
    yield all_of("each was terminated once", wrong)
    # Who crashes forgets the answers to all that was under way, and asks for it again, with the same tokens.
    most = {"create": 2 * wanted.instances, "delete": 2 * wanted.ended}
    over = [f"{cloud.calls[what]} of {what}" for what, limit in most.items() if cloud.calls[what] > limit]
    over += [f"{token} {times} times" for token, times in cloud.asked.items() if times > 2]
    yield all_of("each call was made once more at most", over)


STORIES = ("create", "replace", "delete", "scale-down", "gone", "mute")
"""What each is about: `gone` is an instance that somebody ended, `mute` one whose Node never joins."""
PLAYS: dict[str, Callable[..., Told]] = {f"cloud-{what}": partial(play, what) for what in STORIES}
