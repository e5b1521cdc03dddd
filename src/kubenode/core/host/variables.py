"""Per-node values in a component's parameters: `${machine.name}`, `${node.address}`, `${zone}`, `${label.KEY}`.

They stand in text values only, never in keys. What was put in is not looked at again. `$${` is the text `${`. A
variable that has no value yet makes the component wait; it is never an empty text.

Source: api.md section 1, MachineComponent.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubenode.core.errors import Problem
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import LABEL_KEY, ZONE_LABEL, Json, matches
from kubenode.core.reading import join, near

MACHINE_NAME, NODE_ADDRESS, ZONE = "machine.name", "node.address", "zone"
LABEL: Final = "label."
KNOWN: Final = (MACHINE_NAME, NODE_ADDRESS, ZONE, f"{LABEL}KEY")

_PLACE: Final = re.compile(r"\$(\$\{)|\$\{([^{}]*)\}|\$\{")
"""The escape; a variable; a beginning without an end."""
_PLAIN: Final = re.compile(r"^(label\.[-A-Za-z0-9._/ ]{0,58}|[A-Za-z0-9._ ]{0,64})")
"""What a name begins with, as far as it is one."""


def faults(parameters: Mapping[str, Any], where: str) -> tuple[Problem, ...]:
    """Find what looks like a variable and is none, each with its path below `where`."""
    return tuple(problem for path, text in _texts(parameters, where) for problem in _faults(text, path))


def values(machine: Machine, address: str) -> Mapping[str, str]:
    """Give the variables of a machine that have a value.

    Args:
        machine: a label is that of the Node as `spec.labels` says it, else of the Machine; the zone is a label.
        address: what the host says is its own; an imported host's `spec.host.address` goes before it.
    """
    labels = {**machine.metadata.labels, **machine.spec.labels}
    given = "" if machine.spec.host is None else machine.spec.host.address
    all_of_them = {
        MACHINE_NAME: machine.metadata.name, NODE_ADDRESS: given or address, ZONE: labels.get(ZONE_LABEL, ""),
        **{f"{LABEL}{key}": value for key, value in labels.items()},
    }  # fmt: skip
    return {name: value for name, value in all_of_them.items() if value}


def filled(parameters: Mapping[str, Any], known: Mapping[str, str], where: str) -> Json | Problem:
    """Put values in the places of variables.

    Returns:
        Parameters of the same form; or the Problem that keeps them from it, whose `what` begins with its reason:
        ParametersInvalid for what is no variable, WaitingForValue for one without a value.
    """
    wrong = faults(parameters, where)
    if wrong:
        first = wrong[0]
        return Problem(where=first.where, what=f"ParametersInvalid: {first.what}", fix=first.fix)
    for path, text in _texts(parameters, where):
        for match in _PLACE.finditer(text):
            name = match[2]
            if name is not None and name not in known:
                fix = _source(name)
                return Problem(where=path, what=f"WaitingForValue: ${{{name}}} has no value yet", fix=fix)
    return {key: _filled(value, known) for key, value in parameters.items()}


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda match: "${" if match[1] else known[match[2]], value)
    if isinstance(value, Mapping):
        return {key: _filled(part, known) for key, part in value.items()}
    return [_filled(part, known) for part in value] if isinstance(value, list | tuple) else value


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Give every text value with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(part, join(path, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _texts(part, f"{path}[{index}]")


def _faults(text: str, path: str) -> Iterator[Problem]:
    escape = "write $${ where the text itself is meant"
    for match in _PLACE.finditer(text):
        name = match[2]
        if match[1]:
            continue
        if name is None:
            yield Problem(
                where=path, what="${ begins a variable that does not end", fix=f"add }}, or {escape}"
            )
        elif not _is_variable(name):
            what = f"${{{_shown(name)}}} is no variable"
            yield Problem(where=path, what=what, fix=f"{near(name, KNOWN)}; {escape}")


def _shown(name: str) -> str:
    """Give what may be told of what is no variable: its name, and not what a shell's expansion has behind it, as a default."""
    rest = _PLAIN.sub("", name)
    return f"{name.removesuffix(rest)}…" if rest else name


def _is_variable(name: str) -> bool:
    if name.startswith(LABEL):
        return matches(LABEL_KEY, name.removeprefix(LABEL))
    return name in KNOWN


def _source(name: str) -> str:
    """Say where the value of a variable comes from."""
    if name == NODE_ADDRESS:
        return "its agent has not told an address, and spec.host gives none"
    key = ZONE_LABEL if name == ZONE else name.removeprefix(LABEL)
    return f"label the Machine, or write spec.labels: {key}"
