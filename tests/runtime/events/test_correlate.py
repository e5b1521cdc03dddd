"""Events do not flood: whatever is told, in virtual time, no object and no cluster gets more than its bucket."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.model import Now
from kubenode.runtime.events.correlate import (
    ALIKE,
    ALL_BURST,
    ALL_EVERY,
    COMBINED,
    OBJECT_BURST,
    OBJECT_EVERY,
    SECOND,
    WINDOW,
    Bucket,
    Correlator,
)
from kubenode.runtime.events.notice import WARNING, Notice

BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at(elapsed: int) -> Now:
    """Give a moment."""
    return Now(wall=BEGAN + timedelta(microseconds=elapsed // 1000), elapsed=elapsed)


def notice(
    machine: str = "n1", message: str = "phase is Running", reason: str = "Running", **more: str
) -> Notice:
    """Make one about a machine."""
    return Notice(
        about=m.Ref(kind="Machine", name=machine, uid=f"u-{machine}"), reason=reason, message=message, **more
    )


@given(
    burst=st.integers(1, 30), every=st.integers(1, 1000), gaps=st.lists(st.integers(-50, 3000), max_size=200)
)
def test_a_bucket_never_gives_more_than_its_rate(burst: int, every: int, gaps: list[int]) -> None:
    """Between any two moments t apart at most burst + t / every; also when time runs backwards."""
    bucket, now, taken = Bucket(burst, every), 10_000, list[int]()
    latest = now
    for gap in gaps:
        now = max(0, now + gap)
        latest = max(latest, now)
        if bucket.take(now):
            taken.append(latest)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) / every


@given(
    told=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from("abc"), st.integers(0, 30), st.sampled_from(("Running", "Failed"))),
        max_size=300,
    )
)  # fmt: skip
def test_whatever_is_told_an_object_gets_so_many_and_all_get_so_many(
    told: list[tuple[int, str, int, str]],
) -> None:
    """And each count is that of the writes of its name; a name is one object, one reason, one message or the combined one."""
    correlator, now = Correlator(), 0
    writes: list[tuple[int, str, str, int]] = []
    for gap, machine, number, reason in told:
        now += gap * SECOND // 10
        write = correlator.see(notice(machine, f"message {number}", reason), at(now))
        if write is not None:
            correlator.written(write)
            writes.append((now, machine, write.name, write.body["count"]))
            assert write.stands == (write.body["count"] > 1)
    assert len(writes) <= ALL_BURST + now / ALL_EVERY
    counts: dict[str, int] = {}
    for machine in "abc":
        mine = [when for when, name, _, _ in writes if name == machine]
        assert len(mine) <= OBJECT_BURST + now / OBJECT_EVERY + 1
    for _, _, name, count in writes:
        counts[name] = counts.get(name, 0) + 1
        assert count == counts[name]


def test_the_same_again_is_counted_on_the_same_event() -> None:
    """First time and name stay, the last time and the count move; the patch has no more than these."""
    correlator = Correlator()
    first = correlator.see(notice(), at(0))
    assert first is not None
    correlator.written(first)
    again = correlator.see(notice(), at(90 * SECOND))
    assert again is not None
    assert (again.name, again.stands) == (first.name, True)
    assert again.change == {"count": 2, "lastTimestamp": "2026-03-02T09:01:30Z", "message": "phase is Running"}  # fmt: skip
    assert again.body["firstTimestamp"] == "2026-03-02T09:00:00Z"
    correlator.gone(again)
    anew = correlator.see(notice(), at(91 * SECOND))
    assert anew is not None
    assert (anew.stands, anew.body["count"]) == (False, 3)


def test_many_different_messages_of_one_reason_are_combined() -> None:
    """Ten one by one, then one Event for the rest; after the window they are told one by one again."""
    correlator, names = Correlator(), list[str]()
    for number in range(ALIKE + 5):
        write = correlator.see(notice(message=f"attempt {number}"), at(number))
        assert write is not None
        correlator.written(write)
        names.append(write.name)
        assert write.body["message"].startswith(COMBINED) == (number >= ALIKE)
    assert len(set(names)) == ALIKE + 1
    later = correlator.see(notice(message="attempt 99"), at(WINDOW + OBJECT_EVERY))
    assert later is not None
    assert later.body["message"] == "attempt 99"


def test_one_that_flaps_does_not_drown_another() -> None:
    """Its bucket is empty; a first word about another machine is told all the same."""
    correlator = Correlator()
    told = [correlator.see(notice("n1", f"flap {number}"), at(number)) for number in range(60)]
    assert sum(write is not None for write in told) == OBJECT_BURST
    assert correlator.see(notice("n2"), at(60)) is not None


def test_long_messages_are_cut_where_the_server_would_refuse_them() -> None:
    """By bytes, and never inside a character; names of objects that are too long, too."""
    write = Correlator().see(notice("n" * 253, "é" * 1000, type=WARNING), at(0))
    assert write is not None
    assert len(write.body["message"].encode()) <= 1024
    assert set(write.body["message"]) == {"é"}
    assert len(write.name) <= 253


def test_two_engines_write_events_of_different_names() -> None:
    """So that neither counts up, or takes for its own, what the other told."""
    one, other = Correlator("one").see(notice(), at(0)), Correlator("other").see(notice(), at(0))
    assert one is not None
    assert other is not None
    assert one.name != other.name
