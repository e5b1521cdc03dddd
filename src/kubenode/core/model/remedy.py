"""NodeRemedier: what to do about a node condition. RemedyOperationJob: one episode of one machine."""

import enum
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.componentset import Selector
from kubenode.core.model.condition import Conditions, ConditionType
from kubenode.core.model.meta import (
    Column,
    DnsLabel,
    Items,
    Kind,
    Message,
    Name,
    Number,
    ObjectMeta,
    ObservedGeneration,
    OpId,
    Parameters,
    Rule,
    Shape,
    Switch,
    Text,
    Uid,
    Wire,
)
from kubenode.core.model.risk import Limit, Scope


@attrs.frozen(kw_only=True)
class ConditionMatch:
    """Which node condition, and how long it must have held.

    Attributes:
        type: of the Node's condition, such as KernelDeadlock.
        status: the unhealthy status; kubelet's Ready is unhealthy when False or Unknown: write one rule each.
        reason: only with this reason; empty for any.
        lasting: how long it must have held without a break before an episode opens, as in 5m.
    """

    type: ConditionType
    status: Switch = Switch.TRUE
    reason: Annotated[str, Text(max=128)] = ""
    lasting: Annotated[timedelta, Wire(name="for")] = timedelta(0)


@attrs.frozen(kw_only=True)
class Rung:
    """One step of the ladder.

    Attributes:
        timeout: how long the agent has to do it, from the operation's writing.
    """

    action: Annotated[DnsLabel, "the remedy action, such as `reboot`; `kubenode plugins` lists them"]
    parameters: Parameters = attrs.field(factory=dict)
    timeout: timedelta = timedelta(minutes=5)


@attrs.frozen(kw_only=True)
class Verification:
    """When a remedy counts as proven: the condition is clear and the Node Ready for `dwell`, within `timeout`.

    Attributes:
        dwell: for how long it must be so without a break.
        timeout: within so long after it was done; else the next rung is tried.
    """

    dwell: timedelta = timedelta(seconds=60)
    timeout: timedelta = timedelta(minutes=10)


REHEARSAL_LIMIT = 32
"""Most episodes that a remedier's dry run lists."""
_OWN_SCOPES = frozenset({Scope.SET, Scope.ZONE, Scope.REGION, Scope.CLUSTER})


@attrs.frozen(kw_only=True)
class NodeRemedierSpec:
    """What to do about a node condition, mildest act first.

    Attributes:
        limits: of this remedier's own jobs, in flight and started within a window; they join those of every
            RiskPolicy, so they only narrow. A percentage is of all machines of the scope that should be up.
        ladder: what is tried, one after another, until the condition is verified to be clear; then a person is asked.
        dry_run: no job is opened; the status says which would have been.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="self.verification.dwell == '' || duration(self.verification.dwell) <= duration(self.verification.timeout)",
                check=lambda spec: spec.verification.dwell <= spec.verification.timeout,
                message="is longer than verification.timeout, so nothing could ever be verified",
                path=".verification",
            ),
            Rule(
                cel="self.limits.all(limit, limit.scope in ['set', 'zone', 'region', 'cluster'])",
                check=lambda spec: all(limit.scope in _OWN_SCOPES for limit in spec.limits),
                message="are of scope set, zone, region or cluster, as in {scope: zone, window: 1h, max: 2}; "
                "how often one machine is remedied limits a RiskPolicy",
                path=".limits",
            ),
        )
    )

    selector: Selector = Selector()
    condition: ConditionMatch
    ladder: Annotated[tuple[Rung, ...], Items(max=16, min=1)]
    verification: Verification = Verification()
    relapse: Annotated[timedelta, "back within this time, an episode begins at the next rung"] = timedelta(
        hours=1
    )
    limits: Annotated[tuple[Limit, ...], Items(max=8)] = ()
    dry_run: bool = False


@attrs.frozen(kw_only=True)
class Rehearsal:
    """One episode that a remedier would have opened, were it no dry run.

    Attributes:
        machine: name of the Machine.
        job: the name that its RemedyOperationJob would have had.
        rung: on which it would have begun, from 0.
        action: with which it would have begun.
        since: when it would have been opened; a stamp for people.
        until: when its condition was seen gone; absent while it stands.
    """

    machine: Name
    machine_uid: Annotated[Uid, Wire(name="machineUID")]
    job: Name
    rung: Annotated[int, Number(min=0, max=15)]
    action: DnsLabel
    since: datetime
    until: datetime | None = None


@attrs.frozen(kw_only=True)
class DryRun:
    """What a remedier would have done.

    Attributes:
        machines: for how many machines it would have opened an episode that stands.
        episodes: those that stand, oldest first, then those that are over, the latest first; at most 32.
    """

    machines: Annotated[int, Number(min=0, max=1_000_000)] = 0
    episodes: Annotated[tuple[Rehearsal, ...], Items(max=REHEARSAL_LIMIT)] = ()


@attrs.frozen(kw_only=True)
class NodeRemedierStatus:
    """Whether a remedier is understood, and so in force; and of a dry run, what it would have done."""

    observed_generation: ObservedGeneration = 0
    conditions: Conditions = ()
    dry_run: DryRun | None = None


@attrs.frozen(kw_only=True)
class NodeRemedier:
    """For a node condition: the ladder of remedies, how they are verified, own limits, dry run."""

    KIND: ClassVar[Kind] = Kind(
        name="NodeRemedier", plural="noderemediers", short_names=("nr",),
        columns=(
            Column(name="Condition", path=".spec.condition.type"),
            Column(name="Status", path=".spec.condition.status"),
            Column(name="For", path=".spec.condition.for"),
            Column(name="First", path=".spec.ladder[0].action"),
            Column(name="Dry-Run", path=".spec.dryRun", type="boolean"),
            Column(name="Accepted", path=".status.conditions[?(@.type=='Accepted')].status"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Would", path=".status.dryRun.machines", type="integer", wide=True),
            Column(name="Message", path=".status.conditions[?(@.type=='Accepted')].message", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: NodeRemedierSpec
    status: NodeRemedierStatus = NodeRemedierStatus()


@attrs.frozen(kw_only=True)
class MachineRef:
    """A machine by incarnation.

    Attributes:
        name: name of the Machine.
    """

    name: Name
    uid: Uid


@attrs.frozen(kw_only=True)
class Cause:
    """Why the episode opened.

    Attributes:
        type: of the Node's condition; of a component's drift, Drifted.
        reason: of the condition, when the episode opened.
        message: of the condition, when the episode opened.
    """

    type: ConditionType
    reason: Annotated[str, Text(max=128)] = ""
    message: Message = ""


@attrs.frozen(kw_only=True)
class RemedyOperationJobSpec:
    """Whose episode this is, and which: its name is a function of machine, origin and episode."""

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(cel="self == oldSelf", message="is immutable"),
            Rule(
                cel="(self.remedier != '') != (self.component != '')",
                check=lambda spec: (spec.remedier != "") != (spec.component != ""),
                message="give either remedier (a condition of the Node) or component (its drift)",
            ),
        )
    )

    machine: MachineRef
    remedier: Annotated[str, Text(max=253), "whose rule a condition met; empty for a drift"] = ""
    component: Annotated[
        str, Text(max=63), "the entry of the Machine that drifted; empty for a condition"
    ] = ""
    episode: Annotated[
        int, Number(min=0, max=1_000_000), "how many episodes of it were closed before this one"
    ]
    first_rung: Annotated[
        int,
        Number(min=0, max=15),
        "on which rung of the ladder it begins, from 0: higher when the fault came back soon",
    ] = 0
    cause: Cause

    @property
    def origin(self) -> str:
        """What episodes are counted by: the remedier, or `drift/` and the component, which no remedier can be named."""
        return self.remedier or origin_of_drift(self.component)


def origin_of_drift(component: str) -> str:
    """Name the origin of the episodes of a component's drift.

    >>> origin_of_drift("kubelet")
    'drift/kubelet'
    """
    return f"drift/{component}"


WITHDRAWN = "withdrawn: "
"""How the verdict of an attempt begins that ended before anything was done."""


SILENT = "the agent did not answer"
"""How the verdict of an attempt begins whose operation no agent acknowledged in time."""


class AttemptState(enum.Enum):
    """How far it is: Waiting for a permit, Acting, Verifying, Succeeded or Failed."""

    WAITING = "Waiting"
    """Asks for a permit."""
    ACTING = "Acting"
    """Permitted; the operation is or will be written to the Machine."""
    VERIFYING = "Verifying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@attrs.frozen(kw_only=True)
class Attempt:
    """One rung tried.

    One that ended before anything was done is *withdrawn*: it is Failed, so that its permit is released,
    but it says nothing of its rung or of its remedier.

    Attributes:
        number: of the attempt, from 1 in each episode.
        rung: which rung of the ladder it tries, from 0.
        action: the remedy action of that rung.
        since: when it entered its state; a stamp for people.
        verdict: why it ended, or what it waits for.
        asked_at: when the provider was first about to be asked; absent where it was not.
        boot_id: of what a provider does: in which boot the Node was then; another one proves that it was done.
    """

    number: Annotated[int, Number(min=1, max=1000)]
    rung: Annotated[int, Number(min=0, max=15)]
    action: DnsLabel
    op_id: Annotated[OpId, Wire(name="opID")]
    state: AttemptState = AttemptState.WAITING
    since: datetime
    verdict: Message = ""
    asked_at: datetime | None = None
    boot_id: Annotated[str, Text(max=64), Wire(name="bootID")] = ""

    @property
    def is_silent(self) -> bool:
        """Whether it was tried and its agent said nothing at all."""
        return self.state is AttemptState.FAILED and self.verdict.startswith(SILENT)

    @property
    def withdrawn(self) -> bool:
        """Whether it ended before anything was done."""
        return self.state is AttemptState.FAILED and self.verdict.startswith(WITHDRAWN)


class JobPhase(enum.Enum):
    """The phases of an episode that this version writes."""

    WAITING = "Waiting"
    ACTING = "Acting"
    VERIFYING = "Verifying"
    SUCCEEDED = "Succeeded"
    HANDED_OVER = "HandedOver"
    """The ladder is at its end: a human's turn."""
    CANCELLED = "Cancelled"
    """It cleared by itself before anything was done, or its machine is gone."""


@attrs.frozen(kw_only=True)
class RemedyOperationJobStatus:
    """How the episode goes.

    Attributes:
        phase: Waiting, Acting, Verifying, Succeeded, HandedOver (to a person: the ladder is at its end) or
            Cancelled (it cleared by itself, or its machine is gone).
        attempts: the rungs that were tried, in order, and why each ended.
        closed_at: when the episode ended; absent while it is open.
    """

    phase: Annotated[str, Text(max=32)] = ""
    attempts: Annotated[tuple[Attempt, ...], Items(max=32)] = ()
    conditions: Conditions = ()
    closed_at: datetime | None = None


@attrs.frozen(kw_only=True)
class RemedyOperationJob:
    """One remedy episode of one machine: cause, attempts, verdicts. Written by controllers only."""

    KIND: ClassVar[Kind] = Kind(
        name="RemedyOperationJob", plural="remedyoperationjobs", short_names=("roj",),
        selectable=("spec.machine.name", "spec.remedier", "status.phase"),
        columns=(
            Column(name="Machine", path=".spec.machine.name"),
            Column(name="Cause", path=".spec.cause.type"),
            Column(name="Phase", path=".status.phase"),
            Column(name="Attempt", path=".status.attempts[-1:].number", type="integer"),
            Column(name="Action", path=".status.attempts[-1:].action"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Remedier", path=".spec.remedier", wide=True),
            Column(name="Component", path=".spec.component", wide=True),
            Column(name="Op-ID", path=".status.attempts[-1:].opID", wide=True),
            Column(name="Closed", path=".status.closedAt", type="date", wide=True),
            Column(name="Verdict", path=".status.attempts[-1:].verdict", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: RemedyOperationJobSpec
    status: RemedyOperationJobStatus = RemedyOperationJobStatus()
