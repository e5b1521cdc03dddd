"""What a reviewer of permits is asked, and what it may answer: it vetoes or narrows, and never widens.

A reviewer is somebody's function: a change calendar, a person on call, another team's budget. It is asked
by the engine before a decision, and its answers are part of the snapshot; the decider calls nobody.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.risk import Cause


def _aware(_: object, field: "attrs.Attribute[Any]", value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        problem = Problem(
            where=field.name, what=f"{value.isoformat()} has no time zone", fix="datetime.now(UTC), not datetime.now()"
        )  # fmt: skip
        raise InvalidObjectError((problem,))


def _count(_: object, field: "attrs.Attribute[Any]", value: int) -> None:
    if type(value) is not int or value < 0:
        raise InvalidObjectError((Problem(where=field.name, what=f"{value!r} is no number of machines"),))


@attrs.frozen(kw_only=True)
class PermitRequest:
    """One disruption that waits for its permit.

    Attributes:
        op_id: the name of the permit; the same request has the same one, however often it is asked about.
        machine: whose work would be disrupted.
        zone: the machine's; empty without a zone label.
        region: the machine's; empty without a region label.
        sets: names of the MachineComponentSets that select the machine, sorted.
        cause: a remedy or a rollout. What a person forces is never refused, so nobody is asked about it.
        remedier: whose remedy it is; empty for a rollout.
        now: the moment, aware, for calendars.
    """

    op_id: str
    machine: str
    zone: str = ""
    region: str = ""
    sets: tuple[str, ...] = ()
    cause: Cause
    remedier: str = ""
    now: datetime


@attrs.frozen
class Allow:
    """No objection. Every limit holds all the same."""


@attrs.frozen(kw_only=True)
class Narrow:
    """Only while fewer than `in_flight` disruptions of the whole cluster are under way."""

    in_flight: int = attrs.field(validator=_count)
    reason: str


@attrs.frozen(kw_only=True)
class Deny:
    """Not now.

    Attributes:
        reason: for people, in a few words.
        until: aware; when to ask again. None: soon, since you cannot tell.
    """

    reason: str
    until: datetime | None = attrs.field(default=None, validator=_aware)


Review: TypeAlias = Allow | Narrow | Deny
Reviewer: TypeAlias = Callable[[PermitRequest], Review]
"""May veto or narrow, never widen. An exception, or no answer in time, is a Deny in its name."""


@attrs.frozen(kw_only=True)
class Reviewed:
    """One answer, as a snapshot has it.

    Attributes:
        reviewer: who gave it.
        again: of a Deny, `Now.elapsed` from which it is out of date and asked for anew; None: not by time alone.
    """

    reviewer: str
    review: Review
    again: int | None = None
