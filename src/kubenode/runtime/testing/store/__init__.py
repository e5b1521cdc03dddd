"""What every Store must do: cases that run on the embedded store and on a real API server alike.

    for case in CASES:
        await case(store, Machine.KIND, fresh)

Those that `needs_api` are of an Api; a plain Store leaves them out. `fresh` gives a name that no object has had yet. The store must serve our kinds with the schemas of
`kubenode.core.crd`, Events, Pods and their budgets; other objects may be there and may change meanwhile. A case raises AssertionError with
what it met, and removes what it made, also when it fails. Nothing here needs a test framework.
"""

from typing import Final

from kubenode.runtime.testing.store import (
    applying,
    clearing,
    collecting,
    creating,
    dating,
    deleting,
    eventful,
    evicting,
    judging,
    merging,
    placing,
    reading,
    rehearsing,
    replacing,
    ruling,
    selecting,
    stating,
    straying,
    surprising,
    swapping,
    watching,
)
from kubenode.runtime.testing.store.case import Case

CASES: Final[tuple[Case, ...]] = (
    *creating.CASES,
    *merging.CASES,
    *applying.CASES,
    *stating.CASES,
    *swapping.CASES,
    *deleting.CASES,
    *judging.CASES,
    *ruling.CASES,
    *reading.CASES,
    *watching.CASES,
    *surprising.CASES,
    *selecting.CASES,
    *dating.CASES,
    *replacing.CASES,
    *rehearsing.CASES,
    *collecting.CASES,
    *eventful.CASES,
    *placing.CASES,
    *clearing.CASES,
    *straying.CASES,
    *evicting.CASES,
)
"""All cases, each named after what a store must do."""

__all__ = ["CASES", "Case"]
