"""Counters of closed grants: buckets, edges, garbage."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.model.quantity import nanoseconds
from kubenode.core.risk.window import (
    FULL,
    RESOLUTIONS,
    SECOND,
    Counts,
    Expiry,
    added,
    expiries,
    freed_at,
    pruned,
    read,
    used,
    write,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(hours=24)


def counted(*since: int) -> Counts:
    """Count grants that began at these moments."""
    counts = Counts()
    for moment in since:
        counts = added(counts, moment)
    return counts


def test_text_of_a_scope() -> None:
    """Three grants give one short text, zeros left out."""
    text = "s:123=2,124=1;m:20=3;h:0=3"
    counts = counted(1230 * SECOND, 1239 * SECOND, 1240 * SECOND)
    assert write(counts) == text
    assert read(text) == counts


@pytest.mark.parametrize(
    "text",
    [
        "", ";", "nonsense", "s:1=1", "m:0=1", "s:1=1;m:0=1", "s:1=2;m:0=1;h:0=9", "s:1=1;m:0=1;h:0=", "h:0=0",
        "h:0=-1", "h:0=1.5", "h:0=1,0=1", "h:0=1;h:1=1", "h:0=1;d:0=1", "H:0=1", "h:0=1,", "h:0=1 ", "h=0:1", "h:٣=1",
        "h:0=1\n", "h:99999999999=1", "h:" + ",".join(f"{i}=1" for i in range(26)),
    ],
)  # fmt: skip
def test_garbage_is_full_and_is_kept(text: str) -> None:
    """What cannot be read, or was cut short, counts as full and never as empty, and is not overwritten."""
    counts = read(text)
    assert used(counts, MINUTE, 10**18) == FULL
    assert expiries(counts, MINUTE, 10**18) is None
    assert write(pruned(added(counts, 5), 10**18)) == text


@pytest.mark.parametrize(
    ("window", "size"),
    [
        (timedelta(seconds=10), 10), (MINUTE, 10), (timedelta(seconds=61), 60), (timedelta(minutes=10), 60), (HOUR, 60),
        (timedelta(minutes=61), 3600), (DAY, 3600),
    ],
)  # fmt: skip
def test_finest_resolution_that_covers(window: timedelta, size: int) -> None:
    """A grant leaves with its whole bucket, and the bucket is the smallest that covers the window."""
    since = 7 * 3600 * SECOND
    counts = counted(since)
    leaves = since + size * SECOND - 1 + nanoseconds(window)
    assert expiries(counts, window, since) == (Expiry(at=leaves, amount=1),)
    assert used(counts, window, leaves - 1) == 1
    assert used(counts, window, leaves) == 0


def test_last_nanosecond_of_a_bucket_is_exact() -> None:
    """A grant in the last nanosecond of its bucket leaves exactly one window later."""
    since = 3600 * SECOND - 1
    for window in (MINUTE, HOUR, DAY):
        assert expiries(counted(since), window, since) == (Expiry(at=since + nanoseconds(window), amount=1),)


def test_longer_than_a_day_is_full() -> None:
    """A window that no counter covers cannot be counted, so it is full."""
    assert used(Counts(), DAY + timedelta(microseconds=1), 5) == FULL
    assert used(Counts(), DAY, 5) == 0


def test_freed_when_enough_have_left() -> None:
    """The moment is that of the last one needed; too few never free."""
    leaving = (Expiry(at=30, amount=1), Expiry(at=10, amount=2), Expiry(at=20, amount=1))
    assert [freed_at(leaving, need) for need in range(1, 6)] == [10, 10, 20, 30, None]


times = st.lists(st.integers(0, 40 * 3600), max_size=30).map(
    lambda xs: [x * SECOND + x % 7 for x in sorted(xs)]
)
windows = st.sampled_from(
    [timedelta(seconds=10), timedelta(seconds=59), MINUTE, timedelta(seconds=61), HOUR, 2 * HOUR, DAY]
)


@given(since=times, window=windows, later=st.integers(0, 3 * 3600 * SECOND))
def test_counts_no_less_than_the_window_holds(since: Sequence[int], window: timedelta, later: int) -> None:
    """Counted is at least what is within, at most what is within a window one bucket longer, pruned or not."""
    now = max(since, default=0) + later
    counts = counted(*since)
    span = nanoseconds(window)
    bucket = next(each.size for each in RESOLUTIONS if span <= each.size * (each.buckets - 1))
    found = used(counts, window, now)
    assert sum(s > now - span for s in since) <= found <= sum(s > now - span - bucket for s in since)
    assert used(pruned(counts, now), window, now) == found
    for expiry in expiries(counts, window, now) or ():
        assert expiry.at > now
        assert used(counts, window, expiry.at) < used(counts, window, expiry.at - 1)


@given(since=times, later=st.integers(0, 30 * 3600 * SECOND))
def test_pruned_text_is_read_again(since: Sequence[int], later: int) -> None:
    """What is written is read as the same, fits its bound, and is empty a day and an hour later."""
    now = max(since, default=0) + later
    text = write(pruned(counted(*since), now))
    assert len(text) <= 4096
    if text:
        assert read(text).unreadable is None
        assert write(read(text)) == text
    assert write(pruned(counted(*since), max(since, default=0) + 26 * 3600 * SECOND)) == ""
