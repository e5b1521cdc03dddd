"""Where the next machine goes, and which machine goes first."""

import random
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.machineset.order import Standing, next_zone, standing, victims
from tests.core.machineset.world import START, machine, running

HEALTHY = machine("healthy", zone="a")
STARTING = machine("starting", zone="a", up=False)
SICK = running(machine("sick", zone="a"), ready=False)
FAILED = attrs.evolve(STARTING, status=m.MachineStatus(phase="Failed"))
HELD = running(machine("held", zone="a"), phase="Updating")
LEAVING = machine("leaving", deletion_timestamp=START)


@pytest.mark.parametrize(("one", "counts_as"), [
    (HEALTHY, Standing.AVAILABLE),
    (STARTING, Standing.STARTING),
    (FAILED, Standing.STARTING),
    (SICK, Standing.UNAVAILABLE),
    (HELD, Standing.UNAVAILABLE),
    (LEAVING, Standing.DELETING),
])  # fmt: skip
def test_every_machine_counts_once(one: m.Machine, counts_as: Standing) -> None:
    """Starting, available, unavailable, or being deleted."""
    assert standing(one) is counts_as


@pytest.mark.parametrize(("zones", "counts", "goes_to"), [
    ((), {"a": 1}, ""),
    (("b", "a"), {}, "b"),
    (("a", "b"), {"a": 1}, "b"),
    (("a", "b"), {"a": 1, "b": 1, "z": 0}, "a"),
    (("a", "a"), {"a": 9}, "a"),
])  # fmt: skip
def test_the_emptiest_zone_is_next(zones: tuple[str, ...], counts: dict[str, int], goes_to: str) -> None:
    """Of equals the one that is named first; a zone that is not named gets nothing."""
    assert next_zone(zones, counts) == goes_to


@pytest.mark.parametrize(("machines", "order", "count", "gone"), [
    ((HEALTHY, STARTING, SICK), m.DeleteOrder.OLDEST, 3, "sick starting healthy"),
    ((HEALTHY, STARTING, FAILED), m.DeleteOrder.OLDEST, 1, "starting"),
    ((machine("a1", zone="a"), machine("b1", zone="b"), machine("b2", zone="b")), m.DeleteOrder.HASH, 0, ""),
])  # fmt: skip
def test_who_goes_first(machines: tuple[m.Machine, ...], order: m.DeleteOrder, count: int, gone: str) -> None:
    """The unhealthy, then who never ran."""
    assert " ".join(one.metadata.name for one in victims(machines, order, count)) == gone


@pytest.mark.parametrize(
    ("order", "gone"), [(m.DeleteOrder.NEWEST, "c4 a3"), (m.DeleteOrder.OLDEST, "c0 a1")]
)
def test_the_fullest_zone_loses_first(order: m.DeleteOrder, gone: str) -> None:
    """Counted anew after each; the age decides within a zone, and between zones that are equally full."""
    pool = [
        machine(f"{zone}{age}", zone=zone, creation_timestamp=START + timedelta(hours=age))
        for zone, ages in (("a", (1, 3)), ("b", (2, 2.5)), ("c", (0, 1.5, 4)))
        for age in ages
    ]
    assert " ".join(one.metadata.name for one in victims(pool, order, 2)) == gone


@st.composite
def pools(draw: st.DrawFn) -> list[m.Machine]:
    """Give machines of all sorts."""
    pool: list[m.Machine] = []
    for number in range(draw(st.integers(0, 12))):
        stamp = START + timedelta(hours=draw(st.integers(0, 2)))
        one = machine(
            f"m{number}", zone=draw(st.sampled_from(["", "a", "b"])), up=False, creation_timestamp=stamp
        )
        pool.append(draw(st.sampled_from([one, running(one), running(one, ready=False)])))
    return pool


@given(pools(), st.sampled_from(m.DeleteOrder), st.integers(0, 14), st.integers())
def test_the_order_is_total_and_of_arrival_independent(
    pool: list[m.Machine], order: m.DeleteOrder, count: int, seed: int
) -> None:
    """The same machines go however they are handed over, the fewer of them a beginning of the more."""
    shuffled = random.Random(seed).sample(pool, len(pool))
    gone = victims(pool, order, count)
    assert gone == victims(shuffled, order, count)
    assert len(gone) == len({one.metadata.uid for one in gone}) == min(count, len(pool))
    assert gone == victims(pool, order, len(pool))[:count]
