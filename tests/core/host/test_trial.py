"""The trial of a new agent: every row, every limit to the nanosecond, and what may never happen."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.host.decide import decide
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import tries
from kubenode.core.host.trial import MOST_STARTS, MOST_WATCHES, Arrival, Verdict, Watched, judged
from kubenode.core.policy import Policy
from tests.core.host.seen import SECOND, component, entry, journalled, seen
from tests.core.host.test_drift import WELL, Host, done

WITHIN = 120
OVER = WITHIN * SECOND
KEEPS, REPORTS = Arrival.KEEPS, Arrival.REPORTS
STAYS = Verdict(stays=True)
WHY = "RolledBack: it did not come up within 120 s; the host is as it was before"


def back(why: str) -> Verdict:
    """Give the verdict that it goes."""
    return Verdict(stays=False, why=why)


ROWS: list[tuple[dict[str, Any], Verdict | None]] = [
    ({"elapsed": 0}, None),
    ({"elapsed": OVER - 1}, None),
    ({"elapsed": OVER}, back("it did not come up within 120 s")),
    ({"elapsed": 0, "arrival": REPORTS}, STAYS),
    ({"elapsed": OVER, "arrival": REPORTS}, STAYS),
    ({"elapsed": 0, "arrival": REPORTS, "watches": 99, "starts": 99}, STAYS),
    ({"elapsed": OVER - 1, "arrival": KEEPS}, None),
    ({"elapsed": OVER - 1, "arrival": KEEPS, "reached": True}, None),
    ({"elapsed": OVER, "arrival": KEEPS}, STAYS),
    (
        {"elapsed": OVER, "arrival": KEEPS, "reached": True},
        back("it did not reach the API server within 120 s, and the agent before does"),
    ),
    ({"elapsed": OVER, "reached": True}, back("it did not come up within 120 s")),
    ({"elapsed": 0, "starts": 3}, None),
    ({"elapsed": 0, "starts": 4}, back("it ended 3 times before it had reported")),
    (
        {"elapsed": 0, "starts": 4, "result": "exit-code"},
        back("it ended 3 times (exit-code) before it had reported"),
    ),
    ({"elapsed": 0, "starts": 4, "arrival": KEEPS}, back("it ended 3 times before it had reported")),
    ({"elapsed": 0, "watches": 5}, None),
    ({"elapsed": 0, "watches": 6}, back("the watch over it was cut short 5 times")),
    ({"elapsed": 0, "watches": 6, "starts": 4}, back("the watch over it was cut short 5 times")),
    ({"elapsed": OVER, "starts": 4}, back("it ended 3 times before it had reported")),
]


@pytest.mark.parametrize(("found", "verdict"), ROWS)
def test_a_row(found: dict[str, Any], verdict: Verdict | None) -> None:
    """As the table says."""
    assert judged(Watched(**found), WITHIN) == verdict


def test_the_limits_are_these() -> None:
    """So the rows above are at them."""
    assert (MOST_STARTS, MOST_WATCHES) == (3, 5)
    assert judged(Watched(elapsed=10 * SECOND), 11) is None
    assert judged(Watched(elapsed=10 * SECOND), 10) == back("it did not come up within 10 s")
    assert (Watched(elapsed=0).watches, Watched(elapsed=0).starts) == (1, 0)


SEEN = st.builds(
    Watched, elapsed=st.integers(0, 2 * OVER), watches=st.integers(1, 8), starts=st.integers(0, 6),
    result=st.sampled_from(["", "signal"]), arrival=st.sampled_from([None, *Arrival]), reached=st.booleans(),
)  # fmt: skip


@given(found=SEEN, more=st.integers(0, OVER))
def test_a_trial_always_ends_and_one_that_is_silent_never_stays(found: Watched, more: int) -> None:
    """After its time there is a verdict, which more time does not change; nobody stays who said nothing."""
    verdict = judged(found, WITHIN)
    later = judged(attrs.evolve(found, elapsed=OVER + more), WITHIN)
    assert later is not None
    assert verdict is None or verdict == judged(attrs.evolve(found, elapsed=found.elapsed + more), WITHIN)
    if found.arrival is None:
        assert verdict is None or not verdict.stays
    if verdict is not None:
        assert verdict.stays is not bool(verdict.why)


# What the host decides then.

ONE = {"kubelet": entry()}
FAILED = JournalState.FAILED


def tried(*entries: JournalEntry) -> dict[str, JournalEntry]:
    """Give a journal with so many tries of the entry."""
    journal: dict[str, JournalEntry] = {}
    for one in entries:
        journal[tries(seen().machine, "kubelet", entry(), component(), journal).next_op_id] = one
    return journal


def test_what_was_rolled_back_is_told_so_and_never_tried_again() -> None:
    """By no timer either; another revision is."""
    before = m.AgentStatus(components={"kubelet": attrs.evolve(WELL, component="kubelet-1.1", revision="1")})
    journal = tried(journalled(FAILED, message=WHY))
    snapshot = seen(entries=ONE, journal=journal, before=before)
    for at in (0, 3600 * SECOND, 10**18):
        decision = decide(attrs.evolve(snapshot, now=attrs.evolve(snapshot.now, elapsed=at)), Policy())
        assert (decision.effects, decision.wake_at, decision.deferred) == ((), None, False)
        (note,) = decision.notes
        text = "it did not come up within 120 s; the host is as it was before"
        assert (note.code, note.text) == ("RolledBack", f"kubelet: not tried again; {text}")
        assert decision.status is not None
        report = decision.status.components["kubelet"]
        assert (report.reason, report.message) == ("RolledBack", text)
        assert (report.component, report.revision, report.drifting) == ("kubelet-1.1", "2", False)
    (effect,) = decide(seen(entries={"kubelet": entry(revision="3")}, journal=journal), Policy()).effects
    assert isinstance(effect, RunSteps)


@pytest.mark.parametrize(
    "one",
    [
        journalled(FAILED, message="step 1 of 1, upgrade: RolledBack: no"),
        journalled(FAILED, message="RolledBack"),
        journalled(JournalState.STARTED, "boot-0", message=WHY),
    ],
)
def test_any_other_end_is_tried_again(one: JournalEntry) -> None:
    """A failure that only speaks of it, and what a reboot cut short."""
    assert decide(seen(entries=ONE, journal=tried(one)), Policy()).wake_at is not None


def test_it_was_never_there_so_it_does_not_drift() -> None:
    """The old agent is the whole one, whatever stands there now."""
    before = m.AgentStatus(components={"kubelet": attrs.evolve(WELL, reason="RolledBack")})
    status = decide(
        seen(entries=ONE, journal=tried(journalled(FAILED, message=WHY)), before=before), Policy()
    ).status
    assert status is not None
    assert not status.components["kubelet"].drifting


def test_a_repair_that_was_rolled_back_is_not_begun_again() -> None:
    """Three an hour would be a loop as well."""
    host = Host()
    host.spoil()
    host.turn()
    host.journal[done(host.journal).next_op_id] = journalled(FAILED, message=WHY)
    host.until(3 * 3600 * SECOND)
    assert host.ran == []
    assert (host.report().reason, host.report().drifting) == ("RepairFailed", True)
    decision = decide(host.snapshot(), Policy())
    assert [note.code for note in decision.notes] == ["RolledBack"]
    assert decision.effects == ()
