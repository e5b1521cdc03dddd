"""Sets as a controller left them, and what a server makes of a wish."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.rollout.progress import PROGRESSING
from kubenode.core.wish.wish import Wish

START = datetime(2026, 1, 1, tzinfo=UTC)
SET = "kubelets"
FIRST = m.Revision(number=1, component="kubelet-1")
SECOND = m.Revision(number=2, component="kubelet-2")


def member(name: str, state: m.MemberState) -> m.Member:
    """Give a member of the open batch."""
    return m.Member(name=name, uid=f"uid-{name}", op_id=f"op-{name}", state=state)


def batch(*members: m.Member, number: int = 3, inspections: tuple[m.InspectionResult, ...] = ()) -> m.Batch:
    """Give an open batch."""
    return m.Batch(number=number, opened_at=START, members=members, inspections=inspections)


def owner(reason: str = "", *, rollout: Mapping[str, Any] | None = None, component: str = "kubelet-2", **status: Any) -> m.Json:  # fmt: skip
    """Give a set as it is read: at revision 2 after 1 unless the status says otherwise."""
    told = m.Condition(type=PROGRESSING, reason=reason or "RollingOut", last_transition_time=START)
    seen = {
        "phase": "Progressing", "current": FIRST, "update": SECOND, "revisions": (FIRST, SECOND),
        "conditions": (told,) if reason else (), **status,
    }  # fmt: skip
    whole = m.MachineComponentSet(
        metadata=m.ObjectMeta(name=SET, uid="uid-set"),
        spec=m.MachineComponentSetSpec(
            name="kubelet", component=component, rollout=m.Rollout(**(rollout or {}))
        ),
        status=m.MachineComponentSetStatus(**seen),
    )
    return wire.dump(whole)


def obeyed(raw: m.Json, wish: Wish) -> dict[str, Any] | None:
    """Give what a server has after the wish; None when a test of it fails, so that nothing is written."""
    after = copy.deepcopy(dict(raw))
    for step in wish.operations:
        *above, last = step["path"].removeprefix("/").split("/")
        place: Any = after
        for part in above:
            place = place[part]
        if step["op"] == "test" and place.get(last) != step["value"]:
            return None
        if step["op"] == "add":
            place[last] = step["value"]
    return after


def rollout_after(raw: m.Json, wish: Wish) -> m.Rollout:
    """Give spec.rollout after the wish."""
    after = obeyed(raw, wish)
    assert after is not None
    read = wire.read(after, m.MachineComponentSet)
    before = wire.read(raw, m.MachineComponentSet)
    assert attrs.evolve(read.spec, rollout=before.spec.rollout) == before.spec, "it changes nothing else"
    return read.spec.rollout
