"""A MachineSet in an outage, in a simulated cluster: what it would replace stays until the zone is back."""

from datetime import timedelta

import attrs

from kubenode.core import model as m
from kubenode.core.model.machineset import TEMPLATE_ANNOTATION, Strategy, StrategyType
from kubenode.runtime.sim.story import Cast, Stage

LONG = timedelta(hours=6)


def owner() -> m.MachineSet:
    """Give a set that owns whatever machine is in its pool, and replaces one at a time without a successor."""
    spec = m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    return m.MachineSet(
        metadata=m.ObjectMeta(name="pool"),
        spec=m.MachineSetSpec(
            replicas=4, selector=m.Selector(match_labels={"pool": "x"}),
            template=m.MachineTemplate(labels={"pool": "x"}, spec=spec),
            strategy=Strategy(type=StrategyType.REPLACE, max_surge=0, max_unavailable=1),
        ),
    )  # fmt: skip


def stage() -> Stage:
    """Give four machines of an earlier template in zone a, all Running."""
    component = m.MachineComponent(
        metadata=m.ObjectMeta(name="c-1"),
        spec=m.MachineComponentSpec(
            version="1", driver="file", parameters={"path": "/etc/c", "content": "1"}
        ),
    )
    keeper = m.MachineComponentSet(
        metadata=m.ObjectMeta(name="c"),
        spec=m.MachineComponentSetSpec(
            name="c", component="c-1", selector=m.Selector(match_labels={"pool": "x"})
        ),
    )
    cast = Cast(objects=(component, keeper)).with_machines(4, zones=("a",))
    objects = tuple(
        attrs.evolve(one, metadata=attrs.evolve(one.metadata, annotations={TEMPLATE_ANNOTATION: "earlier"}))
        if isinstance(one, m.Machine) else one
        for one in cast.objects
    )  # fmt: skip
    made = Stage("outage", attrs.evolve(cast, objects=objects), seed=1, tell=lambda _: None)
    made.open()
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    return made


def earlier(made: Stage) -> int:
    """Count the machines of the earlier template that nobody has asked to delete."""
    return sum(
        one.metadata.annotations.get(TEMPLATE_ANNOTATION) == "earlier"
        and one.metadata.deletion_timestamp is None
        for one in made.all(m.Machine)
    )


def test_a_set_replaces_nothing_in_a_zone_that_is_down_and_goes_on_when_it_is_back() -> None:
    """Three of four are cut off: whatever is outdated stays; that the zone is back wakes the set."""
    made = stage()
    cut = list(made.simulation.hosts.values())[:3]
    for host in cut:
        host.link(False)
    assert made.simulation.rest(limit=LONG)
    made.simulation.create(owner())
    assert made.simulation.rest(limit=timedelta(days=2))
    assert earlier(made) == 4
    for host in cut:
        host.link(True)
    assert made.simulation.rest(limit=LONG)
    assert earlier(made) == 0


def test_a_freeze_and_its_end_and_a_label_on_a_node_wake_the_set() -> None:
    """Each is honoured, and what was held up goes on without another event."""
    made = stage()
    freeze = {"scope": "zone", "name": "a", "reason": "power"}
    policy = m.RiskPolicy(
        metadata=m.ObjectMeta(name="p"),
        spec=m.RiskPolicySpec(freeze=(m.Freeze(scope=m.Scope.ZONE, name="a", reason="power"),)),
    )
    made.simulation.create(policy)
    made.simulation.create(owner())
    assert made.simulation.rest(limit=LONG)
    assert earlier(made) == 4
    for node in made.all(m.Node):
        made.simulation.change(
            m.Node, node.metadata.name, {"metadata": {"labels": {"kubenode.dev/hold": "ada"}}}
        )
    until = (made.simulation.time.wall() + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made.simulation.change(m.RiskPolicy, "p", {"spec": {"freeze": [{**freeze, "until": until}]}})
    assert made.simulation.rest(limit=LONG)
    assert earlier(made) == 4
    for node in made.all(m.Node):
        made.simulation.change(
            m.Node, node.metadata.name, {"metadata": {"labels": {"kubenode.dev/hold": None}}}
        )
    assert made.simulation.rest(limit=LONG)
    assert earlier(made) == 0
