"""`kubenode machine`: what is known of the machines of a running cluster."""

import sys
from typing import Annotated

import typer

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model import Json
from kubenode.core.model.condition import find
from kubenode.runtime.cli import explain as explaining
from kubenode.runtime.cli.history import Since, tell
from kubenode.runtime.cli.live import Cluster, Context, Kubeconfig, completes, one
from kubenode.runtime.cli.output import Format, Output, document, examples, rows
from kubenode.runtime.store.contract import Api

machine = typer.Typer(no_args_is_help=True, help="Look at machines of a running cluster.")
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
            ("NAME", "PHASE", "READY", "NODE", "OPERATION", "WHY"),
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
        "-" if status.node_ref is None else status.node_ref.name, "-" if operation is None else operation.action, why,
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
