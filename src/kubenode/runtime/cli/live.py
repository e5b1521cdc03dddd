"""What commands on a running cluster share: how it is named, how it is asked, and how words are written to it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import attrs
import typer

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import (
    Expired,
    InvalidObjectError,
    KubenodeError,
    NotInstalled,
    ObjectNotFound,
    Problem,
)
from kubenode.core.model import Json
from kubenode.core.wish.wish import Unwished, Wish
from kubenode.runtime.cli.connect import connect
from kubenode.runtime.cli.output import NO, Output, complain, document
from kubenode.runtime.fulfil import fulfil
from kubenode.runtime.store.contract import Api, EventType
from kubenode.runtime.store.installed import INSTALL

T = TypeVar("T")
Obj = TypeVar("Obj", bound=m.Object)
_NO_SUCH_PATH = "HTTP 404"
"""How an error begins of which the server says no more than that: it does not know the kind."""
COMPLETION_LIMIT = 2.0
"""Seconds after which a shell gets no names."""

Kubeconfig: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Path of a kubeconfig; without it $KUBECONFIG, ~/.kube/config or the pod's own."),
]
Context: TypeAlias = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Let the server judge it, and say what would be; change nothing.")
]


@attrs.frozen(kw_only=True)
class Cluster:
    """A cluster as the command line names it."""

    kubeconfig: Path | None = None
    context: str | None = None

    def ask(self, question: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """Connect, and ask one thing.

        Raises:
            InvalidObjectError: the configuration is missing or wrong.
            NotInstalled: the server does not serve our kinds.
            ApiError: the server refuses, or cannot be reached.
        """

        async def asked() -> T:
            async with connect(self.kubeconfig, self.context, field_manager="kubenode-cli") as store:
                return await question(store)

        try:
            return asyncio.run(asked())
        except ObjectNotFound as error:
            if not str(error).startswith(_NO_SUCH_PATH):
                raise
            what = "the server does not serve this kind"
            raise NotInstalled((Problem(where="crd", what=what, fix=INSTALL),)) from error


async def one(store: Api, cls: type[m.Object], name: str) -> Json:
    """Give one object as it stands on the wire; when there is none, say which there are.

    Raises:
        Missing: there is no such object.
    """
    try:
        return await store.get(cls.KIND, name)
    except ObjectNotFound as error:
        names = await _names(store, cls, 5)
        fix = f"there are: {', '.join(names)}" if names else f"kubectl get {cls.KIND.plural}"
        raise Missing(f"{cls.KIND.name} {name} is not there", fix, status=error.status) from error


class Missing(ObjectNotFound):
    """There is no such object.

    Attributes:
        fix: which there are.
    """

    def __init__(self, message: str, fix: str, **more: Any) -> None:
        self.fix = fix
        super().__init__(f"{message}; {fix}", **more)


async def _names(store: Api, cls: type[m.Object], most: int) -> list[str]:
    found = (await store.find(cls.KIND, limit=most)).items
    return [raw["metadata"]["name"] for raw in found]


async def every(store: Api, cls: type[Obj]) -> tuple[Obj, ...]:
    """Give all objects of a kind; those that cannot be read are left out, and told of on stderr."""
    found: list[Obj] = []
    for raw in (await store.find(cls.KIND)).items:
        try:
            found.append(wire.read(raw, cls))
        except InvalidObjectError as error:
            sys.stderr.write(f"warning: {cls.KIND.name} {raw['metadata']['name']}: {error}\n")
    return tuple(found)


async def followed(store: Api, cls: type[Obj], name: str, tell: Callable[[Obj], int | None]) -> int | None:
    """Look at an object, then watch it; look again when the server has forgotten where the watch was.

    Args:
        store: entered already.
        cls: its kind.
        name: its name.
        tell: is given every state, and gives the exit status with which it is over.

    Returns:
        The exit status; None when the object was deleted before.

    Raises:
        Missing: there is no such object to begin with.
    """
    raw = await one(store, cls, name)
    while True:
        end = tell(wire.read(raw, cls))
        if end is not None:
            return end
        watch = await store.watch(
            cls.KIND, resource_version=raw["metadata"]["resourceVersion"], fields={"metadata.name": name}
        )
        try:
            while True:
                for event in await watch.events():
                    if event.type is EventType.DELETED:
                        return None
                    if event.type is not EventType.BOOKMARK:
                        end = tell(wire.read(event.object, cls))
                    if end is not None:
                        return end
        except Expired:
            try:
                raw = await store.get(cls.KIND, name)
            except ObjectNotFound:
                return None
        finally:
            await watch.close()


def completes(cls: type[m.Object]) -> Callable[[typer.Context], list[str]]:
    """Give what completes names of a kind in a shell: those of the cluster that the command line names so far."""

    def names(ctx: typer.Context) -> list[str]:
        path = ctx.params.get("kubeconfig")
        cluster = Cluster(kubeconfig=Path(path) if path else None, context=ctx.params.get("context"))
        with suppress(KubenodeError, TimeoutError, OSError):
            return cluster.ask(
                lambda store: asyncio.wait_for(_names(store, cls, 500), timeout=COMPLETION_LIMIT)
            )
        return []

    return names


def wished(
    cluster: Cluster, wish: Callable[[Api], Coroutine[Any, Any, Iterable[Wish]]], *, dry_run: bool, output: Output
) -> None:  # fmt: skip
    """Write what is wished, and say what was done and what will happen; leave with 1 when it means nothing there."""

    async def written(store: Api) -> list[Wish]:
        wishes = list(await wish(store))
        for each in wishes:
            await fulfil(store, each, dry_run=dry_run)
        return wishes

    try:
        done = cluster.ask(written)
    except Unwished as error:
        complain(output, "Unwished", str(error), fix=error.fix, where=error.where)
        raise typer.Exit(NO) from None
    if output is not Output.TABLE:
        changes = [
            {
                "kind": each.object.kind, "name": each.object.name, "changed": each.changes, "did": each.did,
                "next": each.next or None,
            }
            for each in done
        ]  # fmt: skip
        document({"dry_run": dry_run, "changes": changes}, output)
        return
    for each in done:
        dry = " (dry run, nothing changed)" if dry_run else ""
        sys.stdout.write(f"{each.object.kind} {each.object.name}{dry}: {each.did}\n")
        if each.next:
            sys.stdout.write(f"    next: {each.next}\n")
