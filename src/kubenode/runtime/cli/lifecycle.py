"""`kubenode machine create` and `delete`: a machine is asked for, or let go; the controller does it."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from kubenode.core import model as m
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.condition import find
from kubenode.core.wish import machine as wish
from kubenode.core.wish.wish import Wish
from kubenode.runtime.cli.live import (
    Cluster,
    Context,
    DryRun,
    Kubeconfig,
    Missing,
    completes,
    followed,
    one,
    wished,
)
from kubenode.runtime.cli.output import CouldNotTell, Format, Output, examples
from kubenode.runtime.documents import read_documents
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import Api

CREATE = examples(
    "kubenode machine create n8 --provider aws --parameters n8.yaml --label pool=general --dry-run",
    "kubenode machine create n8 --provider memory --wait --timeout 600",
    "kubenode machine create n9 --address 10.0.0.9",
)
DELETE = examples(
    "kubenode machine delete n8 --dry-run     # what would end",
    "kubenode machine delete n8 --wait",
    "kubenode machine delete n9 --release     # its host stays as it is",
)
Wait = Annotated[bool, typer.Option("--wait", help="Go on until it is so; progress is told on stderr.")]
Timeout = Annotated[
    int, typer.Option(min=0, help="With --wait: give up after so many seconds; 0: never. It goes on then.")
]


def create(  # noqa: PLR0913, PLR0917 - one an option
    name: Annotated[str, typer.Argument(help="Of the Machine.")],
    provider: Annotated[
        str | None, typer.Option(help="Who makes it; kubenode plugins lists who can.")
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON file with the provider's parameters, as in spec.infrastructure."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a host that is there already.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, by which sets select it. May be repeated.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    wait: Wait = False,
    timeout: Timeout = 0,
    dry_run: DryRun = False,
    output: Format = Output.TABLE,
) -> None:
    """Ask for a machine of a provider, or import a host that is there.

    The parameters are checked here when the provider's plugin is installed here, and by the controller in any case.

    Exit status: 0 it was asked for, and with --wait is Ready; 1 refused; 3 the server cannot be reached, or it was not
    Ready within --timeout.
    """
    origin = _origin(provider, parameters, address)
    labels = dict(key_value(text) for text in label or ())

    async def asked(store: Api) -> list[Wish]:
        return [wish.create(name, origin, labels)]

    cluster = Cluster(kubeconfig=kubeconfig, context=context)
    wished(cluster, asked, dry_run=dry_run, output=output)
    if wait and not dry_run:
        _waited(cluster, name, timeout, "Ready", _ready)


def delete(
    name: Annotated[str, typer.Argument(help="Of the Machine.", autocompletion=completes(m.Machine))],
    release: Annotated[
        bool,
        typer.Option(
            "--release",
            help="Leave its host and what runs there as they are, whatever its policy says; also of one that goes already.",
        ),
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    wait: Wait = False,
    timeout: Timeout = 0,
    dry_run: DryRun = False,
    output: Format = Output.TABLE,
) -> None:
    """Let a machine go: drained and terminated, or released, as its deletionPolicy says. The output says which.

    Exit status: 0 it goes, and with --wait is gone; 1 there is none; 3 the server cannot be reached, or it was not gone
    within --timeout.
    """

    async def asked(store: Api) -> list[Wish]:
        return [wish.delete(await one(store, m.Machine, name), release=release)]

    cluster = Cluster(kubeconfig=kubeconfig, context=context)
    wished(cluster, asked, dry_run=dry_run, output=output)
    if wait and not dry_run:
        _waited(cluster, name, timeout, "gone", lambda _: False)


def _origin(provider: str | None, parameters: Path | None, address: str | None) -> m.Host | m.Infrastructure:
    if provider is not None and address is None:
        return m.Infrastructure(provider=provider, parameters=_parameters(provider, parameters))
    if address is None or provider is not None:
        raise typer.BadParameter("give one of --provider and --address", param_hint="--provider")
    if parameters is not None:
        raise typer.BadParameter("are a provider's; a host has none", param_hint="--parameters")
    return m.Host(address=address)


def key_value(text: str) -> tuple[str, str]:
    """Read one --label. Raises typer.BadParameter."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{text!r} is no KEY=VALUE", param_hint="--label")
    return key, value


def _parameters(provider: str, path: Path | None) -> dict[str, Any]:
    """Read the parameters, and check them by the plugin's own class when it is here."""
    documents = list(read_documents([path])) if path is not None else []
    if len(documents) > 1:
        what = f"has {len(documents)} documents"
        raise InvalidObjectError((Problem(where="--parameters", what=what, fix="give one", file=str(path)),))
    raw = documents[0].raw if documents else {}
    driver = Plugins.discover().providers.get(provider)
    if driver is None:
        sys.stderr.write(
            f"note: provider {provider} is not installed here, so its parameters are not checked here\n"
        )
    else:
        structured(raw, driver.params, str(path) if path is not None else f"provider {provider}")
    return dict(raw)


def _ready(machine: m.Machine) -> bool:
    ready = find(machine.status.conditions, "Ready")
    return ready is not None and ready.status is m.Switch.TRUE


def _waited(cluster: Cluster, name: str, timeout: int, what: str, is_so: Callable[[m.Machine], bool]) -> None:
    """Tell every new state on stderr until it is so, or the machine is gone."""
    last = ""

    def tell(machine: m.Machine) -> int | None:
        nonlocal last
        ready = find(machine.status.conditions, "Ready")
        why = "" if ready is None else " ".join(filter(None, (f"{ready.reason}", ready.message)))
        text = f"{name}: {machine.status.phase or 'not looked at yet'}  {why}".rstrip()
        if text != last:
            last = text
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        return 0 if is_so(machine) else None

    async def watched(store: Api) -> int | None:
        try:
            async with asyncio.timeout(timeout or None):
                return await followed(store, m.Machine, name, tell)
        except TimeoutError:
            raise CouldNotTell(f"Machine {name} is not {what} after {timeout} s; it goes on") from None

    try:
        found = cluster.ask(watched)
    except Missing:  # it was gone before the first look
        found = None
    if found is None and what != "gone":
        raise CouldNotTell(f"Machine {name} was deleted before it was {what}")
