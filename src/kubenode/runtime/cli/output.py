"""How the command line speaks: one document or nothing on stdout, errors on stderr with their fix."""

import enum
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NoReturn, TypeAlias

import typer

from kubenode.core.errors import (
    ApiError,
    Forbidden,
    InvalidObjectError,
    KubenodeError,
    NotInstalled,
    PluginError,
    Problem,
    Refused,
    Retry,
    Unauthorized,
)
from kubenode.runtime.cli.connect import ExtraMissing
from kubenode.runtime.uninstall import ControllerRuns

YES, NO, USAGE, UNKNOWN, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes: yes, no, wrong use, could not tell, our bug, interrupted."""


class Output(enum.StrEnum):
    """What `-o` takes: a table for people, or one document for programs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Format: TypeAlias = Annotated[Output, typer.Option("-o", "--output", help="json, yaml: one document.")]
"""The option of every command that has one answer."""


class CouldNotTell(KubenodeError):
    """The question has an answer, but it is not to be had from what was given.

    Attributes:
        fix: what to do about it; empty where nobody knows.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        self.fix = fix
        super().__init__(message)


def document(value: Any, output: Output = Output.JSON) -> None:
    """Print one document."""
    sys.stdout.write(_yaml(value) if output is Output.YAML else json.dumps(value, indent=2, ensure_ascii=False) + "\n")  # fmt: skip


def _yaml(value: Any) -> str:
    from kubenode.runtime.documents import to_yaml  # an agent would keep it in memory, and never asks for it

    return to_yaml((value,))


def rows(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Print a table: a head, and columns as wide as they need to be."""
    listed = [tuple(map(str, line)) for line in (heads, *lines)]
    wide = [max(len(line[index]) for line in listed) for index in range(len(heads))]
    for line in listed:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True))
        sys.stdout.write(f"{text.rstrip()}\n")


def examples(*lines: str) -> str:
    """Give the examples of a command's `--help`; each is a command line that works where the docs are."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def wanted(words: Sequence[str]) -> Output:
    """Tell which output a command line asks for, also one that is wrong otherwise."""
    for before, word in zip(("", *words), words, strict=False):
        text = word.removeprefix("--output=") if word.startswith("--output=") else ""
        text = word[2:].removeprefix("=") if word.startswith("-o") and len(word) > 2 else text
        text = word if before in ("-o", "--output") else text
        if text in Output.__members__.values():
            return Output(text)
    return Output.TABLE


def complain(output: Output, code: str, message: str, *, fix: str = "", where: str = "", **more: Any) -> None:
    """Say on stderr what is wrong, in the form that was asked for."""
    body = {"error": {"code": code, "message": message, "fix": fix, "where": where, **more}}
    if output is Output.JSON:
        sys.stderr.write(json.dumps(body, ensure_ascii=False) + "\n")
    elif output is Output.YAML:
        sys.stderr.write(_yaml(body))
    else:
        sys.stderr.write(f"{message}\n" + (f"    fix: {fix}\n" if fix and fix not in message else ""))


def fail(error: KubenodeError, output: Output, code: int | None = None, **more: Any) -> NoReturn:
    """Say what is wrong, every problem of it, and leave with the exit code of its meaning; `more` is for programs."""
    problems = [_problem(one) for one in getattr(error, "problems", ())]
    where = problems[0]["where"] if problems else ""
    more["problems"] = problems
    complain(output, type(error).__name__, str(error), fix=fix_of(error), where=where, **more)
    if output is Output.TABLE and len(problems) > 1:
        sys.stderr.write(f"{len(problems)} problems\n")
    raise typer.Exit(code if code is not None else code_of(error))


def fix_of(error: KubenodeError) -> str:
    """Say what to do about an error, or about the first of its problems; empty where nobody knows."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    if problems:
        return problems[0].fix
    if isinstance(error, Forbidden) and not isinstance(error, Unauthorized):
        return "have it granted to you, or name another --context; kubectl auth can-i --list says what you may do"
    return str(getattr(error, "fix", ""))


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "where": problem.where, "message": problem.what, "fix": problem.fix, "file": problem.file,
        "line": problem.line or None,
    }  # fmt: skip


def code_of(error: KubenodeError) -> int:
    """Give the exit code of an error's meaning."""
    match error:
        case InvalidObjectError() | PluginError() | NotInstalled():
            return NO
        case ControllerRuns():
            return NO
        case CouldNotTell():
            return UNKNOWN
        case ExtraMissing():
            return USAGE
        case Refused():
            return NO
        case ApiError():
            return UNKNOWN if error.retry is Retry.BACKOFF else NO
        case _:
            return BUG
