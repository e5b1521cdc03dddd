"""A node hangs while its zone goes down: decide, and ask why."""

from datetime import UTC, datetime, timedelta

from kubenode import Policy, RemedySnapshot, decide, explain
from kubenode import model as m

now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
hung = m.NodeCondition(
    type="KernelDeadlock", status=m.Switch.TRUE, last_transition_time=now - timedelta(minutes=5)
)
node = m.make_node("n7", zone="b", ready=False, conditions=(hung,))
seen = RemedySnapshot(
    machine=m.make_machine(node, since=now - timedelta(days=9)),
    node=node,
    zones={"b": m.ZoneTally(nodes=10, not_ready=7)},
    now=now,
)
decision = decide(seen, Policy.default())  # Decision[RemedyOperationJobStatus]
assert decision.verdict is m.Verdict.DEFER
assert decision.effects == ()
assert decision.binding is not None
assert decision.binding.text == "zone b: 7 of 10 not ready, limit 5"
assert explain(seen, Policy.default()).counterfactual == "would act if zone b <= 5 (now 7)"
