"""Try a policy: play a scenario under it, ask what must always hold, compare policies, search a counterexample.

The run is that of the stories: the real engine, controllers and agents over the embedded store, on
virtual time. What is asked is answered by the hosts' own truth, never by what a decider said.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from kubenode.core import model as m
from kubenode.core.errors import KubenodeError
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.core.policy import Policy
from kubenode.core.step import Reboot, RestartUnit, Step
from kubenode.runtime.sim.check import Check
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.scenario import FAULTS, OUTAGE, Fault, Scenario
from kubenode.runtime.sim.story import Cast, Stage


@attrs.frozen(kw_only=True)
class At:
    """The cluster at one moment at which something had changed.

    Attributes:
        elapsed: since the scenario began.
        disrupted: machines that steps which touch their work are running on now, with their zones.
        not_ready: machines whose Node is not Ready, with their zones.
    """

    elapsed: timedelta
    disrupted: Mapping[str, str]
    not_ready: Mapping[str, str]

    @property
    def disrupted_zones(self) -> frozenset[str]:
        """Zones in which a machine is being acted on."""
        return frozenset(self.disrupted.values())

    @property
    def in_flight(self) -> int:
        """How many machines are being acted on."""
        return len(self.disrupted)


Predicate: TypeAlias = Callable[[At], bool]


@attrs.frozen(kw_only=True)
class Line:
    """One line of a story: when, `fault` or `effect`, whom, what."""

    at: timedelta
    what: str
    whom: str
    text: str

    def __str__(self) -> str:
        return f"+{self.at}  {self.what:6}  {self.whom}  {self.text}"


class InvariantViolated(KubenodeError, AssertionError):
    """Something that must always hold did not; the message is the story up to there, and the scenario."""


@attrs.frozen(kw_only=True)
class Run:
    """A scenario played under a policy.

    Attributes:
        moments: the cluster whenever something had changed, in order.
        lines: what went wrong and what was done.
        checks: what every run must pass: permits, limits, one act a machine at a time, no act done twice.
        disruptions: how often a machine was acted on.
        healed: when all hosts were well for good, since the beginning; None when they were not.
    """

    scenario: Scenario
    policy: Policy
    moments: tuple[At, ...]
    lines: tuple[Line, ...]
    checks: tuple[Check, ...]
    disruptions: int
    healed: timedelta | None

    def check_always(self, name: str, predicate: Predicate) -> None:
        """Raise InvariantViolated, with the story, at the first moment at which the predicate is false."""
        for at in self.moments:
            if not predicate(at):
                raise self._violated(f"{name!r} is false at +{at.elapsed}", at.elapsed)

    def check_sound(self) -> None:
        """Raise InvariantViolated when kubenode itself broke its word: a limit exceeded, an act without permit."""
        for check in self.checks:
            if not check.passed:
                raise self._violated(f"{check.name!r} is false: {check.found}", timedelta.max)

    def _violated(self, what: str, until: timedelta) -> InvariantViolated:
        told = "".join(f"\n  {line}" for line in self.lines if line.at <= until)
        return InvariantViolated(f"{what}{told}\nscenario={self.scenario!r}")


class _Film:
    """Keeps the moments and the lines of a run."""

    def __init__(self, hosts: Mapping[str, SimHost], begins: int, now: Callable[[], int]) -> None:
        self._hosts, self._begins, self._now = hosts, begins, now
        self._known = {name: len(host.spans) for name, host in hosts.items()}
        self._zones = sorted({host.spec.zone for host in hosts.values()})
        self.moments: list[At] = []
        self.lines: list[Line] = []
        self.disruptions = 0
        self.well_since: timedelta | None = None

    def elapsed(self) -> timedelta:
        """Give the time since the scenario began."""
        return timedelta(microseconds=(self._now() - self._begins) // 1000)

    def struck(self, fault: Fault) -> None:
        """Note a fault."""
        self.lines.append(Line(at=self.elapsed(), what="fault", whom=fault.target, text=FAULTS[fault.kind]))

    def look(self) -> None:
        """Note what has changed since the last look."""
        hosts = self._hosts.items()
        disrupted = {
            name: host.spec.zone for name, host in hosts
            if any(span.disruptive and span.ended is None for span in host.spans)
        }  # fmt: skip
        not_ready = {name: host.spec.zone for name, host in hosts if host.ready is not m.Switch.TRUE}
        self._effects(disrupted)
        sick = bool(not_ready or disrupted) or any(
            host.detected.conditions and _faulty(host) for _, host in hosts
        )
        if sick:
            self.well_since = None
        elif self.well_since is None:
            self.well_since = self.elapsed()
        last = self.moments[-1] if self.moments else None
        if last is None or (last.disrupted, last.not_ready) != (disrupted, not_ready):
            self.moments.append(At(elapsed=self.elapsed(), disrupted=disrupted, not_ready=not_ready))

    def _effects(self, disrupted: Mapping[str, str]) -> None:
        fresh = [
            (name, span) for name, host in self._hosts.items() for span in host.spans[self._known[name]:]
            if span.disruptive
        ]  # fmt: skip
        begun = {name for name, _ in fresh}
        counts = Counter(zone for name, zone in disrupted.items() if name not in begun)
        for name, span in fresh:
            self.disruptions += 1
            counts[span.zone] += 1
            flight = " ".join(f"{zone}:{counts[zone]}" for zone in self._zones)
            text = ", ".join(_word(step) for step in span.steps)
            self.lines.append(
                Line(at=self.elapsed(), what="effect", whom=name, text=f"{text}; in flight {flight}")
            )
        self._known = {name: len(host.spans) for name, host in self._hosts.items()}


def _faulty(host: SimHost) -> bool:
    return any(one.status is m.Switch.TRUE for one in host.detected.conditions)


def _word(step: Step) -> str:
    match step:
        case Reboot():
            return "reboot"
        case RestartUnit():
            return f"restart {step.unit}"
        case _:
            return type(step).__name__


def simulate(scenario: Scenario, policy: Policy) -> Run:
    """Play a scenario under a policy: its rules and limits become objects of the simulated cluster."""
    machines = tuple(
        m.Machine(
            metadata=m.ObjectMeta(name=name, labels={ZONE_LABEL: zone}),
            spec=m.MachineSpec(host=m.Host(address=f"10.0.{number // 250}.{number % 250 + 1}")),
        )
        for number, (name, zone) in enumerate(scenario.machines.items())
    )
    cast = Cast(objects=(*policy.remediers, *policy.risk, *machines))
    stage = Stage("scenario", cast, seed=scenario.seed, tell=lambda _: None)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=timedelta(hours=1))
    film = _Film(simulation.hosts, simulation.time.elapsed, lambda: simulation.time.elapsed)
    for fault in scenario.faults:
        struck = [
            host for host in simulation.hosts.values()
            if fault.target == (host.spec.zone if fault.kind == OUTAGE else host.spec.machine)
        ]  # fmt: skip
        simulation.at(timedelta(seconds=fault.at), partial(_strike, fault, struck, film))
    simulation.watch(film.look)
    simulation.rest(limit=timedelta(hours=scenario.hours))
    told = stage.end((), "")
    return Run(
        scenario=scenario, policy=policy, moments=tuple(film.moments), lines=tuple(film.lines), checks=told.checks,
        disruptions=film.disruptions, healed=film.well_since,
    )  # fmt: skip


def _strike(fault: Fault, struck: Sequence[SimHost], film: _Film) -> None:
    film.struck(fault)
    fault.strike(struck)


@attrs.frozen(kw_only=True)
class Row:
    """One scenario under one policy."""

    policy: str
    scenario: str
    healed: bool
    time_to_heal_s: float | None
    most_in_flight: int
    most_zones_at_once: int
    disruptions: int
    most_not_ready: int


@attrs.frozen(kw_only=True, repr=False)
class Comparison:
    """Policies over the same scenarios: `repr` is a table, `columns()` the data.

    Attributes:
        rows: one per policy and scenario, policies in the order given.
        fleet: machines not Ready over time, in seconds, per policy and scenario in the order of rows.
    """

    rows: tuple[Row, ...]
    fleet: tuple[tuple[tuple[float, int], ...], ...]

    def columns(self) -> Mapping[str, list[Any]]:
        """Give it as columns, for a data frame."""
        return {one.name: [getattr(row, one.name) for row in self.rows] for one in attrs.fields(Row)}

    def __repr__(self) -> str:
        head = ("policy", "healed", "worst time to heal", "most in flight", "most zones", "disruptions")
        table = [head]
        for policy in dict.fromkeys(row.policy for row in self.rows):
            mine = [row for row in self.rows if row.policy == policy]
            times = [row.time_to_heal_s for row in mine if row.time_to_heal_s is not None]
            table.append((
                policy, f"{sum(row.healed for row in mine)}/{len(mine)}",
                str(timedelta(seconds=round(max(times)))) if times else "-",
                str(max(row.most_in_flight for row in mine)), str(max(row.most_zones_at_once for row in mine)),
                str(sum(row.disruptions for row in mine)),
            ))  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        )

    def plot(self, what: str = "fleet") -> Any:
        """Draw machines not Ready over time, a line per policy and scenario; a plotly Figure.

        Raises:
            ValueError: there is no such plot.
            ImportError: plotly is not installed.
        """
        if what != "fleet":
            raise ValueError(f"no plot {what!r}; there is 'fleet'")
        try:
            from plotly import graph_objects
        except ImportError as error:
            raise ImportError("plot needs plotly: pip install 'kubenode[notebook]'") from error
        lines = [
            graph_objects.Scatter(
                x=[at / 60 for at, _ in series], y=[count for _, count in series], name=row.policy,
                hovertext=row.scenario, line={"shape": "hv"},
            )
            for row, series in zip(self.rows, self.fleet, strict=True)
        ]  # fmt: skip
        return graph_objects.Figure(
            lines, {"xaxis": {"title": "minutes"}, "yaxis": {"title": "machines not Ready"}}
        )


def compare(scenarios: Iterable[Scenario], policies: Mapping[str, Policy]) -> Comparison:
    """Play every scenario under every policy."""
    listed = tuple(scenarios)
    rows: list[Row] = []
    fleet: list[tuple[tuple[float, int], ...]] = []
    for name, policy in policies.items():
        for scenario in listed:
            run = simulate(scenario, policy)
            rows.append(Row(
                policy=name, scenario=repr(scenario), healed=run.healed is not None,
                time_to_heal_s=None if run.healed is None else run.healed.total_seconds(),
                most_in_flight=max((at.in_flight for at in run.moments), default=0),
                most_zones_at_once=max((len(at.disrupted_zones) for at in run.moments), default=0),
                disruptions=run.disruptions,
                most_not_ready=max((len(at.not_ready) for at in run.moments), default=0),
            ))  # fmt: skip
            fleet.append(tuple((at.elapsed.total_seconds(), len(at.not_ready)) for at in run.moments))
    return Comparison(rows=tuple(rows), fleet=tuple(fleet))


@attrs.frozen(kw_only=True)
class Verified:
    """What a search found.

    Attributes:
        searched: scenarios played, the last one included.
        counterexample: the violation with its story; None when there is none among them.
    """

    searched: int
    counterexample: InvariantViolated | None

    @property
    def passed(self) -> bool:
        """Whether no scenario of the scope violates anything."""
        return self.counterexample is None


def verify(policy: Policy, invariants: Mapping[str, Predicate] = MappingProxyType({})) -> Verified:
    """Play every scenario of the small scope; the first that violates an invariant, or kubenode's own word, ends it.

    The scope is complete, not sampled: two zones of two machines, every single fault, and every pair at
    once, but for renaming of zones and machines. "Passed" says no more than that.
    """
    searched = 0
    for scenario in small_scope():
        searched += 1
        run = simulate(scenario, policy)
        try:
            run.check_sound()
            for name, predicate in invariants.items():
                run.check_always(name, predicate)
        except InvariantViolated as violated:
            return Verified(searched=searched, counterexample=violated)
    return Verified(searched=searched, counterexample=None)


def small_scope() -> Iterable[Scenario]:
    """Give every scenario of at most two faults in two zones of two, fewest faults first."""
    zones = {"a": 2, "b": 2}
    every = [
        Fault(target, kind) for kind in FAULTS for target in (zones if kind == OUTAGE else ("a0", "a1", "b0", "b1"))
    ]  # fmt: skip
    seen: set[tuple[tuple[str, str], ...]] = set()
    for count in (1, 2):
        for faults in itertools.combinations(every, count):
            shape = min(_renamed(faults, *swap) for swap in itertools.product((False, True), repeat=3))
            if shape not in seen:
                seen.add(shape)
                yield Scenario(zones=zones, faults=faults)


def _renamed(faults: Iterable[Fault], zones: bool, in_a: bool, in_b: bool) -> tuple[tuple[str, str], ...]:
    """Give the faults as they are when the zones, or the machines of a zone, change names."""

    def name(target: str) -> str:
        zone, number = target[0], target[1:]
        swapped = {"a": in_a, "b": in_b}[zone]
        number = {"0": "1", "1": "0"}.get(number, number) if swapped else number
        return {"a": "b", "b": "a"}[zone] + number if zones else target[0] + number

    return tuple(sorted((name(fault.target), fault.kind) for fault in faults))


__all__ = [
    "At", "Comparison", "Fault", "InvariantViolated", "Run", "Scenario", "Verified", "compare", "simulate", "verify",
]  # fmt: skip
