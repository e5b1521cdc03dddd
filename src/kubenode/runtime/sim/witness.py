"""The witness: what the store showed over time, seen by nobody's decider.

It watches the store's objects itself and keeps when holds opened and closed, which phases sets and
machines went through, and which episodes there were. Stories are judged by it, by the final objects and
by the hosts' own truth; never by what a decider said.
"""

from collections.abc import Iterable

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.contract import EventType
from kubenode.runtime.store.embedded import now_or_never

WITNESSED: tuple[type[m.Object], ...] = (m.Machine, m.MachineComponentSet, m.RemedyOperationJob, m.RiskLedger)


@attrs.define(kw_only=True)
class Permit:
    """A hold as the ledger showed it; `closed` is None while it is open."""

    hold: m.Hold
    opened: int
    closed: int | None = None


@attrs.frozen(kw_only=True)
class Moment:
    """An object entered a phase."""

    at: int
    name: str
    phase: str


class Witness:
    """Follows the store from the moment it is made."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.permits: dict[str, Permit] = {}
        self._open: dict[str, Permit] = {}
        self.sets: list[Moment] = []
        self.first_running: dict[str, int] = {}
        self.jobs: dict[str, int] = {}
        store = simulation.store
        self._watches = {
            kind: now_or_never(
                store.watch(kind.KIND, resource_version=now_or_never(store.find(kind.KIND)).resource_version)
            )
            for kind in WITNESSED
        }
        simulation.watch(self.look)

    def look(self) -> None:
        """Note what has come since the last look."""
        at = self._simulation.time.elapsed
        for kind, watch in self._watches.items():
            for event in watch.drain():
                if event.type is not EventType.DELETED:
                    self._note(wire.read(event.object, kind), at)

    def _note(self, obj: m.Object, at: int) -> None:
        match obj:
            case m.RiskLedger():
                self._ledger(obj.status.holds, at)
            case m.MachineComponentSet() if obj.status.phase:
                last = next((one for one in reversed(self.sets) if one.name == obj.metadata.name), None)
                if last is None or last.phase != obj.status.phase:
                    self.sets.append(Moment(at=at, name=obj.metadata.name, phase=obj.status.phase))
            case m.Machine() if obj.status.first_running is not None:
                self.first_running.setdefault(obj.metadata.uid, at)
            case m.RemedyOperationJob():
                self.jobs.setdefault(obj.metadata.name, at)
            case _:
                pass

    def _ledger(self, holds: Iterable[m.Hold], at: int) -> None:
        now = {hold.op_id: hold for hold in holds}
        for op_id in self._open.keys() - now.keys():
            self._open.pop(op_id).closed = at
        for op_id, hold in now.items():
            if op_id not in self.permits:
                self.permits[op_id] = self._open[op_id] = Permit(hold=hold, opened=at)
