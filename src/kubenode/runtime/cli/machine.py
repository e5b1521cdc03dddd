"""`kubenode machine`: what is known of the machines of a running cluster, words to make and end them, and tokens for their agents."""

import sys
from datetime import timedelta
from typing import Annotated

import typer

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model import Json
from kubenode.core.model.condition import find
from kubenode.runtime.cli import explain as explaining
from kubenode.runtime.cli.freeze import span
from kubenode.runtime.cli.history import Since, tell
from kubenode.runtime.cli.importing import IMPORT, import_hosts
from kubenode.runtime.cli.lifecycle import CREATE, DELETE, create, delete
from kubenode.runtime.cli.live import Cluster, Context, DryRun, Kubeconfig, completes, one
from kubenode.runtime.cli.output import Format, Output, document, examples, rows
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.enrolment import BootstrapToken, issue
from kubenode.runtime.store.contract import Api

LONGEST_TOKEN = timedelta(days=1)
machine = typer.Typer(
    no_args_is_help=True,
    help="Look at machines of a running cluster, ask for some, let some go, and let hosts enrol.",
)
machine.command(epilog=CREATE)(create)
machine.command(epilog=DELETE)(delete)
machine.command(name="import", epilog=IMPORT)(import_hosts)
Name = Annotated[str, typer.Argument(help="Of the Machine, or of its Node.", autocompletion=completes(m.Machine))]  # fmt: skip


@machine.command(epilog=examples("kubenode machine get", "kubenode machine get n7 -o yaml"))
def get(
    name: Annotated[str | None, typer.Argument(help="Of the Machine; without it all.", autocompletion=completes(m.Machine))] = None,
    kubeconfig: Kubeconfig = None, context: Context = None, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Show machines, with their phase and what is wrong with them; -o yaml gives them as on the server."""

    async def asked(store: Api) -> tuple[Json, ...]:
        return (await store.find(m.Machine.KIND)).items if name is None else (await one(store, m.Machine, name),)  # fmt: skip

    found = Cluster(kubeconfig=kubeconfig, context=context).ask(asked)
    if output is not Output.TABLE:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(found)}
        document(listed if name is None else found[0], output)
    elif found:
        rows(
            ("NAME", "PHASE", "READY", "NODE", "INSTANCE", "OPERATION", "WHY"),
            (_row(wire.read(raw, m.Machine)) for raw in found),
        )
    else:
        sys.stdout.write("no machines\n")


def _row(seen: m.Machine) -> tuple[str, ...]:
    status, ready = seen.status, find(seen.status.conditions, "Ready")
    operation = seen.spec.operation
    why = "" if ready is None or ready.status is m.Switch.TRUE else f"{ready.reason}: {ready.message}"
    return (
        seen.metadata.name, status.phase or "-", "-" if ready is None else ready.status.value,
        "-" if status.node_ref is None else status.node_ref.name, (status.instance and status.instance.id) or "-",
        "-" if operation is None else operation.action, why,
    )  # fmt: skip


@machine.command(epilog=examples("kubenode machine explain n7", "kubenode machine explain n7 -o json"))
def explain(
    name: Name, kubeconfig: Kubeconfig = None, context: Context = None, output: Format = Output.TABLE
) -> None:
    """Say why something is done or not to a machine: as kubenode explain node NAME."""
    explaining.on_cluster(
        Cluster(kubeconfig=kubeconfig, context=context), explaining.Subject.NODE, name, output
    )


@machine.command(epilog=examples("kubenode machine history n7 --since 1h", "kubenode machine history n7 -o json"))  # fmt: skip
def history(
    name: Annotated[str, typer.Argument(help="Of the Machine; it may be gone.", autocompletion=completes(m.Machine))],
    since: Since = None, kubeconfig: Kubeconfig = None, context: Context = None, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """List every act that disrupted a machine: as kubenode history, of one."""
    tell(Cluster(kubeconfig=kubeconfig, context=context), name, since, output)


@machine.command(epilog=examples("kubenode machine token n7", "kubenode machine token n7 --for 15m -o json"))
def token(
    name: Annotated[str, typer.Argument(help="Of the Machine.", autocompletion=completes(m.Machine))],
    lasting: Annotated[str, typer.Option("--for", help="How long it is good, as 15m or 2h; a day at most.")] = "1h",
    kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Make a bootstrap token with which one host enrols as the agent of a Machine, once; print it, and keep it nowhere else.

    Earlier tokens of the Machine are deleted. Needs the rights to make Secrets in kube-system and cluster roles.
    """
    length = span("--for", lasting)
    if not timedelta(0) < length <= LONGEST_TOKEN:
        raise typer.BadParameter("is from 1s to 24h", param_hint="--for")
    expires = SystemClock().now().wall.replace(microsecond=0) + length

    async def issued(store: Api) -> BootstrapToken:
        return await issue(store, await one(store, m.Machine, name), expires, dry_run=dry_run)

    made = Cluster(kubeconfig=kubeconfig, context=context).ask(issued)
    if output is not Output.TABLE:
        document(
            {
                "machine": made.machine, "uid": made.uid, "token": None if dry_run else made.text,
                "expires": made.expires.isoformat(), "user": made.user, "groups": list(made.groups), "dry_run": dry_run,
            },
            output,
        )  # fmt: skip
    elif dry_run:
        sys.stdout.write(f"Machine {made.machine} (dry run, nothing changed): would have a new token\n")
    else:
        sys.stdout.write(
            f"{made.text}\n    for Machine {made.machine}, once, until {made.expires.isoformat()}\n"
            f"    ask for CN={made.user} O={' O='.join(made.groups)}\n"
        )
