"""Pods and budgets are read whatever a server sends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.model.world import Operator, Pod, PodDisruptionBudget, Requirement
from kubenode.core.node.workload import MIRROR, budgets_of, pods_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
NAMES = (
    "metadata", "spec", "status", "name", "namespace", "uid", "labels", "annotations", "ownerReferences", "nodeName",
    "volumes", "conditions", "selector", "matchExpressions", "matchLabels", "priority", "generation",
)  # fmt: skip
ODD = st.recursive(
    JSON,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=5) | st.lists(inner, max_size=2),
)


def raw(**parts: Any) -> dict[str, Any]:
    """A Pod or budget with a name."""
    metadata = {"name": "p", "namespace": "d", "uid": "u", **parts.pop("metadata", {})}
    return {"metadata": metadata, **parts}


def test_a_whole_pod() -> None:
    """All that a drain looks at."""
    found = pods_of((raw(
        metadata={
            "labels": {"a": "1", "odd": 2}, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"kind": "Other"}, {"kind": "ReplicaSet", "controller": True}],
        },
        spec={"nodeName": "n", "priority": 5, "terminationGracePeriodSeconds": 7, "volumes": [{"emptyDir": {}}]},
        status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    ),))  # fmt: skip
    assert found == (Pod(
        namespace="d", name="p", uid="u", node="n", labels={"a": "1"}, owner="ReplicaSet", phase="Running", ready=True,
        priority=5, local_data=True, grace=7, deleting=True,
    ),)  # fmt: skip


def test_a_bare_pod() -> None:
    """Nothing but a name: no controller, not ready, half a minute of grace."""
    assert pods_of((raw(),)) == (Pod(namespace="d", name="p", uid="u"),)
    assert pods_of(({}, None, [], raw(metadata={"name": ""}))) == ()


@pytest.mark.parametrize(
    "metadata",
    [{"annotations": {MIRROR: "x"}}, {"ownerReferences": [{"kind": "Node", "controller": True}]}],
)
def test_a_static_pod(metadata: dict[str, Any]) -> None:
    """By its annotation, or by its Node as owner."""
    assert pods_of((raw(metadata=metadata),))[0].mirror


def test_an_owner_that_is_no_controller_makes_nothing_anew() -> None:
    """Nor does one whose flag is no flag."""
    odd = {"ownerReferences": [{"kind": "Job", "controller": "yes"}, {"kind": "ReplicaSet"}]}
    assert pods_of((raw(metadata=odd),))[0].owner == ""


@pytest.mark.parametrize(("said", "grace"), [(-5, 0), (True, 30), ("9", 30), (0, 0)])
def test_odd_graces(said: object, grace: int) -> None:
    """Never below nothing; what is no number is the server's default."""
    assert pods_of((raw(spec={"terminationGracePeriodSeconds": said}),))[0].grace == grace


def test_a_whole_budget() -> None:
    """All that a drain looks at."""
    expression = {"key": "tier", "operator": "NotIn", "values": ["back", 3]}
    found = budgets_of((raw(
        metadata={"generation": 2},
        spec={"selector": {"matchLabels": {"a": "1"}, "matchExpressions": [expression]}, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
        status={"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "observedGeneration": 1},
    ),))  # fmt: skip
    assert found == (PodDisruptionBudget(
        namespace="d", name="p", allowed=1, healthy=3, desired=2, counted=False, spares_unready=True,
        selector=(
            Requirement(key="a", operator=Operator.IN, values=("1",)),
            Requirement(key="tier", operator=Operator.NOT_IN, values=("back",)),
        ),
    ),)  # fmt: skip
    assert budgets_of(({},)) == ()


def test_a_bare_budget() -> None:
    """Nothing but a name: it lets nobody go, and nothing of it is behind."""
    (found,) = budgets_of((raw(),))
    assert found == PodDisruptionBudget(
        namespace="d", name="p", selector=None, allowed=0, healthy=0, desired=0, counted=True, spares_unready=False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("generation", "observed", "counted"),
    [(2, 1, False), (2, 2, True), (2, 3, True), (1, None, False), (None, 0, True), (None, -1, False)],
)
def test_a_budget_is_counted_when_its_newest_spec_was(
    generation: int | None, observed: int | None, counted: bool
) -> None:
    """What is not there counts as 0: a spec that nobody has counted yet, and a server that tells no generation."""
    metadata = {} if generation is None else {"generation": generation}
    status = {} if observed is None else {"observedGeneration": observed}
    assert budgets_of((raw(metadata=metadata, status=status),))[0].counted is counted


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([{"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False"}], False),
        ([{"type": "PodScheduled", "status": "True"}], False),
    ],
)
def test_a_pod_is_ready_by_its_condition_of_that_type(conditions: list[dict[str, str]], ready: bool) -> None:
    """Others say nothing of it."""
    assert pods_of((raw(status={"conditions": conditions}),))[0].ready is ready


def test_a_selector_that_is_not_understood_selects_nothing() -> None:
    """None at all, and one with an operator of a newer version; an empty one selects all of its namespace."""
    strange = {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}
    no, other, every = budgets_of((raw(), raw(spec={"selector": strange}), raw(spec={"selector": {}})))
    pod = Pod(namespace="d", name="x")
    assert [one.selects(pod) for one in (no, other, every)] == [False, False, True]
    assert not every.selects(Pod(namespace="e", name="x"))


@pytest.mark.parametrize(
    ("operator", "labels", "met"),
    [
        (Operator.IN, {"a": "1"}, True), (Operator.IN, {"a": "2"}, False), (Operator.IN, {}, False),
        (Operator.NOT_IN, {"a": "1"}, False), (Operator.NOT_IN, {"a": "2"}, True), (Operator.NOT_IN, {}, True),
        (Operator.EXISTS, {"a": ""}, True), (Operator.EXISTS, {}, False),
        (Operator.DOES_NOT_EXIST, {"a": ""}, False), (Operator.DOES_NOT_EXIST, {}, True),
    ],
)  # fmt: skip
def test_requirements(operator: Operator, labels: dict[str, str], met: bool) -> None:
    """As the server reads them: NotIn is met by what has no such label."""
    assert Requirement(key="a", operator=operator, values=("1",)).is_met(labels) is met


@given(st.lists(ODD, max_size=3))
def test_reading_never_fails(odd: list[Any]) -> None:
    """Total, and never a nameless one."""
    assert all(pod.name for pod in pods_of(odd))
    assert all(budget.name for budget in budgets_of(odd))
