"""When a fault is over: after quiet, by the kernel's counter, when what was read-only can be written; else with the boot."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.detect.decide import FLOOD_FOR, DetectSnapshot, DetectState, decide, merged
from kubenode.core.detect.facts import Facts
from kubenode.core.detect.record import LogRecord
from kubenode.core.detect.rules import OF_HOSTS, Clears, DetectRule
from kubenode.core.detect.traces import MOST_SUBJECTS, QUIET_FOR, WRITABLE_FOR, Trace
from tests.core.detect.test_decide import NEW, NOW, OLD, READONLY, kernel, shown

SECOND = timedelta(seconds=1)
COUNTS = Facts(hung=0)
OOM = "Out of memory: Killed process 4121 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
BOOTED = m.Now(wall=NOW.wall, elapsed=10**15)
"""A moment when the host has been up for eleven days."""


def at(text: str, sequence: int, now: m.Now) -> LogRecord:
    """A record that the kernel writes at this moment."""
    return kernel(text, sequence)._replace(microseconds=now.elapsed // 1000)


def after(
    *records: LogRecord, state: DetectState | None = None, now: m.Now = BOOTED, facts: Facts = COUNTS,
    rules: tuple[DetectRule, ...] = OF_HOSTS, **more: object,
) -> DetectState:  # fmt: skip
    """Give the state after these records on a host that is so."""
    held = state if state is not None else DetectState()
    snapshot = DetectSnapshot(records=records, state=held, boot_id="b1", now=now, facts=facts, **more)  # type: ignore[arg-type]
    status = decide(snapshot, rules).status
    assert status is not None
    return status


def is_true(state: DetectState, type: str = "KernelDeadlock") -> bool:
    """Whether a condition stands."""
    return shown(state, type).status is m.Switch.TRUE


def test_the_times() -> None:
    """Ten minutes of quiet, which is five looks of the kernel; a minute for a file system."""
    assert timedelta(minutes=10) == QUIET_FOR
    assert timedelta(minutes=1) == WRITABLE_FOR
    assert MOST_SUBJECTS == 16
    assert Trace().last == 0


def test_a_hang_is_over_when_the_counter_stands_still() -> None:
    """After ten minutes, not a nanosecond earlier, with the stamp of that moment."""
    hung = after(at(OLD, 1, BOOTED))
    assert is_true(hung)
    due = BOOTED.plus(QUIET_FOR)
    assert is_true(after(state=hung, now=attrs.evolve(due, elapsed=due.elapsed - 1)))
    over = after(state=hung, now=due)
    assert (is_true(over), shown(over).reason, shown(over).message) == (False, "NoFault", "")
    assert shown(over).last_transition_time == due.wall
    assert over.traces == {}


@pytest.mark.parametrize("again", [OLD, NEW])
def test_a_line_that_repeats_it_puts_that_off(again: str) -> None:
    """Its first words stay."""
    hung = after(at(OLD, 1, BOOTED))
    later = BOOTED.plus(QUIET_FOR - SECOND)
    repeated = after(at(again, 2, later), state=hung, now=later)
    assert repeated.conditions == hung.conditions
    assert is_true(after(state=repeated, now=BOOTED.plus(QUIET_FOR)))
    assert not is_true(after(state=repeated, now=later.plus(QUIET_FOR)))


def test_the_counter_goes_on_when_the_log_is_silent() -> None:
    """The kernel warns ten times a boot; after that only its counter tells, and it makes the condition and keeps it."""
    quiet = after(facts=Facts(hung=10))
    assert not is_true(quiet), "what was counted before anybody looked is no news"
    hung = after(state=quiet, facts=Facts(hung=12))
    assert (shown(hung).reason, shown(hung).message) == (
        "TaskHung",
        "the kernel has counted 2 more hung tasks",
    )
    later = BOOTED.plus(QUIET_FOR - SECOND)
    goes_on = after(state=hung, now=later, facts=Facts(hung=13))
    assert goes_on.conditions == hung.conditions
    assert is_true(after(state=goes_on, now=BOOTED.plus(QUIET_FOR), facts=Facts(hung=13)))
    assert not is_true(after(state=goes_on, now=later.plus(QUIET_FOR), facts=Facts(hung=13)))


def test_a_counter_that_was_set_back_is_no_hang() -> None:
    """From then on it is counted from there."""
    state = after(state=after(facts=Facts(hung=10)), facts=Facts(hung=0))
    assert not is_true(state)
    assert is_true(after(state=state, facts=Facts(hung=1)))


def test_the_counter_is_of_a_boot() -> None:
    """What it was before the boot is nothing to compare with."""
    old = attrs.evolve(after(facts=Facts(hung=1)), boot_id="b0")
    assert not is_true(after(state=old, facts=Facts(hung=7)))


def test_a_counter_that_cannot_be_read_is_remembered() -> None:
    """As it was."""
    state = after(state=after(facts=Facts(hung=3)), facts=Facts())
    assert state.hung == 3
    assert is_true(after(state=state, facts=Facts(hung=4)))


def test_without_the_counter_a_hang_holds_until_the_boot() -> None:
    """The log is silent after ten lines, so its silence says nothing."""
    hung = after(at(OLD, 1, BOOTED), facts=Facts())
    assert is_true(after(state=hung, now=BOOTED.plus(timedelta(days=9)), facts=Facts()))


def test_an_old_line_that_is_read_for_the_first_time_is_over() -> None:
    """An agent that starts on a host which has hung days ago asks for no repair; one of just now, it does."""
    days_ago = m.Now(wall=NOW.wall, elapsed=BOOTED.elapsed - 864 * 10**11)
    assert not is_true(after(at(OLD, 1, days_ago)))
    lately = m.Now(wall=NOW.wall, elapsed=BOOTED.elapsed - 9 * 60 * 10**9)
    assert is_true(after(at(OLD, 1, lately)))


def test_a_line_from_the_future_is_of_now() -> None:
    """Whatever it says, it does not hold for ever."""
    hung = after(kernel(OLD)._replace(microseconds=10**18))
    assert not is_true(after(state=hung, now=BOOTED.plus(QUIET_FOR)))


def test_who_was_blind_does_not_say_that_it_was_quiet() -> None:
    """Lost lines, and a log that cannot be read, put the end off."""
    hung = after(at(OLD, 1, BOOTED))
    due = BOOTED.plus(QUIET_FOR)
    assert is_true(after(state=hung, now=due, lost=1))
    blind = after(state=hung, now=due, blind="it is gone")
    assert is_true(blind)
    assert is_true(after(state=blind, now=due.plus(QUIET_FOR - SECOND)))
    assert not is_true(after(state=blind, now=due.plus(QUIET_FOR)))


def test_half_a_storm_is_forgotten() -> None:
    """After quiet, so that nothing is kept for ever."""
    half = after(at(OOM, 1, BOOTED))
    assert set(half.traces) == {"FrequentOOMKilling/OOMStorm"}
    assert after(state=half, now=BOOTED.plus(QUIET_FOR - SECOND)).traces == half.traces
    assert after(state=half, now=BOOTED.plus(QUIET_FOR)).traces == {}


def test_a_storm_that_calms_is_still_one() -> None:
    """A kill now and then does not end it, though five of those would be none."""
    storm, now = killed(5, apart=SECOND), BOOTED
    for number in range(6, 12):
        now = now.plus(QUIET_FOR - 5 * SECOND)
        storm = after(at(OOM, number, now), state=storm, now=now)
        assert is_true(storm, "FrequentOOMKilling")
    assert not is_true(after(state=storm, now=now.plus(QUIET_FOR)), "FrequentOOMKilling")


def test_half_a_storm_keeps_no_other_fault() -> None:
    """Of two rules of one condition only one that has found a fault counts."""
    half = attrs.evolve(OF_HOSTS[2], condition="KernelDeadlock", clears=Clears.BOOT)
    rules = (OF_HOSTS[0], half)
    state = after(at(OLD, 1, BOOTED), at(OOM, 2, BOOTED), rules=rules)
    over = after(state=state, now=BOOTED.plus(QUIET_FOR), rules=rules)
    assert (is_true(over), set(over.traces)) == (False, {"KernelDeadlock/OOMStorm"})


def test_a_condition_is_over_while_another_stands() -> None:
    """Each by its own rules."""
    state = after(at(OLD, 1, BOOTED), at("Remounting filesystem read-only", 2, BOOTED))
    over = after(state=state, now=BOOTED.plus(QUIET_FOR))
    assert (is_true(over), is_true(over, "ReadonlyFilesystem")) == (False, True)


def test_blindness_is_no_fault() -> None:
    """It makes none of what was half a storm."""
    state = after(at(OOM, 1, BOOTED), lost=1)
    assert not is_true(state, "FrequentOOMKilling")
    assert state.traces["FrequentOOMKilling/OOMStorm"].last == BOOTED.elapsed


def killed(count: int, *, apart: timedelta, state: DetectState | None = None) -> DetectState:
    """Let the kernel kill so many, so far apart."""
    held, now = state, BOOTED
    for number in range(1, count + 1):
        held = after(at(OOM, number, now), state=held, now=now)
        now = now.plus(apart)
    assert held is not None
    return held


@pytest.mark.parametrize(
    ("count", "apart", "storm"),
    [(4, 0, False), (5, 0, True), (5, 150, True), (5, 150.000001, False), (50, 151, False), (50, 149, True)],
)
def test_a_storm_is_five_in_ten_minutes(count: int, apart: float, storm: bool) -> None:
    """Fewer, or farther apart, are none."""
    assert is_true(killed(count, apart=timedelta(seconds=apart)), "FrequentOOMKilling") is storm


def test_a_storm_is_over_after_quiet() -> None:
    """Ten minutes after the last; four more of them are no storm, and it begins to count anew."""
    storm = killed(5, apart=SECOND)
    last = BOOTED.plus(4 * SECOND)
    assert is_true(after(state=storm, now=last.plus(QUIET_FOR - SECOND), facts=Facts()), "FrequentOOMKilling")
    over = after(state=storm, now=last.plus(QUIET_FOR), facts=Facts())
    assert not is_true(over, "FrequentOOMKilling")
    again = last.plus(QUIET_FOR)
    more = after(*(at(OOM, 10 + number, again) for number in range(4)), state=over, now=again)
    assert not is_true(more, "FrequentOOMKilling")


@pytest.mark.parametrize(
    ("text", "device"),
    [
        (READONLY, "sda1"), ("EXT4-fs (dm-0): Remounting filesystem read-only", "dm-0"),
        ("EXT4-fs (device nvme0n1p1): Remounting filesystem read-only", "nvme0n1p1"),
        ("EXT4-fs (device sdb state EA): Remounting filesystem read-only", "sdb"),
    ],
)  # fmt: skip
def test_a_file_system_that_can_be_written_again(text: str, device: str) -> None:
    """A minute after the line; as long as it cannot, and where nobody can tell, the condition stands."""
    state = after(at(text, 1, BOOTED))
    due = BOOTED.plus(WRITABLE_FOR)
    assert is_true(
        after(state=state, now=due, facts=Facts(readonly=frozenset({device, "loop0"}))), "ReadonlyFilesystem"
    )
    assert is_true(after(state=state, now=due, facts=Facts()), "ReadonlyFilesystem")
    early = attrs.evolve(due, elapsed=due.elapsed - 1)
    well = Facts(readonly=frozenset({"loop0"}))
    assert is_true(after(state=state, now=early, facts=well), "ReadonlyFilesystem")
    assert not is_true(after(state=state, now=due, facts=well), "ReadonlyFilesystem")


def test_two_file_systems() -> None:
    """Both have to be well, whichever was told first."""
    second = READONLY.replace("sda1", "sdb1")
    state = after(at(READONLY, 1, BOOTED), at(second, 2, BOOTED), at(READONLY, 3, BOOTED))
    assert state.traces["ReadonlyFilesystem/FilesystemIsReadOnly"].subjects == ("sda1", "sdb1")
    due = BOOTED.plus(WRITABLE_FOR)
    for left in ("sda1", "sdb1"):
        facts = Facts(readonly=frozenset({left}))
        assert is_true(after(state=state, now=due, facts=facts), "ReadonlyFilesystem")
    assert not is_true(after(state=state, now=due, facts=Facts(readonly=frozenset())), "ReadonlyFilesystem")


@pytest.mark.parametrize(("count", "well"), [(16, True), (17, False)])
def test_many_file_systems(count: int, well: bool) -> None:
    """Of more than are kept nobody says that they are well."""
    lines = (at(READONLY.replace("sda1", f"sd{number}"), number, BOOTED) for number in range(1, count + 1))
    state = after(*lines)
    assert len(state.traces["ReadonlyFilesystem/FilesystemIsReadOnly"].subjects) == (16 if well else 1)
    due = BOOTED.plus(WRITABLE_FOR)
    facts = Facts(readonly=frozenset())
    assert is_true(after(state=state, now=due, facts=facts), "ReadonlyFilesystem") is not well


def test_a_file_system_without_a_name() -> None:
    """Holds until the boot."""
    state = after(at("Remounting filesystem read-only", 1, BOOTED))
    later = BOOTED.plus(timedelta(days=1))
    assert is_true(after(state=state, now=later, facts=Facts(readonly=frozenset())), "ReadonlyFilesystem")


BOOT = DetectRule(condition="KernelDeadlock", reason="DockerHung", pattern="task docker:")


def test_a_condition_is_over_when_all_that_made_it_is() -> None:
    """One that holds until the boot keeps it, under the first words."""
    rules = (*OF_HOSTS, BOOT)
    state = after(at(OLD, 1, BOOTED), at("task docker:1", 2, BOOTED), rules=rules)
    later = after(state=state, now=BOOTED.plus(QUIET_FOR), rules=rules)
    assert later.conditions == state.conditions
    assert set(later.traces) == {"KernelDeadlock/DockerHung"}


def test_a_rule_that_is_no_more_is_forgotten() -> None:
    """And its condition with it."""
    state = after(at("task docker:1", 1, BOOTED), rules=(BOOT,))
    left = after(state=state, rules=OF_HOSTS[1:])
    assert (left.traces, [one.type for one in left.conditions]) == (
        {}, ["ReadonlyFilesystem", "FrequentOOMKilling", "LogFlood"],
    )  # fmt: skip


def test_a_healthy_condition_has_the_words_of_its_rule() -> None:
    """Of the first of its type."""
    rule = attrs.evolve(BOOT, well="KernelHasNoDeadlock", well_message="kernel has no deadlock")
    state = after(rules=(rule, BOOT))
    assert (shown(state).reason, shown(state).message) == ("KernelHasNoDeadlock", "kernel has no deadlock")


@pytest.mark.parametrize(("facility", "believed"), [(None, True), (3, True), (0, False), (1, False)])
def test_whose_lines_are_believed(facility: int | None, believed: bool) -> None:
    """Those of the rule's facility; of a log that is no kernel's, everybody's."""
    rule = attrs.evolve(BOOT, facility=facility)
    state = after(at("task docker:1", 1, BOOTED)._replace(facility=3), rules=(rule,))
    assert is_true(state) is believed


def test_lines_that_are_skipped() -> None:
    """A line with a word of the list is none."""
    rule = attrs.evolve(BOOT, skips=("audit:", "test"))
    assert not is_true(after(at("task docker:1 test", 1, BOOTED), rules=(rule,)))
    assert is_true(after(at("task docker:1", 1, BOOTED), rules=(rule,)))


def test_a_log_that_cannot_be_read_is_told() -> None:
    """As blindness, until it can be read, and not as a flood; a flood meanwhile, and before, has its own words."""
    blind = after(blind="/dev/kmsg is gone")
    told = shown(blind, "LogFlood")
    assert (told.status, told.reason, told.message) == (
        m.Switch.UNKNOWN,
        "LogUnreadable",
        "/dev/kmsg is gone",
    )
    still = after(state=blind, blind="something else")
    assert still.conditions == blind.conditions
    assert shown(after(state=blind), "LogFlood").reason == "NoFault"
    assert shown(after(state=blind, lost=2), "LogFlood").message == "2 records were not looked at"
    flooded = after(lost=2)
    assert shown(after(state=flooded, blind="gone"), "LogFlood").reason == "LogUnreadable"


def test_how_much_was_missed_is_told_afterwards() -> None:
    """Once it sees again; a boot begins anew."""
    flooded = after(state=after(at("x", 1, BOOTED), lost=3), lost=4)
    assert shown(flooded, "LogFlood").message == "3 records were not looked at"
    assert shown(after(state=flooded), "LogFlood") == shown(flooded, "LogFlood"), "nothing was read"
    due = BOOTED.plus(FLOOD_FOR)
    early = attrs.evolve(due, elapsed=due.elapsed - 1)
    assert shown(after(at("x", 2, early), state=flooded, now=early), "LogFlood") == shown(flooded, "LogFlood")
    assert shown(after(state=flooded, now=due), "LogFlood") == shown(flooded, "LogFlood"), "nothing was read"
    seen = after(at("x", 2, due), state=flooded, now=due)
    assert shown(seen, "LogFlood").message == "7 records of this boot were not looked at"
    assert shown(after(state=attrs.evolve(seen, boot_id="b0")), "LogFlood").message == ""


def test_a_flood_that_loses_now_and_then_is_one_flood() -> None:
    """Whole readings between do not end it, so that a host which is flooded does not flood the server."""
    assert timedelta(minutes=1) == FLOOD_FOR
    flooded, now = after(at("x", 1, BOOTED), lost=1), BOOTED
    told = shown(flooded, "LogFlood")
    for number in range(1, 20):
        now = now.plus(FLOOD_FOR - SECOND)
        flooded = after(at("x", 2 * number, now), state=flooded, now=now)
        now = now.plus(SECOND / 2)
        flooded = after(at("x", 2 * number + 1, now), state=flooded, now=now, lost=1)
        assert shown(flooded, "LogFlood") == told
    assert flooded.dropped == 20


def test_a_trace_without_its_condition_is_no_fault() -> None:
    """A state that somebody has cut tells nothing that it does not know the words of."""
    state = DetectState(
        boot_id="b1", traces={"KernelDeadlock/TaskHung": Trace(fired=True, last=BOOTED.elapsed)}
    )
    assert not is_true(after(state=state))


def test_several_logs_are_one() -> None:
    """A fault goes before its absence, the earlier log before the later, in the order of the first."""
    well, ill = after().conditions, after(at(OLD, 1, BOOTED)).conditions
    assert merged(()) == ()
    assert merged((well, ill)) == ill
    assert merged((ill, well)) == ill
    other = after(at(NEW, 1, BOOTED)).conditions
    assert merged((ill, other)) == ill
    assert merged((well[1:], well)) == (*well[1:], well[0])
    said = tuple(attrs.evolve(one, message="said by another log") for one in well)
    assert merged((well, said)) == well
    unsure = tuple(attrs.evolve(one, status=m.Switch.UNKNOWN) for one in well)
    assert merged((well, unsure)) == merged((unsure, well)) == unsure
    assert merged((unsure, ill))[0] == merged((ill, unsure))[0] == ill[0]


LINES = st.sampled_from((OLD, OOM, READONLY, "x"))
STEPS = st.lists(st.tuples(LINES, st.integers(0, 900)), max_size=12)


@given(STEPS, st.sampled_from((COUNTS, Facts(), Facts(hung=0, readonly=frozenset()))))
def test_all_in_one_reading_or_one_at_a_time(steps: list[tuple[str, int]], facts: Facts) -> None:
    """How the lines fall into readings does not change what stands at the end, where nothing is over in between."""
    boot_only = tuple(attrs.evolve(rule, clears=Clears.BOOT) for rule in OF_HOSTS)
    now, state, records = BOOTED, DetectState(), []
    for number, (text, pause) in enumerate(steps, 1):
        records.append(at(text, number, now))
        state = after(records[-1], state=state, now=now, facts=facts, rules=boot_only)
        now = now.plus(timedelta(seconds=pause))
    at_once = after(*records, now=now, facts=facts, rules=boot_only)
    assert [(one.type, one.status, one.message) for one in state.conditions] == [
        (one.type, one.status, one.message) for one in at_once.conditions
    ] or not steps
    assert not steps or state.traces == at_once.traces


@given(STEPS)
def test_every_fault_that_can_be_over_is(steps: list[tuple[str, int]]) -> None:
    """Ten minutes after the last line of a host that is well no condition stands."""
    now, state = BOOTED, DetectState()
    facts = Facts(hung=4, readonly=frozenset())
    for number, (text, pause) in enumerate(steps, 1):
        state = after(at(text, number, now), state=state, now=now, facts=facts)
        now = now.plus(timedelta(seconds=pause))
    end = after(state=state, now=now.plus(QUIET_FOR), facts=facts)
    assert {one.status for one in end.conditions} == {m.Switch.FALSE}
