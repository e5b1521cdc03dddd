"""`kubenode provider`: which clouds there are, and whether one would make what a manifest asks for. Nothing is changed."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from kubenode.core import capability
from kubenode.core import model as m
from kubenode.core.capability import Finding, SupportsChecks, SupportsFallback
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Provider, SupportsPower
from kubenode.core.machineset.crew import ZONE_PARAMETER
from kubenode.core.reading import near
from kubenode.runtime.cli.output import NO, UNKNOWN, CouldNotTell, Format, Output, document, examples, rows
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.story import Cast

LIST = examples("kubenode provider list", "kubenode provider list -o json")
CHECK = examples(
    "kubenode provider check aws --settings kubenode.toml              # credentials, and the right to look",
    "kubenode provider check aws -f docs/examples/machineset.yaml      # and what its machines need: rights, image, zone, quota",
    "kubenode provider check aliyun -o json",
)
CAPABILITIES: Final[Mapping[str, type]] = {
    "power": SupportsPower,
    **{
        name.removeprefix("Supports"): kind
        for name, kind in vars(capability).items()
        if name.startswith("Supports")
    },
}
ACCOUNT: Final = ("credentials", "look", "delete", "tag", "reboot", "stop", "start")
"""What is checked once, however many placements there are."""
SIGNS: Final[Mapping[bool | None, str]] = {True: "yes", False: "no", None: "?"}
provider = typer.Typer(
    no_args_is_help=True,
    help="Clouds that make machines: which there are, and what would be in the way. Changes nothing.",
)
Settings = Annotated[
    Path | None, typer.Option(help="A TOML file with a table for each plugin, such as kubenode.toml.")
]


@provider.command("list", epilog=LIST)
def listed(settings: Settings = None, output: Format = Output.TABLE) -> None:
    """List the providers that installed plugins bring, and what each can do besides making and ending machines.

    Exit status: 0 when no plugin is wrong, 1 when one is.
    """
    found = Plugins.discover(settings)
    known = [
        {"name": name, "plugin": found.origins[f"providers/{name}"], "can": _can(one)}
        for name, one in sorted(found.providers.items())
    ]
    if output is not Output.TABLE:
        problems = [{"where": one.where, "message": one.what, "fix": one.fix} for one in found.problems]
        document({"providers": known, "problems": problems}, output)
    else:
        rows(("NAME", "PLUGIN", "CAN"), ((one["name"], one["plugin"], " ".join(one["can"])) for one in known))
        for problem in found.problems:
            sys.stderr.write(f"{problem}\n")
    if found.problems:
        raise typer.Exit(NO)


def _can(one: Provider[Any]) -> list[str]:
    return sorted(name.lower() for name, kind in CAPABILITIES.items() if isinstance(one, kind))


@provider.command(epilog=CHECK)
def check(
    name: Annotated[str, typer.Argument(help="Of the provider; kubenode provider list names them.")],
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "-f", "--file", help="Manifests: what their machines need is checked too. May be repeated."
        ),
    ] = None,
    settings: Settings = None,
    output: Format = Output.TABLE,
) -> None:
    """Check what a provider needs for machines: credentials, rights, quota, image and zone, each with the fix.

    One call each: dry runs and look-ups. With the credentials of whoever runs it, so run it where the controller does.

    Exit status: 0 all is well, 1 something is not, 3 nothing is wrong, and something could not be told.
    """
    plugins = Plugins.discover(settings)
    one = plugins.providers.get(name)
    if one is None:
        wrong = [problem for problem in plugins.problems if name in problem.where]
        missing = Problem(
            where=name, what="no installed plugin brings this provider", fix=near(name, plugins.providers)
        )
        raise InvalidObjectError((missing, *wrong))
    found = list(_findings(one, _placements(one, file or ())))
    if output is not Output.TABLE:
        document(
            {"provider": name, "checks": [{"for": names, **attrs.asdict(seen)} for names, seen in found]},
            output,
        )
    else:
        _table(found)
    said = {seen.holds for _, seen in found}
    if said != {True}:
        raise typer.Exit(NO if False in said else UNKNOWN)


def _placements(one: Provider[Any], files: Sequence[Path]) -> list[tuple[Any, str]]:
    """Give each placement that machines of these files may have, once, with the names of those; without files nobody's.

    Raises:
        InvalidObjectError: parameters are wrong, or no machine is the provider's.
    """
    if not files:
        return [(None, "")]
    cast = Cast.read(files)
    found: list[tuple[Any, list[str]]] = []
    for obj in (*cast.objects, *cast.changes):
        name = f"{obj.KIND.name} {obj.metadata.name}"
        for parameters in _parameters(obj, one.name):
            params = structured(parameters, one.params, f"{name}: infrastructure.parameters")
            for choice in one.choices(params) if isinstance(one, SupportsFallback) else (params,):
                names = next((names for known, names in found if known == choice), None)
                if names is None:
                    found.append((choice, [name]))
                elif name not in names:
                    names.append(name)
    if not found:
        fix = f"spec.infrastructure.provider: {one.name}"
        raise InvalidObjectError(
            (Problem(where="files", what="no machine in them is this provider's", fix=fix),)
        )
    return [(choice, ", ".join(names)) for choice, names in found]


def _parameters(obj: m.Object, provider: str) -> Iterable[Mapping[str, Any]]:
    """Give the parameters of what an object asks of a provider: one set for each failure domain."""
    match obj:
        case m.Machine():
            if obj.spec.infrastructure is not None and obj.spec.infrastructure.provider == provider:
                yield obj.spec.infrastructure.parameters
        case m.MachineSet():
            wanted = obj.spec.template.spec.infrastructure
            if wanted.provider == provider:
                for zone in obj.spec.failure_domains or ("",):
                    yield {**wanted.parameters, **({ZONE_PARAMETER: zone} if zone else {})}
        case _:
            pass


def _findings(one: Provider[Any], placements: Iterable[tuple[Any, str]]) -> Iterable[tuple[str, Finding]]:
    """Check; what is the account's is asked once.

    Raises:
        CouldNotTell: the provider has no checks.
    """
    if not isinstance(one, SupportsChecks):
        raise CouldNotTell(
            f"provider {one.name} has no checks", "ask for one machine, and see its InstanceReady"
        )
    asked: set[str] = set()
    for params, names in placements:
        for about in one.checks(params):
            if about in ACCOUNT and about in asked:
                continue
            asked.add(about)
            try:
                found = one.check(about, params)
            except Exception as error:  # a plugin's own fault says nothing of the cloud
                found = Finding(about=about, holds=None, text=f"the plugin raised {type(error).__name__}")
            yield "" if about in ACCOUNT else names, found


def _table(found: Sequence[tuple[str, Finding]]) -> None:
    rows(
        ("ABOUT", "OK", "FOR", "FOUND"), ((seen.about, SIGNS[seen.holds], names or "-", seen.text) for names, seen in found)
    )  # fmt: skip
    for fix in dict.fromkeys(
        f"fix {seen.about}: {seen.fix}" for _, seen in found if seen.fix and not seen.holds
    ):
        sys.stdout.write(f"{fix}\n")
