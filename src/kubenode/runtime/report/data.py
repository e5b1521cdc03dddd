"""What a report shows, as values: made by a Collector, drawn by `render`, and readable without either.

All times are `Now.elapsed`, nanoseconds; None as an end means that it had not come when the report was made.
"""

import enum
from datetime import datetime, timedelta

import attrs


class State(enum.Enum):
    """What a machine is to those who count capacity; one word a moment."""

    READY = "Ready"
    UPDATING = "Updating"
    REPAIRING = "Repairing"
    DOWN = "Not ready"
    """It should be up, and its Node is not Ready or nothing is heard of it."""
    JOINING = "Joining"
    LEAVING = "Leaving"


@attrs.frozen(kw_only=True)
class Stretch:
    """A machine was in one state from `began` until before `ended`."""

    state: State
    began: int
    ended: int | None = None


@attrs.frozen(kw_only=True)
class Act:
    """Something that was asked of a machine's agent.

    Attributes:
        what: the component, or the remedy's action.
        why: the rollout's batch or the job's attempt that asked.
        outcome: `done`, `failed: ...`, or empty while it runs.
    """

    what: str
    why: str
    began: int
    ended: int | None = None
    outcome: str = ""


@attrs.frozen(kw_only=True)
class Lane:
    """One machine over time."""

    machine: str
    zone: str
    stretches: tuple[Stretch, ...] = ()
    acts: tuple[Act, ...] = ()


@attrs.frozen(kw_only=True)
class Batch:
    """One batch of a rollout.

    Attributes:
        worked: when its last member ended and its observation began.
        passed: when its gate was passed and the next could open.
    """

    number: int
    size: int
    opened: int
    worked: int | None = None
    passed: int | None = None
    updated: int = 0
    failed: int = 0
    skipped: int = 0


@attrs.frozen(kw_only=True)
class Reason:
    """Why something waited, from `began` until `ended`; `text` is as it was said last."""

    code: str
    text: str
    began: int
    ended: int | None = None


@attrs.frozen(kw_only=True)
class Rollout:
    """One revision of one set.

    Attributes:
        reasons: what its decider said it waited for, one after another.
        pauses: while its phase was Paused.
    """

    set: str
    revision: int
    component: str
    batches: tuple[Batch, ...] = ()
    reasons: tuple[Reason, ...] = ()
    pauses: tuple[Reason, ...] = ()


@attrs.frozen(kw_only=True)
class Permit:
    """One hold of the ledger, from its grant until it was gone.

    Attributes:
        op_ids: of all changes that it was granted for: the one that opened it, then those that joined.
    """

    machine: str
    cause: str
    op_ids: tuple[str, ...] = ()
    scopes: tuple[str, ...]
    opened: int
    closed: int | None = None


@attrs.frozen(kw_only=True)
class Wait:
    """A limit kept somebody waiting.

    Attributes:
        who: the key that was decided, such as `rollout/kubelet`, or the machine that asked the ledger.
        observed: the most that was counted meanwhile.
        limit: what it may be at most, as last seen.
    """

    who: str
    code: str
    scope: str
    text: str
    observed: int
    limit: int
    began: int
    ended: int | None = None


@attrs.frozen(kw_only=True)
class Bound:
    """How close a limit came: the fullest that one limit was in one scope.

    Attributes:
        window: None for what is in flight at once.
        limit: in machines, as it was at `at`; a percentage is scaled.
        reached: most permits in flight, or begun within the window.
    """

    policy: str
    scope: str
    window: timedelta | None
    limit: int
    reached: int
    at: int


@attrs.frozen(kw_only=True)
class ReportData:
    """All that one report shows.

    Attributes:
        wall: the wall clock at `begins`.
        lanes: by zone, then name.
    """

    title: str
    wall: datetime
    begins: int
    ends: int
    summary: str = ""
    lanes: tuple[Lane, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    permits: tuple[Permit, ...] = ()
    waits: tuple[Wait, ...] = ()
    bounds: tuple[Bound, ...] = ()
