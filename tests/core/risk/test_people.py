"""What people say: forced acts, holds and freezes; who is served first; rollbacks; nested scopes."""

import itertools
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import Cause, Freeze, Scope
from kubenode.core.policy import Policy
from kubenode.core.risk.asks import in_order
from kubenode.core.risk.decide import SetRoom, decide
from tests.core.risk.builders import (
    AGE,
    FREE,
    HOUR,
    SECOND,
    START,
    ask,
    codes,
    granted,
    hold,
    ledger_of,
    limit,
    policy_of,
    world,
    written,
)

IN_HOUR = timedelta(hours=1)
DOWN = {"a": ZoneTally(nodes=10, not_ready=9)}


def frozen_by(scope: Scope, name: str = "", until: int | None = None) -> Policy:
    """Make a policy that freezes a scope, until so many seconds from the start."""
    end = None if until is None else START + timedelta(seconds=until)
    one = Freeze(scope=scope, name=name, until=end, reason="power")
    spec = attrs.evolve(FREE.risk[0].spec, freeze=(one,))
    return Policy(risk=(attrs.evolve(FREE.risk[0], spec=spec),))


# --- order ---------------------------------------------------------------------------------------


@given(st.permutations(list(Cause)), st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_served_are_human_cloud_deadline_remedy_drift_rollout_then_oldest(
    causes: list[Cause], ages: list[int]
) -> None:
    """Cause before age, age before name; read in any order."""
    asks = [
        ask(f"op{i}{j}", cause=cause, since=START - timedelta(seconds=age * (1 + j)))
        for i, (cause, age) in enumerate(zip(causes, ages, strict=True))
        for j in range(2)
    ]
    turn = ["Human", "Deadline", "Remedy", "Drift", "Rollout"]
    served = in_order(asks)
    assert [turn.index(one.cause.value) for one in served] == sorted(
        turn.index(one.cause.value) for one in asks
    )
    for one, after in itertools.pairwise(served):
        assert one.cause is not after.cause or (one.since or START) <= (after.since or START)


# --- what a human forces -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        (policy_of(limit(Scope.CLUSTER, 0)), {}),
        (policy_of(limit(Scope.ZONE, 0, IN_HOUR)), {}),
        (FREE, {"zones": DOWN}),
        (FREE, {"rooms": {"kubelet": SetRoom(max_unavailable=0)}}),
        (FREE, {"rooms": {}}),
        (FREE, {"held": frozenset({"uid-m-a"})}),
        (frozen_by(Scope.CLUSTER), {}),
        (policy_of(unknown=("spec.x",)), {}),
        (policy_of(limit(Scope.ZONE, 9, IN_HOUR)), {"ledger": ledger_of(blind_until=AGE + HOUR)}),
    ],
)  # fmt: skip
def test_what_a_human_forces_is_never_refused_but_recorded(policy: Policy, changes: dict[str, Any]) -> None:
    """No limit, breaker, freeze, hold or lost history is in its way; automation in its place waits."""
    decision = decide(world(ask("a", cause=Cause.HUMAN), **changes), policy)
    assert granted(decision) == ["a"]
    assert decision.status is not None
    assert decision.status.holds[0].cause is Cause.HUMAN
    assert granted(decide(world(ask("a", cause=Cause.REMEDY), **changes), policy)) == []


def test_what_a_human_forces_narrows_what_automation_may_do_next() -> None:
    """It counts in flight, in windows and in maxUnavailable, now and when it has ended."""
    forced = ask("h", cause=Cause.HUMAN)
    for policy in (policy_of(limit(Scope.ZONE, 1)), policy_of(limit(Scope.ZONE, 1, IN_HOUR))):
        assert granted(decide(world(forced, ask("a")), policy)) == ["h"]
    room = {"kubelet": SetRoom(max_unavailable=1)}
    assert codes(decide(world(forced, ask("a"), rooms=room), FREE)) == ["MaxUnavailable"]
    over = decide(
        world(ask("a"), ledger=ledger_of(hold("h", since=AGE)), ended=frozenset({"h"})),
        policy_of(limit(Scope.ZONE, 1, IN_HOUR)),
    )
    assert (granted(over), codes(over)) == ([], ["RateLimit"])


def test_a_human_waits_only_for_the_act_that_has_the_machine() -> None:
    """At most one hold a machine uid, whoever asked."""
    decision = decide(
        world(
            ask("h", "m", cause=Cause.HUMAN), ask("x", "m", waiting=False), ledger=ledger_of(hold("x", "m"))
        ),
        FREE,
    )
    assert (granted(decision), codes(decision)) == (["x"], ["MachineBusy"])


# --- holds and freezes ---------------------------------------------------------------------------


def test_a_held_machine_is_not_disrupted() -> None:
    """The label on the machine or its Node keeps every automatic act away, and others go on; only a person ends it."""
    decision = decide(world(ask("a"), ask("b"), held=frozenset({"uid-m-a"})), FREE)
    assert (granted(decision), codes(decision), decision.wake_at) == (["b"], ["Held"], None)
    assert "kubenode.dev/hold" in decision.notes[0].text


def test_a_held_machine_keeps_the_permit_it_uses() -> None:
    """What has begun goes on to its end."""
    seen = world(ask("x", waiting=False), ledger=ledger_of(hold("x")), held=frozenset({"uid-m-x"}))
    assert granted(decide(seen, FREE)) == ["x"]


@pytest.mark.parametrize(
    ("scope", "name", "concerned"),
    [
        (Scope.NODE, "m-a", True),
        (Scope.NODE, "m-b", False),
        (Scope.SET, "kubelet", True),
        (Scope.SET, "cni", False),
        (Scope.ZONE, "a", True),
        (Scope.ZONE, "b", False),
        (Scope.REGION, "eu", True),
        (Scope.REGION, "", False),
        (Scope.CLUSTER, "", True),
        (Scope.FLEET, "", True),
    ],
)
def test_a_freeze_is_honoured_within_one_decision(scope: Scope, name: str, concerned: bool) -> None:
    """Of every scope, until its end to the microsecond, and what runs there goes on."""
    policy = frozen_by(scope, name, until=60)
    seen = world(ask("a", region="eu"), ask("x", region="eu", waiting=False), ledger=ledger_of(hold("x")))
    decision = decide(seen, policy)
    assert granted(decision) == (["x"] if concerned else ["x", "a"])
    if concerned:
        (note,) = decision.notes
        assert (note.code, note.observed, note.limit, note.frees_at) == ("Frozen", 0, 0, 60 * SECOND)
        assert granted(decide(written(seen, decision, elapsed=60 * SECOND - 1), policy)) == ["x"]
        assert granted(decide(written(seen, decision, elapsed=60 * SECOND), policy)) == ["x", "a"]


# --- rollbacks -----------------------------------------------------------------------------------


def test_a_rollback_waits_for_no_rate_window() -> None:
    """A full window, a lost history: neither keeps it; an ordinary rollout waits for both. It counts there."""
    policy = policy_of(limit(Scope.ZONE, 1, IN_HOUR))
    for book in (ledger_of(hold("x", since=AGE)), ledger_of(hold("x"), blind_until=AGE + HOUR)):
        here = world(ask("x", waiting=False), ask("a", rollback=True), ledger=book)
        assert granted(decide(here, policy)) == ["x", "a"]
        ordinary = world(ask("x", waiting=False), ask("a"), ledger=book)
        assert granted(decide(ordinary, policy)) == ["x"]
    decision = decide(world(ask("a", rollback=True), ask("b")), policy)
    assert (granted(decision), codes(decision)) == (["a"], ["RateLimit"])


@pytest.mark.parametrize(
    ("policy", "changes", "code"),
    [
        (FREE, {"rooms": {"kubelet": SetRoom(max_unavailable=0)}}, "MaxUnavailable"),
        (policy_of(limit(Scope.ZONE, 0)), {}, "InFlight"),
        (FREE, {"zones": DOWN}, "ZoneOutage"),
        (frozen_by(Scope.ZONE, "a"), {}, "Frozen"),
        (FREE, {"held": frozenset({"uid-m-a"})}, "Held"),
    ],
)
def test_a_rollback_keeps_max_unavailable_in_flight_limits_and_open_breakers(
    policy: Policy, changes: dict[str, Any], code: str
) -> None:
    """And what people said."""
    decision = decide(world(ask("a", rollback=True), **changes), policy)
    assert (granted(decision), codes(decision)) == ([], [code])


# --- nested scopes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope.SET, ["a1", "b1", "c1"]),
        (Scope.ZONE, ["a1", "b1", "c1"]),
        (Scope.REGION, ["a1", "c1"]),
        (Scope.CLUSTER, ["a1"]),
        (Scope.FLEET, ["a1"]),
        (Scope.NODE, ["a1", "a2", "b1", "c1"]),
    ],
)
@pytest.mark.parametrize("window", [None, IN_HOUR])
def test_scopes_nest(scope: Scope, expected: list[str], window: timedelta | None) -> None:
    """A disruption counts in its sets, zone, region and cluster, each by itself; fleet is this cluster; a node's history is its jobs'."""
    asks = [
        ask("a1", region="eu", sets=("s1",)), ask("a2", region="eu", sets=("s1",)),
        ask("b1", zone="b", region="eu", sets=("s2",)), ask("c1", zone="c", region="us", sets=("s3",)),
    ]  # fmt: skip
    decision = decide(world(*asks), policy_of(limit(scope, 1, window), limit(Scope.CLUSTER, 99)))
    assert granted(decision) == expected


@given(
    st.sampled_from([Scope.SET, Scope.ZONE, Scope.REGION, Scope.CLUSTER]),
    st.integers(1, 100),
    st.integers(0, 500),
)
def test_percentages_have_a_floor_of_one(scope: Scope, percent: int, up: int) -> None:
    """Rounded down, of the machines of the scope that should be up; never to nothing."""
    asks = [ask(f"a{i:03}") for i in range(12)]
    counts = dict.fromkeys(asks[0].scopes, up)
    decision = decide(
        world(*asks, up=counts), policy_of(limit(scope, f"{percent}%"), limit(Scope.CLUSTER, 99))
    )
    assert len(granted(decision)) == min(12, max(1, percent * up // 100))
