"""`kubenode plugins` and `kubenode version`: what is installed here."""

import platform
import sys
from importlib.metadata import version as installed_version

import typer

from kubenode.runtime.cli.output import NO, Format, Output, document, examples, rows
from kubenode.runtime.plugins import KINDS, Plugins

PLUGINS = examples("kubenode plugins", "kubenode plugins -o yaml")
VERSION = examples("kubenode version", "kubenode version -o json")


def plugins(output: Format = Output.TABLE) -> None:
    """List the drivers that installed plugins register, and what is wrong with any.

    Exit status: 0 when nothing is wrong, 1 when something is.
    """
    found = Plugins.discover()
    drivers = [
        {"kind": kind, "name": name, "plugin": found.origins[f"{kind}/{name}"]}
        for kind in KINDS for name in sorted(getattr(found, kind))
    ]  # fmt: skip
    if output is not Output.TABLE:
        problems = [{"where": one.where, "message": one.what, "fix": one.fix} for one in found.problems]
        document({"drivers": drivers, "problems": problems}, output)
    else:
        rows(("KIND", "NAME", "PLUGIN"), (tuple(one.values()) for one in drivers))
        for problem in found.problems:
            sys.stderr.write(f"{problem}\n")
    if found.problems:
        raise typer.Exit(NO)


def version(output: Format = Output.TABLE) -> None:
    """Print the version."""
    number = installed_version("kubenode")
    if output is Output.TABLE:
        sys.stdout.write(f"{number}\n")
    else:
        document({"kubenode": number, "python": platform.python_version()}, output)
