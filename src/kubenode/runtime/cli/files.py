"""`kubenode manifests` and `kubenode validate`: what is installed, and what people wrote."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.cli.output import NO, Format, Output, document, examples, fail, rows
from kubenode.runtime.manifests import Reads, install, review, to_yaml
from kubenode.runtime.plugins import Plugins

MANIFESTS = examples(
    "kubenode manifests",
    "kubenode manifests --enrolment",
    "kubenode manifests --remediation",
    "kubenode manifests -o json",
    "kubenode manifests -o table",
)
VALIDATE = examples(
    "kubenode validate docs/examples/upgrade.yaml",
    "kubenode validate docs/examples/*.yaml -o json",
)


def manifests(
    output: Annotated[
        Output, typer.Option("-o", "--output", help="yaml: documents to apply; json: one List.")
    ] = Output.YAML,
    enrolment: Annotated[
        bool, typer.Option("--enrolment", help="With what agents need to get certificates: kubenode controller --enrolment.")
    ] = False,
    remediation: Annotated[
        bool,
        typer.Option("--remediation", help="With what health checks of Cluster API and medik8s ask by: kubenode controller --remediation."),
    ] = False,
    user_data: Annotated[
        bool, typer.Option("--user-data", help="With what instances need to enrol by user data: kubenode controller --user-data. Includes --enrolment.")
    ] = False,
    agent_reads: Annotated[
        Reads | None,
        typer.Option(help="Machines that an agent may read. [default: own with --enrolment, any with --user-data and else]", show_default=False),
    ] = None,
) -> None:  # fmt: skip
    """Print CRDs, RBAC and admission policies to install, as in: kubenode manifests | kubectl apply -f - ."""
    try:
        objects = install(
            enrolment=enrolment, remediation=remediation, reads=agent_reads, user_data=user_data
        )
    except InvalidObjectError as error:
        fail(error, output, NO)
    if output is Output.JSON:
        document({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    elif output is Output.YAML:
        sys.stdout.write(to_yaml(objects))
    else:
        rows(("KIND", "NAME"), ((one["kind"], one["metadata"]["name"]) for one in objects))


def validate(
    files: Annotated[list[Path], typer.Argument(help="YAML or JSON files; many documents a file.")],
    output: Format = Output.TABLE,
) -> None:
    """Check manifests as core and the plugins installed here do, all problems at once with file, line and path.

    No cluster is asked.
    """
    found = review(files, Plugins.discover())
    warnings = [str(warning) for warning in found.warnings]
    if output is Output.TABLE:
        for warning in warnings:
            sys.stderr.write(f"warning: {warning}\n")
    if found.problems:
        fail(InvalidObjectError(found.problems), output, NO, warnings=warnings)
    if output is not Output.TABLE:
        document({"valid": True, "objects": len(found.objects), "warnings": warnings}, output)
        return
    sys.stdout.write(f"{len(found.objects)} objects valid\n")
