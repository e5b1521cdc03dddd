"""Words to a rollout: what each one writes, and when it is refused, by table."""

from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.componentset import SKIP_LIMIT
from kubenode.core.model.inspection import InspectionResult, InspectionState
from kubenode.core.wish.rollout import _OTHERS, approve, excuse_of, pause, reason_of, resume, skip, undo
from kubenode.core.wish.wish import Unwished
from tests.core.wish.said import FIRST, SECOND, START, batch, member, obeyed, owner, rollout_after

WAITING, STARTED, UPDATED = m.MemberState.WAITING, m.MemberState.STARTED, m.MemberState.UPDATED
THIRD = m.Revision(number=3, component="kubelet-3")


def refused(wish: Any, *words: Any) -> tuple[str, str]:
    """Give what a refusal says and what helps."""
    with pytest.raises(Unwished) as caught:
        wish(*words)
    return str(caught.value), caught.value.fix


def hooks(*states: InspectionState) -> tuple[InspectionResult, ...]:
    """Give the answers of hooks."""
    return tuple(
        InspectionResult(name=f"h{i}", state=state, since=START, of="x") for i, state in enumerate(states)
    )


@pytest.mark.parametrize(
    ("members", "began"),
    [((), False), ((member("a", WAITING), member("b", UPDATED)), False), ((member("a", STARTED),), True)],
)
def test_pause(members: tuple[m.Member, ...], began: bool) -> None:
    """It is said how many go on to their end; a second one is no change."""
    raw = owner(batch=batch(*members) if members else None)
    wish = pause(raw)
    assert rollout_after(raw, wish) == m.Rollout(paused=True)
    assert ("1 that began go on to their end" in wish.next) == began
    after = obeyed(raw, wish)
    assert after is not None
    assert not pause(after).changes


def test_a_word_keeps_the_others() -> None:
    """Also where spec.rollout is not there, and where somebody wrote something else."""
    raw = owner(rollout={"failure_threshold": 7})
    assert rollout_after(raw, pause(raw)) == m.Rollout(failure_threshold=7, paused=True)
    bare = {**raw, "spec": {key: value for key, value in raw["spec"].items() if key != "rollout"}}
    assert rollout_after(bare, pause(bare)) == m.Rollout(paused=True)


@pytest.mark.parametrize(
    ("raw", "words", "did"),
    [
        (owner("Paused", rollout={"paused": True}), {}, "no longer paused"),
        (owner("FailureThreshold", failures=1), {"excuse": m.Excuse(revision="2", failures=1)}, "1 failure of revision 2 excused"),
        (
            owner("Paused", rollout={"paused": True}, failures=3),
            {"excuse": m.Excuse(revision="2", failures=3)}, "no longer paused, 3 failures of revision 2 excused",
        ),
        (
            owner("InspectionFailed", batch=batch(inspections=hooks(InspectionState.FAILED))),
            {"inspect_again": m.InspectAgain(revision="2", batch=3, count=1)}, "hooks of batch 3 asked again",
        ),
        (
            owner("HookInconclusive", batch=batch(inspections=hooks(InspectionState.PASSED, InspectionState.INCONCLUSIVE)),
                  rollout={"inspect_again": m.InspectAgain(revision="2", batch=3, count=4)}),
            {"inspect_again": m.InspectAgain(revision="2", batch=3, count=5)}, "hooks of batch 3 asked again",
        ),
        (
            owner("HookInconclusive", batch=batch(inspections=hooks(InspectionState.INCONCLUSIVE)),
                  rollout={"inspect_again": m.InspectAgain(revision="1", batch=3, count=4)}),
            {"inspect_again": m.InspectAgain(revision="2", batch=3, count=1)}, "hooks of batch 3 asked again",
        ),
    ],
)  # fmt: skip
def test_resume_excuses_what_was_seen_and_no_more(raw: m.Json, words: dict[str, Any], did: str) -> None:
    """Each word names the revision of the status, and how much of it."""
    wish = resume(raw)
    assert (rollout_after(raw, wish), wish.did) == (m.Rollout(**words), did)


@pytest.mark.parametrize("reason", sorted(_OTHERS))
def test_resume_says_what_helps_where_no_word_does(reason: str) -> None:
    """It stands still for something that is no word of the spec."""
    said, fix = refused(resume, owner(reason))
    assert (said.endswith(f"stands still, {reason}"), fix) == (True, _OTHERS[reason])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (owner("AwaitingApproval"), "waits for approval"),
        (owner("RollingOut"), "is not paused"),
        (owner(), "is not paused"),
        (owner("InspectionFailed", batch=batch(inspections=hooks(InspectionState.PASSED))), "is not paused"),
        (owner("InspectionFailed"), "is not paused"),
        (owner("InspectionFailed", update=None), "is not paused"),
    ],
)
def test_resume_of_what_does_not_stand_still(raw: m.Json, said: str) -> None:
    """Nothing is written that has nothing to say."""
    assert refused(resume, raw)[0].endswith(said)


@pytest.mark.parametrize(
    ("rollout", "status", "excuses"),
    [
        ({}, {"failures": 0}, None),
        ({}, {"failures": 1}, 1),
        ({"failure_threshold": 1}, {"failures": 1}, None),
        ({"failure_threshold": 1}, {"failures": 2}, 2),
        ({"excuse": m.Excuse(revision="2", failures=2)}, {"failures": 2}, None),
        ({"excuse": m.Excuse(revision="2", failures=2)}, {"failures": 3}, 3),
        ({"excuse": m.Excuse(revision="1", failures=9)}, {"failures": 1}, 1),
        ({}, {"failures": 1, "update": None}, None),
        ({}, {"failures": 1, "phase": "Complete"}, None),
    ],
)
def test_excuse(rollout: dict[str, Any], status: dict[str, Any], excuses: int | None) -> None:
    """Those that stop something, of this revision, that no word excuses already."""
    found = excuse_of(wire.read(owner(rollout=rollout, **status), m.MachineComponentSet))
    assert found == (None if excuses is None else m.Excuse(revision="2", failures=excuses))


def test_reason_of_a_set_that_nobody_looked_at() -> None:
    """Empty, which no reason is."""
    told = [reason_of(wire.read(raw, m.MachineComponentSet)) for raw in (owner(), owner("Held"))]
    assert told == ["", "Held"]


@pytest.mark.parametrize(
    ("given", "number", "wanted"),
    [(None, None, 3), (None, 5, 5), ((2, 2), None, 3), ((1, 9), None, 3), ((2, 3), None, None), ((2, 7), 5, None)],
)  # fmt: skip
def test_approve(given: tuple[int, int] | None, number: int | None, wanted: int | None) -> None:
    """The open batch, or up to a number; approved already of this revision is no change."""
    before = None if given is None else m.Approve(revision=str(given[0]), batch=given[1])
    rollout = {"approval": m.Approval.MANUAL, "approve": before}
    raw = owner("AwaitingApproval", rollout=rollout, batch=batch())
    wish = approve(raw, number)
    assert wish.changes == (wanted is not None)
    after = before if wanted is None else m.Approve(revision="2", batch=wanted)
    assert rollout_after(raw, wish).approve == after


@pytest.mark.parametrize(
    ("raw", "said", "fix"),
    [
        (owner("AwaitingApproval", batch=batch()), "needs no approval", "spec.rollout.approval: Manual"),
        (owner(rollout={"approval": m.Approval.MANUAL}), "has no open batch", ""),
        (owner(rollout={"approval": m.Approval.MANUAL}, update=None, batch=batch()), "has no open batch", ""),
        (owner("RollingOut", rollout={"approval": m.Approval.MANUAL}, batch=batch()), "does not wait for approval yet", "--batch 3"),
    ],
)  # fmt: skip
def test_approve_without_need(raw: m.Json, said: str, fix: str) -> None:
    """Refused with what would do it."""
    told = refused(approve, raw)
    assert told[0].endswith(said)
    assert fix in told[1]


def test_approve_ahead_needs_no_waiting_batch() -> None:
    """By number, while the batch is at work."""
    raw = owner("RollingOut", rollout={"approval": m.Approval.MANUAL}, batch=batch())
    assert rollout_after(raw, approve(raw, 3)).approve == m.Approve(revision="2", batch=3)


@pytest.mark.parametrize(
    ("before", "machines", "after"),
    [
        (None, ("a",), ("a",)),
        (("2", ("b",)), ("a", "b"), ("b", "a")),
        (("1", ("b",)), ("a", "a"), ("a",)),
    ],
)
def test_skip(before: Any, machines: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Words of one revision add up, each machine once; those of another revision are over."""
    word = None if before is None else m.Skip(revision=before[0], machines=before[1])
    raw = owner(rollout={"skip": word})
    wish = skip(raw, machines)
    assert rollout_after(raw, wish).skip == m.Skip(revision="2", machines=after)
    assert wish.next == "revision 2 does not touch them"


def test_skip_says_who_began_already() -> None:
    """What waits is skipped; what began comes to its end."""
    raw = owner(batch=batch(*(member(name, state) for name, state in zip("abc", (WAITING, STARTED, STARTED), strict=True))))  # fmt: skip
    assert skip(raw, ("a", "b")).next.startswith("b began already")


def test_a_member_in_a_state_of_a_newer_version_has_not_begun() -> None:
    """As the reader keeps it: a text that no state here has."""
    raw = owner(batch=batch(member("n1", STARTED)))
    raw["status"]["batch"]["members"][0]["state"] = "Draining"
    assert "began" not in pause(raw).next
    assert "began" not in skip(raw, ["n1"]).next


def test_skip_of_none_or_too_many() -> None:
    """Without a revision there is nothing to skip; the word is bounded, with what stands already."""
    assert refused(skip, owner(update=None), ("a",))[0].endswith("has no revision yet")
    names = tuple(f"n{i}" for i in range(SKIP_LIMIT))
    full = owner(rollout={"skip": m.Skip(revision="2", machines=names)})
    assert not skip(full, ("n1",)).changes
    assert f"{SKIP_LIMIT + 1} machines are more than" in refused(skip, full, ("more",))[0]


@pytest.mark.parametrize(
    ("raw", "number", "component", "rollback"),
    [
        (owner(), None, "kubelet-1", True),
        (owner(current=SECOND), None, "kubelet-1", False),
        (owner(current=None), None, "kubelet-1", False),
        (owner(current=THIRD, update=THIRD, revisions=(FIRST, SECOND, THIRD), component="kubelet-3"), None, "kubelet-2", False),
        (owner(), 1, "kubelet-1", True),
        (owner(current=THIRD, update=THIRD, revisions=(FIRST, SECOND, THIRD), component="kubelet-3"), 1, "kubelet-1", False),
        (owner(), 2, None, False),
    ],
)  # fmt: skip
def test_undo(raw: m.Json, number: int | None, component: str | None, rollback: bool) -> None:
    """To what was last everywhere; after that is complete to the one before; or by number, which may be no change."""
    wish = undo(raw, number)
    after = obeyed(raw, wish)
    assert after is not None
    assert after["spec"] == {**raw["spec"], "component": component or raw["spec"]["component"]}
    assert wish.changes == (component is not None)
    assert ("a rollback" in wish.next) == rollback


@pytest.mark.parametrize(
    ("raw", "number", "said", "fix"),
    [
        (owner(), 9, "remembers no revision 9", "known: 1 (kubelet-1), 2 (kubelet-2)"),
        (owner(revisions=()), 1, "remembers no revision 1", "known: none"),
        (owner(current=SECOND, revisions=(SECOND,)), None, "has run nothing else", "set spec.component yourself"),
    ],
)  # fmt: skip
def test_undo_without_a_way_back(raw: m.Json, number: int | None, said: str, fix: str) -> None:
    """Refused, with the revisions that are known."""
    assert refused(undo, raw, number) == (f"rollout kubelets: {said}", fix)
