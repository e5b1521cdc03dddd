"""A tiny world around core/remedy/repair: one machine whose components drift, a ledger that grants, an agent that repairs or not."""

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.core.remedy.ladder import open_repair
from kubenode.core.remedy.repair import LADDER, SETTLE, RepairSnapshot, decide
from tests.core.remedy.world import SECOND, START, World, machine, node

LASTED = int(SETTLE.total_seconds()) * SECOND
DWELL = LADDER.spec.verification.dwell.total_seconds()
WELL = m.ComponentReport(
    component="net-1", revision="3", version="1", config=m.ConfigState.CURRENT, state=m.Running.RUNNING
)
SPOILT = attrs.evolve(WELL, config=m.ConfigState.DRIFTED, drifting=True, drifted_at=START)
FREEZE = m.Freeze(scope=m.Scope.ZONE, name="b", reason="power")
FROZEN = Policy(
    risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=m.RiskPolicySpec(freeze=(FREEZE,))),)
)


def component(name: str, disruption: m.Disruption) -> m.MachineComponent:
    """Make a MachineComponent of a class."""
    return m.MachineComponent(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=m.MachineComponentSpec(version="1", driver="file", disruption=disruption),
    )


def entry(name: str = "net-1", **changes: object) -> m.ComponentEntry:
    """Make an entry that wants that component."""
    return attrs.evolve(m.ComponentEntry(set="all", component=name, revision="3"), **changes)


@attrs.define(kw_only=True)
class Drifting(World):
    """The world of remedies, in which components drift instead of Nodes that are sick."""

    policy: Policy = attrs.field(factory=Policy)
    node: m.Node | None = attrs.field(factory=node)
    disruption: m.Disruption = m.Disruption.REBOOT
    heals: frozenset[str] = frozenset({"repair"})
    drain: m.DrainState | None = m.DrainState.DRAINED
    """How far the machine controller is with the drain of whoever has a permit."""

    @classmethod
    def of(cls, *names: str, **more: object) -> "Drifting":
        """Make a machine on which these components were just seen to drift for long enough."""
        world = cls(machine=machine(components={name: entry() for name in names or ("net",)}), **more)  # type: ignore[arg-type]
        world.report(**dict.fromkeys(names or ("net",), SPOILT))
        world.sightings = {f"drifting:{name}:3": world.elapsed - LASTED for name in names or ("net",)}
        return world

    def drift(self, seconds: float) -> None:
        """Let the component drift anew, and so much time pass after it was seen for long enough."""
        self.report(net=SPOILT)
        self.run(seconds + SETTLE.total_seconds())

    def report(self, **reports: m.ComponentReport) -> None:
        """Let the agent report."""
        agent = self.machine.status.agent or m.AgentStatus()
        agent = attrs.evolve(agent, components={**agent.components, **reports})
        self.machine = attrs.evolve(self.machine, status=attrs.evolve(self.machine.status, agent=agent))

    def entries(self, **entries: m.ComponentEntry) -> None:
        """Let the controllers write entries."""
        spec = attrs.evolve(self.machine.spec, components={**self.machine.spec.components, **entries})
        self.machine = attrs.evolve(self.machine, spec=spec)

    def heal(self) -> None:
        """Let a repair help: of the component that the operation names."""
        operation = self.machine.spec.operation
        assert operation is not None
        (step,) = operation.steps
        self.report(**{str(step.component): attrs.evolve(WELL, drifted_at=START)})

    def snapshot(self) -> RepairSnapshot:  # type: ignore[override]
        """Make the snapshot, as the controller does."""
        return RepairSnapshot(
            machine=self.drained(), node=self.node, jobs=tuple(self.jobs.values()), holds=frozenset(self.holds),
            components={name: component(name, self.disruption) for name in ("net-1", "net-2")}, zones=self.zones,
            sets=("all",), now=self.now, sightings=self.sightings,
        )  # fmt: skip

    def drained(self) -> m.Machine:
        """Give the machine with what is said of its drain."""
        record = None
        if self.drain is not None and self.holds:
            record = m.DrainRecord(op_id=min(self.holds), state=self.drain)
        return attrs.evolve(self.machine, status=attrs.evolve(self.machine.status, drain=record))

    def subject(self) -> m.RemedyOperationJob | None:
        """Give the job whose status is decided."""
        return open_repair(self.jobs.values())

    def decide(self) -> Decision[m.RemedyOperationJobStatus]:
        """Decide, and keep the sightings, but do nothing."""
        decision = decide(self.snapshot(), self.policy)
        self.sightings = decision.sightings
        return decision
