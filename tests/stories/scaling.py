"""A story of a MachineSet: it adopts, makes, replaces and deletes machines, while a witness counts after every change.

No plugin brings its provider: it is played here, and gives each machine that the set made a host.
It is no story of the demo; the enumeration plays it.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.condition import find
from kubenode.core.model.machineset import DeleteOrder, Strategy, StrategyType
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone
from kubenode.runtime.store.contract import EventType
from kubenode.runtime.store.embedded import EmbeddedWatch, now_or_never

POOL, IMAGE, OLD, NEW = "pool", "example.com/image", "1", "2"
SURGE, UNAVAILABLE = 1, 1
GROWN, LEFT = 3, 1
"""How many machines there are at most, without the surge, and in the end."""
LONG = timedelta(hours=6)
MADE_READY = timedelta(seconds=90)
"""How long the provider takes."""


def cast_of(machines: int, *, zones: str) -> Cast:
    """Give machines that belong to nobody, and a set that wants one more of the same label."""
    spec = m.MachineTemplateSpec(
        infrastructure=m.Infrastructure(provider="played"),
        labels={IMAGE: OLD},
        deletion_policy=m.DeletionPolicy.RELEASE,
    )
    owner = m.MachineSet(
        metadata=m.ObjectMeta(name=POOL),
        spec=m.MachineSetSpec(
            replicas=machines + 1, selector=m.Selector(match_labels={POOL: "x"}), failure_domains=tuple(zones),
            template=m.MachineTemplate(labels={POOL: "x"}, spec=spec), delete_order=DeleteOrder.OLDEST,
            strategy=Strategy(type=StrategyType.REPLACE, max_surge=SURGE, max_unavailable=UNAVAILABLE),
        ),
    )  # fmt: skip
    free = Cast(objects=()).with_machines(machines, zones=tuple(zones)).objects
    labelled = tuple(
        attrs.evolve(one, metadata=attrs.evolve(one.metadata, labels={**one.metadata.labels, POOL: "x"}))
        for one in free
    )
    return Cast(objects=(owner, *labelled))


@attrs.define
class Counting:
    """Sees every change of a Machine in the order of the store, and is the provider.

    Attributes:
        most: how many machines the set may have now, those being deleted among them.
        fewest: how many of them must be available now.
        made: how many were created, by the template they are of; who was there before has none.
        gone: how many were removed, in the same way.
        wrong: what was exceeded, and when.
    """

    stage: Stage
    most: int
    fewest: int = 0
    machines: dict[str, m.Machine] = attrs.field(factory=dict)
    made: Counter[str] = attrs.field(factory=Counter)
    gone: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    _watch: EmbeddedWatch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        store = self.stage.simulation.store
        version = now_or_never(store.find(m.Machine.KIND)).resource_version
        self._watch = now_or_never(store.watch(m.Machine.KIND, resource_version=version))
        self.stage.simulation.watch(self.look)

    def look(self) -> None:
        """Count anew after each change."""
        for event in self._watch.drain():
            machine = wire.read(event.object, m.Machine)
            name, template = machine.metadata.name, machine.spec.labels.get(IMAGE, "")
            if event.type is EventType.DELETED:
                del self.machines[name]
                self.gone[template] += 1
            else:
                self.machines[name] = machine
            if event.type is EventType.ADDED:
                self.made[template] += 1
                if machine.spec.infrastructure is not None:
                    self.stage.simulation.at(MADE_READY, lambda made=machine: self.provide(made))  # type: ignore[misc]
            self.count(name)

    def count(self, changed: str) -> None:
        """Hold the number of the set's machines, and of those available, against what is allowed."""
        mine = [one for one in self.machines.values() if one.spec.set_ref is not None]
        up = sum(map(available, mine))
        if len(mine) > self.most:
            self.wrong.append(f"{len(mine)} machines after a change of {changed}, at most {self.most}")
        if up < self.fewest:
            self.wrong.append(f"{up} available after a change of {changed}, at least {self.fewest}")

    def provide(self, made: m.Machine) -> None:
        """Give a machine its host; one of the same name that was released is given again."""
        name, simulation = made.metadata.name, self.stage.simulation
        if name not in self.machines or self.machines[name].metadata.uid != made.metadata.uid:
            return
        if name not in simulation.hosts:
            zone = made.metadata.labels[ZONE_LABEL]
            simulation.add_host(HostSpec(machine=name, node=f"node-{name}", zone=zone))
        body = {"spec": {"infrastructure": None, "host": {"address": "10.1.0.1"}}}
        simulation.change(m.Machine, name, body)


def available(machine: m.Machine) -> bool:
    """Tell whether work can run there, as the store says."""
    ready = find(machine.status.conditions, "NodeReady")
    up = machine.status.phase == "Running" and ready is not None and ready.status is m.Switch.TRUE
    return up and machine.metadata.deletion_timestamp is None


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Adopt and make, scale up, replace what is of the earlier template, scale down."""
    stage = Stage("machineset", cast, seed=seed, tell=tell, attend=attend)
    first = cast.of(m.MachineSet)[0].spec.replicas
    counting = Counting(stage, most=first)
    stage.open()
    rested = [stage.simulation.rest(limit=LONG)]
    spreads: list[Counter[str]] = []
    for most, fewest, spec in (
        (GROWN, first, {"replicas": GROWN}),
        (GROWN + SURGE, GROWN - UNAVAILABLE, {"template": {"spec": {"labels": {IMAGE: NEW}}}}),
        (GROWN, LEFT, {"replicas": LEFT}),
    ):
        counting.most, counting.fewest = most, fewest
        stage.simulation.change(m.MachineSet, POOL, {"spec": spec})
        rested.append(stage.simulation.rest(limit=LONG))
        spreads.append(Counter(one.metadata.labels[ZONE_LABEL] for one in stage.all(m.Machine)))
    checks = _checks(stage, counting, spreads, rested=all(rested))
    return stage.end(checks, f"{counting.made.total()} made, {counting.gone.total()} deleted")


def _checks(
    stage: Stage, counting: Counting, spreads: list[Counter[str]], *, rested: bool
) -> Iterable[Check]:
    [owner] = stage.all(m.MachineSet)
    machines, zones, mine = stage.all(m.Machine), owner.spec.failure_domains, owner.metadata.uid
    made, gone = dict(counting.made), counting.gone.total()
    free = len(stage.cast.of(m.Machine))
    others = GROWN - free
    right = (made, gone) == ({"": free, OLD: others, NEW: others}, others + GROWN - LEFT)
    yield all_of("never too many machines, nor too few available", counting.wrong)
    yield all_of("each is made and deleted once", () if right else (f"made {made}, deleted {gone}",))
    yield all_of("spread evenly over the zones", (
        str(dict(spread)) for spread in spreads if max(spread[one] for one in zones) - min(spread[one] for one in zones) > 1
    ))  # fmt: skip
    yield all_of("as many as wanted", () if len(machines) == LEFT else (f"{len(machines)} machines",))
    yield all_of("all that are left are the set's, of its template, and available", (
        one.metadata.name for one in machines
        if not available(one) or one.spec.set_ref is None or one.spec.set_ref.uid != mine
        or one.spec.labels.get(IMAGE, NEW) != NEW
    ))  # fmt: skip
    yield all_of("came to rest", () if rested else ("still busy",))
