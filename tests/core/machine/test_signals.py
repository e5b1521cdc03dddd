"""From snapshot to signal, as a table."""

from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.core.machine.decide import MachineSnapshot
from kubenode.core.machine.phase import Signal
from kubenode.core.machine.signals import _HELD, main_signal, signals
from tests.core.machine.world import (
    START,
    World,
    agent,
    deleted,
    entry,
    machine,
    node,
    report,
    with_meta,
    with_status,
)

HEARD = with_status(machine(), agent=agent())
KNOWN = with_status(HEARD, node_ref=m.NodeRef(name="node-7", uid="node-uid"))
RAN = with_status(KNOWN, first_running=START.wall - timedelta(days=1), phase="Running")
CREATED = machine(host=None, infrastructure=m.Infrastructure(provider="aws"))
INSTANCE = m.InstanceStatus(step=m.InstanceStep.CREATING, provider="aws", attempt=1, token="t")
MADE = m.InstanceStatus(step=m.InstanceStep.MADE, provider="aws", attempt=1, token="t", id="i-1")
LACKING = with_status(
    machine(components={"kubelet": entry()}), agent=agent(), first_running=RAN.status.first_running
)
LACKING = with_status(LACKING, node_ref=RAN.status.node_ref)

TABLE: dict[str, tuple[World, Signal]] = {
    "deletion with a Node": (World(machine=deleted(RAN), node=node()), Signal.DELETING_NODE),
    "deletion without one": (World(machine=deleted(RAN)), Signal.DELETING),
    "deletion, and the Node is contested": (World(machine=deleted(RAN), node=node(), rival="m2"), Signal.DELETING),
    "deletion of a spec that says nothing": (World(machine=deleted(machine(host=None))), Signal.DELETING),
    "neither host nor infrastructure": (World(machine=machine(host=None), node=node()), Signal.UNACTIONABLE),
    "both": (World(machine=machine(infrastructure=m.Infrastructure(provider="aws"))), Signal.UNACTIONABLE),
    "a rival": (World(machine=RAN, node=node(), rival="m2"), Signal.CONTESTED),
    "the agent names another Node": (
        World(machine=with_status(RAN, agent=agent(node_name="other")), node=node(name="other", uid="u2")),
        Signal.CONTESTED,
    ),
    "an update that has its permit and no entry yet": (
        World(machine=RAN, node=node(), hold=m.Cause.ROLLOUT), Signal.HEALTHY,
    ),
    "an update": (World(machine=with_status(LACKING, phase="Running"), node=node(), hold=m.Cause.ROLLOUT), Signal.UPDATE_HELD),
    "an update that is watched": (
        World(machine=with_status(RAN, phase="Updating"), node=node(), hold=m.Cause.ROLLOUT), Signal.UPDATE_HELD,
    ),
    "an update that begins with a drain": (
        World(machine=RAN, node=node(), hold=m.Cause.ROLLOUT, holds=frozenset({"op"}), drains="op"), Signal.UPDATE_HELD,
    ),
    "silent before an update begins": (
        World(machine=RAN, node=node(m.Switch.UNKNOWN), hold=m.Cause.ROLLOUT), Signal.SILENT,
    ),
    "a repair": (World(machine=RAN, node=node(), hold=m.Cause.REMEDY), Signal.REPAIR_HELD),
    "a repair makes it silent": (
        World(machine=RAN, node=node(m.Switch.UNKNOWN), hold=m.Cause.REMEDY), Signal.REPAIR_HELD,
    ),
    "a hold before it ever ran": (World(machine=KNOWN, node=node(), hold=m.Cause.REMEDY), Signal.HEALTHY),
    "infrastructure": (World(machine=CREATED), Signal.INSTANCE_WANTED),
    "an instance that is asked for": (World(machine=with_status(CREATED, instance=INSTANCE)), Signal.INSTANCE_WANTED),
    "an instance of which nothing was heard": (World(machine=with_status(CREATED, instance=MADE)), Signal.INSTANCE_STARTING),
    "an instance whose agent was heard": (World(machine=with_status(CREATED, instance=MADE, agent=agent())), Signal.REPORTED),
    "an instance whose Node is gone": (
        World(machine=with_status(CREATED, instance=MADE, node_ref=RAN.status.node_ref)), Signal.SILENT,
    ),
    "an instance whose Node is there": (World(machine=with_status(CREATED, instance=MADE), node=node()), Signal.REGISTERED),
    "Node silent": (World(machine=RAN, node=node(m.Switch.UNKNOWN)), Signal.SILENT),
    "Node gone": (World(machine=RAN), Signal.SILENT),
    "nothing heard": (World(machine=machine()), Signal.NOTHING_HEARD),
    "agent reported": (World(machine=HEARD), Signal.REPORTED),
    "kubelet has not spoken": (World(machine=HEARD, node=node(None)), Signal.REGISTERED),
    "Node not Ready": (World(machine=HEARD, node=node(m.Switch.FALSE)), Signal.REGISTERED),
    "no agent, Node Ready": (World(machine=machine(), node=node()), Signal.REGISTERED),
    "a wanted entry is missing": (World(machine=HEARD, node=node(), wanted=frozenset({"kubelet"})), Signal.REGISTERED),
    "ran, Node not Ready": (World(machine=RAN, node=node(m.Switch.FALSE)), Signal.IMPAIRED),
    "ran, a component lacks": (World(machine=LACKING, node=node()), Signal.IMPAIRED),
    "ran with another incarnation": (World(machine=LACKING, node=node(uid="new")), Signal.REGISTERED),
    "all healthy": (World(machine=HEARD, node=node()), Signal.HEALTHY),
    "all healthy, another incarnation": (World(machine=RAN, node=node(uid="new")), Signal.HEALTHY),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_signal(name: str) -> None:
    """Each world shows its signal."""
    world, expected = TABLE[name]
    assert main_signal(world.seen) is expected


def test_every_signal_is_shown() -> None:
    """No signal is without a world that shows it."""
    assert {signal for _, signal in TABLE.values()} == set(Signal) - {Signal.SPEC_CHANGED}


@pytest.mark.parametrize(("phase", "changed"), [("Failed", True), ("Running", False), ("", False)])
def test_spec_change(phase: str, changed: bool) -> None:
    """A spec change is a signal only for what waits for one, and the facts are read after it."""
    one = with_meta(with_status(machine(), phase=phase, observed_generation=1), generation=2)
    first = (Signal.SPEC_CHANGED,) if changed else ()
    assert signals(World(machine=one).seen) == (*first, Signal.NOTHING_HEARD)


def test_failed_and_nothing_changed() -> None:
    """A Failed machine whose generation was observed gets no such signal."""
    one = with_status(machine(), phase="Failed", observed_generation=1)
    assert signals(World(machine=one).seen) == (Signal.NOTHING_HEARD,)


def test_component_that_lacks_each_state() -> None:
    """Version, configuration and running state each keep a machine from being healthy."""
    for found in (
        report(component="kubelet-0"),
        report(revision="0"),
        report(config=m.ConfigState.DRIFTED),
        report(config=m.ConfigState.UNKNOWN),
        report(state=m.Running.STOPPED),
        report(reason="StepFailed"),
    ):
        one = with_status(
            machine(components={"kubelet": entry()}), agent=agent(components={"kubelet": found})
        )
        assert main_signal(World(machine=one, node=node()).seen) is Signal.REGISTERED
    one = with_status(machine(components={"kubelet": entry()}), agent=agent(components={"kubelet": report()}))
    assert main_signal(World(machine=one, node=node()).seen) is Signal.HEALTHY


def test_a_plain_datetime_will_do() -> None:
    """A snapshot made by hand takes an aware datetime for its moment."""
    assert MachineSnapshot(machine=machine(), now=START.wall).now == START


def test_every_cause_of_a_hold_has_its_signal() -> None:
    """A permit of any cause is an update or a repair; a cause without a signal would stop its machine for good."""
    assert set(_HELD) == set(m.Cause)
    assert set(_HELD.values()) == {Signal.UPDATE_HELD, Signal.REPAIR_HELD}
