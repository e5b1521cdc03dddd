"""Where nothing can be begun on a host, every entry says what it waits for, and all that is known is reported."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.host.decide import NodeSnapshot, decide
from kubenode.core.host.journal import JournalState
from kubenode.core.host.operation import INTERRUPTED
from kubenode.core.machine.conditions import components_claim
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import Switch
from kubenode.core.policy import Policy
from tests.core.host.seen import NEW, OLD, REBOOT, START, entry, journalled, operation, seen
from tests.core.host.test_dependencies import first_try

WHY = "the journal cannot be written: Read-only file system; find out why, and remount it"
BEFORE = m.ComponentReport(component="kubelet-1.1", revision="1", version="1.1")
WELL = m.ComponentReport(
    component="kubelet-1.2", revision="2", version="1.2", config=m.ConfigState.CURRENT, state=m.Running.RUNNING
)  # fmt: skip


def withheld(snapshot: NodeSnapshot, why: str = WHY) -> NodeSnapshot:
    """Let nothing be begun there."""
    return attrs.evolve(snapshot, host=attrs.evolve(snapshot.host, withheld=why))


def reported(snapshot: NodeSnapshot) -> m.ComponentReport:
    """Give the report of the entry; nothing is done, and no timer would change that."""
    decision = decide(snapshot, Policy())
    assert (decision.effects, decision.wake_at) == ((), None)
    assert decision.status is not None
    return decision.status.components["kubelet"]


def test_an_entry_waits_and_says_for_what() -> None:
    """It has not failed: its revision is still the one before. What is found is reported, and it would be begun otherwise."""
    before = m.AgentStatus(components={"kubelet": BEFORE})
    fault = Condition(
        type="ReadonlyFilesystem", status=Switch.TRUE, reason="FilesystemIsReadOnly", message="sda1",
        last_transition_time=START,
    )  # fmt: skip
    snapshot = seen(entries={"kubelet": entry()}, before=before, conditions=(fault,))
    assert len(decide(snapshot, Policy()).effects) == 1
    report = reported(withheld(snapshot))
    assert (report.component, report.revision, report.reason, report.message) == (
        "kubelet-1.1", "1", "JournalUnwritable", WHY,
    )  # fmt: skip
    decision = decide(withheld(snapshot), Policy())
    assert decision.deferred
    assert [note.code for note in decision.notes] == ["JournalUnwritable"]
    assert decision.status is not None
    assert decision.status.conditions == (fault,)
    told = attrs.evolve(snapshot.machine, status=m.MachineStatus(agent=decision.status))
    claim = components_claim(MachineSnapshot(machine=told, now=snapshot.now))
    assert claim is not None
    assert f"JournalUnwritable: {WHY}" in claim.message


def test_what_waited_is_begun_when_it_can_be() -> None:
    """And its reason is gone."""
    before = decide(withheld(seen(entries={"kubelet": entry()})), Policy()).status
    decision = decide(seen(entries={"kubelet": entry()}, before=before), Policy())
    assert len(decision.effects) == 1
    assert decision.status is not None
    assert decision.status.components["kubelet"].reason == ""


def test_drift_is_told_and_not_repaired() -> None:
    """The entry stays one that was brought; the cause is its message."""
    drifted = attrs.evolve(OLD, config=m.ConfigState.DRIFTED)
    before = m.AgentStatus(components={"kubelet": WELL})
    report = reported(withheld(seen(entries={"kubelet": entry()}, have={"kubelet": drifted}, before=before)))
    assert (report.revision, report.reason, report.message, report.drifting) == ("2", "", WHY, True)
    assert report.drifted_at == START


def test_what_is_at_target_waits_for_nothing() -> None:
    """There is nothing to begin."""
    report = reported(withheld(seen(entries={"kubelet": entry()}, have={"kubelet": NEW})))
    assert (report.reason, report.message) == ("", "")


def test_a_failure_stays_one() -> None:
    """That of the revision itself says more than what keeps the next try."""
    journal = {first_try("kubelet"): journalled(JournalState.FAILED, message="no such package")}
    report = reported(withheld(seen(entries={"kubelet": entry()}, journal=journal)))
    assert (report.revision, report.reason, report.message) == ("2", "InstallFailed", "no such package")


@pytest.mark.parametrize("steps", [(), (REBOOT,)])
def test_an_operation_that_cannot_be_begun_has_failed(steps: tuple[m.OperationStep, ...]) -> None:
    """Whoever asked goes on with the next rung at once, also where it was acknowledged before."""
    asked = operation(*steps)
    acknowledged = m.OperationAnswer(op_id=asked.op_id, state=m.AnswerState.ACKNOWLEDGED)
    for said in (None, acknowledged):
        before = m.AgentStatus(operation=said, boot_id="boot-1")
        decision = decide(withheld(seen(operation=asked, before=before)), Policy())
        assert decision.effects == ()
        assert decision.status is not None
        answer = decision.status.operation
        assert answer == m.OperationAnswer(op_id=asked.op_id, state=m.AnswerState.FAILED, message=WHY)
        after = decide(seen(operation=asked, before=decision.status), Policy())
        assert after.effects == (), "the answer stands"


def test_an_operation_that_was_begun_is_answered_by_the_journal() -> None:
    """Which can be read."""
    asked = operation()
    for state, boot, answer in (
        (JournalState.DONE, "boot-1", (m.AnswerState.DONE, "")),
        (JournalState.STARTED, "boot-1", (m.AnswerState.ACKNOWLEDGED, "")),
        (JournalState.STARTED, "boot-0", (m.AnswerState.FAILED, INTERRUPTED)),
    ):
        snapshot = seen(operation=asked, journal={asked.op_id: journalled(state, boot)})
        status = decide(withheld(snapshot), Policy()).status
        assert status is not None
        assert status.operation is not None
        assert (status.operation.state, status.operation.message) == answer


def test_a_machine_that_is_being_deleted_is_asked_for_nothing() -> None:
    """Its operation is left unanswered, as ever."""
    snapshot = seen(operation=operation(), meta={"deletion_timestamp": START})
    status = decide(withheld(snapshot), Policy()).status
    assert status is not None
    assert status.operation is None
