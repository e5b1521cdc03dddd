"""Guards in the runtime: which holds count before hands are off, how a provider is told, and what is known after that."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import GuardInstance
from kubenode.core.errors import Busy
from kubenode.core.hookspecs import CreateRequest, Guard, Instance
from kubenode.core.machine.guard import HANDS_OFF
from kubenode.core.model.risk import LEDGER
from kubenode.providers.memory import MemoryParams, MemoryProvider
from kubenode.runtime.controller.drains import Drains
from kubenode.runtime.engine.apply import reaches
from kubenode.runtime.observe.calls import Failure, Look, answered, made
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from tests.runtime.followed import RAN, World, episode, machine, node

ON = Guard(hands_off=True, holds_end=True)


class Heals(MemoryProvider):
    """Its infrastructure heals by itself."""

    refuses: Exception | None = None

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Create, with hands on."""
        one = attrs.evolve(super().create(request), guard=Guard())
        self._instances[one.id] = one
        return one

    def guard(self, instance_id: str, guard: Guard) -> None:
        """Remember it."""
        if self.refuses is not None:
            raise self.refuses
        self._instances[instance_id] = attrs.evolve(self._instances[instance_id], guard=guard)


def made_one(name: str = "c1") -> m.Machine:
    """A machine whose instance is made."""
    instance = m.InstanceStatus(
        step=m.InstanceStep.MADE, provider="memory", attempt=1, token="t", id="i-00000000"
    )
    return m.Machine(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=m.MachineSpec(infrastructure=m.Infrastructure(provider="memory")), status=m.MachineStatus(instance=instance),
    )  # fmt: skip


def effect(provider: str = "memory", guard: Guard = ON) -> GuardInstance:
    """What the machine decider asks for."""
    return GuardInstance(
        machine=m.ref(made_one()), provider=provider, op_id="guard-1", instance="i-00000000", guard=guard
    )


def view(cloud: MemoryProvider) -> Instances:
    """A view that has seen the instance."""
    cloud.create(
        CreateRequest(
            token="t", machine="c1", params=MemoryParams(), tags={"kubenode.dev/machine-uid": "uid-c1"}
        )
    )
    found = Instances(Plugins.given(providers=[cloud]))
    found.sight(made_one())
    found.looked("memory", Look(began=1, instances=cloud.find({}, None).items), 2)
    return found


def shown(seen: Instances) -> Guard | None:
    """What is known of the guard."""
    sight = seen.sight(made_one())
    assert sight is not None
    return None if sight.known is None else sight.known.guard


def test_what_a_provider_was_told_is_known_at_once() -> None:
    """Before the next look, which may take minutes; and an older look does not take it away."""
    cloud = Heals()
    seen = view(cloud)
    assert shown(seen) == Guard()
    given = made(seen.launches, effect())
    assert given is None
    assert cloud.get("i-00000000").guard == ON
    seen.answered(effect(), answered(effect(), given, 10))
    assert shown(seen) == ON
    stale = attrs.evolve(cloud.get("i-00000000"), guard=Guard())
    seen.looked("memory", Look(began=9, instances=(stale,)), 11)
    assert shown(seen) == ON
    seen.looked("memory", Look(began=12, instances=(stale,)), 13)
    assert shown(seen) == Guard()


def test_a_refusal_changes_nothing_that_is_known() -> None:
    """Its answer is the machine's, under the op-id."""
    cloud = Heals()
    seen = view(cloud)
    cloud.refuses = Busy("later")
    given = made(seen.launches, effect())
    assert isinstance(given, Failure)
    seen.answered(effect(), answered(effect(), given, 10))
    assert shown(seen) == Guard()
    answer = seen.answer("uid-c1")
    assert answer is not None
    assert (answer.op_id, answer.error, answer.tries) == ("guard-1", "Busy", 1)


def test_one_that_was_never_seen_is_not_made_up() -> None:
    """Nor is a guard of a provider that has none."""
    seen = Instances(Plugins.given(providers=[MemoryProvider()]))
    seen.sight(made_one())
    given = made(seen.launches, effect())
    assert isinstance(given, Failure)
    assert given.error == "Unsupported"
    seen.answered(effect(), answered(effect(), None, 10))
    assert shown(seen) is None
    assert reaches(effect()) == m.ref(made_one())


@pytest.mark.parametrize(
    ("status", "counts"),
    [(None, True), (m.Switch.TRUE, True), (m.Switch.FALSE, False), (m.Switch.UNKNOWN, False)],
)
def test_a_hold_counts_when_hands_are_off(status: m.Switch | None, counts: bool) -> None:
    """For those who act, drains among them; the machine's own controller, which sees to it, knows of it before."""
    world = World()
    one = machine("m1", node="n1")
    if status is not None:
        said = m.Condition(type=HANDS_OFF, status=status, reason="Said", last_transition_time=RAN)
        one = attrs.evolve(one, status=attrs.evolve(one.status, conditions=(said,)))
    world.tell(one)
    world.tell(node("n1"))
    job = episode("m1", 0, m.AttemptState.WAITING, phase="Waiting")
    world.tell(job)
    op_id = job.status.attempts[0].op_id
    holds = tuple(
        m.Hold(op_id=name, machine=of, machine_uid=f"uid-{of}", cause=m.Cause.REMEDY, scopes=(), since=0)
        for name, of in ((op_id, "m1"), ("o-2", "gone"))
    )
    world.tell(m.RiskLedger(metadata=m.ObjectMeta(name=LEDGER), status=m.RiskLedgerStatus(holds=holds)))
    inventory = world.inventory
    assert inventory.granted_on("uid-m1") == {op_id}
    assert inventory.op_ids_on("uid-m1") == ({op_id} if counts else set())
    assert inventory.op_ids() == ({op_id, "o-2"} if counts else {"o-2"})
    assert inventory.granted_on("uid-nobody") == inventory.op_ids_on("uid-nobody") == frozenset()
    drains = Drains(world.cache, inventory, Plugins.discover())
    assert drains.asked_on(one) == (op_id if counts else "")
