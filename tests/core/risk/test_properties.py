"""What holds of every decision of the risk decider, whatever the world."""

from datetime import timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import (
    Cause,
    Freeze,
    Hold,
    Limit,
    RepairWidth,
    RiskLedgerStatus,
    Scope,
    SuccessGate,
    ZoneBreaker,
)
from kubenode.core.policy import Policy
from kubenode.core.review import Allow, Deny, Narrow, Review, Reviewed
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import Ask, in_order
from kubenode.core.risk.decide import FleetSnapshot, SetRoom, decide
from kubenode.core.risk.success import Outcome, shut
from tests.core.risk.builders import (
    AGE,
    HOUR,
    SECOND,
    START,
    ask,
    hold,
    ledger_of,
    limit,
    policy_of,
    settled,
    world,
    written,
)

WINDOWS = st.sampled_from([timedelta(seconds=s) for s in (10, 60, 61, 3600, 86_400)])
LIMITS = st.builds(
    limit, st.sampled_from(Scope), st.integers(0, 4) | st.sampled_from(["10%", "50%"]), st.none() | WINDOWS
)
UNTIL = st.none() | st.integers(-5, 200).map(lambda s: START + timedelta(seconds=s))
FREEZES = st.builds(
    lambda scope, until: Freeze(
        scope=scope, name={Scope.NODE: "m1", Scope.ZONE: "b", Scope.SET: "s", Scope.REGION: "eu"}.get(scope, ""), until=until, reason="power"
    ),
    st.sampled_from(Scope), UNTIL,
)  # fmt: skip
GATES = st.builds(
    SuccessGate, window=st.sampled_from([timedelta(seconds=s) for s in (10, 60, 3600)]),
    min_attempts=st.integers(1, 3), min_percent=st.sampled_from([1, 50, 100]),
)  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy of a few limits and, now and then, freezes and a gate."""
    policy = policy_of(*draw(st.lists(LIMITS, max_size=4)))
    spec = attrs.evolve(
        policy.risk[0].spec,
        freeze=tuple(draw(st.lists(FREEZES, max_size=2) if draw(st.integers(0, 3)) == 0 else st.just([]))),
        success_gate=draw(st.none() | GATES),
        repair_width=RepairWidth(
            first=draw(st.integers(1, 3)), window=timedelta(seconds=draw(st.sampled_from([10, 60, 3600])))
        ),
        zone_breaker=ZoneBreaker(cooldown=timedelta(seconds=draw(st.sampled_from([0, 30, 300])))),
    )
    return Policy(risk=(attrs.evolve(policy.risk[0], spec=spec),))


POLICIES = policies()
OUTCOMES = st.builds(
    Outcome,
    ended_at=st.integers(-4000, 120).map(lambda s: START + timedelta(seconds=s)),
    succeeded=st.booleans(),
    remedier=st.sampled_from(["r", "q"]),
)
SETS = st.sampled_from([(), ("s",), ("t",), ("s", "t")])
MACHINES = st.integers(0, 7)
AGES = st.integers(0, 26 * 3600).map(lambda s: AGE - s * SECOND - s % 5) | st.integers(0, 90).map(
    lambda s: AGE - s * SECOND
)


@st.composite
def asks(draw: st.DrawFn, name: str) -> Ask:
    """Draw an ask of one of a few machines."""
    machine = draw(MACHINES)
    return ask(
        name, f"m{machine}", zone="ab"[machine % 2], sets=draw(SETS), cause=draw(st.sampled_from(Cause)),
        since=START + timedelta(seconds=draw(st.integers(0, 3))), order=draw(st.integers(0, 1)),
        waiting=draw(st.integers(0, 3)) > 0, region=draw(st.sampled_from(["", "eu"])), remedier=draw(st.sampled_from(["", "r"])), rollback=draw(st.integers(0, 4)) == 0,
    )  # fmt: skip


@st.composite
def statuses(draw: st.DrawFn) -> RiskLedgerStatus:
    """Draw a ledger that such a decider may have written, and now and then one that is lost or spoilt."""
    ages = sorted(draw(st.lists(AGES, max_size=8)))
    rows: list[Hold] = [
        attrs.evolve(
            hold(f"op{i}", f"m{i}", since=since, zone="ab"[i % 2], sets=draw(SETS)),
            joined=draw(st.sampled_from([(), (), (), (f"op{i + 8}",)])),
        )
        for i, since in enumerate(ages)
    ]
    every = [op_id for row in rows for op_id in row.op_ids]
    ended = draw(st.sets(st.sampled_from(every))) if every else set()
    status = ledger.close(RiskLedgerStatus(checkpoint=AGE, holds=tuple(rows)), ended, AGE)
    match draw(st.integers(0, 9)):
        case 0:
            return RiskLedgerStatus()
        case 1:
            return attrs.evolve(status, blind_until=AGE + draw(st.integers(-1, 24)) * HOUR + 1)
        case 2:
            return attrs.evolve(
                status, closed={**status.closed, "zone=a": draw(st.sampled_from(["", "?", "h:1=1;h:2=1"]))}
            )
        case _:
            return status


@st.composite
def reviews(draw: st.DrawFn, elapsed: int) -> tuple[Reviewed, ...]:
    """Draw what one or two reviewers said; of a Deny, until when it counts."""
    found = []
    for name in draw(st.sampled_from(["x", "xy"])):
        review: Review = draw(st.sampled_from([Allow(), Narrow(in_flight=2, reason="fair"), Deny(reason="no"), Deny(reason="late", until=START)]))  # fmt: skip
        again = elapsed + draw(st.integers(-1, 60)) * SECOND if isinstance(review, Deny) else None
        found.append(Reviewed(reviewer=name, review=review, again=again))
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> FleetSnapshot:
    """Draw a world in which limits, rooms and orphans are all near."""
    status = draw(statuses())
    asked = [draw(asks(f"op{i}")) for i in draw(st.lists(st.integers(0, 15), max_size=8, unique=True))]
    elapsed = draw(st.integers(0, 100)) * SECOND
    book = ledger_of(version="7")
    sightings = {} if draw(st.booleans()) else {"ledger:L:7": elapsed - draw(st.integers(0, 70)) * SECOND}
    for row in status.holds:
        if draw(st.booleans()):
            sightings[f"orphan:{row.op_id}"] = elapsed - draw(st.integers(0, 40)) * SECOND
    storms = tuple(sorted(draw(st.sets(st.sampled_from(["a", "b", "gone"]))))) if draw(st.booleans()) else ()
    for zone in storms:
        if draw(st.booleans()):
            sightings[f"well:{zone}"] = elapsed - draw(st.integers(0, 400)) * SECOND
    status = attrs.evolve(status, storms=storms)
    away = frozenset(f"uid-m{i}" for i in draw(st.sets(MACHINES, max_size=3)))
    return world(
        *asked,
        ledger=attrs.evolve(book, status=status),
        elapsed=elapsed,
        sightings=sightings,
        ended=frozenset(f"op{i}" for i in draw(st.sets(st.integers(0, 14), max_size=4))),
        zones={
            "a": ZoneTally(nodes=8, not_ready=draw(st.sampled_from([0, 0, 0, 6]))),
            "b": ZoneTally(nodes=8),
        },
        rooms={name: SetRoom(max_unavailable=draw(st.integers(0, 4)), unavailable=away) for name in "st"},
        up={"cluster": 16, "zone=a": 8, "zone=b": 8, "region=eu": 3, "set=s": 16, "set=t": 5},
        unavailable=away,
        held=frozenset(f"uid-m{i}" for i in draw(st.sets(MACHINES, max_size=1))),
        outcomes=tuple(draw(st.lists(OUTCOMES, max_size=6))),
        history=draw(st.booleans()),
        reviews={f"op{i}": draw(reviews(elapsed)) for i in draw(st.sets(st.integers(0, 14), max_size=3))},
    )


@given(seen=worlds(), policy=POLICIES, data=st.data())
def test_order_of_asks_does_not_matter(seen: FleetSnapshot, policy: Policy, data: st.DataObject) -> None:
    """The same input gives the same output, and so does the same input read in another order."""
    decision = decide(seen, policy)
    assert decide(seen, policy) == decision
    shuffled = attrs.evolve(
        seen,
        asks=tuple(data.draw(st.permutations(seen.asks))),
        outcomes=tuple(data.draw(st.permutations(seen.outcomes))),
    )
    assert decide(shuffled, policy) == decision


@given(seen=worlds(), policy=POLICIES)
def test_comes_to_rest(seen: FleetSnapshot, policy: Policy) -> None:
    """After its own writes were seen there is nothing more to do, and the checkpoint stays."""
    after, _ = settled(seen, policy)
    again = decide(after, policy)
    assert after.ledger is not None
    assert again.status == after.ledger.status
    assert again.effects == ()


@given(seen=worlds(), policy=POLICIES)
def test_deadlines_are_exact(seen: FleetSnapshot, policy: Policy) -> None:
    """One nanosecond before its deadline the Decision is the same; at the deadline it differs."""
    after, _ = settled(seen, policy)
    decision = decide(after, policy)
    if decision.wake_at is None:
        return
    assert decision.wake_at > after.now.elapsed
    assert decide(written(after, decision, elapsed=decision.wake_at - 1), policy) == decision
    assert decide(written(after, decision, elapsed=decision.wake_at), policy) != decision


@given(seen=worlds(), policy=POLICIES)
def test_every_grant_is_within_every_bound(seen: FleetSnapshot, policy: Policy) -> None:
    """Recounted from the wanted status, no scope of a new hold exceeds a limit, a room or a breaker."""
    assert seen.ledger is not None
    decision = decide(seen, policy)
    assert decision.status is not None
    wanted, stored = decision.status, seen.ledger.status
    before = {row.op_id for row in stored.holds} | {each.op_id for each in seen.asks if not each.waiting}
    uids = [row.machine_uid for row in wanted.holds]
    assert len(uids) == len(set(uids))
    check_joined(seen, stored, wanted)
    for row in wanted.holds:
        if row.op_id not in before and row.cause is not Cause.HUMAN:
            assert not (seen.history and stored.checkpoint == 0)
            assert "zone=a" not in row.scopes or seen.zones["a"].not_ready == 0
            check_people(row, wanted, seen, policy)
            for each in policy.limits[0].spec.limits:
                check_limit(each, row, wanted, seen)
            if row.machine_uid not in seen.unavailable:
                check_rooms(row, wanted, seen)


AUTOMATIC = (Cause.REMEDY, Cause.DRIFT)
"""What begins by itself and so has to prove itself."""


def has_rollback(scope: str, wanted: RiskLedgerStatus, seen: FleetSnapshot) -> bool:
    """Tell whether any hold of a scope is a rollback's, which no rate window binds."""
    back = {each.op_id for each in seen.asks if each.rollback}
    return any(row.op_id in back and scope in row.scopes for row in wanted.holds)


def check_joined(seen: FleetSnapshot, stored: RiskLedgerStatus, wanted: RiskLedgerStatus) -> None:
    """Check that a change joined only what this very write opens, and that what is open gains nobody and loses no moment."""
    by_op_id = {each.op_id: each for each in in_order(seen.asks)}
    rows = {row.op_id: row for row in stored.holds}
    for row in wanted.holds:
        known = rows.get(row.op_id)
        if known is not None and known.since == row.since and known.machine_uid == row.machine_uid:
            assert set(row.op_ids) <= set(known.op_ids)
            assert row.scopes == known.scopes
            continue
        for op_id in row.joined:
            other = by_op_id[op_id]
            assert (row.cause, other.cause, other.machine.uid) == (
                Cause.ROLLOUT,
                Cause.ROLLOUT,
                row.machine_uid,
            )
            assert set(other.scopes) <= set(row.scopes)


def check_people(row: Hold, wanted: RiskLedgerStatus, seen: FleetSnapshot, policy: Policy) -> None:
    """Check that a new hold lies in no frozen scope, in no gate's way, and is alone in a zone that cools down."""
    for one in policy.risk[0].spec.freeze:
        over = one.until is not None and one.until <= seen.now.wall
        whole = one.scope in (Scope.CLUSTER, Scope.FLEET)
        where = {*row.scopes, f"node={row.machine}"}
        assert over or ("cluster" if whole else f"{one.scope.value}={one.name}") not in where
    assert row.machine_uid not in seen.held
    gate = policy.risk[0].spec.success_gate
    assert row.cause not in AUTOMATIC or gate is None or shut(gate, seen.outcomes, seen.now) is None
    for zone in wanted.storms:
        if f"zone={zone}" in row.scopes:
            assert ledger.in_flight(wanted, f"zone={zone}") == 1


def check_limit(each: Limit, row: Hold, wanted: RiskLedgerStatus, seen: FleetSnapshot) -> None:
    """Recount one limit in the scopes of a new hold."""
    for scope in row.scopes:
        counted_as = Scope.CLUSTER if each.scope is Scope.FLEET else each.scope
        if scope.partition("=")[0] == counted_as.value:
            most = each.max.scaled(seen.up.get(scope, 0))
            most = max(1, most) if each.max.percent else most
            if each.window is None:
                assert ledger.in_flight(wanted, scope) <= most
            elif not has_rollback(scope, wanted, seen):
                assert ledger.usage(wanted, scope, each.window, wanted.checkpoint) <= most
                assert wanted.checkpoint >= wanted.blind_until


def check_rooms(row: Hold, wanted: RiskLedgerStatus, seen: FleetSnapshot) -> None:
    """Recount every set that selects the machine of a new hold."""
    for scope in row.scopes:
        if scope.startswith("set="):
            room = seen.rooms[scope.removeprefix("set=")]
            held = {
                other.machine_uid
                for other in wanted.holds
                if scope in other.scopes and other.machine_uid not in seen.unavailable
            }
            assert len(held) <= room.max_unavailable


@given(seen=worlds(), policy=POLICIES)
def test_every_note_of_a_refusal_has_scope_observed_limit(seen: FleetSnapshot, policy: Policy) -> None:
    """Whoever must wait is told what binds, how much of it is used, and when it frees if it does by time alone."""
    decision = decide(seen, policy)
    for note in decision.notes:
        assert note.scope
        assert note.observed is not None
        assert note.limit is not None
        assert note.observed >= note.limit
        assert note.frees_at is None or note.frees_at > seen.now.elapsed


@given(seen=worlds(), policy=POLICIES)
def test_width_is_never_wider_than_its_evidence(seen: FleetSnapshot, policy: Policy) -> None:
    """After a round no remedier that got a hold has more in flight than it has proven since it last failed, and one."""
    assert seen.ledger is not None
    decision = decide(seen, policy)
    assert decision.status is not None
    stored = {row.op_id for row in seen.ledger.status.holds}
    by_op_id = {each.op_id: each for each in in_order(seen.asks)}
    width = policy.risk[0].spec.repair_width
    for row in decision.status.holds:
        own = by_op_id.get(row.op_id)
        if own is None or row.op_id in stored or row.cause not in AUTOMATIC or not own.waiting:
            continue
        failed = [one.ended_at for one in seen.outcomes if not one.succeeded and one.remedier == own.remedier]
        proven = [
            one for one in seen.outcomes
            if one.succeeded and one.remedier == own.remedier and one.ended_at <= seen.now.wall < one.ended_at + width.window
            and all(one.ended_at > end for end in failed)
        ]  # fmt: skip
        running = [
            other for other in decision.status.holds
            if other.cause in (*AUTOMATIC, Cause.HUMAN)
            and (other.op_id not in by_op_id or by_op_id[other.op_id].remedier == own.remedier)
        ]  # fmt: skip
        assert len(running) <= width.first + len(proven)


@given(seen=worlds(), policy=POLICIES)
def test_no_hold_is_lost_and_every_refusal_is_told(seen: FleetSnapshot, policy: Policy) -> None:
    """A hold goes only with its owner's end or absence; who waits without a hold has a note."""
    assert seen.ledger is not None
    decision = decide(seen, policy)
    assert decision.status is not None
    after = {op_id for row in decision.status.holds for op_id in row.op_ids}
    asking = {each.op_id for each in seen.asks}
    for op_id in (op_id for row in seen.ledger.status.holds for op_id in row.op_ids):
        if op_id not in after:
            since = decision.sightings.get(f"orphan:{op_id}", seen.now.elapsed)
            assert op_id not in asking
            assert op_id in seen.ended or seen.now.elapsed - since >= ledger.GRACE
    # An op-id is of one machine: one that is over on another cannot be asked for again.
    elsewhere = {
        each.op_id
        for row in seen.ledger.status.holds
        for each in seen.asks
        if row.over and row.op_id == each.op_id and row.machine_uid != each.machine.uid
    }
    waiting = [
        each for each in seen.asks if each.waiting and each.op_id not in after and each.op_id not in elsewhere
    ]
    assert len(decision.notes) == len(waiting)
    assert decision.deferred == bool(waiting)
