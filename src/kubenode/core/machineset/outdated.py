"""Machines of an earlier template, and which of them may be deleted because a successor is available.

A machine carries a hash of the template it was made from. One without it was not made by a set that stamps: it was
adopted, and stays. Nothing is replaced unless the strategy asks for it.
"""

import json
from collections.abc import Iterable, Sequence

from kubenode.core.identity import digest
from kubenode.core.instance.intent import user_data
from kubenode.core.machineset.order import Standing, standing, victims
from kubenode.core.model.machine import Machine
from kubenode.core.model.machineset import TEMPLATE_ANNOTATION, MachineSet, MachineTemplate, StrategyType


def stamp(template: MachineTemplate) -> str:
    """Give the hash of a template; the order of its keys does not matter.

    Its fields are named one by one: a field that a later version adds must not change the hash of those that do not
    set it, or an upgrade of kubenode would replace every machine.
    """
    spec = template.spec
    secret, boots = spec.infrastructure.secret_ref, user_data(spec.infrastructure, 0)
    said = (
        template.labels, template.annotations, spec.infrastructure.provider, spec.infrastructure.parameters,
        spec.labels, [(one.key, one.value, one.effect.value) for one in spec.taints], spec.deletion_policy.value,
        *(() if secret is None else ((secret.namespace, secret.name),)),
        *(() if boots is None else ((boots.agent, boots.own),)),
        *((("annotations", spec.annotations),) if spec.annotations else ()),
    )  # fmt: skip
    return digest(json.dumps(said, sort_keys=True, default=dict))


def outdated(owner: MachineSet, machines: Iterable[Machine]) -> tuple[Machine, ...]:
    """Give the machines, not being deleted, that were made from another template than the set's."""
    current = stamp(owner.spec.template)
    return tuple(
        one for one in machines
        if one.metadata.deletion_timestamp is None
        and one.metadata.annotations.get(TEMPLATE_ANNOTATION, current) != current
    )  # fmt: skip


def to_replace(owner: MachineSet, live: Iterable[Machine]) -> tuple[Machine, ...]:
    """Give the machines that the strategy wants replaced, now or later."""
    return () if owner.spec.strategy.type is StrategyType.ON_DELETE else outdated(owner, live)


def replaceable(
    owner: MachineSet, known: Sequence[Machine], live: Sequence[Machine], recorded: frozenset[str]
) -> tuple[Machine, ...]:
    """Choose which outdated machines may be deleted now.

    Args:
        owner: the set.
        known: live machines that this version may delete.
        live: all machines that nobody has asked to delete.
        recorded: uids chosen before and not deleted yet; they come first, if they still may go.

    Returns:
        So many that `replicas - maxUnavailable` machines stay that are available, or that wait for a successor
        themselves; a successor counts only while it is available.
    """
    spec = owner.spec
    if spec.strategy.type is StrategyType.ON_DELETE:
        return ()
    floor = spec.replicas - spec.strategy.max_unavailable
    old = {one.metadata.uid for one in outdated(owner, live)}
    up = {one.metadata.uid for one in live if standing(one) is Standing.AVAILABLE}
    spare = len(up | old) - floor
    spare_up = len(up) - floor
    candidates = [one for one in known if one.metadata.uid in old]
    ordered = victims(candidates, spec.delete_order, len(candidates))
    chosen: list[Machine] = []
    for one in sorted(ordered, key=lambda one: one.metadata.uid not in recorded):
        costs = one.metadata.uid in up
        if len(chosen) < spare and (not costs or spare_up > 0):
            chosen.append(one)
            spare_up -= costs
    return tuple(chosen)
