"""The contest: the same job by each contestant in turn, each in a process of its own, on one API server.

Live: all machines' specs are changed while the contestant runs; what it takes of CPU for each is measured here, without its start.
Backlog: they are changed while it is away, then it is started; its rate is measured here, from its first answer to its last, while nobody
else writes.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.runtime.testing import ControlPlane
from tests.benchmarks.kube import machines
from tests.benchmarks.kube.audit import Audit
from tests.benchmarks.kube.process import Process
from tests.benchmarks.kube.raw import Server
from tests.benchmarks.kube.witness import Witness, is_answered

HERE: Final = Path(__file__).parent
OURS, BARE, KOPF, CLIENT_GO = "kubenode", "bare loop", "kopf", "client-go"
QUIET_S: Final = 1.0
QUIET_SHARE: Final = 0.03
"""At rest a contestant takes no more of a core than this for `QUIET_S`; before that it has Events or notes to write."""
NOTES: Final = ("kopf.zalando.org/last-handled-configuration",)


@attrs.frozen(kw_only=True)
class Contestant:
    """A way to do the job.

    Attributes:
        command: what starts it, but for the kubeconfig.
        notes: annotations that it has to put onto every machine before it can begin.
    """

    name: str
    command: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """Its name towards the server, by which the audit log tells it from others."""
        return f"benchmark:{self.name.replace(' ', '-')}"


@attrs.frozen(kw_only=True)
class Found:
    """What one round of one contestant found; CPU is its own in seconds, without the server's.

    Attributes:
        rss: when all was at rest before the first change.
        writes: to the API server, by the audit log, for each change.
    """

    live_rate: float
    live_cpu: float
    backlog_rate: float
    rss: int
    writes: float


def python(module: str) -> tuple[str, ...]:
    """Name the command of a contestant of this folder."""
    return (sys.executable, "-m", f"tests.benchmarks.kube.{module}")


def contestants(names: Sequence[str], folder: Path) -> tuple[Contestant, ...]:
    """Give those of these names, built where they have to be; a contestant that cannot be had is an error."""
    found: list[Contestant] = []
    for name in names:
        if name == OURS:
            found.append(Contestant(name=name, command=python("ours")))
        elif name == BARE:
            found.append(Contestant(name=name, command=python("bare")))
        elif name == KOPF:
            found.append(Contestant(name=name, command=python("framework"), notes=NOTES))
        else:
            found.append(Contestant(name=name, command=(str(built(folder)),)))
    return tuple(found)


def built(folder: Path) -> Path:
    """Build the client-go contestant.

    Raises:
        RuntimeError: Go is missing, or fails.
    """
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(
            "the client-go contestant needs Go on PATH; fix: install it, or leave it out with --only"
        )
    target = folder / "clientgo"
    done = subprocess.run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", str(target), "."], cwd=HERE / "clientgo", check=False,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"the client-go contestant does not build: {done.stderr[-2000:]}")
    return target


class Contest:
    """So many machines on a server, and one contestant after the other on them."""

    def __init__(self, plane: ControlPlane, server: Server, folder: Path, count: int) -> None:
        self._plane = plane
        self._server = server
        self._folder = folder
        self._count = count
        self._turn = 0

    def start(self, one: Contestant) -> Process:
        """Give a contestant, to be entered."""
        kubeconfig = self._plane.kubeconfig(one.user, ("system:masters",))
        return Process(one.name, (*one.command, str(kubeconfig)), self._folder / f"{one.name}.log")

    async def round(self, one: Contestant, witness: Witness) -> Found:
        """Let one contestant do the job, live and as a backlog."""
        audit = Audit(self._plane.audit_log)
        async with self.start(one) as process:
            await self.at_rest(one, process, witness)
            rss, cpu = process.rss, process.cpu
            audit.entries()
            began = time.monotonic()
            await self._change(witness)
            await witness.until(is_answered)
            took = witness.answered_at[-1] - began
            await _quiet(process)
            cpu = process.cpu - cpu
            writes = len(audit.entries(lambda entry: entry.user == one.user))
        await self._change(witness)
        async with self.start(one) as process:
            await witness.until(is_answered)
            rate = (self._count - 1) / (witness.answered_at[-1] - witness.answered_at[0])
            await _quiet(process)
        if one.notes:
            await machines.clear(self._server, self._count, one.notes)
        return Found(
            live_rate=self._count / took, live_cpu=cpu / self._count, backlog_rate=rate, rss=rss,
            writes=writes / self._count,
        )  # fmt: skip

    async def at_rest(self, one: Contestant, process: Process, witness: Witness) -> None:
        """Wait until a contestant that was started has answered all there was, and has nothing left to do."""
        await process.line()
        await witness.until(partial(_noted, one) if one.notes else is_answered)
        await _quiet(process)

    async def _change(self, witness: Witness) -> None:
        """Change the spec of every machine, by a process of its own, and wait until that was seen."""
        self._turn += 1
        witness.answered_at.clear()
        kubeconfig = self._plane.kubeconfig("benchmark:writer", ("system:masters",))
        command = (*python("machines"), str(kubeconfig), str(self._count), str(self._turn))
        async with Process("writer", command, self._folder / "writer.log") as writer:
            await writer.done()
        turn = str(self._turn)
        await witness.until(lambda machine: machine["spec"]["labels"]["turn"] == turn)


async def _quiet(process: Process) -> None:
    """Wait until a process has nothing left to do."""
    cpu = process.cpu
    while True:
        await asyncio.sleep(QUIET_S)
        before, cpu = cpu, process.cpu
        if cpu - before <= QUIET_SHARE * QUIET_S:
            return


def _noted(one: Contestant, machine: Any) -> bool:
    return set(one.notes) <= (machine["metadata"].get("annotations") or {}).keys()
