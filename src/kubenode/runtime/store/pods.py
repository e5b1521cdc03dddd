"""What the server does with Pods of its own accord: they are given time to end, and their budgets are asked.

Of a Pod and of a budget the embedded store checks no more; it stores both as they are written. Source: kubernetes
pkg/registry/core/pod (strategy.go, storage/eviction.go) and apiserver rest/delete.go, observed on kube-apiserver 1.36.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from kubenode.core.errors import ApiError, Refused, ServerFailed, TooManyRequests
from kubenode.core.model import Json, Kind, Pod, PodDisruptionBudget
from kubenode.core.node.workload import budgets_of, pods_of
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import BUDGET
from kubenode.runtime.store.states import stamped

_GRACE: Final = 30
_ENDED: Final = ("Succeeded", "Failed")
_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"
NEW: Final[Mapping[tuple[str, str], Json]] = {
    (Pod.KIND.group, Pod.KIND.plural): {"phase": "Pending"},
    (PodDisruptionBudget.KIND.group, PodDisruptionBudget.KIND.plural): {
        "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
    },
}  # fmt: skip
"""The status that a new object has, whatever its maker says."""


def is_pod(kind: Kind) -> bool:
    """Tell whether a kind is that of Pods, which end in their own time."""
    return (kind.group, kind.plural) == (Pod.KIND.group, Pod.KIND.plural)


def ending(pod: Json, asked: int | None, now: str) -> tuple[Json, bool]:
    """Give a Pod whose deletion is asked for, and whether it is to be removed at once.

    Args:
        pod: as it stands; what changes nothing gives it back.
        asked: seconds that it is to be given; None as it says itself.
        now: the time, as metadata has it.

    One that ends already can only be told to end sooner.
    """
    metadata = pod["metadata"]
    if "deletionTimestamp" in metadata:
        known = metadata["deletionGracePeriodSeconds"]
        if asked is None or asked >= known:
            return pod, False
        seconds = _period(pod, asked)
        at = _moved(metadata["deletionTimestamp"], seconds - known)
        marked = stamped(pod, deletionTimestamp=at, deletionGracePeriodSeconds=seconds)
    else:
        seconds = _period(pod, asked)
        marked = stamped(
            pod, deletionTimestamp=_moved(now, seconds), deletionGracePeriodSeconds=seconds,
            generation=metadata["generation"] + 1,
        )  # fmt: skip
    return marked, seconds == 0 and not metadata.get("finalizers")


def _period(pod: Json, asked: int | None) -> int:
    """Give how long a Pod is given: none where no kubelet runs it."""
    spec = pod.get("spec") or {}
    wanted: int = spec.get("terminationGracePeriodSeconds", _GRACE) if asked is None else asked
    if not spec.get("nodeName") or _phase(pod) in _ENDED:
        return 0
    return 1 if wanted < 0 else wanted


def _phase(pod: Json) -> str:
    phase: str = (pod.get("status") or {}).get("phase", "")
    return phase


def _moved(stamp: str, seconds: int) -> str:
    at = datetime.strptime(stamp, _STAMP) + timedelta(seconds=seconds)  # noqa: DTZ007 - it is UTC, and written as it was
    return at.strftime(_STAMP)


def spent(pod: Json, budgets: Iterable[Json], now: str) -> Json | None:
    """Give the budget of a Pod that is to be evicted, as it stands after that; None when none is asked, or none counts it.

    Args:
        pod: as it stands.
        budgets: all of its namespace.
        now: the time.

    Raises:
        TooManyRequests: the budget allows none.
        ServerFailed: two select it.
        Refused: the budget counts below zero.
    """
    metadata = pod["metadata"]
    if _phase(pod) in ("Pending", *_ENDED) or "deletionTimestamp" in metadata:
        return None
    (seen,) = pods_of((pod,))
    found = [(raw, budget) for raw in budgets for budget in budgets_of((raw,)) if budget.selects(seen)]
    if len(found) > 1:
        text = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise ServerFailed(text, status=refusals.status(500, "", text))
    if not found:
        return None
    raw, budget = found[0]
    if not seen.ready and (budget.spares_unready or 0 < budget.desired <= budget.healthy):
        return None
    refusal = _refusal(budget)
    if refusal is not None:
        raise refusal
    return _counted_off(raw, budget.allowed - 1, metadata["name"], now)


def _refusal(budget: PodDisruptionBudget) -> ApiError | None:
    if not budget.counted:
        return _blocked(f"The disruption budget {budget.name} is still being processed by the server.")
    if budget.allowed < 0:
        text = (
            f'poddisruptionbudgets.policy "{budget.name}" is forbidden: pdb disruptions allowed is negative'
        )
        details = {"name": budget.name, "group": "policy", "kind": "poddisruptionbudgets"}
        return Refused(text, status=refusals.status(403, "Forbidden", text, details))
    if budget.allowed == 0:
        needs = f"needs {budget.desired} healthy pods and has {budget.healthy} currently"
        return _blocked(f"The disruption budget {budget.name} {needs}")
    return None


def _blocked(why: str) -> TooManyRequests:
    text = "Cannot evict pod as it would violate the pod's disruption budget."
    details = {"causes": [{"reason": BUDGET, "message": why}]}
    return TooManyRequests(text, status=refusals.status(429, "TooManyRequests", text, details))


def _counted_off(budget: Json, allowed: int, pod: str, now: str) -> Json:
    known: Mapping[str, Any] = budget["status"]
    disrupted = {**(known.get("disruptedPods") or {}), pod: now}
    return {**budget, "status": {**known, "disruptionsAllowed": allowed, "disruptedPods": disrupted}}


def evicted() -> Json:
    """Give the Status of an eviction that is under way."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
