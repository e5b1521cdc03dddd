"""What a change is about, told from its two states; more than one controller asks."""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.core.model.meta import HOLD_LABEL
from kubenode.core.model.risk import LEDGER
from kubenode.runtime.store.cache import Change


def is_ledger(change: Change) -> bool:
    """Tell whether a change is the one ledger's; an object of that kind under another name means nothing."""
    return change.kind is m.RiskLedger and change.name == LEDGER


def holders_changed(change: Change) -> Iterable[str]:
    """Name the machines whose hold differs between two states of the ledger."""
    before, after = (
        {(hold.op_ids, hold.cause): hold.machine for hold in one.status.holds}
        if isinstance(one, m.RiskLedger)
        else {}
        for one in (change.before, change.after)
    )
    return sorted({machine for _, machine in before.items() ^ after.items()})


def mark_changed(change: Change) -> bool:
    """Tell whether a person put the label that holds on an object, or took it away."""
    before, after = (
        one is not None and HOLD_LABEL in one.metadata.labels for one in (change.before, change.after)
    )
    return before is not after
