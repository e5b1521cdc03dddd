"""`kubenode fallback`: what the unit kubenode-agent-fallback runs while a new agent is on trial."""

import threading
from pathlib import Path
from typing import Annotated

import typer

from kubenode.runtime.cli.logs import to_stderr
from kubenode.runtime.cli.output import examples

HELP = examples("kubenode fallback --state-dir /var/lib/kubenode")


def fallback(
    state_dir: Annotated[Path, typer.Option(help="The agent's own folder.")] = Path("/var/lib/kubenode"),
) -> None:
    """Watch over a new agent that is on trial, and put the one before back if it does not come up; a unit runs this.

    Exit status: 0 the trial is over, or there is none; 1 something could not be done, so it has to be run again.
    """
    from kubenode.runtime.agent.commands import Commands
    from kubenode.runtime.agent.disk import Disk
    from kubenode.runtime.agent.fallback import Fallback
    from kubenode.runtime.agent.tree import Tree
    from kubenode.runtime.agent.trial import Trials
    from kubenode.runtime.agent.units import Units
    from kubenode.runtime.clock import SystemClock

    to_stderr(verbose=False)
    disk, clock, never = Disk(), SystemClock(), threading.Event()

    def pause(seconds: float) -> None:
        never.wait(seconds)

    Fallback(
        tree=Tree(Path("/"), disk), units=Units(Commands(), pause), trials=Trials(state_dir, disk, "fallback"),
        elapsed=lambda: clock.now().elapsed, pause=pause,
    ).run()  # fmt: skip
