"""The limits that a remedier has of its own: by scope, in flight and by window; beside those of policies, never instead."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.explain import explain
from kubenode.core.policy import Policy
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.decide import decide
from kubenode.core.wire import dump, read
from tests.core.risk.builders import (
    AGE,
    FREE,
    HOUR,
    SECOND,
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

CLUSTER, ZONE, REGION, SET = m.Scope.CLUSTER, m.Scope.ZONE, m.Scope.REGION, m.Scope.SET
AN_HOUR = timedelta(hours=1)
WIDE = m.RepairWidth(first=1000)


def remedier(*limits: m.Limit, name: str = "hung", unknown: tuple[str, ...] = ()) -> m.NodeRemedier:
    """A remedier with limits of its own."""
    return m.NodeRemedier(
        metadata=m.ObjectMeta(name=name, unknown=unknown),
        spec=m.NodeRemedierSpec(
            condition=m.ConditionMatch(type="KernelDeadlock"),
            ladder=(m.Rung(action="reboot"),),
            limits=limits,
        ),
    )


def policy(*remediers: m.NodeRemedier, base: Policy = FREE) -> Policy:
    """Remediers beside a policy that does not bind by itself; repairs need not be proven."""
    risk = tuple(attrs.evolve(one, spec=attrs.evolve(one.spec, repair_width=WIDE)) for one in base.risk)
    return Policy(remediers=remediers, risk=risk)


def remedy(name: str, **changes: object) -> Ask:
    """An ask of remedier `hung`."""
    return ask(name, **{"cause": m.Cause.REMEDY, "remedier": "hung", **changes})


@pytest.mark.parametrize(
    ("scope", "second", "said"),
    [
        (CLUSTER, {"zone": "b", "region": "us", "sets": ("gpu",)}, "remedier hung"),
        (ZONE, {"region": "us", "sets": ("gpu",)}, "remedier hung, zone a"),
        (REGION, {"zone": "b", "sets": ("gpu",)}, "remedier hung, region eu"),
        (SET, {"zone": "b", "region": "us"}, "remedier hung, set kubelet"),
    ],
)
@pytest.mark.parametrize("window", [None, AN_HOUR])
def test_a_limit_binds_its_scope(
    scope: m.Scope, second: dict[str, object], said: str, window: timedelta | None
) -> None:
    """One of the scope is granted, the next waits, and is told by which remedier and where, how many and of how many."""
    asks = (remedy("1", region="eu"), remedy("2", **{"region": "eu", **second}))
    decision = decide(world(*asks), policy(remedier(limit(scope, 1, window))))
    assert granted(decision) == ["1"]
    (note,) = decision.notes
    assert (note.code, note.scope) == ("InFlight" if window is None else "RateLimit", said)
    assert (note.observed, note.limit) == (1, 1)
    assert note.frees_at == (None if window is None else HOUR)


@pytest.mark.parametrize(
    ("scope", "elsewhere"),
    [
        (ZONE, {"zone": "b"}), (REGION, {"region": "us"}), (SET, {"sets": ("gpu",)}),
        (CLUSTER, {"remedier": "other"}), (CLUSTER, {"cause": m.Cause.DRIFT, "remedier": "drift/kubelet"}),
        (CLUSTER, {"cause": m.Cause.ROLLOUT, "remedier": ""}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("window", [None, AN_HOUR])
def test_it_binds_nobody_else(scope: m.Scope, elsewhere: dict[str, object], window: timedelta | None) -> None:
    """Not another zone, region or set, not another remedier, no drift and no rollout."""
    asks = (remedy("1"), remedy("2", **elsewhere))
    rules = policy(remedier(limit(scope, 1, window)), remedier(name="other"))
    assert sorted(granted(decide(world(*asks), rules))) == ["1", "2"]


@pytest.mark.parametrize(("up", "most"), [(3, 1), (10, 1), (20, 2), (29, 2), (0, 1)])
def test_a_percentage_is_of_the_machines_of_the_scope_and_at_least_one(up: int, most: int) -> None:
    """Rounded down, as a RiskPolicy's."""
    asks = [remedy(str(number)) for number in range(4)]
    seen = world(*asks, up={"zone=a": up, "cluster": 1000})
    assert len(granted(decide(seen, policy(remedier(limit(ZONE, "10%")))))) == most


def test_its_permit_bears_its_scopes_and_counts_there_when_it_is_over() -> None:
    """In flight it counts by its row; closed, by a counter of its own, until the window is past it."""
    rules = policy(remedier(limit(CLUSTER, 1, AN_HOUR), limit(ZONE, 5), limit(ZONE, 9, AN_HOUR)))
    first = world(remedy("1"))
    decision = decide(first, rules)
    assert decision.status is not None
    (row,) = decision.status.holds
    assert row.scopes == (*first.asks[0].scopes, "remedier=hung", "remedier=hung/zone=a")
    after = attrs.evolve(written(first, decision), asks=(remedy("2"),), ended=frozenset({"1"}))
    decision = decide(after, rules)
    assert decision.status is not None
    assert {"remedier=hung", "remedier=hung/zone=a"} <= set(decision.status.closed)
    assert codes(decision) == ["RateLimit"]
    assert decision.notes[0].observed == 1
    stored = ledger_of(closed=dict(decision.status.closed))
    assert read(dump(stored), m.RiskLedger) == stored
    seen = written(after, decision)
    later = written(seen, decide(seen, rules), elapsed=2 * HOUR)
    assert granted(decide(later, rules)) == ["2"]


def test_a_permit_without_own_limits_bears_no_scope_more() -> None:
    """The ledger does not grow by what nobody counts."""
    asks = (remedy("1"),)
    (row,) = (decide(world(*asks), policy(remedier())).status or m.RiskLedgerStatus()).holds
    assert row.scopes == asks[0].scopes


@pytest.mark.parametrize("waiting", [True, False])
def test_what_is_in_flight_counts_though_its_permit_is_older_than_the_limit(waiting: bool) -> None:
    """The row does not bear the scope, but its owner says whose it is: before it acts on it, and while it does."""
    row = attrs.evolve(hold("old"), cause=m.Cause.REMEDY)
    seen = world(remedy("old", waiting=waiting), remedy("new"), ledger=ledger_of(row))
    decision = decide(seen, policy(remedier(limit(ZONE, 1))))
    assert codes(decision) == ["InFlight"]
    assert decision.notes[0].scope == "remedier hung, zone a"
    told = explain(seen, policy(remedier(limit(ZONE, 1))), about="m-new")
    assert told.counterfactual == "would act if remedier hung, zone a in flight <= 0 (now 1)"


def test_what_a_person_forces_passes_and_counts() -> None:
    """It is never refused, and narrows what automation may do next."""
    forced = remedy("forced", cause=m.Cause.HUMAN)
    rules = policy(remedier(limit(CLUSTER, 1)))
    decision = decide(world(forced, remedy("1"), remedy("2", cause=m.Cause.HUMAN)), rules)
    assert sorted(granted(decision)) == ["2", "forced"]
    assert codes(decision) == ["InFlight"]


def test_after_a_loss_the_window_counts_as_used() -> None:
    """Who could tell what was started?"""
    blind = ledger_of(blind_until=AGE + HOUR)
    decision = decide(world(remedy("1"), ledger=blind), policy(remedier(limit(ZONE, 5, AN_HOUR))))
    assert codes(decision) == ["HistoryLost"]


def test_limits_that_cannot_be_read_let_nothing_of_that_remedier_begin() -> None:
    """A newer version's remedier may say that it is to do less; others go on."""
    strange = remedier(unknown=("spec.pause",))
    decision = decide(world(remedy("1"), ask("2")), policy(strange))
    assert granted(decision) == ["2"]
    (note,) = decision.notes
    assert note.code == "NewerVersion"
    assert "NodeRemedier hung" in note.text


def test_explain_names_the_limit_and_when_it_frees() -> None:
    """Verdict, what binds with observed and limit, when, and what would have to change."""
    row = attrs.evolve(hold("old", since=AGE - 600 * SECOND), scopes=("cluster", "remedier=hung"))
    seen = world(remedy("old", waiting=False), remedy("new"), ledger=ledger_of(row))
    found = explain(seen, policy(remedier(limit(CLUSTER, 1, AN_HOUR))), about="m-new")
    assert (found.scope, found.observed, found.limit) == ("remedier hung", 1, 1)
    assert found.frees_at == seen.now.wall + timedelta(minutes=50)
    assert found.counterfactual == "would act after 50m"


# --- never wider ----------------------------------------------------------------------------------

LIMITS = st.lists(
    st.builds(
        m.Limit,
        scope=st.sampled_from([CLUSTER, ZONE, REGION, SET]),
        window=st.sampled_from([None, timedelta(minutes=1), AN_HOUR]),
        max=st.sampled_from([m.IntOrPercent(0), m.IntOrPercent(1), m.IntOrPercent(3), m.IntOrPercent(40, percent=True)]),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
PLACES = st.tuples(st.sampled_from("ab"), st.sampled_from([("kubelet",), ("kubelet", "gpu"), ()]))


@given(shared=LIMITS, own=LIMITS, places=st.lists(PLACES, min_size=1, max_size=6))
def test_every_limit_of_both_is_kept_and_a_refusal_without_own_limits_stands_with_them(
    shared: tuple[m.Limit, ...], own: tuple[m.Limit, ...], places: list[tuple[str, tuple[str, ...]]]
) -> None:
    """Own limits are in addition to those of every RiskPolicy and never wider; counted here by hand, from the asks."""
    asks = tuple(remedy(str(i), zone=zone, sets=sets) for i, (zone, sets) in enumerate(places))
    base = policy_of(*shared) if shared else FREE
    rules = policy(remedier(*own), base=base)
    rows = (decide(world(*asks), rules).status or m.RiskLedgerStatus()).holds
    chosen = [one for one in asks if one.op_id in {row.op_id for row in rows}]
    for each in (*base.risk[0].spec.limits, *own):
        most = max(1, each.max.scaled(10)) if each.max.percent else each.max.amount
        for scope in {scope for one in asks for scope in one.scopes}:
            if scope.partition("=")[0] == each.scope.value:
                assert sum(scope in one.scopes for one in chosen) <= most
    if not (decide(world(asks[0]), policy(base=base)).status or m.RiskLedgerStatus()).holds:
        assert not (decide(world(asks[0]), rules).status or m.RiskLedgerStatus()).holds


@given(own=LIMITS, places=st.lists(PLACES, min_size=1, max_size=6))
def test_a_refusal_by_an_own_limit_names_one_that_is_really_used_up(
    own: tuple[m.Limit, ...], places: list[tuple[str, tuple[str, ...]]]
) -> None:
    """Nobody waits for a limit that has room: every note counts what the rows count."""
    asks = tuple(remedy(str(i), zone=zone, sets=sets) for i, (zone, sets) in enumerate(places))
    decision = decide(world(*asks), policy(remedier(*own)))
    status = decision.status or m.RiskLedgerStatus()
    for note in decision.notes:
        assert note.observed is not None
        assert note.limit is not None
        assert note.observed >= note.limit
        scope = note.scope.replace(", ", "/").replace(" ", "=")
        assert ledger.in_flight(status, scope) == note.observed
    assert len(status.holds) + len(decision.notes) == len(asks)
