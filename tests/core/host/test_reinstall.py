"""A Reinstall: what a remedy has an agent put down again though it looks right, of what was last found whole."""

from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Decision, RunSteps
from kubenode.core.errors import Problem
from kubenode.core.host.decide import NodeSnapshot, decide
from kubenode.core.host.journal import JournalState
from kubenode.core.host.plan import NO_REPAIRS, anew, host_steps, operation_steps, reinstalled, repaired
from kubenode.core.host.reinstall import last_good
from kubenode.core.policy import Policy
from kubenode.core.step import InstallPackage, Reboot, ReinstallComponent, RestartUnit, WriteFile
from tests.core.host.seen import BOOT, INSTALL, NEW, OLD, component, entry, journalled, operation, seen
from tests.core.host.test_operation import DRIFTING, REPAIR, WELL

AGAIN = m.OperationStep(action=m.StepAction.REINSTALL, component="kubelet")
RESTART = m.OperationStep(action=m.StepAction.RESTART_UNIT, unit="kubelet.service")
ASKED = operation(AGAIN, op_id="remedy-7")
ANEW = (
    InstallPackage(package="kubelet", version="1.2", then=RestartUnit(unit="kubelet.service"), anew=True),
)
FAILED_THERE = attrs.evolve(WELL, component="kubelet-1.1", reason="InstallFailed")


def host(**changes: Any) -> NodeSnapshot:
    """A host on which all is as it should be, and whose agent is asked to put the kubelet down again."""
    report, want = changes.pop("report", WELL), changes.pop("entry", entry())
    before = m.AgentStatus(
        components={} if report is None else {"kubelet": report},
        operation=changes.pop("said", None),
        boot_id=BOOT,
    )
    afresh = changes.pop("afresh", {"kubelet": INSTALL})
    entries = {} if want is None else {"kubelet": want}
    disruption = changes.pop("disruption", m.Disruption.RESTART)
    given = {"operation": ASKED, "have": {"kubelet": NEW}, **changes}
    made = seen(entries=entries, before=before, **given)
    one = component()
    one = attrs.evolve(one, spec=attrs.evolve(one.spec, disruption=disruption))
    return attrs.evolve(made, components={"kubelet-1.2": one}, afresh=afresh)


def answer(decision: Decision[m.AgentStatus]) -> tuple[str, str]:
    """Give what the agent answers: the state and the message."""
    assert decision.status is not None
    said = decision.status.operation
    assert said is not None
    assert said.op_id == ASKED.op_id
    return said.state.value, said.message


def runs(decision: Decision[m.AgentStatus]) -> list[RunSteps]:
    """Give what is run under the op-id of the permit."""
    return [run for run in decision.effects if isinstance(run, RunSteps) and run.op_id == ASKED.op_id]


@pytest.mark.parametrize("disruption", [m.Disruption.RESTART, m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_what_looks_right_is_put_down_again(disruption: m.Disruption) -> None:
    """Under the op-id of the permit, with the steps for a host without it, and of its component's class."""
    decision = decide(host(disruption=disruption), Policy())
    assert answer(decision) == ("Acknowledged", "")
    [run] = runs(decision)
    assert (run.steps, run.disruption, run.answers) == (ANEW, disruption, "")
    assert decision.status is not None
    assert decision.status.components["kubelet"] == WELL


def test_what_drifts_is_put_down_again_too() -> None:
    """Its repair waits for its turn meanwhile."""
    spoilt = attrs.evolve(NEW, config=m.ConfigState.DRIFTED)
    decision = decide(host(report=DRIFTING, have={"kubelet": spoilt}), Policy())
    assert decision.effects == tuple(runs(decision))
    assert runs(decision)[0].steps == ANEW


@pytest.mark.parametrize(
    ("report", "want", "good"),
    [
        (WELL, entry(), "kubelet-1.2"),
        (DRIFTING, entry(), "kubelet-1.2"),
        (attrs.evolve(DRIFTING, reason="RepairFailed"), entry(), "kubelet-1.2"),
        (FAILED_THERE, entry(), "kubelet-1.1"),
        (attrs.evolve(FAILED_THERE, component=""), entry(), ""),
        (WELL, entry(revision="3"), ""),
        (attrs.evolve(FAILED_THERE, revision="1"), entry(), ""),
        (attrs.evolve(WELL, component="kubelet-1.1", reason="DependencyCircle"), entry(), ""),
        (m.ComponentReport(), entry(), ""),
    ],
)
def test_what_was_last_found_whole(report: m.ComponentReport, want: m.ComponentEntry, good: str) -> None:
    """What is wanted, if it was at target; what was there before, if that failed; nothing while another is brought in."""
    assert last_good(report, want) == good


def test_the_version_before_is_put_down_where_the_wanted_one_failed() -> None:
    """The steps are those of the component before, which the agent asked its driver for."""
    decision = decide(host(report=FAILED_THERE, have={"kubelet": OLD}), Policy())
    assert [run.steps for run in runs(decision)] == [ANEW]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"entry": None}, "kubelet: nothing says how it should be"),
        ({"entry": entry(state=m.Running.ABSENT)}, "kubelet: it is to be absent"),
        ({"meta": {"labels": {"allow-drift.kubenode.dev/kubelet": ""}}}, "kubelet: a person has changed it, and its label lets that be"),
        ({"report": None}, "kubelet: no revision of it was found whole here"),
        ({"entry": entry(revision="3")}, "kubelet: no revision of it was found whole here"),
        ({"afresh": {}}, "kubelet: its driver has no steps"),
        ({"afresh": {"kubelet": ()}}, "kubelet: its driver has no steps"),
        ({"afresh": {"kubelet": Problem(where="x", what="PluginMissing: no driver")}}, "kubelet: PluginMissing: x: no driver"),
    ],
)  # fmt: skip
def test_what_cannot_be_put_down_is_answered_and_not_begun(changes: dict[str, Any], told: str) -> None:
    """At once, so that the next rung follows; and the answer stands."""
    decision = decide(host(**changes), Policy())
    assert (runs(decision), answer(decision)) == ([], ("Failed", told))
    assert decision.status is not None
    again = decide(host(**{**changes, "said": decision.status.operation}), Policy())
    assert (runs(again), answer(again)) == ([], ("Failed", told))


def test_a_component_that_is_stopped_is_put_down_as_such() -> None:
    """Its driver knows; what is to be Stopped is not Absent."""
    stopped = entry(state=m.Running.STOPPED)
    assert [run.steps for run in runs(decide(host(entry=stopped), Policy()))] == [ANEW]


@pytest.mark.parametrize(
    ("state", "boot", "told"),
    [
        (JournalState.STARTED, BOOT, ("Acknowledged", "")),
        (JournalState.DONE, BOOT, ("Done", "")),
        (JournalState.FAILED, BOOT, ("Failed", "dpkg died")),
        (JournalState.STARTED, "boot-0", ("Failed", "interrupted by a reboot")),
    ],
)
def test_what_was_begun_is_answered_by_the_journal(
    state: JournalState, boot: str, told: tuple[str, str]
) -> None:
    """That all looks right says nothing of whether it was put down, since it did so before."""
    message = "dpkg died" if state is JournalState.FAILED else ""
    decision = decide(host(journal={"remedy-7": journalled(state, boot, message)}), Policy())
    assert (runs(decision), answer(decision)) == ([], told)


def test_it_is_done_with_other_steps_in_their_order() -> None:
    """A restart before it, a reboot after it; what needs no repair does not keep it from being done."""
    reboot = m.OperationStep(action=m.StepAction.REBOOT)
    mixed = operation(RESTART, AGAIN, reboot, op_id="remedy-7")
    [run] = runs(decide(host(operation=mixed), Policy()))
    assert run.steps == (RestartUnit(unit="kubelet.service"), *ANEW, Reboot())
    both = operation(attrs.evolve(REPAIR, component="other"), AGAIN, op_id="remedy-7")
    assert answer(decide(host(operation=both), Policy())) == (
        "Failed",
        "other: nothing says how it should be",
    )
    same = operation(REPAIR, AGAIN, op_id="remedy-7")
    assert [run.steps for run in runs(decide(host(operation=same), Policy()))] == [ANEW * 2]


def test_an_operation_carries_it_by_name() -> None:
    """And tells which entries it repairs and which it puts down again."""
    carried = operation_steps((ReinstallComponent(component="kubelet"), Reboot()))
    assert carried == (AGAIN, m.OperationStep(action=m.StepAction.REBOOT))
    assert (reinstalled(ASKED), repaired(ASKED), reinstalled(None)) == (("kubelet",), (), ())
    assert reinstalled(operation(REPAIR)) == ()
    assert host_steps((AGAIN,), {"kubelet": INSTALL}) == INSTALL
    assert host_steps((AGAIN,), NO_REPAIRS) == ()
    for name in ("", "-x", "Kubelet", "a/b", "a" * 64):
        problem = operation_steps((ReinstallComponent(component=name),))
        assert isinstance(problem, Problem)
        assert f"{name!r} is not the name of an entry" in problem.what


def test_only_a_package_has_to_be_told() -> None:
    """A file is written again as it is, and a unit restarted."""
    file = WriteFile(path="/etc/x", content=b"x", then=None)
    assert anew((file, *INSTALL, RestartUnit(unit="a.service"))) == (
        file,
        *ANEW,
        RestartUnit(unit="a.service"),
    )
    assert not INSTALL[0].anew  # type: ignore[union-attr]
