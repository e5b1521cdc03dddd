"""The command words that a host has: of the bundle, which holds the agent and nothing that only people use.

A word of its own file is loaded for each command line; those of `app.py` would cost an agent 11 MiB that it never uses.
"""

from inspect import getdoc
from typing import Final

import typer

from kubenode.runtime.agent.keywork import WORD
from kubenode.runtime.cli.agent import HELP, agent
from kubenode.runtime.cli.fallback import HELP as FALLBACK
from kubenode.runtime.cli.fallback import fallback
from kubenode.runtime.cli.installed import PLUGINS, VERSION, plugins, version
from kubenode.runtime.cli.words import Words

WORDS: Final = ((agent, HELP), (fallback, FALLBACK), (plugins, PLUGINS), (version, VERSION))


def app(texts: dict[str, str]) -> typer.Typer:
    """Give the command line of a host.

    Args:
        texts: what a command says of itself, by its name: in a bundle no function has its docstring.
    """
    made = typer.Typer(
        name="kubenode", cls=Words, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
        rich_markup_mode=None, help="kubenode on a host: the agent.",
        epilog="Exit status: 0 yes, 1 no, 2 wrong use, 3 could not tell, 4 a bug of ours, 130 interrupted.",
    )  # fmt: skip
    for function, examples in WORDS:
        made.command(help=texts.get(function.__name__), epilog=examples)(function)
    made.command(name=WORD, hidden=True)(keys)  # of the agent, for itself
    return made


def keys() -> None:
    """Answer a question about keys and certificates."""
    from kubenode.runtime.agent.keys import main

    main()


def texts() -> dict[str, str]:
    """Give what each command says of itself."""
    return {function.__name__: getdoc(function) or "" for function, _ in WORDS}
