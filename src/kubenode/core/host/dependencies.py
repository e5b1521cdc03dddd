"""Dependencies: in which order the entries of one machine are brought to target.

What is to run waits for what it depends on; what is to be stopped or removed waits for what depends on it and goes
too. Entries that wait for each other would wait for ever: the circle is named, and nothing is done about any of them.

Source: api.md section 1, MachineComponent.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import attrs

from kubenode.core.model.component import MachineComponent
from kubenode.core.model.entry import WAITING_FOR_DEPENDENCY, ComponentEntry, Running

CIRCLE: Final = "DependencyCircle"


@attrs.frozen(kw_only=True)
class Obstacle:
    """Why an entry is not begun: a reason, and a text for people."""

    reason: str
    text: str


def obstacles(
    entries: Mapping[str, ComponentEntry], components: Mapping[str, MachineComponent], done: Collection[str]
) -> Mapping[str, Obstacle]:
    """Say which entries must not be begun yet.

    Args:
        entries: of the machine, by name.
        components: those that they name, by their own names; an entry whose component is not there waits for nothing.
        done: names of the entries that are at target.

    Returns:
        By the name of the entry, of those that are not done and have to wait.
    """
    waits = waiting(entries, components)
    found: dict[str, Obstacle] = {}
    for name in sorted(entries.keys() - set(done)):
        circle = circle_of(name, waits)
        if circle:
            text = f"{' -> '.join(circle)} wait for each other; take one of these dependencies away"
            found[name] = Obstacle(reason=CIRCLE, text=text)
            continue
        text = next(_unmet(name, entries, waits[name], done), "")
        if text:
            found[name] = Obstacle(reason=WAITING_FOR_DEPENDENCY, text=text)
    return found


def waiting(
    entries: Mapping[str, ComponentEntry], components: Mapping[str, MachineComponent]
) -> Mapping[str, tuple[str, ...]]:
    """Give for each entry the names for which it waits, whether they have an entry or not."""
    wanted = {
        name: components[entry.component].spec.dependencies if entry.component in components else ()
        for name, entry in entries.items()
    }
    going = sorted(name for name, entry in entries.items() if entry.state is not Running.RUNNING)
    return {
        name: wanted[name]
        if entry.state is Running.RUNNING
        else tuple(other for other in going if name in wanted[other])
        for name, entry in entries.items()
    }


def circle_of(name: str, waits: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Give the shortest way from a name over those for which it waits back to itself; empty when there is none.

    >>> circle_of("a", {"a": ("b",), "b": ("c", "a"), "c": ()})
    ('a', 'b', 'a')
    """
    ways: deque[tuple[str, ...]] = deque([(name,)])
    seen = set[str]()
    while ways:
        way = ways.popleft()
        for after in waits.get(way[-1], ()):
            if after == name:
                return (*way, name)
            if after not in seen:
                seen.add(after)
                ways.append((*way, after))
    return ()


def _unmet(
    name: str, entries: Mapping[str, ComponentEntry], waits: tuple[str, ...], done: Collection[str]
) -> Iterator[str]:
    """Say for what an entry waits."""
    for other in waits:
        entry = entries.get(other)
        if entries[name].state is not Running.RUNNING:
            if other not in done:
                yield f"waits for {other}, which depends on it and goes first"
        elif entry is None:
            yield f"depends on {other}, which no set has given to this machine"
        elif entry.state is not Running.RUNNING:
            yield f"depends on {other}, which is to be {entry.state.value}"
        elif other not in done:
            yield f"waits for {other}, on which it depends"
