"""Reviewers of permits: they veto or narrow, they never widen, and decisions follow their answers exactly."""

from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.errors import InvalidObjectError
from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import Cause
from kubenode.core.policy import Policy
from kubenode.core.review import Allow, Deny, Narrow, Review, Reviewed
from kubenode.core.risk.decide import FleetSnapshot, decide
from tests.core.risk.builders import FREE, SECOND, START, ask, codes, granted, hold, ledger_of, world, written
from tests.core.risk.test_properties import POLICIES, worlds

NOON = START + timedelta(seconds=60)


def said(review: Review, again: int | None = None, reviewer: str = "freeze") -> tuple[Reviewed, ...]:
    """Give one answer."""
    return (Reviewed(reviewer=reviewer, review=review, again=again),)


def test_what_a_reviewer_allows_is_granted_within_the_limits() -> None:
    """Allow is no more than no objection: a breaker still binds."""
    assert granted(decide(world(ask("op1"), reviews={"op1": said(Allow())}), FREE)) == ["op1"]
    down = {"a": ZoneTally(nodes=10, not_ready=9), "b": ZoneTally(nodes=10)}
    assert codes(decide(world(ask("op1"), zones=down, reviews={"op1": said(Allow())}), FREE)) == [
        "ZoneOutage"
    ]


def test_a_veto_names_the_reviewer_its_reason_and_its_end() -> None:
    """It binds like a limit, and until its time nothing changes."""
    seen = world(ask("op1"), reviews={"op1": said(Deny(reason="change freeze", until=NOON), 60 * SECOND)})
    decision = decide(seen, FREE)
    assert granted(decision) == []
    note = decision.binding
    assert note is not None
    assert note.text == "m-op1: reviewer freeze: change freeze, until 2025-03-01T00:01:00+00:00"
    assert (note.code, note.scope, note.observed, note.limit) == ("Reviewed", "reviewer freeze", 0, 0)
    assert note.frees_at == decision.wake_at == 60 * SECOND
    assert decision.deferred


def test_at_its_end_a_veto_is_asked_again_and_not_taken_for_an_allow() -> None:
    """One nanosecond before, the Decision is the same; at it, it differs, and grants nothing by itself."""
    seen = world(ask("op1"), reviews={"op1": said(Deny(reason="change freeze", until=NOON), 60 * SECOND)})
    decision = decide(seen, FREE)
    assert decide(written(seen, decision, elapsed=60 * SECOND - 1), FREE) == decision
    late = decide(written(seen, decision, elapsed=60 * SECOND), FREE)
    assert granted(late) == []
    assert late.notes[0].text.endswith("; it is asked again")
    assert late.wake_at is None


def test_a_veto_without_an_end_is_asked_again_but_frees_at_no_known_time() -> None:
    """The deadline is when to ask, which says nothing of the answer."""
    decision = decide(world(ask("op1"), reviews={"op1": said(Deny(reason="no"), 60 * SECOND)}), FREE)
    assert decision.notes[0].frees_at is None
    assert decision.wake_at == 60 * SECOND


@pytest.mark.parametrize(("most", "wanted"), [(0, []), (1, []), (2, ["op0", "op1"])])
def test_a_reviewer_may_narrow_what_is_in_flight(most: int, wanted: list[str]) -> None:
    """Counted over the cluster, with what was granted in the same round."""
    book = ledger_of(hold("op0"))
    seen = world(
        ask("op0", waiting=False), ask("op1"), ask("op2"), ledger=book,
        reviews={name: said(Narrow(in_flight=most, reason="exam week")) for name in ("op1", "op2")},
    )  # fmt: skip
    decision = decide(seen, FREE)
    assert granted(decision) == (wanted or ["op0"])
    note = decision.notes[0]
    running = len(wanted or ["op0"])
    assert note.text.endswith(f"reviewer freeze: exam week: {running} in flight, limit {most}")
    assert (note.observed, note.limit) == (running, most)


def test_of_several_objections_the_one_that_lasts_longest_is_told() -> None:
    """Whatever the order of the answers."""
    answers = (
        *said(Deny(reason="short", until=NOON), 60 * SECOND, "one"), *said(Allow(), None, "two"),
        *said(Deny(reason="long", until=NOON + timedelta(seconds=9)), 69 * SECOND, "three"),
    )  # fmt: skip
    for order in (answers, answers[::-1]):
        (note,) = decide(world(ask("op1"), reviews={"op1": order}), FREE).notes
        assert "reviewer three: long" in note.text


def test_one_refused_request_does_not_hold_up_another() -> None:
    """The next in the order of service is granted."""
    seen = world(ask("op1"), ask("op2"), reviews={"op1": said(Deny(reason="no"))})
    assert granted(decide(seen, FREE)) == ["op2"]


def test_what_a_person_forces_is_no_reviewers_business() -> None:
    """As with every other limit."""
    seen = world(ask("op1", cause=Cause.HUMAN), reviews={"op1": said(Deny(reason="no"))})
    assert granted(decide(seen, FREE)) == ["op1"]


@given(
    seen=worlds(), policy=POLICIES,
    reviews=st.dictionaries(
        st.integers(0, 14).map(lambda number: f"op{number}"),
        st.lists(
            st.builds(
                Reviewed, reviewer=st.sampled_from("xyz"), again=st.none(),
                review=st.just(Allow()) | st.builds(Narrow, in_flight=st.integers(0, 5), reason=st.just("exam week")) | st.just(Deny(reason="no")),
            ),
            max_size=3,
        ).map(tuple),
    ),
)  # fmt: skip
def test_reviewers_never_widen(
    seen: FleetSnapshot, policy: Policy, reviews: dict[str, tuple[Reviewed, ...]]
) -> None:
    """Alone, no ask is granted that would not be without them; and one that a reviewer denies is not granted."""
    for one in seen.asks:
        alone = attrs.evolve(seen, asks=(one,), reviews={})
        reviewed = attrs.evolve(alone, reviews=reviews)
        free, bound = (decide(each, policy).status for each in (alone, reviewed))
        assert free is not None
        assert bound is not None
        assert {row.op_id for row in bound.holds} <= {row.op_id for row in free.holds}
        denied = any(isinstance(answer.review, Deny) for answer in reviews.get(one.op_id, ()))
        if denied and one.waiting and one.cause is not Cause.HUMAN and seen.ledger is not None:
            new = {row.op_id for row in bound.holds} - {row.op_id for row in seen.ledger.status.holds}
            assert one.op_id not in new


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: Deny(reason="no", until=datetime(2026, 3, 2)), "until: 2026-03-02T00:00:00 has no time zone"),  # noqa: DTZ001
        (lambda: Narrow(in_flight=-1, reason="no"), "in_flight: -1 is no number of machines"),
        (lambda: Narrow(in_flight=True, reason="no"), "in_flight: True is no number of machines"),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_cannot_be_made(wrong: object, text: str) -> None:
    """The reviewer is told where it is written; and so it counts as one that raised."""
    assert callable(wrong)
    with pytest.raises(InvalidObjectError, match=text):
        wrong()
