"""Every reason and code in the source: what a condition, a note, a failure or an agent's report can say.

Read from the syntax tree, so that nobody has to remember a list: each value that is given as `reason` or
`code`, by keyword or by position, is followed to what it can be. What cannot be followed is an error, unless
`FLOWS` says where it comes from. So a reason is missed only by a way of saying it that nobody has used yet,
and such a way is an error.
"""

import ast
import enum
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Final, TypeAlias

import attrs

from kubenode.core.accept.doubts import Doubt
from kubenode.core.doctor.reasons import DoctorReason
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.machine.phase import Signal
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.machineset.claims import Reason as SetReason
from kubenode.core.node.drain import _REASONS

SOURCE: Final = Path(__file__).parents[2] / "src" / "kubenode"
OTHERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "runtime/store": "reasons and codes of the API server's Status objects, which Kubernetes documents",
        "runtime/testing": "as in runtime/store",
        "runtime/agent/commands.py": "exit codes of programs that the agent runs on its host",
        "runtime/agent/look.py": "exit codes and HTTP statuses of checks",
        "core/detect/npd.py": "reasons that the writer of a rule file says",
        "runtime/detector/kept.py": "conditions that were said before, read back from the disk",
        "core/wish/freeze.py": "reasons of freezes, which a person writes",
        "providers/aliyun": "error codes of the cloud's API",
        "providers/aws": "error codes of the cloud's API",
        "providers/clusterapi": "phases and kinds of Cluster API",
        "runtime/cli": "exit codes",
        "runtime/report": "draws what was said",
        "runtime/events": "reasons of Events: phases, states, and what is said elsewhere; docs/reference/events.md",
        "runtime/controller/panel.py": "sentences of reviewers",
        "runtime/embed/panel.py": "sentences of reviewers",
    }
)
"""Folders in which the words mean something else, and what."""
WORDS: Final = frozenset({"reason", "code"})
WITHOUT: Final[Mapping[str, str]] = MappingProxyType({"spec_changed": "one other signal always follows it"})
"""Signals that are no note's code, and why."""

GATE: Final = (
    "ControlGroupWorse", "ControlGroupTooSmall", "InspectionInconclusive", "InspectionFailed", "HookInconclusive", "AwaitingApproval",
    "Inspecting", "Observing",
)  # fmt: skip
"""Why the gate of a batch is shut."""
FLOWS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # How a program ended is no reason of ours.
        "done.returncode": (),
        # A condition of the Node that opened an episode is somebody else's word.
        "condition.reason[:128]": (),
        # `reason, text = refusal(problem)`: the word that `what` begins with, and those are collected; else this.
        "refusal(plan)": ("PluginFailed",),
        "refusal(steps)": ("PluginFailed",),
        "refusal(sight.problem)": ("PluginFailed",),
        # What a provider's error means, and why an instance is not touched.
        "SOON[answer.error]": tuple(one.value for one in InstanceReason),
        "LATER[answer.error]": tuple(one.value for one in InstanceReason),
        "*foreign": tuple(one.value for one in InstanceReason),
        # Tuples that have the reason first.
        "lack[0]": tuple(one.value for one in MachineReason),
        "seen.contest": tuple(one.value for one in MachineReason),
        "seen.contest[0]": tuple(one.value for one in MachineReason),
        "_HELD.get(phase)": tuple(one.value for one in MachineReason),
        "*_loss(crew, losses)": tuple(one.value for one in SetReason),
        "_FOUND[gate.state].value": GATE,
        "_FOUND[course.gate.state].value": GATE,
        "_FOUND[gate.state]": GATE,
        "_FOUND[course.gate.state]": GATE,
        "_REASONS[record.state]": tuple(_REASONS.values()),
        # What an event does, as it was recorded, and how it ended.
        "why.value": tuple(one.value for one in DoctorReason),
        "mine[0].reason": tuple(one.value for one in DoctorReason),
        "ends[0].reason.value": tuple(one.value for one in DoctorReason),
        # Of rules that are ours it is collected where they stand; of a rule file it is its writer's word.
        "ours[0].well": ("NoFault",),
        "*first[type]": (),
        # What a condition said is said again.
        "said.reason": (),
        "first.doubt": tuple(one.value for one in Doubt),
        # The phase of a Machine follows a signal, and the note says which.
        "signal.name.title().replace('_', '')": tuple(
            one.name.title().replace("_", "") for one in Signal if one.name.lower() not in WITHOUT
        ),
    }
)
"""By the expression: what it can be; nothing where it is no word of ours."""


@attrs.frozen(order=True)
class Said:
    """One reason, and the folder under `src/kubenode` that can say it."""

    word: str
    room: str


_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen
class Module:
    """A module, read and loaded; its functions by name, also those within classes."""

    name: str
    room: str
    tree: ast.Module
    loaded: ModuleType
    functions: Mapping[str, tuple[_Function, ...]]


def collect() -> tuple[Said, ...]:
    """Give all that is said, each once.

    Raises:
        AssertionError: where something is said that cannot be followed.
    """
    return collected([_read(path) for path in sorted(SOURCE.rglob("*.py")) if _is_ours(path)])


def collected(modules: list[Module]) -> tuple[Said, ...]:
    """Give all that these modules say; as `collect`."""
    places = _places(modules)
    found = {Said(word, module.room) for module in modules for word in _said(module, places)}
    return tuple(sorted(found))


def _is_ours(path: Path) -> bool:
    return not path.relative_to(SOURCE).as_posix().startswith(tuple(OTHERS))


def _read(path: Path) -> Module:
    relative = path.relative_to(SOURCE).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    loaded = importlib.import_module(".".join(("kubenode", *parts)))
    return parsed(path.read_text(encoding="utf-8"), loaded, relative.parent.as_posix())


def parsed(source: str, loaded: ModuleType, room: str) -> Module:
    """Read the source of a module that is loaded."""
    tree = ast.parse(source)
    functions: dict[str, tuple[_Function, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            functions[node.name] = (*functions.get(node.name, ()), node)
    return Module(loaded.__name__, room, tree, loaded, functions)


def _places(modules: list[Module]) -> Mapping[tuple[str, str], int]:
    """Give where functions take a reason by position: (module, name) -> index, `self` and `cls` left out."""
    found: dict[tuple[str, str], int] = {}
    for module in modules:
        for name, functions in module.functions.items():
            for function in functions:
                taken = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
                for word in WORDS.intersection(taken):
                    found[module.name, name] = taken.index(word)
    return found


def _said(module: Module, places: Mapping[tuple[str, str], int]) -> Iterator[str]:
    for function, call in _calls(module.tree):
        for given in _given(module, call, places):
            yield from _values(module, function, given)
        for keyword in call.keywords:
            if keyword.arg == "what":
                yield from _prefixes(keyword.value)
    for value in _problems(module.tree):
        yield from _prefixes(value)


def _calls(tree: ast.Module) -> Iterator[tuple[_Function | None, ast.Call]]:
    """Give every call with the innermost function around it."""
    pending: list[tuple[_Function | None, ast.AST]] = [(None, tree)]
    while pending:
        function, node = pending.pop()
        if isinstance(node, ast.Call):
            yield function, node
        inner = node if isinstance(node, _Function) else function
        pending += [(inner, child) for child in ast.iter_child_nodes(node)]


def _problems(tree: ast.Module) -> Iterator[ast.expr]:
    """Give what is put into a local `what`, which becomes a Problem's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _names(node.targets) == ["what"]:
            yield node.value


def _names(targets: list[ast.expr]) -> list[str]:
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _prefixes(value: ast.expr) -> Iterator[str]:
    """Give the reason that the `what` of a Problem begins with, as in `PluginMissing: no such driver`."""
    first = value.values[0] if isinstance(value, ast.JoinedStr) and value.values else value
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        head, colon, _ = first.value.partition(": ")
        if colon and head.isalpha() and head[0].isupper():
            yield head


def _given(module: Module, call: ast.Call, places: Mapping[tuple[str, str], int]) -> Iterator[ast.expr]:
    """Give what a call gives as reason or code."""
    yield from (keyword.value for keyword in call.keywords if keyword.arg in WORDS)
    index = places.get(_callee(module, call))
    if index is not None:
        starred = next((one for one in call.args[: index + 1] if isinstance(one, ast.Starred)), None)
        if starred is not None:
            yield starred
        elif index < len(call.args):
            yield call.args[index]


def _callee(module: Module, call: ast.Call) -> tuple[str, str]:
    """Give the module and the name of what is called: here, imported, or a class's own way to make it."""
    func = call.func
    if isinstance(func, ast.Name):
        known = getattr(module.loaded, func.id, None)
        return (getattr(known, "__module__", None) or module.name), func.id
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        owner = getattr(module.loaded, func.value.id, None)
        inside = owner.__name__ if isinstance(owner, ModuleType) else getattr(owner, "__module__", None)
        return inside or module.name, func.attr
    return module.name, ""


def _values(module: Module, function: _Function | None, given: ast.expr) -> Iterator[str]:
    """Follow an expression to the words that it can be."""
    text = ast.unparse(given)
    if text in FLOWS:
        yield from FLOWS[text]
        return
    match given:
        case ast.IfExp(body=one, orelse=other):
            yield from _values(module, function, one)
            yield from _values(module, function, other)
        case ast.Attribute(attr=word) if word in WORDS:
            return  # what was said before, and is collected there
        case ast.Attribute(value=inner, attr="value"):
            yield from _values(module, function, inner)
        case ast.Name(id=name) if function is not None and _is_local(function, name):
            yield from _local(module, function, name)
        case _:
            yield from _constant(module, text)


def _is_local(function: _Function, name: str) -> bool:
    return name in _parameters(function) or bool(_assigned(function, name))


def _parameters(function: _Function) -> Mapping[str, ast.arg]:
    return {one.arg: one for one in (*function.args.args, *function.args.kwonlyargs)}


def _assigned(function: _Function, name: str) -> list[ast.expr]:
    """Give what is put into a local name; of an unpacked tuple the whole, if the name comes first."""
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                first = target.elts[0] if isinstance(target, ast.Tuple) else target
                found += [node.value] if isinstance(first, ast.Name) and first.id == name else []
    return found


def _local(module: Module, function: _Function, name: str) -> Iterator[str]:
    for value in _assigned(function, name):
        yield from _values(module, function, value)
    taken = _parameters(function).get(name)
    if taken is None or name in WORDS:
        return  # a parameter of that name: who calls gives it, and is collected
    kind = eval(ast.unparse(taken.annotation), vars(module.loaded)) if taken.annotation else None  # noqa: S307
    assert isinstance(kind, type), f"{module.name}.{function.name}: what can {name} be?"
    assert issubclass(kind, enum.Enum), f"{module.name}.{function.name}: what can {name} be?"
    yield from (member.value for member in kind)


def _constant(module: Module, text: str) -> Iterator[str]:
    """Give the value of an expression of constants; with a member of an enum that has our words, all of it."""
    try:
        value = eval(text, vars(module.loaded))  # noqa: S307
    except NameError as error:
        lost = f"{module.name}: cannot follow {text!r}; say in FLOWS what it can be"
        raise AssertionError(lost) from error
    if isinstance(value, enum.Enum):
        yield value.value
        yield from (member.value for member in type(value))
    elif isinstance(value, str) and value:
        yield value
