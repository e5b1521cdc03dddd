"""After an outage: one at a time in the zone until it has been well for a while, whoever decides."""

from datetime import timedelta

import attrs

from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import Freeze, Now, Scope, ZoneBreaker
from kubenode.core.policy import Policy
from kubenode.core.risk import ledger
from kubenode.core.risk.decide import FleetSnapshot, decide
from tests.core.risk.builders import FREE, SECOND, START, ask, codes, granted, hold, ledger_of, world, written

DOWN = {"a": ZoneTally(nodes=10, not_ready=7), "b": ZoneTally(nodes=10)}
WELL = {"a": ZoneTally(nodes=10), "b": ZoneTally(nodes=10)}
COOLDOWN = 300 * SECOND


def in_storm() -> FleetSnapshot:
    """Give a world in which zone a is down and that is on record."""
    seen = world(ask("a1"), ask("a2"), ask("b1", zone="b"), ask("b2", zone="b"), zones=DOWN)
    decision = decide(seen, FREE)
    assert decision.status is not None
    assert (granted(decision), decision.status.storms) == (["b1", "b2"], ("a",))
    return written(seen, decision)


def test_one_at_a_time_after_an_outage() -> None:
    """The zone is served one by one until exactly the end of the cooldown; other zones never notice."""
    seen = attrs.evolve(written(in_storm(), decide(in_storm(), FREE), elapsed=50 * SECOND), zones=WELL)
    decision = decide(seen, FREE)
    assert granted(decision) == ["b1", "b2", "a1"]
    (note,) = decision.notes
    assert (note.code, note.scope, note.observed, note.limit) == ("StormCooldown", "zone a", 1, 1)
    assert note.frees_at == decision.wake_at == 50 * SECOND + COOLDOWN
    early = decide(written(seen, decision, elapsed=50 * SECOND + COOLDOWN - 1), FREE)
    assert codes(early) == ["StormCooldown"]
    over = decide(written(seen, decision, elapsed=50 * SECOND + COOLDOWN), FREE)
    assert granted(over) == ["b1", "b2", "a1", "a2"]
    assert over.status is not None
    assert (over.status.storms, over.wake_at) == ((), None)


def test_failed_write_does_not_begin_the_cooldown_again() -> None:
    """What is over stays over until its record is gone."""
    seen = attrs.evolve(in_storm(), zones=WELL)
    decision = decide(seen, FREE)
    over = decide(written(seen, decision, elapsed=COOLDOWN), FREE)
    again = decide(attrs.evolve(written(seen, decision, elapsed=COOLDOWN), sightings=over.sightings), FREE)
    assert (granted(again), codes(again)) == (["b1", "b2", "a1", "a2"], [])


def test_restart_begins_the_cooldown_anew() -> None:
    """The record outlives the process, its time does not."""
    seen = attrs.evolve(in_storm(), zones=WELL)
    later = written(seen, decide(seen, FREE), elapsed=COOLDOWN - SECOND)
    restarted = decide(attrs.evolve(later, sightings={}), FREE)
    assert (codes(restarted), restarted.wake_at) == (["StormCooldown"], 2 * COOLDOWN - SECOND)


def test_relapse_begins_the_cooldown_anew() -> None:
    """A zone that goes down again while it cools is in a storm, and cools from its end."""
    seen = attrs.evolve(in_storm(), zones=WELL)
    seen = attrs.evolve(written(seen, decide(seen, FREE), elapsed=COOLDOWN - SECOND), zones=DOWN)
    relapsed = decide(seen, FREE)
    assert codes(relapsed) == ["ZoneOutage"]
    assert "well:a" not in relapsed.sightings
    seen = attrs.evolve(written(seen, relapsed, elapsed=COOLDOWN), zones=WELL)
    assert decide(seen, FREE).wake_at == 2 * COOLDOWN


def test_longest_cooldown_holds_and_none_is_none() -> None:
    """Of several policies the longest binds; zero means that a zone is served at once."""
    seen = attrs.evolve(in_storm(), zones=WELL)
    for seconds, wake_at in (((0,), None), ((0, 7), 7 * SECOND), ((7, 0), 7 * SECOND)):
        policies = tuple(
            attrs.evolve(
                FREE.risk[0],
                spec=attrs.evolve(
                    FREE.risk[0].spec, zone_breaker=ZoneBreaker(cooldown=timedelta(seconds=each))
                ),
            )
            for each in seconds
        )
        assert decide(seen, Policy(risk=policies)).wake_at == wake_at


def test_storms_are_recorded_when_nobody_asks() -> None:
    """An outage that ends before anybody asks has its cooldown, too, and the record weighs in the ledger."""
    decision = decide(world(zones=DOWN), FREE)
    assert decision.status is not None
    assert decision.status.storms == ("a",)
    assert ledger.size(decision.status) > ledger.size(ledger_of().status)


def test_frozen_scope_gets_no_grant() -> None:
    """A freeze is honoured by the next decision, names its reason, ends nothing that runs and ends at its stamp."""
    until = START + timedelta(hours=2)
    one = Freeze(scope=Scope.ZONE, name="a", until=until, reason="power work")
    policy = Policy(risk=(attrs.evolve(FREE.risk[0], spec=attrs.evolve(FREE.risk[0].spec, freeze=(one,))),))
    seen = world(
        ask("a1"), ask("x", waiting=False), ask("b1", zone="b"), ledger=ledger_of(hold("x")), zones=WELL
    )
    decision = decide(seen, policy)
    assert granted(decision) == ["x", "b1"]
    assert [note.text for note in decision.notes] == [
        "m-a1: zone a: frozen until 2025-03-01T02:00:00+00:00: power work"
    ]
    assert decision.wake_at == decision.notes[0].frees_at == 7200 * SECOND
    early = decide(written(seen, decision, elapsed=7200 * SECOND - 1), policy)
    assert codes(early) == ["Frozen"]
    assert granted(decide(written(seen, decision, elapsed=7200 * SECOND), policy)) == ["x", "b1", "a1"]
    jumped = attrs.evolve(written(seen, decision), now=Now(wall=until + timedelta(days=1), elapsed=SECOND))
    assert codes(decide(jumped, policy)) == ["Frozen"]
