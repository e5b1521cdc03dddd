"""One story, one of whose effects is disturbed: what the enumeration and its sabotages are made of.

A disturbance strikes exactly one effect, of whichever process. What came of it is compared with the same
story undisturbed: every check of the story, the final objects, and what was done on every host, in order.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import TypeAlias

import attrs

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.errors import Conflict, Unreachable
from kubenode.core.hookspecs import Instance
from kubenode.core.host.plan import LONGEST_PAUSE
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.step import Step
from kubenode.runtime.engine.apply import Act, CrashPoint
from kubenode.runtime.sim.check import done_once, one_at_a_time
from kubenode.runtime.sim.cloud import CloudFault
from kubenode.runtime.sim.faults import Fault, FaultyStore
from kubenode.runtime.sim.process import SimulatedCrash
from kubenode.runtime.sim.run import AGENTS, CONTROLLER, Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, Told, examples
from kubenode.runtime.testing.canonical import canonical
from tests.stories import adopting, clouding, draining, drifting, guarding, replacing, scaling
from tests.stories.regional import Stand

CLOUDS = clouding.PLAYS
PLAYS = {
    **STORIES,
    "drift": drifting.play,
    "machineset": scaling.play,
    "drain": draining.play,
    "replacement": replacing.play,
    **CLOUDS,
}
MADE: Mapping[str, Callable[..., Cast]] = {
    "drift": drifting.cast_of,
    "machineset": scaling.cast_of,
    "drain": draining.cast_of,
    "replacement": replacing.cast_of,
    **dict.fromkeys(CLOUDS, clouding.cast_of),
    **dict.fromkeys(guarding.PLAYS, adopting.cast_of),
}
"""Casts of the stories that are no story of the demo; the others have a file."""
CASTS = {
    "import": (0, "a"),
    "hung": (2, "ab"),
    "upgrade": (3, "a"),
    "outage": (6, "ab"),
    "drift": (2, "a"),
    "machineset": (1, "ab"),
    "drain": (2, "a"),
    "replacement": (3, "ab"),
    "cloud-create": (2, "ab"),
    "cloud-replace": (2, "a"),
    "cloud-delete": (2, "ab"),
    "cloud-scale-down": (3, "ab"),
    "cloud-gone": (2, "ab"),
    "cloud-mute": (2, "ab"),
    **dict.fromkeys(guarding.PLAYS, (2, "a")),
}
"""How many machines each story has, in which zones; the import's file has its own.

The fewest with which a story is itself: two of a batch that wait for one permit, three silent Nodes that are
an outage, and another zone that is none.
"""
WINDOWS = {
    "hung": (timedelta(minutes=2), 1),
    "upgrade": (timedelta(minutes=4), 2),
    "outage": (timedelta(hours=1), 2),
    "drain": (timedelta(minutes=10), 1),
    "cloud-replace": (timedelta(minutes=3), 1),
    "cloud-delete": (timedelta(minutes=1), 1),
    "cloud-scale-down": (timedelta(minutes=1), 1),
}
"""How many acts may begin in the cluster within which time: so few that one waits, and no longer than it must.

The drift has no policy, and waits an hour by the built-in one. What is in flight is limited as the story's file says. In
the other stories nothing that runs is disrupted.
"""
BOUND = ("drift", *WINDOWS)
"""Stories in which a window binds."""
MODES = ("before", "after", "lost", "conflict", "stale", "second")
REFUSED = ("throttled", "failed", "reset")
"""Ways in which a write is not done and the writer is told so, or hears nothing: milder than those above."""
CLOUD_FAULTS = {
    "lost": CloudFault.TIMEOUT,
    "conflict": CloudFault.BUSY,
    "timeout": CloudFault.UNHEARD,
    "throttled": CloudFault.THROTTLED,
}
"""What a call of a provider meets in a mode; `timeout` is its own, and nothing is done then."""
FAULTS = {fault.name.lower(): fault for fault in Fault if fault is not Fault.NONE} | {"timeout": Fault.RESET}
CLOUD_MODES = (*MODES, "timeout", "throttled")
"""What every effect of the stories of clouds meets, be it a write or a call."""
LOOK_FAULTS = {
    "timeout": CloudFault.UNHEARD,
    "throttled": CloudFault.THROTTLED,
    "conflict": CloudFault.BUSY,
}
LOOK_MODES = ("crash", *LOOK_FAULTS, "stale", "empty", "second")
"""What every call meets that only looks. It changes nothing: a crash before it is one after it, and no answer is a lost one.

A stale answer is of a while ago: it lacks what was made since, and has what was ended since. An empty one is wrong.
"""
STALE = timedelta(seconds=20)
"""How long a process sees nothing of what happens: less than any time limit of the stories, which would run out."""
NO_TIME = timedelta(0)
SECOND = timedelta(seconds=80)
"""How long a second controller believes what it saw when it started, while the first goes on (decision 0036)."""

Tracks: TypeAlias = dict[tuple[str, str], list[tuple[Step, ...]]]
"""By machine and by what the steps are for (a component's entry, or the operation): the steps, in order.

Two components that know nothing of each other may change in either order, so each has a track of its own.
"""
ALL = slice(None)


def nothing(_: Simulation) -> None:
    """Do nothing to a simulation."""


@attrs.define
class Disturber:
    """Counts the effects of the processes, and the looks at the cloud, and disturbs one of them."""

    simulation: Simulation
    mode: str
    victim: int
    look: int
    on_crash: Callable[[Simulation], None]
    seen: list[Act] = attrs.field(factory=list)
    looks: list[str] = attrs.field(factory=list)
    past: list[tuple[int, Mapping[str, Instance]]] = attrs.field(factory=list)
    armed: bool = False
    fired: int = 0

    def watch(self, process: str, point: CrashPoint) -> None:
        """Be told of a crash point."""
        if point.after:
            if self.armed and self.mode == "after":
                self.crash()
            self.armed = False
            return
        self.armed = len(self.seen) == self.victim
        self.seen.append(point.act)
        if not self.armed:
            return
        if self.mode == "before":
            self.crash()
        if self.mode in ("stale", "second"):
            self.deafen(process)

    def deafen(self, process: str) -> None:
        """Let a process see nothing for a while: the victim's, or a second controller that starts now."""
        self.fired += 1
        simulation, lag = self.simulation, STALE
        if self.mode == "second":
            process, lag = self.mode, SECOND
            simulation.processes[process] = simulation.controller()
        simulation.processes[process].deaf_until = simulation.time.elapsed + nanoseconds(lag)
        simulation.at(lag, lambda: None)  # so that what came meanwhile is looked at then

    def crash(self) -> None:
        """End the process."""
        self.armed = False
        self.fired += 1
        self.on_crash(self.simulation)
        raise SimulatedCrash

    def cloud_fault(self, what: str) -> CloudFault:
        """Give the fault of the call that is under way, if it is the victim's."""
        if what in ("find", "get"):
            return self._fault_of_look(what)
        wanted = CLOUD_FAULTS.get(self.mode)
        if not self.armed or wanted is None:
            return CloudFault.NONE
        self.armed = False
        self.fired += 1
        return wanted

    def _fault_of_look(self, what: str) -> CloudFault:
        self.looks.append(what)
        if len(self.looks) - 1 != self.look:
            return CloudFault.NONE
        match self.mode:
            case "second":
                self.deafen(CONTROLLER)
                return CloudFault.NONE
            case "crash":
                self.on_crash(self.simulation)
                self.simulation.at(NO_TIME, self.simulation.processes[CONTROLLER].start)
            case "stale":
                self._show(
                    {key: one for at, shown in self.past if at <= self._ago for key, one in shown.items()}
                )
            case "empty":
                self._show({})
        self.fired += 1
        return LOOK_FAULTS.get(self.mode, CloudFault.NONE)

    @property
    def _ago(self) -> int:
        return self.simulation.time.elapsed - nanoseconds(STALE)

    def remember(self) -> None:
        """Keep how the cloud is now."""
        now = {one.id: one for one in self.simulation.cloud.made}
        if not self.past or self.past[-1][1] != now:
            self.past.append((self.simulation.time.elapsed, now))

    def _show(self, shown: Mapping[str, Instance]) -> None:
        """Let the cloud show these for the rest of the look that is under way, and tell the truth after it."""
        cloud = self.simulation.cloud
        truth = {one.id: one for one in cloud.made}
        cloud.hidden |= truth.keys() - shown.keys()
        for one in shown.values():
            cloud.change(one.id, state=one.state)

        def again() -> None:
            cloud.hidden.clear()
            for one in truth.values():
                cloud.change(one.id, state=one.state)

        self.simulation.at(NO_TIME, again)

    def fault(self, _: int) -> Fault:
        """Give the fault of the write that is under way."""
        wanted = FAULTS.get(self.mode)
        if not self.armed or wanted is None:
            return Fault.NONE
        self.armed = False
        self.fired += 1
        return wanted


@attrs.frozen
class Hands:
    """The hosts: they keep what they are asked for and had not begun, and their answer may be lost as a write's may."""

    simulation: Simulation
    disturber: Disturber
    tracks: Tracks

    async def run(self, effect: RunSteps) -> None:
        """Run steps, or meet the fault."""
        fault = self.disturber.fault(0)
        if fault not in (Fault.NONE, Fault.LOST):
            raise Conflict("the agent is busy") if fault is Fault.CONFLICT else Unreachable("nothing begun")
        spans = self.simulation.hosts[effect.machine.name].spans
        before = len(spans)
        await self.simulation.run(effect)
        if len(spans) > before:
            self.tracks.setdefault((effect.machine.name, effect.answers), []).append(effect.steps)
        if fault is Fault.LOST:
            raise Unreachable("no answer after the start")


@attrs.frozen
class Played:
    """One run: its judgement, its final objects, what was done on the hosts, its effects and looks, how often it was disturbed."""

    told: Told
    final: dict[str, m.Json]
    acts: Tracks
    effects: tuple[Act, ...]
    looks: tuple[str, ...]
    fired: int

    def differs(self, whole: "Played") -> str:
        """Say how it differs from the undisturbed run; nothing when it does not."""
        failed = [f"{check.name}: {check.found}" for check in self.told.checks if not check.passed]
        if failed:
            return "; ".join(failed)
        for track in sorted({*self.acts, *whole.acts}):
            here, there = self.acts.get(track, []), whole.acts.get(track, [])
            if here != there:
                return f"{track}: {here} instead of {there}"
        names = sorted({*self.final, *whole.final})
        changed = [name for name in names if self.final.get(name) != whole.final.get(name)]
        return (
            f"{changed[0]}: {self.final.get(changed[0])} instead of {whole.final.get(changed[0])}"
            if changed
            else ""
        )


@cache
def cast_of(story: str, place: clouding.Place | None = None) -> Cast:
    """Give the small cast of a story, with a window that binds."""
    count, zones = CASTS[story]
    if story in MADE:
        cast = MADE[story](count, zones=zones, **({} if place is None else {"place": place}))
    else:
        cast = Cast.read([examples() / f"{story}.yaml"])
        cast = cast.with_machines(count, zones=tuple(zones)) if count else cast
    if story not in WINDOWS:
        return cast
    window, most = WINDOWS[story]
    limit = m.Limit(scope=m.Scope.CLUSTER, window=window, max=m.IntOrPercent(most))
    return attrs.evolve(cast, objects=tuple(_limited(obj, limit) for obj in cast.objects))


def _limited(obj: m.Object, limit: m.Limit) -> m.Object:
    """Give a RiskPolicy this window instead of its own."""
    if not isinstance(obj, m.RiskPolicy):
        return obj
    at_once = tuple(one for one in obj.spec.limits if one.window is None)
    return attrs.evolve(obj, spec=attrs.evolve(obj.spec, limits=(*at_once, limit)))


def play(
    story: str, mode: str = "", victim: int = -1, *, look: int = -1, whole: Played | None = None,
    on_crash: Callable[[Simulation], None] = nothing, on: Stand | None = None,
) -> Played:  # fmt: skip
    """Play a story in which one effect, or one look at the cloud, is disturbed.

    A try that failed is repeated for ever, and how long an agent waits it counts from when it saw the failure
    itself: an agent that crashed meanwhile waits anew (decision 0023). So that both are compared at the same
    point, a run that has done less than the undisturbed one goes on for one such pause.
    """
    made: list[Disturber] = []
    tracks: Tracks = {}

    def attend(one: Simulation) -> None:
        if on is not None:
            on.attend(one)
        disturber = Disturber(one, mode, victim, look, on_crash)
        made.append(disturber)
        for name in (CONTROLLER, AGENTS):
            one.processes[name].watchman = lambda point, name=name: disturber.watch(name, point)
            one.processes[name].writes_to = FaultyStore(one.store, disturber.fault)
        one.processes[AGENTS]._hands = Hands(one, disturber, tracks)
        one.cloud.choose = disturber.cloud_fault
        if mode == "stale" and look >= 0:
            one.watch(disturber.remember)

    where = {} if on is None else {"place": on.place, "cloud": on.cloud}
    told = {**PLAYS, **guarding.PLAYS}[story](
        cast_of(story, None if on is None else on.place), 0, lambda _: None, attend, **where
    )
    [disturber] = made
    one, effects = disturber.simulation, tuple(disturber.seen)
    if whole is not None and tracks != whole.acts and told.passed:
        wanted = sum(map(len, whole.acts.values()))
        one.run_until(lambda: sum(map(len, tracks.values())) >= wanted and _idle(one), limit=LONGEST_PAUSE)
        told = attrs.evolve(told, checks=(*told.checks, one_at_a_time(one), done_once(one)))
    final = canonical([raw for kind in m.WATCHED for raw in one.objects(kind)])
    return Played(told, final, tracks, effects, tuple(disturber.looks), disturber.fired)


def _idle(one: Simulation) -> bool:
    return all(span.ended is not None for host in one.hosts.values() for span in host.spans)


def differences(
    story: str, mode: str, whole: Played, *, of: type | tuple[type, ...] | None = None, part: slice = ALL,
    on_crash: Callable[[Simulation], None] = nothing, on: Stand | None = None,
) -> Iterator[str]:  # fmt: skip
    """Disturb every effect in turn, or those of a type, or a part of them, and say what went differently."""
    for victim, effect in list(enumerate(whole.effects))[part]:
        if of is None or isinstance(effect, of):
            one = play(story, mode, victim, whole=whole, on_crash=on_crash, on=on)
            assert one.fired == 1, f"effect {victim} was not reached"
            if what := one.differs(whole):
                yield f"effect {victim}: {what}"


def differences_by_looks(
    story: str, mode: str, whole: Played, part: slice = ALL, on: Stand | None = None
) -> Iterator[str]:
    """Disturb every look at the cloud in turn but the last, and say what went differently: a wrong look is mended by the next."""
    for look, name in list(enumerate(whole.looks[:-1]))[part]:
        one = play(story, mode, look=look, whole=whole, on=on)
        assert one.fired == 1, f"look {look} was not reached"
        if what := one.differs(whole):
            yield f"look {look} ({name}): {what}"
