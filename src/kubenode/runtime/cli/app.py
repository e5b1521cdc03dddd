"""The command words, and what happens when one of them meets a bug of ours."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.cli.controller import controller
from kubenode.runtime.cli.demo import demo
from kubenode.runtime.cli.output import BUG, NO, UNKNOWN, Output, document, fail
from kubenode.runtime.cli.sim import sim
from kubenode.runtime.manifests import install, review, to_yaml
from kubenode.runtime.plugins import Plugins

app = typer.Typer(
    name="kubenode", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=True,
    help="Does for Kubernetes nodes what Deployments do for pods: import, upgrade in batches, heal, "
    "and never make an outage worse.",
)  # fmt: skip

Format = Annotated[Output, typer.Option("-o", "--output", help="text, or json: one document.")]

app.command()(demo)
app.add_typer(sim, name="sim")
app.command()(controller)


@app.command()
def manifests(
    output: Annotated[
        Output | None, typer.Option("-o", "--output", help="json prints a List; the default is YAML.")
    ] = None,
) -> None:
    """Print the CRDs and the RBAC to install, as in: kubenode manifests | kubectl apply -f - ."""
    objects = install()
    if output is Output.JSON:
        document({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    else:
        sys.stdout.write(to_yaml(objects))


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="YAML or JSON files; many documents a file.")],
    output: Format = Output.TEXT,
) -> None:
    """Check manifests as core does, all problems at once with file, line and path; no cluster is asked."""
    try:
        found = review(files)
    except InvalidObjectError as error:
        fail(error, output, NO)
    warnings = [str(warning) for warning in found.warnings]
    if output is Output.JSON:
        document({"valid": True, "objects": len(found.objects), "warnings": warnings})
        return
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stdout.write(f"{len(found.objects)} objects valid\n")


@app.command()
def plugins(output: Format = Output.TEXT) -> None:
    """List the drivers that installed plugins register, and what is wrong with any."""
    found = Plugins.discover()
    rows = [
        {"kind": kind, "name": name, "plugin": found.origins[f"{kind}/{name}"]}
        for kind in ("providers", "components", "remedies") for name in sorted(getattr(found, kind))
    ]  # fmt: skip
    if output is Output.JSON:
        problems = [{"where": one.where, "message": one.what, "fix": one.fix} for one in found.problems]
        document({"drivers": rows, "problems": problems})
    else:
        for row in rows:
            sys.stdout.write(f"{row['kind']:<12}{row['name']:<20}{row['plugin']}\n")
        for problem in found.problems:
            sys.stderr.write(f"{problem}\n")
    if found.problems:
        raise typer.Exit(NO)


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"{installed_version('kubenode')}\n")


def run() -> None:
    """Run; an error nobody expected is our bug, and says so."""
    try:
        app()
        sys.stdout.flush()
    except (SystemExit, KeyboardInterrupt):
        raise
    except OSError as error:  # the output cannot be written: a full disk, a closed pipe
        sys.stderr.write(f"kubenode: cannot write the output: {error}\n")
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else the interpreter tries again at exit
        raise SystemExit(UNKNOWN) from None
    except Exception as error:
        import traceback

        traceback.print_exc()
        sys.stderr.write(f"kubenode: this is a bug of ours: {type(error).__name__}: {error}\n")
        raise SystemExit(BUG) from error
