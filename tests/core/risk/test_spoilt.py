"""A ledger that is corrupt, too large, missing, copied or from a newer format: named, with the fix, and nothing unsafe done."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import wire
from kubenode.core.model import Cause, RiskLedger, RiskLedgerStatus, Scope
from kubenode.core.risk import ledger
from kubenode.core.risk.decide import decide
from kubenode.core.risk.window import used
from tests.core.risk.builders import (
    AGE,
    FREE,
    HOUR,
    SECOND,
    ask,
    codes,
    granted,
    hold,
    ledger_of,
    limit,
    policy_of,
    world,
    written,
)

DAY = 24 * HOUR
IN_HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("rows", "path"),
    [
        ((hold("x", "m"), hold("y", "m")), "status.holds[1] has the machine of status.holds[0], m"),
        ((hold("x", "m"), hold("x", "n")), "status.holds[1] has the opID of status.holds[0], x"),
        ((hold("x", since=AGE + 1),), "status.holds[0].since is later than status.checkpoint"),
        ((hold("x"), hold("y", "n", since=-1)), "status.holds[1].since is negative"),
    ],
)
def test_a_corrupt_ledger_grants_nothing_and_names_its_row(rows: tuple[Any, ...], path: str) -> None:
    """Two rows of one machine, of one op-id, or a grant from the future; what is in it still ends, and then it serves again."""
    seen = world(
        ask("a"), *(ask(row.op_id, row.machine, waiting=False) for row in rows), ledger=ledger_of(*rows)
    )
    decision = decide(seen, FREE)
    assert seen.ledger is not None
    assert (decision.status, codes(decision)) == (seen.ledger.status, ["LedgerSpoilt"])
    assert path in decision.notes[0].text
    assert "delete the ledger: it is rebuilt" in decision.notes[0].text
    over = attrs.evolve(seen, asks=(ask("a"),), ended=frozenset(row.op_id for row in rows))
    assert granted(decide(over, FREE)) == ["a"]


def test_a_checkpoint_below_zero_grants_nothing() -> None:
    """Zero is a new ledger; less was never written, and time would seem to have gone back."""
    spoilt = attrs.evolve(ledger_of(), status=attrs.evolve(ledger_of().status, checkpoint=-1))
    decision = decide(world(ask("a"), ledger=spoilt), FREE)
    assert (granted(decision), codes(decision)) == ([], ["LedgerSpoilt"])
    assert (
        "the RiskLedger was edited: status.checkpoint is negative; mend that, or delete the ledger"
        in decision.notes[0].text
    )


def test_what_a_human_forces_goes_on_beside_a_corrupt_ledger() -> None:
    """It is recorded; only automation stops."""
    seen = world(ask("h", cause=Cause.HUMAN), ledger=ledger_of(hold("x", "m"), hold("y", "m")))
    assert "h" in granted(decide(seen, FREE))


def test_a_ledger_that_cannot_be_read_is_named_and_nothing_is_done() -> None:
    """Not even made anew: it is there, and what it held is not known."""
    for last in (None, ledger_of(hold("x"))):
        decision = decide(world(ask("a"), ledger=last, unreadable="status.holds[0].opID is missing"), FREE)
        assert (decision.status, decision.effects, codes(decision)) == (None, (), ["LedgerUnreadable"])
        assert (
            "status.holds[0].opID is missing; mend it, or delete it: it is rebuilt" in decision.notes[0].text
        )
        assert decision.deferred


@pytest.mark.parametrize(
    ("status", "path"),
    [
        ({"checkpoint": "soon"}, "status.checkpoint"),
        ({"checkpoint": 5, "closed": ["x"]}, "status.closed"),
        ({"checkpoint": 5, "epochs": {}}, "status.epochs"),
        ({"checkpoint": 1.5}, "status.checkpoint"),
    ],
)
def test_a_newer_format_or_a_wrong_type_is_left_alone(status: dict[str, Any], path: str) -> None:
    """As the lenient reader sees it: by its path, with the fix; no grant and no write."""
    raw = {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskLedger", "status": status,
        "metadata": {"name": "cluster", "uid": "L", "resourceVersion": "1"},
    }  # fmt: skip
    decision = decide(world(ask("a"), ledger=wire.read(raw, RiskLedger)), FREE)
    assert (decision.status, decision.effects, codes(decision)) == (None, (), ["NewerVersion"])
    assert path in decision.notes[0].text
    assert "delete the ledger: it is rebuilt" in decision.notes[0].text


def test_too_large_a_ledger_grants_nothing_but_can_always_be_closed() -> None:
    """It says how large, and what makes it smaller."""
    rows = tuple(hold(f"h{i}", sets=["s" * 250, "t" * 250]) for i in range(750))
    seen = world(ask("a"), *(ask(row.op_id, waiting=False) for row in rows), ledger=ledger_of(*rows))
    decision = decide(seen, FREE)
    assert codes(decision) == ["LedgerFull"]
    assert f"{ledger.size(ledger_of(*rows).status)} characters of 1000000" in decision.notes[0].text
    closing = attrs.evolve(seen, asks=(), ended=frozenset(row.op_id for row in rows))
    assert granted(decide(closing, FREE)) == []


def test_a_ledger_with_a_new_uid_is_rebuilt() -> None:
    """Copied from a backup, it tells of another object: what runs is entered, then windows count as full for a day."""
    copied = ledger_of(hold("x"), ledger_uid="L-of-before")
    policy = policy_of(limit(Scope.CLUSTER, 9), limit(Scope.ZONE, 9, IN_HOUR))
    seen = world(ask("a"), ask("x", waiting=False), ask("y", waiting=False), ledger=copied, history=False)
    first = decide(seen, policy)
    assert (granted(first), codes(first)) == (["x", "y"], ["HistoryLost"])
    assert first.status is not None
    assert (first.status.ledger_uid, first.status.blind_until) == ("L", AGE + DAY)
    seen = written(seen, first)
    assert codes(decide(written(seen, decide(seen, policy), elapsed=ledger.GRACE), policy)) == ["HistoryLost"]
    assert granted(decide(written(seen, decide(seen, policy), elapsed=DAY), policy)) == ["x", "y", "a"]


def test_a_ledger_of_its_own_uid_is_believed() -> None:
    """As is one whose writer did not say."""
    for uid in ("", "L"):
        assert granted(decide(world(ask("a"), ledger=ledger_of(ledger_uid=uid)), FREE)) == ["a"]


# --- compaction ----------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 3, 9, 10, 59, 61, 600, 3599, 3600, 40_000]), st.integers(1, 5)), max_size=120
)  # fmt: skip
WINDOWS = st.sampled_from([timedelta(seconds=s) for s in (10, 60, 61, 600, 3600, 3601, 86_400)])


@given(steps=STEPS, window=WINDOWS)
def test_a_window_never_counts_fewer_than_a_full_history_and_one_bucket_more_at_most(
    steps: list[tuple[int, int]], window: timedelta
) -> None:
    """Whatever was granted, ended and compacted, against the list of every grant there ever was."""
    status, now, history = RiskLedgerStatus(), SECOND, []
    for number, (seconds, grants) in enumerate(steps):
        now += seconds * SECOND
        rows = [hold(f"op{number}-{i}", since=now) for i in range(grants)]
        history += [now] * grants
        status = ledger.close(ledger.grant(status, rows), {row.op_id for row in rows}, now)
        status = ledger.stamped(status, now, "L")
        counted = used(ledger.counts_of(status, "cluster"), window, now)
        span = int(window.total_seconds()) * SECOND
        size = next(
            size for most, size in ((60, 10), (3600, 60), (86_400, 3600)) if window.total_seconds() <= most
        )
        assert sum(since > now - span for since in history) <= counted
        assert counted <= sum(since > now - span - size * SECOND for since in history)


@given(steps=STEPS)
def test_the_size_of_a_ledger_does_not_depend_on_the_length_of_its_history(
    steps: list[tuple[int, int]],
) -> None:
    """Each scope is one text of 93 buckets at most, however many grants have ended."""
    status, now = RiskLedgerStatus(), SECOND
    for number, (seconds, grants) in enumerate(steps * 3):
        now += seconds * SECOND
        rows = [hold(f"op{number}-{i}", since=now) for i in range(grants)]
        status = ledger.close(ledger.grant(status, rows), {row.op_id for row in rows}, now)
        status = ledger.stamped(status, now, "L")
    assert set(status.closed) <= {"cluster", "region=", "zone=a", "set=kubelet"}
    assert all(text.count("=") <= 7 + 61 + 25 and len(text) <= 2000 for text in status.closed.values())
    assert ledger.stamped(status, now + 26 * HOUR, "L").closed == {}
