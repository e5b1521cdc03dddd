"""What an inspection of a rollout's batch is asked, and what it may answer.

An inspection is somebody's: a query of metrics, a smoke test, another team's judgement. It is asked by the
engine when a batch has closed, and its answers are part of the snapshot; the decider calls nobody.
"""

from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from kubenode.core.errors import InvalidObjectError, Problem

P = TypeVar("P")


def _said(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, str):
        problem = Problem(where=field.name, what=f"{value!r} is no text", fix="say what was seen, for people")
        raise InvalidObjectError((problem,))


@attrs.frozen(kw_only=True)
class InspectionRequest(Generic[P]):
    """One closed batch that is to be inspected.

    Attributes:
        id: the same question has the same one, however often it is asked.
        name: of the inspection in the set, for messages.
        params: its parameters, as your own class.
        set: the MachineComponentSet.
        component: the MachineComponent that is rolled out.
        revision: its number.
        batch: the number of the batch within the revision, from 1.
        machines: names of the machines of this batch that are updated, sorted; empty when none is.
        nodes: names of their Nodes, sorted.
        opened_at: when the batch opened; aware.
        since: when it closed, so that all that was to be updated is; aware.
        observed: the observation is over, and nobody asks again before the next batch opens.
        now: the moment; aware.
    """

    id: str
    name: str
    params: P
    set: str
    component: str
    revision: int
    batch: int
    machines: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    opened_at: datetime
    since: datetime
    observed: bool = True
    now: datetime


@attrs.frozen(kw_only=True)
class Pass:
    """All that was looked at is well; `text` says what, for people."""

    text: str = attrs.field(default="", validator=_said)


@attrs.frozen(kw_only=True)
class Fail:
    """The updated machines do harm. The rollout pauses, or rolls back if its set says so."""

    text: str = attrs.field(validator=_said)


@attrs.frozen(kw_only=True)
class Inconclusive:
    """It cannot be told, as where there is no data. The rollout pauses, and it is asked again after a minute."""

    text: str = attrs.field(validator=_said)


@attrs.frozen(kw_only=True)
class Awaited:
    """It has been asked and has not answered; at `until`, in `Now.elapsed`, it will be inconclusive at the latest."""

    until: int


Answer: TypeAlias = Pass | Fail | Inconclusive
"""What an inspection gives. An exception, or no answer in time, is an Inconclusive in its name."""
Inspected: TypeAlias = Pass | Fail | Inconclusive | Awaited | Problem
"""What a snapshot has of one hook; a Problem where it cannot be asked at all, which begins with the reason."""
