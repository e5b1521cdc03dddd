"""The laws of our remedy actions."""

from typing import Any

import attrs
import pytest

from kubenode import remedies
from kubenode.core.errors import Problem
from kubenode.core.host.plan import operation_steps
from kubenode.core.model import StepAction
from kubenode.remedies import (
    Case,
    Disruption,
    NoParams,
    Reboot,
    RebootInstanceRemedy,
    RebootRemedy,
    ReinstallComponent,
    ReinstallComponentParams,
    ReinstallComponentRemedy,
    RemedyAction,
    RemedyStep,
    ReplaceMachine,
    ReplaceRemedy,
    RestartInstance,
    RestartUnit,
    RestartUnitParams,
    RestartUnitRemedy,
)

ACTIONS: list[tuple[RemedyAction[Any], Any]] = [
    (RestartUnitRemedy(), RestartUnitParams(unit="containerd.service")),
    (ReinstallComponentRemedy(), ReinstallComponentParams(component="kubelet")),
    (RebootRemedy(), NoParams()),
]


@pytest.mark.parametrize(
    ("action", "step"), [(RebootInstanceRemedy(), RestartInstance()), (ReplaceRemedy(), ReplaceMachine())]
)
def test_what_no_agent_does_is_no_operation(action: RemedyAction[NoParams], step: RemedyStep) -> None:
    """One step, which no agent is given; its permit is that of a reboot, so the Node is drained for it."""
    steps = action.plan(case(NoParams()))
    assert steps == (step,)
    assert action.disruption is Disruption.REBOOT
    assert isinstance(operation_steps(steps), Problem)


def case(params: Any) -> Case[Any]:
    """Make one attempt at one machine."""
    return Case(machine="n7", node="node-7", condition="KernelDeadlock", params=params)


def test_each_gives_its_step() -> None:
    """Restart restarts that unit, reinstall puts that component down, reboot reboots."""
    steps = [action.plan(case(params)) for action, params in ACTIONS]
    assert steps == [
        (RestartUnit(unit="containerd.service"),), (ReinstallComponent(component="kubelet"),), (Reboot(),),
    ]  # fmt: skip


@pytest.mark.parametrize(("action", "params"), ACTIONS, ids=lambda one: getattr(one, "name", ""))
def test_an_operation_can_carry_its_steps_and_it_says_what_they_do(
    action: RemedyAction[Any], params: Any
) -> None:
    """Pure; carried by an operation; and the disruption that the permit is for is not less than what is done."""
    steps = action.plan(case(params))
    assert action.plan(case(params)) == steps
    carried = operation_steps(steps)
    assert not isinstance(carried, Problem)
    does = Disruption.REBOOT if carried[-1].action is StepAction.REBOOT else Disruption.RESTART
    assert action.disruption is does
    assert attrs.has(action.params)


@pytest.mark.parametrize("unit", ["", "--now", "a b", "a\n"])
def test_what_is_no_unit_is_refused(unit: str) -> None:
    """It could be an option of systemctl."""
    with pytest.raises(ValueError, match="is not the name of a unit"):
        RestartUnitParams(unit=unit)


@pytest.mark.parametrize("name", ["", "-x", "Kubelet", "a/b"])
def test_what_is_no_component_is_refused(name: str) -> None:
    """No Machine has an entry of that name."""
    with pytest.raises(ValueError, match="is not the name of a component's entry"):
        ReinstallComponentParams(component=name)


def test_the_hook_gives_our_actions_mildest_first() -> None:
    """A restart, a component anew, then a reboot by the agent, one that the cloud has planned, one by the provider, and another machine."""
    assert [action.name for action in remedies.register_remedies()] == [
        "restart-unit",
        "reinstall-component",
        "drain-and-reinstall-component",
        "reboot",
        "confirm-event",
        "reboot-instance",
        "replace",
    ]
    order = list(Disruption)
    classes = [order.index(action.disruption) for action in remedies.register_remedies()]
    assert classes == sorted(classes)
