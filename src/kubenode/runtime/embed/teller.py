"""What an engine says of its decisions in the log, `kubenode.engine`. Who wants more has a sink."""

import logging

from kubenode.runtime.engine.apply import Act, reaches
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.engine.queue import Key

LOG = logging.getLogger("kubenode.engine")


class Teller:
    """Tells of decisions: those that act, or with an engine that only observes, what would be done."""

    def __init__(self, *, observes: bool) -> None:
        self._observes = observes
        self._would: dict[Key, tuple[Act, ...]] = {}

    def tell(self, decided: Decided) -> None:
        """Tell of one decision; what would be done is told once, until it is something else."""
        event, level = "decided", logging.INFO if decided.acts else logging.DEBUG
        if self._observes and decided.acts:
            event = "would"
            level = logging.DEBUG if self._would.get(decided.key) == decided.acts else logging.INFO
            self._would[decided.key] = decided.acts
        elif self._observes:
            self._would.pop(decided.key, None)
        if LOG.isEnabledFor(level):
            acts = "; ".join(_named(act) for act in decided.acts)
            notes = "; ".join(f"{note.code}: {note.text}" for note in decided.decision.notes)
            LOG.log(level, "event=%s key=%s acts=%r notes=%r", event, decided.key, acts, notes)


def _named(act: Act) -> str:
    where = reaches(act)
    return f"{type(act).__name__} {where.kind} {where.name}"
