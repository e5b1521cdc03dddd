"""How soon a line of a log is a condition of its Node: what is written, what a watch sees, and where the time went.

A line is appended to the file that an agent follows. The agent's own log says when its detector had found it, the server's
audit log when the report of it and the controller's patch of the Node came and were answered, and a watch of the Node when
the condition was there to be seen. All of it is on one machine, so by one clock.
"""

import asyncio
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol, Self

import attrs

from kubenode.core.enrol.identity import user_of
from kubenode.runtime.detector.logfile import POLL
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.benchmarks.kube.audit import Entry
from tests.benchmarks.kube.raw import Server
from tests.benchmarks.kube.upgrade import percentile
from tests.benchmarks.rows import Row

TYPES: Final = tuple(f"Fault{number:02}" for number in range(24))
"""With our own, about as many conditions as a Machine's status takes."""
RATE: Final = 1000
OTHERS: Final = (
    'audit: type=1400 audit(1730000000.123:45): apparmor="ALLOWED" operation="open" profile="x" pid=4121 comm="java"',
    "IPv6: ADDRCONF(NETDEV_CHANGE): veth1a2b3c4d: link becomes ready",
    "eth0: renamed from tmp4d2a1", "cni0: port 7(veth1a2b3c4d) entered forwarding state",
    "EXT4-fs (dm-3): mounted filesystem with ordered data mode. Quota mode: none.",
)  # fmt: skip
_NODES: Final = "/api/v1/nodes"
_PATIENCE_S: Final = 60.0
_SETTLED_S: Final = 2.0
_BETWEEN_S: Final = (0.6, 0.6 + POLL)
"""From one condition to the next line: a whole period of looks at the file, so that a line comes at any moment of one."""
_TICK: Final = timedelta(milliseconds=1)
"""What the agent's log leaves off."""
_REFUSED: Final = 300
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_PARTS: Final = {
    "found": f"found by the detector, which looks at a file every {1000 * POLL:.0f} ms", "reported": "report sent",
    "stored": "report answered", "mirrored": "the Node's patch sent", "seen": "seen by the watch",
}  # fmt: skip
_FOUND: Final = re.compile(r"time=(\S+ \S+) .*event=found type=(\w+) status=True")
_WRITER: Final = """
import sys, time
rate, lines = int(sys.argv[2]), sys.argv[3:]
number, began = 0, time.perf_counter()
with open(sys.argv[1], "ab", buffering=0) as out:
    while True:
        due = int((time.perf_counter() - began) * rate)
        if due > number:
            out.write("".join(f"{lines[one % len(lines)]}\\n" for one in range(number, due)).encode())
        number = due
        time.sleep(0.002)
"""


def text_of(type: str) -> str:
    """Give the line that means a condition."""
    return f"nvme0: {type} has been seen"


def rule_file() -> Mapping[str, Any]:
    """Give the rules of these lines, in node-problem-detector's words: each is a condition until the next boot."""
    rules = [
        {"type": "permanent", "condition": type, "reason": "FaultSeen", "pattern": text_of(type)}
        for type in TYPES
    ]
    return {"plugin": "kmsg", "rules": rules}


class Followed(Protocol):
    """An agent that follows a file as the kernel's log, with `rule_file`."""

    machine: str
    node: str
    log: Path

    def anew(self) -> None:
        """Let it start, and know nothing of what it found before: a rule file's conditions end in no other way."""

    def said(self) -> str:
        """Give its own log, times in UTC."""

    def used(self) -> float:
        """Give the CPU seconds of its process so far."""


@attrs.frozen(kw_only=True)
class Heard:
    """A line that has become a condition: when it was written, and when a watch saw the condition."""

    type: str
    written: datetime
    seen: datetime


@attrs.frozen(kw_only=True)
class Way:
    """Where the time of one line went, seconds.

    Attributes:
        found: from the line to the detector's word in the agent's log, of which up to `POLL` the file waits to be looked at.
        reported: from there to the agent's report at the server.
        stored: until that is answered.
        mirrored: from there to the controller's patch of the Node at the server.
        seen: from there to the watch.
    """

    found: float
    reported: float
    stored: float
    mirrored: float
    seen: float

    @property
    def whole(self) -> float:
        """From the line to the watch."""
        return sum(attrs.astuple(self))


class NodeWatch:
    """The conditions of a Node, as a watch tells them; an async context manager."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._held: Mapping[str, str] = {}
        self._true_since: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Read it, and begin to watch."""
        node = await self._server.call("GET", f"{_NODES}/{self._name}")
        self._see(node, time.perf_counter())
        self._task = asyncio.create_task(self._watch(node["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _watch(self, version: str) -> None:
        async for event in self._server.events(_NODES, version):
            if event["object"]["metadata"]["name"] == self._name:
                self._see(event["object"], time.perf_counter())

    def _see(self, node: Any, at: float) -> None:
        self._held = {one["type"]: one["status"] for one in node["status"].get("conditions", ())}
        for type, status in self._held.items():
            if status == "True":
                self._true_since.setdefault(type, at)
            else:
                self._true_since.pop(type, None)
        self._changed.set()

    async def well(self) -> None:
        """Wait until each condition is there, and says that all is well. Raises TimeoutError."""
        await self._until(lambda: all(self._held.get(type) == "False" for type in TYPES))

    async def true(self, type: str) -> float:
        """Wait until a condition is True; give since when, as `time.perf_counter`. Raises TimeoutError."""
        await self._until(lambda: type in self._true_since)
        return self._true_since[type]

    async def _until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not true():
                self._changed.clear()
                waiting = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self._task.done():
                    raise RuntimeError("the watch of the Node has ended") from self._task.exception()


@contextmanager
def beside(log: Path, rate: int) -> Iterator[None]:
    """Let a process of its own write so many other lines a second; none if that is 0."""
    if not rate:
        yield
        return
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(log), str(rate), *OTHERS])
    try:
        yield
        if writer.poll() is not None:
            raise RuntimeError("the writer of the other lines has ended")
    finally:
        writer.kill()
        writer.wait()


async def heard(server: Server, one: Followed, times: int, rate: int) -> tuple[list[Heard], float]:
    """Write so many lines, one after another, beside others; give what became of them, and the agent's share of a core."""
    chance, found, cpu, seconds = random.Random(7), list[Heard](), 0.0, 0.0
    while len(found) < times:
        one.anew()
        async with NodeWatch(server, one.node) as node:
            await node.well()
            with beside(one.log, rate):
                await asyncio.sleep(_SETTLED_S)
                before, began = one.used(), time.perf_counter()
                for type in TYPES[: times - len(found)]:
                    await asyncio.sleep(chance.uniform(*_BETWEEN_S))
                    found.append(await _written(node, one.log, type))
                cpu, seconds = cpu + one.used() - before, seconds + time.perf_counter() - began
    return found, cpu / seconds


async def _written(node: NodeWatch, log: Path, type: str) -> Heard:
    with log.open("ab", buffering=0) as file:
        written, began = datetime.now(UTC), time.perf_counter()
        file.write(f"{text_of(type)}\n".encode())
    seconds = await node.true(type) - began
    return Heard(type=type, written=written, seen=written + timedelta(seconds=seconds))


def way(line: Heard, said: str, entries: Sequence[Entry], machine: str, node: str) -> Way:
    """Say where the time of a line went.

    Args:
        line: what was seen of it.
        said: the agent's log.
        entries: writes by the audit log, the first ones first.
        machine: of the agent.
        node: of the machine.

    Raises:
        LookupError: one of them has no word of it.
    """
    found = _at(line, said)
    report = _first(entries, user_of(machine), "machines/status", machine, found)
    patch = _first(entries, CONTROLLER_USER, "nodes/status", node, report.began)
    moments = [line.written]
    for at in (found, report.began, report.ended, patch.began, line.seen):
        moments.append(max(moments[-1], at))  # a watch may tell of a write before that is answered
    return Way(**{
        part.name: (after - before).total_seconds()
        for part, (before, after) in zip(attrs.fields(Way), pairwise(moments), strict=True)
    })  # fmt: skip


def _at(line: Heard, said: str) -> datetime:
    """Give when the detector had found a line; the log leaves off what is less than a millisecond."""
    for at, type in _FOUND.findall(said):
        found = datetime.fromisoformat(at).replace(tzinfo=UTC)
        if type == line.type and line.written - _TICK < found <= line.seen:
            return max(found, line.written)
    raise LookupError(f"the agent's log does not say that it found {line.type} at {line.written}")


def _first(entries: Sequence[Entry], user: str, resource: str, name: str, since: datetime) -> Entry:
    for one in entries:
        is_it = (one.user, one.resource, one.name) == (user, resource, name) and one.code < _REFUSED
        if is_it and one.began >= since:
            return one
    raise LookupError(f"no write of {resource} {name} by {user} since {since} is in the audit log")


def rows(what: str, ways: Sequence[Way], cpu: float) -> tuple[Row, ...]:
    """Say what was measured.

    Args:
        what: of which agent, beside what.
        ways: of its lines.
        cpu: its share of a core meanwhile.
    """
    whole = [one.whole for one in ways]
    shares = {name: percentile(whole, share) for name, share in _SHARES.items()}
    parts = {part.name: [getattr(one, part.name) for one in ways] for part in attrs.fields(Way)}
    said = "; ".join(f"{_PARTS[name]} {_ms(found, 0.5)}, {_ms(found, 0.99)}" for name, found in parts.items())
    return (
        Row(
            what=f"from a line to the condition of its Node, {what}, {len(ways)} lines",
            figure=", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in shares.items()), numbers=shares,
        ),
        Row(
            what="its parts, each p50 and p99 in ms", figure=said,
            numbers={f"{name}_{tail}": percentile(found, share) for name, found in parts.items()
                     for tail, share in _SHARES.items()},
        ),
        Row(what="CPU of the whole agent meanwhile", figure=f"{cpu:.2%} of a core", numbers={"cpu": cpu}),
    )  # fmt: skip


def _ms(seconds: Sequence[float], share: float) -> str:
    return f"{1000 * percentile(seconds, share):.0f}"
