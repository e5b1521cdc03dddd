"""What an engine counts, and whether it can do its work: for metrics and readiness."""

from collections import Counter
from collections.abc import Mapping

import attrs

from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.engine.loop import Decided


@attrs.frozen(kw_only=True)
class Figures:
    """An engine in numbers, at one moment.

    Attributes:
        leads: it may decide; True without a lease.
        unready: why it cannot do all of its work; empty when it can.
        keys: that wait for their turn or time, or are in hand.
        calls_in_flight: under way.
        objects: in its cache, by kind.
        decisions: by controller, and whether anything was to be done.
        calls: that ended, by controller, and `ok` or the error's name.
        events: notices of Kubernetes Events by what became of them: written, limited or dropped.
        requests: to the API server by method and status code, 0 without an answer; empty of a store that counts none.
    """

    leads: bool
    unready: tuple[str, ...]
    keys: int
    calls_in_flight: int
    objects: Mapping[str, int]
    decisions: Mapping[tuple[str, bool], int]
    calls: Mapping[tuple[str, str], int]
    events: Mapping[str, int]
    requests: Mapping[tuple[str, int], int]


class Meter:
    """Counts the decisions of one engine, and reads its other numbers."""

    def __init__(self, store: object) -> None:
        self._store = store
        self._decisions: Counter[tuple[str, bool]] = Counter()

    def count(self, decided: Decided) -> None:
        """Count one decision."""
        self._decisions[decided.key.controller, bool(decided.acts)] += 1

    def read(
        self, driver: Driver | None, unready: tuple[str, ...], *, leads: bool, events: Mapping[str, int]
    ) -> Figures:
        """Give all numbers as they are now."""
        requests: Mapping[tuple[str, int], int] = getattr(self._store, "requests", {})
        return Figures(
            leads=leads, unready=unready, events=events,
            keys=driver.engine.pending() if driver is not None else 0,
            objects=driver.engine.counts() if driver is not None else {},
            calls_in_flight=driver.in_flight if driver is not None else 0, decisions=dict(self._decisions),
            calls=dict(driver.calls) if driver is not None else {}, requests=dict(requests),
        )  # fmt: skip
