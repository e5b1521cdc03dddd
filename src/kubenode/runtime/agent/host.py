"""The host that this agent runs on, as `Hosts` wants it: what is known of it, how it looks, and steps that are run on it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from kubenode.core.decision import RunSteps
from kubenode.core.hookspecs import Seen
from kubenode.core.host.decide import HostSeen
from kubenode.core.host.trial import Arrival
from kubenode.core.model.condition import Condition
from kubenode.core.probe import Probe
from kubenode.runtime.agent.artifacts import Artifacts
from kubenode.runtime.agent.commands import Commands, Runner
from kubenode.runtime.agent.controller import CannotLook
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.download import Download
from kubenode.runtime.agent.executor import Executor, Pause
from kubenode.runtime.agent.journal import Journal
from kubenode.runtime.agent.kernel import Kernel
from kubenode.runtime.agent.look import Looker
from kubenode.runtime.agent.rpm import package_manager
from kubenode.runtime.agent.stage import Supply
from kubenode.runtime.agent.tree import StepFailed, Tree
from kubenode.runtime.agent.trial import Trials
from kubenode.runtime.agent.units import Units
from kubenode.runtime.agent.upgrade import Own, Upgrades
from kubenode.runtime.agent.watch import Watch
from kubenode.runtime.agent.work import Work
from kubenode.runtime.clock import SystemClock

_MOST_LOOKS: Final = 64
"""Looks that are kept: as many as a Machine has components at most."""
FRESH: Final = 1.0
"""Seconds in which what was found is not looked at again, if nothing was heard: a report of ours is heard of as well, and a
host that flaps would be looked at and reported as fast as the server answers."""
STANDS: Final = 600.0
"""Seconds in which what was found stands for what a detector has to tell, however often it does."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id(path: Path = BOOT_ID) -> str:
    """Give the id of this boot, as the kernel made it up. Raises OSError."""
    return path.read_text(encoding="ascii").strip()


@attrs.frozen(kw_only=True)
class About:
    """What an agent is told of its host.

    Attributes:
        machine: the name of its Machine.
        node: the name of its Node.
        boot_id: of this boot.
        version: of the agent.
        address: gives the host's own address; empty while it has none.
        conditions: gives what the detector finds.
        own: what the agent knows of its own process; by default nothing, and then it is not upgraded.
    """

    machine: str
    node: str
    boot_id: str
    version: str
    address: Callable[[], str] = str
    conditions: Callable[[], tuple[Condition, ...]] = tuple
    own: Own = attrs.field(factory=Own)


class RealHost:
    """One host, under a root; implements `Hosts`. To be closed.

    Args:
        about: what is known of it.
        state: the agent's own folder, where nobody else may write.
        told: is told when steps have ended; from another thread.
        root: where its files are; another one than "/" is for tests.
        run: runs programs.
        disk: does what is done to files.
        sleep: waits for some seconds, while a unit settles or another has the package manager; raises Stopped.
        supply: where artifacts come from.

    Raises:
        JournalFailed: the journal cannot be opened, or another agent has it.
    """

    def __init__(
        self, about: About, state: Path, told: Callable[[], None], *, root: Path = Path("/"), run: Runner | None = None,
        disk: Disk | None = None, sleep: Pause | None = None, supply: Supply | None = None,
    ) -> None:  # fmt: skip
        self._about = about
        self._journal = Journal(state, disk)
        disk = disk if disk is not None else Disk()
        commands = run if run is not None else Commands()
        tree = Tree(root, disk)
        pause = sleep if sleep is not None else self._pause
        units, packages = Units(commands, pause), package_manager(tree, commands, pause)
        self._units = units
        self._watch: Watch | None = None
        self._looker = Looker(tree, units, packages, commands, before=self._follow)
        clock = self._clock = SystemClock()
        if supply is None:
            supply = Supply(fetch=Download(lambda: clock.now().elapsed / 1e9, lambda: pause(0)))
        artifacts = Artifacts(tree, disk, supply, pause)
        self._trials = Trials(state, disk, "agent")
        self._arrival: Arrival | None = None
        upgrades = Upgrades(
            own=about.own, tree=tree, units=units, artifacts=artifacts, trials=self._trials,
            run=commands, pause=pause, arrival=lambda: self._arrival,
        )  # fmt: skip
        kernel = Kernel(tree, commands)
        executor = Executor(tree, units, packages, artifacts, kernel, upgrades, about.boot_id, pause)
        self._work = Work(self._journal, executor, about.boot_id, told)
        self._looks: dict[tuple[Probe, ...], tuple[int, Seen]] = {}
        self._ahead: Mapping[tuple[Probe, ...], Seen | CannotLook] = {}
        self._heard = 0
        self._since = 0
        self._detected = -int(FRESH * 1e9)
        self._reuses = False

    def _pause(self, seconds: float) -> None:
        self._work.pause(seconds)

    def hears(self, watch: Watch) -> None:
        """Let it be watched for changes of what is looked at; until then nobody hears of one."""
        self._watch = watch

    def _follow(self, probes: Sequence[Probe]) -> None:
        if self._watch is not None:
            self._watch.follow(probes)

    def settles(self, wait: Callable[[], object]) -> None:
        """Let an operation wait, in its own thread, until what it was decided on stands on the disk."""
        self._work.settle = wait

    def heard(self) -> None:
        """Say that something may have changed: the next look is a new one."""
        self._heard = self._clock.now().elapsed

    def detected(self) -> None:
        """Say that the detector tells something else: that is no reason to look, and what it tells may be why a look hangs."""
        self._detected = self._clock.now().elapsed

    def resume(self) -> None:
        """Take up what was cut short; called once, before anything else, and it needs no server."""
        self._work.resume()

    def is_on_trial(self) -> bool:
        """Tell whether a new agent has to prove itself on this host. Raises StepFailed."""
        return self._trials.current() is not None

    def arrives(self, arrival: Arrival) -> None:
        """Say how far this agent has come; whoever has it on trial asks for that."""
        self._arrival = arrival

    def idle(self) -> bool:
        """Tell whether no steps run."""
        return self._work.idle()

    def close(self, within: float) -> bool:
        """Begin no further step and wait; give whether all ended. What did not is taken up by the next agent."""
        ended = self._work.stop(within)
        if ended:
            self._journal.close()
        return ended

    def seen(self, machine: str) -> HostSeen | None:
        """Give what is known of the host, before all of it is looked at; None for another machine."""
        about = self._about
        if machine != about.machine:
            return None
        self._begin()
        return HostSeen(
            boot_id=about.boot_id, node_name=about.node, agent_version=about.version, address=about.address(),
            conditions=about.conditions(), journal=self._work.entries(), withheld=self._work.trouble(),
        )  # fmt: skip

    def _begin(self) -> None:
        """Begin a look at all of it, unless there was one just now, the detector tells, or steps run.

        What was heard is not answered by any of these.
        """
        self._ahead = {}
        now = self._clock.now().elapsed
        stands = STANDS if now - self._detected < FRESH * 1e9 else FRESH
        self._reuses = self._heard < self._since and now - self._since < stands * 1e9
        if self._reuses or self._work.is_under_way():
            return
        self._since = now
        if self._watch is not None:
            self._watch.begin()

    def foretell(self, machine: str, looks: Sequence[tuple[Probe, ...]]) -> None:
        """Look at all that `look` will be asked for until the next `seen`, at the same time, where it has to be looked at."""
        wanted = [probes for probes in dict.fromkeys(looks) if not self._stands(probes)]
        if wanted and not self._work.is_under_way():
            self._ahead = dict(zip(wanted, self._looker.look_at_all(wanted), strict=True))

    def look(self, machine: str, probes: tuple[Probe, ...]) -> Seen:
        """Look at the host; while steps run, and right after a look, give what was found before.

        What is half done is no state: a new file whose unit still runs with the old one would be at target, and a unit
        between its stop and its start would have drifted.

        Raises:
            CannotLook: nobody can tell; or steps run, and this was not looked at before.
        """
        if self._work.is_under_way():
            return self._before(probes)
        if self._stands(probes):
            return self._looks[probes][1]
        found = self._ahead.get(probes) or self._looker.look(probes)
        if isinstance(found, CannotLook):
            raise found
        if self._work.is_under_way():  # since before it ended
            return self._before(probes)
        self._looks.pop(probes, None)
        self._looks[probes] = self._since, found
        if len(self._looks) > _MOST_LOOKS:
            del self._looks[next(iter(self._looks))]
        return found

    def _stands(self, probes: tuple[Probe, ...]) -> bool:
        """Tell whether this was looked at just now, and nothing was heard since."""
        return self._reuses and probes in self._looks and self._looks[probes][0] == self._since

    def _before(self, probes: tuple[Probe, ...]) -> Seen:
        """Give what was found before the steps that run. Raises CannotLook when this was not looked at."""
        if probes not in self._looks:
            raise CannotLook("steps are under way")
        return self._looks[probes][1]

    def unit(self, name: str) -> str | None:
        """Give the state of a unit, None when there is none. Raises StepFailed when nobody can tell, or steps run."""
        if self._work.is_under_way():
            raise StepFailed("steps are under way")
        return self._units.state(name)

    async def run(self, effect: RunSteps) -> None:
        """Journal the steps and start them, unless their op-id is known."""
        self.heard()  # before they end, whenever that is
        self._work.begin(effect.op_id, effect.steps)


class Onlooker:
    """A host that is looked at and nothing else; implements `Hosts` for who wants to know what would be done.

    Args:
        about: what is known of it.
        root: where its files are.
        run: runs programs.
    """

    def __init__(self, about: About, *, root: Path, run: Runner) -> None:
        self._about = about
        tree = Tree(root)
        units, packages = Units(run, _unwaiting), package_manager(tree, run, _unwaiting)
        self._looker = Looker(tree, units, packages, run)

    def seen(self, machine: str) -> HostSeen | None:
        """Give what is known of the host: nothing of what was done on it."""
        about = self._about
        return HostSeen(
            boot_id=about.boot_id, node_name=about.node, agent_version=about.version, address=about.address()
        )  # fmt: skip

    def foretell(self, machine: str, looks: Sequence[tuple[Probe, ...]]) -> None:
        """Do nothing ahead: whoever asks waits, and may end it."""

    def look(self, machine: str, probes: tuple[Probe, ...]) -> Seen:
        """Look at the host; raises CannotLook."""
        return self._looker.look(probes)

    async def run(self, effect: RunSteps) -> None:
        """Refuse: this only looks."""
        raise TypeError(f"{effect.op_id} is not run: this only looks")


def _unwaiting(seconds: float) -> None:
    raise TypeError(f"a look does not wait {seconds} s")
