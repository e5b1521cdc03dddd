"""When a permit of a rollout is asked for and given back, in a simulated cluster."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.risk.ledger import GRACE
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.story import Cast, Stage

LONG = timedelta(hours=6)
READY = 90
SECOND = 1_000_000_000


def component(version: str, disruption: m.Disruption) -> m.MachineComponent:
    """Give a version of a file."""
    parameters = {"path": "/etc/c", "content": version, "unit": "kubelet.service"}
    spec = m.MachineComponentSpec(
        version=version, driver="file", parameters=parameters, disruption=disruption
    )
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"c-{version}"), spec=spec)


def stage(disruption: m.Disruption = m.Disruption.RESTART) -> Stage:
    """Give two machines in two zones, whose set waits until each is ready for a minute and a half."""
    spec = m.MachineComponentSetSpec(
        name="c", component="c-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(batches=(m.IntOrPercent.parse("100%"),), min_ready_seconds=READY),
    )  # fmt: skip
    owner = m.MachineComponentSet(metadata=m.ObjectMeta(name="c"), spec=spec)
    free = m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(10)),))
    policy = m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=free)
    cast = Cast(objects=(component("1", disruption), component("2", disruption), owner, policy))
    made = Stage("permits", cast.with_machines(2, zones=("a", "b")), seed=2, tell=lambda _: None)
    made.open()
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    return made


def change(made: Stage) -> None:
    """Roll out the second version."""
    made.simulation.change(m.MachineComponentSet, "c", {"spec": {"component": "c-2"}})


def ended(host: SimHost) -> int:
    """Give when its last act ended."""
    last = host.spans[-1].ended
    assert last is not None
    return last


def test_a_hold_is_released_by_its_owner_when_the_machine_is_available_for_min_ready_seconds() -> None:
    """Not when the agent is done; and until then no other machine of the set begins, since one may be unavailable."""
    made = stage()
    change(made)
    assert made.simulation.rest(limit=LONG)
    first, second = sorted(made.witness.permits.values(), key=lambda one: one.opened)
    ready = {
        one.hold.machine: ended(made.simulation.hosts[one.hold.machine]) + READY * SECOND
        for one in (first, second)
    }
    assert first.closed == ready[first.hold.machine]
    assert second.opened >= first.closed
    assert second.closed == ready[second.hold.machine]


def test_what_has_failed_is_given_back_by_its_owner_too() -> None:
    """Also of the last machine, after which the batch is gone: no grace of what nobody names has to pass."""
    versions = tuple(
        m.MachineComponent(
            metadata=m.ObjectMeta(name=f"p-{version}"),
            spec=m.MachineComponentSpec(version=version, driver="package", parameters={"package": "p"}),
        )
        for version in "12"
    )
    spec = m.MachineComponentSetSpec(
        name="p", component="p-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(batches=(m.IntOrPercent.parse("100%"),), failure_threshold=2),
    )  # fmt: skip
    owner = m.MachineComponentSet(metadata=m.ObjectMeta(name="c"), spec=spec)
    cast = Cast(objects=(*versions, owner)).with_machines(2, zones=("a", "b"))
    made = Stage("failing", cast, seed=2, tell=lambda _: None)
    made.open(lambda one: attrs.evolve(one, refuses=frozenset({"p=2"})))
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    made.simulation.change(m.MachineComponentSet, "c", {"spec": {"component": "p-2"}})
    permits = made.witness.permits
    assert made.simulation.run_until(lambda: len(permits) == 2, limit=LONG)
    assert made.simulation.run_until(lambda: all(one.closed for one in permits.values()), limit=LONG)
    for one in permits.values():
        assert one.closed is not None
        assert one.closed - ended(made.simulation.hosts[one.hold.machine]) < GRACE // 2
    (after,) = made.all(m.MachineComponentSet)
    assert after.status.failures == 2


def test_a_machine_that_flaps_keeps_its_hold_until_it_was_available_without_a_break() -> None:
    """Its time begins anew."""
    made = stage()
    change(made)
    assert made.simulation.run_until(lambda: bool(made.witness.permits), limit=LONG)
    (permit,) = made.witness.permits.values()
    host = made.simulation.hosts[permit.hold.machine]
    made.simulation.at(timedelta(seconds=60), lambda: host.link(False))
    made.simulation.at(timedelta(seconds=70), lambda: host.link(True))
    back = made.simulation.time.elapsed + nanoseconds(timedelta(seconds=70))
    assert made.simulation.rest(limit=LONG)
    assert permit.closed is not None
    assert permit.closed >= back + READY * SECOND


@pytest.mark.parametrize("disruption", m.Disruption)
def test_needs_none_class_none_and_whatever_happens_before_a_machine_was_first_running(
    disruption: m.Disruption,
) -> None:
    """The first installation has no permit, of whatever class; the second has one, but of class none."""
    made = stage(disruption)
    assert made.witness.permits == {}
    assert all(len(host.spans) == 1 for host in made.simulation.hosts.values())
    change(made)
    assert made.simulation.rest(limit=LONG)
    assert len(made.witness.permits) == (0 if disruption is m.Disruption.NONE else 2)
    told = made.end((), "")
    assert told.passed, [one for one in told.checks if not one.passed]


def test_agents_never_read_jobs() -> None:
    """Nor ledgers, nor policies, nor sets: their Machine and what it names is all."""
    made = stage()
    assert set(agents(made.simulation, made.simulation.plugins).cache.kinds) == {
        m.Machine,
        m.MachineComponent,
    }
