"""One decision as sinks are given it: what was seen, what was decided, what will be done."""

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.runtime.engine.apply import Act
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.record import codec
from kubenode.runtime.record.text import text


@attrs.frozen(kw_only=True)
class Record:
    """One decision of an engine.

    Attributes:
        now: when it was decided.
        controller: whose decision it is, as in `remedy`.
        key: of what, by the controller's own naming: a machine, a set, `RiskPolicy/zones`.
        snapshot: all that was seen; `kubenode.explain` takes it.
        policy: under which it was decided; equal policies of one engine are one object.
        decision: the answer.
        acts: what the engine does for it, in order: the write of the status where that differs, then the effects.
    """

    now: m.Now
    controller: str
    key: str
    snapshot: Any
    policy: Policy = attrs.field(repr=False)
    decision: Decision[Any]
    acts: tuple[Act, ...] = ()

    def to_json(self) -> str:
        """Write it as one line of JSON, without the policy, which is the same for most decisions."""
        word = codec.word_of(self.snapshot)
        snapshot, decision = codec.SNAPSHOTS[word]
        return text({
            "now": codec.write(self.now, m.Now), "controller": self.controller, "key": self.key, "kind": word,
            "snapshot": codec.write(self.snapshot, snapshot), "decision": codec.write(self.decision, decision),
            "acts": codec.write(self.acts, tuple[Act, ...]),
        })  # fmt: skip

    @classmethod
    def read(cls, raw: m.Json, policy: Policy) -> "Record":
        """Read what `to_json` wrote, given the policy that it leaves out.

        Raises:
            Exception: it is not as `to_json` writes it.
        """
        snapshot, decision = codec.SNAPSHOTS[raw["kind"]]
        return cls(
            now=codec.read(raw["now"], m.Now), controller=codec.read(raw["controller"], str),
            key=codec.read(raw["key"], str), snapshot=codec.read(raw["snapshot"], snapshot), policy=policy,
            decision=codec.read(raw["decision"], decision), acts=codec.read(raw["acts"], tuple[Act, ...]),
        )  # fmt: skip


Sink: TypeAlias = Callable[[Record], None]
"""Is given every decision, in order, before anything is done for it. It is called by the engine: it must not block."""


def recorded(decided: Decided) -> Record:
    """Make the record of what an engine decided."""
    return Record(
        now=decided.now, controller=decided.key.controller, key=decided.key.name, snapshot=decided.question.snapshot,
        policy=decided.policy, decision=decided.decision, acts=decided.acts,
    )  # fmt: skip
