"""Every effect of every story, in small casts, meets every disturbance: same end, same acts, every check passed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.errors import Conflict, Unreachable
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.engine.apply import CrashPoint, NoHands
from kubenode.runtime.sim import story as stage_module
from kubenode.runtime.sim.faults import Fault, FaultyStore
from kubenode.runtime.sim.run import AGENTS, CONTROLLER, Process, SimulatedCrash, Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, Told, examples
from kubenode.runtime.testing.canonical import canonical

CASTS = {"import": (0, "a"), "hung": (2, "ab"), "upgrade": (3, "a"), "outage": (6, "ab")}
"""How many machines each story has here, in which zones; the import's file has its own."""
MODES = ("before", "after", "lost", "conflict", "stale", "second")
DEAF = timedelta(seconds=20)


@attrs.define
class Disturber:
    """Counts the effects of all processes, and disturbs one of them."""

    simulation: Simulation
    mode: str
    victim: int
    on_crash: Callable[[Simulation], None]
    seen: int = 0
    armed: bool = False
    fired: int = 0

    def watch(self, process: str, point: CrashPoint) -> None:
        """Be told of a crash point."""
        if point.after:
            if self.armed and self.mode == "after":
                self.crash()
            self.armed = False
            return
        self.armed = self.seen == self.victim
        self.seen += 1
        if not self.armed:
            return
        if self.mode == "before":
            self.crash()
        if self.mode in ("stale", "second"):
            self.fired += 1
            simulation, lag = self.simulation, self.simulation.time.elapsed + nanoseconds(DEAF)
            if self.mode == "stale":
                simulation.processes[process].deaf_until = lag
            else:
                simulation.processes["second"] = second = Process(
                    lambda: controllers(simulation.plugins, lambda _: None),
                    simulation.store, NoHands(), (FIRST,),
                )  # fmt: skip
                second.deaf_until = lag
            simulation.at(DEAF, lambda: None)

    def crash(self) -> None:
        """End the process."""
        self.armed = False
        self.fired += 1
        self.on_crash(self.simulation)
        raise SimulatedCrash

    def fault(self, _: int) -> Fault:
        """Give the fault of the write that is under way."""
        wanted = {"lost": Fault.LOST, "conflict": Fault.CONFLICT}.get(self.mode)
        if not self.armed or wanted is None:
            return Fault.NONE
        self.armed = False
        self.fired += 1
        return wanted


@attrs.frozen
class Hands:
    """The hosts, whose answer may be lost as a write's may."""

    simulation: Simulation
    disturber: Disturber

    async def run(self, effect: RunSteps) -> None:
        """Run steps, or meet the fault."""
        fault = self.disturber.fault(0)
        if fault is Fault.CONFLICT:
            raise Conflict("the agent is busy")
        await self.simulation.run(effect)
        if fault is Fault.LOST:
            raise Unreachable("no answer after the start")


@attrs.frozen
class Played:
    """One run: its judgement, its final objects, what was done to whom.

    Acts are compared by count: two components that know nothing of each other may change in either order.
    """

    told: Told
    final: dict[str, m.Json]
    acts: dict[str, list[str]]
    effects: int
    fired: int

    def differs(self, whole: "Played") -> str:
        """Say how it differs from the undisturbed run; nothing when it does not."""
        failed = [f"{check.name}: {check.found}" for check in self.told.checks if not check.passed]
        if failed:
            return "; ".join(failed)
        if self.acts != whole.acts:
            return f"acts {self.acts} instead of {whole.acts}"
        names = sorted({*self.final, *whole.final})
        changed = [name for name in names if self.final.get(name) != whole.final.get(name)]
        return (
            f"{changed[0]}: {self.final.get(changed[0])} instead of {whole.final.get(changed[0])}"
            if changed
            else ""
        )


def play(
    story: str, mode: str = "", victim: int = -1, on_crash: Callable[[Simulation], None] = lambda _: None
) -> Played:
    """Play a story with its small cast; one effect is disturbed."""
    count, zones = CASTS[story]
    cast = Cast.read([examples() / f"{story}.yaml"])
    cast = cast.with_machines(count, zones=tuple(zones)) if count else cast
    made: list[Disturber] = []

    def simulation(*, seed: int) -> Simulation:
        one = Simulation(seed=seed)
        disturber = Disturber(one, mode, victim, on_crash)
        made.append(disturber)
        for name in (CONTROLLER, AGENTS):
            one.processes[name].watchman = lambda point, name=name: disturber.watch(name, point)
            one.processes[name].writes_to = FaultyStore(one.store, disturber.fault)
        one.processes[AGENTS]._hands = Hands(one, disturber)
        return one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "Simulation", simulation)
        told = STORIES[story](cast, 0, lambda _: None)
    [disturber] = made
    one = disturber.simulation
    final = canonical([raw for kind in m.WATCHED for raw in one.objects(kind)])
    acts = {
        name: sorted(type(step).__name__ for span in host.spans for step in span.steps)
        for name, host in one.hosts.items()
    }
    return Played(told, final, acts, disturber.seen, disturber.fired)


def enumerate_all(story: str, mode: str, **more: Any) -> tuple[int, list[str]]:
    """Disturb every effect in turn; give how many there were, and what went differently."""
    whole = play(story)
    assert whole.told.passed
    wrong = []
    for victim in range(whole.effects):
        one = play(story, mode, victim, **more)
        assert one.fired == 1, f"effect {victim} was not reached"
        if what := one.differs(whole):
            wrong.append(f"effect {victim}: {what}")
    return whole.effects, wrong


NIGHTLY = {"upgrade", "outage"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "story", [pytest.param(one, marks=pytest.mark.nightly) if one in NIGHTLY else one for one in CASTS]
)
def test_a_disturbance_of_any_effect_changes_nothing(
    story: str, mode: str, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    """All effects, not a sample."""
    if (story, mode) == ("upgrade", "before"):
        request.applymarker(
            pytest.mark.xfail(strict=True, reason="known: at 3 of 78 effects the acts differ")
        )
    covered, wrong = enumerate_all(story, mode)
    record_property("effects", covered)
    print(f"{story} x {mode}: {covered} effects")
    assert covered >= 40
    assert wrong == []


def test_an_agent_without_a_journal_is_caught() -> None:
    """What it had begun is done again after its crash."""

    def forget(simulation: Simulation) -> None:
        for host in simulation.hosts.values():
            host.journal.clear()

    assert enumerate_all("hung", "after", on_crash=forget)[1]
