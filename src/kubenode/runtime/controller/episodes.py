"""The episodes of remedy as others ask for them: an index, folded from single changes, so that no decision goes through all."""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.core.risk.asks import asks_of_job, ended_of_job
from kubenode.core.risk.success import Outcome, outcomes_of_job
from kubenode.runtime.store.cache import Change


class Episodes:
    """RemedyOperationJobs by machine; those that ask for a permit or hold one; what has ended, and how."""

    def __init__(self) -> None:
        self._by_machine: dict[str, dict[str, m.RemedyOperationJob]] = {}
        self._asking: dict[str, m.RemedyOperationJob] = {}
        self._ended: dict[str, int] = {}
        self._outcomes: dict[str, tuple[Outcome, ...]] = {}
        self._told: tuple[Outcome, ...] | None = ()

    def of(self, machine_uid: str) -> tuple[m.RemedyOperationJob, ...]:
        """Give all episodes of a machine, by name."""
        return tuple(job for _, job in sorted(self._by_machine.get(machine_uid, {}).items()))

    def asking(self) -> tuple[m.RemedyOperationJob, ...]:
        """Give the episodes whose last attempt asks for a permit or holds one, by name."""
        return tuple(job for _, job in sorted(self._asking.items()))

    def ended(self, op_ids: Iterable[str]) -> frozenset[str]:
        """Give those of some op-ids that an episode records as ended."""
        return frozenset(op_id for op_id in op_ids if op_id in self._ended)

    def outcomes(self) -> tuple[Outcome, ...]:
        """Give all remedies that have ended, in any order; the same object until there is another."""
        if self._told is None:
            self._told = tuple(one for outcomes in self._outcomes.values() for one in outcomes)
        return self._told

    def fold(self, change: Change) -> None:
        """Fold one change of one episode."""
        if isinstance(change.before, m.RemedyOperationJob):
            self._move(change.before, -1)
        if isinstance(change.after, m.RemedyOperationJob):
            self._move(change.after, +1)
        self._judge(change.name, change.after if isinstance(change.after, m.RemedyOperationJob) else None)

    def _move(self, job: m.RemedyOperationJob, sign: int) -> None:
        known = self._by_machine.setdefault(job.spec.machine.uid, {})
        if sign > 0:
            known[job.metadata.name] = job
        else:
            known.pop(job.metadata.name, None)
        if not known:
            del self._by_machine[job.spec.machine.uid]
        for op_id in ended_of_job(job):
            times = self._ended.get(op_id, 0) + sign
            if times:
                self._ended[op_id] = times
            else:
                self._ended.pop(op_id, None)

    def _judge(self, name: str, job: m.RemedyOperationJob | None) -> None:
        if job is not None and asks_of_job(job, "", ()):
            self._asking[name] = job
        else:
            self._asking.pop(name, None)
        outcomes = () if job is None else outcomes_of_job(job)
        if outcomes != self._outcomes.get(name, ()):
            self._told = None
            if outcomes:
                self._outcomes[name] = outcomes
            else:
                self._outcomes.pop(name, None)
