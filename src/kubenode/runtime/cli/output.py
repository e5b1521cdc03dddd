"""How the command line speaks: one document or nothing on stdout, errors on stderr with their fix."""

import enum
import json
import sys
from typing import Any, NoReturn

import typer

from kubenode.core.errors import (
    ApiError,
    InvalidObjectError,
    KubenodeError,
    PluginError,
    Problem,
    Unreachable,
)
from kubenode.runtime.cli.connect import ExtraMissing

YES, NO, USAGE, UNKNOWN, BUG = 0, 1, 2, 3, 4


class Output(enum.StrEnum):
    """What `-o` takes."""

    TEXT = "text"
    JSON = "json"


def document(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fail(error: KubenodeError, output: Output, code: int | None = None) -> NoReturn:
    """Say what is wrong, every problem of it, and leave with the exit code of its meaning."""
    status = code if code is not None else _code(error)
    if output is Output.JSON:
        problems = [_problem(one) for one in getattr(error, "problems", ())]
        body = {
            "code": type(error).__name__,
            "message": str(error),
            "fix": "",
            "where": "",
            "problems": problems,
        }
        if problems:
            body |= {"fix": problems[0]["fix"], "where": problems[0]["where"]}
        sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"{error}\n")
        count = len(getattr(error, "problems", ()))
        if count > 1:
            sys.stderr.write(f"{count} problems\n")
    raise typer.Exit(status)


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "where": problem.where, "message": problem.what, "fix": problem.fix, "file": problem.file,
        "line": problem.line or None,
    }  # fmt: skip


def _code(error: KubenodeError) -> int:
    match error:
        case InvalidObjectError() | PluginError():
            return NO
        case Unreachable():
            return UNKNOWN
        case ExtraMissing():
            return USAGE
        case ApiError():
            return NO
        case _:
            return BUG
