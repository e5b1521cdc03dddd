"""What is measured, by name: each part on a control plane of its own."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs

from kubenode.runtime.testing import ControlPlane, install
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.benchmarks.kube import machines, table
from tests.benchmarks.kube.contest import BARE, CLIENT_GO, KOPF, OURS, Contest, Found, contestants, python
from tests.benchmarks.kube.process import Process
from tests.benchmarks.kube.raw import Server
from tests.benchmarks.kube.upgrade import AGENTS, Answered, Fleet, Upgraded
from tests.benchmarks.kube.witness import Witness
from tests.benchmarks.rows import Row


@attrs.frozen(kw_only=True)
class Sizes:
    """How much is measured.

    Attributes:
        contest: objects of the contest.
        rounds: of each contestant, and of the listing.
        held: objects that are listed and held.
        fleets: machines of each upgrade, rising.
        faults: in the first fleet of at least 1,000 machines, or the last one.
        pause: between two of them, seconds.
    """

    contest: int = 1000
    rounds: int = 3
    held: int = 5000
    fleets: tuple[int, ...] = (1000, 2000, 5000)
    faults: int = 100
    pause: float = 1.0


QUICK: Final = Sizes(contest=20, rounds=1, held=50, fleets=(4, 8), faults=2)


@attrs.frozen(kw_only=True)
class Stage:
    """Where a part is measured, and how much of it.

    Attributes:
        binaries: the programs of the control plane.
        folder: for logs, and what is built.
        say: tells how far it is.
    """

    binaries: Path
    folder: Path
    sizes: Sizes
    say: Callable[[str], None]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[ControlPlane, Server]]:
        """Start a control plane with our kinds; give it, and its server as seen by who prepares what is measured."""
        with ControlPlane.start(self.binaries, self.folder, controller_manager=False) as plane:
            install(plane)
            async with Server(plane.kubeconfig("benchmark:stage", ("system:masters",))) as server:
                yield plane, server


async def contest(stage: Stage) -> list[Row]:
    """Let all do the same job in turn."""
    sizes = stage.sizes
    people = contestants((OURS, BARE, CLIENT_GO, KOPF), stage.folder)
    found: dict[str, list[Found]] = {one.name: [] for one in people}
    async with stage.opened() as (plane, server):
        await machines.make(server, sizes.contest)
        async with Witness(server) as witness:
            play = Contest(plane, server, stage.folder, sizes.contest)
            for number in range(1, sizes.rounds + 1):
                for one in people:
                    got = await play.round(one, witness)
                    found[one.name].append(got)
                    stage.say(
                        f"round {number} of {sizes.rounds}: {one.name}: {1e6 * got.live_cpu:,.0f} us CPU an object,"
                        f" {got.backlog_rate:.0f} writes/s"
                    )
    return list(table.contest_rows(found, sizes.contest))


async def held(stage: Stage) -> list[Row]:
    """List and hold many objects: memory of each contestant but kopf, and what our own listing costs."""
    sizes = stage.sizes
    people = contestants((OURS, BARE, CLIENT_GO), stage.folder)
    resident: dict[str, list[int]] = {one.name: [] for one in people}
    listings: list[Mapping[str, float]] = []
    async with stage.opened() as (plane, server):
        await machines.make(server, sizes.held)
        async with Witness(server) as witness:
            play = Contest(plane, server, stage.folder, sizes.held)
            async with play.start(people[0]) as process:
                await play.at_rest(people[0], process, witness)
            for number in range(1, sizes.rounds + 1):
                for one in people:
                    async with play.start(one) as process:
                        await play.at_rest(one, process, witness)
                        resident[one.name].append(process.rss)
                listings.append(await _listing(stage, plane))
                stage.say(
                    f"round {number} of {sizes.rounds}: {sizes.held:,} objects held: "
                    + ", ".join(f"{name} {found[-1] / 2**20:.0f} MiB" for name, found in resident.items())
                    + f"; listed for {1e6 * listings[-1]['cpu'] / sizes.held:.0f} us each"
                )
            traced = await _listing(stage, plane, "held")
    return [*table.rss_rows(resident, sizes.held), table.list_row(listings, traced)]


async def _listing(stage: Stage, plane: ControlPlane, *more: str) -> Mapping[str, float]:
    kubeconfig = plane.kubeconfig("benchmark:listing", ("system:masters",))
    command = (*python("listing"), str(kubeconfig), *more)
    async with Process("listing", command, stage.folder / "listing.log") as process:
        found: Mapping[str, float] = json.loads(await process.done())
        return found


async def upgrade(stage: Stage) -> list[Row]:
    """Roll a component out over a fleet of each size, each on objects of its own; then let machines of one fleet hang."""
    found: list[Upgraded] = []
    answers: list[Answered] = []
    at = next((size for size in stage.sizes.fleets if size >= 1000), stage.sizes.fleets[-1])
    for size in stage.sizes.fleets:
        async with stage.opened() as (plane, server):
            users = {
                AGENTS: plane.kubeconfig(AGENTS, ("system:masters",)),
                CONTROLLER_USER: plane.kubeconfig(CONTROLLER_USER),
            }
            async with Fleet(users, plane.audit_log, server, stage.folder, size) as fleet:
                stage.say(f"upgrade: {size:,} machines are up")
                got = await fleet.upgrade()
                found.append(got)
                stage.say(f"upgrade: {size:,} machines: {got.cpu:.1f} CPU s; {json.dumps(got.by_verb)}")
                if size == at:
                    answers = await fleet.faults(min(stage.sizes.faults, size), stage.sizes.pause)
    return [*table.upgrade_rows(found), table.fault_row(answers, at)]


PARTS: Final[Mapping[str, Callable[[Stage], Awaitable[list[Row]]]]] = {
    "contest": contest, "held": held, "upgrade": upgrade,
}  # fmt: skip
