"""The agent's decider, row by row: what is answered, cut, tried again, and which act comes first."""

from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import decide
from kubenode.core.host.drift import REPAIR_LIMIT, REPAIR_SPREAD, REPAIR_WINDOW, delay, drifted, repairs
from kubenode.core.host.inspection import INSPECT_EVERY, LONGEST, SHORTEST
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.operation import INTERRUPTED
from kubenode.core.host.plan import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_STEPS,
    RESUME_PAUSE,
    host_steps,
    is_at_target,
    operation_steps,
    pause,
    tries,
)
from kubenode.core.policy import Policy
from kubenode.core.step import Reboot, RestartUnit
from tests.core.host.seen import (
    BOOT,
    NEW,
    OLD,
    REBOOT,
    RESTART,
    SECOND,
    START,
    component,
    entry,
    journalled,
    operation,
    seen,
)

RUN, DONE, FAIL = JournalState.STARTED, JournalState.DONE, JournalState.FAILED


def decided(**snapshot: Any) -> Decision[m.AgentStatus]:
    """Decide on a snapshot."""
    return decide(seen(**snapshot), Policy())


def report_of(decision: Decision[m.AgentStatus], name: str = "kubelet") -> m.ComponentReport:
    """Give the report on an entry."""
    assert decision.status is not None
    return decision.status.components[name]


def test_the_limits_are_what_they_are() -> None:
    """Sixteen steps; pauses of five minutes to an hour, one minute after a reboot; three repairs an hour, spread over one."""
    assert MAX_STEPS == 16
    assert [one.total_seconds() for one in (FIRST_PAUSE, RESUME_PAUSE, LONGEST_PAUSE)] == [300, 60, 3600]
    assert (REPAIR_LIMIT, REPAIR_WINDOW.total_seconds(), REPAIR_SPREAD.total_seconds()) == (3, 3600, 60)
    assert [one.total_seconds() for one in (INSPECT_EVERY, SHORTEST, LONGEST)] == [300, 10, 3600]
    assert [pause(number) // SECOND for number in range(7)] == [300, 600, 1200, 2400, 3600, 3600, 3600]


# The operation.


@pytest.mark.parametrize(
    ("said", "boot_id", "answer"),
    [
        (None, BOOT, ("Acknowledged", "")), (("other", "Done"), BOOT, ("Acknowledged", "")), (("other", "Acknowledged"), "boot-0", ("Acknowledged", "")),
        (("remedy-1", "Done"), BOOT, ("Done", "before")), (("remedy-1", "Failed"), "boot-0", ("Failed", "before")),
        (("remedy-1", "Acknowledged"), BOOT, ("Acknowledged", "")),
        (("remedy-1", "Acknowledged"), "boot-0", ("Failed", "this host's journal does not know it")),
    ],
)  # fmt: skip
def test_what_was_answered_before_is_about_this_operation_or_about_none(
    said: tuple[str, str] | None, boot_id: str, answer: tuple[str, str]
) -> None:
    """By its op-id; an acknowledgement of another boot is not known to have been begun."""
    word = (
        None
        if said is None
        else m.OperationAnswer(op_id=said[0], state=m.AnswerState(said[1]), message="before")
    )
    before = m.AgentStatus(version="1.0", boot_id=boot_id, node_name="node-7", operation=word)
    status = decided(operation=operation(), before=before).status
    assert status is not None
    assert status.operation is not None
    assert (status.operation.op_id, status.operation.state.value, status.operation.message) == (
        "remedy-1",
        *answer,
    )


@pytest.mark.parametrize(("length", "kept"), [(2047, 2047), (2048, 2048), (2049, 2048)])
def test_what_the_server_would_refuse_is_cut(length: int, kept: int) -> None:
    """An answer, a failed step and a failed repair, at 2,048 characters."""
    text = "x" * length
    status = decided(operation=operation(), journal={"remedy-1": journalled(FAIL, message=text)}).status
    assert status is not None
    assert status.operation is not None
    assert len(status.operation.message) == kept
    failed = {tried(): journalled(FAIL, message=text)}
    assert len(report_of(decided(entries={"kubelet": entry()}, journal=failed)).message) == kept
    report = drifted(m.ComponentReport(), m.ComponentReport(), journalled(FAIL, message=text), START)
    assert len(report.message) == kept


@pytest.mark.parametrize(("length", "kept"), [(127, 127), (128, 128), (129, 128)])
@pytest.mark.parametrize("before", [None, "dealt with"])
@pytest.mark.parametrize("config", [m.ConfigState.CURRENT, m.ConfigState.DRIFTED])
def test_a_version_is_cut_wherever_it_is_told(
    length: int, kept: int, before: str | None, config: m.ConfigState
) -> None:
    """At target, on the way there, and drifted: at 128 characters."""
    version = "v" * length
    stored = m.ComponentReport(component="kubelet-1.2", revision="2")
    made = seen(
        entries={"kubelet": entry()}, have={"kubelet": attrs.evolve(NEW, version=version, config=config)},
        before=None if before is None else m.AgentStatus(components={"kubelet": stored}),
    )  # fmt: skip
    wanted = component(version=version)
    assert (
        report_of(decide(attrs.evolve(made, components={"kubelet-1.2": wanted}), Policy())).version
        == "v" * kept
    )


def tried(number: int = 0, **changes: Any) -> str:
    """Give the op-id of one try of the entry of `entry()`."""
    one = seen(entries={"kubelet": entry(**changes)})
    journal: dict[str, JournalEntry] = {}
    while True:
        found = tries(one.machine, "kubelet", one.machine.spec.components["kubelet"], component(), journal)
        if found.number == number:
            return found.next_op_id
        journal[found.next_op_id] = journalled(FAIL)


def test_a_failure_without_words_is_told_all_the_same() -> None:
    """A step failed."""
    assert (
        report_of(decided(entries={"kubelet": entry()}, journal={tried(): journalled(FAIL)})).message
        == "a step failed"
    )
    assert (
        drifted(m.ComponentReport(), m.ComponentReport(), journalled(FAIL), START).message == "a step failed"
    )


@pytest.mark.parametrize(
    ("last", "told"),
    [(None, ("", "")), (journalled(DONE), ("", "")), (journalled(RUN), ("", "")), (journalled(FAIL, message="exit 1"), ("RepairFailed", "exit 1"))],
)  # fmt: skip
def test_a_drift_tells_of_the_last_repair_if_that_failed(
    last: JournalEntry | None, told: tuple[str, str]
) -> None:
    """And of nothing else."""
    report = drifted(m.ComponentReport(), m.ComponentReport(), last, START)
    assert (report.reason, report.message, report.drifting, report.drifted_at) == (*told, True, START)


# Tries.


@pytest.mark.parametrize(
    ("journal", "at", "codes", "runs", "wakes"),
    [
        ({}, 0, [], True, None),
        ({tried(): journalled(RUN)}, 0, ["Busy"], False, None),
        ({tried(): journalled(DONE)}, 0, ["NotAtTarget"], False, None),
        ({tried(): journalled(FAIL)}, 599, ["BackOff"], False, 600),
        ({tried(): journalled(FAIL)}, 600, [], True, None),
        ({tried(): journalled(RUN, "boot-0")}, 59, ["BackOff"], False, 60),
        ({tried(): journalled(RUN, "boot-0")}, 60, [], True, None),
        ({tried(): journalled(FAIL), tried(1): journalled(RUN, "boot-0")}, 60, ["BackOff"], False, 1200),
        ({tried(): journalled(FAIL), tried(1): journalled(FAIL)}, 1199, ["BackOff"], False, 1200),
    ],
)  # fmt: skip
def test_another_try_waits_its_pause(
    journal: dict[str, JournalEntry], at: int, codes: list[str], runs: bool, wakes: int | None
) -> None:
    """Doubled after each; what a reboot cut short is taken up soon, once; who runs or is done is left alone."""
    last = tried(len(journal) - 1) if journal else ""
    decision = decided(
        entries={"kubelet": entry()}, journal=journal, at=at * SECOND, sightings={f"failed:{last}": 0},
        before=m.AgentStatus(components={"kubelet": m.ComponentReport()}),
    )  # fmt: skip
    assert [note.code for note in decision.notes] == codes
    assert bool(decision.effects) is runs
    assert decision.wake_at == (None if wakes is None else wakes * SECOND)


# Which act comes first.


def test_while_something_runs_nothing_else_is_begun() -> None:
    """What would act is deferred; what is well is at rest; a timer is none, since the end of the act is an event."""
    entries = {"kubelet": entry(), "other": entry()}
    running = {tried(): journalled(RUN)}
    well = {"kubelet": NEW, "other": NEW}
    waits = decided(entries=entries, journal=running)
    assert ([note.code for note in waits.notes], waits.effects, waits.deferred, waits.wake_at) == (
        ["Busy"],
        (),
        True,
        None,
    )
    assert waits.notes[0].text == f"operation {tried()} comes first"
    rests = decided(entries=entries, have=well, journal=running)
    assert ([note.code for note in rests.notes], rests.deferred) == (["Busy"], False)
    stored = m.AgentStatus(
        components={"other": m.ComponentReport(component="kubelet-1.2", revision="2", drifting=True)}
    )
    late = decided(entries=entries, have={"kubelet": NEW, "other": OLD}, journal=running, before=stored)
    assert ([note.code for note in late.notes], late.deferred, late.wake_at) == (["Busy"], True, None)


def test_what_is_asked_and_not_answered_comes_first() -> None:
    """While the agent has only acknowledged it; an operation that is gone holds up nobody."""
    word = m.OperationAnswer(op_id="remedy-1", state=m.AnswerState.ACKNOWLEDGED)
    before = m.AgentStatus(version="1.0", boot_id=BOOT, node_name="node-7", operation=word)
    gone = decided(entries={"kubelet": entry()}, before=before)
    assert [effect.answers for effect in gone.effects if hasattr(effect, "answers")] == ["kubelet"]
    asked = decided(entries={"kubelet": entry()}, before=before, operation=operation())
    assert [effect.op_id for effect in asked.effects if hasattr(effect, "op_id")] == ["remedy-1"]


def test_an_entry_whose_component_is_not_there_is_named() -> None:
    """And not dealt with: the object may be on its way."""
    made = attrs.evolve(seen(entries={"kubelet": entry()}), components={})
    decision = decide(made, Policy())
    assert [note.code for note in decision.notes] == ["ComponentMissing"]
    assert (report_of(decision).reason, report_of(decision).revision) == ("ComponentMissing", "")


# Plans.


@pytest.mark.parametrize(
    ("wanted", "found", "at_target"),
    [
        (m.Running.RUNNING, NEW, True), (m.Running.RUNNING, OLD, False), (m.Running.STOPPED, NEW, False),
        (m.Running.STOPPED, attrs.evolve(NEW, state=m.Running.STOPPED), True), (m.Running.ABSENT, NEW, False),
        (m.Running.RUNNING, attrs.evolve(NEW, config=m.ConfigState.DRIFTED), False),
        (m.Running.RUNNING, attrs.evolve(NEW, state=m.Running.ABSENT), False),
        (m.Running.ABSENT, Have(version="", config=m.ConfigState.UNKNOWN, state=m.Running.ABSENT), True),
        (m.Running.ABSENT, attrs.evolve(OLD, config=m.ConfigState.DRIFTED, state=m.Running.ABSENT), True),
    ],
)  # fmt: skip
def test_what_is_at_target(wanted: m.Running, found: Have, at_target: bool) -> None:
    """Version, configuration and state; of what is rightly Absent only that."""
    assert is_at_target(entry(state=wanted), component(), found) is at_target


def test_an_operation_carries_what_it_can_in_order() -> None:
    """A reboot last, whatever came before; and there and back it is the same."""
    steps = (RestartUnit(unit="a.service"), RestartUnit(unit="b.service"), Reboot())
    carried = operation_steps(steps)
    assert not isinstance(carried, Problem)
    assert host_steps(carried) == steps
    for wrong, where in (
        ((Reboot(), RestartUnit(unit="a.service")), "steps[1]"),
        ((RestartUnit(unit="a.service"), Reboot(), Reboot()), "steps[2]"),
    ):
        found = operation_steps(wrong)
        assert isinstance(found, Problem)
        assert found.where == where


def test_a_step_by_hand_without_a_unit_restarts_none() -> None:
    """The host refuses the empty name; nobody guesses one."""
    assert host_steps((attrs.evolve(RESTART, unit=None), REBOOT)) == (RestartUnit(unit=""), Reboot())


def test_what_a_reboot_interrupts_is_done_if_it_was_the_reboot() -> None:
    """And failed if it was not."""
    for steps, answer in (((RESTART,), ("Failed", INTERRUPTED)), ((RESTART, REBOOT), ("Done", ""))):
        status = decided(operation=operation(*steps), journal={"remedy-1": journalled(RUN, "boot-0")}).status
        assert status is not None
        assert status.operation is not None
        assert (status.operation.state.value, status.operation.message) == answer


def test_repairs_are_spread_over_the_whole_minute() -> None:
    """A thousand machines: some early, some late, and none alike in all."""
    delays = [delay(f"uid-{number}", "kubelet", 0) for number in range(1000)]
    assert 0 <= min(delays) < 2 * SECOND
    assert 58 * SECOND < max(delays) < 60 * SECOND
    assert len(set(delays)) == 1000


def test_who_is_being_mended_waits_for_nothing_else() -> None:
    """Its own steps run: that is no deferral, whether a try or a repair."""
    trying = decided(entries={"kubelet": entry()}, journal={tried(): journalled(RUN)})
    assert ([note.code for note in trying.notes], trying.deferred) == (["Busy"], False)
    stored = m.ComponentReport(component="kubelet-1.2", revision="2", drifting=True)
    made = seen(
        entries={"kubelet": entry()},
        have={"kubelet": OLD},
        before=m.AgentStatus(components={"kubelet": stored}),
    )
    wanted = made.machine.spec.components["kubelet"]
    first = repairs(made.machine, "kubelet", wanted, component(), {}).next_op_id
    mending = attrs.evolve(made, host=attrs.evolve(made.host, journal={first: journalled(RUN)}))
    decision = decide(mending, Policy())
    assert ([note.code for note in decision.notes], decision.deferred) == (["Busy"], False)


@pytest.mark.parametrize(("later", "code"), [(-1, "RepairDelay"), (0, "RepairDelay"), (1, "RepairLimit")])
def test_of_two_bounds_of_a_repair_the_one_that_ends_last_is_named(later: int, code: str) -> None:
    """Where both end at once, the delay."""
    stored = m.ComponentReport(component="kubelet-1.2", revision="2", drifting=True)
    end = delay("uid-n7", "kubelet", 0)
    room = end + later - 3600 * SECOND
    seen_repairs = {f"repaired:kubelet:{number}": room + number for number in range(3)}
    decision = decided(
        entries={"kubelet": entry()}, have={"kubelet": OLD}, before=m.AgentStatus(components={"kubelet": stored}),
        sightings={"drift:kubelet:0": 0, **seen_repairs},
    )  # fmt: skip
    assert ([note.code for note in decision.notes], decision.wake_at) == ([code], max(end, end + later))


@pytest.mark.parametrize(("state", "answer"), [(RUN, "Acknowledged"), (DONE, "Done"), (FAIL, "Failed")])
def test_an_operation_is_answered_by_the_journal(state: JournalState, answer: str) -> None:
    """As far as it is in this boot."""
    status = decided(operation=operation(), journal={"remedy-1": journalled(state)}).status
    assert status is not None
    assert status.operation is not None
    assert status.operation.state.value == answer


@pytest.mark.parametrize("disruption", list(m.Disruption))
def test_what_takes_a_permit_is_not_repaired(disruption: m.Disruption) -> None:
    """Nor tried again; what takes none is, when its time has come."""
    free = disruption in (m.Disruption.NONE, m.Disruption.RESTART)
    wanted = component()
    wanted = attrs.evolve(wanted, spec=attrs.evolve(wanted.spec, disruption=disruption))
    stored = m.ComponentReport(component="kubelet-1.2", revision="2", drifting=True)
    drifts = seen(
        entries={"kubelet": entry()}, have={"kubelet": OLD}, before=m.AgentStatus(components={"kubelet": stored}),
        at=60 * SECOND, sightings={"drift:kubelet:0": 0},
    )  # fmt: skip
    fails = seen(
        entries={"kubelet": entry()},
        journal={tried(): journalled(FAIL)},
        at=600 * SECOND,
        sightings={f"failed:{tried()}": 0},
    )
    for made, code in ((drifts, "RepairNeedsPermit"), (fails, "RetryNeedsPermit")):
        decision = decide(attrs.evolve(made, components={"kubelet-1.2": wanted}), Policy())
        assert bool(decision.effects) is free
        assert [note.code for note in decision.notes] == ([] if free else [code])


def test_a_host_by_hand_is_not_looked_at_again_by_itself() -> None:
    """Whoever is told of every change needs no period."""
    assert seen().inspect == 0
    assert decided().wake_at is None
