"""Inspections of a rollout: what a closed batch must show before the next opens, and what was seen."""

import enum
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.meta import DnsLabel, Items, Message, Number, Parameters, Rule, Shape, Text

HOOKS_LIMIT = 8
"""Most hooks that one set can ask."""


class Inconclusive(enum.Enum):
    """What follows when there are too few machines to tell: Continue or Pause."""

    CONTINUE = "Continue"
    PAUSE = "Pause"


@attrs.frozen(kw_only=True)
class ControlGroup:
    """Compare updated machines with those that are not updated yet.

    Attributes:
        conditions: types of Node conditions that count as a fault when True (`Ready`: when it is not True).
        confidence: in percent; a difference that chance would make more often than in the rest is borne.
        inconclusive: Continue, since of few machines nothing can ever be told; Pause for who wants to look.
    """

    conditions: Annotated[tuple[Annotated[str, Text(max=316, min=1)], ...], Items(max=8, min=1)]
    confidence: Annotated[int, Number(min=50, max=99)] = 95
    inconclusive: Inconclusive = Inconclusive.CONTINUE


@attrs.frozen(kw_only=True)
class InspectionHook:
    """One inspection that a plugin makes of a closed batch.

    Attributes:
        name: what people call it; its result stands under it.
        inspector: the plugin's inspection, as `prometheus`.
        timeout: what has not answered by then is inconclusive.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="self.timeout != '' && duration(self.timeout) > duration('0s')",
                check=lambda hook: hook.timeout > timedelta(0),
                message="is nothing, so nobody could answer; write 1s or more",
                path=".timeout",
            ),
        )
    )

    name: DnsLabel
    inspector: Annotated[DnsLabel, "the inspection that a plugin brings"]
    parameters: Parameters = attrs.field(factory=dict)
    timeout: timedelta = timedelta(seconds=30)


class OnFailure(enum.Enum):
    """What follows when an inspection says that updated machines are worse."""

    PAUSE = "Pause"
    ROLL_BACK = "RollBack"
    """The component of the last complete revision comes back; where there is none, it pauses."""


@attrs.frozen(kw_only=True)
class Inspection:
    """What a closed batch must show before the next opens, beside that its machines are available.

    Attributes:
        hooks: all must pass, when the batch has closed and when its observation is over.
        on_failure: what follows when a hook or the control group says that updated machines are worse: Pause, or
            RollBack: the component of the last complete revision comes back.
    """

    control_group: ControlGroup | None = None
    hooks: Annotated[tuple[InspectionHook, ...], Items(max=HOOKS_LIMIT, key=("name",))] = ()
    on_failure: OnFailure = OnFailure.PAUSE


class InspectionState(enum.Enum):
    """What one hook said: Passed, Failed or Inconclusive."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"


@attrs.frozen(kw_only=True)
class InspectionResult:
    """The last answer of one hook about the open batch; it stands when the controller restarts.

    Attributes:
        name: name of the hook.
        text: in the inspection's own words.
        since: when it first said so.
        of: what was asked, as a hash of inspector and parameters; another hook's answer does not count.
        observed: it was asked when the observation was over.
        again: the count of the person's word that it was asked by; 0 without one.
    """

    name: DnsLabel
    state: InspectionState
    text: Message = ""
    since: datetime
    of: Annotated[str, Text(max=64)]
    observed: bool = False
    again: Annotated[int, Number(min=0, max=1_000_000)] = 0
