"""What a person wishes of a rollout: pause, resume, approve, skip, undo. Words in the spec of its set.

A word that lets something pass names the revision, and how much of it, as the status shows it: so it excuses
nothing that its author has not seen.
"""

from collections.abc import Sequence
from typing import Any

from kubenode.core import wire
from kubenode.core.model.batch import MemberState
from kubenode.core.model.componentset import (
    SKIP_LIMIT,
    Approval,
    Approve,
    Excuse,
    InspectAgain,
    MachineComponentSet,
    Revision,
    Skip,
)
from kubenode.core.model.condition import find
from kubenode.core.model.inspection import InspectionState
from kubenode.core.model.meta import HOLD_LABEL, Json, ref
from kubenode.core.rollout.progress import PROGRESSING, Phase, Reason
from kubenode.core.rollout.revision import excused
from kubenode.core.wish.wish import Unwished, Wish, swapped

_HOOKS = frozenset({Reason.INSPECTION_FAILED.value, Reason.HOOK_INCONCLUSIVE.value})
_BEGAN = frozenset({MemberState.STARTED, MemberState.UPDATED, MemberState.FAILED})
_OTHERS: dict[str, str] = {
    Reason.INSPECTION_INCONCLUSIVE.value: "machines that it updated are not available; it goes on when they are",
    Reason.CONTROL_GROUP_WORSE.value: "updated machines are worse than the others; correct spec.rollout.inspection.controlGroup",
    Reason.CONTROL_GROUP_TOO_SMALL.value: "the control group is too small; set spec.rollout.inspection.controlGroup.inconclusive: Continue",
    Reason.HELD.value: f"take the label {HOLD_LABEL} away from those machines, or skip them",
    Reason.PARTITION.value: "lower spec.rollout.partition",
    Reason.COMPONENT_MISSING.value: "create the MachineComponent that spec.component names",
    Reason.PLUGIN_MISSING.value: "install the plugin that a hook names; kubenode plugins lists them",
    Reason.PARAMETERS_INVALID.value: "correct the parameters of the hook that its condition names",
    Reason.NEWER_VERSION.value: "upgrade kubenode",
}
"""What else may stop a rollout, and what to do about it: no word of `resume` does it."""


def pause(raw: Json) -> Wish:
    """Let nobody start and no batch open; what began goes on."""
    owner = _read(raw)
    began = _begun(owner)
    on = f"; {began} that began go on to their end" if began else ""
    return Wish(
        object=ref(owner), operations=_said(raw, "paused", True), did="paused",
        next=f"no machine starts and no batch opens{on}; then: kubenode rollout resume {owner.metadata.name}",
    )  # fmt: skip


def resume(raw: Json) -> Wish:
    """Let it go on: no longer paused, failures so far excused, hooks that did not pass asked again.

    Raises:
        Unwished: it stands still for something that is no word of the spec, or does not stand still.
    """
    owner = _read(raw)
    name, reason = owner.metadata.name, reason_of(owner)
    words: dict[str, Any] = {}
    did: list[str] = []
    if owner.spec.rollout.paused:
        words["paused"] = False
        did.append("no longer paused")
    failing = excuse_of(owner)
    if failing is not None:
        words["excuse"] = wire.dump_part(failing)
        did.append(f"{_count(failing.failures, 'failure')} of revision {failing.revision} excused")
    if reason in _HOOKS and (again := _again(owner)) is not None:
        words["inspectAgain"] = wire.dump_part(again)
        did.append(f"hooks of batch {again.batch} asked again")
    if not words:
        if reason == Reason.AWAITING_APPROVAL.value:
            raise Unwished(f"rollout {name}", "waits for approval", f"kubenode rollout approve {name}")
        if reason in _OTHERS:
            raise Unwished(f"rollout {name}", f"stands still, {reason}", _OTHERS[reason])
        raise Unwished(
            f"rollout {name}", "is not paused", f"kubenode rollout status {name} says what it waits for"
        )
    return Wish(
        object=ref(owner), operations=_said_all(raw, words), did=", ".join(did),
        next="members and batches go on as maxUnavailable and permits allow",
    )  # fmt: skip


def approve(raw: Json, batch: int | None = None) -> Wish:
    """Let the batch after this one follow.

    Args:
        raw: the set.
        batch: up to which; None is the one that waits for it.

    Raises:
        Unwished: nothing is to be approved.
    """
    owner = _read(raw)
    name, update, status = owner.metadata.name, owner.status.update, owner.status
    if owner.spec.rollout.approval is not Approval.MANUAL:
        raise Unwished(
            f"rollout {name}", "needs no approval", "set spec.rollout.approval: Manual, if it shall"
        )
    if update is None or status.batch is None:
        raise Unwished(f"rollout {name}", "has no open batch")
    if batch is None and reason_of(owner) != Reason.AWAITING_APPROVAL.value:
        what = f"batch {status.batch.number} does not wait for approval yet"
        fix = f"kubenode rollout approve {name} --batch {status.batch.number} approves it before"
        raise Unwished(f"rollout {name}", what, fix)
    number = status.batch.number if batch is None else batch
    word, given = Approve(revision=str(update.number), batch=number), owner.spec.rollout.approve
    if given is not None and given.revision == word.revision and given.batch >= number:
        return Wish(
            object=ref(owner),
            did=f"batch {given.batch} of revision {given.revision} is approved already",
        )
    return Wish(
        object=ref(owner), operations=_said(raw, "approve", wire.dump_part(word)),
        did=f"batches up to {number} of revision {update.number} approved",
        next=f"batch {number + 1} follows when batch {number} is done",
    )  # fmt: skip


def skip(raw: Json, machines: Sequence[str]) -> Wish:
    """Let the update revision leave some machines alone, beside those it leaves alone already.

    Raises:
        Unwished: there is no revision, or they are too many.
    """
    owner = _read(raw)
    name, update, word = owner.metadata.name, owner.status.update, owner.spec.rollout.skip
    if update is None:
        raise Unwished(f"rollout {name}", "has no revision yet", "wait until the controller has looked at it")
    revision = str(update.number)
    before = word.machines if word is not None and word.revision == revision else ()
    every = tuple(dict.fromkeys((*before, *machines)))
    if len(every) > SKIP_LIMIT:
        fix = f"label them {HOLD_LABEL}, or take them out of spec.selector"
        raise Unwished(f"rollout {name}", f"{len(every)} machines are more than {SKIP_LIMIT}", fix)
    members = owner.status.batch.members if owner.status.batch is not None else ()
    late = [one.name for one in members if one.name in machines and one.state in _BEGAN]
    then = f"revision {revision} does not touch them"
    return Wish(
        object=ref(owner), operations=_said(raw, "skip", wire.dump_part(Skip(revision=revision, machines=every))),
        did=f"revision {revision} skips {', '.join(every)}",
        next=f"{', '.join(late)} began already and comes to its own end; {then} otherwise" if late else then,
    )  # fmt: skip


def undo(raw: Json, to_revision: int | None = None) -> Wish:
    """Set the component back: to the one that was last everywhere, or to that of an earlier revision.

    Raises:
        Unwished: there is nothing to go back to.
    """
    owner = _read(raw)
    name = owner.metadata.name
    target = _target(owner, to_revision)
    if target.component == owner.spec.component:
        return Wish(object=ref(owner), did=f"spec.component is {target.component} already")
    current = owner.status.current
    back = current is not None and current.component == target.component
    how = (
        "a rollback: it waits for no rate window and no inspection, but for maxUnavailable and permits in flight"
        if back
        else "a rollout as any other, since that component is not the last complete one"
    )
    return Wish(
        object=ref(owner), operations=swapped(raw, ("spec", "component"), target.component),
        did=f"spec.component is {target.component} (revision {target.number}), no longer {owner.spec.component}",
        next=f"a new revision begins, {how}; kubenode rollout status {name} --watch",
    )  # fmt: skip


def _target(owner: MachineComponentSet, number: int | None) -> Revision:
    name, status = owner.metadata.name, owner.status
    if number is not None:
        found = next((one for one in status.revisions if one.number == number), None)
        if found is None:
            known = ", ".join(f"{one.number} ({one.component})" for one in status.revisions) or "none"
            raise Unwished(f"rollout {name}", f"remembers no revision {number}", f"known: {known}")
        return found
    current = status.current
    if current is not None and current.component != owner.spec.component:
        return current
    before = [one for one in status.revisions if one.component != owner.spec.component]
    if not before:
        raise Unwished(f"rollout {name}", "has run nothing else", "set spec.component yourself")
    return before[-1]


def _read(raw: Json) -> MachineComponentSet:
    return wire.read(raw, MachineComponentSet)


def reason_of(owner: MachineComponentSet) -> str:
    """Give why it is where it is, as its condition says; empty when nobody has said so yet."""
    condition = find(owner.status.conditions, PROGRESSING)
    return "" if condition is None else condition.reason


def excuse_of(owner: MachineComponentSet) -> Excuse | None:
    """Give the word that excuses all failures so far; None when those that count stop nothing."""
    update, failures = owner.status.update, owner.status.failures
    if update is None or owner.status.phase == Phase.COMPLETE.value:
        return None
    if failures - excused(owner, owner.status) <= owner.spec.rollout.failure_threshold:
        return None
    return Excuse(revision=str(update.number), failures=failures)


def _again(owner: MachineComponentSet) -> InspectAgain | None:
    update, batch, word = owner.status.update, owner.status.batch, owner.spec.rollout.inspect_again
    if update is None or batch is None:
        return None
    if all(one.state is InspectionState.PASSED for one in batch.inspections):
        return None
    same = word is not None and (word.revision, word.batch) == (str(update.number), batch.number)
    count = word.count + 1 if word is not None and same else 1
    return InspectAgain(revision=str(update.number), batch=batch.number, count=count)


def _said(raw: Json, word: str, value: Any) -> tuple[Any, ...]:
    return _said_all(raw, {word: value})


def _said_all(raw: Json, words: dict[str, Any]) -> tuple[Any, ...]:
    """Change words of spec.rollout, all of which is tested: what somebody else said meanwhile is not lost."""
    before = raw["spec"].get("rollout", {})
    return swapped(raw, ("spec", "rollout"), {**before, **words})


def _begun(owner: MachineComponentSet) -> int:
    batch = owner.status.batch
    return 0 if batch is None else sum(one.state is MemberState.STARTED for one in batch.members)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
