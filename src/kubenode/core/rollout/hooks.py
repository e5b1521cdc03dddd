"""What the hooks of a set are asked about a closed batch, and what their answers mean for its gate.

Here is decided what is to be asked; asked it is by the engine, and the answers come back in the snapshot.
An answer stands in the status: it is asked for again only when the observation is over, when it was
inconclusive a minute ago, when a person says so, or when what is asked has changed.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.errors import Problem
from kubenode.core.identity import digest
from kubenode.core.inspection import Awaited, Fail, Inconclusive, Inspected, Pass
from kubenode.core.model.batch import Batch
from kubenode.core.model.componentset import MachineComponentSet, MachineComponentSetStatus, Revision
from kubenode.core.model.inspection import (
    InspectionHook,
    InspectionResult,
    InspectionState,
)
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import format_duration, nanoseconds
from kubenode.core.rollout.control import Verdict

ASK_AGAIN: Final = timedelta(minutes=1)
"""How long an inconclusive answer stands."""
TEXT_LIMIT: Final = 1024
"""Most characters of an answer that are kept."""
SAID_LIMIT: Final = 200
"""Most of them that a condition shows."""
_STATES: Final[Mapping[type, InspectionState]] = {
    Pass: InspectionState.PASSED, Fail: InspectionState.FAILED, Inconclusive: InspectionState.INCONCLUSIVE,
}  # fmt: skip


@attrs.frozen(kw_only=True)
class Ask:
    """One question that is open.

    Attributes:
        id: the same question has the same one.
        of: hash of what is asked, without when.
        observed: the observation is over.
        again: the count of the person's word by which it is asked; 0 without one.
    """

    id: str
    hook: InspectionHook
    revision: Revision
    batch: Batch
    of: str
    observed: bool
    again: int


@attrs.frozen(kw_only=True)
class Findings:
    """What the inspections say of a closed batch.

    Attributes:
        control: what the control group says against going on; None when nothing.
        results: to be stored, in the order of the hooks.
        failed: what failed, for people; empty when nothing did.
        doubtful: what is inconclusive, and how it goes on.
        silent: names of hooks that have never answered.
        early: names of hooks that passed, but before the observation was over.
        wakes: when one is asked again, or has not answered in time.
    """

    control: Verdict | None = None
    results: tuple[InspectionResult, ...] = ()
    failed: str = ""
    doubtful: str = ""
    silent: tuple[str, ...] = ()
    early: tuple[str, ...] = ()
    wakes: tuple[int, ...] = ()
    sightings: Mapping[str, int] = NOTHING_SEEN


NOTHING_ASKED: Final = Findings()


def closing(revision: int, batch: int) -> str:
    """Name the sighting of a batch's closing."""
    return f"closed:{revision}:{batch}"


def _asked(revision: int, batch: int, hook: InspectionHook) -> str:
    return f"inspected:{revision}:{batch}:{hook.name}"


def content(hook: InspectionHook) -> str:
    """Give a hash of what a hook asks: a changed one is another."""
    return digest(hook.inspector, json.dumps(hook.parameters, sort_keys=True, default=repr))


def due(owner: MachineComponentSet, now: Now, sightings: Mapping[str, int]) -> tuple[Ask, ...]:
    """Give the questions that are open, in the order of the hooks; asked by the controller and by the decider.

    Args:
        owner: the set as it is stored: a batch is asked about once its closing stands there.
        now: the moment of the decision.
        sightings: what the last decision on the set returned.

    Returns:
        None for a rollback, which waits for no inspection.
    """
    status, batch = owner.status, owner.status.batch
    idle = owner.metadata.deletion_timestamp is not None or owner.metadata.unknown or status.rolls_back
    if status.update is None or batch is None or batch.closed_at is None or idle:
        return ()
    since = sightings.get(closing(status.update.number, batch.number), now.elapsed)
    observed = now.elapsed >= since + nanoseconds(owner.spec.rollout.observation)
    again = _again(owner, status.update.number, batch.number)
    known = {result.name: result for result in batch.inspections}
    asks: list[Ask] = []
    for hook in owner.spec.rollout.inspection.hooks:
        last = sightings.get(_asked(status.update.number, batch.number, hook))
        of = content(hook)
        if not _is_open(known.get(hook.name), of, again, last, now, observed=observed):
            continue
        asked = (owner.metadata.uid, status.update.number, batch.number, hook.name)
        key = digest(*asked, of, again, "" if last is None else last, observed)
        asks.append(
            Ask(id=key, hook=hook, revision=status.update, batch=batch, of=of, observed=observed, again=again)
        )
    return tuple(asks)


def _again(owner: MachineComponentSet, revision: int, batch: int) -> int:
    """Give the count of the person's word, if it is about this batch."""
    word = owner.spec.rollout.inspect_again
    if word is None or (word.revision, word.batch) != (str(revision), batch):
        return 0
    return word.count


def _is_open(
    known: InspectionResult | None, of: str, again: int, last: int | None, now: Now, *, observed: bool
) -> bool:
    if known is None or known.of != of:
        return True
    if known.state is InspectionState.PASSED:
        return observed and not known.observed
    late = known.state is InspectionState.INCONCLUSIVE and (
        last is None or now.elapsed >= last + nanoseconds(ASK_AGAIN)
    )
    return again > known.again or late


def find(
    owner: MachineComponentSet,
    batch: Batch,
    revision: int,
    given: Mapping[str, Inspected],
    now: Now,
    sightings: Mapping[str, int],
) -> Findings:
    """Take the answers to what is open, and say what all of them mean.

    Args:
        owner: the set as it is stored.
        batch: its open one.
        revision: that is rolled out.
        given: by the name of the hook.
        now: the moment of the decision.
        sightings: what the last decision returned.

    Invariant: an answer to what was not asked changes nothing.
    """
    hooks = owner.spec.rollout.inspection.hooks
    asks = {ask.hook.name: ask for ask in due(owner, now, sightings)}
    wanted = {hook.name: content(hook) for hook in hooks}
    known = {result.name: result for result in batch.inspections if wanted.get(result.name) == result.of}
    seen: dict[str, int] = {}
    for hook in hooks:
        key, ask, answer = (
            _asked(revision, batch.number, hook),
            asks.get(hook.name),
            given.get(hook.name),
        )
        if key in sightings:
            seen[key] = sightings[key]
        if ask is not None and isinstance(answer, Pass | Fail | Inconclusive):
            known[hook.name] = _result(ask, answer, known.get(hook.name), now.wall)
            seen[key] = now.elapsed
            del asks[hook.name]
    results = tuple(known[hook.name] for hook in hooks if hook.name in known)
    doubtful = {
        result.name: seen.get(_asked(revision, batch.number, hook), now.elapsed)
        for hook in hooks
        if (result := known.get(hook.name)) is not None and result.state is InspectionState.INCONCLUSIVE
    }
    awaited = (given.get(name) for name in asks)
    return Findings(
        results=results,
        failed=_failed(results),
        doubtful=_doubtful(results, asks),
        silent=tuple(hook.name for hook in hooks if hook.name not in known),
        early=tuple(result.name for result in results if not result.observed),
        wakes=tuple(
            last + nanoseconds(ASK_AGAIN) for name, last in doubtful.items() if name not in asks
        ) + tuple(one.until for one in awaited if isinstance(one, Awaited)),
        sightings=seen,
    )  # fmt: skip


def _result(
    ask: Ask, answer: Pass | Fail | Inconclusive, before: InspectionResult | None, wall: datetime
) -> InspectionResult:
    state, text = _STATES[type(answer)], answer.text[:TEXT_LIMIT]
    since = wall.replace(microsecond=0)
    if before is not None and (before.state, before.text) == (state, text):
        since = before.since
    return InspectionResult(
        name=ask.hook.name, state=state, text=text, of=ask.of, observed=ask.observed, again=ask.again, since=since,
    )  # fmt: skip


def word(status: MachineComponentSetStatus) -> str:
    """Write the word by which a person lets the hooks of the open batch be asked again."""
    revision = "" if status.update is None else status.update.number
    number, results = ("", ()) if status.batch is None else (status.batch.number, status.batch.inspections)
    count = max((result.again for result in results), default=0) + 1
    return f'spec.rollout.inspectAgain: {{revision: "{revision}", batch: {number}, count: {count}}}'


def _failed(results: tuple[InspectionResult, ...]) -> str:
    bad = (result for result in results if result.state is InspectionState.FAILED)
    return "; ".join(f"{result.name} failed: {result.text[:SAID_LIMIT]}" for result in bad)


def _doubtful(results: tuple[InspectionResult, ...], asks: Mapping[str, Ask]) -> str:
    bad = [result for result in results if result.state is InspectionState.INCONCLUSIVE]
    if not bad:
        return ""
    said = "; ".join(f"{result.name} cannot tell: {result.text[:SAID_LIMIT]}" for result in bad)
    pause = format_duration(ASK_AGAIN)
    return f"{said}; " + (
        "is being asked again" if any(one.name in asks for one in bad) else f"is asked again after {pause}"
    )


def obstacle(
    hooks: Iterable[InspectionHook], given: Mapping[str, Inspected]
) -> tuple[InspectionHook, Problem] | None:
    """Give the first hook that cannot be asked at all, and why: no plugin brings it, or its parameters are wrong."""
    for hook in hooks:
        answer = given.get(hook.name)
        if isinstance(answer, Problem):
            return hook, answer
    return None
