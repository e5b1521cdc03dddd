"""MachineSet: so many machines of one template."""

import enum
from datetime import datetime
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.componentset import Selector
from kubenode.core.model.condition import Conditions
from kubenode.core.model.drain import DrainPolicy
from kubenode.core.model.machine import (
    DeletionPolicy,
    Infrastructure,
    NodeAnnotations,
    NodeLabels,
    NodeTaints,
)
from kubenode.core.model.meta import (
    GROUP,
    Annotations,
    Column,
    DnsLabel,
    Items,
    Kind,
    Labels,
    Name,
    Number,
    ObjectMeta,
    ObservedGeneration,
    Rule,
    Shape,
    Text,
    Uid,
)

MACHINESET_LABEL = f"{GROUP}/machineset"
"""On every machine that a set made: the set's name."""
MACHINESET_FINALIZER = f"{GROUP}/machineset"
MACHINESET_CRD = f"machinesets.{GROUP}"
TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""On every machine that a set made: a hash of the template it was made from."""
DELETE_FIRST = f"{GROUP}/delete-first"
"""Annotation by which a person names machines that go before all others when there are too many; its value means nothing."""
REPLICAS_LIMIT = 100_000
SURGE_LIMIT = 500
"""Most machines that a strategy has more, or has unavailable, while it replaces."""
RECORD_LIMIT = 500
"""Most machines a list of the status names."""


class DeleteOrder(enum.Enum):
    """Whom to delete of machines that are equally healthy, in zones equally full: the Newest, the Oldest, or by Hash.

    The unhealthy always go first.
    """

    NEWEST = "Newest"
    OLDEST = "Oldest"
    HASH = "Hash"
    """By a hash of the uid: as good as chance, and the same for every observer."""


class OrphanPolicy(enum.Enum):
    """What becomes of orphans: instances made for machines of the set that are no more.

    Report: they are told of, and left to a person. Terminate: those that no Node runs on are terminated, one at a time.
    """

    REPORT = "Report"
    """They are told of, and left to a person."""
    TERMINATE = "Terminate"
    """Those that no Node runs on are terminated, one at a time and three in an hour at most."""


@attrs.frozen(kw_only=True)
class MachineTemplateSpec:
    """What is wanted of a machine that is to be made: a machine's spec without a host."""

    infrastructure: Infrastructure
    labels: NodeLabels = attrs.field(factory=dict)
    annotations: NodeAnnotations = attrs.field(factory=dict)
    taints: NodeTaints = ()
    deletion_policy: DeletionPolicy = DeletionPolicy.TERMINATE
    drain: Annotated[DrainPolicy, "of new machines; a change replaces none"] | None = None


@attrs.frozen(kw_only=True)
class MachineTemplate:
    """What a new machine is made from; machines that are there already stay as they are when it changes."""

    labels: Annotated[Labels, "of each new Machine; all of selector.matchLabels are among them"] = (
        attrs.field(factory=dict)
    )
    annotations: Annotated[Annotations, "of each new Machine"] = attrs.field(factory=dict)
    spec: MachineTemplateSpec


class StrategyType(enum.Enum):
    """What becomes of machines that were made from an earlier template.

    OnDelete: they stay until somebody deletes them. Replace: each is deleted when a successor is available.
    """

    ON_DELETE = "OnDelete"
    """They stay until somebody deletes them."""
    REPLACE = "Replace"
    """They are deleted one after another, each when a successor is available."""


@attrs.frozen(kw_only=True)
class Strategy:
    """How a changed template reaches machines that are there.

    Attributes:
        max_surge: so many machines more than `replicas` exist at most while some are replaced.
        max_unavailable: so many fewer than `replicas` are available at most for one more to be deleted.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="self.maxSurge + self.maxUnavailable > 0",
                check=lambda strategy: strategy.max_surge + strategy.max_unavailable > 0,
                message="maxSurge and maxUnavailable cannot both be 0: nothing could be replaced",
            ),
        )
    )

    type: StrategyType = StrategyType.ON_DELETE
    max_surge: Annotated[int, Number(min=0, max=SURGE_LIMIT)] = 1
    max_unavailable: Annotated[int, Number(min=0, max=SURGE_LIMIT)] = 0


@attrs.frozen(kw_only=True)
class MachineSetSpec:
    """How many machines, made how, spread how.

    Attributes:
        replicas: how many machines; `kubectl scale` changes it.
        failure_domains: zones over which new machines are spread; none means that the provider chooses.
        acknowledged_losses: a person's word to go on after a mass delete: the number that stands in
            status.lost. Naming it keeps an old word from excusing a new loss.
        orphans: what becomes of instances whose Machine is no more; it is no part of the template.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="self.selector.matchLabels.size() > 0",
                check=lambda spec: bool(spec.selector.match_labels),
                message="select by at least one label, as in matchLabels: {pool: general}",
                path=".selector",
            ),
            Rule(
                cel="self.selector.matchLabels.all(k, k in self.template.labels"
                " && self.template.labels[k] == self.selector.matchLabels[k])",
                check=lambda spec: spec.selector.selects(spec.template.labels),
                message="must have every label of selector.matchLabels, or new machines would not be of the set",
                path=".template",
            ),
            Rule(
                cel="self.orphans != 'Terminate' || self.template.spec.deletionPolicy == 'Terminate'",
                check=lambda spec: (
                    spec.orphans is OrphanPolicy.REPORT
                    or spec.template.spec.deletion_policy is DeletionPolicy.TERMINATE
                ),
                message="cannot be Terminate while template.spec.deletionPolicy is Release: what is let go is an orphan",
                path=".orphans",
            ),
            Rule(cel="self.selector == oldSelf.selector", message="is immutable", path=".selector"),
        )
    )

    replicas: Annotated[int, Number(min=0, max=REPLICAS_LIMIT)] = 1
    selector: Selector
    template: MachineTemplate
    delete_order: DeleteOrder = DeleteOrder.NEWEST
    strategy: Strategy = Strategy()
    failure_domains: Annotated[
        tuple[Annotated[str, Text(max=63, min=1, pattern="^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")], ...],
        Items(max=32),
    ] = ()  # fmt: skip
    acknowledged_losses: Annotated[int, Number(min=0, max=2**53)] = 0
    orphans: OrphanPolicy = OrphanPolicy.REPORT


@attrs.frozen(kw_only=True)
class Leaver:
    """A machine that the set itself deletes, because it has too many or replaces it.

    Attributes:
        name: name of the Machine.
    """

    name: Name
    uid: Uid


@attrs.frozen(kw_only=True)
class OrphanEnd:
    """An orphan whose end the set asks for; written before its provider is asked.

    Attributes:
        provider: of the instance.
        id: of the instance.
        at: when it was chosen, or asked for again; it counts for an hour and five minutes.
    """

    provider: DnsLabel
    id: Annotated[str, Text(max=253)]
    at: datetime


@attrs.frozen(kw_only=True)
class MachineSetStatus:
    """How many machines the set has, and how they are.

    Attributes:
        replicas: its machines; those being deleted count until they are gone. The sum of `starting`,
            `available`, `unavailable` and `deleting`.
        ready: machines not being deleted whose Node is Ready.
        available: ready machines that were Running, and have no open hold (permit).
        starting: machines that were never Running yet.
        unavailable: machines that were Running, and are not available now.
        deleting: machines that were asked to go, and are not gone yet.
        updated: machines not being deleted that were not made from an earlier template.
        selector: the selector as text, for the scale subresource.
        lost: machines lost in mass deletes, each counted once, ever.
        losing: those of them that are still being deleted.
        going: machines that the set itself deletes; recorded before they are deleted, until they are gone.
        orphans_ended: orphans whose end was asked for within an hour, and the one whose end is asked for now.
    """

    observed_generation: ObservedGeneration = 0
    replicas: Annotated[int, Number(min=0, max=1_000_000)] = 0
    ready: Annotated[int, Number(min=0, max=1_000_000)] = 0
    available: Annotated[int, Number(min=0, max=1_000_000)] = 0
    starting: Annotated[int, Number(min=0, max=1_000_000)] = 0
    unavailable: Annotated[int, Number(min=0, max=1_000_000)] = 0
    deleting: Annotated[int, Number(min=0, max=1_000_000)] = 0
    updated: Annotated[int, Number(min=0, max=1_000_000)] = 0
    selector: Annotated[str, Text(max=32_768)] = ""
    lost: Annotated[int, Number(min=0, max=2**53)] = 0
    losing: Annotated[tuple[Uid, ...], Items(max=RECORD_LIMIT)] = ()
    going: Annotated[tuple[Leaver, ...], Items(max=RECORD_LIMIT)] = ()
    orphans_ended: Annotated[tuple[OrphanEnd, ...], Items(max=8)] = ()
    conditions: Conditions = ()


@attrs.frozen(kw_only=True)
class MachineSet:
    """So many machines of one template."""

    KIND: ClassVar[Kind] = Kind(
        name="MachineSet", plural="machinesets", short_names=("ms",),
        columns=(
            Column(name="Desired", path=".spec.replicas", type="integer"),
            Column(name="Current", path=".status.replicas", type="integer"),
            Column(name="Ready", path=".status.ready", type="integer"),
            Column(name="Available", path=".status.available", type="integer"),
            Column(name="Updated", path=".status.updated", type="integer"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Scaled')].reason"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Unavailable", path=".status.unavailable", type="integer", wide=True),
            Column(name="Deleting", path=".status.deleting", type="integer", wide=True),
            Column(name="Lost", path=".status.lost", type="integer", wide=True),
            Column(name="Message", path=".status.conditions[?(@.type=='Scaled')].message", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: MachineSetSpec
    status: MachineSetStatus = MachineSetStatus()
