"""Health in other words than the code's: shares as fractions, every scope of a freeze, and hands of people."""

from datetime import datetime
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.byhand import make_machine, make_node
from kubenode.core.health.freeze import frozen, thaws
from kubenode.core.health.held import held_note, is_held
from kubenode.core.health.zones import ZoneState, ZoneTally, open_breaker, zone_state
from kubenode.core.model.meta import HOLD_LABEL
from tests.core.health.test_freeze import HOUR, NOW, START, freeze, policy

BREAKERS = st.builds(
    m.ZoneBreaker, not_ready_percent=st.integers(1, 100), min_not_ready=st.integers(1, 300)
) | st.just(m.ZoneBreaker())


@given(st.integers(0, 1000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), BREAKERS)
def test_a_zone_is_partial_by_share_and_by_number(counts: tuple[int, int], breaker: m.ZoneBreaker) -> None:
    """Both have to be reached; and Full is every one of two or more."""
    nodes, down = counts
    share = nodes > 0 and Fraction(down, nodes) >= Fraction(breaker.not_ready_percent, 100)
    expected = ZoneState.PARTIAL if share and down >= breaker.min_not_ready else ZoneState.NORMAL
    if nodes > 1 and down == nodes:
        expected = ZoneState.FULL
    assert zone_state(ZoneTally(nodes=nodes, not_ready=down), breaker) is expected


@pytest.mark.parametrize(("down", "state"), [(109, ZoneState.NORMAL), (110, ZoneState.PARTIAL)])
def test_the_share_is_in_hundredths(down: int, state: ZoneState) -> None:
    """55 % of 200 is 110."""
    assert zone_state(ZoneTally(nodes=200, not_ready=down), m.ZoneBreaker()) is state


def test_a_zone_is_counted_well_until_it_is_counted_ill() -> None:
    """Nodes that nobody says are NotReady are Ready."""
    strict = m.ZoneBreaker(not_ready_percent=1, min_not_ready=1)
    assert zone_state(ZoneTally(nodes=2), strict) is ZoneState.NORMAL
    assert ZoneTally(nodes=2).not_ready == 0


def test_a_zone_of_one_node_is_no_outage_by_the_strictest_breaker_alone() -> None:
    """It is Partial, and at most none of its one may be NotReady; zones with none bind nobody."""
    strict = m.RiskPolicy(
        metadata=m.ObjectMeta(name="p"),
        spec=m.RiskPolicySpec(zone_breaker=m.ZoneBreaker(not_ready_percent=1, min_not_ready=1)),
    )
    note = open_breaker("a", {"a": ZoneTally(nodes=1, not_ready=1)}, [strict])
    assert note is not None
    assert (note.code, note.text) == ("ZoneOutage", "zone a: 1 of 1 not ready, limit 0")
    assert open_breaker("b", {"a": ZoneTally(nodes=1, not_ready=1)}, [strict]) is None


@pytest.mark.parametrize(
    ("scope", "name", "inside"),
    [
        (m.Scope.FLEET, "", True), (m.Scope.CLUSTER, "", True), (m.Scope.REGION, "r", True), (m.Scope.ZONE, "z", True),
        (m.Scope.SET, "s", True), (m.Scope.NODE, "n", True), (m.Scope.REGION, "z", False), (m.Scope.NODE, "r", False),
        (m.Scope.SET, "n", False), (m.Scope.ZONE, "s", False),
    ],
)  # fmt: skip
def test_every_scope_freezes_its_own(scope: m.Scope, name: str, inside: bool) -> None:
    """By the name that is of its kind, and says so: a scope that is everything has no name."""
    note = frozen("z", ("s",), [policy(freeze(scope, name))], NOW, region="r", machine="n")
    assert (note is not None) is inside
    if note is not None:
        assert note.scope == f"{scope.value} {name}".strip()


@pytest.mark.parametrize("reasons", [("first", "last"), ("last", "first"), ("last", "last")])
@pytest.mark.parametrize("until", [None, START + HOUR])
def test_of_freezes_that_last_alike_one_is_named_whatever_the_order(
    reasons: tuple[str, ...], until: datetime | None
) -> None:
    """The last by its words, and two that say the same are one."""
    freezes = [freeze(m.Scope.CLUSTER, until=until, reason=reason) for reason in reasons]
    note = frozen("", (), [policy(*freezes)], NOW)
    assert note is not None
    assert note.text.endswith("last")


def test_what_this_process_has_seen_outlasts_a_later_stamp() -> None:
    """The one to end last is named by both clocks, not by its stamp."""
    early, late = START + HOUR, START + 2 * HOUR
    policies = [
        policy(*(freeze(m.Scope.CLUSTER, until=until, reason=until.isoformat()) for until in (early, late)))
    ]
    seen = {f"thaw:{early.isoformat()}": 10**15}
    note = frozen("", (), policies, NOW, seen)
    assert note is not None
    assert (note.frees_at, note.text.endswith(early.isoformat())) == (10**15, True)


def test_a_hand_lies_on_the_machine_or_on_its_node() -> None:
    """Either label holds; no Node bears none."""
    node = make_node("n7")
    machine = make_machine(node, since=START)
    labelled = attrs.evolve(node, metadata=attrs.evolve(node.metadata, labels={HOLD_LABEL: "me"}))
    held = attrs.evolve(machine, metadata=attrs.evolve(machine.metadata, labels={HOLD_LABEL: ""}))
    assert [is_held(machine, None), is_held(machine, node), is_held(held, None)] == [False, False, True]
    assert [is_held(machine, labelled), is_held(held, node), is_held(held, labelled)] == [True, True, True]
    note = held_note("n7")
    assert (note.code, note.scope, note.observed, note.limit, note.frees_at) == (
        "Held",
        "machine n7",
        0,
        0,
        None,
    )


def test_what_is_frozen_allows_nothing_and_what_has_no_end_is_not_remembered() -> None:
    """None may begin, and none is counted; a person's end is no sighting."""
    endless, ending = freeze(m.Scope.CLUSTER), freeze(m.Scope.ZONE, "b", START + HOUR)
    note = frozen("b", (), [policy(endless)], NOW)
    assert note is not None
    assert (note.observed, note.limit) == (0, 0)
    assert list(thaws([policy(endless, ending)], NOW, {})) == [f"thaw:{(START + HOUR).isoformat()}"]
