"""The group of all command words: what leaves a command, however it ends, leaves by one of the exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup

from kubenode.core.errors import KubenodeError
from kubenode.runtime.cli.output import (
    BUG,
    INTERRUPTED,
    UNKNOWN,
    USAGE,
    YES,
    Output,
    code_of,
    complain,
    fail,
    wanted,
)

_UsageError: Final[type[Any]] = typer.BadParameter.__mro__[1]
_ClickException: Final[type[Any]] = typer.BadParameter.__mro__[2]
"""Click's own errors; which package they live in depends on the version of typer."""


class Words(TyperGroup):
    """Runs a command and turns its end into an exit code and, where asked, one error document."""

    _output = Output.TABLE

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; never returns but by SystemExit."""
        words = list(sys.argv[1:] if args is None else args)
        output = self._output = wanted(words)
        try:
            raise SystemExit(self._run(words, prog_name or "kubenode", complete_var, extra, output))
        except typer.Exit as left:
            raise SystemExit(left.exit_code) from None

    def _run(
        self, words: list[str], prog_name: str, complete_var: str | None, extra: dict[str, Any], output: Output
    ) -> int:  # fmt: skip
        try:
            left = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except (KeyboardInterrupt, typer.Abort):
            return INTERRUPTED
        except _UsageError as error:
            return _misused(error, output, prog_name)
        except _ClickException as error:
            complain(output, type(error).__name__, error.format_message())
            return USAGE
        except KubenodeError as error:
            fail(error, output, code_of(error))
        except OSError as error:
            return _unwritten(error, output)
        except Exception as error:
            return _bug(error, output)
        return left if isinstance(left, int) else YES

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a closed pipe is told apart from an answer of no, which typer does not."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise typer.Exit(_unwritten(error, self._output)) from None


def _misused(error: Any, output: Output, prog_name: str) -> int:
    if output is Output.TABLE:
        error.show()
        return USAGE
    path = error.ctx.command_path if error.ctx is not None else prog_name
    where = str(getattr(error, "param_hint", None) or getattr(error, "option_name", None) or "")
    complain(output, "UsageError", error.format_message(), fix=f"{path} --help", where=where)
    return USAGE


def _unwritten(error: OSError, output: Output) -> int:
    """Say that the output cannot be written: a full disk, a closed pipe; nobody can tell what was answered."""
    complain(output, "CannotWrite", f"kubenode: cannot write the output: {error}")
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return UNKNOWN  # stdout is no file, so nothing is tried again at exit
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # else the interpreter tries again at exit
    return UNKNOWN


def _bug(error: Exception, output: Output) -> int:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if output is Output.TABLE:
        traceback.print_exception(error)
    complain(
        output, "Bug", f"kubenode: this is a bug of ours: {type(error).__name__}: {error}",
        fix="tell us, with the version and what you ran", where=f"{frame.name}, line {frame.lineno}",
    )  # fmt: skip
    return BUG
