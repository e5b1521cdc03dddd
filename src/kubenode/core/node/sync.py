"""Labels and taints of a Machine on its Node: what to write, what to take back, what is another's.

What we wrote is recorded, key and value, in two annotations of the Node, in the same patch: so a crash
leaves either both or neither. From the record follows whose a field is, as server-side apply without
force would have it:

* a field that is not there is set, and recorded;
* a field that already is as wanted, but not recorded, is another's: it is left, also when we go;
* a field that is recorded and still has the recorded value is ours: changed and removed as the spec says;
* a field that has any other value was set by somebody else: it is left, and reported as a conflict.

Taints are one atomic list: the foreign ones keep their order, ours follow.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from kubenode.core.decision import PatchNode
from kubenode.core.identity import digest
from kubenode.core.model.machine import Taint, TaintEffect
from kubenode.core.model.meta import MACHINE_LABEL, SYNCED_LABELS, SYNCED_TAINTS, ref
from kubenode.core.model.world import Node


@attrs.frozen(kw_only=True)
class Marks:
    """What has to change on a Node, as PatchNode takes it.

    Attributes:
        labels: None removes; keys not named are left alone.
        annotations: the record of what is ours, where it changes.
        taints: the whole list; None when it stays.
        conflicts: fields that are wanted otherwise but are not ours, as text, sorted.
    """

    labels: Mapping[str, str | None] = attrs.field(factory=dict)
    annotations: Mapping[str, str | None] = attrs.field(factory=dict)
    taints: tuple[Taint, ...] | None = None
    conflicts: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether anything has to be written."""
        return bool(self.labels or self.annotations) or self.taints is not None

    def patch(self, node: Node, annotations: Mapping[str, str | None]) -> PatchNode:
        """Give the one effect that writes these marks together with further annotations."""
        return PatchNode(
            node=ref(node), resource_version=node.metadata.resource_version, labels=self.labels,
            annotations={**self.annotations, **annotations}, taints=self.taints,
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class _Merge:
    """How fields become what is wanted: what to set or remove (None), what to record, what is contested."""

    change: Mapping[str, str | None]
    record: Mapping[str, str]
    conflicts: tuple[str, ...]


def plan_marks(node: Node, *, machine: str, labels: Mapping[str, str], taints: tuple[Taint, ...]) -> Marks:
    """Plan the labels and taints of a machine on its Node.

    Args:
        node: as read; its annotations say what is ours.
        machine: the machine's name, for the label that claims the Node.
        labels: wanted besides that label.
        taints: wanted; order does not matter.

    Invariant: foreign labels and taints are never touched, and keep their order.
    """
    wanted = {**labels, MACHINE_LABEL: label_value(machine)}
    return _marks(node, wanted, {_slot(taint): taint.value for taint in taints})


def plan_removal(node: Node) -> Marks:
    """Plan to take back all that is ours on a Node; nothing differs when nothing is ours."""
    return _marks(node, {}, {})


def label_value(machine: str) -> str:
    """Give the label value that names a machine: its name, shortened to 63 characters by a digest.

    >>> label_value("node-7")
    'node-7'
    >>> len(label_value("n" * 253))
    63
    """
    return machine if len(machine) <= 63 else f"{machine[:46]}-{digest(machine)}"


def _marks(node: Node, labels: Mapping[str, str], taints: Mapping[str, str]) -> Marks:
    annotations = node.metadata.annotations
    by_label = _merge(node.metadata.labels, recorded(annotations.get(SYNCED_LABELS, "")), labels)
    there = {_slot(taint): taint.value for taint in node.spec.taints}
    by_taint = _merge(there, recorded(annotations.get(SYNCED_TAINTS, "")), taints)
    records: dict[str, str | None] = {
        key: json.dumps(merge.record, sort_keys=True, separators=(",", ":")) if merge.record else None
        for key, merge in ((SYNCED_LABELS, by_label), (SYNCED_TAINTS, by_taint))
    }
    return Marks(
        labels=by_label.change,
        annotations={key: value for key, value in records.items() if annotations.get(key) != value},
        taints=_taints(node.spec.taints, by_taint.change) if by_taint.change else None,
        conflicts=(
            *(f"label {text}" for text in by_label.conflicts),
            *(f"taint {text}" for text in by_taint.conflicts),
        ),
    )


def _merge(there: Mapping[str, str], ours: Mapping[str, str], wanted: Mapping[str, str]) -> _Merge:
    change: dict[str, str | None] = {}
    record: dict[str, str] = {}
    conflicts: list[str] = []
    for key in sorted(wanted.keys() | ours.keys()):
        found, want = there.get(key), wanted.get(key)
        untouched = key in ours and found == ours[key]
        if want is None:
            if untouched:
                change[key] = None
        elif found is None or (untouched and found != want):
            change[key] = record[key] = want
        elif found == want:
            # Another's, unless recorded: then it is ours, however it got this value.
            record.update({key: want} if key in ours else {})
        else:
            conflicts.append(f"{key} is {found!r}, wanted {want!r}")
    return _Merge(change=change, record=record, conflicts=tuple(conflicts))


def _taints(there: tuple[Taint, ...], change: Mapping[str, str | None]) -> tuple[Taint, ...]:
    kept = tuple(taint for taint in there if _slot(taint) not in change)
    return (*kept, *(_taint(slot, value) for slot, value in sorted(change.items()) if value is not None))


def _slot(taint: Taint) -> str:
    """Give what is unique among the taints of a Node: key and effect."""
    return f"{taint.key}:{taint.effect.value}"


def _taint(slot: str, value: str) -> Taint:
    key, _, effect = slot.rpartition(":")
    return Taint(key=key, value=value, effect=TaintEffect(effect))


def recorded(annotation: str) -> Mapping[str, str]:
    """Read a record of what is ours; one that somebody has spoilt records nothing, so nothing is removed."""
    try:
        found = json.loads(annotation) if annotation else {}
    except (ValueError, RecursionError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    return MappingProxyType({key: value for key, value in found.items() if isinstance(value, str)})
