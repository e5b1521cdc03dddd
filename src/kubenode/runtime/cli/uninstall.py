"""`kubenode uninstall`: our finalizers off our objects, so that the rest can be deleted."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import attrs
import typer

from kubenode.core.lease import CONTROLLER, NAMESPACE
from kubenode.runtime.cli.connect import connect
from kubenode.runtime.cli.live import Context, Kubeconfig
from kubenode.runtime.cli.output import Format, Output, document, examples, rows
from kubenode.runtime.uninstall import NEXT, Release
from kubenode.runtime.uninstall import uninstall as release

HELP = examples(
    "kubenode uninstall --dry-run                    # what would be taken off; changes nothing",
    "kubenode uninstall --kubeconfig ~/.kube/config",
    "kubenode manifests | kubectl delete -f -        # afterwards: CRDs, objects and roles",
)


def uninstall(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    lease: Annotated[
        str, typer.Option(help="Lease of the controllers; none: you know that none runs.")
    ] = CONTROLLER,
    lease_namespace: Annotated[str, typer.Option(help="Namespace of the Lease.")] = NAMESPACE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be taken off; change nothing.")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    """Take kubenode's finalizers off all its objects. Terminates no machine, and touches no Node.

    Stop the controllers first. Their Lease is kept meanwhile, and for ten minutes after it. When it is interrupted,
    run it again.

    Exit status: 0 done, 1 a controller runs or something was refused, 3 the cluster cannot be reached.
    """
    done = asyncio.run(
        _uninstall(kubeconfig, context, None if lease == "none" else lease, lease_namespace, dry_run)
    )
    if output is not Output.TABLE:
        told = [attrs.asdict(one) | {"finalizers": list(one.finalizers)} for one in done]
        document({"dry_run": dry_run, "released": told, "next": NEXT}, output)
        return
    if done:
        rows(("KIND", "NAME", "FINALIZERS"), ((one.kind, one.name, ",".join(one.finalizers)) for one in done))
    for one in done:
        if one.orphan:
            sys.stderr.write(
                f"warning: {one.kind} {one.name} was being deleted; its instance of provider {one.orphan} is nobody's now\n"
            )
    word = "would be released" if dry_run else "released"
    sys.stdout.write(f"{len(done)} objects {word}; next: {NEXT}\n")


async def _uninstall(
    kubeconfig: Path | None, context: str | None, lease: str | None, namespace: str, dry_run: bool
) -> tuple[Release, ...]:
    async with connect(kubeconfig, context, field_manager="kubenode-uninstall") as store:
        return await release(store, dry_run=dry_run, lease=lease, namespace=namespace)
