"""`kubenode history`: every disruptive act that the cluster's objects still tell of."""

import sys
from typing import Annotated, Any

import typer

from kubenode.core import model as m
from kubenode.core.health.freeze import aware
from kubenode.core.history import Cluster as Seen
from kubenode.core.history import Disruption, disruptions, dropped
from kubenode.core.model.risk import LEDGER
from kubenode.runtime.cli.freeze import span
from kubenode.runtime.cli.live import Cluster, Context, Kubeconfig, every
from kubenode.runtime.cli.output import Format, Output, document, examples, rows
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.store.contract import Api

HELP = examples("kubenode history --since 24h", "kubenode history -o json")
Since = Annotated[str | None, typer.Option(help="Only what came to its state within this time, as 1h.")]  # fmt: skip


def history(
    since: Since = None, kubeconfig: Kubeconfig = None, context: Context = None, output: Format = Output.TABLE
) -> None:
    """List the acts that disrupt machines: whose, why, under which permit and limits, and how they ended.

    The ledger keeps every open permit and the last 256 that were closed, with the limits of their grant. Of older ones there
    is what other objects still tell: the attempts of episodes, and the last change of each component of each machine.
    """
    tell(Cluster(kubeconfig=kubeconfig, context=context), "", since, output)


def tell(cluster: Cluster, machine: str, since: str | None, output: Output) -> None:
    """Print the acts on one machine, or on all when it is empty."""
    begins = None if since is None else SystemClock().now().wall - span("--since", since)
    seen = cluster.ask(_seen)
    found, older = disruptions(seen, machine), dropped(seen)
    acts = [act for act in found if begins is None or (act.since is not None and aware(act.since) >= begins)]
    timeless = 0 if begins is None else sum(act.since is None for act in found)
    if output is not Output.TABLE:
        document({"acts": [told(act) for act in acts], "without_time": timeless, "dropped": older}, output)
        return
    if acts:
        rows(HEADS, (_row(act) for act in acts))
        sys.stdout.write("limits when they were granted:\n")
        for limit in dict.fromkeys(limit for act in acts for limit in act.limits):
            sys.stdout.write(f"  {limit}\n")
    else:
        sys.stdout.write("no disruptive act is on record\n" if begins is None else f"none within {since}\n")
    if timeless:
        sys.stderr.write(f"note: {timeless} acts of rollouts have no time on record; they are in the list without --since\n")  # fmt: skip
    if older:
        sys.stderr.write(f"note: {older} older permits of the cluster are no longer kept; of these the list has what other objects still tell\n")  # fmt: skip


HEADS = ("SINCE", "MACHINE", "CAUSE", "ACTION", "STATE", "PERMIT", "OP-ID", "COUNTS IN", "WHY")


def _row(act: Disruption) -> tuple[str, ...]:
    when = "-" if act.since is None else act.since.isoformat(timespec="seconds")
    why = act.why + (f": {act.verdict}" if act.verdict else "")
    permit = "open" if act.held else "closed"
    scopes = ", ".join(act.scopes)
    return (when, act.machine, act.cause, act.action, act.state, permit, act.op_id, scopes, why)


def told(act: Disruption) -> dict[str, Any]:
    """Give what `-o json` prints of one act."""
    return {
        "since": None if act.since is None else act.since.isoformat(), "machine": act.machine, "cause": act.cause,
        "began": None if act.began is None else act.began.isoformat(),
        "ended": None if act.ended is None else act.ended.isoformat(), "action": act.action, "state": act.state, "op_id": act.op_id, "permit_open": act.held, "why": act.why,
        "verdict": act.verdict or None, "scopes": list(act.scopes), "limits": list(act.limits),
    }  # fmt: skip


async def _seen(store: Api) -> Seen:
    ledgers = {one.metadata.name: one for one in await every(store, m.RiskLedger)}
    return Seen(
        machines=await every(store, m.Machine), nodes=await every(store, m.Node),
        components=await every(store, m.MachineComponent), sets=await every(store, m.MachineComponentSet),
        jobs=await every(store, m.RemedyOperationJob), ledger=ledgers.get(LEDGER),
    )  # fmt: skip
