"""A Collector that follows a simulation: it watches the store itself and listens to every decision."""

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.runtime.report.collect import Collector
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.cache import Change
from kubenode.runtime.store.contract import EventType
from kubenode.runtime.store.embedded import now_or_never

FOLLOWED: tuple[type[m.Object], ...] = (
    m.RiskPolicy, m.MachineComponentSet, m.Node, m.Machine, m.RiskLedger,
)  # fmt: skip


def follow(simulation: Simulation) -> Collector:
    """Give a collector that is told of all that happens from now on; for `attend` of a story."""
    collector = Collector(simulation.time.now())
    store = simulation.store
    watches = {
        kind: now_or_never(
            store.watch(kind.KIND, resource_version=now_or_never(store.find(kind.KIND)).resource_version)
        )
        for kind in FOLLOWED
    }

    def look() -> None:
        at = simulation.time.elapsed
        for kind, watch in watches.items():
            for event in watch.drain():
                obj = wire.read(event.object, kind)
                gone = event.type is EventType.DELETED
                change = Change(kind=kind, before=obj if gone else None, after=None if gone else obj)
                collector.changed(change, at)

    simulation.watch(look)
    simulation.listen(collector.decided)
    return collector
