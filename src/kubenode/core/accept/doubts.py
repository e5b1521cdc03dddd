"""What limits that are well-formed cannot have been meant to say: they never let anything act, or limit nothing.

A policy or remedier of such limits stays in force as written, since to take a limit for none would be to widen it. It is named: by
core/accept as the condition Effective, and before it is applied by `kubenode validate` as a warning.
"""

import enum
from collections.abc import Iterator

import attrs

from kubenode.core.errors import Problem
from kubenode.core.model.remedy import NodeRemedier
from kubenode.core.model.risk import RiskPolicy, RiskPolicySpec, Scope
from kubenode.core.policy import bounds


class Doubt(enum.Enum):
    """What is doubtful, as the reason of the condition Effective; the gravest first."""

    NEVER_ACTS = "NeverActs"
    ALLOWS_EVERYTHING = "AllowsEverything"
    FLEET_IS_CLUSTER = "FleetIsCluster"


@attrs.frozen(kw_only=True)
class Doubted:
    """One doubt, and where in the policy it lies, what it means and what to write instead."""

    doubt: Doubt
    problem: Problem


def doubts(policy: RiskPolicy) -> tuple[Doubted, ...]:
    """Give every doubt about a policy, the gravest first; none about one of a newer version."""
    if policy.metadata.unknown:
        return ()
    return (*_never_acts(policy.spec), *_allows_everything(policy.spec), *_fleets(policy.spec))


def doubts_of_remedier(remedier: NodeRemedier) -> tuple[Doubted, ...]:
    """Give every doubt about the limits that a remedier has of its own; none about one of a newer version."""
    return () if remedier.metadata.unknown else tuple(_never_begins(remedier))


def _never_begins(remedier: NodeRemedier) -> Iterator[Doubted]:
    for place, limit in enumerate(remedier.spec.limits):
        if not limit.max.amount:
            problem = Problem(
                where=f"spec.limits[{place}].max",
                what=f"0 of scope {limit.scope.value}: its jobs are opened, and none ever gets a permit",
                fix="write a number from 1; to see what it would do, write spec.dryRun: true",
            )
            yield Doubted(doubt=Doubt.NEVER_ACTS, problem=problem)


def _never_acts(spec: RiskPolicySpec) -> Iterator[Doubted]:
    for place, limit in enumerate(spec.limits):
        if not limit.max.amount:
            what = (
                "no remedy is ever tried, every episode is handed to a person at once"
                if limit.scope is Scope.NODE
                else f"0 of scope {limit.scope.value}: no permit is ever given there"
            )
            fix = "write a number from 1; to stop for a time, write spec.freeze with a reason"
            problem = Problem(where=f"spec.limits[{place}].max", what=what, fix=fix)
            yield Doubted(doubt=Doubt.NEVER_ACTS, problem=problem)


def _allows_everything(spec: RiskPolicySpec) -> Iterator[Doubted]:
    fleet = [limit for limit in spec.limits if limit.scope is not Scope.NODE]
    fix = "write a limit that binds, as in {scope: zone, window: 1h, max: 2}"
    if fleet and not any(map(bounds, fleet)):
        what = (
            "100% at once is everything, so it limits nothing; the built-in limits hold until a policy limits"
        )
        yield Doubted(doubt=Doubt.ALLOWS_EVERYTHING, problem=Problem(where="spec.limits", what=what, fix=fix))
    elif spec == RiskPolicySpec():
        what = "says nothing, so it limits nothing; the built-in limits hold until a policy limits"
        yield Doubted(doubt=Doubt.ALLOWS_EVERYTHING, problem=Problem(where="spec", what=what, fix=fix))


def _fleets(spec: RiskPolicySpec) -> Iterator[Doubted]:
    places = [f"spec.limits[{i}].scope" for i, limit in enumerate(spec.limits) if limit.scope is Scope.FLEET]
    places += [f"spec.freeze[{i}].scope" for i, one in enumerate(spec.freeze) if one.scope is Scope.FLEET]
    for place in places:
        what = "this version knows one cluster, so fleet is counted and frozen in this cluster alone"
        fix = "apply the policy to every cluster, and divide its limits among them"
        yield Doubted(doubt=Doubt.FLEET_IS_CLUSTER, problem=Problem(where=place, what=what, fix=fix))
