"""What the detector costs, and how soon it tells: `python -m tests.benchmarks.detector`.

The kernel log is a socket of packets, which is read as /dev/kmsg is: a system call a record, epoll before it. A process of
its own writes it, a thousand lines a second; of the reader only CPU is counted. The bare loop waits in the same way, reads
each record and drops it.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from kubenode.core import model as m
from kubenode.core.crd import schema_of
from kubenode.core.detect.facts import SERVICES, Facts
from kubenode.core.detect.rules import OF_HOSTS
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.agent.host import About, RealHost
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.detector.detector import GATHER, LONGER, LOOK_EVERY, Detector, WatchedLog
from kubenode.runtime.detector.kept import KeptDetector
from kubenode.runtime.detector.kmsg import Kmsg
from kubenode.runtime.detector.source import readable
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.engine.loop import Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.embedded import EmbeddedStore
from tests.benchmarks.rows import Row, show

RATE = 1000
LINES = (
    "audit: type=1400 audit(1730000000.123:45): apparmor=\"ALLOWED\" operation=\"open\" profile=\"x\" pid=4121 comm=\"java\"",
    "IPv6: ADDRCONF(NETDEV_CHANGE): veth1a2b3c4d: link becomes ready",
    "eth0: renamed from tmp4d2a1", "cni0: port 7(veth1a2b3c4d) entered forwarding state",
    "EXT4-fs (dm-3): mounted filesystem with ordered data mode. Quota mode: none.",
)  # fmt: skip
WRITER = """
import socket, sys, time
out = socket.socket(fileno=int(sys.argv[1])); rate = int(sys.argv[2]); lines = sys.argv[3:]
number, began = 0, time.perf_counter()
while True:
    due = int((time.perf_counter() - began) * rate)
    while number < due:
        out.send(f"6,{number},{number * 1000},-;{lines[number % len(lines)]}\\n SUBSYSTEM=net\\n".encode())
        number += 1
    time.sleep(0.002)
"""
HUNG = "INFO: task dd:4121 blocked for more than 120 seconds."


@contextmanager
def written(rate: int) -> Iterator[int]:
    """Give the end of a log that is written at that rate."""
    into, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    into.setblocking(False)
    with into, out:
        argv = [sys.executable, "-c", WRITER, str(out.fileno()), str(rate), *LINES]
        writer = subprocess.Popen(argv, pass_fds=(out.fileno(),))
        try:
            yield into.fileno()
        finally:
            writer.kill()
            writer.wait()


def kmsg(file: int) -> Kmsg:
    """Read an open log."""
    source = Kmsg()
    source._file = os.dup(file)
    return source


async def bare(file: int, seconds: float) -> tuple[int, float]:
    """Read and drop; give how many records, and CPU seconds."""
    count, end, began = 0, time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        await readable(file, 0.5)
        with suppress(BlockingIOError):
            while os.read(file, 8192):
                count += 1
        await asyncio.sleep(LONGER * GATHER)
    return count, time.process_time() - began


async def detected(file: int, seconds: float) -> tuple[int, float]:
    """Detect; give how many records, and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        log = WatchedLog(name="kernel", source=kmsg(file), rules=OF_HOSTS, services=SERVICES)
        made = Detector((log,), "b1", KeptDetector(Path(folder)), Facts, SystemClock(), lambda: None)
        task = asyncio.create_task(made.run())
        await asyncio.sleep(0.5)
        before, began = made._known["kernel"].state, time.process_time()
        await asyncio.sleep(seconds)
        cpu, after = time.process_time() - began, made._known["kernel"].state
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        dropped = after.dropped - before.dropped
        if dropped:
            raise RuntimeError(f"{dropped} records were dropped, so this measures less than was written")
        return after.sequence - before.sequence, cpu


def cost(seconds: float, rounds: int) -> tuple[Row, ...]:
    """Measure both in turn, and compare medians."""
    shares: dict[str, list[float]] = {"bare": [], "detector": []}
    for _ in range(rounds):
        for name, reader in (("bare", bare), ("detector", detected)):
            with written(RATE) as file:
                count, cpu = asyncio.run(reader(file, seconds))
            shares[name].append(cpu / count * RATE)
    one, other = (sorted(shares[name])[rounds // 2] for name in ("bare", "detector"))
    return (
        Row(what=f"a bare loop that reads {RATE:,} lines/s", figure=f"{one:.2%} of a core", numbers={"share": one}),
        Row(
            what=f"the detector at {RATE:,} lines/s", figure=f"{other:.2%} of a core", numbers={"share": other},
            aim="<= 1 %", met=other <= 0.01,
        ),
        Row(what="as a ratio to the bare loop", figure=f"{other / one:.1f}", numbers={"ratio": other / one}),
    )  # fmt: skip


class Line:
    """A kernel log that is written a line at a time, an agent of it, and a store."""

    def __init__(self, folder: Path) -> None:
        self.into, self.out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.into.setblocking(False)
        kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
        self.api = EmbeddedStore(kinds, clock=lambda: datetime.now(UTC))
        state = folder / "state"
        state.mkdir(mode=0o700)
        clock = SystemClock()
        log = WatchedLog(name="kernel", source=kmsg(self.into.fileno()), rules=OF_HOSTS, services=SERVICES)
        self.detector = Detector(
            (log,), "b1", KeptDetector(state), lambda: Facts(hung=0), clock, self._stir, look_every=LOOK_EVERY
        )
        about = About(
            machine="m1", node="n1", boot_id="b1", version="1", conditions=lambda: self.detector.conditions
        )  # fmt: skip
        self.host = RealHost(about, state, lambda: None, root=folder)
        self.driver = Driver(agents(self.host, Plugins.given()), self.api, clock, hands=self.host)

    def _stir(self) -> None:
        self.driver.tell(Stirred(key=Key("agent", "m1")))

    async def holds(self) -> bool:
        """Tell whether the condition is written, and True."""
        agent = ((await self.api.get(m.Machine.KIND, "m1")).get("status") or {}).get("agent") or {}
        return any(
            (one["type"], one.get("status", "True")) == ("KernelDeadlock", "True")
            for one in agent.get("conditions", ())
        )


async def told(folder: Path) -> float:
    """Give the seconds from a line to its condition in the store, of an agent that was at rest."""
    line = Line(folder)
    await line.api.create(m.Machine.KIND, {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m1"},
        "spec": {"host": {"address": "10.0.0.1"}},
    })  # fmt: skip
    tasks = [asyncio.create_task(line.driver.run()), asyncio.create_task(line.detector.run())]
    await asyncio.sleep(0.4)
    watch = await line.api.watch(
        m.Machine.KIND,
        resource_version=(await line.api.get(m.Machine.KIND, "m1"))["metadata"]["resourceVersion"],
    )
    began = time.perf_counter()
    line.out.send(f"3,1,{time.monotonic_ns() // 1000},-;{HUNG}\n".encode())
    async with asyncio.timeout(10):
        while not await line.holds():
            await watch.events()
    took = time.perf_counter() - began
    await watch.close()
    line.driver.stop()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    line.host.close(5)
    line.into.close()
    line.out.close()
    return took


def latency(times: int) -> Row:
    """Measure so often, each with an agent of its own."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(told(Path(folder))))
    found.sort()
    p50, p99 = found[len(found) // 2], found[min(len(found) - 1, round(len(found) * 0.99))]
    return Row(
        what=f"from a line to its condition in status.agent, {times} times (store in the same process)",
        figure=f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms", numbers={"p50": p50, "p99": p99},
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each run at a thousand lines a second")
    parser.add_argument("--rounds", type=int, default=5, help="of both, in turn")
    parser.add_argument("--times", type=int, default=100, help="that a line becomes a condition")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table")
    told = parser.parse_args()
    show((*cost(told.seconds, told.rounds), latency(told.times)), told.output)


if __name__ == "__main__":
    main()
