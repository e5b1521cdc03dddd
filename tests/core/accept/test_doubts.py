"""What is doubted of a policy, and what is said and kept of one that is not understood."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.accept.decide import AcceptSnapshot, decide
from kubenode.core.accept.doubts import Doubt, doubts, doubts_of_remedier
from kubenode.core.model.condition import AcceptedStatus
from kubenode.core.policy import Policy
from tests.core.accept.test_decide import NOW, ZONE_ONE, limit, policy, remedier

FLEET, ZONE = (m.Freeze(scope=scope, name="b", reason="r") for scope in (m.Scope.FLEET, m.Scope.ZONE))
WEEK = limit(m.Scope.NODE, 3, timedelta(days=7))
ALL = limit(m.Scope.ZONE, "100%")
NONE = limit(m.Scope.CLUSTER, 0)


@pytest.mark.parametrize(
    ("ruling", "expected"),
    [
        (policy((), WEEK), []),
        (policy((), WEEK, ALL), [Doubt.ALLOWS_EVERYTHING]),
        (policy((), ALL, ZONE_ONE), []),
        (policy((), ZONE_ONE, freeze=(ZONE,)), []),
        (policy(freeze=(ZONE,)), []),
        (policy((), ZONE_ONE, freeze=(ZONE, FLEET)), [Doubt.FLEET_IS_CLUSTER]),
        (policy((), NONE, freeze=(FLEET,)), [Doubt.NEVER_ACTS, Doubt.FLEET_IS_CLUSTER]),
        (policy((), NONE, NONE), [Doubt.NEVER_ACTS, Doubt.NEVER_ACTS]),
    ],
)
def test_what_is_doubted(ruling: m.RiskPolicy, expected: list[Doubt]) -> None:
    """A limit of single nodes limits; a freeze of a zone is no freeze of the fleet; the gravest comes first."""
    assert [one.doubt for one in doubts(ruling)] == expected


def test_a_freeze_of_the_fleet_is_named_by_its_place() -> None:
    """The second of two freezes is the second."""
    assert doubts(policy(freeze=(ZONE, FLEET)))[0].problem.where == "spec.freeze[1].scope"


def test_the_gravest_doubt_is_what_is_said() -> None:
    """Of two, the one because of which nothing acts; and it makes the policy not effective."""
    decision = decide(AcceptSnapshot(ruling=policy((), NONE, freeze=(FLEET,)), now=NOW), Policy())
    assert decision.status is not None
    said = decision.status.conditions[1]
    assert (said.type, said.status, said.reason) == ("Effective", m.Switch.FALSE, "NeverActs")


@pytest.mark.parametrize(
    ("actions", "known"), [(frozenset({"reboot", "drain"}), "drain, reboot"), (frozenset[str](), "none")]
)
def test_who_names_an_unknown_action_reads_the_known_ones(actions: frozenset[str], known: str) -> None:
    """By name, in order, or that there are none."""
    decision = decide(AcceptSnapshot(ruling=remedier("gpu-reset"), actions=actions, now=NOW), Policy())
    assert decision.status is not None
    said = decision.status.conditions[0].message
    assert said == f"no plugin brings the action 'gpu-reset'; known: {known}"


@pytest.mark.parametrize(("unknown", "generation"), [(("spec.canary",), 7), ((), 3)])
def test_what_a_newer_version_observed_stays(unknown: tuple[str, ...], generation: int) -> None:
    """Of a status that is not ours to judge only the condition changes; of ours, the generation follows."""
    stored = AcceptedStatus(
        observed_generation=7,
        conditions=(m.Condition(type="Canary", status=m.Switch.TRUE, reason="Seen", last_transition_time=datetime(2026, 1, 1, tzinfo=UTC)),),
    )  # fmt: skip
    ruling = attrs.evolve(remedier("reboot", unknown=unknown), status=stored)
    decision = decide(AcceptSnapshot(ruling=ruling, actions=frozenset({"reboot"}), now=NOW), Policy())
    assert decision.status is not None
    assert decision.status.observed_generation == generation
    assert [one.type for one in decision.status.conditions] == ["Accepted", "Canary"]


def limited(*limits: m.Limit, unknown: tuple[str, ...] = (), **spec: bool) -> m.NodeRemedier:
    """A remedier with limits of its own."""
    ruling = remedier("reboot", unknown=unknown)
    return attrs.evolve(ruling, spec=attrs.evolve(ruling.spec, limits=limits, **spec))


@pytest.mark.parametrize(
    ("ruling", "places"),
    [
        (limited(), []),
        (limited(ZONE_ONE, ALL), []),
        (limited(ZONE_ONE, NONE), ["spec.limits[1].max"]),
        (limited(NONE, limit(m.Scope.ZONE, 0, timedelta(hours=1))), ["spec.limits[0].max", "spec.limits[1].max"]),
        (limited(NONE, unknown=("spec.x",)), []),
    ],
)  # fmt: skip
def test_a_remedier_whose_limit_is_zero_never_acts(ruling: m.NodeRemedier, places: list[str]) -> None:
    """By its place; one that allows everything only leaves all to the policies."""
    found = doubts_of_remedier(ruling)
    assert [one.problem.where for one in found] == places
    assert {one.doubt for one in found} <= {Doubt.NEVER_ACTS}


@pytest.mark.parametrize(
    ("ruling", "said"),
    [
        (limited(), None),
        (limited(ZONE_ONE), (m.Switch.TRUE, "Limits")),
        (limited(NONE), (m.Switch.FALSE, "NeverActs")),
        (limited(NONE, dry_run=True), (m.Switch.FALSE, "DryRun")),
        (limited(dry_run=True), (m.Switch.FALSE, "DryRun")),
        (limited(NONE, unknown=("spec.x",), dry_run=True), None),
    ],
)
def test_a_remedier_says_whether_it_is_effective_where_there_is_a_question(
    ruling: m.NodeRemedier, said: tuple[m.Switch, str] | None
) -> None:
    """A dry run before all else; what was said before and is no question any more is taken away, and what it would do is kept."""
    old = m.Condition(type="Effective", status=m.Switch.FALSE, reason="DryRun", last_transition_time=NOW.wall)
    stored = m.NodeRemedierStatus(conditions=(old,), dry_run=m.DryRun(machines=2))
    seen = AcceptSnapshot(ruling=attrs.evolve(ruling, status=stored), actions=frozenset({"reboot"}), now=NOW)
    decision = decide(seen, Policy())
    assert decision.status is not None
    found = [(one.status, one.reason) for one in decision.status.conditions if one.type == "Effective"]
    assert found == ([] if said is None else [said])
    assert type(decision.status) is AcceptedStatus
