"""Dependencies order the entries of a machine: a table, what is reported, then properties over all graphs."""

import itertools
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import NodeSnapshot, decide
from kubenode.core.host.dependencies import circle_of, obstacles, waiting
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.machine.conditions import components_claim
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.policy import Policy
from tests.core.host.seen import INSTALL, NEW, OLD, SECOND, START, component, entry, journalled, seen

RUNNING, STOPPED, ABSENT = m.Running.RUNNING, m.Running.STOPPED, m.Running.ABSENT
GONE = Have(version="", config=m.ConfigState.UNKNOWN, state=ABSENT)
WAITS, CIRCLE = "WaitingForDependency", "DependencyCircle"


def world(
    graph: Mapping[str, tuple[str, ...]], have: Mapping[str, Have], states: Mapping[str, m.Running] | None = None,
    **given: Any,
) -> NodeSnapshot:  # fmt: skip
    """Make a snapshot with an entry a name, whose component depends on others as the graph says."""
    states = states or {}
    entries = {name: entry(f"{name}-1.2", state=states.get(name, RUNNING)) for name in graph}
    plans = {name: () if at_target(entries[name], have[name]) else INSTALL for name in graph}
    made = seen(entries=entries, have=have, **{"plans": plans, **given})
    parts = {name: component(f"{name}-1.2") for name in graph}
    known = {
        part.metadata.name: attrs.evolve(part, spec=attrs.evolve(part.spec, dependencies=graph[name]))
        for name, part in parts.items()
    }
    return attrs.evolve(made, components=known)


def at_target(wanted: m.ComponentEntry, have: Have) -> bool:
    """Tell whether what is there is what is wanted."""
    return have == (GONE if wanted.state is ABSENT else attrs.evolve(NEW, state=wanted.state))


def begun(snapshot: NodeSnapshot) -> set[str]:
    """Name the entries whose steps would be run, were each of the others at rest."""
    effects = decide(snapshot, Policy()).effects
    return {effect.answers for effect in effects if isinstance(effect, RunSteps)}


def told(snapshot: NodeSnapshot, name: str) -> m.ComponentReport:
    """Give the report of an entry."""
    status = decide(snapshot, Policy()).status
    assert status is not None
    return status.components[name]


ON = {"kubelet": ("containerd",), "containerd": ()}


@pytest.mark.parametrize(
    ("graph", "states", "done", "wanted"),
    [
        (ON, {}, {"containerd"}, {}),
        (ON, {}, set(), {"kubelet": (WAITS, "waits for containerd, on which it depends")}),
        (ON, {}, {"kubelet"}, {}),
        (ON, {}, {"kubelet", "containerd"}, {}),
        ({"kubelet": ("runtime",)}, {}, set(), {"kubelet": (WAITS, "depends on runtime, which no set has given to this machine")}),
        (ON, {"containerd": STOPPED}, {"containerd"}, {"kubelet": (WAITS, "depends on containerd, which is to be Stopped")}),
        (ON, {"containerd": ABSENT}, set(), {"kubelet": (WAITS, "depends on containerd, which is to be Absent")}),
        (ON, {"kubelet": ABSENT}, set(), {}),
        (ON, {"kubelet": STOPPED}, set(), {}),
        (
            ON, {"kubelet": ABSENT, "containerd": ABSENT}, set(),
            {"containerd": (WAITS, "waits for kubelet, which depends on it and goes first")},
        ),
        (ON, {"kubelet": STOPPED, "containerd": ABSENT}, {"kubelet"}, {}),
        ({"a": ("a",)}, {}, set(), {"a": (CIRCLE, "a -> a wait for each other; take one of these dependencies away")}),
        (
            {"a": ("b",), "b": ("c",), "c": ("a",), "d": ("a",), "e": ()}, {}, {"e"},
            {
                "a": (CIRCLE, "a -> b -> c -> a wait for each other; take one of these dependencies away"),
                "b": (CIRCLE, "b -> c -> a -> b wait for each other; take one of these dependencies away"),
                "c": (CIRCLE, "c -> a -> b -> c wait for each other; take one of these dependencies away"),
                "d": (WAITS, "waits for a, on which it depends"),
            },
        ),
        (
            {"a": ("b",), "b": ("a",)}, {"a": ABSENT, "b": STOPPED}, set(),
            {
                "a": (CIRCLE, "a -> b -> a wait for each other; take one of these dependencies away"),
                "b": (CIRCLE, "b -> a -> b wait for each other; take one of these dependencies away"),
            },
        ),
        ({"a": ("b",), "b": ("a",)}, {}, {"b"}, {"a": (CIRCLE, "a -> b -> a wait for each other; take one of these dependencies away")}),
        ({"a": ("b",), "b": ("a",)}, {"b": ABSENT}, set(), {"a": (WAITS, "depends on b, which is to be Absent")}),
    ],
)  # fmt: skip
def test_who_waits_for_whom(
    graph: dict[str, tuple[str, ...]], states: dict[str, m.Running], done: set[str],
    wanted: dict[str, tuple[str, str]],
) -> None:  # fmt: skip
    """Up in the order of dependencies, down against it; nobody who is done waits."""
    snapshot = world(graph, dict.fromkeys(graph, OLD), states)
    found = obstacles(snapshot.machine.spec.components, snapshot.components, done)
    assert {name: (one.reason, one.text) for name, one in found.items()} == wanted


def test_an_entry_whose_component_is_not_there_waits_for_nothing() -> None:
    """Nobody knows yet on what it depends."""
    snapshot = world(ON, {"kubelet": OLD, "containerd": OLD})
    assert waiting(snapshot.machine.spec.components, {}) == {"kubelet": (), "containerd": ()}


def test_what_waits_says_so_and_goes_on_by_itself() -> None:
    """The report keeps its revision, so no rollout takes waiting for failure; the machine's condition repeats it."""
    before = m.AgentStatus(components={"kubelet": m.ComponentReport(component="kubelet-1.1", revision="1")})
    first = world(ON, {"kubelet": OLD, "containerd": OLD}, before=before)
    assert begun(first) == {"containerd"}
    report = told(first, "kubelet")
    assert (report.revision, report.reason) == ("1", WAITS)
    assert report.message == "waits for containerd, on which it depends"
    decision = decide(first, Policy())
    status = m.MachineStatus(agent=decision.status)
    machine = attrs.evolve(first.machine, status=status)
    only = attrs.evolve(machine.spec, components={"kubelet": machine.spec.components["kubelet"]})
    claim = components_claim(MachineSnapshot(machine=attrs.evolve(machine, spec=only), now=first.now))
    assert claim.reason == "Progressing"
    assert claim.message.endswith(
        "is not done yet: WaitingForDependency: waits for containerd, on which it depends"
    )
    after = world(ON, {"kubelet": OLD, "containerd": NEW}, before=decision.status)
    assert begun(after) == {"kubelet"}
    assert told(after, "kubelet").reason == ""
    assert (
        told(world(ON, {"kubelet": NEW, "containerd": NEW}, before=decision.status), "kubelet").message == ""
    )


def test_waiting_defers_and_has_no_deadline() -> None:
    """What it waits for is an event: no timer would change anything."""
    snapshot = world({"kubelet": ("containerd",)}, {"kubelet": OLD})
    decision = decide(snapshot, Policy())
    assert (decision.effects, decision.deferred, decision.wake_at) == ((), True, None)
    assert [note.code for note in decision.notes] == [WAITS]


def first_try(name: str) -> str:
    """Give the op-id under which an entry is brought in first."""
    (effect,) = decide(world({name: ()}, {name: OLD}), Policy()).effects
    assert isinstance(effect, RunSteps)
    return effect.op_id


def test_who_waits_for_what_is_just_being_installed_is_deferred() -> None:
    """The host is busy, and there is more to do on it: it must not look as if nothing were left."""
    journal = {first_try("containerd"): journalled(JournalState.STARTED)}
    decision = decide(world(ON, {"kubelet": OLD, "containerd": OLD}, journal=journal), Policy())
    assert (decision.effects, decision.deferred, decision.wake_at) == ((), True, None)
    alone = world({"containerd": ()}, {"containerd": OLD}, journal=journal)
    assert not decide(alone, Policy()).deferred


def test_who_pauses_after_a_failure_and_waits_is_deferred_and_without_steps_is_not() -> None:
    """A pause that ends changes nothing while the dependency lacks; what has no steps would do nothing anyway."""
    lacks = {"kubelet": ("containerd",)}
    journal = {first_try("kubelet"): journalled(JournalState.FAILED)}
    for host, deferred in (({"journal": journal}, True), ({"plans": {"kubelet": ()}}, False)):
        decision = decide(world(lacks, {"kubelet": OLD}, **host), Policy())
        assert (decision.effects, decision.deferred, decision.wake_at) == ((), deferred, None)
        assert [note.code for note in decision.notes] == [WAITS]


@pytest.mark.parametrize("reason", ["PluginMissing", "WaitingForValue", "ParametersInvalid"])
def test_who_depends_on_what_cannot_be_judged_waits(reason: str) -> None:
    """A dependency without a driver or a value is not at target, whatever else is known of it."""
    plans = {"containerd": Problem(where="x", what=f"{reason}: y"), "kubelet": INSTALL}
    snapshot = world(ON, {"kubelet": OLD, "containerd": NEW}, plans=plans)
    assert begun(snapshot) == set()
    assert told(snapshot, "kubelet").reason == WAITS


def test_who_depends_on_a_newer_versions_component_waits() -> None:
    """What this version cannot read it cannot call done."""
    snapshot = world(ON, {"kubelet": OLD, "containerd": NEW})
    known = snapshot.components["containerd-1.2"]
    newer = attrs.evolve(known, metadata=attrs.evolve(known.metadata, unknown=("spec.sandbox",)))
    snapshot = attrs.evolve(snapshot, components={**snapshot.components, "containerd-1.2": newer})
    assert begun(snapshot) == set()


def test_a_circle_is_a_failure_of_the_revision_and_ends_when_it_is_broken() -> None:
    """A rollout stops at it, as at any failure; what runs stays; the next revision is judged afresh."""
    circle = {"kubelet": ("containerd",), "containerd": ("kubelet",)}
    before = m.AgentStatus(
        components={"kubelet": m.ComponentReport(component="kubelet-1.1", revision="1", version="1.1")}
    )
    snapshot = world(circle, {"kubelet": OLD, "containerd": NEW}, before=before)
    decision = decide(snapshot, Policy())
    assert (decision.effects, decision.wake_at) == ((), None)
    report = told(snapshot, "kubelet")
    assert (report.component, report.revision, report.reason) == ("kubelet-1.1", "2", CIRCLE)
    assert report.message.startswith("kubelet -> containerd -> kubelet wait for each other")
    assert told(snapshot, "containerd") == told(world(ON, {"kubelet": OLD, "containerd": NEW}), "containerd")
    broken = world(ON, {"kubelet": OLD, "containerd": NEW}, before=decision.status)
    assert begun(broken) == {"kubelet"}
    assert told(broken, "kubelet").reason == ""


def test_after_a_circle_an_entry_that_never_was_at_target_is_installed_and_not_repaired() -> None:
    """A circle says nothing about having been there: class drain, which drift may not repair, is begun."""
    report = m.ComponentReport(component="kubelet-1.2", revision="2", reason=CIRCLE)
    snapshot = world({"kubelet": ()}, {"kubelet": OLD}, before=m.AgentStatus(components={"kubelet": report}))
    known = snapshot.components["kubelet-1.2"]
    drain = attrs.evolve(known, spec=attrs.evolve(known.spec, disruption=m.Disruption.DRAIN))
    assert begun(attrs.evolve(snapshot, components={"kubelet-1.2": drain})) == {"kubelet"}


@pytest.mark.parametrize("graph", [ON, {"kubelet": ("containerd",), "containerd": ("kubelet",)}])
def test_drift_waits_too_and_is_still_reported_as_drift(graph: dict[str, tuple[str, ...]]) -> None:
    """No repair is begun over a dependency that is broken or a circle; delays go on, and end when it is mended."""
    was = {
        name: m.ComponentReport(component=f"{name}-1.2", revision="2", drifting=True, drifted_at=START)
        for name in graph
    }
    have = {"kubelet": OLD, "containerd": GONE}
    sightings = {"drift:kubelet:0": 0, "drift:containerd:0": 0}
    late = world(graph, have, before=m.AgentStatus(components=was), at=61 * SECOND, sightings=sightings)
    report = told(late, "kubelet")
    assert (report.drifting, report.reason) == (True, "")
    assert "containerd" in report.message
    assert "kubelet" not in begun(late)
    assert decide(late, Policy()).sightings["drift:kubelet:0"] == 0
    mended = world(
        ON,
        {**have, "containerd": NEW},
        before=m.AgentStatus(components=was),
        at=61 * SECOND,
        sightings=sightings,
    )
    assert begun(mended) == {"kubelet"}


def test_a_failure_stays_told_while_its_next_try_waits() -> None:
    """Why it failed matters more than for what it waits now."""
    journal = {first_try("kubelet"): journalled(JournalState.FAILED, message="exit 1")}
    failed = world(ON, {"kubelet": OLD, "containerd": OLD}, journal=journal)
    report = told(failed, "kubelet")
    assert (report.reason, report.message) == ("InstallFailed", "exit 1")
    assert begun(failed) == {"containerd"}


# Properties.

NAMES = tuple("abcdefgh")


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Give any graph of up to eight entries, with dependencies that no entry bears among them."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    ways = st.lists(
        st.sampled_from((*names, "elsewhere") if draw(st.booleans()) else names), max_size=3, unique=True
    )
    return {name: tuple(draw(ways)) for name in names}


@st.composite
def orders(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Give a graph without circles: a name depends only on those that were drawn before it."""
    names = draw(st.permutations(NAMES))
    count = draw(st.integers(1, len(names)))
    return {
        name: tuple(draw(st.lists(st.sampled_from(names[:place]), max_size=4, unique=True))) if place else ()
        for place, name in enumerate(names[:count])
    }


def played(
    graph: Mapping[str, tuple[str, ...]], states: Mapping[str, m.Running]
) -> tuple[list[str], NodeSnapshot]:
    """Let the agent act on a host where every act succeeds, until it rests; give who was begun, in order."""
    have: dict[str, Have] = dict.fromkeys(graph, OLD)
    journal: dict[str, JournalEntry] = {}
    before: m.AgentStatus | None = None
    order: list[str] = []
    while True:
        snapshot = world(graph, have, states, before=before, journal=journal)
        decision = decide(snapshot, Policy())
        before = decision.status
        if not decision.effects:
            return order, snapshot
        (effect,) = decision.effects
        assert isinstance(effect, RunSteps)
        wanted = states.get(effect.answers, RUNNING)
        have[effect.answers] = GONE if wanted is ABSENT else attrs.evolve(NEW, state=wanted)
        journal[effect.op_id] = journalled(JournalState.DONE)
        order.append(effect.answers)
        assert len(order) <= len(graph)


@given(graph=orders())
def test_every_order_is_respected_and_brought_to_its_end(graph: dict[str, tuple[str, ...]]) -> None:
    """Without a circle every entry is begun once, each after all on which it depends."""
    order, _ = played(graph, {})
    assert sorted(order) == sorted(graph)
    for name, after in graph.items():
        assert all(order.index(other) < order.index(name) for other in after)


@given(graph=orders(), data=st.data())
def test_what_goes_down_goes_against_the_order(
    graph: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    """Of two that go, the one that depends goes first; nobody goes twice, and all that go have gone in the end."""
    states = {name: data.draw(st.sampled_from(m.Running), label=name) for name in graph}
    order, _ = played(graph, states)
    assert len(set(order)) == len(order)
    assert {name for name, state in states.items() if state is not RUNNING} <= set(order)
    for name, after in graph.items():
        for other in after:
            if name in order and other in order:
                down = states[name] is not RUNNING
                assert not (down and states[other] is not RUNNING) or order.index(name) < order.index(other)
                assert down or order.index(other) < order.index(name)


def reached(graph: Mapping[str, tuple[str, ...]], name: str) -> set[str]:
    """Give all to which a way leads, by steps of one, as slowly as it is surely right."""
    found: set[str] = set()
    todo = list(graph.get(name, ()))
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += graph.get(one, ())
    return found


@given(graph=graphs())
def test_nobody_in_a_circle_or_behind_one_ever_acts(graph: dict[str, tuple[str, ...]]) -> None:
    """A circle is named by each of its members; who depends on one, or on what is nowhere, waits; all others act."""
    order, end = played(graph, {})
    inside = {name for name in graph if name in reached(graph, name)}
    stuck = {name for name in graph if ({name} | reached(graph, name)) & (inside | {"elsewhere"})}
    assert set(order) == set(graph) - stuck
    for name in graph:
        report = told(end, name)
        assert report.reason == ("" if name not in stuck else CIRCLE if name in inside else WAITS)


@given(graph=graphs())
def test_a_circle_is_a_way_that_is_there(graph: dict[str, tuple[str, ...]]) -> None:
    """It begins and ends at the name that asks, each step is a dependency, and none is found where none is."""
    for name in graph:
        circle = circle_of(name, graph)
        assert bool(circle) is (name in reached(graph, name))
        if circle:
            assert circle[0] == circle[-1] == name
            assert all(after in graph[one] for one, after in itertools.pairwise(circle))
            assert len(set(circle)) == len(circle) - 1
