"""What a plan says, as values."""

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Difference:
    """An object that would be created or changed; `fields` are the paths of what changes."""

    kind: str
    name: str
    action: str
    fields: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PlannedBatch:
    """Members in the order in which they would be touched, with their zones."""

    number: int
    members: tuple[tuple[str, str], ...]


@attrs.frozen(kw_only=True)
class PlannedRollout:
    """What a set would write.

    Attributes:
        steps: what each machine's agent would do, in words; the same for all of the set.
        joining: machines that never ran, which get their entry at once and without a permit.
        waits: what a person is waited for in the end, or why nothing begins; empty when it completes.
    """

    set: str
    revision: int
    before: str
    component: str
    steps: tuple[str, ...] = ()
    batches: tuple[PlannedBatch, ...] = ()
    joining: tuple[tuple[str, str], ...] = ()
    waits: str = ""


@attrs.frozen(kw_only=True)
class PlannedMachines:
    """What a MachineSet would make and delete; names that are not known before are left to the server."""

    set: str
    creates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    waits: str = ""


@attrs.frozen(kw_only=True)
class PlannedInstances:
    """What would be asked of one provider, where all goes well: a call for each instance made, and one for each terminated.

    Attributes:
        creates: machines for which an instance would be made.
        deletes: machines whose instance would be terminated.
        released: machines that would go, and whose instance would stay.
        problems: by machine, why nothing could be asked for it.
    """

    provider: str
    creates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    problems: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PlannedImport:
    """A machine that would be imported: what would be kept on its Node, and installed before it is Running."""

    machine: str
    host: str
    zone: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    taints: tuple[str, ...]
    entries: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Foresight:
    """All that would happen.

    Attributes:
        exact: every machine that would be touched is installed, so the order within a zone, which is by a
            hash of uids, is the one that will be.
    """

    differences: tuple[Difference, ...] = ()
    imports: tuple[PlannedImport, ...] = ()
    machine_sets: tuple[PlannedMachines, ...] = ()
    instances: tuple[PlannedInstances, ...] = ()
    rollouts: tuple[PlannedRollout, ...] = ()
    frozen: tuple[str, ...] = ()
    exact: bool = True

    @property
    def changes(self) -> bool:
        """Whether anything would be written at all."""
        moved = any(one.batches or one.joining for one in self.rollouts)
        return bool(self.differences or moved or any(one.creates or one.deletes for one in self.machine_sets))
