"""Labels, annotations and taints of a Machine on its Node: what to write, what to take back, what is another's.

Labels and annotations are written by server-side apply, never forced: the server knows whose a field is. What it does
not tell a reader is what we wanted last, so each apply records it, key and value, in an annotation of ours:

* a field that is not there, or is as wanted already, is applied, and recorded; the server keeps it for whoever else
  wants the same when we go;
* a field that is recorded and still has the recorded value is ours: changed and removed as the spec says;
* a field that has any other value was set by somebody else: it is left, and reported as a conflict.

Taints are one atomic list: the foreign ones keep their order, ours follow, and one merge patch at one resourceVersion
writes list and record, so a crash leaves both or neither. A taint that is as wanted but not recorded is another's.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from kubenode.core.decision import ApplyNode, PatchNode
from kubenode.core.identity import digest
from kubenode.core.model.machine import Taint, TaintEffect
from kubenode.core.model.meta import (
    GROUP,
    MACHINE_LABEL,
    SYNCED_ANNOTATIONS,
    SYNCED_LABELS,
    SYNCED_TAINTS,
    ref,
)
from kubenode.core.model.world import Node

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
RECORDS = frozenset({SYNCED_LABELS, SYNCED_ANNOTATIONS})
"""The annotations that record what was applied."""


@attrs.frozen(kw_only=True)
class Marks:
    """What has to change on a Node.

    Attributes:
        labels: all that are to be ours, and no others; applied where `applies`.
        annotations: as labels, without the records.
        applies: whether labels or annotations have to be written.
        records: the record of our taints, where it changes.
        taints: the whole list; None when it stays.
        conflicts: fields that are wanted otherwise but are not ours, as text, sorted.
    """

    labels: Mapping[str, str] = _NO_TEXTS
    annotations: Mapping[str, str] = _NO_TEXTS
    applies: bool = False
    records: Mapping[str, str | None] = attrs.field(factory=dict)
    taints: tuple[Taint, ...] | None = None
    conflicts: tuple[str, ...] = ()

    @property
    def patches(self) -> bool:
        """Whether taints or their record have to be written."""
        return bool(self.records) or self.taints is not None

    @property
    def differ(self) -> bool:
        """Whether anything has to be written."""
        return self.applies or self.patches

    def apply(self, node: Node) -> ApplyNode:
        """Give the effect that writes labels and annotations."""
        return ApplyNode(
            node=ref(node), resource_version=node.metadata.resource_version, labels=self.labels,
            annotations=self.annotations,
        )  # fmt: skip

    def patch(self, node: Node, annotations: Mapping[str, str | None]) -> PatchNode:
        """Give the effect that writes the taints together with further annotations."""
        return PatchNode(
            node=ref(node), resource_version=node.metadata.resource_version,
            annotations={**self.records, **annotations}, taints=self.taints,
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class _Merge:
    """How fields become what is wanted: what to set or remove (None), what to record, what is contested."""

    change: Mapping[str, str | None]
    record: Mapping[str, str]
    conflicts: tuple[str, ...]


def plan_marks(
    node: Node, *, machine: str, labels: Mapping[str, str], taints: tuple[Taint, ...],
    annotations: Mapping[str, str] = _NO_TEXTS,
) -> Marks:  # fmt: skip
    """Plan the labels, annotations and taints of a machine on its Node.

    Args:
        node: as read; its annotations say what is ours.
        machine: the machine's name, for the label that claims the Node.
        labels: wanted besides that label.
        taints: wanted; order does not matter.
        annotations: wanted; those of kubenode itself are not a spec's to set, and are passed over.

    Invariant: foreign labels, annotations and taints are never touched, and taints keep their order.
    """
    wanted = {**labels, MACHINE_LABEL: label_value(machine)}
    others = {key: value for key, value in annotations.items() if not key.startswith(f"{GROUP}/")}
    return _marks(node, wanted, others, {_slot(taint): taint.value for taint in taints})


def plan_removal(node: Node) -> Marks:
    """Plan to take back all that is ours on a Node; nothing differs when nothing is ours."""
    return _marks(node, {}, {}, {})


def with_records(effect: ApplyNode) -> Mapping[str, str]:
    """Give the annotations that an apply writes: those wanted, and what records labels and annotations for the next."""
    parts = {SYNCED_LABELS: effect.labels, SYNCED_ANNOTATIONS: effect.annotations}
    return {**effect.annotations, **{key: _text(part) for key, part in parts.items() if part}}


def label_value(machine: str) -> str:
    """Give the label value that names a machine: its name, shortened to 63 characters by a digest.

    >>> label_value("node-7")
    'node-7'
    >>> len(label_value("n" * 253))
    63
    """
    return machine if len(machine) <= 63 else f"{machine[:46]}-{digest(machine)}"


def _marks(
    node: Node, labels: Mapping[str, str], annotations: Mapping[str, str], taints: Mapping[str, str]
) -> Marks:
    noted = node.metadata.annotations
    by_label = _merge(node.metadata.labels, recorded(noted.get(SYNCED_LABELS, "")), labels, shares=True)
    by_annotation = _merge(noted, recorded(noted.get(SYNCED_ANNOTATIONS, "")), annotations, shares=True)
    there = {_slot(taint): taint.value for taint in node.spec.taints}
    by_taint = _merge(there, recorded(noted.get(SYNCED_TAINTS, "")), taints, shares=False)
    records = {
        key: _text(merge.record) if merge.record else None
        for key, merge in (
            (SYNCED_LABELS, by_label),
            (SYNCED_ANNOTATIONS, by_annotation),
            (SYNCED_TAINTS, by_taint),
        )
    }
    stale = {key: text for key, text in records.items() if noted.get(key) != text}
    return Marks(
        labels=by_label.record,
        annotations=by_annotation.record,
        applies=bool(by_label.change or by_annotation.change or stale.keys() & RECORDS),
        records={key: text for key, text in stale.items() if key == SYNCED_TAINTS},
        taints=_taints(node.spec.taints, by_taint.change) if by_taint.change else None,
        conflicts=(
            *(f"label {text}" for text in by_label.conflicts),
            *(f"annotation {text}" for text in by_annotation.conflicts),
            *(f"taint {text}" for text in by_taint.conflicts),
        ),
    )


def _text(record: Mapping[str, str]) -> str:
    return json.dumps(dict(record), sort_keys=True, separators=(",", ":"))


def _merge(
    there: Mapping[str, str], ours: Mapping[str, str], wanted: Mapping[str, str], *, shares: bool
) -> _Merge:
    """Merge fields; where they can have several owners, what is as wanted already is ours too."""
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
            # Without owners it is another's, unless recorded: then it is ours, however it got this value.
            record.update({key: want} if shares or key in ours else {})
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
