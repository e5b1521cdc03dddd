"""Evidence-based width: how many remedies of one remedier may be in flight."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.decision import Note
from kubenode.core.model import Cause, RepairWidth, Scope
from kubenode.core.policy import BUILT_IN, Policy
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.decide import decide
from kubenode.core.risk.success import Outcome
from kubenode.core.risk.width import evidence, narrow
from tests.core.risk.builders import (
    FREE,
    HOUR,
    SECOND,
    START,
    ask,
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

DAY = RepairWidth()
OUTCOMES = st.lists(
    st.builds(
        Outcome, ended_at=st.integers(-90_000, 90).map(lambda s: START + timedelta(seconds=s)),
        succeeded=st.booleans(), remedier=st.sampled_from(["r", "q"]),
    ),
    max_size=8,
)  # fmt: skip
WIDTHS = st.builds(
    RepairWidth,
    first=st.integers(1, 3),
    window=st.sampled_from([timedelta(seconds=s) for s in (10, 60, 86_400)]),
)


def remedy(name: str, remedier: str = "r", **changes: object) -> Ask:
    """Make an ask of a remedy."""
    return ask(name, cause=Cause.REMEDY, remedier=remedier, **changes)


def ended(ago: int, succeeded: bool, remedier: str = "r") -> Outcome:
    """Make a remedy that ended so many seconds ago."""
    return Outcome(ended_at=START - timedelta(seconds=ago), succeeded=succeeded, remedier=remedier)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], 1),
        ([ended(9, True)], 2),
        ([ended(9, True), ended(8, True), ended(7, True)], 4),
        ([ended(9, True), ended(8, False)], 1),
        ([ended(9, True), ended(8, False), ended(7, True)], 2),
        ([ended(9, True), ended(9, False)], 1),
        ([ended(9, True, "q"), ended(8, False, "q")], 1),
        ([ended(9, True), ended(8, False, "q")], 2),
        ([ended(86_400, True)], 1),
        ([ended(86_399, True)], 2),
        ([ended(-5, True)], 1),
    ],
)
def test_width_grows_only_after_proven_repairs(outcomes: list[Outcome], expected: int) -> None:
    """One without evidence; one more a repair proven within the window since that remedier last failed."""
    asks = [remedy(f"a{i}") for i in range(6)]
    decision = decide(world(*asks, outcomes=tuple(outcomes)), FREE)
    assert len(granted(decision)) == expected
    assert set(codes(decision)) == {"Unproven"}


def test_note_says_what_is_proven() -> None:
    """Remedier, in flight and limit; a proven repair that leaves its window changes the note, and frees nothing."""
    seen = world(*(remedy(f"a{i}") for i in range(3)), outcomes=(ended(86_390, True),))
    decision = decide(seen, FREE)
    (note,) = decision.notes
    text = "m-a2: remedier r: 2 in flight, limit 2; 1 proven within 24h since it last failed"
    assert note == Note(code="Unproven", text=text, scope="remedier r", observed=2, limit=2)
    assert decision.wake_at == 10 * SECOND
    later = decide(written(seen, decision, elapsed=10 * SECOND), FREE)
    assert (later.notes[0].observed, later.notes[0].limit) == (2, 1)


def test_each_remedier_has_its_own_evidence() -> None:
    """What one has proven says nothing of another; rollouts have none to show."""
    asks = [remedy("a"), remedy("b"), remedy("c", "q"), remedy("d", "q"), ask("e"), ask("f")]
    assert granted(decide(world(*asks), FREE)) == ["a", "c", "e", "f"]


def test_what_nobody_owns_counts_for_every_remedier() -> None:
    """A remedy's permit without a job to it may be anyone's, so it narrows all."""
    lost = attrs.evolve(hold("x"), cause=Cause.REMEDY)
    decision = decide(world(remedy("a"), remedy("c", "q"), ledger=ledger_of(lost)), FREE)
    assert (granted(decision), codes(decision)) == (["x"], ["Unproven", "Unproven"])


def test_what_a_person_forces_narrows_automation() -> None:
    """A forced remedy is no evidence, but it is in flight."""
    forced = ask("a", cause=Cause.HUMAN, remedier="r")
    decision = decide(world(forced, remedy("b")), FREE)
    assert (granted(decision), codes(decision)) == (["a"], ["Unproven"])


def test_repairs_of_drift_have_to_prove_themselves_too_each_component_by_its_own() -> None:
    """A component that is wrong drifts on every machine at once; what proves a remedier proves no component."""

    def drift(name: str, component: str) -> Ask:
        return ask(name, cause=Cause.DRIFT, remedier=f"drift/{component}")

    asks = [drift("a", "net"), drift("b", "net"), drift("c", "net"), drift("d", "cni"), remedy("e")]
    assert granted(decide(world(*asks), FREE)) == ["e", "a", "d"]
    proven = (ended(9, True, "drift/net"), ended(9, True))
    assert granted(decide(world(*asks, outcomes=proven), FREE)) == ["e", "a", "b", "d"]


def test_never_wider_than_the_limits_in_flight() -> None:
    """However much is proven, other limits bind beside it."""
    proven = tuple(ended(i, True) for i in range(1, 9))
    asks = [remedy(f"a{i}") for i in range(6)]
    assert len(granted(decide(world(*asks, outcomes=proven), policy_of(limit(Scope.CLUSTER, 2))))) == 2


def test_of_several_policies_the_narrowest_width_binds() -> None:
    """Every policy must allow; the built-in one begins with one."""
    spec = attrs.evolve(FREE.risk[0].spec, repair_width=RepairWidth(first=3))
    wide = attrs.evolve(FREE.risk[0], spec=spec)
    asks = [remedy(f"a{i}") for i in range(6)]
    assert len(granted(decide(world(*asks), Policy(risk=(wide,))))) == 3
    assert len(granted(decide(world(*asks), Policy(risk=(wide, *FREE.risk))))) == 1
    assert BUILT_IN.spec.repair_width == DAY == RepairWidth(first=1, window=timedelta(hours=24))


@given(outcomes=OUTCOMES, width=WIDTHS, ago=st.integers(0, 100))
def test_a_failure_never_widens_and_a_proven_repair_never_narrows(
    outcomes: list[Outcome], width: RepairWidth, ago: int
) -> None:
    """Whatever was before; and it is never below the first."""
    now = now_at(0)
    known = evidence(width, "r", outcomes, now).at(0)
    assert known >= width.first
    assert evidence(width, "r", [*outcomes, ended(ago, False)], now).at(0) <= known
    assert evidence(width, "r", [*outcomes, ended(ago, True)], now).at(0) >= known
    assert evidence(width, "r", [*outcomes, ended(ago, False, "z")], now).at(0) == known


@given(outcomes=OUTCOMES, width=WIDTHS)
def test_a_failure_now_takes_it_back_to_the_first(outcomes: list[Outcome], width: RepairWidth) -> None:
    """What was proven before it counts no more, but for stamps that lie ahead, which do not count yet."""
    assert evidence(width, "r", [*outcomes, ended(0, False)], now_at(0)).at(0) == width.first


@given(
    outcomes=OUTCOMES, width=WIDTHS, running=st.integers(0, 5), later=st.integers(0, 2 * 24 * 3600), data=st.data()
)  # fmt: skip
def test_it_is_a_function_of_stored_jobs(
    outcomes: list[Outcome], width: RepairWidth, running: int, later: int, data: st.DataObject
) -> None:
    """No order, no memory: two processes with other elapsed times agree, and each deadline is exact."""
    now = now_at(0)
    answer = narrow(evidence(width, "r", outcomes, now), "r", running, now)
    shuffled = data.draw(st.permutations(outcomes))
    assert narrow(evidence(width, "r", shuffled, now), "r", running, now) == answer
    moved = attrs.evolve(now, elapsed=7 * HOUR)
    other = narrow(evidence(width, "r", outcomes, moved), "r", running, moved)
    assert (other is None) == (answer is None)
    if answer is None or other is None:
        return
    assert other.note.text == answer.note.text
    if answer.changes_at is None:
        then = now_at(later * SECOND)
        assert narrow(evidence(width, "r", outcomes, then), "r", running, then) == answer
        return
    before, at = now_at(answer.changes_at - 1), now_at(answer.changes_at)
    assert narrow(evidence(width, "r", outcomes, before), "r", running, before) == answer
    assert narrow(evidence(width, "r", outcomes, at), "r", running, at) != answer
    if answer.note.frees_at is not None:
        at = now_at(answer.note.frees_at)
        assert narrow(evidence(width, "r", outcomes, at), "r", running, at) is None
