"""MachineComponentSets of some files that want one entry of one machine: what a cluster tells as their condition Conflict."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, TypeAlias

import attrs

from kubenode.core.model import Machine, MachineComponentSet, MachineSet, Object

FIX: Final = "rename one set's spec.name, or make the selectors disjoint"
_Labelled: TypeAlias = tuple[str, Mapping[str, str]]


@attrs.frozen(kw_only=True)
class Rivals:
    """Two sets of one `spec.name`.

    Attributes:
        first, second: names of the sets, in the order of the files.
        common: what both select, for people: a machine of the files, or every machine of the narrower selector.
    """

    first: str
    second: str
    common: str


def rivals(objects: Sequence[Object]) -> Iterator[Rivals]:
    """Give the sets that certainly meet: on a machine of the files or of a template, or by selectors of which one holds the other.

    Args:
        objects: of the files; of two of one kind and name the last counts.
    """
    last = tuple({(type(obj), obj.metadata.name): obj for obj in objects}.values())
    named: dict[str, list[MachineComponentSet]] = {}
    for obj in last:
        if isinstance(obj, MachineComponentSet):
            named.setdefault(obj.spec.name, []).append(obj)
    labelled = tuple(_labelled(last))
    for sets in named.values():
        if len(sets) > 1:
            yield from _meeting(sets, labelled)


def _labelled(objects: Iterable[Object]) -> Iterator[_Labelled]:
    for obj in objects:
        if isinstance(obj, Machine):
            yield f"Machine {obj.metadata.name}", obj.metadata.labels
        elif isinstance(obj, MachineSet):
            yield f"the machines of MachineSet {obj.metadata.name}", obj.spec.template.labels


def _meeting(sets: Sequence[MachineComponentSet], labelled: Iterable[_Labelled]) -> Iterator[Rivals]:
    """Compare sets of one `spec.name`: each machine with each set once, then each pair of selectors."""
    common: dict[tuple[str, str], str] = {}
    for who, labels in labelled:
        at_it = [one.metadata.name for one in sets if one.spec.selector.selects(labels)]
        for pair in combinations(at_it, 2):
            common.setdefault(pair, who)
    for one, other in combinations(sets, 2):
        pair = (one.metadata.name, other.metadata.name)
        if who := common.get(pair) or _narrower(one, other):
            yield Rivals(first=pair[0], second=pair[1], common=who)


def _narrower(one: MachineComponentSet, other: MachineComponentSet) -> str:
    """Say which machines both select whatever machines there are; empty when it depends on them."""
    if one.spec.selector.selects(other.spec.selector.match_labels):
        return f"every machine that {other.metadata.name} selects"
    if other.spec.selector.selects(one.spec.selector.match_labels):
        return f"every machine that {one.metadata.name} selects"
    return ""
