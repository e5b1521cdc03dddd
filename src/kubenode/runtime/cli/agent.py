"""`kubenode agent`: the agent of the host that it runs on."""

import asyncio
import socket
import sys
from datetime import timedelta
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubenode.core.decision import Decision, RunSteps
from kubenode.core.host.inspection import INSPECT_EVERY, LONGEST, SHORTEST
from kubenode.core.step import Step, WriteFile
from kubenode.runtime.cli.connect import ExtraMissing
from kubenode.runtime.cli.logs import to_stderr
from kubenode.runtime.cli.output import CouldNotTell, Format, Output, document, examples
from kubenode.runtime.plugins import Plugins

if TYPE_CHECKING:
    from kubenode.runtime.agent.serve import Serving

STATE = Path("/var/lib/kubenode")
HELP = examples(
    "kubenode agent m1 --server https://10.0.0.1:6443 --ca /etc/kubenode/ca.crt --token-file /etc/kubenode/token",
    "kubenode agent m1 --kubeconfig agent.kubeconfig            # with credentials that are there already",
    "kubenode agent m1 --kubeconfig agent.kubeconfig --dry-run  # what it would do now",
)


def agent(  # noqa: PLR0913, PLR0917 - one an option
    machine: Annotated[str, typer.Argument(help="Name of the Machine whose host this is.")],
    server: Annotated[str | None, typer.Option(help="URL of the API server.")] = None,
    ca: Annotated[
        Path | None, typer.Option(help="File with the certificates that the server's is checked against.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a token of kubenode machine token; needed until there is a certificate."
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Ready credentials (kubenode:agent:MACHINE), in place of --server.")
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="The agent's own folder: key, certificate, journal.")] = STATE,
    node: Annotated[str | None, typer.Option(help="Name of its Node; default: the host's name.")] = None,
    inspect_seconds: Annotated[
        int,
        typer.Option(
            min=int(SHORTEST.total_seconds()), max=int(LONGEST.total_seconds()),
            help="How often the host is looked at though nothing was heard.",
        ),
    ] = int(INSPECT_EVERY.total_seconds()),
    kernel_log: Annotated[
        str, typer.Option(help="Where the kernel's lines are read: /dev/kmsg, journald, or a file.")
    ] = "/dev/kmsg",
    rules: Annotated[
        list[Path] | None,
        typer.Option(help="A rule file of node-problem-detector, for a log; may be given several times."),
    ] = None,
    detect: Annotated[bool, typer.Option(help="Look for faults of the host, and report them.")] = True,
    once: Annotated[bool, typer.Option("--once", help="End when all is done that can be done now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done now; do nothing.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log every detail.")] = False,
    output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Be the agent of this host until SIGTERM: keep its components as its Machine says, and report.

    It makes its key here, asks for a certificate with the token, once, and renews it. It reads its own Machine and
    MachineComponents, and writes the agent's part of the Machine's status and nothing else.

    Exit status: 0 told to stop, or done with --once; 1 something is wrong with what was given; 2 wrong use; 3 it could
    not become the agent, or another one runs here.
    """
    try:
        from kubenode.runtime.agent.enrol import Enrolment, NotEnrolled
        from kubenode.runtime.agent.journal import JournalFailed
        from kubenode.runtime.agent.serve import Serving, planned, serve
        from kubenode.runtime.detector.setting import Detecting
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"this needs {error.name}: pip install 'kubenode[agent]'") from None
    to_stderr(verbose=verbose)
    enrolment = None
    if kubeconfig is None:
        if server is None or ca is None:
            raise typer.BadParameter("name a server and its --ca, or --kubeconfig", param_hint="--server")
        enrolment = Enrolment(
            machine=machine, server=server, authority=ca, state=state_dir, token_file=token_file
        )
    elif server is not None or ca is not None or token_file is not None:
        raise typer.BadParameter(
            "stands in place of --server, --ca and --token-file", param_hint="--kubeconfig"
        )
    wanted = Serving(
        machine=machine, node=node or socket.gethostname().lower(), state=state_dir, enrolment=enrolment,
        kubeconfig=kubeconfig, inspect=timedelta(seconds=inspect_seconds), version=installed_version("kubenode"),
        detect=Detecting(kernel_log=kernel_log, rule_files=tuple(rules or ())) if detect else None, once=once,
    )  # fmt: skip
    plugins = Plugins.on_host()
    try:
        if dry_run:
            _print(wanted, asyncio.run(planned(wanted, plugins)), output)
        else:
            asyncio.run(serve(wanted, plugins))
    except (NotEnrolled, JournalFailed) as error:
        raise CannotServe(str(error), getattr(error, "fix", "")) from error


class CannotServe(CouldNotTell):
    """The agent cannot be the agent of this host."""


def _print(wanted: "Serving", decision: Decision[Any] | None, output: Output) -> None:
    """Say what a decision would do on the host; contents of files are not shown, since they may be secrets."""
    if decision is None:
        raise CannotServe(
            f"there is no Machine {wanted.machine}, or it may not be read", "kubectl get machines"
        )
    runs = [effect for effect in decision.effects if isinstance(effect, RunSteps)]
    if output is not Output.TABLE:
        steps = [_told(step) for run in runs for step in run.steps]
        notes = [{"code": note.code, "text": note.text} for note in decision.notes]
        opened = runs[0].op_id if runs else None
        document({"machine": wanted.machine, "op_id": opened, "steps": steps, "notes": notes}, output)
        return
    from kubenode.runtime.agent.acts import named

    for run in runs:
        sys.stdout.write(f"{run.op_id} ({run.disruption.value}):\n")
        sys.stdout.writelines(f"    {named(step)}\n" for step in run.steps)
    sys.stdout.writelines(f"{note.code}: {note.text}\n" for note in decision.notes)
    if not runs:
        sys.stdout.write("nothing to do\n")


def _told(step: Step) -> dict[str, Any]:
    from kubenode.runtime.agent.acts import dump

    told = dump(step)
    return {**told, "bytes": len(step.content)} if isinstance(step, WriteFile) else told
