"""Evictions: Pods are given time to end, and their budgets are asked.

The figures that these cases write into the status of a budget are those that the disruption controller of a cluster
writes too: so it makes no difference whether there is one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs

from kubenode.core.errors import Conflict, ObjectNotFound, ServerFailed, TooManyRequests
from kubenode.core.model import Json, Kind, Pod, PodDisruptionBudget
from kubenode.runtime.store.contract import Api, is_budget
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    fails,
    generation,
    holds,
    metadata,
    same,
    status,
    told,
)

NAMESPACE: Final = "default"
PODS: Final = Pod.KIND.within(NAMESPACE)
BUDGETS: Final = PodDisruptionBudget.KIND.within(NAMESPACE)
_BLOCKED: Final = "Cannot evict pod as it would violate the pod's disruption budget."


async def _pod(
    store: Api, name: str, *, node: str = "no-such-node", ready: bool | None = True, finalizers: tuple[str, ...] = (), **spec: Any
) -> Json:  # fmt: skip
    """Make a Pod that runs on a Node; with `ready` None one that is pending."""
    body: Json = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}, "finalizers": [*finalizers]},
        "spec": {"containers": [{"name": "c", "image": "i"}], **({"nodeName": node} if node else {}), **spec},
    }  # fmt: skip
    made = await store.create(PODS, body)
    if ready is None:
        return made
    said = [{"type": "Ready", "status": str(ready)}]
    return await store.patch(PODS, name, status(phase="Running", conditions=said), subresource="status")


@asynccontextmanager
async def _budget(
    store: Api, name: str, app: str, *, needed: int, healthy: int = 1, **spec: Any
) -> AsyncIterator[None]:
    """Have a budget of one Pod for a while, as its controller would have counted it."""
    body: Json = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": needed, "selector": {"matchLabels": {"app": app}}, **spec},
    }  # fmt: skip
    await store.create(BUDGETS, body)
    try:
        counted = status(
            observedGeneration=1, disruptionsAllowed=max(0, healthy - needed), currentHealthy=healthy,
            desiredHealthy=needed, expectedPods=1,
        )  # fmt: skip
        await store.patch(BUDGETS, name, counted, subresource="status")
        yield
    finally:
        await store.delete(BUDGETS, name)


async def evict_gives_a_pod_time_to_end(store: Api, kind: Kind, fresh: Fresh) -> None:
    """201; the Pod is marked, with its own grace, and its generation rises; evicting it again changes nothing."""
    name = fresh()
    made = await _pod(store, name)
    answer = await store.evict(NAMESPACE, name, uid=made["metadata"]["uid"])
    same((answer["kind"], answer["status"], answer["code"]), ("Status", "Success", 201), "the answer")
    marked = await store.get(PODS, name)
    holds(bool(marked["metadata"].get("deletionTimestamp")), f"no deletionTimestamp: {marked}")
    same(marked["metadata"].get("deletionGracePeriodSeconds"), 30, "deletionGracePeriodSeconds")
    same(generation(marked), generation(made) + 1, "generation")
    await store.evict(NAMESPACE, name)
    same(await store.get(PODS, name), marked, "after a second eviction")


async def evict_makes_a_grace_only_shorter(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What is asked for takes the place of the Pod's own; once it ends it can only be told to end sooner."""
    name = fresh()
    await _pod(store, name)
    for asked, found in ((5, 5), (50, 5), (2, 2)):
        await store.evict(NAMESPACE, name, grace=asked)
        now = (await store.get(PODS, name))["metadata"]["deletionGracePeriodSeconds"]
        same(now, found, f"grace after one of {asked}")


async def evict_removes_what_no_kubelet_runs(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A Pod without a Node, one that has ended, and one that is given no time."""
    first, second, third = fresh(), fresh(), fresh()
    await _pod(store, first, node="", ready=None)
    await _pod(store, second)
    await store.patch(PODS, second, status(phase="Succeeded"), subresource="status")
    await _pod(store, third)
    await store.evict(NAMESPACE, first)
    await store.evict(NAMESPACE, second)
    await store.evict(NAMESPACE, third, grace=0)
    for name in (first, second, third):
        await fails(ObjectNotFound, store.get(PODS, name))


async def evict_of_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """404; in a namespace that there is not, too."""
    told(await fails(ObjectNotFound, store.evict(NAMESPACE, fresh())), code=404, reason="NotFound")
    error = await fails(ObjectNotFound, store.evict("no-such-namespace", "x"))
    same(str(error), 'namespaces "no-such-namespace" not found', "the message")


async def evict_of_another_uid(store: Api, kind: Kind, fresh: Fresh) -> None:
    """409, and the Pod stays as it is."""
    name = fresh()
    made = await _pod(store, name)
    error = await fails(Conflict, store.evict(NAMESPACE, name, uid="other"))
    told(error, code=409, reason="Conflict")
    same(
        str(error),
        f'Operation cannot be fulfilled on Pod "{name}": the UID in the precondition (other) does not match the UID in '
        f"record ({made['metadata']['uid']}). The object might have been deleted and then recreated",
        "the message",
    )
    same(await store.get(PODS, name), made, "the Pod")


async def evict_is_refused_by_a_budget(store: Api, kind: Kind, fresh: Fresh) -> None:
    """429, whose cause names the budget, before the uid is looked at; the Pod stays as it is."""
    name = fresh()
    made = await _pod(store, name)
    async with _budget(store, f"{name}-b", name, needed=1):
        error = await fails(TooManyRequests, store.evict(NAMESPACE, name, uid="other"))
        told(error, code=429, reason="TooManyRequests")
        same(str(error), _BLOCKED, "the message")
        cause = {"reason": "DisruptionBudget", "message": f"The disruption budget {name}-b needs 1 healthy pods and has 1 currently"}  # fmt: skip
        same(error.status["details"]["causes"], [cause], "causes")
        holds(is_budget(error), "it does not count as a budget's")
    same(await store.get(PODS, name), made, "the Pod")


async def evict_spends_what_a_budget_allows(store: Api, kind: Kind, fresh: Fresh) -> None:
    """And is refused when it is spent, also when it was of no use: so with another uid."""
    name = fresh()
    await _pod(store, name)
    async with _budget(store, f"{name}-b", name, needed=0):
        await fails(Conflict, store.evict(NAMESPACE, name, uid="other"))
        left = await store.get(BUDGETS, f"{name}-b")
        same(left["status"]["disruptionsAllowed"], 0, "disruptionsAllowed")
        holds(is_budget(await fails(TooManyRequests, store.evict(NAMESPACE, name))), "no budget's refusal")


async def evict_of_an_ending_pod_asks_nobody(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It is done already."""
    name = fresh()
    await _pod(store, name)
    await store.evict(NAMESPACE, name)
    async with _budget(store, f"{name}-b", name, needed=1, healthy=0):
        await store.evict(NAMESPACE, name)


async def evict_of_a_pending_pod_asks_nobody(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It serves nobody yet."""
    name = fresh()
    made = await _pod(store, name, ready=None)
    same(made["status"]["phase"], "Pending", "the phase of a new Pod")
    async with _budget(store, f"{name}-b", name, needed=1, healthy=0):
        await store.evict(NAMESPACE, name)
    holds("deletionTimestamp" in (await store.get(PODS, name))["metadata"], "it is not marked")


async def evict_of_an_unready_pod(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Refused where too few are healthy without it; let go by a budget that always allows it."""
    name = fresh()
    await _pod(store, name, ready=False)
    async with _budget(store, f"{name}-b", name, needed=1, healthy=0):
        holds(is_budget(await fails(TooManyRequests, store.evict(NAMESPACE, name))), "no budget's refusal")
    async with _budget(store, f"{name}-c", name, needed=1, healthy=0, unhealthyPodEvictionPolicy="AlwaysAllow"):  # fmt: skip
        await store.evict(NAMESPACE, name)


async def evict_with_two_budgets(store: Api, kind: Kind, fresh: Fresh) -> None:
    """500: the server cannot tell which is to be asked."""
    name = fresh()
    await _pod(store, name)
    async with _budget(store, f"{name}-b", name, needed=0), _budget(store, f"{name}-c", name, needed=0):
        error = await fails(ServerFailed, store.evict(NAMESPACE, name))
        text = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        same((str(error), error.code), (text, 500), "the answer")


async def an_ending_pod_is_there_until_its_kubelet_has_ended_it(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Its status can be written; a delete with no grace removes it, and answers with the Pod."""
    name = fresh()
    made = await _pod(store, name)
    marked = await store.delete(PODS, name)
    same((marked["kind"], marked["metadata"]["deletionGracePeriodSeconds"]), ("Pod", 30), "the answer")
    await store.patch(PODS, name, status(phase="Running", conditions=[]), subresource="status")
    await store.get(PODS, name)
    await fails(Conflict, store.delete(PODS, name, uid="other", grace=0))
    last = await store.delete(PODS, name, uid=made["metadata"]["uid"], grace=0)
    same((last["kind"], last["metadata"]["deletionGracePeriodSeconds"]), ("Pod", 0), "the last answer")
    await fails(ObjectNotFound, store.get(PODS, name))


async def finalizers_hold_a_pod_that_is_given_no_time(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It stays, marked, until the last one is taken away."""
    name = fresh()
    await _pod(store, name, finalizers=("example.com/hold",))
    await store.evict(NAMESPACE, name, grace=0)
    marked = await store.get(PODS, name)
    same(marked["metadata"].get("deletionGracePeriodSeconds"), 0, "deletionGracePeriodSeconds")
    await store.patch(PODS, name, metadata(finalizers=None))
    await fails(ObjectNotFound, store.get(PODS, name))


async def finalizers_that_go_leave_a_pod_its_time(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It is its kubelet's to end."""
    name = fresh()
    await _pod(store, name, finalizers=("example.com/hold",))
    await store.evict(NAMESPACE, name)
    await store.patch(PODS, name, metadata(finalizers=None))
    same((await store.get(PODS, name))["metadata"]["deletionGracePeriodSeconds"], 30, "the grace")


async def pods_are_found_by_their_node(store: Api, kind: Kind, fresh: Fresh) -> None:
    """In all namespaces."""
    name, other = fresh(), fresh()
    await _pod(store, name, node=f"node-{name}", ready=None)
    await _pod(store, other, ready=None)
    found = await store.find(Pod.KIND, fields={"spec.nodeName": f"node-{name}"})
    same([one["metadata"]["name"] for one in found.items], [name], "the Pods of a Node")


CASES: Final[tuple[Case, ...]] = tuple(
    attrs.evolve(case(behaviour), kind=PODS, needs_api=behaviour is an_ending_pod_is_there_until_its_kubelet_has_ended_it)
    for behaviour in (
        evict_gives_a_pod_time_to_end, evict_makes_a_grace_only_shorter, evict_removes_what_no_kubelet_runs, evict_of_nothing,
        evict_of_another_uid, evict_is_refused_by_a_budget, evict_spends_what_a_budget_allows,
        evict_of_an_ending_pod_asks_nobody, evict_of_a_pending_pod_asks_nobody, evict_of_an_unready_pod,
        evict_with_two_budgets, an_ending_pod_is_there_until_its_kubelet_has_ended_it,
        finalizers_hold_a_pod_that_is_given_no_time, finalizers_that_go_leave_a_pod_its_time, pods_are_found_by_their_node,
    )
)  # fmt: skip
