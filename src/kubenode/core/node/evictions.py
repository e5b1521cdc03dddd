"""Who has to go from a Node, whose turn it is, and whom their budgets let go now. Asked by drain.py, of one look at the Pods."""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from kubenode.core.decision import Evict
from kubenode.core.model.drain import DrainPolicy
from kubenode.core.model.meta import GROUP, Ref, Switch
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.world import Node, Pod, PodDisruptionBudget
from kubenode.core.node.workload import Workload

LABEL: Final = f"{GROUP}/drain"
"""On a Pod: `skip` leaves it where it is, `wait` waits until it has ended by itself."""
SKIP, WAIT = "skip", "wait"
AT_ONCE: Final = 10
"""Most evictions of one decision."""
TIERS: Final = (2_000_000_000, 2_000_001_000)
"""Priorities (system-cluster-critical, system-node-critical) from which on a Pod goes only when all below are gone."""
PODS: Final = ("going:", "evicted:")
"""How the sightings of single Pods begin: since when one is ending, and when it was asked to."""


@attrs.frozen(kw_only=True)
class Count:
    """The Pods of a Node that are to go, in the one tier whose turn it is, and how many are in later ones."""

    evictions: tuple[Evict, ...]
    going: tuple[str, ...]
    blocked: tuple[str, ...]
    later: int
    sightings: Mapping[str, int]
    wakes: tuple[int, ...]

    @property
    def left(self) -> int:
        """How many have to go before the Node is drained."""
        return len(self.evictions) + len(self.going) + len(self.blocked) + self.later


def count(look: Workload, node: Node, policy: DrainPolicy, now: Now, sightings: Mapping[str, int]) -> Count:
    """Sort the Pods of one look, and choose whom to evict.

    Args:
        look: of this Node.
        node: whose kubelet may be silent.
        policy: of its machine.
        now: the moment of the decision.
        sightings: what was seen of single Pods before, by PODS.
    """
    seen: dict[str, int] = {}
    wakes: list[int] = []
    staying: list[tuple[Pod, str]] = []
    leaving: list[tuple[Pod, str]] = []
    able: list[Pod] = []
    for pod in sorted(look.pods, key=lambda pod: (_tier(pod), pod.namespace, pod.name, pod.uid)):
        if _is_exempt(pod, node.metadata.name):
            continue
        asked = sightings.get(f"evicted:{pod.uid}")
        if pod.deleting or (asked is not None and look.at <= asked):
            stuck_at = _remembered(pod, seen, node, policy, now, sightings)
            if stuck_at is None or now.elapsed < stuck_at:
                leaving.append((pod, f"{pod} is ending"))
                wakes += () if stuck_at is None else (stuck_at,)
        elif why := _obstacle(pod, policy):
            staying.append((pod, f"{pod} {why}"))
        else:
            able.append(pod)
    pods = [*(pod for pod, _ in (*staying, *leaving)), *able]
    tier = min(map(_tier, pods), default=None)
    turn = [pod for pod in able if _tier(pod) == tier]
    chosen, blocked = _allowed(turn, look.budgets, [pod for pod, _ in leaving if not pod.deleting])
    seen |= {f"evicted:{pod.uid}": now.elapsed for pod in chosen}
    return Count(
        evictions=tuple(_evict(pod, policy) for pod in chosen),
        going=tuple(text for pod, text in leaving if _tier(pod) == tier),
        blocked=(*blocked, *(text for pod, text in staying if _tier(pod) == tier)),
        later=sum(_tier(pod) != tier for pod in pods), sightings=seen, wakes=tuple(wakes),
    )  # fmt: skip


def _tier(pod: Pod) -> int:
    return sum(pod.priority >= boundary for boundary in TIERS)


def _is_exempt(pod: Pod, node: str) -> bool:
    """Tell whether a Pod stays: its Node's death is none of its own, or it has ended, or somebody says so."""
    ended = pod.phase in ("Succeeded", "Failed")
    elsewhere = pod.node != node
    return (
        elsewhere
        or ended
        or pod.mirror
        or pod.owner in ("DaemonSet", "Node")
        or pod.labels.get(LABEL) == SKIP
    )


def _obstacle(pod: Pod, policy: DrainPolicy) -> str:
    """Say why a Pod that has to go is not evicted, whatever its budgets say; empty when it may be."""
    label = pod.labels.get(LABEL)
    if label == WAIT:
        return f"is waited for: label {LABEL}={WAIT}"
    if label is not None:
        return f"has label {LABEL}={label!r}, which means nothing: write {SKIP} or {WAIT}"
    if policy.keep_local_data and pod.local_data:
        return "has an emptyDir volume, and keepLocalData is set"
    if policy.keep_unmanaged and not pod.owner:
        return "has no controller, and keepUnmanaged is set"
    return ""


def _remembered(
    pod: Pod, seen: dict[str, int], node: Node, policy: DrainPolicy, now: Now, sightings: Mapping[str, int]
) -> int | None:
    """Note that a Pod is ending, and give when it counts as stuck; None while only its eviction is known.

    Nobody reports the end of a Pod whose kubelet is silent: it is given its own grace, and no more.
    """
    if not pod.deleting:
        seen[f"evicted:{pod.uid}"] = since(f"evicted:{pod.uid}", now, sightings)
        return None
    key = f"going:{pod.uid}"
    seen[key] = since(key, now, sightings)
    limit = 0 if _is_silent(node) else nanoseconds(policy.pod_timeout)
    return seen[key] + pod.grace * 1_000_000_000 + limit


def since(key: str, now: Now, sightings: Mapping[str, int]) -> int:
    """Give `Now.elapsed` of a first sighting: the remembered one, else now."""
    return min(sightings.get(key, now.elapsed), now.elapsed)


def _is_silent(node: Node) -> bool:
    return any(one.type == "Ready" and one.status is Switch.UNKNOWN for one in node.status.conditions)


def _allowed(
    pods: Iterable[Pod], budgets: tuple[PodDisruptionBudget, ...], asked: Iterable[Pod]
) -> tuple[list[Pod], list[str]]:
    """Choose Pods that their budgets let go, in order, and name what holds back the others.

    Those that were asked to go since the look have used up their part of what it showed.
    """
    left = {str(budget): budget.allowed for budget in budgets}
    for pod in asked:
        for budget in _of(pod, budgets):
            left[str(budget)] -= _counts(pod, budget)
    chosen: list[Pod] = []
    blocked: list[str] = []
    for pod in pods:
        mine = _of(pod, budgets)
        why = _refusal(pod, mine, left)
        if why:
            blocked.append(f"{pod} ({why})")
        elif len(chosen) < AT_ONCE:
            chosen.append(pod)
            for budget in mine:
                left[str(budget)] -= _counts(pod, budget)
        else:
            blocked.append(f"{pod} (its turn comes)")
    return chosen, blocked


def _of(pod: Pod, budgets: tuple[PodDisruptionBudget, ...]) -> list[PodDisruptionBudget]:
    """Give the budgets that the server asks: none for a Pod that does not run yet."""
    if pod.phase == "Pending":
        return []
    return [budget for budget in budgets if budget.selects(pod)]


def _counts(pod: Pod, budget: PodDisruptionBudget) -> bool:
    """Tell whether the server takes an eviction off what a budget allows."""
    enough = 0 < budget.desired <= budget.healthy
    return pod.ready or not (budget.spares_unready or enough)


def _refusal(pod: Pod, budgets: list[PodDisruptionBudget], left: Mapping[str, int]) -> str:
    """Foretell, in its own terms, what the server would answer to an eviction; empty when it would let the Pod go."""
    if len(budgets) > 1:
        names = " and ".join(sorted(map(str, budgets)))
        return f"PodDisruptionBudgets {names} both select it, and the eviction API refuses that"
    for budget in budgets:
        if _counts(pod, budget) and not budget.counted:
            return f"PodDisruptionBudget {budget} is not counted yet"
        if _counts(pod, budget) and left[str(budget)] <= 0:
            return f"PodDisruptionBudget {budget}: {budget.healthy} healthy, {budget.desired} needed"
    return ""


def _evict(pod: Pod, policy: DrainPolicy) -> Evict:
    grace = None
    if policy.grace is not None and policy.grace.total_seconds() < pod.grace:
        grace = int(policy.grace.total_seconds())
    return Evict(
        pod=Ref(kind=Pod.KIND.name, name=pod.name, uid=pod.uid), namespace=pod.namespace, grace=grace
    )
