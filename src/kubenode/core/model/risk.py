"""RiskPolicy: limits. RiskLedger: the permits, one object, changed only by compare-and-swap."""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.condition import AcceptedStatus
from kubenode.core.model.meta import (
    Column,
    Items,
    Keys,
    Kind,
    Name,
    Number,
    ObjectMeta,
    OpId,
    Rule,
    Shape,
    Text,
    Uid,
    Wire,
)
from kubenode.core.model.quantity import DURATION_PATTERN, IntOrPercent

LEDGER = "cluster"
"""The name of the one RiskLedger."""
HOLD_LIMIT = 1000
SCOPE_LIMIT = 134
"""Scopes of one hold: cluster, region, zone, and one set for each component that a Machine can have; and each of them
once more for the limits that a remedier has of its own."""
SCOPE_LENGTH = 576
"""Longest text of a scope: of a remedier's own limit in a set, `remedier=NAME/set=NAME`."""
JOIN_LIMIT = 63
"""Changes that can join a hold: one for each further component that a Machine can have."""
STORM_LIMIT = 1000
"""Zones that can be in a storm or recover from one."""
ACT_LIMIT = 256
"""Closed permits of which the ledger keeps whose they were and what bound them."""
ACTS_SIZE = 64_000
"""Most characters of what it keeps of them; the heading of the oldest comes on top."""
BY_LENGTH = 512
"""Longest text of what asked for a permit."""
LIMITS_LENGTH = 1024
"""Longest text of what bound a permit."""
CLOSED_LIMIT = 4096
"""Scopes with ended grants in the last day."""
MAX_WINDOW = timedelta(hours=24)
NODE_WINDOW = timedelta(days=7)
"""The longest window of what one node has been through; its own jobs remember that long, the ledger does not."""


def _no_duration(field: str) -> str:
    """Guard a law over a duration: what is none is told by its own schema, and would be an error of CEL here."""
    return f"self.{field}.size() < 2 || !self.{field}.matches('{DURATION_PATTERN}')"


def _window_up_to(words: str, most: timedelta, *, like: str) -> Rule:
    """Give the rule of a `window` from ten seconds to `most`, which is `words` as people write it."""
    return Rule(
        cel=f"{_no_duration('window')} || "
        f"(duration(self.window) >= duration('10s') && duration(self.window) <= duration('{words}'))",
        check=lambda owner: timedelta(seconds=10) <= owner.window <= most,
        message=f"is from 10s to {words}, as in {like}",
        path=".window",
    )


class Scope(enum.Enum):
    """What a limit is counted over; from the narrowest to the widest."""

    NODE = "node"
    """One machine: how often remedies were tried on it. A freeze names the Machine."""
    SET = "set"
    ZONE = "zone"
    REGION = "region"
    CLUSTER = "cluster"
    FLEET = "fleet"
    """All clusters. This version knows one, so it is counted and frozen as `cluster`."""


_LABELLED = frozenset({Scope.ZONE, Scope.REGION})
"""Scopes whose name is the value of a label of the Node, which may be empty."""
_NAMED = frozenset({Scope.NODE, Scope.SET})
"""Scopes whose name is that of an object."""


class Cause(enum.Enum):
    """Who asks for a permit, in the order in which they are served: Human, Deadline (of the cloud), Remedy, Drift, Rollout."""

    HUMAN = "Human"
    """A person forces it: never refused, but recorded, and so it narrows what automation may do next."""
    DEADLINE = "Deadline"
    """The cloud will act by itself at a time it named."""
    REMEDY = "Remedy"
    DRIFT = "Drift"
    ROLLOUT = "Rollout"


@attrs.frozen(kw_only=True)
class Limit:
    """At most so many disruptions of one scope.

    Attributes:
        scope: over what is counted: each node, set, zone or region for itself, or the whole cluster.
        window: so many starts within any such span, as in 1h; absent: so many in flight at once.
        max: how many, as in 5 or "10%"; a percentage is of the scope's machines that should be up, rounded down, at least one.

    Of scope node it limits remedies alone: a machine on which so many were tried is a human's.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel=f"!has(self.window) || {_no_duration('window')} || (duration(self.window) >= duration('10s') "
                "&& duration(self.window) <= duration(self.scope == 'node' ? '168h' : '24h'))",
                check=lambda limit: (
                    limit.window is None
                    or timedelta(seconds=10)
                    <= limit.window
                    <= (NODE_WINDOW if limit.scope is Scope.NODE else MAX_WINDOW)
                ),
                message="is from 10s to 24h, of scope node to 168h, as in {scope: zone, window: 1h, max: 2}",
                path=".window",
            ),
            Rule(
                cel="self.scope != 'node' || (has(self.window) && type(self.max) == int)",
                check=lambda limit: (
                    limit.scope is not Scope.NODE or (limit.window is not None and not limit.max.percent)
                ),
                message="of scope node has a window and a number, as in {scope: node, window: 168h, max: 5}",
                path=".scope",
            ),
        )
    )

    scope: Scope
    window: timedelta | None = None
    max: IntOrPercent


@attrs.frozen(kw_only=True)
class ZoneBreaker:
    """When a zone is not merely unlucky but down: as kube-controller-manager's node lifecycle judges it.

    Attributes:
        not_ready_percent: so many Nodes of the zone, at least, are NotReady in an outage.
        cooldown: after an outage of the zone, for so long, one disruption at a time begins there.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel=f"{_no_duration('cooldown')} || duration(self.cooldown) <= duration('24h')",
                check=lambda breaker: breaker.cooldown <= MAX_WINDOW,
                message="is at most 24h, as in 5m",
                path=".cooldown",
            ),
        )
    )

    not_ready_percent: Annotated[int, Number(min=1, max=100)] = 55
    min_not_ready: Annotated[
        int, Number(min=1, max=10_000), "fewer NotReady Nodes than this are no outage"
    ] = 3
    cooldown: timedelta = timedelta(minutes=5)


@attrs.frozen(kw_only=True)
class SuccessGate:
    """When so few remedies help that no further one may begin, until the window is past them.

    Attributes:
        window: which remedies count: those that ended within it.
        min_attempts: fewer than this say nothing.
        min_percent: so many of them must have succeeded.
    """

    SHAPE: ClassVar[Shape] = Shape(rules=(_window_up_to("24h", MAX_WINDOW, like="1h"),))

    window: timedelta = timedelta(hours=1)
    min_attempts: Annotated[int, Number(min=1, max=10_000)] = 5
    min_percent: Annotated[int, Number(min=1, max=100)] = 50


@attrs.frozen(kw_only=True)
class RepairWidth:
    """How many remedies of one remedier may be in flight, by the evidence that it helps.

    Attributes:
        first: so many without any evidence. Each repair that was proven since the remedier last failed adds
            one; a failure takes it back to `first`. Limits without a window bind beside it.
        window: how long a proven repair is evidence.
    """

    SHAPE: ClassVar[Shape] = Shape(rules=(_window_up_to("168h", NODE_WINDOW, like="24h"),))

    first: Annotated[int, Number(min=1, max=10_000)] = 1
    window: timedelta = timedelta(hours=24)


@attrs.frozen(kw_only=True)
class Freeze:
    """Nothing new begins in a scope. What runs goes on to its end.

    Attributes:
        scope: of what: node, set, zone or region, with its name; or the whole cluster.
        name: of the Machine, set, zone or region; empty for the cluster and the fleet, and for the zone or
            region of Nodes without such a label.
        until: when it ends by itself; absent: when somebody takes it away.
        reason: why, for those who wonder.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="self.scope in ['zone', 'region'] || (self.scope in ['node', 'set']) == (self.name != '')",
                check=lambda one: one.scope in _LABELLED or (one.scope in _NAMED) == (one.name != ""),
                message="names a node, set, zone or region, and is empty for the cluster: {scope: zone, name: b, reason: power}",
                path=".name",
            ),
        )
    )

    scope: Scope
    name: Annotated[str, Text(max=253)] = ""
    until: datetime | None = None
    reason: Annotated[str, Text(max=256, min=1)]


@attrs.frozen(kw_only=True)
class RiskPolicySpec:
    """Limits only. Every RiskPolicy must allow; without any, a strict built-in one holds.

    Attributes:
        limits: at most so many disruptions of each scope; all of them bind.
        freeze: scopes in which nothing new begins, and why; `kubenode freeze` keeps its own in a policy beside yours.
    """

    limits: Annotated[tuple[Limit, ...], Items(max=32)] = ()
    zone_breaker: ZoneBreaker = ZoneBreaker()
    success_gate: SuccessGate | None = None
    repair_width: RepairWidth = RepairWidth()
    freeze: Annotated[tuple[Freeze, ...], Items(max=32)] = ()


@attrs.frozen(kw_only=True)
class RiskPolicy:
    """Limits on disruption: windows, in flight, breakers."""

    KIND: ClassVar[Kind] = Kind(
        name="RiskPolicy", plural="riskpolicies", short_names=("rp",),
        columns=(
            Column(name="Accepted", path=".status.conditions[?(@.type=='Accepted')].status"),
            Column(name="Effective", path=".status.conditions[?(@.type=='Effective')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Effective')].reason"),
            Column(name="Frozen", path=".spec.freeze[0].scope"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Freezes", path=".spec.freeze", wide=True),
            Column(name="Message", path=".status.conditions[?(@.type=='Effective')].message", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: RiskPolicySpec = RiskPolicySpec()
    status: AcceptedStatus = AcceptedStatus()


@attrs.frozen(kw_only=True)
class Hold:
    """An open permit: who finds its op-id here may act.

    Attributes:
        op_id: whose grant opened it; also its name while it is open.
        machine: name of the Machine.
        cause: who asked for it.
        scopes: what it counts in: `cluster`, `region=eu`, `zone=b`, `set=kubelet`; with a remedier's own limits
            `remedier=hung-task`, `remedier=hung-task/zone=b`.
        since: ledger time of the grant, nanoseconds.
        joined: op-ids of further changes of the machine that were granted in the same write and are not over.
        over: what opened it is over, and it is open for what joined it.
        granted_at: when it was granted, by the wall clock of whoever did; for the record alone, no window counts it.
        by: what asked for it, for people.
        limits: what bound it when it was granted, for people.
    """

    op_id: Annotated[OpId, Wire(name="opID")]
    machine: Name
    machine_uid: Annotated[Uid, Wire(name="machineUID")]
    cause: Cause
    scopes: Annotated[tuple[Annotated[str, Text(max=SCOPE_LENGTH)], ...], Items(max=SCOPE_LIMIT)]
    since: Annotated[int, Number(min=0, max=2**62)]
    joined: Annotated[tuple[OpId, ...], Items(max=JOIN_LIMIT)] = ()
    over: bool = False
    granted_at: datetime | None = None
    by: Annotated[str, Text(max=BY_LENGTH)] = ""
    limits: Annotated[str, Text(max=LIMITS_LENGTH)] = ""

    @property
    def op_ids(self) -> tuple[str, ...]:
        """All who may act by it; never none."""
        return self.joined if self.over else (self.op_id, *self.joined)


@attrs.frozen(kw_only=True)
class RiskLedgerStatus:
    """All permits of the cluster.

    Attributes:
        checkpoint: ledger time of the last write, nanoseconds; never ahead of true time.
        holds: open permits, oldest first; at most one a machine uid.
        closed: ended grants counted by time bucket, one text a scope; for the controller.
        storms: zones whose breaker is open, or was so lately that they cool down; sorted, the first 1000.
        blind_until: ledger time before which every window counts as full, because history was lost.
        ledger_uid: of the object this was written to. Under another uid it was copied from a backup, and
            what was granted since is lost.
        acts: the last permits that were closed, a line each: op-id, machine, cause, granted, closed, by what; after a line
            `limits` with what bound them. `kubenode history` reads it; nothing is decided by it.
        acts_dropped: closed permits that were in `acts` and are not any more.
    """

    checkpoint: Annotated[int, Number(min=0, max=2**62)] = 0
    holds: Annotated[tuple[Hold, ...], Items(max=HOLD_LIMIT)] = ()
    closed: Annotated[
        Mapping[str, Annotated[str, Text(max=4096)]],
        Keys(
            max=CLOSED_LIMIT,
            key_max=SCOPE_LENGTH,
            pattern="^[a-z]+(=[-A-Za-z0-9_.]*)?(/[a-z]+=[-A-Za-z0-9_.]*)?$",
            atomic=True,
        ),
    ] = attrs.field(factory=dict)
    storms: Annotated[tuple[Annotated[str, Text(max=63)], ...], Items(max=STORM_LIMIT)] = ()
    blind_until: Annotated[int, Number(min=0, max=2**62)] = 0
    ledger_uid: Annotated[Uid, Wire(name="ledgerUID")] = ""
    acts: Annotated[str, Text(max=65_536)] = ""
    acts_dropped: Annotated[int, Number(min=0, max=2**62)] = 0


@attrs.frozen(kw_only=True)
class RiskLedgerSpec:
    """Nothing is wanted of the ledger; it records."""


@attrs.frozen(kw_only=True)
class RiskLedger:
    """The permits. One object, `cluster`, written only by the risk controller."""

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel=f"self.metadata.name == '{LEDGER}'",
                check=lambda ledger: ledger.metadata.name == LEDGER,
                message=f"is not {LEDGER}: there is one ledger, of this name",
                path=".metadata",
            ),
        )
    )

    KIND: ClassVar[Kind] = Kind(
        name="RiskLedger", plural="riskledgers", short_names=("rl",),
        columns=(
            Column(name="Oldest-Hold", path=".status.holds[0].machine"),
            Column(name="Cause", path=".status.holds[0].cause"),
            Column(name="Storms", path=".status.storms"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Op-ID", path=".status.holds[0].opID", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: RiskLedgerSpec = RiskLedgerSpec()
    status: RiskLedgerStatus = RiskLedgerStatus()
