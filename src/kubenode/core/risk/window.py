"""Sliding windows over closed grants: counters by time bucket, in three resolutions, one short text a scope.

A grant counts in the bucket of its beginning, in all three resolutions. A window is counted in the finest
one that covers it, the oldest bucket whole: never too few, at most one bucket too many. Times are ledger
time (see ledger.py), integer nanoseconds. Bucket sizes: shared facts, api-machinery section 4.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

import attrs

from kubenode.core.model.quantity import nanoseconds

SECOND = 1_000_000_000
FULL = 2**62
"""What is used of a window that cannot be counted: more than any limit."""
_MOST = 10**9 - 1
"""Where a counter stops, so that its text stays bounded; no limit in use comes near."""


@attrs.frozen(kw_only=True)
class Resolution:
    """Buckets of one size.

    Attributes:
        letter: begins its row in the text.
        size: of a bucket, nanoseconds.
        buckets: how many are kept; one more than the longest window needs, for the oldest is cut.
    """

    letter: str
    size: int
    buckets: int


RESOLUTIONS = (
    Resolution(letter="s", size=10 * SECOND, buckets=7),
    Resolution(letter="m", size=60 * SECOND, buckets=61),
    Resolution(letter="h", size=3600 * SECOND, buckets=25),
)
"""Finest first."""


@attrs.frozen(kw_only=True)
class Counts:
    """Closed grants of one scope.

    Attributes:
        rows: bucket number -> grants, one map a resolution, in the order of RESOLUTIONS.
        unreadable: a text that this version cannot read; then the scope counts as full, and the text is
            kept as it stands, since it may be a newer version's.
    """

    rows: tuple[Mapping[int, int], ...] = attrs.field(factory=lambda: tuple({} for _ in RESOLUTIONS))
    unreadable: str | None = None


@attrs.frozen(kw_only=True)
class Expiry:
    """So many grants leave a window at this moment, by time alone."""

    at: int
    amount: int


_CELL = re.compile(r"([0-9]{1,10})=([1-9][0-9]{0,8})", re.ASCII)


def read(text: str) -> Counts:
    """Read a text such as `s:123=2,124=1;m:20=3;h:0=3`; what is anything else counts as full.

    Every grant is in all resolutions and leaves the finest first, so a row that sums to more than the
    next coarser one tells of a text that was cut or edited.

    >>> [dict(row) for row in read("s:123=2,124=1;m:20=3;h:0=3").rows]
    [{123: 2, 124: 1}, {20: 3}, {0: 3}]
    >>> used(read("by hand"), timedelta(hours=1), 0) == FULL
    True
    """
    rows = _rows(text)
    if rows is None:
        return Counts(unreadable=text)
    sums = [sum(row.values()) for row in rows]
    return Counts(rows=rows) if sums == sorted(sums) else Counts(unreadable=text)


def _rows(text: str) -> tuple[Mapping[int, int], ...] | None:
    rows: dict[str, dict[int, int]] = {}
    for part in text.split(";"):
        letter, _, cells = part.partition(":")
        found = [_CELL.fullmatch(cell) for cell in cells.split(",")]
        row = {int(match[1]): int(match[2]) for match in found if match is not None}
        if letter in rows or len(row) != len(found):
            return None
        rows[letter] = row
    known = tuple(rows.pop(resolution.letter, {}) for resolution in RESOLUTIONS)
    too_long = any(len(row) > each.buckets for row, each in zip(known, RESOLUTIONS, strict=True))
    return None if rows or too_long else known


def write(counts: Counts) -> str:
    """Give the text that `read` reads; empty when nothing is counted."""
    if counts.unreadable is not None:
        return counts.unreadable
    return ";".join(
        f"{resolution.letter}:{','.join(f'{bucket}={row[bucket]}' for bucket in sorted(row))}"
        for resolution, row in zip(RESOLUTIONS, counts.rows, strict=True)
        if row
    )


def added(counts: Counts, since: int) -> Counts:
    """Count one more grant, begun at `since`.

    >>> write(added(read("s:123=2,124=1;m:20=3;h:0=3"), since=1245 * SECOND))
    's:123=2,124=2;m:20=4;h:0=4'
    """
    rows = []
    for resolution, row in zip(RESOLUTIONS, counts.rows, strict=True):
        bucket = since // resolution.size
        rows.append({**row, bucket: min(row.get(bucket, 0) + 1, _MOST)})
    return attrs.evolve(counts, rows=tuple(rows))


def pruned(counts: Counts, now: int) -> Counts:
    """Drop the buckets that no window ending at `now` or later can need."""
    rows = tuple(
        {bucket: amount for bucket, amount in row.items() if bucket > now // each.size - each.buckets}
        for each, row in zip(RESOLUTIONS, counts.rows, strict=True)
    )
    return attrs.evolve(counts, rows=rows)


def expiries(counts: Counts, window: timedelta, now: int) -> tuple[Expiry, ...] | None:
    """Give what is counted in the window (now - window, now], with when it leaves, soonest first.

    Returns:
        None when it cannot be counted: unreadable, or a window longer than the coarsest resolution covers.

    Invariant: the amounts sum to no less than the grants within the window.
    """
    span = nanoseconds(window)
    place = next((i for i, each in enumerate(RESOLUTIONS) if span <= each.size * (each.buckets - 1)), None)
    if place is None or counts.unreadable is not None:
        return None
    size, row = RESOLUTIONS[place].size, counts.rows[place]
    oldest = (now - span + 1) // size
    # The bucket is counted until its last nanosecond has left the window.
    return tuple(
        Expiry(at=(bucket + 1) * size - 1 + span, amount=row[bucket])
        for bucket in sorted(row)
        if bucket >= oldest
    )


def used(counts: Counts, window: timedelta, now: int) -> int:
    """Count the closed grants within the window, the oldest bucket whole; FULL when that cannot be known.

    >>> counts = added(added(Counts(), since=1235 * SECOND), since=1245 * SECOND)
    >>> [used(counts, timedelta(minutes=1), now * SECOND) for now in (1245, 1299, 1300, 1309, 1310)]
    [2, 2, 1, 1, 0]
    """
    found = expiries(counts, window, now)
    return FULL if found is None else sum(expiry.amount for expiry in found)


def freed_at(leaving: Iterable[Expiry], need: int) -> int | None:
    """Tell when at least `need` will have left; None when that many never do.

    >>> [freed_at([Expiry(at=20, amount=2), Expiry(at=10, amount=1)], need) for need in (1, 2, 3, 4)]
    [10, 20, 20, None]
    """
    for expiry in sorted(leaving, key=lambda expiry: expiry.at):
        need -= expiry.amount
        if need <= 0:
            return expiry.at
    return None
