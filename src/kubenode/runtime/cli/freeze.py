"""`kubenode freeze` and `kubenode unfreeze`: the switch that lets nothing new begin in a scope."""

from datetime import timedelta
from typing import Annotated

import typer

from kubenode.core import model as m
from kubenode.core.errors import ObjectNotFound
from kubenode.core.model import Scope
from kubenode.core.model.quantity import parse_duration
from kubenode.core.wish import freeze as wish
from kubenode.core.wish.wish import Unwished, Wish
from kubenode.runtime.cli.live import Cluster, Context, DryRun, Kubeconfig, wished
from kubenode.runtime.cli.output import Format, Output, examples
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.store.contract import Api

FREEZE = examples(
    "kubenode freeze --scope zone=b --for 2h --reason 'power work'",
    "kubenode freeze --scope cluster --reason 'change stop' --dry-run",
)
UNFREEZE = examples("kubenode unfreeze --scope zone=b", "kubenode unfreeze --scope set=pool --dry-run")
Where = Annotated[
    str, typer.Option("--scope", help="zone=b, region=eu, set=kubelet, node=n7 (a Machine), cluster, fleet.")
]


def span(option: str, text: str) -> timedelta:
    """Read a duration of the command line.

    Raises:
        BadParameter: it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def freeze(
    scope: Where,
    reason: Annotated[str, typer.Option(help="Why, for those who wonder.")],
    lasting: Annotated[str | None, typer.Option("--for", help="How long, as 2h or 1h30m; without it until unfreeze.")] = None,
    kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Let nothing new begin in a scope: no permit, no episode, no start of a member. What runs goes on.

    It stands in the RiskPolicy kubenode-freeze, which limits nothing else. Detection, un-cordon and what a person
    forces go on.
    """
    kind, name = wish.parse_scope(scope)
    length = None if lasting is None else span("--for", lasting)
    if length is not None and not length:
        raise typer.BadParameter("is no time at all", param_hint="--for")
    if not 1 <= len(reason) <= 256:
        raise typer.BadParameter("is from 1 to 256 characters", param_hint="--reason")
    now = SystemClock().now().wall.replace(microsecond=0)
    until = None if length is None else now + length

    async def said(store: Api) -> list[Wish]:
        try:
            raw = await store.get(m.RiskPolicy.KIND, wish.POLICY)
        except ObjectNotFound:
            raw = None
        return [wish.freeze(raw, kind, name, reason, until, now)]

    wished(Cluster(kubeconfig=kubeconfig, context=context), said, dry_run=dry_run, output=output)


def unfreeze(
    scope: Where, kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE
) -> None:  # fmt: skip
    """Take the freeze of a scope away, from every RiskPolicy that has it; wider and narrower ones stay.

    Of a MachineSet (set=NAME) that stands still after a mass delete, the losses are acknowledged. Exit status: 1 when
    nothing is frozen there.
    """
    kind, name = wish.parse_scope(scope)

    async def said(store: Api) -> list[Wish]:
        policies = (await store.find(m.RiskPolicy.KIND)).items
        wishes = [*wish.unfreeze(policies, kind, name)]
        if kind is Scope.SET:
            wishes += await _acknowledged(store, name)
        if not wishes:
            frozen = ", ".join(wish.scopes_of(policies)) or "nothing"
            raise Unwished(f"scope {scope}", "is not frozen", f"frozen is: {frozen}")
        return wishes

    wished(Cluster(kubeconfig=kubeconfig, context=context), said, dry_run=dry_run, output=output)


async def _acknowledged(store: Api, name: str) -> list[Wish]:
    try:
        found = wish.acknowledge(await store.get(m.MachineSet.KIND, name))
    except ObjectNotFound:
        return []
    return [] if found is None else [found]
