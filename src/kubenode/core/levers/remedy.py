"""What holds a remedy up, and what would let it go on."""

import attrs

from kubenode.core.decision import Note
from kubenode.core.levers.change import Change, zone_outage
from kubenode.core.policy import Policy
from kubenode.core.remedy.ladder import is_closed
from kubenode.core.snapshots import RemedySnapshot


def change(
    seen: RemedySnapshot, policy: Policy, note: Note, first: RemedySnapshot
) -> Change[RemedySnapshot] | None:
    """Give the world in which this note would not stand; None when no observation of ours decides that."""
    match note.code:
        case "ZoneOutage" | "ClusterOutage":
            zone = "" if seen.node is None else seen.node.zone
            return zone_outage(seen, policy, note, zone, first)
        case "NoPermit":
            return _permitted(seen, policy)
        case "DryRun":
            return _live(seen, policy, note)
        case "OperationTaken":
            machine = attrs.evolve(seen.machine, spec=attrs.evolve(seen.machine.spec, operation=None))
            text = "the operation that the machine is busy with were over"
            return Change(seen=attrs.evolve(seen, machine=machine), policy=policy, text=text)
        case _:
            return None


def _live(seen: RemedySnapshot, policy: Policy, note: Note) -> Change[RemedySnapshot]:
    """Let a person make of the dry run a remedier that acts."""
    remediers = tuple(
        attrs.evolve(one, spec=attrs.evolve(one.spec, dry_run=False))
        if note.scope == f"remedier {one.metadata.name}"
        else one
        for one in policy.remediers
    )
    return Change(
        seen=seen, policy=attrs.evolve(policy, remediers=remediers), text=f"{note.scope} were no dry run"
    )


def _permitted(seen: RemedySnapshot, policy: Policy) -> Change[RemedySnapshot]:
    asking = [job for job in seen.jobs if not is_closed(job) and job.status.attempts]
    op_ids = sorted(job.status.attempts[-1].op_id for job in asking)
    text = f"the ledger held permit {' and '.join(op_ids)} (explain the fleet to see why not)"
    return Change(seen=attrs.evolve(seen, holds=seen.holds.union(op_ids)), policy=policy, text=text)
