"""A flood of lines, whatever log it is in: read in bounded pieces, each line counted once, what is lost told, and the fault behind it found."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode.core.model.condition import find
from kubenode.core.model.meta import Switch
from kubenode.runtime.detector.detector import Detector
from kubenode.runtime.detector.lines import LONGEST
from tests.runtime.detector.host import Host, add, begun, has_read, holds, of_a_test, reads, until
from tests.runtime.detector.logs import HUNG, run

MANY = 20_000


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose agent reads a hundred times a second."""
    made = of_a_test(tmp_path, monkeypatch)
    yield made
    made.kernel.close()


def flood(detector: Detector) -> tuple[Switch, str]:
    """What is said of lost lines."""
    found = find(detector.conditions, "LogFlood")
    assert found is not None
    return found.status, found.message


@pytest.mark.parametrize("log", ["file", "journald"])
def test_a_flood_that_a_log_keeps_is_read_to_its_end(host: Host, log: str) -> None:
    """A thousand lines at a time; none is lost, none is counted twice, and other work goes on meanwhile."""

    async def main() -> None:
        async with host.agent(log) as detector:
            await reads(host, detector, log, "first")
            host.say(log, *(f"line {number}" for number in range(MANY)), HUNG)
            before, most, turns = has_read(detector), 0, 0
            while not holds(detector):
                await asyncio.sleep(0)
                turns += 1
                now = has_read(detector)
                most, before = max(most, now - before), now
            assert (has_read(detector), most) == (MANY + 2, 1000)
            assert turns > MANY / 1000
            assert flood(detector) == (Switch.FALSE, "")
        async with host.agent(log) as detector:
            host.say(log, "last")
            await until(lambda: has_read(detector) == MANY + 3)

    run(main)


@pytest.mark.parametrize("log", ["file", "journald"])
def test_lines_that_nobody_can_keep_are_lost_and_counted(host: Host, log: str) -> None:
    """Each is longer than is kept of any; a fault after them is found."""

    async def main() -> None:
        async with host.agent(log) as detector:
            await reads(host, detector, log, "first")
            host.say(log, *("x" * (LONGEST + 1) for _ in range(20)), HUNG)
            await until(lambda: holds(detector))
            (known,) = detector._known.values()
            assert (known.state.dropped, has_read(detector)) == (20, 2)
            assert flood(detector)[0] is Switch.TRUE

    run(main)


def test_a_flood_that_cuts_its_own_file_is_told(host: Host) -> None:
    """As `copytruncate` does it while lines come: what was cut away unread is lost, and that is said; what comes is read."""

    async def main() -> None:
        async with host.agent() as detector:
            await until(lambda: begun(detector))
            add(host.file, "line\n" * 10 * MANY)
            await until(lambda: has_read(detector) >= 1000)
            host.file.write_text("")
            await until(lambda: flood(detector)[0] is Switch.TRUE)
            host.say("file", HUNG)
            await until(lambda: holds(detector))
            assert has_read(detector) < 10 * MANY

    run(main)
