"""What only rules has no state of its own but this: whether it is understood, and so in force.

A remedier or policy of a newer version, or a ladder whose action no plugin brings, is not in force as its
author meant it. It says so by the condition Accepted, where `kubectl get` shows it. A policy that is in
force but could never act, or limits nothing, says so by the condition Effective; so does a remedier that has limits
of its own or is a dry run.
"""

import enum
from collections.abc import Mapping
from datetime import datetime

import attrs

from kubenode.core.accept.doubts import Doubt, Doubted, doubts, doubts_of_remedier
from kubenode.core.decision import NOTHING_SEEN, Decision
from kubenode.core.model.condition import AcceptedStatus, Claim, Condition, stated
from kubenode.core.model.now import Now, moment
from kubenode.core.model.remedy import NodeRemedier
from kubenode.core.model.risk import RiskPolicy
from kubenode.core.policy import Policy

ACCEPTED = "Accepted"
EFFECTIVE = "Effective"
LIMITS = "Limits"
"""The reason of Effective where there is no doubt."""
DRY_RUN = "DryRun"


class AcceptReason(enum.Enum):
    """Why a ruling object is in force, or is not."""

    IN_FORCE = "InForce"
    NEWER_VERSION = "NewerVersion"
    PLUGIN_MISSING = "PluginMissing"


@attrs.frozen(kw_only=True)
class AcceptSnapshot:
    """One ruling object.

    Attributes:
        actions: the names of the remedy actions that plugins bring.
    """

    ruling: NodeRemedier | RiskPolicy
    actions: frozenset[str] = frozenset()
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def decide(seen: AcceptSnapshot, policy: Policy) -> Decision[AcceptedStatus]:
    """Say whether a ruling object is understood. Has no effect and no deadline.

    A newer version's keeps all else of its status as it is.
    """
    metadata, status = seen.ruling.metadata, accepted(seen.ruling)
    claim = _claim(seen)
    claims = (claim, *_effective(seen.ruling))
    conditions = _said(status, claims, seen.now.wall, metadata.generation)
    if claim.reason == AcceptReason.NEWER_VERSION.value:
        return Decision(status=attrs.evolve(status, conditions=conditions))
    return Decision(status=AcceptedStatus(observed_generation=metadata.generation, conditions=conditions))


def accepted(ruling: NodeRemedier | RiskPolicy) -> AcceptedStatus:
    """Give the part of the status that says whether it is understood; what a dry run would do is not decided here."""
    status = ruling.status
    return AcceptedStatus(observed_generation=status.observed_generation, conditions=status.conditions)


def _claim(seen: AcceptSnapshot) -> Claim:
    ruling = seen.ruling
    if ruling.metadata.unknown:
        effect = "no new permit is given" if isinstance(ruling, RiskPolicy) else "it opens no episode"
        text = f"{ruling.metadata.unknown[0]} is not known to this version, so {effect}; upgrade kubenode, or remove it"
        return Claim.of(ACCEPTED, False, AcceptReason.NEWER_VERSION.value, text)
    missing = sorted(_actions(ruling) - seen.actions)
    if missing:
        known = ", ".join(sorted(seen.actions)) or "none"
        text = f"no plugin brings the action {missing[0]!r}; known: {known}"
        return Claim.of(ACCEPTED, False, AcceptReason.PLUGIN_MISSING.value, text)
    return Claim.of(ACCEPTED, True, AcceptReason.IN_FORCE.value)


def _effective(ruling: NodeRemedier | RiskPolicy) -> tuple[Claim, ...]:
    """Say whether a ruling object does what it is for: to let something happen, and not everything at once."""
    if ruling.metadata.unknown:
        return ()
    if isinstance(ruling, NodeRemedier):
        return _effective_remedier(ruling)
    return (_judged(doubts(ruling)),)


def _effective_remedier(ruling: NodeRemedier) -> tuple[Claim, ...]:
    """Say it of a remedier, where there is more to say of it than that it is in force."""
    if ruling.spec.dry_run:
        text = "it opens no episode; status.dryRun says which it would have opened"
        return (Claim.of(EFFECTIVE, False, DRY_RUN, text),)
    return (_judged(doubts_of_remedier(ruling)),) if ruling.spec.limits else ()


def _judged(found: tuple[Doubted, ...]) -> Claim:
    """Say the gravest doubt, or that there is none."""
    if not found:
        return Claim.of(EFFECTIVE, True, LIMITS)
    first = found[0]
    text = f"{first.problem.where}: {first.problem.what}; {first.problem.fix}"
    return Claim.of(EFFECTIVE, first.doubt is Doubt.FLEET_IS_CLUSTER, first.doubt.value, text)


def _actions(ruling: NodeRemedier | RiskPolicy) -> frozenset[str]:
    return (
        frozenset(rung.action for rung in ruling.spec.ladder)
        if isinstance(ruling, NodeRemedier)
        else frozenset()
    )


def _said(
    status: AcceptedStatus, claims: tuple[Claim, ...], wall: datetime, generation: int
) -> tuple[Condition, ...]:
    said = {claim.type for claim in claims} | {EFFECTIVE}
    others = tuple(one for one in status.conditions if one.type not in said)
    return (*stated(status.conditions, claims, wall=wall, generation=generation), *others)
