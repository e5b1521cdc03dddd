"""`kubenode history`: every disruptive act that the cluster's objects still tell of."""

import sys
from typing import Annotated, Any

import typer

from kubenode.core import model as m
from kubenode.core.health.freeze import aware
from kubenode.core.history import Cluster as Seen
from kubenode.core.history import Disruption, disruptions
from kubenode.core.model.risk import LEDGER
from kubenode.core.policy import Policy
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

    Episodes keep their attempts with their times. Of rollouts each machine keeps the last change of each component; its
    time is known while its batch is open. Limits are those in force now.
    """
    tell(Cluster(kubeconfig=kubeconfig, context=context), "", since, output)


def tell(cluster: Cluster, machine: str, since: str | None, output: Output) -> None:
    """Print the acts on one machine, or on all when it is empty."""
    begins = None if since is None else SystemClock().now().wall - span("--since", since)
    found = disruptions(cluster.ask(_seen), machine)
    acts = [act for act in found if begins is None or (act.since is not None and aware(act.since) >= begins)]
    timeless = 0 if begins is None else sum(act.since is None for act in found)
    if output is not Output.TABLE:
        document({"acts": [told(act) for act in acts], "without_time": timeless}, output)
        return
    if acts:
        rows(HEADS, (_row(act) for act in acts))
        sys.stdout.write("limits now in force there:\n")
        for limit in dict.fromkeys(limit for act in acts for limit in act.limits):
            sys.stdout.write(f"  {limit}\n")
    else:
        sys.stdout.write("no disruptive act is on record\n" if begins is None else f"none within {since}\n")
    if timeless:
        sys.stderr.write(f"note: {timeless} acts of rollouts have no time on record; they are in the list without --since\n")  # fmt: skip


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
        "action": act.action, "state": act.state, "op_id": act.op_id, "permit_open": act.held, "why": act.why,
        "verdict": act.verdict or None, "scopes": list(act.scopes), "limits": list(act.limits),
    }  # fmt: skip


async def _seen(store: Api) -> Seen:
    ledgers = {one.metadata.name: one for one in await every(store, m.RiskLedger)}
    return Seen(
        machines=await every(store, m.Machine), nodes=await every(store, m.Node),
        components=await every(store, m.MachineComponent), sets=await every(store, m.MachineComponentSet),
        jobs=await every(store, m.RemedyOperationJob), ledger=ledgers.get(LEDGER),
        policy=Policy(remediers=await every(store, m.NodeRemedier), risk=await every(store, m.RiskPolicy)),
    )  # fmt: skip
