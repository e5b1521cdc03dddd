"""Which limits an ask is counted against, and over what: those of every RiskPolicy, and its remedier's own.

A remedier's own limits are counted in scopes of their own, `remedier=hung-task` and `remedier=hung-task/zone=b`, which a
permit bears only while its remedier has a limit of that scope (decision 0065). They join the others, so they only narrow.
"""

from collections.abc import Iterable, Iterator, Mapping

import attrs

from kubenode.core.model.remedy import NodeRemedier
from kubenode.core.model.risk import Limit, RiskPolicy, Scope
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.ledger import CLUSTER, scope_text


@attrs.frozen(kw_only=True)
class Counted:
    """One limit as it binds one ask.

    Attributes:
        scope: what it is counted over, as the ledger spells it.
        place: whose machines a percentage is of; the same but for a remedier's own limits.
    """

    limit: Limit
    scope: str
    place: str


def counted(ask: Ask, policies: Iterable[RiskPolicy], own: Mapping[str, NodeRemedier]) -> Iterator[Counted]:
    """Give every limit that binds an ask, once for each scope it is counted over.

    Args:
        ask: what waits, or is under way.
        policies: every one of them must allow.
        own: the remediers by name; that of the ask must allow, too.
    """
    places = _places(ask)
    for policy in policies:
        for limit in policy.spec.limits:
            for place in places[limit.scope]:
                yield Counted(limit=limit, scope=place, place=place)
    remedier = own.get(ask.remedier)
    for limit in () if remedier is None else remedier.spec.limits:
        for place in places[limit.scope]:
            yield Counted(limit=limit, scope=own_scope(ask.remedier, place), place=place)


def scopes(ask: Ask, own: Mapping[str, NodeRemedier]) -> tuple[str, ...]:
    """Give the scopes that the permit of an ask counts in: its machine's, and those of its remedier's own limits."""
    return (*ask.scopes, *own_scopes(ask, own))


def own_scopes(ask: Ask, own: Mapping[str, NodeRemedier]) -> tuple[str, ...]:
    """Give the scopes of the limits that the remedier of an ask has of its own, each once."""
    return tuple(dict.fromkeys(one.scope for one in counted(ask, (), own)))


def own_scope(remedier: str, place: str) -> str:
    """Spell what a remedier's own limit is counted over.

    >>> own_scope("hung-task", "cluster"), own_scope("hung-task", "zone=b")
    ('remedier=hung-task', 'remedier=hung-task/zone=b')
    """
    whole = f"remedier={remedier}"
    return whole if place == CLUSTER else f"{whole}/{place}"


def named(scope: str) -> str:
    """Spell a scope of the ledger for people.

    >>> named("zone=b"), named("cluster"), named("remedier=hung-task/zone=b")
    ('zone b', 'cluster', 'remedier hung-task, zone b')
    """
    return ", ".join(part.replace("=", " ", 1) for part in scope.split("/"))


def _places(ask: Ask) -> Mapping[Scope, tuple[str, ...]]:
    return {
        Scope.NODE: (),  # core/remedy: what one node has been through stands in its own jobs
        Scope.FLEET: (CLUSTER,),
        Scope.CLUSTER: (CLUSTER,),
        Scope.REGION: (scope_text(Scope.REGION, ask.region),),
        Scope.ZONE: (scope_text(Scope.ZONE, ask.zone),),
        Scope.SET: tuple(scope_text(Scope.SET, name) for name in sorted(set(ask.sets))),
    }
