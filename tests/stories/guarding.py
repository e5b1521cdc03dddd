"""Stories of upgrades on Machines of Cluster API: they bear `skip-remediation` while a permit lasts, and no longer.

They are no stories of the demo. The provider is the real one, and what the annotation was at each moment is read in the
management cluster, and judged against what the hosts really did and the ledger showed; nobody's report says anything.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.model.quantity import nanoseconds
from kubenode.providers.clusterapi.reading import HANDS_OFF, HOOK, OURS, SKIP
from kubenode.runtime.engine.apply import Hands
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.check import Check, all_of
from kubenode.runtime.sim.cloud import CloudFault, SimClouds
from kubenode.runtime.sim.run import AGENTS, CONTROLLER, Simulation
from kubenode.runtime.sim.story import Attend, Cast, Stage, Tell, Told, alone
from tests.providers.clusterapi.fake import FakeManagement
from tests.stories.adopting import OWNER, UNIT, ApiCloud, capi_name

LONG: Final = timedelta(hours=6)
MOMENT: Final = timedelta(seconds=1)
"""After it a controller that was started has looked at its provider, as an engine does at once."""
SLACK: Final = timedelta(minutes=2)
"""How much later than its permit it may come and go where an answer is lost, or a controller crashes or is deaf."""
REFUSED: Final = nanoseconds(timedelta(hours=1))
"""How long the management cluster does not take the word, where it does not."""
PERSONS: Final = "a person says so"
Times: TypeAlias = list[tuple[int, int]]
"""From when to when, elapsed nanoseconds; to NEVER where it lasts."""
NEVER: Final = 2**62


@attrs.define
class Onlooker:
    """Looks at the Machines of Cluster API after every turn, and at the moment at which steps begin on a host.

    Attributes:
        since: from when on all that is done is an upgrade; before, nothing has run there yet, and no permit is needed.
        words: by Machine, whether it bore `skip-remediation`, and from when on.
        wrong: what was done, or lasted, without it.
        begun: the machines on which steps of an upgrade began, with their class.
    """

    simulation: Simulation
    management: FakeManagement
    since: int = NEVER
    words: dict[str, list[tuple[int, bool]]] = attrs.field(factory=dict)
    wrong: list[str] = attrs.field(factory=list)
    begun: list[tuple[str, m.Disruption]] = attrs.field(factory=list)

    def annotations(self, machine: str) -> dict[str, str]:
        """Give those of the Machine of Cluster API that a Machine of ours has adopted."""
        one = self.management.objects["machines", capi_name(machine)]
        found: dict[str, str] = one["metadata"]["annotations"]
        return found

    def look(self) -> None:
        """Note what has changed; and that none bears it no longer while steps run on its host."""
        now = self.simulation.time.elapsed
        for name, host in self.simulation.hosts.items():
            borne, known = SKIP in self.annotations(name), self.words.setdefault(name, [])
            if not known or known[-1][1] != borne:
                known.append((now, borne))
            runs = [
                one for one in host.spans if one.ended is None and one.disruptive and one.began >= self.since
            ]
            if runs and not borne:
                self.wrong.append(f"{name} bore none while {runs[0].op_id} ran")

    def begins(self, effect: RunSteps) -> None:
        """Be told that steps begin."""
        if self.simulation.time.elapsed < self.since or effect.disruption is m.Disruption.NONE:
            return
        name = effect.machine.name
        self.begun.append((name, effect.disruption))
        if SKIP not in self.annotations(name):
            self.wrong.append(f"{name} bore none when {effect.op_id} began")

    def borne(self, machine: str) -> Times:
        """Give from when to when it was borne."""
        words = self.words[machine]
        return [
            (at, end) for (at, on), (end, _) in zip(words, [*words[1:], (NEVER, False)], strict=True) if on
        ]


@attrs.frozen
class Watched:
    """Hands whose acts are told of before they begin."""

    hands: Hands
    onlooker: Onlooker

    async def run(self, effect: RunSteps) -> None:
        """Begin."""
        self.onlooker.begins(effect)
        await self.hands.run(effect)


@attrs.define
class Play:
    """One upgrade, and what somebody does meanwhile."""

    stage: Stage
    onlooker: Onlooker

    @property
    def simulation(self) -> Simulation:
        """The cluster."""
        return self.stage.simulation

    @property
    def set(self) -> m.MachineComponentSet:
        """The set as it stands."""
        found: m.MachineComponentSet = self.stage.read(m.MachineComponentSet, "net")
        return found

    def upgrade(self, component: str, **rollout: Any) -> None:
        """Let the set want something else."""
        body: m.Json = {"spec": {"component": component, "rollout": rollout}}
        self.simulation.change(m.MachineComponentSet, "net", body)

    def until(self, what: Callable[[], bool]) -> None:
        """Go on until something is so."""
        assert self.simulation.run_until(what, limit=LONG), what

    def rest(self) -> bool:
        """Go on until nothing is left to do."""
        return self.simulation.rest(limit=LONG)

    def works(self) -> bool:
        """Tell whether steps of an upgrade run on a host."""
        spans = (one for host in self.simulation.hosts.values() for one in host.spans)
        return any(one.ended is None and one.began >= self.onlooker.since for one in spans)

    def refuse(self, *what: str) -> None:
        """Let something fail on all hosts from now on, or nothing."""
        for host in self.simulation.hosts.values():
            host.spec = attrs.evolve(host.spec, refuses=frozenset(what))

    def person(self, machine: str, value: str | None) -> None:
        """Be a person who sets `skip-remediation`, or takes it away."""
        annotations = self.onlooker.annotations(machine)
        if value is None:
            annotations.pop(SKIP, None)
        else:
            annotations[SKIP] = value


def done(one: Play) -> None:
    """Both classes, one after another."""
    for component in ("net-2", "net-3"):
        one.upgrade(component)
        one.rest()


def failed(one: Play) -> None:
    """The unit does not come up on the first machine: the rollout stops there, and nobody resumes it."""
    one.refuse(UNIT)
    one.upgrade("net-2")
    one.rest()


def rolled_back(one: Play) -> None:
    """It fails on the first machine; a person has it mended, and goes back to what ran before."""
    failed(one)
    one.refuse()
    one.upgrade("net-1")
    one.rest()


def turned_round(one: Play) -> None:
    """A person goes back while the first machine is being changed."""
    one.upgrade("net-2")
    one.until(one.works)
    one.upgrade("net-1")
    one.rest()


def paused(one: Play) -> None:
    """A person pauses while the first machine is being changed, and resumes a day later."""
    one.upgrade("net-3")
    one.until(one.works)
    one.upgrade("net-3", paused=True)
    one.simulation.run_until(lambda: False, limit=timedelta(days=1))
    one.onlooker.wrong += [
        f"{name} bears it still" for name in one.simulation.hosts if SKIP in one.onlooker.annotations(name)
    ]
    one.upgrade("net-3", paused=False)
    one.rest()


def restarted(one: Play) -> None:
    """The controller is started anew while a host reboots, and once more when that host is back and is watched."""
    one.upgrade("net-3")
    for works in (True, False):
        one.until(lambda works=works: one.works() is works)  # type: ignore[misc]
        one.simulation.processes[CONTROLLER].start()
        looks_soon(one.simulation)
    one.rest()


def refused(one: Play) -> None:
    """The management cluster does not take the word for an hour: nothing begins, and then it does."""
    one.simulation.cloud.choose = lambda what: CloudFault.BUSY if what == "guard" else CloudFault.NONE
    one.upgrade("net-3")
    one.simulation.run_until(lambda: False, limit=timedelta(microseconds=REFUSED // 1000))
    one.onlooker.wrong += [f"{name} was acted on" for name, _ in one.onlooker.begun]
    one.simulation.cloud.choose = lambda _: CloudFault.NONE
    one.rest()


def persons(one: Play) -> None:
    """A person has said the same of the first machine before; what is ours of it goes, and their word stays."""
    done(one)


def taken_over(one: Play) -> None:
    """A person writes their own over ours in the middle: it is theirs from then on."""
    one.upgrade("net-3")
    one.until(one.works)
    one.person("m1", PERSONS)
    one.rest()


SCENES: Final[Mapping[str, Callable[[Play], None]]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        done,
        failed,
        rolled_back,
        turned_round,
        paused,
        restarted,
        refused,
        persons,
        taken_over,
    )
}
UPGRADES: Final[Mapping[str, int]] = {
    "done": 4, "failed": 1, "rolled-back": 2, "turned-round": 2, "paused": 2, "restarted": 2, "refused": 2, "persons": 4, "taken-over": 2,
}  # fmt: skip
"""How often steps begin on a host, at least: of two machines."""
THEIRS: Final = ("persons", "taken-over")
"""The scenes in which a person has said so of the first machine."""


def looks_soon(simulation: Simulation) -> None:
    """Let the controllers look at the provider soon, as an engine does when it starts."""

    def look() -> None:
        for process in list(simulation.processes.values()):
            if isinstance(process.clouds, SimClouds):
                process.clouds.resync()

    simulation.at(MOMENT, look)


def play(
    scene: str, cast: Cast, seed: int, tell: Tell, attend: Attend = alone, *, slack: timedelta = MOMENT
) -> Told:
    """Let the machines be adopted and come up, and then let the scene be played.

    Args:
        scene: which.
        cast: of `cast_of`.
        seed: of the simulation.
        tell: is told nothing.
        attend: is given the simulation.
        slack: how much later than its permit `skip-remediation` may come and go.
    """
    management = FakeManagement({OWNER: 3})
    make = partial(Simulation, plugins=plugins(), cloud=partial(ApiCloud, management=management))
    stage = Stage(f"guard-{scene}", cast, seed=seed, tell=tell, attend=attend, make=make)
    simulation = stage.simulation
    one = Play(stage, Onlooker(simulation, management))
    agents = simulation.processes[AGENTS]
    agents._hands = Watched(agents._hands, one.onlooker)
    simulation.watch(one.onlooker.look)
    if scene == "persons":
        one.person("m1", PERSONS)
    for obj in cast.objects:
        simulation.create(obj)
    rested = [one.rest()]
    simulation.run_until(lambda: False, limit=MOMENT)
    one.onlooker.since = simulation.time.elapsed
    SCENES[scene](one)
    rested.append(one.rest())
    return stage.end(
        checks(one, scene, nanoseconds(slack), rested=all(rested)), f"{len(one.onlooker.begun)} upgrades"
    )


@cache
def plugins() -> Plugins:
    """Find them once for all plays: none keeps anything of one."""
    return Plugins.discover()


def checks(one: Play, scene: str, slack: int, *, rested: bool) -> Iterator[Check]:
    """Judge what Cluster API was told against what was done and permitted."""
    seen, begun = one.onlooker, one.onlooker.begun
    yield all_of("each act, and all of it, with skip-remediation", seen.wrong)
    few = () if len(begun) >= UPGRADES[scene] else (f"{begun}",)
    yield all_of("what was wanted was begun", few)
    yield all_of("borne while a permit lasts, and no longer", _needless(one, scene, slack))
    yield all_of("nothing of ours is left but the hook", _left(one, scene))
    yield all_of("came to rest", () if rested else ("still busy",))


def _needless(one: Play, scene: str, slack: int) -> Iterable[str]:
    """Compare when it was borne with when the ledger had a permit, where no person has said it."""
    for name in sorted(one.simulation.hosts):
        if name == "m1" and scene in THEIRS:
            continue
        lasted, borne = _permitted(one, name), one.onlooker.borne(name)
        begins = [first - opened for (first, _), (opened, _) in zip(borne, lasted, strict=False)]
        ends = [last - closed for (_, last), (_, closed) in zip(borne, lasted, strict=False)]
        if scene == "refused" and begins and begins[0] > REFUSED:
            begins[0] = 0
        late = (*begins, *ends)
        if len(lasted) != len(borne) or any(not 0 <= each <= slack for each in late):
            yield f"{name}: borne {borne}, permitted {lasted}"


def _permitted(one: Play, machine: str) -> Times:
    """Give from when to when the ledger had a permit; of one that follows another at once, both together."""
    times: Times = []
    for each in one.stage.witness.permits.values():
        if each.opened >= one.onlooker.since and each.hold.machine == machine:
            begun = times.pop()[0] if times and times[-1][1] == each.opened else each.opened
            times.append((begun, NEVER if each.closed is None else each.closed))
    return times


def _left(one: Play, scene: str) -> Iterable[str]:
    for name in sorted(one.simulation.hosts):
        found = one.onlooker.annotations(name)
        wanted = {HOOK: OURS, **({SKIP: PERSONS} if name == "m1" and scene in THEIRS else {})}
        held = {key: found[key] for key in (HOOK, SKIP, HANDS_OFF) if key in found}
        if held != wanted:
            yield f"{name}: {held}"


PLAYS: Final[Mapping[str, Callable[..., Told]]] = {
    f"guard-{scene}": partial(play, scene, slack=SLACK) for scene in SCENES
}
