"""Repair of drift on one host: sentences of the design first, then what could go wrong with them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Decision, RunSteps
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import NodeSnapshot, decide
from kubenode.core.host.drift import REPAIR_SPREAD, Repairs, delay, repairs
from kubenode.core.host.inspection import INSPECT_EVERY, LONGEST, SHORTEST, period
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import tries
from kubenode.core.policy import Policy
from tests.core.host.seen import BOOT, INSTALL, NEW, SECOND, START, component, entry, journalled, seen

STARTED, ENDED, BROKE = JournalState.STARTED, JournalState.DONE, JournalState.FAILED
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
SPOILT = attrs.evolve(NEW, config=m.ConfigState.DRIFTED)
WELL = m.ComponentReport(
    component="kubelet-1.2",
    revision="2",
    version="1.2",
    config=m.ConfigState.CURRENT,
    state=m.Running.RUNNING,
)


def done(journal: Mapping[str, JournalEntry], name: str = "kubelet", **changes: Any) -> Repairs:
    """Count the repairs of an entry."""
    return repairs(seen().machine, name, entry(**changes), component(), journal)


@attrs.define
class Host:
    """A host on which somebody changes things; `ran` says what was repaired and when."""

    names: tuple[str, ...] = ("kubelet",)
    disruption: m.Disruption = m.Disruption.RESTART
    held: str = ""
    have: dict[str, Have] = attrs.Factory(dict)
    before: m.AgentStatus | None = None
    journal: dict[str, JournalEntry] = attrs.Factory(dict)
    sightings: Mapping[str, int] = attrs.Factory(dict)
    at: int = 0
    ran: list[tuple[str, int]] = attrs.Factory(list)
    stubborn: bool = False
    fails: bool = False
    labels: Mapping[str, str] = attrs.Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.before = m.AgentStatus(components=dict.fromkeys(self.names, WELL))

    def snapshot(self) -> NodeSnapshot:
        """Look at the host."""
        have = {name: self.have.get(name, NEW) for name in self.names}
        snapshot = seen(
            entries={name: entry(held=self.held) for name in self.names}, have=have, before=self.before,
            plans={name: () if have[name] == NEW else INSTALL for name in self.names},
            journal=self.journal, at=self.at, sightings=self.sightings, meta={"labels": self.labels},
        )  # fmt: skip
        one = component()
        one = attrs.evolve(one, spec=attrs.evolve(one.spec, disruption=self.disruption))
        now = m.Now(wall=START + timedelta(microseconds=self.at // 1000), elapsed=self.at)
        return attrs.evolve(snapshot, components={one.metadata.name: one}, now=now)

    def turn(self) -> Decision[m.AgentStatus]:
        """Decide, store the report, run the steps at once."""
        decision = decide(self.snapshot(), Policy())
        self.sightings, self.before = decision.sightings, decision.status
        for effect in decision.effects:
            assert isinstance(effect, RunSteps)
            assert effect.op_id not in self.journal
            self.ran.append((effect.answers, self.at))
            self.journal[effect.op_id] = journalled(
                BROKE if self.fails else ENDED, message="no" if self.fails else ""
            )
            if not (self.fails or self.stubborn):
                self.have[effect.answers] = NEW
        return decision

    def spoil(self, *names: str) -> None:
        """Let somebody change the configuration of components."""
        self.have |= dict.fromkeys(names or self.names, SPOILT)

    def until(self, end: int) -> None:
        """Go on, from deadline to deadline; each deadline is exact."""
        while True:
            decision = self.turn()
            if decision.effects or decision.status != decide(self.snapshot(), Policy()).status:
                continue
            again = decide(self.snapshot(), Policy())
            if again.effects:
                continue
            if again.wake_at is None or again.wake_at > end:
                self.at = end
                return
            assert again.wake_at > self.at
            self.at = again.wake_at - 1
            assert decide(self.snapshot(), Policy()) == again
            self.at += 1

    def report(self, name: str = "kubelet") -> m.ComponentReport:
        """Give what is reported of a component."""
        assert self.before is not None
        return self.before.components[name]


@pytest.mark.parametrize("disruption", [m.Disruption.NONE, m.Disruption.RESTART])
def test_repair_of_class_none_or_restart_needs_no_permit(disruption: m.Disruption) -> None:
    """No hold, no entry, no operation: the agent repairs, and reports that it is well and when it drifted."""
    host = Host(disruption=disruption)
    host.at = 5 * SECOND
    host.spoil()
    host.until(HOUR)
    assert len(host.ran) == 1
    assert host.report() == attrs.evolve(WELL, drifted_at=START + timedelta(seconds=5))


@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_class_drain_or_reboot_always_asks_and_is_never_repaired_without_a_permit(
    disruption: m.Disruption,
) -> None:
    """Drift is reported, and nothing is run, however long it lasts, also after a restart of the agent."""
    host = Host(disruption=disruption)
    host.spoil()
    for _ in range(50):
        decision = host.turn()
        assert (decision.effects, decision.wake_at) == ((), None)
        assert [note.code for note in decision.notes] == ["RepairNeedsPermit"]
        host.at += HOUR
        host.sightings = {}
    assert (host.report().drifting, host.report().config) == (True, m.ConfigState.DRIFTED)


def test_at_most_3_a_component_and_hour_on_a_node() -> None:
    """Somebody undoes each repair at once: in no hour are there more than three, and the limit binds by name."""
    host = Host(stubborn=True)
    host.spoil()
    host.until(6 * HOUR)
    times = [at for _, at in host.ran]
    assert len(times) == 18
    assert all(later - first >= HOUR for first, later in zip(times, times[3:], strict=False))
    assert times[2] < 4 * MINUTE
    decision = host.turn()
    assert [(one.code, one.observed, one.limit) for one in decision.notes] == [("RepairLimit", 3, 3)]
    assert decision.notes[0].frees_at == decision.wake_at
    assert (decision.notes[0].scope, decision.deferred) == ("component=kubelet", True)


def test_the_limit_is_of_a_component_and_outlives_its_revision() -> None:
    """Another component has its own three; a new revision brings no new three."""
    host = Host(names=("a", "b"), stubborn=True)
    host.spoil()
    host.until(HOUR - MINUTE)
    assert sorted(name for name, _ in host.ran) == ["a", "a", "a", "b", "b", "b"]
    kept = {key: at for key, at in host.sightings.items() if key.startswith("repaired:a:")}
    new = {"a": entry(revision="3")}
    snapshot = seen(
        entries=new, have={"a": SPOILT}, plans={"a": INSTALL}, at=host.at, sightings=host.sightings,
        before=m.AgentStatus(components={"a": attrs.evolve(WELL, revision="3", drifting=True)}),
    )  # fmt: skip
    decision = decide(snapshot, Policy())
    assert [note.code for note in decision.notes] == ["RepairLimit"]
    assert kept.items() <= decision.sightings.items()
    later = attrs.evolve(snapshot, now=m.Now(wall=START, elapsed=3 * HOUR), sightings=decision.sightings)
    assert not [key for key in decide(later, Policy()).sightings if key.startswith("repaired:")]


def test_after_a_restart_of_the_agent_the_last_repairs_count_as_just_begun() -> None:
    """What cannot be known counts as used: three in the journal cost an hour, two do not."""
    for number, wait in (
        (2, REPAIR_SPREAD // timedelta(microseconds=1) * 1000),
        (3, HOUR + MINUTE),
        (9, HOUR + MINUTE),
    ):
        host = Host()
        for _ in range(number):
            host.journal[done(host.journal).next_op_id] = journalled(ENDED)
        host.at = 5 * HOUR
        host.turn()
        host.spoil()
        decision = host.turn()
        assert decision.wake_at is not None
        assert host.at < decision.wake_at < host.at + wait
        assert (decision.wake_at >= host.at + HOUR) is (number > 2)


def test_delayed_by_hash_over_60_s() -> None:
    """Machines that drift together are not repaired together; the delay is the same for whoever computes it."""
    assert delay("uid-1", "kubelet", 0) == 52_045_425_547, "another version computes the same"
    delays = [delay(f"uid-{number}", "kubelet", 0) for number in range(600)]
    assert all(0 <= one < 60 * SECOND for one in delays)
    for second in range(0, 60, 10):
        assert 60 < sum(second * SECOND <= one < (second + 10) * SECOND for one in delays) < 140
    host = Host()
    host.spoil()
    host.until(HOUR)
    assert host.ran == [("kubelet", delay("uid-n7", "kubelet", 0))]


def test_one_component_at_a_time() -> None:
    """Of two that are due the first by name; while its steps run, the other waits."""
    host = Host(names=("a", "b"))
    host.spoil()
    host.turn()
    host.at = MINUTE
    snapshot = host.snapshot()
    (effect,) = decide(snapshot, Policy()).effects
    assert isinstance(effect, RunSteps)
    assert effect.answers == "a"
    running = attrs.evolve(snapshot.host, journal={effect.op_id: journalled(STARTED)})
    decision = decide(attrs.evolve(snapshot, host=running), Policy())
    assert (decision.effects, [note.code for note in decision.notes]) == ((), ["Busy"])


def test_repair_waits_until_the_controller_can_know_of_the_drift() -> None:
    """While the report that says so is not stored, nothing is run, though the delay is over."""
    host = Host()
    host.spoil()
    host.turn()
    host.at = MINUTE
    unstored = attrs.evolve(host, before=None)
    decision = decide(unstored.snapshot(), Policy())
    assert decision.effects == ()
    assert [note.code for note in decision.notes] == ["DriftNotReported"]
    assert len(decide(host.snapshot(), Policy()).effects) == 1


def test_what_the_controller_holds_is_not_repaired_and_why_is_said() -> None:
    """The word in the entry is obeyed as long as it stands; installing is not held by it."""
    host = Host(held="many drift")
    host.spoil()
    host.until(10 * HOUR)
    assert host.ran == []
    assert [(one.code, one.text) for one in host.turn().notes] == [("DriftHeld", "kubelet: many drift")]
    host.held = ""
    host.until(11 * HOUR)
    assert len(host.ran) == 1
    first = decide(seen(entries={"kubelet": entry(held="many drift")}), Policy())
    assert len(first.effects) == 1


def test_a_failed_repair_is_reported_and_tried_again_within_the_limit() -> None:
    """The reason is the repair's own, and goes when the component is well again."""
    host = Host(fails=True)
    host.spoil()
    host.until(HOUR - MINUTE)
    assert len(host.ran) == 3
    assert (host.report().reason, host.report().message) == ("RepairFailed", "no")
    host.fails = False
    host.until(2 * HOUR)
    assert host.report() == attrs.evolve(WELL, drifted_at=START)
    bare = journalled(BROKE)
    host.journal[done(host.journal).next_op_id] = bare
    host.spoil()
    host.turn()
    assert host.report().message == "a step failed"


@pytest.mark.parametrize(
    "found",
    [
        attrs.evolve(NEW, version="1.3"),
        attrs.evolve(NEW, state=m.Running.STOPPED),
        Have(version="", config=m.ConfigState.UNKNOWN, state=m.Running.ABSENT),
        SPOILT,
    ],
)
def test_desired_state_means_version_configuration_and_running_state(found: Have) -> None:
    """A change of any of the three is drift, is reported apart, and is repaired; what was never at target is none."""
    host = Host()
    host.have["kubelet"] = found
    host.turn()
    report = host.report()
    assert (report.version, report.config, report.state) == (found.version, found.config, found.state)
    assert (report.drifting, report.component, report.revision) == (True, "kubelet-1.2", "2")
    host.until(HOUR)
    assert len(host.ran) == 1
    for before in (
        m.ComponentReport(),
        attrs.evolve(WELL, revision="1"),
        attrs.evolve(WELL, reason="InstallFailed"),
    ):
        status = decide(
            seen(entries={"kubelet": entry()}, have={"kubelet": found}, before=m.AgentStatus(components={"kubelet": before})),
            Policy(),
        ).status  # fmt: skip
        assert status is not None
        assert not status.components["kubelet"].drifting


def test_a_reboot_that_cuts_a_repair_short_lets_the_next_begin() -> None:
    """While its steps run in this boot nothing else is asked for; in the next boot it counts as one of the three."""
    host = Host()
    host.spoil()
    host.turn()
    host.journal[done({}).next_op_id] = journalled(STARTED)
    assert decide(host.snapshot(), Policy()).wake_at is None
    host.journal[done({}).next_op_id] = journalled(STARTED, "boot-0")
    host.until(HOUR)
    assert len(host.ran) == 1


def test_a_driver_without_steps_is_told_and_nothing_is_run() -> None:
    """It cannot mend what it finds."""
    host = Host()
    host.spoil()
    snapshot = attrs.evolve(host.snapshot(), plans={"kubelet": ()})
    decision = decide(snapshot, Policy())
    assert (decision.effects, [note.code for note in decision.notes]) == ((), ["NotAtTarget"])


# An entry that was taken away and comes back.


def returned(journal: Mapping[str, JournalEntry], **more: Any) -> NodeSnapshot:
    """Look at a host on which an entry is wanted of which nothing is reported."""
    return seen(
        entries={"kubelet": entry()},
        have={"kubelet": SPOILT},
        before=m.AgentStatus(),
        journal=journal,
        **more,
    )


def test_an_entry_that_comes_back_is_brought_to_target_by_the_rules_of_drift() -> None:
    """Its steps were done under the same op-id, and are not done again; what was changed since is mended all the same."""
    host = Host()
    host.journal[FIRST] = journalled(ENDED)
    host.before = m.AgentStatus()
    host.spoil()
    decision = decide(host.snapshot(), Policy())
    assert [note.code for note in decision.notes] == ["RepairDelay"]
    host.until(HOUR)
    assert [name for name, _ in host.ran] == ["kubelet"]
    assert (host.report().drifting, host.report().config) == (False, m.ConfigState.CURRENT)


FIRST = tries(seen().machine, "kubelet", entry(), component(), {}).next_op_id


@pytest.mark.parametrize("state", [STARTED, BROKE])
def test_an_entry_that_comes_back_and_was_not_installed_is_installed(state: JournalState) -> None:
    """What failed is tried again after its pause, what runs is waited for; neither is drift."""
    report = decide(returned({FIRST: journalled(state)}), Policy()).status
    assert report is not None
    assert (report.components["kubelet"].component, report.components["kubelet"].drifting) == ("", False)
    assert decide(returned({}), Policy()).effects != ()


def test_an_entry_that_comes_back_while_nobody_can_look_is_remembered() -> None:
    """What was installed is not forgotten by a report that says nothing of it."""
    journal = {FIRST: journalled(ENDED)}
    blind = attrs.evolve(returned(journal), have={})
    status = decide(blind, Policy()).status
    assert status is not None
    report = status.components["kubelet"]
    assert (report.component, report.revision, report.config) == ("kubelet-1.2", "2", m.ConfigState.UNKNOWN)
    later = decide(
        attrs.evolve(
            returned(journal), machine=attrs.evolve(blind.machine, status=m.MachineStatus(agent=status))
        ),
        Policy(),
    )
    assert [note.code for note in later.notes] == ["RepairDelay"]


# Looking again.


def test_the_agent_re_inspects_periodically() -> None:
    """At rest it is asked again after its period, exactly; what happens in between does not postpone it."""
    every = period(INSPECT_EVERY)
    host = Host()
    first = attrs.evolve(host.snapshot(), inspect=every)
    decision = decide(first, Policy())
    assert (decision.wake_at, decision.effects) == (every, ())
    for at in (1, every // 2, every - 1):
        between = attrs.evolve(first, now=m.Now(wall=START, elapsed=at), sightings=decision.sightings)
        assert decide(between, Policy()) == decision
    due = attrs.evolve(first, now=m.Now(wall=START, elapsed=every), sightings=decision.sightings)
    assert decide(due, Policy()).wake_at == 2 * every
    host.spoil()
    sooner = decide(attrs.evolve(host.snapshot(), inspect=every), Policy())
    assert sooner.wake_at == delay("uid-n7", "kubelet", 0)


def test_the_period_is_bounded() -> None:
    """From ten seconds to an hour."""
    assert (period(SHORTEST), period(LONGEST)) == (10 * SECOND, HOUR)
    for wrong in (SHORTEST - timedelta(microseconds=1), LONGEST + timedelta(microseconds=1), timedelta(0)):
        with pytest.raises(InvalidObjectError, match="inspect"):
            period(wrong)


# Whatever somebody does to a host.


@given(
    deeds=st.lists(
        st.tuples(st.sampled_from(("a", "b")), st.integers(0, 40 * MINUTE), st.booleans(), st.booleans()), max_size=25
    )
)  # fmt: skip
def test_no_hour_sees_more_than_three_repairs_of_a_component_whatever_happens(
    deeds: list[tuple[str, int, bool, bool]],
) -> None:
    """Files change, repairs fail, the agent loses its memory: never more than three, never two at once, and it rests."""
    host = Host(names=("a", "b"))
    for name, pause, fails, forgets in deeds:
        host.fails = fails
        host.spoil(name)
        host.sightings = {} if forgets else host.sightings
        host.until(host.at + pause)
    for name in host.names:
        times = [at for one, at in host.ran if one == name]
        assert all(later - first >= HOUR for first, later in zip(times, times[3:], strict=False))
    host.fails = False
    host.until(host.at + 2 * HOUR)
    assert all(not host.report(name).drifting for name in host.names)
    assert host.snapshot().host.boot_id == BOOT


@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_another_try_of_class_drain_or_reboot_would_take_a_permit(disruption: m.Disruption) -> None:
    """The first try had the permit of its rollout; a failed one is not repeated by the agent alone."""
    one = component()
    one = attrs.evolve(one, spec=attrs.evolve(one.spec, disruption=disruption))
    first = decide(seen(entries={"kubelet": entry()}), Policy()).effects[0]
    assert isinstance(first, RunSteps)
    snapshot = seen(entries={"kubelet": entry()}, journal={first.op_id: journalled(BROKE)})
    decision = decide(attrs.evolve(snapshot, components={one.metadata.name: one}), Policy())
    assert (decision.effects, [note.code for note in decision.notes]) == ((), ["RetryNeedsPermit"])


@pytest.mark.parametrize("label", ["", "since-monday"])
def test_a_persons_deliberate_change_is_allowed_by_label(label: str) -> None:
    """It is reported, and repaired by nobody, until the label goes; a label for another component changes nothing."""
    other = Host(labels={"allow-drift.kubenode.dev/containerd": label})
    other.spoil()
    other.until(HOUR)
    assert len(other.ran) == 1
    host = Host(labels={"allow-drift.kubenode.dev/kubelet": label})
    host.spoil()
    host.until(24 * HOUR)
    assert host.ran == []
    assert (host.report().drifting, host.report().config) == (True, m.ConfigState.DRIFTED)
    decision = host.turn()
    assert decision.wake_at is None
    [note] = [note for note in decision.notes if note.code == "DriftAllowed"]
    assert (note.scope, note.text) == (
        "component=kubelet",
        "kubelet: drifted, and label allow-drift.kubenode.dev/kubelet on the Machine lets it be",
    )
    host.labels = {}
    host.until(25 * HOUR)
    assert [name for name, _ in host.ran] == ["kubelet"]


def test_what_is_allowed_of_class_drain_is_not_asked_for_either() -> None:
    """Nobody repairs it, with a permit or without."""
    host = Host(labels={"allow-drift.kubenode.dev/kubelet": ""}, disruption=m.Disruption.DRAIN)
    host.spoil()
    assert [note.code for note in host.turn().notes] == ["DriftAllowed"]
