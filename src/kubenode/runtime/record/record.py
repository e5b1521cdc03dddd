"""A Record: one decision of an engine, with all that it depended on."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias

import attrs

from kubenode.core.decision import Decision, Verdict
from kubenode.core.model import Now
from kubenode.core.policy import Policy
from kubenode.runtime.engine.apply import Act
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.record.coding import encoded, text_of
from kubenode.runtime.record.deciders import worded


@attrs.frozen(kw_only=True, slots=False)
class Record:
    """One decision, as a sink is given it.

    Attributes:
        now: the moment of the decision, on both readings.
        controller: who decided, as in `risk`.
        key: about which object, by its name; of `accept`, as `Kind/name`.
        snapshot: all that was known; its class says of which decider.
        policy: the rules and limits that stood then.
        decision: what was decided, and why.
        acts: what was then asked of the API or the host, in order; in an engine that only observes, what would have been.
    """

    now: Now
    controller: str
    key: str
    snapshot: Any = attrs.field(repr=False)
    policy: Policy = attrs.field(repr=False)
    decision: Decision[Any]
    acts: tuple[Act, ...] = ()

    @classmethod
    def of(cls, decided: Decided) -> "Record":
        """Make the record of what an engine decided."""
        return cls(
            now=decided.now, controller=decided.key.controller, key=decided.key.name,
            snapshot=decided.question.snapshot, policy=decided.policy, decision=decided.decision, acts=decided.acts,
        )  # fmt: skip

    @cached_property
    def verdict(self) -> Verdict:
        """The decision in one word."""
        return worded(self.snapshot, self.decision).verdict

    def to_json(self) -> str:
        """Give it as one line of JSON, without the policy: `wall`, `elapsed`, `controller`, `key`, `verdict`, `snapshot`, `decision`, `acts`."""
        return text_of({
            "wall": self.now.wall.isoformat(), "elapsed": self.now.elapsed, "controller": self.controller, "key": self.key,
            "verdict": self.verdict.value, "snapshot": encoded(self.snapshot), "decision": encoded(self.decision),
            "acts": encoded(self.acts),
        })  # fmt: skip


Sink: TypeAlias = Callable[[Record], None]
"""Is given every decision of an engine, in order, one at a time, in a thread of its own."""
