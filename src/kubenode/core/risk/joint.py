"""Two changes of one machine under one hold: when a second one joins what is opened for the first.

Only in the write that opens the hold. Until that write is done nobody may act on it, so whatever joined did so before the
first disruptive step; from then on its owner may begin at any moment, and no record of ours would be older than that
(decision 0049). Whoever comes later waits for the machine.
"""

import attrs

from kubenode.core.model.risk import JOIN_LIMIT, Cause, Hold
from kubenode.core.risk.asks import Ask


def is_alike(hold: Hold, ask: Ask) -> bool:
    """Tell whether an ask is a further change of what a hold is for, and counts nowhere where the hold does not."""
    return hold.cause is Cause.ROLLOUT and ask.cause is Cause.ROLLOUT and set(ask.scopes) <= set(hold.scopes)


def joined(hold: Hold, ask: Ask) -> Hold | None:
    """Give the row that the ask has joined; None when it is not alike, or there is no place in it."""
    if not is_alike(hold, ask) or len(hold.joined) >= JOIN_LIMIT:
        return None
    return attrs.evolve(hold, joined=(*hold.joined, ask.op_id))
