"""What one decision about a host may depend on. `decide.py` is given a `NodeSnapshot`; `entry.py` reads it."""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.journal import JournalEntry
from kubenode.core.host.plan import is_at_target
from kubenode.core.model.component import MachineComponent
from kubenode.core.model.condition import Condition
from kubenode.core.model.entry import ComponentEntry
from kubenode.core.model.machine import AgentStatus, Machine
from kubenode.core.model.now import Now, moment
from kubenode.core.step import Step


@attrs.frozen(kw_only=True)
class HostSeen:
    """What the agent knows of its host without asking anybody.

    Attributes:
        address: its own; empty while it has none. Of an imported host `spec.host.address` goes before it.
        conditions: what the detector found.
        journal: by op-id; what was begun here, in whichever boot.
        withheld: why nothing can be begun here, with what to do about it; empty while something can.
    """

    boot_id: str
    node_name: str
    agent_version: str
    address: str = ""
    conditions: tuple[Condition, ...] = ()
    journal: Mapping[str, JournalEntry] = attrs.field(factory=dict)
    withheld: str = ""


@attrs.frozen(kw_only=True)
class NodeSnapshot:
    """One machine as its agent sees it.

    Attributes:
        components: by their own names, those that entries name and that are there.
        have: by the name of the entry; what its driver found, judged against what the entry wants, and what its
            probes make of that.
        failing: by the name of the entry; which of its probes fails and how. No entry where none does.
        plans: by the name of the entry; the driver's steps, or why there are none: a Problem whose `what`
            begins with its reason, as in `PluginMissing: no such driver`.
        afresh: by the name of the entry, for those that the operation reinstalls: the driver's steps that bring what
            was last found whole onto a host without it; or why there are none.
        inspect: after how long the host is looked at though no change was noticed, nanoseconds; 0: never, where every
            change is noticed.
    """

    machine: Machine
    components: Mapping[str, MachineComponent] = attrs.field(factory=dict)
    have: Mapping[str, Have] = attrs.field(factory=dict)
    failing: Mapping[str, str] = attrs.field(factory=dict)
    plans: Mapping[str, tuple[Step, ...] | Problem] = attrs.field(factory=dict)
    afresh: Mapping[str, tuple[Step, ...] | Problem] = attrs.field(factory=dict)
    host: HostSeen
    inspect: int = 0
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN

    @property
    def before(self) -> AgentStatus:
        """What the agent reported last."""
        return self.machine.status.agent or AgentStatus()

    def is_at_target(self, name: str) -> bool:
        """Tell whether an entry is as it should be, as the host looks now; no while that is not known or not understood."""
        wanted, have = self.wanted(name), self.have.get(name)
        return wanted is not None and have is not None and is_at_target(*wanted, have)

    def wanted(self, name: str) -> tuple[ComponentEntry, MachineComponent] | None:
        """Give an entry and its component; None where one is missing, or the component is not understood."""
        entry = self.machine.spec.components.get(name)
        if entry is None:
            return None
        component = self.components.get(entry.component)
        return None if component is None or component.metadata.unknown else (entry, component)

    @property
    def running(self) -> str:
        """The op-id whose steps run now; empty when none do. Of several the first by name."""
        return min(
            (op for op, one in self.host.journal.items() if one.is_running(self.host.boot_id)), default=""
        )
