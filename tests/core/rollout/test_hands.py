"""People's hands on a rollout: the label on one machine, the freeze of a scope; and breakers, looked at again before a start."""

from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.core.decision import Decision, SetEntry
from kubenode.core.health.freeze import Place
from kubenode.core.health.zones import ZoneTally
from kubenode.core.model.condition import find
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import decide
from tests.core.rollout.world import START, World, rolled_out

Answer = Decision[m.MachineComponentSetStatus]
DOWN = {"a": ZoneTally(nodes=10, not_ready=7), "b": ZoneTally(nodes=10), "c": ZoneTally(nodes=10)}


def said(world: World) -> tuple[str, str, str]:
    """Give phase, reason and message."""
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    return world.owner.status.phase, condition.reason, condition.message


def frozen(scope: m.Scope, name: str = "", until: timedelta | None = None) -> Policy:
    """Give a policy in which a person froze a scope."""
    when = None if until is None else START + until
    freeze = m.Freeze(scope=scope, name=name, until=when, reason="power")
    return Policy(
        risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=m.RiskPolicySpec(freeze=(freeze,))),)
    )


def permitted(count: int = 1, disruption: m.Disruption = m.Disruption.RESTART) -> World:
    """Give a world whose first batch has all its permits and has not begun."""
    world = rolled_out(
        count, batches=(m.IntOrPercent(count),), max_unavailable=m.IntOrPercent(count), disruption=disruption
    )
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    world.risk()
    return world


def started(decision: Answer) -> list[str]:
    """Name the machines whose entries are written."""
    return sorted(effect.machine.name for effect in decision.effects if isinstance(effect, SetEntry))


def test_a_rollout_does_not_start_on_a_held_machine() -> None:
    """It is passed over, counted and told; when all others are done the rollout waits for the label to go."""
    world = rolled_out(5, max_unavailable=m.IntOrPercent(5))
    for name in ("n001", "n003"):
        world.evolve(name, held=True)
    world.ask("kubelet-2")
    world.rollout()
    notes = {note.code: note for note in decide(world.snapshot(), Policy()).notes}
    assert (notes["Held"].observed, notes["Held"].limit) == (2, 0)
    decision = world.settle()
    phase, reason, message = said(world)
    assert (phase, reason) == ("Paused", "Held")
    assert message.startswith("3 of 5 updated; n00")
    assert message.endswith(
        " held by label kubenode.dev/hold on the Machine or its Node; to go on take it away"
    )
    assert [note.code for note in decision.notes] == ["Held"]
    assert (decision.deferred, decision.wake_at) == (True, None)
    assert (sorted(world.touched), world.owner.status.held) == (["n000", "n002", "n004"], 2)
    assert world.owner.status.current == m.Revision(number=1, component="kubelet-1"), "it is not complete"
    for name in ("n001", "n003"):
        world.evolve(name, held=False)
    world.settle()
    assert (said(world)[2], world.owner.status.held) == ("5 of 5 updated", 0)


def test_a_machine_held_between_permit_and_start_is_not_touched() -> None:
    """The permit was given, the label came: the member ends as Skipped, its permit goes back, the batch closes."""
    world = permitted(2)
    assert sorted(world.holds.values()) == ["n000", "n001"]
    world.evolve("n001", held=True)
    assert started(decide(world.snapshot(), Policy())) == ["n000"]
    world.settle()
    assert world.touched == ["n000"]
    assert world.holds == {}
    assert world.owner.status.batches == (m.BatchRecord(number=1, size=2, updated=1, failed=0, skipped=1),)
    assert said(world)[1] == "Held"


def test_what_has_begun_on_a_held_machine_goes_on() -> None:
    """The entry is written: the label does not call it back, and it ends as Updated."""
    world = permitted()
    world.rollout()
    assert world.touched == ["n000"]
    world.evolve("n000", held=True)
    world.settle()
    assert said(world) == ("Complete", "Complete", "1 of 1 updated")


def test_a_held_machine_can_be_skipped_to_let_the_rollout_end() -> None:
    """Named to skip it is counted there and no more as held."""
    world = rolled_out(3, max_unavailable=m.IntOrPercent(3))
    world.evolve("n001", held=True)
    world.ask("kubelet-2", skip=m.Skip(revision="2", machines=("n001",)))
    world.settle()
    assert said(world) == ("Complete", "Complete", "2 of 3 updated, skipped: 1")
    assert (world.owner.status.skipped, world.owner.status.held) == (1, 0)


def test_a_held_machine_is_told_beside_another_stop() -> None:
    """A paused rollout says both: what the person asked for, and who will be passed over."""
    world = rolled_out(3)
    world.evolve("n001", held=True)
    world.ask("kubelet-2", paused=True)
    decision = world.settle()
    assert [note.code for note in decision.notes] == ["Paused", "Held"]


def test_held_and_kept_machines_are_counted_apart() -> None:
    """What the partition keeps is kept, held or not; while a held one is left, the label is what is to go."""
    world = rolled_out(4, max_unavailable=m.IntOrPercent(4), partition=m.IntOrPercent(1))
    world.ask("kubelet-2")
    for name in list(world.seats):
        world.evolve(name, held=True)
    world.settle()
    assert (said(world)[1], world.owner.status.held, world.view().kept) == ("Held", 3, 1)
    for name in list(world.seats):
        world.evolve(name, held=False)
    world.settle()
    assert (said(world)[1], world.owner.status.held, world.view().kept) == ("Partition", 0, 1)


@pytest.mark.parametrize(
    ("scope", "name", "stops"),
    [
        (m.Scope.CLUSTER, "", True),
        (m.Scope.ZONE, "a", True),
        (m.Scope.ZONE, "b", False),
        (m.Scope.SET, "kubelets", True),
        (m.Scope.SET, "others", False),
        (m.Scope.NODE, "n000", True),
        (m.Scope.REGION, "north", False),
    ],
)
@pytest.mark.parametrize("disruption", [m.Disruption.RESTART, m.Disruption.NONE])
def test_a_freeze_between_permit_and_start_stops_the_start(
    scope: m.Scope, name: str, stops: bool, disruption: m.Disruption
) -> None:
    """It is honoured within one decision, of class none too; the note names scope and reason."""
    world = permitted(disruption=disruption)
    decision = decide(world.snapshot(), frozen(scope, name))
    assert started(decision) == ([] if stops else ["n000"])
    codes = [note.code for note in decision.notes]
    assert codes == (["Frozen"] if stops else [])
    assert decision.deferred is stops


def test_a_freeze_goes_by_where_the_machine_is() -> None:
    """Region and other sets are not in the seat: the snapshot tells them."""
    world = permitted()
    place = Place(machine="n000", zone="a", region="north", sets=("kubelets", "others"))
    for policy in (frozen(m.Scope.REGION, "north"), frozen(m.Scope.SET, "others")):
        assert started(decide(world.snapshot(), policy)) == ["n000"]
        assert started(decide(world.snapshot(places={"uid-n000": place}), policy)) == []


def test_a_freeze_ends_exactly() -> None:
    """Nothing starts a moment before its end, and the deadline of the Decision is that end."""
    world, policy = permitted(), frozen(m.Scope.CLUSTER, until=timedelta(hours=1))
    decision = decide(world.snapshot(), policy)
    assert decision.status is not None
    assert (
        decision.wake_at
        == world.now.elapsed
        + 3_600_000_000_000
        - (world.now.wall - START) // timedelta(microseconds=1) * 1000
    )
    left = timedelta(microseconds=(decision.wake_at - world.now.elapsed) // 1000)
    before = world.now.plus(left - timedelta(microseconds=1))
    kept = decision.sightings
    assert decide(world.snapshot(now=before, sightings=kept), policy) == decision
    at = decide(world.snapshot(now=world.now.plus(left), sightings=kept), policy)
    assert (started(at), at.notes, at.sightings) == (["n000"], (), {})


def test_what_has_begun_goes_on_in_a_freeze() -> None:
    """A started member comes to its end and is not called back."""
    world = permitted()
    world.rollout()
    decision = decide(world.snapshot(), frozen(m.Scope.CLUSTER))
    assert decision.status is not None
    assert decision.status.batch is not None
    assert [one.state for one in decision.status.batch.members] == [m.MemberState.STARTED]
    assert decision.notes == ()


@pytest.mark.parametrize(
    ("disruption", "available", "starts"),
    [
        (m.Disruption.RESTART, True, False),
        (m.Disruption.RESTART, False, False),
        (m.Disruption.NONE, True, True),
        (m.Disruption.NONE, False, False),
    ],
)
def test_unavailable_machines_are_not_touched_in_a_scope_whose_breaker_is_open(
    disruption: m.Disruption, available: bool, starts: bool
) -> None:
    """Not even by a component that disrupts nothing; and a permit from before the outage starts nobody at all."""
    world = permitted(disruption=disruption)
    world.evolve("n000", zone="a", available=available)
    decision = decide(world.snapshot(zones=DOWN), Policy())
    assert started(decision) == (["n000"] if starts else [])
    assert [note.code for note in decision.notes] == ([] if starts else ["ZoneOutage"])
    world.evolve("n000", zone="b")
    assert started(decide(world.snapshot(zones=DOWN), Policy())) == ["n000"]


def test_one_note_tells_of_all_members_that_a_freeze_stops() -> None:
    """And who is stopped by it is not said to wait for a permit."""
    world = permitted(3)
    decision = decide(world.snapshot(), frozen(m.Scope.CLUSTER))
    assert [note.code for note in decision.notes] == ["Frozen"]
    holds = frozenset(sorted(world.holds)[:1])
    decision = decide(world.snapshot(holds=holds), frozen(m.Scope.CLUSTER))
    assert [(note.code, note.observed) for note in decision.notes] == [
        ("Frozen", 0),
        ("WaitingForPermits", 2),
    ]


def test_who_was_recorded_as_started_and_has_no_entry_yet_is_looked_at_again() -> None:
    """A crash before the entry was written leaves nothing begun: a label that came since holds it."""
    world = permitted()
    world.crash_after = 0
    world.rollout()
    assert world.touched == []
    world.evolve("n000", held=True)
    world.settle()
    assert world.touched == []
    assert said(world)[1] == "Held"


def drains(world: World, state: m.DrainState | None) -> None:
    """Let the machine controller be so far with the drain that the one member's permit asks for."""
    (member,) = world.owner.status.batch.members if world.owner.status.batch is not None else ()
    record = None if state is None else m.DrainRecord(op_id=member.op_id, state=state)
    world.evolve(member.name, drain=record)


@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
@pytest.mark.parametrize("state", [None, m.DrainState.DRAINING])
def test_a_component_that_drains_waits_until_its_node_is_drained(
    disruption: m.Disruption, state: m.DrainState | None
) -> None:
    """It has its permit, and no entry is written; it says for what it waits."""
    world = permitted(disruption=disruption)
    drains(world, state)
    decision = decide(world.snapshot(), Policy())
    assert started(decision) == []
    assert [note.text for note in decision.notes if note.code == "Draining"] == [
        f"{next(iter(world.seats))}: its Node is drained first"
    ]
    assert decision.deferred


def test_what_a_freeze_holds_up_says_so_and_not_that_it_is_drained() -> None:
    """What has to go first is told: a drain that ends would change nothing."""
    world = permitted(disruption=m.Disruption.DRAIN)
    drains(world, m.DrainState.DRAINING)
    codes = [note.code for note in decide(world.snapshot(), frozen(m.Scope.CLUSTER)).notes]
    assert codes == ["Frozen"]


@pytest.mark.parametrize("state", [m.DrainState.DRAINED, m.DrainState.FORCED])
def test_a_component_that_drains_starts_when_its_node_is_drained(state: m.DrainState) -> None:
    """Or when its policy lets it go on."""
    world = permitted(disruption=m.Disruption.DRAIN)
    drains(world, state)
    assert len(started(decide(world.snapshot(), Policy()))) == 1


def test_a_component_that_restarts_waits_for_no_drain() -> None:
    """Whatever is said of one."""
    world = permitted()
    drains(world, m.DrainState.GIVEN_UP)
    assert len(started(decide(world.snapshot(), Policy()))) == 1
