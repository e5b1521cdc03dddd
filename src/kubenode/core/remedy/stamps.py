"""Stamps in the place of sightings, for a hand-made snapshot whose `now` is one clock's.

The engine never comes here: stamps are written by many clocks, and it counts from what it has seen itself.
A snapshot made by hand has no past of its own, so what is written in it is all that can be counted from.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from kubenode.core.model.now import Now
from kubenode.core.model.remedy import AttemptState, NodeRemedier, RemedyOperationJob
from kubenode.core.model.world import Node
from kubenode.core.remedy.match import READY, evidence, sighting_key


def stamps(
    remediers: Iterable[NodeRemedier], node: Node | None, job: RemedyOperationJob | None
) -> Mapping[str, int]:
    """Give what the stamps of a Node and of its open episode say, keyed as `decide` keys its sightings.

    Args:
        remediers: those of the policy, in any order.
        node: the Node; None when there is none.
        job: the open episode, or None.

    Returns:
        `Now.elapsed` of a `Now` that was made of a datetime. What has no stamp has no entry.
    """
    found: dict[str, int] = {}
    if node is not None:
        for one in remediers:
            condition = evidence(one.spec.condition, node)
            if condition is not None and condition.last_transition_time is not None:
                found[sighting_key(one, node)] = _elapsed(condition.last_transition_time)
    last = job.status.attempts[-1] if job is not None and job.status.attempts else None
    if last is not None and last.state in (AttemptState.ACTING, AttemptState.VERIFYING):
        found[f"{last.state.value.lower()}:{last.op_id}"] = _elapsed(last.since)
    if job is not None and node is not None:
        clear = _clear_since(job, node)
        if clear is not None:
            proving = last is not None and last.state is AttemptState.VERIFYING
            found[f"clear:{last.op_id if last is not None and proving else job.metadata.uid}"] = clear
    return found


def _clear_since(job: RemedyOperationJob, node: Node) -> int | None:
    """Give since when both Ready and the cause say what they say; the decider looks whether that is well."""
    told = [one for one in node.status.conditions if one.type in (READY, job.spec.cause.type)]
    known = [_elapsed(one.last_transition_time) for one in told if one.last_transition_time is not None]
    return max(known) if known and len(known) == len(told) else None


def _elapsed(stamp: datetime) -> int:
    return Now.at(stamp).elapsed
