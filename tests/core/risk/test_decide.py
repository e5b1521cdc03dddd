"""The risk decider, case by case."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core.decision import Create
from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import Cause, RiskLedgerStatus, Scope
from kubenode.core.model.risk import CLOSED_LIMIT, HOLD_LIMIT, SCOPE_LIMIT
from kubenode.core.policy import Policy
from kubenode.core.risk import ledger
from kubenode.core.risk.decide import NOTE_LIMIT, SetRoom, decide
from tests.core.risk.builders import (
    AGE,
    FREE,
    HOUR,
    SECOND,
    START,
    ask,
    bare,
    codes,
    granted,
    hold,
    ledger_of,
    limit,
    policy_of,
    settled,
    world,
    written,
)

IN_HOUR = timedelta(hours=1)
DAY = 24 * HOUR


# --- grants --------------------------------------------------------------------------------------


def test_who_asks_with_room_is_granted_in_one_write() -> None:
    """All that may be granted is granted at once, stamped with ledger time."""
    decision = decide(world(ask("b"), ask("a")), FREE)
    assert granted(decision) == ["a", "b"]
    assert decision.status is not None
    assert decision.status.checkpoint == AGE
    assert bare(decision.status.holds[0]) == hold("a", since=AGE)
    assert (decision.notes, decision.deferred, decision.wake_at) == ((), False, None)


def test_remedies_are_served_before_rollouts() -> None:
    """With room for one, the remedy gets it, however late it came."""
    late = ask("z", cause=Cause.REMEDY, since=START + timedelta(hours=5))
    decision = decide(world(ask("a"), late), policy_of(limit(Scope.CLUSTER, 1)))
    assert granted(decision) == ["z"]
    assert (codes(decision), decision.deferred) == (["InFlight"], True)


def test_one_hold_for_each_machine() -> None:
    """A machine that somebody holds, or was granted a moment ago, is not given to another."""
    held = world(ask("a", "m"), ask("b", "m", waiting=False), ledger=ledger_of(hold("b", "m")))
    decision = decide(held, FREE)
    assert granted(decision) == ["b"]
    note = decision.notes[0]
    assert (note.code, note.scope, note.text) == ("MachineBusy", "machine m", "m: b has the machine")
    assert granted(decide(world(ask("a", "m"), ask("b", "m")), FREE)) == ["a"]


def test_act_without_a_hold_still_has_its_machine() -> None:
    """What is under way counts in flight and in its sets even if its row is gone, and gets no second row."""
    running = ask("run", "m", waiting=False)
    decision = decide(world(running, ask("a", "m")), FREE)
    assert (granted(decision), codes(decision)) == ([], ["MachineBusy"])
    assert codes(decide(world(running, ask("a")), policy_of(limit(Scope.ZONE, 1)))) == ["InFlight"]
    tight = world(running, ask("a"), rooms={"kubelet": SetRoom(max_unavailable=1)})
    assert codes(decide(tight, FREE)) == ["MaxUnavailable"]


def test_granted_asks_are_not_asked_again() -> None:
    """An owner that has not yet seen its hold neither loses it nor gets another."""
    seen = world(ask("a"), ledger=ledger_of(hold("a")))
    assert decide(seen, policy_of(limit(Scope.CLUSTER, 0))).status == seen.ledger.status  # type: ignore[union-attr]


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "amount", "expected"),
    [
        (Scope.CLUSTER, 3, ["a1", "a2", "b1"]),
        (Scope.CLUSTER, 0, []),
        (Scope.ZONE, 1, ["a1", "b1"]),
        (Scope.SET, 1, ["a1", "b2"]),
        (Scope.CLUSTER, "25%", ["a1", "a2"]),
        (Scope.CLUSTER, "1%", ["a1"]),
        (Scope.ZONE, "50%", ["a1", "a2", "b1", "b2"]),
    ],
)
@pytest.mark.parametrize("window", [None, IN_HOUR])
def test_limits_by_scope(
    scope: Scope, amount: int | str, expected: list[str], window: timedelta | None
) -> None:
    """In flight or within a window, each scope is counted by itself; a percentage rounds down to at least one."""
    asks = [ask("a1"), ask("a2"), ask("b1", zone="b"), ask("b2", zone="b", sets=("cni",))]
    decision = decide(world(*asks), policy_of(limit(scope, amount, window)))
    assert granted(decision) == expected
    assert set(codes(decision)) <= {"InFlight" if window is None else "RateLimit"}


def test_every_set_of_a_machine_counts_it() -> None:
    """A limit of sets binds in each set that selects the machine."""
    asks = [ask("a", sets=("x", "y")), ask("b", sets=("y", "z")), ask("c", sets=("z",))]
    decision = decide(world(*asks), policy_of(limit(Scope.SET, 1)))
    assert granted(decision) == ["a", "c"]
    assert decision.notes[0].scope == "set y"


def test_every_policy_must_allow() -> None:
    """Of two policies the stricter one binds, whichever it is."""
    loose, strict = policy_of(limit(Scope.CLUSTER, 9)).risk, policy_of(limit(Scope.CLUSTER, 1)).risk
    for policies in (loose + strict, strict + loose):
        assert granted(decide(world(ask("a"), ask("b")), Policy(risk=policies))) == ["a"]


def test_without_a_policy_the_built_in_one_holds() -> None:
    """No RiskPolicy is never unlimited: 5 % of ten machines is one."""
    assert granted(decide(world(ask("a"), ask("b", zone="b")), Policy())) == ["a"]


def test_window_refuses_and_says_when_it_frees() -> None:
    """A full window names its count and its limit, and frees when the oldest grant has left."""
    book = ledger_of(hold("x", since=AGE - HOUR + 5), hold("y", since=AGE - 7))
    seen = world(ask("a"), ask("x", waiting=False), ask("y", waiting=False), ledger=book, elapsed=1000)
    decision = decide(seen, policy_of(limit(Scope.ZONE, 2, IN_HOUR)))
    (note,) = decision.notes
    assert (note.code, note.scope, note.observed, note.limit, note.frees_at) == (
        "RateLimit",
        "zone a",
        2,
        2,
        1005,
    )
    assert note.text == "m-a: zone a: 2 started within 1h, limit 2"
    assert decision.wake_at == 1005
    assert decision.binding == note


def test_closed_grants_free_with_their_whole_bucket() -> None:
    """A closed grant counts until the last nanosecond of its bucket has left the window."""
    book = ledger_of(closed={"cluster": f"m:{AGE // (60 * SECOND)}=1;h:100=1"})
    decision = decide(world(ask("a"), ledger=book), policy_of(limit(Scope.CLUSTER, 1, IN_HOUR)))
    assert decision.wake_at == HOUR + 60 * SECOND - 1
    assert granted(decide(written(world(ask("a"), ledger=book), decision, elapsed=decision.wake_at or 0), policy_of(
        limit(Scope.CLUSTER, 1, IN_HOUR)))) == ["a"]  # fmt: skip


def test_grants_of_a_round_count_for_those_after() -> None:
    """Within one round, too, a window is not exceeded, and what was just granted is the first to leave."""
    decision = decide(world(ask("a"), ask("b"), ask("c")), policy_of(limit(Scope.CLUSTER, 2, IN_HOUR)))
    assert granted(decision) == ["a", "b"]
    assert decision.wake_at == HOUR


def test_refusal_names_what_frees_last() -> None:
    """Where several limits bind, the note is the one that has to free for a grant."""
    book = ledger_of(hold("x", since=AGE))
    seen = world(ask("a"), ask("x", waiting=False), ledger=book)
    both = policy_of(limit(Scope.CLUSTER, 1, timedelta(minutes=1)), limit(Scope.ZONE, 1, IN_HOUR))
    assert (decide(seen, both).notes[0].scope, decide(seen, both).wake_at) == ("zone a", HOUR)
    never = policy_of(*both.risk[0].spec.limits, limit(Scope.SET, 0, timedelta(minutes=1)))
    assert (decide(seen, never).notes[0].scope, decide(seen, never).notes[0].frees_at) == (
        "set kubelet",
        None,
    )
    flight = policy_of(*both.risk[0].spec.limits, limit(Scope.CLUSTER, 1))
    assert (codes(decide(seen, flight)), decide(seen, flight).wake_at) == (["InFlight"], None)


def test_unreadable_counter_is_full() -> None:
    """A scope whose counters are garbage refuses by windows, says so, and leaves in-flight limits alone."""
    seen = world(ask("a"), ledger=ledger_of(closed={"zone=a": "junk"}))
    decision = decide(seen, policy_of(limit(Scope.ZONE, 9, IN_HOUR)))
    assert (granted(decision), codes(decision), decision.wake_at) == ([], ["CountUnreadable"], None)
    assert granted(decide(seen, policy_of(limit(Scope.ZONE, 9)))) == ["a"]


# --- breakers and maxUnavailable -----------------------------------------------------------------


def test_no_grant_in_a_zone_that_is_down() -> None:
    """In an outage nothing is disrupted in that zone, even a machine that is down already; others go on."""
    zones = {"a": ZoneTally(nodes=10, not_ready=7), "b": ZoneTally(nodes=10)}
    decision = decide(
        world(ask("a"), ask("b", zone="b"), zones=zones, unavailable=frozenset({"uid-m-a"})), FREE
    )
    assert granted(decision) == ["b"]
    assert (codes(decision), decision.notes[0].scope) == (["ZoneOutage"], "zone a")


def test_no_grant_anywhere_when_every_zone_is_down() -> None:
    """When all zones are down the cluster is frozen."""
    zones = {"a": ZoneTally(nodes=3, not_ready=3), "b": ZoneTally(nodes=3, not_ready=3)}
    assert codes(decide(world(ask("a"), ask("c", zone="c"), zones=zones), FREE)) == ["ClusterOutage"] * 2


@pytest.mark.parametrize(
    ("away", "held", "most", "expected"),
    [
        ([], [], 1, ["a"]),
        ([], [], 2, ["a", "b"]),
        (["uid-x"], [], 1, []),
        (["uid-x"], [], 2, ["a"]),
        ([], ["x"], 1, ["x"]),
        (["uid-m-x"], ["x"], 2, ["x", "a"]),
        (["uid-m-a"], [], 1, ["a"]),
        (["uid-m-a", "uid-x"], [], 1, ["a"]),
        (["uid-m-a", "uid-m-b"], [], 1, ["a", "b"]),
        ([], [], 0, []),
    ],
)
def test_max_unavailable(away: list[str], held: list[str], most: int, expected: list[str]) -> None:
    """The world's faults and open holds count once each; a machine that is down already costs nothing."""
    asks = [ask("a"), ask("b"), *(ask(name, waiting=False) for name in held)]
    seen = world(
        *asks, ledger=ledger_of(*(hold(name) for name in held)), unavailable=frozenset(away),
        rooms={"kubelet": SetRoom(max_unavailable=most, unavailable=frozenset(away))},
    )  # fmt: skip
    decision = decide(seen, FREE)
    assert granted(decision) == expected
    assert set(codes(decision)) <= {"MaxUnavailable"}
    assert decision.wake_at is None


def test_machine_that_is_down_already_counts_in_windows() -> None:
    """It is free of maxUnavailable, not of rates and of what is in flight."""
    seen = world(ask("a"), ask("b"), unavailable=frozenset({"uid-m-a", "uid-m-b"}))
    for bound in (limit(Scope.ZONE, 1), limit(Scope.ZONE, 1, IN_HOUR)):
        assert granted(decide(seen, policy_of(bound))) == ["a"]


def test_set_that_is_not_known_refuses() -> None:
    """What cannot be counted is not free."""
    assert codes(decide(world(ask("a"), rooms={}), FREE)) == ["SetUnknown"]


# --- the end of a hold ---------------------------------------------------------------------------


def test_recorded_end_closes_at_once() -> None:
    """A hold whose owner says that it has ended is closed in this write, and its room is used in it."""
    seen = world(ask("a"), ledger=ledger_of(hold("x", since=AGE)), ended=frozenset({"x"}))
    decision = decide(seen, policy_of(limit(Scope.CLUSTER, 1)))
    assert granted(decision) == ["a"]
    assert decision.status is not None
    assert decision.status.closed["cluster"] == "s:36000=1;m:6000=1;h:100=1"


def test_owner_that_holds_outlives_any_record_and_any_time() -> None:
    """A hold is not closed while somebody still acts on it, whatever else is said, and however long."""
    seen = world(ask("x", waiting=False), ledger=ledger_of(hold("x")), ended=frozenset({"x"}))
    for elapsed in (0, 100 * DAY):
        later = attrs.evolve(seen, now=attrs.evolve(seen.now, elapsed=elapsed))
        assert (granted(decide(later, FREE)), decide(later, FREE).wake_at) == (["x"], None)


def test_orphan_is_closed_after_its_grace_and_not_before() -> None:
    """A hold without an owner waits 30 s of being unseen, to the nanosecond: the cache may be behind."""
    seen = world(ledger=ledger_of(hold("x")), elapsed=50)
    first = decide(seen, FREE)
    assert (granted(first), first.wake_at, first.sightings["orphan:x"]) == (["x"], 50 + ledger.GRACE, 50)
    early = decide(written(seen, first, elapsed=49 + ledger.GRACE), FREE)
    assert granted(early) == ["x"]
    due = decide(written(seen, first, elapsed=50 + ledger.GRACE), FREE)
    assert granted(due) == []
    assert (due.sightings["orphan:x"], due.wake_at) == (50, None)  # kept until the write is seen


def test_owner_seen_again_starts_the_grace_anew() -> None:
    """An owner that comes into sight takes its hold back."""
    seen = world(ledger=ledger_of(hold("x")))
    back = decide(attrs.evolve(seen, asks=(ask("x"),), sightings={"orphan:x": 0}), FREE)
    assert "orphan:x" not in back.sightings


# --- a ledger that is missing, lost or not ours ---------------------------------------------------


def test_missing_ledger_is_made() -> None:
    """Without a ledger nothing is granted; it is created, and whoever comes second finds it."""
    decision = decide(world(ask("a"), ledger=None), FREE)
    (effect,) = decision.effects
    assert isinstance(effect, Create)
    assert effect.object.metadata.name == "cluster"
    assert (decision.status, codes(decision), decision.deferred) == (None, ["LedgerMissing"], True)


def test_first_ledger_is_marked_at_once_and_never_blind() -> None:
    """A new cluster's ledger is written before there is anything to grant, so that it is not lost history later."""
    seen = world(ledger=ledger_of(checkpoint=0), history=False)
    after, decision = settled(seen, FREE)
    assert decision.status == RiskLedgerStatus(checkpoint=1, ledger_uid="L")
    assert decide(attrs.evolve(after, history=True), FREE).status == decision.status


def test_first_ledger_grants_in_its_first_write() -> None:
    """With nothing lost there is nothing to wait for."""
    assert granted(decide(world(ask("a"), ledger=ledger_of(checkpoint=0), history=False), FREE)) == ["a"]


def test_lost_ledger_is_rebuilt_before_anything_is_granted() -> None:
    """What is under way gets its hold back, whatever the limits; every window is full for a day."""
    asks = [ask("a"), ask("x", waiting=False), ask("y", waiting=False), ask("z", "m-y", waiting=False)]
    policy = policy_of(limit(Scope.CLUSTER, 1), limit(Scope.CLUSTER, 9, IN_HOUR))
    first = decide(world(*asks, ledger=ledger_of(checkpoint=0)), policy)
    assert granted(first) == ["x", "y"]
    assert first.status is not None
    assert first.status.blind_until == 1 + DAY
    assert (codes(first), first.deferred, first.wake_at) == (["HistoryLost"], True, None)


def test_lost_history_counts_as_used_for_a_day() -> None:
    """After a loss, limits in flight serve again once owners had time to speak; windows only a day later."""
    seen = world(ask("a"), ledger=ledger_of(checkpoint=0))
    windowed, flight = policy_of(limit(Scope.CLUSTER, 9, IN_HOUR)), policy_of(limit(Scope.CLUSTER, 9))
    seen = written(seen, decide(seen, windowed))
    waiting = decide(seen, flight)
    assert (granted(waiting), codes(waiting), waiting.wake_at) == ([], ["HistoryLost"], ledger.GRACE)
    seen = written(seen, waiting, elapsed=ledger.GRACE)
    assert granted(decide(seen, flight)) == ["a"]
    full = decide(seen, windowed)
    assert (granted(full), codes(full), full.wake_at) == ([], ["HistoryLost"], DAY)
    assert granted(decide(written(seen, full, elapsed=DAY - 1), windowed)) == []
    assert granted(decide(written(seen, full, elapsed=DAY), windowed)) == ["a"]


def test_ledger_of_a_newer_version_is_left_alone() -> None:
    """What this version cannot read it neither writes nor grants from, and no hold is closed."""
    seen = world(ask("a"), ledger=ledger_of(hold("x"), unknown=("status.epochs",)), ended=frozenset({"x"}))
    decision = decide(seen, FREE)
    assert (decision.status, decision.effects, codes(decision), decision.deferred) == (
        None,
        (),
        ["NewerVersion"],
        True,
    )


def test_policy_of_a_newer_version_blocks_grants_but_not_ends() -> None:
    """A limit that cannot be read must not be widened; ending what runs goes on."""
    seen = world(ask("a"), ledger=ledger_of(hold("x")), ended=frozenset({"x"}))
    decision = decide(seen, policy_of(unknown=("spec.limits[0].percentile",)))
    assert (granted(decision), codes(decision)) == ([], ["NewerVersion"])
    assert decision.notes[0].scope == "RiskPolicy p"


# --- bounds --------------------------------------------------------------------------------------


def test_notes_are_bounded_and_the_deadline_is_not() -> None:
    """Only the first notes are given, but the deadline is the earliest of all."""
    book = ledger_of(hold("x", since=AGE - 5, zone="b"))
    asks = [ask(f"op-{i:03}") for i in range(NOTE_LIMIT + 9)] + [ask("zz", zone="b"), ask("x", waiting=False)]
    policy = policy_of(limit(Scope.ZONE, 1, IN_HOUR))
    after = written(world(*asks, ledger=book), decide(world(*asks, ledger=book), policy))
    decision = decide(after, policy)
    assert len(decision.notes) == NOTE_LIMIT
    assert decision.wake_at == HOUR - 5


@pytest.mark.parametrize(
    ("status", "sets"),
    [
        ({"holds": tuple(hold(f"h{i}") for i in range(HOLD_LIMIT))}, ("kubelet",)),
        ({}, tuple(f"set-{i}" for i in range(SCOPE_LIMIT - 1))),
        ({"closed": {f"set={i}": "h:100=1" for i in range(CLOSED_LIMIT)}}, ("kubelet",)),
        ({"holds": tuple(hold(f"h{i}", sets=["s" * 250, "t" * 250]) for i in range(750))}, ("kubelet",)),
    ],
)  # fmt: skip
def test_ledger_is_never_filled_beyond_what_can_be_written(
    status: dict[str, Any], sets: tuple[str, ...]
) -> None:
    """At its bounds the ledger grants nothing more and says so."""
    holders = [ask(each.op_id, waiting=False) for each in status.get("holds", ())]
    decision = decide(world(ask("a", sets=sets), *holders, ledger=ledger_of(**status)), FREE)
    assert codes(decision) == ["LedgerFull"]
    assert decision.status == RiskLedgerStatus(checkpoint=AGE, **status)


def test_one_round_does_not_outgrow_the_ledger() -> None:
    """What a round grants counts for the size of the ledger, too."""
    sets = tuple(f"{'s' * 240}-{i}" for i in range(SCOPE_LIMIT - 3))
    decision = decide(world(*(ask(f"op-{i}", sets=sets) for i in range(40))), FREE)
    assert decision.status is not None
    assert 0 < ledger.size(decision.status) <= ledger.LEDGER_SIZE
    assert set(codes(decision)) == {"LedgerFull"}


def test_nothing_is_adopted_beyond_the_bounds() -> None:
    """A lost ledger takes no more rows than it may have; who finds no room is in flight all the same."""
    running = [ask(f"r{i}", waiting=False) for i in range(HOLD_LIMIT + 5)]
    decision = decide(world(*running, ledger=ledger_of(checkpoint=0)), FREE)
    assert len(granted(decision)) == HOLD_LIMIT
