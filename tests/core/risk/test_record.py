"""What the ledger keeps of closed permits: each once, with what bound it; the newest within two bounds, and how many were dropped."""

from datetime import datetime, timedelta

import attrs
import pytest

from kubenode.core.model import Cause, ObjectMeta, RiskLedgerStatus, Scope
from kubenode.core.model.risk import ACT_LIMIT, ACTS_SIZE, BY_LENGTH, LIMITS_LENGTH, Hold
from kubenode.core.policy import HUNG_TASK
from kubenode.core.risk import ledger
from kubenode.core.risk.record import Act, acts_of, joined, limits_of, recorded, split
from tests.core.risk.builders import AGE, FREE, START, ask, decide, hold, ledger_of, limit, policy_of, world

HOUR = timedelta(hours=1)
LATER = START + HOUR


def permit(name: str, limits: str = "a", **more: object) -> Hold:
    """Give an open permit with its record."""
    return attrs.evolve(hold(name), granted_at=START, by=f"for {name}", limits=limits, **more)


def closed(status: RiskLedgerStatus, *op_ids: str, at: datetime = LATER) -> RiskLedgerStatus:
    """Close some permits of a ledger and record it."""
    return recorded(status, ledger.close(status, op_ids, AGE), at)


def book(*rows: Hold, **more: object) -> RiskLedgerStatus:
    """Give a ledger with these permits."""
    return attrs.evolve(RiskLedgerStatus(checkpoint=AGE, holds=rows), **more)


def test_the_bounds_are_what_they_are() -> None:
    """With all of them full the ledger is below what etcd takes."""
    assert (ACT_LIMIT, ACTS_SIZE, LIMITS_LENGTH, BY_LENGTH) == (256, 64_000, 1024, 512)
    assert ACTS_SIZE + LIMITS_LENGTH + len("limits \n") <= 65_536


def test_a_closed_permit_is_one_line_below_what_bound_it() -> None:
    """In words that a person reads in the object, too."""
    status = closed(book(permit("x", limits="cluster: 1 in flight (p)")), "x")
    assert status.acts == (
        "limits cluster: 1 in flight (p)\n"
        "x m-x Rollout 2025-03-01T00:00:00+00:00 2025-03-01T01:00:00+00:00 for x"
    )
    assert list(acts_of(status)) == [
        Act(
            op_id="x", machine="m-x", cause="Rollout", began=START, ended=LATER, by="for x",
            limits=("cluster: 1 in flight (p)",),
        )
    ]  # fmt: skip


def test_what_is_still_open_is_not_recorded_and_nothing_twice() -> None:
    """Not even when nothing at all was closed."""
    status = book(permit("x"), permit("y"))
    assert closed(status) is not status
    assert closed(status) == status
    status = closed(status, "y")
    assert [one.op_id for one in acts_of(status)] == ["y"]
    status = closed(status, "x", "y")
    assert [one.op_id for one in acts_of(status)] == ["y", "x"]


def test_of_several_changes_under_one_permit_each_is_recorded_when_it_is_over() -> None:
    """That which opened it with what it was for, the others as what joined it."""
    status = closed(book(permit("x", joined=("y", "z"))), "x")
    assert [(one.op_id, one.by) for one in acts_of(status)] == [("x", "for x")]
    status = closed(status, "y", "z")
    assert [(one.op_id, one.by) for one in acts_of(status)] == [
        ("x", "for x"),
        ("y", "joined x"),
        ("z", "joined x"),
    ]
    assert {one.machine for one in acts_of(status)} == {"m-x"}


def test_what_bound_several_is_written_once() -> None:
    """In one round they are put together; the next round goes on below it."""
    rows = [
        permit("a", limits="one"),
        permit("b", limits="two"),
        permit("c", limits="one"),
        permit("d", limits="two"),
    ]
    status = closed(book(*rows), "a", "b", "c")
    assert [line.split(" ")[:2] for line in status.acts.splitlines()] == [
        ["limits", "one"], ["a", "m-a"], ["c", "m-c"], ["limits", "two"], ["b", "m-b"],
    ]  # fmt: skip
    status = closed(status, "d")
    assert [line.split(" ")[:2] for line in status.acts.splitlines()][-2:] == [["b", "m-b"], ["d", "m-d"]]
    assert {one.op_id: one.limits for one in acts_of(status)} == {
        "a": ("one",), "b": ("two",), "c": ("one",), "d": ("two",),
    }  # fmt: skip


def test_a_permit_of_a_version_that_kept_nothing_has_no_beginning_and_no_limits() -> None:
    """It is recorded all the same, and takes no other's limits for its own."""
    status = closed(book(permit("x"), hold("old")), "x")
    (_, act) = acts_of(closed(status, "old"))
    assert (act.op_id, act.began, act.ended, act.by, act.limits) == ("old", None, LATER, "", ())


@pytest.mark.parametrize(
    ("acts", "dropped"), [(ACT_LIMIT - 1, 0), (ACT_LIMIT, 0), (ACT_LIMIT + 1, 1), (ACT_LIMIT + 5, 5)]
)
def test_the_newest_are_kept_and_the_others_counted(acts: int, dropped: int) -> None:
    """In one round or in many; what bound the oldest that is kept is kept with it."""
    names = [f"op-{number}" for number in range(acts)]
    status = closed(book(*map(permit, names), acts_dropped=3), *names)
    assert (status.acts_dropped, [one.op_id for one in acts_of(status)]) == (3 + dropped, names[dropped:])
    assert {one.limits for one in acts_of(status)} == {("a",)}
    status = closed(attrs.evolve(status, holds=(permit("last", limits="b"),)), "last")
    assert len(list(acts_of(status))) == min(acts + 1, ACT_LIMIT)
    assert {one.op_id: one.limits for one in acts_of(status)} == {
        **dict.fromkeys(names[-ACT_LIMIT + 1 :], ("a",)),
        "last": ("b",),
    }
    assert status.acts_dropped == 3 + max(acts + 1 - ACT_LIMIT, 0)


def test_a_heading_of_which_no_act_is_left_goes() -> None:
    """And none is written twice."""
    names = [f"op-{number}" for number in range(ACT_LIMIT)]
    status = closed(book(permit("first", limits="0")), "first")
    status = closed(attrs.evolve(status, holds=tuple(map(permit, names))), *names)
    assert status.acts.splitlines()[0] == "limits a"
    assert status.acts.count("limits ") == 1
    assert status.acts_dropped == 1


def test_long_lines_are_kept_within_the_size() -> None:
    """To the character: a line more, or one character more, and the oldest goes."""
    long = permit("x", limits="y" * LIMITS_LENGTH, op_id="x")
    (heading, line) = closed(book(long), "x").acts.splitlines()
    fill = "f" * (ACTS_SIZE - (len(line) + 1) - (len(heading) + 1) - 1)
    for more, kept in ((0, True), (1, False)):
        before = book(long, acts=f"limits b\n{fill}{'f' * more}")
        after = closed(before, "x")
        assert (fill in after.acts) is kept
        assert after.acts.startswith("limits b") is kept
        assert after.acts_dropped == (not kept)
        assert [one.op_id for one in acts_of(after)] == ["x"]


def test_a_line_that_nobody_wrote_is_left_out() -> None:
    """What cannot be read of a line is None; the others are as they were."""
    text = "by hand\nlimits a; b\nx m Rollout soon - by me\n\ny m Remedy - 2025-03-01T00:00:00+00:00 "
    first, second = acts_of(RiskLedgerStatus(acts=text))
    assert first == Act(
        op_id="x", machine="m", cause="Rollout", began=None, ended=None, by="by me", limits=("a", "b")
    )
    assert (second.ended, second.by) == (START, "")


def test_what_a_hand_wrote_stays_where_it_is() -> None:
    """Whatever it is: nothing is written for it, and it goes with the oldest."""
    odd = "by hand\n\n"
    assert closed(book(permit("x"), acts=odd)).acts == odd
    assert closed(book(permit("x"), acts="by hand"), "x").acts.splitlines()[:2] == ["by hand", "limits a"]


def test_of_a_set_that_is_not_known_no_room_is_told() -> None:
    """What a person forces is granted there, too."""
    status = decide(world(ask("x", cause=Cause.HUMAN), rooms={}), FREE).status
    assert status is not None
    assert [split(one.limits) for one in status.holds] == [("cluster: 100000 in flight (p)",)]


def test_a_round_keeps_what_bound_a_grant_and_records_what_it_closes() -> None:
    """Limits, rooms and a remedier's own, at the moment of the grant; then under other limits it is closed."""
    own = attrs.evolve(
        HUNG_TASK,
        metadata=ObjectMeta(name="hung"),
        spec=attrs.evolve(HUNG_TASK.spec, limits=(limit(Scope.ZONE, 1),)),
    )
    policy = attrs.evolve(policy_of(limit(Scope.CLUSTER, 7)), remediers=(own,))
    asks = (
        ask("x", by="rollout\nof  x"),
        ask("y", sets=(), cause=Cause.REMEDY, remedier="hung", by="b" * 600),
    )
    seen = world(*asks, ledger=ledger_of())
    status = decide(seen, policy).status
    assert status is not None
    by_name = {one.op_id: one for one in status.holds}
    assert by_name["x"].by == "rollout of x"
    assert by_name["y"].by == "b" * BY_LENGTH
    assert by_name["x"].granted_at == seen.now.wall
    assert split(by_name["x"].limits) == (
        "cluster: 7 in flight (p)",
        "set kubelet: 10000 unavailable (maxUnavailable)",
    )
    assert split(by_name["y"].limits) == (
        "cluster: 7 in flight (p)",
        "remedier hung, zone a: 1 in flight (its own)",
    )
    after = decide(
        world(ledger=attrs.evolve(ledger_of(), status=status), ended=frozenset({"x"})), FREE
    ).status
    assert after is not None
    assert [(one.op_id, one.limits) for one in acts_of(after)] == [("x", split(by_name["x"].limits))]
    assert after.acts.startswith("limits cluster: 7")


def test_parts_of_a_second_are_not_kept() -> None:
    """They say nothing to people, and a server gives them back as they were."""
    seen = world(ask("x"))
    seen = attrs.evolve(seen, now=attrs.evolve(seen.now, wall=START + timedelta(microseconds=5)))
    status = decide(seen, FREE).status
    assert status is not None
    assert [one.granted_at for one in status.holds] == [START]


def test_a_permit_weighs_its_record_too() -> None:
    """So that a ledger can always be closed."""
    assert ledger.weight(permit("x", limits="1234567")) == ledger.weight(hold("x")) + 7 + len("for x")


# What binds, in words.


def test_limits_are_spelled_with_the_policy_and_the_room() -> None:
    """Each limit of those scopes once; the fleet is the cluster here; a set without known room has none."""
    policy = policy_of(
        limit(Scope.FLEET, 9), limit(Scope.ZONE, "5%"), limit(Scope.CLUSTER, 3, HOUR), limit(Scope.NODE, 1)
    )
    scopes = ("cluster", "zone=b", "set=a", "set=b", "zone=b")
    assert limits_of(scopes, policy.limits, {"a": 4, "cluster": 9}, None) == (
        "cluster: 9 in flight (p)", "cluster: 3 in 1h (p)", "zone b: 5% in flight (p)",
        "set a: 4 unavailable (maxUnavailable)",
    )  # fmt: skip


def test_the_limits_of_its_remedier_bind_an_act_too() -> None:
    """In scopes of their own, after those of policies; those of another remedier do not."""
    own = attrs.evolve(HUNG_TASK, metadata=ObjectMeta(name="hung"), spec=attrs.evolve(
        HUNG_TASK.spec, limits=(limit(Scope.ZONE, 1), limit(Scope.CLUSTER, 4, HOUR), limit(Scope.NODE, 1)),
    ))  # fmt: skip
    policy = policy_of(limit(Scope.ZONE, 2))
    theirs = ("remedier hung: 4 in 1h (its own)", "remedier hung, zone b: 1 in flight (its own)")
    assert limits_of(("cluster", "zone=b"), policy.limits, {}, own) == ("zone b: 2 in flight (p)", *theirs)
    assert limits_of(("cluster", "zone=b"), policy.limits, {}, None) == ("zone b: 2 in flight (p)",)


@pytest.mark.parametrize("texts", [(), ("one",), ("one", "two: 3 in 1h (p)")])
def test_limits_are_read_as_they_were_written(texts: tuple[str, ...]) -> None:
    """Also none."""
    assert split(joined(texts)) == texts


def test_of_very_many_limits_the_first_are_kept_and_the_others_counted() -> None:
    """To the character."""
    whole = ["x" * 510, "y" * 512]
    assert len(joined(whole)) == LIMITS_LENGTH
    assert joined(whole) == "; ".join(whole)
    assert joined([*whole, "z"]) == f"{whole[0]}; and 2 more"
    assert joined(["x" * 1025]) == "and 1 more"
    assert joined(["x" * 500, "y" * 500, "z" * 200]) == f"{'x' * 500}; {'y' * 500}; and 1 more"
