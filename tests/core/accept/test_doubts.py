"""What is doubted of a policy, and what is said and kept of one that is not understood."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.accept.decide import AcceptSnapshot, decide
from kubenode.core.accept.doubts import Doubt, doubts
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
