"""A second change to a machine: when it joins the hold of the first, when it waits, and when the hold is released."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.model import Cause, RiskLedgerStatus, Scope
from kubenode.core.model.risk import JOIN_LIMIT
from kubenode.core.policy import Policy
from kubenode.core.review import Deny, Reviewed
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.decide import FleetSnapshot, SetRoom, decide
from kubenode.core.risk.joint import is_alike
from tests.core.risk.builders import (
    AGE,
    FREE,
    SECOND,
    ask,
    bare,
    codes,
    granted,
    hold,
    ledger_of,
    limit,
    now_at,
    policy_of,
    world,
    written,
)

BOTH = ("cni", "kubelet")
HOUR = timedelta(hours=1)
ONE = policy_of(limit(Scope.CLUSTER, 1), limit(Scope.CLUSTER, 1, HOUR), limit(Scope.SET, 1))


def change(name: str, machine: str = "m", **more: object) -> Ask:
    """Make a change of a component of a machine that two sets select."""
    return ask(name, machine, **{"sets": BOTH, **more})


def rows(seen: FleetSnapshot, policy: Policy = FREE) -> list[tuple[str, ...]]:
    """Give who may act, row by row, after a decision."""
    status = decide(seen, policy).status
    assert status is not None
    return [row.op_ids for row in status.holds]


def test_a_second_change_to_a_machine_joins_its_open_hold_before_the_first_disruptive_step() -> None:
    """In the write that opens it: one row, one start in every window, one place in flight and in each set."""
    seen = world(
        change("a"), change("b"), change("c"), rooms={name: SetRoom(max_unavailable=1) for name in BOTH}
    )
    decision = decide(seen, ONE)
    assert decision.status is not None
    (row,) = decision.status.holds
    assert bare(row) == attrs.evolve(hold("a", "m", since=AGE, sets=BOTH), joined=("b", "c"))
    assert row.op_ids == ("a", "b", "c")
    assert (decision.notes, decision.deferred) == ((), False)
    after = written(seen, decision)
    assert ledger.usage(decision.status, "cluster", HOUR, AGE) == 1
    begun = attrs.evolve(after, asks=tuple(attrs.evolve(one, waiting=False) for one in seen.asks))
    assert decide(begun, ONE).status == decision.status
    more = attrs.evolve(begun, asks=(*begun.asks, change("x", "m2")), zones=seen.zones)
    more = attrs.evolve(more, rooms={name: SetRoom(max_unavailable=2) for name in BOTH})
    assert decide(more, policy_of(limit(Scope.CLUSTER, 1))).notes[0].observed == 1
    assert [row.op_id for row in decide(more, policy_of(limit(Scope.CLUSTER, 2))).status.holds] == ["a", "x"]  # type: ignore[union-attr]


def test_it_joins_the_hold_of_its_own_machine_whoever_else_was_granted_before() -> None:
    """In another machine's row it would act without one of its own, and hold up that machine's end."""
    seen = world(change("a", "m1"), change("b", "m2"), change("c", "m2"), change("d", "m1"))
    assert rows(seen) == [("a", "d"), ("b", "c")]


def test_else_it_waits_whoever_comes_when_the_hold_is_open_already() -> None:
    """Its owner may begin at any moment, also where it has not been seen to; and the hold stays as it is."""
    for waiting in (True, False):
        seen = world(change("a", waiting=waiting), change("b"), ledger=ledger_of(hold("a", "m", sets=BOTH)))
        decision = decide(seen, FREE)
        assert (decision.status, codes(decision)) == (seen.ledger.status, ["MachineBusy"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (change("a", cause=Cause.REMEDY, remedier="r"), change("b")),
        (change("a", cause=Cause.DRIFT, remedier="drift/net"), change("b")),
        (change("a", cause=Cause.HUMAN), change("b")),
        (change("a", cause=Cause.HUMAN), change("b", cause=Cause.HUMAN)),
        (change("a", cause=Cause.REMEDY, remedier="r"), change("b", cause=Cause.REMEDY, remedier="r")),
        (change("a", sets=("kubelet",)), change("b")),
        (change("a"), change("b", zone="b")),
        (change("a"), change("b", region="eu")),
        (change("a", rollback=True), change("b")),
    ],
)
def test_who_does_not_join(first: Ask, second: Ask) -> None:
    """Only changes of components; only where it counts nowhere else; nobody passes rate windows with a rollback."""
    seen = world(first, second)
    assert rows(seen) == [("a",)]
    assert codes(decide(seen, FREE)) == ["MachineBusy"]


def test_a_rollback_joins_a_change_and_another_rollback() -> None:
    """It is bound by less than what it joins, never by more."""
    for first in (change("a"), change("a", rollback=True)):
        assert rows(world(first, change("b", rollback=True))) == [("a", "b")]


def test_a_reviewer_may_keep_it_from_joining() -> None:
    """Everything else was asked of the first; a reviewer is asked of each."""
    said = {"b": (Reviewed(reviewer="x", review=Deny(reason="no"), again=None),)}
    assert rows(world(change("a"), change("b"), reviews=said)) == [("a",)]


def test_where_the_first_is_refused_nobody_joins() -> None:
    """There is no hold to join."""
    seen = world(change("a"), change("b"))
    assert rows(seen, policy_of(limit(Scope.CLUSTER, 0))) == []


def test_released_only_when_all_that_joined_are_over() -> None:
    """Then it is one start, from when it was opened; who is over may act no more, and waits when it wants the machine again."""
    row = attrs.evolve(hold("a", "m", since=AGE - 5, sets=BOTH), joined=("b",))
    running = tuple(change(name, waiting=False) for name in "ab")
    for first, last in ("ab", "ba"):
        seen = world(
            *(one for one in running if one.op_id != first), ledger=ledger_of(row), ended=frozenset(first)
        )
        decision = decide(seen, FREE)
        assert decision.status is not None
        (left,) = decision.status.holds
        assert (left.op_ids, left.op_id, left.since, left.scopes) == ((last,), "a", row.since, row.scopes)
        assert decision.status.closed == {}
        again = attrs.evolve(written(seen, decision), ended=frozenset(), asks=(*seen.asks, change(first)))
        assert codes(decide(again, FREE)) == ["MachineBusy"]
        done = attrs.evolve(written(seen, decision), ended=frozenset("ab"), asks=())
        end = decide(done, FREE).status
        assert end is not None
        assert (end.holds, ledger.usage(end, "cluster", HOUR, AGE)) == ((), 1)


def test_both_over_at_once_is_one_start() -> None:
    """Not two."""
    row = attrs.evolve(hold("a", "m", since=AGE - 5, sets=BOTH), joined=("b",))
    status = ledger.close(RiskLedgerStatus(checkpoint=AGE, holds=(row,)), {"a", "b"}, AGE)
    assert (status.holds, ledger.usage(status, "set=cni", HOUR, AGE)) == ((), 1)


def test_one_that_is_nowhere_is_over_after_its_grace_and_the_other_keeps_the_hold() -> None:
    """A set that was paused before it began gives its part back."""
    row = attrs.evolve(hold("a", "m", sets=BOTH), joined=("b",))
    seen = world(change("a", waiting=False), ledger=ledger_of(row))
    decision = decide(seen, FREE)
    assert decision.wake_at == ledger.GRACE
    assert rows(written(seen, decision, elapsed=ledger.GRACE - 1)) == [("a", "b")]
    assert rows(written(seen, decision, elapsed=ledger.GRACE)) == [("a",)]


def test_a_lost_ledger_is_rebuilt_with_one_row_a_machine_and_released_as_late() -> None:
    """Both are under way: else the end of one would release the machine while the other still works on it."""
    running = tuple(change(name, waiting=False) for name in "ab")
    seen = world(*running, change("c"), ledger=ledger_of(checkpoint=0))
    assert rows(seen) == [("a", "b")]
    seen = world(*running, change("c"), ledger=ledger_of(checkpoint=0), history=False)
    assert rows(seen) == [("a", "b")]
    other = (running[0], attrs.evolve(running[1], cause=Cause.REMEDY, remedier="r"))
    assert rows(world(*other, ledger=ledger_of(checkpoint=0))) == [("b",)]


def test_a_full_row_or_ledger_takes_nobody_in() -> None:
    """What cannot be written could not be closed."""
    asks = [change(f"a{number:02}") for number in range(JOIN_LIMIT + 2)]
    found = rows(world(*asks))
    assert [len(row) for row in found] == [JOIN_LIMIT + 1]
    full = {f"zone={number}": "h:1=1" * 700 for number in range(280)}
    brim = RiskLedgerStatus(checkpoint=AGE, closed=full)
    spare = ledger.LEDGER_SIZE - ledger.size(brim)
    first, second = change("a"), change("b" * 100)
    alone = decide(world(first), FREE).status
    assert alone is not None
    taken = ledger.weight(alone.holds[0])
    assert spare > taken
    place = ledger.weight(attrs.evolve(alone.holds[0], joined=("b" * 100,))) - taken
    for over, wanted in ((1, ("a",)), (0, ("a", "b" * 100))):
        pad = {**full, "zone=pad": "x" * (spare - taken - place - len("zone=pad") - 8 + over)}
        seen = world(first, second, change("c" * 100), ledger=ledger_of(closed=pad))
        assert rows(seen) == [wanted], "to the character"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (
            (attrs.evolve(hold("a"), joined=("b",)), hold("b")),
            "status.holds[1] has the opID of status.holds[0], b",
        ),
        (
            (hold("b"), attrs.evolve(hold("a"), joined=("b",))),
            "status.holds[1] has the opID of status.holds[0], b",
        ),
        ((attrs.evolve(hold("a"), joined=("b", "b")),), "status.holds[0] has one opID twice"),
        ((attrs.evolve(hold("a"), joined=("a",)),), "status.holds[0] has one opID twice"),
    ],
)
def test_a_row_that_no_decider_writes_is_named(broken: tuple[object, ...], told: str) -> None:
    """And nothing automatic is granted."""
    seen = world(change("x", "m9"), ledger=ledger_of(*broken))  # type: ignore[arg-type]
    assert told in decide(seen, FREE).notes[0].text


# Whatever happens: two machines, changes and remedies that come, begin and end.

STEP = st.tuples(
    st.sampled_from(["want", "begin", "end", "vanish", "round"]), st.integers(0, 1), st.integers(0, 9)
)


@given(st.lists(STEP, max_size=60))
def test_a_machine_has_one_row_and_nobody_acts_without_a_live_place_in_it(
    steps: list[tuple[str, int, int]],
) -> None:
    """Whoever begins does so with its op-id in its machine's row; the row stays while anybody who began has not ended."""
    status = RiskLedgerStatus(checkpoint=AGE, ledger_uid="L")
    asks: dict[str, Ask] = {}
    ended: set[str] = set()
    seen = world()
    elapsed = count = starts = 0
    for what, machine, pick in steps:
        mine = [one for one in asks.values() if one.machine.name == f"m{machine}"]
        if what == "want":
            cause = Cause.REMEDY if pick == 0 else Cause.ROLLOUT
            name, count = f"op{count:02}", count + 1
            asks[name] = change(name, f"m{machine}", cause=cause, order=count, rollback=pick == 1)
        elif what == "begin":
            live = {op_id for row in status.holds for op_id in row.op_ids}
            able = [one for one in mine if one.op_id in live]
            if able:
                one = able[pick % len(able)]
                asks[one.op_id] = attrs.evolve(one, waiting=False)
        elif what in ("end", "vanish") and mine:
            one = mine[pick % len(mine)]
            del asks[one.op_id]
            if what == "end":
                ended.add(one.op_id)
        elapsed += 7 * SECOND
        seen = world(*asks.values(), ended=frozenset(ended), elapsed=elapsed, sightings=seen.sightings)
        seen = attrs.evolve(
            seen, now=now_at(elapsed), ledger=attrs.evolve(ledger_of(version=str(elapsed)), status=status)
        )
        decision = decide(seen, FREE)
        assert decision.status is not None
        before, status = status, decision.status
        seen = attrs.evolve(seen, sightings=decision.sightings)
        _check(before, status, asks)
        starts += len({row.op_id for row in status.holds} - {row.op_id for row in before.holds})
    total = ledger.usage(status, "cluster", timedelta(hours=24), status.checkpoint)
    assert total == starts


def _check(before: RiskLedgerStatus, after: RiskLedgerStatus, asks: dict[str, Ask]) -> None:
    uids = [row.machine_uid for row in after.holds]
    assert len(uids) == len(set(uids))
    live = {op_id: row for row in after.holds for op_id in row.op_ids}
    for one in asks.values():
        if not one.waiting:
            assert live[one.op_id].machine_uid == one.machine.uid
    known = {row.op_id: row for row in before.holds}
    for row in after.holds:
        if row.op_id in known:
            assert set(row.op_ids) <= set(known[row.op_id].op_ids)
            assert row.since == known[row.op_id].since
        elif row.joined:
            assert all(asks[op_id].cause is Cause.ROLLOUT for op_id in row.op_ids)
            assert all(asks[op_id].waiting for op_id in row.op_ids)


def test_the_names_of_holds_are_those_of_the_first() -> None:
    """Whoever follows permits by their names sees one that opens once and closes once."""
    seen = world(change("a"), change("b"))
    assert granted(decide(seen, FREE)) == ["a"]


@pytest.mark.parametrize("holds", Cause)
@pytest.mark.parametrize("asks", Cause)
def test_only_a_change_joins_a_change(holds: Cause, asks: Cause) -> None:
    """Whatever else asks for the machine has an act of its own, with a proof and an end of its own."""
    open_ = attrs.evolve(hold("x"), cause=holds)
    assert is_alike(open_, ask("y", "x", cause=asks)) is (holds is asks is Cause.ROLLOUT)
