"""Machines on a cloud that is simulated: made, lost, replaced and terminated, by the controllers as they are.

The cloud keeps the truth: what was ever made, whose end was asked for, and how often it was called.
"""

from datetime import timedelta
from typing import Any

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.embedded import now_or_never

LONG = timedelta(hours=3)


def lax(most: int = 100) -> m.RiskPolicy:
    """Limits that hold nobody up."""
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(most))
    return m.RiskPolicy(metadata=m.ObjectMeta(name="lax"), spec=m.RiskPolicySpec(limits=(limit,)))


def machine(name: str = "c1", **spec: Any) -> m.Machine:
    """A machine that the provider `memory` is to make."""
    wanted = m.Infrastructure(provider="memory", parameters={"zone": "b"})
    return m.Machine(
        metadata=m.ObjectMeta(name=name), spec=m.MachineSpec(**{"infrastructure": wanted, **spec})
    )


def cluster(*objects: m.Object) -> Simulation:
    """A simulation with some objects, at rest."""
    sim = Simulation()
    for one in (lax(), *objects):
        sim.create(one)
    assert sim.rest(limit=LONG)
    return sim


def read(sim: Simulation, name: str = "c1") -> m.Machine:
    """A machine as it stands in the store."""
    return wire.read(now_or_never(sim.store.get(m.Machine.KIND, name)), m.Machine)


def delete(sim: Simulation, name: str = "c1", kind: type[m.Object] = m.Machine) -> None:
    """Ask for the deletion of an object, as a user would."""
    now_or_never(sim.store.delete(kind.KIND, name))


def condition(one: m.Machine, type: str) -> tuple[str, str]:
    """The status and reason of a condition."""
    return next((c.status.value, c.reason) for c in one.status.conditions if c.type == type)


def test_a_machine_is_made_and_runs_and_is_terminated() -> None:
    """One create, one delete; then no instance, no Node and no Machine is left."""
    sim = cluster(machine())
    one = read(sim)
    assert one.status.phase == "Running"
    assert condition(one, "InstanceReady") == ("True", "InstanceRunning")
    assert one.status.instance is not None
    assert [i.id for i in sim.cloud.alive] == [one.status.instance.id]
    assert (sim.cloud.calls["create"], len(sim.cloud.created)) == (1, 1)
    delete(sim)
    assert sim.rest(limit=LONG)
    assert sim.objects(m.Machine) == ()
    assert sim.objects(m.Node) == ()
    assert sim.cloud.alive == ()
    assert (sim.cloud.calls["create"], sim.cloud.calls["delete"]) == (1, 1)
