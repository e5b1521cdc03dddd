"""Zone states and breakers, as kube-controller-manager's node lifecycle judges them."""

import pytest

from kubenode.core.health.zones import ZoneState, ZoneTally, allowed, open_breaker, zone_state
from kubenode.core.model import ObjectMeta, RiskPolicy, RiskPolicySpec, ZoneBreaker

DEFAULT = ZoneBreaker()


def policy(**breaker: int) -> RiskPolicy:
    """Make a policy with nothing but a breaker."""
    return RiskPolicy(metadata=ObjectMeta(name="p"), spec=RiskPolicySpec(zone_breaker=ZoneBreaker(**breaker)))


@pytest.mark.parametrize(
    ("nodes", "not_ready", "state"),
    [
        (0, 0, ZoneState.NORMAL),
        (1, 1, ZoneState.NORMAL),
        (2, 1, ZoneState.NORMAL),
        (2, 2, ZoneState.FULL),
        (3, 2, ZoneState.NORMAL),
        (4, 3, ZoneState.PARTIAL),
        (5, 2, ZoneState.NORMAL),
        (10, 5, ZoneState.NORMAL),
        (10, 6, ZoneState.PARTIAL),
        (20, 10, ZoneState.NORMAL),
        (20, 11, ZoneState.PARTIAL),
        (100, 54, ZoneState.NORMAL),
        (100, 55, ZoneState.PARTIAL),
        (100, 100, ZoneState.FULL),
    ],
)
def test_state_by_share_and_number(nodes: int, not_ready: int, state: ZoneState) -> None:
    """A zone is Partial from three NotReady Nodes and 55 %, Full when two or more are all gone."""
    assert zone_state(ZoneTally(nodes=nodes, not_ready=not_ready), DEFAULT) is state


@pytest.mark.parametrize("nodes", range(120))
def test_allowed_is_the_last_normal_number(nodes: int) -> None:
    """One Node more than `allowed` makes a zone that has that many abnormal, and `allowed` itself does not."""
    most = allowed(ZoneTally(nodes=nodes), DEFAULT)
    for not_ready in range(nodes):  # all of them is Full, which is another question
        state = zone_state(ZoneTally(nodes=nodes, not_ready=not_ready), DEFAULT)
        assert (state is ZoneState.NORMAL) == (not_ready <= most)


def test_breaker_of_one_zone_leaves_the_others() -> None:
    """An outage in one zone forbids disruption there and nowhere else."""
    zones = {"a": ZoneTally(nodes=10), "b": ZoneTally(nodes=10, not_ready=7)}
    note = open_breaker("b", zones, [policy()])
    assert note is not None
    assert (note.code, note.scope, note.observed, note.limit) == ("ZoneOutage", "zone b", 7, 5)
    assert note.frees_at is None
    assert open_breaker("a", zones, [policy()]) is None


def test_cluster_freezes_when_every_zone_is_down() -> None:
    """When all zones of more than one Node are Full, the fault is ours, so even a small good zone waits."""
    zones = {
        "a": ZoneTally(nodes=3, not_ready=3),
        "b": ZoneTally(nodes=2, not_ready=2),
        "c": ZoneTally(nodes=1),
    }
    note = open_breaker("c", zones, [policy()])
    assert note is not None
    assert (note.code, note.scope, note.observed, note.limit) == ("ClusterOutage", "cluster", 5, 4)


def test_every_policy_may_open_a_breaker() -> None:
    """The strictest breaker decides, wherever it stands."""
    zones = {"a": ZoneTally(nodes=10, not_ready=2), "b": ZoneTally(nodes=10)}
    strict = policy(not_ready_percent=10, min_not_ready=1)
    assert open_breaker("a", zones, [policy()]) is None
    for policies in ([policy(), strict], [strict, policy()]):
        note = open_breaker("a", zones, policies)
        assert note is not None
        assert note.limit == 0


def test_unknown_zone_is_no_outage() -> None:
    """A zone that nothing is known of has no NotReady Node; limits bind it all the same."""
    assert open_breaker("nowhere", {"a": ZoneTally(nodes=3)}, [policy()]) is None
