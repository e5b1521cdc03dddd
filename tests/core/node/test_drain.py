"""The drain: who goes, who stays, who blocks, and when it is over; tables first, then properties."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.model.condition import Condition
from kubenode.core.model.world import Operator, Pod, PodDisruptionBudget, Requirement
from kubenode.core.node.cordon import CORDONED_BY
from kubenode.core.node.drain import (
    ENDED,
    LOOK,
    Drain,
    DrainCase,
    drain,
    drained_for,
    nothing_there,
    standing_record,
)
from kubenode.core.node.evictions import AT_ONCE, LABEL
from kubenode.core.node.workload import Workload

START = m.Now.at(datetime(2026, 7, 1, 12, tzinfo=UTC))
OP = "remedy-1"
S = 1_000_000_000
APP = (Requirement(key="app", operator=Operator.IN, values=("web",)),)


def node(by: str = OP, *, closed: bool = True, ready: m.Switch = m.Switch.TRUE) -> m.Node:
    """The Node `n`, cordoned by us."""
    marks = {CORDONED_BY: by} if by else {}
    return m.Node(
        metadata=m.ObjectMeta(name="n", uid="u", resource_version="7", annotations=marks),
        spec=m.NodeSpec(unschedulable=closed),
        status=m.NodeStatus(conditions=(m.NodeCondition(type="Ready", status=ready),)),
    )


def pod(name: str = "web-1", **given: Any) -> Pod:
    """A Pod of `web` on it, that is ready."""
    said = {
        "node": "n",
        "labels": {"app": "web"},
        "owner": "ReplicaSet",
        "phase": "Running",
        "ready": True,
    } | given
    return Pod(namespace="shop", name=name, uid=f"uid-{name}", **said)


def budget(name: str = "web", allowed: int = 0, **given: Any) -> PodDisruptionBudget:
    """A budget of `web`."""
    said = {"selector": APP, "healthy": 3, "desired": 3} | given
    return PodDisruptionBudget(namespace="shop", name=name, allowed=allowed, **said)


def case(*pods: Pod, budgets: tuple[PodDisruptionBudget, ...] = (), **given: Any) -> DrainCase:
    """A drain that is under way, just looked at."""
    look = Workload(node="n", pods=pods, budgets=budgets, at=START.elapsed)
    return DrainCase(**({"node": node(), "op_id": OP, "workload": look, "now": START} | given))


def evicted(answer: Drain) -> list[str]:
    """Name the Pods that are evicted."""
    return [one.pod.name for one in answer.evictions]


def test_a_node_is_cordoned_before_anything_is_evicted() -> None:
    """And nothing else is done with it."""
    answer = drain(case(pod(), node=node("", closed=False)))
    assert answer.cordon is not None
    assert answer.cordon.unschedulable is True
    assert (answer.evictions, answer.claim.reason) == ((), "Cordoning")


def test_a_cordon_of_another_permit_is_taken_over_before_anything_is_evicted() -> None:
    """The mark is written, and the Pods are looked at again after that."""
    answer = drain(case(pod(), node=node("other")))
    assert answer.cordon is not None
    assert answer.evictions == ()
    assert answer.claim.reason == "Draining"
    assert "evicted:uid-web-1" not in answer.sightings


def test_what_was_seen_of_pods_is_kept_while_a_cordon_is_taken_over() -> None:
    """A Pod that was asked to go a moment ago is not asked again because of that."""
    answer = drain(case(pod(), node=node("other"), sightings={"evicted:uid-web-1": START.elapsed + 1}))
    assert answer.sightings["evicted:uid-web-1"] == START.elapsed + 1


def test_a_node_that_a_person_cordoned_is_drained_without_a_mark() -> None:
    """It is closed, and that is enough."""
    answer = drain(case(pod(), node=node("")))
    assert answer.cordon is None
    assert evicted(answer) == ["web-1"]


def test_nothing_is_evicted_from_a_node_that_somebody_has_opened() -> None:
    """It would come right back."""
    answer = drain(case(pod(), node=node(closed=False)))
    assert (answer.cordon, answer.evictions, answer.claim.reason) == (None, (), "CordonUndone")


@pytest.mark.parametrize(
    "workload", [None, Workload(node="n", at=START.elapsed - LOOK), Workload(node="other", at=START.elapsed)]
)
def test_without_a_look_nothing_is_concluded(workload: Workload | None) -> None:
    """None, one that is too old, one at another Node."""
    answer = drain(case(workload=workload, sightings={"going:x": 1, "evicted:y": 2, "else": 3}))
    assert answer.record.state is m.DrainState.DRAINING
    assert answer.evictions == ()
    assert {"going:x", "evicted:y"} < answer.sightings.keys()
    assert "else" not in answer.sightings


def test_while_nobody_has_looked_again_it_says_what_it_said() -> None:
    """So that nothing is written for that."""
    said = Condition(type="Drained", status=m.Switch.FALSE, reason="DrainBlocked", message="by x", last_transition_time=START.wall)  # fmt: skip
    record = m.DrainRecord(op_id=OP, state=m.DrainState.DRAINING)
    answer = drain(case(workload=None, record=record, said=said))
    assert (answer.claim.reason, answer.claim.message) == ("DrainBlocked", "by x")
    assert drain(case(workload=None, record=record)).claim.reason == "Draining"


def test_a_pod_is_evicted_by_its_uid() -> None:
    """In its namespace, with its own grace."""
    (one,) = drain(case(pod())).evictions
    assert (one.pod, one.namespace, one.grace) == (
        m.Ref(kind="Pod", name="web-1", uid="uid-web-1"),
        "shop",
        None,
    )


@pytest.mark.parametrize(
    ("own", "wanted", "grace"), [(30, 10, 10), (30, 30, None), (5, 10, None), (30, 0, 0)]
)
def test_grace_is_only_made_shorter(own: int, wanted: int, grace: int | None) -> None:
    """What a Pod asks for is enough."""
    policy = m.DrainPolicy(grace=timedelta(seconds=wanted))
    assert drain(case(pod(grace=own), policy=policy)).evictions[0].grace == grace


@pytest.mark.parametrize(
    "given",
    [
        {"node": "other"}, {"node": ""}, {"owner": "DaemonSet"}, {"mirror": True}, {"owner": "Node"},
        {"phase": "Succeeded"}, {"phase": "Failed"}, {"labels": {LABEL: "skip"}},
    ],
)  # fmt: skip
def test_who_stays(given: Mapping[str, Any]) -> None:
    """With nobody else there the drain is over."""
    answer = drain(case(pod(**given)))
    assert (answer.record.state, answer.claim.reason) == (m.DrainState.DRAINED, "PodsGone")
    assert (answer.evictions, answer.wake_at, answer.sightings) == ((), None, {})


@pytest.mark.parametrize(
    ("given", "policy", "said"),
    [
        ({"labels": {LABEL: "wait"}}, {}, "shop/web-1 is waited for: label kubenode.dev/drain=wait"),
        ({"labels": {LABEL: "skpi"}}, {}, "'skpi', which means nothing: write skip or wait"),
        ({"local_data": True}, {"keep_local_data": True}, "has an emptyDir volume, and keepLocalData is set"),
        ({"owner": ""}, {"keep_unmanaged": True}, "has no controller, and keepUnmanaged is set"),
    ],
)  # fmt: skip
def test_who_is_waited_for(given: Mapping[str, Any], policy: Mapping[str, Any], said: str) -> None:
    """And named."""
    answer = drain(case(pod(**given), policy=m.DrainPolicy(**policy)))
    assert (answer.evictions, answer.claim.reason) == ((), "DrainBlocked")
    assert said in answer.claim.message


@pytest.mark.parametrize("given", [{"local_data": True}, {"owner": ""}, {"phase": "Strange"}, {"phase": ""}])
def test_who_goes_as_anybody(given: Mapping[str, Any]) -> None:
    """As the policy's defaults say, and in whatever phase that is not over."""
    assert evicted(drain(case(pod(**given)))) == ["web-1"]


def test_what_a_policy_keeps_is_no_more_than_it_says() -> None:
    """A Pod with a controller and without a volume goes, whatever else is kept."""
    policy = m.DrainPolicy(keep_local_data=True, keep_unmanaged=True)
    assert evicted(drain(case(pod(), policy=policy))) == ["web-1"]


def test_lower_priorities_go_first() -> None:
    """What keeps a cluster alive is there until the others are gone: ending, blocked or waited for, all of them."""
    cluster, on_node = pod("dns", priority=2_000_000_000), pod("cni", priority=2_000_001_000)
    ordinary = pod("web", priority=1_999_999_999)
    assert evicted(drain(case(on_node, cluster, ordinary))) == ["web"]
    assert evicted(drain(case(on_node, cluster))) == ["dns"]
    assert evicted(drain(case(on_node))) == ["cni"]
    first = drain(case(on_node, cluster, attrs.evolve(ordinary, deleting=True)))
    assert evicted(first) == []
    assert first.claim.message == "1 Pods are ending; 2 of higher priority follow"
    held = drain(case(cluster, attrs.evolve(ordinary, labels={LABEL: "wait"})))
    assert (evicted(held), held.claim.reason) == ([], "DrainBlocked")


@pytest.mark.parametrize(
    ("budgets", "given", "said"),
    [
        ((budget(),), {}, "PodDisruptionBudget shop/web: 3 healthy, 3 needed"),
        ((budget(allowed=2, counted=False),), {}, "PodDisruptionBudget shop/web is not counted yet"),
        ((budget("a", 1), budget("b", 1)), {}, "PodDisruptionBudgets shop/a and shop/b both select it"),
        ((budget(healthy=2),), {"ready": False}, "PodDisruptionBudget shop/web: 2 healthy, 3 needed"),
        ((budget(desired=0, healthy=0),), {"ready": False}, "PodDisruptionBudget shop/web: 0 healthy, 0 needed"),
    ],
)  # fmt: skip
def test_who_is_blocked(
    budgets: tuple[PodDisruptionBudget, ...], given: Mapping[str, Any], said: str
) -> None:
    """By a budget, which is named with what it needs, as the server would answer."""
    answer = drain(case(pod(**given), budgets=budgets))
    assert (answer.evictions, answer.claim.reason) == ((), "DrainBlocked")
    assert said in answer.claim.message


@pytest.mark.parametrize(
    ("budgets", "given"),
    [
        ((budget(allowed=1),), {}),
        ((budget(selector=None),), {}),
        ((budget(),), {"labels": {}}),
        ((budget(),), {"phase": "Pending", "ready": False}),
        ((budget(),), {"ready": False}),
        ((budget(healthy=0, spares_unready=True, counted=False),), {"ready": False}),
    ],
)
def test_who_is_let_go(budgets: tuple[PodDisruptionBudget, ...], given: Mapping[str, Any]) -> None:
    """A budget that has room, that is not its own, or that the server does not ask."""
    assert evicted(drain(case(pod(**given), budgets=budgets))) == ["web-1"]


def test_a_budget_is_not_overdrawn() -> None:
    """Of three it lets one go: the first by name; the others are named, and it still moves."""
    answer = drain(case(*(pod(f"web-{n}") for n in (3, 1, 2)), budgets=(budget(allowed=1),)))
    assert evicted(answer) == ["web-1"]
    assert answer.claim.reason == "Draining"
    assert "2 are held up: shop/web-2" in answer.claim.message


def test_who_was_asked_to_go_since_the_look_counts() -> None:
    """It is not asked again on the same look, and what its budget allowed is used up."""
    asked = {"evicted:uid-web-1": START.elapsed}
    answer = drain(case(pod("web-1"), pod("web-2"), budgets=(budget(allowed=1),), sightings=asked))
    assert evicted(answer) == []
    assert answer.sightings["evicted:uid-web-1"] == START.elapsed
    later = drain(case(pod("web-1"), sightings={"evicted:uid-web-1": START.elapsed - 1}))
    assert evicted(later) == ["web-1"]


def test_so_many_at_once() -> None:
    """The next ones have their turn at the next look."""
    answer = drain(case(*(pod(f"web-{n:03}") for n in range(AT_ONCE + 7))))
    assert len(answer.evictions) == AT_ONCE
    assert "7 are held up" in answer.claim.message
    assert "and 2 more" in answer.claim.message
    assert answer.wake_at == START.elapsed + LOOK


@pytest.mark.parametrize(
    ("ready", "ends"), [(m.Switch.TRUE, 330), (m.Switch.FALSE, 330), (m.Switch.UNKNOWN, 30)]
)
def test_a_pod_that_does_not_end_is_waited_for_so_long(ready: m.Switch, ends: int) -> None:
    """Its own grace and the policy's time; its grace alone where nobody is there to report its end."""
    since = {"going:uid-web-1": START.elapsed - (ends - 1) * S}
    before = drain(case(pod(deleting=True), node=node(ready=ready), sightings=since))
    assert (before.record.state, before.wake_at) == (m.DrainState.DRAINING, START.elapsed + S)
    since = {"going:uid-web-1": START.elapsed - ends * S}
    assert (
        drain(case(pod(deleting=True), node=node(ready=ready), sightings=since)).record.state
        is m.DrainState.DRAINED
    )


@pytest.mark.parametrize(
    ("policy", "state", "reason", "holds"),
    [
        ({}, m.DrainState.GIVEN_UP, "DrainTimedOut", m.Switch.FALSE),
        ({"on_timeout": m.OnTimeout.FORCE}, m.DrainState.FORCED, "DrainForced", m.Switch.TRUE),
    ],
)
def test_when_the_time_is_over(
    policy: Mapping[str, Any], state: m.DrainState, reason: str, holds: m.Switch
) -> None:
    """The policy decides; what was in the way is named; one nanosecond earlier nothing is."""
    long = {f"drain:{OP}": START.elapsed - 3600 * S}
    blocked = case(pod(), budgets=(budget(),), policy=m.DrainPolicy(**policy), sightings=long)
    answer = drain(blocked)
    assert (answer.record, answer.claim.reason, answer.claim.holds) == (
        m.DrainRecord(op_id=OP, state=state),
        reason,
        holds,
    )
    assert "not done within 1h" in answer.claim.message
    assert "PodDisruptionBudget shop/web" in answer.claim.message
    assert (answer.evictions, answer.wake_at) == ((), None)
    early = drain(attrs.evolve(blocked, sightings={f"drain:{OP}": START.elapsed - 3600 * S + 1}))
    assert (early.record.state, early.wake_at) == (m.DrainState.DRAINING, START.elapsed + 1)


def test_what_cannot_be_given_up_goes_on() -> None:
    """A deletion: no wake but the next look."""
    long = {f"drain:{OP}": START.elapsed - 9999 * S}
    answer = drain(case(pod(), budgets=(budget(),), sightings=long, gives_up=False))
    assert (answer.record.state, answer.claim.reason) == (m.DrainState.DRAINING, "DrainBlocked")
    assert answer.wake_at == START.elapsed + LOOK
    forced = m.DrainPolicy(on_timeout=m.OnTimeout.FORCE)
    answer = drain(case(pod(), budgets=(budget(),), sightings=long, gives_up=False, policy=forced))
    assert answer.record.state is m.DrainState.FORCED


def test_who_is_drained_when_the_time_is_over_is_drained() -> None:
    """Late, but done."""
    answer = drain(case(sightings={f"drain:{OP}": START.elapsed - 9999 * S}))
    assert answer.record.state is m.DrainState.DRAINED


@pytest.mark.parametrize("state", sorted(ENDED, key=lambda one: one.value))
def test_what_has_ended_has_ended(state: m.DrainState) -> None:
    """Whatever comes onto the Node after that; its condition stays as it was said, or is said anew."""
    record = m.DrainRecord(op_id=OP, state=state)
    answer = drain(case(pod(), record=record))
    assert (answer.record, answer.evictions, answer.wake_at) == (record, (), None)
    assert answer.claim.reason in ("PodsGone", "DrainForced", "DrainTimedOut")
    other = drain(case(pod(), record=attrs.evolve(record, op_id="other")))
    assert (other.record.state, evicted(other)) == (m.DrainState.DRAINING, ["web-1"])


@pytest.mark.parametrize(
    ("lower", "higher"), [(1_999_999_999, 2_000_000_000), (2_000_000_999, 2_000_001_000)]
)
def test_the_tiers_are_those_of_the_system_classes(lower: int, higher: int) -> None:
    """system-cluster-critical and what is above, then system-node-critical and what is above; between them all are alike."""
    answer = drain(case(pod("a", priority=higher), pod("b", priority=lower)))
    assert evicted(answer) == ["b"]
    alike = drain(case(pod("a", priority=higher), pod("b", priority=higher + 500)))
    assert evicted(alike) == ["a", "b"]


@pytest.mark.parametrize(("age", "acts"), [(4_999_999_999, True), (5_000_000_000, False)])
def test_a_look_is_acted_on_for_five_seconds(age: int, acts: bool) -> None:
    """Nanoseconds."""
    look = Workload(node="n", pods=(pod(),), at=START.elapsed - age)
    assert bool(drain(case(workload=look)).evictions) is acts


def test_ten_are_evicted_at_once() -> None:
    """And the eleventh with the next look."""
    assert len(evicted(drain(case(*(pod(f"w{at:02}") for at in range(11)))))) == 10


def test_pods_of_a_later_tier_are_told_as_that_and_no_more() -> None:
    """Also one that is ending by itself, and one that is waited for."""
    later = {"priority": 2_000_000_000}
    pods = (pod("a"), pod("b", deleting=True, **later), pod("c", labels={LABEL: "wait"}, **later))
    answer = drain(case(*pods))
    assert evicted(answer) == ["a"]
    assert answer.claim.message == "1 Pods are ending; 2 of higher priority follow"


def test_a_pod_that_somebody_deleted_uses_up_no_budget_of_the_look() -> None:
    """The server has counted it already."""
    answer = drain(case(pod("a", deleting=True), pod("b"), budgets=(budget(allowed=1),)))
    assert evicted(answer) == ["b"]


def test_a_look_of_the_first_moment_counts() -> None:
    """A process that began just now has asked nobody to go yet."""
    first = m.Now(wall=START.wall, elapsed=0)
    look = Workload(node="n", pods=(pod(),), at=0)
    assert evicted(drain(case(workload=look, now=first))) == ["web-1"]


def test_a_kubelet_is_silent_by_its_condition_ready_alone() -> None:
    """Another condition that is Unknown gives a Pod no less time."""
    odd = m.NodeCondition(type="Strange", status=m.Switch.UNKNOWN)
    stands = node()
    stands = attrs.evolve(
        stands, status=attrs.evolve(stands.status, conditions=(*stands.status.conditions, odd))
    )
    since = {"going:uid-web-1": START.elapsed - 31 * S}
    answer = drain(case(pod(deleting=True, grace=30), node=stands, sightings=since))
    assert answer.record.state is m.DrainState.DRAINING


@pytest.mark.parametrize(
    ("given", "healthy", "desired", "goes"),
    [
        ({"phase": "Pending", "ready": False}, 1, 3, True),
        ({"ready": False}, 1, 1, True),
        ({"ready": False}, 0, 1, False),
        ({"ready": False}, 0, 0, False),
    ],
)
def test_who_does_not_run_or_is_not_ready(
    given: Mapping[str, Any], healthy: int, desired: int, goes: bool
) -> None:
    """A Pod that does not run yet has no budget; one that is not ready goes if the others are enough, and any are needed."""
    limit = budget(allowed=0, healthy=healthy, desired=desired)
    assert bool(evicted(drain(case(pod(**given), budgets=(limit,))))) is goes


@pytest.mark.parametrize(("number", "more"), [(4, ""), (5, ""), (6, " and 1 more")])
def test_so_many_are_named(number: int, more: str) -> None:
    """And of the others how many there are."""
    held = (pod(f"w{at}", labels={LABEL: "wait"}) for at in range(number))
    message = drain(case(*held)).claim.message
    assert message.endswith(f"label {LABEL}=wait{more}")
    assert message.count("is waited for") == min(number, 5)


@pytest.mark.parametrize(
    ("state", "holds"),
    [(m.DrainState.DRAINED, True), (m.DrainState.FORCED, True), (m.DrainState.GIVEN_UP, False)],
)
def test_an_ended_drain_whose_condition_is_gone_claims_it_again(state: m.DrainState, holds: bool) -> None:
    """True of what may go on, False of what was given up."""
    answer = drain(case(record=m.DrainRecord(op_id=OP, state=state)))
    assert (answer.claim.holds is m.Switch.TRUE) is holds


@pytest.mark.parametrize("state", [m.DrainState.DRAINED, m.DrainState.FORCED, m.DrainState.GIVEN_UP])
def test_an_ended_drain_evicts_nobody_who_is_left_or_comes(state: m.DrainState) -> None:
    """It has ended for good."""
    answer = drain(case(pod(), record=m.DrainRecord(op_id=OP, state=state)))
    assert (answer.record.state, answer.evictions, answer.wake_at) == (state, (), None)


def test_what_a_remedy_gave_up_a_deletion_begins_anew() -> None:
    """They share an op-id where the remedy replaces the machine; what was drained stays drained."""
    given_up = m.DrainRecord(op_id=OP, state=m.DrainState.GIVEN_UP)
    anew = drain(case(pod(), record=given_up, gives_up=False))
    assert (anew.record.state, evicted(anew)) == (m.DrainState.DRAINING, ["web-1"])
    for state in (m.DrainState.DRAINED, m.DrainState.FORCED):
        record = m.DrainRecord(op_id=OP, state=state)
        assert drain(case(pod(), record=record, gives_up=False)).record == record
    assert standing_record(given_up, OP, gives_up=True) == given_up
    assert standing_record(given_up, OP, gives_up=False) is None
    assert standing_record(given_up, "x", gives_up=True) is None
    assert standing_record(None, OP, gives_up=True) is None


def test_a_machine_without_a_node_has_no_pods() -> None:
    """Nothing is to be done."""
    answer = nothing_there(OP)
    assert (answer.record.state, answer.cordon, answer.evictions) == (m.DrainState.DRAINED, None, ())


def test_whose_drain_it_is() -> None:
    """That of one of these permits, or nobody's."""
    record = m.DrainRecord(op_id=OP, state=m.DrainState.FORCED)
    assert drained_for(record, frozenset({OP, "x"})) is m.DrainState.FORCED
    assert drained_for(record, frozenset({"x"})) is None
    assert drained_for(None, frozenset({"x"})) is None


PODS = st.builds(
    lambda number, **given: pod(f"web-{number}", **given), st.integers(0, 20),
    node=st.sampled_from(["n", "n", "n", "other", ""]), owner=st.sampled_from(["ReplicaSet", "DaemonSet", "", "Node"]),
    phase=st.sampled_from(["Running", "Pending", "Succeeded", "Failed", "", "Odd"]), ready=st.booleans(),
    priority=st.sampled_from([-1, 0, 2_000_000_000, 2_000_001_000, 2**40]), mirror=st.booleans(), local_data=st.booleans(),
    grace=st.integers(0, 100), deleting=st.booleans(),
    labels=st.sampled_from([{"app": "web"}, {}, {LABEL: "skip"}, {LABEL: "wait"}, {LABEL: "odd", "app": "web"}]),
)  # fmt: skip
BUDGETS = st.lists(
    st.builds(
        budget, st.sampled_from(["a", "b"]), st.integers(-1, 3), selector=st.sampled_from([APP, (), None]),
        healthy=st.integers(0, 3), desired=st.integers(0, 3), counted=st.booleans(), spares_unready=st.booleans(),
    ),
    max_size=2, unique_by=lambda one: one.name,
)  # fmt: skip
POLICIES = st.builds(
    m.DrainPolicy, on_timeout=st.sampled_from(m.OnTimeout), keep_local_data=st.booleans(), keep_unmanaged=st.booleans(),
    grace=st.none() | st.just(timedelta(seconds=9)),
)  # fmt: skip
NODES = st.builds(
    node, st.sampled_from([OP, "other", ""]), closed=st.booleans(), ready=st.sampled_from(m.Switch)
)
SEEN = st.dictionaries(
    st.sampled_from([f"drain:{OP}", *(f"{what}:uid-web-{n}" for what in ("going", "evicted") for n in range(4))]),
    st.integers(START.elapsed - 8000 * S, START.elapsed + S), max_size=4,
)  # fmt: skip
CASES = st.builds(
    lambda pods, budgets, **given: case(*pods, budgets=tuple(budgets), **given),
    st.lists(PODS, max_size=25, unique_by=lambda one: one.name), BUDGETS, policy=POLICIES, node=NODES,
    sightings=st.just(NOTHING_SEEN) | SEEN, gives_up=st.booleans(),
    record=st.none() | st.builds(m.DrainRecord, op_id=st.sampled_from([OP, "x"]), state=st.sampled_from(m.DrainState)),
)  # fmt: skip


def goes(one: Pod, policy: m.DrainPolicy) -> bool:
    """Whether a Pod is one that may be evicted at all, in words of its own."""
    stays = (
        one.node != "n"
        or one.mirror
        or one.owner in ("DaemonSet", "Node")
        or one.phase in ("Succeeded", "Failed")
    )
    kept = (policy.keep_local_data and one.local_data) or (policy.keep_unmanaged and not one.owner)
    return not stays and not kept and LABEL not in one.labels and not one.deleting


@given(CASES)
def test_nobody_is_evicted_who_must_not_be(given: DrainCase) -> None:
    """Nobody of another Node, of a DaemonSet, of a kubelet's files, that has ended or is exempt; once; not too many."""
    answer = drain(given)
    assert given.workload is not None
    pods = {one.uid: one for one in given.workload.pods}
    chosen = [pods[one.pod.uid] for one in answer.evictions]
    assert all(goes(one, given.policy) for one in chosen)
    assert len({one.uid for one in chosen}) == len(chosen) <= AT_ONCE
    if answer.evictions:
        assert answer.cordon is None
        assert given.node.spec.unschedulable
        lowest = min((one.priority for one in pods.values() if goes(one, given.policy)), default=0)
        assert all((one.priority >= 2 * 10**9) == (lowest >= 2 * 10**9) for one in chosen)
    for each in given.workload.budgets:
        mine = [one for one in chosen if each.selects(one) and one.phase != "Pending" and one.ready]
        assert len(mine) <= max(0, each.allowed)
        assert not mine or each.counted


@given(CASES)
def test_a_drained_node_has_no_pod_that_could_be_evicted(given: DrainCase) -> None:
    """Unless it was drained before, or its time was over."""
    answer = drain(given)
    assert given.workload is not None
    if answer.record.state is m.DrainState.DRAINED and given.record != answer.record:
        asked = {key.removeprefix("evicted:") for key in given.sightings}
        assert not any(goes(one, given.policy) and one.uid not in asked for one in given.workload.pods)
        assert given.node.spec.unschedulable


@given(CASES)
def test_the_message_fits_and_the_wake_is_ahead(given: DrainCase) -> None:
    """Whatever is there; what has ended wakes nobody, and what goes on wakes or is somebody's turn."""
    answer = drain(given)
    assert len(answer.claim.message) <= 2048
    assert answer.wake_at is None or answer.wake_at > given.now.elapsed
    assert (answer.record.state in ENDED) <= (answer.wake_at is None)


@given(CASES)
def test_a_drain_goes_forward(given: DrainCase) -> None:
    """With every budget open and every Pod that was evicted gone, those who have to go never get more, and it ends."""
    given = attrs.evolve(given, node=node(), record=None, sightings=NOTHING_SEEN, gives_up=False)
    assert given.workload is not None
    pods = tuple(one for one in given.workload.pods if LABEL not in one.labels and not one.deleting)
    policy, left = m.DrainPolicy(), []
    answer = None
    for step in range(40):
        now = START.plus(timedelta(seconds=10 * step))
        look = Workload(node="n", pods=pods, at=now.elapsed)
        answer = drain(attrs.evolve(given, workload=look, now=now, policy=policy))
        gone = {one.pod.uid for one in answer.evictions}
        left.append(sum(goes(one, policy) for one in pods))
        pods = tuple(one for one in pods if one.uid not in gone)
        if answer.record.state in ENDED:
            break
    assert answer is not None
    assert answer.record.state is m.DrainState.DRAINED
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
