"""`kubenode controller`: the central controllers against a real cluster."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from kubenode.core.errors import KubenodeError
from kubenode.runtime.cli.connect import connect
from kubenode.runtime.cli.logs import to_stderr
from kubenode.runtime.cli.output import Output, fail
from kubenode.runtime.embed import Engine
from kubenode.runtime.plugins import Plugins


def controller(
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Path of a kubeconfig; without it $KUBECONFIG, ~/.kube/config or the pod's own."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="A TOML file with a table for each plugin, such as kubenode.toml.")
    ] = None,
    observe_only: Annotated[
        bool, typer.Option("--observe-only", help="Write nothing at all; log what would be done next.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log every decision, also those that do nothing.")
    ] = False,
) -> None:
    """Run the controllers until SIGTERM or SIGINT; a call under way is finished first.

    Install what they need first: kubenode manifests | kubectl apply -f -
    """
    to_stderr(verbose=verbose)
    try:
        asyncio.run(serve(kubeconfig, context, settings, observe_only=observe_only))
    except KubenodeError as error:
        fail(error, Output.TABLE)


async def serve(
    kubeconfig: Path | None, context: str | None, settings: Path | None, *, observe_only: bool
) -> None:
    """Connect, run, and stop on a signal: what any host of an Engine does, and no more."""
    plugins = Plugins.discover(settings)
    async with (
        connect(kubeconfig, context) as store,
        Engine(store, plugins=plugins, observe_only=observe_only) as engine,
    ):
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.stop)
        await engine.wait()
