"""From kernel records to findings: real lines, forged ones, replays, floods and reboots."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.detect.decide import LOOK_LIMIT, DetectSnapshot, DetectState, decide
from kubenode.core.detect.record import LogRecord, parse
from kubenode.core.detect.rules import BUILT_IN, DetectRule
from kubenode.core.model.condition import Condition, find

NOW = m.Now.at(datetime(2026, 7, 1, 12, tzinfo=UTC))
LATER = NOW.plus(timedelta(minutes=5))
FRESH = DetectState()
OLD = "INFO: task dockerd:4121 blocked for more than 120 seconds."
NEW = "INFO: task dd:456 blocked in I/O wait for more than 120 seconds."
READONLY = "EXT4-fs (sda1): Remounting filesystem read-only"
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "hung.kmsg"

NPD = re.compile(r"task [\S ]+:\w+ blocked for more than \w+ seconds\.", re.ASCII)
"""node-problem-detector's own rule, from its config/kernel-monitor.json."""


def kernel(text: str, sequence: int = 1, facility: int = 0) -> LogRecord:
    """A record of the kernel, unless another facility is said."""
    return LogRecord(facility=facility, level=3, sequence=sequence, microseconds=sequence * 10, text=text)


def read(*records: LogRecord, state: DetectState = FRESH, boot: str = "b1", now: m.Now = NOW) -> DetectState:
    """Give the state after these records."""
    decision = decide(DetectSnapshot(records=records, state=state, boot_id=boot, now=now), BUILT_IN)
    assert decision.effects == ()
    assert decision.status is not None
    return decision.status


def shown(state: DetectState, type: str = "KernelDeadlock") -> Condition:
    """One condition of a state."""
    found = find(state.conditions, type)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "type", "reason"),
    [
        (OLD, "KernelDeadlock", "TaskHung"),
        (NEW, "KernelDeadlock", "TaskHung"),
        ("INFO: task Web Content:99 blocked for more than 122 seconds.", "KernelDeadlock", "TaskHung"),
        ("INFO: task jbd2/nvme0n1-8:311 blocked for more than 245 seconds.", "KernelDeadlock", "TaskHung"),
        (
            "INFO: task kworker/u8:3:77 blocked in I/O wait for more than 120 seconds.",
            "KernelDeadlock",
            "TaskHung",
        ),
        (READONLY, "ReadonlyFilesystem", "FilesystemIsReadOnly"),
    ],
)
def test_real_lines(text: str, type: str, reason: str) -> None:
    """The kernel's own words make the condition True, with the line as its message."""
    state = read(kernel("boot"), kernel(text, 2))
    condition = shown(state, type)
    assert (condition.status, condition.reason, condition.message) == (m.Switch.TRUE, reason, text)
    assert condition.last_transition_time == NOW.wall
    others = [one for one in state.conditions if one.type != type]
    assert {one.status for one in others} == {m.Switch.FALSE}


@pytest.mark.parametrize(
    "text",
    [
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        "      Not tainted 6.1.0-28-amd64 #1 Debian 6.1.119-1",
        "task:dockerd         state:D stack:0     pid:4121",
        "INFO: task dd:x blocked for more than 120 seconds.",
        "INFO: task dd:456 blocked for more than \u0661\u0662\u0660 seconds.",
        "INFO: task dd:12 <writer> blocked on a mutex likely owned by task cat:13",
        "Future hung task reports are suppressed, see sysctl kernel.hung_task_warnings",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode",
    ],
)
def test_other_lines(text: str) -> None:
    """What is no fault makes none."""
    assert {one.status for one in read(kernel(text)).conditions} == {m.Switch.FALSE}


def test_the_shipped_example() -> None:
    """The records of docs/examples/hung.kmsg are a hung task."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    records = tuple(record for record in map(parse, lines) if record is not None)
    assert len(records) == len(lines) - 1, "all but the comment"
    state = read(*records)
    assert shown(state).message == OLD
    assert state.dropped == 0


@pytest.mark.parametrize("facility", [1, 3, 4, 23, 125_000_000])
def test_forged(facility: int) -> None:
    """A line that user space wrote is not believed, whatever it says (F46)."""
    state = read(kernel(OLD, facility=facility), kernel(READONLY, 2, facility))
    assert {one.status for one in state.conditions} == {m.Switch.FALSE}
    assert state.sequence == 2


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=15)


@given(NAMES, st.integers(1, 2**22), st.integers(1, 100_000))
def test_finds_all_that_node_problem_detector_finds(name: str, pid: int, seconds: int) -> None:
    """Ours finds every kernel line that node-problem-detector's rule finds, and its new wording too."""
    line = f"INFO: task {name}:{pid} blocked for more than {seconds} seconds."
    assert NPD.search(line)
    assert shown(read(kernel(line))).status is m.Switch.TRUE
    line = f"INFO: task {name}:{pid} blocked in I/O wait for more than {seconds} seconds."
    assert shown(read(kernel(line))).status is m.Switch.TRUE


def test_node_problem_detector_misses_the_new_wording() -> None:
    """This is why ours is another pattern."""
    assert NPD.search(OLD)
    assert not NPD.search(NEW)


def test_first_line_stays() -> None:
    """A fault that repeats itself rewrites nothing."""
    first = read(kernel(OLD, 1))
    second = read(kernel(NEW, 2), state=first, now=LATER)
    assert second.conditions == first.conditions
    assert second.sequence == 2


def test_replay() -> None:
    """Records at or below the cursor are ignored, so a restarted agent reads nothing twice."""
    state = read(kernel("x", 7))
    assert read(kernel(OLD, 6), kernel(OLD, 7), state=state) == state


def test_reboot() -> None:
    """A new boot clears what the log said, shows it as False, and begins to count anew."""
    hung = read(kernel(OLD, 41))
    state = read(kernel("Linux version 6.1.0", 0), state=hung, boot="b2", now=LATER)
    assert (state.boot_id, state.sequence, state.dropped) == ("b2", 0, 0)
    cleared = shown(state)
    assert (cleared.status, cleared.reason, cleared.message) == (m.Switch.FALSE, "NoFault", "")
    assert cleared.last_transition_time == LATER.wall
    again = read(kernel(NEW, 9), kernel("x", 8), state=state, boot="b2", now=LATER)
    assert shown(again).message == NEW


def test_reboot_before_a_line_is_read() -> None:
    """The boot alone clears, without a record."""
    state = read(state=read(kernel(OLD, 41)), boot="b2", now=LATER)
    assert shown(state).status is m.Switch.FALSE
    assert state.sequence == -1


def test_hung_again_after_the_reboot() -> None:
    """A fault that is back in the same reading as the reboot keeps the time since which it is so."""
    hung = read(kernel(OLD, 41))
    state = read(kernel(NEW, 3), state=hung, boot="b2", now=LATER)
    assert shown(state).message == NEW
    assert shown(state).status is m.Switch.TRUE


def test_flood() -> None:
    """A flood is looked at up to the limit; the rest is counted, and said (F45)."""
    flood = tuple(kernel(OLD, number) for number in range(LOOK_LIMIT + 56_000))
    state = read(*flood)
    assert state.dropped == 56_000
    assert state.sequence == LOOK_LIMIT + 55_999
    blind = shown(state, "LogFlood")
    assert (blind.status, blind.reason) == (m.Switch.TRUE, "RecordsDropped")
    assert "56000" in blind.message
    quiet = read(kernel("x", state.sequence + 1), state=state, now=LATER)
    assert shown(quiet, "LogFlood").status is m.Switch.FALSE
    assert quiet.dropped == 56_000


def test_flood_goes_on() -> None:
    """A second flood rewrites nothing but the count."""
    first = read(*(kernel("x", number) for number in range(LOOK_LIMIT + 1)))
    second = read(
        *(kernel("x", first.sequence + 1 + number) for number in range(LOOK_LIMIT + 5)),
        state=first,
        now=LATER,
    )
    assert second.conditions == first.conditions
    assert second.dropped == 6


def test_gap() -> None:
    """Records that the kernel overwrote before they were read are missed, and that is said."""
    state = read(kernel("x", 500))
    assert state.dropped == 0, "what came before the first reading is not ours to know"
    state = read(kernel("x", 501), kernel("x", 509), state=state)
    assert state.dropped == 7
    assert shown(state, "LogFlood").status is m.Switch.TRUE
    assert read(kernel("x", 511), state=state).dropped == 8


def test_gap_note() -> None:
    """The decision notes what was lost."""
    state = read(kernel("x", 1))
    decision = decide(DetectSnapshot(records=(kernel("x", 4),), state=state, boot_id="b1", now=NOW), BUILT_IN)
    assert [note.code for note in decision.notes] == ["LogFlood"]


def test_nothing_read_says_nothing() -> None:
    """Without new records the state stays, blindness included."""
    blind = read(kernel("x", 1), kernel("x", 9))
    assert read(state=blind, now=LATER) == blind


def test_all_conditions_from_the_start() -> None:
    """Before any fault every condition is there and False, in the order of the rules."""
    told = [(one.type, one.status, one.reason) for one in read().conditions]
    assert told == [
        ("KernelDeadlock", m.Switch.FALSE, "NoFault"),
        ("ReadonlyFilesystem", m.Switch.FALSE, "NoFault"),
        ("LogFlood", m.Switch.FALSE, "NoFault"),
    ]


def test_two_reasons_of_one_condition() -> None:
    """Of two rules for one condition the first line that matches either counts."""
    rules = (*BUILT_IN, DetectRule(condition="KernelDeadlock", reason="SoftLockup", pattern="soft lockup"))
    records = (kernel("BUG: soft lockup - CPU#1 stuck", 1), kernel(OLD, 2))
    state = decide(DetectSnapshot(records=records, boot_id="b1", now=NOW.wall), rules).status
    assert state is not None
    assert [one.type for one in state.conditions] == ["KernelDeadlock", "ReadonlyFilesystem", "LogFlood"]
    assert shown(state).reason == "SoftLockup"


TEXTS = st.sampled_from((OLD, NEW, READONLY, "usb 1-1: new device", ""))
RECORDS = st.lists(st.builds(kernel, TEXTS, st.integers(0, 12), st.sampled_from((0, 0, 1))), max_size=12).map(
    tuple
)


@given(RECORDS, RECORDS, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    first: tuple[LogRecord, ...], second: tuple[LogRecord, ...], random: Random
) -> None:
    """The answer depends on the records, not on their order, and the same input gives the same answer."""
    state = read(*first)
    mixed = random.sample(second, len(second))
    assert read(*mixed, state=state) == read(*second, state=state)


@given(RECORDS)
def test_at_rest(records: tuple[LogRecord, ...]) -> None:
    """The same records again change nothing, at any later time."""
    state = read(*records)
    assert read(*records, state=state, now=LATER) == state


@given(RECORDS)
def test_only_the_kernel_is_believed(records: tuple[LogRecord, ...]) -> None:
    """Whatever user space writes, and wherever, the findings are the same."""
    silenced = tuple(one._replace(text="") if one.facility else one for one in records)
    assert read(*records).conditions == read(*silenced).conditions


@given(RECORDS)
def test_bounded(records: tuple[LogRecord, ...]) -> None:
    """There are never more conditions than rules name, and the count never falls within a boot (S21)."""
    state = DetectState()
    for record in records:
        after = read(record, state=state)
        assert after.dropped >= state.dropped
        assert after.sequence >= state.sequence
        assert len(after.conditions) == 3
        state = after
