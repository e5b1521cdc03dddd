"""A Repair: the one step by which the controllers let an agent repair drift that takes a permit."""

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Decision, RunSteps
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import NodeSnapshot, decide
from kubenode.core.host.inspection import INSPECT_EVERY, SHORTEST, period
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.operation import INTERRUPTED
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.step import Reboot, RestartUnit, Step
from tests.core.host.seen import (
    BOOT,
    INSTALL,
    NEW,
    OLD,
    REBOOT,
    component,
    entry,
    journalled,
    operation,
    seen,
)

REPAIR = m.OperationStep(action=m.StepAction.REPAIR, component="kubelet")
ASKED = operation(REPAIR, op_id="remedy-7")
SPOILT = attrs.evolve(NEW, config=m.ConfigState.DRIFTED)
WELL = m.ComponentReport(
    component="kubelet-1.2",
    revision="2",
    version="1.2",
    config=m.ConfigState.CURRENT,
    state=m.Running.RUNNING,
)
DRIFTING = attrs.evolve(WELL, config=m.ConfigState.DRIFTED, drifting=True)


def host(
    have: Have = SPOILT, *, disruption: m.Disruption = m.Disruption.REBOOT, report: m.ComponentReport = DRIFTING,
    journal: Mapping[str, JournalEntry] | None = None, boot_id: str = BOOT, asked: m.Operation | None = ASKED,
    said: m.OperationAnswer | None = None, plan: tuple[object, ...] | Problem = INSTALL,
) -> NodeSnapshot:  # fmt: skip
    """Make a host on which kubelet-1.2 of a class drifted, and whose agent is asked to repair it."""
    before = m.AgentStatus(components={"kubelet": report}, operation=said, boot_id=BOOT)
    made = seen(
        operation=asked, entries={"kubelet": entry()}, have={"kubelet": have}, before=before, journal=journal,
        plans={"kubelet": () if have == NEW else plan}, boot_id=boot_id,  # type: ignore[dict-item]
    )  # fmt: skip
    one = component()
    return attrs.evolve(
        made,
        components={"kubelet-1.2": attrs.evolve(one, spec=attrs.evolve(one.spec, disruption=disruption))},
    )


def answer(decision: Decision[m.AgentStatus]) -> tuple[str, str]:
    """Give what the agent answers: the state and the message."""
    assert decision.status is not None
    said = decision.status.operation
    assert said is not None
    assert said.op_id == ASKED.op_id
    return said.state.value, said.message


def repairs(decision: Decision[m.AgentStatus]) -> list[RunSteps]:
    """Give what is run under the op-id of the permit; a new revision is brought in under one of its own."""
    return [run for run in decision.effects if isinstance(run, RunSteps) and run.op_id == ASKED.op_id]


@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_class_drain_or_reboot_is_repaired_when_the_operation_says_so_and_not_before(
    disruption: m.Disruption,
) -> None:
    """Under the op-id of the permit, with the driver's steps, and of its component's class."""
    assert decide(host(disruption=disruption, asked=None), Policy()).effects == ()
    decision = decide(host(disruption=disruption), Policy())
    assert answer(decision) == ("Acknowledged", "")
    (run,) = decision.effects
    assert isinstance(run, RunSteps)
    steps = (*INSTALL, Reboot()) if disruption is m.Disruption.REBOOT else INSTALL
    assert (run.op_id, run.steps, run.disruption, run.answers) == (ASKED.op_id, steps, disruption, "")


def test_a_repair_reboots_once_whatever_it_repairs() -> None:
    """At its end; not twice where it ends in a reboot that was asked for, and not for a unit that is only started."""
    reboot, other = Reboot(), m.OperationStep(action=m.StepAction.REPAIR, component="other")
    for steps, ends in (((REPAIR, other), (reboot,)), ((REPAIR, other, REBOOT), (reboot,))):
        made = host(asked=operation(*steps, op_id=ASKED.op_id))
        machine = attrs.evolve(
            made.machine,
            spec=attrs.evolve(made.machine.spec, components={"kubelet": entry(), "other": entry()}),
            status=m.MachineStatus(
                agent=attrs.evolve(made.before, components={"kubelet": DRIFTING, "other": DRIFTING})
            ),
        )
        plans, have = {"kubelet": INSTALL, "other": INSTALL}, {"kubelet": SPOILT, "other": SPOILT}
        (run,) = decide(attrs.evolve(made, machine=machine, plans=plans, have=have), Policy()).effects
        assert isinstance(run, RunSteps)
        assert run.steps == (*INSTALL, *INSTALL, *ends)
    start: tuple[Step, ...] = (RestartUnit(unit="kubelet.service"),)
    (run,) = decide(host(plan=start), Policy()).effects
    assert isinstance(run, RunSteps)
    assert run.steps == start


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"have": NEW, "report": WELL}, ("Done", "")),
        ({"have": OLD, "report": attrs.evolve(WELL, revision="1")}, ("Failed", "kubelet: it has not drifted; another revision is being brought in")),
        ({"report": attrs.evolve(DRIFTING, reason="InstallFailed")}, ("Failed", "kubelet: it has not drifted; another revision is being brought in")),
        ({"plan": ()}, ("Failed", "kubelet: drifted, and its driver has no steps")),
        ({"plan": Problem(where="x", what="PluginMissing: no driver")}, ("Failed", "kubelet: PluginMissing: x: no driver")),
        ({"asked": operation(attrs.evolve(REPAIR, component="else"), op_id="remedy-7")}, ("Failed", "else: nothing says how it should be")),
    ],
)  # fmt: skip
def test_what_needs_no_repair_or_cannot_be_repaired_is_answered_and_not_begun(
    changes: dict[str, object], told: tuple[str, str]
) -> None:
    """By the look at the host now, not by what was reported when the controllers asked; and the answer stands."""
    decision = decide(host(**changes), Policy())  # type: ignore[arg-type]
    assert (repairs(decision), answer(decision)) == ([], told)
    assert decision.status is not None
    again = decide(host(**{**changes, "said": decision.status.operation}), Policy())  # type: ignore[arg-type]
    assert (repairs(again), answer(again)) == ([], told)


def test_a_component_that_is_gone_or_a_newer_versions_is_not_repaired() -> None:
    """Nothing says how it should be."""
    newer = component()
    newer = attrs.evolve(newer, metadata=attrs.evolve(newer.metadata, unknown=("spec.new",)))
    for components in ({}, {"kubelet-1.2": newer}):
        decision = decide(attrs.evolve(host(), components=components), Policy())
        assert (decision.effects, answer(decision)[0]) == ((), "Failed")


@pytest.mark.parametrize(
    ("state", "boot", "have", "told"),
    [
        (JournalState.STARTED, BOOT, SPOILT, ("Acknowledged", "")),
        (JournalState.DONE, BOOT, NEW, ("Done", "")),
        (JournalState.DONE, BOOT, SPOILT, ("Done", "")),
        (JournalState.FAILED, BOOT, SPOILT, ("Failed", "dpkg died")),
        (JournalState.STARTED, "boot-0", NEW, ("Done", "")),
        (JournalState.STARTED, "boot-0", SPOILT, ("Failed", INTERRUPTED)),
    ],
)
def test_a_repair_that_was_begun_is_answered_by_the_journal_and_a_reboot_in_it_by_the_look(
    state: JournalState, boot: str, have: Have, told: tuple[str, str]
) -> None:
    """It is never run again; whether a reboot completed it or cut it short only the host can show."""
    entry_ = journalled(state, boot, "dpkg died" if state is JournalState.FAILED else "")
    decision = decide(host(have, journal={ASKED.op_id: entry_}), Policy())
    assert (decision.effects, answer(decision)) == ((), told)


def test_whether_a_boot_has_mended_it_is_not_said_before_a_look() -> None:
    """A failure would be followed by a harder remedy."""
    journal = {ASKED.op_id: journalled(JournalState.STARTED, "boot-0")}
    blind = attrs.evolve(host(NEW, journal=journal), have={})
    assert answer(decide(blind, Policy())) == ("Acknowledged", "")
    assert answer(decide(host(NEW, journal=journal), Policy())) == ("Done", "")


def test_a_repair_waits_for_what_runs_already() -> None:
    """One act at a time; a reboot as a remedy would not wait."""
    decision = decide(host(journal={"component-1": journalled(JournalState.STARTED)}), Policy())
    assert (decision.effects, answer(decision)) == ((), ("Acknowledged", ""))


@pytest.mark.parametrize("runs", [False, True])
def test_a_repair_of_what_nobody_could_look_at_waits_for_a_look(runs: bool) -> None:
    """As after a start in the middle of other steps: its node may be drained for it already. It is looked at again soon."""
    journal = {"component-1": journalled(JournalState.STARTED)} if runs else {}
    every = period(INSPECT_EVERY)
    blind = attrs.evolve(host(journal=journal), have={}, plans={}, inspect=every)
    decision = decide(blind, Policy())
    assert (decision.effects, answer(decision)) == ((), ("Acknowledged", ""))
    assert "operation remedy-7 waits: nobody has looked at kubelet yet" in [
        note.text for note in decision.notes
    ]
    assert decision.wake_at == nanoseconds(SHORTEST)
    assert decide(attrs.evolve(host(), inspect=every), Policy()).wake_at == every
    gone = decide(attrs.evolve(blind, components={}), Policy())
    assert answer(gone) == ("Failed", "kubelet: nothing says how it should be")


@given(
    have=st.sampled_from([NEW, OLD, SPOILT]), report=st.sampled_from([WELL, DRIFTING, m.ComponentReport()]),
    state=st.none() | st.sampled_from(JournalState), boot=st.sampled_from([BOOT, "boot-0"]),
    disruption=st.sampled_from(m.Disruption), asks=st.booleans(),
)  # fmt: skip
def test_no_agent_repairs_class_drain_or_reboot_but_by_an_operation(
    have: Have,
    report: m.ComponentReport,
    state: JournalState | None,
    boot: str,
    disruption: m.Disruption,
    asks: bool,
) -> None:
    """Whatever the host looks like: a component that was at target is only touched under the op-id of a permit."""
    journal = {} if state is None else {ASKED.op_id: journalled(state, boot)}
    asked = ASKED if asks else None
    decision = decide(
        host(have, report=report, journal=journal, disruption=disruption, asked=asked), Policy()
    )
    for run in decision.effects:
        assert isinstance(run, RunSteps)
        if report.component and disruption in (m.Disruption.DRAIN, m.Disruption.REBOOT):
            assert (asks, run.op_id) == (True, ASKED.op_id)
        assert run.op_id not in journal
