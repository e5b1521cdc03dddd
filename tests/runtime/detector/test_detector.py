"""The detector from its start to its end: conditions from lines, restarts, floods, and whatever hangs or fails."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.detect.facts import SERVICES, Facts
from kubenode.core.detect.rules import OF_HOSTS, DetectRule
from kubenode.core.model.condition import Condition, find
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.detector import detector as detecting
from kubenode.runtime.detector.detector import GATHER, Detector, WatchedLog, gathering
from kubenode.runtime.detector.kept import FILE, KeptDetector
from kubenode.runtime.detector.logfile import LogFile
from kubenode.runtime.detector.source import Batch
from tests.runtime.detector.logs import HUNG, KernelLog, run, runs

CLOCK = SystemClock()


def now_us() -> int:
    """The moment as a record has it."""
    return CLOCK.now().elapsed // 1000


class Watched:
    """A detector of a kernel log that a test writes."""

    def __init__(self, state: Path, log: KernelLog) -> None:
        self.state = state
        self.log = log
        self.facts = Facts(hung=0, readonly=frozenset())
        self.told = 0
        self.gather = 0.01
        self.events: tuple[DetectRule, ...] = ()
        self.others: tuple[WatchedLog, ...] = ()

    def make(self, boot: str = "b1", look: Callable[[], Facts] | None = None) -> Detector:
        """Make it, as an agent that starts."""
        kernel = WatchedLog(
            name="kernel", source=self.log.source(), rules=OF_HOSTS, events=self.events, services=SERVICES
        )  # fmt: skip
        return Detector(
            (kernel, *self.others), boot, KeptDetector(self.state), look or (lambda: self.facts), CLOCK, self._tell,
            gather=self.gather, look_every=0.02,
        )  # fmt: skip

    def _tell(self) -> None:
        self.told += 1

    @asynccontextmanager
    async def running(self, boot: str = "b1", **more: Any) -> AsyncIterator[Detector]:
        """Run it meanwhile, and end it as an agent does."""
        made = self.make(boot, **more)
        async with runs(made):
            yield made


@pytest.fixture
def watched(tmp_path: Path) -> Any:
    """A log, and a folder for the agent."""
    state = tmp_path / "state"
    state.mkdir()
    made = Watched(state, KernelLog(ring=3000))
    yield made
    made.log.close()


def condition(detector: Detector, type: str = "KernelDeadlock") -> Condition:
    """What it finds."""
    found = find(detector.conditions, type)
    assert found is not None
    return found


def holds(detector: Detector, type: str = "KernelDeadlock") -> bool:
    """Whether it finds a fault."""
    held = find(detector.conditions, type)
    return held is not None and held.status is m.Switch.TRUE


def blind(detector: Detector) -> bool:
    """Whether it cannot tell if lines were lost."""
    flood = find(detector.conditions, "LogFlood")
    return flood is not None and flood.status is m.Switch.UNKNOWN


async def until(so: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not so():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("count", "gathered", "seconds"),
    [(0, 0.5, 0.2), (49, 0.5, 0.2), (50, 0.2, 0.5), (200, 0.2, 0.5), (400, 0.2, 0.25), (500, 0.5, 0.5), (1000, 0.5, 0.25), (1000, 0.2, 0.2)],
)  # fmt: skip
def test_a_stream_gathers_longer(count: int, gathered: float, seconds: float) -> None:
    """As long as half of what is looked at at once comes meanwhile; what is no stream, and a flood, no longer than ever."""
    assert gathering(count, gathered, GATHER) == pytest.approx(seconds)


def test_each_reading_tells_how_long_lines_gather_next(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By how many it gave, and in what time."""
    asked: list[tuple[int, float, float]] = []

    def told(*of: Any) -> float:
        asked.append(of)
        return gathering(*of)

    monkeypatch.setattr(detecting, "gathering", told)

    async def main() -> None:
        for number in range(60):
            watched.log.say(str(number), microseconds=now_us())
        async with watched.running():
            await until(lambda: len(asked) == 1)
            watched.log.say("the next", microseconds=now_us())
            await until(lambda: len(asked) == 2)
            watched.log.say("another", microseconds=now_us())
            await until(lambda: len(asked) == 3)
        assert asked == [(60, 0.01, 0.01), (1, 0.025, 0.01), (1, 0.01, 0.01)]

    run(main)


def test_a_line_becomes_a_condition(watched: Watched) -> None:
    """And it is told, once; before it, all conditions are there and False."""

    async def main() -> None:
        async with watched.running() as detector:
            await until(lambda: detector.conditions)
            assert {one.status for one in detector.conditions} == {m.Switch.FALSE}
            assert [one.type for one in detector.conditions] == [
                "KernelDeadlock", "ReadonlyFilesystem", "FrequentOOMKilling", "KubeletUnhealthy",
                "ContainerRuntimeUnhealthy", "LogFlood",
            ]  # fmt: skip
            watched.told = 0
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))
            assert condition(detector).message == HUNG
            watched.log.say(HUNG, microseconds=now_us())
            await asyncio.sleep(0.1)
            assert watched.told == 1

    run(main)


def test_what_user_space_writes_is_no_fault(watched: Watched) -> None:
    """Though it is in the kernel's log."""

    async def main() -> None:
        async with watched.running() as detector:
            watched.log.say(HUNG, microseconds=now_us(), priority=11)
            watched.log.say("the end", microseconds=now_us())
            await until(lambda: detector._known["kernel"].state.sequence == 1)
            assert not holds(detector)

    run(main)


def test_a_restart_neither_resets_nor_replays(watched: Watched) -> None:
    """The fault and its stamp are those of before; a line that was read is not read again, one that was not is."""

    async def main() -> None:
        watched.log.say(HUNG, microseconds=now_us())
        async with watched.running() as detector:
            await until(lambda: holds(detector))
            before = detector.conditions
        assert watched.make().conditions == before, "at once, before anything is read"
        watched.told = 0
        for number in range(4):
            watched.log.say(f"Killed process {number} (java) total-vm", microseconds=now_us())
        async with watched.running() as detector:
            await until(lambda: detector._known["kernel"].state.sequence == 4)
            assert detector.conditions == before
            assert watched.told == 0
        watched.log.say("Killed process 5 (java) total-vm", microseconds=now_us())
        async with watched.running() as detector:
            await until(lambda: holds(detector, "FrequentOOMKilling"))
            assert watched.told == 1

    run(main)


def test_what_was_replayed_would_be_a_storm(watched: Watched) -> None:
    """Four kills, read by three agents after each other, stay four."""

    async def main() -> None:
        for number in range(4):
            watched.log.say(f"Killed process {number} (java) total-vm", microseconds=now_us())
        for _ in range(3):
            async with watched.running() as detector:
                await until(lambda: detector._known["kernel"].state.sequence == 3)
                await asyncio.sleep(0.05)
                assert not holds(detector, "FrequentOOMKilling")

    run(main)


def test_a_kill_loses_nothing(watched: Watched) -> None:
    """An agent that was killed reads on from what stands on the disk, and comes to the same."""

    async def main() -> None:
        async with watched.running() as detector:
            for number in range(4):
                watched.log.say(f"Killed process {number} (java) total-vm", microseconds=now_us())
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))
            file = watched.state / FILE[1:]
            await until(lambda: file.exists() and b"TaskHung" in file.read_bytes())
            at_kill = (watched.state / FILE[1:]).read_bytes()
            for number in range(3):
                watched.log.say(f"later {number}", microseconds=now_us())
            await until(lambda: detector._known["kernel"].state.sequence == 7)
            before = detector.conditions
        (watched.state / FILE[1:]).write_bytes(at_kill)
        async with watched.running() as detector:
            await until(lambda: detector._known["kernel"].state.sequence == 7)
            assert detector.conditions == before

    run(main)


def test_another_boot_begins_anew(watched: Watched, tmp_path: Path) -> None:
    """What the last boot's log said is over, and the numbers of this one begin at 0."""

    async def main() -> None:
        watched.log.say(HUNG, microseconds=now_us())
        watched.log.say("more", microseconds=now_us())
        async with watched.running() as detector:
            await until(lambda: holds(detector))
        watched.log.close()
        watched.log = KernelLog()
        watched.log.say("Linux version", microseconds=now_us())
        assert watched.make("b2").conditions == (), "nothing is told of a boot that nobody has looked at"
        async with watched.running("b2") as detector:
            await until(lambda: detector._known["kernel"].state.sequence == 0)
            assert not holds(detector)
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))

    run(main)


def test_a_flood_is_survived_and_counted(watched: Watched) -> None:
    """What the kernel has overwritten is missed and told; the fault at its end is found."""
    watched.gather = 0.3

    async def main() -> None:
        async with watched.running() as detector:
            watched.log.say("first", microseconds=now_us())
            await until(lambda: detector._known["kernel"].state.sequence == 0)
            for number in range(56_000):
                watched.log.say(f"flood {number}")
            watched.log.say(HUNG, microseconds=now_us())
            reads = watched.log.reads
            await until(lambda: holds(detector, "LogFlood"))
            assert watched.log.reads - reads <= 1100, "no more than its share is read at once"
            assert condition(detector, "LogFlood").message == "53001 records were not looked at"
            await until(lambda: holds(detector))
            assert detector._known["kernel"].state.dropped == 53_001
            assert condition(detector, "LogFlood").message == "53001 records were not looked at", "told once"

    run(main)


def test_looks_make_and_end_conditions(watched: Watched) -> None:
    """The counter of the kernel, and services, without a line."""

    async def main() -> None:
        async with watched.running() as detector:
            await until(lambda: detector.conditions)
            watched.facts = Facts(hung=1, ailing={"KubeletUnhealthy": "it has failed"})
            await until(lambda: holds(detector) and holds(detector, "KubeletUnhealthy"))
            watched.facts = Facts(hung=1, ailing={"KubeletUnhealthy": ""})
            await until(lambda: not holds(detector, "KubeletUnhealthy"))
            assert holds(detector)

    run(main)


def test_lines_count_no_look_twice(watched: Watched) -> None:
    """One look at an ill kubelet is one, however many lines are read meanwhile."""
    looks = iter([Facts(ailing={"KubeletUnhealthy": "it has failed"})])

    async def main() -> None:
        async with watched.running(look=lambda: next(looks, Facts())) as detector:
            for number in range(10):
                watched.log.say(f"line {number}")
                await until(lambda number=number: detector._known["kernel"].state.sequence == number)  # type: ignore[misc]
            assert detector._known["kernel"].state.ill == {"KubeletUnhealthy": 1}

    run(main)


def test_a_look_that_hangs_holds_nothing_up(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are read meanwhile, and there is never a second look beside it."""
    monkeypatch.setattr(detecting, "LOOK_WITHIN", 0.05)
    goes_on, looks = threading.Event(), []

    def look() -> Facts:
        looks.append(1)
        goes_on.wait(20)
        return Facts(hung=0)

    async def main() -> None:
        async with watched.running(look=look) as detector:
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))
            await asyncio.sleep(0.2)
            assert len(looks) == 1
            goes_on.set()
            await until(lambda: len(looks) > 1)
            await detector._looks  # type: ignore[misc]  # there is one

    run(main)


def test_a_look_with_a_defect_is_survived(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in the log, and lines are read meanwhile."""
    monkeypatch.setattr(detecting, "_AFTER_BUG", 0.02)
    looks: list[int] = []

    def look() -> Facts:
        looks.append(1)
        if len(looks) in (1, 2):
            raise RuntimeError("a bug")
        return Facts(hung=0)

    async def main() -> None:
        async with watched.running(look=look) as detector:
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector) and len(looks) > 4)

    run(main)
    assert "part=detector" in caplog.text


def test_a_disk_that_cannot_be_written_holds_nothing_up(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the disk is told though it cannot be kept; it is kept once that goes."""
    stuck, saves = threading.Event(), []
    real = KeptDetector.save

    def save(self: KeptDetector, known: Any) -> bool:
        saves.append(1)
        if len(saves) == 1:
            stuck.wait(20)
            return False
        return real(self, known)

    monkeypatch.setattr(KeptDetector, "save", save)

    async def main() -> None:
        async with watched.running() as detector:
            await until(lambda: saves)
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))
            assert watched.told >= 1
            assert saves == [1]
            stuck.set()
        assert b"TaskHung" in (watched.state / FILE[1:]).read_bytes()

    run(main)


def test_a_log_that_is_gone_is_told(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As blindness, and no other log is the worse for it; once it is there it is read."""
    monkeypatch.setattr(detecting, "_IDLE", 0.02)
    path = tmp_path / "app.log"
    rule = DetectRule(condition="AppBroken", reason="AppIsBroken", pattern="broken", facility=None)
    source = LogFile(path, lambda: CLOCK.now().elapsed, poll=0.01)
    watched.others = (WatchedLog(name="app", source=source, rules=(rule,)),)

    async def main() -> None:
        async with watched.running() as detector:
            await until(lambda: blind(detector))
            assert condition(detector, "LogFlood").reason == "LogUnreadable"
            assert str(path) in condition(detector, "LogFlood").message
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))
            assert blind(detector)
            path.write_text("")
            await until(lambda: not blind(detector))
            path.write_text("it is broken\n")
            await until(lambda: holds(detector, "AppBroken"))

    run(main)


def test_events_are_told_in_the_log(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Each reason once a reading, and nothing of it twice after a restart."""
    watched.events = (DetectRule(condition="", reason="IOError", pattern="Buffer I/O error"),)

    async def main() -> None:
        for number in range(500):
            watched.log.say(f"Buffer I/O error {number}", microseconds=now_us())
        for _ in range(2):
            async with watched.running() as detector:
                await until(lambda: detector._known["kernel"].state.sequence == 499)

    run(main)
    seen = [line for line in caplog.text.splitlines() if "event=seen" in line]
    assert len(seen) == 1
    assert "times=500 message='Buffer I/O error 0'" in seen[0]


ROTTEN: dict[str, str] = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "another format": '{"format": 2}',
    "no logs": '{"format": 1}',
    "logs that are a list": '{"format": 1, "logs": [1]}',
    "a log that is none": '{"format": 1, "logs": {"kernel": 1}}',
    "half a log": '{"format": 1, "logs": {"kernel": {"bootID": "b1", "sequence": "x"}}}',
}


@pytest.mark.parametrize("what", ROTTEN)
def test_a_file_that_is_none_is_nothing(watched: Watched, what: str) -> None:
    """The detector begins anew."""
    (watched.state / FILE[1:]).write_text(ROTTEN[what])
    assert KeptDetector(watched.state).load() == {}


def test_what_is_kept_is_the_same_when_it_is_read(watched: Watched) -> None:
    """All of it, for its owner alone."""

    async def main() -> None:
        watched.facts = Facts(hung=3, ailing={"KubeletUnhealthy": "it has failed"})
        async with watched.running() as detector:
            watched.log.say("EXT4-fs (sda1): Remounting filesystem read-only", microseconds=now_us())
            watched.log.say("Killed process 5 (java) total-vm", microseconds=now_us())
            await until(lambda: holds(detector, "KubeletUnhealthy") and holds(detector, "ReadonlyFilesystem"))
        known = detector._known
        assert KeptDetector(watched.state).load() == known
        assert known["kernel"].state.traces

    run(main)
    assert (watched.state / FILE[1:]).stat().st_mode & 0o777 == 0o600
    assert json.loads((watched.state / FILE[1:]).read_text())["format"] == 1


def test_nothing_is_written_at_rest(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that find nothing new leave the disk alone."""
    monkeypatch.setattr(detecting, "SAVE_EVERY", 0.01)
    watched.facts = Facts(hung=3, readonly=frozenset({"sr0"}), ailing={"KubeletUnhealthy": ""})
    saves: list[int] = []
    real = KeptDetector.save

    def save(self: KeptDetector, known: Any) -> bool:
        saves.append(1)
        return real(self, known)

    monkeypatch.setattr(KeptDetector, "save", save)

    async def main() -> None:
        async with watched.running() as detector:
            watched.log.say("hello")
            await until(lambda: saves and detector._known["kernel"].state.sequence == 0)
            await asyncio.sleep(0.1)
            before = len(saves)
            await asyncio.sleep(0.3)
            assert len(saves) == before

    run(main)


def test_a_batch_is_empty_by_itself() -> None:
    """Nothing read, nothing lost, nothing wrong."""
    assert (Batch().records, Batch().lost, Batch().position, Batch().blind) == ((), 0, "", "")


def test_a_defect_of_keeping_does_not_end_the_detector(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, detecting goes on, and what is found is kept when that can be done again."""
    monkeypatch.setattr(detecting, "_AFTER_BUG", 0.01)
    save = KeptDetector.save
    tried: list[int] = []

    def failing(self: KeptDetector, known: Any) -> bool:
        tried.append(len(tried))
        if len(tried) < 3:
            raise ZeroDivisionError
        return save(self, known)

    monkeypatch.setattr(KeptDetector, "save", failing)
    monkeypatch.setattr(detecting, "SAVE_EVERY", 0.01)

    async def main() -> None:
        async with watched.running() as detector:
            await until(lambda: len(tried) >= 2)
            watched.log.say(HUNG, microseconds=now_us())
            await until(lambda: holds(detector))
            file = watched.state / FILE[1:]
            await until(lambda: file.exists() and b"TaskHung" in file.read_bytes())

    run(main)
    assert caplog.text.count("event=bug part=detector error=ZeroDivisionError()") == 2
