"""`kubenode controller`: the central controllers against a real cluster."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from kubenode.core.errors import KubenodeError
from kubenode.runtime.cli.connect import connect
from kubenode.runtime.cli.logs import to_stderr
from kubenode.runtime.cli.output import Output, fail
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.engine.drive import Driver, survived
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.plugins import Plugins

LOG = logging.getLogger("kubenode.controller")


def controller(
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Path of a kubeconfig; without it $KUBECONFIG, ~/.kube/config or the pod's own."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log every decision, also those that do nothing.")
    ] = False,
) -> None:
    """Run the controllers until SIGTERM or SIGINT; a call under way is finished first.

    Install what they need first: kubenode manifests | kubectl apply -f -
    """
    to_stderr(verbose=verbose)
    try:
        asyncio.run(serve(kubeconfig, context))
    except KubenodeError as error:
        fail(error, Output.TABLE)


async def serve(kubeconfig: Path | None, context: str | None) -> None:
    """Connect, run, and stop on a signal."""
    plugins = Plugins.discover()
    for problem in plugins.problems:
        LOG.error("event=plugin-problem %s", problem)
    async with connect(kubeconfig, context) as store:
        driver = Driver(controllers(plugins, _log, survived), store, SystemClock(), first=(FIRST,))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, driver.stop)
        LOG.info("event=started")
        await driver.run()
        LOG.info("event=stopped")


def _log(decided: Decided) -> None:
    notes = "; ".join(f"{note.code}: {note.text}" for note in decided.decision.notes)
    level = logging.INFO if decided.acts else logging.DEBUG
    LOG.log(level, "event=decided key=%s acts=%d notes=%r", decided.key, len(decided.acts), notes)
