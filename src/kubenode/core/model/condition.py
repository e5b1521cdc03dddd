"""Conditions: what is so, why, and since when; in Kubernetes' own form."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeAlias

import attrs

from kubenode.core.model.meta import Items, Message, ObservedGeneration, Reason, Switch, Text

ConditionType: TypeAlias = Annotated[
    str, Text(max=128, min=1, pattern="^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")
]

MESSAGE_LIMIT = 2048
"""Most characters of a message; the rest is cut off."""


@attrs.frozen(kw_only=True)
class Condition:
    """One condition: what is so, why, and since when.

    Attributes:
        type: what it is about, such as Ready.
        reason: why, in one word; each has a page in docs/reference/reasons.
        message: more about it, for people.
        last_transition_time: when `status` last changed; a stamp for people, no deadline is counted from it.
    """

    type: ConditionType
    status: Switch = Switch.TRUE
    reason: Reason
    message: Message = ""
    observed_generation: ObservedGeneration = 0
    last_transition_time: datetime


Conditions: TypeAlias = Annotated[
    tuple[Condition, ...],
    Items(max=32, key=("type",)),
    "what is so, why, and since when; for people and programs",
]


@attrs.frozen(kw_only=True)
class Claim:
    """A condition without its stamp: what a decider says is so now."""

    type: str
    holds: Switch
    reason: str
    message: str = ""

    @classmethod
    def of(cls, type: str, holds: bool, reason: str, message: str = "") -> "Claim":
        """Claim that a condition is True or False."""
        return cls(type=type, holds=Switch.TRUE if holds else Switch.FALSE, reason=reason, message=message)

    @classmethod
    def again(cls, said: Condition) -> "Claim":
        """Claim what a condition says already."""
        return cls(type=said.type, holds=said.status, reason=said.reason, message=said.message)


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    """Give the condition of that type, or None."""
    return next((condition for condition in conditions if condition.type == type), None)


def stated(
    old: tuple[Condition, ...], claims: Iterable[Claim], *, wall: datetime, generation: int
) -> tuple[Condition, ...]:
    """Turn claims into conditions; a stamp moves only when the status does, so that at rest stays at rest.

    Returns:
        In the order of the claims, which is the order people read; conditions of `old` not claimed are dropped, and
        those that say the same are the very same objects.
    """
    before = {condition.type: condition for condition in old}

    def one(claim: Claim) -> Condition:
        known = before.get(claim.type)
        message = claim.message[:MESSAGE_LIMIT]
        if known is None or known.status is not claim.holds:
            since = wall.replace(microsecond=0)
        elif (known.reason, known.message, known.observed_generation) == (claim.reason, message, generation):
            return known
        else:
            since = known.last_transition_time
        return Condition(
            type=claim.type, status=claim.holds, reason=claim.reason, message=message, observed_generation=generation,
            last_transition_time=since,
        )  # fmt: skip

    return tuple(one(claim) for claim in claims)


@attrs.frozen(kw_only=True)
class AcceptedStatus:
    """The status of an object that only rules: whether it is understood, and so in force."""

    observed_generation: ObservedGeneration = 0
    conditions: Conditions = ()
