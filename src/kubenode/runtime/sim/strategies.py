"""Hypothesis strategies of scenarios and policies; they shrink to few zones, few nodes, few faults, at once.

A module of its own, since Hypothesis is an extra: a program that only simulates does not need it.
"""

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("kubenode.strategies needs hypothesis: pip install 'kubenode[notebook]'") from error

from datetime import timedelta

from kubenode.core import model as m
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.policy import Policy
from kubenode.runtime.sim.scenario import FAULTS, OUTAGE, Fault, Scenario


@st.composite
def scenarios(draw: st.DrawFn, *, max_zones: int = 3, max_nodes: int = 60, max_faults: int = 6) -> Scenario:
    """Draw a scenario: from 1 zone of 1 node, with 0 to `max_faults` faults at one or two moments of ten minutes."""
    counts = draw(st.lists(st.integers(1, max(1, max_nodes // max_zones)), min_size=1, max_size=max_zones))
    zones = {chr(97 + index): count for index, count in enumerate(counts)}
    machines = [f"{zone}{number}" for zone, count in zones.items() for number in range(count)]
    # Limits matter where faults come together, so they come at one or two moments and not anywhere.
    moments = draw(st.lists(st.integers(0, 600), min_size=1, max_size=2, unique=True))
    kinds = st.sampled_from(list(FAULTS))
    faults = kinds.flatmap(
        lambda kind: st.builds(
            Fault,
            st.sampled_from(list(zones) if kind == OUTAGE else machines),
            st.just(kind),
            st.sampled_from(moments),
        )
    )
    drawn: list[Fault] = draw(st.lists(faults, max_size=max_faults, unique_by=lambda fault: fault.target))
    return Scenario(zones=zones, faults=tuple(drawn), seed=draw(st.integers(0, 99)))


@st.composite
def policies(draw: st.DrawFn, *, base: Policy = Policy()) -> Policy:  # noqa: B008 - frozen
    """Draw limits for the rules of `base`: from one machine at a time for all, up to lax ones."""
    limits = st.builds(
        m.Limit,
        scope=st.sampled_from([m.Scope.CLUSTER, m.Scope.ZONE]),
        max=st.builds(IntOrPercent, st.integers(1, 10)),
        window=st.one_of(st.none(), st.sampled_from([timedelta(hours=1), timedelta(hours=24)])),
    )
    drawn = draw(st.lists(limits, min_size=1, max_size=3))
    risk = m.RiskPolicy(metadata=m.ObjectMeta(name="drawn"), spec=m.RiskPolicySpec(limits=tuple(drawn)))
    return Policy(remediers=base.remediers, risk=(risk,))
