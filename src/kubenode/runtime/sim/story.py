"""What all stories share: a cast read from YAML, simulated hosts for it, and a result with its checks."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.manifests import load_manifests
from kubenode.runtime.sim.check import Check, done_once, limits_kept, one_at_a_time, permitted
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.witness import Witness

ZONES = ("a", "b", "c")


@attrs.frozen(kw_only=True)
class Progress:
    """Where a story is: for a bar or a plain line."""

    story: str
    done: int
    total: int
    text: str


Tell = Callable[[Progress], None]
Attend = Callable[[Simulation], None]
"""Is given the simulation before anything happens in it: to listen to its decisions, to watch its store."""


def alone(_: Simulation) -> None:
    """Attend to nothing."""


@attrs.frozen(kw_only=True)
class Told:
    """How a story ended."""

    name: str
    machines: int
    decisions: int
    effects: int
    virtual_seconds: int
    trace: str
    checks: tuple[Check, ...]
    summary: str
    explanation: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def document(self) -> Mapping[str, Any]:
        """Give it as `-o json` prints it."""
        failed = [{"name": check.name, "found": check.found} for check in self.checks if not check.passed]
        return {
            "name": self.name, "passed": self.passed, "machines": self.machines, "decisions": self.decisions,
            "effects": self.effects, "virtual_seconds": self.virtual_seconds,
            "checks": {check.name: check.passed for check in self.checks}, "failed": failed,
            "summary": self.summary, "explanation": self.explanation, "trace": self.trace,
        }  # fmt: skip


@attrs.frozen(kw_only=True)
class Cast:
    """The objects of a story, in the order of the file.

    An object that occurs again is a *change* of the first: it is applied once all is at rest.
    """

    objects: tuple[m.Object, ...]
    changes: tuple[m.Object, ...] = ()

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "Cast":
        """Read manifests; every problem of every file at once."""
        first: dict[tuple[str, str], m.Object] = {}
        read = load_manifests(paths)
        for obj in read:
            first.setdefault((obj.KIND.name, obj.metadata.name), obj)
        begun = {id(obj) for obj in first.values()}
        changes = tuple(obj for obj in read if id(obj) not in begun)
        return cls(objects=tuple(first.values()), changes=changes)

    def of(self, kind: type[m.Object]) -> tuple[Any, ...]:
        """Give the objects of a kind as they begin."""
        return tuple(obj for obj in self.objects if isinstance(obj, kind))

    def last(self, kind: type[m.Object]) -> tuple[Any, ...]:
        """Give the objects of a kind as they are in the end."""
        found = {obj.metadata.name: obj for obj in (*self.objects, *self.changes) if isinstance(obj, kind)}
        return tuple(found.values())

    def with_machines(self, count: int, zones: Sequence[str] = ZONES) -> "Cast":
        """Add machines that every set selects, when the file has none."""
        if self.of(m.Machine):
            return self
        labels = {
            key: value for one in self.of(m.MachineComponentSet)
            for key, value in one.spec.selector.match_labels.items()
        }  # fmt: skip
        made = tuple(
            m.Machine(
                metadata=m.ObjectMeta(
                    name=f"n{number:03}", labels={**labels, ZONE_LABEL: zones[number % len(zones)]}
                ),
                spec=m.MachineSpec(host=m.Host(address=f"10.0.{number // 250}.{number % 250 + 1}")),
            )
            for number in range(1, count + 1)
        )
        return attrs.evolve(self, objects=(*self.objects, *made))


def examples() -> Path:
    """Give the folder of the example manifests: installed beside the package, or in the checkout's docs."""
    installed = Path(str(resources.files("kubenode"))) / "examples"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[4] / "docs" / "examples"


class Stage:
    """A simulation with a cast on it, and a witness."""

    def __init__(
        self,
        name: str,
        cast: Cast,
        *,
        seed: int,
        tell: Tell,
        attend: Attend = alone,
        make: Callable[..., Simulation] = Simulation,
    ) -> None:
        self.name = name
        self.cast = cast
        self.tell = tell
        self.simulation = make(seed=seed)
        self.witness = Witness(self.simulation)
        attend(self.simulation)

    def open(
        self, spec: Callable[[HostSpec], HostSpec] = lambda spec: spec, *, agents_up: bool = True
    ) -> None:
        """Create the hosts and then the objects, machines last, as somebody who installs kubenode would."""
        machines = self.cast.of(m.Machine)
        for machine in machines:
            name = machine.metadata.name
            zone = machine.metadata.labels.get(ZONE_LABEL, ZONES[0])
            self.simulation.add_host(
                spec(HostSpec(machine=name, node=f"node-{name}", zone=zone)), agent_up=agents_up
            )
        for obj in sorted(self.cast.objects, key=lambda obj: isinstance(obj, m.Machine)):
            self.simulation.create(obj)

    def change(self) -> None:
        """Apply what the file says of an object the second time."""
        for obj in self.cast.changes:
            if isinstance(obj, m.MachineComponent | m.RemedyOperationJob | m.RiskLedger):
                problem = Problem(
                    where=f"{obj.KIND.name} {obj.metadata.name}", what="occurs twice, but never changes",
                    fix="give the second a name of its own",
                )  # fmt: skip
                raise InvalidObjectError((problem,))
            first = next(one for one in self.cast.of(type(obj)) if one.metadata.name == obj.metadata.name)
            patch = wire.patch_of(wire.dump(first), wire.dump(obj))
            if patch is not None:
                self.simulation.change(type(obj), obj.metadata.name, patch)

    def read(self, kind: type[m.Object], name: str) -> Any:
        """Read one object from the store."""
        return next(obj for obj in self.all(kind) if obj.metadata.name == name)

    def all(self, kind: type[m.Object]) -> tuple[Any, ...]:
        """Read all objects of a kind from the store."""
        return tuple(wire.read(raw, kind) for raw in self.simulation.objects(kind))

    def phases(self) -> dict[str, int]:
        """Count the machines by phase."""
        counts: dict[str, int] = {}
        for machine in self.all(m.Machine):
            phase = machine.status.phase or "Pending"
            counts[phase] = counts.get(phase, 0) + 1
        return counts

    def until_running(self, limit: timedelta = timedelta(hours=2)) -> bool:
        """Go on until every machine is Running and nothing is left to do now."""
        total = len(self.cast.of(m.Machine))
        return self.simulation.run_until(lambda: self.witness_running() >= total, limit=limit)

    def witness_running(self) -> int:
        """Count the machines that have been Running."""
        return len(self.witness.first_running)

    def end(self, checks: Iterable[Check], summary: str, explanation: str = "") -> Told:
        """Judge the run: the story's own checks, and those that every run must pass."""
        simulation = self.simulation
        sizes = {
            "cluster": len(simulation.hosts),
            **Counter(f"zone={host.spec.zone}" for host in simulation.hosts.values()),
            **{
                f"set={one.metadata.name}": sum(one.spec.selector.selects(machine.metadata.labels) for machine in self.cast.of(m.Machine))
                for one in self.cast.of(m.MachineComponentSet)
            },
        }  # fmt: skip
        always = (
            permitted(simulation, self.witness),
            limits_kept(self.cast.last(m.RiskPolicy), self.witness, lambda scope: sizes.get(scope, 0)),
            one_at_a_time(simulation),
            done_once(simulation),
        )
        return Told(
            name=self.name, machines=len(simulation.hosts), decisions=simulation.decisions,
            effects=simulation.acts, virtual_seconds=simulation.time.elapsed // 1_000_000_000,
            trace=simulation.trace.hexdigest(), checks=(*checks, *always), summary=summary, explanation=explanation,
        )  # fmt: skip
