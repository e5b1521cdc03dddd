"""Why something is decided as it is, and by how little the world would have to differ for it to act.

A counterfactual is never only worded: each change is made to the snapshot and decided anew, so that what is
said to act acts, and where it would still not, what binds then is said. Called by people and by
`kubenode explain`; nothing is done.
"""

from datetime import datetime, timedelta
from typing import Any, Generic

import attrs

from kubenode.core.deciding import decide
from kubenode.core.decision import Decision, Note, Verdict
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.levers import fleet, remedy, rollout
from kubenode.core.levers.change import Change, S, waited
from kubenode.core.levers.machine import change_of_machine, change_of_set
from kubenode.core.model.quantity import format_duration
from kubenode.core.policy import Policy
from kubenode.core.risk.asks import Ask, in_order
from kubenode.core.snapshots import (
    FleetSnapshot,
    MachineSetSnapshot,
    MachineSnapshot,
    RemedySnapshot,
    RolloutSnapshot,
    Snapshot,
)

CHANGE_LIMIT = 8
"""Most changes that one counterfactual makes."""


@attrs.frozen(kw_only=True)
class Explanation:
    """Why.

    Attributes:
        verdict: the Decision in one word; of a fleet, what becomes of the one ask that is meant.
        note: what decides: the binding one, else the first; None when there is none.
        frees_at: when that frees by itself, by the wall clock; None when it does not by time alone.
        counterfactual: `would act if ...`, or what binds then; empty when it acts, has nothing to do, or
            no observation would change it.
        text: all of it, for people, in lines.
    """

    verdict: Verdict
    note: Note | None = None
    frees_at: datetime | None = None
    counterfactual: str = ""
    text: str

    @property
    def binding(self) -> Note | None:
        """The note that decides, if it has a limit."""
        return self.note if self.note is not None and self.note.limit is not None else None

    @property
    def scope(self) -> str:
        """What binds, as `zone b`; empty where nothing does."""
        return "" if self.note is None else self.note.scope

    @property
    def observed(self) -> int | None:
        """What was counted in that scope."""
        return None if self.note is None else self.note.observed

    @property
    def limit(self) -> int | None:
        """What it may be at most."""
        return None if self.note is None else self.note.limit


@attrs.frozen(kw_only=True)
class WhatIf(Generic[S]):
    """A counterfactual as data: the least changes found, and the world in which they are made.

    Attributes:
        changes: in words, in the order in which they were made.
        waited: how much time goes by.
        seen: the changed snapshot; decided anew it gives `verdict` and `note`.
        note: what binds in it, when it does not act.
    """

    changes: tuple[str, ...]
    waited: timedelta
    seen: S
    policy: Policy
    verdict: Verdict
    note: Note | None

    @property
    def text(self) -> str:
        """`would act if zone b <= 5 (now 7)`; empty when nothing was changed."""
        if not self.changes and not self.waited:
            return ""
        after = f" after {format_duration(self.waited)}" if self.waited else ""
        when = after + (f" if {' and '.join(self.changes)}" if self.changes else "")
        if self.verdict is Verdict.ACT:
            return f"would act{when}"
        if self.verdict is Verdict.IGNORE:
            return f"would have nothing to do{when}"
        return f"would still wait{when}" + ("" if self.note is None else f"; then: {self.note.text}")


@attrs.frozen(kw_only=True)
class _Standing:
    """How one subject stands in a Decision."""

    verdict: Verdict
    notes: tuple[Note, ...]

    @property
    def note(self) -> Note | None:
        binding = next((note for note in self.notes if note.limit is not None), None)
        return binding or (self.notes[0] if self.notes else None)


def explain(seen: Snapshot, policy: Policy, *, about: str = "") -> Explanation:
    """Say why this snapshot is decided as it is.

    Args:
        seen: as for `decide`.
        policy: as for `decide`.
        about: of a FleetSnapshot, the machine whose ask is meant; empty for the first that is refused.

    Returns:
        Verdict and note as `decide` gives them, and a counterfactual that was decided anew.

    Raises:
        InvalidObjectError: `decide` would raise it, or `about` names no machine that asks for anything.

    >>> from datetime import UTC, datetime
    >>> from kubenode.core.parts import NodeCondition, Switch, ZoneTally, make_machine, make_node
    >>> now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    >>> hung = NodeCondition(type="KernelDeadlock", status=Switch.TRUE, last_transition_time=now - timedelta(minutes=5))
    >>> node = make_node("n7", zone="b", conditions=[hung])
    >>> seen = RemedySnapshot(
    ...     machine=make_machine(node, since=now), node=node, zones={"b": ZoneTally(nodes=10, not_ready=7)}, now=now
    ... )
    >>> print(explain(seen, Policy.default()).text)
    DEFER  zone b: 7 of 10 not ready, limit 5
    would act if zone b <= 5 (now 7)
    """
    decision: Decision[Any] = decide(seen, policy)
    ask = _meant(seen, decision, about)
    standing = _standing(seen, decision, ask)
    note = standing.note
    frees_at = None
    if note is not None and note.frees_at is not None:
        frees_at = seen.now.wall + timedelta(microseconds=(note.frees_at - seen.now.elapsed) // 1000)
    counterfactual = what_if(seen, policy, about=about).text
    return Explanation(
        verdict=standing.verdict, note=note, frees_at=frees_at, counterfactual=counterfactual,
        text=_text(standing, frees_at, counterfactual),
    )  # fmt: skip


def _text(standing: _Standing, frees_at: datetime | None, counterfactual: str) -> str:
    lines = [standing.verdict.name]
    first = standing.note
    if first is not None:
        lines[0] += f"  {first.text}"
    lines += [f"also: {note.text}" for note in standing.notes if note is not first]
    if frees_at is not None:
        lines.append(f"frees at {frees_at.isoformat(timespec='seconds')}")
    if counterfactual:
        lines.append(counterfactual)
    return "\n".join(lines)


def what_if(seen: S, policy: Policy, *, about: str = "") -> WhatIf[S]:
    """Find changes of what was observed under which it would act, deciding anew after each.

    Returns:
        As many changes as it takes, at most `CHANGE_LIMIT`; none when it acts already, has nothing to do, or
        nothing known to us would help. A change that does not take its note away is not made.
    """
    decision: Decision[Any] = decide(seen, policy)
    ask = _meant(seen, decision, about)
    standing, changes, time = _standing(seen, decision, ask), [], timedelta(0)
    now, bound = seen, policy
    for _ in range(CHANGE_LIMIT):
        if standing.verdict is not Verdict.DEFER:
            break
        found = _next(now, bound, decision, standing, ask, seen)
        if found is None:
            break
        change, decision, standing = found
        now, bound, time = change.seen, change.policy, time + change.waited
        changes += [change.text] if change.text else []
    return WhatIf(
        changes=tuple(changes),
        waited=time,
        seen=now,
        policy=bound,
        verdict=standing.verdict,
        note=standing.note,
    )


def _next(
    seen: S, policy: Policy, decision: Decision[Any], standing: _Standing, ask: Ask | None, first: S
) -> tuple[Change[S], Decision[Any], _Standing] | None:
    """Give the first change that takes away the note it is about; the binding note is tried before the others."""
    ordered = sorted(standing.notes, key=lambda note: note is not standing.note)
    for note in ordered:
        for change in (
            _lever(seen, policy, decision, note, ask, first),
            waited(seen, policy, decision, note),
        ):
            if change is None:
                continue
            after: Decision[Any] = decide(change.seen, change.policy)
            then = _standing(change.seen, after, ask)
            if then.verdict is not Verdict.DEFER or not any(_same(note, other) for other in then.notes):
                return change, after, then
    return None


def _same(one: Note, other: Note) -> bool:
    return (one.code, one.scope) == (other.code, other.scope)


def _lever(
    seen: Any, policy: Policy, decision: Decision[Any], note: Note, ask: Ask | None, first: Any
) -> Change[Any] | None:
    match seen:
        case RemedySnapshot():
            return remedy.change(seen, policy, note, first)
        case RolloutSnapshot():
            return rollout.change(
                seen, policy, note, 0 if decision.status is None else decision.status.failures
            )
        case MachineSnapshot():
            return change_of_machine(seen, policy, note)
        case MachineSetSnapshot():
            return change_of_set(seen, policy, note)
        case FleetSnapshot() if ask is not None:
            return fleet.change(seen, policy, note, ask, first)
        case _:
            return None


def _meant(seen: object, decision: Decision[Any], about: str) -> Ask | None:
    """Give the ask that is meant; None when the snapshot is no fleet, or nothing in it is refused."""
    if not isinstance(seen, FleetSnapshot):
        return None
    waiting = [ask for ask in in_order(seen.asks) if ask.waiting]
    held = _held(decision)
    if about:
        named = [ask for ask in waiting if ask.machine.name == about]
        if not named:
            names = ", ".join(sorted({ask.machine.name for ask in waiting})[:5]) or "nobody does"
            problem = Problem(where="about", what=f"{about} waits for no permit", fix=f"one of: {names}")
            raise InvalidObjectError((problem,))
        return next((ask for ask in named if ask.op_id not in held), named[0])
    return next((ask for ask in waiting if ask.op_id not in held), None)


def _held(decision: Decision[Any]) -> frozenset[str]:
    status = decision.status
    return frozenset() if status is None else frozenset(op_id for row in status.holds for op_id in row.op_ids)


def _standing(seen: object, decision: Decision[Any], ask: Ask | None) -> _Standing:
    if ask is None:
        return _Standing(verdict=decision.verdict, notes=decision.notes)
    if ask.op_id in _held(decision):
        return _Standing(verdict=Verdict.ACT, notes=())
    about = f"{ask.machine.name}: "
    notes = tuple(note for note in decision.notes if note.text.startswith(about)) or decision.notes[:1]
    return _Standing(verdict=Verdict.DEFER, notes=notes)
