"""What the agent does and reports: tables, stories with a tiny host, then properties."""

from collections.abc import Mapping
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Decision, RunSteps
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import NodeSnapshot, decide
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import tries
from kubenode.core.policy import Policy
from kubenode.core.step import Reboot, RestartUnit
from tests.core.host.seen import (
    BOOT,
    INSTALL,
    NEW,
    OLD,
    REBOOT,
    SECOND,
    START,
    component,
    entry,
    journalled,
    operation,
    seen,
)

ACK, DONE, FAILED = m.AnswerState.ACKNOWLEDGED, m.AnswerState.DONE, m.AnswerState.FAILED
STARTED, ENDED, BROKE = JournalState.STARTED, JournalState.DONE, JournalState.FAILED
ONE = {"kubelet": entry()}


def ask(snapshot: NodeSnapshot) -> tuple[Decision[m.AgentStatus], m.AgentStatus]:
    """Decide; give the report apart."""
    decision = decide(snapshot, Policy())
    assert decision.status is not None
    return decision, decision.status


def op_id(journal: Mapping[str, JournalEntry] | None = None) -> str:
    """Give the op-id of the next try of entry `kubelet`."""
    return tries(seen().machine, "kubelet", entry(), component(), journal or {}).next_op_id


@pytest.mark.parametrize("disruption", m.Disruption)
def test_what_is_installed_of_class_reboot_ends_in_a_reboot(disruption: m.Disruption) -> None:
    """One, after the driver's steps; it is the component's class that says so."""
    one = component()
    classed = attrs.evolve(one, spec=attrs.evolve(one.spec, disruption=disruption))
    decision, _ = ask(attrs.evolve(seen(entries=ONE), components={"kubelet-1.2": classed}))
    (run,) = decision.effects
    assert isinstance(run, RunSteps)
    assert run.steps == ((*INSTALL, Reboot()) if disruption is m.Disruption.REBOOT else INSTALL)
    assert run.disruption is disruption


# The operation.


@pytest.mark.parametrize("step", [None, REBOOT])
@pytest.mark.parametrize(
    ("journal", "answer", "message"),
    [
        (journalled(STARTED), ACK, ""),
        (journalled(ENDED), DONE, ""),
        (journalled(ENDED, "boot-0"), DONE, ""),
        (journalled(BROKE, message="exit 1"), FAILED, "exit 1"),
        (journalled(BROKE, "boot-0", "exit 1"), FAILED, "exit 1"),
        (journalled(STARTED, "boot-0"), FAILED, "interrupted by a reboot"),
    ],
)
def test_the_answer_is_read_from_the_journal(
    step: m.OperationStep | None, journal: JournalEntry, answer: m.AnswerState, message: str
) -> None:
    """What is journalled is never run again; a new boot is the success of a reboot and the failure of all else."""
    asked = operation(*([step] if step else []))
    decision, status = ask(seen(operation=asked, journal={asked.op_id: journal}))
    assert decision.effects == ()
    assert status.operation is not None
    if step is REBOOT and journal == journalled(STARTED, "boot-0"):
        answer, message = DONE, ""
    assert (status.operation.state, status.operation.message) == (answer, message)


def test_a_new_operation_is_acknowledged_and_begun_once() -> None:
    """The first decision runs it under its op-id; acknowledged but not journalled, it is begun again."""
    asked = operation()
    decision, status = ask(seen(operation=asked))
    (effect,) = decision.effects
    assert effect == RunSteps(
        machine=m.ref(seen().machine), op_id="remedy-1", steps=(RestartUnit(unit="containerd.service"),),
        disruption=m.Disruption.RESTART,
    )  # fmt: skip
    assert status.operation == m.OperationAnswer(op_id="remedy-1", state=ACK)
    again, _ = ask(seen(operation=asked, before=status))
    assert again.effects == decision.effects
    after, _ = ask(seen(operation=asked, before=status, journal={"remedy-1": journalled(STARTED)}))
    assert after.effects == ()


@pytest.mark.parametrize("state", m.AnswerState)
def test_a_lost_journal_runs_nothing_twice(state: m.AnswerState) -> None:
    """A host imaged anew finds an operation that was answered in another boot: it is not run (F42)."""
    said = m.OperationAnswer(op_id="remedy-1", state=state)
    before = m.AgentStatus(boot_id="boot-0", operation=said)
    decision, status = ask(seen(operation=operation(), before=before))
    assert decision.effects == ()
    assert status.operation is not None
    assert status.operation.state is (FAILED if state is ACK else state)
    assert ask(seen(operation=operation(), before=status))[1] == status


def test_without_an_operation_the_last_word_stands() -> None:
    """The answer stays reported when the operation has been cleared."""
    said = m.OperationAnswer(op_id="remedy-0", state=DONE)
    assert ask(seen(before=m.AgentStatus(operation=said)))[1].operation == said
    assert ask(seen())[1].operation is None


def test_a_restart_waits_for_what_runs_and_a_reboot_does_not() -> None:
    """One act at a time; but what hangs is what a reboot is for."""
    journal = {"remedy-0": journalled(STARTED)}
    decision, status = ask(seen(operation=operation(), journal=journal))
    assert (decision.effects, decision.deferred) == ((), True)
    assert status.operation == m.OperationAnswer(op_id="remedy-1", state=ACK)
    decision, _ = ask(seen(operation=operation(REBOOT), journal=journal))
    (effect,) = decision.effects
    assert isinstance(effect, RunSteps)
    assert (effect.steps, effect.disruption) == ((Reboot(),), m.Disruption.REBOOT)
    old = {"remedy-0": journalled(STARTED, "boot-0")}
    assert len(ask(seen(operation=operation(), journal=old))[0].effects) == 1


@pytest.mark.parametrize("state", [None, STARTED])
def test_components_wait_for_the_operation(state: JournalState | None) -> None:
    """While an operation is asked for or runs, no component is touched; once answered, they go on."""
    journal = {} if state is None else {"remedy-1": journalled(state)}
    decision, _ = ask(seen(operation=operation(), entries=ONE, journal=journal))
    assert [one.op_id for one in decision.effects if isinstance(one, RunSteps)] == (
        ["remedy-1"] if state is None else []
    )
    after, _ = ask(seen(operation=operation(), entries=ONE, journal={"remedy-1": journalled(ENDED)}))
    assert [one.answers for one in after.effects if isinstance(one, RunSteps)] == ["kubelet"]


@pytest.mark.parametrize(
    ("meta", "code"),
    [({"unknown": (".spec.new",)}, "NewerVersion"), ({"deletion_timestamp": START}, "Deleting")],
)
def test_a_machine_that_is_not_ours_to_touch_is_reported_on_only(
    meta: Mapping[str, object], code: str
) -> None:
    """Neither operation nor component is begun or acknowledged; what was begun before is still answered."""
    decision, status = ask(seen(operation=operation(), entries=ONE, meta=meta))
    assert (decision.effects, decision.wake_at, status.operation) == ((), None, None)
    assert decision.notes[0].code == code
    assert status.boot_id == BOOT
    begun = seen(operation=operation(), meta=meta, journal={"remedy-1": journalled(ENDED)})
    answer = ask(begun)[1].operation
    assert answer is not None
    assert answer.state is DONE


# The components.


def test_a_component_is_installed_and_then_reported_whole() -> None:
    """Component and revision move only when version, configuration and running state are all there."""
    decision, status = ask(seen(entries=ONE))
    (effect,) = decision.effects
    assert isinstance(effect, RunSteps)
    assert (effect.op_id, effect.answers, effect.steps) == (op_id(), "kubelet", INSTALL)
    assert status.components["kubelet"] == m.ComponentReport(
        version="1.1", config=m.ConfigState.CURRENT, state=m.Running.RUNNING
    )
    _, status = ask(seen(entries=ONE, have={"kubelet": NEW}, before=status))
    assert status.components["kubelet"] == m.ComponentReport(
        component="kubelet-1.2", revision="2", version="1.2", config=m.ConfigState.CURRENT, state=m.Running.RUNNING,
    )  # fmt: skip


def test_what_should_be_absent_is_at_target_when_it_is() -> None:
    """It is reported under its component and revision, with the configuration it should have: none."""
    gone = Have(version="", config=m.ConfigState.UNKNOWN, state=m.Running.ABSENT)
    want = {"kubelet": entry(state=m.Running.ABSENT)}
    report = ask(seen(entries=want, have={"kubelet": gone}, plans={"kubelet": ()}))[1].components["kubelet"]
    assert report == m.ComponentReport(
        component="kubelet-1.2", revision="2", config=m.ConfigState.CURRENT, state=m.Running.ABSENT
    )


def test_a_failed_component_keeps_the_old_one_and_is_tried_again_after_a_growing_pause() -> None:
    """The revision moves with the reason; the next tries wait 10, 20, 40, 60 minutes, exact to the nanosecond."""
    before = m.AgentStatus(
        components={"kubelet": m.ComponentReport(component="kubelet-1.1", revision="1", version="1.1")}
    )
    journal: dict[str, JournalEntry] = {}
    at = 0
    for minutes in (10, 20, 40, 60, 60):
        journal[op_id(journal)] = journalled(BROKE, message="dpkg: error")
        snapshot = seen(entries=ONE, before=before, journal=journal, at=at)
        decision, status = ask(snapshot)
        report = status.components["kubelet"]
        assert (report.component, report.revision, report.reason) == ("kubelet-1.1", "2", "InstallFailed")
        assert (report.version, report.message) == ("1.1", "dpkg: error")
        assert decision.wake_at == at + minutes * 60 * SECOND
        assert (decision.effects, decision.deferred) == ((), True)
        rest = attrs.evolve(
            snapshot, sightings=decision.sightings, now=m.Now(wall=START, elapsed=decision.wake_at - 1)
        )
        assert decide(rest, Policy()) == decision
        at = decision.wake_at
        due = attrs.evolve(rest, now=m.Now(wall=START, elapsed=at))
        (effect,) = decide(due, Policy()).effects
        assert isinstance(effect, RunSteps)
        assert effect.op_id == op_id(journal)


def test_an_interrupted_install_is_tried_again_and_is_no_failure_of_the_revision() -> None:
    """The power failed: the report does not move, and the next try waits like any other."""
    journal = {op_id(): journalled(STARTED, "boot-0")}
    decision, status = ask(seen(entries=ONE, journal=journal))
    assert status.components["kubelet"].reason == ""
    assert status.components["kubelet"].revision == ""
    assert decision.wake_at == 60 * SECOND


def test_one_component_at_a_time() -> None:
    """Of two the first by name; the second waits until that has ended, without a timer."""
    two = {"b": entry(), "a": entry()}
    decision, _ = ask(seen(entries=two))
    assert [one.answers for one in decision.effects if isinstance(one, RunSteps)] == ["a"]
    first = tries(seen().machine, "a", entry(), component(), {}).next_op_id
    decision, _ = ask(seen(entries=two, journal={first: journalled(STARTED)}))
    assert (decision.effects, decision.wake_at, decision.deferred) == ((), None, True)
    decision, _ = ask(seen(entries=two, journal={first: journalled(BROKE)}))
    assert [one.answers for one in decision.effects if isinstance(one, RunSteps)] == ["b"]


def test_installed_and_yet_not_at_target_is_reported_as_found() -> None:
    """What was done under this op-id is not run again; the three states say how it is."""
    stopped = attrs.evolve(NEW, state=m.Running.STOPPED)
    decision, status = ask(
        seen(
            entries=ONE, have={"kubelet": stopped}, plans={"kubelet": INSTALL},
            journal={op_id(): journalled(ENDED)}, before=m.AgentStatus(components={"kubelet": m.ComponentReport()}),
        )
    )  # fmt: skip
    assert decision.effects == ()
    assert (status.components["kubelet"].state, status.components["kubelet"].revision) == (
        m.Running.STOPPED,
        "",
    )
    assert [note.code for note in decision.notes] == ["NotAtTarget"]
    decision, _ = ask(seen(entries=ONE, have={"kubelet": OLD}, plans={"kubelet": ()}))
    assert [note.code for note in decision.notes] == ["NotAtTarget"]


LAST = m.ComponentReport(
    component="kubelet-1.1",
    revision="1",
    version="1.1",
    config=m.ConfigState.CURRENT,
    state=m.Running.RUNNING,
)


def test_a_missing_component_is_told_and_its_revision_not_dealt_with() -> None:
    """The object may be on its way; what was last found stays, but for the configuration."""
    before = m.AgentStatus(components={"kubelet": LAST})
    snapshot = attrs.evolve(seen(entries=ONE, before=before), components={})
    decision, status = ask(snapshot)
    assert status.components["kubelet"] == attrs.evolve(
        LAST,
        config=m.ConfigState.UNKNOWN,
        reason="ComponentMissing",
        message="there is no MachineComponent kubelet-1.2",
    )
    assert decision.effects == ()
    back = ask(seen(entries=ONE, before=status))[1].components["kubelet"]
    assert (back.reason, back.message, back.revision) == ("", "", "1")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("PluginMissing: no driver is named 'package'", "PluginMissing"),
        ("ParametersInvalid: package: '-x' is not the name of a package", "ParametersInvalid"),
        ("it raised", "PluginFailed"),
    ],
)
def test_what_cannot_be_planned_fails_the_revision_and_nothing_is_done(what: str, reason: str) -> None:
    """The reason is the Problem's; when the plugin is there again the reason goes and the entry is dealt with."""
    before = m.AgentStatus(components={"kubelet": LAST})
    problem = Problem(where="MachineComponent kubelet-1.2", what=what, fix="install it")
    decision, status = ask(seen(entries=ONE, before=before, plans={"kubelet": problem}))
    report = status.components["kubelet"]
    assert (report.component, report.revision, report.reason) == ("kubelet-1.1", "2", reason)
    assert report.message.endswith("install it")
    assert decision.effects == ()
    decision, status = ask(seen(entries=ONE, before=status))
    assert (status.components["kubelet"].reason, len(decision.effects)) == ("", 1)


def test_an_older_failure_stays_told_until_the_new_revision_is_dealt_with() -> None:
    """A rollback that is under way does not hide what failed before."""
    failed = attrs.evolve(LAST, revision="1", reason="InstallFailed", message="dpkg: error")
    before = m.AgentStatus(components={"kubelet": failed})
    report = ask(seen(entries=ONE, before=before))[1].components["kubelet"]
    assert (report.revision, report.reason, report.message) == ("1", "InstallFailed", "dpkg: error")


def test_a_newer_versions_component_and_one_nobody_looked_at_are_left_alone() -> None:
    """Nothing is run for them, and the last report stands but for the configuration."""
    newer = component()
    newer = attrs.evolve(newer, metadata=attrs.evolve(newer.metadata, unknown=(".spec.new",)))
    before = m.AgentStatus(components={"kubelet": LAST})
    for snapshot in (
        attrs.evolve(seen(entries=ONE, before=before), components={"kubelet-1.2": newer}),
        seen(entries=ONE, before=before, have={}, plans={}),
    ):
        decision, status = ask(snapshot)
        assert decision.effects == ()
        assert status.components["kubelet"] == attrs.evolve(LAST, config=m.ConfigState.UNKNOWN)


def test_the_report_is_of_the_entries_and_the_host() -> None:
    """An entry that is gone is not reported on and nothing is done; conditions come by type."""
    before = m.AgentStatus(components={"old": LAST})
    found = [m.Condition(type=type, reason="R", last_transition_time=START) for type in ("B", "A")]
    decision, status = ask(seen(before=before, conditions=tuple(found)))
    assert (status.components, decision.effects) == ({}, ())
    assert [one.type for one in status.conditions] == ["A", "B"]
    assert (status.version, status.boot_id, status.node_name) == ("1.0", BOOT, "node-7")


# A tiny host: it journals, runs, fails where told, and can crash between any two acts.


@attrs.define(kw_only=True)
class Tiny:
    """A host with one or two components; `ran` is the truth about what was run."""

    entries: Mapping[str, m.ComponentEntry]
    operation: m.Operation | None = None
    have: dict[str, Have] = attrs.field(factory=dict)
    journal: dict[str, JournalEntry] = attrs.field(factory=dict)
    before: m.AgentStatus | None = None
    sightings: Mapping[str, int] = attrs.field(factory=dict)
    fails: int = 0
    boots: int = 1
    at: int = 0
    ran: list[str] = attrs.field(factory=list)

    def snapshot(self) -> NodeSnapshot:
        """Look at the host."""
        have = {name: self.have.get(name, OLD) for name in self.entries}
        return seen(
            operation=self.operation, entries=self.entries, have=have, before=self.before, journal=self.journal,
            boot_id=f"boot-{self.boots}", at=self.at, sightings=self.sightings,
        )  # fmt: skip

    def turn(self, lives_for: int | None = None) -> bool:
        """Decide and do it, or only so many acts of it (status first); tell whether anything changed."""
        decision = decide(self.snapshot(), Policy())
        self.sightings = decision.sightings if lives_for is None else {}
        todo: list[object] = [] if decision.status == self.before else [decision.status]
        todo += decision.effects
        for act in todo if lives_for is None else todo[:lives_for]:
            if isinstance(act, m.AgentStatus):
                self.before = act
            elif isinstance(act, RunSteps):
                self.run(act)
        return bool(todo)

    def run(self, effect: RunSteps) -> None:
        """Run steps once, whoever repeats them; a reboot ends in the next boot."""
        if effect.op_id in self.journal:
            return
        self.ran.append(effect.op_id)
        self.journal[effect.op_id] = journalled(STARTED, f"boot-{self.boots}")
        if Reboot() in effect.steps:
            self.boots += 1
        elif effect.answers and self.fails:
            self.fails -= 1
            self.journal[effect.op_id] = journalled(BROKE, f"boot-{self.boots}", "no")
        else:
            self.journal[effect.op_id] = journalled(ENDED, f"boot-{self.boots}")
            if effect.answers:
                self.have[effect.answers] = NEW

    def rest(self) -> None:
        """Go on, from deadline to deadline, until nothing is left to do."""
        for _ in range(200):
            if self.turn():
                continue
            wake = decide(self.snapshot(), Policy()).wake_at
            if wake is None:
                return
            assert wake > self.at
            self.at = wake
        raise AssertionError("it never rests")


def tiny(fails: int = 0) -> Tiny:
    """Make a host that is to reboot and then to install two components."""
    return Tiny(operation=operation(REBOOT), entries={"a": entry(), "b": entry()}, fails=fails)


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_all_is_done_once_whatever_fails_and_crashes(fails: int) -> None:
    """After every prefix of every decision, with memory lost, the same acts lead to the same end."""
    whole = tiny(fails)
    whole.rest()
    assert whole.before is not None
    assert whole.before.operation == m.OperationAnswer(op_id="remedy-1", state=DONE)
    assert all(report.component == "kubelet-1.2" for report in whole.before.components.values())
    for turn in range(8):
        for lives_for in (0, 1, 2):
            host = tiny(fails)
            for _ in range(turn):
                host.turn()
            host.turn(lives_for)
            host.rest()
            assert (host.ran, host.before) == (whole.ran, whole.before)


STATES = st.sampled_from(
    [
        journalled(state, boot, "no" if state is BROKE else "")
        for state in JournalState
        for boot in ("boot-0", BOOT)
    ]
)


@given(
    journal=st.lists(st.none() | STATES, min_size=4, max_size=4),
    have=st.lists(st.sampled_from([OLD, NEW]), min_size=3, max_size=3),
    asked=st.sampled_from([None, operation(), operation(REBOOT)]),
    at=st.sampled_from([0, 119 * SECOND, 120 * SECOND]),
    known=st.booleans(),
)
def test_every_decision_is_pure_one_act_and_exact(
    journal: list[JournalEntry | None], have: list[Have], asked: m.Operation | None, at: int, known: bool
) -> None:
    """Same input, same output in any order of the entries; at most one act, never one of the journal; exact timers."""
    entries = {name: entry() for name in ("a", "b", "c")}
    ids = [tries(seen().machine, name, entry(), component(), {}).next_op_id for name in entries]
    lines = {op: one for op, one in zip([*ids, "remedy-1"], journal, strict=True) if one is not None}
    found = dict(zip(entries, have, strict=True))
    sightings = {f"failed:{op}": 0 for op in ids} if known else {}
    snapshot = seen(operation=asked, entries=entries, have=found, journal=lines, at=at, sightings=sightings)
    decision, status = ask(snapshot)
    turned = seen(
        operation=asked, entries=dict(reversed(entries.items())), have=found, at=at, sightings=sightings,
        journal=dict(reversed(lines.items())),
    )  # fmt: skip
    assert decide(snapshot, Policy()) == decision == decide(turned, Policy())
    assert len(decision.effects) <= 1
    assert all(isinstance(one, RunSteps) and one.op_id not in lines for one in decision.effects)
    machine = attrs.evolve(snapshot.machine, status=m.MachineStatus(agent=status))
    rest = attrs.evolve(snapshot, machine=machine, sightings=decision.sightings)
    again = decide(rest, Policy())
    assert (again.status, again.effects) == (status, decision.effects)
    if not decision.effects:
        _check_timers(rest, again)


def _check_timers(rest: NodeSnapshot, decision: Decision[m.AgentStatus]) -> None:
    if decision.wake_at is None:
        for wait in (timedelta(microseconds=1), timedelta(days=9)):
            assert decide(attrs.evolve(rest, now=rest.now.plus(wait)), Policy()) == decision
        return
    for offset, same in ((-1, True), (0, False)):
        now = m.Now(wall=START, elapsed=decision.wake_at + offset)
        assert (decide(attrs.evolve(rest, now=now), Policy()) == decision) is same
