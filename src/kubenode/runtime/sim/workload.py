"""What runs on the simulated Nodes: Pods that end in their own time, their budgets, and who makes them anew elsewhere.

It stands for kubelets, the disruption controller, the scheduler and a ReplicaSet controller, as far as a drain sees
them. They write to the store as those would, and watch nothing: they look whenever anything may have changed.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from kubenode.core import model as m
from kubenode.core.errors import ObjectNotFound
from kubenode.core.node.workload import budgets_of, pods_of
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import now_or_never

if TYPE_CHECKING:
    from kubenode.runtime.sim.run import Simulation

NAMESPACE: Final = "default"
_PODS: Final = m.Pod.KIND.within(NAMESPACE)
_BUDGETS: Final = m.PodDisruptionBudget.KIND.within(NAMESPACE)


@attrs.frozen(kw_only=True)
class App:
    """Pods of one kind.

    Attributes:
        replicas: of them are kept, on Nodes that take any; 0 for what nobody makes anew.
        spare: how many of them its budget lets go at a time; None for one without a budget.
        grace: seconds that each takes to end.
        starts: how long a new one takes to be ready.
        owner: the kind that makes them anew.
        labels: further labels of each.
    """

    name: str
    replicas: int = 0
    spare: int | None = None
    grace: int = 30
    starts: timedelta = timedelta(seconds=20)
    owner: str = "ReplicaSet"
    labels: Mapping[str, str] = MappingProxyType({})


class Apps:
    """The Pods of a simulation. Made once; `add` puts an application on it."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self._apps: dict[str, App] = {}
        self._made = 0
        self._ending: set[str] = set()
        self._due: dict[str, m.Pod] = {}
        self._watches = [
            now_or_never(simulation.store.watch(kind, resource_version="0"))
            for kind in (m.Pod.KIND, m.PodDisruptionBudget.KIND, m.Node.KIND)
        ]
        self.ended: list[str] = []
        simulation.watch(self.look)

    def add(self, app: App, nodes: Iterable[str]) -> None:
        """Start an application, one ready Pod on each of these Nodes."""
        store = self._simulation.store
        self._apps[app.name] = app
        if app.spare is not None:
            budget: m.Json = {
                "apiVersion": m.PodDisruptionBudget.KIND.api_version, "kind": m.PodDisruptionBudget.KIND.name,
                "metadata": {"name": app.name},
                "spec": {"maxUnavailable": app.spare, "selector": {"matchLabels": {"app": app.name}}},
            }  # fmt: skip
            now_or_never(store.create(_BUDGETS, budget))
        for node in nodes:
            self._ready(self._start(app, node))
        self.look()

    def on(self, node: str) -> tuple[m.Pod, ...]:
        """Give the Pods of a Node."""
        return tuple(pod for pod in self.all() if pod.node == node)

    def all(self) -> tuple[m.Pod, ...]:
        """Give all Pods."""
        return pods_of(now_or_never(self._simulation.store.find(m.Pod.KIND)).items)

    def look(self) -> None:
        """End what is to end, count budgets anew, and make anew what is missing."""
        changed = [watch.drain() for watch in self._watches]
        ends = [one for one in self._due.values() if self._is_alive(one.node)]
        if not self._apps or not (ends or any(changed)):
            return
        pods = self.all()
        for pod in pods:
            if pod.deleting and pod.uid not in self._ending:
                self._ending.add(pod.uid)
                self._simulation.at(timedelta(seconds=pod.grace), partial(self._is_over, pod))
        for pod in ends:
            self._end(pod)
        for app in self._apps.values():
            mine = [pod for pod in pods if pod.labels.get("app") == app.name and not pod.deleting]
            for _ in range(len(mine), app.replicas):
                self._schedule(app)
        self._count()

    def _is_over(self, pod: m.Pod) -> None:
        self._due[pod.uid] = pod

    def _end(self, pod: m.Pod) -> None:
        """End a Pod, as its kubelet does."""
        del self._due[pod.uid]
        try:
            now_or_never(self._simulation.store.delete(_PODS, pod.name, uid=pod.uid, grace=0))
        except ObjectNotFound:
            return
        self.ended.append(pod.name)

    def _is_alive(self, node: str) -> bool:
        """Tell whether a kubelet ends Pods; one that hangs or is cut off does so when it is back."""
        hosts = self._simulation.hosts.values()
        return all(host.ready is m.Switch.TRUE for host in hosts if host.spec.node == node)

    def _schedule(self, app: App) -> None:
        """Make a Pod on the open Node with the fewest; none while there is no such Node."""
        pods = self.all()
        nodes = [
            node["metadata"]["name"] for node in self._simulation.objects(m.Node)
            if not (node.get("spec") or {}).get("unschedulable")
        ]  # fmt: skip
        if nodes:
            name = self._start(
                app, min(nodes, key=lambda node: (sum(pod.node == node for pod in pods), node))
            )
            self._simulation.at(app.starts, lambda: self._ready(name))

    def _start(self, app: App, node: str) -> str:
        self._made += 1
        name = f"{app.name}-{self._made}"
        owners: list[m.Json] = []
        if app.owner:
            owners = [{"apiVersion": "apps/v1", "kind": app.owner, "name": app.name, "uid": app.name, "controller": True}]  # fmt: skip
        pod: m.Json = {
            "apiVersion": m.Pod.KIND.api_version, "kind": m.Pod.KIND.name,
            "metadata": {"name": name, "labels": {"app": app.name, **app.labels}, "ownerReferences": owners},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": app.grace},
        }  # fmt: skip
        now_or_never(self._simulation.store.create(_PODS, pod))
        return name

    def _ready(self, name: str) -> None:
        said = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        try:
            now_or_never(
                self._simulation.store.patch(_PODS, name, MergePatch({"status": said}), subresource="status")
            )
        except ObjectNotFound:
            return
        self._count()

    def _count(self) -> None:
        """Count what each budget allows, as its controller does."""
        pods = self.all()
        for raw in now_or_never(self._simulation.store.find(m.PodDisruptionBudget.KIND)).items:
            (budget,) = budgets_of((raw,))
            app = self._apps[budget.name]
            healthy = sum(budget.selects(pod) and pod.ready and not pod.deleting for pod in pods)
            expected = max(app.replicas, healthy)
            desired = max(0, expected - (app.spare or 0))
            said = {
                "disruptionsAllowed": max(0, healthy - desired), "currentHealthy": healthy, "desiredHealthy": desired,
                "expectedPods": expected, "observedGeneration": raw["metadata"]["generation"], "disruptedPods": None,
            }  # fmt: skip
            now_or_never(
                self._simulation.store.patch(
                    _BUDGETS, budget.name, MergePatch({"status": said}), subresource="status"
                )
            )


__all__ = ["App", "Apps"]
