"""What docs/concepts.md shows, drawn from the tables and the code that it is about, as Mermaid and Markdown."""

import ast
import inspect
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from kubenode.core.machine.phase import NEXT, Phase, Signal
from kubenode.core.model import KINDS
from kubenode.core.model.remedy import AttemptState, JobPhase
from kubenode.core.model.risk import Cause
from kubenode.core.remedy import by_provider, case, episode, hindrance
from kubenode.core.remedy.ladder import CLOSED_PHASES
from kubenode.core.risk.needs import NEEDS_PERMIT
from kubenode.core.rollout import progress
from kubenode.core.rollout.inspect import Gate, GateState
from kubenode.core.rollout.progress import Course, Stop
from kubenode.runtime.manifests import AGENT, CONTROLLER, install

ROOT: Final = Path(__file__).parents[2]
OPENED: Final = "Opened"
MOVES: Final = frozenset({"move", "ended", "closed", "moved"})
"""Functions whose second argument is where an episode or its last attempt goes."""
FEW: Final = 4
"""From so many phases and fewer, each arrow is drawn; from more, one for all."""


def _mermaid(kind: str, lines: Iterator[str]) -> str:
    return "\n".join(("```mermaid", kind, *(f"    {line}" for line in lines), "```"))


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return (
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        .replace("| --- ", "|---")
        .replace("--- |", "---|")
    )


def layers() -> str:
    """Draw the layers of the import contract, and the deciders that never import each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    named: Mapping[str, Any] = {contract["id"]: contract for contract in contracts}
    rows = [[name.strip() for name in row.split("|")] for row in named["layers"]["layers"]]
    deciders = [module.removeprefix("kubenode.core.") for module in named["deciders"]["modules"]]

    def lines() -> Iterator[str]:
        for upper, lower in itertools.pairwise(rows):
            for one, other in itertools.product(upper, lower):
                yield f"{one} -->|imports| {other}"
        yield f'core --- deciders["deciders, none imports another:<br>{", ".join(deciders)}"]'

    return _mermaid("flowchart TD", lines())


def kinds() -> str:
    """List the kinds, and who may write what by the RBAC that `kubenode manifests` prints."""
    roles = {obj["metadata"]["name"]: obj["rules"] for obj in install() if obj["kind"] == "ClusterRole"}

    def may(role: str, resource: str) -> str:
        verbs = {verb for rule in roles[role] if resource in rule["resources"] for verb in rule["verbs"]} - {
            "get",
            "list",
            "watch",
        }
        return ", ".join(sorted(verbs)) or "-"

    def rows() -> Iterator[tuple[str, ...]]:
        for cls in KINDS:
            plural = cls.KIND.plural
            short = ", ".join(cls.KIND.short_names)
            says = inspect.cleandoc(cls.__doc__ or "").splitlines()[0]
            yield (
                cls.KIND.name, short, says, may(CONTROLLER, plural), may(CONTROLLER, f"{plural}/status"),
                may(AGENT, f"{plural}/status"),
            )  # fmt: skip

    head = ("kind", "short", "says", "controllers: object", "controllers: status", "agent: status")
    return _table(head, rows())


def machine_phases() -> str:
    """Draw the law of phases: an arrow a move, and one for a signal that moves (almost) all phases alike."""

    def lines() -> Iterator[str]:
        for signal in Signal:
            targets = {NEXT[phase][signal] for phase in Phase if NEXT[phase][signal] is not phase}
            for target in sorted(targets, key=list(Phase).index):
                sources = [phase for phase in Phase if phase is not target and NEXT[phase][signal] is target]
                if len(sources) <= FEW:
                    for source in sources:
                        yield f'{source.value} -->|"{signal.value}"| {target.value}'
                    continue
                others = [phase.value for phase in Phase if phase is not target and phase not in sources]
                but = f" (but {', '.join(others)})" if others else ""
                yield f'any(["any{but}"]) -->|"{signal.value}"| {target.value}'.replace(
                    "any(", f"any{signal.name}(", 1
                )

    return _mermaid("flowchart LR", lines())


def job_phases() -> str:
    """Draw the moves of an episode, as the functions of core/remedy/episode and those that it calls make them."""
    trees = [ast.parse(inspect.getsource(module)) for module in (case, hindrance, by_provider, episode)]
    functions = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}

    def lines() -> Iterator[str]:
        yield f"[*] --> {OPENED}"
        for state, handler in _handlers(functions["_move_of"]):
            for target in sorted(_reached(functions, handler) - {state}):
                yield f"{state} --> {target}"
        for phase in JobPhase:
            if phase.value in CLOSED_PHASES:
                yield f"{phase.value} --> [*]"

    return _mermaid("stateDiagram-v2", lines())


def _handlers(move: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Read which function deals with an episode without an attempt, and with a last attempt in which state.

    One whose last attempt is Succeeded is closed as such.
    """
    for node in ast.walk(move):
        if isinstance(node, ast.If):
            yield OPENED, _answer(node.body)
        elif isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchValue):
            state = getattr(AttemptState, _last(node.pattern.value))
            if state is not AttemptState.SUCCEEDED:
                yield state.value, _answer(node.body)


def _answer(body: list[ast.stmt]) -> str:
    """Give the name of the function whose answer is returned."""
    (answer,) = body
    assert isinstance(answer, ast.Return)
    assert isinstance(answer.value, ast.Call)
    return _last(answer.value.func)


def _last(node: ast.expr) -> str:
    return ast.unparse(node).rsplit(".", maxsplit=1)[-1]


def _reached(functions: Mapping[str, ast.FunctionDef], begin: str) -> set[str]:
    """Give the states and phases that a function, with all that it calls, can move an episode to."""
    pending, seen, found = [begin], {begin}, set[str]()
    while pending:
        function = functions[pending.pop()]
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            name = _last(node.func)
            found |= {JobPhase.WAITING.value} if name == "begun" else set()
            found |= set(_states(function, node.args[1])) if name in MOVES else set()
            if name in functions and name not in seen:
                seen.add(name)
                pending.append(name)
    return found


def _states(function: ast.FunctionDef, given: ast.expr) -> Iterator[str]:
    """Give what a move is to: a member, or a local name for one of two; an argument is its caller's."""
    if isinstance(given, ast.IfExp):
        yield from _states(function, given.body)
        yield from _states(function, given.orelse)
    elif isinstance(given, ast.Attribute):
        owner = {"AttemptState": AttemptState, "JobPhase": JobPhase}[ast.unparse(given.value)]
        yield getattr(owner, given.attr).value
    elif isinstance(given, ast.Name):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == given.id:
                yield from _states(function, node.value)


def rollout_phases() -> str:
    """Draw which phase follows from what is found: asked of the code for everything that can be found."""
    passed = Gate(state=GateState.PASSED)
    said = re.findall(r"Stop\(\s*reason=Reason\.(\w+)", inspect.getsource(progress))
    held = [reason for reason in progress.Reason if reason.name in said]
    found: list[tuple[str, Course]] = [
        *(
            (f"it stands still: {reason.value}", Course(stop=Stop(reason=reason, text=""), gate=passed))
            for reason in held
        ),
        *((f"batch {state.value}", Course(stop=None, gate=Gate(state=state))) for state in GateState),
        ("every machine is at the revision", Course(stop=None, gate=passed, complete=True)),
    ]

    def lines() -> Iterator[str]:
        for phase in progress.Phase:
            yield f'{phase.value}(["{phase.value}"])'
        for number, (text, course) in enumerate(found):
            yield f'f{number}["{text}"] --> {course.phase.value}'

    return _mermaid("flowchart LR", lines())


def permits() -> str:
    """Draw the table of what needs a permit."""

    def lines() -> Iterator[str]:
        for needs, title in ((False, "needs none"), (True, "needs a permit")):
            acts = [act.value for act, answer in NEEDS_PERMIT.items() if answer is needs]
            yield f'{"permit" if needs else "none"}["{title}:<br>{", ".join(acts)}"]'
        yield 'fresh["anything, before the machine was first Running"] --> none'

    return _mermaid("flowchart LR", lines())


def service() -> str:
    """Give the order in which those who ask for a permit are served."""
    return (
        "Who waits is served in this order: "
        + ", then ".join(cause.value for cause in Cause)
        + "; of equals, who asked first."
    )


DRAWN: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "layers": layers, "kinds": kinds, "machine phases": machine_phases, "job phases": job_phases,
        "rollout phases": rollout_phases, "permits": permits, "service": service,
    }
)  # fmt: skip
"""By the name in the page's comments."""
