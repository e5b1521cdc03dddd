"""MachineComponentSet: which machines run which component, and how a change rolls out."""

import enum
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, TypeAlias

import attrs

from kubenode.core.model.batch import Batch, BatchRecord, Failure, RolledBack
from kubenode.core.model.condition import Conditions
from kubenode.core.model.entry import Running
from kubenode.core.model.inspection import Inspection
from kubenode.core.model.meta import (
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
)
from kubenode.core.model.quantity import IntOrPercent

SKIP_LIMIT = 64
"""Most machines that one word can skip."""
REVISIONS_LIMIT = 10
"""How many revisions are remembered."""

RevisionText: TypeAlias = Annotated[
    str, Text(max=20, min=1, pattern="^[0-9]+$"), "the number of the revision that is meant: of status.update"
]
"""The number of a revision, as a person names it."""


@attrs.frozen(kw_only=True)
class Selector:
    """Which machines, by their labels (metadata.labels). An empty one selects all.

    Attributes:
        match_labels: all of these a Machine has, with these values.
    """

    match_labels: Labels = attrs.field(factory=dict)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether every label asked for is there with that value."""
        return all(labels.get(key) == value for key, value in self.match_labels.items())


@attrs.frozen(kw_only=True)
class Excuse:
    """A person's word to go on: the first `failures` failures of `revision` no longer count.

    They keep what ran last and retry. Naming the revision keeps an old word from excusing a new fault.

    Attributes:
        failures: so many are borne, as status.failures counts them.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    revision: RevisionText
    failures: Annotated[int, Number(min=1, max=100_000)]


class Approval(enum.Enum):
    """Who lets the next batch follow a closed one: Automatic, or a person (Manual)."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"
    """A person, by `approve`."""


@attrs.frozen(kw_only=True)
class Approve:
    """A person's word that the batches of `revision` up to number `batch` are well, and that the next may follow.

    Attributes:
        batch: number of the last batch that is approved.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    revision: RevisionText
    batch: Annotated[int, Number(min=1, max=1_000_000)]


@attrs.frozen(kw_only=True)
class Skip:
    """A person's word that `revision` leaves these machines alone, for as long as it stands.

    Who already has the revision's entry is not skipped: what is begun comes to its own end.

    Attributes:
        machines: their names.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    revision: RevisionText
    machines: Annotated[tuple[Name, ...], Items(max=SKIP_LIMIT, min=1)]


@attrs.frozen(kw_only=True)
class InspectAgain:
    """A person's word to ask the hooks of one batch again that have not passed; each higher count asks once more.

    Attributes:
        batch: number of the batch.
        count: how often they were asked again.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    revision: RevisionText
    batch: Annotated[int, Number(min=1, max=1_000_000)]
    count: Annotated[int, Number(min=1, max=1_000_000)]


@attrs.frozen(kw_only=True)
class Rollout:
    """How a changed `component` reaches the machines.

    Attributes:
        batches: sizes of the batches, one after another, as in [1, 5, 10%]; the last repeats. A percentage is of the
            machines selected when the revision began, rounded up.
        max_unavailable: most machines, a number or a percentage, that may be unavailable at once for one more to start; a
            percentage is of the selected machines that should be up, rounded down, at least one.
        failure_threshold: failures of the revision that are borne; one more pauses.
        min_ready_seconds: how long a machine must be at target and available to count as updated.
        progress_deadline_seconds: how long one machine may take to be updated; then it has failed.
        paused: nothing new begins while it is true; what has begun comes to its end.
        observation: how long a closed batch is watched before the next opens.
        partition: so many of the selected machines, a number or a percentage, the last ones by zone and stable hash, are not touched
            and stay at the revision they have; a percentage is rounded up. Lowered, the rollout goes on.
        approval: Automatic, or Manual: every closed batch waits for `approve`; the last one too, since machines
            that join get a revision that is complete.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                # A percentage has its pattern. Matched here, its price is above the budget of a server before 1.33.
                cel="self.batches.all(b, type(b) != int || b >= 1)",
                check=lambda rollout: all(size.amount >= 1 for size in rollout.batches),
                message="every batch is a number from 1 or a percentage from '1%' to '100%'",
                path=".batches",
            ),
            Rule(
                cel="type(self.maxUnavailable) != int || self.maxUnavailable >= 1",
                check=lambda rollout: rollout.max_unavailable.amount >= 1,
                message="is a number from 1 or a percentage from '1%' to '100%'; to stop, set paused: true",
                path=".maxUnavailable",
            ),
        )
    )

    batches: Annotated[tuple[IntOrPercent, ...], Items(max=32, min=1)] = (
        IntOrPercent(1), IntOrPercent(5), IntOrPercent(10), IntOrPercent(50), IntOrPercent(100),
    )  # fmt: skip
    max_unavailable: IntOrPercent = IntOrPercent(1)
    failure_threshold: Annotated[int, Number(min=0, max=100_000)] = 0
    min_ready_seconds: Annotated[int, Number(min=0, max=86_400)] = 10
    progress_deadline_seconds: Annotated[int, Number(min=1, max=604_800)] = 600
    observation: timedelta = timedelta(0)
    paused: bool = False
    partition: IntOrPercent = IntOrPercent(0)
    approval: Approval = Approval.AUTOMATIC
    excuse: Excuse | None = None
    approve: Approve | None = None
    inspect_again: InspectAgain | None = None
    skip: Skip | None = None
    inspection: Inspection = Inspection()

    @property
    def compared(self) -> tuple[str, ...]:
        """The conditions by which updated machines are compared with the others."""
        group = self.inspection.control_group
        return group.conditions if group is not None else ()


@attrs.frozen(kw_only=True)
class RepairWord:
    """A person's word that drift of `component` is repaired though so many machines report it within ten minutes.

    Naming component and number keeps an old word from releasing a new, larger drift.

    Attributes:
        component: the MachineComponent that drifted.
        machines: so many at most may report it.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    component: Name
    machines: Annotated[int, Number(min=1, max=1_000_000)]


@attrs.frozen(kw_only=True)
class MachineComponentSetSpec:
    """Which machines run which component, and how a change of it reaches them.

    Attributes:
        state: what the component should be doing there: Running, Stopped or Absent.
    """

    selector: Selector = Selector()
    name: Annotated[DnsLabel, "the key of its entries in Machine.spec.components"]
    component: Annotated[Name, "the MachineComponent to run; only a change of it starts a rollout"]
    state: Running = Running.RUNNING
    rollout: Rollout = Rollout()
    repair: RepairWord | None = None


@attrs.frozen(kw_only=True)
class Revision:
    """One value of `spec.component`, numbered.

    Attributes:
        number: from 1, higher for each change of `spec.component`.
        component: the MachineComponent that is run in it.
    """

    number: Annotated[int, Number(min=1, max=2**31 - 1)]
    component: Name


@attrs.frozen(kw_only=True)
class MachineComponentSetStatus:
    """Where the rollout stands.

    Attributes:
        current: the last revision that completed; machines that join get it.
        update: the revision being rolled out, or the last one.
        total: machines selected when the update revision began; batch percentages are of it.
        selected: machines that are selected now.
        updated: of them, those at the update revision.
        unavailable: of them, those that should be up and are not, or are being disrupted.
        failures: machines on which the update revision failed, excused or not.
        excused: of these failures, those that a person bears.
        revisions: the last ones, oldest first; setting spec.component to an earlier one goes back to it.
        skipped: machines that `skip` names and that are not at the update revision.
        held: machines that a person holds by label, and that therefore are not at the update revision.
        rolled_back: what is not rolled out though `spec.component` names it.
        proven: closed batches of the update revision in which a machine that had been available was updated;
            only they let batches grow.
        failed: the update revision's failures, oldest first; the first 64 by name, all by `failures`.
    """

    phase: Annotated[str, Text(max=32), "where the rollout stands: Progressing, Paused or Complete"] = ""
    observed_generation: ObservedGeneration = 0
    current: Revision | None = None
    update: Revision | None = None
    revisions: Annotated[tuple[Revision, ...], Items(max=REVISIONS_LIMIT)] = ()
    total: Annotated[int, Number(min=0, max=1_000_000)] = 0
    selected: Annotated[int, Number(min=0, max=1_000_000)] = 0
    updated: Annotated[int, Number(min=0, max=1_000_000)] = 0
    unavailable: Annotated[int, Number(min=0, max=1_000_000)] = 0
    failures: Annotated[int, Number(min=0, max=1_000_000)] = 0
    excused: Annotated[int, Number(min=0, max=1_000_000)] = 0
    skipped: Annotated[int, Number(min=0, max=SKIP_LIMIT)] = 0
    held: Annotated[int, Number(min=0, max=1_000_000)] = 0
    proven: Annotated[int, Number(min=0, max=1_000_000)] = 0
    failed: Annotated[tuple[Failure, ...], Items(max=64)] = ()
    rolled_back: RolledBack | None = None
    batch: Batch | None = None
    batches: Annotated[tuple[BatchRecord, ...], Items(max=32), "the closed batches, the last 32"] = ()
    conditions: Conditions = ()

    @property
    def rolls_back(self) -> bool:
        """Whether the update revision brings back the component that was last everywhere.

        Back to one before that is a rollout as any other: nothing says that it ever completed.
        """
        current, update = self.current, self.update
        if current is None or update is None:
            return False
        return update.number > current.number and update.component == current.component


@attrs.frozen(kw_only=True)
class MachineComponentSet:
    """Which machines run which component, and how a change rolls out."""

    KIND: ClassVar[Kind] = Kind(
        name="MachineComponentSet", plural="machinecomponentsets", short_names=("mcs",),
        selectable=("spec.component", "status.phase"),
        columns=(
            Column(name="Component", path=".spec.component"),
            Column(name="Phase", path=".status.phase"),
            Column(name="Selected", path=".status.selected", type="integer"),
            Column(name="Updated", path=".status.updated", type="integer"),
            Column(name="Unavailable", path=".status.unavailable", type="integer"),
            Column(name="Failed", path=".status.failures", type="integer"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Revision", path=".status.update.number", type="integer", wide=True),
            Column(name="Batch", path=".status.batch.number", type="integer", wide=True),
            Column(name="Approval", path=".spec.rollout.approval", wide=True),
            Column(name="Message", path=".status.conditions[?(@.type=='Progressing')].message", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: MachineComponentSetSpec
    status: MachineComponentSetStatus = MachineComponentSetStatus()

    @property
    def component(self) -> str:
        """The component to roll out: of the spec, or the last complete one where that was rolled back."""
        status = self.status
        back = status.rolled_back is not None and status.rolled_back.component == self.spec.component
        return status.current.component if back and status.current is not None else self.spec.component
