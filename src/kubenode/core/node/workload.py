"""Pods and budgets as the server serves them, in the form in which a drain looks at them.

Total: whatever a server or a newer version of it sends is read, and what cannot be read counts as absent, which for a
Pod is the careful side: without labels no budget is thought to allow its eviction, and the server asks its own.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from kubenode.core.model.world import Operator, Pod, PodDisruptionBudget, Requirement

MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of the Pod that shows a static Pod of a kubelet."""
_GRACE: Final = 30
_OPERATORS: Final[Mapping[str, Operator]] = {one.value: one for one in Operator}


@attrs.frozen(kw_only=True)
class Workload:
    """What ran on a Node when somebody looked.

    Attributes:
        node: its name.
        pods: those whose spec names it, in any order.
        budgets: all of the namespaces of those Pods.
        at: `Now.elapsed` at which the look began.
    """

    node: str
    pods: tuple[Pod, ...] = ()
    budgets: tuple[PodDisruptionBudget, ...] = ()
    at: int


def pods_of(raws: Iterable[Any]) -> tuple[Pod, ...]:
    """Read Pods; one without a name is none."""
    return tuple(pod for raw in raws if (pod := _pod(raw)).name)


def budgets_of(raws: Iterable[Any]) -> tuple[PodDisruptionBudget, ...]:
    """Read budgets; one without a name is none."""
    return tuple(budget for raw in raws if (budget := _budget(raw)).name)


def _pod(raw: Any) -> Pod:
    metadata, spec, status = _part(raw, "metadata"), _part(raw, "spec"), _part(raw, "status")
    owners = [_map(one) for one in _list(metadata, "ownerReferences")]
    return Pod(
        namespace=_text(metadata, "namespace"), name=_text(metadata, "name"), uid=_text(metadata, "uid"),
        node=_text(spec, "nodeName"), labels=_texts(metadata, "labels"),
        owner=next((_text(one, "kind") for one in owners if one.get("controller") is True), ""),
        phase=_text(status, "phase"), ready=_is_ready(status), priority=_number(spec, "priority", 0),
        mirror=MIRROR in _part(metadata, "annotations") or any(_text(one, "kind") == "Node" for one in owners),
        local_data=any("emptyDir" in _map(one) for one in _list(spec, "volumes")),
        grace=max(0, _number(spec, "terminationGracePeriodSeconds", _GRACE)),
        deleting=bool(metadata.get("deletionTimestamp")),
    )  # fmt: skip


def _is_ready(status: Mapping[str, Any]) -> bool:
    conditions = (_map(one) for one in _list(status, "conditions"))
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _budget(raw: Any) -> PodDisruptionBudget:
    metadata, spec, status = _part(raw, "metadata"), _part(raw, "spec"), _part(raw, "status")
    return PodDisruptionBudget(
        namespace=_text(metadata, "namespace"), name=_text(metadata, "name"),
        selector=_selector(spec.get("selector")), allowed=_number(status, "disruptionsAllowed", 0),
        healthy=_number(status, "currentHealthy", 0), desired=_number(status, "desiredHealthy", 0),
        counted=_number(status, "observedGeneration", 0) >= _number(metadata, "generation", 0),
        spares_unready=spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow",
    )  # fmt: skip


def _selector(raw: Any) -> tuple[Requirement, ...] | None:
    """Read a label selector; one with a part that is not understood selects nothing here, and the server knows better."""
    if not isinstance(raw, dict):
        return None
    labels = [
        Requirement(key=key, operator=Operator.IN, values=(value,))
        for key, value in _texts(raw, "matchLabels").items()
    ]
    for one in map(_map, _list(raw, "matchExpressions")):
        operator = _OPERATORS.get(_text(one, "operator"))
        if operator is None:
            return None
        values = tuple(value for value in _list(one, "values") if isinstance(value, str))
        labels.append(Requirement(key=_text(one, "key"), operator=operator, values=values))
    return tuple(labels)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _part(raw: Any, name: str) -> Mapping[str, Any]:
    return _map(_map(raw).get(name))


def _list(raw: Mapping[str, Any], name: str) -> list[Any]:
    value = raw.get(name)
    return value if isinstance(value, list) else []


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""


def _texts(raw: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key: value for key, value in _part(raw, name).items() if isinstance(value, str)}


def _number(raw: Mapping[str, Any], name: str, default: int) -> int:
    value = raw.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
