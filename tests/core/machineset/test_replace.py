"""Replacing machines of an earlier template: stories, then what holds whatever happens."""

import random
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Create, Delete
from kubenode.core.health.freeze import Place
from kubenode.core.health.zones import ZoneTally
from kubenode.core.machineset.claims import UP_TO_DATE
from kubenode.core.machineset.decide import decide
from kubenode.core.machineset.order import Standing, standing, zone_of
from kubenode.core.machineset.outdated import outdated, stamp
from kubenode.core.model.condition import find
from kubenode.core.model.machineset import RECORD_LIMIT, TEMPLATE_ANNOTATION, Strategy, StrategyType
from kubenode.core.model.meta import HOLD_LABEL, ZONE_LABEL
from kubenode.core.policy import Policy
from tests.core.machineset.world import START, World, machine, owner, running

REPLACE = Strategy(type=StrategyType.REPLACE)


def template(size: str = "small", **parameters: Any) -> m.MachineTemplate:
    """Give another template of the same set."""
    old = owner().spec.template
    infrastructure = m.Infrastructure(provider="memory", parameters={"size": size, **parameters})
    return attrs.evolve(old, spec=attrs.evolve(old.spec, infrastructure=infrastructure))


def grown(replicas: int, strategy: Strategy = REPLACE, **spec: Any) -> World:
    """Give a set that has made its machines, all of which run."""
    world = World.of(replicas, 0, strategy=strategy, **spec)
    world.settle()
    world.start()
    world.settle()
    return world


def up_to_date(world: World) -> tuple[str, str]:
    """Give the condition, in short."""
    said = find(world.set.status.conditions, UP_TO_DATE)
    assert said is not None
    return said.reason, said.message


def old(world: World) -> int:
    """Count the machines of an earlier template."""
    return len(outdated(world.set, world.machines.values()))


def available(world: World) -> int:
    """Count the available machines."""
    return sum(standing(one) is Standing.AVAILABLE for one in world.machines.values())


def test_by_default_outdated_machines_stay_until_somebody_deletes_them() -> None:
    """OnDelete: nothing is done, and it is said; who is deleted is made anew from the template that is."""
    world = grown(3, Strategy())
    assert up_to_date(world) == ("AllCurrent", "")
    world.ask(template=template())
    decision = decide(world.snapshot(), Policy())
    assert (decision.effects, decision.deferred) == ((), False)
    world.settle()
    assert up_to_date(world)[0] == "OutdatedStay"
    assert (world.set.status.updated, len(world.machines), old(world)) == (0, 3, 3)
    world.delete(sorted(world.machines)[0])
    world.let_go()
    world.settle()
    assert (world.set.status.updated, len(world.machines), old(world)) == (1, 3, 2)


def test_replacement_of_one_waits_for_its_successor_running() -> None:
    """One more is made; until that runs nothing is deleted; then one goes, and so on, until all are of the template."""
    world = grown(3)
    world.ask(template=template())
    for left in (3, 2, 1):
        world.settle()
        assert (len(world.machines), old(world), available(world)) == (4, left, 3)
        assert up_to_date(world)[0] == "WaitingForSuccessors"
        assert "when a successor is available" in up_to_date(world)[1]
        assert decide(world.snapshot(), Policy()).notes[0].code == "WaitingForSuccessors"
        world.start()
    world.settle()
    assert (len(world.machines), old(world), available(world)) == (3, 0, 3)
    assert up_to_date(world) == ("AllCurrent", "")
    assert world.set.status.going == ()
    assert world.set.status.lost == 0


def test_who_is_replaced_is_recorded_first_and_counts_until_it_is_gone() -> None:
    """A finalizer that does not go, as where termination is refused, stops the next one; it is said and no loss."""
    world = grown(3)
    world.slow = True
    world.ask(template=template())
    world.settle()
    world.start()
    world.settle()
    assert (len(world.machines), world.set.status.deleting) == (4, 1)
    assert [leaver.uid for leaver in world.set.status.going] == [
        one.metadata.uid for one in world.machines.values() if one.metadata.deletion_timestamp
    ]
    assert up_to_date(world)[0] == "WaitingForDeletions"
    assert not world.step()
    world.let_go()
    world.settle()
    assert (len(world.machines), old(world), world.set.status.lost) == (4, 2, 0)


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (0, 2), (2, 0), (3, 2)])
def test_surge_and_unavailable_are_what_the_strategy_says(surge: int, unavailable: int) -> None:
    """Both bounds are used, neither is exceeded."""
    strategy = Strategy(type=StrategyType.REPLACE, max_surge=surge, max_unavailable=unavailable)
    world = grown(5, strategy)
    world.ask(template=template())
    most, fewest = 0, 9
    while world.step() or old(world):
        most, fewest = max(most, len(world.machines)), min(fewest, available(world))
        if not decide(world.snapshot(), Policy()).effects:
            world.start()
    assert (most, fewest) == (5 + surge, 5 - unavailable)


@pytest.mark.parametrize("state", ["broken", "starting"])
def test_outdated_machines_that_are_not_available_are_replaced_too(state: str) -> None:
    """A template that never worked, or machines that broke, do not stop their own replacement."""
    world = grown(3)
    for name, one in world.machines.items():
        bare = attrs.evolve(one, status=m.MachineStatus())
        world.machines[name] = bare if state == "starting" else running(one, ready=False)
    world.settle()
    world.ask(template=template())
    for _ in range(4):
        world.settle()
        for name, one in world.machines.items():
            fresh = one.metadata.annotations[TEMPLATE_ANNOTATION] == stamp(world.set.spec.template)
            world.machines[name] = running(one) if fresh else one
    world.settle()
    assert (len(world.machines), old(world), available(world)) == (3, 0, 3)


def stopped(world: World, policy: Policy, **changes: Any) -> list[str]:
    """Give the codes of the notes of a decision that would else delete a machine; nothing is recorded as going."""
    decision = decide(world.snapshot(**changes), policy)
    assert [effect for effect in decision.effects if isinstance(effect, Delete)] == []
    assert decision.status is not None
    assert decision.status.going == ()
    assert decision.deferred
    return [note.code for note in decision.notes if note.limit is not None]


def due(**spec: Any) -> World:
    """Give a set of three in zones a, b and c, whose successor is available, so that one machine is to be replaced."""
    world = grown(3, failure_domains=("a", "b", "c"), **spec)
    world.ask(template=template())
    world.settle()
    world.start()
    assert any(isinstance(effect, Delete) for effect in decide(world.snapshot(), Policy()).effects)
    return world


def test_in_a_zone_outage_nothing_is_replaced_there_and_other_zones_work() -> None:
    """70 % of a zone NotReady: its machines stay, however outdated; in an outage of all zones nobody goes."""
    world = due()
    down, well = ZoneTally(nodes=10, not_ready=7), ZoneTally(nodes=10)
    every = {zone: attrs.evolve(down, not_ready=10) for zone in "abc"}
    assert stopped(world, Policy(), zones=every) == ["ClusterOutage"]
    for zone in "abc":
        zones = {**dict.fromkeys("abc", well), zone: down}
        gone = [
            one for one in decide(world.snapshot(zones=zones), Policy()).effects if isinstance(one, Delete)
        ]
        assert len(gone) == 1
        assert world.machines[gone[0].object.name].metadata.labels[ZONE_LABEL] != zone
    moved = {name: Place(machine=name, zone="d", region="", sets=()) for name in world.machines}
    assert stopped(world, Policy(), zones={"d": down}, places=moved) == ["ZoneOutage"]


def test_a_freeze_or_a_hold_stops_replacement_within_one_decision_and_its_end_is_exact() -> None:
    """Of the cluster, a zone, a region, a set of components, a machine; a label on the Machine or its Node."""
    world = due()
    places = {name: Place(machine=name, zone="b", region="eu", sets=("kubelet",)) for name in world.machines}
    freezes = [(m.Scope.CLUSTER, ""), (m.Scope.ZONE, "b"), (m.Scope.REGION, "eu"), (m.Scope.SET, "kubelet")]
    for scope, name in freezes:
        assert stopped(world, _frozen(scope, name), places=places) == ["Frozen"]
    assert set(stopped(world, Policy(), held=frozenset(world.machines))) == {"Held"}
    labelled = {
        name: attrs.evolve(
            one, metadata=attrs.evolve(one.metadata, labels={**one.metadata.labels, HOLD_LABEL: ""})
        )
        for name, one in world.machines.items()
    }
    assert set(stopped(attrs.evolve(world, machines=labelled), Policy())) == {"Held"}
    until = world.now.wall + timedelta(minutes=5)
    policy = _frozen(m.Scope.CLUSTER, "", until)
    decision = decide(world.snapshot(), policy)
    assert decision.wake_at == world.now.elapsed + 300 * 10**9
    later = world.now.plus(timedelta(minutes=5))
    before = attrs.evolve(later, wall=later.wall - timedelta(microseconds=1), elapsed=later.elapsed - 1000)
    assert (
        decide(world.snapshot(now=before, sightings=decision.sightings), policy).effects == decision.effects
    )
    after = decide(world.snapshot(now=later, sightings=decision.sightings), policy)
    assert [type(effect) for effect in after.effects] == [Delete]


@pytest.mark.parametrize(
    ("recorded", "goes"), [(RECORD_LIMIT - 1, 1), (RECORD_LIMIT, 0), (RECORD_LIMIT + 1, 0)]
)
def test_nobody_is_replaced_whom_the_record_has_no_room_for(recorded: int, goes: int) -> None:
    """Two are due; those that were chosen before are still on their way out."""
    world = due(strategy=Strategy(type=StrategyType.REPLACE, max_surge=2))
    before = [machine(f"x{number}", deletion_timestamp=START) for number in range(recorded)]
    going = tuple(m.Leaver(name=one.metadata.name, uid=one.metadata.uid) for one in before)
    crowded = attrs.evolve(world.set, status=attrs.evolve(world.set.status, going=going))
    seen = world.snapshot(set=crowded, machines=(*world.machines.values(), *before))
    assert [type(effect) for effect in decide(seen, Policy()).effects] == [Delete] * goes


def test_a_freeze_of_another_place_is_none_of_its_business() -> None:
    """It is neither woken by its end nor remembers it."""
    world = due()
    until = world.now.wall + timedelta(minutes=5)
    free = decide(world.snapshot(), Policy())
    assert decide(world.snapshot(), _frozen(m.Scope.ZONE, "elsewhere", until)) == free
    assert free.wake_at is None


def _frozen(scope: m.Scope, name: str, until: datetime | None = None) -> Policy:
    freeze = m.Freeze(scope=scope, name=name, until=until, reason="power")
    spec = m.RiskPolicySpec(freeze=(freeze,))
    return Policy(risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=spec),))


def test_the_surplus_goes_in_an_outage_too_since_a_person_asked_for_it() -> None:
    """Lowered replicas are a person's act."""
    world = grown(3, failure_domains=("a", "b", "c"))
    world.ask(replicas=2)
    zones = {zone: ZoneTally(nodes=10, not_ready=10) for zone in "abc"}
    effects = decide(world.snapshot(zones=zones), Policy()).effects
    assert [type(effect) for effect in effects] == [Delete]


@pytest.mark.parametrize(("kind", "zone"), [(StrategyType.REPLACE, "b"), (StrategyType.ON_DELETE, "a")])
def test_a_successor_is_spread_over_what_stays(kind: StrategyType, zone: str) -> None:
    """Two machines stay in zone a and one in b; another in b is outdated: to be replaced it does not count, else it does."""
    world = World.of(4, 0, strategy=Strategy(type=kind), failure_domains=("a", "b"))
    world.settle()
    world.start()
    one = next(one for one in world.machines.values() if zone_of(one) == "b")
    metadata = attrs.evolve(one.metadata, annotations={TEMPLATE_ANNOTATION: "earlier"})
    world.machines[one.metadata.name] = attrs.evolve(one, metadata=metadata)
    world.ask(replicas=5)
    made = [one.object for one in decide(world.snapshot(), Policy()).effects if isinstance(one, Create)]
    assert isinstance(made[0], m.Machine)
    assert zone_of(made[0]) == zone


def test_adopted_machines_are_never_outdated() -> None:
    """Nobody knows what they were made from."""
    world = World.of(2, 2, strategy=REPLACE)
    world.ask(template=template())
    world.settle()
    assert (sorted(world.machines), world.set.status.updated) == (["old-0", "old-1"], 2)


def test_a_template_taken_back_ends_the_replacement_and_the_surplus_goes() -> None:
    """Who was made for the new one goes, and nobody else."""
    world = grown(3)
    before = set(world.machines)
    world.ask(template=template())
    world.settle()
    assert len(world.machines) == 4
    world.ask(template=owner().spec.template)
    for _ in range(3):
        world.settle()
        world.start()
    assert old(world) == 0
    assert len(world.machines) == 3
    assert len(before & set(world.machines)) >= 2


def test_a_machine_of_a_newer_version_is_not_replaced() -> None:
    """It is counted, and left alone."""
    world = grown(1)
    ((name, one),) = world.machines.items()
    world.machines[name] = attrs.evolve(one, metadata=attrs.evolve(one.metadata, unknown=("spec.x",)))
    world.ask(template=template())
    for _ in range(3):
        world.settle()
        world.start()
    assert name in world.machines


def test_the_hash_of_a_template_depends_on_what_it_says_and_on_no_order() -> None:
    """Every field of today changes it; the order of keys does not."""
    base = template("small", a=1, b=2)
    assert stamp(base) == stamp(template("small", b=2, a=1))
    spec = base.spec
    others = (
        template("large", a=1, b=2),
        attrs.evolve(base, labels={"pool": "other"}),
        attrs.evolve(base, annotations={"x": "y"}),
        attrs.evolve(base, spec=attrs.evolve(spec, labels={"x": "y"})),
        attrs.evolve(base, spec=attrs.evolve(spec, annotations={"x": "y"})),
        attrs.evolve(
            base, spec=attrs.evolve(spec, taints=(m.Taint(key="x", effect=m.TaintEffect.NO_EXECUTE),))
        ),
        attrs.evolve(base, spec=attrs.evolve(spec, deletion_policy=m.DeletionPolicy.RELEASE)),
        attrs.evolve(base, spec=attrs.evolve(spec, infrastructure=m.Infrastructure(provider="other"))),
        with_secret(base, "a", "b"),
        with_secret(base, "a", "c"),
        with_secret(base, "ab", ""),
        with_boot(base, agent=m.AgentSource.USER_DATA),
        with_boot(base, user_data="#!/bin/sh"),
        with_boot(base, agent=m.AgentSource.USER_DATA, user_data="#!/bin/sh"),
    )
    assert len({stamp(one) for one in (base, *others)}) == len(others) + 1
    drained = attrs.evolve(base, spec=attrs.evolve(spec, drain=m.DrainPolicy(keep_unmanaged=True)))
    assert stamp(drained) == stamp(base), "how a Node is drained is no reason to replace it"
    assert len(attrs.fields(m.MachineTemplateSpec)) == 6, "a new field belongs into stamp, where it is set"
    assert len(attrs.fields(m.Infrastructure)) == 5, "a new field belongs into stamp, where it is set"


def test_the_stamp_of_those_without_a_secret_is_what_it_was_before_there_were_secrets() -> None:
    """Else an upgrade of kubenode would replace every machine."""
    assert stamp(template("small", a=1, b=2)) == "0f0a02d47295dd7a"


def test_a_machine_in_a_zone_keeps_the_secret_of_its_template() -> None:
    """The zone is added to what the template says, and nothing of it is lost."""
    base = with_secret(owner().spec.template, "kube-system", "cloud")
    world = World.of(1, 0)
    world.ask(template=base, failure_domains=("a",))
    world.settle()
    (made,) = world.machines.values()
    assert made.spec.infrastructure is not None
    assert made.spec.infrastructure.secret_ref == m.SecretRef(namespace="kube-system", name="cloud")
    assert made.spec.infrastructure.parameters["zone"] == "a"


def with_boot(base: m.MachineTemplate, **boot: Any) -> m.MachineTemplate:
    """Let instances be given something at their first boot."""
    wanted = attrs.evolve(base.spec.infrastructure, **boot)
    return attrs.evolve(base, spec=attrs.evolve(base.spec, infrastructure=wanted))


def with_secret(base: m.MachineTemplate, namespace: str, name: str) -> m.MachineTemplate:
    """Let the provider's credentials be in a Secret."""
    wanted = attrs.evolve(base.spec.infrastructure, secret_ref=m.SecretRef(namespace=namespace, name=name))
    return attrs.evolve(base, spec=attrs.evolve(base.spec, infrastructure=wanted))


def test_deletion_policy_is_release_by_default_when_imported_and_terminate_when_created() -> None:
    """A person's Machine with spec.host is released; what a set makes is terminated, unless its template says otherwise."""
    made = m.Infrastructure(provider="memory")
    for said, origin, wanted in (
        (None, {"host": m.Host(address="10.0.0.1")}, m.DeletionPolicy.RELEASE),
        (None, {"infrastructure": made}, m.DeletionPolicy.TERMINATE),
        (m.DeletionPolicy.TERMINATE, {"host": m.Host(address="10.0.0.1")}, m.DeletionPolicy.TERMINATE),
        (m.DeletionPolicy.RELEASE, {"infrastructure": made}, m.DeletionPolicy.RELEASE),
    ):
        assert m.MachineSpec(deletion_policy=said, **origin).on_deletion is wanted
    world = grown(1)
    assert [one.spec.deletion_policy for one in world.machines.values()] == [m.DeletionPolicy.TERMINATE]
    base = owner().spec.template
    kept = attrs.evolve(base, spec=attrs.evolve(base.spec, deletion_policy=m.DeletionPolicy.RELEASE))
    world = World.of(1, 0)
    world.ask(template=kept)
    world.settle()
    assert [one.spec.deletion_policy for one in world.machines.values()] == [m.DeletionPolicy.RELEASE]


# Whatever happens.


@st.composite
def replacing(draw: st.DrawFn) -> World:
    """Give a set in the middle of a replacement, or of several."""
    surge, unavailable = draw(st.sampled_from([(1, 0), (0, 1), (2, 2), (3, 0), (0, 3)]))
    strategy = Strategy(type=StrategyType.REPLACE, max_surge=surge, max_unavailable=unavailable)
    world = grown(draw(st.integers(0, 6)), strategy, failure_domains=draw(st.sampled_from([(), ("a", "b")])))
    world.slow = draw(st.booleans())
    for _ in range(draw(st.integers(0, 8))):
        match draw(st.integers(0, 6)):
            case 0:
                world.ask(template=template(draw(st.sampled_from(["small", "large"]))))
            case 1:
                world.let_go()
            case 2 if world.machines:
                name = draw(st.sampled_from(sorted(world.machines)))
                world.machines[name] = running(world.machines[name], ready=draw(st.booleans()))
            case 3:
                world.start()
            case 4 if world.machines:
                world.delete(draw(st.sampled_from(sorted(world.machines))))
            case 5:
                world.ask(replicas=draw(st.integers(0, 6)))
            case _:
                world.step(until=draw(st.none() | st.integers(0, 3)))
    return world


@given(world=replacing(), seed=st.integers())
def test_never_more_than_replicas_and_surge_never_fewer_available_than_bounds_by_our_own_acts(
    world: World, seed: int
) -> None:
    """One decision, in whatever order it is given the machines."""
    seen = world.snapshot()
    decision = decide(seen, Policy())
    shuffled = tuple(random.Random(seed).sample(seen.machines, len(seen.machines)))
    assert decide(attrs.evolve(seen, machines=shuffled), Policy()) == decision
    spec = world.set.spec
    made = sum(isinstance(effect, Create) for effect in decision.effects)
    gone = {effect.object.uid for effect in decision.effects if isinstance(effect, Delete)}
    if made:
        assert len(world.machines) + made <= spec.replicas + spec.strategy.max_surge
    up = {one.metadata.uid for one in world.machines.values() if standing(one) is Standing.AVAILABLE}
    if gone & up:
        assert len(up - gone) >= spec.replicas - spec.strategy.max_unavailable


@given(world=replacing(), until=st.integers(0, 4))
def test_it_comes_to_rest_and_every_prefix_replanned_ends_the_same(world: World, until: int) -> None:
    """With successors that come up, nothing outdated is left; a crash after any effect changes nothing about the end."""
    cut = attrs.evolve(world, machines=dict(world.machines), sightings=dict(world.sightings))
    cut.step(until=until)
    for one in (world, cut):
        one.slow = False
        for _ in range(30):
            one.let_go()
            one.ask(acknowledged_losses=one.set.status.lost)
            one.settle()
            one.machines = {name: running(each) for name, each in one.machines.items()}
        assert (old(one), len(one.machines)) == (0, one.set.spec.replicas)
        decision = decide(one.snapshot(), Policy())
        assert (decision.effects, decision.status) == ((), one.set.status)


def test_a_strategy_that_could_replace_nothing_is_refused() -> None:
    """With both bounds 0 it would wait for ever."""
    (rule,) = Strategy.SHAPE.rules
    assert rule.check is not None
    assert not rule.check(Strategy(max_surge=0, max_unavailable=0))
    assert rule.check(Strategy())
