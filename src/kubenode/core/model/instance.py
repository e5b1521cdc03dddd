"""What a Machine's status says of the instance that a provider makes for it: the intent before each act, then what came of it."""

import enum
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.meta import DnsLabel, Number, OpId, Parameters, Shape, Text, Wire


class InstanceStep(enum.Enum):
    """How far an instance is. Each act on it is written here before it is done."""

    CREATING = "Creating"
    """It is being asked for, or is about to be; whether it exists is not settled."""
    MADE = "Made"
    """Its id is known."""
    TERMINATING = "Terminating"
    """Its end is being asked for, or is about to be; it may still be there."""
    GONE = "Gone"
    """There is evidence that it is no more."""


@attrs.frozen(kw_only=True)
class InstanceStatus:
    """The instance of a machine, and the attempt that it is of.

    Attributes:
        provider: which made it, or is asked to; a changed spec does not change it.
        attempt: from 1; a new one begins only when the one before is settled.
        choice: which of the placements that the parameters list is tried, from 0.
        token: the idempotency token: a hash of the machine's uid, the attempt and all launch parameters.
        parameters: as they were when the attempt began, so that it can be repeated as it was begun.
        id: what the provider calls it; empty while that is not known.
        provider_id: what `Node.spec.providerID` of its Node is; empty where the provider has no such form.
        zone: the failure domain it is in.
        reason: why its end was asked for, when nobody deleted the Machine; else empty.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    step: InstanceStep
    provider: DnsLabel
    attempt: Annotated[int, Number(min=1, max=1_000_000)]
    choice: Annotated[int, Number(min=0, max=1000)] = 0
    token: OpId
    parameters: Parameters = attrs.field(factory=dict)
    id: Annotated[str, Text(max=253)] = ""
    provider_id: Annotated[str, Text(max=1024), Wire(name="providerID")] = ""
    zone: Annotated[str, Text(max=253)] = ""
    reason: Annotated[str, Text(max=128)] = ""
