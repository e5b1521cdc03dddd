"""What an agent costs a node at rest: `python -m tests.benchmarks.agent`, as root, since it takes a test host.

The bundle, as its unit, on a real host with a real kubelet and API server: twelve components, the detector on, all at
target. Memory is what the kernel counts for the process (VmRSS, so pages of the program's files are in it), CPU is of the
process and of what it has started and waited for. `--bundle FILE` takes a bundle that is there.
"""

import argparse
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kubenode.runtime.bundle import build
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
_SETTLED: Final = 20.0
_CONTAINERD: Final = "1.6.20~ds1-1+deb12u2"


def prepare(node: Kept, more: str) -> Mapping[str, str]:
    """Let a node have twelve components; give version by entry."""
    node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 20}]})
    wanted = {
        f"file-{number}": ("1", "file", {"path": f"/etc/app-{number}.conf", "content": f"number: {number}\n"})
        for number in range(COMPONENTS - 2)
    }
    wanted["kernel"] = ("1", "kernel", {"name": "bench", "sysctl": {"net.ipv4.ip_forward": "1"}})
    wanted["containerd"] = (
        _CONTAINERD,
        "package",
        {"package": "containerd", "unit": "containerd.service"},
    )
    for name, (version, driver, parameters) in wanted.items():
        spec = {"version": version, "driver": driver, "parameters": parameters}
        node.apply("MachineComponent", f"bench-{name}", spec)
    node.install_agent(*more.split())
    for name in wanted:
        node.runs(name, f"bench-{name}")
    versions = {name: version for name, (version, _, _) in wanted.items()}
    node.wait_running(versions)
    return versions


def resident(node: Kept) -> Mapping[str, float]:
    """Give the memory of the agent, MiB: all of it, what is its own, and what is of files."""
    status = node.host.read(f"/proc/{_process(node)}/status")
    found = dict(re.findall(r"^(VmRSS|RssAnon|RssFile):\s+(\d+) kB$", status, re.MULTILINE))
    return {name: int(kib) / 1024 for name, kib in found.items()}


def used(node: Kept) -> float:
    """Give the CPU seconds of the agent so far, its children's included."""
    fields = node.host.read(f"/proc/{_process(node)}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _process(node: Kept) -> str:
    return node.host.run("systemctl", "show", "-P", "MainPID", UNIT).strip()


def rows(memory: Mapping[str, float], cpu: float, seconds: float) -> tuple[Row, ...]:
    """Say what was measured."""
    mib = memory["VmRSS"]
    return (
        Row(
            what=f"memory of a bundled agent at rest, {COMPONENTS} components",
            figure=f"{mib:.1f} MiB ({memory['RssAnon']:.1f} its own, {memory['RssFile']:.1f} of files)",
            numbers={"mib": mib}, aim=f"< {MOST_MIB} MiB", met=mib < MOST_MIB,
        ),
        Row(
            what=f"CPU of the same, over {seconds:.0f} s",
            figure=f"{cpu / seconds:.2%} of a core", numbers={"cpu": cpu / seconds},
            aim="< 1 %", met=cpu / seconds < MOST_CPU,
        ),
    )  # fmt: skip


def measured(parts: Parts, bundle: Path, folder: Path, seconds: float, more: str) -> tuple[Row, ...]:
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
        prepare(node, more)
        node.host.run("systemctl", "restart", UNIT)  # as most of its life: enrolled before
        time.sleep(_SETTLED)
        before = used(node)
        time.sleep(seconds)
        return rows(resident(node), used(node) - before, seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of rest that are measured")
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
        show(measured(parts, bundle, folder, told.seconds, told.options), told.output)


if __name__ == "__main__":
    main()
