"""Two sets that change one machine at once, in a simulated cluster: one hold, two changes."""

from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.runtime.sim.host import Span
from kubenode.runtime.sim.story import Cast, Stage

LONG = timedelta(hours=12)
NAMES = ("conf", "more")


def component(name: str, version: str) -> m.MachineComponent:
    """Give a version of a file that the kubelet reads."""
    parameters = {"path": f"/etc/{name}", "content": version, "unit": "kubelet.service"}
    spec = m.MachineComponentSpec(version=version, driver="file", parameters=parameters)
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"{name}-{version}"), spec=spec)


def owner(name: str) -> m.MachineComponentSet:
    """Give a set that keeps a file on every machine."""
    spec = m.MachineComponentSetSpec(
        name=name, component=f"{name}-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(batches=(m.IntOrPercent.parse("100%"),), min_ready_seconds=30),
    )  # fmt: skip
    return m.MachineComponentSet(metadata=m.ObjectMeta(name=name), spec=spec)


def changed(machines: int, *, seed: int = 0, apart: timedelta = timedelta(0)) -> Stage:
    """Give a cluster in which both sets were changed, so far apart."""
    strict = m.RiskPolicySpec(
        limits=(
            m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(1)),
            m.Limit(scope=m.Scope.CLUSTER, window=timedelta(hours=1), max=m.IntOrPercent(2)),
        )
    )
    objects = (
        *(component(name, version) for name in NAMES for version in "12"), *(owner(name) for name in NAMES),
        m.RiskPolicy(metadata=m.ObjectMeta(name="strict"), spec=strict),
    )  # fmt: skip
    made = Stage(
        "joint", Cast(objects=objects).with_machines(machines, zones=("a",)), seed=seed, tell=lambda _: None
    )
    made.open()
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    assert made.witness.permits == {}
    for number, name in enumerate(NAMES):
        body = {"spec": {"component": f"{name}-2"}}
        made.simulation.at(
            apart * number,
            lambda name=name, body=body: made.simulation.change(m.MachineComponentSet, name, body),
        )  # type: ignore[misc]
    assert made.simulation.rest(limit=LONG * 4)
    return made


def check(made: Stage) -> None:
    """Check that all is changed and given back, and what every run must pass."""
    assert all(
        host.files == {"/etc/conf": b"2", "/etc/more": b"2"} for host in made.simulation.hosts.values()
    )
    assert [hold for book in made.all(m.RiskLedger) for hold in book.status.holds] == []
    assert {one.status.phase for one in made.all(m.MachineComponentSet)} == {"Complete"}
    told = made.end((), "")
    assert told.passed, [one for one in told.checks if not one.passed]


@pytest.mark.parametrize("seed", range(4))
def test_changes_of_one_machine_that_wait_together_are_one_disruption(seed: int) -> None:
    """Six machines and two changes each: with two starts an hour, three hours instead of six; released when both are done."""
    made = changed(6, seed=seed)
    check(made)
    permits = list(made.witness.permits.values())
    joined = [one for one in permits if one.hold.joined]
    assert len(joined) >= 5  # who is granted before the other set's batch is seen has a hold to itself
    assert len(permits) == 6 * 2 - len(joined)
    for one in joined:
        acts = _acts(made, one.hold.machine, one.opened)
        assert len(acts) == 2
        assert one.closed is not None
        assert all(
            one.opened <= act.began and act.ended is not None and act.ended <= one.closed for act in acts
        )


def _acts(made: Stage, machine: str, since: int) -> list[Span]:
    return [span for span in made.simulation.hosts[machine].spans if span.began >= since]


def test_a_change_that_comes_after_the_first_has_begun_waits_for_its_own_permit() -> None:
    """One machine, the second change a minute later: two holds, one after the other."""
    made = changed(1, apart=timedelta(seconds=3))
    check(made)
    first, second = sorted(made.witness.permits.values(), key=lambda one: one.opened)
    assert (first.hold.joined, second.hold.joined) == ((), ())
    assert first.closed is not None
    assert first.closed <= second.opened


def test_a_crash_at_any_moment_neither_splits_a_hold_nor_releases_it_early() -> None:
    """All processes start anew every few seconds while two changes share holds."""
    made = changed(2, seed=1)
    check(made)
    count = len(made.witness.permits)
    again = Stage("joint", made.cast, seed=1, tell=lambda _: None)
    again.open()
    assert again.until_running()
    assert again.simulation.rest(limit=LONG)
    for name in NAMES:
        again.simulation.change(m.MachineComponentSet, name, {"spec": {"component": f"{name}-2"}})
    for second in range(1, 200, 3):
        for process in again.simulation.processes.values():
            again.simulation.at(timedelta(seconds=second), process.start)
    assert again.simulation.rest(limit=LONG * 4)
    check(again)
    assert len(again.witness.permits) == count
