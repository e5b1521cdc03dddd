"""What must be true of a run: judged from the store's objects over time and the hosts' truth.

Written from the requirement, not from the deciders: no function of `kubenode.core` that decides is
called here, so that a fault there cannot hide itself.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import accumulate, pairwise

import attrs

from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import BUILT_IN
from kubenode.core.step import Step
from kubenode.runtime.sim.host import SimHost, Span
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.witness import Permit, Witness


@attrs.frozen(kw_only=True)
class Check:
    """One thing that must be true; `found` says what was, when it is not."""

    name: str
    passed: bool
    found: str = ""


def all_of(name: str, wrong: Iterable[str]) -> Check:
    """Pass when nothing is wrong; else tell of the first three."""
    listed = list(wrong)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return Check(name=name, passed=not listed, found="; ".join(listed[:3]) + more)


REPAIRS_AN_HOUR = 3
HOUR = 3_600_000_000_000


def permitted(simulation: Simulation, witness: Witness) -> Check:
    """Every disruptive act on a machine that has been Running had its own open permit.

    A repair needs none: the same steps, of class restart, had a permit before on that machine, and there
    are at most three in any hour. That a call ends a machine's instance is such an act, by the cloud's truth.
    """

    def wrong() -> Iterable[str]:
        uids = {raw["metadata"]["name"]: raw["metadata"]["uid"] for raw in simulation.objects(m.Machine)}
        permits: dict[str, list[Permit]] = {}
        for permit in witness.permits.values():
            permits.setdefault(permit.hold.machine, []).append(permit)
        for host in simulation.hosts.values():
            mine = permits.get(host.spec.machine, [])
            first = witness.first_running.get(uids.get(host.spec.machine, ""), 2**62)
            yield from _unpermitted(
                host, [span for span in host.spans if span.disruptive and first <= span.began], mine
            )
        yield from _unpermitted_terminations(simulation, witness)

    return all_of("no disruptive act without a permit", wrong())


def _unpermitted_terminations(simulation: Simulation, witness: Witness) -> Iterable[str]:
    """Whether there was a permit is judged at the call, since in the same instant it may come after it."""
    for one in simulation.cloud.terminations:
        if witness.first_running.get(one.machine_uid, 2**62) <= one.at and not one.held:
            yield f"{one.machine}: {one.instance} was terminated at +{_seconds(one.at)} without a permit"


def _unpermitted(host: SimHost, spans: list[Span], permits: list[Permit]) -> Iterable[str]:
    known: list[tuple[Step, ...]] = []
    repairs: list[int] = []
    for span in spans:
        if any(_covers(permit, span.began) for permit in permits):
            known.append(span.steps)
            continue
        repairs.append(span.began)
        if span.disruption is not m.Disruption.RESTART or span.steps not in known:
            yield f"{host.spec.machine} was acted on at +{_seconds(span.began)} without a permit"
        elif sum(span.began - other < HOUR for other in repairs) > REPAIRS_AN_HOUR:
            yield f"{host.spec.machine} was repaired more than {REPAIRS_AN_HOUR} times an hour at +{_seconds(span.began)}"


def _covers(permit: Permit, at: int) -> bool:
    return permit.opened <= at and (permit.closed is None or permit.closed >= at)


def limits_kept(policies: Sequence[m.RiskPolicy], witness: Witness, sizes: Callable[[str], int]) -> Check:
    """No limit was ever exceeded: neither starts in any window nor what was in flight, in true time.

    What a person forces is never refused, so it may exceed; it counts against all that begins after it. Of
    scope node only remedies count; of scope fleet the cluster, which is all there is of it.

    Args:
        policies: as the user wrote them; none means the built-in one.
        witness: the ledger over time.
        sizes: machines that should be up, by scope text, for percentages.
    """

    def wrong() -> Iterable[str]:
        for policy in policies or (BUILT_IN,):
            for limit in policy.spec.limits:
                for scope, permits in _by_scope(limit.scope, witness).items():
                    most = max(1, limit.max.scaled(sizes(scope))) if limit.max.percent else limit.max.amount
                    peak = _worst(permits, limit.window)
                    if peak > most:
                        window = f"in {limit.window}" if limit.window is not None else "in flight"
                        yield f"{policy.metadata.name}: {scope}: {peak} {window}, limit {most}"

    return all_of("no limit exceeded", wrong())


def _by_scope(scope: m.Scope, witness: Witness) -> dict[str, list[Permit]]:
    counted = m.Scope.CLUSTER if scope is m.Scope.FLEET else scope
    found: dict[str, list[Permit]] = {}
    for permit in witness.permits.values():
        if scope is m.Scope.NODE:
            if permit.hold.cause in (m.Cause.REMEDY, m.Cause.DRIFT, m.Cause.HUMAN):
                found.setdefault(f"node={permit.hold.machine}", []).append(permit)
            continue
        for text in permit.hold.scopes:
            if text == counted.value or text.startswith(f"{counted.value}="):
                found.setdefault(text, []).append(permit)
    return found


def _worst(permits: list[Permit], window: timedelta | None) -> int:
    """Give how many there were, at most, when one began that nobody forced.

    A start counts in (t - window, t]; without a window it counts while it is open.
    """
    length = None if window is None else nanoseconds(window)
    ends = (one.closed if length is None else one.opened + length for one in permits)
    begun, ended = sorted(one.opened for one in permits), sorted(end for end in ends if end is not None)
    return max(
        (
            bisect_right(begun, one.opened) - bisect_right(ended, one.opened)
            for one in permits
            if one.hold.cause is not m.Cause.HUMAN
        ),
        default=0,
    )


def at_once(spans: Iterable[tuple[int, int | None]]) -> int:
    """Give the most spans that are open at any time; each from its beginning until before its end, None: for ever."""
    edges: list[tuple[int, int]] = []
    for began, ended in spans:
        if ended is None or ended > began:
            edges.append((began, 1))
            edges += [] if ended is None else [(ended, -1)]
    return max(accumulate(step for _, step in sorted(edges)), default=0)


def one_at_a_time(simulation: Simulation) -> Check:
    """No machine had two acts under way at once."""

    def wrong() -> Iterable[str]:
        for host in simulation.hosts.values():
            spans = sorted(host.spans, key=lambda span: span.began)
            for before, after in pairwise(spans):
                if before.ended is None or before.ended > after.began:
                    yield f"{host.spec.machine} had two acts at +{_seconds(after.began)}"

    return all_of("one act a machine at a time", wrong())


def done_once(simulation: Simulation) -> Check:
    """No op-id was run twice on a host, nor asked for again: the host's journal must not hide that."""

    def wrong() -> Iterable[str]:
        for host in simulation.hosts.values():
            ids = Counter([*(span.op_id for span in host.spans), *host.repeats])
            twice = sorted(op_id for op_id, times in ids.items() if times > 1)
            yield from (f"{host.spec.machine} was asked to run {op_id} twice" for op_id in twice)

    return all_of("no act done twice", wrong())


def _seconds(elapsed: int) -> str:
    return f"{elapsed / 1e9:.0f}s"
