"""Which conditions meet a rule, and which count as clear."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.remedy.match import evidence, is_clear, matches, selecting, sighting_key
from tests.core.remedy.world import HUNG, SECOND, START, machine, node, remedier

T, F, U = m.Switch.TRUE, m.Switch.FALSE, m.Switch.UNKNOWN


@pytest.mark.parametrize(
    ("rule", "hung", "ready", "meets", "clear"),
    [
        (m.ConditionMatch(type=HUNG), T, T, True, False),
        (m.ConditionMatch(type=HUNG), F, T, False, True),
        (m.ConditionMatch(type=HUNG), F, F, False, False),
        (m.ConditionMatch(type=HUNG), F, U, False, False),
        (m.ConditionMatch(type=HUNG), U, T, False, False),
        (m.ConditionMatch(type=HUNG), None, T, False, True),
        (m.ConditionMatch(type=HUNG, reason="TaskHung"), T, T, True, False),
        (m.ConditionMatch(type=HUNG, reason="DiskHung"), T, T, False, False),
        (m.ConditionMatch(type=HUNG, status=F), F, T, True, False),
        (m.ConditionMatch(type=HUNG, status=F), T, T, False, True),
        (m.ConditionMatch(type="Ready", status=F), F, F, True, False),
        (m.ConditionMatch(type="Ready", status=F), F, U, False, False),
        (m.ConditionMatch(type="Ready", status=U), F, U, True, False),
        (m.ConditionMatch(type="Ready", status=U), F, T, False, True),
    ],
)
def test_what_meets_a_rule_and_what_is_clear(
    rule: m.ConditionMatch, hung: m.Switch | None, ready: m.Switch, meets: bool, clear: bool
) -> None:
    """Unknown, and the unhealthy status for another reason, neither meet a rule nor are clear."""
    seen = node(hung, ready)
    assert (evidence(rule, seen) is not None, is_clear(rule, seen)) == (meets, clear)


def test_a_condition_lasts_from_its_first_sighting() -> None:
    """A remembered sighting counts, one ahead of now is cut to now, and a stamp counts for nothing."""
    sick, now = node(T), m.Now(wall=START, elapsed=100 * SECOND)
    key = sighting_key(remedier(), sick)
    since = {
        None: 100 * SECOND,
        40 * SECOND: 40 * SECOND,
        900 * SECOND: 100 * SECOND,
    }
    for remembered, expected in since.items():
        sightings = {} if remembered is None else {key: remembered}
        (match,) = matches((remedier(),), sick, now=now, sightings=sightings)
        assert (match.since, match.due) == (expected, expected + 30 * SECOND)


def test_remediers_select_by_label_and_come_by_name() -> None:
    """A selector that does not fit leaves its remedier out."""
    other = m.Selector(match_labels={"pool": "b"})
    ours = m.Selector(match_labels={"pool": "a"})
    found = selecting((remedier("z"), remedier("b", selector=other), remedier("a", selector=ours)), machine())
    assert [one.metadata.name for one in found] == ["a", "z"]


def test_of_two_conditions_of_one_type_the_order_does_not_matter() -> None:
    """A Node whose list says a type twice gives the same evidence in either order."""
    sick = node(T)
    twice = (*sick.status.conditions, m.NodeCondition(type=HUNG, status=T, reason="A"))
    for conditions in (twice, twice[::-1]):
        seen = attrs.evolve(sick, status=m.NodeStatus(conditions=conditions))
        found = evidence(m.ConditionMatch(type=HUNG, lasting=timedelta(0)), seen)
        assert found is not None
        assert found.reason == "A"
