"""What runs on a Node that is to be drained: looked at while a drain runs, and only on that Node, so that no cache holds Pods.

The simulator looks in place, since its store answers at once; `runtime/embed` asks, and decides again when the answer came.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from kubenode.core.model import Now, Pod, PodDisruptionBudget
from kubenode.core.node.workload import Workload, budgets_of, pods_of
from kubenode.runtime.store.contract import Store

Workloads: TypeAlias = Callable[[str, str, Now], Workload | None]
"""Takes a key and the name of the Node to look at, or an empty one, which forgets; gives None while nobody knows."""
NODE_NAME: Final = "spec.nodeName"


def unseen(key: str, node: str, now: Now) -> Workload | None:
    """Look at nothing: for decisions whose drains go on elsewhere."""
    return None


async def look(store: Store, node: str, at: int) -> Workload:
    """List the Pods of a Node, and the budgets of their namespaces.

    Raises:
        ApiError: they cannot be listed.
    """
    found = pods_of((await store.find(Pod.KIND, fields={NODE_NAME: node})).items)
    budgets = [
        (await store.find(PodDisruptionBudget.KIND.within(namespace))).items
        for namespace in sorted({pod.namespace for pod in found})
    ]
    return Workload(
        node=node, pods=found, budgets=budgets_of(raw for items in budgets for raw in items), at=at
    )
