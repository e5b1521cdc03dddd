"""Operation: the one step that the agent of a machine is asked to do now, and its answer."""

import enum
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.meta import (
    UNIT_PATTERN,
    DnsLabel,
    Items,
    Message,
    Name,
    Number,
    OpId,
    Rule,
    Shape,
    Text,
    Wire,
)


class StepAction(enum.Enum):
    """What the agent does: restart a systemd unit, reboot the host, bring a drifted component back, or put one down again."""

    RESTART_UNIT = "RestartUnit"
    REBOOT = "Reboot"
    REPAIR = "Repair"
    """Whatever brings a component that drifted back to target; the agent's driver knows the steps."""
    REINSTALL = "Reinstall"
    """All that a component brings, put down again though it looks right; the agent's driver knows the steps."""


OF_COMPONENTS = frozenset({StepAction.REPAIR, StepAction.REINSTALL})
"""Actions that name an entry of the Machine's components."""


@attrs.frozen(kw_only=True)
class OperationStep:
    """One host step of an operation, as data.

    Attributes:
        unit: the systemd unit to restart, with action RestartUnit alone.
        component: the component to repair or to put down again, with actions Repair and Reinstall alone.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="(self.action == 'RestartUnit') == has(self.unit)",
                check=lambda step: (step.action is StepAction.RESTART_UNIT) == (step.unit is not None),
                message="unit goes with action RestartUnit, as in {action: RestartUnit, unit: kubelet.service}",
            ),
            Rule(
                cel="(self.action in ['Repair', 'Reinstall']) == has(self.component)",
                check=lambda step: (step.action in OF_COMPONENTS) == (step.component is not None),
                message="component goes with actions Repair and Reinstall, as in {action: Repair, component: kubelet}",
            ),
        )
    )

    action: StepAction
    unit: Annotated[str, Text(max=255, min=1, pattern=UNIT_PATTERN)] | None = None
    component: DnsLabel | None = None


@attrs.frozen(kw_only=True)
class Operation:
    """The one step the agent is asked to do now. Its op-id is the permit's.

    Attributes:
        job: the RemedyOperationJob that asks for it.
        attempt: which attempt of that job, from 1.
        action: the remedy action, such as `reboot`.
        steps: what is to be done on the host, in order.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    op_id: Annotated[OpId, Wire(name="opID")]
    job: Name
    attempt: Annotated[int, Number(min=1, max=1000)]
    action: DnsLabel
    steps: Annotated[tuple[OperationStep, ...], Items(max=16, min=1)]


class AnswerState(enum.Enum):
    """How far the agent is: Acknowledged: it was read and is under way; Done; Failed."""

    ACKNOWLEDGED = "Acknowledged"
    DONE = "Done"
    FAILED = "Failed"


@attrs.frozen(kw_only=True)
class OperationAnswer:
    """The agent's word on the last operation it was asked to do.

    Attributes:
        message: how it failed; empty else.
    """

    op_id: Annotated[OpId, Wire(name="opID")]
    state: AnswerState
    message: Message = ""
