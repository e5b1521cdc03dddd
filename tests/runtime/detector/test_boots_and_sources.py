"""Which lines are new to a detector: those of this boot, and of the log that it is told to read, each once."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kubenode.core.model.condition import find
from kubenode.core.model.meta import Switch
from kubenode.runtime.detector.detector import Detector
from tests.runtime.detector.host import (
    KILL,
    WHERE,
    Host,
    add,
    begun,
    has_read,
    holds,
    of_a_test,
    reads,
    until,
)
from tests.runtime.detector.logs import HUNG, run


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose kernel and whose journal are a test's."""
    made = of_a_test(tmp_path, monkeypatch)
    yield made
    made.kernel.close()


def _has_read_all(detector: Detector, count: int) -> bool:
    return has_read(detector) == count


def _has_kept_where_it_is(host: Host, detector: Detector) -> bool:
    logs = json.loads(host.kept.read_text())["logs"] if host.kept.exists() else {}
    (known,) = detector._known.values()
    here = (known.state.boot_id, known.position)
    return begun(detector) and [(one["bootID"], one["position"]) for one in logs.values()] == [here]


def _rotated(host: Host) -> None:
    host.file.rename(host.file.with_suffix(".log.1"))
    host.file.write_text("Killed process 1\n" * 9)


AFTER_THE_CUT: dict[str, Callable[[Host], object]] = {
    "it is whole": lambda host: None,
    "its end was not on the disk": lambda host: os.truncate(host.file, 3),
    "another took its place": _rotated,
    "half a line": lambda host: add(host.file, "INFO: task a:1 blocked for mo"),
}


@pytest.mark.parametrize("what", AFTER_THE_CUT)
def test_a_power_cut_replays_nothing(host: Host, what: str) -> None:
    """What stands on the disk is of before the fault; of its lines none is a fault of the next boot, whatever became of the file."""

    async def main() -> None:
        host.say("file", "an old line")
        async with host.agent() as detector:
            await until(partial(_has_kept_where_it_is, host, detector))
            before = host.kept.read_bytes()
            host.say("file", HUNG, *(KILL.format(number) for number in range(9)))
            await until(lambda: holds(detector) and holds(detector, "FrequentOOMKilling"))
        host.kept.write_bytes(before)
        AFTER_THE_CUT[what](host)
        async with host.agent(boot="b2") as detector:
            await reads(host, detector, "file", "Linux version 6.12")
            assert has_read(detector) == 1
            assert not any(one.status is Switch.TRUE for one in detector.conditions)
            await reads(host, detector, "file", HUNG)
            assert holds(detector)

    run(main)


def test_what_was_written_after_the_end_of_an_agent_is_of_that_boot(host: Host) -> None:
    """A host that goes down hangs now and then; the next boot has nothing of it."""

    async def main() -> None:
        async with host.agent() as detector:
            await reads(host, detector, "file", "hello")
        host.say("file", HUNG)
        async with host.agent(boot="b2") as detector:
            await reads(host, detector, "file", "Linux version 6.12")
            assert not holds(detector)

    run(main)


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_written_while_no_agent_runs_is_read_once(host: Host, killed: bool) -> None:
    """Within a boot, however short the agent before it ran, and whether it was ended or killed: four kills are four."""

    async def main() -> None:
        for boot in ("b1", "b2"):
            async with host.agent(boot=boot) as detector:
                await until(partial(_has_kept_where_it_is, host, detector))
                before = host.kept.read_bytes()
            if killed:
                host.kept.write_bytes(before)
            host.say("file", *(KILL.format(number) for number in range(4)))
            for _ in range(2):
                async with host.agent(boot=boot) as detector:
                    await until(partial(_has_read_all, detector, 4))
                    await asyncio.sleep(0.05)
                    assert not holds(detector, "FrequentOOMKilling")
            async with host.agent(boot=boot) as detector:
                await reads(host, detector, "file", KILL.format(5))
                assert holds(detector, "FrequentOOMKilling")

    run(main)


def test_a_file_that_comes_late_in_a_boot_is_not_replayed(host: Host) -> None:
    """As on a disk that is mounted after the agent began: what it says of an earlier boot is no news to the agent after it, either."""

    async def main() -> None:
        async with host.agent() as detector:
            await reads(host, detector, "file", "hello")
        host.say("file", HUNG)
        away = host.file.rename(host.file.parent / "away")
        async with host.agent(boot="b2") as detector:
            await until(lambda: '"b2"' in host.kept.read_text())
            assert detector.conditions
        away.rename(host.file)
        async with host.agent(boot="b2") as detector:
            await reads(host, detector, "file", "more")
            assert has_read(detector) == 1
            assert not holds(detector)

    run(main)


CHANGES = [(old, new) for old in WHERE for new in WHERE if old != new]


@pytest.mark.parametrize(("old", "new"), CHANGES)
@pytest.mark.parametrize("named", [True, False])
def test_another_log_of_the_kernel_is_another_log(host: Host, old: str, new: str, named: bool) -> None:
    """Neither numbers nor positions of one are taken for another's, also those that an earlier version kept without its name."""

    async def main() -> None:
        host.say(new, *(KILL.format(number) for number in range(4)))
        async with host.agent(old) as detector:
            await reads(host, detector, old, "hello")
            host.say(old, *(f"line {number}" for number in range(60)))
            await until(lambda: has_read(detector) == 61)
        if not named:
            _without_name(host)
        for _ in range(2):
            async with host.agent(new) as detector:
                await until(lambda: detector.conditions)
                if new == "file":
                    await until(lambda: begun(detector))
                else:
                    await until(lambda: has_read(detector) >= 4)
                assert not holds(detector, "FrequentOOMKilling"), "each was read once"
                flood = find(detector.conditions, "LogFlood")
                assert flood is not None
                assert flood.status is Switch.FALSE
        async with host.agent(new) as detector:
            await reads(host, detector, new, HUNG)
            assert holds(detector)
            assert has_read(detector) == (1 if new == "file" else 5)

    run(main)


@pytest.mark.parametrize("log", WHERE)
def test_what_an_earlier_version_kept_is_taken_over(host: Host, log: str) -> None:
    """Where it is of the same source: conditions stand at once with their stamps, and no line is read twice or missed."""

    async def main() -> None:
        async with host.agent(log) as detector:
            if log == "file":
                await until(lambda: begun(detector))
            host.say(log, HUNG, *(KILL.format(number) for number in range(3)))
            await until(lambda: has_read(detector) == 4)
            before = detector.conditions
        _without_name(host)
        host.say(log, KILL.format(4))
        async with host.agent(log) as detector:
            assert detector.conditions == before
            await until(lambda: has_read(detector) == 5)
            assert detector.conditions == before
            await reads(host, detector, log, KILL.format(5))
            assert holds(detector, "FrequentOOMKilling")
        assert list(json.loads(host.kept.read_text())["logs"]) == [f"kernel:{WHERE[log]}"]

    run(main)


def test_a_file_is_named_by_where_it_is(host: Host) -> None:
    """Another file is another log, also to the state of an earlier version, which did not say which file it was."""

    async def main() -> None:
        async with host.agent() as detector:
            await reads(host, detector, "file", "hello")
        _without_name(host)
        host.file.rename(host.file.parent / "syslog")
        host.file.write_text(f"{HUNG}\n")
        async with host.agent() as detector:
            await reads(host, detector, "file", "more")
            assert not holds(detector)

    run(main)


def _without_name(host: Host) -> None:
    """Let what is kept be as an earlier version kept it."""
    held = json.loads(host.kept.read_text())
    ((_, known),) = held["logs"].items()
    host.kept.write_text(json.dumps({**held, "logs": {"kernel": known}}))
