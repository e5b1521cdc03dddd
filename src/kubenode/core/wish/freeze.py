"""The freeze switch: a person's word that nothing new begins in a scope, and the word that takes it away.

Freezes of the command line stand in a RiskPolicy of their own, which limits nothing: so nobody's file is changed by
them, and what a file says elsewhere is not narrowed by defaults beside them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.health.freeze import WHOLE, aware, spelled
from kubenode.core.model.machineset import MachineSet
from kubenode.core.model.meta import Json, ObjectMeta, Ref, ref
from kubenode.core.model.risk import (
    Freeze,
    RepairWidth,
    RiskPolicy,
    RiskPolicySpec,
    Scope,
    ZoneBreaker,
)
from kubenode.core.wish.wish import Unwished, Wish, swapped

POLICY = "kubenode-freeze"
"""The RiskPolicy that holds the freezes of the command line."""
MOST = 32
_LAX = RiskPolicySpec(
    zone_breaker=ZoneBreaker(not_ready_percent=100, min_not_ready=10_000, cooldown=timedelta(0)),
    repair_width=RepairWidth(first=10_000),
)
"""A policy under which everything is allowed."""


def parse_scope(text: str) -> tuple[Scope, str]:
    """Read `zone=b`, `node=n7`, `set=kubelet`, `region=eu`, `cluster` or `fleet`.

    Raises:
        InvalidObjectError: it is none of them.

    >>> parse_scope("zone=b"), parse_scope("cluster")
    ((<Scope.ZONE: 'zone'>, 'b'), (<Scope.CLUSTER: 'cluster'>, ''))
    """
    word, equals, name = text.partition("=")
    named = word not in [scope.value for scope in WHOLE]
    labelled = word in (Scope.ZONE.value, Scope.REGION.value)
    if (
        word not in [scope.value for scope in Scope]
        or bool(equals) != named
        or (named and not name and not labelled)
    ):
        fix = "zone=b, region=eu, set=kubelet, node=n7, cluster or fleet"
        raise InvalidObjectError((Problem(where="--scope", what=f"{text!r} is no scope", fix=fix),))
    return Scope(word), name


def freeze(raw: Json | None, scope: Scope, name: str, reason: str, until: datetime | None, now: datetime) -> Wish:  # fmt: skip
    """Let nothing new begin in a scope. What was frozen there by this switch before is replaced; what has ended goes.

    Args:
        raw: the RiskPolicy `POLICY`; None when there is none.
        scope: in which.
        name: of it.
        reason: why, for those who wonder.
        until: when it ends by itself; None when a person is to end it.
        now: the moment.

    Raises:
        Unwished: the policy has no room.
    """
    one = Freeze(scope=scope, name=name, until=until, reason=reason)
    did = f"{spelled(one)} frozen " + (
        "until a person ends it" if until is None else f"until {aware(until).isoformat(timespec='seconds')}"
    )
    then = "nothing new begins there from the next decision on; what runs goes on to its end"
    if raw is None:
        policy = RiskPolicy(metadata=ObjectMeta(name=POLICY), spec=attrs.evolve(_LAX, freeze=(one,)))
        where = Ref(kind=RiskPolicy.KIND.name, name=POLICY)
        return Wish(object=where, made=wire.dump(policy), did=did, next=then)
    policy = wire.read(raw, RiskPolicy)
    kept = tuple(
        each for each in policy.spec.freeze
        if spelled(each) != spelled(one) and (each.until is None or aware(each.until) > now)
    )  # fmt: skip
    if len(kept) >= MOST:
        what = f"has {len(kept)} freezes, which is the most"
        raise Unwished(f"RiskPolicy {POLICY}", what, "freeze a wider scope, or kubenode unfreeze one of them")
    return Wish(object=ref(policy), operations=_kept(raw, (*kept, one)), did=did, next=then)


def unfreeze(policies: Iterable[Json], scope: Scope, name: str) -> tuple[Wish, ...]:
    """Take the freezes of a scope away, from every policy that has one; wider and narrower ones stay.

    Returns:
        One wish a policy.
    """
    text = scope.value if scope in WHOLE else f"{scope.value} {name or '(no label)'}"
    wishes: list[Wish] = []
    for raw in policies:
        policy = wire.read(raw, RiskPolicy)
        kept = tuple(one for one in policy.spec.freeze if (one.scope, one.name) != (scope, name))
        if kept != policy.spec.freeze:
            wishes.append(
                Wish(
                    object=ref(policy), operations=_kept(raw, kept), did=f"{text} no longer frozen by RiskPolicy {policy.metadata.name}",
                    next="what waits there begins again as limits and permits allow",
                )
            )  # fmt: skip
    return tuple(wishes)


def acknowledge(raw: Json) -> Wish | None:
    """Let a MachineSet go on after a mass delete; None when it has lost no more than is acknowledged."""
    owner = wire.read(raw, MachineSet)
    lost, known = owner.status.lost, owner.spec.acknowledged_losses
    if lost <= known:
        return None
    return Wish(
        object=ref(owner), operations=swapped(raw, ("spec", "acknowledgedLosses"), lost),
        did=f"{lost - known} lost machines of MachineSet {owner.metadata.name} acknowledged",
        next="it makes and deletes machines again",
    )  # fmt: skip


def _kept(raw: Json, freezes: tuple[Freeze, ...]) -> tuple[Mapping[str, Any], ...]:
    return swapped(raw, ("spec", "freeze"), [wire.dump_part(one) for one in freezes])


def scopes_of(policies: Iterable[Json]) -> tuple[str, ...]:
    """Give the scopes that some policies freeze, as the command line takes them; what has ended is among them."""
    found = (one for raw in policies for one in wire.read(raw, RiskPolicy).spec.freeze)
    return tuple(sorted({_parsed(one) for one in found}))


def _parsed(one: Freeze) -> str:
    """Spell a scope as `parse_scope` reads it; `zone=` is that of Nodes without the label."""
    return one.scope.value if one.scope in WHOLE else f"{one.scope.value}={one.name}"
