"""What an agent costs a node, and the API server: `python -m tests.benchmarks.agent`, as root, since it takes a test host.

The bundle, as its unit, on a real host with a real kubelet and API server: twelve components, the detector on, all at
target. Memory is what the kernel counts for the process (VmRSS, so pages of the program's files are in it), CPU is of the
process and of what it has started and waited for. `--bundle FILE` takes a bundle that is there.

rest: nothing happens, for longer than it is from one look at all components to the next.
upgrade: one component; who wrote what by the server's audit log.
flap: the file of one component is changed twice a second.
lines: how soon a line of a log is a condition of the Node, as `python -m tests.benchmarks.conditions`.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core.enrol.identity import user_of
from kubenode.runtime.bundle import build
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.benchmarks.conditions import RATES, judged
from tests.benchmarks.kube.audit import Audit, Entry
from tests.benchmarks.lines import rule_file
from tests.benchmarks.rows import Row, show
from tests.cluster.build import Unavailable
from tests.cluster.test_enrolment import World
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.fixture import Parts, find_parts
from tests.hosts.kubelet import PROGRAM
from tests.hosts.stage import Stage

COMPONENTS: Final = 12
MOST_MIB: Final = 60
MOST_CPU: Final = 0.01
PARTS: Final = ("rest", "upgrade", "flap", "lines")
SLICE: Final = 10.0
"""Seconds from one question for the agent's CPU to the next."""
_SETTLED: Final = 20.0
_FLAP: Final = 0.5
_BESIDE: Final = ("events", "leases")
_CONFLICT: Final = 409
_LOG: Final = "/var/log/bench.log"
_RULES: Final = "/etc/kubenode/rules.json"
_SETTINGS: Final = "/etc/kubenode/agent.env"
_CONTAINERD: Final = "1.6.20~ds1-1+deb12u2"


def prepare(node: Kept, more: str) -> None:
    """Let a node have twelve components."""
    node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 20}]})
    wanted = {f"file-{number}": _file(number, "1", f"number: {number}\n") for number in range(COMPONENTS - 2)}
    sysctl = {"name": "bench", "sysctl": {"net.ipv4.ip_forward": "1"}}
    wanted["kernel"] = {"version": "1", "driver": "kernel", "parameters": sysctl}
    package = {"package": "containerd", "unit": "containerd.service"}
    wanted["containerd"] = {"version": _CONTAINERD, "driver": "package", "parameters": package}
    for name, spec in wanted.items():
        node.apply("MachineComponent", f"bench-{name}", spec)
    node.install_agent(*more.split())
    for name in wanted:
        node.runs(name, f"bench-{name}")
    node.wait_running({name: spec["version"] for name, spec in wanted.items()})


def _path(number: int) -> str:
    return f"/etc/app-{number}.conf"


def _file(number: int, version: str, content: str) -> dict[str, Any]:
    return {"version": version, "driver": "file", "parameters": {"path": _path(number), "content": content}}


def resident(node: Kept) -> Mapping[str, float]:
    """Give the memory of the agent, MiB: all of it, what is its own, and what is of files."""
    status = node.host.read(f"/proc/{_process(node)}/status")
    found = dict(re.findall(r"^(VmRSS|RssAnon|RssFile):\s+(\d+) kB$", status, re.MULTILINE))
    return {name: int(kib) / 1024 for name, kib in found.items()}


@attrs.frozen
class Used:
    """What the agent has used so far.

    Attributes:
        seconds: of CPU, its children's included.
        faults: of pages, of the programs that it has run: more than before when it has run one.
    """

    seconds: float
    faults: int


def used(node: Kept) -> Used:
    """Ask the kernel."""
    fields = node.host.read(f"/proc/{_process(node)}/stat").rpartition(")")[2].split()
    return Used(sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), int(fields[8]))


def _process(node: Kept) -> str:
    return node.host.run("systemctl", "show", "-P", "MainPID", UNIT).strip()


def rest_rows(memory: Mapping[str, float], cpu: float, seconds: float, most: float) -> tuple[Row, ...]:
    """Say what an agent at rest costs.

    Args:
        memory: as `resident` gives it.
        cpu: seconds of it.
        seconds: of rest.
        most: CPU seconds of the `SLICE` in which it used most.
    """
    mib = memory["VmRSS"]
    return (
        Row(
            what=f"memory of a bundled agent at rest, {COMPONENTS} components",
            figure=f"{mib:.1f} MiB ({memory['RssAnon']:.1f} its own, {memory['RssFile']:.1f} of files)",
            numbers={"mib": mib}, aim=f"< {MOST_MIB} MiB", met=mib < MOST_MIB,
        ),
        Row(
            what=f"CPU of the same, over {seconds:.0f} s with a look at all components in them",
            figure=f"{cpu / seconds:.2%} of a core ({most / SLICE:.1%} in the {SLICE:.0f} s of the most)",
            numbers={"cpu": cpu / seconds, "most": most / SLICE}, aim="< 1 %", met=cpu / seconds < MOST_CPU,
        ),
    )  # fmt: skip


def rest(node: Kept, seconds: float) -> tuple[Row, ...]:
    """Let it rest, as in most of its life: enrolled before."""
    node.host.run("systemctl", "restart", UNIT)
    time.sleep(_SETTLED)
    found, end = [used(node)], time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(SLICE)
        found.append(used(node))
    if found[-1].faults == found[0].faults:
        raise RuntimeError(f"no program was run in {seconds:.0f} s, so there was no look at all components")
    most = max(after.seconds - before.seconds for before, after in pairwise(found))
    return rest_rows(resident(node), found[-1].seconds - found[0].seconds, SLICE * (len(found) - 1), most)


def upgrade(node: Kept, audit: Path) -> tuple[Row, ...]:
    """Bring one component to another version, and count what is written for it."""
    node.apply("MachineComponent", "bench-next", _file(1, "2", "next"))
    time.sleep(_SETTLED)
    since = Audit(audit)
    node.runs("file-1", "bench-next")
    node.wait_running({"file-1": "2"})
    node.wait_complete("file-1")
    time.sleep(_SETTLED)
    return (upgrade_row(since.entries(), node.name),)


def upgrade_row(entries: Iterable[Entry], machine: str) -> Row:
    """Say who wrote what of an upgrade, by the audit log of the time that it took."""
    who = {user_of(machine): "agent", CONTROLLER_USER: "controller"}
    ours = [one for one in entries if one.user in who and one.resource not in _BESIDE]
    found = Counter(f"{one.resource} by the {who[one.user]}" for one in ours)
    of_machine = sum(one.resource.partition("/")[0] == "machines" for one in ours)
    again = sum(one.code == _CONFLICT for one in ours)
    said = ", ".join(f"{count} of {name}" for name, count in sorted(found.items()))
    return Row(
        what="writes for an upgrade of one component on one node, in a batch of one",
        figure=f"{len(ours)}, {of_machine} of them of its Machine: {said}; {again} of all had to be made again",
        numbers={**found, "writes": len(ours), "of_machine": of_machine, "again": again},
    )  # fmt: skip


def flap(node: Kept, seconds: float) -> tuple[Row, ...]:
    """Let the file of one component change all the time, and give it back in the end."""
    path = node.host.place(_path(0))
    right = path.read_text()
    before, end, times = used(node), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        times += 1
        path.write_text("wrong\n" if times % 2 else right)
        time.sleep(_FLAP)
    cpu = (used(node).seconds - before.seconds) / seconds
    path.write_text(right)
    mib = resident(node)["VmRSS"]
    return (
        Row(
            what=f"CPU of the same while one of them is changed {1 / _FLAP:.0f} times a second, for {seconds:.0f} s",
            figure=f"{cpu:.2%} of a core; memory after it {mib:.1f} MiB", numbers={"cpu": cpu, "mib": mib},
        ),
    )  # fmt: skip


class OnHost:
    """The agent of a host that follows a log there; implements Followed."""

    def __init__(self, node: Kept) -> None:
        """Tell it of the log and its rules; it is started anew by `anew`."""
        self._node = node
        self.machine = self.node = node.name
        node.host.write(_LOG, "")
        node.host.write(_RULES, json.dumps(rule_file()))
        told = node.host.read(_SETTINGS).replace("OPTIONS=", f"OPTIONS=--kernel-log {_LOG} --rules {_RULES} ")
        node.host.write(_SETTINGS, f"{told}TZ=UTC\n", mode=0o600)
        self.log = node.host.place(_LOG)

    def anew(self) -> None:
        """Start it, without what it has found before."""
        host = self._node.host
        host.run("systemctl", "stop", UNIT)
        host.run("rm", "-f", "/var/lib/kubenode/detector.json")
        host.run("systemctl", "start", UNIT)

    def said(self) -> str:
        """Give its own log."""
        return self._node.host.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT)

    def used(self) -> float:
        """Give the CPU seconds of its process so far."""
        return used(self._node).seconds


def lines(node: Kept, plane: ControlPlane, times: int) -> Iterator[Row]:
    """Let lines become conditions, without and beside others."""
    one = OnHost(node)
    for rate in RATES:
        yield from asyncio.run(
            judged(plane, one, f"a bundled agent with {COMPONENTS} components", times, rate)
        )


def measured(parts: Parts, bundle: Path, folder: Path, told: argparse.Namespace) -> list[Row]:
    """Measure on a host of its own."""
    top = folder / "layer" / "opt" / "kubenode"
    with tarfile.open(bundle) as tar:
        tar.extractall(top / "first", filter="data")
    (top / "bin").symlink_to("first/bin")
    with (
        Stage.start(parts.image, parts.binaries) as stage,
        stage.network.inside(),
        World.on(stage.control_plane, folder / "controller") as world,
        kept(stage, world, "bench", stage.layer(parts.kubelet, PROGRAM), folder / "layer") as node,
    ):
        prepare(node, told.options)
        found: Mapping[str, Callable[[], Iterable[Row]]] = {
            "rest": lambda: rest(node, told.seconds),
            "upgrade": lambda: upgrade(node, stage.control_plane.audit_log),
            "flap": lambda: flap(node, told.flap),
            "lines": lambda: lines(node, stage.control_plane, told.times),
        }  # fmt: skip
        rows: list[Row] = []
        for name in PARTS:
            if name in told.only:
                print(f"{name} is measured", file=sys.stderr, flush=True)
                rows.extend(found[name]())
        return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=330, help="of rest; default: with a look at all components in them"
    )
    parser.add_argument("--flap", type=float, default=60, help="seconds in which one component flaps")
    parser.add_argument("--times", type=int, default=48, help="that a line becomes a condition, each way")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these")
    parser.add_argument("--bundle", type=Path, help="a bundle that is there; default: made anew")
    parser.add_argument("--options", default="--inspect-seconds 300", help="more options of the agent")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table")
    told = parser.parse_args()
    parts = find_parts()
    if isinstance(parts, str):
        raise Unavailable(parts, fix="a machine that can have test hosts")
    with tempfile.TemporaryDirectory(prefix="kubenode-bench-") as name:
        folder = Path(name)
        (folder / "controller").mkdir()
        bundle = told.bundle if told.bundle is not None else build(folder)
        show(measured(parts, bundle, folder, told), told.output)


if __name__ == "__main__":
    main()
