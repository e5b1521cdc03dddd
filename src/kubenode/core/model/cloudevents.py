"""What a Machine's status says of what its cloud has told of its instance: maintenance and failures."""

from datetime import datetime
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.condition import Conditions, ConditionType
from kubenode.core.model.meta import Items, Reason, Shape, Text

OPEN_LIMIT = 32
"""Most open events of one instance that are recorded."""
EVENT_ID_LIMIT = 256


@attrs.frozen(kw_only=True)
class OpenEvent:
    """An event that the cloud has told of, and has not said to be over.

    Attributes:
        id: by which the cloud knows it.
        type: the cloud's own word, such as `instance-reboot` or `SystemMaintenance.Reboot`.
        state: how far it had come when it was last told.
        not_before: when it begins at the earliest, or has begun; absent when the cloud does not say.
        condition: the type of the Node's condition that it opened.
        reason: what it does, in one word.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    id: Annotated[str, Text(max=EVENT_ID_LIMIT, min=1)]
    type: Annotated[str, Text(max=128)] = ""
    state: Annotated[str, Text(max=32)] = ""
    not_before: datetime | None = None
    condition: ConditionType
    reason: Reason


@attrs.frozen(kw_only=True)
class CloudEvents:
    """What was told of one instance; the doctor controller's alone.

    Attributes:
        instance: the id of the instance that it is about.
        open: what is not over, the most urgent first.
    """

    instance: Annotated[str, Text(max=253)] = ""
    open: Annotated[tuple[OpenEvent, ...], Items(max=OPEN_LIMIT)] = ()
    conditions: Annotated[Conditions, "mirrored onto the Node by the machine controller"] = ()
