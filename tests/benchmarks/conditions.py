"""How soon a line of a log is a condition of its Node: `python -m tests.benchmarks.conditions`.

`kubenode agent` as a process of its own, enrolled, without components, follows a file as the kernel's log; a real
controller brings what it reports onto the Node of a real API server. Once with nothing else in the log, and once beside a
thousand other lines a second. `python -m tests.benchmarks.agent` does the same on a real host with twelve components.
"""

import argparse
import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kubenode.core.host.inspection import INSPECT_EVERY
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.benchmarks.kube.audit import Audit
from tests.benchmarks.kube.raw import Server
from tests.benchmarks.lines import RATE, Followed, heard, rows, rule_file, way
from tests.benchmarks.rows import Row, show
from tests.cluster.build import control_plane_binaries
from tests.cluster.test_agent import Agent, issue
from tests.cluster.test_enrolment import World

RATES: Final = (0, RATE)
_WRITTEN_S: Final = 1.0
"""A watch may tell of a write before the audit log does."""


class Beside:
    """An agent on this machine, with a Machine and a Node that only it is about; implements Followed. To be closed."""

    machine = "bench"
    node = "node-bench"

    def __init__(self, world: World, folder: Path) -> None:
        """Make what it needs; it does not run."""
        self.log = folder / "kern.log"
        self.log.touch()
        self._rules = folder / "rules.json"
        self._rules.write_text(json.dumps(rule_file()))
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node}}
        status, made = world.admin.call("POST", "/api/v1/nodes", node)
        assert status == 201, made
        world.machine(self.machine)
        self._agent = Agent(world, self.machine, folder)
        issue(world, self._agent)

    def anew(self) -> None:
        """Start it, without what it has found before."""
        self.close()
        (self._agent.state / "detector.json").unlink(missing_ok=True)
        every = str(int(INSPECT_EVERY.total_seconds()))
        self._agent.start(
            "--inspect-seconds", every, "--kernel-log", str(self.log), "--rules", str(self._rules)
        )

    def said(self) -> str:
        """Give its own log."""
        return self._agent.log.read_text()

    def used(self) -> float:
        """Give the CPU seconds of its process so far."""
        assert self._agent._process is not None
        fields = Path(f"/proc/{self._agent._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it, if it runs."""
        running = self._agent._process
        if running is not None and running.poll() is None:
            code = self._agent.end(signal.SIGTERM)
            assert code == 0, self._agent.tail()


async def judged(plane: ControlPlane, one: Followed, what: str, times: int, rate: int) -> tuple[Row, ...]:
    """Let so many lines become conditions, beside so many others a second."""
    audit = Audit(plane.audit_log)
    async with Server(plane.admin_kubeconfig) as server:
        found, cpu = await heard(server, one, times, rate)
        await asyncio.sleep(_WRITTEN_S)
    entries, said = audit.entries(), one.said()
    ways = [way(line, said, entries, one.machine, one.node) for line in found]
    return rows(
        f"{what}, beside {rate:,} other lines/s" if rate else f"{what}, beside no other line", ways, cpu
    )


def measured(binaries: Path, folder: Path, times: int) -> tuple[Row, ...]:
    """Measure without and beside others."""
    with ControlPlane.start(binaries) as plane, World.on(plane, folder) as world:
        one = Beside(world, folder)
        try:
            return tuple(
                row
                for rate in RATES
                for row in asyncio.run(judged(plane, one, "an agent without components", times, rate))
            )
        finally:
            one.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    os.environ["TZ"] = "UTC"  # the agent's log has no zone
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.conditions", description=__doc__)
    parser.add_argument("--times", type=int, default=120, help="that a line becomes a condition, each way")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kubenode-bench-") as name:
        show(measured(control_plane_binaries(), Path(name), told.times), told.output)


if __name__ == "__main__":
    main()
