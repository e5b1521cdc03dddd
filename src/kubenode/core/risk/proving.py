"""What remedies have to prove before more of them begin: that they help, and that their remedier's last ones did.

Asked by core/risk/binding, within one round of grants.
"""

from kubenode.core.health.freeze import lasting
from kubenode.core.model.now import Now
from kubenode.core.model.risk import Cause, RiskLedgerStatus
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.bounds import Bounds
from kubenode.core.risk.refusal import Refusal, freedom
from kubenode.core.risk.success import shut
from kubenode.core.risk.width import Evidence, evidence, narrow

_AUTOMATIC = frozenset({Cause.REMEDY, Cause.DRIFT})
"""What has to prove itself: it begins by itself, and by a rule that may be wrong on every machine at once."""
_REMEDIES = _AUTOMATIC | {Cause.HUMAN}
"""What is counted as a remedy in flight: those that a person forced, too."""


class Proving:
    """The remedies in flight, by remedier, and what those that have ended prove.

    Args:
        status: the ledger after closing what has ended; nobody is known to own what it holds.
    """

    def __init__(self, status: RiskLedgerStatus, bounds: Bounds, now: Now) -> None:
        self._bounds = bounds
        self._now = now
        self._shut = _strictest(bounds, now)
        self._remedies = {hold.op_id: "" for hold in status.holds if hold.cause in _REMEDIES}
        self._evidence: dict[str, tuple[Evidence, ...]] = {}

    def begin(self, ask: Ask) -> None:
        """Count a remedy that is in flight; what is none does not count."""
        if ask.cause in _REMEDIES:
            self._remedies[ask.op_id] = ask.remedier

    def know(self, ask: Ask) -> None:
        """Learn whose remedy an open hold is; one that nobody owns counts for every remedier."""
        if ask.op_id in self._remedies:
            self._remedies[ask.op_id] = ask.remedier

    def success(self, ask: Ask) -> Refusal | None:
        """Remedies that do not help are not tried on more machines; what people roll out is not theirs to judge."""
        return self._shut if ask.cause in _AUTOMATIC else None

    def width(self, ask: Ask) -> Refusal | None:
        """A remedier acts on more machines at once only as its repairs are proven."""
        if ask.cause not in _AUTOMATIC:
            return None
        running = sum(remedier in ("", ask.remedier) for remedier in self._remedies.values())
        found = [
            answer
            for known in self._known(ask.remedier)
            if (answer := narrow(known, ask.remedier, running, self._now)) is not None
        ]
        return max(found, key=freedom, default=None)

    def _known(self, remedier: str) -> tuple[Evidence, ...]:
        if remedier not in self._evidence:
            widths = {policy.spec.repair_width for policy in self._bounds.policies}
            self._evidence[remedier] = tuple(
                evidence(width, remedier, self._bounds.outcomes, self._now)
                for width in sorted(widths, key=lambda width: (width.first, width.window))
            )
        return self._evidence[remedier]


def _strictest(bounds: Bounds, now: Now) -> Refusal | None:
    """Give, of the gates that are shut, the one that opens last."""
    gates = [policy.spec.success_gate for policy in bounds.policies]
    found = [shut(gate, bounds.outcomes, now) for gate in gates if gate is not None]
    answers = [one for one in found if one is not None]
    return max(answers, key=lambda one: lasting(one.note), default=None)
